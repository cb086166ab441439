"""Settings of a run, and sessions that are begun, stopped and gone on with."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.data import digits
from bpkit.errors import CorruptRunError, DataError, SettingsError
from bpkit.training import (
    PRESETS,
    Epoch,
    Run,
    Session,
    Settings,
    Step,
    build_cost,
    build_model,
    build_optimizer,
    load_dataset,
    order_key,
    place,
    preset,
    start,
    train,
)
from bpkit.training.settings import OPTIMIZERS

# Settings.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "cifar"),
        ("hidden", (30, 0)),
        ("hidden", (2.5,)),
        ("activation", "gelu"),
        ("init", "ones"),
        ("cost", "hinge"),
        ("optimizer", "adem"),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", math.nan),
        ("learning_rate", "3"),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("weight_decay", math.inf),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("epochs", 0),
        ("epochs", True),
        ("seed", -1),
        ("seed", 2**63),
        ("dtype", "float16"),
        ("jit", 1),
        ("jit", None),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(field: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        dataclasses.replace(preset("digits"), **{field: value})
    assert caught.value.field == field
    assert f"{field} is {value!r}; expected" in str(caught.value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SettingsError, match="preset is 'x'; expected one of default, nielsen"):
        preset("digits", "x")
    with pytest.raises(SettingsError, match="did you mean epochs"):
        preset("digits", epoch=3)
    values = preset("digits").to_json()
    with pytest.raises(SettingsError, match="seed"):
        Settings.from_json({name: value for name, value in values.items() if name != "seed"})
    with pytest.raises(SettingsError, match="no such setting"):
        Settings.from_json({**values, "warmup": 3})


def test_runs_from_before_there_was_jit_go_on_without() -> None:
    values = preset("digits").to_json()
    assert values.pop("jit") is True
    assert Settings.from_json(values) == preset("digits", jit=False)


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_settings_survive_json(dataset: str, name: str) -> None:
    settings = preset(dataset, name, hidden=(7, 5), seed=2**63 - 1)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_the_nielsen_preset_is_chapter_one() -> None:
    settings = preset("mnist", "nielsen")
    assert settings.sizes == (784, 30, 10)
    assert (settings.batch_size, settings.learning_rate, settings.epochs) == (10, 3.0, 30)
    assert (settings.momentum, settings.weight_decay) == (0, 0)
    weights = np.concatenate([leaf.ravel() for leaf in tree.leaves(build_model(settings))])
    assert len(weights) == 784 * 30 + 30 + 30 * 10 + 10
    assert abs(weights.mean()) < 4 / math.sqrt(len(weights))
    assert abs(weights.std() - 1) < 4 / math.sqrt(2 * len(weights))
    assert all(leaf.std() > 0.4 for leaf in tree.leaves(build_model(settings))), "biases are drawn too"


@pytest.mark.parametrize("cost", ["quadratic", "cross-entropy", "softmax"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_every_cost_and_activation_learns(cost: str, activation: str) -> None:
    settings = preset(
        "digits",
        cost=cost,
        activation=activation,
        hidden=(20, 15),
        learning_rate=1.0 if cost == "quadratic" else 0.1,
        momentum=0.5,
        weight_decay=1e-5,
        epochs=8,
        batch_size=10,
    )
    state = start(settings)
    data, optimizer = place(digits()), build_optimizer(settings)
    options: dict[str, Any] = {"key": order_key(settings), "batch_size": 10, "epochs": settings.epochs}
    list(train(state, data, build_cost(settings), optimizer, **options))
    assert state.metrics[-1].metrics["train_accuracy"] > 0.75
    assert state.metrics[-1].loss < state.metrics[0].loss / 2


def test_the_default_preset_reads_digits() -> None:
    settings = preset("digits", seed=11)
    state = start(settings)
    for _ in train(
        state,
        place(digits()),
        build_cost(settings),
        build_optimizer(settings),
        key=order_key(settings),
        batch_size=settings.batch_size,
        epochs=settings.epochs,
    ):
        pass
    assert state.metrics[-1].metrics["test_accuracy"] >= 0.96


def test_only_mnist_is_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"digits comes with bpkit.*leave the folder out"):
        load_dataset(preset("digits"), tmp_path)


# Sessions.


def untimed(run: Run) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if not name.endswith("seconds")}
        for line in run.saved.metrics
    ]


@pytest.mark.parametrize("jit", [True, False])
def test_interrupted_anywhere_it_goes_on_to_the_same_bits(
    backend: Backend, tmp_path: Path, jit: bool
) -> None:
    settings = preset("digits", epochs=3, batch_size=300, hidden=(8,), jit=jit)
    list(Session.start(settings, tmp_path / "whole").events())
    whole = Run.open(tmp_path / "whole")

    session, done = Session.start(settings, tmp_path / "parts"), 0
    while session.state.epoch < 3:
        for event in session.events():
            done += 1
            if isinstance(event, Step) and done % 4 == 3:
                break
        session.save()
        session = Session.resume(Run.open(tmp_path / "parts"))
    parts = Run.open(tmp_path / "parts")

    assert parts.saved.arrays.keys() == whole.saved.arrays.keys()
    for name, x in whole.saved.arrays.items():
        assert parts.saved.arrays[name].tobytes() == x.tobytes(), name
    assert untimed(parts) == untimed(whole)
    assert len(whole.saved.arrays) == 4 + 4 + 1, "weights, their momentum, losses"


def test_a_finished_run_can_have_more_epochs_but_not_fewer(tmp_path: Path) -> None:
    settings = preset("digits", epochs=2)
    list(Session.start(settings, tmp_path / "run").events())
    assert not list(Session.resume(Run.open(tmp_path / "run")).events())
    with pytest.raises(SettingsError, match="epochs is 1; expected at least 2"):
        Session.resume(Run.open(tmp_path / "run"), epochs=1)
    events = list(Session.resume(Run.open(tmp_path / "run"), epochs=3).events())
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [3]
    again = Run.open(tmp_path / "run")
    assert (again.saved.epoch, again.saved.epochs, again.settings.epochs) == (3, 3, 2)


def test_metrics_of_another_version_are_refused(tmp_path: Path) -> None:
    session = Session.start(preset("digits"), tmp_path / "run")
    session.run.save(dataclasses.replace(session.run.saved, metrics=({"epoch": 1, "perplexity": 2.0},)))
    with pytest.raises(CorruptRunError, match=r"metrics\.jsonl"):
        Session.resume(Run.open(tmp_path / "run"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_the_command_line_learns(name: str) -> None:
    settings = preset("digits", optimizer=name, hidden=(20,), epochs=12, batch_size=10, weight_decay=1e-5)
    state, optimizer = start(settings), build_optimizer(settings)
    options: dict[str, Any] = {"key": order_key(settings), "batch_size": 10, "epochs": settings.epochs}
    list(train(state, place(digits()), build_cost(settings), optimizer, **options))
    assert state.metrics[-1].metrics["train_accuracy"] > 0.9
    assert settings.momentum == 0.0 or name == "sgd"


def test_an_optimizer_has_its_own_learning_rate() -> None:
    assert preset("digits", optimizer="adam").learning_rate == 0.001
    assert preset("digits", "nielsen", optimizer="sgd").learning_rate == 3.0
    assert preset("digits", optimizer="adam", learning_rate=0.1).learning_rate == 0.1
    assert preset("digits", optimizer="rmsprop", momentum=0.5).momentum == 0.5
    with pytest.raises(SettingsError, match=r"momentum is 0\.5; expected 0: adam has none"):
        preset("digits", optimizer="adam", momentum=0.5)
