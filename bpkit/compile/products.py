"""Products of matrices: of transposes, and added to something in one step where the library has one."""

from collections import Counter
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


def add_products(program: Program, backend: Backend) -> Program:
    """The same program, with cheaper products.

    The transpose of a product becomes the product of the transposes, which are views of what is there. A sum
    with a product, or with a sum of columns, that nobody else needs becomes one step.
    """
    passed = _Products(program, backend)
    for step in program.steps:
        passed.take(step)
    return Program(program.inputs, passed.steps, program.outputs)


class _Term(NamedTuple):
    """A product or a sum of columns, times a number."""

    alpha: float
    step: Step


class _Products:
    """The steps so far, and what is known of the values in them."""

    def __init__(self, program: Program, backend: Backend) -> None:
        self.steps: list[Step] = []
        self._backend = backend
        self._made: dict[Slot, Step] = {}
        self._turned: dict[Slot, Slot] = {}
        """The transposes of values."""
        self._uses = Counter(x for step in program.steps for x in step.operands if isinstance(x, Slot))
        self._uses.update(x for x in program.outputs if isinstance(x, Slot))
        slots = [*program.inputs, *[out for step in program.steps for out in step.outs]]
        self._numbers = count(max((slot.index for slot in slots), default=-1) + 1)

    def take(self, step: Step) -> None:
        """Note a step, or what takes its place."""
        if step.do is None and step.name == "matrix_transpose":
            step = self._product_of_transposes(step) or step
        elif step.do is None and step.name in ("add", "subtract"):
            step = self._added(step) or step
        self._note(step)

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        self._made.update(dict.fromkeys(step.outs, step))
        if step.name == "matrix_transpose" and isinstance(step.operands[0], Slot):
            self._turned.setdefault(step.operands[0], step.outs[0])

    def _transpose(self, x: Slot, line: str) -> Slot:
        """The transpose of a value: what it is a transpose of, if it is one."""
        if self._is_turned(x):
            base: Slot = self._made[x].operands[0]
            return base
        if x not in self._turned:
            turned = x.of_shape(next(self._numbers), (*x.shape[:-2], x.shape[-1], x.shape[-2]))
            self._note(Step("matrix_transpose", (x,), {}, (turned,), line))
        return self._turned[x]

    def _is_turned(self, x: Slot) -> bool:
        step = self._made.get(x)
        return step is not None and step.name == "matrix_transpose" and isinstance(step.operands[0], Slot)

    def _product_of_transposes(self, step: Step) -> Step | None:
        product = self._made.get(step.operands[0])
        if product is None or product.name != "matmul" or self._uses[step.operands[0]] > 1:
            return None
        if not all(isinstance(x, Slot) and len(x.shape) >= 2 for x in product.operands):
            return None
        a, b = [self._transpose(x, product.line) for x in product.operands]
        return product._replace(operands=(b, a), outs=step.outs)

    def _added(self, step: Step) -> Step | None:
        """One step in place of a sum, if one of its terms is a product."""
        out = step.outs[0]
        for i in (1, 0) if step.name == "add" else (1,):
            x, c = step.operands[i], step.operands[1 - i]
            term = self._term(x)
            if term is None or not isinstance(c, Slot) or not _alike(x, out) or c.dtype != out.dtype:
                continue
            factors = term.step.operands
            alpha = -term.alpha if step.name == "subtract" else term.alpha
            turned = tuple([self._is_turned(y) for y in factors])
            into = self._backend.added(alpha, (c.shape, *[y.shape for y in factors]), turned, out.dtype)
            if into is not None:
                given = [
                    y if is_turned else self._transpose(y, step.line)
                    for y, is_turned in zip(factors, turned, strict=True)
                ]
                name, do = f"{term.step.name}_added", Added(into, out)
                return Step(name, (c, *given), {}, (out,), step.line, do)
        return None

    def _term(self, x: Any) -> _Term | None:
        """A value as a number times a product or a sum of columns, none of which anybody else needs."""
        step = self._made.get(x) if isinstance(x, Slot) else None
        if step is None or step.do is not None or self._uses[x] > 1:
            return None
        if step.name == "multiply":
            for number, y in (step.operands, step.operands[::-1]):
                term = self._term(y)
                if type(number) in (int, float) and number and term is not None and _alike(x, y):
                    return term._replace(alpha=number * term.alpha)
            return None
        slots = all(isinstance(y, Slot) and len(y.shape) == 2 and y.dtype == x.dtype for y in step.operands)
        columns = step.name == "sum" and step.static["axis"] in (0, (0,)) and not step.static["keepdims"]
        return _Term(1, step) if slots and (columns or step.name == "matmul") else None


def _alike(x: Slot, y: Slot) -> bool:
    return (x.shape, x.dtype) == (y.shape, y.dtype)
