"""Runs functions of single examples on a whole batch of them."""

from typing import Any

from bpkit.array import Array
from bpkit.batching.registry import Operand, rule_of
from bpkit.trace import BATCHED, Trace, Traced, call, snapshot
from bpkit.views import VIEWS, remember

__all__ = ["BatchTrace"]


class BatchTrace(Trace):
    """Watches values that stand for one example of a batch.

    A batched value has its examples along a first axis one level down and does not show that axis; its link
    is :data:`bpkit.trace.BATCHED`. A value without a link is the same for every example.

    Attributes
    ----------
    size : int
        The number of examples.
    """

    __slots__ = ("size",)

    transform = "vmap"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` on all examples at once, if they differ in an operand."""
        if not self.live:
            return self.afterwards(name, operands, static)
        own = [isinstance(x, Traced) and x._trace is self for x in operands]
        values = [x._value if mine else snapshot(x) for x, mine in zip(operands, own, strict=True)]
        batched = [mine and x._link is BATCHED for x, mine in zip(operands, own, strict=True)]
        if any(batched):
            link = BATCHED
            out = rule_of(name)(name, self.size, *map(Operand, values, batched), **static)
        else:
            link = None
            out = call(name, *values, **static)
        if isinstance(out, tuple):
            return tuple([Array(part, self, link) for part in out])
        result = Array(out, self, link)
        if name in VIEWS and isinstance(operands[0], Traced):
            remember(result, operands, name, static)
        return result
