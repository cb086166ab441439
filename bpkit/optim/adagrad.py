"""Adagrad: steps over the root of the sum of all squared gradients."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, leafwise, setting

__all__ = ["AdagradState", "adagrad"]


class AdagradState(NamedTuple):
    """What :func:`adagrad` remembers between steps.

    Attributes
    ----------
    total : tree
        Sums of the squared gradients, with the structure, shapes and dtypes of the parameters.
    count : array of int32, shape (), or None
        Steps done, where a schedule or `lr_decay` needs it.
    """

    total: Any
    count: Any = None


@remembered
def adagrad(
    learning_rate: float | Schedule = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adagrad, with the meaning of ``torch.optim.Adagrad``.

    With gradient g, parameter p and sum s, from `initial_accumulator_value` on, step t from 1 on is ::

        g = g + weight_decay * p
        s = s + g**2
        p = p - learning_rate / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    lr_decay : float
        How fast the learning rate falls, finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    initial_accumulator_value : float
        What the sums start with, finite, not negative.
    eps : float
        Keeps the quotient finite where gradients are zero; finite, not negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`AdagradState`.

    Raises
    ------
    ArgumentError, ShapeError
        What :func:`adam` raises.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", Journal of Machine Learning Research 12 (2011), figure 1, with a diagonal matrix.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.adagrad(learning_rate=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3)
    array([ 2.915, -0.984])
    """
    eps = setting("adagrad", "eps", eps)
    fall = setting("adagrad", "lr_decay", lr_decay)
    first = setting("adagrad", "initial_accumulator_value", initial_accumulator_value)

    def shared(rate: Any, t: Any) -> Any:
        return rate / (1.0 + (t - 1.0) * fall)

    def step(p: Any, g: Any, kept: AdagradState, rate: Any) -> tuple[Any, AdagradState]:
        s = kept.total + g * g
        return p - rate * g / (xp.sqrt(s) + eps), AdagradState(s)

    return leafwise(
        "adagrad",
        learning_rate,
        AdagradState,
        step,
        {"total": lambda p: xp.full_like(p, first)},
        shared=shared if fall else None,
        weight_decay=weight_decay,
        maximize=maximize,
    )
