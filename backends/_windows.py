"""Windows that slide over NumPy arrays, and the largest element of each.

Whole slices are added and compared, in pieces that stay in the cache while all that is done to them is done.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from bpkit.sliding import Ints, Windows, seen_keys

from ._threads import spread

__all__ = ["add_to_winners", "add_windows", "max_pool", "windows"]

PIECE = 2**16
"""Elements in a piece."""


def _pieces(shape: Sequence[int], axes: Ints) -> list[tuple[slice, ...]]:
    """Keys of parts of an array of this shape, cut along an axis that no window moves along."""
    free = [axis for axis, length in enumerate(shape) if axis not in axes and length > 1]
    count = min(shape[free[0]], prod(shape) // PIECE + 1) if free else 1
    if count == 1:
        return [()]
    bounds = [shape[free[0]] * i // count for i in range(count + 1)]
    return [(*(slice(None),) * free[0], slice(first, end)) for first, end in pairwise(bounds)]


def windows(x: Any, moving: Windows, places: Ints, at: int, out: Any = None) -> Any:
    if prod(moving.window) > 1 and x.ndim and x.strides[-1] != x.itemsize:
        # Read as often as a window has elements, it had better lie in order.
        x = x.copy("C")
    shape, strides, inside = list(x.shape), list(x.strides), []
    for axis, count, step, gap in zip(moving.axes, places, moving.stride, moving.dilation, strict=True):
        inside.append(strides[axis] * gap)
        shape[axis], strides[axis] = count, strides[axis] * step
    shape[at:at], strides[at:at] = moving.window, inside
    seen = np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)
    if out is None:
        return np.array(seen, order="C", copy=True)
    np.copyto(out, seen)
    return out


def add_windows(x: Any, moving: Windows, lengths: Ints, at: int, out: Any = None) -> Any:
    n_window = len(moving.window)
    shape = [*x.shape[:at], *x.shape[at + n_window :]]
    places = tuple([shape[axis] for axis in moving.axes])
    for axis, length in zip(moving.axes, lengths, strict=True):
        shape[axis] = length
    if out is None:
        out = np.empty(shape, x.dtype)
    # The axes of the window first, so that what is left has the axes of the result.
    first = np.moveaxis(x, tuple(range(at, at + n_window)), tuple(range(n_window)))
    keys = list(zip(np.ndindex(*moving.window), seen_keys(len(shape), moving, places), strict=True))

    def add(piece: tuple[slice, ...]) -> None:
        sums = out[(*piece, ...)]
        sums.fill(0)
        for offset, key in keys:
            seen = sums[key]
            np.add(seen, first[offset][(*piece, ...)], seen)

    spread(add, _pieces(shape, moving.axes))
    return out


def max_pool(x: Any, moving: Windows, places: Ints, out: Any = None) -> Any:
    keys = seen_keys(x.ndim, moving, places)
    if out is None:
        out = np.empty(x[keys[0]].shape, x.dtype)

    def largest(piece: tuple[slice, ...]) -> None:
        part, found = x[(*piece, ...)], out[(*piece, ...)]
        np.copyto(found, part[keys[0]])
        for key in keys[1:]:
            np.maximum(found, part[key], out=found)

    # Two threads take longer: for this little work they have to wait for each other at every call of NumPy.
    for piece in _pieces(x.shape, moving.axes):
        largest(piece)
    return out


def add_to_winners(updates: Any, x: Any, y: Any, moving: Windows, out: Any = None) -> Any:
    if out is None:
        out = np.empty(x.shape, updates.dtype)
    keys = seen_keys(x.ndim, moving, tuple([y.shape[axis] for axis in moving.axes]))
    # Where windows do not overlap and leave nothing out, every element is written, once.
    apart = all(step == size and gap == 1 for _, size, step, gap in zip(*moving, strict=True))
    whole = apart and prod(moving.window) * y.size == x.size
    # The bits of a number and those of -1 are the number, and those of 0 are 0, also of an infinite one.
    bits = np.dtype(f"i{updates.itemsize}")

    def add(piece: tuple[slice, ...]) -> None:
        given, looked_at, largest, sums = (a[(*piece, ...)] for a in (updates, x, y, out))
        if not whole:
            sums.fill(0)
        given = given.view(bits)
        won, taken = np.empty(largest.shape, bool), np.zeros(largest.shape, bool)
        kept = np.empty(largest.shape, bits)
        for key in keys:
            np.equal(looked_at[key], largest, won)
            np.greater(won, taken, won)
            np.logical_or(won, taken, taken)
            np.multiply(won.view(np.int8), bits.type(-1), kept)
            seen = sums[key]
            if apart:
                np.bitwise_and(given, kept, seen.view(bits))
            else:
                np.add(seen, np.bitwise_and(given, kept, kept).view(updates.dtype), seen)

    for piece in _pieces(x.shape, moving.axes):
        add(piece)
    return out
