"""NumPy's sums, extremes, moments and order statistics."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from bpkit import namespace as xp
from bpkit.errors import NotDifferentiableError
from bpkit.numpy_protocol.dispatch import as_array, function, transform_of

__all__: list[str] = []


def _of_ones(a: Any, where: Any, neutral: float) -> Any:
    """The elements that take part, and the neutral element elsewhere."""
    a = as_array(a)
    return a if where is True else xp.where(as_array(where), a, neutral)


def _or_initial(name: str, a: Any, where: Any, initial: Any) -> Any:
    """The elements that take part, and the initial value elsewhere: there is no neutral element."""
    if where is not True and initial is None:
        raise ValueError(f"numpy.{name}(where=...) needs an initial value, which stands for the others")
    return _of_ones(a, where, initial)


@function("sum")
def _sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    out = xp.sum(_of_ones(a, where, 0), axis=axis, dtype=dtype, keepdims=keepdims)
    return out if initial is None else xp.add(out, xp.astype(as_array(initial), out.dtype))


@function("prod")
def _prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    out = xp.prod(_of_ones(a, where, 1), axis=axis, dtype=dtype, keepdims=keepdims)
    return out if initial is None else xp.multiply(out, xp.astype(as_array(initial), out.dtype))


@function("max", "amax")
def _max(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    out = xp.max(_or_initial("max", a, where, initial), axis=axis, keepdims=keepdims)
    return out if initial is None else xp.maximum(out, xp.astype(as_array(initial), out.dtype))


@function("min", "amin")
def _min(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    out = xp.min(_or_initial("min", a, where, initial), axis=axis, keepdims=keepdims)
    return out if initial is None else xp.minimum(out, xp.astype(as_array(initial), out.dtype))


@function("ptp")
def _ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    a = as_array(a)
    return xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)


@function("all")
def _all(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return xp.all(as_array(a), axis=axis, keepdims=keepdims)


@function("any")
def _any(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return xp.any(as_array(a), axis=axis, keepdims=keepdims)


@function("argmax")
def _argmax(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return xp.argmax(as_array(a), axis=axis, keepdims=keepdims)


@function("argmin")
def _argmin(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return xp.argmin(as_array(a), axis=axis, keepdims=keepdims)


@function("count_nonzero")
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return xp.count_nonzero(as_array(a), axis=axis, keepdims=keepdims)


# Running sums and products.


def _running(name: str, neutral: float | None) -> Callable[..., Any]:
    def run(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        a = as_array(a)
        if neutral is not None:
            a = xp.where(xp.isnan(a), neutral, a)
        if axis is None:
            a, axis = xp.reshape(a, (-1,)), 0
        return getattr(xp, name)(a, axis=axis, dtype=dtype)

    return run


function("cumsum")(_running("cumulative_sum", None))
function("cumprod")(_running("cumulative_prod", None))
function("nancumsum")(_running("cumulative_sum", 0))
function("nancumprod")(_running("cumulative_prod", 1))


@function("cumulative_sum")
def _cumulative_sum(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return xp.cumulative_sum(as_array(x), axis=axis, dtype=dtype, include_initial=include_initial)


@function("cumulative_prod")
def _cumulative_prod(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return xp.cumulative_prod(as_array(x), axis=axis, dtype=dtype, include_initial=include_initial)


# Moments.


def _floating(a: Any, dtype: Any) -> Any:
    a = as_array(a)
    if dtype is None:
        return a
    dtype = np.dtype(dtype)
    # What NumPy does, with a warning.
    return xp.astype(xp.real(a) if a.dtype.kind == "c" != dtype.kind else a, dtype)


@function("mean")
def _mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    a = _floating(a, dtype)
    if where is True:
        return xp.mean(a, axis=axis, keepdims=keepdims)
    a = a if a.dtype.kind in "fc" else xp.astype(a, np.float64)
    counted = xp.astype(xp.broadcast_to(as_array(where), a.shape), a.dtype)
    return _sum(a, axis, None, keepdims, None, where) / xp.sum(counted, axis=axis, keepdims=keepdims)


@function("var")
def _var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    correction: Any = None,
) -> Any:
    correction = ddof if correction is None else correction
    a = as_array(a)
    if a.dtype.kind != "c":
        return xp.var(_floating(a, dtype), axis=axis, correction=correction, keepdims=keepdims)
    # A real dtype makes NumPy's mean real, but not the deviations from it.
    mean = xp.mean(_floating(a, dtype), axis=axis, keepdims=True)
    squares = _squares(a - mean)
    if dtype is not None:
        squares = xp.astype(squares, np.dtype(dtype))
    total = xp.sum(squares, axis=axis, keepdims=keepdims)
    return total / (a.size / max(total.size, 1) - correction)


@function("std")
def _std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    correction: Any = None,
) -> Any:
    a = as_array(a)
    if a.dtype.kind == "c":
        return xp.sqrt(_var(a, axis, dtype, ddof, keepdims, correction=correction))
    correction = ddof if correction is None else correction
    return xp.std(_floating(a, dtype), axis=axis, correction=correction, keepdims=keepdims)


def _squares(x: Any) -> Any:
    """The square of each absolute value."""
    return x * x if x.dtype.kind != "c" else xp.square(xp.real(x)) + xp.square(xp.imag(x))


@function("average")
def _average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    a = as_array(a)
    if weights is None:
        mean = xp.mean(a, axis=axis, keepdims=keepdims)
        total = xp.full_like(mean, a.size / max(mean.size, 1))
        return (mean, total) if returned else mean
    weights = as_array(weights)
    if weights.shape != a.shape:
        if weights.ndim != 1 or not isinstance(axis, int) or weights.shape[0] != a.shape[axis]:
            raise ValueError(
                f"numpy.average: weights of shape {tuple(weights.shape)} must have the shape of a, "
                f"{tuple(a.shape)}, or be one number for each place along one axis"
            )
        weights = xp.reshape(weights, tuple([-1 if i == axis % a.ndim else 1 for i in range(a.ndim)]))
    total = xp.broadcast_to(xp.astype(weights, xp.result_type(a, weights)), a.shape)
    total = xp.sum(total, axis=axis, keepdims=keepdims)
    mean = xp.divide(xp.sum(xp.multiply(a, weights), axis=axis, keepdims=keepdims), total)
    return (mean, total) if returned else mean


@function("cov")
def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    *,
    dtype: Any = None,
) -> Any:
    m = _observations(m, rowvar, dtype)
    if y is not None:
        m = xp.concat([m, _observations(y, rowvar, dtype)], axis=0)
    count = m.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    m = m - xp.mean(m, axis=1, keepdims=True)
    # NumPy too conjugates the second factor.
    product = xp.matmul(m, xp.conj(xp.matrix_transpose(m))) / count
    return xp.reshape(product, ()) if product.shape == (1, 1) else product


def _observations(m: Any, rowvar: bool, dtype: Any) -> Any:
    m = as_array(m)
    m = xp.astype(m, np.result_type(m.dtype, np.float64) if dtype is None else np.dtype(dtype))
    if m.ndim < 2:
        return xp.reshape(m, (1, -1))
    return m if rowvar else xp.matrix_transpose(m)


@function("corrcoef")
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    covariance = _cov(x, y, rowvar, dtype=dtype)
    if covariance.ndim == 0:
        return covariance / covariance
    places = np.arange(covariance.shape[0])
    deviation = xp.sqrt(xp.real(covariance[places, places]))
    return covariance / deviation[:, None] / deviation[None, :]


# Without NaN.


def _seen(a: Any) -> Any:
    return xp.logical_not(xp.isnan(a))


@function("nansum")
def _nansum(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    a = as_array(a)
    return xp.sum(xp.where(_seen(a), a, 0), axis=axis, dtype=dtype, keepdims=keepdims)


@function("nanprod")
def _nanprod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    a = as_array(a)
    return xp.prod(xp.where(_seen(a), a, 1), axis=axis, dtype=dtype, keepdims=keepdims)


def _nan_extreme(run: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def extreme(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        a = as_array(a)
        if a.dtype.kind not in "fc":
            return run(a, axis=axis, keepdims=keepdims)
        out = run(xp.where(_seen(a), a, neutral), axis=axis, keepdims=keepdims)
        return xp.where(xp.any(_seen(a), axis=axis, keepdims=keepdims), out, math.nan)

    return extreme


function("nanmax")(_nan_extreme(xp.max, -math.inf))
function("nanmin")(_nan_extreme(xp.min, math.inf))


def _number_seen(a: Any, axis: Any, keepdims: bool) -> Any:
    return xp.sum(
        xp.astype(_seen(a), np.float64 if a.dtype.kind not in "fc" else a.real.dtype),
        axis=axis,
        keepdims=keepdims,
    )


@function("nanmean")
def _nanmean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    a = _floating(a, dtype)
    return _nansum(a, axis, None, keepdims) / _number_seen(a, axis, keepdims)


@function("nanvar")
def _nanvar(a: Any, axis: Any = None, dtype: Any = None, ddof: Any = 0, keepdims: bool = False) -> Any:
    a = _floating(a, dtype)
    deviation = xp.where(_seen(a), a - _nanmean(a, axis, None, True), 0)
    total = xp.sum(_squares(deviation), axis=axis, keepdims=keepdims)
    return total / (xp.real(_number_seen(a, axis, keepdims)) - ddof)


@function("nanstd")
def _nanstd(a: Any, axis: Any = None, dtype: Any = None, ddof: Any = 0, keepdims: bool = False) -> Any:
    return xp.sqrt(_nanvar(a, axis, dtype, ddof, keepdims))


# Order statistics.


def _sorted(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """The elements that are ranked, sorted along a new first axis, and the shape with kept axes."""
    a = as_array(a)
    if a.dtype.kind == "c":
        raise TypeError(
            "numpy.median and numpy.quantile rank real numbers; take numpy.real or numpy.abs first"
        )
    if a.size == 0:
        raise ValueError("numpy.median and numpy.quantile of a traced array need at least one element")
    axes = tuple(range(a.ndim)) if axis is None else normalize_axis_tuple(axis, a.ndim)
    kept = tuple([1 if i in axes else length for i, length in enumerate(a.shape)])
    rest = tuple([i for i in range(a.ndim) if i not in axes])
    moved = xp.permute_dims(a, axes + rest)
    return xp.sort(xp.reshape(moved, (-1, *[a.shape[i] for i in rest])), axis=0), kept


@function("median")
def _median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    ranked, kept = _sorted(a, axis)
    middle = ranked.shape[0] // 2
    out = xp.mean(ranked[middle - 1 + ranked.shape[0] % 2 : middle + 1, ...], axis=0)
    # NaN are sorted last, and one of them is enough.
    out = xp.where(xp.isnan(ranked[-1, ...]), ranked[-1, ...], out)
    return xp.reshape(out, kept) if keepdims else out


@function("quantile")
def _quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    if method != "linear":
        raise NotDifferentiableError(
            f"numpy.quantile(method={method!r}) of a value traced by {transform_of(a)}: only the "
            f"method 'linear' is supported there"
        )
    ranked, kept = _sorted(a, axis)
    floating = ranked.dtype.kind == "f"
    q = np.asarray(q, dtype=ranked.dtype if isinstance(q, int | float) and floating else None)
    if not np.all((q >= 0) & (q <= 1)):
        raise ValueError("numpy.quantile: every q must be in [0, 1]; numpy.percentile takes [0, 100]")
    place = q * (ranked.shape[0] - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, ranked.shape[0] - 1)
    share = np.reshape((place - below).astype(place.dtype), q.shape + (1,) * (ranked.ndim - 1))
    # From the nearer end, as in NumPy.
    low, high = ranked[below], ranked[above]
    out = xp.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    out = xp.where(xp.isnan(ranked[-1, ...]), ranked[-1, ...], out)
    return xp.reshape(out, q.shape + kept) if keepdims else out


@function("percentile")
def _percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    share = q / 100 if isinstance(q, int | float) else np.true_divide(q, 100)
    return _quantile(a, share, axis, overwrite_input, method, keepdims)


@function("trapezoid")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = xp.moveaxis(as_array(y), operator.index(axis), -1)
    if x is not None:
        x = as_array(x)
        x = x if x.ndim == 1 else xp.moveaxis(x, axis, -1)
        dx = x[..., 1:] - x[..., :-1]
    return xp.sum(dx * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)
