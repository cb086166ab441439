"""Filling arrays up at their edges."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.evaluate import definition
from bpkit.kinds import raw
from bpkit.namespace.dtypes import astype, backend_for
from bpkit.namespace.indexing import take
from bpkit.namespace.operands import check_arrays
from bpkit.trace import call

__all__ = ["pad"]

Pairs = tuple[tuple[int, int], ...]


def pad(
    x: RawArray,
    /,
    pad_width: int | Sequence[int] | Sequence[Sequence[int]] | Mapping[int, int | tuple[int, int]],
    mode: Literal["constant", "edge", "reflect", "symmetric", "wrap"] = "constant",
    constant_values: complex = 0,
) -> RawArray:
    """`x` with elements added before the first and after the last one of each axis.

    Derivative: the part of the cotangent that belongs to `x`, plus, where elements of `x` were repeated, that
    of each copy; for `constant_values` the sum of the rest.

    Parameters
    ----------
    x : array of any shape and dtype
    pad_width : int, pair of int, or sequence of pairs
        How many elements before and after: one number for all, one pair for every axis alike, a pair for each
        axis, or a mapping from axes to numbers or pairs.
    mode : {"constant", "edge", "reflect", "symmetric", "wrap"}
        What is added: a number; the element at the edge; the elements as in a mirror that stands on the
        element at the edge, or behind it; the elements from the other end. Where more are added than there
        are, it goes on from there.
    constant_values : Python number or array of no axes
        For mode ``"constant"``; a traced array keeps its gradient.

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    ShapeError
        If `pad_width` does not fit the axes of `x` or has negative numbers, or an empty axis should be
        extended by elements of its own.
    ValueError
        If there is no such mode.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.pad(xp.asarray([1.0, 2.0, 3.0]), (2, 1))
    array([0., 0., 1., 2., 3., 0.])
    >>> xp.pad(xp.asarray([1, 2, 3]), 2, mode="reflect")
    array([3, 2, 1, 2, 3, 2, 1])
    """
    check_arrays("pad", x=x)
    pairs = _pairs(x, pad_width)
    if mode == "constant":
        if hasattr(constant_values, "shape"):
            constant_values = astype(constant_values, x.dtype)
        return call("pad", x, constant_values, pad_width=pairs)
    if mode not in _SOURCES:
        raise ValueError(f"pad: mode={mode!r}; expected 'constant' or one of {sorted(_SOURCES)}")
    if not any(map(any, pairs)):
        return call("pad", x, 0, pad_width=pairs)
    for axis, (before, after) in enumerate(pairs):
        length = x.shape[axis]
        if before == after == 0:
            continue
        if length == 0:
            raise ShapeError(
                f"pad: mode={mode!r} repeats elements of x, which has none along axis {axis} of its shape "
                f"{tuple(x.shape)}; only mode='constant' can extend an empty axis"
            )
        x = take(x, _indices(x, _SOURCES[mode](np.arange(-before, length + after), length)), axis=axis)
    return x


def _pairs(x: RawArray, pad_width: Any) -> Pairs:
    """How many elements are added before and after, for every axis."""
    wanted = pad_width
    if isinstance(pad_width, Mapping):
        wanted = [(0, 0)] * x.ndim
        for axis, width in pad_width.items():
            wanted[normalize_axis_index(axis, x.ndim, "pad")] = (
                (width, width) if isinstance(width, int) else tuple(width)
            )
    try:
        found = np.broadcast_to(np.asarray(wanted if x.ndim else 0), (x.ndim, 2))
    except ValueError:
        found = np.asarray(-1)
    if found.dtype.kind not in "iu" or np.any(found < 0):
        raise ShapeError(
            f"pad: pad_width={pad_width!r} for x with shape {tuple(x.shape)}; expected a number, a pair, or "
            f"a pair for each axis, of integers that are not negative"
        )
    return tuple((int(before), int(after)) for before, after in found)


def _reflected(places: Any, length: int) -> Any:
    if length == 1:
        return 0 * places
    turned = places % (2 * length - 2)
    return np.minimum(turned, 2 * length - 2 - turned)


def _symmetric(places: Any, length: int) -> Any:
    turned = places % (2 * length)
    return np.minimum(turned, 2 * length - 1 - turned)


# Where in an axis of some length the elements come from that stand at places left and right of it.
_SOURCES: dict[str, Callable[[Any, int], Any]] = {
    "edge": lambda places, length: np.clip(places, 0, length - 1),
    "reflect": _reflected,
    "symmetric": _symmetric,
    "wrap": lambda places, length: places % length,
}


def _indices(x: RawArray, places: Any) -> RawArray:
    return backend_for(x).from_host(places, getattr(raw(x), "device", None))


@definition("pad")
def _pad(xp: Any, x: RawArray, value: Any, *, pad_width: Pairs) -> RawArray:
    # Arrays that JAX traces have no device.
    place = {"dtype": x.dtype, "device": getattr(x, "device", None)}
    value = value if hasattr(value, "shape") else xp.asarray(value, **place)
    for axis, widths in enumerate(pad_width):
        if widths != (0, 0):
            shape = tuple(x.shape)
            before, after = (
                xp.broadcast_to(value, (*shape[:axis], width, *shape[axis + 1 :])) for width in widths
            )
            x = xp.concat([before, x, after], axis=axis)
    # A new array always, as in NumPy.
    return x if any(map(any, pad_width)) else xp.asarray(x, copy=True)
