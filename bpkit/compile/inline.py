"""Functions that a library does not have, as the functions of the standard by which they are defined.

What they make on the way is planned like all other values, so that nothing is allocated for it, and later
passes see every function.
"""

from itertools import count
from typing import Any

from bpkit._protocol import Backend
from bpkit.compile.plan import Written
from bpkit.evaluate import definition_of
from bpkit.namespace.xp import namespace_of
from bpkit.record import Program, Recorder, Slot, Step

__all__ = ["inline"]

_INLINED = frozenset(
    {
        "conv",
        "conv_kernel",
        "conv_transpose",
        "expit",
        "log_expit",
        "log_softmax",
        "logsumexp",
        "relu",
        "slices",
        "softmax",
    }
)


def inline(program: Program, backend: Backend) -> Program:
    """The same program with the definitions of functions in place of those that have one."""
    steps: list[Step] = []
    slots = [*program.inputs, *[out for step in program.steps for out in step.outs]]
    numbers = count(max((slot.index for slot in slots), default=-1) + 1)
    for step in program.steps:
        parts = _parts(step, backend) if step.do is None and step.name in _INLINED else [step]
        for slot in [out for part in parts for out in part.outs if out not in step.outs]:
            slot.index = next(numbers)
        steps += parts
    return Program(program.inputs, steps, program.outputs)


def _parts(step: Step, backend: Backend) -> list[Step]:
    """What a step does, recorded at ones of its operands' shapes."""
    defined = definition_of(backend, step.name)
    into = backend.rounded(step.name, step.operands[0], step.outs[0])
    if into is not None:
        return [step._replace(do=Written(into, step.outs[0]))]
    if defined is None:
        return [step]
    recorder = Recorder("jit", lambda: step.line)
    slots = list(dict.fromkeys([x for x in step.operands if isinstance(x, Slot)]))
    given: list[Any] = []
    results: list[Any] = []

    def run(*ones: Any) -> None:
        with recorder:
            given.extend([recorder.input(x) for x in ones])
            known = dict(zip(slots, given, strict=True))
            operands = [known[x] if isinstance(x, Slot) else x for x in step.operands]
            found = defined(namespace_of(backend), *operands, **step.static)
            results.extend(found if isinstance(found, tuple) else (found,))

    ones = [backend.xp.ones(x.shape, dtype=x.dtype, device=x.device) for x in slots]
    if not backend.on_stand_ins(run, ones):
        run(*ones)
    stands_for = {
        **{x._link: slot for x, slot in zip(given, slots, strict=True)},
        **{y._link: out for y, out in zip(results, step.outs, strict=True)},
    }
    return [
        part._replace(
            operands=tuple([stands_for.get(y, y) if isinstance(y, Slot) else y for y in part.operands]),
            outs=tuple([stands_for.get(y, y) for y in part.outs]),
        )
        for part in recorder.steps
    ]
