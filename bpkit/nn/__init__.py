"""Networks: modules, layers, activation functions and initialisers."""

from bpkit.nn import init
from bpkit.nn.activations import identity, relu, sigmoid, softmax, tanh
from bpkit.nn.dense import Dense
from bpkit.nn.module import Module, static
from bpkit.nn.sequential import Lambda, Sequential

__all__ = [
    "Dense",
    "Lambda",
    "Module",
    "Sequential",
    "identity",
    "init",
    "relu",
    "sigmoid",
    "softmax",
    "static",
    "tanh",
]
