"""Permuted axes of the arrays in which convolutions and pooling work, put off until somebody needs them.

A convolution makes its result with images last and shows it with images first. What is then done to it
element by element is done to it as it lies in memory, and so are pooling and sums over axes; only what
comes out is permuted. The next convolution takes that back. So whole layers work on memory without gaps, and
nothing is copied only to be put in another order.
"""

from itertools import count
from typing import Any

from bpkit.record import Program, Slot, Step
from bpkit.rules.registry import is_elementwise
from bpkit.trace import call

__all__ = ["put_off_permutations"]

_POOLING = frozenset({"add_to_winners", "max_pool", "winners"})


def put_off_permutations(program: Program) -> Program:
    """The same program, with permutations after element-wise steps, pooling and sums in place of before them.

    Where no window slides over anything, it stays as it is: what else is permuted is mostly cheaper read once
    in another order.
    """
    if not any(step.name == "windows" for step in program.steps):
        return program
    passed = _Later(program)
    for step in program.steps:
        passed.take(step)
    return Program(program.inputs, passed.steps, program.outputs)


class _Later:
    """The steps so far, and which values are permutations of others."""

    def __init__(self, program: Program) -> None:
        self.steps: list[Step] = []
        self._permuted: dict[Slot, tuple[Slot, tuple[int, ...]]] = {}
        slots = [*program.inputs, *[out for step in program.steps for out in step.outs]]
        self._numbers = count(max((slot.index for slot in slots), default=-1) + 1)
        self._returned = frozenset([x for x in program.outputs if isinstance(x, Slot)])

    def take(self, step: Step) -> None:
        """Note a step, or what takes its place."""
        axes = self._common(step) if step.do is None and len(step.outs) == 1 else None
        if axes is None:
            self._note(step)
        elif step.name == "sum":
            self._sum(step, axes)
        else:
            self._later(step, axes)

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        x = step.operands[0]
        if step.name == "permute_dims" and isinstance(x, Slot):
            n_axes = len(x.shape)
            self._permuted[step.outs[0]] = x, tuple([axis % n_axes for axis in step.static["axes"]])

    def _common(self, step: Step) -> tuple[int, ...] | None:
        """The permutation that has been applied to what the step works on, if it can come after it."""
        out = step.outs[0]
        known = step.name in _POOLING or (is_elementwise(step.name) and not step.static)
        # What is returned must not be permuted: it may lie in an input that was given away.
        if not (known and out not in self._returned) and step.name != "sum":
            return None
        permuted = [x for x in step.operands if isinstance(x, Slot) and x in self._permuted]
        if is_elementwise(step.name):
            permuted = [x for x in permuted if x.shape == out.shape]
        return self._permuted[permuted[0]][1] if permuted else None

    def _before(self, x: Any, axes: tuple[int, ...], line: str) -> Any:
        """An operand as it is before its axes are permuted; one with fewer axes has them filled up."""
        if not getattr(x, "shape", ()):
            return x
        if isinstance(x, Slot) and x in self._permuted and self._permuted[x][1] == axes:
            return self._permuted[x][0]
        shape = (1,) * (len(axes) - len(x.shape)) + tuple(x.shape)
        if len(x.shape) < len(axes):
            x = self._looked_at(x, "reshape", {"shape": shape, "copy": None}, shape, line)
        back = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        new = tuple([shape[axis] for axis in back])
        return self._looked_at(x, "permute_dims", {"axes": back}, new, line)

    def _looked_at(self, x: Any, name: str, static: dict[str, Any], shape: tuple[int, ...], line: str) -> Any:
        """A function that moves no element, of a value or of a constant."""
        if not isinstance(x, Slot):
            return call(name, x, **static)
        new = x.of_shape(next(self._numbers), shape)
        self._note(Step(name, (x,), static, (new,), line))
        return new

    def _later(self, step: Step, axes: tuple[int, ...]) -> None:
        """The step on what was permuted, and then the permutation."""
        out, static = step.outs[0], step.static
        if "moving" in static:
            moving = static["moving"]
            static = {**static, "moving": moving._replace(axes=tuple([axes[i] for i in moving.axes]))}
        operands = tuple([self._before(x, axes, step.line) for x in step.operands])
        shape = tuple([length for _, length in sorted(zip(axes, out.shape, strict=True))])
        new = out.of_shape(next(self._numbers), shape)
        self._note(step._replace(operands=operands, static=static, outs=(new,)))
        self._note(Step("permute_dims", (new,), {"axes": axes}, (out,), step.line))

    def _sum(self, step: Step, axes: tuple[int, ...]) -> None:
        """The sum over the axes that those of the operand were before, if what is left is in order."""
        over, n_axes = step.static["axis"], len(axes)
        over = tuple(range(n_axes)) if over is None else over if isinstance(over, tuple) else (over,)
        over = tuple([axes[i % n_axes] for i in over])
        left = [axis for axis in axes if axis not in over]
        if step.static["keepdims"] or left != sorted(left) or not over:
            self._note(step)
            return
        base = self._permuted[step.operands[0]][0]
        self._note(step._replace(operands=(base,), static={**step.static, "axis": tuple(sorted(over))}))
