"""The doctor names what is wrong, and leaves the healthy alone."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic import DISEASES, ten, thirty  # type: ignore[import-not-found]

from bpkit import inspect, losses, nn, optim, random, training
from bpkit import namespace as bxp
from bpkit._protocol import Backend
from bpkit.cli import main
from bpkit.data import digits
from bpkit.errors import ArgumentError, DivergedError
from bpkit.inspect import Diagnosis, Look, diagnose
from bpkit.inspect.doctor_record import shared_examples

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
