"""Networks: modules, layers, activation functions and initialisers."""

from bpkit.nn import init, mode
from bpkit.nn.activations import identity, relu, sigmoid, softmax, tanh
from bpkit.nn.batch_norm import BatchNorm
from bpkit.nn.dense import Dense
from bpkit.nn.dropout import Dropout
from bpkit.nn.mode import Mode, training_call
from bpkit.nn.module import Module, buffer, static
from bpkit.nn.normalization import GroupNorm, LayerNorm, RMSNorm
from bpkit.nn.partition import Frozen, combine, partition
from bpkit.nn.sequential import Lambda, Sequential

__all__ = [
    "BatchNorm",
    "Dense",
    "Dropout",
    "Frozen",
    "GroupNorm",
    "Lambda",
    "LayerNorm",
    "Mode",
    "Module",
    "RMSNorm",
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
