"""Schedules that go one way: in steps, or by a formula of the count."""

from collections.abc import Sequence
from typing import Any

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Schedule, setting
from bpkit.optim.schedules.counting import Rated, floating, share, steps_setting

__all__ = ["constant", "exponential", "inverse_sqrt", "linear", "multi_step", "polynomial", "step"]


@remembered
def constant(learning_rate: float) -> Schedule:
    """The same rate in every step, for a part of :func:`join`.

    Parameters
    ----------
    learning_rate : float
        Finite, not negative.

    Returns
    -------
    Schedule

    Raises
    ------
    ArgumentError
        If the setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> schedules.constant(0.5)(100)
    0.5
    """
    rate = setting("constant", "learning_rate", learning_rate)
    return Rated(lambda count: xp.zeros_like(floating(count)) + rate)


@remembered
def step(learning_rate: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """The rate falls by a factor every so many steps: ``learning_rate * gamma ** (count // step_size)``.

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    step_size : int
        How many steps a rate lasts; positive.
    gamma : float
        The factor; finite, not negative.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.StepLR``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> [schedules.step(0.8, 2, gamma=0.5)(count) for count in range(6)]
    [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    """
    rate = setting("step", "learning_rate", learning_rate)
    size = steps_setting("step", "step_size", step_size)
    factor = setting("step", "gamma", gamma)
    return Rated(lambda count: rate * xp.pow(factor, floating(count // size)))


@remembered
def multi_step(learning_rate: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """The rate falls by a factor at each milestone.

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    milestones : sequence of int
        After how many steps it falls, in any order; one that stands there twice counts twice.
    gamma : float
        The factor; finite, not negative.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.MultiStepLR``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> [schedules.multi_step(0.8, [1, 4], gamma=0.5)(count) for count in range(6)]
    [0.8, 0.4, 0.4, 0.4, 0.2, 0.2]
    """
    rate = setting("multi_step", "learning_rate", learning_rate)
    stones = [steps_setting("multi_step", "milestones", stone) for stone in milestones]
    factor = setting("multi_step", "gamma", gamma)

    def rate_at(count: Any) -> Any:
        passed = xp.zeros_like(floating(count))
        for stone in stones:
            passed = passed + xp.astype(count >= stone, passed.dtype)
        return rate * xp.pow(factor, passed)

    return Rated(rate_at)


@remembered
def exponential(learning_rate: float, gamma: float) -> Schedule:
    """The rate falls by a factor in every step: ``learning_rate * gamma ** count``.

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    gamma : float
        The factor; finite, not negative. For a factor f in n steps, ``f ** (1 / n)``.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.ExponentialLR``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> [schedules.exponential(0.8, 0.5)(count) for count in range(4)]
    [0.8, 0.4, 0.2, 0.1]
    """
    rate = setting("exponential", "learning_rate", learning_rate)
    factor = setting("exponential", "gamma", gamma)
    return Rated(lambda count: rate * xp.pow(factor, floating(count)))


@remembered
def linear(
    learning_rate: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
) -> Schedule:
    """The rate goes in equal steps from one multiple of itself to another, and stays there.

    ``learning_rate * (start_factor + (end_factor - start_factor) * min(count / total_iters, 1))``

    Parameters
    ----------
    learning_rate : float
        Finite, not negative.
    start_factor, end_factor : float
        What it is multiplied by at first and in the end; finite, not negative.
    total_iters : int
        How many steps the way takes; positive.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.LinearLR``.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> [schedules.linear(1.0, 0.5, total_iters=4)(count) for count in range(6)]
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """
    rate = setting("linear", "learning_rate", learning_rate)
    start = setting("linear", "start_factor", start_factor)
    end = setting("linear", "end_factor", end_factor)
    total = steps_setting("linear", "total_iters", total_iters)
    return Rated(lambda count: rate * (start + (end - start) * share(count, total)))


@remembered
def polynomial(
    learning_rate: float, total_iters: int = 5, power: float = 1.0, eta_min: float = 0.0
) -> Schedule:
    """The rate falls as a power of the steps that are left, and stays at the least.

    ``eta_min + (learning_rate - eta_min) * (1 - min(count / total_iters, 1)) ** power``

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    total_iters : int
        How many steps the way down takes; positive.
    power : float
        Finite, not negative.
    eta_min : float
        The rate in the end; finite, not negative.

    Returns
    -------
    Schedule
        With the meaning of ``torch.optim.lr_scheduler.PolynomialLR``, whose rate in the end is 0.

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> [schedules.polynomial(1.0, 4, power=2)(count) for count in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """
    rate = setting("polynomial", "learning_rate", learning_rate)
    total = steps_setting("polynomial", "total_iters", total_iters)
    exponent = setting("polynomial", "power", power)
    least = setting("polynomial", "eta_min", eta_min)
    return Rated(lambda count: least + (rate - least) * xp.pow(1.0 - share(count, total), exponent))


@remembered
def inverse_sqrt(learning_rate: float, timescale: int) -> Schedule:
    """The rate falls as one over the root of the steps: ``learning_rate / sqrt(1 + count / timescale)``.

    After ``warmup(..., timescale)`` this is the schedule of the first transformer: up to the rate in
    `timescale` steps, and from there in proportion to ``1 / sqrt(count)``.

    Parameters
    ----------
    learning_rate : float
        At the beginning; finite, not negative.
    timescale : int
        After three times so many steps half of it is left; positive.

    Returns
    -------
    Schedule

    Raises
    ------
    ArgumentError
        If a setting is not such a number.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 3.

    Examples
    --------
    >>> from bpkit.optim import schedules
    >>> rate = schedules.warmup(schedules.inverse_sqrt(1.0, 100), 100)
    >>> [rate(count) for count in (0, 50, 100, 400, 1600)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    rate = setting("inverse_sqrt", "learning_rate", learning_rate)
    scale = steps_setting("inverse_sqrt", "timescale", timescale)
    return Rated(lambda count: rate / xp.sqrt(1.0 + floating(count) / scale))
