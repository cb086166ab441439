"""Looks at networks built to have known numbers; sensitivity."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, random
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, DataError
from bpkit.inspect import Look, look, sensitive_weights, sensitivity
from bpkit.registry import backend_of, use_backend

X = np.asarray([[1.0, 2.0], [3.0, 1.0], [2.0, 2.0], [0.0, 5.0]])


def dense(weight: Any, bias: Any) -> nn.Dense:
    w, b = np.asarray(weight, "float64"), np.asarray(bias, "float64")
    layer = nn.Dense(w.shape[1], w.shape[0], key=random.key(0), dtype="float64")
    return layer.replace(weight=xp.asarray(w), bias=xp.asarray(b))


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.mark.usefixtures("backend")
def test_known_numbers() -> None:
    """Of four rectifiers one is dead and one always on; of the outputs we know each."""
    first = dense([[1, 0], [0, 1], [-1, -1], [1, -2]], [0, 0, 0, 0])
    second = dense([[1, 1, 1, 1], [0, 0, 0, 0]], [0, 3])
    model = nn.Sequential(first, nn.relu, second)
    # z: 1 2 -3 -3 | 3 1 -4 1 | 2 2 -4 -2 | 0 5 -5 -10, and the sums of what is left of it: 3 5 4 5
    y = np.asarray([[3.0, 3.0], [5.0, 1.0], [4.0, 3.0], [5.0, 3.0]])  # one error of 2, in example 1
    seen = look(model, losses.quadratic, X, y)
    z, a, out = seen.layers
    assert (z.place, z.layer, z.calls, z.units, z.parameters, z.frozen) == (
        *("layers[0]", "Dense(2 → 4)"),
        *(1, 4, 12, 0),
    )
    assert (a.layer, a.calls, a.units, a.parameters, a.weight_norm, a.gradient_norm, a.speed) == (
        *("Lambda(relu)", 1, 4, 0),
        *(None, None, None),
    )
    assert seen.loss == pytest.approx(0.5)  # 2² / 2 / 4
    assert seen.examples == 4
    assert a.output_mean == pytest.approx(17 / 16)
    assert a.output_std == pytest.approx(np.std([1, 2, 0, 0, 3, 1, 0, 1, 2, 2, 0, 0, 0, 5, 0, 0]))
    assert (a.zeros, a.dead, a.saturated, a.not_finite) == (8 / 16, 1 / 4, None, 0)
    assert (z.zeros, z.dead) == (1 / 16, 0.0)
    assert (out.zeros, out.dead) == (0.0, 1 / 2)
    # δ of the last layer is (0, 2) in one of four examples; its norm 2, its mean square 4 / 4.
    assert out.error == pytest.approx(1.0)
    assert (a.error, z.error) == (0.0, 0.0)  # the second output has no weights
    assert out.speed == pytest.approx(0.5)  # dC/db = mean of δ = (0, 2 / 4)
    # dC/dw = mean of δ a, with a = (3, 1, 0, 1)
    assert out.gradient_norm == pytest.approx(math.sqrt(0.5**2 * (1 + 9 + 1 + 0 + 1)))
    assert out.weight_norm == pytest.approx(math.sqrt(4 + 9))
    assert z.weight_norm == pytest.approx(math.sqrt(1 + 1 + 2 + 5))
    assert (z.update_norm, z.update_ratio) == (None, None)
    assert a.histogram is not None
    assert (a.histogram.edges[0], a.histogram.edges[-1], sum(a.histogram.counts)) == (0.0, 5.0, 16)
    assert a.histogram.counts[0] == 8
    assert a.histogram.counts[-1] == 1
    # The best constant is the mean target: half of the variances, 0.6875 and 0.75.
    assert seen.output is not None
    assert seen.output.chance == pytest.approx(0.71875)


@pytest.mark.parametrize(
    ("function", "share"),
    # Within 5 % of the distance between the limits: sigmoid below 0.05 or above 0.95 is |z| > 2.944, tanh
    # outside of ±0.9 is |z| > 1.472, softsign |z| > 9.
    [(nn.sigmoid, 3 / 6), (nn.tanh, 4 / 6), (nn.softsign, 1 / 6), (nn.hardtanh, 5 / 6), (nn.relu, None)],
)
def test_saturated(function: Any, share: float | None) -> None:
    with use_backend("numpy"):
        z = np.asarray([[-3.0, 2.9], [1.4, 0.5], [3.0, -10.0]])
        seen = look(nn.Lambda(function), losses.quadratic, z, np.zeros((3, 2)))
    assert seen.layers[0].saturated == share


@pytest.mark.usefixtures("backend")
def test_updates() -> None:
    before = nn.Sequential(dense([[1, 2], [2, 4]], [0, 0]), nn.tanh, dense([[1, 0]], [0]))
    after = before.replace(layers=(dense([[1, 2], [2, 5]], [0, 2]), before[1], before[2]))
    y = np.zeros((4, 1))
    layers = look(after, losses.quadratic, X, y, before=before, steps=5).layers
    assert layers[0].update_norm == pytest.approx(math.sqrt(5) / 5)
    assert layers[0].update_ratio == pytest.approx(math.sqrt(5) / 5 / math.sqrt(1 + 4 + 4 + 25 + 4))
    assert (layers[1].update_norm, layers[1].update_ratio) == (None, None)
    assert (layers[2].update_norm, layers[2].update_ratio) == (0.0, 0.0)
    with pytest.raises(ArgumentError, match="before: expected the same model as it was some steps ago"):
        look(after, losses.quadratic, X, y, before=before[:2])
    with pytest.raises(ArgumentError, match=r"look\(steps=0\): expected a whole number above 0"):
        look(after, losses.quadratic, X, y, steps=0)


def test_frozen_layers_channels_and_buffers() -> None:
    class Padded(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return self.layer(x)

    with use_backend("numpy"):
        conv = nn.Conv2d(1, 3, 3, padding=1, key=random.key(0), dtype="float64")
        # The third channel has a bias below everything.
        conv = conv.replace(bias=np.asarray([0.1, 0.1, -100.0]), weight=conv.weight * 1.0)
        model = nn.Sequential(
            Padded(conv),
            nn.relu,
            nn.Frozen(nn.BatchNorm(3, dtype="float64")),
            nn.GlobalAvgPool(),
        )
        x = np.random.default_rng(0).uniform(size=(5, 1, 6, 6))
        layers = {at.place: at for at in look(model, losses.quadratic, x, np.zeros((5, 3))).layers}
    assert list(layers) == ["layers[0].layer", "layers[1]", "layers[2].layer", "layers[3]"]
    assert [at.units for at in layers.values()] == [3, 3, 3, 3]
    assert layers["layers[1]"].dead == pytest.approx(1 / 3)
    norm = layers["layers[2].layer"]
    assert (norm.parameters, norm.frozen, norm.speed, norm.gradient_norm) == (0, 6, None, None)
    assert norm.weight_norm == pytest.approx(math.sqrt(3))
    assert layers["layers[0].layer"].parameters == 30


def test_one_example_cannot_tell_who_is_dead() -> None:
    with use_backend("numpy"):
        seen = look(nn.Sequential(dense([[1, 0]], [0])), losses.quadratic, X[:1], np.zeros((1, 1)))
    assert seen.layers[0].dead is None
    assert seen.data.constant == 0.0


def test_what_is_not_finite_is_counted_and_none() -> None:
    x = X.copy()
    x[1, 0] = np.nan
    with use_backend("numpy"):
        model = nn.Sequential(dense([[1, 0], [0, 1]], [0, np.inf]))
        seen = look(model, losses.quadratic, x, np.zeros((4, 2)))
    (layer,) = seen.layers
    assert seen.loss is None
    # Outputs: 1 NaN and 4 infinities; errors the same; parameters 1; gradients: of both rows and biases.
    assert layer.not_finite == 5 + 5 + 1 + 6
    assert (layer.output_mean, layer.error, layer.weight_norm) == (None, None, None)
    assert layer.histogram is not None
    assert sum(layer.histogram.counts) == 3
    assert seen.data.not_finite == 1
    assert seen.data.highest == 5.0
    assert Look.from_json(json.loads(json.dumps(seen.to_json(), allow_nan=False))) == seen


def test_data() -> None:
    x = np.asarray([[0.0, 7.0, 10.0], [0.0, 7.0, 30.0], [1.0, 7.0, 10.0], [1.0, 7.0, 30.0]])
    with use_backend("numpy"):
        model = nn.Sequential(dense([[1, 0, 0]] * 3, [0, 0, 0]))
        labels = look(model, losses.softmax_cross_entropy, x, np.asarray([2, 0, 2, 2])).data
        rows = look(model, losses.quadratic, x, np.eye(3)[[2, 0, 2, 2]]).data
        other = look(model, losses.quadratic, x, np.ones((4, 3)) / 2).data
    assert labels.features == 3
    assert labels.mean == pytest.approx(x.mean())
    assert (labels.lowest, labels.highest) == (0.0, 30.0)
    assert labels.std == pytest.approx(x.std())
    assert labels.scales == (0.5, 5.25, 10.0)
    assert labels.constant == pytest.approx(1 / 3)
    assert (labels.classes, rows.classes, other.classes) == ((1, 0, 3), (1, 0, 3), None)


@pytest.mark.usefixtures("backend")
def test_dtype_and_library_of_the_data_do_not_matter() -> None:
    model = nn.Sequential(nn.Dense(2, 3, key=random.key(0), dtype="float32"), nn.relu)
    seen = look(model, losses.quadratic, X, np.zeros((4, 3)))
    with use_backend("numpy"):
        beside = look(
            nn.Sequential(nn.Dense(2, 3, key=random.key(0), dtype="float32"), nn.relu),
            losses.quadratic,
            X,
            np.zeros((4, 3)),
        )
    assert seen.data == beside.data
    assert seen.loss == pytest.approx(beside.loss, rel=1e-5)
    assert [layer.dead for layer in seen.layers] == [layer.dead for layer in beside.layers]
    for name in ("error", "output_mean", "output_std"):
        for mine, other in zip(seen.layers, beside.layers, strict=True):
            assert getattr(mine, name) == pytest.approx(getattr(other, name), rel=1e-5)
    assert seen.layers[0].gradient_norm == pytest.approx(beside.layers[0].gradient_norm, rel=1e-5)


def taken() -> Look:
    with use_backend("numpy"):
        model = nn.Sequential(dense([[1, 0], [0, 1]], [0, 1]), nn.sigmoid)
        return look(model, losses.quadratic, X, np.eye(2)[[0, 1, 1, 0]], epoch=3, step=2)


def test_json_and_back() -> None:
    seen = taken()
    again = Look.from_json(json.loads(json.dumps(seen.to_json())))
    assert again == seen
    assert (again.epoch, again.step) == (3, 2)
    assert isinstance(again.layers[0].histogram.edges, tuple)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda v: v.pop("loss"), "look.loss is missing"),
        (lambda v: v.update(lost=1), "look.lost is not known to this version of bpkit"),
        (lambda v: v.update(epoch=-1), "look.epoch: expected a whole number, not negative, got -1"),
        (lambda v: v.update(epoch=True), "look.epoch: expected a whole number, not negative, got True"),
        (lambda v: v.update(layers={}), r"look.layers: expected a list, got {}"),
        (
            lambda v: v["layers"][1].update(error="x"),
            r"look.layers\[1\].error: expected a finite number, got 'x'",
        ),
        (
            lambda v: v["layers"][1].update(error=math.inf),
            r"look.layers\[1\].error: expected a finite number",
        ),
        (lambda v: v["layers"][0].update(place=None), r"look.layers\[0\].place: expected a string, got None"),
        (lambda v: v["data"].update(scales=[1.0]), "look.data.scales: expected 3 numbers, got 1"),
        (lambda v: v.update(data=[]), r"look.data: expected a mapping, got \[\]"),
    ],
)
def test_json_of_something_else(change: Any, text: str) -> None:
    values = json.loads(json.dumps(taken().to_json()))
    change(values)
    with pytest.raises(DataError, match=text):
        Look.from_json(values)


def test_a_look_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = str(taken()).splitlines()
    assert lines[0].startswith("epoch 3, step 2: loss 0.")
    assert [cell.strip() for cell in lines[2].split("│")[1:-1]][:6] == [
        *("place", "layer", "output", "zero", "saturated", "dead"),
    ]
    assert "Lambda(sigmoid)" in lines[5]
    with pytest.raises(dataclasses.FrozenInstanceError):
        taken().loss = 1.0  # type: ignore[misc]


# Sensitivity.


@pytest.mark.usefixtures("backend")
def test_sensitivity_is_the_derivative_of_each_examples_own_cost() -> None:
    model = nn.Sequential(dense([[1, -2], [0.5, 1]], [0.1, 0]), nn.tanh, dense([[1, 2]], [0.3]))
    x, y = xp.asarray(X / 3), xp.asarray(np.ones((4, 1)))
    found = host(sensitivity(model, losses.quadratic, x, y))
    step = 1e-6
    for index in np.ndindex(4, 2):
        ends = []
        for sign in (1, -1):
            moved = X / 3
            moved[index] += sign * step
            row = slice(index[0], index[0] + 1)
            ends.append(float(losses.quadratic(model(xp.asarray(moved[row])), y[row, :])))
        assert abs(found[index] - (ends[0] - ends[1]) / (2 * step)) < 1e-8


def test_sensitivity_of_several_inputs_and_of_none() -> None:
    class Sum(nn.Module):
        layer: Any

        def __call__(self, a: Any, b: Any) -> Any:
            return self.layer(a + 2 * b)

    with use_backend("numpy"):
        model = Sum(dense([[1, 3]], [0]))
        a, b = sensitivity(model, losses.quadratic, (X, X), np.zeros((4, 1)))
        np.testing.assert_allclose(b, 2 * a)
        with pytest.raises(ArgumentError, match=r"sensitivity: x: expected floating numbers.*got int64"):
            sensitivity(nn.Embedding(9, 2, key=random.key(0)), losses.quadratic, np.asarray([1]), X[:1])


def test_a_loss_that_refuses_answers_that_are_made_up() -> None:
    class Refused(Exception):  # noqa: N818
        pass

    def loss(output: Any, y: Any) -> Any:
        if isinstance(output, np.ndarray) and not np.ptp(output):
            raise Refused
        return losses.quadratic(output, y)

    with use_backend("numpy"):
        seen = look(dense([[1, 0], [0, 1]], [0, 0]), loss, X, X).output
    assert seen is not None
    assert seen.nothing is None
    assert seen.chance is not None


def test_the_most_sensitive_weights() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(
            nn.Frozen(dense([[1, 0], [0, -1]], [0, 0])),
            nn.tanh,
            dense([[0.5, 0.2]], [0.0]),
            nn.Lambda(xp.sin),
        )
        y = np.ones((4, 1))
        gradient = bpkit.grad(lambda m: losses.quadratic(m(X), y))(model)[2]
        found = sensitive_weights(model, losses.quadratic, X, y, count=2)
        every = sensitive_weights(model, losses.quadratic, X, y)
        expected = sorted([*gradient.weight[0], gradient.bias[0]], key=abs, reverse=True)
        with pytest.raises(ArgumentError, match=r"count=0\): expected a whole number above 0"):
            sensitive_weights(model, losses.quadratic, X, y, count=0)
        with pytest.raises(ArgumentError, match="it has no floating arrays that are trained"):
            sensitive_weights(nn.Lambda(nn.relu), losses.quadratic, X, y)
    assert [weight.derivative for weight in every] == [float(g) for g in expected]
    assert min(weight.derivative for weight in found) < 0 < max(weight.derivative for weight in every)
    assert found == every[:2]
    assert {weight.place for weight in every} == {"layers[2]"}
    for weight in every:
        array = getattr(model[2], weight.name)
        assert weight.value == array[weight.index]
        assert weight.derivative == getattr(gradient, weight.name)[weight.index]
