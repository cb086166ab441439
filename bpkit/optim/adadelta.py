"""Adadelta: steps whose size comes from the steps before."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.errors import ArgumentError
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, setting

__all__ = ["AdadeltaState", "adadelta"]


class AdadeltaState(NamedTuple):
    """What :func:`adadelta` remembers between steps.

    Attributes
    ----------
    square, change : tree
        Running means of the squares of the gradients and of the changes that they asked for, from zero on,
        with the structure, shapes and dtypes of the parameters.
    count : array of int32, shape (), or None
        Steps done, where a schedule needs it.
    """

    square: Any
    change: Any
    count: Any = None


@remembered
def adadelta(
    learning_rate: float | Schedule = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adadelta, with the meaning of ``torch.optim.Adadelta``.

    With gradient g, parameter p and means v and u, which start at zero, one step is ::

        g = g + weight_decay * p
        v = rho * v + (1 - rho) * g**2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d**2
        p = p - learning_rate * d

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    rho : float
        How much of the means stays in each step, from 0 to below 1.
    eps : float
        Makes the first steps possible, which are about its root in size; finite, positive.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`AdadeltaState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    M. D. Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.adadelta(eps=1e-2)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 3.074, -1.126])
    """
    eps = setting("adadelta", "eps", eps)
    rho = setting("adadelta", "rho", rho, below=1.0)
    if eps == 0.0:
        raise ArgumentError(
            "adadelta(eps=0): without it the first step is zero, and all others; the default is 1e-6"
        )

    def step(p: Any, g: Any, kept: AdadeltaState, rate: Any) -> tuple[Any, AdadeltaState]:
        v = rho * kept.square + (1.0 - rho) * (g * g)
        d = xp.sqrt(kept.change + eps) / xp.sqrt(v + eps) * g
        u = rho * kept.change + (1.0 - rho) * (d * d)
        return p - rate * d, AdadeltaState(v, u)

    return leafwise(
        "adadelta",
        learning_rate,
        AdadeltaState,
        step,
        {"square": xp.zeros_like, "change": xp.zeros_like},
        weight_decay=weight_decay,
        maximize=maximize,
    )
