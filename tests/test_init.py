"""The initialisers: moments, bounds, structure; the same bits on every backend."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from bpkit import nn, random
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn import init
from bpkit.registry import backend_of, use_backend

SHAPE = (300, 400)
CUT = 1 - 2 * 2 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
"""Variance of a standard normal number that is known to lie within 2 of 0."""

# Initialiser, variance and kurtosis of what it draws for 400 inputs and 300 outputs.
DRAWN: dict[str, tuple[Any, float, float]] = {
    "standard_normal": (init.standard_normal, 1, 3),
    "scaled_normal": (init.scaled_normal, 1 / 400, 3),
    "lecun_normal": (init.lecun_normal, 1 / 400, 3),
    "lecun_uniform": (init.lecun_uniform, 1 / 400, 1.8),
    "glorot_normal": (init.glorot_normal, 2 / 700, 3),
    "glorot_normal-gain": (partial(init.glorot_normal, gain=3.0), 18 / 700, 3),
    "glorot_uniform": (init.glorot_uniform, 2 / 700, 1.8),
    "glorot_uniform-gain": (partial(init.glorot_uniform, gain=3.0), 18 / 700, 1.8),
    "he_normal": (init.he_normal, 2 / 400, 3),
    "he_normal-leaky": (partial(init.he_normal, negative_slope=0.5), 1.6 / 400, 3),
    "he_normal-out": (partial(init.he_normal, mode="fan_out"), 2 / 300, 3),
    "he_uniform": (init.he_uniform, 2 / 400, 1.8),
    "he_uniform-out": (partial(init.he_uniform, mode="fan_out", negative_slope=1.0), 1 / 300, 1.8),
    "uniform": (partial(init.uniform, minval=-0.5, maxval=0.5), 1 / 12, 1.8),
    "truncated_normal": (partial(init.truncated_normal, std=0.5), 0.25 * CUT, 2.37),
    "truncated_normal-wide": (partial(init.truncated_normal, bound=20.0), 1, 3),
}


@pytest.mark.parametrize("name", DRAWN)
def test_moments(name: str) -> None:
    function, variance, kurtosis = DRAWN[name]
    with use_backend("numpy"):
        w = function(random.key(3), SHAPE, "float64")
    assert w.shape == SHAPE
    # Six standard errors of the mean and of the variance of 120,000 draws.
    assert abs(np.mean(w)) < 6 * math.sqrt(variance / w.size)
    assert abs(np.var(w) / variance - 1) < 6 * math.sqrt((kurtosis - 1) / w.size)
    assert abs(np.mean((w / math.sqrt(variance)) ** 4) - kurtosis) < 0.1


@pytest.mark.parametrize("bound", [0.05, 1.0, 2.0])
def test_truncated_normal_is_the_normal_draws_within_the_bound(bound: float) -> None:
    with use_backend("numpy"):
        w = init.truncated_normal(random.key(3), (50, 41), "float64", std=0.25, bound=bound)
        draws = random.normal(random.key(3), (200_000,), "float64")
    np.testing.assert_array_equal(w.ravel(), 0.25 * draws[np.abs(draws) <= bound][: w.size])
    assert 0.98 * 0.25 * bound < np.max(np.abs(w)) <= 0.25 * bound


def test_uniform_draws_fill_their_interval() -> None:
    with use_backend("numpy"):
        for name, bound in (("he_uniform", 6 / 400), ("lecun_uniform", 3 / 400), ("glorot_uniform", 6 / 700)):
            w = getattr(init, name)(random.key(3), SHAPE, "float64") / math.sqrt(bound)
            assert -1 <= np.min(w) < -0.999
            assert 0.999 < np.max(w) < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*DRAWN, "sparse"])
@pytest.mark.usefixtures("backend")
def test_draws_are_the_same_to_the_bit_everywhere(name: str, dtype: str) -> None:
    function = init.sparse if name == "sparse" else DRAWN[name][0]
    here = function(random.key(11), (7, 30), dtype)
    with use_backend("numpy"):
        reference = function(random.key(11), (7, 30), dtype)
    found = backend_of(here).to_host(here)
    assert found.dtype == dtype
    assert found.tobytes() == reference.tobytes()


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (6, 2, 3, 5)])
@pytest.mark.usefixtures("backend")
def test_orthogonal(shape: tuple[int, ...]) -> None:
    for dtype, rounding in (("float64", 1e-14), ("float32", 1e-6)):
        w = init.orthogonal(random.key(5), shape, dtype, gain=2.0)
        with use_backend("numpy"):
            reference = init.orthogonal(random.key(5), shape, dtype, gain=2.0)
        found = backend_of(w).to_host(w)
        assert found.dtype == dtype
        assert found.shape == shape
        np.testing.assert_allclose(found, reference, atol=20 * rounding)
        flat = found.reshape(shape[0], -1) / 2
        gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=20 * rounding)


def test_orthogonal_matrices_are_uniform() -> None:
    # A rotation by a uniform angle, or a reflection: each entry has mean 0 and variance 1/2.
    with use_backend("numpy"):
        w = np.stack([init.orthogonal(k, (2, 2), "float64") for k in random.split(random.key(0), 2000)])
    assert np.all(np.abs(np.mean(w, axis=0)) < 6 * math.sqrt(0.5 / 2000))
    assert np.all(np.abs(np.var(w, axis=0) - 0.5) < 6 * math.sqrt(0.125 / 2000))
    assert abs(np.mean(np.linalg.det(w))) < 6 / math.sqrt(2000)


@pytest.mark.usefixtures("backend")
def test_chosen_weights() -> None:
    def host(x: Any) -> Any:
        return backend_of(x).to_host(x)

    key = random.key(0)
    np.testing.assert_array_equal(host(init.ones(key, (2, 3), "float32")), np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(host(init.constant(key, (2,), "float64", value=7)), [7.0, 7.0])
    np.testing.assert_array_equal(host(init.identity(key, (2, 3), "float64", gain=3.0)), 3 * np.eye(2, 3))
    w = host(init.sparse(key, (40, 30), "float64", sparsity=0.71, std=2.0))
    np.testing.assert_array_equal(np.sum(w == 0, axis=0), 29)
    assert len({tuple(column) for column in (w == 0).T}) == 30
    assert abs(np.std(w[w != 0]) - 2) < 6 * 2 / math.sqrt(2 * 330)


def test_partial_options_reach_a_layer() -> None:
    with use_backend("numpy"):
        layer = nn.Dense(3, 2, key=random.key(0), init=partial(init.orthogonal, gain=2.0))
    np.testing.assert_allclose(layer.weight @ layer.weight.T, 4 * np.eye(2), atol=1e-14)
    np.testing.assert_array_equal(layer.bias, 0)


def test_what_does_not_fit_is_refused() -> None:
    key = random.key(0)
    needs_fans = ("glorot_normal", "he_uniform", "lecun_uniform", "orthogonal")
    for name in needs_fans:
        with pytest.raises(ShapeError, match=rf"{name}: expected the shape \(out, in, \*window\)"):
            getattr(init, name)(key, (5,))
    for name in ("identity", "sparse"):
        with pytest.raises(
            ShapeError, match=rf"{name}: expected the shape \(out, in\) of a matrix, got \(5,\)"
        ):
            getattr(init, name)(key, (5,))
    with pytest.raises(ArgumentError, match='he_normal: mode: expected "fan_in" or "fan_out", got \'both\''):
        init.he_normal(key, (2, 2), mode="both")
    with pytest.raises(ArgumentError, match=r"truncated_normal: bound: expected a number above 0, got 0"):
        init.truncated_normal(key, (2, 2), bound=0)
    with pytest.raises(ArgumentError, match=r"sparse: sparsity: expected a number from 0 to 1, got 2"):
        init.sparse(key, (2, 2), sparsity=2)
