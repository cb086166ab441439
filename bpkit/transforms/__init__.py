"""Functions that take a function and return what its derivative says: the public face of the engine."""

from bpkit.transforms.checkpoint import checkpoint
from bpkit.transforms.custom import custom_jvp, custom_vjp
from bpkit.transforms.gradient import grad, stop_gradient, value_and_grad
from bpkit.transforms.hessian import hessian, hessian_diagonal, hvp
from bpkit.transforms.implicit import implicit_root
from bpkit.transforms.jacobian import jacfwd, jacobian, jacrev
from bpkit.transforms.jit import Jitted, jit
from bpkit.transforms.linearize import linearize
from bpkit.transforms.products import jvp, vjp
from bpkit.transforms.vmap import vmap

__all__ = [
    "Jitted",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "implicit_root",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
