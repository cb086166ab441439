"""Dropout against its definition."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random
from bpkit.errors import ArgumentError
from bpkit.registry import backend_of, use_backend


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def numbers(dtype: str = "float64") -> Any:
    return xp.asarray(np.random.default_rng(0).normal(size=(40, 50)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.usefixtures("backend")
def test_numbers_are_dropped_or_scaled(rate: float, dtype: str) -> None:
    x = numbers(dtype)
    y = nn.training_call(nn.Dropout(rate), x, key=random.key(1)).output
    assert y.dtype == x.dtype
    kept = on_host(y) != 0
    np.testing.assert_allclose(
        on_host(y), on_host(x) * kept / (1 - rate), rtol=1e-6 if dtype == "float32" else 1e-14
    )
    # Six standard errors of the share of 2,000 draws.
    assert abs(kept.mean() - (1 - rate)) < 6 * np.sqrt(rate * (1 - rate) / kept.size)
    assert nn.Dropout(rate)(x) is x


@pytest.mark.usefixtures("backend")
def test_the_gradient_has_the_mask_of_the_output() -> None:
    x, key, model = numbers(), random.key(2), nn.Sequential(nn.Dropout(0.4), xp.square, nn.Dropout(0.3))

    def loss(x: Any, key: Any) -> Any:
        return xp.sum(nn.training_call(model, x, key=key).output)

    y = on_host(nn.training_call(model, x, key=key).output)
    gradient = on_host(bpkit.grad(loss)(x, key))
    first = on_host(random.bernoulli(random.fold_in(key, 0), 0.6, x.shape))
    second = on_host(random.bernoulli(random.fold_in(key, 1), 0.7, x.shape))
    inner = on_host(x) * first / 0.6
    np.testing.assert_allclose(y, inner**2 * second / 0.7, rtol=1e-14)
    np.testing.assert_allclose(gradient, 2 * inner * first * second / 0.42, rtol=1e-14)


@pytest.mark.usefixtures("backend")
def test_the_mask_is_the_same_on_every_backend_and_compiled() -> None:
    def run(x: Any, key: Any) -> Any:
        return nn.training_call(nn.Dropout(0.3), x, key=key).output

    def expected(seed: int) -> Any:
        with use_backend("numpy"):
            return run(numbers(), random.key(seed))

    compiled = bpkit.jit(run)
    for seed in (3, 4):
        for function in (run, compiled):
            np.testing.assert_allclose(
                on_host(function(numbers(), random.key(seed))), expected(seed), rtol=1e-15
            )
    assert (expected(3) != expected(4)).any()


def test_a_rate_of_zero_draws_nothing() -> None:
    x = np.ones(3)
    assert nn.training_call(nn.Dropout(0), x).output is x
    assert repr(nn.Dropout(0.25)) == "Dropout(0.25)"


def test_a_rate_is_a_share() -> None:
    for rate in (1.0, -0.1, 2, float("nan"), "0.5", True, None):
        with pytest.raises(ArgumentError, match=rf"Dropout: rate must be .* below 1, got {rate!r}"):
            nn.Dropout(rate)  # type: ignore[arg-type]


def test_dropout_takes_an_array_and_a_key() -> None:
    with pytest.raises(ArgumentError, match=r"Dropout\(0.5\): x is a list; expected an array"):
        nn.Dropout(0.5)([1.0])
    with pytest.raises(ArgumentError, match=r"Dropout\(0.5\) draws random numbers in training"):
        nn.training_call(nn.Dropout(0.5), np.ones(3))
