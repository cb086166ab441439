"""Momentum as it was in the paper that made backpropagation known."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, flag, leafwise, setting

__all__ = ["HeavyBallState", "heavy_ball"]


class HeavyBallState(NamedTuple):
    """What :func:`heavy_ball` remembers between steps.

    Attributes
    ----------
    change : tree
        The last change of the parameters, from zero on, with their structure, shapes and dtypes.
    count : array of int32, shape (), or None
        Steps done, where a schedule needs it.
    """

    change: Any
    count: Any = None


@remembered
def heavy_ball(
    learning_rate: float | Schedule,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    *,
    nesterov: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Gradient descent with momentum, as Rumelhart, Hinton and Williams wrote it in 1986.

    With gradient g, parameter p and its last change d, which starts at zero, one step is ::

        g = g + weight_decay * p
        d = momentum * d - learning_rate * g
        p = p + (momentum * d - learning_rate * g if nesterov else d)

    A new learning rate acts on gradients yet to come, while in :func:`sgd`, whose buffer holds gradients, it
    acts on the whole step at once. With a constant rate the two are the same.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    momentum : float
        How much of the last change is made again, finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    nesterov : bool
        Look ahead by one step of the momentum.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`HeavyBallState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`sgd` raises.

    References
    ----------
    D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), equation 9.
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational
    Mathematics and Mathematical Physics 4 (1964), who thought of a heavy ball that rolls.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.heavy_ball(learning_rate=0.1, momentum=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 1.208, -0.604])
    """
    friction = setting("heavy_ball", "momentum", momentum)
    flag("heavy_ball", "nesterov", nesterov)

    def step(p: Any, g: Any, kept: HeavyBallState, rate: Any) -> tuple[Any, HeavyBallState]:
        d = friction * kept.change - rate * g
        return p + (friction * d - rate * g if nesterov else d), HeavyBallState(d)

    return leafwise(
        "heavy_ball",
        learning_rate,
        HeavyBallState,
        step,
        {"change": xp.zeros_like},
        weight_decay=weight_decay,
        maximize=maximize,
        linear=True,
    )
