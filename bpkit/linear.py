"""Forward mode for tangents that come later: what is done to tangents is recorded, and done again for others.

What happens to a tangent is linear in it, whatever the function: a sequence of products with derivatives,
sums and rearrangements. The derivatives themselves are worked out once, while the function runs.
"""

from typing import Any

from bpkit.derivative import Copies
from bpkit.forward import ForwardTrace

__all__ = ["LinearTrace"]


class LinearTrace(ForwardTrace):
    """Forward mode with tangents that a :class:`bpkit.record.Recorder` watches; it keeps derivatives."""

    __slots__ = ("copies",)

    transform = "linearize"

    def __init__(self) -> None:
        super().__init__()
        self.copies = Copies()

    def keep(self, x: Any) -> Any:
        """A copy: what a derivative was made of must not change when the user fills a buffer again."""
        return self.copies.of(x)
