"""What a model does to its arguments, recorded at the lengths of its dynamic axes that are needed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import prod
from typing import Any, NamedTuple

import numpy as np

from bpkit import tree
from bpkit._messages import user_line
from bpkit.errors import ArgumentError, ExportError
from bpkit.evaluate import Definition
from bpkit.interop.onnx.constants import Constant, Weights, host_of
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


LARGE = 1009
"""A length beyond those that models compare theirs with; a prime, so that no table of positions has it."""
FEW_ELEMENTS = 2**17
"""How many elements the inputs have at most with such a length."""
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
    merged = _merged(called, programs[: len(choices)], choices, other)
    if names:
        _check(called, merged, programs[-1], first, third)
    for lengths in _more_lengths(leaves, places, axes, first, third) if names else []:
        given = resized(leaves, places, axes, lengths)
        try:
            program, _ = _run(called, fun, structure, given, places, weights, meaning)
        except Exception:  # noqa: BLE001 - it took others; a table of positions has an end
            continue
        if not any(0 in out.shape for step in program.steps for out in step.outs):
            _check(called, merged, program, first, lengths)
    return Recorded(*merged, runs[0][1], third)


def _more_lengths(
    leaves: Sequence[Any],
    places: Sequence[int],
    axes: Axes,
    first: Mapping[str, int],
    third: Mapping[str, int],
) -> list[dict[str, int]]:
    """Where a model that branches on a length may do something else: 2, and a large one if it is cheap."""
    found = [dict.fromkeys(first, 2)] if any(length != 2 for length in first.values()) else []

    def elements(length: int) -> int:
        shapes = [
            [length if axis in axes.get(number, ()) else n for axis, n in enumerate(leaves[place].shape)]
            for number, place in enumerate(places)
        ]
        return sum(map(prod, shapes))

    length = LARGE
    while elements(length) > FEW_ELEMENTS:
        length //= 2
    return [*found, dict.fromkeys(first, length)] if length > max(third.values()) else found


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
    called: str, programs: Sequence[Program], choices: Sequence[Mapping[str, int]], other: Mapping[str, int]
) -> tuple[list[Node], list[Any]]:
    first = choices[0]
    alike = [_numbered(program) for program in programs]
    for (nodes, _), lengths in zip(alike, choices, strict=True):
        _check_course(called, alike[0][0], nodes, first, lengths)
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


def _check_course(
    called: str,
    nodes: Sequence[Node],
    others: Sequence[Node],
    first: Mapping[str, int],
    lengths: Mapping[str, int],
) -> None:
    """Refuse functions that do other steps at another size."""
    for node, other in zip(nodes, others, strict=False):
        if (node.name, node.line) != (other.name, other.line):
            line = f" (at {other.line})" if other.line else ""
            text = f"in its place there is {other.name}{line} with {_spelled(lengths)}, as in a branch on it"
            raise _not_dynamic(called, node, lengths, text)
    if len(nodes) != len(others):
        raise ExportError(
            f"{called}: the model takes {len(nodes)} steps with {_spelled(first)} and {len(others)} with "
            f"{_spelled(lengths)}, as a loop over that axis does, or a branch on its length. {_ADVICE}"
        )


def _check(
    called: str,
    merged: tuple[list[Node], list[Any]],
    program: Program,
    first: Mapping[str, int],
    lengths: Mapping[str, int],
) -> None:
    """Whether what was made of some lengths is true of others."""
    nodes, outputs = _numbered(program)
    _check_course(called, merged[0], nodes, first, lengths)
    for node, found in zip(merged[0], nodes, strict=True):
        if not agree(node, found, lengths):
            raise _not_dynamic(called, node, lengths, _difference(node, found, lengths))
    if not agree(merged[1], outputs, lengths):
        raise ExportError(f"{called}: a result does not follow {_spelled(lengths)}. {_ADVICE}")


def _difference(node: Node, found: Node, lengths: Mapping[str, int]) -> str:
    """What is not as the lengths before it promised."""
    what = "its setting or shape"
    for x, y in zip(node.operands, found.operands, strict=True):
        if not agree(x, y, lengths):
            number = np.asarray(y.value if isinstance(y, Constant) else y)
            what = f"the number {number}" if number.dtype != object and not number.ndim else "an array inside"
    return (
        f"with {_spelled(lengths)} {what} is not what followed from other lengths. Only sums and products of "
        f"lengths can be followed, and numbers divided by them: no root, min, max or branch"
    )


_ADVICE = "Export it with this axis as it is in the example, or write the model so that it takes any length"


def _not_dynamic(called: str, node: Node, lengths: Mapping[str, int], why: str) -> ExportError:
    line = f" (at {node.line})" if node.line else ""
    return ExportError(
        f"{called}: {node.name}{line} cannot follow the length of {', '.join(lengths)}: {why}. {_ADVICE}"
    )


def _spelled(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={length}" for name, length in lengths.items())
