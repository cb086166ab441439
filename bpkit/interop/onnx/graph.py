"""The ONNX graph while it grows: values as ndonnx arrays, weights by name, and sizes that a run knows."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ndonnx as ndx
import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v21 as op
from onnx import numpy_helper

from bpkit.errors import ExportError
from bpkit.interop.onnx.constants import Constant, Rows
from bpkit.interop.onnx.recording import Node, Shape, Value
from bpkit.interop.onnx.sizes import Filled, Ramp, Size, Triangle

__all__ = ["Function", "Graph", "dtype_of"]

LARGEST = 2**31 - 2**20
"""How many bytes the weights may have: Protocol Buffers end at 2 GiB, and the graph needs some."""
Function = Callable[..., Any]
"""``(graph, node, *operands) -> array or tuple of arrays``."""


def dtype_of(x: Any) -> np.dtype[Any]:
    """The dtype of an ndonnx array in NumPy's words."""
    found: np.dtype[Any] = x.dtype.unwrap_numpy()
    return found


class Graph:
    """An ONNX graph that is built step by step.

    Parameters
    ----------
    called : str
        What errors begin with.
    inputs : mapping of str to (shape, dtype)
        In order; a shape holds ints, and sizes that are one length.
    taken : iterable of str
        Names that no weight may have.

    Attributes
    ----------
    values : dict of Value to ndonnx.Array
    """

    def __init__(
        self, called: str, inputs: Mapping[str, tuple[Shape, np.dtype[Any]]], taken: Iterable[str]
    ) -> None:
        self._called = called
        self._inputs = {
            name: ndx.argument(
                shape=tuple([n.name if isinstance(n, Size) else n for n in shape]),
                dtype=ndx.from_numpy_dtype(dtype),
            )
            for name, (shape, dtype) in inputs.items()
        }
        self._taken = {*inputs, *taken}
        self._shapes = {name: shape for name, (shape, _) in inputs.items()}
        self.values = {Value(i): x for i, x in enumerate(self._inputs.values())}
        self._lengths: dict[str, Any] = {}
        self._weights: dict[str, tuple[spox.Var, np.ndarray[Any, Any]]] = {}
        self._constants: dict[int, Any] = {}

    def add(self, node: Node, function: Function) -> None:
        """Do what a node does.

        Raises
        ------
        ExportError
            If ONNX or ONNX Runtime cannot do it with these dtypes; the text names the function and the line.
        """
        try:
            with warnings.catch_warnings():
                # ndonnx warns where a dtype without a kernel is computed in one of less precision.
                warnings.simplefilter("error", UserWarning)
                out = function(self, node, *node.operands)
        except (ExportError, MemoryError):
            raise
        except Exception as error:
            raise self.error(node, f"{type(error).__name__}: {error}") from error
        outs = out if isinstance(out, tuple) else (out,)
        for value, x, dtype in zip(node.outs, outs, node.dtypes, strict=True):
            self.values[value] = (
                x if str(dtype_of(x)) == dtype else ndx.astype(x, ndx.from_numpy_dtype(np.dtype(dtype)))
            )

    def error(self, node: Node, why: str) -> ExportError:
        """What is wrong with a node."""
        dtypes = [str(dtype_of(self.values[x])) for x in node.operands if isinstance(x, Value)]
        line = f" (at {node.line})" if node.line else ""
        return ExportError(
            f"{self._called}: {node.name} of {', '.join(dtypes)}{line} cannot be exported: {why}"
        )

    # Operands.

    def array(self, x: Any, dtype: np.dtype[Any] | str | None = None) -> Any:
        """An operand as an array; of this dtype, if one is given."""
        wanted = None if dtype is None else np.dtype(dtype)
        found = self._array(x, wanted)
        if wanted is not None and dtype_of(found) != wanted:
            found = ndx.astype(found, ndx.from_numpy_dtype(wanted))
        return found

    def _array(self, x: Any, dtype: np.dtype[Any] | None) -> Any:
        if isinstance(x, Value):
            return self.values[x]
        if isinstance(x, Constant):
            return self._constant(x)
        if isinstance(x, Rows):
            rows = self._constant(x.array)[: self.size(x.count), ...]
            return rows[(None,) * x.lead + (...,)]
        if isinstance(x, Size):
            return self.size(x, dtype)
        return ndx.asarray(np.asarray(x, dtype=dtype))

    def _constant(self, x: Constant) -> Any:
        if isinstance(x.value, np.ndarray):
            if not x.value.ndim and not x.name:
                return ndx.asarray(x.value)
            if id(x.value) not in self._constants:
                self._constants[id(x.value)] = self._weight(x)
            return self._constants[id(x.value)]
        made: Filled | Ramp | Triangle = x.value
        kind = ndx.from_numpy_dtype(made.dtype)
        if isinstance(made, Filled):
            return self.broadcast(self.array(made.value, made.dtype), made.shape)
        if isinstance(made, Ramp):
            count: Any = ndx.prod(self.lengths(made.shape))
            flat = ndx.astype(ndx.arange(0, count), kind) * made.step + made.start
            return ndx.reshape(ndx.astype(flat, kind), self.lengths(made.shape))
        rows, columns = [self.array(n, "int64") for n in made.shape[-2:]]
        below = ndx.expand_dims(ndx.arange(0, rows), axis=1) >= ndx.expand_dims(
            ndx.arange(0, columns), axis=0
        )
        out = ndx.where(below, self.array(made.below, made.dtype), self.array(made.above, made.dtype))
        return self.broadcast(out, made.shape)

    def _weight(self, x: Constant) -> Any:
        name = x.name or f"constant_{len(self._weights)}"
        while name in self._taken:
            name = f"model.{name}"
        self._taken.add(name)
        tensor = spox.Tensor(x.value.dtype, x.value.shape)
        self._weights[name] = spox.argument(tensor), x.value
        return ndx.asarray(self._weights[name][0])

    # Sizes.

    def size(self, n: int | Size, dtype: np.dtype[Any] | None = None) -> Any:
        """An int as it is; a size as an array without axes, int64 unless said otherwise."""
        if not isinstance(n, Size):
            return n
        kind = np.dtype(np.int64 if dtype is None else dtype)
        total: Any = None
        for names, factor in n.terms:
            whole = factor.denominator == 1
            # What is no whole number only stands where an array of floats is asked for.
            term = self.array(int(factor) if whole and not n.inverse else float(factor), None)
            term = ndx.astype(
                term, ndx.from_numpy_dtype(np.dtype(np.int64) if whole and not n.inverse else kind)
            )
            for name in sorted(names):
                term = term * ndx.astype(self._length(name), term.dtype)
            total = term if total is None else total + ndx.astype(term, total.dtype)
        return ndx.astype(1.0 / total if n.inverse else total, ndx.from_numpy_dtype(kind))

    def _length(self, name: str) -> Any:
        if name not in self._lengths:
            holder, axis = next(
                (holder, axis)
                for holder, shape in self._shapes.items()
                for axis, n in enumerate(shape)
                if isinstance(n, Size) and n.name == name
            )
            self._lengths[name] = self._inputs[holder].dynamic_shape[axis]
        return self._lengths[name]

    def lengths(self, shape: Shape) -> Any:
        """A shape as ndonnx takes it: ints, or if a size is among them a vector."""
        if all(isinstance(n, int) for n in shape):
            return shape
        return ndx.concat([ndx.reshape(self.array(n, "int64"), (1,)) for n in shape])

    def broadcast(self, x: Any, shape: Shape) -> Any:
        """An array with the values of `x` in a shape."""
        if all(isinstance(n, int) for n in shape) and tuple(x.shape) == tuple(shape):
            return x
        lengths = self.lengths(shape)
        vector = (
            op.const(np.asarray(lengths, dtype=np.int64))
            if isinstance(lengths, tuple)
            else lengths.unwrap_spox()
        )
        return ndx.asarray(op.expand(x.unwrap_spox(), vector))

    # The model.

    def model(self, outputs: Mapping[str, Any], shapes: Mapping[str, Shape]) -> onnx.ModelProto:
        """The graph from the inputs to these outputs, with the weights inside.

        Raises
        ------
        ExportError
            If the weights do not fit into one file.
        """
        size = sum(value.nbytes for _, value in self._weights.values())
        if size >= LARGEST:
            raise ExportError(
                f"{self._called}: the weights have {size / 2**30:.1f} GiB, and an ONNX file holds less "
                f"than 2. Export parts of the model, or in float32"
            )
        arguments = {name: x.unwrap_spox() for name, x in self._inputs.items()}
        weights = {name: var for name, (var, _) in self._weights.items()}
        results = {name: x.unwrap_spox() for name, x in outputs.items()}
        model = spox.build({**arguments, **weights}, results)
        kept = [x for x in model.graph.input if x.name in arguments]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        for name, (_, value) in self._weights.items():
            model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        for value in model.graph.output:
            del value.type.tensor_type.shape.dim[:]
            for n in shapes[value.name]:
                dim = value.type.tensor_type.shape.dim.add()
                if isinstance(n, Size):
                    dim.dim_param = str(n)
                else:
                    dim.dim_value = n
        return model
