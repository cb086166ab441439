"""One derivative beside its finite differences, and what to say of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Comparison", "worst"]


@dataclass(frozen=True)
class Comparison:
    """What was found of one derivative.

    Attributes
    ----------
    function : str
    order : int
    mode : str
        ``"fwd"`` or ``"rev"``; of a derivative of higher order how it was nested, ``"fwd of rev"``.
    argument : str
        ``argument 1['w']``.
    place : str
        Of what disagrees most, within the argument: ``element (2, 3)``; empty, if that has one number only.
    result : str
        What was differentiated: an element of the result in forward mode, all that there is in reverse mode.
    found : float
        What the mode said there.
    expected : float
        What finite differences said.
    error : float
        Their difference, relative to the derivative's size.
    allowed : float
        How large it may be.
    slopes : pair of float or None
        From the left and from the right, where they differ: the function has a kink.
    jump : float or None
        How much the function changes over next to nothing, if it does.
    """

    function: str
    order: int
    mode: str
    argument: str
    place: str
    result: str
    found: float
    expected: float
    error: float
    allowed: float
    slopes: tuple[float, float] | None
    jump: float | None

    @property
    def agrees(self) -> bool:
        """Whether the derivative is right."""
        return self.error <= self.allowed

    @property
    def excess(self) -> float:
        """How many times larger the error is than it may be."""
        return self.error / self.allowed if self.allowed else math.inf

    @property
    def verdict(self) -> str:
        """In a word or two: ``right``, ``wrong``, ``not finite``, ``at a kink``, ``at a jump``."""
        if self.agrees:
            return "right"
        if not (math.isfinite(self.found) and math.isfinite(self.expected)):
            return "not finite"
        if self.jump is not None:
            return "at a jump"
        return "wrong" if self.slopes is None else "at a kink"

    @property
    def sentence(self) -> str:
        """What an error says."""
        of = f", {self.place}" if self.place else ""
        text = (
            f"check_grads of {self.function}: the derivative of {self.result} by {self.argument}{of} "
            f"(mode {self.mode}, order {self.order}) is {self.found:.10g}, and finite differences say "
            f"{self.expected:.10g}"
        )
        if self.verdict == "not finite":
            who = "The derivative is" if math.isfinite(self.expected) else "Close by, the function is"
            return f"{text}. {who} not finite; choose another point"
        text += f" (relative error {self.error:.2g}, allowed {self.allowed:.2g})"
        if self.jump is not None:
            return (
                f"{text}. The function jumps there, or next to it: it changes by {self.jump:.6g} however "
                f"small the step. At a jump there is no derivative to compare with; choose another point"
            )
        if self.slopes is not None:
            left, right = self.slopes
            return (
                f"{text}. The function looks as if it had a kink or a jump there: its slope is {left:.6g} "
                f"from the left and {right:.6g} from the right. Choose another point"
            )
        if max(abs(self.found), abs(self.expected)) < 1e-12:
            return f"{text}. If both should be 0, and are not for rounding only, pass atol=1e-12"
        return (
            f"{text}. Check the functions that it calls one by one to find the rule that is wrong; if only "
            f"the function's own rounding is in the way, pass a larger rtol, atol or eps"
        )


def worst(comparisons: Iterable[Comparison]) -> Comparison | None:
    """The one that is furthest off; None if all agree."""
    failed = [comparison for comparison in comparisons if not comparison.agrees]
    return max(failed, key=lambda comparison: comparison.excess, default=None)
