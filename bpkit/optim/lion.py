"""Lion: steps of one size, in the direction of the sign of a mean."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, pair_of_betas

__all__ = ["LionState", "lion"]


class LionState(NamedTuple):
    """What :func:`lion` remembers between steps.

    Attributes
    ----------
    mean : tree
        Running means of the gradients, from zero on, with the structure, shapes and dtypes of the parameters.
    count : array of int32, shape (), or None
        Steps done, where a schedule needs it.
    """

    mean: Any
    count: Any = None


@remembered
def lion(
    learning_rate: float | Schedule = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 1e-3,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Lion, with the meaning of ``optax.lion``.

    With gradient g, parameter p and mean m, which starts at zero, one step is ::

        d = sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        p = p - learning_rate * (d + weight_decay * p)

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    betas : tuple of two floats
        How much of the mean there is in the direction, and how much of it stays in each step, from 0 to below
        1.
    weight_decay : float
        The share of the weights that goes in each step, over the learning rate; finite, not negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`LionState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.lion(learning_rate=0.1)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 3.699, -1.699])
    """
    beta1, beta2 = pair_of_betas("lion", betas)

    def step(p: Any, g: Any, kept: LionState, rate: Any) -> tuple[Any, LionState]:
        d = xp.sign(beta1 * kept.mean + (1.0 - beta1) * g)
        return p - rate * d, LionState(beta2 * kept.mean + (1.0 - beta2) * g)

    return leafwise(
        "lion",
        learning_rate,
        LionState,
        step,
        {"mean": xp.zeros_like},
        weight_decay=weight_decay,
        decoupled=True,
        maximize=maximize,
    )
