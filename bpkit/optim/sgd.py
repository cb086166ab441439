"""Stochastic gradient descent."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.optim.optimizer import (
    FROM_INIT,
    Optimizer,
    check_params,
    check_state,
    gradients,
    leaves_like,
    setting,
)

__all__ = ["SGDState", "sgd"]


class SGDState(NamedTuple):
    """What :func:`sgd` remembers between steps.

    Attributes
    ----------
    momentum : tree or None
        The running sum of gradients, with the structure, shapes and dtypes of the parameters; None without
        momentum.
    """

    momentum: Any


def sgd(
    learning_rate: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
) -> Optimizer:
    """Gradient descent on mini-batches, with the meaning of ``torch.optim.SGD``.

    With gradient g, parameter p and buffer b, which starts at zero, one step is ::

        g = g + weight_decay * p
        b = momentum * b + g
        p = p - learning_rate * (g + momentum * b if nesterov else b)

    Parameters
    ----------
    learning_rate : float
        Step size, finite, not negative.
    momentum : float
        How much of the buffer stays, finite, not negative; 0 keeps no buffer.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.
    nesterov : bool
        Look ahead by one step of the momentum, which must be positive.

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
    rate = setting("sgd", "learning_rate", learning_rate)
    decay = setting("sgd", "weight_decay", weight_decay)
    friction = setting("sgd", "momentum", momentum)
    if nesterov and friction == 0.0:
        raise ArgumentError("sgd(nesterov=True) needs a momentum: sgd(..., momentum=0.9, nesterov=True)")

    def init(params: Any) -> SGDState:
        check_params("sgd", params)
        return SGDState(tree.map(xp.zeros_like, params) if friction else None)

    def update(grads: Any, state: SGDState, params: Any) -> tuple[Any, SGDState]:
        check_state("sgd.update", state, SGDState)
        old, structure = tree.flatten(params)
        slopes = gradients("sgd", grads, params, old, structure)
        buffers: list[Any] = []
        if friction:
            buffers = leaves_like("sgd.update", "state.momentum", state.momentum, structure, FROM_INIT)
        new = []
        for i, (p, g) in enumerate(zip(old, slopes, strict=True)):
            if decay:
                g = g + decay * p
            if friction:
                buffers[i] = b = friction * buffers[i] + g
                g = g + friction * b if nesterov else b
            new.append(p - rate * g)
        kept = SGDState(tree.unflatten(structure, buffers)) if friction else state
        return tree.unflatten(structure, new), kept

    return Optimizer(init, update)
