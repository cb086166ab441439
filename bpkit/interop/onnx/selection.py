"""Selection by indices and keys, and assignment to what they select."""

from typing import Any

import ndonnx as ndx
import numpy as np
import spox.opset.ai.onnx.v21 as op

from bpkit.indexing import ARRAY
from bpkit.interop.onnx.constants import Constant
from bpkit.interop.onnx.functions import exported_as
from bpkit.interop.onnx.graph import Graph, dtype_of
from bpkit.interop.onnx.recording import Node, Value
from bpkit.interop.onnx.sizes import Size

__all__: list[str] = []


@exported_as("take")
def _take(g: Graph, node: Node, x: Any, indices: Any) -> Any:
    places = g.array(indices, "int64").unwrap_spox()
    return ndx.asarray(op.gather(g.array(x).unwrap_spox(), places, axis=node.static["axis"] or 0))


@exported_as("take_along_axis")
def _take_along_axis(g: Graph, node: Node, x: Any, indices: Any) -> Any:
    array, axis, lengths = g.array(x), node.static["axis"], list(node.shapes[0])
    places = g.broadcast(g.array(indices, "int64"), tuple(lengths))
    lengths[axis] = array.shape[axis]
    if lengths[axis] is not None and 1 in array.shape:
        array = g.broadcast(array, tuple(lengths))
    return ndx.asarray(op.gather_elements(array.unwrap_spox(), places.unwrap_spox(), axis=axis))


@exported_as("searchsorted")
def _searchsorted(g: Graph, node: Node, x1: Any, x2: Any, sorter: Any) -> Any:
    order = None if sorter is None else g.array(sorter, "int64")
    return ndx.searchsorted(g.array(x1), g.array(x2), side=node.static["side"], sorter=order)


@exported_as("getitem")
def _getitem(g: Graph, node: Node, x: Any, *indices: Any) -> Any:
    return _selected(g, g.array(x), node.static["key"], indices)


def _selected(g: Graph, x: Any, key: tuple[Any, ...], indices: tuple[Any, ...]) -> Any:
    """``x[key]``: by all that is no array first, then by the arrays, on the axes that are left for them."""
    parts = _filled(g, key, indices, len(x.shape))
    # Beside arrays an int counts as one of them.
    advanced = [i for i, part in enumerate(parts) if isinstance(part, ndx.Array)]
    if advanced:
        parts = [g.array(part, "int64") if _is_int(part) else part for part in parts]
        advanced = [i for i, part in enumerate(parts) if isinstance(part, ndx.Array)]
    plain: list[Any] = []
    arrays: dict[int, Any] = {}
    for part in parts:
        if isinstance(part, ndx.Array):
            arrays[sum(1 for other in plain if not _is_int(other))] = part
            plain.append(slice(None))
        elif isinstance(part, slice):
            ends = (part.start, part.stop, part.step)
            plain.append(slice(*[None if n is None else g.size(n) for n in ends]))
        else:
            plain.append(part)
    if any(part != slice(None) for part in plain):
        x = x[tuple([g.size(part) if isinstance(part, Size) else part for part in plain])]
    if not arrays:
        return x
    if len(arrays) == 1:
        ((axis, places),) = arrays.items()
        return ndx.asarray(op.gather(x.unwrap_spox(), places.unwrap_spox(), axis=axis))
    rest = [i for i in range(len(x.shape)) if i not in arrays]
    front = ndx.permute_dims(x, (*arrays, *rest))
    places = ndx.broadcast_arrays(*arrays.values())
    rank = len(places[0].shape)
    out = ndx.asarray(op.gather_nd(front.unwrap_spox(), ndx.stack(places, axis=-1).unwrap_spox()))
    if advanced != [*range(advanced[0], advanced[-1] + 1)]:
        return out  # Arrays that stand apart lead to the first axes.
    before = sum(1 for i in rest if i < min(arrays))
    order = (*range(rank, rank + before), *range(rank), *range(rank + before, rank + len(rest)))
    return ndx.permute_dims(out, order)


def _filled(g: Graph, key: tuple[Any, ...], indices: tuple[Any, ...], ndim: int) -> list[Any]:
    """The key with its arrays, as integers, and with a slice for every axis that it does not name."""
    waiting = iter(indices)
    parts: list[Any] = []
    for part in key:
        taken = next(waiting) if part is ARRAY else np.asarray(part) if isinstance(part, list) else part
        known = taken.value if isinstance(taken, Constant) else taken
        if isinstance(known, np.ndarray) and known.dtype == bool and known.ndim:
            parts += [g.array(places, "int64") for places in np.nonzero(known)]
        elif part is ARRAY or isinstance(part, list):
            parts.append(g.array(taken, "int64"))
        else:
            parts.append(taken)
    missing = [slice(None)] * (ndim - sum(1 for part in parts if part is not None and part is not ...))
    at = next((i for i, part in enumerate(parts) if part is ...), len(parts))
    return [*parts[:at], *missing, *parts[at + 1 :]]


def _is_int(part: Any) -> bool:
    return isinstance(part, int | np.integer | Size) and not isinstance(part, bool)


@exported_as("setitem", "index_add", "scatter_add")
def _assigned(g: Graph, node: Node, *operands: Any) -> Any:
    dtype, shape, key = node.dtypes[0], node.shapes[0], node.static["key"]
    if node.name == "scatter_add":
        updates, *indices = operands
        x = g.broadcast(g.array(0, dtype), shape)
    else:
        x, updates, *indices = g.array(operands[0], dtype), *operands[1:]
    new = g.array(updates, dtype)
    if any(isinstance(i, Value) and dtype_of(g.array(i)).kind == "b" for i in indices):
        return _masked(g, node, x, new, g.array(indices[0]))
    # Every element's number, selected as the elements are: any key becomes one list of places.
    count = ndx.prod(x.dynamic_shape) if None in x.shape else int(np.prod(x.shape, dtype=int))
    numbers = ndx.reshape(ndx.arange(0, count), g.lengths(shape))
    places = _selected(g, ndx.astype(numbers, ndx.int64), key, tuple(indices))
    new = ndx.broadcast_to(new, places.dynamic_shape if None in places.shape else places.shape)
    flat = op.scatter_elements(
        ndx.reshape(x, (-1,)).unwrap_spox(),
        ndx.reshape(places, (-1,)).unwrap_spox(),
        ndx.reshape(new, (-1,)).unwrap_spox(),
        axis=0,
        reduction="none" if node.name == "setitem" else "add",
    )
    return ndx.reshape(ndx.asarray(flat), g.lengths(shape))


def _masked(g: Graph, node: Node, x: Any, new: Any, mask: Any) -> Any:
    if node.static["key"] != (ARRAY,) or len(new.shape) or node.name != "setitem":
        raise g.error(
            node, "a mask takes a single number, x[mask] = 0.0: how many it takes depends on values"
        )
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ndx.expand_dims(mask, axis=-1)
    return ndx.where(mask, new, x)
