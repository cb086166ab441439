"""Programs: what a function did to its inputs, step by step, to be done again for others.

A program is a list of functions of the namespace, each with its operands and its settings. It knows no
library and no Python of the user's: :func:`bpkit.linearize` runs the linear part of a function again with it,
and :func:`bpkit.jit` compiles it.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

from bpkit._messages import spelled_call
from bpkit.array import Array, constant
from bpkit.errors import RecordingError
from bpkit.evaluate import evaluate
from bpkit.kinds import SHAPED_BY_VALUES, raw
from bpkit.registry import backend_of
from bpkit.trace import Trace, Traced, call, snapshot
from bpkit.views import VIEWS, remember, share_memory

__all__ = ["Program", "Recorder", "Slot", "Step"]


class Slot:
    """The place of a value in a program: an input, or a result of a step.

    Attributes
    ----------
    index : int
        Its number, from 0 in the order in which values come to be.
    shape, dtype, device, backend
        Of the value.
    """

    __slots__ = ("backend", "device", "dtype", "index", "shape")

    def __init__(self, index: int, value: Any) -> None:
        self.index = index
        self.shape: tuple[int, ...] = tuple(value.shape)
        self.dtype: Any = value.dtype
        array = raw(value)
        self.backend = backend_of(array)
        # Arrays that JAX traces have no device.
        self.device = getattr(array, "device", None)

    def of_shape(self, index: int, shape: tuple[int, ...]) -> "Slot":
        """Another place, for a value of the same dtype on the same device."""
        other = copy(self)
        other.index, other.shape = index, shape
        return other

    def __repr__(self) -> str:
        return f"v{self.index}"


class Step(NamedTuple):
    """One function of a program.

    Attributes
    ----------
    name : str
    operands : tuple
        Slots, and everything else as it is: arrays that depend on no input, Python scalars, None.
    static : dict
        Its settings.
    outs : tuple of Slot
        One for each result.
    line : str
        Where the user's code called it, for who reads the program.
    do : callable or None
        What does the step, if that is no function of the namespace: it takes the operands, and returns one
        result, or a tuple of several.
    """

    name: str
    operands: tuple[Any, ...]
    static: dict[str, Any]
    outs: tuple[Slot, ...]
    line: str = ""
    do: Callable[..., Any] | None = None

    def __str__(self) -> str:
        operands = [_shown(x) for x in self.operands]
        operands += [f"{key}={_shown(value)}" for key, value in self.static.items()]
        outs = ", ".join(f"{out}: {out.dtype}{list(out.shape)}" for out in self.outs)
        return f"{outs} = {self.name}({', '.join(operands)})"


def _shown(x: Any) -> str:
    # NumPy's dtypes have a shape too.
    array = hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, Slot | type)
    return f"<{x.dtype}{list(x.shape)}>" if array else repr(x)


class Recorder(Trace):
    """Notes every function of a value that depends on an input, and what is asked of none other.

    A value is linked to its slot; without a link it depends on no input.

    Attributes
    ----------
    steps : list of Step
    inputs : list of Slot
    apart : dict of tuple to str
        Pairs of inputs that must not share memory, as numbers, and the write for which they must not.
    by_layout : bool
        Whether an array was written to that is a view or has some: on the memory layout of the inputs depends
        what else changed.
    opens : bool
        Whether a function with a derivative of its own is noted by what it does, and not as one step.

    Parameters
    ----------
    transform : str
        What records, for errors.
    line : callable
        Gives the line of the user's code that is running.
    keep : callable
        What is kept of an operand that depends on no input.
    """

    __slots__ = ("_keep", "_line", "_slots", "apart", "by_layout", "inputs", "steps", "transform")

    replays = True
    opens = False

    def __init__(
        self,
        transform: str,
        line: Callable[[], str] = str,
        keep: Callable[[Any], Any] = lambda x: x,
    ) -> None:
        super().__init__()
        # From the beginning: linearize enters the trace whose tangents it records, and not the recorder.
        self.live = 1
        self.transform = transform
        self.steps: list[Step] = []
        self.inputs: list[Slot] = []
        self.apart: dict[tuple[int, int], str] = {}
        self.by_layout = False
        self._line = line
        self._keep = keep
        self._slots = 0

    def input(self, value: Any) -> Array:
        """Watch a value as the next input."""
        watched = self._result(value)
        self.inputs.append(watched._link)
        return watched

    def _result(self, value: Any) -> Array:
        self._slots += 1
        return Array(value, self, Slot(self._slots - 1, value))

    def written(self, root: Traced, what: str) -> None:
        """Note what this write would change in other calls: inputs that share memory, or other views."""
        self.by_layout = self.by_layout or root._view is not None or bool(root._views)
        changed = [i for i, x in enumerate(self.entered) if share_memory(root, x)]
        for i in changed:
            for j, x in enumerate(self.entered):
                if i != j and any(share_memory(x, other) for other in root._trace.entered):
                    self.apart.setdefault((i, j), what)

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down, and note it if an operand depends on an input."""
        if not self.live:
            return self.afterwards(name, operands, static)
        return self.note(name, operands, static, None)

    def note(
        self, name: str, operands: tuple[Any, ...], static: dict[str, Any], do: Callable[..., Any] | None
    ) -> Any:
        """The same for any function that `do` does."""
        values: list[Any] = []
        noted: list[Any] = []
        outer = None
        depends = False
        for x in operands:
            slot = None
            if isinstance(x, Traced):
                if x._trace is self:
                    x, slot = x._value, x._link
                    depends = depends or slot is not None
                else:
                    x = snapshot(x)
                if isinstance(x, Traced):
                    outer = x._trace
            values.append(x)
            noted.append(self._keep(x) if slot is None else slot)
        if depends and (name in SHAPED_BY_VALUES or (name == "getitem" and any(map(_is_mask, noted[1:])))):
            raise RecordingError(
                f"{spelled_call(name, values, static)} in a function under {self.transform}: the shape of "
                f"the result depends on values, and what is recorded must serve for all values. Keep all "
                f"elements and mark them: xp.where(mask, x, 0)"
            )
        if do is not None:
            out = do(*values)
        elif outer is None:
            out = evaluate(name, tuple(values), static)
        else:
            out = call(name, *[constant(x, outer) for x in values], **static)
        several = isinstance(out, tuple)
        if not depends:
            results = tuple([Array(part, self, None) for part in (out if several else (out,))])
        else:
            results = tuple([self._result(part) for part in (out if several else (out,))])
            outs = tuple([x._link for x in results])
            self.steps.append(Step(name, tuple(noted), static, outs, self._line(), do))
        if several:
            return results
        if do is None and name in VIEWS and isinstance(operands[0], Traced):
            remember(results[0], operands, name, static)
        return results[0]


def _is_mask(x: Any) -> bool:
    return isinstance(x, Slot) and bool(x.backend.xp.isdtype(x.dtype, "bool"))


class Program:
    """Steps that lead from inputs to outputs; those that lead nowhere are left out.

    It can be run by any number of threads.

    Parameters
    ----------
    inputs : sequence of Slot
    steps : sequence of Step
    outputs : sequence
        Slots, and values that depend on no input.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> recorder = Recorder("an example")
    >>> x = recorder.input(np.asarray([1.0, 2.0]))
    >>> y = xp.sum(xp.sin(x))
    >>> program = Program(recorder.inputs, recorder.steps, [y._link])
    >>> print(program)
    v0: float64[2]
    v1: float64[2] = sin(v0)
    v2: float64[] = sum(v1, axis=None, dtype=None, keepdims=False)
    return v2
    >>> program([np.asarray([0.0, 0.0])])
    [np.float64(0.0)]
    """

    def __init__(self, inputs: Sequence[Slot], steps: Sequence[Step], outputs: Sequence[Any]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        needed = {x for x in outputs if isinstance(x, Slot)}
        kept: list[Step] = []
        last: list[tuple[Slot, ...]] = []
        for step in reversed(steps):
            if needed.isdisjoint(step.outs):
                continue
            used = {x for x in step.operands if isinstance(x, Slot)}.union(step.outs) - needed
            needed |= used
            kept.append(step)
            last.append(tuple(used))
        self.steps = tuple(reversed(kept))
        self.last_uses = tuple(reversed(last))
        """For each step the slots that no later step and no output needs."""

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run it, and let go of each value after its last use."""
        known: dict[Slot, Any] = dict(zip(self.inputs, inputs, strict=True))
        for (name, operands, static, outs, _, do), done in zip(self.steps, self.last_uses, strict=True):
            given = [known[x] if isinstance(x, Slot) else x for x in operands]
            out = call(name, *given, **static) if do is None else do(*given)
            if len(outs) == 1:
                known[outs[0]] = out
            else:
                known.update(zip(outs, out, strict=True))
            for slot in done:
                del known[slot]
        return [known[x] if isinstance(x, Slot) else x for x in self.outputs]

    def __str__(self) -> str:
        lines = [f"{x}: {x.dtype}{list(x.shape)}" for x in self.inputs]
        lines += map(str, self.steps)
        lines.append(f"return {', '.join(_shown(x) for x in self.outputs)}")
        return "\n".join(lines)
