"""NumPy's functions that join and split arrays and move their elements."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from bpkit import namespace as xp
from bpkit.numpy_protocol.dispatch import as_array, as_operand, copied, flat, function, on_values

__all__ = ["sizes"]

for _name in (
    *("array2string", "array_repr", "array_str", "can_cast", "common_type", "iscomplexobj", "isrealobj"),
    *("may_share_memory", "min_scalar_type", "result_type", "shares_memory", "einsum_path"),
):
    function(_name)(on_values(getattr(np, _name)))


# Shapes.


@function("shape", libraries="any")
def _shape(a: Any) -> tuple[int, ...]:
    return tuple(a.shape)


@function("ndim", libraries="any")
def _ndim(a: Any) -> int:
    return len(a.shape)


@function("size", libraries="any")
def _size(a: Any, axis: Any = None) -> int:
    return math.prod(a.shape if axis is None else [a.shape[i] for i in sizes(axis)])


@function("reshape")
def _reshape(a: Any, shape: Any = None, *, newshape: Any = None, copy: bool | None = None) -> Any:
    # Until NumPy 2.1 the shape is called newshape.
    return xp.reshape(as_array(a), sizes(newshape if shape is None else shape), copy=copy)


def sizes(x: Any) -> tuple[int, ...]:
    """Lengths or axes, given as one integer or several."""
    return tuple(map(operator.index, x)) if isinstance(x, list | tuple) else (operator.index(x),)


@function("ravel")
def _ravel(a: Any, order: str = "C") -> Any:
    return flat(as_array(a), order)


@function("transpose", "permute_dims")
def _transpose(a: Any, axes: Any = None) -> Any:
    a = as_array(a)
    axes = tuple(reversed(range(a.ndim))) if axes is None else normalize_axis_tuple(axes, a.ndim)
    return xp.permute_dims(a, axes)


@function("matrix_transpose", "linalg.matrix_transpose")
def _matrix_transpose(x: Any, /) -> Any:
    return xp.matrix_transpose(as_array(x))


@function("swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    a = as_array(a)
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return xp.permute_dims(a, tuple(order))


@function("moveaxis")
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return xp.moveaxis(as_array(a), source, destination)


@function("rollaxis")
def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    a = as_array(a)
    axis = normalize_axis_index(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    # `start` counts the places before the axis is taken out.
    return xp.moveaxis(a, axis, start - 1 if axis < start else start)


@function("squeeze")
def _squeeze(a: Any, axis: Any = None) -> Any:
    a = as_array(a)
    axis = tuple([i for i, length in enumerate(a.shape) if length == 1]) if axis is None else axis
    return xp.squeeze(a, axis)


@function("expand_dims")
def _expand_dims(a: Any, axis: Any) -> Any:
    a = as_array(a)
    axes = axis if isinstance(axis, list | tuple) else (axis,)
    places = normalize_axis_tuple(axes, a.ndim + len(axes))
    lengths = iter(a.shape)
    return xp.reshape(a, tuple([1 if i in places else next(lengths) for i in range(a.ndim + len(axes))]))


def _at_least(ndim: int, reshaped: Callable[[Any], tuple[int, ...]]) -> Callable[..., Any]:
    def run(*arys: Any) -> Any:
        found = [x if x.ndim >= ndim else xp.reshape(x, reshaped(x.shape)) for x in map(as_array, arys)]
        return found[0] if len(found) == 1 else tuple(found)

    return run


_atleast_1d = function("atleast_1d")(_at_least(1, lambda shape: (1,)))
_atleast_2d = function("atleast_2d")(_at_least(2, lambda shape: (1, *shape) if shape else (1, 1)))
# NumPy puts a vector in the middle, and a new last axis after a matrix.
_atleast_3d = function("atleast_3d")(
    _at_least(3, lambda shape: (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1))
)


@function("broadcast_to")
def _broadcast_to(array: Any, shape: Any) -> Any:
    return xp.broadcast_to(as_array(array), sizes(shape))


@function("broadcast_arrays")
def _broadcast_arrays(*args: Any) -> Any:
    return xp.broadcast_arrays(*map(as_array, args))


@function("meshgrid")
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"numpy.meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    n = len(xi)
    grids = [xp.reshape(as_array(x), (1,) * i + (-1,) + (1,) * (n - i - 1)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        grids = [_swapaxes(grid, 0, 1) for grid in grids]
    grids = grids if sparse else list(xp.broadcast_arrays(*grids))
    return tuple([copied(grid, "C") for grid in grids] if copy else grids)


# Joining.


def _typed(arrays: Any, dtype: Any) -> list[Any]:
    found = [as_array(x) for x in arrays]
    return found if dtype is None else [xp.astype(x, np.dtype(dtype)) for x in found]


@function("concatenate", "concat")
def _concatenate(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None) -> Any:
    return xp.concat(_typed(arrays, dtype), axis=axis)


@function("stack")
def _stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Any:
    return xp.stack(_typed(arrays, dtype), axis=axis)


@function("vstack")
def _vstack(tup: Any, *, dtype: Any = None) -> Any:
    return xp.concat([_atleast_2d(x) for x in _typed(tup, dtype)], axis=0)


@function("hstack")
def _hstack(tup: Any, *, dtype: Any = None) -> Any:
    arrays = [_atleast_1d(x) for x in _typed(tup, dtype)]
    return xp.concat(arrays, axis=0 if arrays and arrays[0].ndim == 1 else 1)


@function("dstack")
def _dstack(tup: Any) -> Any:
    return xp.concat([_atleast_3d(x) for x in tup], axis=2)


@function("column_stack")
def _column_stack(tup: Any) -> Any:
    columns = [as_array(x) for x in tup]
    return xp.concat([x if x.ndim > 1 else xp.reshape(x, (-1, 1)) for x in columns], axis=1)


@function("block")
def _block(arrays: Any) -> Any:
    depth = _depth(arrays)
    if depth == 0:
        return copied(as_array(arrays), "C")
    ndim = max(depth, _widest(arrays))
    return _joined(arrays, depth, ndim)


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays)) if isinstance(arrays, list) else 0


def _widest(arrays: Any) -> int:
    return max(map(_widest, arrays)) if isinstance(arrays, list) else int(as_array(arrays).ndim)


def _joined(arrays: Any, depth: int, ndim: int) -> Any:
    if not isinstance(arrays, list):
        x = as_array(arrays)
        return xp.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
    return xp.concat([_joined(x, depth - 1, ndim) for x in arrays], axis=-depth)


@function("append")
def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return xp.concat([as_array(arr), as_array(values)], axis=axis)


# Splitting.


def _parts(x: Any, places: list[int], axis: int) -> list[Any]:
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    ends = [*places, x.shape[axis]]
    return [x[(*before, slice(start, stop), ...)] for start, stop in zip([0, *places], ends, strict=True)]


@function("array_split")
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x = as_array(ary)
    if np.ndim(indices_or_sections):
        return _parts(x, [operator.index(i) for i in indices_or_sections], axis)
    sections = operator.index(indices_or_sections)
    if sections <= 0:
        raise ValueError("numpy.array_split: the number of sections must be larger than 0")
    each, longer = divmod(x.shape[axis], sections)
    return _parts(x, [i * each + min(i, longer) for i in range(1, sections)], axis)


@function("split")
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x = as_array(ary)
    if not np.ndim(indices_or_sections) and x.shape[axis] % operator.index(indices_or_sections):
        raise ValueError(
            f"numpy.split: axis {axis} of shape {tuple(x.shape)} cannot be divided into "
            f"{indices_or_sections} equal parts; numpy.array_split makes parts of different lengths"
        )
    return _array_split(x, indices_or_sections, axis)  # type: ignore[no-any-return]


@function("hsplit")
def _hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    x = as_array(ary)
    return _split(x, indices_or_sections, 1 if x.ndim > 1 else 0)  # type: ignore[no-any-return]


@function("vsplit")
def _vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return _split(ary, indices_or_sections, 0)  # type: ignore[no-any-return]


@function("dsplit")
def _dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return _split(ary, indices_or_sections, 2)  # type: ignore[no-any-return]


@function("unstack")
def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    return xp.unstack(as_array(x), axis=axis)


# Order of elements.


@function("tile")
def _tile(A: Any, reps: Any) -> Any:  # noqa: N803  NumPy's name
    return xp.tile(as_array(A), sizes(reps))


@function("repeat")
def _repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    return xp.repeat(as_array(a), as_operand(repeats), axis=axis)


@function("roll")
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return xp.roll(as_array(a), shift, axis=axis)


@function("flip")
def _flip(m: Any, axis: Any = None) -> Any:
    return xp.flip(as_array(m), axis=axis)


@function("fliplr")
def _fliplr(m: Any) -> Any:
    return xp.flip(as_array(m), axis=1)


@function("flipud")
def _flipud(m: Any) -> Any:
    return xp.flip(as_array(m), axis=0)


@function("rot90")
def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    m = as_array(m)
    one, other = normalize_axis_tuple(axes, m.ndim)
    k %= 4
    if k == 2:
        return xp.flip(m, axis=(one, other))
    if k == 1:
        return _swapaxes(xp.flip(m, axis=other), one, other)
    return xp.flip(_swapaxes(m, one, other), axis=other) if k == 3 else m


@function("pad")
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    return xp.pad(as_array(array), pad_width, mode=mode, **kwargs)


@function("delete")
def _delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    arr = as_array(arr)
    if axis is None:
        arr, axis = xp.reshape(arr, (-1,)), 0
    kept = np.delete(np.arange(arr.shape[axis]), obj)
    return arr[(*(slice(None),) * normalize_axis_index(axis, arr.ndim), kept)]
