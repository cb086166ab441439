"""The doctor names what is wrong, and leaves the healthy alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic import DISEASES, ten, thirty  # type: ignore[import-not-found]

import bpkit
from bpkit import inspect, losses, metrics, nn, optim, random, training
from bpkit import namespace as bxp
from bpkit._protocol import Backend
from bpkit.cli import main
from bpkit.data import digits
from bpkit.errors import ArgumentError, DivergedError
from bpkit.inspect import Diagnosis, Look, diagnose
from bpkit.inspect.doctor_record import shared_examples
from bpkit.training.state import Epoch

on_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


def names(diagnosis: Diagnosis) -> list[str]:
    return [finding.name for finding in diagnosis.findings]


@on_numpy
def test_of_thirty_that_are_broken_at_least_27_are_named_right(backend: Backend) -> None:
    wrong = []
    for disease, body, sick in thirty():
        diagnosis, _ = sick.diagnosis()
        assert json.loads(json.dumps(diagnosis.to_json(), allow_nan=False)) == diagnosis.to_json()
        if names(diagnosis)[:1] != [DISEASES[disease][0]]:
            wrong.append(f"{disease} ({body}): {names(diagnosis)}")
    assert len(wrong) <= 3, "\n".join(wrong)


@on_numpy
def test_of_ten_that_are_healthy_none_is_called_ill(backend: Backend) -> None:
    found = {name: names(body.diagnosis()[0]) for name, body in ten().items()}
    assert len(found) == 10
    assert not [name for name, findings in found.items() if findings], found


X, Y = digits().train.images[:300], digits().train.labels[:300].astype(np.int32)


def mlp(activation: Any = nn.tanh, **options: Any) -> nn.Sequential:
    first, second = bxp.unstack(random.split(random.key(3)))
    options |= {"dtype": "float32"}
    return nn.Sequential(
        nn.Dense(64, 12, key=first, **options), activation, nn.Dense(12, 10, key=second, **options)
    )


def looks_of(
    model: Any, optimizer: Any, epochs: int = 2, x: Any = X, **options: Any
) -> tuple[list[Look], Any]:
    recorder = inspect.Recorder(losses.softmax_cross_entropy, x[:100], Y[:100])
    fitted = training.fit(
        model,
        (x, Y),
        losses.softmax_cross_entropy,
        optimizer,
        epochs=epochs,
        callbacks=[recorder],
        progress=False,
        **options,
    )
    return recorder.looks, fitted.history


def test_one_look_is_enough_for_what_is_wrong_from_the_beginning(backend: Backend) -> None:
    x, y = bxp.asarray(X[:50]), bxp.asarray(Y[:50])

    def named(model: Any, x: Any = x) -> list[str]:
        return names(diagnose([inspect.look(model, losses.softmax_cross_entropy, x, y)]))

    assert named(mlp()) == []
    assert named(mlp(init=nn.init.zeros))[0] == "units all alike"
    silent = mlp(nn.relu, bias_init=partial(nn.init.constant, value=-20.0))
    assert named(silent)[0] == "dead units"
    assert named(mlp(), 100 * x)[0] == "inputs not scaled"
    with np.errstate(all="ignore"):
        assert named(mlp(bxp.sqrt))[0] == "a function makes NaN"


def test_a_sequential_that_begins_with_normalisation_may_have_any_inputs() -> None:
    model = nn.Sequential(nn.BatchNorm(64, dtype="float32"), *mlp())
    looks, history = looks_of(model, optim.adam(0.01), epochs=8, x=255 * X)
    assert names(diagnose(looks, history)) == []


def test_what_is_frozen_on_purpose_is_mentioned_and_no_illness() -> None:
    model = mlp()
    model = nn.Sequential(nn.Frozen(model[0]), *model[1:])
    looks, history = looks_of(model, optim.adam(0.03), epochs=10)
    diagnosis = diagnose(looks, history)
    assert diagnosis.healthy and names(diagnosis) == ["frozen layer"]
    assert "does no harm here" in str(diagnosis) and "inside nn.Frozen" in str(diagnosis)


def test_the_words_have_the_evidence_and_what_to_do() -> None:
    looks, history = looks_of(mlp(), optim.sgd(1e-5), epochs=3)
    diagnosis = diagnose(looks, history)
    assert names(diagnosis) == ["learning rate too low"] and not diagnosis.healthy
    text = str(diagnosis)
    assert f"loss at first: {looks[0].loss:.3g}" in text
    assert "What to do: try ten times the rate" in text
    longest = diagnosis.findings[0].evidence["longest step in parts of the weights"]
    assert 0 < longest < 1e-4


def test_examples_that_are_equal_by_chance_are_not_shared() -> None:
    g = np.random.default_rng(0)
    few = g.integers(2, size=(400, 3))
    assert shared_examples([few[:200]], [few[200:]]) == pytest.approx(0.04, abs=0.03)
    many = g.normal(size=(400, 3))
    assert shared_examples([many[:200]], [many[200:]]) == 0
    assert shared_examples([many[:200]], [many[100:300]]) == 0.5


@pytest.mark.parametrize("looks", [[], ["look"]])
def test_without_looks_there_is_no_diagnosis(looks: Sequence[Any]) -> None:
    with pytest.raises(ArgumentError, match="looks: expected looks at a network"):
        diagnose(looks)


def test_validation_is_compared_with_data() -> None:
    look = inspect.look(mlp(), losses.softmax_cross_entropy, X[:30], Y[:30])
    with pytest.raises(ArgumentError, match="compared with data; expected both"):
        diagnose([look], validation=(X, Y))
    diagnosis = diagnose([look], data=(X, Y), validation=(X[:20], Y[:20]))
    assert names(diagnosis) == ["validation seen in training"]
    assert diagnosis.findings[0].evidence == {"share of them": 1.0}


def test_a_fit_that_diverged_in_its_first_epoch_is_read_from_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    recorder = inspect.Recorder(losses.softmax_cross_entropy, X[:100], Y[:100], path=folder / inspect.INSIGHT)
    with pytest.raises(DivergedError):
        training.fit(
            mlp(nn.relu),
            (X, Y),
            losses.softmax_cross_entropy,
            optim.sgd(1e12),
            folder=folder,
            callbacks=[recorder],
            progress=False,
        )
    assert recorder.looks[0].loss is not None and recorder.looks[-1].loss is None
    assert main(["doctor", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("1. learning rate too high\n") and "no longer finite" in shown
    assert main(["doctor", str(folder), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["healthy"], result["epochs"], result["looks"]) == (False, 0, len(recorder.looks))
    assert result["findings"][0]["name"] == "learning rate too high"


def test_the_doctor_of_a_run_of_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "--epochs", "2", "--quiet", "--out", run]) == 0
    capsys.readouterr()
    assert main(["doctor", run]) == 0
    assert capsys.readouterr().out == "Healthy: nothing was found that does harm.\n"
    assert main(["doctor", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run": run,
        "epochs": 2,
        "looks": 9,
        "healthy": True,
        "findings": [],
    }


def test_a_training_that_diverges_points_to_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "--lr", "1e30", "--quiet", "--out", run]) == 1
    assert capsys.readouterr().err.endswith(f"What the looks at the network say: bpkit doctor {run}\n")
    assert main(["doctor", run]) == 1
    assert capsys.readouterr().out.startswith("1. learning rate too high\n")


def test_a_run_without_looks_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["train", "--epochs", "1", "--quiet", "--no-insight", "--out", str(run)]) == 0
    assert main(["doctor", str(run)]) == 2
    assert "has no insight.jsonl" in capsys.readouterr().err
    (run / inspect.INSIGHT).write_text("")
    assert main(["doctor", str(run)]) == 2
    assert "holds no look yet" in capsys.readouterr().err
    assert main(["doctor", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


class Flat(nn.Module):
    """A network whose outputs have the shape (n,)."""

    inner: nn.Sequential

    def __init__(self, inner: nn.Sequential) -> None:
        self.inner = inner

    def __call__(self, x: Any) -> Any:
        return self.inner(x)[:, 0]


def regression(flat: bool, n: int, hidden: int, epochs: int, noise: float) -> Diagnosis:
    g = np.random.default_rng(0)
    x = g.normal(size=(n + 200, 8))
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] + noise * g.normal(size=len(x))
    order = np.argsort(y[:n])  # sorted, and shuffled again by fit
    x[:n], y[:n] = x[:n][order], y[:n][order]
    first, second = bxp.unstack(random.split(random.key(0)))
    model: Any = nn.Sequential(
        nn.Dense(8, hidden, key=first, dtype="float64"),
        nn.tanh,
        nn.Dense(hidden, 1, key=second, dtype="float64"),
    )
    model, y = (Flat(model), y) if flat else (model, y[:, np.newaxis])

    def loss(output: Any, target: Any) -> Any:
        assert output.shape == target.shape and output.ndim == (1 if flat else 2)
        return losses.mean_squared_error(output, target)

    recorder = inspect.Recorder(loss, x[:n], y[:n])
    fitted = training.fit(
        model,
        (x[:n], y[:n]),
        loss,
        optim.adam(0.01),
        epochs=epochs,
        validation=(x[n:], y[n:]),
        callbacks=[recorder],
        progress=False,
    )
    output = recorder.looks[0].output
    assert output is not None and output.chance is not None and output.chance > 0.1 and output.perfect == 0
    return diagnose(recorder.looks, fitted.history)


@on_numpy
@pytest.mark.parametrize("flat", [False, True])
def test_a_regression_of_one_number_is_judged_in_either_shape(backend: Backend, flat: bool) -> None:
    assert names(regression(flat, n=300, hidden=16, epochs=15, noise=0.0)) == []
    assert names(regression(flat, n=40, hidden=100, epochs=150, noise=1.0)) == ["overfitting"]


def test_logits_of_two_classes_in_one_dimension_are_judged() -> None:
    y = (Y[:50] > 4).astype(np.float32)

    def loss(output: Any, target: Any) -> Any:
        assert output.shape == target.shape == (50,)
        return losses.sigmoid_cross_entropy(output[:, None], target[:, None])

    taken = inspect.look(Flat(mlp()), loss, X[:50], y).output
    assert taken is not None and taken.chance is not None
    share = float(y.mean())
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert taken.chance == pytest.approx(entropy, rel=1e-3)
    assert taken.answers is not None and sum(taken.answers) == 50


def fallen(*losses_of: float) -> list[Look]:
    """Looks at examples in order, without chance, as of a network with several outputs."""
    order = np.argsort(Y, kind="stable")
    look = inspect.look(mlp(), losses.softmax_cross_entropy, X[order], Y[order])
    return [replace(look, output=None, epoch=i, loss=loss) for i, loss in enumerate(losses_of)]


def test_without_chance_the_fall_of_the_loss_decides() -> None:
    assert diagnose(fallen(2.3, 1.0, 0.1)).healthy
    assert diagnose(fallen(0.5, -1.0, -3.0)).healthy
    for looks in (fallen(2.3, 2.3, 2.4), fallen(2.3, 0.1, 2.0)):
        diagnosis = diagnose(looks, shuffled=False)
        assert names(diagnosis) == ["examples in order"] and not diagnosis.healthy


def test_without_chance_short_steps_are_mentioned() -> None:
    looks, history = looks_of(mlp(), optim.sgd(1e-5), epochs=3)
    blind = [replace(look, output=None) for look in looks]
    diagnosis = diagnose(blind, history)
    assert diagnosis.healthy and names(diagnosis) == ["learning rate too low"]


def test_shuffled_labels_of_many_examples_are_found() -> None:
    g = np.random.default_rng(0)
    x, y = g.normal(size=(20_000, 4)), g.integers(2, size=20_000)
    first = nn.Sequential(nn.Dense(4, 2, key=random.key(0), dtype="float64"))
    look = inspect.look(first, losses.softmax_cross_entropy, x[:100], y[:100])
    history = [Epoch(1, 0.7, {"validation_accuracy": 0.51}, 1.0, 0.0)]
    assert names(diagnose([look], history, data=(x, y))) == ["labels shuffled"]


def test_examples_to_validate_are_known_in_any_dtype() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    narrow = x.astype(np.float32)
    for train, validation in ((narrow, x), (x, narrow), (narrow, narrow.astype(np.float64))):
        assert shared_examples([train], [validation]) == 1
        assert shared_examples([train[:25]], [validation[25:]]) == 0
    whole = np.arange(30).reshape(10, 3)
    assert shared_examples([whole.astype(np.uint8)], [whole.astype(np.float32)]) == 1
    assert shared_examples([whole], [whole + 0.5]) == 0


def test_data_without_examples_are_refused() -> None:
    look = inspect.look(mlp(), losses.softmax_cross_entropy, X[:30], Y[:30])
    with pytest.raises(ArgumentError, match=r"diagnose: validation: expected arrays .* got no example"):
        diagnose([look], data=(X, Y), validation=(X[:0], Y[:0]))
    with pytest.raises(ArgumentError, match=r"diagnose: data: expected arrays .* got no example"):
        diagnose([look], data=(X[:0], Y[:0]))


def dense(*sizes: int) -> nn.Sequential:
    keys = bxp.unstack(random.split(random.key(5), len(sizes)))
    layers = [
        nn.Dense(a, b, key=key, dtype="float32")
        for a, b, key in zip(sizes[:-1], sizes[1:], keys, strict=False)
    ]
    return nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.relu)], layers[-1])


def sorted_digits() -> tuple[Any, Any]:
    order = np.argsort(digits().train.labels, kind="stable")
    return digits().train.images[order], digits().train.labels[order].astype(np.int32)


def course(
    model: Any, x: Any, y: Any, probe: int, loss: Any = losses.softmax_cross_entropy, **options: Any
) -> tuple[list[Look], Any]:
    recorder = inspect.Recorder(loss, x[:probe], y[:probe])
    options = {"optimizer": optim.adam(3e-3), "epochs": 3, "progress": False, **options}
    fitted = training.fit(model, (x, y), loss, callbacks=[recorder], **options)
    return recorder.looks, fitted.history


@on_numpy
def test_the_order_of_the_examples_looked_at_says_nothing_about_training(backend: Backend) -> None:
    x, y = sorted_digits()
    held = {"validation": (digits().test.images, digits().test.labels.astype(np.int32))}
    for rate in (3e-3, 0.03):
        options = {"optimizer": optim.adam(rate), "metrics": {"accuracy": metrics.accuracy}, **held}
        found = diagnose(*course(dense(64, 32, 10), x, y, 200, epochs=6, **options))
        assert "examples in order" not in names(found) and found.healthy, str(found)
    line = np.linspace(-3, 3, 400, dtype="float32")[:, np.newaxis]
    looks, history = course(dense(1, 16, 1), line, np.sin(2 * line), 400, losses.mean_squared_error)
    found = diagnose(looks, history)
    for finding in found.findings:
        if finding.name == "examples in order":
            assert not finding.grave and "If the training does not shuffle" in finding.words
    assert "examples in order" in names(found)
    assert "examples in order" not in names(diagnose(looks, history, shuffled=True))
    certain = diagnose(looks, history, shuffled=False).findings[0]
    assert certain.name == "examples in order" and certain.grave and "If" not in certain.words


@on_numpy
def test_batches_that_were_easy_show_that_examples_came_in_order(backend: Backend) -> None:
    x, y = sorted_digits()
    recorder = inspect.Recorder(losses.softmax_cross_entropy, x[::5], y[::5])
    fitted = training.fit(
        dense(64, 32, 10),
        (x, y),
        losses.softmax_cross_entropy,
        optim.sgd(0.1),
        epochs=3,
        shuffle=False,
        callbacks=[recorder],
        progress=False,
    )
    found = diagnose(recorder.looks, fitted.history)
    assert names(found)[0] == "examples in order" and found.findings[0].grave, str(found)


@on_numpy
def test_labels_that_are_all_equal_are_one_class(backend: Backend) -> None:
    x, y = sorted_digits()
    found = diagnose(*course(dense(64, 32, 10), x, y * 0, 200))
    assert names(found)[0] == "only one class" and "examples in order" not in names(found)
    assert not found.healthy


@on_numpy
def test_dropout_is_not_judged_for_zeros(backend: Backend) -> None:
    first, second = bxp.unstack(random.split(random.key(3)))
    model = nn.Sequential(
        nn.Dense(64, 64, key=first, dtype="float32"),
        nn.Dropout(0.97),
        nn.Dense(64, 10, key=second, dtype="float32"),
    )
    looks, history = course(model, X, Y, 20)
    assert any((layer.dead or 0) > 0.4 for layer in looks[-1].layers if layer.layer == "Dropout(0.97)")
    found = names(diagnose(looks, history))
    assert "units died in training" not in found and "dead units" not in found


@on_numpy
def test_the_advice_about_scale_can_be_followed_where_features_are_constant(backend: Backend) -> None:
    def finding(activation: Any) -> Any:
        look = inspect.look(mlp(activation), losses.softmax_cross_entropy, 100 * X[:50], Y[:50])
        return next(f for f in diagnose([look]).findings if f.name == "inputs not scaled")

    assert "leave out features that are constant" in finding(nn.relu).advice
    assert "limits" not in finding(nn.relu).words and "limits" in finding(nn.tanh).words


@on_numpy
def test_a_loss_of_the_wrong_sign_is_named(backend: Backend) -> None:
    def negative(output: Any, target: Any) -> Any:
        return -losses.softmax_cross_entropy(output, target)

    found = diagnose(*course(dense(64, 32, 10), X, Y, 200, negative, epochs=10))
    assert names(found)[0] == "loss of the wrong sign" and not found.healthy, str(found)


def test_what_was_not_given_is_said() -> None:
    looks, history = looks_of(mlp(), optim.adam(0.01))
    assert str(diagnose(looks)).splitlines()[-1].startswith("Not looked at: any history (history=fitted")
    assert "Not looked at" not in str(diagnose(looks, history))
    assert "Not looked at" not in str(diagnose(looks, data=(X, Y)))


def test_one_example_without_its_axis_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"look: x, y: expected arrays with an example in each row.*x\[:1\]"
    ):
        inspect.look(mlp(), losses.softmax_cross_entropy, X[0], Y[0])


@on_numpy
@pytest.mark.parametrize("cut", [True, False])
def test_decay_does_not_hide_that_no_gradient_arrives(backend: Backend, cut: bool) -> None:
    model = nn.Sequential(mlp()[0], nn.tanh, *[bpkit.stop_gradient] * cut, mlp()[2])
    looks, history = looks_of(model, optim.adamw(0.01, weight_decay=0.1), epochs=6)
    assert max(look.layers[0].update_norm or 0.0 for look in looks) > 0, "decay moves the weights"
    found = diagnose(looks, history)
    assert names(found) == ["frozen layer"] * cut
    assert ("does not learn, while other layers do: no gradient reaches it" in str(found)) == cut


class Two(nn.Module):
    """A network with two outputs, of which no best constant is known."""

    inner: nn.Sequential

    def __call__(self, x: Any) -> Any:
        y = self.inner(x)
        return y[:, :1], y[:, 1:]


@on_numpy
@pytest.mark.parametrize(
    ("n", "hidden", "noise", "found"),
    [(40, 100, 1.0, ["overfitting"]), (300, 16, 0.0, []), (500, 16, 0.5, [])],
)
def test_overfitting_of_several_outputs(
    backend: Backend, n: int, hidden: int, noise: float, found: list[str]
) -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(n + 200, 8)).astype("float32")
    y = np.stack([np.sin(x[:, 0]) + 0.5 * x[:, 1], np.cos(x[:, 2]) - x[:, 3]], axis=1)
    y = (y + noise * g.normal(size=y.shape)).astype("float32")
    first, second = bxp.unstack(random.split(random.key(0)))
    inner = nn.Sequential(
        nn.Dense(8, hidden, key=first, dtype="float32"),
        nn.tanh,
        nn.Dense(hidden, 2, key=second, dtype="float32"),
    )

    def loss(output: Any, target: Any) -> Any:
        one, other = output
        return losses.mean_squared_error(one, target[:, :1]) + losses.mean_squared_error(other, target[:, 1:])

    held = (x[n:], y[n:])
    looks, history = course(
        Two(inner), x[:n], y[:n], n, loss, optimizer=optim.adam(0.01), epochs=30 + 12000 // n, validation=held
    )
    assert looks[0].output is None
    assert names(diagnose(looks, history)) == found
