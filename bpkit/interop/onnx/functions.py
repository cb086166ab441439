"""What the functions of the namespace are in ONNX: those that ndonnx has, and reductions and shapes."""

from collections.abc import Callable
from typing import Any

import ndonnx as ndx
import numpy as np
import spox.opset.ai.onnx.v21 as op

from bpkit.interop.onnx.graph import Function, Graph, dtype_of
from bpkit.interop.onnx.recording import Node
from bpkit.interop.onnx.sizes import Size

__all__ = ["FUNCTIONS", "exported_as"]

FUNCTIONS: dict[str, Function] = {}
"""By the names of :func:`bpkit.trace.call`."""


def exported_as(*names: str) -> Callable[[Function], Function]:
    """Register what functions are in ONNX."""

    def register(function: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(names, function))
        return function

    return register


# Element by element. Operands are converted to the dtype that bpkit found for the result.

_ARITHMETIC = (
    *("abs", "add", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or"),
    *("bitwise_right_shift", "bitwise_xor", "ceil", "divide", "exp", "floor"),
    *("log", "log10", "log2", "maximum", "minimum", "multiply"),
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


@exported_as("floor_divide")
def _floor_divide(g: Graph, node: Node, *operands: Any) -> Any:
    x, y = operands_of(g, node)
    if dtype_of(x).kind != "f":
        return ndx.floor_divide(x, y)
    # Not the floor of a quotient that was rounded: 1.0 // 0.1 is 9.
    whole = ndx.round((x - ndx.remainder(x, y)) / y)
    beyond = ndx.where(ndx.isfinite(x), ndx.minimum(ndx.sign(x) * ndx.sign(y), ndx.zeros_like(x * y)), x - x)
    return ndx.where(ndx.isinf(y), beyond, ndx.where(y == 0.0, x / y, whole))


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
    x = operands_of(g, node)[0]
    if dtype_of(x) == np.float64 and node.name == "expit":
        return 1.0 / (1.0 + ndx.exp(-x))  # ONNX Runtime's own keeps 7 digits of what is near 0.
    if dtype_of(x) == np.float64 and node.name == "log_softmax":
        # ONNX Runtime's own loses a nan.
        away = x - ndx.max(x, axis=node.static["axis"], keepdims=True)
        return away - ndx.log(ndx.sum(ndx.exp(away), axis=node.static["axis"], keepdims=True))
    return ndx.asarray(_OPERATORS[node.name](x.unwrap_spox(), **node.static))


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


@exported_as("cumulative_sum")
def _cumulative_sum(g: Graph, node: Node, x: Any) -> Any:
    axis, initial = node.static["axis"], node.static["include_initial"]
    return ndx.cumulative_sum(g.array(x, node.dtypes[0]), axis=axis, include_initial=initial)


@exported_as("cumulative_prod")
def _cumulative_prod(g: Graph, node: Node, x: Any) -> Any:
    # Products of the rows of a triangle; ndonnx's, a sum of logarithms, is nan for what is below 0.
    array = g.array(x, node.dtypes[0])
    axis = (node.static["axis"] or 0) % array.ndim
    last = ndx.moveaxis(array, axis, -1)
    count = array.shape[axis] if array.shape[axis] is not None else array.dynamic_shape[axis]
    places = ndx.arange(0, count)
    ends = ndx.arange(0, count) if not node.static["include_initial"] else ndx.arange(-1, count)
    within = ndx.expand_dims(places, axis=0) <= ndx.expand_dims(ends, axis=1)
    one = g.array(1, node.dtypes[0])
    out = ndx.prod(ndx.where(within, ndx.expand_dims(last, axis=-2), one), axis=-1)
    return ndx.moveaxis(out, -1, axis)


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
