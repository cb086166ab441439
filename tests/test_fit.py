"""fit: any model on any data, from one call."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bpkit import losses, nn, optim, random, registry, tree
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.data.batches import draw_order
from bpkit.errors import ArgumentError, BackendError, DataError, DivergedError, RecordingError, ShapeError
from bpkit.training import Epoch, State, Step, fit
from bpkit.transforms import jit, value_and_grad

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6))
Y = RNG.integers(0, 3, size=50)


class Regularised(nn.Module):
    """A dense layer, dropout, and a normalisation that keeps a running mean: what training mode is for."""

    first: Any
    drop: Any
    last: Any
    mean: Any = nn.buffer()

    def __call__(self, x: Any) -> Any:
        x = nn.tanh(self.first(x))
        mode = nn.mode.current()
        if mode is None:
            mean = self.mean
        else:
            mean = xp.mean(x, axis=0)
            mode.update(self, mean=0.1 * mean + 0.9 * mode.latest(self).mean)
        return self.last(self.drop(x - mean))


def make(seed: int = 0, dtype: str = "float64") -> Regularised:
    """The same weights on every backend."""
    with registry.use_backend("numpy"):
        keys = random.split(random.key(seed), 2)
        model = Regularised(
            nn.Dense(6, 8, key=keys[0], dtype=dtype),
            nn.Dropout(0.25),
            nn.Dense(8, 3, key=keys[1], dtype=dtype),
            np.zeros(8, dtype),
        )
    backend, device = registry.current()
    placed: Regularised = tree.map(lambda leaf: backend.from_host(np.asarray(leaf), device), model)
    return placed


def accuracy(logits: Any, labels: Any) -> Any:
    return xp.mean(xp.astype(xp.argmax(logits, axis=-1) == labels, "float64"))


def run(
    model: Any = None, data: Any = (X, Y), loss: Any = losses.softmax_cross_entropy, **options: Any
) -> Any:
    settings = {"epochs": 3, "batch_size": 8, "progress": False, "key": random.key(7), **options}
    optimizer = settings.pop("optimizer", optim.adam(0.01))
    return fit(make() if model is None else model, data, loss, optimizer, **settings)


def curve(fitted: Any) -> list[float]:
    return [epoch.loss for epoch in fitted.history]


def weights(model: Any) -> list[Any]:
    return [registry.backend_of(leaf).to_host(leaf) for leaf in tree.leaves(model)]


def same_bits(one: Any, other: Any) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(weights(one), weights(other), strict=True))


# What it does.


def test_fit_is_the_loop_written_out(backend: Backend) -> None:
    """Batches of the announced order, the keys of the steps, one update each, buffers renewed."""
    fitted = run(epochs=2)
    model, key, optimizer = make(), random.key(7), optim.adam(0.01)

    @jit
    def step(trainable: Any, fixed: Any, state: Any, x: Any, y: Any, key: Any) -> Any:
        def loss_of(trainable: Any) -> Any:
            output, after = nn.training_call(nn.combine(trainable, fixed), x, key=key)
            return losses.softmax_cross_entropy(output, y), nn.partition(after).rest

        (value, after), gradients = value_and_grad(loss_of, has_aux=True)(trainable)
        return *optimizer.update(gradients, state, trainable), after, value

    trainable, fixed = nn.partition(model)
    state = optimizer.init(trainable)
    means = []
    for epoch in range(2):
        keys = random.split(random.fold_in(random.fold_in(key, epoch), 0), 1024)
        order, total = draw_order(key, epoch, 50), 0.0
        for number, begin in enumerate(range(0, 50, 8)):
            rows = order[begin : begin + 8]
            x, y = backend.from_host(X[rows]), backend.from_host(Y[rows].astype(np.int32))
            trainable, state, fixed, value = step(trainable, fixed, state, x, y, keys[number, ...])
            total += float(value) * len(rows)
        means.append(total / 50)
    np.testing.assert_allclose(curve(fitted), means, rtol=1e-12)
    for got, expected in zip(weights(fitted.model), weights(nn.combine(trainable, fixed)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_without_jit_it_is_the_same(backend: Backend) -> None:
    np.testing.assert_allclose(curve(run()), curve(run(jit=False)), rtol=1e-10)


def test_validation_is_measured_in_prediction_mode(backend: Backend) -> None:
    fitted = run(validation=(X[:20], Y[:20]), metrics={"accuracy": accuracy}, batch_size=7)
    last = fitted.history[-1].metrics
    logits = fitted.model(backend.from_host(X[:20]))
    labels = backend.from_host(Y[:20].astype(np.int32))
    assert list(last) == ["validation_loss", "validation_accuracy"]
    assert last["validation_loss"] == pytest.approx(
        float(losses.softmax_cross_entropy(logits, labels)), rel=1e-10
    )
    assert last["validation_accuracy"] == pytest.approx(float(accuracy(logits, labels)), rel=1e-12)


class Items:
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(X):
            raise IndexError
        return X[index], Y[index]


class Loader:
    """Batches, again and again, as a PyTorch DataLoader gives them: in lists."""

    def __iter__(self) -> Iterator[Any]:
        for begin in range(0, 50, 8):
            yield [X[begin : begin + 8], Y[begin : begin + 8]]


def test_all_kinds_of_data_are_the_same_data() -> None:
    arrays = run()
    for data in (Items(), [(x, y) for x, y in zip(X, Y, strict=True)]):
        assert curve(run(data=data)) == curve(arrays)
    ordered = run(shuffle=False)
    assert curve(run(data=Loader(), batch_size=None)) == curve(ordered)
    assert curve(run(data=Loader(), batch_size=None, prefetch=2)) == curve(ordered)
    stream = zip(itertools.cycle(X), itertools.cycle(Y))
    one = run(data=((x, y) for x, y in stream), steps=25, batch_size=2, epochs=2)
    assert curve(one) == curve(run(shuffle=False, batch_size=2, epochs=2))
    assert curve(ordered) != curve(arrays)


def test_a_dataset_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.asarray(X), torch.asarray(Y))
    expected = curve(run(shuffle=False))
    np.testing.assert_allclose(curve(run(data=dataset, shuffle=False)), expected, rtol=1e-12)
    loader = torch.utils.data.DataLoader(dataset, batch_size=8)
    np.testing.assert_allclose(curve(run(data=loader, batch_size=None)), expected, rtol=1e-12)


def test_several_inputs() -> None:
    class Sum(nn.Module):
        layer: Any

        def __call__(self, one: Any, other: Any) -> Any:
            return self.layer(one + other)

    layer = nn.Dense(6, 3, key=random.key(0))
    both = run(Sum(layer), ((X, 2 * X), Y), validation=((X, 2 * X), Y))
    assert curve(both) == pytest.approx(curve(run(layer, (3 * X, Y))), rel=1e-12)


def test_images_go_where_the_model_is_and_in_its_dtype(backend: Backend) -> None:
    model = tree.map(lambda leaf: xp.astype(leaf, "float32"), make())
    with registry.use_backend("numpy"):
        fitted = run(model, epochs=1)
    assert all(registry.backend_of(leaf) is backend for leaf in tree.leaves(fitted.model))
    assert {str(x.dtype) for x in weights(fitted.model)} == {"float32"}


def test_steps_end_an_epoch() -> None:
    events: list[Any] = []
    fitted = run(steps=4, epochs=3, callbacks=[lambda event, state: events.append(event)])
    assert sum(isinstance(event, Step) for event in events) == 12
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [1, 2, 3]
    assert events[3] == Step(epoch=1, step=4, steps=4, examples=32)
    with pytest.raises(ArgumentError, match=r"steps=8: 50 examples in batches of 8 are 7 steps"):
        run(steps=8)
    assert fitted.ended == "done"


def test_a_callback_sees_the_model_and_can_stop() -> None:
    seen: list[Any] = []

    def watch(event: Any, state: State) -> bool:
        if isinstance(event, Step):
            seen.append(state.model.last.bias)
        return len(seen) == 5

    fitted = run(callbacks=[watch])
    assert fitted.ended == "callback"
    assert (fitted.state.epoch, fitted.state.step) == (0, 5)
    assert len({bias.tobytes() for bias in seen}) == 5
    more = run(fitted.state)
    assert curve(more) == curve(run()), "it goes on as if it had not been stopped"


# When it ends.


def test_early_stopping_returns_the_best_model() -> None:
    kept: list[Any] = []
    fitted = run(
        epochs=100,
        patience=3,
        validation=(RNG.normal(size=(20, 6)), Y[:20]),
        optimizer=optim.sgd(1.0),
        callbacks=[lambda event, state: kept.append(state.model) if isinstance(event, Epoch) else None],
    )
    values = [epoch.metrics["validation_loss"] for epoch in fitted.history]
    best = int(np.argmin(values))
    assert fitted.ended == "patience"
    assert len(values) == best + 1 + 3 < 100
    assert fitted.best is fitted.history[best]
    assert same_bits(fitted.model, kept[best])
    assert not same_bits(fitted.model, kept[-1])


def test_min_delta_and_the_highest_metric() -> None:
    history = run(epochs=8, monitor="loss", patience=1, min_delta=10.0)
    assert len(history.history) == 2 and history.best.epoch == 1
    options: dict[str, Any] = {"validation": (X, Y), "metrics": [accuracy], "epochs": 6}
    with pytest.raises(ArgumentError, match="highest=True or highest=False"):
        run(monitor="validation_accuracy", **options)
    fitted = run(monitor="validation_accuracy", highest=True, **options)
    values = [epoch.metrics["validation_accuracy"] for epoch in fitted.history]
    assert fitted.best.epoch == int(np.argmax(values)) + 1
    with pytest.raises(ArgumentError, match=r"monitor='x'\): expected one of loss, validation_loss"):
        run(monitor="x", **options)


# What cannot be trained with says so.


def bad(value: float, place: tuple[int, int] = (17, 3)) -> Any:
    x = X.copy()
    x[place] = value
    return x


@pytest.mark.parametrize("jit", [True, False])
def test_a_nan_is_named_and_left_out_only_when_asked(backend: Backend, jit: bool) -> None:
    with pytest.raises(DataError, match=r"data: x\[17, 3\] is nan; mend the data, or .* nan='skip'"):
        run(data=(bad(math.nan), Y), jit=jit)
    fitted = run(data=(bad(math.nan), Y), nan="skip", jit=jit)
    rest = np.arange(50) != 17
    assert curve(fitted) == curve(run(data=(X[rest], Y[rest]), jit=jit))
    with pytest.raises(DataError, match=r"validation: x\[0, 1\] is nan"):
        run(validation=(bad(math.nan, (0, 1)), Y), jit=jit)


def test_a_nan_in_a_stream_is_named_by_batch() -> None:
    batches = [(bad(math.nan)[i : i + 8], Y[i : i + 8]) for i in range(0, 48, 8)]
    options: dict[str, Any] = {"batch_size": None, "shuffle": False}
    with pytest.raises(DataError, match=r"batch 2 of epoch 1: x\[1, 3\] is nan"):
        run(data=batches, **options)
    del (rest := list(batches))[2]
    assert curve(run(data=batches, nan="skip", **options)) == curve(run(data=rest, **options))


def test_an_infinity_in_the_data_is_named() -> None:
    with pytest.raises(DataError, match=r"data: x\[17, 3\] is -inf in float64; mend the data"):
        run(data=(bad(-math.inf), Y))
    overflows = np.errstate(over="ignore")
    with overflows, pytest.raises(DataError, match=r"data: x\[17, 3\] is inf in float32"):
        run(make(dtype="float32"), (bad(1e300), Y))
    rest = np.arange(50) != 17
    assert curve(run(data=(bad(math.inf), Y), nan="skip")) == curve(run(data=(X[rest], Y[rest])))


def test_a_first_loss_that_is_not_finite_is_not_the_fault_of_the_rate() -> None:
    def loss(output: Any, target: Any) -> Any:
        return losses.softmax_cross_entropy(output, target) * math.inf

    with pytest.raises(DivergedError, match="before any weight was changed"):
        run(loss=loss)


def test_a_label_that_does_not_fit(backend: Backend) -> None:
    for value in (3, -1):
        y = Y.copy()
        y[33] = value
        with pytest.raises(DataError, match=rf"data: the label y\[33\] is {value}, but the 3 classes"):
            run(data=(X, y))
        with pytest.raises(
            DataError, match=rf"batch 4 of epoch 1: the label y\[1\] is {value}, but the 3 classes"
        ):
            run(data=[(X[i : i + 8], y[i : i + 8]) for i in range(0, 48, 8)], batch_size=None, shuffle=False)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ((X[:0], Y[:0]), DataError, "data is empty"),
        ([], DataError, "nothing in the data"),
        (iter(()), DataError, "nothing in the data"),
        ((X, Y[:-1]), ShapeError, r"\(50, 6\), \(49,\).*must be equal"),
        (X, ArgumentError, r"got one array of shape \(50, 6\); expected a pair"),
        ((X, Y, Y), DataError, "data is a tuple of length 3; expected a pair"),
        (([[1.0]], [0]), DataError, "must hold arrays, not a list and a list"),
        ([X, Y], DataError, r"data is a list of 2 arrays; a pair of arrays is a tuple: \(x, y\)"),
        ([X[0], X[1], X[2]], DataError, "its items must be pairs"),
        (["ab", "cd"], DataError, "batch 0 of epoch 1 is .*; expected a pair"),
        (5, ArgumentError, "data: expected .* an iterable of such pairs, got 5"),
    ],
)
def test_data_that_cannot_be_used(data: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run(data=data, epochs=1)


def test_a_stream_that_ends_too_early() -> None:
    once = zip(X, Y, strict=True)
    with pytest.raises(DataError, match=r"can be read only once, and 3 epochs read it again"):
        run(data=once)
    assert len(list(once)) == 50, "nothing was read"
    with pytest.raises(DataError, match=r"data, a zip, end before step 8 of 50 of epoch 1, .* only once"):
        run(data=zip(X, Y, strict=True), steps=50, epochs=1)
    with pytest.raises(ArgumentError, match="validation can be read only once"):
        run(validation=zip(X, Y, strict=True))


def test_a_loss_that_is_no_scalar(backend: Backend) -> None:
    with pytest.raises(ArgumentError, match=r"the loss has shape \(8, 3\); expected one number"):
        run(loss=lambda output, target: output)
    with pytest.raises(ArgumentError, match="the loss is float; expected an array"):
        run(loss=lambda output, target: 1.0)


def test_a_model_with_nothing_to_train() -> None:
    for model in (nn.Frozen(make()), nn.Sequential(nn.tanh)):
        with pytest.raises(ArgumentError, match="nothing to train"):
            run(model)


def test_a_model_that_is_none() -> None:
    for model in ({"w": np.zeros(3)}, nn.Dense, 5):
        with pytest.raises(ArgumentError, match="the model must be an object that can be called"):
            run(model)


def test_the_last_batch_may_be_left_out() -> None:
    model = nn.Sequential(nn.Dense(6, 3, key=random.key(0)), nn.BatchNorm(3, dtype="float64"))
    with pytest.raises(ShapeError, match=r"BatchNorm.*drop_last=True"):
        run(model, batch_size=7)
    fitted = run(model, batch_size=7, drop_last=True)
    assert fitted.state.epoch == 3
    for data in (Items(), iter(list(zip(X, Y, strict=True)))):
        options: dict[str, Any] = {"batch_size": 7, "drop_last": True, "shuffle": False, "epochs": 1}
        assert curve(run(model, data, **options)) == curve(run(model, **options))
    with pytest.raises(DataError, match="50 examples make no batch of 51"):
        run(batch_size=51, drop_last=True)


def test_a_frozen_part_stays(backend: Backend) -> None:
    model = make()
    frozen = model.replace(first=nn.Frozen(model.first))
    fitted = run(frozen)
    assert same_bits(fitted.model.first, frozen.first)
    assert not same_bits(fitted.model.last, frozen.last)


def test_shapes_that_do_not_fit_name_the_layer() -> None:
    with pytest.raises(ShapeError, match=r"Dense\(6 → 8\)"):
        run(data=(X[:, :5], Y))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", x) for x in (0, -1, 2.5, True, None)),
        *(("steps", x) for x in (0, "3")),
        ("batch_size", 0),
        ("patience", 0),
        ("keep", -1),
        ("save_every", 0),
        ("prefetch", -1),
        ("min_delta", -1.0),
        ("min_delta", math.nan),
        ("nan", "ignore"),
        ("precision", "float8"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"{name}={value!r}"):
        run(**{name: value})


def test_metrics_need_a_name_and_data() -> None:
    with pytest.raises(ArgumentError, match="measured on validation, and there is none"):
        run(metrics=[accuracy])
    for metrics in ([accuracy, accuracy], {"loss": accuracy}, ["accuracy"]):
        with pytest.raises(ArgumentError, match="with names of their own"):
            run(metrics=metrics, validation=(X, Y))


def test_a_model_that_branches_says_how_to_go_on() -> None:
    def branches(output: Any, target: Any) -> Any:
        loss = losses.softmax_cross_entropy(output, target)
        return loss if loss > 0 else -loss

    with pytest.raises(RecordingError) as caught:
        run(loss=branches)
    assert any("jit=False" in note for note in caught.value.__notes__)
    assert run(loss=branches, jit=False).ended == "done"


# Mixed precision.


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_or_says_why_not(backend: Backend, precision: str) -> None:
    model = make(dtype="float32")
    if getattr(backend.xp, precision, None) is None:
        with pytest.raises(BackendError, match=f"{backend.name} has no {precision}"):
            run(model, precision=precision)
        return
    seen: set[Any] = set()

    def loss(output: Any, target: Any) -> Any:
        seen.add(str(output.dtype).rpartition(".")[2])
        return losses.softmax_cross_entropy(output, target)

    mixed = run(model, loss=loss, precision=precision, epochs=10)
    full = run(model, epochs=10)
    assert seen == {"float32"}
    assert {str(x.dtype) for x in weights(mixed.model)} == {"float32"}
    assert curve(mixed) != curve(full)
    np.testing.assert_allclose(curve(mixed), curve(full), rtol=0.05)


def test_an_overflow_in_float16_changes_nothing_but_the_scale() -> None:
    with registry.use_backend("numpy"):
        norm = nn.BatchNorm(6, dtype="float32")
        model = nn.Sequential(norm, nn.Dense(6, 3, key=random.key(0), dtype="float32"))

        def large(output: Any, target: Any) -> Any:
            return losses.softmax_cross_entropy(output, target) * 1e3

        scales: list[float] = []
        weights_after: list[list[Any]] = [weights(model)]

        def watch(event: Any, state: State) -> None:
            if isinstance(event, Step):
                scales.append(float(state.optimizer_state.scale))
                weights_after.append(weights(state.model))

        fitted = run(
            model, loss=large, precision="float16", epochs=3, optimizer=optim.sgd(1e-4), callbacks=[watch]
        )
        before = [2.0**15, *scales]
        overflowed = [after < scale for scale, after in zip(before, scales, strict=False)]
        assert overflowed[0] and not overflowed[-1]
        for skipped, old, new in zip(overflowed, weights_after, weights_after[1:], strict=False):
            assert [np.array_equal(x, y) for x, y in zip(old, new, strict=True)] == [skipped] * len(old)
        assert scales == sorted(scales, reverse=True)
        assert scales[-1] > 1
        assert fitted.history[-1].loss < fitted.history[0].loss


# Schedules.


@pytest.mark.parametrize("precision", [None, "float16"])
def test_an_optimizer_that_observes_is_told_what_was_measured(precision: str | None) -> None:
    optimizer = optim.on_plateau(optim.sgd(0.1), factor=0.5, patience=0, threshold=10.0, threshold_mode="abs")
    fitted = run(make(dtype="float32"), epochs=4, optimizer=optimizer, precision=precision)
    state = fitted.state.optimizer_state
    assert float((state.inner if precision else state).scale) == 0.5**3


def test_a_schedule_counts_over_epochs() -> None:
    optimizer = optim.sgd(lambda count: xp.where(count < 14, 0.1, 0.0))
    kept: list[Any] = []
    run(optimizer=optimizer, callbacks=[lambda event, state: kept.append(state.model.last.bias.copy())])
    assert not np.array_equal(kept[12], kept[14])
    assert np.array_equal(kept[15], kept[-1]), "two epochs of 7 steps, and the events of their ends"
