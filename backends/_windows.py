"""Windows that slide over NumPy arrays, and the largest element of each: whole slices at a time."""

from typing import Any

import numpy as np

from bpkit.sliding import Ints, Windows, seen_keys

__all__ = ["add_to_winners", "add_windows", "max_pool", "windows"]


def _in_order(x: Any) -> Any:
    """`x`, or a copy of it, in which neighbours along the last axis are neighbours in memory."""
    return x if x.ndim == 0 or x.strides[-1] == x.itemsize or x.shape[-1] == 1 else x.copy("C")


def windows(x: Any, moving: Windows, places: Ints, at: int, out: Any = None) -> Any:
    # What is seen overlaps, so that the few elements there are should be read as they lie.
    x = _in_order(x)
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
    shape = [*x.shape[:at], *x.shape[at + len(moving.window) :]]
    places = tuple([shape[axis] for axis in moving.axes])
    for axis, length in zip(moving.axes, lengths, strict=True):
        shape[axis] = length
    if out is None:
        out = np.zeros(shape, x.dtype)
    else:
        out.fill(0)
    before = (slice(None),) * at
    for offset, key in zip(np.ndindex(*moving.window), seen_keys(len(shape), moving, places), strict=True):
        seen = out[key]
        np.add(seen, x[(*before, *offset, ...)], seen)
    return out


def max_pool(x: Any, moving: Windows, places: Ints, out: Any = None) -> Any:
    first, *others = [x[key] for key in seen_keys(x.ndim, moving, places)]
    if not others:
        return np.array(first, copy=True) if out is None else np.copyto(out, first)
    out = np.maximum(first, others[0], out=out)
    for part in others[1:]:
        np.maximum(out, part, out=out)
    return out


def add_to_winners(updates: Any, x: Any, y: Any, moving: Windows, out: Any = None) -> Any:
    if out is None:
        out = np.empty_like(x, updates.dtype)
    sizes = [
        (window, step, gap, y.shape[axis], x.shape[axis])
        for axis, window, step, gap in zip(*moving, strict=True)
    ]
    # Where windows do not overlap and leave nothing out, every element is written, once.
    apart = all(step == window and gap == 1 for window, step, gap, _, _ in sizes)
    if not apart or any(window * count != length for window, _, _, count, length in sizes):
        out.fill(0)
    won, taken = np.empty(y.shape, bool), np.zeros(y.shape, bool)
    # The bits of a number and those of -1 are the number, and those of 0 are 0, also of an infinite one.
    bits = np.dtype(f"i{updates.itemsize}")
    kept = np.empty(y.shape, bits)
    given = updates.view(bits)
    for key in seen_keys(x.ndim, moving, tuple([y.shape[axis] for axis in moving.axes])):
        np.equal(x[key], y, won)
        np.greater(won, taken, won)
        np.logical_or(won, taken, taken)
        np.multiply(won.view(np.int8), bits.type(-1), kept)
        if apart:
            np.bitwise_and(given, kept, out[key].view(bits))
        else:
            np.bitwise_and(given, kept, kept)
            seen = out[key]
            np.add(seen, kept.view(updates.dtype), seen)
    return out
