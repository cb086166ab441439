"""Networks: modules, layers, activation functions and initialisers."""

from bpkit.nn import init, mode
from bpkit.nn.activations import identity, relu, sigmoid, softmax, tanh
from bpkit.nn.dense import Dense
from bpkit.nn.dropout import Dropout
from bpkit.nn.mode import Mode, training_call
from bpkit.nn.module import Module, buffer, static
from bpkit.nn.partition import Frozen, combine, partition
from bpkit.nn.sequential import Lambda, Sequential

__all__ = [
    "Dense",
    "Dropout",
    "Frozen",
    "Lambda",
    "Mode",
    "Module",
    "Sequential",
    "buffer",
    "combine",
    "identity",
    "init",
    "mode",
    "partition",
    "relu",
    "sigmoid",
    "softmax",
    "static",
    "tanh",
    "training_call",
]
