"""``x[key]``, its transpose and ``x[key] = value``, where arrays inside the key may be traced.

Where a library takes no slices with a negative step, the array is flipped and the slice runs forward.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from bpkit._protocol import Capability
from bpkit.evaluate import definition
from bpkit.kinds import Kind, device_of, is_inexact, kind_of, raw
from bpkit.registry import backend_of
from bpkit.trace import Traced, call

__all__ = [
    "ARRAY",
    "fill",
    "gather",
    "getitem",
    "index_add",
    "on_diagonal",
    "places_of",
    "scatter_add",
    "setitem",
]

ARRAY = "an array"
"""Stands for an array in a key whose arrays are passed as operands."""


def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` for integers, slices, ellipsis, None, boolean masks and integer arrays."""
    places, arrays = _split(key)
    axes = _backward_axes(x, places, arrays)
    if axes:
        x, places = _flipped(x, axes), _forward(x, places, arrays)
    return call("getitem", x, *arrays, key=places)


def scatter_add(updates: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `updates` added at `key`; repeated indices accumulate.

    The transpose of :func:`getitem`.
    """
    places, arrays = _split(key)
    return call("scatter_add", updates, *arrays, key=places, shape=shape)


def gather(x: Any, places: tuple[Any, ...], arrays: tuple[Any, ...]) -> Any:
    """``x[key]``, of the fixed parts of the key and its arrays.

    The transpose of :func:`scatter_add` and of :func:`index_add`.
    """
    axis = len(places) - 1
    if len(arrays) == 1 and places[axis] is ARRAY and all(part == slice(None) for part in places[:axis]):
        rows = arrays[0]
        if rows.ndim == 1 and kind_of(rows) is Kind.INTEGER:
            # Not every library (array-api-strict) has a key of an array of integers and slices.
            return call("take", x, rows, axis=axis)
    return getitem(x, fill(places, arrays))


def setitem(x: Any, key: Any, value: Any) -> Any:
    """A copy of `x` with `value` at `key`, converted to the dtype of `x`."""
    places, arrays = _split(key)
    if _is_array(value) and not is_inexact(x) and is_inexact(value):
        # As in the library, decimals are cut off; nothing flows through integers.
        value = call("astype", value, dtype=x.dtype, copy=True, device=None)
    axes = _backward_axes(x, places, arrays)
    if not axes:
        return call("setitem", x, value, *arrays, key=places)
    places = _forward(x, places, arrays)
    return _flipped(call("setitem", _flipped(x, axes), value, *arrays, key=places), axes)


def index_add(x: Any, key: Any, updates: Any) -> Any:
    """A copy of `x` with `updates` added at `key`; repeated indices accumulate."""
    places, arrays = _split(key)
    return call("index_add", x, updates, *arrays, key=places)


def places_of(indices: Any) -> Any:
    """Integers in a dtype that every library indexes by; anything else unchanged.

    The standard has indices of any integer dtype. PyTorch picks rows by int32 and int64 alone, and takes
    bytes for a mask: https://github.com/pytorch/pytorch/issues/61819
    """
    if not _is_array(indices) or kind_of(indices) is not Kind.INTEGER:
        return indices
    library = backend_of(raw(indices)).xp
    if indices.dtype in (library.int32, library.int64):
        return indices
    dtype = library.__array_namespace_info__().default_dtypes(device=device_of(indices))["indexing"]
    return call("astype", indices, dtype=dtype, copy=True, device=None)


def _split(key: Any) -> tuple[tuple[Any, ...], list[Any]]:
    # A list is copied, since the user may change it before the transpose reads it.
    parts = [
        deepcopy(part) if isinstance(part, list) else part
        for part in (key if isinstance(key, tuple) else (key,))
    ]
    arrays = [places_of(part) for part in parts if _is_array(part)]
    return tuple([ARRAY if _is_array(part) else part for part in parts]), arrays


def fill(places: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key again, from its fixed parts and its arrays."""
    waiting = iter(arrays)
    return tuple([next(waiting) if part is ARRAY else part for part in places])


def on_diagonal(shape: tuple[int, ...], offset: int) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """Where a diagonal of matrices stands: `shape` with all of a matrix in a row, and the key for that."""
    rows, columns = shape[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    first = max(offset, 0) + max(-offset, 0) * columns
    # In a row of all elements, neighbours on a diagonal are columns + 1 apart.
    picked = slice(first, first + (count - 1) * (columns + 1) + 1, columns + 1) if count else slice(0, 0)
    return (*shape[:-2], rows * columns), (..., picked)


def _backward_axes(x: Any, places: tuple[Any, ...], arrays: list[Any]) -> tuple[int, ...]:
    """The axes on which a key runs backwards, if the library of `x` takes no such key."""
    if not any(_runs_backward(part) for part in places):
        return ()
    if Capability.BACKWARD_SLICES in backend_of(raw(x)).capabilities:
        return ()
    return tuple([axis for part, axis in _axes(x, places, arrays) if _runs_backward(part)])


def _runs_backward(part: Any) -> bool:
    return type(part) is slice and part.step is not None and part.step < 0


def _forward(x: Any, places: tuple[Any, ...], arrays: list[Any]) -> tuple[Any, ...]:
    """The key that selects from the flipped array what `places` selects from `x`."""
    forward = []
    for part, axis in _axes(x, places, arrays):
        if _runs_backward(part):
            last = x.shape[axis] - 1
            start, stop, step = part.indices(x.shape[axis])
            part = slice(last - start, last - stop, -step)
        forward.append(part)
    return tuple(forward)


def _axes(x: Any, places: tuple[Any, ...], arrays: list[Any]) -> Iterator[tuple[Any, int]]:
    """Each part of a key with the first axis that it is for."""
    waiting = iter(arrays)
    lengths = []
    for part in places:
        taken = next(waiting) if part is ARRAY else part
        mask = taken is not part and kind_of(taken) is Kind.BOOLEAN
        lengths.append(len(taken.shape) if mask else 0 if part is None or part is ... else 1)
    axis = 0
    for part, length in zip(places, lengths, strict=True):
        yield part, axis
        axis += len(x.shape) - sum(lengths) if part is ... else length


def _flipped(x: Any, axes: tuple[int, ...]) -> Any:
    return call("flip", x, axis=axes)


def _is_array(part: Any) -> bool:
    return isinstance(part, Traced) or hasattr(part, "shape")


@definition("getitem")
def _getitem(xp: Any, x: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return x[fill(key, indices)]


@definition("setitem")
def _setitem(xp: Any, x: Any, value: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return backend_of(x).index_set(x, fill(key, indices), value)


@definition("index_add")
def _index_add(xp: Any, x: Any, updates: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return backend_of(x).index_add(x, fill(key, indices), updates)


@definition("scatter_add")
def _scatter_add(xp: Any, updates: Any, *indices: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    # Arrays that JAX traces have no device.
    zeros = xp.zeros(shape, dtype=updates.dtype, device=getattr(updates, "device", None))
    return backend_of(updates).index_add(zeros, fill(key, indices), updates)
