"""NumPy's functions that choose, compare, search, sort and round."""

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from bpkit import namespace as xp
from bpkit.array import Array
from bpkit.errors import NotDifferentiableError
from bpkit.numpy_protocol.dispatch import as_array, as_operand, copied, function, on_values, transform_of

__all__: list[str] = []

for _name in ("allclose", "array_equal", "array_equiv"):
    function(_name)(on_values(getattr(np, _name), decides=True))


# Choosing.


@function("where")
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    condition = as_array(condition)
    if x is None and y is None:
        return xp.nonzero(condition)
    return xp.where(_truth(condition), as_operand(x), as_operand(y))


def _truth(x: Any) -> Any:
    return x if x.dtype.kind == "b" else xp.not_equal(x, 0)


@function("select")
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"numpy.select: needs as many conditions as choices and at least one, got {len(condlist)} and "
            f"{len(choicelist)}"
        )
    out = as_operand(default)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = xp.where(as_array(condition), as_operand(choice), out)
    return out


@function("take")
def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    a, indices = as_array(a), as_array(indices)
    if axis is None:
        a, axis = xp.reshape(a, (-1,)), 0
    return a[(*(slice(None),) * normalize_axis_index(axis, a.ndim), indices)]


@function("take_along_axis")
def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    arr, indices = as_array(arr), as_array(indices)
    if axis is None:
        arr, axis = xp.reshape(arr, (-1,)), 0
    return xp.take_along_axis(arr, indices, axis=axis)


@function("compress")
def _compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    (places,) = xp.nonzero(as_array(condition))
    return _take(a, places, axis)


@function("extract")
def _extract(condition: Any, arr: Any) -> Any:
    return _compress(xp.reshape(as_array(condition), (-1,)), arr)


@function("clip")
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    lower, upper = (as_operand(a_min if min is None else min), as_operand(a_max if max is None else max))
    a = as_array(a)
    # The standard keeps the dtype of a, NumPy promotes.
    return xp.clip(
        xp.astype(a, xp.result_type(*[x for x in (a, lower, upper) if x is not None])), lower, upper
    )


@function("piecewise")
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    x = as_array(x)
    conditions = (
        [as_array(c) for c in condlist] if isinstance(condlist, list | tuple) else [as_array(condlist)]
    )
    if conditions[0].ndim < x.ndim:
        raise NotDifferentiableError(
            "numpy.piecewise: give the conditions as a list of boolean arrays of x's shape"
        )
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        rest = conditions[0]
        for condition in conditions[1:]:
            rest = xp.logical_or(rest, condition)
        conditions.append(xp.logical_not(rest))
    # As many values as the condition chooses are given to a function, and go back to their places.
    out = xp.zeros_like(x)
    for condition, value in zip(conditions, functions, strict=True):
        if callable(value):
            chosen = value(x[condition], *args, **kw)
            order = np.cumsum(np.asarray(xp.reshape(condition, (-1,)))) - 1
            chosen = xp.broadcast_to(as_array(chosen), x[condition].shape)
            if chosen.shape[0] == 0:
                continue
            value = xp.reshape(chosen[np.maximum(order, 0)], x.shape)
        out = xp.where(condition, xp.astype(as_array(value), x.dtype), out)
    return out


# Comparing and searching: integers and booleans, through which nothing flows.


@function("isclose")
def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    a, b = as_array(a), as_array(b)
    close = xp.logical_and(xp.less_equal(xp.abs(a - b), atol + rtol * xp.abs(b)), xp.isfinite(b))
    close = xp.logical_or(close, xp.equal(a, b))
    return xp.logical_or(close, xp.logical_and(xp.isnan(a), xp.isnan(b))) if equal_nan else close


@function("isin")
def _isin(element: Any, test_elements: Any, *, invert: bool = False) -> Any:
    return xp.isin(as_array(element), as_array(test_elements), invert=invert)


@function("nonzero")
def _nonzero(a: Any) -> Any:
    return xp.nonzero(as_array(a))


@function("argwhere")
def _argwhere(a: Any) -> Any:
    return xp.stack(xp.nonzero(as_array(a)), axis=1)


@function("flatnonzero")
def _flatnonzero(a: Any) -> Any:
    return xp.nonzero(xp.reshape(as_array(a), (-1,)))[0]


@function("searchsorted")
def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    return xp.searchsorted(as_array(a), as_array(v), side=side, sorter=sorter)


@function("digitize")
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    x, bins = as_array(x), as_array(bins)
    if bins.shape[0] > 1 and bool(bins[0] > bins[-1]):
        found = xp.searchsorted(xp.flip(bins), x, side="right" if right else "left")
        return bins.shape[0] - found
    return xp.searchsorted(bins, x, side="left" if right else "right")


@function("argsort")
def _argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    a = as_array(a)
    if axis is None:
        a, axis = xp.reshape(a, (-1,)), 0
    return xp.argsort(a, axis=axis, stable=bool(stable) or kind in ("stable", "mergesort"))


@function("isreal")
def _isreal(x: Any) -> Any:
    x = as_array(x)
    return xp.equal(xp.imag(x), 0) if _is_complex(x) else xp.equal(xp.zeros_like(x), 0)


@function("iscomplex")
def _iscomplex(x: Any) -> Any:
    return xp.logical_not(_isreal(x))


@function("isposinf")
def _isposinf(x: Any) -> Any:
    return xp.equal(as_array(x), math.inf)


@function("isneginf")
def _isneginf(x: Any) -> Any:
    return xp.equal(as_array(x), -math.inf)


# Sorting and rounding.


@function("sort")
def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    a = as_array(a)
    if axis is None:
        a, axis = xp.reshape(a, (-1,)), 0
    return xp.sort(a, axis=axis)


@function("round", "around")
def _round(a: Any, decimals: int = 0) -> Any:
    a = as_array(a)
    if decimals == 0 or a.dtype.kind in "iu":
        if decimals < 0:
            raise NotDifferentiableError(
                f"numpy.round(decimals={decimals}) of integers traced by {transform_of(a)} is not supported"
            )
        return xp.round(a)
    scale = 10.0 ** abs(operator.index(decimals))
    return xp.round(a * scale) / scale if decimals > 0 else xp.round(a / scale) * scale


@function("fix")
def _fix(x: Any) -> Any:
    return xp.trunc(as_array(x))


@function("nan_to_num")
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    x = as_array(x)
    if x.dtype.kind not in "fc":
        return copied(x) if copy else x
    out = _numbers(x, nan, posinf, neginf)
    if copy or not isinstance(x, Array):
        return out
    x[...] = out
    return x


def _numbers(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if _is_complex(x):
        return _numbers(xp.real(x), nan, posinf, neginf) + 1j * _numbers(xp.imag(x), nan, posinf, neginf)
    limits = np.finfo(x.dtype)
    x = xp.where(xp.isnan(x), as_operand(nan), x)
    x = xp.where(_isposinf(x), float(limits.max) if posinf is None else as_operand(posinf), x)
    return xp.where(_isneginf(x), float(limits.min) if neginf is None else as_operand(neginf), x)


# Complex numbers and special functions.


def _is_complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


@function("real")
def _real(val: Any) -> Any:
    x = as_array(val)
    return xp.real(x) if _is_complex(x) else x


@function("imag")
def _imag(val: Any) -> Any:
    x = as_array(val)
    return xp.imag(x) if _is_complex(x) else xp.zeros_like(x)


@function("angle")
def _angle(z: Any, deg: bool = False) -> Any:
    z = as_array(z)
    angle = xp.atan2(_imag(z), _real(z))
    return angle * (180 / math.pi) if deg else angle


@function("sinc")
def _sinc(x: Any) -> Any:
    return xp.special.sinc(as_array(x))


@function("i0")
def _i0(x: Any) -> Any:
    return xp.special.i0(as_array(x))


@function("unwrap")
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Any:
    p = xp.moveaxis(as_array(p), axis, -1)
    step = p[..., 1:] - p[..., :-1]
    half = period / 2
    wrapped = xp.remainder(step + half, period) - half
    # A step of half a period up stays one up.
    wrapped = xp.where(xp.logical_and(xp.equal(wrapped, -half), xp.greater(step, 0)), half, wrapped)
    least = half if discont is None else max(discont, half)
    correction = xp.where(xp.less(xp.abs(step), least), 0.0, wrapped - step)
    moved = p[..., 1:] + xp.cumulative_sum(correction, axis=-1)
    return xp.moveaxis(xp.concat([p[..., :1], moved], axis=-1), -1, axis)
