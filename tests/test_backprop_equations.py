"""The four equations of the book's second chapter against `bpkit.grad`, on the book's 784-30-10 network.

M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2. The equations are written out in NumPy, which
knows no derivative, and share nothing with bpkit but the numbers that go in.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import data, losses, nn, random
from bpkit import namespace as xp
from bpkit.registry import backend_of

SIZES = (784, 30, 10)
BATCH = 10
H = 1e-4
COSTS = ["quadratic", "cross-entropy"]


def sigma(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


def sigma_prime(z: Any) -> Any:
    return sigma(z) * (1.0 - sigma(z))


def backprop(w: list[Any], b: list[Any], x: Any, y: Any, cost: str) -> tuple[list[Any], list[Any]]:
    """The gradient of the cost with respect to weights and biases, averaged over the mini-batch.

    Index l of `w` and `b` belongs to the layer of activations ``a[l + 1]``; an example is a row.
    """
    a, z = [x], []
    for w_l, b_l in zip(w, b, strict=True):
        z.append(a[-1] @ w_l.T + b_l)
        a.append(sigma(z[-1]))

    delta = a[-1] - y  # BP1: the error of the output layer, in which the cross-entropy cancels sigma'
    if cost == "quadratic":
        delta = delta * sigma_prime(z[-1])
    dw: list[Any] = []
    db: list[Any] = []
    for layer in reversed(range(len(w))):
        db.insert(0, np.mean(delta, axis=0))  # BP3
        dw.insert(0, delta.T @ a[layer] / len(x))  # BP4
        if layer > 0:
            delta = (delta @ w[layer]) * sigma_prime(z[layer - 1])  # BP2
    return dw, db


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def network(cost: str) -> nn.Sequential:
    """The network of the book; with the cross-entropy the last sigmoid is part of the loss."""
    keys = xp.unstack(random.split(random.key(2), len(SIZES) - 1))
    layers: list[Callable[[Any], Any]] = []
    for key, m, n in zip(keys, SIZES[:-1], SIZES[1:], strict=True):
        layers += [nn.Dense(m, n, key=key, init=nn.init.standard_normal, dtype="float64"), nn.sigmoid]
    return nn.Sequential(*layers[: 4 if cost == "quadratic" else 3])


def cost_of(cost: str) -> Callable[[nn.Sequential, Any, Any], Any]:
    loss = losses.quadratic if cost == "quadratic" else losses.sigmoid_cross_entropy
    return lambda model, x, y: loss(model(x), y)


def random_batch() -> tuple[Any, Any]:
    """Images like handwriting: a fifth of the pixels inked."""
    rng = np.random.default_rng(3)
    x = rng.uniform(size=(BATCH, 784)) * (rng.uniform(size=(BATCH, 784)) < 0.2)
    return x, np.eye(10)[rng.integers(10, size=BATCH)]


def check_equations(cost: str, x: Any, y: Any) -> None:
    model = network(cost)
    dense = [layer for layer in model if isinstance(layer, nn.Dense)]
    w, b = [on_host(layer.weight) for layer in dense], [on_host(layer.bias) for layer in dense]
    gradient = bpkit.grad(cost_of(cost))(model, xp.asarray(x), xp.asarray(y))
    ours = [layer for layer in gradient if isinstance(layer, nn.Dense)]
    dw, db = backprop(w, b, x, y, cost)
    for layer, dw_l, db_l in zip(ours, dw, db, strict=True):
        for found, expected in ((on_host(layer.weight), dw_l), (on_host(layer.bias), db_l)):
            assert found.dtype == np.float64
            assert np.max(np.abs(expected)) > 0
            assert np.max(np.abs(found - expected)) <= 1e-12 * np.max(np.abs(expected))


def check_central_differences(cost: str, x: Any, y: Any) -> None:
    """All biases, and of each layer's weights 120 of those whose input is not always zero."""
    model, loss, rng = network(cost), cost_of(cost), np.random.default_rng(4)
    images, targets = xp.asarray(x), xp.asarray(y)
    gradient = bpkit.grad(loss)(model, images, targets)
    checked = 0
    for k, layer in enumerate(model):
        if not isinstance(layer, nn.Dense):
            continue
        inked = np.flatnonzero(x.any(axis=0)) if k == 0 else np.arange(layer.in_features)
        weights = [(int(i), int(rng.choice(inked))) for i in rng.integers(layer.out_features, size=120)]
        for field, places in (("weight", weights), ("bias", [(i,) for i in range(layer.out_features)])):
            start, found = on_host(getattr(layer, field)), on_host(getattr(gradient[k], field))
            for place in places:
                ends = []
                for step in (H, -H):
                    moved = start.copy()
                    moved[place] += step
                    layers = [*model]
                    layers[k] = layer.replace(**{field: xp.asarray(moved)})
                    ends.append(float(loss(model.replace(layers=tuple(layers)), images, targets)))
                numeric = (ends[0] - ends[1]) / (2 * H)
                assert abs(found[place] - numeric) <= 1e-7 * np.max(np.abs(found)), (k, field, place)
                checked += 1
    assert checked == 2 * 120 + sum(SIZES[1:])


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.usefixtures("backend")
def test_grad_is_the_four_equations(cost: str) -> None:
    check_equations(cost, *random_batch())


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.usefixtures("backend")
def test_grad_is_the_four_equations_on_real_digits(cost: str, mnist_root: Path) -> None:
    check_equations(cost, *mnist_batch(mnist_root))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.usefixtures("backend")
def test_grad_is_central_differences(cost: str) -> None:
    check_central_differences(cost, *random_batch())


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.usefixtures("backend")
def test_grad_is_central_differences_on_real_digits(cost: str, mnist_root: Path) -> None:
    check_central_differences(cost, *mnist_batch(mnist_root))


def mnist_batch(root: Path) -> tuple[Any, Any]:
    train = data.mnist(root).train
    return train.images[:BATCH].astype(np.float64), np.eye(10)[train.labels[:BATCH]]
