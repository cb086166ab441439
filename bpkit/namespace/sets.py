"""Distinct elements, and membership.

Chapter "Set Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/set_functions.html

How many distinct elements there are depends on values. Their order is the library's, which sorts them where
they have an order. Every NaN is an element of its own.
"""

from typing import Any, NamedTuple

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.namespace.indexing import take
from bpkit.namespace.manipulation import reshape
from bpkit.trace import Traced, call

__all__ = ["isin", "unique_all", "unique_counts", "unique_inverse", "unique_values"]


class UniqueAllResult(NamedTuple):
    """What :func:`unique_all` returns."""

    values: RawArray
    indices: RawArray
    inverse_indices: RawArray
    counts: RawArray


class UniqueCountsResult(NamedTuple):
    """What :func:`unique_counts` returns."""

    values: RawArray
    counts: RawArray


class UniqueInverseResult(NamedTuple):
    """What :func:`unique_inverse` returns."""

    values: RawArray
    inverse_indices: RawArray


def isin(x1: RawArray | int, x2: RawArray | int, /, *, invert: bool = False) -> RawArray:
    """Whether each element of `x1` is among those of `x2`; no derivative.

    Parameters
    ----------
    x1 : array of any shape, integer, or int
    x2 : array of any shape, integer, or int
        One of the two may be a Python number.
    invert : bool
        Whether each is *not* among them.

    Returns
    -------
    boolean array of `x1`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.isin(xp.asarray([1, 2, 3, 2]), xp.asarray([2, 5]))
    array([False,  True, False,  True])
    """
    return call("isin", x1, x2, invert=invert)


def unique_all(x: RawArray, /) -> UniqueAllResult:
    """The distinct elements of `x`, where each comes first, where they all are, and how often each is there.

    Derivative: the cotangent of a value goes to the first of the elements equal to it. None for the indices
    and counts.

    Parameters
    ----------
    x : array of any shape and dtype

    Returns
    -------
    namedtuple
        ``values`` and, of their length, ``indices`` into the flattened `x` and ``counts``;
        ``inverse_indices`` of `x`'s shape.

    Examples
    --------
    >>> from bpkit import xp
    >>> values, indices, inverse_indices, counts = xp.unique_all(xp.asarray([3.0, 1.0, 3.0]))
    >>> values, indices
    (array([1., 3.]), array([1, 0]))
    >>> inverse_indices, counts
    (array([1, 0, 1]), array([1, 2]))
    """
    values, indices, inverse, counts = call("unique_all", x)
    if isinstance(x, Traced):
        values = take(reshape(x, (-1,)), indices)
    return UniqueAllResult(values, indices, inverse, counts)


def unique_counts(x: RawArray, /) -> UniqueCountsResult:
    """The distinct elements of `x`, and how often each is there.

    Derivative: the cotangent of a value goes to the first of the elements equal to it. None for the counts.

    Parameters
    ----------
    x : array of any shape and dtype

    Returns
    -------
    namedtuple
        ``values`` and ``counts``, one-dimensional and equally long.

    Examples
    --------
    >>> from bpkit import xp
    >>> values, counts = xp.unique_counts(xp.asarray([3.0, 1.0, 3.0]))
    >>> values, counts
    (array([1., 3.]), array([1, 2]))
    """
    if isinstance(x, Traced):
        values, _, _, counts = unique_all(x)
    else:
        values, counts = call("unique_counts", x)
    return UniqueCountsResult(values, counts)


def unique_inverse(x: RawArray, /) -> UniqueInverseResult:
    """The distinct elements of `x`, and which of them each element is.

    Derivative: the cotangent of a value goes to the first of the elements equal to it. None for the indices.

    Parameters
    ----------
    x : array of any shape and dtype

    Returns
    -------
    namedtuple
        ``values``, one-dimensional, and ``inverse_indices`` of `x`'s shape.

    Examples
    --------
    >>> from bpkit import xp
    >>> values, inverse_indices = xp.unique_inverse(xp.asarray([3.0, 1.0, 3.0]))
    >>> values, inverse_indices
    (array([1., 3.]), array([1, 0, 1]))
    """
    if isinstance(x, Traced):
        values, _, inverse, _ = unique_all(x)
    else:
        values, inverse = call("unique_inverse", x)
    return UniqueInverseResult(values, inverse)


def unique_values(x: RawArray, /) -> RawArray:
    """The distinct elements of `x`.

    Derivative: the cotangent of a value goes to the first of the elements equal to it.

    Parameters
    ----------
    x : array of any shape and dtype

    Returns
    -------
    one-dimensional array of `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.unique_values(xp.asarray([3.0, 1.0, 3.0]))
    array([1., 3.])
    """
    return unique_all(x).values if isinstance(x, Traced) else call("unique_values", x)


@definition("unique_all")
def _unique_all(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    try:
        return tuple(xp.unique_all(x))
    except NotImplementedError:
        # PyTorch's unique does not say where the elements are: https://github.com/pytorch/pytorch/issues/36748
        values, inverse = xp.unique_inverse(x)
        counts = xp.unique_counts(x).counts
        order = xp.argsort(xp.reshape(inverse, (-1,)), stable=True)
        return values, xp.take(order, xp.cumulative_sum(counts) - counts), inverse, counts


@definition("unique_counts")
def _unique_counts(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    return tuple(xp.unique_counts(x))


@definition("unique_inverse")
def _unique_inverse(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    return tuple(xp.unique_inverse(x))
