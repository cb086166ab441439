"""Models as ONNX files: ONNX Runtime computes what bpkit computes, and what cannot be exported is said."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ExportError, RecordingError, ShapeError
from bpkit.registry import backend_of, current

pytest.importorskip("ndonnx")
onnxruntime = pytest.importorskip("onnxruntime")

from bpkit.interop import onnx  # noqa: E402 - needs them

KEY = random.key(0)
DTYPES = ("float32", "float64")
TOLERANCES = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}


def draws(*shape, dtype="float32", seed=0):
    host = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    chosen = current()
    return chosen.backend.from_host(host, chosen.device)


def host(x):
    return np.asarray(backend_of(x).to_host(x))


def ran(made, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {name: host(x) for name, x in inputs.items()})


def check(model, *args, dtype="float32", **options):
    """Export with any batch size, and compare for another one than the example's."""
    made = onnx.export(model, args, dynamic_batch=True, verify=False, **options)
    names = [value.name for value in made.graph.input]
    for count in (1, 5):
        given = [
            current().backend.from_host(np.take(host(x), np.arange(count) % x.shape[0], axis=0)) for x in args
        ]
        found = ran(made, dict(zip(names, given, strict=True)))
        wanted = [host(y) for y in tree.leaves(model(*given))]
        assert len(found) == len(wanted)
        for y, z in zip(found, wanted, strict=True):
            assert y.shape == z.shape
            assert y.dtype == z.dtype
            np.testing.assert_allclose(y, z, **TOLERANCES[dtype])
    return made


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


# Functions of the namespace.

X64 = [-3.0, -0.9, -1e-9, 0.0, 1e-9, 0.3, 0.99, 2.0, 30.0]
PROGRAMS = {
    "gradient": bpkit.grad(lambda x: xp.sum(xp.tanh(x) ** 2)),
    "einsum": lambda x: xp.einsum("nij,nkj->nik", x, x),
    "diagonal": lambda x: xp.einsum("nii->ni", x[:, :3, :3]),
    "sort": lambda x: xp.sort(x, axis=1),
    "argsort": lambda x: xp.argsort(x, axis=-1),
    "argmax": lambda x: xp.argmax(x, axis=1),
    "cumulative": lambda x: xp.cumulative_sum(x, axis=1),
    "statistics": lambda x: (xp.var(x, axis=1), xp.std(x, axis=(1, 2), correction=1.0), xp.mean(x, axis=-1)),
    "logsumexp": lambda x: xp.logsumexp(x, axis=-1),
    "norm": lambda x: xp.linalg.vector_norm(x, axis=-1),
    "norm of order 3": lambda x: xp.linalg.vector_norm(x, axis=(1, 2), ord=3),
    "shape in arithmetic": lambda x: xp.sum(x, axis=0) / x.shape[0],
    "inverse of a length": lambda x: x * (1.0 / x.shape[0]),
    "product of lengths": lambda x: xp.reshape(x, (x.shape[0] * x.shape[1], -1)),
    "range": lambda x: x + xp.astype(xp.arange(x.shape[0]), x.dtype)[:, None, None],
    "filled": lambda x: xp.concat([x, xp.ones((x.shape[0], 1, 4), dtype=x.dtype)], axis=1),
    "integer array": lambda x: x[:, [2, 0]],
    "two integer arrays": lambda x: x[:, xp.asarray([0, 2, 1]), xp.asarray([1, 1, 3])],
    "separated arrays": lambda x: x[xp.asarray([0, 0]), :, xp.asarray([1, 3])],
    "keys": lambda x: (x[..., ::-1], x[:, 1], x[:, None, -1, 1:3], x[-1]),
    "assignment": lambda x: xp.scatter_set(x, (slice(None), 1), 0.0),
    "repeated": lambda x: xp.scatter_add(
        x, (slice(None), xp.asarray([0, 0, 1])), xp.ones((3, 4), dtype=x.dtype)
    ),
    "roll and flip": lambda x: xp.roll(xp.flip(x, axis=1), 2, axis=2),
    "pad": lambda x: (
        xp.pad(x, ((0, 0), (1, 2), (0, 0)), constant_values=3.0),
        xp.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect"),
    ),
    "one_hot": lambda x: xp.one_hot(xp.argmax(x, axis=-1), 4, dtype=x.dtype),
    "triangle": lambda x: xp.tril(x) + xp.triu(x, k=1),
    "comparison": lambda x: xp.logical_and(x > 0.5, x == x),
    "power": lambda x: (xp.abs(x) ** 1.5, x**2, 2.0**x, x // 0.7, x % 0.7),
    "numpy": lambda x: np.clip(np.exp(x), 0.5, 2.0).sum(axis=-1),
    "vmap": bpkit.vmap(lambda row: row @ row.T),
    "isin": lambda x: xp.isin(xp.argmax(x, axis=1), xp.asarray([0, 2])),
    "windows": lambda x: xp.sliding_window_view(x, 2, axis=1),
    "take_along_axis": lambda x: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1),
}


def written(x):
    x = xp.asarray(x, copy=True)
    x[:, 0] += 1.0
    x[:, 1, 1:] = 0.0
    return x


PROGRAMS["in place"] = written


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_the_namespace(name, dtype):
    check(PROGRAMS[name], draws(2, 3, 4, dtype=dtype), dtype=dtype)


@pytest.mark.parametrize(
    "name",
    [
        *("exp", "expm1", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
        *("asinh", "acosh", "atanh", "special.erf", "special.erfc", "special.ndtr", "expit", "log_expit"),
    ],
)
def test_transcendental_functions_keep_the_digits_of_float64(name):
    function = getattr(xp.special, name[8:]) if name.startswith("special.") else getattr(xp, name)
    low, high = {
        "log1p": (-0.9, 30),
        "acosh": (1, 1e9),
        **dict.fromkeys(("asin", "acos", "atanh"), (-0.99, 0.99)),
    }.get(name, (-30, 30))
    x = np.asarray([v for v in [*X64, *np.linspace(low, high, 41), 1e9, -1e9] if low <= v <= high])
    made = onnx.export(function, x, verify=False)
    wanted = host(function(x))
    np.testing.assert_allclose(ran(made, {made.graph.input[0].name: x})[0], wanted, rtol=1e-14, atol=1e-14)


def test_atan2_by_quadrant():
    y, x = np.meshgrid([-2.0, -0.0, 0.0, 0.5, 3.0], [-1.0, -0.0, 0.0, 2.0])
    made = onnx.export(xp.atan2, (y, x), verify=False)
    names = [value.name for value in made.graph.input]
    (found,) = ran(made, dict(zip(names, (y, x), strict=True)))
    np.testing.assert_allclose(found, np.arctan2(y, x), rtol=1e-15)


def test_integers():
    def model(ids):
        return ids * 2 - 1, xp.sum(ids, axis=1), ids // 2, xp.max(ids), ids > 2

    check(model, xp.asarray(np.asarray([[1, 2, 3], [4, 5, 6]])), dtype="float64")


def test_outputs_that_are_inputs_constants_and_numbers():
    weight = draws(3, 3)

    def model(x, unused):
        y = x @ weight
        return x, y, y, weight, 2.5, xp.ones(2)

    args = draws(2, 3), draws(4)
    made = onnx.export(model, args)
    for found, wanted in zip(ran(made, {"x": args[0], "unused": args[1]}), model(*args), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_pictures_as_bytes():
    picture = np.random.default_rng(0).integers(0, 255, (2, 3), dtype=np.uint8)
    made = onnx.export(lambda x: xp.astype(x, "float32") / 255.0, picture, dynamic_batch=True)
    assert made.graph.input[0].type.tensor_type.elem_type == 2  # uint8


def test_what_a_model_holds_twice_stands_there_once():
    weight = draws(3, 3)
    made = onnx.export(lambda x: (x @ weight) @ weight, draws(2, 3))
    assert len(made.graph.initializer) == 1


# Mistakes.


def test_what_onnx_cannot_do_is_named_with_its_line():
    def model(x):
        return xp.linalg.inv(x @ x)

    with pytest.raises(
        ExportError, match=r"onnx\.export of .*model: linalg\.inv of float32 \(at .*linalg\.inv"
    ):
        onnx.export(model, draws(3, 3))


@pytest.mark.parametrize(
    ("function", "name"), [(xp.linalg.svdvals, r"linalg\.svd"), (xp.special.gammaln, r"special\.gammaln")]
)
def test_functions_that_are_made_of_what_onnx_cannot_do(function, name):
    with pytest.raises(ExportError, match=rf"{name} of float32 .* cannot be exported"):
        onnx.export(function, draws(3, 3))


def test_what_depends_on_values_is_refused():
    with pytest.raises(RecordingError):
        onnx.export(lambda x: x if x[0] > 0 else -x, draws(3))
    with pytest.raises(RecordingError, match="the shape of the result depends on values"):
        onnx.export(xp.unique_values, draws(3))


def test_a_model_that_does_something_else_for_one_example():
    def model(x):
        return x if x.shape[0] > 1 else -x

    with pytest.raises(ExportError, match="onnxruntime's output differs from bpkit's"):
        onnx.export(model, draws(2, 3), dynamic_batch=True)


def test_weights_that_do_not_fit_into_a_file(monkeypatch):
    from bpkit.interop.onnx import graph

    monkeypatch.setattr(graph, "LARGEST", 30)
    with pytest.raises(ExportError, match=r"the weights have 0\.0 GiB, and an ONNX file holds less"):
        onnx.export(nn.Dense(3, 3, key=KEY), draws(1, 3, dtype="float64"))


def test_a_loop_over_a_dynamic_axis_is_refused():
    with pytest.raises(ExportError, match=r"steps with batch=2 and .* with another length, as a loop"):
        onnx.export(lambda x: sum(x[i] for i in range(x.shape[0])), draws(2, 3), dynamic_batch=True)


def test_sizes_that_do_not_grow_evenly_are_refused():
    def model(x):
        return xp.sum(xp.zeros(x.shape[0] ** 2 // 3, dtype=x.dtype)) + x[: x.shape[0] // 3]

    with pytest.raises(ExportError, match=r"getitem \(at .*\) cannot follow the length of batch"):
        onnx.export(model, draws(2, 3), dynamic_batch=True)


def test_a_mistake_in_the_model_itself_is_told_as_it_is():
    with pytest.raises(ShapeError, match="expected x of shape"):
        onnx.export(nn.Dense(3, 2, key=KEY), draws(2, 4), dynamic_batch=True)


def test_a_model_that_takes_no_other_length_is_refused():
    model = nn.Flatten()
    with pytest.raises(ExportError, match="the model fails with batch=4: ValueError"):
        onnx.export(lambda x: model(x) + xp.ones((2, 6), dtype=x.dtype), draws(2, 2, 3), dynamic_batch=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dynamic_axes": {"y": {0: "n"}}}, "names the input 'y'; the inputs are x"),
        ({"dynamic_axes": {"x": {2: "n"}}}, r"expected one of the 2 axes"),
        (
            {"dynamic_axes": {"x": {0: "n", 1: "n"}}},
            "must have one length in the example, and not 0; they have 2, 3",
        ),
        ({"input_names": ["a", "b"]}, r"input_names=\['a', 'b'\]; expected 1 different names, for x"),
        ({"output_names": "out"}, "output_names='out'; expected 1 different"),
    ],
)
def test_wrong_names_and_axes(options, text):
    with pytest.raises(ArgumentError, match=text):
        onnx.export(lambda x: x + 1.0, draws(2, 3), **options)


def test_wrong_examples():
    with pytest.raises(ArgumentError, match="the example must hold arrays"):
        onnx.export(nn.tanh, "x")
    with pytest.raises(ArgumentError, match="z is complex"):
        onnx.export(nn.tanh, np.zeros(2, dtype=np.complex128))
    with pytest.raises(ArgumentError, match="must be a function"):
        onnx.export(3, draws(2))


def test_what_onnxruntime_computes_otherwise_is_refused_and_nothing_written(monkeypatch, tmp_path):
    from bpkit.interop.onnx import functions

    monkeypatch.setitem(functions.FUNCTIONS, "cos", functions.FUNCTIONS["sin"])
    monkeypatch.setitem(functions.FUNCTIONS, "cos", lambda g, node, x: g.array(x))
    path = Path(tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=r"onnxruntime's output differs from bpkit's by \d"):
        onnx.export(xp.cos, draws(3), path)
    assert not path.exists()
    onnx.export(xp.cos, draws(3), path, verify=False)
    assert path.exists()
