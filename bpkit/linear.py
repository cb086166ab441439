"""Forward mode for tangents that come later: what is done to tangents is recorded, and done again for others.

What happens to a tangent is linear in it, whatever the function: a sequence of products with derivatives,
sums and rearrangements. The derivatives themselves are worked out once, while the function runs.
"""

from typing import Any

from bpkit.array import Array, constant
from bpkit.derivative import Copies
from bpkit.evaluate import evaluate
from bpkit.forward import ForwardTrace
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Trace, Traced, call, snapshot

__all__ = ["LinearTrace", "Program", "Recorder"]

Step = tuple[str, list[Any], list[tuple[int, int]], dict[str, Any], tuple[int, ...]]
"""``(name, operands, places, static, outs)``; `places` says which operand is what slot."""


class LinearTrace(ForwardTrace):
    """Forward mode whose tangents a :class:`Recorder` watches; derivatives are kept for later."""

    __slots__ = ("copies",)

    transform = "linearize"

    def __init__(self) -> None:
        super().__init__()
        self.copies = Copies()

    def keep(self, x: Any) -> Any:
        """A copy: what a derivative was made of must not change when the user fills a buffer again."""
        return self.copies.of(x)


class Recorder(Trace):
    """Notes every function of a value that depends on an input: a step, whose result has a number, its slot.

    Only the rules of derivatives see what it watches.

    Attributes
    ----------
    steps : list of Step
    slots : int
        How many there are; inputs have the first.
    """

    __slots__ = ("slots", "steps")

    transform = "linearize"

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.slots = 0

    def input(self, value: Any) -> Array:
        """Watch a value as the next input."""
        self.slots += 1
        return Array(value, self, self.slots - 1)

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down, and note it if an operand depends on an input."""
        values: list[Any] = []
        places: list[tuple[int, int]] = []
        outer = None
        for i, x in enumerate(operands):
            if isinstance(x, Traced):
                if x._trace is not self:
                    x = snapshot(x)
                else:
                    if x._link is not None:
                        places.append((i, x._link))
                    x = x._value
                if isinstance(x, Traced):
                    outer = x._trace
            values.append(x)
        if outer is None:
            out = evaluate(name, tuple(values), static)
        else:
            out = call(name, *[constant(x, outer) for x in values], **static)
        if not places:
            parts = [Array(x, self, None) for x in out] if isinstance(out, tuple) else Array(out, self, None)
            return tuple(parts) if isinstance(parts, list) else parts
        for i, _ in places:
            values[i] = None
        if isinstance(out, tuple):
            results = tuple([self.input(x) for x in out])
            self.steps.append((name, values, places, static, tuple([x._link for x in results])))
            return results
        result = self.input(out)
        self.steps.append((name, values, places, static, (result._link,)))
        return result


class Program:
    """Steps that can be run again for other inputs, by any number of threads.

    Parameters
    ----------
    steps : list of Step
    outputs : list of int or None
        Slots that are asked for; None for what depends on no input.
    """

    def __init__(self, steps: list[Step], outputs: list[int | None]) -> None:
        needed = {slot for slot in outputs if slot is not None}
        kept = []
        for step in reversed(steps):
            places, outs = step[2], step[4]
            if needed.isdisjoint(outs):
                continue
            # What no later step needs is let go after this one.
            done = {slot for _, slot in places}.union(outs) - needed
            needed |= done
            kept.append((step, tuple(done)))
        self._steps = kept[::-1]
        self._outputs = outputs

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """The outputs for these inputs; None for those that depend on none."""
        if not inputs:
            return [None] * len(self._outputs)
        known = dict(enumerate(inputs))
        with backend_of(raw(inputs[0])).quiet():
            for (name, values, places, static, outs), done in self._steps:
                operands = values.copy()
                for i, slot in places:
                    operands[i] = known[slot]
                out = call(name, *operands, **static)
                if len(outs) == 1:
                    known[outs[0]] = out
                else:
                    known.update(zip(outs, out, strict=True))
                for slot in done:
                    del known[slot]
        return [None if slot is None else known[slot] for slot in self._outputs]
