"""A program as Python source: one line for each step, into memory that is there already.

Memory is used again when the last use of what lies in it has passed. What a library writes into given memory
is a fact that its backend states (:meth:`bpkit._protocol.Backend.into`); views of such memory are made once,
before the program runs. Every value that is returned is new.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple

from bpkit._protocol import Backend
from bpkit.evaluate import function_of
from bpkit.kinds import is_mutable
from bpkit.record import Program, Slot, Step
from bpkit.views import VIEWS

__all__ = ["Compiled", "compile_program"]

_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


class Compiled(NamedTuple):
    """A program in code.

    Attributes
    ----------
    source : str
        Python, one line for each step.
    run : callable
        Takes the values of the inputs, returns a tuple of those of the outputs. Only one thread may run it at
        a time.
    arena_bytes : int
        Memory that it holds between calls.
    overwritten : tuple of int
        Inputs that it writes over: no other input may share memory with one.
    """

    source: str
    run: Callable[..., tuple[Any, ...]]
    arena_bytes: int
    overwritten: tuple[int, ...]


def compile_program(program: Program, backend: Backend, donated: Sequence[int] = ()) -> Compiled:
    """Straight-line code for a program on one library.

    Parameters
    ----------
    program : Program
    backend : Backend
    donated : sequence of int
        Inputs into whose memory results may be written.
    """
    depends = [isinstance(x, Slot) for x in program.outputs]
    rest = Program(program.inputs, program.steps, list(compress(program.outputs, depends)))
    writer = _Writer(rest, backend, donated)
    scope = dict(writer.names)
    exec(compile(writer.source, "<bpkit.jit>", "exec"), scope)
    run = backend.compiled(scope["program"], tuple(donated), program.inputs)
    if not all(depends):
        run = _with_constants(run, program.outputs, _copy(backend))
    return Compiled(writer.source, run, writer.arena.size_bytes, tuple(writer.overwritten))


def _with_constants(
    run: Callable[..., tuple[Any, ...]], outputs: Sequence[Any], copy: Callable[[Any], Any]
) -> Callable[..., tuple[Any, ...]]:
    """A function that returns what depends on no input too, as it is; a compiler would make arrays of it."""
    changes = [hasattr(x, "shape") and not isinstance(x, Slot) and is_mutable(x) for x in outputs]

    def whole(*given: Any) -> tuple[Any, ...]:
        found = iter(run(*given))
        return tuple(
            [
                next(found) if isinstance(x, Slot) else copy(x) if may_change else x
                for x, may_change in zip(outputs, changes, strict=True)
            ]
        )

    return whole


class _Arena:
    """Memory for the values of a program, in pieces of one dtype."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.size_bytes = 0
        self._free: dict[tuple[Any, int], list[Any]] = {}
        self._taken: dict[Slot, Any] = {}

    def take(self, slot: Slot) -> Any:
        """An array of the shape and dtype of a value."""
        size = math.prod(slot.shape)
        free = self._free.setdefault((slot.dtype, size), [])
        piece = free.pop() if free else self.backend.xp.empty(size, dtype=slot.dtype, device=slot.device)
        if not free:
            self.size_bytes += size * piece.itemsize
        self._taken[slot] = piece
        return self.backend.xp.reshape(piece, slot.shape)

    def give_back(self, slot: Slot) -> None:
        """Let another value have the memory."""
        piece = self._taken.pop(slot, None)
        if piece is not None:
            self._free[slot.dtype, math.prod(slot.shape)].append(piece)


class _Writer:
    """Writes the source of a program, and collects what its names stand for."""

    def __init__(self, program: Program, backend: Backend, donated: Sequence[int]) -> None:
        self.backend = backend
        self.copy = _copy(backend)
        self.arena = _Arena(backend)
        self.names: dict[str, Any] = {}
        self.known: dict[int, str] = {}
        """The names by what they stand for."""
        self.words: dict[Slot, str] = {slot: f"a{i}" for i, slot in enumerate(program.inputs)}
        self.roots = _roots(program)
        self.returned = {self.roots[x] for x in program.outputs}
        self.buffers: dict[Slot, Any] = {}
        self.donated = [x for x in map(program.inputs.__getitem__, donated) if x not in self.returned]
        self.own: set[Slot] = set()
        """Returned values that lie in memory of their own."""
        self.overwritten: list[int] = []
        last = _last_uses(program, self.roots)
        self.lines: list[str] = []
        for i, step in enumerate(program.steps):
            self.lines.append(f"{self.step(step, i, last)}{step.line and f'  # {step.line}'}")
            for root in {self.roots[x] for x in (*step.operands, *step.outs) if isinstance(x, Slot)}:
                if last[root] == i:
                    self.arena.give_back(root)
        seen: set[Slot] = set()
        found = "".join(f"{self.result(x, seen)}, " for x in program.outputs)
        parameters = ", ".join(self.words[x] for x in program.inputs)
        body = "".join(f"    {line}\n" for line in [*self.lines, f"return ({found})"])
        self.source = f"def program({parameters}):\n{body}"

    def name(self, prefix: str, value: Any) -> str:
        """A name for what the program uses and does not make."""
        found = self.known.get(id(value))
        if found is None:
            found = re.sub(r"\W+", "_", prefix)
            if found in self.names:
                found += f"_{len(self.names)}"
            self.names[found] = value
            self.known[id(value)] = found
        return found

    def word(self, x: Any) -> str:
        """How an operand or a setting is written."""
        if isinstance(x, Slot):
            return self.words[x]
        # By type, since NumPy's scalars are floats too.
        plain = x is None or type(x) in (bool, int, str) or (type(x) is float and math.isfinite(x))
        if plain or (type(x) is tuple and all(type(part) in (int, bool) for part in x)):
            return repr(x)
        return self.name("k0", x)

    def result(self, x: Slot, seen: set[Slot]) -> str:
        """How a result is written: an array that shares memory with nothing else."""
        root = self.roots[x]
        alone = root is x and x not in seen and (x in self.own or not self.words[x].startswith("a"))
        seen.add(root)
        return self.words[x] if alone else f"{self.name('copy', self.copy)}({self.words[x]})"

    def step(self, step: Step, i: int, last: dict[Slot, int]) -> str:
        """One line."""
        operands = [self.word(x) for x in step.operands]
        out = step.outs[0]
        self.words[out] = f"t{out.index}"
        if step.do is None and step.name in VIEWS and len(operands) == 1 and step.operands[0] in self.buffers:
            view = function_of(self.backend, step.name)(self.buffers[step.operands[0]], **step.static)
            if self.backend.shares_memory(view, self.buffers[step.operands[0]]):
                self.buffers[out] = self.names[self.words[out]] = view
                return f"# {self.words[out]} is {step.name} of {operands[0]}"
        infix = _INFIX.get(step.name)
        if infix and step.do is None and self._plain_operator(step):
            return f"{self.words[out]} = {operands[0]} {infix} {operands[1]}"
        into = None
        if step.do is None and len(step.outs) == 1:
            into = self.backend.into(step.name, step.static, out.dtype)
        if into is not None and math.prod(out.shape) > 1 and self.roots[out] not in self.returned:
            if into.elementwise:
                self._reuse(step, i, last)
            self.buffers[out] = self.names[self.words[out]] = self.arena.take(out)
            call = [*operands, *map(self.word, into.before), self.words[out], *map(self.word, into.after)]
            return f"{self.name(step.name, into.function)}({', '.join(call)})"
        given = self._donation(step, i, last) if into is not None and out in self.returned else None
        if into is not None and given is not None:
            self.own.add(out)
            self.words[out] = self.words[given]
            call = [*operands, *map(self.word, into.before), self.words[out], *map(self.word, into.after)]
            return f"{self.name(step.name, into.function)}({', '.join(call)})"
        settings = [f"{key}={self.word(value)}" for key, value in step.static.items()]
        self.words.update({slot: f"t{slot.index}" for slot in step.outs})
        targets = ", ".join(self.words[slot] for slot in step.outs)
        function = _copied(step.do, self.backend) if step.do else function_of(self.backend, step.name)
        name = self.name(f"{step.name}_", function)
        return f"{targets}{',' * (len(step.outs) > 1)} = {name}({', '.join([*operands, *settings])})"

    def _plain_operator(self, step: Step) -> bool:
        """Whether Python's operator does the same: for single numbers of one dtype."""
        slots = [x for x in step.operands if isinstance(x, Slot)]
        others = [x for x in step.operands if not isinstance(x, Slot)]
        return (
            step.outs[0].shape == ()
            and all(x.shape == () and x.dtype == step.outs[0].dtype for x in slots)
            and all(type(x) in (int, float) for x in others)
        )

    def _donation(self, step: Step, i: int, last: dict[Slot, int]) -> Slot | None:
        """An input that the caller gives away and that nobody needs any more, of the kind of the result."""
        out = step.outs[0]
        for x in self.donated:
            if (x.shape, x.dtype) != (out.shape, out.dtype) or last.get(x, -1) > i or math.prod(x.shape) < 2:
                continue
            if x in map(self.roots.get, [y for y in step.operands if isinstance(y, Slot)]):
                into = self.backend.into(step.name, step.static, out.dtype)
                alone = all(y is x or self.roots[y] is not x for y in step.operands if isinstance(y, Slot))
                if into is None or not into.elementwise or not alone:
                    continue
            self.donated.remove(x)
            self.overwritten.append(x.index)
            return x
        return None

    def _reuse(self, step: Step, i: int, last: dict[Slot, int]) -> None:
        """Let an element-wise step write over an operand that nobody needs any more."""
        for x in step.operands:
            if isinstance(x, Slot) and self.roots[x] is x and last[x] == i and x.shape == step.outs[0].shape:
                others = [y for y in step.operands if isinstance(y, Slot) and y is not x]
                if all(self.roots[y] is not x for y in others):
                    self.arena.give_back(x)


def _copy(backend: Backend) -> Callable[[Any], Any]:
    # NumPy's scalars cannot change, and a copy of one would be an array.
    return lambda x: backend.xp.asarray(x, copy=True) if hasattr(x, "__setitem__") else x


def _copied(do: Callable[..., Any], backend: Backend) -> Callable[..., Any]:
    """A function of the user's, which may return what it was given, with results in memory of their own."""

    def run(*operands: Any) -> Any:
        out = do(*operands)
        return tuple(map(own, out)) if isinstance(out, tuple) else own(out)

    def own(x: Any) -> Any:
        return backend.xp.asarray(x, copy=True) if is_mutable(x) else x

    return run


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
