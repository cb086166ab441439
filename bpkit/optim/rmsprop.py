"""RMSprop: steps over the root of a running mean of squared gradients."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, flag, leafwise, setting

__all__ = ["RMSpropState", "rmsprop"]


class RMSpropState(NamedTuple):
    """What :func:`rmsprop` remembers between steps: trees like the parameters, from zero on.

    Attributes
    ----------
    square : tree
        Running means of the squared gradients.
    mean : tree or None
        Running means of the gradients; None unless `centered`.
    momentum : tree or None
        Running sums of the scaled gradients; None without momentum.
    count : array of int32, shape (), or None
        Steps done, where a schedule needs it.
    """

    square: Any
    mean: Any = None
    momentum: Any = None
    count: Any = None


@remembered
def rmsprop(
    learning_rate: float | Schedule = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> Optimizer:
    """RMSprop, with the meaning of ``torch.optim.RMSprop``.

    With gradient g, parameter p, means v and m and sum b, which start at zero, one step is ::

        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g
        b = momentum * b + g / (sqrt(v - m**2 if centered else v) + eps)
        p = p - learning_rate * b

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    alpha : float
        How much of the means stays in each step, from 0 to below 1.
    eps : float
        Keeps the quotient finite where gradients are zero; finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    momentum : float
        How much of the sum stays, finite, not negative; 0 keeps no sum.
    centered : bool
        Whether to divide by the root of an estimate of the variance, which is never taken to be negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`RMSpropState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    G. Hinton, "Neural networks for machine learning", lecture 6e (2012).
    A. Graves, "Generating sequences with recurrent neural networks" (2013), equations 38 to 45, for the
    centered form.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.rmsprop(learning_rate=0.1)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 1.963, -0.31 ])
    """
    eps = setting("rmsprop", "eps", eps)
    alpha = setting("rmsprop", "alpha", alpha, below=1.0)
    friction = setting("rmsprop", "momentum", momentum)
    slots = ["square"]
    slots += ["mean"] if flag("rmsprop", "centered", centered) else []
    slots += ["momentum"] if friction else []

    def step(p: Any, g: Any, kept: RMSpropState, rate: Any) -> tuple[Any, RMSpropState]:
        v = spread = alpha * kept.square + (1.0 - alpha) * (g * g)
        m, b = kept.mean, kept.momentum
        if centered:
            m = alpha * m + (1.0 - alpha) * g
            spread = xp.maximum(v - m * m, 0.0)  # where gradients hardly change, the difference is rounding
        d = g / (xp.sqrt(spread) + eps)
        if friction:
            d = b = friction * b + d
        return p - rate * d, RMSpropState(v, m, b)

    return leafwise(
        "rmsprop",
        learning_rate,
        RMSpropState,
        step,
        dict.fromkeys(slots, xp.zeros_like),
        weight_decay=weight_decay,
        maximize=maximize,
    )
