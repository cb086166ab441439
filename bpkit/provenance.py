"""How and where a value was made, as :mod:`bpkit.nans` notes it and says it."""

from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from bpkit import tree
from bpkit._messages import is_users, line_at, spelled_call
from bpkit.graph import Node
from bpkit.kinds import is_complex, is_inexact
from bpkit.registry import backend_of
from bpkit.rules.registry import is_elementwise
from bpkit.trace import BATCHED, Trace, Traced

__all__ = ["Bare", "Made", "Place", "bare", "place_of", "remember"]


class Bare(NamedTuple):
    """A value without its traces.

    Attributes
    ----------
    value
        A raw array, a Python scalar or None.
    batches : tuple of Trace
        The vmaps whose examples its first axes count, in the order of these axes.
    """

    value: Any
    batches: tuple[Trace, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the user's code sees."""
        shape: tuple[int, ...] = getattr(self.value, "shape", ())[len(self.batches) :]
        return shape

    @property
    def dtype(self) -> Any:
        """The library's dtype object; None for what has none."""
        return getattr(self.value, "dtype", None)

    def where(self, test: str) -> Any:
        """Where a function of the standard (``"isnan"``) holds, on the host; None if that cannot be asked."""
        if not hasattr(self.value, "shape") or not is_inexact(self.value):
            return None
        backend = backend_of(self.value)
        try:
            return np.asarray(backend.to_host(getattr(backend.xp, test)(self.value)))
        except TypeError:
            # A library's own tracer (jax.jit) has no values to look at.
            return None

    def lined_up(self, found: Any, result: "Bare") -> Any:
        """What was found of this operand, its axes paired with the result's as broadcasting does."""
        sizes = dict(zip(self.batches, self.value.shape, strict=False))
        batches = tuple([sizes.get(trace, 1) for trace in result.batches])
        return found.reshape(batches + (1,) * (len(result.shape) - len(self.shape)) + self.shape)

    def element(self, index: tuple[int, ...], result: "Bare") -> str:
        """The element that meets the one of the result at this index."""
        value = self.value
        if not hasattr(value, "shape"):
            return repr(value)
        if value.shape:
            examples = dict(zip(result.batches, index, strict=False))
            own = index[len(index) - len(self.shape) :] if self.shape else ()
            places = [0 if length == 1 else i for i, length in zip(own, self.shape, strict=True)]
            value = value[(*[examples[trace] for trace in self.batches], *places)]
        text = f"{complex(value) if is_inexact(value) and is_complex(value) else float(value):.6g}"
        return text if any(sign in text for sign in ".enj") else f"{text}.0"

    def at(self, index: tuple[int, ...]) -> str:
        """Where an element is, for a sentence."""
        examples, own = index[: len(self.batches)], index[len(self.batches) :]
        text = f" at index {own}" if own else ""
        return text + (f" in example {', '.join(map(str, examples))}" if examples else "")


def bare(x: Any) -> Bare:
    """A value without its traces."""
    batches = []
    while isinstance(x, Traced):
        if x._link is BATCHED:
            batches.append(x._trace)
        x = x._value
    # The outermost vmap has its axis in front.
    return Bare(x, tuple(batches[::-1]))


class Place(NamedTuple):
    """Where the user's code called a function.

    Attributes
    ----------
    filename, number
        The line; empty where there is none.
    modules : tuple of Module
        Those whose methods were running, the innermost first.
    model : str
        What the caller calls the outermost; its class where it has no name.
    """

    filename: str
    number: int
    modules: tuple[Any, ...]
    model: str

    @property
    def line(self) -> str:
        """The line as errors show it; empty if there is none."""
        return line_at(self.filename, self.number) if self.filename else ""

    @property
    def layer(self) -> str:
        """The innermost module as the user reaches it: ``model.layers[2] (Dense(30 → 10))``."""
        if not self.modules:
            return ""
        *inside, module = self.modules
        path = self.model
        for part in reversed(inside):
            step = tree.path_of(part, module)
            path, module = type(part).__name__ if step is None else path + step, part
        written = repr(module)
        return f"{path} ({type(module).__name__ if chr(10) in written else written})"


def place_of(frame: FrameType | None) -> Place:
    """The innermost line of the user's code from this frame outwards, and the modules that are running."""
    from bpkit.nn import Module  # the layer above

    filename, number, model = "", 0, ""
    modules: list[Any] = []
    while frame is not None:
        code = frame.f_code
        if not filename and is_users(code.co_filename):
            filename, number = code.co_filename, frame.f_lineno
        if code.co_argcount and code.co_varnames[0] == "self":
            module = frame.f_locals.get("self")
            if isinstance(module, Module) and not (modules and modules[-1] is module):
                modules.append(module)
                around = {} if frame.f_back is None else frame.f_back.f_locals
                names = [name for name, x in around.items() if x is module]
                model = names[0] if names else type(module).__name__
        frame = frame.f_back
    return Place(filename, number, tuple(modules), model)


@dataclass(frozen=True, slots=True)
class Made:
    """A call of a function, as the nodes of its results remember it.

    Attributes
    ----------
    name : str
    operands : tuple of Bare
    static : dict
    place : Place
    during : str
        What of bpkit called it, for errors; empty if the user's code did.
    """

    name: str
    operands: tuple[Bare, ...]
    static: dict[str, Any]
    place: Place
    during: str = ""

    def __str__(self) -> str:
        operands = [x if hasattr(x.value, "shape") else x.value for x in self.operands]
        text = spelled_call(self.name, operands, self.static)
        return f"{text}, {self.during}" if self.during else text

    @property
    def elementwise(self) -> bool:
        """Whether each element of the result is made of the elements of the operands at that place."""
        return is_elementwise(self.name)

    def elements(self, index: tuple[int, ...], result: Bare) -> list[str]:
        """The elements of which this one of a result was made; none if there are others."""
        if not self.elementwise and any(x.shape for x in self.operands):
            return []
        return [x.element(index, result) for x in self.operands]


def remember(out: Any, made: Made) -> None:
    """Note on the nodes of a result how it was made, where a call inside that one has not done so."""
    while isinstance(out, Traced):
        node = out._link
        if isinstance(node, Node):
            for each in (node, *[parent for parent, _, _ in node.edges if parent.shape is None]):
                if not hasattr(each, "made"):
                    each.made = made
        out = out._value
