"""Windows that slide over an array: what they see, and the largest element of it."""

from functools import reduce
from math import prod
from typing import Any

from numpy.lib.array_utils import normalize_axis_tuple

from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.evaluate import definition
from bpkit.kinds import is_mutable
from bpkit.namespace.manipulation import moveaxis
from bpkit.namespace.operands import check_arrays
from bpkit.registry import backend_of
from bpkit.sliding import Ints, Windows, seen_keys
from bpkit.trace import call

__all__ = [
    "add_windows",
    "max_pool",
    "sliding_window_view",
    "windows",
]


def sliding_window_view(
    x: RawArray,
    window_shape: int | tuple[int, ...],
    axis: int | tuple[int, ...] | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
) -> RawArray:
    """All that is seen of `x` through a window that slides over it.

    Derivative: the sum over all windows in which an element is seen.

    Parameters
    ----------
    x : array of any dtype
    window_shape : int or tuple of int
        How many elements are seen along each axis that the window moves along.
    axis : int or tuple of int, optional
        Those axes; None for all of `x`. An axis may be named again: the windows then slide in windows.
    stride, dilation : int or tuple of int
        By how many elements the window moves, and how far apart those are that it sees; one number for all
        axes, or one for each. NumPy's function has neither.

    Returns
    -------
    array of `x`'s dtype
        Along each of these axes the places of the window, ``(length - dilation * (window - 1) - 1) // stride
        + 1``; what is seen stands in axes of its own, at the end. A copy, unlike NumPy's.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If there are not as many lengths as axes, or the window does not fit into `x`.
    ArgumentError
        If `stride` or `dilation` are not positive, or not as many as axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sliding_window_view(xp.asarray([1.0, 2.0, 4.0, 7.0]), 3)
    array([[1., 2., 4.],
           [2., 4., 7.]])
    """
    check_arrays("sliding_window_view", x=x)
    named = tuple(range(x.ndim)) if axis is None else axis
    axes = normalize_axis_tuple(named, x.ndim, "sliding_window_view", allow_duplicate=True)
    moving = _moving("sliding_window_view", x, axes, window_shape, stride, dilation)
    # Windows in windows are taken one axis after the other.
    together = [[i] for i in range(len(axes))] if len(set(axes)) < len(axes) else [list(range(len(axes)))]
    for some in together:
        part = Windows(*[tuple([sizes[i] for i in some]) for sizes in moving])
        if part.axes:
            seen = windows(x, part, _places("sliding_window_view", x, part), 0)
            x = moveaxis(seen, tuple(range(len(some))), tuple(range(-len(some), 0)))
    return x


def max_pool(
    x: RawArray,
    /,
    window_shape: int | tuple[int, ...],
    *,
    axis: int | tuple[int, ...] | None = None,
    stride: int | tuple[int, ...] | None = None,
    dilation: int | tuple[int, ...] = 1,
) -> RawArray:
    """The largest element that is seen of `x` through a window, at each of its places.

    Derivative: the cotangent goes to that element; where several are equal, to the first of them.

    Parameters
    ----------
    x : array of real dtype
    window_shape : int or tuple of int
        How many elements are seen along each axis that the window moves along.
    axis : int or tuple of int, optional
        Those axes; None for the last ones, as many as `window_shape` has.
    stride : int or tuple of int, optional
        By how many elements it moves; None for its own shape, so that windows do not overlap.
    dilation : int or tuple of int
        How far apart the elements are that it sees.

    Returns
    -------
    array of `x`'s dtype
        Along each of these axes the places of the window, ``(length - dilation * (window - 1) - 1) // stride
        + 1``; NaN where one is seen.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If there are not as many lengths as axes, or the window does not fit into `x`.
    ArgumentError
        If a setting is not a positive int or as many as axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.max_pool(xp.asarray([1.0, 3.0, 2.0, 0.0, 5.0]), 2)
    array([3., 2.])
    >>> xp.max_pool(xp.asarray([1.0, 3.0, 2.0, 0.0, 5.0]), 2, stride=1)
    array([3., 3., 2., 5.])
    """
    check_arrays("max_pool", x=x)
    count = len(window_shape) if isinstance(window_shape, tuple) else 1
    named = tuple(range(-count, 0)) if axis is None else axis
    axes = normalize_axis_tuple(named, x.ndim, "max_pool")
    if min(window_shape if isinstance(window_shape, tuple) else (window_shape,), default=1) < 1:
        raise ArgumentError(f"max_pool: window_shape={window_shape}; expected positive ints")
    steps = window_shape if stride is None else stride
    moving = _moving("max_pool", x, axes, window_shape, steps, dilation)
    return call("max_pool", x, moving=moving, places=_places("max_pool", x, moving))


def _moving(name: str, x: RawArray, axes: Ints, shown: int | Ints, stride: Any, dilation: Any) -> Windows:
    lengths = shown if isinstance(shown, tuple) else (shown,)
    if len(lengths) != len(axes):
        raise ShapeError(
            f"{name}: window_shape={shown} has {len(lengths)} lengths for the {len(axes)} axes {axes} of x "
            f"with shape {tuple(x.shape)}"
        )
    steps = [given if isinstance(given, tuple) else (given,) * len(axes) for given in (stride, dilation)]
    for what, sizes in zip(("stride", "dilation"), steps, strict=True):
        if len(sizes) != len(axes) or any(type(size) is not int or size < 1 for size in sizes):
            raise ArgumentError(
                f"{name}: {what}={sizes} for the axes {axes} of x; expected a positive int, or one for each "
                f"axis"
            )
    return Windows(axes, lengths, *steps)


def _places(name: str, x: RawArray, moving: Windows) -> Ints:
    """At how many places along each axis the window stands."""
    found = []
    for axis, length, step, gap in zip(*moving, strict=True):
        left = x.shape[axis] - (gap * (length - 1) + 1 if length else 0)
        if length < 0 or left < 0:
            raise ShapeError(
                f"{name}: window_shape={moving.window} along axes {moving.axes} does not fit into x with "
                f"shape {tuple(x.shape)}"
            )
        found.append(left // step + 1)
    return tuple(found)


def windows(x: RawArray, moving: Windows, places: Ints, at: int) -> RawArray:
    """What each element of a window sees at the first `places` of it.

    The axes of the window stand before the axis `at` of `x`.
    """
    return call("windows", x, moving=moving, places=places, at=at)


def add_windows(x: RawArray, moving: Windows, lengths: Ints, at: int) -> RawArray:
    """The transpose of :func:`windows`: what stands at an element of a window is added where that saw.

    The axes of `moving` are those of the result, and there they have these `lengths`.
    """
    return call("add_windows", x, moving=moving, lengths=lengths, at=at)


@definition("windows")
def _windows(xp: Any, x: RawArray, *, moving: Windows, places: Ints, at: int) -> RawArray:
    parts = [x[key] for key in seen_keys(x.ndim, moving, places)]
    if not parts:
        shape = list(x.shape)
        for axis, count in zip(moving.axes, places, strict=True):
            shape[axis] = count
        shape[at:at] = moving.window
        return xp.zeros(tuple(shape), dtype=x.dtype, device=getattr(x, "device", None))
    out = xp.stack(parts, axis=at)
    return xp.reshape(out, (*out.shape[:at], *moving.window, *out.shape[at + 1 :]))


@definition("add_windows")
def _add_windows(xp: Any, x: RawArray, *, moving: Windows, lengths: Ints, at: int) -> RawArray:
    behind = x.shape[at + len(moving.window) :]
    flat = xp.reshape(x, (*x.shape[:at], prod(moving.window), *behind))
    shape = [*x.shape[:at], *behind]
    places = tuple([shape[axis] for axis in moving.axes])
    for axis, length in zip(moving.axes, lengths, strict=True):
        shape[axis] = length
    out = xp.zeros(tuple(shape), dtype=x.dtype, device=x.device)
    for i, key in enumerate(seen_keys(len(shape), moving, places)):
        out = _added(out, key, flat[(*(slice(None),) * at, i, ...)])
    return out


def _added(out: RawArray, key: tuple[Any, ...], updates: RawArray) -> RawArray:
    """`out` with something added to a part of it: the array itself, if it can change."""
    if not is_mutable(out):
        return backend_of(out).index_add(out, key, updates)
    out[key] += updates
    return out


# The largest element of a window, with what comes to it and what it gives.


@definition("max_pool")
def _max_pool(xp: Any, x: RawArray, *, moving: Windows, places: Ints) -> RawArray:
    keys = seen_keys(x.ndim, moving, places)
    # A new array always, also where the window is a single element.
    return reduce(xp.maximum, [x[key] for key in keys[1:]], xp.asarray(x[keys[0]], copy=True))


@definition("winners")
def _winners(xp: Any, t: RawArray, x: RawArray, y: RawArray, *, moving: Windows) -> RawArray:
    """Those elements of `t` that stand where `y`, the largest of each window, stands first in `x`."""
    out = xp.zeros_like(y, dtype=t.dtype)
    places = tuple([y.shape[axis] for axis in moving.axes])
    for key in reversed(seen_keys(x.ndim, moving, places)):
        out = xp.where(x[key] == y, t[key], out)
    return out


@definition("add_to_winners")
def _add_to_winners(xp: Any, updates: RawArray, x: RawArray, y: RawArray, *, moving: Windows) -> RawArray:
    """The transpose: zeros of the shape of `x`, with the updates added where those of each window stand."""
    out = xp.zeros(x.shape, dtype=updates.dtype, device=x.device)
    none = xp.zeros_like(updates)
    places = tuple([y.shape[axis] for axis in moving.axes])
    waiting = xp.ones_like(y, dtype=xp.bool)
    for key in seen_keys(x.ndim, moving, places):
        first = (x[key] == y) & waiting
        out = _added(out, key, xp.where(first, updates, none))
        waiting = waiting & ~first
    return out
