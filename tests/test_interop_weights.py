"""Weights of PyTorch's modules in bpkit's and the other way round: both compute the same."""

import json
import pickle
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, CorruptDataError
from bpkit.interop import weights
from bpkit.registry import backend_of

torch = pytest.importorskip("torch")

KEY = random.key(0)
K = {"key": KEY, "dtype": "float64"}


class First(torch.nn.Module):  # type: ignore[misc, name-defined]
    """The output of a layer that returns a state beside it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Attended(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, q, k=None, v=None):
        return self.layer(q, q if k is None else k, q if v is None else v, need_weights=False)[0]


class Holder(nn.Module):
    layer: Any

    def __call__(self, *args):
        out = self.layer(*args)
        return out[0] if isinstance(out, tuple) else out


@cache
def pairs():
    """A module of PyTorch, the one of bpkit, and the shapes of what they take; None for ids."""
    t = torch.nn
    return {
        "Dense": (t.Linear(4, 3), nn.Dense(4, 3, **K), [(2, 4)]),
        "Dense without bias": (t.Linear(4, 3, bias=False), nn.Dense(4, 3, bias=False, **K), [(2, 4)]),
        "Conv1d": (
            t.Conv1d(4, 6, 3, stride=2, groups=2),
            nn.Conv1d(4, 6, 3, stride=2, groups=2, **K),
            [(2, 4, 9)],
        ),
        "Conv2d": (
            t.Conv2d(3, 5, (2, 3), padding=1),
            nn.Conv2d(3, 5, (2, 3), padding=1, **K),
            [(2, 3, 6, 7)],
        ),
        "ConvTranspose1d": (
            t.ConvTranspose1d(3, 4, 3, stride=2),
            nn.ConvTranspose1d(3, 4, 3, stride=2, **K),
            [(2, 3, 5)],
        ),
        "ConvTranspose2d": (
            t.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2),
            nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2, **K),
            [(2, 4, 5, 6)],
        ),
        "BatchNorm": (t.BatchNorm2d(3), nn.BatchNorm(3, dtype="float64"), [(2, 3, 4, 5)]),
        "BatchNorm without momentum": (
            t.BatchNorm1d(3, momentum=None),
            nn.BatchNorm(3, momentum=None, dtype="float64"),
            [(5, 3)],
        ),
        "LayerNorm": (t.LayerNorm((3, 4)), nn.LayerNorm((3, 4), dtype="float64"), [(2, 3, 4)]),
        "GroupNorm": (t.GroupNorm(2, 4), nn.GroupNorm(2, 4, dtype="float64"), [(2, 4, 5)]),
        "RMSNorm": (t.RMSNorm(4, eps=1e-6), nn.RMSNorm(4, eps=1e-6, dtype="float64"), [(2, 4)]),
        "PReLU": (t.PReLU(3), nn.PReLU(3, dtype="float64"), [(2, 3, 4)]),
        "Embedding": (t.Embedding(7, 3), nn.Embedding(7, 3, **K), [None]),
        "RNN": (First(t.RNN(4, 3, batch_first=True)), Holder(nn.RNN(4, 3, **K)), [(2, 5, 4)]),
        "GRU": (
            First(t.GRU(4, 3, num_layers=2, bidirectional=True, batch_first=True)),
            Holder(nn.GRU(4, 3, num_layers=2, bidirectional=True, **K)),
            [(2, 5, 4)],
        ),
        "LSTM": (
            First(t.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)),
            Holder(nn.LSTM(4, 3, num_layers=2, bidirectional=True, **K)),
            [(2, 5, 4)],
        ),
        "MultiHeadAttention": (
            Attended(t.MultiheadAttention(8, 2, batch_first=True)),
            Holder(nn.MultiHeadAttention(8, 2, **K)),
            [(2, 5, 8)],
        ),
        "MultiHeadAttention of three sizes": (
            Attended(t.MultiheadAttention(8, 2, kdim=3, vdim=5, batch_first=True)),
            Holder(nn.MultiHeadAttention(8, 2, kdim=3, vdim=5, **K)),
            [(2, 5, 8), (2, 4, 3), (2, 4, 5)],
        ),
        "TransformerBlock": (
            t.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True),
            nn.TransformerBlock(8, 2, 16, norm_first=True, **K),
            [(2, 5, 8)],
        ),
        "Sequential": (
            t.Sequential(
                t.Conv2d(1, 3, 3),
                t.BatchNorm2d(3),
                t.ReLU(),
                t.MaxPool2d(2),
                t.Flatten(),
                t.Sequential(t.Linear(27, 8), t.Dropout(0.5), t.GELU()),
                t.Linear(8, 2),
            ),
            nn.Sequential(
                nn.Conv2d(1, 3, 3, **K),
                nn.BatchNorm(3, dtype="float64"),
                nn.relu,
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Frozen(nn.Sequential(nn.Dense(27, 8, **K), nn.Dropout(0.5), nn.gelu)),
                nn.Dense(8, 2, **K),
            ),
            [(2, 1, 8, 8)],
        ),
    }


NO_WEIGHTS = {
    *("AvgPool1d", "AvgPool2d", "Dropout", "Flatten", "GlobalAvgPool", "GlobalMaxPool", "Lambda"),
    *("MaxPool1d", "MaxPool2d", "Reshape"),
}
HOLDERS = {"Frozen", "Module", "Residual"}


def numbers(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 7, (2, 3)) if shape is None else rng.normal(size=shape)


def randomized(module):
    """In float64, with other numbers than at the start everywhere."""
    generator = torch.Generator().manual_seed(0)
    for x in module.state_dict().values():
        if x.dtype.is_floating_point:
            x.copy_(torch.rand(x.shape, generator=generator) + 0.5)
        else:
            x.fill_(3)
    return module.double().eval()


def host(x):
    return np.asarray(backend_of(x).to_host(x))


def test_every_layer_with_weights_is_here():
    layers = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert layers == {name.split()[0] for name in pairs()} | NO_WEIGHTS | HOLDERS


@pytest.mark.parametrize("name", pairs())
def test_a_state_dict_of_pytorch_computes_the_same_in_bpkit(name):
    module, model, shapes = pairs()[name]
    module = randomized(module)
    loaded = weights.load(model, module.state_dict())
    given = [numbers(shape, i) for i, shape in enumerate(shapes)]
    wanted = module(*map(torch.from_numpy, given)).detach().numpy()
    np.testing.assert_allclose(host(loaded(*given)), wanted, rtol=1e-12, atol=1e-12)
    assert not np.allclose(host(model(*given)), wanted)  # the model itself did not change


@pytest.mark.parametrize("name", pairs())
def test_weights_of_bpkit_compute_the_same_in_pytorch(name, tmp_path):
    module, model, shapes = pairs()[name]
    randomized(module).load_state_dict(weights.to_state_dict(model), strict="BatchNorm" not in name)
    given = [numbers(shape, i) for i, shape in enumerate(shapes)]
    found = module(*map(torch.from_numpy, given)).detach().numpy()
    np.testing.assert_allclose(host(model(*given)), found, rtol=1e-12, atol=1e-12)
    weights.save(model, tmp_path / "model.safetensors")
    from safetensors.torch import load_file

    state = load_file(tmp_path / "model.safetensors")
    assert {name: x.tolist() for name, x in state.items()} == {
        name: x.tolist() for name, x in weights.to_state_dict(model).items()
    }
    again = weights.load(tree.map(lambda x: x * 0, model), tmp_path / "model.safetensors")
    for x, y in zip(tree.leaves(again), tree.leaves(model), strict=True):
        np.testing.assert_array_equal(host(x), host(y))


# Sources and places.


def dense(dtype="float64"):
    return nn.Sequential(nn.Dense(3, 2, key=random.key(0), dtype=dtype), nn.tanh)


STATE = {"0.weight": np.arange(6.0).reshape(2, 3), "0.bias": np.asarray([1.0, -1.0])}


def test_weights_keep_the_library_and_the_dtype_of_the_model(backend):
    model = dense("float32")
    loaded = weights.load(model, STATE)
    weight = loaded.layers[0].weight
    assert backend_of(weight) is backend
    assert weight.dtype == model.layers[0].weight.dtype
    np.testing.assert_array_equal(host(weight), STATE["0.weight"])
    assert tree.structure(loaded) == tree.structure(model)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_files_of_torch_save(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    torch.save({name: torch.from_numpy(x) for name, x in STATE.items()}, path)
    np.testing.assert_array_equal(weights.load(dense(), path).layers[0].weight, STATE["0.weight"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_narrow_dtypes(dtype, tmp_path):
    from safetensors.torch import save_file

    state = {name: torch.from_numpy(x).to(getattr(torch, dtype)) for name, x in STATE.items()}
    save_file(state, tmp_path / "model.safetensors")
    for source in (state, tmp_path / "model.safetensors"):
        np.testing.assert_array_equal(weights.load(dense(), source).layers[0].weight, STATE["0.weight"])


def test_names_of_bpkit_and_other_names():
    own = {"layers[0].weight": STATE["0.weight"], "layers[0].bias": STATE["0.bias"]}
    other = {"head.weight": STATE["0.weight"], "0.bias": STATE["0.bias"], "unused": STATE["0.bias"]}

    def rename(name):
        return None if name == "unused" else name.replace("head", "0")

    for loaded in (weights.load(dense(), own), weights.load(dense(), other, rename=rename)):
        np.testing.assert_array_equal(loaded.layers[0].weight, STATE["0.weight"])
    with pytest.raises(ArgumentError, match="1 unexpected: unused"):
        weights.load(dense(), other, rename={"head.weight": "0.weight"})
    with pytest.raises(ArgumentError, match="rename gives two entries of the source the name '0'"):
        weights.load(dense(), other, rename=lambda name: "0")


def test_what_fits_alone():
    loaded = weights.load(dense(), {"0.bias": STATE["0.bias"], "2.bias": STATE["0.bias"]}, strict=False)
    np.testing.assert_array_equal(loaded.layers[0].bias, STATE["0.bias"])
    np.testing.assert_array_equal(loaded.layers[0].weight, dense().layers[0].weight)


# Mistakes.


def test_everything_that_does_not_fit_is_in_one_error():
    state = {"0.wieght": STATE["0.weight"], "0.bias": np.zeros(3), "extra": np.zeros(1)}
    with pytest.raises(ArgumentError) as caught:
        weights.load(dense(), state)
    assert str(caught.value).startswith(
        "weights.load into Sequential: the mapping does not fit. 1 missing: 0.weight (nearest: 0.wieght); "
        "2 unexpected: 0.wieght (nearest: 0.weight), extra; 1 misfit: 0.bias has the shape (3,), the "
        "model (2,). rename="
    )
    with pytest.raises(
        ArgumentError, match=r"1 misfit: 0.bias has the shape \(3,\), the model \(2,\)\. Noth"
    ):
        weights.load(dense(), state, strict=False)
    with pytest.raises(ArgumentError, match=r"0.bias is integer, in the model float"):
        weights.load(dense(), {**STATE, "0.bias": np.zeros(2, dtype=np.int64)})
    with pytest.raises(ArgumentError, match="and 12 more"):
        weights.load(dense(), {**STATE, **{f"{i}.x": np.zeros(1) for i in range(20)}})


def test_two_entries_or_two_arrays_of_one_name(tmp_path):
    with pytest.raises(ArgumentError, match=r"two entries for one array, 0\.weight and layers\[0\]\.weight"):
        weights.load(dense(), {**STATE, "layers[0].weight": STATE["0.weight"]})
    clash = {"a.b": np.zeros(2), "a": {"b": np.ones(2)}}
    for call in (
        lambda: weights.to_state_dict(clash),
        lambda: weights.save(clash, tmp_path / "x.safetensors"),
        lambda: weights.load(clash, {"a.b": np.zeros(2)}),
    ):
        with pytest.raises(ArgumentError, match=r"would both be called 'a\.b' in a state dict"):
            call()


@pytest.mark.parametrize(
    ("dtype", "value", "fits"),
    [
        *[("int8", 300, False), ("uint8", -1, False), ("int8", -128, True)],
        *[("float16", 1e6, False), ("float32", 1e300, False), ("float16", np.inf, True)],
        *[("float16", np.nan, True), ("float32", 0.1, True)],
    ],
)
def test_numbers_beyond_the_dtype_of_the_model(dtype, value, fits):
    model, state = {"n": np.zeros(2, dtype=dtype)}, {"n": np.asarray([0, value])}
    if fits:
        np.testing.assert_array_equal(weights.load(model, state)["n"], state["n"].astype(dtype))
        return
    with pytest.raises(ArgumentError, match=rf"1 misfit: n holds .*, which is beyond the model's {dtype}"):
        weights.load(model, state)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x.to(torch.float8_e4m3fn), r"0\.weight is float8_e4m3fn, which NumPy does not have"),
        (lambda x: x.to_sparse(), r"0\.weight is sparse; pass it as x\.to_dense\(\)"),
        (lambda x: x.to("meta"), r"0\.weight is on the device meta"),
    ],
)
def test_tensors_that_are_no_arrays(change, text):
    with pytest.raises(ArgumentError, match=text):
        weights.load(dense(), {**STATE, "0.weight": change(torch.from_numpy(STATE["0.weight"]))})


def test_tied_weights(tmp_path):
    from safetensors.torch import save_model

    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    theirs[1].weight = theirs[0].weight
    save_model(theirs, str(tmp_path / "tied.safetensors"))
    ours = nn.Sequential(nn.Dense(3, 3, **K), nn.Dense(3, 3, **K))
    loaded = weights.load(ours, tmp_path / "tied.safetensors")
    for layer in loaded.layers:
        np.testing.assert_array_equal(layer.weight, theirs[0].weight.detach().numpy())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_safetensors_are_not_called_as_files_of_torch_save(suffix, tmp_path):
    with pytest.raises(ArgumentError, match=r"torch\.save\(weights\.to_state_dict\(model\)"):
        weights.save(dense(), tmp_path / f"model{suffix}")
    assert not [*tmp_path.iterdir()]


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('it was run')",))


def test_files_that_are_not_what_they_say(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(CorruptDataError, match="is no safetensors file"):
        weights.load(dense(), tmp_path / "a.safetensors")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"0.weight": Evil()}))
    with pytest.raises(CorruptDataError, match="Other objects in it are not read") as caught:
        weights.load(dense(), tmp_path / "evil.pt")
    assert "weights_only" not in str(caught.value)
    torch.save({"0.weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CorruptDataError, match=r"it names (builtins\.)?exec\. Other") as caught:
        weights.load(dense(), tmp_path / "evil.pt")
    assert "weights_only" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.pt"):
        weights.load(dense(), tmp_path / "none.pt")
    (tmp_path / "model.txt").write_text(json.dumps({}))
    with pytest.raises(ArgumentError, match=r"must be called \.safetensors, \.pt, \.pth or \.bin"):
        weights.load(dense(), tmp_path / "model.txt")


def test_sources_that_hold_something_else(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "model": {"0.weight": torch.zeros(2, 3)}}, path)
    with pytest.raises(ArgumentError, match=r"torch\.load\('.*', weights_only=True\)\['model'\]"):
        weights.load(dense(), path)
    with pytest.raises(ArgumentError, match="source must be a mapping or a path; it is the list"):
        weights.load(dense(), [1])


def test_without_pytorch(tmp_path):
    weights.save(dense(), tmp_path / "model.safetensors")
    (tmp_path / "model.pt").write_bytes(b"")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from bpkit import nn, random\n"
        "from bpkit.interop import weights\n"
        "model = nn.Sequential(nn.Dense(3, 2, key=random.key(0)), nn.tanh)\n"
        "weights.load(model, 'model.safetensors')\n"
        "for call in (lambda: weights.to_state_dict(model), lambda: weights.load(model, 'model.pt')):\n"
        "    try:\n"
        "        call()\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("needs PyTorch, which is not installed: pip install torch") == 2


def test_ids_stay_what_they_are():
    layer = nn.BatchNorm(2, momentum=None, dtype="float64")
    state = {name: host(x) for name, x in weights.to_state_dict(layer).items()}
    assert state["num_batches_tracked"].dtype == np.int64
    loaded = weights.load(layer, {**state, "num_batches_tracked": np.asarray(5)})
    assert int(loaded.num_batches_tracked) == 5
    assert loaded.num_batches_tracked.dtype == xp.asarray(layer.num_batches_tracked).dtype
