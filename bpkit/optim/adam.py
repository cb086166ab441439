"""Adam: steps that are scaled by running means of the gradient and of its square."""

import math
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.kinds import is_real
from bpkit.optim.optimizer import (
    FROM_INIT,
    Optimizer,
    check_params,
    check_state,
    gradients,
    leaves_like,
    setting,
)

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
    """

    count: Any
    mean: Any
    square: Any


def adam(
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam, with the meaning of ``torch.optim.Adam``.

    With gradient g, parameter p and means m and v, which start at zero, step t from 1 on is ::

        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - learning_rate * m / (1 - betas[0] ** t) / (sqrt(v / (1 - betas[1] ** t)) + eps)

    Parameters
    ----------
    learning_rate : float
        Step size, finite, not negative.
    betas : tuple of two floats
        How much of the mean of gradients and of the mean of squares stays in each step, from 0 to below 1.
    eps : float
        Keeps the quotient finite where gradients are zero; finite, not negative.
    weight_decay : float
        Strength of the L2 penalty ``weight_decay / 2 * sum(p**2)``, finite, not negative.

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
    return _adam("adam", learning_rate, betas, eps, penalty=weight_decay)


def adamw(
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
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
    return _adam("adamw", learning_rate, betas, eps, shrinking=weight_decay)


def _adam(
    name: str, learning_rate: float, betas: Any, eps: float, *, penalty: float = 0.0, shrinking: float = 0.0
) -> Optimizer:
    rate = setting(name, "learning_rate", learning_rate)
    eps = setting(name, "eps", eps)
    penalty = setting(name, "weight_decay", penalty)
    shrinking = setting(name, "weight_decay", shrinking)
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ArgumentError(f"{name}(betas={betas!r}): betas must be two numbers, for instance (0.9, 0.999)")
    beta1, beta2 = (setting(name, "betas", beta, below=1.0) for beta in betas)

    def init(params: Any) -> AdamState:
        check_params(name, params)
        leaves = tree.leaves(params)
        for path, p in zip(tree.paths(params), leaves, strict=True):
            if not is_real(p):
                raise ArgumentError(
                    f"{name}.init: params{path} has dtype {p.dtype}; {name} needs real floating parameters, "
                    f"since it divides by the root of a mean of squares"
                )
        # Where the parameters are, and of the type that the sum in `update` has.
        count = xp.sum(xp.zeros_like(leaves[0])) if leaves else xp.zeros(())
        zeros = tree.map(xp.zeros_like, params)
        return AdamState(xp.astype(count, "int32"), zeros, tree.map(xp.zeros_like, params))

    def update(grads: Any, state: AdamState, params: Any) -> tuple[Any, AdamState]:
        check_state(f"{name}.update", state, AdamState)
        old, structure = tree.flatten(params)
        slopes = gradients(name, grads, params, old, structure)
        means = leaves_like(f"{name}.update", "state.mean", state.mean, structure, FROM_INIT)
        squares = leaves_like(f"{name}.update", "state.square", state.square, structure, FROM_INIT)
        count = state.count + 1
        factors: dict[Any, tuple[Any, Any]] = {}
        new = []
        for i, (p, g) in enumerate(zip(old, slopes, strict=True)):
            if p.dtype not in factors:
                factors[p.dtype] = _factors(xp.astype(count, p.dtype))
            scale, floor = factors[p.dtype]
            if penalty:
                g = g + penalty * p
            if shrinking:
                p = (1.0 - rate * shrinking) * p
            means[i] = m = beta1 * means[i] + (1.0 - beta1) * g
            squares[i] = v = beta2 * squares[i] + (1.0 - beta2) * (g * g)
            new.append(p - scale * m / (xp.sqrt(v) + floor))
        mean, square = tree.unflatten(structure, means), tree.unflatten(structure, squares)
        return tree.unflatten(structure, new), AdamState(count, mean, square)

    def _factors(count: Any) -> tuple[Any, Any]:
        """What the mean is multiplied by, and what is added to the root of the mean of squares."""
        root = xp.sqrt(_share(beta2, count))
        return rate * root / _share(beta1, count), eps * root

    return Optimizer(init, update)


def _share(beta: float, count: Any) -> Any:
    """``1 - beta**count``, how much of a mean is gradients by now, to the last digits also in float32."""
    return -xp.expm1(count * (math.log(beta) if beta else -math.inf))
