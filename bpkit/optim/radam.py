"""RAdam: Adam that waits until its mean of squares can be trusted."""

import math
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, pair_of_betas, setting, share_of_mean

__all__ = ["RAdamState", "radam"]


class RAdamState(NamedTuple):
    """What :func:`radam` remembers between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Steps done.
    mean, square : tree
        Running means of the gradients and of their squares, from zero on, with the structure, shapes and
        dtypes of the parameters.
    """

    count: Any
    mean: Any
    square: Any


@remembered
def radam(
    learning_rate: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Rectified Adam, with the meaning of ``torch.optim.RAdam``.

    With gradient g, parameter p and means m and v, which start at zero, step t from 1 on is ::

        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        limit = 2 / (1 - betas[1]) - 1
        length = limit - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        trust = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        scale = sqrt(trust * (1 - betas[1] ** t)) / (sqrt(v) + eps) if length > 5 else 1
        p = p - learning_rate * m / (1 - betas[0] ** t) * scale

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    betas : tuple of two floats
        How much of the mean of gradients and of the mean of squares stays in each step, from 0 to below 1.
    eps : float
        Keeps the quotient finite where gradients are zero; finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    decoupled_weight_decay : bool
        Whether weights shrink by themselves instead, as in :func:`adamw`, in each step by the share
        ``learning_rate * weight_decay``.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`RAdamState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.radam(learning_rate=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([-2.391,  1.196])
    """
    eps = setting("radam", "eps", eps)
    beta1, beta2 = pair_of_betas("radam", betas)
    limit = 2.0 / (1.0 - beta2) - 1.0
    most = limit / ((limit - 4.0) * (limit - 2.0)) if limit > 5.0 else 0.0

    def shared(rate: Any, t: Any) -> tuple[Any, ...]:
        length = _length(beta2, limit, t)
        enough = xp.maximum(length, 5.0)
        trust = most * (enough - 4.0) * (enough - 2.0) / enough
        size = xp.sqrt(trust * share_of_mean(beta2, t))
        return rate / share_of_mean(beta1, t), length > 5.0, size

    def step(p: Any, g: Any, kept: RAdamState, given: tuple[Any, ...]) -> tuple[Any, RAdamState]:
        rate, trusted, size = given
        m = beta1 * kept.mean + (1.0 - beta1) * g
        v = beta2 * kept.square + (1.0 - beta2) * (g * g)
        return p - rate * m * xp.where(trusted, size / (xp.sqrt(v) + eps), 1.0), RAdamState(None, m, v)

    return leafwise(
        "radam",
        learning_rate,
        RAdamState,
        step,
        {"mean": xp.zeros_like, "square": xp.zeros_like},
        shared=shared,
        weight_decay=weight_decay,
        decoupled=decoupled_weight_decay,
        maximize=maximize,
    )


def _length(beta: float, limit: float, t: Any) -> Any:
    """How many gradients a running mean is worth after `t` of them: nearly `t` at first.

    The formula in :func:`radam` takes two numbers of the size of its limit from each other, which in float32
    leaves no digit to compare with 5 where `beta` is close to 1. With ``coth(x) = 1 / x + L(x)`` and half the
    logarithm h of ``1 / beta`` it is ``t + L(h) - t * L(t * h)``, which loses none. The limit is ``coth(h)``.
    """
    half = -0.5 * math.log(beta) if beta else math.inf
    return t + (limit - 1.0 / half) - t * _langevin(half * t)


def _langevin(x: Any) -> Any:
    """``1 / tanh(x) - 1 / x``, near 0 by its series."""
    small, large = xp.minimum(x, 0.1), xp.maximum(x, 0.1)
    w = small * small
    series = small * (1 / 3 - w * (1 / 45 - w * (2 / 945 - w * (1 / 4725 - w * (2 / 93555)))))
    return xp.where(x < 0.1, series, 1.0 / xp.tanh(large) - 1.0 / large)
