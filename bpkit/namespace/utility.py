"""Truth of whole arrays; no derivatives.

Chapter "Utility Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/utility_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = ["all", "any"]


def all(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Whether every element along `axis` is true.

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
    """Whether at least one element along `axis` is true.

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
