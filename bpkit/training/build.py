"""From settings, which are names and numbers, to a model, a cost and an optimizer."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from bpkit import losses, nn, optim, random, registry, tree
from bpkit._protocol import RawArray
from bpkit.nn.init import Initializer
from bpkit.training.settings import Settings
from bpkit.training.state import State
from bpkit.training.step import Loss

__all__ = ["build_cost", "build_model", "build_optimizer", "order_key", "start"]


def _quadratic(logits: RawArray, targets: RawArray) -> RawArray:
    return losses.quadratic(nn.sigmoid(logits), targets)


COSTS: Mapping[str, Loss] = {
    "quadratic": _quadratic,
    "cross-entropy": losses.sigmoid_cross_entropy,
    "softmax": losses.softmax_cross_entropy,
}
ACTIVATIONS: Mapping[str, Callable[[RawArray], RawArray]] = {
    "sigmoid": nn.sigmoid,
    "tanh": nn.tanh,
    "relu": nn.relu,
}
INITIALIZERS: Mapping[str, Initializer] = {
    "standard-normal": nn.init.standard_normal,
    "scaled-normal": nn.init.scaled_normal,
    "glorot-uniform": nn.init.glorot_uniform,
    "he-normal": nn.init.he_normal,
}


def build_model(settings: Settings) -> nn.Sequential:
    """The network of a run, with its initial weights, on the current backend.

    The weights are drawn on the host, which is quicker than on a device, and have the same bits on every
    backend.

    Parameters
    ----------
    settings : Settings
        Of these count dataset, hidden, activation, init, seed and dtype.

    Returns
    -------
    Sequential
        From images (n, features) to logits (n, classes).

    Examples
    --------
    >>> from bpkit.training import preset
    >>> build_model(preset("mnist", "nielsen"))
    Sequential(
      Dense(784 → 30),
      Lambda(sigmoid),
      Dense(30 → 10),
    )
    """
    sizes = list(pairwise(settings.sizes))
    layers: list[Any] = []
    with registry.use_backend("numpy"):
        for key, (before, after) in zip(random.split(_keys(settings)[0], len(sizes)), sizes, strict=True):
            layer = nn.Dense(
                before, after, key=key, init=INITIALIZERS[settings.init], dtype=np.dtype(settings.dtype)
            )
            layers += [layer, ACTIVATIONS[settings.activation]]
    backend, device = registry.current()
    model: nn.Sequential = tree.map(lambda x: backend.from_host(x, device), nn.Sequential(*layers[:-1]))
    return model


def build_cost(settings: Settings) -> Loss:
    """The cost of logits and one-hot targets; it knows the activation of the output."""
    return COSTS[settings.cost]


def build_optimizer(settings: Settings) -> optim.Optimizer:
    """The optimizer with its settings."""
    make: Callable[..., optim.Optimizer] = getattr(optim, settings.optimizer)
    momentum = {"momentum": settings.momentum} if settings.momentum else {}
    return make(settings.learning_rate, weight_decay=settings.weight_decay, **momentum)


def order_key(settings: Settings) -> RawArray:
    """The key for the order of the images, independent of the initial weights; on the host."""
    return _keys(settings)[1]


def start(settings: Settings) -> State:
    """The state before the first step, on the current backend."""
    model = build_model(settings)
    return State(model, build_optimizer(settings).init(model))


def _keys(settings: Settings) -> RawArray:
    with registry.use_backend("numpy"):
        return random.split(random.key(settings.seed), 2)
