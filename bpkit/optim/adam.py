"""Adam: steps that are scaled by running means of the gradient and of its square."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, flag, leafwise, pair_of_betas, setting, share_of_mean

__all__ = ["AdamState", "adam", "adamw"]


class AdamState(NamedTuple):
    """What :func:`adam` and :func:`adamw` remember between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Steps done.
    mean, square : tree
        Running means of the gradients and of their squares, from zero on, with the structure, shapes and
        dtypes of the parameters.
    largest : tree or None
        The largest mean of squares so far; None without `amsgrad`.
    """

    count: Any
    mean: Any
    square: Any
    largest: Any = None


@remembered
def adam(
    learning_rate: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adam, with the meaning of ``torch.optim.Adam``.

    With gradient g, parameter p and means m and v, which start at zero, step t from 1 on is ::

        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - learning_rate * m / (1 - betas[0] ** t) / (sqrt(v / (1 - betas[1] ** t)) + eps)

    With `amsgrad` the largest v so far takes the place of v in the last line.

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
    amsgrad : bool
        Whether steps never grow again where a gradient was once large.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`AdamState`.

    Raises
    ------
    ArgumentError
        If a setting is not such a number; by `init`, if a parameter is not an array of real floating dtype;
        by `update`, if the structure of the gradients or of the state is not that of the parameters, with the
        first place where it differs.
    ShapeError
        By `update`, if a gradient has another shape than its parameter.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, in the order
    of computation that its section 2 recommends.
    S. J. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018, for `amsgrad`; the
    maximum is PyTorch's, taken before the division by ``1 - betas[1] ** t``.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.adam(learning_rate=0.5)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x.round(3), int(state.count)
    (array([ 2.511, -0.537]), 3)
    """
    return _adam("adam", learning_rate, betas, eps, amsgrad, weight_decay=weight_decay, maximize=maximize)


@remembered
def adamw(
    learning_rate: float | Schedule = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay, with the meaning of ``torch.optim.AdamW``.

    Weights shrink by themselves, and not by way of the gradient, which Adam would scale: a step is that of
    :func:`adam` without weight decay, from ``p * (1 - learning_rate * weight_decay)``.

    Parameters
    ----------
    learning_rate, betas, eps
        As for :func:`adam`.
    weight_decay : float
        The share of the weights that goes in each step, over the learning rate; finite, not negative.
    amsgrad, maximize
        As for :func:`adam`.

    Returns
    -------
    Optimizer
        With state :class:`AdamState`. It raises what that of :func:`adam` raises.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.adamw(learning_rate=0.5, weight_decay=0.1)
    >>> x = xp.asarray([4.0, -2.0])
    >>> optimizer.update(xp.zeros_like(x), optimizer.init(x), x)[0]
    array([ 3.8, -1.9])
    """
    return _adam(
        "adamw",
        learning_rate,
        betas,
        eps,
        amsgrad,
        weight_decay=weight_decay,
        decoupled=True,
        maximize=maximize,
    )


def _adam(
    name: str, learning_rate: float | Schedule, betas: Any, eps: float, amsgrad: bool, **options: Any
) -> Optimizer:
    eps = setting(name, "eps", eps)
    beta1, beta2 = pair_of_betas(name, betas)
    slots = ("mean", "square", "largest") if flag(name, "amsgrad", amsgrad) else ("mean", "square")

    def shared(rate: Any, t: Any) -> tuple[Any, Any]:
        """What the mean is multiplied by, and what is added to the root of the mean of squares."""
        root = xp.sqrt(share_of_mean(beta2, t))
        return rate * root / share_of_mean(beta1, t), eps * root

    def step(p: Any, g: Any, kept: AdamState, given: tuple[Any, Any]) -> tuple[Any, AdamState]:
        scale, floor = given
        m = beta1 * kept.mean + (1.0 - beta1) * g
        v = beta2 * kept.square + (1.0 - beta2) * (g * g)
        largest = xp.maximum(kept.largest, v) if amsgrad else None
        return p - scale * m / (xp.sqrt(largest if amsgrad else v) + floor), AdamState(None, m, v, largest)

    return leafwise(
        name,
        learning_rate,
        AdamState,
        step,
        dict.fromkeys(slots, xp.zeros_like),
        shared=shared,
        **options,
    )
