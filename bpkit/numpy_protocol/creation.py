"""NumPy's functions that make arrays: like others, from a diagonal, between two ends."""

from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.array import Array
from bpkit.constants import constant_array
from bpkit.kinds import raw
from bpkit.numpy_protocol.dispatch import as_array, copied, function, traced_in

__all__: list[str] = []


# Matrices and their diagonals.


@function("tril")
def _tril(m: Any, k: int = 0) -> Any:
    return xp.tril(as_array(m), k=k)


@function("triu")
def _triu(m: Any, k: int = 0) -> Any:
    return xp.triu(as_array(m), k=k)


@function("diagonal")
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return xp.linalg.diagonal(xp.moveaxis(as_array(a), (axis1, axis2), (-2, -1)), offset=offset)


@function("linalg.diagonal")
def _linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return _diagonal(x, offset, -2, -1)


@function("trace")
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return xp.sum(_diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@function("linalg.trace")
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return _trace(x, offset, -2, -1, dtype)


@function("diag")
def _diag(v: Any, k: int = 0) -> Any:
    v = as_array(v)
    if v.ndim != 1:
        return _diagonal(v, k)
    n = v.shape[0] + abs(k)
    # Element i stands in row i above the main diagonal, and in column i below it.
    v = xp.concat([v, np.zeros(abs(k), dtype=v.dtype)])
    return xp.where(
        np.eye(n, k=k, dtype=bool), xp.reshape(v, (n, 1) if k >= 0 else (1, n)), np.zeros(1, v.dtype)
    )


@function("diagflat")
def _diagflat(v: Any, k: int = 0) -> Any:
    return _diag(xp.reshape(as_array(v), (-1,)), k)


# New arrays. They are constants, but by assignment they can take up what depends on an input.


def _lengths(a: Any, shape: Any) -> Any:
    """The shape that was asked for: by default that of `a`, which under vmap is not that of its raw array."""
    return a.shape if shape is None and isinstance(a, Array) else shape


@function("zeros_like")
def _zeros_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
    return constant_array(np.zeros_like(raw(a), dtype, order, subok, _lengths(a, shape)))


@function("empty_like")
def _empty_like(
    prototype: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None
) -> Any:
    return _zeros_like(prototype, dtype, order, subok, shape)


@function("ones_like")
def _ones_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
    return constant_array(np.ones_like(raw(a), dtype, order, subok, _lengths(a, shape)))


@function("full_like")
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None
) -> Any:
    if not any(True for _ in traced_in(fill_value)):
        return constant_array(np.full_like(raw(a), fill_value, dtype, order, subok, _lengths(a, shape)))
    out = _zeros_like(a, dtype, order, subok, shape)
    out[...] = as_array(fill_value)
    return out


@function("copy")
def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return copied(as_array(a), order)


@function("astype")
def _astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    return xp.astype(as_array(x), np.dtype(dtype), copy=copy)


@function("linspace")
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    common = xp.result_type(start, stop)
    common = common if common.kind in "fc" else np.dtype(np.float64)
    start, stop = xp.broadcast_arrays(*[xp.astype(as_array(x), common) for x in (start, stop)])
    gaps = num - 1 if endpoint else num
    step = (stop - start) / gaps if gaps > 0 else stop - start
    places = np.reshape(np.arange(num), (num,) + (1,) * start.ndim).astype(common)
    out = start + places * step
    if endpoint and num > 1:
        out = xp.concat([out[:-1], xp.expand_dims(stop, 0)])
    out = out if dtype is None else xp.astype(out, np.dtype(dtype))
    out = out if axis == 0 else xp.moveaxis(out, 0, axis)
    return (out, step) if retstep else out
