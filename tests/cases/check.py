"""What a derivative has to satisfy: finite differences, agreement of the two modes, dtype, shape and library.

Complex numbers are pairs of real ones here. By JAX's convention a cotangent g and a tangent t pair as
``Re(sum(g * t))``, so a cotangent a + ib is the row (a, -b) where a tangent u + iv is the column (u, v).
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import bpkit
from bpkit import namespace
from bpkit._protocol import Backend
from bpkit.kinds import device_of, raw
from bpkit.registry import get_backend, use_backend

from .case import Case, moving

__all__ = [
    "TOLERANCE",
    "Problem",
    "Reference",
    "assert_close",
    "check",
    "cotangents_for",
    "covector",
    "finite_differences",
    "first_order",
    "gradient_of",
    "host",
    "problem",
    "second_order",
    "tangent_of",
    "tangents_for",
]

TOLERANCE = {"finite differences": 1e-7, "float64": 1e-12, "float32": 2e-5}
"""Largest error, relative to the largest element: against differences, and between exact ways by dtype."""

Values = np.ndarray[Any, Any]
Function = Callable[..., list[Any]]
# Of a central difference of fourth order in float64, whose error is then about 1e-12; a power of 2, so that
# differences through a conversion to float32 are exact.
STEP = 2.0**-10


class Problem(NamedTuple):
    """A case on one backend: a function of what is differentiated, which returns a list of arrays."""

    fun: Function
    primals: list[Any]


class Reference(NamedTuple):
    """What finite differences in NumPy say of a function.

    Attributes
    ----------
    outputs : list of arrays
    jacobian : array of shape (real numbers out, real numbers in)
    """

    outputs: list[Values]
    jacobian: Values


def problem(
    case: Case, backend: Backend, narrow: bool = False, xp: Any = namespace, device: Any = None
) -> Problem:
    """A case in the arrays of a backend; `narrow` makes float64 and complex128 ones float32 and complex64."""
    values = case.values()
    where = moving(case)
    if narrow:
        values = [_narrow(x) if isinstance(x, np.ndarray) else x for x in values]
    placed = [backend.from_host(x, device) if isinstance(x, np.ndarray) else x for x in values]

    def fun(*given: Any) -> list[Any]:
        arguments = list(placed)
        for i, x in zip(where, given, strict=True):
            arguments[i] = x
        out = case.fun(xp, *arguments)
        return list(out) if isinstance(out, tuple | list) else [out]

    return Problem(fun, [placed[i] for i in where])


def _narrow(x: Values) -> Values:
    return np.asarray(
        x, dtype={"float64": "float32", "complex128": "complex64"}.get(x.dtype.name, x.dtype.name)
    )


def host(arrays: Sequence[Any], backend: Backend) -> list[Values]:
    """The arrays in NumPy."""
    return [backend.to_host(x) for x in arrays]


def vector(arrays: Sequence[Values]) -> Values:
    """All numbers in one row; of each complex array the real parts, then the imaginary ones."""
    parts = [part.ravel() for x in arrays for part in ((x.real, x.imag) if np.iscomplexobj(x) else (x,))]
    return np.concatenate([np.zeros(0), *[part.astype(np.float64) for part in parts]])


def covector(arrays: Sequence[Values]) -> Values:
    """The row that pairs with :func:`vector` of a tangent."""
    return vector([np.conj(x) for x in arrays])


def _moved(primals: Sequence[Values], i: int, place: int, by: complex) -> list[Values]:
    moved = [x.copy() for x in primals]
    moved[i].reshape(-1)[place] += by
    return moved


def finite_differences(fun: Function, primals: Sequence[Values]) -> Reference:
    """The Jacobian of a function of NumPy arrays by central differences of fourth order."""
    wide = [x.astype(np.complex128 if np.iscomplexobj(x) else np.float64) for x in primals]
    outputs = [np.asarray(x) for x in fun(*wide)]
    columns = []
    for i, x in enumerate(wide):
        for unit in (1, 1j) if np.iscomplexobj(x) else (1,):
            for place in range(x.size):
                near, far = (
                    vector([np.asarray(y) for y in fun(*_moved(wide, i, place, step * unit))])
                    - vector([np.asarray(y) for y in fun(*_moved(wide, i, place, -step * unit))])
                    for step in (STEP, 2 * STEP)
                )
                columns.append((8 * near - far) / (12 * STEP))
    return Reference(outputs, np.stack(columns, axis=1) if columns else np.zeros((vector(outputs).size, 0)))


def _like(x: Any, rng: np.random.Generator) -> Values:
    values = rng.uniform(-1, 1, x.shape)
    return np.asarray(
        values + 1j * rng.uniform(-1, 1, x.shape) if x.dtype.kind == "c" else values, dtype=x.dtype
    )


def cotangents_for(outputs: Sequence[Values]) -> list[Values]:
    """Numbers between -1 and 1, always the same, for every output."""
    rng = np.random.default_rng(1)
    return [_like(x, rng) for x in outputs]


def tangents_for(primals: Sequence[Values]) -> list[Values]:
    """Numbers between -1 and 1, always the same, for every input."""
    rng = np.random.default_rng(2)
    return [_like(x, rng) for x in primals]


def assert_close(found: Values, expected: Values, tolerance: float, what: str) -> None:
    """Equal within the tolerance, relative to the largest expected number (to 1 if that is smaller)."""
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    # So large that equal infinities and NaNs would hide: no case may have them.
    assert np.all(np.isfinite(expected)), f"{what}: the case is at a singular point, {expected}"
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    error = np.max(np.abs(found - expected), initial=0)
    assert error <= tolerance * scale, f"{what}: off by {error:.3g}\n found    {found}\n expected {expected}"


def check(
    fun: Function, primals: Sequence[Any], backend: Backend, reference: Reference, tolerance: float
) -> None:
    """Compare both modes with the Jacobian and with each other, and look at what they return."""
    starts = host(primals, backend)
    ts = tangents_for(starts)
    out, tangents = bpkit.jvp(fun, tuple(primals), tuple(_beside(primals, ts, backend)))
    outputs = host(out, backend)
    cts = cotangents_for(outputs)
    again, pullback = bpkit.vjp(fun, *primals)
    gradients = pullback(_beside(out, cts, backend))
    _check_kind(gradients, primals, backend, "vjp")
    _check_kind(tangents, out, backend, "jvp")
    _check_kind(again, out, backend, "the result of vjp")
    gs, moved = host(gradients, backend), host(tangents, backend)
    narrow = any(x.dtype.name in ("float32", "complex64") for x in [*outputs, *starts])
    precise = TOLERANCE["float32" if narrow else "float64"]
    tolerance = max(tolerance, precise)
    assert_close(vector(outputs), vector(reference.outputs), tolerance, "value")
    assert_close(vector(moved), reference.jacobian @ vector(ts), tolerance, "jvp")
    assert_close(covector(gs), covector(cts) @ reference.jacobian, tolerance, "vjp")
    left, right = covector(cts) @ vector(moved), covector(gs) @ vector(ts)
    size = np.abs(covector(cts)) @ np.abs(vector(moved)) + np.abs(covector(gs)) @ np.abs(vector(ts))
    assert abs(left - right) <= precise * max(1.0, size), f"<ct, J t> is {left}, and <J^T ct, t> is {right}"


def _beside(placed: Sequence[Any], values: Sequence[Values], backend: Backend) -> list[Any]:
    """The values as arrays on the devices of others."""
    return [backend.from_host(value, device_of(x)) for x, value in zip(placed, values, strict=True)]


def _check_kind(found: Sequence[Any], expected: Sequence[Any], backend: Backend, what: str) -> None:
    """Each array has the library, dtype, shape and device of the one it belongs to."""
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert backend.owns(type(x)), f"{what}: a {type(x).__name__} on {backend.name}"
        assert x.dtype == y.dtype, f"{what}: dtype {x.dtype}, expected {y.dtype}"
        assert x.shape == y.shape, f"{what}: shape {x.shape}, expected {y.shape}"
        assert backend.device_of(x) == backend.device_of(y)


def gradient_of(fun: Function, cotangents: Sequence[Any]) -> Function:
    """The gradient as a function of the inputs, for second order."""

    def gradient(*primals: Any) -> list[Any]:
        return list(bpkit.vjp(fun, *primals)[1](list(cotangents)))

    return gradient


def tangent_of(fun: Function) -> Function:
    """The derivative of a function of NumPy arrays in one direction, for second order."""

    def tangent(*primals: Any) -> list[Any]:
        return list(bpkit.jvp(fun, primals, tuple(tangents_for([raw(x) for x in primals])))[1])

    return tangent


@cache
def first_order(case: Case) -> Reference:
    """What NumPy says of a case."""
    with use_backend("numpy"):
        return finite_differences(*problem(case, get_backend("numpy")))


@cache
def second_order(case: Case) -> Reference:
    """What NumPy says of the gradient of a case."""
    with use_backend("numpy"):
        fun, primals = problem(case, get_backend("numpy"))
        return finite_differences(gradient_of(fun, cotangents_for(first_order(case).outputs)), primals)
