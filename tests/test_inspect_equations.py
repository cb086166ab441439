"""BP1 to BP4: that they hold, and that they do not where a derivative is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, random
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, ShapeError
from bpkit.inspect import Equations, equations
from bpkit.registry import use_backend

COSTS: dict[str, Callable[[Any, Any], Any]] = {
    "quadratic": losses.quadratic,
    "sigmoid cross-entropy": losses.sigmoid_cross_entropy,
    "softmax cross-entropy": losses.softmax_cross_entropy,
    "huber": losses.huber,
    "mean squared error": losses.mean_squared_error,
    "Kullback-Leibler": losses.kl_divergence,
    "cosine": losses.cosine,
    "hinge": losses.multiclass_hinge,
    "absolute error": losses.mean_absolute_error,
    "own": lambda output, y: xp.mean(xp.sum((output - y) ** 4, axis=1)) + 0.1 * xp.mean(output**2),
}


def dense(m: int, n: int, seed: int, dtype: str = "float64") -> nn.Dense:
    return nn.Dense(m, n, key=random.key(seed), init=nn.init.scaled_normal, dtype=dtype)


def batch(n: int = 6, m: int = 5, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(n, m))


def shares(n: int = 6, m: int = 3) -> Any:
    return np.random.default_rng(2).dirichlet(np.ones(m), size=n)


def broken(checked: Equations) -> list[tuple[str, str]]:
    return [(row.name, row.place) for row in checked.rows if not row.holds]


@pytest.mark.usefixtures("backend")
def test_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model = nn.Sequential(
        dense(5, 7, 0), nn.sigmoid, nn.Sequential(dense(7, 4, 1), nn.relu), dense(4, 3, 2), nn.softmax
    )
    checked = equations(model, losses.quadratic, xp.asarray(batch()), xp.asarray(shares()))
    assert [(row.name, row.place) for row in checked.rows] == [
        (name, place)
        for first, place in (("BP1", "layers[3]"), ("BP2", "layers[2].layers[0]"), ("BP2", "layers[0]"))
        for name in (first, "BP3", "BP4")
    ]
    assert checked.holds
    assert broken(checked) == []
    for row in checked.rows:
        assert row.size > 1e-4
        assert row.difference <= row.allowed < 1e-5 * row.size
        assert row.kinks == 0
    text = str(checked)
    assert text.startswith("The equations of backpropagation\n")
    assert "δᴸ = ∇ₐC ⊙ σ'(zᴸ)" in text
    assert "Dense(7 → 4)" in text


@pytest.mark.parametrize("cost", COSTS)
def test_they_hold_for_every_cost(cost: str) -> None:
    last = [nn.log_softmax] if cost == "Kullback-Leibler" else []
    y: Any = shares()
    if cost in ("softmax cross-entropy", "hinge"):
        y = np.asarray([0, 2, 1, 1, 0, 2])
    with use_backend("numpy"):
        model = nn.Sequential(dense(5, 7, 0), nn.tanh, dense(7, 3, 1), *last)
        checked = equations(model, COSTS[cost], batch(), y)
    assert broken(checked) == []
    assert checked.rows[0].size > 1e-2


@pytest.mark.parametrize("seed", range(8))
def test_they_hold_for_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activations = [nn.sigmoid, nn.tanh, nn.relu, nn.gelu, nn.softplus, nn.elu, nn.softmax, nn.leaky_relu]
    activations += [nn.log_softmax, nn.silu, nn.Dropout(0.5), nn.Lambda(nn.leaky_relu, negative_slope=0.3)]
    sizes = rng.integers(1, 9, size=rng.integers(2, 6)).tolist()
    with use_backend("numpy"):
        layers: list[Any] = [nn.Flatten()]
        for i, (m, n) in enumerate(zip(sizes, sizes[1:])):  # noqa: B905, RUF007
            layers += [dense(m, n, seed * 10 + i), activations[rng.integers(len(activations))]]
        x = rng.normal(size=(rng.integers(1, 5), sizes[0], 1))
        checked = equations(nn.Sequential(*layers), losses.quadratic, x, rng.normal(size=(len(x), sizes[-1])))
    assert broken(checked) == []
    assert len(checked.rows) == 3 * (len(sizes) - 1)


def wrong(function: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> Any:
    made = bpkit.custom_vjp(function)
    made.defvjp(lambda z: (function(z), z), lambda z, g: (g * derivative(z),))
    return made


tanh_wrong = wrong(xp.tanh, lambda z: 1.0 - xp.tanh(z))
tanh_nearly = wrong(xp.tanh, lambda z: (1.0 - xp.tanh(z) ** 2) * (1.0 + 1e-4))
tanh_right = wrong(xp.tanh, lambda z: 1.0 - xp.tanh(z) ** 2)


class Halved(nn.Dense):
    """A Dense whose weights get half of their gradient."""

    def __call__(self, x: Any) -> Any:
        return super().__call__(x) / 2 + bpkit.stop_gradient(super().__call__(x)) / 2


class Deaf(nn.Dense):
    """A Dense that tells its input nothing of the error, and its weights the truth."""

    def __call__(self, x: Any) -> Any:
        return super().__call__(bpkit.stop_gradient(x))


def cost_wrong(output: Any, y: Any) -> Any:
    return losses.quadratic(output + bpkit.stop_gradient(output), 2 * y) / 4


@pytest.mark.usefixtures("backend")
def test_a_wrong_derivative_is_named() -> None:
    def check(*layers: Any, cost: Any = losses.quadratic) -> list[tuple[str, str]]:
        return broken(equations(nn.Sequential(*layers), cost, batch(), batch(6, 3)))

    first, second, third = dense(5, 7, 0), dense(7, 4, 1), dense(4, 3, 2)
    assert check(first, tanh_right, second, tanh_right, third, tanh_right) == []
    for bad in (tanh_wrong, tanh_nearly):
        assert check(first, nn.tanh, second, nn.tanh, third, bad) == [("BP1", "layers[4]")]
        assert check(first, nn.tanh, second, bad, third, nn.tanh) == [("BP2", "layers[2]")]
        assert check(first, bad, second, nn.tanh, third, nn.tanh) == [("BP2", "layers[0]")]


def test_wrong_layers_and_costs_are_named() -> None:
    with use_backend("numpy"):
        x, y = batch(), batch(6, 3)
        make: Any = Halved
        halved = make(5, 7, key=random.key(0), dtype="float64")
        make = Deaf
        deaf = make(7, 3, key=random.key(1), dtype="float64")
        model = nn.Sequential(halved, nn.tanh, dense(7, 3, 1))
        assert broken(equations(model, losses.quadratic, x, y)) == [
            ("BP3", "layers[0]"),
            ("BP4", "layers[0]"),
        ]
        model = nn.Sequential(dense(5, 7, 0), nn.tanh, deaf)
        assert broken(equations(model, losses.quadratic, x, y)) == [("BP2", "layers[0]")]
        model = nn.Sequential(dense(5, 3, 0), nn.tanh)
        assert float(cost_wrong(model(x), y)) == pytest.approx(float(losses.quadratic(model(x), y)))
        checked = equations(model, cost_wrong, x, y)
    assert broken(checked) == [("BP1", "layers[0]")]
    assert not checked.holds
    assert "no" in str(checked).splitlines()[4].split()


def test_kinks_are_left_out_and_counted() -> None:
    with use_backend("numpy"):
        layer = dense(5, 4, 0)
        layer = layer.replace(bias=np.asarray([0.0, 0.0, 0.1, 0.2]))
        x = batch()
        x[2] = 0.0  # two neurons stand at the kink of relu
        checked = equations(nn.Sequential(layer, nn.relu, dense(4, 3, 1)), losses.quadratic, x, batch(6, 3))
        again = equations(nn.Sequential(layer), losses.mean_absolute_error, x, layer(x) + np.eye(6, 4))
    assert [row.kinks for row in checked.rows] == [0, 0, 0, 2, 0, 0]
    assert checked.holds
    assert "kinks" in str(checked)
    assert [row.kinks for row in again.rows] == [20, 0, 0]  # all but four are where |a - y| is 0


def test_networks_of_float32_are_checked_in_float64() -> None:
    with use_backend("numpy"):
        layers = [dense(5, 7, 0, "float32"), nn.tanh, nn.Dense(7, 3, key=random.key(1), bias=False)]
        checked = equations(nn.Sequential(*layers), losses.quadratic, batch(), batch(6, 3))
    assert [row.name for row in checked.rows] == ["BP1", "BP4", "BP2", "BP3", "BP4"]
    assert checked.holds
    assert all(row.allowed < 1e-5 * row.size for row in checked.rows)


def test_what_cannot_be_checked() -> None:
    with use_backend("numpy"):
        first, x, y = dense(5, 3, 0), batch(), batch(6, 3)
        with pytest.raises(
            ArgumentError,
            match=r"model\.layers\[1\]: expected a Sequential of .*LayerNorm.*check_grads\(lambda",
        ):
            equations(nn.Sequential(first, nn.LayerNorm(3)), losses.quadratic, x, y)
        with pytest.raises(ArgumentError, match=r"expected a Sequential with an nn.Dense, got none in it"):
            equations(nn.Sequential(nn.tanh), losses.quadratic, x, y)
        with pytest.raises(ArgumentError, match=r"x: the 7,000 examples have 21,000 outputs"):
            equations(nn.Sequential(first), losses.quadratic, batch(7000), batch(7000, 3))
        with pytest.raises(
            ArgumentError, match=r"returned shape \(2, 4, 3\); expected \(examples, neurons\)"
        ):
            equations(nn.Sequential(first), losses.quadratic, np.ones((2, 4, 5)), np.ones((2, 4, 3)))
        with pytest.raises(ShapeError, match=r"expected x of shape"):
            equations(nn.Sequential(first), losses.quadratic, batch(6, 4), y)


@pytest.mark.parametrize("part", ["first", "last", "both", "all at once"])
def test_what_is_frozen_has_errors_and_no_gradients(part: str) -> None:
    first, last = dense(5, 7, 0), dense(7, 3, 1)
    inner = nn.Sequential(first, nn.tanh, last)
    with use_backend("numpy"):
        model: Any = nn.Sequential(
            nn.Frozen(first) if part in ("first", "both") else first,
            nn.Frozen(nn.tanh),
            nn.Frozen(last) if part in ("last", "both") else last,
        )
        model = nn.Frozen(inner) if part == "all at once" else model
        checked = equations(model, losses.quadratic, batch(), batch(6, 3))
    assert checked.holds and all(row.size > 1e-4 for row in checked.rows)
    below = ["BP2"] if part != "last" else ["BP2", "BP3", "BP4"]
    above = ["BP1", "BP3", "BP4"] if part == "first" else ["BP1"]
    assert [row.name for row in checked.rows] == above + below
    with use_backend("numpy"):
        deaf = nn.Sequential(nn.Frozen(first), tanh_wrong, nn.Frozen(last))
        checked = equations(deaf, losses.quadratic, batch(), batch(6, 3))
    assert broken(checked) == [("BP2", "layers[0].layer")]
