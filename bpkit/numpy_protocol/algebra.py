"""NumPy's products and its ``linalg``."""

import math
import operator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.numpy_protocol.dispatch import as_array, function

__all__: list[str] = []


# Products.


@function("dot")
def _dot(a: Any, b: Any) -> Any:
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return xp.multiply(a, b)
    if b.ndim <= 2:
        return xp.matmul(a, b)
    return xp.tensordot(a, b, axes=((-1,), (-2,)))


@function("vdot")
def _vdot(a: Any, b: Any, /) -> Any:
    return xp.vecdot(xp.reshape(as_array(a), (-1,)), xp.reshape(as_array(b), (-1,)))


@function("inner")
def _inner(a: Any, b: Any, /) -> Any:
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return xp.multiply(a, b)
    return xp.tensordot(a, b, axes=((-1,), (-1,)))


@function("outer")
def _outer(a: Any, b: Any) -> Any:
    return xp.multiply(xp.reshape(as_array(a), (-1, 1)), xp.reshape(as_array(b), (1, -1)))


@function("linalg.outer")
def _linalg_outer(x1: Any, x2: Any, /) -> Any:
    return _outer(x1, x2)


@function("tensordot")
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return xp.tensordot(as_array(a), as_array(b), axes=_pairs(axes))


@function("linalg.tensordot")
def _linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return _tensordot(x1, x2, axes)


def _pairs(axes: Any) -> Any:
    if np.ndim(axes) == 0 and not isinstance(axes, list | tuple):
        return operator.index(axes)
    return tuple([(i,) if isinstance(i, int | np.integer) else tuple(i) for i in axes])


@function("einsum")
def _einsum(*operands: Any, dtype: Any = None, optimize: Any = False) -> Any:
    subscripts, *arrays = operands
    if not isinstance(subscripts, str):
        raise TypeError(
            "numpy.einsum: write the axes as a string before traced operands, numpy.einsum('ij,jk->ik', a, b)"
        )
    arrays = [as_array(x) for x in arrays]
    return xp.einsum(
        subscripts,
        *(arrays if dtype is None else [xp.astype(x, np.dtype(dtype), copy=False) for x in arrays]),
    )


@function("kron")
def _kron(a: Any, b: Any) -> Any:
    a, b = as_array(a), as_array(b)
    ndim = max(a.ndim, b.ndim)
    one = (1,) * (ndim - a.ndim) + tuple(a.shape)
    other = (1,) * (ndim - b.ndim) + tuple(b.shape)
    # Every element of a, times all of b: their axes alternate.
    left = xp.reshape(a, tuple([n for length in one for n in (length, 1)]))
    right = xp.reshape(b, tuple([n for length in other for n in (1, length)]))
    return xp.reshape(left * right, tuple(map(math.prod, zip(one, other, strict=True))))


@function("cross")
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = xp.moveaxis(as_array(a), axisa, -1), xp.moveaxis(as_array(b), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"numpy.cross: vectors must have 3 elements, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    return xp.moveaxis(xp.linalg.cross(a, b), -1, axisc)


@function("linalg.cross")
def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return _cross(x1, x2, axis=axis)


@function("linalg.matmul")
def _matmul(x1: Any, x2: Any, /) -> Any:
    return xp.matmul(as_array(x1), as_array(x2))


@function("linalg.vecdot")
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return xp.vecdot(as_array(x1), as_array(x2), axis=axis)


# Equations, decompositions and norms.


@function("linalg.solve")
def _solve(a: Any, b: Any) -> Any:
    return xp.linalg.solve(as_array(a), as_array(b))


@function("linalg.inv")
def _inv(a: Any) -> Any:
    return xp.linalg.inv(as_array(a))


@function("linalg.det")
def _det(a: Any) -> Any:
    return xp.linalg.det(as_array(a))


@function("linalg.slogdet")
def _slogdet(a: Any) -> Any:
    return xp.linalg.slogdet(as_array(a))


@function("linalg.cholesky")
def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return xp.linalg.cholesky(as_array(a), upper=upper)


@function("linalg.qr")
def _qr(a: Any, mode: Any = "reduced") -> Any:
    if mode == "r":
        return xp.linalg.qr(as_array(a), mode="reduced")[1]
    return xp.linalg.qr(as_array(a), mode=mode)


@function("linalg.svd")
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    if not compute_uv:
        return xp.linalg.svdvals(as_array(a))
    return xp.linalg.svd(as_array(a), full_matrices=full_matrices)


@function("linalg.svdvals")
def _svdvals(x: Any, /) -> Any:
    return xp.linalg.svdvals(as_array(x))


def _from_triangle(a: Any, uplo: str) -> Any:
    """The Hermitian matrix of which NumPy reads one triangle only."""
    if uplo.upper() not in ("L", "U"):
        raise ValueError(f"numpy.linalg.eigh: UPLO must be 'L' or 'U', got {uplo!r}")
    half = xp.tril(a, k=-1) if uplo.upper() == "L" else xp.triu(a, k=1)
    on_diagonal = np.eye(a.shape[-1], dtype=bool)
    diagonal = xp.where(on_diagonal, a, 0)
    if a.dtype.kind == "c":
        diagonal = xp.astype(xp.real(diagonal), a.dtype)
    return half + xp.conj(xp.matrix_transpose(half)) + diagonal


@function("linalg.eigh")
def _eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  NumPy's name
    return xp.linalg.eigh(_from_triangle(as_array(a), UPLO))


@function("linalg.eigvalsh")
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  NumPy's name
    return xp.linalg.eigvalsh(_from_triangle(as_array(a), UPLO))


@function("linalg.eig")
def _eig(a: Any) -> Any:
    a = as_array(a)
    found = xp.linalg.eig(a)
    # As in NumPy, real matrices with real eigenvalues have real results.
    if a.dtype.kind != "c" and bool(xp.all(xp.equal(xp.imag(found.eigenvalues), 0))):
        return type(found)(*[xp.astype(xp.real(x), x.real.dtype, copy=True) for x in found])
    return found


@function("linalg.eigvals")
def _eigvals(a: Any) -> Any:
    return _eig(a).eigenvalues


@function("linalg.pinv")
def _pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Any:
    rtol = rcond if rtol is None else rtol
    a = as_array(a)
    # NumPy's own default differs from the standard's.
    return xp.linalg.pinv(a, rtol=1e-15 if rtol is None else rtol)


@function("linalg.matrix_power")
def _matrix_power(a: Any, n: int) -> Any:
    return xp.linalg.matrix_power(as_array(a), n)


@function("linalg.matrix_rank")
def _matrix_rank(A: Any, *, rtol: Any = None) -> Any:  # noqa: N803  NumPy's name
    a = as_array(A)
    if a.ndim < 2:
        return int(bool(xp.any(xp.not_equal(a, 0))))
    return xp.linalg.matrix_rank(a if a.dtype.kind in "fc" else xp.astype(a, np.float64), rtol=rtol)


@function("linalg.multi_dot")
def _multi_dot(arrays: Any) -> Any:
    factors = [as_array(x) for x in arrays]
    if len(factors) < 2:
        raise ValueError("numpy.linalg.multi_dot: needs at least two arrays")
    return _cheapest(factors)


def _cheapest(factors: list[Any]) -> Any:
    """The product in the order of fewest multiplications (Cormen et al., Introduction to Algorithms)."""
    first, last = factors[0], factors[-1]
    n = len(factors)
    lengths = [1 if first.ndim == 1 else first.shape[0], *[x.shape[0] for x in factors[1:]]]
    lengths.append(1 if last.ndim == 1 else last.shape[1])
    cost = {(i, i): (0, i) for i in range(n)}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + lengths[i] * lengths[k + 1] * lengths[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        return factors[i] if i == j else xp.matmul(product(i, cost[i, j][1]), product(cost[i, j][1] + 1, j))

    return product(0, n - 1)


@function("linalg.norm")
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    x = as_array(x)
    if x.dtype.kind in "iu":
        x = xp.astype(x, np.float64)
    if axis is None:
        if ord is None:
            out = xp.linalg.vector_norm(xp.reshape(x, (-1,)), ord=2)
            return xp.reshape(out, (1,) * x.ndim) if keepdims else out
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple) else (operator.index(axis),)
    if len(axes) == 1:
        return xp.linalg.vector_norm(x, axis=axes[0], ord=2 if ord is None else ord, keepdims=keepdims)
    if len(axes) != 2:
        raise ValueError("numpy.linalg.norm: axis must be one axis, two, or None with ord=None")
    moved = xp.moveaxis(x, axes, (-2, -1))
    out = xp.linalg.matrix_norm(moved, ord="fro" if ord is None else ord)
    kept = tuple([1 if i in (axes[0] % x.ndim, axes[1] % x.ndim) else n for i, n in enumerate(x.shape)])
    return xp.reshape(out, kept) if keepdims else out


@function("linalg.vector_norm")
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:  # noqa: A002
    return xp.linalg.vector_norm(as_array(x), axis=axis, keepdims=keepdims, ord=ord)


@function("linalg.matrix_norm")
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:  # noqa: A002
    return xp.linalg.matrix_norm(as_array(x), keepdims=keepdims, ord=ord)


@function("linalg.cond")
def _cond(x: Any, p: Any = None) -> Any:
    x = as_array(x)
    if p in (None, 2, -2):
        values = xp.linalg.svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    return xp.linalg.matrix_norm(x, ord=p) * xp.linalg.matrix_norm(xp.linalg.inv(x), ord=p)
