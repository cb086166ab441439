"""What a model does to its arguments, recorded at the lengths of its dynamic axes that are needed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from bpkit import tree
from bpkit._messages import user_line
from bpkit.errors import ArgumentError, ExportError
from bpkit.evaluate import Definition
from bpkit.interop.onnx.constants import Weights, host_of
from bpkit.interop.onnx.sizes import Size, Unequal, agree, fitted, subsets
from bpkit.kinds import raw
from bpkit.namespace.xp import namespace_of
from bpkit.nn import mode
from bpkit.record import Program, Recorder, Slot
from bpkit.registry import backend_of
from bpkit.trace import Traced
from bpkit.transforms.arguments import describe, is_array, link_of, unwrap

__all__ = ["Node", "Recorded", "Shape", "Value", "dtype_name", "recorded", "resized"]

Shape = tuple[int | Size, ...]
Axes = Mapping[int, Mapping[int, str]]
"""For the number of an input the names of its dynamic axes."""


class Value(NamedTuple):
    """The place of an input, or of a result of a node, in the order in which they come to be."""

    number: int


class Node(NamedTuple):
    """One function of a model.

    Attributes
    ----------
    name : str
    operands : tuple
        Values, constants, numbers and None.
    static : dict
        Its settings.
    outs : tuple of Value
    shapes : tuple of tuple of int or Size
        Of its results.
    dtypes : tuple of str
    line : str
        Where the user's code called it.
    """

    name: str
    operands: tuple[Any, ...]
    static: dict[str, Any]
    outs: tuple[Value, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    line: str


class Recorded(NamedTuple):
    """What a function did to its inputs, which are the first values.

    Attributes
    ----------
    nodes : list of Node
    outputs : list
        Values, constants and numbers.
    arrangement : Structure
        Of the result.
    lengths : dict of str to int
        Of the dynamic axes, at which all of it was looked at once more.
    """

    nodes: list[Node]
    outputs: list[Any]
    arrangement: tree.Structure
    lengths: dict[str, int]


Meaning = Callable[[str, Any, dict[str, Any]], Definition | None]
"""``(name, first operand, settings)``: by which definition a function is exported, if not as itself."""


class _Recorder(Recorder):
    """One that looks into functions with derivatives of their own, and into those that are not known."""

    __slots__ = ("_inside", "_meaning")

    opens = True

    def __init__(self, called: str, keep: Callable[[Any], Any], meaning: Meaning) -> None:
        super().__init__(called, user_line, keep)
        self._meaning = meaning
        self._inside: list[str] = []

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Note `name`, or what it means in other functions."""
        x = next((x for x in operands if isinstance(x, Traced) and x._trace is self and x._link), None)
        meaning = self._meaning(name, operands[0], static) if self.live and x is not None else None
        # Some definitions only say how the library's own function is called.
        if meaning is not None and name not in self._inside:
            self._inside.append(name)
            try:
                return meaning(namespace_of(backend_of(raw(x))), *operands, **static)
            finally:
                self._inside.pop()
        return super().process(name, operands, static)


def resized(
    leaves: Sequence[Any], places: Sequence[int], axes: Axes, lengths: Mapping[str, int]
) -> list[Any]:
    """The example with other lengths of its dynamic axes: cut off, or repeated from the start."""
    found = list(leaves)
    for number, place in enumerate(places):
        x = leaves[place]
        backend, host = backend_of(x), host_of(x)
        for axis, name in axes.get(number, {}).items():
            host = np.take(host, np.arange(lengths[name]) % host.shape[axis], axis=axis)
        found[place] = backend.from_host(host, getattr(x, "device", None)) if number in axes else x
    return found


def recorded(
    called: str,
    fun: Callable[..., Any],
    structure: tree.Structure,
    leaves: Sequence[Any],
    places: Sequence[int],
    axes: Axes,
    meaning: Meaning,
) -> Recorded:
    """Run the function, once for each choice of lengths, and make one program of what it did.

    Raises
    ------
    ExportError
        If it does something that no size explains; the text names the function and the line.
    """
    names = sorted({name for named in axes.values() for name in named.values()})
    weights = Weights(fun, bool(names))
    found = {name: _length(called, leaves, places, axes, name) for name in names}
    # Lengths of 1 broadcast, and multiples keep what is divided by a length even.
    first = {name: max(length, 2) for name, length in found.items()}
    other = {name: 2 * length for name, length in first.items()}
    third = {name: 3 * length for name, length in first.items()}
    choices = [{**first, **{name: other[name] for name in chosen}} for chosen in subsets(names)]
    runs = []
    for lengths in [*choices, third] if names else [{}]:
        given = resized(leaves, places, axes, lengths)
        try:
            runs.append(_run(called, fun, structure, given, places, weights, meaning))
        except Exception as error:
            if lengths == found:  # nothing to do with the axes
                raise
            raise ExportError(
                f"{called}: the model fails with {_spelled(lengths)}: {type(error).__name__}: {error}. An "
                f"axis can only be dynamic if the model takes any length of it"
            ) from error
    programs = [program for program, _ in runs]
    merged = _merged(called, programs[: len(choices)], first, other)
    if names:
        _check(called, merged, programs[-1], third)
    return Recorded(*merged, runs[0][1], third)


def _length(called: str, leaves: Sequence[Any], places: Sequence[int], axes: Axes, name: str) -> int:
    lengths = {
        leaves[places[number]].shape[axis]
        for number, named in axes.items()
        for axis, other in named.items()
        if other == name
    }
    if len(lengths) > 1 or 0 in lengths:
        raise ArgumentError(
            f"{called}: the axes called {name!r} must have one length in the example, and not 0; they have "
            f"{', '.join(map(str, sorted(lengths)))}. Give those that may differ "
            f"different names in dynamic_axes"
        )
    return int(lengths.pop())


def _run(
    called: str,
    fun: Callable[..., Any],
    structure: tree.Structure,
    leaves: Sequence[Any],
    places: Sequence[int],
    weights: Weights,
    meaning: Meaning,
) -> tuple[Program, tree.Structure]:
    recorder = _Recorder(called, weights.keep, meaning)
    with ExitStack() as stack:
        stack.enter_context(mode.outside())
        stack.enter_context(recorder)
        recorder.entered += [leaves[i] for i in places]
        watched = [recorder.input(x) if i in places else x for i, x in enumerate(leaves)]
        out = fun(*tree.unflatten(structure, watched))
    found, arrangement = tree.flatten(out)
    for path, x in zip(tree.paths(out), found, strict=True):
        if not is_array(x) and not isinstance(x, bool | int | float):
            raise ArgumentError(f"{called}: the result{path} must be an array; it is {describe(x)}")
    slots = [link_of(recorder, x) for x in found]
    values = [unwrap(called, recorder, x) for x in found]
    outputs = [weights.keep(x) if slot is None else slot for slot, x in zip(slots, values, strict=True)]
    return Program(recorder.inputs, recorder.steps, outputs), arrangement


def dtype_name(dtype: Any) -> str:
    """The standard's name of a dtype: "torch.float32" and "float32" both mean float32."""
    return str(dtype).rpartition(".")[2]


def _slots(program: Program) -> list[Slot]:
    return [*program.inputs, *[out for step in program.steps for out in step.outs]]


# Several recordings as one.


def _numbered(program: Program) -> tuple[list[Node], list[Any]]:
    """The steps and the outputs of a program with numbers for its slots."""
    numbers = {slot: Value(i) for i, slot in enumerate(_slots(program))}

    def number(x: Any) -> Any:
        return numbers[x] if isinstance(x, Slot) else x

    nodes = [
        Node(
            step.name,
            tuple(map(number, step.operands)),
            step.static,
            tuple([numbers[out] for out in step.outs]),
            tuple([out.shape for out in step.outs]),
            tuple([dtype_name(out.dtype) for out in step.outs]),
            step.line,
        )
        for step in program.steps
    ]
    return nodes, list(map(number, program.outputs))


def _merged(
    called: str, programs: Sequence[Program], first: Mapping[str, int], other: Mapping[str, int]
) -> tuple[list[Node], list[Any]]:
    alike = [_numbered(program) for program in programs]
    _check_course(called, [nodes for nodes, _ in alike], first)
    merged = []
    for nodes in zip(*[nodes for nodes, _ in alike], strict=True):
        try:
            merged.append(fitted(nodes, first, other))
        except Unequal as error:
            raise _not_dynamic(called, nodes[0], first, str(error)) from None
    try:
        return merged, fitted([outputs for _, outputs in alike], first, other)
    except Unequal as error:
        raise ExportError(f"{called}: a result does not follow {_spelled(first)}: {error}") from None


def _check_course(called: str, alike: Sequence[list[Node]], lengths: Mapping[str, int]) -> None:
    """Refuse functions that do other steps at another size."""
    courses = [[(node.name, node.line) for node in nodes] for nodes in alike]
    for course in courses[1:]:
        for node, step, same in zip(alike[0], course, courses[0], strict=False):
            if step != same:
                raise _not_dynamic(called, node, lengths, f"in its place there is {step[0]} at another size")
        if len(course) != len(courses[0]):
            raise ExportError(
                f"{called}: the model takes {len(courses[0])} steps with {_spelled(lengths)} and "
                f"{len(course)} with another length, as a loop over that axis does. {_ADVICE}"
            )


def _check(
    called: str, merged: tuple[list[Node], list[Any]], program: Program, lengths: Mapping[str, int]
) -> None:
    """Whether what was made of some lengths is true of others."""
    nodes, outputs = _numbered(program)
    _check_course(called, [merged[0], nodes], lengths)
    for node, found in zip(merged[0], nodes, strict=True):
        if not agree(node, found, lengths):
            text = (
                f"with {_spelled(lengths)} it is {found.name} of {found.static}, not what its sizes promised"
            )
            raise _not_dynamic(called, node, lengths, text)
    if not agree(merged[1], outputs, lengths):
        raise ExportError(f"{called}: a result does not follow {_spelled(lengths)}. {_ADVICE}")


_ADVICE = "Export it with this axis as it is in the example, or write the model so that it takes any length"


def _not_dynamic(called: str, node: Node, lengths: Mapping[str, int], why: str) -> ExportError:
    line = f" (at {node.line})" if node.line else ""
    return ExportError(
        f"{called}: {node.name}{line} cannot follow the length of {', '.join(lengths)}: {why}. {_ADVICE}"
    )


def _spelled(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={length}" for name, length in lengths.items())
