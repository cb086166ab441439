"""xarray, whose arrays with named axes wrap others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from bpkit.errors import NotDifferentiableError

from .call import MIXED, POSITIVE, X, call, stop

__all__ = ["CALLS", "STOPS"]

ROW = X[:4]


def named(run: Callable[..., Any]) -> Callable[..., Any]:
    """A function of raw arrays from one of arrays with axes a and b, or of b alone."""

    def on_raw(*arrays: Any) -> Any:
        return run(*[xr.DataArray(x, dims=("a", "b")[-x.ndim :]) for x in arrays]).data

    return on_raw


def located(x: xr.DataArray) -> xr.DataArray:
    """The same with coordinates."""
    return x.assign_coords(a=[10, 20, 30], b=np.arange(4.0), kind=("b", [0, 1, 0, 1]))


def assigned(x: xr.DataArray) -> xr.DataArray:
    """A row overwritten by another."""
    x = x * 1
    x[{"a": 0}] = x[1]
    return x


# xarray takes torch's tensors for sequences, and asks array-api-strict for functions that it lacks.
NUMPY = "torch array_api_strict"
REDUCTIONS = ("mean", "max", "min", "prod", "std", "var")

CALLS = [
    call("xarray.sum over all", named(lambda x: x.sum()), MIXED, not_on="torch"),
    call("xarray.sum over a name", named(lambda x: x.sum("a")), MIXED, not_on="torch"),
    *(
        call(f"xarray.{name} over all", named(lambda x, n=name: getattr(x, n)()), MIXED, not_on=NUMPY)
        for name in REDUCTIONS
    ),
    *(
        call(f"xarray.{name} over a name", named(lambda x, n=name: getattr(x, n)("a")), MIXED, not_on=NUMPY)
        for name in (*REDUCTIONS, "cumsum", "cumprod")
    ),
    call("xarray.arithmetic by name", named(lambda x, y: x * y + 2 - x**2), MIXED, ROW, not_on="torch"),
    call("xarray.division by name", named(lambda x, y: 1 / (y + x**2)), MIXED, ROW, not_on="torch"),
    # opt_einsum, if it is there, takes NumPy's tensordot where the package of the type has none.
    call(
        "xarray.dot",
        named(lambda x, y: xr.dot(x, y, dim="b")),
        MIXED,
        ROW,
        not_on="torch",
        refused="array_api_strict jax",
    ),
    call("xarray @", named(lambda x, y: x @ y), MIXED, ROW, not_on="torch", refused="array_api_strict jax"),
    call("xarray.where", named(lambda x: xr.where(x > 0, x**2, 1.0)), MIXED, not_on="torch array_api_strict"),
    call(
        "xarray.DataArray.where", named(lambda x: x.where(x > 0, 7.0)), MIXED, not_on="torch array_api_strict"
    ),
    call("xarray.where, summed", named(lambda x: x.where(x > 0).sum()), MIXED, not_on=NUMPY),
    call("xarray.isel", named(lambda x: x.isel(a=1, b=slice(1, 3))), MIXED, not_on="torch"),
    call("xarray.isel by list", named(lambda x: x.isel(a=[0, 2, 0])), MIXED, not_on="torch array_api_strict"),
    call("xarray.sel", named(lambda x: located(x).sel(a=20)), MIXED, not_on="torch"),
    call("xarray.assignment", named(assigned), MIXED, not_on="torch"),
    call("xarray.transpose", named(lambda x: x.transpose("b", "a")), MIXED, not_on="torch"),
    call("xarray.T", named(lambda x: x.T), MIXED, not_on="torch"),
    call("xarray.stack", named(lambda x: x.stack(z=("a", "b"))), MIXED, not_on="torch"),
    call("xarray.concat", named(lambda x, y: xr.concat([x, y], "a")), MIXED, POSITIVE, not_on="torch"),
    call(
        "xarray.concat to a new axis",
        named(lambda x, y: xr.concat([x, y], "n")),
        MIXED,
        POSITIVE,
        not_on="torch",
    ),
    call("xarray.weighted mean", named(lambda x, w: x.weighted(w).mean("b")), MIXED, ROW, not_on=NUMPY),
    call("xarray.weighted std", named(lambda x, w: x.weighted(w).std("b")), MIXED, ROW, not_on=NUMPY),
    call("numpy.exp", named(np.exp), MIXED, not_on=NUMPY),
    call("xarray.ufuncs.exp", named(xr.ufuncs.exp), MIXED, not_on="torch"),
    call("xarray.clip", named(lambda x: x.clip(-1, 1)), MIXED, not_on="torch"),
    call("xarray.roll", named(lambda x: x.roll(b=1)), MIXED, not_on="torch"),
    call(
        "xarray.shift", named(lambda x: x.shift(b=1, fill_value=0.0)), MIXED, not_on="torch array_api_strict"
    ),
    call(
        "xarray.pad", named(lambda x: x.pad(b=1, constant_values=0.0)), MIXED, not_on="torch array_api_strict"
    ),
    call("xarray.diff", named(lambda x: x.diff("b")), MIXED, not_on="torch"),
    call("xarray.expand_dims", named(lambda x: x.expand_dims("c")), MIXED, not_on="torch"),
    call("xarray.squeeze", named(lambda x: x.isel(a=[0]).squeeze()), MIXED, not_on="torch array_api_strict"),
    call("xarray.broadcast_like", named(lambda x, y: y.broadcast_like(x)), MIXED, ROW, not_on="torch"),
    call("xarray.cov", named(lambda x, y: xr.cov(x, y, "b")), MIXED, POSITIVE, not_on=NUMPY),
    call("xarray.corr", named(xr.corr), MIXED, POSITIVE, not_on=NUMPY),
    call("xarray.groupby", named(lambda x: located(x).groupby("kind").mean()), MIXED, not_on=NUMPY),
    call("xarray.coarsen", named(lambda x: x.coarsen(b=2).mean()), MIXED, not_on=NUMPY),
    call("xarray.integrate", named(lambda x: located(x).integrate("b")), MIXED, not_on=NUMPY),
    call("xarray.fillna", named(lambda x: x.fillna(0.0)), MIXED, not_on="torch array_api_strict"),
    call(
        "xarray.Dataset",
        named(lambda x, y: (xr.Dataset({"u": x, "v": y}) * 2).sum().u),
        MIXED,
        POSITIVE,
        not_on=NUMPY,
    ),
    call("xarray.apply_ufunc", named(lambda x: xr.apply_ufunc(lambda t: t**2, x)), MIXED, not_on="torch"),
]

STOPS = [
    stop(
        "xarray.median",
        named(lambda x: x.median("b")),
        MIXED,
        line="result = getattr(npmodule, name)(values, axis=axis, **kwargs)",
        error=NotDifferentiableError,
    ),
    stop(
        "xarray.quantile",
        named(lambda x: x.quantile(0.3, "b")),
        MIXED,
        line="result = getattr(npmodule, name)(values, axis=axis, **kwargs)",
        error=NotDifferentiableError,
    ),
    stop(
        "xarray.rolling",
        named(lambda x: x.rolling(b=2).mean()),
        MIXED,
        line="eager_module=xp.lib.stride_tricks,",
        error=AttributeError,
    ),
    stop(
        "xarray.interp",
        named(lambda x: located(x).interp(b=[0.5, 1.5])),
        MIXED,
        line="data = np.asarray(data)",
    ),
    stop(
        "xarray.differentiate",
        named(lambda x: located(x).differentiate("b")),
        MIXED,
        line="return xp.gradient(f, *varargs, axis=axis, edge_order=edge_order)",
        error=AttributeError,
    ),
    stop(
        "xarray.polyfit",
        named(lambda x: located(x).polyfit("b", 1).polyfit_coefficients),
        MIXED,
        line="return xp.any(array, axis=axis, keepdims=keepdims, **kwargs)",
        error=TypeError,
    ),
]
