"""Functions of another library as functions of bpkit: run there, and differentiated there.

For bpkit such a function is one opaque piece, as one with a rule of its own is
(:mod:`bpkit.transforms.functions`). Its derivatives are functions of the other library again.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bpkit._protocol import Backend
from bpkit.interop.crossing import carried, writable
from bpkit.kinds import is_inexact, raw
from bpkit.registry import common_backend
from bpkit.trace import Traced
from bpkit.transforms.functions import Function, Leaves, Pull, apply

__all__ = ["Foreign", "Native"]


class Native(ABC):
    """A function of a list of another library's arrays, which that library differentiates.

    Attributes
    ----------
    called : str
        For errors.
    """

    called: str

    @property
    @abstractmethod
    def library(self) -> Backend:
        """The library whose arrays it takes and returns."""

    @abstractmethod
    def run(self, arrays: Leaves) -> Leaves:
        """The results."""

    @abstractmethod
    def recorded(self, arrays: Leaves, moving: Sequence[int]) -> Leaves:
        """The same, with the way back kept for a :meth:`back` of the same `moving`."""

    @abstractmethod
    def back(self, count: int, moving: Sequence[int], reached: Sequence[int]) -> "Native":
        """The cotangents of the arrays at `moving`, of all `count` and of cotangents of results `reached`."""

    @abstractmethod
    def forward(self, count: int, moving: Sequence[int]) -> "Native":
        """The tangents of the floating results, of all `count` arrays and tangents of those at `moving`."""

    @abstractmethod
    def batched(self, which: Sequence[bool]) -> "Native":
        """The same for many examples, along the first axis of results, and of the arrays of `which`."""


class Foreign(Function):
    """A call of a function of another library, on arrays of any."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.name = native.called

    def run(self, leaves: Leaves) -> Leaves:
        """The results, in the library of the leaves."""
        arrays = [raw(x) for x in leaves]
        return self._home(arrays, self.native.run(self._there(arrays)))

    def backward(self, leaves: Leaves, moving: list[bool]) -> tuple[Leaves, Leaves, Pull]:
        """The results, and the way back that the other library knows."""
        places = [i for i, moves in enumerate(moving) if moves]
        if any(isinstance(x, Traced) and x._trace.level for x in leaves):
            outs = apply(self, leaves)
        else:
            arrays = [raw(x) for x in leaves]
            outs = self._home(arrays, self.native.recorded(self._there(arrays), places))

        def pull(saved: Leaves, gs: Leaves) -> Leaves:
            reached = [i for i, g in enumerate(gs) if g is not None]
            back = Foreign(self.native.back(len(leaves), places, reached))
            found = dict(zip(places, apply(back, [*saved, *[gs[i] for i in reached]]), strict=True))
            return [found.get(i) for i in range(len(leaves))]

        return outs, leaves, pull

    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """The results and their tangents."""
        places = [i for i, t in enumerate(tangents) if t is not None]
        outs = apply(self, leaves)
        push = Foreign(self.native.forward(len(leaves), places))
        moved = iter(apply(push, [*leaves, *[tangents[i] for i in places]]))
        return outs, [next(moved) if is_inexact(out) else None for out in outs]

    def batched(self, size: int, which: list[bool]) -> Function:
        """The same for many examples."""
        return Foreign(self.native.batched(which))

    def _there(self, arrays: Leaves) -> Leaves:
        return [
            carried(self.name, f"array {i} of its arguments", x, self.native.library)
            for i, x in enumerate(arrays)
        ]

    def _home(self, arrays: Leaves, outs: Leaves) -> Leaves:
        owner = common_backend(arrays, self.name)
        return [writable(carried(self.name, f"result {i}", x, owner)) for i, x in enumerate(outs)]
