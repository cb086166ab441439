"""The networks of the estimators: made from sizes as scikit-learn makes its own, or given."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from bpkit import nn, random, registry, tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import is_real

__all__ = ["Autoencoder", "dense_layers", "given_model", "layered", "placed"]

ACTIVATIONS = {"identity": nn.identity, "logistic": nn.sigmoid, "tanh": nn.tanh, "relu": nn.relu}


class Autoencoder(nn.Module):
    """Two models, one after the other: the output of the first are the features that the second reads.

    Parameters
    ----------
    encoder, decoder : Module

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> first, second = random.split(random.key(0))
    >>> model = Autoencoder(nn.Dense(8, 2, key=first), nn.Dense(2, 8, key=second))
    >>> model.encoder(xp.zeros((3, 8))).shape, model(xp.zeros((3, 8))).shape
    ((3, 2), (3, 8))
    """

    encoder: Any
    decoder: Any

    def __call__(self, x: RawArray) -> RawArray:
        """The input again, from its features."""
        return self.decoder(self.encoder(x))


def layered(
    sizes: list[int], activation: str, draws: np.random.RandomState, *, ends_linear: bool = True
) -> nn.Sequential:
    """Dense layers of these sizes, with the weights that scikit-learn would draw, in its order.

    Weights and biases of a layer are uniform within ``sqrt(6 / (fan_in + fan_out))``, or ``sqrt(2 / ...)``
    for the logistic activation.

    Parameters
    ----------
    sizes : list of int
        From the features to the outputs.
    activation : str
    draws : RandomState
    ends_linear : bool
        Whether there is no activation after the last layer.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010, equation 16.
    """
    function = ACTIVATIONS[activation]
    layers: list[Any] = []
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = math.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
        weight = draws.uniform(-bound, bound, (fan_in, fan_out)).T
        bias = draws.uniform(-bound, bound, fan_out)
        layer = nn.Dense(fan_in, fan_out, key=random.key(0), init=nn.init.zeros)
        layers.append(layer.replace(weight=weight, bias=bias))
        if function is not nn.identity and not (ends_linear and number == len(sizes) - 2):
            layers.append(function)
    return nn.Sequential(*layers)


def given_model(module: Any, features: int, outputs: int, seed: int) -> Any:
    """The model that ``module`` is, or makes.

    Raises
    ------
    ArgumentError
        If it makes none.
    """
    if isinstance(module, nn.Module):
        return module
    model = module(features, outputs, random.key(seed))
    if not isinstance(model, nn.Module) or not callable(model):
        raise ArgumentError(
            f"module: the function returned {type(model).__name__}; expected a bpkit.nn model, such as "
            f"nn.Sequential(nn.Dense(n_features, 30, key=key), nn.relu, ...)"
        )
    return model


def placed(model: Any, dtype: str) -> Any:
    """The model on the current backend and device, in copies of its arrays; real numbers in this dtype."""
    backend, device = registry.current()

    def moved(leaf: Any) -> Any:
        if not hasattr(leaf, "shape"):
            return leaf
        host = registry.backend_of(leaf).to_host(leaf)
        # In the order of rows, which the products of a step read fastest.
        host = np.array(host, dtype=dtype if is_real(leaf) else host.dtype, order="C")
        return backend.from_host(host, device)

    return tree.map(moved, model)


def dense_layers(model: Any) -> list[Any]:
    """The layers of a network of :func:`layered`, or of two of them in an Autoencoder."""
    parts = (model.encoder, model.decoder) if isinstance(model, Autoencoder) else (model,)
    return [layer for part in parts for layer in part if isinstance(layer, nn.Dense)]
