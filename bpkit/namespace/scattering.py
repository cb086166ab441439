"""Changed copies: what assignment to a part of an array does, as functions."""

from typing import Any

from bpkit._protocol import RawArray
from bpkit.indexing import index_add, places_of, setitem
from bpkit.kinds import kind_of

__all__ = ["scatter_add", "scatter_set"]


def scatter_add(x: RawArray, /, key: Any, updates: RawArray | complex) -> RawArray:
    """A copy of `x` with `updates` added at ``x[key]``; where an index is repeated, all are added.

    Derivative: g for `x`, and ``g[key]`` for `updates`.

    Parameters
    ----------
    x : array of any numeric dtype
    key : int, slice, ellipsis, None, mask or integer array, or tuple of them
        What ``x[key]`` takes. Indices outside `x` are an error or not as the library has it.
    updates : array or Python number
        Broadcasts to the shape of ``x[key]``, and is converted to the dtype of `x`.

    Returns
    -------
    array of `x`'s shape and dtype

    Raises
    ------
    TypeError
        If `updates` are of a kind that `x` cannot hold: complex beside real, floating beside integers.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.scatter_add(xp.zeros(3), xp.asarray([0, 2, 2]), xp.asarray([1.0, 10.0, 100.0]))
    array([  1.,   0., 110.])
    """
    _check_kinds("scatter_add", x, updates)
    return index_add(x, _places(key), updates)


def scatter_set(x: RawArray, /, key: Any, updates: RawArray | complex) -> RawArray:
    """A copy of `x` with `updates` in the place of ``x[key]``.

    Derivative: for `x`, g with zeros at `key`; for `updates`, ``g[key]``.

    Parameters
    ----------
    x : array of any dtype
    key : int, slice, ellipsis, None, mask or integer array, or tuple of them
        What ``x[key] = updates`` takes. Where an index is repeated, the library says which of the updates
        stays; NumPy takes the last. The derivative is that of the one that stayed.
    updates : array or Python number
        Broadcasts to the shape of ``x[key]``, and is converted to the dtype of `x`.

    Returns
    -------
    array of `x`'s shape and dtype

    Raises
    ------
    TypeError
        If `updates` are of a kind that `x` cannot hold: complex beside real, floating beside integers.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.scatter_set(xp.zeros(3), xp.asarray([0, 2]), xp.asarray([1.0, 10.0]))
    array([ 1.,  0., 10.])
    """
    _check_kinds("scatter_set", x, updates)
    return setitem(x, _places(key), updates)


def _places(key: Any) -> Any:
    return tuple([places_of(part) for part in key]) if isinstance(key, tuple) else places_of(key)


def _check_kinds(name: str, x: RawArray, updates: Any) -> None:
    if hasattr(updates, "dtype") and kind_of(updates) > kind_of(x):
        raise TypeError(
            f"{name}: x of dtype {x.dtype} cannot hold updates of dtype {updates.dtype}; convert x to the "
            f"wider dtype first, xp.astype(x, ...)"
        )
