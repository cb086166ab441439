"""How far to go along a line: to where the strong Wolfe conditions hold."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Point", "strong_wolfe"]

_DECREASE = 1e-4
"""The share of the first slope that the value must fall by."""
_CURVATURE = 0.9
"""The share of the first slope that may be left."""
_SHORTEST = 1e-9
"""Over a piece of the line that is too short no number changes by more."""


class Point(NamedTuple):
    """A point on the line.

    Attributes
    ----------
    t : float
        Where it is, 0 at the start.
    value : float
        Of the function there.
    gradient : array, shape (n,)
    slope : float
        The derivative of the value by t.
    """

    t: float
    value: float
    gradient: Any
    slope: float


def strong_wolfe(at: Callable[[float], Point], start: Point, t: float, longest: float, trials: int) -> Point:
    """A point where the value is low enough and the slope small enough.

    That is ``value <= start.value + 1e-4 * t * start.slope`` and ``abs(slope) <= 0.9 * abs(start.slope)``, or
    the lower end of a piece of the line when there are no more trials or it has become too short. Of two ends
    the lower is kept, as in PyTorch, also where it is too high by the first condition: so after a first trial
    that is far too long the value falls, but perhaps by less.

    Parameters
    ----------
    at : callable
        ``t -> Point``.
    start : Point
        At 0, where the function falls: its slope is negative.
    t : float
        The first trial, positive.
    longest : float
        The largest change of one number over a piece of length 1.
    trials : int
        How often to compute the function after the first trial, at most.

    Returns
    -------
    Point

    References
    ----------
    J. Nocedal and S. J. Wright, Numerical Optimization, 2nd edition (2006), algorithms 3.5 and 3.6, and
    equation 3.59. The safeguards, which keep trials away from the ends of a piece, are those of M. Schmidt's
    minFunc (2005), as PyTorch has them.
    """

    def is_high(x: Point) -> bool:
        # A value that is not a number is too high as well.
        return not x.value <= start.value + _DECREASE * x.t * start.slope

    def is_flat(x: Point) -> bool:
        return abs(x.slope) <= -_CURVATURE * start.slope

    # Longer and longer steps, until there is such a point in the last of them.
    before, new, done = start, at(t), 0
    while True:
        if done == trials:
            return new if new.value < start.value else start
        if is_high(new) or (done > 1 and new.value >= before.value):
            break
        if is_flat(new):
            return new
        if new.slope >= 0.0:
            break
        t = _lowest_of_cubic(before, new, new.t + 0.01 * (new.t - before.t), 10.0 * new.t)
        before, new, done = new, at(t), done + 1

    # Shorter and shorter pieces, of which one end is the lowest point so far.
    low, high = (new, before) if new.value < before.value else (before, new)
    stuck = False
    while done < trials and low.t != high.t and abs(high.t - low.t) * longest >= _SHORTEST:
        left, right = (low, high) if low.t < high.t else (high, low)
        t = _lowest_of_cubic(left, right, left.t, right.t)
        margin = 0.1 * (right.t - left.t)
        is_near = min(right.t - t, t - left.t) < margin
        if is_near and (stuck or t in (left.t, right.t)):
            t = right.t - margin if right.t - t < t - left.t else left.t + margin
            is_near = False
        stuck = is_near
        new, done = at(t), done + 1
        if is_high(new) or new.value >= low.value:
            low, high = (new, low) if new.value < low.value else (low, new)
        elif is_flat(new):
            return new
        else:
            low, high = new, low if new.slope * (high.t - low.t) >= 0.0 else high
    return low


def _lowest_of_cubic(left: Point, right: Point, least: float, most: float) -> float:
    """Where the cubic with these values and slopes is lowest, from `least` to `most`; else the middle."""
    d1 = left.slope + right.slope - 3.0 * (left.value - right.value) / (left.t - right.t)
    square = d1 * d1 - left.slope * right.slope
    if not 0.0 <= square < math.inf:
        return 0.5 * (least + most)
    d2 = math.sqrt(square)
    below = right.slope - left.slope + 2.0 * d2
    if below == 0.0:
        return most
    t = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / below)
    return min(max(t, least), most)
