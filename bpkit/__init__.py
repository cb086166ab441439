"""Backpropagation written once against the Python Array API standard."""

import importlib
from typing import TYPE_CHECKING, Any

from bpkit import errors, losses, nn, optim, random, registry, tree
from bpkit.namespace.xp import xp
from bpkit.nans import debug_nans
from bpkit.registry import use_backend
from bpkit.transforms import (
    checkpoint,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    hessian_diagonal,
    hvp,
    implicit_root,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

if TYPE_CHECKING:
    from bpkit import data, inspect, metrics
    from bpkit.transforms.checking import check_grads

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # They bring a progress bar, a format for weights and readers of files, which a gradient does not need.
    if name in ("data", "inspect", "metrics", "testing", "training"):
        return importlib.import_module(f"bpkit.{name}")
    if name == "check_grads":  # a tenth of the time of `import bpkit`, and only tests need it
        return importlib.import_module("bpkit.transforms.checking").check_grads
    raise AttributeError(f"module 'bpkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "check_grads",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "data",
    "debug_nans",
    "errors",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "implicit_root",
    "inspect",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "losses",
    "metrics",
    "nn",
    "optim",
    "random",
    "registry",
    "stop_gradient",
    "testing",
    "training",
    "tree",
    "use_backend",
    "value_and_grad",
    "vjp",
    "vmap",
    "xp",
]
