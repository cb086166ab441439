"""Layers, activations and initialisers against their formulas and PyTorch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def network(dtype: Any = None) -> nn.Sequential:
    first, second = xp.unstack(random.split(random.key(7)))
    return nn.Sequential(
        nn.Dense(5, 4, key=first, dtype=dtype), nn.sigmoid, nn.Dense(4, 3, key=second, dtype=dtype), nn.tanh
    )


# Layers.


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 1, 3)], ids=str)
@pytest.mark.usefixtures("backend")
def test_dense_is_its_formula(leading: tuple[int, ...]) -> None:
    layer = nn.Dense(5, 4, key=random.key(0), init=nn.init.standard_normal, dtype="float64")
    x = np.random.default_rng(0).normal(size=(*leading, 5))
    y = layer(xp.asarray(x))
    assert tuple(y.shape) == (*leading, 4)
    expected = np.einsum("...i,oi->...o", x, on_host(layer.weight)) + on_host(layer.bias)
    np.testing.assert_allclose(on_host(y), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.usefixtures("backend")
def test_network_and_gradients_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    model = network("float64")
    x = np.random.default_rng(0).normal(size=(6, 5))
    twin = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 3), torch.nn.Tanh()
    )
    twin = twin.double()
    with torch.no_grad():
        for p, leaf in zip(twin.parameters(), tree.leaves(model), strict=True):
            p.copy_(torch.tensor(on_host(leaf)))
    out = twin(torch.tensor(x))
    out.square().sum().backward()
    np.testing.assert_allclose(on_host(model(xp.asarray(x))), out.detach().numpy(), rtol=1e-12)
    gradient = bpkit.grad(lambda model, x: xp.sum(xp.square(model(x))))(model, xp.asarray(x))
    for p, g in zip(twin.parameters(), tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(on_host(g), p.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("backend")
def test_dense_takes_the_default_dtype_or_the_one_asked_for() -> None:
    assert nn.Dense(2, 3, key=random.key(0)).weight.dtype == xp.zeros(1).dtype
    layer = nn.Dense(2, 3, key=random.key(0), dtype="float32")
    assert layer.weight.dtype == layer.bias.dtype == xp.dtype_of("float32", like=layer.bias)


@pytest.mark.usefixtures("backend")
def test_dense_without_a_bias() -> None:
    layer = nn.Dense(5, 4, key=random.key(0), bias=False, dtype="float64")
    whole = nn.Dense(5, 4, key=random.key(0), dtype="float64")
    assert layer.bias is None
    x = xp.asarray(np.random.default_rng(0).normal(size=(3, 5)))
    np.testing.assert_array_equal(on_host(layer.weight), on_host(whole.weight))
    np.testing.assert_array_equal(on_host(layer(x)), on_host(whole(x)))
    assert len(tree.leaves(bpkit.grad(lambda layer: xp.sum(layer(x)))(layer))) == 1


def test_dense_draws_weight_and_bias_with_different_keys() -> None:
    with use_backend("numpy"):
        layer = nn.Dense(1, 8, key=random.key(0), init=nn.init.standard_normal)
    assert not np.isin(layer.bias, layer.weight).any()


def test_the_bias_follows_the_book_unless_told_otherwise() -> None:
    def bias(**settings: Any) -> Any:
        with use_backend("numpy"):
            return nn.Dense(5, 200, key=random.key(0), **settings).bias

    assert not bias().any()
    assert not bias(init=nn.init.he_normal).any()
    assert not bias(init=nn.init.standard_normal, bias_init=nn.init.zeros).any()
    for init in (nn.init.standard_normal, nn.init.scaled_normal):
        assert 0.8 < np.std(bias(init=init)) < 1.2


def test_dense_names_itself_when_x_does_not_fit() -> None:
    with use_backend("numpy"):
        layer = nn.Dense(784, 30, key=random.key(0))
    with pytest.raises(
        ShapeError, match=r"Dense\(784 → 30\) expected x of shape \(\.\.\., 784\), got \(10, 28\)"
    ):
        layer(np.zeros((10, 28)))
    with pytest.raises(ShapeError, match=r"got \(\); the last dimension must be in_features=784"):
        layer(np.zeros(()))
    with pytest.raises(
        ArgumentError, match=r"Dense\(784 → 30\) was called with a list; .* bpkit\.xp\.asarray\(x\)"
    ):
        layer([0.0] * 784)


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", True, None])
def test_dense_sizes_are_positive_ints(size: Any) -> None:
    for name, sizes in (("in_features", (size, 3)), ("out_features", (3, size))):
        with pytest.raises(ArgumentError, match=f"Dense: {name} must be a positive int, got {size!r}"):
            nn.Dense(*sizes, key=random.key(0))


def test_sequential_is_a_sequence() -> None:
    with use_backend("numpy"):
        model = network()
    assert len(model) == 4
    assert [type(layer) for layer in model] == [nn.Dense, nn.Lambda, nn.Dense, nn.Lambda]
    assert model[-1] is model.layers[3]
    assert isinstance(model[:2], nn.Sequential)
    assert model[1:].layers == model.layers[1:]
    assert repr(model) == (
        "Sequential(\n  Dense(5 → 4),\n  Lambda(sigmoid),\n  Dense(4 → 3),\n  Lambda(tanh),\n)"
    )
    assert nn.Sequential()(3.0) == 3.0
    assert repr(nn.Sequential()) == "Sequential()"


def test_sequential_calls_in_order() -> None:
    assert nn.Sequential(lambda x: x + 1, lambda x: 10 * x)(1) == 20


def test_an_error_in_a_layer_says_which_layer_it_was() -> None:
    with use_backend("numpy"):
        inner = network()
        outer = nn.Sequential(nn.identity, inner[:2], inner[:1])
    with pytest.raises(ShapeError) as caught:
        outer(np.zeros((2, 5)))
    assert caught.value.__notes__ == [
        "in layer 0 (Dense(5 → 4)) of Sequential",
        "in layer 2 (Sequential(Dense(5 → 4))) of Sequential",
    ]
    with pytest.raises(ShapeError) as caught:
        outer(np.zeros((2, 6)))
    assert caught.value.__notes__[-1] == "in layer 1 (Sequential(…)) of Sequential"


def test_layers_are_modules_or_functions() -> None:
    with pytest.raises(ArgumentError, match=r"a layer must be a Module or a function, got 3 of type int"):
        nn.Sequential(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"got the class Dense; make one: Dense\(\.\.\.\)"):
        nn.Sequential(nn.Dense)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"cannot be the method __call__ of a Module"):
        nn.Sequential(nn.Lambda(nn.relu).__call__)

    class Silent(nn.Module):
        x: Any = None

    with pytest.raises(ArgumentError, match=r"layer 1 \(Silent\(x=None\)\) cannot be called"):
        nn.Sequential(nn.relu, Silent())  # type: ignore[arg-type]


# Activations.

ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sigmoid": (nn.sigmoid, lambda z: 1 / (1 + np.exp(-z))),
    "tanh": (nn.tanh, np.tanh),
    "relu": (nn.relu, lambda z: np.where(z > 0, z, 0)),
    "softmax": (nn.softmax, lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)),
    "identity": (nn.identity, lambda z: z),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.usefixtures("backend")
def test_activations_and_their_derivatives(name: str) -> None:
    function, formula = ACTIVATIONS[name]
    rng, h = np.random.default_rng(0), 1e-6
    z, weight = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    np.testing.assert_allclose(on_host(function(xp.asarray(z))), formula(z), rtol=1e-14)
    gradient = bpkit.grad(lambda z: xp.sum(function(z) * xp.asarray(weight)))(xp.asarray(z))
    for i in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[i] = h
        numeric = np.sum((formula(z + step) - formula(z - step)) * weight) / (2 * h)
        assert abs(on_host(gradient)[i] - numeric) < 1e-9


# Initialisers.

VARIANCES = {
    "standard_normal": 1.0,
    "scaled_normal": 1 / 400,
    "glorot_uniform": 2 / 700,
    "he_normal": 2 / 400,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_initialisers_have_the_moments_they_claim(name: str) -> None:
    with use_backend("numpy"):
        w = getattr(nn.init, name)(random.key(3), (300, 400), "float64")
    variance = VARIANCES[name]
    assert w.shape == (300, 400)
    # Six standard errors of the mean and of the variance of 120,000 draws.
    assert abs(np.mean(w)) < 6 * math.sqrt(variance / w.size)
    assert abs(np.var(w) / variance - 1) < 6 * math.sqrt(2 / w.size)


def test_glorot_uniform_stays_within_its_bounds() -> None:
    with use_backend("numpy"):
        w = nn.init.glorot_uniform(random.key(3), (300, 400), "float64")
    bound = math.sqrt(6 / 700)
    assert -bound <= np.min(w) < -0.999 * bound
    assert 0.999 * bound < np.max(w) <= bound


def test_fans_count_the_window() -> None:
    with use_backend("numpy"):
        flat = nn.init.he_normal(random.key(3), (8, 12), "float64")
        window = nn.init.he_normal(random.key(3), (8, 3, 2, 2), "float64")
    np.testing.assert_array_equal(window.reshape(8, 12), flat)


@pytest.mark.parametrize("init", [nn.init.scaled_normal, nn.init.glorot_uniform, nn.init.he_normal])
def test_initialisers_that_need_a_fan_refuse_a_vector(init: nn.init.Initializer) -> None:
    for shape in ((5,), (), (5, 0)):
        with pytest.raises(ShapeError, match=rf"{init.__name__}: expected the shape \(out, in, \*window\)"):
            init(random.key(0), shape, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", ["standard_normal", "scaled_normal", "glorot_uniform", "he_normal"])
@pytest.mark.usefixtures("backend")
def test_initial_weights_are_the_same_to_the_bit_everywhere(init: str, dtype: str) -> None:
    def layer() -> nn.Dense:
        return nn.Dense(7, 30, key=random.key(11), init=getattr(nn.init, init), dtype=dtype)

    here = layer()
    with use_backend("numpy"):
        reference = layer()
    for x, y in zip(tree.leaves(here), tree.leaves(reference), strict=True):
        assert on_host(x).dtype == dtype
        assert on_host(x).tobytes() == y.tobytes()
