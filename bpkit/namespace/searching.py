"""Finding elements, and choosing between two arrays.

Chapter "Searching Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/searching_functions.html
"""

from typing import Any, Literal

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.trace import call

__all__ = ["argmax", "argmin", "count_nonzero", "nonzero", "searchsorted", "where"]


def argmax(x: RawArray, /, *, axis: int | None = None, keepdims: bool = False) -> RawArray:
    """Index of the largest element, the first of several; no derivative.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int, optional
        None searches the flattened array.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    integer array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.argmax(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    array([1, 0])
    """
    return call("argmax", x, axis=axis, keepdims=keepdims)


def argmin(x: RawArray, /, *, axis: int | None = None, keepdims: bool = False) -> RawArray:
    """Index of the smallest element, the first of several; no derivative.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int, optional
        None searches the flattened array.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    integer array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.argmin(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    array([0, 1])
    """
    return call("argmin", x, axis=axis, keepdims=keepdims)


def count_nonzero(
    x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> RawArray:
    """Number of elements along `axis` that are not zero; no derivative.

    Parameters
    ----------
    x : array of any shape and dtype
        NaN is not zero.
    axis : int or tuple of int, optional
        None counts in the whole array.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    integer array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.count_nonzero(xp.asarray([[0.0, 3.0], [0.0, 0.0]]), axis=1)
    array([1, 0])
    """
    return call("count_nonzero", x, axis=axis, keepdims=keepdims)


def nonzero(x: RawArray, /) -> tuple[RawArray, ...]:
    """Indices of the elements that are not zero, one array per axis; no derivative.

    Parameters
    ----------
    x : array of any dtype, at least one axis

    Returns
    -------
    tuple of one-dimensional integer arrays
        Their length depends on the values of `x`.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.nonzero(xp.asarray([0.0, 3.0, 0.0, 4.0]))
    (array([1, 3]),)
    """
    found: tuple[RawArray, ...] = call("nonzero", x)
    return found


def searchsorted(
    x1: RawArray,
    x2: RawArray | float,
    /,
    *,
    side: Literal["left", "right"] = "left",
    sorter: RawArray | None = None,
) -> RawArray:
    """Indices at which the elements of `x2` would keep `x1` sorted; no derivative.

    Parameters
    ----------
    x1 : one-dimensional array, real numeric, sorted
    x2 : array of any shape, real numeric, or Python number
    side : "left" or "right"
        Before or after elements that are equal.
    sorter : one-dimensional integer array, optional
        Indices that sort `x1` where it is not sorted.

    Returns
    -------
    integer array of `x2`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.searchsorted(xp.asarray([1.0, 2.0, 3.0]), xp.asarray([2.0, 9.0]))
    array([1, 3])
    """
    return call("searchsorted", x1, x2, sorter, side=side)


@definition("searchsorted")
def _searchsorted(xp: Any, x1: RawArray, x2: RawArray, sorter: RawArray | None, *, side: str) -> RawArray:
    return xp.searchsorted(x1, x2, side=side, sorter=sorter)


def where(condition: RawArray, x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """`x1` where the condition is true and `x2` elsewhere.

    Derivative: the cotangent goes to the operand that was chosen; the other gets zero, even where its own
    derivative is infinite or NaN.

    Parameters
    ----------
    condition : boolean array of any shape
    x1, x2 : array of any shape and dtype
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype of `x1` and `x2`

    Examples
    --------
    >>> from bpkit import xp
    >>> x = xp.asarray([-1.0, 2.0])
    >>> xp.where(x > 0, x, 0.0)
    array([0., 2.])
    """
    return call("where", condition, x1, x2)
