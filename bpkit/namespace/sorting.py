"""Sorting.

Chapter "Sorting Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/sorting_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = ["argsort", "sort"]


def argsort(x: RawArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> RawArray:
    """Indices that sort `x` along one axis; no derivative.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int
    descending : bool
        Largest first.
    stable : bool
        Keep the order of equal elements.

    Returns
    -------
    integer array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.argsort(xp.asarray([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """
    return call("argsort", x, axis=axis, descending=descending, stable=stable)


def sort(x: RawArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> RawArray:
    """The elements of `x` in order along one axis.

    Derivative: each cotangent goes back to the element that was sorted there.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int
    descending : bool
        Largest first.
    stable : bool
        Keep the order of equal elements.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sort(xp.asarray([3.0, 1.0, 2.0]), descending=True)
    array([3., 2., 1.])
    """
    return call("sort", x, axis=axis, descending=descending, stable=stable)
