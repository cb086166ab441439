"""Functions of lists of arrays whose derivatives are functions of lists of arrays again.

What another library's automatic differentiation wants of a function is the function, its products with the
Jacobian from both sides, and all that for a batch. Each is a function of the same kind, so that the other
library can differentiate it again, and never looks into one.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bpkit.backward import ReverseTrace, gradients
from bpkit.errors import ArgumentError
from bpkit.forward import ForwardTrace
from bpkit.kinds import is_inexact
from bpkit.transforms.arguments import Problem, describe, results, wrap_constants
from bpkit.transforms.functions import Leaves
from bpkit.transforms.products import push
from bpkit.transforms.vmap import vmap

__all__ = ["Step"]

Run = Callable[[Leaves], Leaves]


class Step:
    """A function of a list of arrays of one library that returns such a list.

    Parameters
    ----------
    called : str
        For errors.
    run : callable
        Written with bpkit's functions.
    """

    def __init__(self, called: str, run: Run) -> None:
        self.called = called
        self.run = run

    def plain(self, leaves: Leaves) -> Leaves:
        """The results; what is written to a leaf inside is seen inside only."""
        with ReverseTrace() as trace:
            out = self.run([wrap_constants(trace, x) for x in leaves])
        return results(self.called, trace, out)[0]

    def recorded(self, leaves: Leaves, moving: Sequence[int]) -> tuple[Leaves, Run]:
        """Results, and the way back to the leaves at `moving`, which may be gone once.

        Nothing is copied: until then nobody may write to leaves or results. The way back takes a cotangent
        for each result, None for zero.
        """
        for i in moving:
            if not is_inexact(leaves[i]):
                raise ArgumentError(
                    f"{self.called}: array {i} of its arguments is asked for a gradient, and its "
                    f"library knows no derivatives of that dtype; it is {describe(leaves[i])}"
                )
        with ReverseTrace() as trace:
            watched = {i: trace.input(leaves[i]) for i in moving}
            nodes = [watched[i]._link for i in moving]
            given = [watched[i] if i in watched else wrap_constants(trace, x) for i, x in enumerate(leaves)]
            out = self.run(given)
        outs, _, links = results(self.called, trace, out)
        primals = [leaves[i] for i in moving]

        def pull(gs: Leaves) -> Leaves:
            seeds = [
                (link, g) for link, g in zip(links, gs, strict=True) if link is not None and g is not None
            ]
            return gradients(seeds, nodes, primals, once=True)

        return outs, pull

    def back(self, count: int, moving: Sequence[int], reached: Sequence[int]) -> "Step":
        """The gradients of the leaves at `moving`, of all `count` leaves and the cotangents of some results.

        Those are the results at `reached`; no other cotangent reached one.
        """

        def run(given: Leaves) -> Leaves:
            leaves, gs = given[:count], dict(zip(reached, given[count:], strict=True))
            outs, pull = self.recorded(leaves, moving)
            return pull([gs.get(i) for i in range(len(outs))])

        return Step(self.called, run)

    def forward(self, count: int, moving: Sequence[int]) -> "Step":
        """The tangents of all floating results, of all `count` leaves and tangents of those at `moving`."""

        def of_leaves(*leaves: Any) -> Leaves:
            return self.run(list(leaves))

        def run(given: Leaves) -> Leaves:
            leaves, tangents = given[:count], given[count:]
            problem = Problem.of(self.called, "argument {}", of_leaves, moving, leaves)
            outs, _, moved, _ = push(ForwardTrace(), problem, tangents, False)
            return [t for out, t in zip(outs, moved, strict=True) if is_inexact(out)]

        return Step(self.called, run)

    def batched(self, axes: Sequence[int | None]) -> "Step":
        """The same for many examples, which lie along `axes` of the leaves, the first of results."""

        def of_leaves(*leaves: Any) -> Leaves:
            return self.run(list(leaves))

        of_leaves.__qualname__ = self.called
        whole = vmap(of_leaves, in_axes=tuple(axes))
        return Step(self.called, lambda leaves: list(whole(*leaves)))
