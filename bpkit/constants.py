"""Arrays that are made inside a transform and depend on no input.

Foreign code asks a traced array for its namespace, makes an array there (``xp.zeros(n)``) and assigns to its
elements. So what that namespace makes is wrapped like everything else, under a trace that notes nothing; a
transform takes its operands for the raw arrays that they are.
"""

from typing import Any

from bpkit.array import Array
from bpkit.evaluate import evaluate
from bpkit.trace import Trace, Traced
from bpkit.views import VIEWS, remember

__all__ = ["BORROWED", "CONSTANT", "ConstantTrace", "constant_array"]


class ConstantTrace(Trace):
    """Watches arrays that no transform watches; always live, at level 0."""

    __slots__ = ()

    transform = "no transform"

    def __init__(self) -> None:
        super().__init__()
        self.level = 0
        self.live = 1

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` on the raw arrays and wrap what it returns."""
        out = evaluate(name, tuple([x._value if isinstance(x, Traced) else x for x in operands]), static)
        if isinstance(out, tuple):
            return tuple([Array(part, CONSTANT, None) for part in out])
        if name not in VIEWS or not isinstance(operands[0], Traced):
            return Array(out, CONSTANT, None)
        result = Array(out, operands[0]._trace, None)
        remember(result, operands, name, static)
        return result


class BorrowedTrace(ConstantTrace):
    """The same for what is not ours."""

    __slots__ = ()

    @property
    def borrowed(self) -> bool:
        """Always."""
        return True


CONSTANT = ConstantTrace()
"""Watches arrays that nobody else holds."""
BORROWED = BorrowedTrace()
"""Watches arrays that somebody outside holds as well, and may write to."""


def constant_array(value: Any, borrowed: bool = False) -> Any:
    """A raw array as one of level 0; a traced array as it is."""
    return value if isinstance(value, Traced) else Array(value, BORROWED if borrowed else CONSTANT, None)
