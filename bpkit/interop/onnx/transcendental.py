"""Functions for which ONNX Runtime has no float64 kernel, or none that keeps the digits of small numbers.

In float32 they are operators where there is one. ndonnx's own way round, float64 by way of float32, would
lose half of the digits.
"""

import math
from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import ndonnx as ndx
import numpy as np
import spox.opset.ai.onnx.v21 as op
from numpy.polynomial import Chebyshev, Polynomial

from bpkit.interop.onnx.functions import exported_as, operands_of
from bpkit.interop.onnx.graph import Graph, dtype_of
from bpkit.interop.onnx.recording import Node

__all__: list[str] = []


def _has_kernels(x: Any) -> bool:
    return bool(dtype_of(x) == np.float32)


def _polynomial(x: Any, coefficients: list[float]) -> Any:
    """Horner's rule; the lowest power first."""
    return reduce(lambda total, c: total * x + c, coefficients[-2::-1], ndx.full_like(x, coefficients[-1]))


# Exponentials and their inverses.


def _expm1(x: Any) -> Any:
    # exp(x) - 1 loses the digits of a small x, tanh does not.
    return ndx.tanh(x * 0.5) * (ndx.exp(x) + 1.0)


def _log1p(x: Any) -> Any:
    # W. Kahan's: what log(u) is off by because u was rounded, u - 1 is off by too.
    u = x + 1.0
    plain = ndx.logical_or(u == 1.0, u == math.inf)
    safe = ndx.where(plain, ndx.full_like(u, 2.0), u)
    return ndx.where(plain, x, ndx.log(safe) * (x / (safe - 1.0)))


def _logaddexp(x: Any, y: Any) -> Any:
    # Of the difference, which is at most 0, exp does not overflow; two equal infinities have none.
    far = ndx.exp(-ndx.abs(x - y))
    return ndx.where(x == y, x + math.log(2), ndx.maximum(x, y) + _log1p(far))


def _sinh(x: Any) -> Any:
    # Of |x|, where expm1 is not near -1; the halves of exp do not overflow before sinh does.
    size = ndx.abs(x)
    less = _expm1(size)
    half = ndx.exp(size * 0.5)
    return ndx.sign(x) * ndx.where(
        size < 1.0, (less + less / (less + 1.0)) * 0.5, (half * 0.5) * half - 0.5 / half / half
    )


def _cosh(x: Any) -> Any:
    half = ndx.exp(ndx.abs(x) * 0.5)
    return (half * 0.5) * half + 0.5 / half / half


def _asinh(x: Any) -> Any:
    size = ndx.abs(x)
    near = ndx.minimum(size, ndx.full_like(size, 1e8))
    small = _log1p(near + near * near / (ndx.sqrt(near * near + 1.0) + 1.0))
    return ndx.sign(x) * ndx.where(size > 1e8, ndx.log(size) + math.log(2), small)


def _acosh(x: Any) -> Any:
    near = ndx.minimum(x, ndx.full_like(x, 1e8)) - 1.0
    root = ndx.sqrt(near) * ndx.sqrt(near + 2.0)  # nan where x is less than 1
    return ndx.where(x > 1e8, ndx.log(x) + math.log(2), _log1p(near + root))


def _atanh(x: Any) -> Any:
    size = ndx.abs(x)
    return ndx.sign(x) * (_log1p(size * 2.0 / (1.0 - size)) * 0.5)


# Angles.


def _atan(x: Any) -> Any:
    # atan(x) = 2 atan(x / (1 + sqrt(1 + x**2))), twice, leaves at most 0.2 for the power series.
    size = ndx.abs(x)
    far = size > 1.0
    near = ndx.where(far, 1.0 / size, size)
    for _ in range(2):
        near = near / (ndx.sqrt(near * near + 1.0) + 1.0)
    series = [(-1.0) ** k / (2 * k + 1) for k in range(13)]
    angle = near * _polynomial(near * near, series) * 4.0
    return ndx.sign(x) * ndx.where(far, math.pi / 2 - angle, angle)


def _asin(x: Any) -> Any:
    return _atan(x / ndx.sqrt((1.0 - x) * (x + 1.0)))


def _acos(x: Any) -> Any:
    return _atan(ndx.sqrt((1.0 - x) / (x + 1.0))) * 2.0


def _cos(x: Any) -> Any:
    # Not ndonnx's, which takes float64 by way of float32: it knows of no such kernel yet.
    return ndx.asarray(op.cos(x.unwrap_spox()))


def _tan(x: Any) -> Any:
    return ndx.sin(x) / _cos(x)


def _atan2(y: Any, x: Any) -> Any:
    origin = ndx.logical_and(x == 0.0, y == 0.0)
    corner = ndx.logical_and(ndx.isinf(x), ndx.isinf(y))
    ratio = ndx.where(corner, ndx.ones_like(x), ndx.abs(y) / ndx.abs(x))
    angle = ndx.where(origin, ndx.zeros_like(x), _atan(ratio))
    return _copysign(ndx.where(_signbit(x), math.pi - angle, angle), y)


# Signs and lengths.


def _signbit(x: Any) -> Any:
    return ndx.where(x == 0.0, 1.0 / x < 0.0, x < 0.0)


def _copysign(x: Any, y: Any) -> Any:
    size = ndx.abs(x)
    return ndx.where(_signbit(y), -size, size)


def _hypot(x: Any, y: Any) -> Any:
    x, y = ndx.abs(x), ndx.abs(y)
    long = ndx.maximum(x, y)
    share = ndx.where(long == 0.0, ndx.zeros_like(x), ndx.minimum(x, y) / long)
    infinite = ndx.logical_or(ndx.isinf(x), ndx.isinf(y))
    return ndx.where(infinite, math.inf, long * ndx.sqrt(share * share + 1.0))


_EVERYWHERE: dict[str, Callable[..., Any]] = {
    "atan2": _atan2,
    "cos": _cos,
    "copysign": _copysign,
    "expm1": _expm1,
    "hypot": _hypot,
    "log1p": _log1p,
    "logaddexp": _logaddexp,
}
_FLOAT64: dict[str, Callable[..., Any]] = {
    "sinh": _sinh,
    "cosh": _cosh,
    "tan": _tan,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
}


@exported_as(*_EVERYWHERE, *_FLOAT64)
def _transcendental(g: Graph, node: Node, *operands: Any) -> Any:
    arrays = operands_of(g, node)
    if node.name in _FLOAT64 and _has_kernels(arrays[0]):
        return getattr(ndx, node.name)(*arrays)
    return (_EVERYWHERE | _FLOAT64)[node.name](*arrays)


# The error function.

FAR = 6.5
"""Where erfc is less than the last digit of 1 by so much that its value no longer matters."""
_HALF = 3.75


@cache
def _erfc_coefficients() -> list[float]:
    """Of ``(1 + 2x) exp(x**2) erfc(x)`` as a polynomial in ``(x - c) / (x + c)``.

    M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of (1 + 2x)exp(x^2)erfc x in 0 <= x < inf",
    Mathematics of Computation 36 (1981), 249-253. From 0 to `FAR`, with :func:`math.erfc` at the nodes.
    """

    def value(t: Any) -> Any:
        x = _HALF * (1 + t) / (1 - t)
        return (1 + 2 * x) * np.exp(x * x) * np.asarray([math.erfc(n) for n in x])

    ends = [-1.0, (FAR - _HALF) / (FAR + _HALF)]
    found = Chebyshev.interpolate(value, 20, domain=ends)
    plain = found.convert(kind=Polynomial, domain=ends, window=[-1, 1])
    return [float(c) for c in plain.convert(domain=[-1, 1], window=[-1, 1]).coef]


def _erfc_of_size(x: Any) -> Any:
    """erfc of |x|."""
    size = ndx.abs(x)
    near = ndx.minimum(size, ndx.full_like(size, FAR))
    t = (near - _HALF) / (near + _HALF)
    return _polynomial(t, _erfc_coefficients()) / (size * 2.0 + 1.0) * ndx.exp(-(size * size))


def _erf(x: Any) -> Any:
    if _has_kernels(x):
        return ndx.asarray(op.erf(x.unwrap_spox()))
    # 1 - erfc(x) has few digits where x is small; there is the power series.
    near = ndx.minimum(ndx.maximum(x, ndx.full_like(x, -0.5)), ndx.full_like(x, 0.5))
    series = [(-1.0) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(14)]
    small = near * _polynomial(near * near, series) * (2 / math.sqrt(math.pi))
    return ndx.where(ndx.abs(x) < 0.5, small, ndx.sign(x) * (1.0 - _erfc_of_size(x)))


def _erfc(x: Any) -> Any:
    tail = _erfc_of_size(x)
    return ndx.where(x < 0.0, 2.0 - tail, tail)


def _ndtr(x: Any) -> Any:
    if _has_kernels(x):
        return (_erf(x * math.sqrt(0.5)) + 1.0) * 0.5
    return _erfc(x * -math.sqrt(0.5)) * 0.5


_ERRORS = {"special.erf": _erf, "special.erfc": _erfc, "special.ndtr": _ndtr}


@exported_as("signbit")
def _is_negative(g: Graph, node: Node, x: Any) -> Any:
    return _signbit(g.array(x))


@exported_as(*_ERRORS)
def _error_function(g: Graph, node: Node, *operands: Any) -> Any:
    return _ERRORS[node.name](*operands_of(g, node))
