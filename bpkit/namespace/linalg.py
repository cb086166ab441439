"""Products of vectors, matrices and tensors.

Chapters "Linear Algebra Functions" and "Linear Algebra Extension" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/linear_algebra_functions.html
"""

from collections.abc import Sequence
from math import prod

from numpy.lib.array_utils import normalize_axis_tuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.namespace.arithmetic import conj
from bpkit.namespace.dtypes import isdtype
from bpkit.namespace.manipulation import expand_dims, moveaxis, permute_dims, reshape, squeeze
from bpkit.trace import call

__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot"]


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
    if x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(
            f"vecdot: x1 of shape {tuple(x1.shape)} and x2 of shape {tuple(x2.shape)} differ in length along "
            f"axis {axis}, which does not broadcast"
        )
    first = conj(x1) if isdtype(x1.dtype, "complex floating") else x1
    row = expand_dims(moveaxis(first, axis, -1), -2)
    column = expand_dims(moveaxis(x2, axis, -1), -1)
    return squeeze(matmul(row, column), (-2, -1))
