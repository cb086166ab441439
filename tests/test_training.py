"""The loop, its settings, and what a session makes of them."""

import copy
import dataclasses
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
    DataError,
    DivergedError,
    InterruptedStepError,
    NonFiniteError,
    RecordingError,
)
from bpkit.training import (
    Epoch,
    Run,
    Session,
    State,
    Step,
    build_model,
    evaluate,
    order_key,
    place,
    preset,
    start,
    train,
)


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
