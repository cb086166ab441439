"""What the functions of the namespace are in ONNX: those that ndonnx has, and reductions, shapes, indices."""

from collections.abc import Callable
from typing import Any

import ndonnx as ndx
import numpy as np
import spox.opset.ai.onnx.v21 as op

from bpkit.indexing import ARRAY
from bpkit.interop.onnx.graph import Function, Graph, dtype_of
from bpkit.interop.onnx.recording import Node
from bpkit.interop.onnx.sizes import Size

__all__ = ["FUNCTIONS", "exported_as"]

FUNCTIONS: dict[str, Function] = {}
"""By the names of :func:`bpkit.trace.call`."""

_INT = ndx.int64


def exported_as(*names: str) -> Callable[[Function], Function]:
    """Register what functions are in ONNX."""

    def register(function: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(names, function))
        return function

    return register


# Element by element. Operands are converted to the dtype that bpkit found for the result.

_ARITHMETIC = (
    *("abs", "add", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or"),
    *("bitwise_right_shift", "bitwise_xor", "ceil", "cos", "divide", "exp", "floor"),
    *("floor_divide", "log", "log10", "log2", "logaddexp", "maximum", "minimum", "multiply"),
    *("negative", "positive", "pow", "reciprocal", "remainder", "round", "sign", "sin", "sqrt", "square"),
    *("subtract", "tanh", "trunc"),
)
_QUESTIONS = (
    *("equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal"),
    *("logical_and", "logical_not", "logical_or", "logical_xor", "not_equal"),
)


def operands_of(g: Graph, node: Node) -> list[Any]:
    """Operands in the dtype of the result."""
    return [g.array(x, node.dtypes[0]) for x in node.operands]


def _arithmetic(g: Graph, node: Node, *operands: Any) -> Any:
    return getattr(ndx, node.name)(*operands_of(g, node))


def _question(g: Graph, node: Node, *operands: Any) -> Any:
    arrays = [x if isinstance(x, bool | int | float) else g.array(x) for x in operands]
    dtypes = [x if isinstance(x, bool | int | float) else dtype_of(x) for x in arrays]
    common = np.result_type(*dtypes)
    return getattr(ndx, node.name)(*[g.array(x, common) for x in operands])


FUNCTIONS.update(dict.fromkeys(_ARITHMETIC, _arithmetic))
FUNCTIONS.update(dict.fromkeys(_QUESTIONS, _question))


@exported_as("where")
def _where(g: Graph, node: Node, condition: Any, x: Any, y: Any) -> Any:
    dtype = node.dtypes[0]
    return ndx.where(g.array(condition, "bool"), g.array(x, dtype), g.array(y, dtype))


@exported_as("clip")
def _clip(g: Graph, node: Node, x: Any, least: Any, most: Any) -> Any:
    out = g.array(x, node.dtypes[0])
    if least is not None:
        out = ndx.maximum(out, g.array(least, node.dtypes[0]))
    return out if most is None else ndx.minimum(out, g.array(most, node.dtypes[0]))


@exported_as("astype", "cotangent_as")
def _astype(g: Graph, node: Node, x: Any) -> Any:
    return g.array(x, node.dtypes[0])


@exported_as("stop_gradient", "real", "conj")
def _same(g: Graph, node: Node, x: Any) -> Any:
    return g.array(x)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "relu": op.relu,
    "expit": op.sigmoid,
    "softmax": op.softmax,
    "log_softmax": op.log_softmax,
}


@exported_as(*_OPERATORS)
def _one_operator(g: Graph, node: Node, *operands: Any) -> Any:
    return ndx.asarray(_OPERATORS[node.name](operands_of(g, node)[0].unwrap_spox(), **node.static))


# New arrays like another.


@exported_as("zeros_like", "ones_like", "empty_like", "full_like")
def _like(g: Graph, node: Node, x: Any) -> Any:
    value = node.static.get("fill_value", 1 if node.name == "ones_like" else 0)
    return g.broadcast(g.array(value, node.dtypes[0]), node.shapes[0])


# Reductions.


@exported_as("sum", "mean")
def _sum(g: Graph, node: Node, x: Any) -> Any:
    array, axis = g.array(x, node.dtypes[0]), node.static["axis"]
    if dtype_of(array).kind != "f":
        return getattr(ndx, node.name)(array, axis=axis, keepdims=node.static["keepdims"])
    axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduce = op.reduce_sum if node.name == "sum" else op.reduce_mean
    places = op.const(np.asarray([*axes], dtype=np.int64))
    keepdims = node.static["keepdims"]
    return ndx.asarray(reduce(array.unwrap_spox(), places, keepdims=keepdims, noop_with_empty_axes=True))


@exported_as("prod", "max", "min", "any", "all", "var", "std", "count_nonzero")
def _reduction(g: Graph, node: Node, x: Any) -> Any:
    settings = {key: value for key, value in node.static.items() if key != "dtype"}
    accumulates = node.name in ("prod", "var", "std")
    array = g.array(x, node.dtypes[0] if accumulates else "bool" if node.name in ("any", "all") else None)
    if node.static["axis"] == ():
        return array
    return getattr(ndx, node.name)(array, **settings)


@exported_as("argmax", "argmin")
def _place(g: Graph, node: Node, x: Any) -> Any:
    return getattr(ndx, node.name)(g.array(x), **node.static)


@exported_as("cumulative_sum", "cumulative_prod")
def _cumulative(g: Graph, node: Node, x: Any) -> Any:
    axis, initial = node.static["axis"], node.static["include_initial"]
    return getattr(ndx, node.name)(g.array(x, node.dtypes[0]), axis=axis, include_initial=initial)


# Shapes.


@exported_as("reshape")
def _reshape(g: Graph, node: Node, x: Any) -> Any:
    shape = node.shapes[0]
    unknown = [i for i, n in enumerate(shape) if isinstance(n, Size)]
    if len(unknown) == 1 and 0 not in shape:
        return ndx.reshape(g.array(x), tuple([-1 if isinstance(n, Size) else n for n in shape]))
    return ndx.reshape(g.array(x), g.lengths(shape))


@exported_as("broadcast_to")
def _broadcast_to(g: Graph, node: Node, x: Any) -> Any:
    return g.broadcast(g.array(x), node.shapes[0])


@exported_as("permute_dims")
def _permute_dims(g: Graph, node: Node, x: Any) -> Any:
    return ndx.permute_dims(g.array(x), node.static["axes"])


@exported_as("matrix_transpose")
def _matrix_transpose(g: Graph, node: Node, x: Any) -> Any:
    return ndx.matrix_transpose(g.array(x))


@exported_as("flip", "roll", "tril", "triu", "sort", "argsort")
def _rearranged(g: Graph, node: Node, x: Any) -> Any:
    return getattr(ndx, node.name)(g.array(x), **node.static)


@exported_as("concat")
def _concat(g: Graph, node: Node, *operands: Any) -> Any:
    arrays = operands_of(g, node)
    axis = node.static["axis"]
    if axis is None:
        arrays, axis = [ndx.reshape(x, (-1,)) for x in arrays], 0
    return ndx.concat(arrays, axis=axis)


@exported_as("slices")
def _slices(g: Graph, node: Node, x: Any) -> tuple[Any, ...]:
    axis, array = node.static["axis"], g.array(x).unwrap_spox()
    return tuple(
        [ndx.asarray(op.gather(array, op.const(np.int64(i)), axis=axis)) for i in range(len(node.outs))]
    )


@exported_as("pad")
def _pad(g: Graph, node: Node, x: Any, value: Any) -> Any:
    pairs = node.static["pad_width"]
    pads = op.const(np.asarray([*[n for n, _ in pairs], *[n for _, n in pairs]], dtype=np.int64))
    array = g.array(x)
    filling = g.array(value, node.dtypes[0]).unwrap_spox()
    return ndx.asarray(op.pad(array.unwrap_spox(), pads, filling))


# Products.


@exported_as("matmul")
def _matmul(g: Graph, node: Node, *operands: Any) -> Any:
    x, y = operands_of(g, node)
    if 0 in x.shape[-1:] or dtype_of(x).kind != "f":
        return ndx.matmul(x, y)
    return ndx.asarray(op.matmul(x.unwrap_spox(), y.unwrap_spox()))


@exported_as("linalg.diagonal")
def _diagonal(g: Graph, node: Node, x: Any) -> Any:
    array, offset = g.array(x), node.static["offset"]
    rows, columns = array.shape[-2:]
    if rows is None or columns is None:
        raise g.error(node, "the axes of the matrices are dynamic")
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    first = max(offset, 0) + max(-offset, 0) * columns
    flat = ndx.reshape(array, g.lengths((*node.shapes[0][:-1], rows * columns)))
    return ndx.take(flat, ndx.asarray(np.arange(count) * (columns + 1) + first), axis=-1)


# Selection and assignment.


@exported_as("take")
def _take(g: Graph, node: Node, x: Any, indices: Any) -> Any:
    axis = node.static["axis"]
    return ndx.asarray(
        op.gather(g.array(x).unwrap_spox(), g.array(indices, "int64").unwrap_spox(), axis=axis or 0)
    )


@exported_as("take_along_axis")
def _take_along_axis(g: Graph, node: Node, x: Any, indices: Any) -> Any:
    array, axis = g.array(x), node.static["axis"]
    places = g.broadcast(g.array(indices, "int64"), node.shapes[0])
    if any(n == 1 for n in array.shape):
        lengths = list(node.shapes[0])
        lengths[axis] = array.shape[axis] if array.shape[axis] is not None else array.dynamic_shape[axis]
        if all(isinstance(n, int) for n in lengths):
            array = ndx.broadcast_to(array, tuple(lengths))
    return ndx.asarray(op.gather_elements(array.unwrap_spox(), places.unwrap_spox(), axis=axis))


@exported_as("searchsorted")
def _searchsorted(g: Graph, node: Node, x1: Any, x2: Any, sorter: Any) -> Any:
    order = None if sorter is None else g.array(sorter, "int64")
    return ndx.searchsorted(g.array(x1), g.array(x2), side=node.static["side"], sorter=order)


@exported_as("getitem")
def _getitem(g: Graph, node: Node, x: Any, *indices: Any) -> Any:
    return _selected(g, g.array(x), node.static["key"], indices)


def _selected(g: Graph, x: Any, key: tuple[Any, ...], indices: tuple[Any, ...]) -> Any:
    """``x[key]``: what is not an array first, and then the arrays, on the axes that are left for them."""
    waiting = iter([g.array(i, "int64") for i in indices])
    arrays: list[tuple[int, Any]] = []
    plain: list[Any] = []
    taken = sum(1 for part in key if part is not None and part is not ...)
    missing = len(x.shape) - taken
    parts = [part for part in key if part is not ...] if ... in key else list(key)
    if ... in key:
        at = key.index(...)
        parts[at:at] = [slice(None)] * missing
    else:
        parts += [slice(None)] * missing
    kept = 0
    advanced = [i for i, part in enumerate(parts) if part is ARRAY]
    for part in parts:
        if part is ARRAY:
            arrays.append((kept, next(waiting)))
            plain.append(slice(None))
            kept += 1
        elif isinstance(part, list):
            arrays.append((kept, ndx.asarray(np.asarray(part, dtype=np.int64))))
            plain.append(slice(None))
            kept += 1
        elif arrays_beside_ints(parts) and _is_int(part):
            # Beside arrays an int counts as one of them.
            arrays.append((kept, ndx.astype(g.array(part, "int64"), _INT)))
            plain.append(slice(None))
            kept += 1
        elif _is_int(part):
            plain.append(g.size(part) if isinstance(part, Size) else int(part))
        elif part is None:
            plain.append(None)
            kept += 1
        else:
            plain.append(
                slice(*[None if n is None else g.size(n) for n in (part.start, part.stop, part.step)])
            )
            kept += 1
    if any(not (isinstance(part, slice) and part == slice(None)) for part in plain):
        x = x[tuple(plain)]
    if not arrays:
        return x
    if len(arrays) == 1:
        axis, places = arrays[0]
        return ndx.asarray(op.gather(x.unwrap_spox(), places.unwrap_spox(), axis=axis))
    axes = [axis for axis, _ in arrays]
    rest = [i for i in range(len(x.shape)) if i not in axes]
    together = axes == list(range(axes[0], axes[-1] + 1)) and _adjacent(parts, advanced)
    front = ndx.permute_dims(x, (*axes, *rest))
    places = ndx.broadcast_arrays(*[place for _, place in arrays])
    rank = len(places[0].shape)
    out = ndx.asarray(op.gather_nd(front.unwrap_spox(), ndx.stack(places, axis=-1).unwrap_spox()))
    if not together:
        return out
    before = [i for i in rest if i < axes[0]]
    order = (*range(rank, rank + len(before)), *range(rank), *range(rank + len(before), rank + len(rest)))
    return ndx.permute_dims(out, order)


def _is_int(part: Any) -> bool:
    return isinstance(part, int | np.integer | Size) and not isinstance(part, bool)


def arrays_beside_ints(parts: list[Any]) -> bool:
    """Whether a key has arrays, beside which an int stands for one."""
    return any(part is ARRAY or isinstance(part, list) for part in parts)


def _adjacent(parts: list[Any], advanced: list[int]) -> bool:
    """Whether the arrays, and the ints beside them, stand next to each other."""
    found = [i for i, part in enumerate(parts) if part is ARRAY or isinstance(part, list) or _is_int(part)]
    return found == list(range(found[0], found[-1] + 1))


@exported_as("setitem", "index_add", "scatter_add")
def _assigned(g: Graph, node: Node, *operands: Any) -> Any:
    dtype, shape, key = node.dtypes[0], node.shapes[0], node.static["key"]
    if node.name == "scatter_add":
        updates, *indices = operands
        x = g.broadcast(g.array(0, dtype), shape)
    else:
        x, updates, *indices = g.array(operands[0], dtype), *operands[1:]
    new = g.array(updates, dtype)
    masks = [i for i in indices if dtype_of(g.array(i)).kind == "b"]
    if masks:
        if key != (ARRAY,) or len(new.shape) or node.name != "setitem":
            raise g.error(
                node, "a mask takes a single number, x[mask] = 0.0: how many it takes depends on values"
            )
        mask = g.array(masks[0])
        mask = ndx.reshape(
            mask, (*[n if n is not None else -1 for n in mask.shape], *[1] * (len(shape) - mask.ndim))
        )
        return ndx.where(mask, new, x)
    # Every element's number, selected as the elements are: any key becomes one list of places.
    count = ndx.prod(x.dynamic_shape) if None in x.shape else int(np.prod(x.shape, dtype=int))
    numbers = ndx.reshape(ndx.arange(0, count), g.lengths(shape))
    places = _selected(g, ndx.astype(numbers, _INT), key, tuple(indices))
    new = ndx.broadcast_to(new, places.dynamic_shape if None in places.shape else places.shape)
    flat = op.scatter_elements(
        ndx.reshape(x, (-1,)).unwrap_spox(),
        ndx.reshape(places, (-1,)).unwrap_spox(),
        ndx.reshape(new, (-1,)).unwrap_spox(),
        axis=0,
        reduction="none" if node.name == "setitem" else "add",
    )
    return ndx.reshape(ndx.asarray(flat), g.lengths(shape))
