"""Modules as trees; layers, activations and initialisers against their formulas and PyTorch."""

import copy
import functools
import math
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

T = TypeVar("T")


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def network(dtype: Any = None) -> nn.Sequential:
    first, second = xp.unstack(random.split(random.key(7)))
    return nn.Sequential(
        nn.Dense(5, 4, key=first, dtype=dtype), nn.sigmoid, nn.Dense(4, 3, key=second, dtype=dtype), nn.tanh
    )


class Scale(nn.Module):
    """A module with every kind of field, at the top level so that it can be pickled."""

    factor: Any
    parts: Any = None
    name: str = nn.static(default="scale")

    def __call__(self, x: Any) -> Any:
        return x * self.factor


# A module as a tree.


def test_fields_are_children_and_static_fields_are_structure() -> None:
    module = Scale(1.0, {"a": [2.0, None], "b": Scale(3.0)})
    assert tree.leaves(module) == [1.0, 2.0, 3.0]
    assert tree.paths(module) == [".factor", ".parts['a'][0]", ".parts['b'].factor"]
    doubled = tree.map(lambda x: 2 * x, module)
    assert isinstance(doubled, Scale)
    assert (doubled.factor, doubled.parts["a"], doubled.parts["b"].factor) == (2.0, [4.0, None], 6.0)
    assert doubled.name == doubled.parts["b"].name == "scale"
    assert tree.structure(doubled) == tree.structure(module)
    assert tree.structure(Scale(1.0, name="other")) != tree.structure(Scale(1.0))
    assert module.factor == 1.0


def test_unflatten_neither_runs_init_nor_checks() -> None:
    class Positive(nn.Module):
        x: Any

        def __init__(self, x: float) -> None:
            if x <= 0:
                raise ValueError("must be positive")
            self.x = x

    assert tree.map(lambda x: -x, Positive(1.0)).x == -1.0
    assert tree.map(lambda _: "anything", Positive(1.0)).x == "anything"


def test_replace_returns_a_changed_copy() -> None:
    module = Scale(1.0, [2.0])
    changed = module.replace(factor=5.0, name="new")
    assert (changed.factor, changed.parts, changed.name) == (5.0, [2.0], "new")
    assert (module.factor, module.name) == (1.0, "scale")
    with pytest.raises(
        ArgumentError, match=r"Scale\.replace\(\) got 'fcator', which is not a field; the fields are"
    ):
        module.replace(fcator=5.0)


def test_a_field_that_was_never_set_is_named() -> None:
    class Half(nn.Module):
        weight: Any
        bias: Any

        def __init__(self) -> None:
            self.weight = 1.0

    with pytest.raises(ArgumentError, match=r"Half\.bias is a declared field that was never set"):
        tree.leaves(Half())
    assert repr(Half()) == "Half(weight=1.0, bias=…)"


def test_an_attribute_that_was_never_declared_is_named() -> None:
    class Extra(nn.Module):
        weight: Any

        def __init__(self) -> None:
            self.weight = 1.0
            self.hidden = 2.0

    with pytest.raises(
        ArgumentError, match=r"Extra has the attribute 'hidden', which is not a declared field"
    ):
        tree.leaves(Extra())


def test_a_static_field_must_be_hashable() -> None:
    class Sizes(nn.Module):
        name: str = nn.static()
        sizes: Any = nn.static()

    with pytest.raises(
        ArgumentError, match=r"Sizes\.sizes is a static field, .* it is a list .* use a tuple"
    ):
        tree.leaves(Sizes("a", [1, 2]))
    with pytest.raises(ArgumentError, match=r"Sizes\.sizes is a static field, .* it is a ndarray"):
        tree.leaves(Sizes("a", np.ones(2)))
    assert tree.leaves(Sizes("a", (1, 2))) == []


def test_class_defaults_and_cached_properties() -> None:
    class Cached(nn.Module):
        x: Any
        y: Any = 10.0

        def __init__(self, x: float) -> None:
            self.x = x

        @functools.cached_property
        def total(self) -> Any:
            return self.x + self.y

    module = Cached(1.0)
    assert module.total == 11.0
    assert tree.leaves(module) == [1.0, 10.0]
    assert tree.map(lambda x: 2 * x, module).total == 22.0
    assert module.replace(x=2.0).total == 12.0


def test_inheritance() -> None:
    class Shifted(Scale):
        shift: Any = 0.5

        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + self.shift

    module = Shifted(2.0, shift=1.0)
    assert module(3.0) == 7.0
    assert tree.leaves(module) == [2.0, 1.0]
    assert tree.structure(module) != tree.structure(Scale(2.0))

    class Named(nn.Dense):
        label: str = nn.static(default="")

    with use_backend("numpy"):
        # To a type checker a subclass has the __init__ of its fields; at run time it inherits Dense's.
        dense = Named(2, 3, key=random.key(0))  # type: ignore[call-arg]
    assert tree.paths(dense) == [".weight", ".bias"]
    assert repr(dense) == "Named(2 → 3)"
    assert tree.map(lambda x: x, dense).label == ""


def test_an_init_that_is_inherited_is_kept_and_a_generated_one_regenerated() -> None:
    class Mixin:
        def __init__(self, start: float) -> None:
            self.x = start + 1

    class Mixed(Mixin, nn.Module):
        x: Any

    class Pair(Scale):
        other: Any = 3.0

    assert tree.leaves(Mixed(1.0)) == [2.0]
    assert tree.leaves(Pair(1.0, None, "pair", 4.0)) == [1.0, 4.0]


def test_classes_of_the_same_name_are_different() -> None:
    def make(start: float) -> Any:
        class Twin(nn.Module):
            x: Any = start

        return Twin

    first, second = make(1.0), make(2.0)
    assert (tree.leaves(first()), tree.leaves(second())) == ([1.0], [2.0])
    assert tree.structure(first()) != tree.structure(second())
    assert isinstance(tree.map(lambda x: x, second()), second)


def test_generic_modules() -> None:
    class Box(nn.Module, Generic[T]):
        content: T

    assert tree.map(lambda x: -x, Box[float](2.0)).content == -2.0


def test_modules_compare_by_identity_and_can_be_copied_and_pickled() -> None:
    module = Scale(np.arange(3.0), [np.ones(2)], "mine")
    assert module != Scale(module.factor, module.parts, "mine")
    assert {module: 1}[module] == 1
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert tree.structure(twin) == tree.structure(module)
        for x, y in zip(tree.leaves(twin), tree.leaves(module), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.usefixtures("backend")
def test_a_network_can_be_pickled() -> None:
    model = network()
    twin = pickle.loads(pickle.dumps(model))
    assert tree.structure(twin) == tree.structure(model)
    for x, y in zip(tree.leaves(twin), tree.leaves(model), strict=True):
        np.testing.assert_array_equal(on_host(x), on_host(y))


def test_repr_shows_shapes_and_not_values() -> None:
    assert (
        repr(Scale(np.zeros((2, 3), np.float32))) == "Scale(factor=float32[2, 3], parts=None, name='scale')"
    )
    assert (
        repr(Scale((np.zeros(1), {"a": 1})))
        == "Scale(factor=(float64[1], dict(a=1)), parts=None, name='scale')"
    )
    nested = Scale([Scale(np.zeros(100), name="inner" * 6), Scale(np.zeros(100), name="other" * 6)])
    assert repr(nested).splitlines()[:3] == [
        "Scale(",
        "  factor=list(",
        f"    Scale(factor=float64[100], parts=None, name='{'inner' * 6}'),",
    ]


@pytest.mark.parametrize("name", ["jax", "torch", "array_api_strict"])
def test_repr_names_dtypes_alike_on_every_library(name: str) -> None:
    pytest.importorskip(name)
    with use_backend(name):
        assert repr(nn.Lambda(nn.relu)) == "Lambda(relu)"
        assert repr(Scale(xp.zeros((2,), dtype="float32"))).startswith("Scale(factor=float32[2]")


@pytest.mark.usefixtures("backend")
def test_the_gradient_of_a_model_is_a_model() -> None:
    model = network("float64")
    x = xp.asarray(np.random.default_rng(0).normal(size=(6, 5)))

    def loss(model: nn.Sequential, x: Any) -> Any:
        return xp.sum(xp.square(model(x)))

    gradient = bpkit.grad(loss)(model, x)
    assert tree.structure(gradient) == tree.structure(model)
    assert isinstance(gradient[0], nn.Dense)
    rng, h = np.random.default_rng(1), 1e-6
    leaves, structure = tree.flatten(model)
    for k, g in enumerate(tree.leaves(gradient)):
        assert type(g) is type(leaves[k])
        direction = rng.normal(size=g.shape)
        ends = []
        for sign in (h, -h):
            moved = [*leaves]
            moved[k] = leaves[k] + xp.asarray(sign * direction)
            ends.append(float(loss(tree.unflatten(structure, moved), x)))
        numeric = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(np.sum(on_host(g) * direction), numeric, rtol=1e-7)


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
        nn.Sequential(Scale(1.0).__call__)

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
