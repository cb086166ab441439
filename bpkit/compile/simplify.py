"""The same program in fewer steps: constants are worked out, and nothing is computed twice."""

from typing import Any

from bpkit.compile.algebra import rewritten, same_as
from bpkit.kinds import device_of
from bpkit.record import Program, Slot, Step
from bpkit.trace import call

__all__ = ["simplify"]

_FILLED = {"zeros_like": 0, "ones_like": 1}
_COMMUTATIVE = frozenset({"add", "multiply"})


def simplify(program: Program) -> Program:
    """The same program in fewer steps."""
    known: dict[Slot, Any] = {}
    """What stands for a result: an earlier slot, or a constant."""
    seen: dict[Any, tuple[Slot, ...]] = {}
    made: dict[Slot, Step] = {}
    steps: list[Step] = []
    for step in program.steps:
        step = step._replace(
            operands=tuple([known.get(x, x) if isinstance(x, Slot) else x for x in step.operands])
        )
        if not any(isinstance(x, Slot) for x in step.operands):
            known.update(zip(step.outs, _computed(step), strict=True))
            continue
        same = None
        while step.do is None and same is None:
            same = _filled(step) if step.name in _FILLED else same_as(step, made)
            new = rewritten(step, made) if same is None else None
            if new is None:
                break
            step = new
        if same is not None:
            known[step.outs[0]] = same
            continue
        key = _key(step)
        if key in seen:
            known.update(zip(step.outs, seen[key], strict=True))
            continue
        seen[key] = step.outs
        made.update(dict.fromkeys(step.outs, step))
        steps.append(step)
    outputs = [known.get(x, x) if isinstance(x, Slot) else x for x in program.outputs]
    return Program(program.inputs, steps, outputs)


def _computed(step: Step) -> tuple[Any, ...]:
    """The results of a step that depends on no input."""
    out = call(step.name, *step.operands, **step.static) if step.do is None else step.do(*step.operands)
    return out if isinstance(out, tuple) else (out,)


def _filled(step: Step) -> Any:
    """An array of the shape of an input, but not of its values."""
    out, x = step.outs[0], step.operands[0]
    return x.backend.xp.full(out.shape, _FILLED[step.name], dtype=out.dtype, device=device_of(x))


def _key(step: Step) -> Any:
    """Equal for steps that give equal results."""
    # Numbers by how they are written: 0.0 is equal to -0.0, and to 0.
    operands = [
        repr(x) if type(x) in (int, float, complex, bool) else x if isinstance(x, Slot) else id(x)
        for x in step.operands
    ]
    several = (
        frozenset(operands) if step.name in _COMMUTATIVE and len(set(operands)) == 2 else tuple(operands)
    )
    return step.name, step.do, several, repr(step.static)
