"""Groups of element-wise steps as one step each, which a library may do in one pass over the elements.

Steps belong to one group if their results have one shape, one uses what the other makes or both read the
same value, and nothing outside must run between them. For that every step gets a stage: not before that of a
step whose result it uses, and after it unless the two may share a group. So nothing leads out of a group and
back into it. The sum or the mean of all elements of what a group makes belongs to the group.

Whether a group is worth it is the backend's to say (:meth:`bpkit._protocol.Backend.fused`).
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np

from bpkit._protocol import Backend, Into
from bpkit.record import Program, Slot, Step
from bpkit.rules.registry import is_elementwise

__all__ = ["Fused", "fuse"]

LARGEST = 256
"""Steps in a group of arrays: no cache holds what many more make."""
LARGEST_OF_NUMBERS = 4096
"""The same of single numbers, for which a compiler takes ten seconds."""

_CASTS = frozenset({"astype", "cotangent_as"})
_REDUCTIONS = frozenset({"sum", "mean"})


class Fused:
    """What a fused step does.

    Attributes
    ----------
    program : Program
        The steps in whose place it is. Its inputs are the operands of the step.
    into : Into
        How the library does them at once.
    """

    def __init__(self, program: Program, into: Into) -> None:
        self.program = program
        self.into = into

    def over(self, out: Slot, operands: Sequence[Slot]) -> Slot:
        """The operand over which a result is best written: the one needed up to then, but not after it."""
        made = next(n for n, step in enumerate(self.program.steps) if out in step.outs)
        last = {x: n for n, step in enumerate(self.program.steps) for x in _slots(step)}
        return max(operands, key=lambda x: (last.get(x, -1) <= made, last.get(x, -1)))

    def __call__(self, *operands: Any) -> Any:
        """Do them one by one."""
        out = self.program(operands)
        return out[0] if len(out) == 1 else tuple(out)


def fuse(program: Program, backend: Backend) -> Program:
    """The same program, with one step for each group that the library does in one pass.

    Parameters
    ----------
    program : Program
        All of whose outputs are slots.
    backend : Backend
    """
    steps = program.steps
    slots = [*program.inputs, *(out for step in steps for out in step.outs)]
    numbers = count(max((slot.index for slot in slots), default=-1) + 1)
    links = _Links(steps, [_shape(step, backend) for step in steps], program.outputs)
    done: list[Step] = []
    for members in links.ordered():
        group = [steps[i] for i in members]
        alone = links.shapes[members[0]] is None
        whole = None if alone else _fused(group, links.results(members), backend, numbers)
        done += group if whole is None else [whole]
    return Program(program.inputs, done, program.outputs)


def _shape(step: Step, backend: Backend) -> tuple[int, ...] | None:
    """The shape over which a step may run element by element, if it may: single numbers have no axes."""
    if step.do is not None or len(step.outs) > 1:
        return None
    out, x = step.outs[0], step.operands[0]
    if step.name in _REDUCTIONS and isinstance(x, Slot):
        inexact = backend.xp.isdtype(out.dtype, ("real floating", "complex floating"))
        fits = step.static["axis"] is None and x.dtype == out.dtype and inexact
        return x.shape if fits and math.prod(x.shape) > 1 else None
    known = is_elementwise(step.name)
    if step.name in _CASTS:
        known = step.static.get("device") is None
    elif step.static:
        known = False
    if not known or (out.shape and math.prod(out.shape) < 2):
        return None
    return None if backend.into(step.name, step.operands, step.static, out) is None else out.shape


class _Links:
    """Which steps use what other steps make.

    Attributes
    ----------
    steps : sequence of Step
    shapes : list of tuple or None
        For each step the shape of the groups that it may belong to.
    """

    def __init__(self, steps: Sequence[Step], shapes: list[Any], outputs: Sequence[Any]) -> None:
        self.steps = steps
        self.shapes = shapes
        self.outputs = frozenset(x for x in outputs if isinstance(x, Slot))
        made = {out: i for i, step in enumerate(steps) for out in step.outs}
        self.before = [sorted({made[x] for x in _slots(step) if x in made}) for step in steps]
        self.after: list[list[int]] = [[] for _ in steps]
        for i, sources in enumerate(self.before):
            for j in sources:
                self.after[j].append(i)
        self.stages = self._stages()
        self.groups = self._groups()
        """For each step the number of the first step of its group."""

    def _may_share(self, i: int, j: int) -> bool:
        """Whether step j, which uses what i makes, may belong to the group of i."""
        same = self.shapes[i] is not None and self.shapes[i] == self.shapes[j]
        return same and self.steps[i].name not in _REDUCTIONS

    def _stages(self) -> list[int]:
        stages: list[int] = []
        for j, sources in enumerate(self.before):
            stages.append(max((stages[i] + (not self._may_share(i, j)) for i in sources), default=0))
        # What is needed later only is done later, with those who need it, if that keeps no more values alive.
        kept = self._kept_alive(stages)
        for i in reversed(range(len(stages))):
            if self.shapes[i] is None or not self.after[i]:
                continue
            latest = min(stages[j] - (not self._may_share(i, j)) for j in self.after[i])
            if latest > stages[i] and kept[i] < 2:
                stages[i] = latest
        return stages

    def _kept_alive(self, stages: list[int]) -> list[int]:
        """For each step how many values its group would have to hand out were it done later.

        With it goes what its group makes for it alone.
        """
        kept: list[int] = []
        for i, sources in enumerate(self.before):
            count = 0
            for j in sources:
                inside = [k for k in self.after[j] if self._may_share(j, k) and stages[k] == stages[j]]
                if (
                    i in inside
                    and len(inside) == len(self.after[j])
                    and self.outputs.isdisjoint(self.steps[j].outs)
                ):
                    count += kept[j] if inside == [i] else 1
            kept.append(count)
        return kept

    def _groups(self) -> list[int]:
        first = list(range(len(self.steps)))

        def root(i: int) -> int:
            while first[i] != i:
                first[i] = first[first[i]]
                i = first[i]
            return i

        readers: dict[tuple[int, Slot], list[int]] = defaultdict(list)
        for j, step in enumerate(self.steps):
            if self.shapes[j] is None:
                continue
            for i in self.before[j]:
                if self._may_share(i, j) and self.stages[i] == self.stages[j]:
                    first[root(j)] = root(i)
            for x in _slots(step):
                if x.shape == self.shapes[j]:
                    readers[self.stages[j], x].append(j)
        for together in readers.values():
            for i, j in pairwise(together):
                first[root(j)] = root(i)
        return [root(i) for i in range(len(first))]

    def ordered(self) -> list[list[int]]:
        """The groups, each after those whose results it uses; a step that is in none is one by itself."""
        members: dict[int, list[int]] = defaultdict(list)
        for i, group in enumerate(self.groups):
            members[group].append(i)
        parts = [
            part
            for whole in members.values()
            for part in _in_pieces(whole, LARGEST if self.shapes[whole[0]] else LARGEST_OF_NUMBERS)
        ]
        place = {i: n for n, part in enumerate(parts) for i in part}
        sources = [{place[j] for i in part for j in self.before[i]} - {n} for n, part in enumerate(parts)]
        waiting = list(map(len, sources))
        users: list[list[int]] = [[] for _ in parts]
        for n, needed in enumerate(sources):
            for m in needed:
                users[m].append(n)
        # Where the last of its steps was, or as soon after as it can be.
        ready = [(part[-1], n) for n, part in enumerate(parts) if not waiting[n]]
        heapq.heapify(ready)
        found = []
        while ready:
            _, n = heapq.heappop(ready)
            found.append(parts[n])
            for m in users[n]:
                waiting[m] -= 1
                if not waiting[m]:
                    heapq.heappush(ready, (parts[m][-1], m))
        return found

    def results(self, members: list[int]) -> list[Slot]:
        """What a group makes that is used outside it."""
        inside = frozenset(members)
        return [
            out
            for i in members
            for out in self.steps[i].outs
            if out in self.outputs or not inside.issuperset(self.after[i])
        ]


def _slots(step: Step) -> list[Slot]:
    return [x for x in step.operands if isinstance(x, Slot)]


def _in_pieces(whole: list[int], size: int) -> list[list[int]]:
    return [whole[i : i + size] for i in range(0, len(whole), size)]


def _fused(group: list[Step], outs: list[Slot], backend: Backend, numbers: Iterator[int]) -> Step | None:
    """One step for several; None if the library does not do them in one pass."""
    steps = [step._replace(operands=_with_numbers(step, backend)) for step in group]
    operands: dict[Slot, Any] = {}
    for n, step in enumerate(steps):
        constants = {
            id(x): Slot(next(numbers), x)
            for x in step.operands
            if not isinstance(x, Slot) and math.prod(getattr(x, "shape", ())) > 1
        }
        operands |= {constants[id(x)]: x for x in step.operands if id(x) in constants}
        steps[n] = step._replace(operands=tuple([constants.get(id(x), x) for x in step.operands]))
    made = {out for step in steps for out in step.outs}
    operands |= {x: x for step in steps for x in _slots(step) if x not in made and x not in operands}
    program = Program(list(operands), steps, outs)
    into = backend.fused(program)
    if into is None:
        return None
    return Step("fused", tuple(operands.values()), {}, tuple(outs), steps[-1].line, Fused(program, into))


def _with_numbers(step: Step, backend: Backend) -> tuple[Any, ...]:
    """The operands, with one element in place of a constant whose elements are all the same."""
    operands = list(step.operands)
    for i, x in enumerate(step.operands):
        if isinstance(x, Slot) or math.prod(getattr(x, "shape", ())) < 2:
            continue
        others = [getattr(y, "shape", ()) for y in (*operands[:i], *operands[i + 1 :])]
        values = np.ascontiguousarray(backend.to_host(x)).reshape(-1)
        bits = values.view(np.uint8).reshape(values.size, -1)
        # The result must keep its shape.
        if (bits == bits[0]).all() and np.broadcast_shapes(*others) == step.outs[0].shape:
            operands[i] = x[(0,) * x.ndim]
    return tuple(operands)
