"""How a window slides over an array: what the functions that do it and the libraries' own agree on."""

from itertools import product
from typing import NamedTuple

__all__ = ["Ints", "Sliding", "Windows", "seen_keys", "seen_lengths"]

Ints = tuple[int, ...]


class Windows(NamedTuple):
    """How a window moves over an array.

    Attributes
    ----------
    axes : tuple of int
        Those that it moves along, each once.
    window, stride, dilation : tuple of int
        For each of these axes how many elements it sees, by how many it moves, and how far apart they are.
    """

    axes: Ints
    window: Ints
    stride: Ints
    dilation: Ints


class Sliding(NamedTuple):
    """How the window of a convolution moves over images; the weight says how large it is.

    Attributes
    ----------
    stride, before, dilation : tuple of int
        For each axis that it moves along; `before` is how many zeros stand before the first element.
    groups : int
        Into how many parts the channels are split.
    """

    stride: Ints
    before: Ints
    dilation: Ints
    groups: int


def seen_lengths(places: Ints, window: Ints, stride: Ints, dilation: Ints) -> Ints:
    """How much of each axis is seen from so many places."""
    sizes = zip(places, window, stride, dilation, strict=True)
    return tuple([(count - 1) * step + gap * (size - 1) + 1 for count, size, step, gap in sizes])


def seen_keys(ndim: int, moving: Windows, places: Ints) -> list[tuple[slice, ...]]:
    """For each element of the window, in order, what it sees of an array of `ndim` axes at all places."""
    keys = []
    for offsets in product(*map(range, moving.window)):
        key = [slice(None)] * ndim
        for axis, offset, step, gap, count in zip(
            moving.axes, offsets, moving.stride, moving.dilation, places, strict=True
        ):
            key[axis] = slice(offset * gap, offset * gap + (count - 1) * step + 1, step)
        keys.append(tuple(key))
    return keys
