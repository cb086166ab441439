"""The record that reverse mode keeps: one node for each function applied to a value that needs a gradient."""

from collections.abc import Callable
from itertools import count
from typing import Any

__all__ = ["Edge", "Node", "now"]

clock = count()

Edge = tuple["Node", Callable[..., Any], tuple[Any, ...]]
"""The way back from a node to an operand it came from: ``(parent, pull, saved)``.

``pull(g, *saved)`` is the cotangent of that operand (the engine sums it over broadcast axes afterwards),
and `saved` is all of the operands and of the result that is kept alive. A plain tuple, since one is made
for every operand.
"""


class Node:
    """One value in the graph.

    Attributes
    ----------
    name : str
        The function that made it; ``"input"`` for an input of the transform.
    index : int
        Rises with time, so that parents have smaller ones: the topological order.
    shape, dtype
        Those of the value, which its cotangent must have too. None for the node of a function with several
        results: each of them is a node of its own, with this one for a parent, and the cotangent of this
        one is a tuple of theirs, None where nothing reached a result.
    edges : list of Edge
        Empty for an input.
    made : Made
        How and where the value was made; set only while :func:`bpkit.debug_nans` is on.
    """

    __slots__ = ("dtype", "edges", "index", "made", "name", "shape")

    made: Any

    def __init__(self, name: str, value: Any | None, edges: list[Edge]) -> None:
        self.name = name
        self.index = next(clock)
        self.shape: tuple[int, ...] | None = None if value is None else value.shape
        self.dtype: Any = None if value is None else value.dtype
        self.edges = edges

    def let_go(self) -> None:
        """Forget what is kept for the way back."""
        self.edges = []

    def __repr__(self) -> str:
        kind = "several results" if self.shape is None else f"{self.dtype}{list(self.shape)}"
        return f"<{self.name} #{self.index} {kind}>"


def now() -> int:
    """A reading of the clock: nodes made before have smaller indices, those made from now on greater ones."""
    return next(clock)
