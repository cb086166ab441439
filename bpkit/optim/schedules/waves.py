"""Schedules that go up and down: along a cosine, with restarts, in one cycle."""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Schedule, setting
from bpkit.optim.schedules.counting import Rated, floating, steps_setting

__all__ = ["cosine", "cosine_restarts", "one_cycle"]


@remembered
def cosine(learning_rate: float, T_max: int, eta_min: float = 0.0) -> Schedule:  # noqa: N803
    """The rate swings between two values as a cosine does.

    ``eta_min + (learning_rate - eta_min) * (1 + cos(pi * count / T_max)) / 2``. After `T_max` steps it rises
    again, as in PyTorch; to stay there, ``join([cosine(rate, n), constant(0.0)], [n])``.

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    T_max : int
        How many steps it takes to the other value; positive.
    eta_min : float
        The other value; finite, not negative.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.warmup(schedules.cosine(1.0, 100), 10)
    >>> [round(rate(count), 3) for count in (0, 5, 10, 35, 60, 110)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.0]
    """
    rate = setting("cosine", "learning_rate", learning_rate)
    half = steps_setting("cosine", "T_max", T_max)
    least = setting("cosine", "eta_min", eta_min)
    return Rated(lambda count: _swing(rate, least, floating(count) / half))


@remembered
def cosine_restarts(
    learning_rate: float,
    T_0: int,  # noqa: N803
    T_mult: int = 1,  # noqa: N803
    eta_min: float = 0.0,
) -> Schedule:
    """The rate falls as half a wave of a cosine and starts again, each time for longer.

    Parameters
    ----------
    learning_rate : float
        At each start; finite, not negative.
    T_0 : int
        Steps until the first restart; positive.
    T_mult : int
        How many times longer each run is than the one before; positive.
    eta_min : float
        Where the rate falls to; finite, not negative.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.cosine_restarts(1.0, 2, T_mult=2)
    >>> [round(rate(count), 3) for count in range(8)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0, 0.962]
    """
    rate = setting("cosine_restarts", "learning_rate", learning_rate)
    first = steps_setting("cosine_restarts", "T_0", T_0)
    times = steps_setting("cosine_restarts", "T_mult", T_mult)
    least = setting("cosine_restarts", "eta_min", eta_min)

    def rate_at(count: Any) -> Any:
        if times == 1:
            return _swing(rate, least, floating(count % first) / first)
        t = floating(count)
        # Restarts are at whole counts, so half a step later rounding cannot miss one.
        runs = xp.floor(xp.log1p((t + 0.5) * ((times - 1) / first)) / math.log(times))
        growth = xp.round(xp.pow(float(times), runs))
        start = (growth - 1.0) * first / (times - 1)
        return _swing(rate, least, (t - start) / (growth * first))

    return Rated(rate_at)


@remembered
def one_cycle(
    learning_rate: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """The rate rises to a peak and falls far below where it began.

    It begins at ``learning_rate / div_factor`` and ends at
    ``learning_rate / div_factor / final_div_factor``, where it stays. With three phases it first falls to
    where it began, in as many steps as it rose.

    Parameters
    ----------
    learning_rate : float
        The peak; finite, not negative.
    total_steps : int
        How many steps there are; positive.
    pct_start : float
        The share of them in which it rises, from 0 to 1.
    anneal_strategy : {"cos", "linear"}
        Whether it goes from value to value as half a wave of a cosine or straight.
    div_factor, final_div_factor : float
        Finite, positive.
    three_phase : bool

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.OneCycleLR`` with ``cycle_momentum=False``.

    Raises
    ------
    ArgumentError
        If a setting is not as said.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates" (2018), arXiv:1708.07120.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.one_cycle(1.0, 101, pct_start=0.5, anneal_strategy="linear")
    >>> [round(rate(count), 3) for count in (0, 25, 49, 75, 100, 200)]
    [0.04, 0.525, 0.99, 0.495, 0.0, 0.0]
    """
    peak = setting("one_cycle", "learning_rate", learning_rate)
    total = steps_setting("one_cycle", "total_steps", total_steps)
    rising = setting("one_cycle", "pct_start", pct_start)
    divisors = (
        setting("one_cycle", "div_factor", div_factor),
        setting("one_cycle", "final_div_factor", final_div_factor),
    )
    if rising > 1.0:
        raise ArgumentError(f"one_cycle(pct_start={pct_start!r}): pct_start must be from 0 to 1")
    if 0.0 in divisors:
        raise ArgumentError(
            "one_cycle: div_factor and final_div_factor must be positive; the rate is divided"
        )
    if anneal_strategy not in ("cos", "linear"):
        raise ArgumentError(
            f"one_cycle(anneal_strategy={anneal_strategy!r}): anneal_strategy must be 'cos' or 'linear'"
        )
    first = peak / divisors[0]
    turns = [(rising * total - 1.0, peak), (total - 1.0, first / divisors[1])]
    if three_phase:
        turns.insert(1, (2.0 * rising * total - 2.0, first))

    def rate_at(count: Any) -> Any:
        t = floating(count)
        end, value = 0.0, first
        rate = xp.zeros_like(t) + value
        for until, target in turns:
            # A phase may be shorter than a step; then no count is in it.
            share = xp.clip((t - end) / max(until - end, 1e-9), 0.0, 1.0)
            if anneal_strategy == "cos":
                along = _swing(value, target, share)
            else:
                along = value + (target - value) * share
            rate = xp.where(t > end, along, rate)
            end, value = until, target
        return rate

    return Rated(rate_at)


def _swing(start: float, end: float, turn: RawArray) -> RawArray:
    """From one value to another and back, as a cosine does while `turn` goes from 0 by 1 to 2."""
    return end + (start - end) * (0.5 + 0.5 * xp.cos(math.pi * turn))
