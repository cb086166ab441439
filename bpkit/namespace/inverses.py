"""Determinants, inverses, linear equations and powers of matrices.

Part of the chapter "Linear Algebra Extension" of the standard; :mod:`bpkit.namespace.linalg` has all of it:
https://data-apis.org/array-api/2025.12/extensions/linear_algebra_functions.html
"""

import operator
from typing import Any, NamedTuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.evaluate import definition
from bpkit.kinds import raw
from bpkit.namespace.creation import ones_like, tril, triu
from bpkit.namespace.decompositions import matrices, square
from bpkit.namespace.dtypes import finfo
from bpkit.namespace.manipulation import expand_dims, squeeze
from bpkit.namespace.operands import check_arrays
from bpkit.registry import backend_of
from bpkit.trace import call

__all__ = ["det", "inv", "matrix_power", "pinv", "slogdet", "solve"]


class SlogdetResult(NamedTuple):
    """The determinant as ``sign * exp(logabsdet)``."""

    sign: RawArray
    logabsdet: RawArray


def det(x: RawArray, /) -> RawArray:
    """Determinant of square matrices; 1 of an empty one.

    Derivative: the cofactors, also where the determinant is 0. For more than 2 rows they take a singular
    value decomposition, which :func:`slogdet` does without.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point

    Returns
    -------
    array of shape (...) and `x`'s dtype

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import xp
    >>> bpkit.grad(xp.linalg.det)(xp.asarray([[1.0, 2.0], [2.0, 4.0]]))
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    return call("linalg.det", square("det", x))


def inv(x: RawArray, /) -> RawArray:
    """Inverse of square matrices.

    Derivative: ``-x^-1 @ t @ x^-1``.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point

    Returns
    -------
    array of shape (..., n, n) and `x`'s dtype

    Raises
    ------
    ShapeError
        If the matrices are not square.
    Exception
        The library's, if a matrix is singular; JAX returns infinities and NaN instead.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.inv(xp.asarray([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return call("linalg.inv", square("inv", x))


def matrix_power(x: RawArray, n: int, /) -> RawArray:
    """Product of `n` equal square matrices; the identity for 0, powers of the inverse below.

    Parameters
    ----------
    x : array of shape (..., m, m), floating-point
    n : int

    Returns
    -------
    array of shape (..., m, m) and `x`'s dtype

    Raises
    ------
    ShapeError
        If the matrices are not square.
    TypeError
        If `n` is no integer.
    Exception
        The library's, if `n` is negative and a matrix singular; JAX returns infinities and NaN instead.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.matrix_power(xp.asarray([[1.0, 1.0], [0.0, 1.0]]), 3)
    array([[1., 3.],
           [0., 1.]])
    """
    n = operator.index(n)
    square("matrix_power", x)
    if n == 0:
        return tril(triu(ones_like(x)))
    # By squares: one for each binary digit.
    power, rest = inv(x) if n < 0 else x, abs(n)
    result = None
    while True:
        if rest % 2:
            result = power if result is None else call("matmul", result, power)
        rest //= 2
        if not rest:
            return _first_power(x) if result is x else result
        power = call("matmul", power, power)


def _first_power(x: RawArray) -> RawArray:
    """`x`, or a copy where the library's own first power is one."""
    value = raw(x)
    backend = backend_of(value)
    same = backend.shares_memory(backend.xp.linalg.matrix_power(value, 1), value)
    return call("astype", x, dtype=x.dtype, copy=not same, device=None)


def pinv(x: RawArray, /, *, rtol: float | RawArray | None = None) -> RawArray:
    """Moore-Penrose inverse: that of what singular values above a bound make up.

    Derivative: that of matrices of the same rank (Golub and Pereyra 1973); none by `rtol`.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point
    rtol : float or array of shape (...), optional
        The bound, as a multiple of the largest singular value; None for ``max(n, m) * eps``.

    Returns
    -------
    array of shape (..., m, n) and `x`'s dtype

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.pinv(xp.asarray([[2.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    matrices("pinv", x)
    if rtol is None:
        rtol = max(x.shape[-2:]) * float(finfo(x).eps)
    return call("linalg.pinv", x, rtol)


@definition("linalg.pinv")
def _pinv(xp: Any, x: RawArray, rtol: float | RawArray) -> RawArray:
    return xp.linalg.pinv(x, rtol=rtol)


def slogdet(x: RawArray, /) -> SlogdetResult:
    """Sign of the determinant, and logarithm of its absolute value, which neither overflow nor underflow.

    Derivative: the trace of ``x^-1 @ t``, its real part for the logarithm; NaN where the determinant is 0.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point

    Returns
    -------
    SlogdetResult
        ``sign`` of shape (...) and `x`'s dtype, of modulus 1, or 0 for a singular matrix; ``logabsdet`` of
        shape (...), real, -inf for a singular matrix.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> from bpkit import xp
    >>> sign, logabsdet = xp.linalg.slogdet(xp.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(sign), float(logabsdet)
    (-1.0, 0.0)
    """
    return SlogdetResult(*call("linalg.slogdet", square("slogdet", x)))


@definition("linalg.slogdet")
def _slogdet(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    return tuple(xp.linalg.slogdet(x))


def solve(x1: RawArray, x2: RawArray, /) -> RawArray:
    """`y` with ``x1 @ y = x2``.

    Derivative: with ``y``, ``x1^-1 @ (t2 - t1 @ y)``.

    Parameters
    ----------
    x1 : array of shape (..., n, n), floating-point
    x2 : array of shape (n,) or (..., n, k), floating-point
        A vector if it has one axis, else a stack of matrices, which broadcasts against `x1`.

    Returns
    -------
    array of shape (..., n) or (..., n, k) and the promoted dtype

    Raises
    ------
    ShapeError
        If the matrices are not square, or the lengths differ.
    Exception
        The library's, if a matrix is singular; JAX returns infinities and NaN instead.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.solve(xp.asarray([[2.0, 0.0], [0.0, 4.0]]), xp.asarray([1.0, 1.0]))
    array([0.5 , 0.25])
    """
    square("solve", x1)
    check_arrays("solve", x2=x2)
    vector = x2.ndim == 1
    if x2.ndim == 0 or x2.shape[0 if vector else -2] != x1.shape[-1]:
        raise ShapeError(
            f"solve: x1 of shape {tuple(x1.shape)} needs an x2 of shape ({x1.shape[-1]},) or "
            f"(..., {x1.shape[-1]}, k), got {tuple(x2.shape)}"
        )
    if vector:
        return squeeze(call("linalg.solve", x1, expand_dims(x2, -1)), -1)
    return call("linalg.solve", x1, x2)
