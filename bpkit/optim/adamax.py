"""Adamax: Adam with the largest gradient in place of the mean of squares."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, pair_of_betas, setting, share_of_mean

__all__ = ["AdamaxState", "adamax"]


class AdamaxState(NamedTuple):
    """What :func:`adamax` remembers between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Steps done.
    mean, largest : tree
        Running means of the gradients and their fading largest sizes, from zero on, with the structure,
        shapes and dtypes of the parameters.
    """

    count: Any
    mean: Any
    largest: Any


@remembered
def adamax(
    learning_rate: float | Schedule = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adamax, with the meaning of ``torch.optim.Adamax``.

    With gradient g, parameter p, mean m and largest size u, which start at zero, step t from 1 on is ::

        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        u = maximum(betas[1] * u, abs(g) + eps)
        p = p - learning_rate / (1 - betas[0] ** t) * m / u

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    betas : tuple of two floats
        How much of the mean of gradients and of the largest size stays in each step, from 0 to below 1.
    eps : float
        Keeps the quotient finite where gradients are zero; finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`AdamaxState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 2.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.adamax(learning_rate=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 2.597, -0.692])
    """
    eps = setting("adamax", "eps", eps)
    beta1, beta2 = pair_of_betas("adamax", betas)

    def shared(rate: Any, t: Any) -> Any:
        return rate / share_of_mean(beta1, t)

    def step(p: Any, g: Any, kept: AdamaxState, scale: Any) -> tuple[Any, AdamaxState]:
        m = beta1 * kept.mean + (1.0 - beta1) * g
        u = xp.maximum(beta2 * kept.largest, xp.abs(g) + eps)
        return p - scale * m / u, AdamaxState(None, m, u)

    return leafwise(
        "adamax",
        learning_rate,
        AdamaxState,
        step,
        {"mean": xp.zeros_like, "largest": xp.zeros_like},
        shared=shared,
        weight_decay=weight_decay,
        maximize=maximize,
    )
