"""Flatten, Reshape and Residual."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def drawn(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


def assert_gradient(layer: Any, x: Any, expected: Any) -> None:
    """The gradient of a weighted sum of the output, eager and compiled, is `expected`."""
    weights = drawn(*layer(xp.asarray(x)).shape)
    take = bpkit.grad(lambda x: xp.sum(xp.multiply(layer(x), xp.asarray(weights))))
    for function in (take, bpkit.jit(take)):
        np.testing.assert_allclose(on_host(function(xp.asarray(x))), expected(weights), rtol=1e-13)


@pytest.mark.parametrize("axes", [(), (0,), (2,), (1, 2), (0, -1), (-2, -1), (-3,), (2, 2), (0, 1)], ids=str)
@pytest.mark.usefixtures("backend")
def test_flatten_equals_torch(axes: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer, x = nn.Flatten(*axes), drawn(4, 3, 2, 5)
    expected = torch.nn.Flatten(*axes)(torch.tensor(x)).numpy()
    y = on_host(layer(xp.asarray(x)))
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y, expected)
    assert_gradient(layer, x, lambda weights: weights.reshape(x.shape))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6), (4, 5, 6)),
        (30, (4, 30)),
        ([-1], (4, 30)),
        ((2, -1, 5), (4, 2, 3, 5)),
        ((30, -1), (4, 30, 1)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("backend")
def test_reshape_keeps_the_examples(shape: Any, expected: tuple[int, ...]) -> None:
    layer, x = nn.Reshape(shape), drawn(4, 3, 2, 5)
    np.testing.assert_array_equal(on_host(layer(xp.asarray(x))), x.reshape(expected))
    assert_gradient(layer, x, lambda weights: weights.reshape(x.shape))
    assert layer(xp.asarray(drawn(0, 3, 2, 5))).shape == (0, *expected[1:])


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"Flatten\(\) expected x of shape with axes 1 to -1, got \(3,\)"):
        nn.Flatten()(np.ones(3))
    with pytest.raises(ShapeError, match=r"Flatten\(2, 1\) expected x of shape with axes 2 to 1, got"):
        nn.Flatten(2, 1)(np.ones((3, 3, 3)))
    with pytest.raises(ArgumentError, match=r"Flatten: end_dim must be an int, got 1.0"):
        nn.Flatten(0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError,
        match=r"Reshape\(2, 3\) expected x of shape .* with 6 numbers in each example, got \(4, 5\)",
    ):
        nn.Reshape((2, 3))(np.ones((4, 5)))
    with pytest.raises(ShapeError, match=r"Reshape\(2, -1\) .* with a multiple of 2 numbers"):
        nn.Reshape((2, -1))(np.ones((4, 5)))
    with pytest.raises(ShapeError, match=r"Reshape\(1\) .* got \(\)"):
        nn.Reshape(1)(np.ones(()))
    with pytest.raises(ArgumentError, match=r"Reshape: only one size can be -1, got \(-1, -1\)"):
        nn.Reshape((-1, -1))
    for shape in ((2, 0), -2, 2.0, True, ("2",), None):
        with pytest.raises(ArgumentError, match=r"Reshape: shape must be of positive ints, or one -1, got"):
            nn.Reshape(shape)  # type: ignore[arg-type]
    for layer in (nn.Flatten(), nn.Reshape(2)):
        with pytest.raises(ArgumentError, match=r"\): x is a list; expected an array of shape \(n, \.\.\.\)"):
            layer([1.0])


def test_how_they_are_written() -> None:
    assert repr(nn.Flatten()) == "Flatten()"
    assert repr(nn.Flatten(0, -2)) == "Flatten(0, -2)"
    assert repr(nn.Reshape((3, -1))) == "Reshape(3, -1)"
    assert repr(nn.Residual(nn.tanh)) == "Residual(Lambda(tanh))"
    assert repr(nn.Residual(nn.tanh, xp.sin)) == "Residual(Lambda(tanh), shortcut=Lambda(sin))"


@pytest.mark.usefixtures("backend")
def test_residual_adds_what_leads_around() -> None:
    keys = xp.unstack(random.split(random.key(0), 3))
    inner = nn.Dense(3, 3, key=keys[0], dtype="float64")
    wide, across = (nn.Dense(3, 5, key=key, dtype="float64") for key in keys[1:])
    x = drawn(4, 3)
    a, b, c = (on_host(layer.weight) for layer in (inner, wide, across))
    layer = nn.Residual(inner)
    np.testing.assert_allclose(on_host(layer(xp.asarray(x))), x + x @ a.T, rtol=1e-13)
    assert_gradient(layer, x, lambda weights: weights + weights @ a)
    layer = nn.Residual(wide, shortcut=across)
    np.testing.assert_allclose(on_host(layer(xp.asarray(x))), x @ b.T + x @ c.T, rtol=1e-12)
    assert_gradient(layer, x, lambda weights: weights @ (b + c))


def test_residual_trains_what_is_in_it() -> None:
    with use_backend("numpy"):
        x = drawn(6, 3)
        y, model = nn.training_call(nn.Residual(nn.BatchNorm(3), nn.BatchNorm(3, affine=False)), x)
    np.testing.assert_allclose(model.layer.running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(model.shortcut.running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(y, 2 * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5), rtol=1e-12)


def test_residual_says_which_shapes_differ() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(nn.Residual(nn.Dense(3, 1, key=random.key(0))))
    with pytest.raises(
        ShapeError,
        match=r"Residual: Dense\(3 → 1\) returned shape \(4, 1\), and Lambda\(identity\) leads around "
        r"it with shape \(4, 3\)",
    ) as caught:
        model(np.ones((4, 3)))
    assert caught.value.__notes__ == ["in layer 0 (Residual(Dense(3 → 1))) of Sequential"]
    with pytest.raises(ArgumentError, match="a layer must be a Module or a function, got 3"):
        nn.Residual(3)  # type: ignore[arg-type]
