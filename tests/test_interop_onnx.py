"""Models as ONNX files: ONNX Runtime computes what bpkit computes, for every layer."""

import inspect
from functools import cache
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.registry import current

pytest.importorskip("ndonnx")
pytest.importorskip("onnxruntime")

from onnx_runs import TOLERANCES, check, draws, host, ran  # type: ignore[import-not-found]

from bpkit.interop import onnx

DTYPES = ("float32", "float64")

KEY = random.key(0)


def operators(made):
    return [node.op_type for node in made.graph.node]


# Every layer and every activation.


@cache
def of(dtype):
    """Every public name of bpkit.nn that computes something: functions or layers, and arguments."""
    k = {"key": KEY, "dtype": dtype}

    def x(*shape):
        return draws(*shape, dtype=dtype)

    z = x(3, 4) * 3
    ids = xp.asarray(np.asarray([[1, 2, 3], [4, 9, 0]]))
    pictures, sequences = x(2, 4, 7, 8), x(2, 5, 8)
    elementwise = (
        *(nn.celu, nn.elu, nn.gelu, nn.hardshrink, nn.hardsigmoid, nn.hardswish, nn.hardtanh, nn.identity),
        *(nn.leaky_relu, nn.log_softmax, nn.logsigmoid, nn.mish, nn.relu, nn.relu6, nn.selu, nn.sigmoid),
        *(nn.silu, nn.softmax, nn.softmin, nn.softplus, nn.softshrink, nn.softsign, nn.swish, nn.tanh),
        *(nn.tanhshrink, nn.glu),
    )
    cases: dict[str, list[tuple[Any, ...]]] = {f.__name__: [(f, z)] for f in elementwise}
    cases["swish"] = [(nn.swish, z)]  # another name of one of them
    cases |= {
        "AvgPool1d": [(nn.AvgPool1d(2), x(2, 3, 9))],
        "AvgPool2d": [(nn.AvgPool2d(3, stride=2, padding=1), pictures)],
        "BatchNorm": [(trained(nn.BatchNorm(4, dtype=dtype), pictures), pictures)],
        "Conv1d": [(nn.Conv1d(3, 2, 3, **k), x(2, 3, 9))],
        "Conv2d": [
            (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, **k), pictures),
            (nn.Conv2d(4, 3, 2, stride=3, dilation=2, bias=False, **k), pictures),
            (nn.Conv2d(4, 3, 3, padding="same", **k), pictures),
        ],
        "ConvTranspose1d": [(nn.ConvTranspose1d(3, 2, 3, stride=2, **k), x(2, 3, 9))],
        "ConvTranspose2d": [
            (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, **k), pictures),
            (nn.ConvTranspose2d(4, 2, (2, 3), padding=2, dilation=2, **k), pictures),
        ],
        "Dense": [(nn.Dense(8, 3, **k), sequences), (nn.Dense(8, 3, bias=False, **k), x(2, 8))],
        "Dropout": [(nn.Dropout(0.5), z)],
        "Embedding": [
            (nn.Embedding(10, 4, **k), ids),
            (nn.Embedding(10, 4, padding_index=0, **k), ids[:, 0]),
        ],
        "Flatten": [(nn.Flatten(), pictures)],
        "Frozen": [(nn.Frozen(nn.Dense(4, 2, **k)), z)],
        "GRU": [(nn.GRU(8, 3, **k), sequences)],
        "GlobalAvgPool": [(nn.GlobalAvgPool(), pictures)],
        "GlobalMaxPool": [(nn.GlobalMaxPool(keepdims=True), pictures)],
        "GroupNorm": [(nn.GroupNorm(2, 4, dtype=dtype), pictures)],
        "LSTM": [(nn.LSTM(8, 3, num_layers=2, **k), sequences)],
        "Lambda": [(nn.Lambda(nn.tanh), z)],
        "LayerNorm": [(nn.LayerNorm(8, dtype=dtype), sequences)],
        "MaxPool1d": [(nn.MaxPool1d(2), x(2, 3, 9))],
        "MaxPool2d": [
            (nn.MaxPool2d(3, stride=2, padding=1), pictures),
            (nn.MaxPool2d(2, stride=1, dilation=2), pictures),
        ],
        "MultiHeadAttention": [
            (nn.MultiHeadAttention(8, 2, **k), sequences),
            (Causal(nn.MultiHeadAttention(8, 4, bias=False, **k)), sequences),
            (nn.MultiHeadAttention(8, 2, kdim=3, vdim=5, **k), sequences, x(2, 4, 3), x(2, 4, 5)),
        ],
        "PReLU": [(nn.PReLU(dtype=dtype), z), (nn.PReLU(4, dtype=dtype), pictures)],
        "RMSNorm": [(nn.RMSNorm(8, dtype=dtype), sequences)],
        "RNN": [
            (nn.RNN(8, 3, bidirectional=True, **k), sequences),
            (nn.RNN(8, 3, nonlinearity="relu", bias=False, **k), sequences),
        ],
        "Reshape": [(nn.Reshape((4, 2)), x(2, 8))],
        "Residual": [(nn.Residual(nn.Dense(4, 4, **k)), z)],
        "Sequential": [
            (nn.Sequential(nn.Dense(4, 5, **k), nn.gelu, nn.Dense(5, 2, **k)), z),
            (nn.Sequential(nn.Dense(784, 30, **k), nn.sigmoid, nn.Dense(30, 10, **k), nn.sigmoid), x(2, 784)),
        ],
        "TransformerBlock": [(nn.TransformerBlock(8, 2, **k), sequences)],
        "gelu": [(nn.gelu, z), (lambda z: nn.gelu(z, approximate="tanh"), z)],
        "scaled_dot_product_attention": [
            (nn.scaled_dot_product_attention, sequences, sequences, x(2, 5, 3)),
            (lambda q: nn.scaled_dot_product_attention(q, q, q, causal=True), sequences),
        ],
        "threshold": [(lambda z: nn.threshold(z, 0.1, 0.5), z)],
    }
    return cases


class Causal(nn.Module):
    layer: nn.MultiHeadAttention

    def __call__(self, x):
        return self.layer(x, causal=True)


NO_LAYERS = {
    **dict.fromkeys(("Mode", "mode", "training_call"), "is for training"),
    **dict.fromkeys(("Module", "buffer", "static"), "declares layers"),
    **dict.fromkeys(("combine", "partition"), "takes models apart"),
    "init": "makes weights",
    "summary": "prints a model",
}


def trained(layer, x):
    """With running statistics that are not those of the start."""
    return nn.training_call(layer, x + 1.0).model


def test_every_name_of_nn_is_here_or_is_no_layer():
    assert {*of("float32"), *NO_LAYERS} == set(nn.__all__)
    layers = {
        name for name, found in vars(nn).items() if inspect.isclass(found) and issubclass(found, nn.Module)
    }
    assert layers - {*of("float32")} == {"Module"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(of("float32")))
def test_onnxruntime_computes_what_the_layer_computes(name, dtype):
    for model, *args in of(dtype)[name]:
        check(model, *args, dtype=dtype)


def test_convolutions_and_pooling_are_operators_in_float32():
    for name, operator in {
        "Conv2d": "Conv",
        "ConvTranspose2d": "ConvTranspose",
        "MaxPool2d": "MaxPool",
    }.items():
        for model, *args in of("float32")[name]:
            found = operators(onnx.export(model, args[0], verify=False))
            assert operator in found
            assert not {"Slice", "Gather", "GatherND"}.intersection(found)


# Whole models.


@pytest.fixture
def convolutional():
    keys = xp.unstack(random.split(KEY, 3))
    options = {"dtype": "float32"}
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, key=keys[0], **options),
        nn.BatchNorm(4, **options),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(64, 16, key=keys[1], **options),
        nn.Dropout(0.5),
        nn.relu,
        nn.Dense(16, 10, key=keys[2], **options),
        nn.softmax,
    )


def test_a_convolutional_network(backend, convolutional, tmp_path):
    path = tmp_path / "digits.onnx"
    with bpkit.use_backend(backend.name):
        model = tree.map(lambda w: current().backend.from_host(host(w)), convolutional)
        x = draws(2, 1, 8, 8)
        made = onnx.export(model, x, path, dynamic_batch=True, metadata={"author": "somebody"})
        check(model, x)
    assert [file.name for file in tmp_path.iterdir()] == ["digits.onnx"]
    assert path.read_bytes() == made.SerializeToString()
    names = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
    assert names["layers[0].weight"] == [4, 1, 3, 3]
    assert names["layers[5].weight.T"] == [64, 16]
    assert names["layers[8].bias"] == [10]
    assert [dim.dim_param or dim.dim_value for dim in made.graph.output[0].type.tensor_type.shape.dim] == [
        "batch",
        10,
    ]
    told = {entry.key: entry.value for entry in made.metadata_props}
    assert told["bpkit_version"] == bpkit.__version__
    assert told["author"] == "somebody"
    assert "Conv2d(1 → 4" in told["model"]
    assert made.producer_name == "bpkit"
    assert "Dropout" not in "".join(operators(made))


def test_a_causal_model_takes_any_length_of_text():
    keys = xp.unstack(random.split(KEY, 4))

    class Reader(nn.Module):
        words: nn.Embedding
        places: nn.Embedding
        block: nn.TransformerBlock

        def __call__(self, ids):
            x = self.words(ids) + self.places(xp.arange(ids.shape[1]))
            return self.block(x, causal=True)

    model = Reader(
        nn.Embedding(11, 8, key=keys[0], dtype="float32"),
        nn.Embedding(32, 8, key=keys[1], dtype="float32"),
        nn.TransformerBlock(8, 2, key=keys[2], dtype="float32"),
    )
    ids = xp.asarray(np.asarray([[1, 2, 3], [4, 5, 6]]))
    made = onnx.export(model, ids, dynamic_axes={"ids": {0: "batch", 1: "time"}})
    for shape in ((1, 1), (3, 7), (2, 4)):
        given = xp.asarray(np.random.default_rng(0).integers(0, 11, shape))
        (found,) = ran(made, {"ids": given})
        np.testing.assert_allclose(found, host(model(given)), **TOLERANCES["float32"])


def test_trees_go_in_and_out_by_their_paths():
    def model(inputs, scale):
        return {"sum": inputs["a"] + inputs["b"], "scaled": (scale * inputs["a"], inputs["b"])}

    inputs = {"a": draws(2, 3), "b": draws(2, 3, seed=1)}
    made = onnx.export(model, (inputs, 2.5))
    assert [value.name for value in made.graph.input] == ["inputs['a']", "inputs['b']"]
    names = ["output['scaled'][0]", "output['scaled'][1]", "output['sum']"]
    assert [value.name for value in made.graph.output] == names
    found = ran(made, {"inputs['a']": inputs["a"], "inputs['b']": inputs["b"]})
    for y, z in zip(found, tree.leaves(model(inputs, 2.5)), strict=True):
        np.testing.assert_allclose(y, host(z), rtol=1e-6)
    renamed = onnx.export(model, (inputs, 2.5), input_names=["left", "right"], output_names=["p", "q", "r"])
    assert [value.name for value in (*renamed.graph.input, *renamed.graph.output)] == [
        "left",
        "right",
        "p",
        "q",
        "r",
    ]
