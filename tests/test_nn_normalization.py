"""Normalisation layers against PyTorch, in every option."""

import itertools
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(loc=0.5, scale=2.0, size=shape)


def with_drawn(layer: Any) -> Any:
    """The layer with weights and biases that are no ones and zeros."""
    changes = {
        name: xp.asarray(drawn(tuple(x.shape), seed))
        for seed, name in enumerate(("weight", "bias"), 11)
        if (x := getattr(layer, name, None)) is not None
    }
    return layer.replace(**changes)


def twin_of(layer: Any, twin: Any) -> Any:
    """PyTorch's layer with the same parameters."""
    import torch

    twin = twin.double()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(torch.tensor(on_host(getattr(layer, name))))
    assert sum(parameter.numel() for parameter in twin.parameters()) == sum(
        on_host(leaf).size for leaf in tree.leaves(nn.partition(layer).trainable)
    )
    return twin


def assert_equal_to(twin: Any, layer: Any, x: Any, training: bool) -> Any:
    """Compare output and gradients; returns the layer after the call."""
    import torch

    weights = drawn(x.shape, 5)
    twin.train(training)
    twin.zero_grad()
    there = torch.tensor(x, requires_grad=True)
    expected = twin(there)
    (expected * torch.tensor(weights)).sum().backward()

    def loss(trainable: Any, rest: Any, x: Any) -> Any:
        whole = nn.combine(trainable, rest)
        y, new = nn.training_call(whole, x) if training else (whole(x), whole)
        return xp.sum(xp.multiply(y, xp.asarray(weights))), (y, new)

    take = bpkit.value_and_grad(loss, argnums=(0, 2), has_aux=True)
    (_, (y, new)), (gradient, slope) = take(*nn.partition(layer), xp.asarray(x))
    np.testing.assert_allclose(on_host(y), expected.detach().numpy(), **TIGHT)
    np.testing.assert_allclose(on_host(slope), there.grad.numpy(), **TIGHT)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(on_host(getattr(gradient, name)), parameter.grad.numpy(), **TIGHT)
    return new


# Batch normalisation.


@pytest.mark.parametrize(
    ("affine", "tracked", "momentum", "eps"),
    [
        *itertools.product((True, False), (True, False), (0.1, None), (1e-5,)),
        (True, True, 0.0, 0.5),
        (True, True, 1.0, 1e-3),
    ],
)
@pytest.mark.usefixtures("backend")
def test_batch_norm_equals_torch(affine: bool, tracked: bool, momentum: float | None, eps: float) -> None:
    torch = pytest.importorskip("torch")
    options = {"eps": eps, "momentum": momentum, "affine": affine, "track_running_stats": tracked}
    layer = with_drawn(nn.BatchNorm(3, **options, dtype="float64"))
    twin = twin_of(layer, torch.nn.BatchNorm2d(3, **options))
    for step in range(3):
        layer = assert_equal_to(twin, layer, drawn((4, 3, 2, 5), step), training=True)
        for name, statistic in twin.named_buffers():
            if getattr(layer, name) is not None:
                np.testing.assert_allclose(on_host(getattr(layer, name)), statistic.numpy(), **TIGHT)
    assert (layer.running_mean is not None) is (layer.running_var is not None) is tracked
    assert (layer.num_batches_tracked is not None) is (tracked and momentum is None)
    after = assert_equal_to(twin, layer, drawn((4, 3, 2, 5), 7), training=False)
    assert after is not None
    for one, other in zip(tree.leaves(after), tree.leaves(layer), strict=True):
        np.testing.assert_array_equal(on_host(one), on_host(other))


@pytest.mark.parametrize("shape", [(6, 3), (2, 3), (4, 3, 5), (1, 3, 2), (2, 3, 1, 2, 4)], ids=str)
@pytest.mark.usefixtures("backend")
def test_batch_norm_takes_any_number_of_axes(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    kind = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 5: torch.nn.BatchNorm3d}[len(shape)]
    layer = with_drawn(nn.BatchNorm(3, dtype="float64"))
    twin = twin_of(layer, kind(3))
    layer = assert_equal_to(twin, layer, drawn(shape), training=True)
    np.testing.assert_allclose(on_host(layer.running_mean), twin.running_mean.numpy(), **TIGHT)
    np.testing.assert_allclose(on_host(layer.running_var), twin.running_var.numpy(), **TIGHT)
    assert_equal_to(twin, layer, drawn(shape, 1), training=False)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.usefixtures("backend")
def test_a_batch_norm_called_twice_follows_both_batches(momentum: float | None) -> None:
    torch = pytest.importorskip("torch")

    class Twice(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return self.layer(xp.sin(self.layer(x)))

    layer = with_drawn(nn.BatchNorm(3, momentum=momentum, dtype="float64"))
    twin = twin_of(layer, torch.nn.BatchNorm1d(3, momentum=momentum))
    x = drawn((6, 3))
    expected = twin(torch.sin(twin(torch.tensor(x))))
    y, model = nn.training_call(Twice(layer), xp.asarray(x))
    np.testing.assert_allclose(on_host(y), expected.detach().numpy(), **TIGHT)
    np.testing.assert_allclose(on_host(model.layer.running_mean), twin.running_mean.numpy(), **TIGHT)
    np.testing.assert_allclose(on_host(model.layer.running_var), twin.running_var.numpy(), **TIGHT)


@pytest.mark.usefixtures("backend")
def test_batch_norm_in_a_checkpoint() -> None:
    class Recomputed(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return bpkit.checkpoint(self.layer)(xp.sin(x))

    def run(model: Any) -> Any:
        trainable, rest = nn.partition(model)

        def loss(trainable: Any) -> Any:
            y, new = nn.training_call(nn.combine(trainable, rest), xp.asarray(drawn((6, 3))))
            return xp.sum(xp.exp(y)), tree.leaves(nn.partition(new).rest)

        return tree.leaves(bpkit.value_and_grad(loss, has_aux=True)(trainable))

    layer = with_drawn(nn.BatchNorm(3, dtype="float64"))
    for one, other in zip(run(Recomputed(layer)), run(nn.Sequential(xp.sin, layer)), strict=True):
        np.testing.assert_allclose(on_host(one), on_host(other), **TIGHT)


@pytest.mark.usefixtures("backend")
def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    layer = with_drawn(nn.BatchNorm(3, dtype="float64"))
    x = xp.asarray(drawn((6, 3)))
    y, model = nn.training_call(nn.Frozen(layer), x)
    np.testing.assert_array_equal(on_host(y), on_host(layer(x)))
    np.testing.assert_array_equal(on_host(model.layer.running_mean), np.zeros(3))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1), (0, 3)], ids=str)
def test_a_batch_of_one_has_no_variance(shape: tuple[int, ...]) -> None:
    with use_backend("numpy"):
        model = nn.Sequential(nn.BatchNorm(3))
        untracked = nn.BatchNorm(3, track_running_stats=False)
    n = shape[0]
    said = rf"BatchNorm\(3\): x of shape \({n}, 3.*\) has {n} numbers? in each channel"
    with pytest.raises(ShapeError, match=said) as caught:
        nn.training_call(model, np.ones(shape))
    assert caught.value.__notes__[0] == "in layer 0 (BatchNorm(3)) of Sequential"
    with pytest.raises(ShapeError, match=said):
        untracked(np.ones(shape))
    assert model(np.ones(shape)).shape == shape


# The others.

LAYERS: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "LayerNorm": (
        (4, 2, 3, 5),
        [
            *({"normalized_shape": shape} for shape in (5, (5,), [2, 3, 5])),
            *(
                {"normalized_shape": (3, 5)} | options
                for options in (
                    {},
                    {"eps": 0.3},
                    {"bias": False},
                    {"elementwise_affine": False},
                    {"elementwise_affine": False, "bias": False},
                )
            ),
        ],
    ),
    "RMSNorm": (
        (4, 2, 3, 5),
        [
            {"normalized_shape": 5},
            *(
                {"normalized_shape": (3, 5)} | options
                for options in ({}, {"eps": 0.3}, {"elementwise_affine": False})
            ),
        ],
    ),
    "GroupNorm": (
        (4, 6, 3, 2),
        [
            *({"num_groups": groups, "num_channels": 6} for groups in (1, 6)),
            *(
                {"num_groups": 2, "num_channels": 6} | options
                for options in ({}, {"eps": 0.3}, {"affine": False})
            ),
        ],
    ),
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name in LAYERS for options in LAYERS[name][1]]
)
@pytest.mark.usefixtures("backend")
def test_layers_equal_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    layer = with_drawn(getattr(nn, name)(**options, dtype="float64"))
    twin = twin_of(layer, getattr(torch.nn, name)(**options))
    assert_equal_to(twin, layer, drawn(LAYERS[name][0]), training=False)
    x = xp.asarray(drawn(LAYERS[name][0], 1))
    np.testing.assert_array_equal(on_host(nn.training_call(layer, x).output), on_host(layer(x)))


@pytest.mark.usefixtures("backend")
def test_layer_norms_take_no_batch_and_an_empty_one() -> None:
    for layer in (nn.LayerNorm(3), nn.RMSNorm(3)):
        assert layer(xp.ones((3,))).shape == (3,)
        assert layer(xp.ones((0, 3))).shape == (0, 3)
    assert nn.GroupNorm(1, 3)(xp.ones((2, 3))).shape == (2, 3)


MAKERS: dict[str, Any] = {
    "batch": lambda dtype: nn.BatchNorm(4, dtype=dtype),
    "average": lambda dtype: nn.BatchNorm(4, momentum=None, dtype=dtype),
    "layer": lambda dtype: nn.LayerNorm((4, 3), dtype=dtype),
    "rms": lambda dtype: nn.RMSNorm((4, 3), dtype=dtype),
    "group": lambda dtype: nn.GroupNorm(2, 4, dtype=dtype),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.usefixtures("backend")
def test_compiled_equals_eager(name: str) -> None:
    trainable, rest = nn.partition(with_drawn(MAKERS[name]("float64")))

    def loss(trainable: Any, rest: Any, x: Any) -> Any:
        y, new = nn.training_call(nn.combine(trainable, rest), x)
        return xp.sum(xp.exp(y)), nn.partition(new).rest

    take = bpkit.value_and_grad(loss, argnums=(0, 2), has_aux=True)
    compiled, rests = bpkit.jit(take), [rest, rest]
    for step in range(3):
        x = xp.asarray(drawn((5, 4, 3), step))
        results = take(trainable, rests[0], x), compiled(trainable, rests[1], x)
        for one, other in zip(tree.leaves(results[0]), tree.leaves(results[1]), strict=True):
            np.testing.assert_allclose(on_host(one), on_host(other), **TIGHT)
        rests = [aux for (_, aux), _ in results]
    # Once for the buffers of the constructor, and at most once more for those of a step.
    assert len(compiled.explain().splitlines()) <= 1 + (name == "average")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.usefixtures("backend")
def test_float32_stays_float32(name: str) -> None:
    layer, x = MAKERS[name]("float32"), xp.astype(xp.asarray(drawn((5, 4, 3))), "float32")
    y, new = nn.training_call(layer, x)
    assert layer(x).dtype == y.dtype == x.dtype
    for leaf in tree.leaves(new):
        assert leaf.dtype in (x.dtype, xp.dtype_of("int32", like=x))
    gradient = bpkit.grad(lambda x: xp.sum(nn.training_call(layer, x).output))(x)
    assert gradient.dtype == x.dtype


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_agree_with_differences(name: str) -> None:
    with use_backend("numpy"):
        trainable, rest = nn.partition(with_drawn(MAKERS[name]("float64")))

        def call(trainable: Any, x: Any) -> Any:
            return nn.training_call(nn.combine(trainable, rest), x).output

        bpkit.check_grads(call, (trainable, drawn((5, 4, 3))), order=2)


def test_other_dtypes_of_the_running_statistics() -> None:
    with use_backend("numpy"):
        layer = nn.BatchNorm(2, dtype="float32")
        new = nn.training_call(layer, drawn((5, 2))).model
    assert new.running_mean.dtype == new.running_var.dtype == np.float32


def test_layers_say_what_does_not_fit() -> None:
    with use_backend("numpy"):
        layers: list[Any] = [nn.BatchNorm(3), nn.GroupNorm(1, 3), nn.LayerNorm((2, 3)), nn.RMSNorm(3)]
    names = ["BatchNorm(3)", "GroupNorm(1, 3)", "LayerNorm(2, 3)", "RMSNorm(3)"]
    expected = ["(n, 3, ...)", "(n, 3, ...)", "(..., 2, 3)", "(..., 3)"]
    for layer, name, shape in zip(layers, names, expected, strict=True):
        for wrong in ((2, 4), (4,), ()):
            with pytest.raises(ShapeError) as caught:
                layer(np.ones(wrong))
            assert str(caught.value).startswith(f"{name} expected x of shape {shape}, got {wrong}")
        with pytest.raises(ArgumentError) as refused:
            layer([1.0])
        assert str(refused.value).startswith(f"{name}: x is a list; expected an array of shape {shape}")
        with pytest.raises(ArgumentError) as refused:
            layer(np.ones((2, 3), dtype=np.int64))
        assert str(refused.value).startswith(f"{name}: x has dtype int64; expected real floating")


def test_settings_are_checked() -> None:
    makers: list[Any] = [nn.BatchNorm, nn.LayerNorm, nn.RMSNorm, lambda n, **eps: nn.GroupNorm(n, 4, **eps)]
    for make in makers:
        for size in (0, -1, 2.0, None, True):
            with pytest.raises(ArgumentError, match=rf"Norm: \w+ must be a positive int, got {size!r}"):
                make(size)
        for eps in (-0.1, float("inf"), "1", True):
            with pytest.raises(ArgumentError, match=r"Norm: eps must be a finite number and not negative"):
                make(2, eps=eps)
    with pytest.raises(ArgumentError, match=r"LayerNorm: normalized_shape must name at least one axis"):
        nn.LayerNorm(())
    with pytest.raises(ArgumentError, match=r"RMSNorm: normalized_shape\[1\] must be a positive int, got 0"):
        nn.RMSNorm((2, 0))
    with pytest.raises(ArgumentError, match=r"GroupNorm: num_groups=3 must divide num_channels=4"):
        nn.GroupNorm(3, 4)
    for momentum in (-0.1, 1.1, float("nan"), "0.1", True):
        with pytest.raises(ArgumentError, match=r"BatchNorm: momentum must be from 0 to 1, got"):
            nn.BatchNorm(2, momentum=momentum)  # type: ignore[arg-type]
