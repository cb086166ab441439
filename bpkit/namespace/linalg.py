"""Linear algebra: all of the extension, and here the products, diagonals and transposes.

Chapters "Linear Algebra Functions" and "Linear Algebra Extension" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/linear_algebra_functions.html
https://data-apis.org/array-api/2025.12/extensions/linear_algebra_functions.html
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from numpy.lib.array_utils import normalize_axis_tuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.namespace.arithmetic import conj, multiply
from bpkit.namespace.decompositions import cholesky, eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from bpkit.namespace.dtypes import isdtype
from bpkit.namespace.inverses import det, inv, matrix_power, pinv, slogdet, solve
from bpkit.namespace.manipulation import expand_dims, moveaxis, permute_dims, reshape, squeeze
from bpkit.namespace.norms import matrix_norm, matrix_rank, vector_norm
from bpkit.namespace.operands import check_arrays
from bpkit.namespace.statistical import sum
from bpkit.trace import call

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


def cross(x1: RawArray, x2: RawArray, /, *, axis: int = -1) -> RawArray:
    """Vector product of vectors with three components.

    Derivative: ``cross(x2, g)`` and ``cross(g, x1)``.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
        Of length 3 along `axis`; the other axes broadcast.
    axis : int
        Counted from the end, negative.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Raises
    ------
    ShapeError
        If `axis` is not negative, one of the operands has not so many axes, or its length is not 3.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.cross(xp.asarray([1.0, 0.0, 0.0]), xp.asarray([0.0, 1.0, 0.0]))
    array([0., 0., 1.])
    """
    check_arrays("cross", x1=x1, x2=x2)
    if not -min(x1.ndim, x2.ndim) <= axis < 0 or x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(
            f"cross: axis={axis} has to be an axis of length 3 of both operands, counted from the end; "
            f"got x1 of shape {tuple(x1.shape)} and x2 of shape {tuple(x2.shape)}"
        )
    return call("linalg.cross", x1, x2, axis=axis)


def diagonal(x: RawArray, /, *, offset: int = 0) -> RawArray:
    """Elements on one diagonal of a matrix, or of each matrix of a stack.

    Derivative: the cotangent on that diagonal, 0 elsewhere.

    Parameters
    ----------
    x : array of shape (..., n, m) and any dtype
    offset : int
        Which diagonal: positive above the main one, negative below.

    Returns
    -------
    array of shape (..., k) and `x`'s dtype
        `k` is the number of elements on the diagonal, 0 if it is outside the matrix.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.diagonal(xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), offset=1)
    array([2., 6.])
    """
    check_arrays("diagonal", x=x)
    if x.ndim < 2:
        raise ShapeError(f"diagonal: expected a matrix or a stack of them, got shape {tuple(x.shape)}")
    return call("linalg.diagonal", x, offset=offset)


def matmul(x1: RawArray, x2: RawArray, /) -> RawArray:
    """Matrix product.

    Derivative: ``g @ x2.mT`` and ``x1.mT @ g``.

    Parameters
    ----------
    x1 : array of shape (..., n, k) or (k,), numeric
    x2 : array of shape (..., k, m) or (k,), numeric
        The leading axes broadcast; a one-dimensional operand is a vector.

    Returns
    -------
    array of shape (..., n, m) and the promoted dtype
        Without the axis of a vector operand.

    Raises
    ------
    ValueError
        If the inner lengths differ (the exception is the library's).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.matmul(xp.asarray([[1.0, 2.0], [3.0, 4.0]]), xp.asarray([1.0, 10.0]))
    array([21., 43.])
    """
    return call("matmul", x1, x2)


def matrix_transpose(x: RawArray, /) -> RawArray:
    """Matrix, or stack of matrices, with rows and columns exchanged.

    Parameters
    ----------
    x : array of shape (..., n, m) and any dtype

    Returns
    -------
    array of shape (..., m, n) and `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.matrix_transpose(xp.asarray([[1, 2, 3], [4, 5, 6]]))
    array([[1, 4],
           [2, 5],
           [3, 6]])
    """
    return call("matrix_transpose", x)


def outer(x1: RawArray, x2: RawArray, /) -> RawArray:
    """Products of every element of one vector with every element of another.

    Parameters
    ----------
    x1 : array of shape (n,), numeric
    x2 : array of shape (m,), numeric

    Returns
    -------
    array of shape (n, m) and the promoted dtype

    Raises
    ------
    ShapeError
        If an operand is not one-dimensional.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.outer(xp.asarray([1.0, 2.0]), xp.asarray([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    check_arrays("outer", x1=x1, x2=x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(
            f"outer: expected two vectors, got x1 of shape {tuple(x1.shape)} and x2 of shape "
            f"{tuple(x2.shape)}"
        )
    return multiply(expand_dims(x1, -1), x2)


def tensordot(
    x1: RawArray, x2: RawArray, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> RawArray:
    """Sum of products over pairs of axes.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
    axes : int or pair of sequences of int
        The last `axes` axes of `x1` and the first of `x2`, in order; or the axes of each, pair by pair.

    Returns
    -------
    array of the promoted dtype
        Its shape is that of the axes not summed over, first those of `x1`, then those of `x2`.

    Raises
    ------
    ShapeError
        If the axes of a pair have different lengths, or there are not as many axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.tensordot(xp.asarray([[1.0, 2.0], [3.0, 4.0]]), xp.asarray([1.0, 10.0]), axes=1)
    array([21., 43.])
    """
    check_arrays("tensordot", x1=x1, x2=x2)
    if isinstance(axes, int) and not 0 <= axes <= min(x1.ndim, x2.ndim):
        raise ShapeError(
            f"tensordot: axes={axes} asks for that many axes of each operand, and their shapes are "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    pairs = (range(x1.ndim - axes, x1.ndim), range(axes)) if isinstance(axes, int) else axes
    first = normalize_axis_tuple(pairs[0], x1.ndim, "axes of x1")
    second = normalize_axis_tuple(pairs[1], x2.ndim, "axes of x2")
    lengths = tuple(x1.shape[i] for i in first)
    if lengths != tuple(x2.shape[i] for i in second):
        raise ShapeError(
            f"tensordot: axes={axes!r} pairs axes of different lengths: x1 of shape {tuple(x1.shape)} and "
            f"x2 of shape {tuple(x2.shape)}; name one axis of each per pair, of equal length"
        )
    free1 = tuple(i for i in range(x1.ndim) if i not in first)
    free2 = tuple(i for i in range(x2.ndim) if i not in second)
    shape = tuple(x1.shape[i] for i in free1) + tuple(x2.shape[i] for i in free2)
    left = reshape(permute_dims(x1, free1 + first), (prod(x1.shape[i] for i in free1), prod(lengths)))
    right = reshape(permute_dims(x2, second + free2), (prod(lengths), prod(x2.shape[i] for i in free2)))
    return reshape(matmul(left, right), shape)


def trace(x: RawArray, /, *, offset: int = 0, dtype: Any = None) -> RawArray:
    """Sum of the elements on one diagonal of a matrix, or of each matrix of a stack.

    Parameters
    ----------
    x : array of shape (..., n, m), numeric
    offset : int
        Which diagonal: positive above the main one, negative below.
    dtype : dtype or str, optional
        As in :func:`bpkit.xp.sum`.

    Returns
    -------
    array of shape (...)

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> float(xp.linalg.trace(xp.asarray([[1.0, 2.0], [3.0, 4.0]])))
    5.0
    """
    check_arrays("trace", x=x)
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vecdot(x1: RawArray, x2: RawArray, /, *, axis: int = -1) -> RawArray:
    """Sum of products along one axis; the first operand is conjugated.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
        Of equal length along `axis`; the other axes broadcast.
    axis : int
        Counted from the end, negative.

    Returns
    -------
    array of the broadcast shape without `axis`, of the promoted dtype

    Raises
    ------
    ShapeError
        If the lengths along `axis` differ.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.vecdot(xp.asarray([[1.0, 2.0], [3.0, 4.0]]), xp.asarray([1.0, 10.0]))
    array([21., 43.])
    """
    check_arrays("vecdot", x1=x1, x2=x2)
    if x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(
            f"vecdot: x1 of shape {tuple(x1.shape)} and x2 of shape {tuple(x2.shape)} differ in length along "
            f"axis {axis}, which does not broadcast"
        )
    first = conj(x1) if isdtype(x1.dtype, "complex floating") else x1
    row = expand_dims(moveaxis(first, axis, -1), -2)
    column = expand_dims(moveaxis(x2, axis, -1), -1)
    return squeeze(matmul(row, column), (-2, -1))
