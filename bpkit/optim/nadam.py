"""NAdam: Adam that looks ahead by one step of its momentum."""

import math
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, pair_of_betas, setting, share_of_mean

__all__ = ["NAdamState", "nadam"]


class NAdamState(NamedTuple):
    """What :func:`nadam` remembers between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Steps done.
    mean, square : tree
        Running means of the gradients and of their squares, from zero on, with the structure, shapes and
        dtypes of the parameters.
    product : tree
        For each parameter the product of the momenta of all steps, of shape ().
    """

    count: Any
    mean: Any
    square: Any
    product: Any


@remembered
def nadam(
    learning_rate: float | Schedule = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adam with Nesterov's momentum, with the meaning of ``torch.optim.NAdam``.

    With gradient g, parameter p, means m and v, which start at zero, and a product P, which starts at 1, step
    t from 1 on is ::

        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        now, next = (betas[0] * (1 - 0.96 ** (i * momentum_decay) / 2) for i in (t, t + 1))
        P = P * now
        ahead = (1 - now) / (1 - P) * g + next / (1 - P * next) * m
        p = p - learning_rate * ahead / (sqrt(v / (1 - betas[1] ** t)) + eps)

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
    momentum_decay : float
        How fast the momentum grows to ``betas[0]``, finite, not negative.
    decoupled_weight_decay : bool
        Whether weights shrink by themselves instead, as in :func:`adamw`, in each step by the share
        ``learning_rate * weight_decay``.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`NAdamState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop, algorithm 2.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.nadam(learning_rate=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 2.778, -0.858])
    """
    eps = setting("nadam", "eps", eps)
    beta1, beta2 = pair_of_betas("nadam", betas)
    growth = math.log(0.96) * setting("nadam", "momentum_decay", momentum_decay)

    def momentum(t: Any) -> Any:
        return beta1 * (1.0 - 0.5 * xp.exp(growth * t))

    def shared(rate: Any, t: Any) -> tuple[Any, ...]:
        root = xp.sqrt(share_of_mean(beta2, t))
        return rate * root, momentum(t), momentum(t + 1.0), eps * root

    def step(p: Any, g: Any, kept: NAdamState, given: tuple[Any, ...]) -> tuple[Any, NAdamState]:
        scale, now, after, floor = given
        m = beta1 * kept.mean + (1.0 - beta1) * g
        v = beta2 * kept.square + (1.0 - beta2) * (g * g)
        product = kept.product * now
        of_g, of_m = scale * (1.0 - now) / (1.0 - product), scale * after / (1.0 - product * after)
        return p - (of_g * g + of_m * m) / (xp.sqrt(v) + floor), NAdamState(None, m, v, product)

    return leafwise(
        "nadam",
        learning_rate,
        NAdamState,
        step,
        {"mean": xp.zeros_like, "square": xp.zeros_like, "product": lambda p: xp.prod(xp.ones_like(p))},
        shared=shared,
        weight_decay=weight_decay,
        decoupled=decoupled_weight_decay,
        maximize=maximize,
    )
