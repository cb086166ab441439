"""Where each value of a program lies, and how each step is done: all that is decided before code is written.

Memory is used again when the last use of what lies in it has passed. What a library writes into given memory
is a fact that its backend states (:meth:`bpkit._protocol.Backend.into`); views of such memory are made once,
before the program runs. Every value that is returned is new, or lies in an input that the caller gave away.

A pass that makes one step of several gives the new step a ``do`` with an attribute ``into``, an
:class:`bpkit._protocol.Into`. Its function takes the operands and then memory for each of the results, in the
order of ``step.outs`` and without axes too; it is given pieces of the arena, donated inputs, and new arrays
for what is returned. ``elementwise`` then says more: any of the results may lie in any operand of its shape.
A method ``over`` of the ``do``, if there is one, chooses among the donated inputs that a result may lie in.
"""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from bpkit._protocol import Backend, Into
from bpkit.evaluate import function_of
from bpkit.kinds import returns_scalars
from bpkit.record import Program, Slot, Step
from bpkit.views import VIEWS

__all__ = ["How", "Plan", "Planned", "Written", "plan"]

OPERATORS = {
    "add": "{0} + {1}",
    "annihilating_product": "{0} * {1} if {isfinite}({1}) else {function}({0}, {1})",
    "divide": "{0} / {1}",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "subtract": "{0} - {1}",
}
"""What single numbers are put into."""


class Written:
    """The ``do`` of a step that the library writes into memory, for want of a function of the namespace.

    Attributes
    ----------
    into : Into
    """

    def __init__(self, into: Into, out: Slot) -> None:
        self.into = into
        self._out = out

    def __call__(self, *operands: Any) -> Any:
        """The result in new memory."""
        out = self._out.backend.xp.empty(self._out.shape, dtype=self._out.dtype, device=self._out.device)
        self.into.function(*operands, *self.into.before, out)
        return out


class How(Enum):
    """How a step is done."""

    VIEW = "view"
    """It is done already: the result is a view of memory that is there before the program runs."""
    OPERATOR = "operator"
    """Python's operator, for single numbers."""
    INTO = "into"
    """The library writes the results into memory that they are given."""
    CALL = "call"
    """The library makes new arrays."""


class Planned(NamedTuple):
    """A step, and how it is done.

    By `into`, with memory that is taken anew in each run for some of the results; or by a call, which may be
    one of the function of `into` too.
    """

    step: Step
    how: How
    into: Into | None = None
    fresh: tuple[Slot, ...] = ()


class Plan(NamedTuple):
    """What to write.

    Attributes
    ----------
    inputs : tuple of Slot
    steps : list of Planned
    memory : dict of Slot to array
        Values whose place is known before the program runs: in the arena.
    donated : dict of Slot to Slot
        Results that are written into an input.
    results : list of tuple
        The slots to return, and for each whether a copy must be made: it shares memory with something else.
    arena_bytes : int
    """

    inputs: tuple[Slot, ...]
    steps: list[Planned]
    memory: dict[Slot, Any]
    donated: dict[Slot, Slot]
    results: list[tuple[Slot, bool]]
    arena_bytes: int


def plan(program: Program, backend: Backend, donated: Sequence[int] = ()) -> Plan:
    """Find a place for every value.

    Parameters
    ----------
    program : Program
        All of whose outputs are slots.
    backend : Backend
    donated : sequence of int
        Inputs into whose memory results may be written.
    """
    planner = _Planner(program, backend, donated)
    steps = [planner.planned(i, step) for i, step in enumerate(program.steps)]
    return Plan(
        program.inputs,
        steps,
        planner.memory,
        planner.over,
        planner.results(program),
        planner.arena.size_bytes,
    )


class _Arena:
    """Memory for the values of a program, in pieces of one dtype."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.size_bytes = 0
        self._free: dict[tuple[Any, int], list[dict[tuple[int, ...], Any]]] = {}
        self._taken: dict[Slot, dict[tuple[int, ...], Any]] = {}
        """A piece is the arrays in it, by their shapes."""

    def take(self, slot: Slot) -> Any:
        """An array of the shape and dtype of a value.

        What lies in the same piece with the same shape is the same array: libraries see without a search
        that a result is written over its operand element by element.
        """
        xp, size = self.backend.xp, math.prod(slot.shape)
        free = self._free.setdefault((slot.dtype, size), [])
        if free:
            piece = free.pop()
        else:
            array = xp.empty(slot.shape, dtype=slot.dtype, device=slot.device)
            piece = {slot.shape: array}
            self.size_bytes += size * array.itemsize
        self._taken[slot] = piece
        if slot.shape not in piece:
            piece[slot.shape] = xp.reshape(next(iter(piece.values())), slot.shape)
        return piece[slot.shape]

    def give_back(self, slot: Slot) -> None:
        """Let another value have the memory."""
        piece = self._taken.pop(slot, None)
        if piece is not None:
            self._free[slot.dtype, math.prod(slot.shape)].append(piece)


class _Planner:
    """The state of planning: which memory is in use after the steps so far."""

    def __init__(self, program: Program, backend: Backend, donated: Sequence[int]) -> None:
        self.backend = backend
        self.arena = _Arena(backend)
        self.memory: dict[Slot, Any] = {}
        self.over: dict[Slot, Slot] = {}
        self.roots = _roots(program)
        self.last = _last_uses(program, self.roots)
        self.returned = {self.roots[x] for x in program.outputs}
        self.donated = [x for x in map(program.inputs.__getitem__, donated) if x not in self.returned]

    def planned(self, i: int, step: Step) -> Planned:
        """How the next step is done; after it, memory that nobody needs any more is free."""
        found = self._view(step) or self._operator(step) or self._into(i, step) or Planned(step, How.CALL)
        for root in {self.roots[x] for x in (*step.operands, *step.outs) if isinstance(x, Slot)}:
            if self.last[root] == i:
                self.arena.give_back(root)
        return found

    def results(self, program: Program) -> list[tuple[Slot, bool]]:
        """What is returned, and whether as a copy."""
        shared = set(program.inputs)
        found = []
        for x in program.outputs:
            root = self.roots[x]
            found.append((x, root is not x or x in shared))
            shared.add(root)
        return found

    def _view(self, step: Step) -> Planned | None:
        base = step.operands[0]
        if step.do is not None or step.name not in VIEWS or len(step.operands) > 1 or base not in self.memory:
            return None
        view = function_of(self.backend, step.name)(self.memory[base], **step.static)
        if not self.backend.shares_memory(view, self.memory[base]):
            return None
        self.memory[step.outs[0]] = view
        return Planned(step, How.VIEW)

    def _operator(self, step: Step) -> Planned | None:
        """Python's operators do the same for single numbers of one dtype."""
        out = step.outs[0]
        slots = [x for x in step.operands if isinstance(x, Slot)]
        others = [x for x in step.operands if not isinstance(x, Slot)]
        same = (
            step.do is None
            and step.name in OPERATORS
            and out.shape == ()
            and all(x.shape == () and x.dtype == out.dtype for x in slots)
            and all(type(x) in (int, float) for x in others)
        )
        if same and step.name == "annihilating_product":
            # Whether a number is finite is asked of Python, which would have to wait for an array.
            same = returns_scalars(self.backend) and self.backend.xp.isdtype(out.dtype, "real floating")
        return Planned(step, How.OPERATOR) if same else None

    def _into(self, i: int, step: Step) -> Planned | None:
        """Memory for the results, if the library can write into it."""
        into: Into | None = getattr(step.do, "into", None)
        # A `reshape` that copies is known to do so only in the arena.
        made = step.do is None and (step.name != "reshape" or step.operands[0] in self.memory)
        if made and len(step.outs) == 1:
            into = self.backend.into(step.name, step.operands, step.static, step.outs[0])
        if into is None:
            return None
        kept = [out for out in step.outs if self.roots[out] in self.returned]
        for out in kept:
            # An input may have any layout.
            if self.roots[out] is out and not into.packed:
                self._donate(out, i, step, into)
        fresh = tuple([out for out in kept if out not in self.over])
        # Memory for one number costs more than it saves.
        if step.do is None and (fresh or math.prod(step.outs[0].shape) < 2):
            return Planned(step, How.CALL, into) if into.makes else None
        self._reuse(i, step, into)
        self.memory.update({out: self.arena.take(out) for out in step.outs if out not in kept})
        return Planned(step, How.INTO, into, fresh)

    def _donate(self, out: Slot, i: int, step: Step, into: Into) -> None:
        """Write a result into an input of its kind that was given away and that nobody needs any more."""
        operands = [x for x in step.operands if isinstance(x, Slot)]
        fitting = []
        for x in self.donated:
            if (
                (x.shape, x.dtype) != (out.shape, out.dtype)
                or self.last.get(x, -1) > i
                or math.prod(x.shape) < 2
            ):
                continue
            used = [y for y in operands if self.roots[y] is x]
            if not used or (all(y is x for y in used) and _may_be(x, step, into)):
                fitting.append(x)
        if fitting:
            choose = getattr(step.do, "over", None)
            self.over[out] = choose(out, fitting) if choose else fitting[0]
            self.donated.remove(self.over[out])

    def _reuse(self, i: int, step: Step, into: Into) -> None:
        """Let a step write over an operand that nobody needs any more, if it can."""
        operands = [x for x in step.operands if isinstance(x, Slot)]
        shapes = {out.shape for out in step.outs}
        for x in operands:
            alone = self.roots[x] is x and all(y is x or self.roots[y] is not x for y in operands)
            if alone and self.last[x] == i and shapes == {x.shape} and _may_be(x, step, into):
                self.arena.give_back(x)


def _may_be(x: Slot, step: Step, into: Into) -> bool:
    """Whether a result may be written over an operand."""
    alone = into.over is not None and [i for i, y in enumerate(step.operands) if y is x] == [into.over]
    return into.elementwise or alone


def _roots(program: Program) -> dict[Slot, Slot]:
    """For each value that whose memory it may lie in."""
    roots = {x: x for x in program.inputs}
    for step in program.steps:
        base = step.operands[0]
        shared = step.name in VIEWS and isinstance(base, Slot)
        roots.update({out: roots[base] if shared else out for out in step.outs})
    return roots


def _last_uses(program: Program, roots: dict[Slot, Slot]) -> dict[Slot, int]:
    """The step after which nobody needs the memory of a value any more."""
    last: dict[Slot, int] = {}
    for i, step in enumerate(program.steps):
        last.update({roots[x]: i for x in (*step.operands, *step.outs) if isinstance(x, Slot)})
    last.update({roots[x]: len(program.steps) for x in program.outputs})
    return last
