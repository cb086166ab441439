"""Products of matrices: of transposes, and added to something in one step where the library has one."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from bpkit._protocol import Backend
from bpkit.compile.plan import Written
from bpkit.record import Program, Slot, Step

__all__ = ["add_products"]


_ARRANGED = frozenset({"broadcast_to", "getitem", "matrix_transpose", "permute_dims"})
"""Functions after which a `reshape` has to copy."""


def add_products(program: Program, backend: Backend) -> Program:
    """The same program, with cheaper products.

    The transpose of a product becomes the product of the transposes, which are views of what is there. Many
    products with the same matrix become one, and so do sums over all axes but the last. A sum with a product,
    or with a sum of columns, that nobody else needs becomes one step.
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
        self._rules: dict[str, Callable[[Step], Step | None]] = {
            "add": self._added,
            "matmul": self._flat_product,
            "matrix_transpose": self._product_of_transposes,
            "subtract": self._added,
            "sum": self._flat_sum,
        }
        slots = [*program.inputs, *[out for step in program.steps for out in step.outs]]
        self._numbers = count(max((slot.index for slot in slots), default=-1) + 1)

    def take(self, step: Step) -> None:
        """Note a step, or what takes its place."""
        rule = self._rules.get(step.name) if step.do is None else None
        self._note((rule and rule(step)) or step)

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

    def _reshaped(self, x: Slot, shape: tuple[int, ...], line: str) -> Slot:
        new = x.of_shape(next(self._numbers), shape)
        self._note(Step("reshape", (x,), {"shape": shape, "copy": None}, (new,), line))
        return new

    def _flat_product(self, step: Step) -> Step | None:
        """One product of matrices in place of many with the same second factor."""
        x, w = step.operands
        out = step.outs[0]
        if not isinstance(x, Slot) or len(x.shape) < 3 or len(w.shape) != 2 or not math.prod(x.shape):
            return None
        rows = math.prod(x.shape[:-1])
        flat = out.of_shape(next(self._numbers), (rows, w.shape[1]))
        self.take(
            step._replace(operands=(self._reshaped(x, (rows, x.shape[-1]), step.line), w), outs=(flat,))
        )
        return Step("reshape", (flat,), {"shape": out.shape, "copy": None}, (out,), step.line)

    def _flat_sum(self, step: Step) -> Step | None:
        """A sum of the columns of one matrix in place of many."""
        x, axes = step.operands[0], step.static["axis"]
        if not isinstance(x, Slot) or axes != tuple(range(len(x.shape) - 1)):
            return None
        made = self._made.get(x)
        if len(x.shape) < 3 or step.static["keepdims"] or (made is not None and made.name in _ARRANGED):
            return None
        flat = self._reshaped(x, (math.prod(x.shape[:-1]), x.shape[-1]), step.line)
        return step._replace(operands=(flat,), static={**step.static, "axis": (0,)})

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
                name, do = f"{term.step.name}_added", Written(into, out)
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
