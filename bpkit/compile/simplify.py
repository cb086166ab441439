"""The same program in fewer steps: constants are worked out, and nothing is computed twice."""

from typing import Any

from bpkit.kinds import device_of
from bpkit.record import Program, Slot, Step
from bpkit.trace import call

__all__ = ["simplify"]

_FILLED = {"zeros_like": 0, "ones_like": 1}


def simplify(program: Program) -> Program:
    """The same program in fewer steps."""
    known: dict[Slot, Any] = {}
    """What stands for a result: an earlier slot, or a constant."""
    made: dict[Any, tuple[Slot, ...]] = {}
    steps: list[Step] = []
    for step in program.steps:
        step = step._replace(
            operands=tuple([known.get(x, x) if isinstance(x, Slot) else x for x in step.operands])
        )
        if not any(isinstance(x, Slot) for x in step.operands):
            out = (
                call(step.name, *step.operands, **step.static) if step.do is None else step.do(*step.operands)
            )
            known.update(zip(step.outs, out if isinstance(out, tuple) else (out,), strict=True))
            continue
        same = _same(step)
        if same is not None:
            known[step.outs[0]] = same
            continue
        key = _key(step)
        if key in made:
            known.update(zip(step.outs, made[key], strict=True))
            continue
        made[key] = step.outs
        steps.append(step)
    outputs = [known.get(x, x) if isinstance(x, Slot) else x for x in program.outputs]
    return Program(program.inputs, steps, outputs)


def _key(step: Step) -> Any:
    """Equal for steps that give equal results."""
    # Numbers by how they are written: 0.0 is equal to -0.0, and to 0.
    operands = [
        repr(x) if type(x) in (int, float, complex, bool) else x if isinstance(x, Slot) else id(x)
        for x in step.operands
    ]
    return step.name, step.do, tuple(operands), repr(step.static)


def _same(step: Step) -> Any:
    """What the result of a step is already: an operand, or a constant; None if it must be computed."""
    out, x = step.outs[0], step.operands[0]
    if step.name in _FILLED and isinstance(x, Slot):
        library = x.backend.xp
        return library.full(out.shape, _FILLED[step.name], dtype=out.dtype, device=device_of(x))
    if step.name in (
        "astype",
        "cotangent_as",
        "positive",
        "reshape",
        "broadcast_to",
        "stop_gradient",
        "real",
    ):
        unmoved = step.static.get("device") is None
        if isinstance(x, Slot) and unmoved and (x.shape, x.dtype) == (out.shape, out.dtype):
            return x
    if step.name == "multiply":
        for x, y in (step.operands, step.operands[::-1]):
            if isinstance(x, Slot) and (x.shape, x.dtype) == (out.shape, out.dtype) and _is_one(y):
                return x
    return None


def _is_one(x: Any) -> bool:
    """Whether a constant of no axes is 1."""
    if isinstance(x, Slot) or (hasattr(x, "shape") and x.shape != ()):
        return False
    return bool(x == 1)
