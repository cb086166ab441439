"""How the arrays of a fused program lie to each other, with as few axes as broadcasting leaves."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Layout", "by_overlap", "is_sum"]

Shape = tuple[int, ...]


class Layout:
    """The shapes in which the elements of a program are gone through.

    Axes next to each other that every input either has or lacks are one axis.

    Attributes
    ----------
    size : int
        The number of elements.
    shape : tuple of int
        Of the results.
    row : int
        The number of elements at one place of the first axis.
    shapes : dict of slot to tuple of int
        Of inputs and results; 1 along an axis that an input lacks. An input of one element is ``()``.
    """

    def __init__(self, program: Any) -> None:
        step = program.steps[0]
        whole = step.operands[0].shape if is_sum(step) else step.outs[0].shape
        given = {x: x.shape for x in program.inputs}
        has = {x: _axes(shape, whole) for x, shape in given.items()}
        axes: list[tuple[int, tuple[bool, ...]]] = []
        for i, length in enumerate(whole):
            pattern = tuple([axis[i] for axis in has.values()])
            if length == 1:
                continue
            if axes and axes[-1][1] == pattern:
                axes[-1] = (axes[-1][0] * length, pattern)
            else:
                axes.append((length, pattern))
        self.size = math.prod(whole)
        self.shape: Shape = tuple([length for length, _ in axes])
        self.row = math.prod(self.shape[1:])
        self.shapes: dict[Any, Shape] = {}
        for n, x in enumerate(given):
            one = math.prod(x.shape) == 1
            self.shapes[x] = () if one else tuple([length if p[n] else 1 for length, p in axes])
        self.shapes |= {x: self.shape for x in program.outputs if math.prod(x.shape) > 1}

    def pieces(self, size: int) -> Sequence[tuple[int, int]]:
        """Ranges of the first axis, of `size` elements at most, or of one row."""
        count = -(-self.size // size)
        if count > 1:
            # By fours, that threads have equal shares of few pieces.
            count = min(-(-count // 4) * 4, self.shape[0])
        step = -(-self.shape[0] // count)
        return [(a, min(a + step, self.shape[0])) for a in range(0, self.shape[0], step)]


def by_overlap(
    inputs: Sequence[Any], outs: Sequence[Any], make: Callable[[Mapping[Any, Any]], Any]
) -> tuple[str, dict[str, Any]]:
    """One function for each way in which results lie in inputs, made when it is used first.

    Parameters
    ----------
    inputs, outs : sequence of Slot
    make : callable
        From ``{output: input}`` to a function.

    Returns
    -------
    str
        An expression of ``x0``, … and ``o0``, … for the function.
    dict of str
        What the names in the expression stand for.
    """
    alike = [
        (i, k)
        for k, out in enumerate(outs)
        for i, x in enumerate(inputs)
        if (x.shape, x.dtype) == (out.shape, out.dtype) and math.prod(out.shape) > 1
    ]
    made: dict[int, Any] = {}

    def found(same: int) -> Any:
        made[same] = make({outs[k]: inputs[i] for bit, (i, k) in enumerate(alike) if same >> bit & 1})
        return made[same]

    same = " | ".join(f"(o{k} is x{i}) << {bit}" for bit, (i, k) in enumerate(alike)) or "0"
    return f"(made.get(same := {same}) or make(same))", {"made": made, "make": found}


def is_sum(step: Any) -> bool:
    """Whether the result of a step is one number of all elements."""
    return step.name in ("sum", "mean")


def _axes(shape: Shape, whole: Shape) -> list[bool]:
    """For each axis of the whole whether an array of `shape`, which is broadcast to it, has it."""
    lacking = [False] * (len(whole) - len(shape))
    return lacking + [length != 1 for length in shape]
