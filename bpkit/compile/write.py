"""A plan as Python source: one line for each step, with the user's own line beside it.

Values are named after their slots: ``t7`` is v7 of the program, ``a0`` the first input. Other names stand for
what the program uses and does not make: functions, constants, and memory that is there before it runs.
"""

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from bpkit._protocol import Backend, Into
from bpkit.compile.fuse import Fused
from bpkit.compile.plan import OPERATORS, How, Plan, Planned
from bpkit.evaluate import function_of
from bpkit.kinds import is_mutable
from bpkit.record import Slot, Step

__all__ = ["copy_of", "write"]


def write(plan: Plan, backend: Backend) -> tuple[str, dict[str, Any]]:
    """The source of a function ``program``, and what its names stand for."""
    words = {slot: f"a{i}" for i, slot in enumerate(plan.inputs)}
    names = _Names(words, backend)
    lines = []
    for planned in plan.steps:
        for out in planned.step.outs:
            words[out] = words[plan.donated[out]] if out in plan.donated else f"t{out.index}"
            if out in plan.memory:
                names.stand_for[words[out]] = plan.memory[out]
        where = planned.step.line and f"  # {planned.step.line}"
        parts = planned.step.do.program.steps if isinstance(planned.step.do, Fused) else ()
        lines += [f"# {part}{part.line and f'  # {part.line}'}" for part in parts]
        lines += [f"{line}{where if not parts else ''}" for line in _lines(planned, names, backend)]
    found = [
        f"{names.name('copy', copy_of(backend))}({words[x]})" if copied else words[x]
        for x, copied in plan.results
    ]
    lines.append(f"return ({''.join(f'{x}, ' for x in found)})")
    parameters = ", ".join(words[x] for x in plan.inputs)
    body = "".join(f"    {line}\n" for line in lines)
    return f"def program({parameters}):\n{body}", names.stand_for


class _Names:
    """The words of the source."""

    def __init__(self, words: dict[Slot, str], backend: Backend) -> None:
        self.stand_for: dict[str, Any] = {}
        self._backend = backend
        self._numbers: dict[tuple[str, Any], Any] = {}
        self._words = words
        self._known: dict[int, str] = {}
        self._functions: dict[str, Callable[..., Any]] = {}

    def name(self, prefix: str, value: Any) -> str:
        """A name for what the program uses and does not make."""
        found = self._known.get(id(value))
        if found is None:
            found = re.sub(r"\W+", "_", prefix)
            if found in self.stand_for:
                found += f"_{len(self.stand_for)}"
            self.stand_for[found] = value
            self._known[id(value)] = found
        return found

    def function(self, step: Step) -> str:
        """A name for what does a step in new memory."""
        if step.do is not None:
            return self.name(f"{step.name}_", _copied(step.do, copy_of(self._backend)))
        if step.name not in self._functions:
            self._functions[step.name] = function_of(self._backend, step.name)
        return self.name(f"{step.name}_", self._functions[step.name])

    def word(self, x: Any) -> str:
        """How an operand or a setting is written."""
        if isinstance(x, Slot):
            return self._words[x]
        # By type, since NumPy's scalars are floats too.
        plain = x is None or type(x) in (bool, int, str) or (type(x) is float and math.isfinite(x))
        if plain or (type(x) is tuple and all(type(part) in (int, bool) for part in x)):
            return repr(x)
        return self.name("k0", x)

    def number(self, x: Any, step: Step) -> str:
        """A Python number as an array without axes, which costs less to pass; empty if that may differ."""
        slots = [y for y in step.operands if isinstance(y, Slot)]
        dtype = slots[0].dtype
        floating = self._backend.xp.isdtype(dtype, "real floating")
        if type(x) not in (int, float) or not floating or any(y.dtype != dtype for y in slots):
            return ""
        key = (repr(float(x)), dtype)
        if key not in self._numbers:
            self._numbers[key] = self._backend.xp.asarray(x, dtype=dtype, device=slots[0].device)
        return self.name(f"n{x:.6g}", self._numbers[key])


def _lines(planned: Planned, names: _Names, backend: Backend) -> list[str]:
    """The code of one step."""
    step, into = planned.step, planned.into
    operands = [names.word(x) for x in step.operands]
    outs = [names.word(x) for x in step.outs]
    if planned.how is How.VIEW:
        return [f"# {outs[0]} is {step.name} of {operands[0]}"]
    if planned.how is How.OPERATOR:
        functions = {}
        if step.name == "annihilating_product":
            functions["isfinite"] = names.name("isfinite", math.isfinite)
            functions["function"] = names.function(step)
        return [f"{outs[0]} = {OPERATORS[step.name].format(*operands, **functions)}"]
    if planned.how is How.INTO:
        assert into is not None
        new = [_empty(x, names, backend) for x in planned.fresh]
        return [*new, _written(step, into, outs, names)]
    if into is not None:
        return [f"{outs[0]} = {_written(step, into, [], names)}"]
    if step.do is None and step.name == "matrix_transpose" and _has_transposes(backend):
        return [f"{outs[0]} = {operands[0]}.mT"]
    settings = [f"{key}={names.word(value)}" for key, value in step.static.items()]
    function = names.function(step)
    comma = "," * (len(outs) > 1)
    return [f"{', '.join(outs)}{comma} = {function}({', '.join([*operands, *settings])})"]


def _written(step: Step, into: Into, outs: list[str], names: _Names) -> str:
    """The call of a function that writes into `outs`, or that makes the result, if there are none."""
    operands = [
        (step.do is None and into.elementwise and names.number(x, step)) or names.word(x)
        for x in step.operands
    ]
    memory = [f"{into.keyword}={outs[0]}"] if into.keyword and outs else outs or ["None"] * bool(into.after)
    given = [*map(names.word, into.first), *operands, *map(names.word, into.before), *memory]
    name = getattr(into.function, "__name__", step.name)
    name = step.name if name in ("<lambda>", "reduce") else name.strip("_")
    return f"{names.name(name, into.function)}({', '.join([*given, *map(names.word, into.after)])})"


@cache
def _has_transposes(backend: Backend) -> bool:
    # Some versions of CuPy have none.
    return hasattr(backend.xp.empty((1, 1)), "mT")


def _empty(x: Slot, names: _Names, backend: Backend) -> str:
    empty = names.name("empty", backend.xp.empty)
    device = f", device={names.word(x.device)}" if x.device is not None else ""
    return f"{names.word(x)} = {empty}({x.shape}, dtype={names.name(str(x.dtype), x.dtype)}{device})"


@cache
def copy_of(backend: Backend) -> Callable[[Any], Any]:
    """A function that copies the library's arrays."""
    # NumPy's scalars cannot change, and a copy of one would be an array.
    return lambda x: backend.xp.asarray(x, copy=True) if hasattr(x, "__setitem__") else x


def _copied(do: Callable[..., Any], copy: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of the user's, which may return what it was given, with results in memory of their own."""

    def run(*operands: Any) -> Any:
        out = do(*operands)
        return tuple(map(own, out)) if isinstance(out, tuple) else own(out)

    def own(x: Any) -> Any:
        return copy(x) if is_mutable(x) else x

    return run
