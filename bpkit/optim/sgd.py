"""Stochastic gradient descent."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit.errors import ArgumentError
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, Schedule, flag, leafwise, setting

__all__ = ["SGDState", "sgd"]


class SGDState(NamedTuple):
    """What :func:`sgd` remembers between steps.

    Attributes
    ----------
    momentum : tree or None
        The running sum of gradients, with the structure, shapes and dtypes of the parameters; None without
        momentum.
    count : array of int32, shape (), or None
        Steps done, where a schedule or `dampening` needs it.
    """

    momentum: Any
    count: Any = None


@remembered
def sgd(
    learning_rate: float | Schedule,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    *,
    dampening: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """Gradient descent on mini-batches, with the meaning of ``torch.optim.SGD``.

    With gradient g, parameter p and buffer b, which after the first step is g, one step is ::

        g = g + weight_decay * p
        b = momentum * b + (1 - dampening) * g
        p = p - learning_rate * (g + momentum * b if nesterov else b)

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size, finite, not negative; or a function of the count of steps done.
    momentum : float
        How much of the buffer stays, finite, not negative; 0 keeps no buffer.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    nesterov : bool
        Look ahead by one step of the momentum, which must be positive, without dampening.
    dampening : float
        How much of each gradient after the first does not get into the buffer, finite, not negative.
    maximize : bool
        Whether to climb: the gradient of the function, not of the penalty, counts with the other sign.

    Returns
    -------
    Optimizer
        With state :class:`SGDState`.

    Raises
    ------
    ArgumentError
        If a setting is not such a number; by `init`, if a parameter is not an array; by `update`, if the
        structure of the gradients or of the state is not that of the parameters, with the first place where
        it differs.
    ShapeError
        By `update`, if a gradient has another shape than its parameter.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1, equations 20 and 21; chapter 3, equations
    107 and 108, for the momentum.
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, for Nesterov's form.

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> optimizer = optim.sgd(learning_rate=0.25)
    >>> x = xp.asarray([4.0, -2.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     g = bpkit.grad(lambda x: xp.sum(x * x))(x)
    ...     x, state = optimizer.update(g, state, x)
    >>> x
    array([ 0.5 , -0.25])
    """
    friction = setting("sgd", "momentum", momentum)
    damping = setting("sgd", "dampening", dampening)
    if flag("sgd", "nesterov", nesterov) and (friction == 0.0 or damping > 0.0):
        raise ArgumentError(
            "sgd(nesterov=True) needs a momentum and no dampening: sgd(..., momentum=0.9, nesterov=True)"
        )

    def shared(rate: Any, t: Any) -> tuple[Any, Any]:
        """The rate, and what is taken of the gradient: all of it in the first step."""
        return rate, 1.0 - damping * xp.astype(t > 1, t.dtype)

    def step(p: Any, g: Any, kept: SGDState, given: Any) -> tuple[Any, SGDState]:
        rate, taken = given if damped else (given, 1.0)
        if friction:
            b = friction * kept.momentum + (taken * g if damped else g)
            kept = SGDState(b)
            g = g + friction * b if nesterov else b
        return p - rate * g, kept

    damped = friction > 0.0 and damping > 0.0
    return leafwise(
        "sgd",
        learning_rate,
        SGDState,
        step,
        {"momentum": xp.zeros_like} if friction else {},
        shared=shared if damped else None,
        weight_decay=weight_decay,
        maximize=maximize,
        linear=True,
    )
