"""The whole way from a model and an example to a file that was tried out."""

import os
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import bpkit
from bpkit import nn, tree
from bpkit.errors import ArgumentError, MixedBackendsError
from bpkit.interop.onnx import selection, transcendental, windows  # noqa: F401 - they register functions
from bpkit.interop.onnx.checking import check
from bpkit.interop.onnx.compositions import meaning
from bpkit.interop.onnx.constants import Constant, Rows
from bpkit.interop.onnx.functions import FUNCTIONS
from bpkit.interop.onnx.graph import Graph
from bpkit.interop.onnx.recording import Recorded, Value, dtype_name, recorded, resized
from bpkit.interop.onnx.sizes import Size
from bpkit.kinds import is_complex, raw
from bpkit.registry import backend_of
from bpkit.trace import tracing
from bpkit.training.files import write
from bpkit.transforms.arguments import describe, is_array, title

__all__ = ["export"]

BATCH = "batch"
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


def export(
    model: Callable[..., Any],
    example: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic_batch: bool = False,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    verify: bool = True,
) -> onnx.ModelProto:
    """A model, or any function of arrays, as ONNX.

    The graph has opset 21. It computes what the model computes outside training, in the dtypes of the example
    and of the weights. Weights stand in it under the names of their places, ``layers[0].weight``, with ``.T``
    or ``.reshaped`` at the end where the model uses them so.

    Parameters
    ----------
    model : callable
        A Module, or a function of trees of arrays. Everything in it that is no argument is a constant.
    example : pytree, or tuple of pytrees
        What the model is called with; a tuple holds several arguments. Numbers and strings in it are
        settings.
    path : path, optional
        Where to write the file, which is whole or not there; None only returns it.
    dynamic_batch : bool
        Whether the first axis of every input may have any length when the model runs.
    dynamic_axes : mapping, optional
        The same for other axes: for the name of an input a mapping of axes to names, such as
        ``{"x": {0: "batch", 1: "time"}}``. Axes of one name have one length.
    input_names, output_names : sequence of str, optional
        For each array. The default for inputs is the name of the parameter, and what leads to the array from
        there: ``x``, ``inputs['image']``. For outputs it is ``output``, or ``output[0]``, ``output['mean']``.
    metadata : mapping of str to str, optional
        Stands in the file, beside bpkit's version and the model as text.
    verify : bool
        Whether onnxruntime, if it is installed, has to compute what bpkit computes for the example; with
        dynamic axes for other lengths too.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ExportError
        If a function of the model has no counterpart in ONNX, depends on the length of a dynamic axis in
        a way that cannot be written down, or onnxruntime computes something else. Then nothing is written.
    RecordingError
        If the model branches on the value of an array.
    ArgumentError
        If a name or an axis does not exist, or an input is complex.
    OSError
        If the file cannot be written.

    Notes
    -----
    In float32 convolutions are ONNX's operators. In float64, for which onnxruntime has no kernels, they are
    slices and one product of matrices; so is average pooling sums of slices in both.

    References
    ----------
    Open Neural Network Exchange, operators: https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> model = nn.Sequential(nn.Dense(4, 3, key=random.key(0)), nn.relu)
    >>> made = export(model, xp.ones((2, 4)), dynamic_batch=True)
    >>> [value.name for value in (*made.graph.input, *made.graph.initializer, *made.graph.output)]
    ['x', 'layers[0].weight.T', 'layers[0].bias', 'output']
    """
    if type(model).__module__.startswith("torch.") or hasattr(model, "named_parameters"):
        raise ArgumentError(
            f"onnx.export of {type(model).__name__}: it is a module of PyTorch, which torch.onnx.export "
            f"exports. bpkit exports a model of its own with these weights (bpkit.interop.weights.load), not "
            f"what bpkit.interop.torch.from_torch makes"
        )
    called = title("onnx.export", model)
    if path is not None and not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{called}: there is no folder {Path(path).parent} for the file {path}")
    if tracing():
        raise ArgumentError(f"{called}: it was called inside a transform; export the model outside")
    args = example if type(example) is tuple else (example,)
    leaves, structure = tree.flatten(args)
    places = [i for i, x in enumerate(leaves) if is_array(x)]
    if not places:
        raise ArgumentError(f"{called}: the example must hold arrays; it is {describe(example)}")
    names = _names(called, "input_names", input_names, [_named_arguments(model, args)[i] for i in places])
    axes = _axes(called, names, [leaves[i] for i in places], dynamic_batch, dynamic_axes)
    for name, i in zip(names, places, strict=True):
        if is_complex(leaves[i]):
            raise ArgumentError(f"{called}: {name} is complex, which ONNX Runtime has no arithmetic for")
    try:
        found = recorded(called, model, structure, leaves, places, axes, meaning)
    except MixedBackendsError as error:
        held = {backend_of(raw(x)).name for x in tree.leaves(model) if is_array(x)}
        given = {backend_of(leaves[i]).name for i in places}
        if not held or held == given:
            raise
        raise ArgumentError(
            f"{called}: the example is an array of {', '.join(sorted(given))}, the model's arrays are of "
            f"{', '.join(sorted(held))}; pass an example of that library"
        ) from error
    outputs = ["output" + accessor.codify("") for accessor in found.arrangement.accessors()]
    outputs = _names(called, "output_names", output_names, outputs)
    made = _built(called, found, names, [leaves[i] for i in places], axes, outputs)
    _describe(made, model, metadata or {})
    onnx.checker.check_model(made, full_check=True)
    for lengths, trial in _trials(leaves, places, axes, found.lengths) if verify else ():
        inputs = {name: trial[i] for name, i in zip(names, places, strict=True)}
        results = _results(model, structure, trial)
        if results is not None:
            check(called, made, inputs, outputs, results, lengths)
    if path is not None:
        write(Path(path), made.SerializeToString())
    return made


def _trials(
    leaves: list[Any], places: list[int], axes: Mapping[int, Mapping[int, str]], lengths: Mapping[str, int]
) -> list[tuple[Mapping[str, int], list[Any]]]:
    """What is tried out: the example, and with dynamic axes other lengths, and 1, where arrays broadcast."""
    others = [lengths, dict.fromkeys(lengths, 1)] if lengths else []
    return [({}, leaves), *[(chosen, resized(leaves, places, axes, chosen)) for chosen in others]]


def _results(model: Callable[..., Any], structure: tree.Structure, leaves: Sequence[Any]) -> list[Any] | None:
    """What the model returns; None if it does not take arrays of these lengths."""
    try:
        with nn.mode.outside():
            return tree.leaves(model(*tree.unflatten(structure, leaves)))
    except Exception:  # noqa: BLE001 - it took the example, and other lengths
        return None


def _named_arguments(model: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """What each leaf of the arguments is called."""
    try:
        parameters = list(signature(model).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds][: len(args)]
    rest = next((p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL), "input")
    several = len(args) - len(names)
    names += [rest if several == 1 else f"{rest}[{i}]" for i in range(several)]
    return [name + path for name, x in zip(names, args, strict=True) for path in tree.paths(x)]


def _names(called: str, what: str, given: Sequence[str] | None, found: list[str]) -> list[str]:
    if given is None:
        return found
    names = list(given)
    if isinstance(given, str) or len(names) != len(found) or len({*names}) != len(names):
        raise ArgumentError(
            f"{called}: {what}={given!r}; expected {len(found)} different names, for {', '.join(found)}"
        )
    return names


def _axes(
    called: str,
    names: list[str],
    arrays: list[Any],
    dynamic_batch: bool,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None,
) -> dict[int, dict[int, str]]:
    """For the number of an input the names of its dynamic axes."""
    axes: dict[int, dict[int, str]] = {}
    for number, x in enumerate(arrays):
        if dynamic_batch and x.shape:
            axes[number] = {0: BATCH}
    for name, named in (dynamic_axes or {}).items():
        if name not in names:
            raise ArgumentError(
                f"{called}: dynamic_axes names the input {name!r}; the inputs are {', '.join(names)}"
            )
        if not isinstance(named, Mapping):
            raise ArgumentError(
                f"{called}: dynamic_axes[{name!r}] must map axes to names, as {{0: 'batch'}}; it is {named!r}"
            )
        number = names.index(name)
        ndim = len(arrays[number].shape)
        for axis, length in named.items():
            if type(axis) is not int or not -ndim <= axis < ndim or not isinstance(length, str):
                raise ArgumentError(
                    f"{called}: dynamic_axes[{name!r}] has {axis!r}: {length!r}; expected one of the {ndim} "
                    f"axes and a name for its length"
                )
            axes.setdefault(number, {})[axis % ndim] = length
    return axes


def _built(
    called: str,
    found: Recorded,
    names: list[str],
    arrays: list[Any],
    axes: Mapping[int, Mapping[int, str]],
    outputs: list[str],
) -> onnx.ModelProto:
    inputs = {}
    for number, (name, x) in enumerate(zip(names, arrays, strict=True)):
        dtype = dtype_name(x.dtype)
        if dtype not in DTYPES:
            raise ArgumentError(f"{called}: {name} has dtype {x.dtype}; expected one of {', '.join(DTYPES)}")
        sizes = {axis: Size.of(length) for axis, length in axes.get(number, {}).items()}
        shape = tuple([sizes.get(axis, length) for axis, length in enumerate(x.shape)])
        inputs[name] = (shape, np.dtype(dtype))
    graph = Graph(called, inputs, outputs)
    shapes = {Value(i): shape for i, (shape, _) in enumerate(inputs.values())}
    for node in found.nodes:
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise graph.error(
                node,
                "ONNX has no such operator. Leave this part out, or write it with other functions",
            )
        graph.add(node, function)
        shapes |= dict(zip(node.outs, node.shapes, strict=True))
    results = {name: graph.array(x) for name, x in zip(outputs, found.outputs, strict=True)}
    return graph.model(
        results, {name: _shape(shapes, x) for name, x in zip(outputs, found.outputs, strict=True)}
    )


def _shape(shapes: Mapping[Value, Any], x: Any) -> Any:
    if isinstance(x, Value):
        return shapes[x]
    if isinstance(x, Rows):
        return ((1,) * x.lead) + (x.count, *x.array.value.shape[1:])
    return tuple(x.value.shape) if isinstance(x, Constant) else ()


def _describe(made: onnx.ModelProto, model: Callable[..., Any], metadata: Mapping[str, str]) -> None:
    made.producer_name, made.producer_version = "bpkit", bpkit.__version__
    made.graph.name = getattr(model, "__name__", type(model).__name__)
    text = repr(model) if isinstance(model, nn.Module) else made.graph.name
    made.doc_string = text
    onnx.helper.set_model_props(made, {"bpkit_version": bpkit.__version__, "model": text, **metadata})
