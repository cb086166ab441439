"""NumPy's differences, interpolation, convolution and polynomials."""

import operator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.errors import NotDifferentiableError
from bpkit.indexing import getitem
from bpkit.numpy_protocol.dispatch import as_array, as_operand, function, transform_of

__all__: list[str] = []


def _end(x: Any, value: Any, axis: int) -> Any:
    """What diff puts before or after an array, a number once."""
    value = as_array(value)
    if value.ndim == 0:
        return xp.broadcast_to(value, tuple([1 if i == axis else n for i, n in enumerate(x.shape)]))
    return value


@function("diff")
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    a = as_array(a)
    ends = [None if end is None else _end(a, end, axis % a.ndim) for end in (prepend, append)]
    return xp.diff(a, axis=axis, n=operator.index(n), prepend=ends[0], append=ends[1])


@function("ediff1d")
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    x = xp.reshape(as_array(ary), (-1,))
    parts = [x[1:] - x[:-1]]
    ends = [None if end is None else xp.astype(as_array(end), x.dtype) for end in (to_begin, to_end)]
    parts = parts if ends[0] is None else [xp.reshape(ends[0], (-1,)), *parts]
    parts = parts if ends[1] is None else [*parts, xp.reshape(ends[1], (-1,))]
    return parts[0] if len(parts) == 1 else xp.concat(parts)


@function("gradient")
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = as_array(f)
    axes = range(f.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    spacings = list(varargs) * len(axes) if len(varargs) == 1 else list(varargs) or [1.0] * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"numpy.gradient: needs one spacing or one for each of {len(axes)} axes")
    if edge_order not in (1, 2):
        raise ValueError("numpy.gradient: edge_order must be 1 or 2")
    slopes = []
    for place, h in zip(axes, map(as_operand, spacings), strict=True):
        y = xp.moveaxis(f if f.dtype.kind in "fc" else xp.astype(f, np.float64), place, -1)
        slopes.append(xp.moveaxis(_slope(y, h, edge_order), -1, place))
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slope(y: Any, h: Any, edge_order: int) -> Any:
    """Central differences along the last axis, one-sided ones at its ends."""
    if y.shape[-1] <= edge_order:
        raise ValueError(
            f"numpy.gradient: an axis of length {y.shape[-1]} is too short for edge_order={edge_order}"
        )
    if getattr(h, "ndim", 0) == 0:
        h = h * np.ones(y.shape[-1] - 1, dtype=y.dtype)
        equal = True
    else:
        h, equal = h[1:] - h[:-1], False
    before, after = h[:-1], h[1:]
    step = (y[..., 1:] - y[..., :-1]) / h
    if equal:
        middle = (y[..., 2:] - y[..., :-2]) / (2.0 * before)
    else:
        middle = (before * step[..., 1:] + after * step[..., :-1]) / (before + after)
    first, last = step[..., :1], step[..., -1:]
    if edge_order == 2:
        # The parabola through the three points at the end.
        bend = (step[..., 1:] - step[..., :-1]) / (before + after)
        first = first - bend[..., :1] * h[:1]
        last = last + bend[..., -1:] * h[-1:]
    return xp.astype(xp.concat([first, middle, last], axis=-1), y.dtype)


@function("interp")
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    if period is not None:
        raise NotDifferentiableError(
            f"numpy.interp(period=...) of a value traced by {transform_of([x, xp, fp])} is not supported: "
            f"repeat the points yourself and take numpy.remainder(x, period)"
        )
    return _interpolated(as_array(x), as_array(xp), as_array(fp), left, right)


def _interpolated(x: Any, places: Any, values: Any, left: Any, right: Any) -> Any:
    last = places.shape[0] - 1
    start = xp.searchsorted(places, x, side="right") - 1
    start = xp.clip(start, 0, max(last - 1, 0))
    end = xp.minimum(start + 1, last)
    # Not places[start], which a plain array would take for an index of its own.
    x0, y0, x1, y1 = (getitem(x, i) for i in (start, end) for x in (places, values))
    out = y0 + (y1 - y0) / xp.where(xp.equal(x1, x0), 1.0, x1 - x0) * (x - x0)
    out = xp.where(xp.less(x, places[0]), values[0] if left is None else left, out)
    return xp.where(xp.greater(x, places[-1]), values[-1] if right is None else right, out)


@function("convolve")
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = xp.reshape(as_array(a), (-1,)), xp.reshape(as_array(v), (-1,))
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    n, k = a.shape[0], v.shape[0]
    if k == 0:
        raise ValueError("numpy.convolve: an operand is empty")
    # Result i is the sum of a[i - j] * v[j], as far as there is such an element.
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"numpy.convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")
    start, count = {"full": (0, n + k - 1), "same": ((k - 1) // 2, n), "valid": (k - 1, n - k + 1)}[mode]
    places = start + np.arange(count)[:, None] - np.arange(k)[None, :]
    inside = (places >= 0) & (places < n)
    terms = xp.where(inside, a[np.where(inside, places, 0)] * v, 0)
    return xp.sum(terms, axis=1, dtype=terms.dtype)


@function("correlate")
def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = as_array(a), xp.conj(as_array(v))
    if a.shape[0] >= v.shape[0]:
        return _convolve(a, xp.flip(v), mode)
    # The longer one is moved; then what comes out is turned.
    return xp.flip(_convolve(xp.flip(a), v, mode))


@function("polyval")
def _polyval(p: Any, x: Any) -> Any:
    p, x = as_array(p), as_array(x)
    out = xp.zeros_like(x)
    for i in range(p.shape[0]):
        out = out * x + p[i]
    return out


@function("vander")
def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803  NumPy's name
    x = as_array(x)
    x = xp.astype(x, np.result_type(x.dtype, np.int64))
    count = x.shape[0] if N is None else N
    powers = [xp.ones_like(x)][:count]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return xp.stack(powers if increasing else powers[::-1], axis=-1)
