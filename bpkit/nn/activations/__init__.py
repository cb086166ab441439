"""Activation functions: plain functions of an array, usable as layers of a :class:`bpkit.nn.Sequential`.

With options they are layers by :class:`bpkit.nn.Lambda`: ``nn.Lambda(nn.leaky_relu, negative_slope=0.2)``.

Where a function has a kink, its derivative there is PyTorch's, and the docstring says which.
"""

from bpkit.nn.activations.gates import gelu, glu, hardswish, mish, silu, swish
from bpkit.nn.activations.rectifiers import celu, elu, leaky_relu, relu, relu6, selu, softplus, threshold
from bpkit.nn.activations.shares import log_softmax, softmax, softmin
from bpkit.nn.activations.shrinkage import hardshrink, softshrink, tanhshrink
from bpkit.nn.activations.sigmoids import hardsigmoid, hardtanh, identity, logsigmoid, sigmoid, softsign, tanh

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "identity",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "swish",
    "tanh",
    "tanhshrink",
    "threshold",
]
