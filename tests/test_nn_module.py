"""A module is a tree: fields, structure, inheritance, errors, gradients of models."""

import copy
import functools
import pickle
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError
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
