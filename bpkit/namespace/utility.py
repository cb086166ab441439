"""Truth of whole arrays, and differences.

Chapter "Utility Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/utility_functions.html
"""

from numpy.lib.array_utils import normalize_axis_index

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.namespace.manipulation import concat
from bpkit.namespace.operands import check_arrays
from bpkit.trace import call

__all__ = ["all", "any", "diff"]


def all(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Whether every element along `axis` is true; no derivative.

    Parameters
    ----------
    x : array of any shape and dtype
        Zero is false; NaN is true.
    axis : int or tuple of int, optional
        None reduces over all axes.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    boolean array
        True for an empty axis.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.all(xp.asarray([[1, 0], [1, 1]]), axis=1)
    array([False,  True])
    """
    return call("all", x, axis=axis, keepdims=keepdims)


def any(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Whether at least one element along `axis` is true; no derivative.

    Parameters
    ----------
    x : array of any shape and dtype
        Zero is false; NaN is true.
    axis : int or tuple of int, optional
        None reduces over all axes.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    boolean array
        False for an empty axis.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.any(xp.asarray([[1, 0], [0, 0]]), axis=1)
    array([ True, False])
    """
    return call("any", x, axis=axis, keepdims=keepdims)


def diff(
    x: RawArray,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: RawArray | None = None,
    append: RawArray | None = None,
) -> RawArray:
    """The `n`-th difference of neighbours along one axis.

    Derivative: 1 for an element and -1 for the one before it, `n` times.

    Parameters
    ----------
    x : array of any dtype but bool, at least one axis
    axis : int
    n : int
        How often differences are taken; 0 leaves `x` as it is.
    prepend, append : array of `x`'s shape except along `axis`, optional
        Put before and after `x` first.

    Returns
    -------
    array of `x`'s dtype, shorter by `n` along `axis`
        Empty where nothing is left.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If `n` is negative.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.diff(xp.asarray([1.0, 4.0, 9.0]), prepend=xp.asarray([0.0]))
    array([1., 3., 5.])
    """
    if n < 0:
        raise ShapeError(f"diff: n must not be negative, got {n}")
    check_arrays("diff", x=x)
    place = normalize_axis_index(axis, x.ndim, "diff")
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = concat(parts, axis=place)
    before = (slice(None),) * place
    for _ in range(min(n, x.shape[place])):
        x = x[(*before, slice(1, None), ...)] - x[(*before, slice(None, -1), ...)]
    return x
