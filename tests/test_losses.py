"""The losses: values and gradients against formulas, PyTorch and central differences; extremes; refusals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.registry import backend_of

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(4, 3)) * 3
Y = RNG.uniform(size=(4, 3))
P = Y / Y.sum(axis=1, keepdims=True)
LABELS = np.asarray([2, 0, 1, 2])
HOT = np.eye(3)[LABELS]

CASES = [
    pytest.param(losses.quadratic, Z, Y, id="quadratic"),
    pytest.param(losses.sigmoid_cross_entropy, Z, Y, id="sigmoid"),
    pytest.param(losses.softmax_cross_entropy, Z, HOT, id="softmax-one-hot"),
    pytest.param(losses.softmax_cross_entropy, Z, P, id="softmax-probabilities"),
    pytest.param(losses.softmax_cross_entropy, Z, LABELS, id="softmax-labels"),
]


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def value_and_gradient(loss: Callable[..., Any], z: Any, y: Any) -> tuple[Any, Any]:
    value, gradient = bpkit.value_and_grad(loss)(xp.asarray(z), xp.asarray(y))
    assert value.shape == ()
    return on_host(value), on_host(gradient)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any) -> Any:
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


@pytest.mark.usefixtures("backend")
def test_quadratic_is_its_formula() -> None:
    value, gradient = value_and_gradient(losses.quadratic, Z, Y)
    np.testing.assert_allclose(value, sum(0.5 * sum((z - y) ** 2) for z, y in zip(Z, Y, strict=True)) / 4)
    np.testing.assert_allclose(gradient, (Z - Y) / 4, rtol=1e-14)


@pytest.mark.usefixtures("backend")
def test_sigmoid_cross_entropy_is_its_formula() -> None:
    value, gradient = value_and_gradient(losses.sigmoid_cross_entropy, Z, Y)
    a = sigmoid(Z)
    np.testing.assert_allclose(value, -np.sum(Y * np.log(a) + (1 - Y) * np.log(1 - a)) / 4, rtol=1e-13)
    np.testing.assert_allclose(gradient, (a - Y) / 4, rtol=1e-13)


@pytest.mark.parametrize("target", [HOT, P, LABELS, HOT.astype(np.int64), HOT.astype(bool)], ids=range(5))
@pytest.mark.usefixtures("backend")
def test_softmax_cross_entropy_is_its_formula(target: Any) -> None:
    value, gradient = value_and_gradient(losses.softmax_cross_entropy, Z, target)
    y = P if target is P else HOT
    np.testing.assert_allclose(value, -np.sum(y * np.log(softmax(Z))) / 4, rtol=1e-13)
    np.testing.assert_allclose(gradient, (softmax(Z) - y) / 4, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(("loss", "z", "y"), CASES)
@pytest.mark.usefixtures("backend")
def test_losses_and_gradients_equal_torch(loss: Callable[..., Any], z: Any, y: Any) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    reference = {
        "quadratic": lambda z, y: 0.5 * functional.mse_loss(z, y, reduction="sum") / len(z),
        "sigmoid_cross_entropy": lambda z, y: (
            functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z)
        ),
        "softmax_cross_entropy": functional.cross_entropy,
    }[loss.__name__]
    theirs = torch.tensor(z, requires_grad=True)
    expected = reference(theirs, torch.tensor(y))
    expected.backward()
    value, gradient = value_and_gradient(loss, z, y)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("loss", "z", "y"), CASES)
@pytest.mark.usefixtures("backend")
def test_gradients_equal_central_differences(loss: Callable[..., Any], z: Any, y: Any) -> None:
    _, gradient = value_and_gradient(loss, z, y)
    h = 1e-5
    for i in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[i] = h
        up, down = (on_host(loss(xp.asarray(z + s), xp.asarray(y))) for s in (step, -step))
        assert abs((up - down) / (2 * h) - gradient[i]) < 1e-9


@pytest.mark.usefixtures("backend")
def test_sigmoid_cross_entropy_is_exact_at_the_extremes_and_at_zero() -> None:
    z = np.asarray([[1000.0, 1000.0, -1000.0, -1000.0, 0.0, 0.0, 0.0]])
    y = np.asarray([[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.25]])
    value, gradient = value_and_gradient(losses.sigmoid_cross_entropy, z, y)
    np.testing.assert_allclose(value, 2000 + 3 * math.log(2), rtol=1e-15)
    np.testing.assert_array_equal(gradient, [[0.0, 1.0, -1.0, 0.0, 0.5, -0.5, 0.25]])


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.usefixtures("backend")
def test_softmax_cross_entropy_is_exact_at_the_extremes(labels: bool) -> None:
    z = np.asarray([[1000.0, -1000.0], [1000.0, -1000.0], [0.0, 0.0], [-1000.0, -1000.0]])
    y = np.asarray([0, 1, 0, 1])
    value, gradient = value_and_gradient(losses.softmax_cross_entropy, z, y if labels else np.eye(2)[y])
    np.testing.assert_allclose(value, (2000 + 2 * math.log(2)) / 4, rtol=1e-15)
    np.testing.assert_array_equal(4 * gradient, [[0, 0], [1, -1], [-0.5, 0.5], [0.5, -0.5]])


@pytest.mark.parametrize(("loss", "z", "y"), CASES)
@pytest.mark.usefixtures("backend")
def test_float32_stays_float32(loss: Callable[..., Any], z: Any, y: Any) -> None:
    target = y if y is LABELS else y.astype(np.float32)
    value, gradient = value_and_gradient(loss, z.astype(np.float32), target)
    assert value.dtype == gradient.dtype == np.float32


@pytest.mark.usefixtures("backend")
def test_softmax_cross_entropy_of_several_axes_and_of_none() -> None:
    z, labels = RNG.normal(size=(2, 5, 3)), np.asarray([[0, 1, 2, 0, 1], [2, 2, 2, 1, 0]])
    deep, _ = value_and_gradient(losses.softmax_cross_entropy, z, labels)
    flat, _ = value_and_gradient(losses.softmax_cross_entropy, z.reshape(10, 3), labels.reshape(10))
    np.testing.assert_allclose(deep, flat, rtol=1e-15)
    one, _ = value_and_gradient(losses.softmax_cross_entropy, z[0, 0], labels[0, 0])
    np.testing.assert_allclose(one, -np.log(softmax(z[0, 0]))[0], rtol=1e-13)


@pytest.mark.parametrize("loss", [losses.quadratic, losses.sigmoid_cross_entropy])
def test_other_shapes_are_refused_by_name(loss: Callable[..., Any]) -> None:
    first = "output" if loss is losses.quadratic else "logits"
    with pytest.raises(ShapeError, match=rf"{first} and target .* got \(4, 3\) and \(4, 2\)\n"):
        loss(Z, Y[:, :2])
    with pytest.raises(
        ShapeError, match=r"got \(4, 3\) and \(4,\); turn class numbers into rows with bpkit.xp.one_hot"
    ):
        loss(Z, LABELS)
    with pytest.raises(ShapeError, match=rf"may be one example .* write {first}\[None, :\]"):
        loss(Z[0], Y[0])
    with pytest.raises(ShapeError, match=r"the batch is empty, .* has shape \(0, 3\)"):
        loss(Z[:0], Y[:0])


def test_softmax_cross_entropy_refuses_other_shapes_by_name() -> None:
    for target in (Y[:, :2], LABELS[:3], np.zeros((3, 4))):
        with pytest.raises(
            ShapeError, match=rf"logits of shape \(4, 3\) and target of shape \({target.shape[0]},"
        ):
            losses.softmax_cross_entropy(Z, target)
    with pytest.raises(ShapeError, match="the batch is empty"):
        losses.softmax_cross_entropy(Z[:0], LABELS[:0])


def test_class_numbers_must_be_integers() -> None:
    with pytest.raises(ArgumentError, match="class numbers must be integers, got dtype float64"):
        losses.softmax_cross_entropy(Z, LABELS.astype(np.float64))


@pytest.mark.parametrize(("bad", "place"), [([0, 3, 1, -1], 1), ([0, 2, 1, -1], 3)])
@pytest.mark.usefixtures("backend")
def test_class_numbers_out_of_range_are_named(bad: list[int], place: int) -> None:
    expected = rf"target\[{place}\] is {bad[place]}, but the 3 classes of logits have the numbers 0 to 2"
    with pytest.raises(DataError, match=expected):
        losses.softmax_cross_entropy(xp.asarray(Z), xp.asarray(bad))
    with pytest.raises(DataError, match=expected):
        bpkit.grad(losses.softmax_cross_entropy)(xp.asarray(Z), xp.asarray(bad))


@pytest.mark.usefixtures("backend")
def test_narrow_class_numbers() -> None:
    z = xp.asarray(RNG.normal(size=(2, 300)))
    wide = losses.softmax_cross_entropy(z, xp.asarray(np.asarray([3, 255])))
    narrow = losses.softmax_cross_entropy(z, xp.asarray(np.asarray([3, 255], np.uint8)))
    assert float(wide) == float(narrow)


def test_labels_without_values_are_not_looked_at() -> None:
    jax = pytest.importorskip("jax")
    z, labels = jax.numpy.asarray(Z, "float32"), jax.numpy.asarray(LABELS, "int32")
    compiled = jax.jit(losses.softmax_cross_entropy)(z, labels)
    np.testing.assert_allclose(compiled, losses.softmax_cross_entropy(z, labels), rtol=1e-6)
