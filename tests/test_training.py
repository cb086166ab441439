"""The loop, its settings, and what a session makes of them."""

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import debug_nans, losses, nn, optim, random, registry, transforms, tree
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.data import Dataset, Split, digits
from bpkit.data.batches import draw_order
from bpkit.errors import (
    BackendError,
    CorruptRunError,
    DataError,
    DivergedError,
    InterruptedStepError,
    NonFiniteError,
    RecordingError,
    SettingsError,
)
from bpkit.training import (
    PRESETS,
    Epoch,
    Run,
    Session,
    Settings,
    State,
    Step,
    build_cost,
    build_model,
    build_optimizer,
    evaluate,
    load_dataset,
    order_key,
    place,
    preset,
    start,
    train,
)
from bpkit.training.settings import OPTIMIZERS


def tiny(n: int = 10, features: int = 3, classes: int = 4) -> Dataset:
    rng = np.random.default_rng(0)
    train, validation, test = (
        Split(rng.random((size, features)), rng.integers(classes, size=size)) for size in (n, 4, 5)
    )
    return Dataset("tiny", train=train, validation=validation, test=test, classes=classes)


def host(x: Any) -> Any:
    return registry.backend_of(x).to_host(x)


# The loop.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_data_set_on_the_device(backend: Backend, dtype: str) -> None:
    data = digits()
    placed = place(data, dtype)
    for name in ("train", "validation", "test"):
        here, there = getattr(placed, name), getattr(data, name)
        assert len(here) == len(there)
        assert np.array_equal(host(here.images), there.images)
        assert np.array_equal(host(here.targets), np.eye(10)[there.labels])
        assert np.array_equal(host(here.labels), there.labels)
        assert {str(host(x).dtype) for x in (here.images, here.targets)} == {dtype}
        assert registry.backend_of(here.images) is backend


@pytest.mark.parametrize("backend", ["array_api_strict"], indirect=True)
def test_a_device_without_float64_is_an_error(backend: Backend) -> None:
    with (
        registry.use_backend("array_api_strict:no_float64"),
        pytest.raises(BackendError, match="training in float64 is not possible"),
    ):
        place(digits(), "float64")


def test_an_empty_split_is_an_error() -> None:
    data = tiny()
    empty = Split(np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(DataError, match="data set 'tiny': validation is empty"):
        place(dataclasses.replace(data, validation=empty))


@pytest.mark.parametrize("jit", [True, False])
def test_one_epoch_is_the_book_s_loop(backend: Backend, jit: bool) -> None:
    """Batches of the announced order, one step of gradient descent for each, the last batch smaller."""
    data, rate, size = tiny(n=10), 0.5, 4
    placed = place(data, "float64")
    with registry.use_backend("numpy"):
        first = nn.Dense(3, 4, key=random.key(3), dtype="float64")
    model = tree.map(backend.from_host, first)
    optimizer = optim.sgd(rate)
    state = State(model, optimizer.init(model))

    events = list(
        train(
            state,
            placed,
            losses.softmax_cross_entropy,
            optimizer,
            key=random.key(4),
            batch_size=size,
            epochs=2,
            jit=jit,
        )
    )

    steps = [event for event in events if isinstance(event, Step)]
    assert steps == [Step(e, s, 3, n) for e in (1, 2) for s, n in ((1, 4), (2, 8), (3, 10))]
    w, b = np.array(first.weight), np.array(first.bias)
    x, y = data.train.images.astype(np.float64), data.train.labels
    for epoch in (0, 1):
        with registry.use_backend("numpy"):
            order = np.asarray(draw_order(random.key(4), epoch, 10))
        mean = 0.0
        for batch in (order[:4], order[4:8], order[8:]):
            z = x[batch] @ w.T + b
            p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            mean -= np.log(p[np.arange(len(batch)), y[batch]]).sum() / 10
            delta = (p - np.eye(4)[y[batch]]) / len(batch)
            w, b = w - rate * delta.T @ x[batch], b - rate * delta.sum(axis=0)
        assert state.metrics[epoch].loss == pytest.approx(mean, rel=1e-12)
    np.testing.assert_allclose(host(state.model.weight), w, rtol=1e-12)
    np.testing.assert_allclose(host(state.model.bias), b, rtol=1e-12)
    answers = {
        name: np.mean((getattr(data, name).images @ w.T + b).argmax(axis=1) == getattr(data, name).labels)
        for name in ("train", "validation", "test")
    }
    last = events[-1]
    assert isinstance(last, Epoch)
    assert {name: last.metrics[f"{name}_accuracy"] for name in answers} == answers


def test_the_order_is_another_in_each_epoch_and_for_each_seed() -> None:
    one, other = (order_key(preset("digits", seed=seed)) for seed in (0, 1))
    orders = [tuple(draw_order(key, epoch, 50).tolist()) for key in (one, other) for epoch in range(4)]
    assert len(set(orders)) == 8
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_accuracy_does_not_depend_on_the_batches() -> None:
    data, model = place(digits()).train, build_model(preset("digits"))
    whole = evaluate(model, data, batch_size=len(data))
    assert 0 < whole < 1
    assert {evaluate(model, data, batch_size=size) for size in (1, 7, 419, 5000)} == {whole}


@pytest.mark.parametrize("rate", [1e20, 1e38])
def test_a_training_that_diverges_says_where_and_what_to_try(tmp_path: Path, rate: float) -> None:
    session = Session.start(preset("digits", learning_rate=rate, epochs=3), tmp_path / "run")
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        list(session.events())
    assert "epoch 1" in str(caught.value)
    assert "step " in str(caught.value)
    assert "smaller learning rate" in str(caught.value)
    assert Run.open(tmp_path / "run").saved.epoch == 0


def test_a_diverged_state_is_not_saved(tmp_path: Path) -> None:
    session = Session.start(preset("digits", learning_rate=1e30, epochs=1), tmp_path / "run")
    with np.errstate(all="ignore"):
        for event in session.events():
            if isinstance(event, Step) and event.step == 5:
                break
        with pytest.raises(DivergedError, match=r"the loss of epoch 1, step [2345] is"):
            session.save()
    assert Run.open(tmp_path / "run").saved.step == 0


def test_a_weight_that_is_not_finite_is_noticed_though_no_loss_shows_it() -> None:
    state = start(preset("digits"))
    state.model.layers[2].bias[3] = math.inf
    with pytest.raises(DivergedError, match=r"model\.layers\[2\]\.bias is no longer finite"):
        state.check_weights()


# The compiled step.


def small(backend: Backend, momentum: float = 0.0) -> tuple[State, Any, dict[str, Any]]:
    """A state, the data, and everything else that train needs: three batches of 4, 4 and 2 images."""
    with registry.use_backend("numpy"):
        first = nn.Dense(3, 4, key=random.key(3), dtype="float64")
    model, optimizer = tree.map(backend.from_host, first), optim.sgd(0.5, momentum)
    options = {
        "cost": losses.softmax_cross_entropy,
        "optimizer": optimizer,
        "key": random.key(4),
        "batch_size": 4,
        "epochs": 4,
    }
    return State(model, optimizer.init(model)), place(tiny(n=10), "float64"), options


def weights_of(state: State) -> list[Any]:
    return [host(leaf).copy() for leaf in tree.leaves((state.model, state.optimizer_state))]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_compiled_step_is_the_plain_one(backend: Backend, momentum: float) -> None:
    one, data, options = small(backend, momentum)
    other, _, _ = small(backend, momentum)
    pairs = zip(train(one, data, **options), train(other, data, **options, jit=False), strict=True)
    for compiled, plain in pairs:
        if isinstance(compiled, Step):
            assert compiled == plain
            for x, y in zip(weights_of(one), weights_of(other), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)
    assert [epoch.loss for epoch in one.metrics] == pytest.approx([epoch.loss for epoch in other.metrics])


def made_by(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that jit makes from now on."""
    made: list[Any] = []
    original = transforms.jit

    def kept(*args: Any, **options: Any) -> Any:
        made.append(original(*args, **options))
        return made[-1]

    monkeypatch.setattr(transforms, "jit", kept)
    return made


@pytest.mark.parametrize("scale", [False, True], ids=["", "with a weight without axes"])
def test_two_programs_serve_all_epochs(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, scale: bool
) -> None:
    class Scaled(nn.Module):
        layer: Any
        scale: Any

        def __call__(self, x: Any) -> Any:
            return self.layer(x) * self.scale

    made = made_by(monkeypatch)
    state, data, options = small(backend)
    if scale:
        model = Scaled(state.model, backend.from_host(np.asarray(2.0)))
        state = State(model, options["optimizer"].init(model))
    list(train(state, data, **options))
    (step,) = made
    assert len(step.explain().split("\n")) == 2, step.explain()
    assert state.epoch == 4
    # The data divides evenly: there is no smaller batch.
    list(train(small(backend)[0], data, **{**options, "batch_size": 5}))
    assert made[1].explain() == "1. the first call"
    # One batch holds everything.
    list(train(small(backend)[0], data, **{**options, "batch_size": 99}))
    assert made[2].explain() == "1. the first call"
    list(train(small(backend)[0], data, **options, jit=False))
    assert len(made) == 3


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("make", [optim.adam, optim.adamw])
def test_adam_goes_on_to_the_same_bits(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, make: Any, jit: bool
) -> None:
    made = made_by(monkeypatch)
    optimizer = make(0.1)

    def begun() -> tuple[State, Any, dict[str, Any]]:
        state, data, options = small(backend)
        return State(state.model, optimizer.init(state.model)), data, {**options, "optimizer": optimizer}

    whole, data, options = begun()
    list(train(whole, data, **options, jit=jit))
    state, data, options = begun()
    for events in (2, 3, 6, 99):
        for _ in zip(range(events), train(state, data, **options, jit=jit), strict=False):
            pass
        # Through the machine's memory, as a run folder does it: also the number of steps comes as an array.
        model, kept = tree.map(lambda x: backend.from_host(host(x)), (state.model, state.optimizer_state))
        state = State(model, kept, state.metrics, state.step, state.read_losses())
    assert (state.epoch, int(state.optimizer_state.count)) == (4, 12)
    for x, y in zip(weights_of(state), weights_of(whole), strict=True):
        assert x.tobytes() == y.tobytes()
    assert whole.metrics[-1].loss < whole.metrics[0].loss
    assert all(len(step.explain().split("\n")) <= 2 for step in made)
    assert len(made) == (5 if jit else 0)


def test_the_model_runs_twice_and_no_more(backend: Backend) -> None:
    state, data, options = small(backend)
    calls: list[int] = []

    def cost(logits: Any, targets: Any) -> Any:
        calls.append(logits.shape[0])
        return losses.softmax_cross_entropy(logits, targets)

    list(train(state, data, **{**options, "cost": cost}))
    assert calls == [4, 2]
    list(train(small(backend)[0], data, **{**options, "cost": cost}, jit=False))
    assert calls[2:] == [4, 4, 2] * 4


@pytest.mark.parametrize("jit", [True, False])
def test_what_was_read_of_a_state_does_not_change(backend: Backend, jit: bool) -> None:
    state, data, options = small(backend, momentum=0.9)
    given = tree.leaves((state.model, state.optimizer_state))
    read = [given]
    seen = [[host(x).copy() for x in given]]
    for number, event in enumerate(train(state, data, **options, jit=jit)):
        if number % 3 == 1 or isinstance(event, Epoch):
            read.append(tree.leaves(state.model if number % 2 else state.optimizer_state))
            seen.append([host(x).copy() for x in read[-1]])
    assert len(read) > 7
    for leaves, values in zip(read, seen, strict=True):
        for leaf, value in zip(leaves, values, strict=True):
            np.testing.assert_array_equal(host(leaf), value)
    plain, _, _ = small(backend, momentum=0.9)
    list(train(plain, data, **options, jit=jit))
    for x, y in zip(weights_of(state), weights_of(plain), strict=True):
        np.testing.assert_array_equal(x, y, err_msg="reading a state changes nothing")


def test_a_copy_of_a_state_stays_where_it_is(backend: Backend) -> None:
    state, data, options = small(backend, momentum=0.9)
    events = train(state, data, **options)
    for _ in range(5):
        next(events)
    copies = [copy.copy(state), copy.deepcopy(state)]
    before = weights_of(copies[1])
    for _ in range(3):
        next(events)
    for kept in copies:
        assert (kept.epoch, kept.step, len(kept.losses)) == (1, 1, 1)
        for x, y in zip(weights_of(kept), before, strict=True):
            np.testing.assert_array_equal(x, y)
    list(train(copies[0], data, **options))
    list(events)
    for x, y in zip(weights_of(copies[0]), weights_of(state), strict=True):
        np.testing.assert_array_equal(x, y)


def test_nothing_is_copied_that_nobody_reads() -> None:
    with registry.use_backend("numpy") as selected:
        state, data, options = small(selected.backend, momentum=0.9)
        places = {
            tuple(id(x) for x in tree.leaves((state._model, state._optimizer_state)))
            for event in train(state, data, **options)
            if isinstance(event, Step)
        }
        assert len(places) == 4, "only the check at the end of an epoch reads the weights"


def test_what_a_user_changes_between_two_steps_counts() -> None:
    with registry.use_backend("numpy") as selected:
        for jit in (True, False):
            state, data, options = small(selected.backend)
            events = train(state, data, **options, jit=jit)
            next(events)
            state.model.bias[0] = 1000.0
            next(events)
            assert state.model.bias[0] > 900


def test_a_state_that_two_trainings_take_turns_with(backend: Backend) -> None:
    state, data, options = small(backend)
    whole, _, _ = small(backend)
    turns = [train(state, data, **options) for _ in range(2)]
    for number in range(6):
        next(turns[number % 2])
        if state.step == 3:
            break
    for _ in zip(range(3), train(whole, data, **options), strict=False):
        pass
    assert state.step == whole.step == 3
    for x, y in zip(weights_of(state), weights_of(whole), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_step_that_was_stopped_half_way_leaves_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    original = transforms.jit
    calls: list[int] = []

    def stopping(*args: Any, **options: Any) -> Any:
        run = original(*args, **options)

        def stopped(*given: Any) -> Any:
            out = run(*given)
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return out

        return stopped

    monkeypatch.setattr(transforms, "jit", stopping)
    with registry.use_backend("numpy") as selected:
        state, data, options = small(selected.backend)
        events = train(state, data, **options)
        next(events)
        with pytest.raises(KeyboardInterrupt):
            next(events)
        for read in (
            lambda: state.model,
            lambda: state.optimizer_state,
            lambda: next(train(state, data, **options)),
        ):
            with pytest.raises(InterruptedStepError, match=r"^step 2 of epoch 1 was stopped .*jit=False"):
                read()
        assert (state.step, len(state.losses)) == (1, 1)


@pytest.mark.parametrize("jit", [True, False])
def test_a_cost_that_fails_leaves_the_model_as_it_was(backend: Backend, jit: bool) -> None:
    state, data, options = small(backend)
    before = weights_of(state)

    def fails(logits: Any, targets: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(train(state, data, **{**options, "cost": fails}, jit=jit))
    for x, y in zip(weights_of(state), before, strict=True):
        np.testing.assert_array_equal(x, y)
    next(train(state, data, **options, jit=jit))
    assert state.step == 1


def test_a_cost_that_cannot_be_recorded(backend: Backend) -> None:
    state, data, options = small(backend)

    def branches(logits: Any, targets: Any) -> Any:
        loss = losses.softmax_cross_entropy(logits, targets)
        return loss if loss > 0 else -loss

    with pytest.raises(RecordingError, match=r"bool\(\) of a value") as caught:
        next(train(state, data, **{**options, "cost": branches}))
    assert any("jit=False" in note for note in caught.value.__notes__)
    next(train(state, data, **{**options, "cost": branches}, jit=False))
    assert state.step == 1


def test_a_state_outlives_what_debug_nans_finds(backend: Backend) -> None:
    state, data, options = small(backend)
    events = train(state, data, **{**options, "cost": lambda z, y: xp.mean(xp.log(z - 1e6))})
    with debug_nans(), pytest.raises(NonFiniteError, match="log made nan"):
        next(events)
    assert all(np.isfinite(x).all() for x in weights_of(state))


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
