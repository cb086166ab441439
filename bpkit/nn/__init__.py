"""Networks: modules, layers, activation functions and initialisers."""

from typing import TYPE_CHECKING

from bpkit.nn import init, mode
from bpkit.nn.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    identity,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    swish,
    tanh,
    tanhshrink,
    threshold,
)
from bpkit.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from bpkit.nn.batch_norm import BatchNorm
from bpkit.nn.convolution import Conv1d, Conv2d
from bpkit.nn.dense import Dense
from bpkit.nn.dropout import Dropout
from bpkit.nn.embedding import Embedding
from bpkit.nn.global_pooling import GlobalAvgPool, GlobalMaxPool
from bpkit.nn.mode import Mode, training_call
from bpkit.nn.module import Module, buffer, static
from bpkit.nn.normalization import GroupNorm, LayerNorm, RMSNorm
from bpkit.nn.partition import Frozen, combine, partition
from bpkit.nn.pooling import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from bpkit.nn.prelu import PReLU
from bpkit.nn.recurrent import GRU, LSTM, RNN
from bpkit.nn.sequential import Lambda, Residual, Sequential
from bpkit.nn.shapes import Flatten, Reshape
from bpkit.nn.summary import summary
from bpkit.nn.transformer import TransformerBlock
from bpkit.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Frozen",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Lambda",
    "LayerNorm",
    "MaxPool1d",
    "MaxPool2d",
    "Mode",
    "Module",
    "MultiHeadAttention",
    "PReLU",
    "RMSNorm",
    "Reshape",
    "Residual",
    "Sequential",
    "TransformerBlock",
    "buffer",
    "celu",
    "combine",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "identity",
    "init",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mode",
    "partition",
    "relu",
    "relu6",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "static",
    "summary",
    "swish",
    "tanh",
    "tanhshrink",
    "threshold",
    "training_call",
]

if not TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name):
        from bpkit._other_names import unknown_name

        raise unknown_name(__name__, __all__, name)
