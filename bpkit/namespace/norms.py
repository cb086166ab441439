"""Norms of vectors and matrices, and the rank.

Part of the chapter "Linear Algebra Extension" of the standard; :mod:`bpkit.namespace.linalg` has all of it:
https://data-apis.org/array-api/2025.12/extensions/linear_algebra_functions.html
"""

import builtins
from math import inf
from typing import Any, Literal

from bpkit._protocol import RawArray
from bpkit.namespace.arithmetic import multiply
from bpkit.namespace.comparison import greater
from bpkit.namespace.decompositions import matrices, svdvals
from bpkit.namespace.dtypes import astype, finfo
from bpkit.namespace.extras import stop_gradient
from bpkit.namespace.manipulation import expand_dims
from bpkit.namespace.statistical import max, sum
from bpkit.trace import call

__all__ = ["matrix_norm", "matrix_rank", "vector_norm"]


def matrix_norm(
    x: RawArray, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] | None = "fro"
) -> RawArray:
    """Norm of matrices.

    Derivative: that of the sums, extremes and singular values that it is made of. At kinks it is a
    subgradient: 0 at the zero matrix, split evenly among equal sums or singular values.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point
    keepdims : bool
    ord : {"fro", "nuc", 1, 2, inf, -1, -2, -inf} or None
        ``"fro"`` or None for the root of the sum of squares, ``"nuc"`` for the sum of the singular values, 1
        for the largest sum of absolute values in a column, `inf` in a row, 2 for the largest singular value;
        with a minus the smallest.

    Returns
    -------
    array of shape (...), real

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    ValueError
        If there is no such `ord`, or the smallest of nothing is asked for.

    Examples
    --------
    >>> from bpkit import xp
    >>> float(xp.linalg.matrix_norm(xp.asarray([[1.0, -2.0], [0.0, 4.0]]), ord=1))
    6.0
    """
    matrices("matrix_norm", x)
    order: float = -inf if isinstance(ord, int | float) and ord < 0 else inf
    if ord is None or ord == "fro":
        lengths, order = x, 2
    elif ord in ("nuc", 2, -2):
        lengths = expand_dims(svdvals(x), -2)
        order = 1 if ord == "nuc" else order
    elif ord in (1, -1, inf, -inf):
        lengths = vector_norm(x, axis=-2 if abs(ord) == 1 else -1, keepdims=True, ord=1)
    else:
        raise ValueError(
            f"matrix_norm: ord is {ord!r}; expected 'fro', 'nuc', 1, 2, inf, -1, -2, -inf or None"
        )
    if order == inf and 0 in lengths.shape[-2:]:
        order = 1  # the largest of no lengths is 0, as their sum is, and not every library says so
    return vector_norm(lengths, axis=(-2, -1), keepdims=keepdims, ord=order)


def matrix_rank(x: RawArray, /, *, rtol: float | RawArray | None = None) -> RawArray:
    """Number of singular values above a bound; no gradient flows through it.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point
    rtol : float or array of shape (...), optional
        The bound, as a multiple of the largest singular value; None for ``max(n, m) * eps``.

    Returns
    -------
    array of shape (...), integer

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> int(xp.linalg.matrix_rank(xp.asarray([[1.0, 2.0], [2.0, 4.0]])))
    1
    """
    values = svdvals(stop_gradient(matrices("matrix_rank", x)))
    if rtol is None:
        rtol = builtins.max(x.shape[-2:]) * float(finfo(x).eps)
    bound: Any = 0.0
    if values.shape[-1]:
        largest = max(values, axis=-1)
        bound = expand_dims(multiply(largest, rtol), -1)
    return sum(astype(greater(values, bound), "int32"), axis=-1)


def vector_norm(
    x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> RawArray:
    """Norm of vectors: ``sum(abs(x) ** ord) ** (1 / ord)``.

    Derivative: ``conj(x) / abs(x) * (abs(x) / norm) ** (ord - 1)``; 0 for elements that are 0, and so at the
    origin, which is a subgradient for `ord` 1 and above. For `ord` inf and -inf it is split evenly among
    elements of equal size.

    Parameters
    ----------
    x : array of any shape, floating-point
    axis : int or tuple of int, optional
        The axes along which the vectors lie; None for all.
    keepdims : bool
        Keep them with length 1.
    ord : float
        inf and -inf for the largest and the smallest absolute value, 0 for the number of elements that are
        not 0.

    Returns
    -------
    array, real

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.vector_norm(xp.asarray([[3.0, 4.0], [0.0, 2.0]]), axis=1)
    array([5., 2.])
    """
    return call("linalg.vector_norm", x, axis=axis, keepdims=keepdims, ord=ord)
