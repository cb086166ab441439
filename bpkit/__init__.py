"""Backpropagation written once against the Python Array API standard."""

from bpkit import data, errors, losses, nn, optim, random, registry, tree
from bpkit.namespace.xp import xp
from bpkit.registry import use_backend
from bpkit.transforms import grad, jvp, stop_gradient, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "data",
    "errors",
    "grad",
    "jvp",
    "losses",
    "nn",
    "optim",
    "random",
    "registry",
    "stop_gradient",
    "tree",
    "use_backend",
    "value_and_grad",
    "vjp",
    "xp",
]
