"""Permutations are put off, so that layers of convolutions work on memory without gaps."""

import re
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree


@pytest.fixture
def network() -> nn.Sequential:
    first, second = random.split(random.key(0))
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, key=first), nn.MaxPool2d(2), nn.relu, nn.Conv2d(3, 2, 2, key=second), nn.tanh
    )


def gradient(network: nn.Sequential, x: Any) -> Any:
    return bpkit.grad(lambda network: xp.sum(network(x) ** 2))(network)


def test_nothing_is_permuted_between_layers(network: nn.Sequential) -> None:
    compiled = bpkit.jit(gradient)
    x = np.random.default_rng(0).normal(size=(4, 1, 8, 8))
    for found, expected in zip(
        tree.leaves(compiled(network, x)), tree.leaves(gradient(network, x)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    # Where something were permuted, it would have to be copied to become a factor of a product of matrices.
    assert not re.search(r"^ *reshape\(", compiled.source, re.MULTILINE), compiled.source


@pytest.mark.parametrize(
    "then",
    [
        lambda y: xp.sum(y, axis=(0, 2)),
        lambda y: xp.sum(y, axis=(0, 1)),
        lambda y: xp.sum(y, axis=0),
        lambda y: xp.sum(y, axis=1, keepdims=True) + y,
        lambda y: y * xp.asarray([1.0, 2.0, 3.0]) + xp.ones(y.shape),
        lambda y: y - xp.permute_dims(xp.permute_dims(y, (1, 2, 0)), (2, 0, 1)),
        lambda y: xp.max_pool(y, (2, 3), axis=(1, 0)) * 2.0,
        lambda y: xp.where(y > 0.5, y, xp.asarray(2.0)),
        xp.exp,
    ],
)
def test_what_comes_after_a_convolution_is_the_same(then: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 2, 5)), rng.normal(size=(2, 2, 3))

    def run(x: Any, w: Any) -> Any:
        return then(xp.conv(x, w) * 2.0)

    expected = run(x, w)
    found = bpkit.jit(run)(x, w)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    slopes = bpkit.jit(bpkit.grad(lambda x, w: xp.sum(run(x, w) ** 2), argnums=(0, 1)))(x, w)
    plain = bpkit.grad(lambda x, w: xp.sum(run(x, w) ** 2), argnums=(0, 1))(x, w)
    for one, other in zip(slopes, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
