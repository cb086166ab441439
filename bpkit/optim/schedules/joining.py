"""Schedules made of schedules."""

from collections.abc import Sequence
from typing import Any

from bpkit import namespace as xp
from bpkit.errors import ArgumentError
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Schedule, setting
from bpkit.optim.schedules.counting import Rated, floating, share, steps_setting
from bpkit.optim.schedules.falling import constant

__all__ = ["join", "warmup"]


@remembered
def warmup(schedule: float | Schedule, steps: int, start_factor: float = 0.0) -> Schedule:
    """A schedule that begins later, after its first rate is reached in equal steps.

    Parameters
    ----------
    schedule : float or Schedule
        What comes after; it sees ``count - steps``.
    steps : int
        How many steps the way up takes; not negative.
    start_factor : float
        What the first rate is multiplied by in the first step; finite, not negative.

    Returns
    -------
    Schedule

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour" (2017), arXiv:1706.02677,
    section 2.2.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.warmup(0.5, 4)
    >>> [rate(count) for count in range(6)]
    [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    """
    then = _part("warmup", schedule)
    length = steps_setting("warmup", "steps", steps, least=0)
    start = setting("warmup", "start_factor", start_factor)
    if length == 0:
        return then
    return Rated(
        lambda count: (start + (1.0 - start) * share(count, length)) * then(xp.maximum(count - length, 0))
    )


@remembered
def join(schedules: Sequence[float | Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other; each counts from its own beginning.

    Parameters
    ----------
    schedules : sequence of float or Schedule
    milestones : sequence of int
        After how many steps each but the first begins; rising.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.SequentialLR``.

    Raises
    ------
    ArgumentError
        If there is no schedule, or not one milestone fewer than schedules, or they do not rise.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.join([0.1, schedules.exponential(0.8, 0.5)], [2])
    >>> [rate(count) for count in range(6)]
    [0.1, 0.1, 0.8, 0.4, 0.2, 0.1]
    """
    parts = [_part("join", schedule) for schedule in schedules]
    stones = [steps_setting("join", "milestones", stone) for stone in milestones]
    if not parts:
        raise ArgumentError("join: there must be at least one schedule")
    if len(parts) != len(stones) + 1:
        raise ArgumentError(
            f"join: {len(parts)} schedules need {len(parts) - 1} milestones, where each but the "
            f"first begins; got {len(stones)}"
        )
    if stones != sorted(set(stones)):
        raise ArgumentError(f"join(milestones={list(milestones)!r}): milestones must rise")

    def rate_at(count: Any) -> Any:
        rate = xp.zeros_like(floating(count)) + parts[0](xp.minimum(count, stones[0]) if stones else count)
        for i, stone in enumerate(stones):
            # No part is asked for steps that are not its own, where it may overflow.
            own = xp.clip(count - stone, 0, stones[i + 1] - stone if i + 1 < len(stones) else None)
            rate = xp.where(count >= stone, parts[i + 1](own), rate)
        return rate

    return Rated(rate_at)


def _part(called: str, schedule: float | Schedule) -> Schedule:
    """A part of a schedule: one rate for all steps can stand for it."""
    return schedule if callable(schedule) else constant(setting(called, "schedule", schedule))
