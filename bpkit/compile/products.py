"""A product, or a sum of columns, that is added to something: one step where the library has one."""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from bpkit._protocol import Backend, Into
from bpkit.record import Program, Slot, Step

__all__ = ["Added", "add_products"]


class Added:
    """What does the step: ``c + alpha * a @ b``, or ``c + alpha * sum(x, axis=0)``.

    Attributes
    ----------
    into : Into
        How it is written into memory, see :meth:`bpkit._protocol.Backend.added`.
    """

    def __init__(self, into: Into, out: Slot) -> None:
        self.into = into
        self._out = out

    def __call__(self, *operands: Any) -> Any:
        """The result in new memory."""
        out = self._out.backend.xp.empty(self._out.shape, dtype=self._out.dtype, device=self._out.device)
        self.into.function(*operands, *self.into.before, out)
        return out


class _Term(NamedTuple):
    """A product or a sum of columns, times a number."""

    alpha: float
    step: Step


def add_products(program: Program, backend: Backend) -> Program:
    """The same program, with one step for each sum with a product that nobody else needs."""
    uses = Counter(x for step in program.steps for x in step.operands if isinstance(x, Slot))
    uses.update(x for x in program.outputs if isinstance(x, Slot))
    made: dict[Slot, Step] = {}
    slots = [*program.inputs, *[out for step in program.steps for out in step.outs]]
    numbers = count(max((slot.index for slot in slots), default=-1) + 1)
    steps: list[Step] = []
    for step in program.steps:
        steps += _added(step, made, uses, backend, numbers) or [step]
        made.update(dict.fromkeys(step.outs, step))
    return Program(program.inputs, steps, program.outputs)


def _added(
    step: Step, made: dict[Slot, Step], uses: Counter[Any], backend: Backend, numbers: Iterator[int]
) -> list[Step] | None:
    """The steps in place of a sum, if one of its terms is a product."""
    if step.name not in ("add", "subtract") or step.do is not None:
        return None
    out = step.outs[0]
    for i in (1, 0) if step.name == "add" else (1,):
        x, c = step.operands[i], step.operands[1 - i]
        if not isinstance(x, Slot) or not isinstance(c, Slot) or c.dtype != out.dtype:
            continue
        term = _term(x, made, uses)
        if term is None or (x.shape, x.dtype) != (out.shape, out.dtype):
            continue
        factors, turned = [], []
        for y in term.step.operands:
            turning = made.get(y)
            turned.append(turning is not None and turning.name == "matrix_transpose")
            factors.append(y)
        alpha = -term.alpha if step.name == "subtract" else term.alpha
        shapes = (c.shape, *[y.shape for y in factors])
        into = backend.added(alpha, shapes, tuple(turned), out.dtype)
        if into is None:
            continue
        before, operands = [], [c]
        for y, is_turned in zip(factors, turned, strict=True):
            if not is_turned:
                transpose = y.of_shape(next(numbers), y.shape[::-1])
                before.append(Step("matrix_transpose", (y,), {}, (transpose,), step.line))
            operands.append(y if is_turned else transpose)
        return [
            *before,
            Step(f"{term.step.name}_added", tuple(operands), {}, (out,), step.line, Added(into, out)),
        ]
    return None


def _term(x: Slot, made: dict[Slot, Step], uses: Counter[Any]) -> _Term | None:
    """A value as a number times a product or a sum of columns, none of which anybody else needs."""
    step = made.get(x)
    if step is None or step.do is not None or uses[x] > 1:
        return None
    if step.name == "multiply":
        for number, y in (step.operands, step.operands[::-1]):
            if type(number) in (int, float) and number and isinstance(y, Slot):
                term = _term(y, made, uses)
                same = term is not None and (y.shape, y.dtype) == (x.shape, x.dtype)
                return term._replace(alpha=number * term.alpha) if term is not None and same else None
    slots = all(isinstance(y, Slot) and len(y.shape) == 2 and y.dtype == x.dtype for y in step.operands)
    columns = step.name == "sum" and step.static["axis"] in (0, (0,)) and not step.static["keepdims"]
    return _Term(1, step) if slots and (columns or step.name == "matmul") else None
