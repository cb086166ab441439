"""How a network is trained: steps on batches as one compiled program, or L-BFGS on all examples.

What a step needs besides arrays is in :class:`Solver`. The rate of learning and the strength of the penalty
are arrays, so that another value of one needs no other program; and a program is kept, so that all trainings
of networks of one shape share it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from bpkit import namespace as xp
from bpkit import nn, optim, registry, transforms, tree
from bpkit._protocol import RawArray
from bpkit.optim import Optimizer
from bpkit.sklearn.objectives import Objective
from bpkit.sklearn.steps import step_of

__all__ = [
    "LARGEST_SHARED",
    "Paced",
    "Solver",
    "fresh_slope",
    "fresh_step",
    "minimized",
    "optimizer_of",
    "shared_slope",
    "shared_step",
]

LARGEST_SHARED = 2**21
"""Of programs with larger batches, in numbers, none is kept: its memory would be kept with it."""


class Solver(NamedTuple):
    """The settings of an optimiser.

    Attributes
    ----------
    name : {"adam", "sgd"}
    momentum, beta_1, beta_2, epsilon : float
    nesterov : bool
    """

    name: str
    momentum: float
    nesterov: bool
    beta_1: float
    beta_2: float
    epsilon: float


class Paced(NamedTuple):
    """The state of an optimiser whose rate is changed from outside.

    Attributes
    ----------
    rate : array of shape (1,)
    inner : tree
        Its own state.
    """

    rate: RawArray
    inner: Any


@lru_cache(maxsize=64)
def optimizer_of(solver: Solver) -> Optimizer:
    """The optimiser of these settings; ``observe(state, rate)`` sets the rate, which is 0 at first."""

    def at(rate: Any) -> Optimizer:
        if solver.name == "adam":
            return optim.adam(rate, betas=(solver.beta_1, solver.beta_2), eps=solver.epsilon)
        if not solver.momentum:
            return optim.sgd(rate)
        return optim.heavy_ball(rate, momentum=solver.momentum, nesterov=solver.nesterov)

    def init(params: Any) -> Paced:
        return Paced(
            xp.reshape(xp.zeros_like(tree.leaves(params)[0]), (-1,))[:1], at(lambda count: 0.0).init(params)
        )

    def update(grads: Any, state: Paced, params: Any) -> tuple[Any, Paced]:
        params, inner = at(lambda count: xp.sum(state.rate)).update(grads, state.inner, params)
        return params, state._replace(inner=inner)

    def observe(state: Paced, rate: Any) -> Paced:
        return state._replace(rate=xp.zeros_like(state.rate) + float(rate))

    return Optimizer(init, update, observe)


def fresh_step(objective: Objective, optimizer: Optimizer, take: Callable[..., Any]) -> Any:
    """A compiled step of training, see :func:`bpkit.sklearn.steps.step_of`."""
    return transforms.jit(step_of(objective, optimizer, take), donate_argnums=(0, 1))


@lru_cache(maxsize=64)
def shared_step(objective: Objective, solver: Solver, take: Callable[..., Any]) -> Any:
    """The same, one for all trainings with these settings in this process."""
    return fresh_step(objective, optimizer_of(solver), take)


def fresh_slope(objective: Objective) -> Any:
    """A compiled function of trainable arrays, the rest, and a batch, to its loss and the gradient."""

    def mean(trainable: Any, rest: Any, x: Any, y: Any, weight: Any) -> Any:
        return objective(nn.combine(trainable, rest)(x), y, weight)

    return transforms.jit(transforms.value_and_grad(mean))


@lru_cache(maxsize=64)
def shared_slope(objective: Objective) -> Any:
    """The same, one for all trainings with this loss in this process."""
    return fresh_slope(objective)


def minimized(
    model: Any,
    batches: list[tuple[Any, Any, Any]],
    slope_of: Any,
    *,
    alpha: float,
    max_iter: int,
    max_fun: int,
    tol: float,
) -> tuple[Any, Any]:
    """Train by SciPy's L-BFGS-B, on the mean over all batches.

    Value and gradient are computed where the model is; the parameters go through SciPy in float64.

    Parameters
    ----------
    model : Module
        It runs as it predicts.
    batches : list of (x, y, weight)
    slope_of : callable
        :func:`fresh_slope` or :func:`shared_slope`.
    alpha : float
        Strength of the penalty.
    max_iter, max_fun, tol
        As those of the estimator.

    Returns
    -------
    model : Module
    result : scipy.optimize.OptimizeResult
    """
    from scipy.optimize import minimize

    trainable, rest = nn.partition(model)
    leaves, structure = tree.flatten(trainable)
    backend, device = registry.current()
    hosts = [backend.to_host(leaf) for leaf in leaves]
    ends = np.cumsum([host.size for host in hosts])
    start = np.concatenate([host.astype(np.float64).ravel() for host in hosts])
    weighs = np.concatenate([np.full(host.size, host.ndim > 1) for host in hosts])
    sums = [float(xp.sum(weight)) if weight is not None else float(x.shape[0]) for x, _, weight in batches]
    total = sum(sums)

    def model_of(vector: np.ndarray[Any, Any]) -> Any:
        parts = np.split(vector, ends[:-1])
        new = [
            backend.from_host(np.ascontiguousarray(part.reshape(host.shape), dtype=host.dtype), device)
            for part, host in zip(parts, hosts, strict=True)
        ]
        return tree.unflatten(structure, new)

    def value_and_slope(vector: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        params = model_of(vector)
        weights = np.where(weighs, vector, 0.0)
        value, slope = 0.5 * alpha / total * float(weights @ weights), alpha / total * weights
        for batch, share in zip(batches, sums, strict=True):
            if not share:
                continue
            part, gradient = slope_of(params, rest, *batch)
            value += share / total * float(part)
            slope += (
                share
                / total
                * np.concatenate(
                    [backend.to_host(g).astype(np.float64).ravel() for g in tree.leaves(gradient)]
                )
            )
        return value, slope

    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    result = minimize(value_and_slope, start, method="L-BFGS-B", jac=True, options=options)
    return nn.combine(model_of(result.x), rest), result
