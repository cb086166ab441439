"""Trainings that are broken on purpose, and healthy ones, for the doctor.

``python tests/clinic.py`` trains every body with every disease that it can have, and prints what was named
first. The limits of the doctor were chosen by the bodies of :func:`developed`; those of :func:`held_out`,
which are other data, sizes, activations, optimizers and seeds, were trained once the limits stood.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

import bpkit
from bpkit import inspect, losses, nn, optim, random, training
from bpkit import namespace as xp
from bpkit.data import digits, mnist
from bpkit.errors import DivergedError
from bpkit.inspect.doctor_record import Record
from bpkit.terminal import write_table
from bpkit.training.feeds import Resident

Pair = tuple[Any, Any]
EXAMPLES = 256  # that the doctor looks at


@dataclass(frozen=True)
class Body:
    """What a training is made of; a disease changes some of it."""

    train: Pair
    validation: Pair
    hidden: tuple[int, ...]
    activation: Any
    outputs: int
    loss: Callable[[Any, Any], Any]
    optimizer: Callable[[float], Any]
    rate: float
    epochs: int
    seed: int
    batch_size: int = 32
    shuffle: bool = True
    by_hand: bool = False
    init: Any = nn.init.glorot_uniform
    bias_init: Any = nn.init.zeros
    last: tuple[Any, ...] = ()
    change: Callable[[Any], Any] = field(default=lambda model: model)
    build: Callable[["Body"], Any] | None = None

    @property
    def labelled(self) -> bool:
        y = self.train[1]
        return y.dtype.kind == "i" or bool(np.all((y == 0) | (y == 1)))

    @property
    def generator(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, 77])

    def model(self) -> Any:
        if self.build is not None:
            return self.change(self.build(self))
        sizes = (self.train[0].shape[-1], *self.hidden, self.outputs)
        layers: list[Any] = []
        for i, (before, after) in enumerate(pairwise(sizes)):
            key = random.fold_in(random.key(self.seed), i)
            options: dict[str, Any] = {"init": self.init, "bias_init": self.bias_init, "dtype": "float32"}
            layers += [nn.Dense(before, after, key=key, **options), self.activation]
        return self.change(nn.Sequential(*layers[:-1], *self.last))

    def diagnosis(self) -> tuple[Any, float | None]:
        """Train, and ask the doctor; with the skill in the end."""
        x, y = self.train
        rows = np.linspace(0, len(x) - 1, min(EXAMPLES, len(x))).astype(int)
        recorder = inspect.Recorder(self.loss, x[rows], y[rows])
        model, optimizer = self.model(), self.optimizer(self.rate)
        state = training.State(model, optimizer.init(nn.partition(model).trainable))
        with suppress(DivergedError):
            self._train(state, optimizer, recorder)
        found = inspect.diagnose(
            recorder.looks,
            state.metrics,
            data=self.train,
            validation=self.validation,
            shuffled=self.shuffle,
        )
        return found, Record.of(recorder.looks, tuple(state.metrics), None, None).learnt

    def _train(self, state: training.State, optimizer: Any, recorder: inspect.Recorder) -> None:
        options: dict[str, Any] = {"key": random.key(self.seed + 1), "epochs": self.epochs}
        if not self.by_hand:
            options |= {"batch_size": self.batch_size, "shuffle": self.shuffle, "progress": False}
            options |= {"validation": self.validation, "callbacks": [recorder]}
            training.fit(state, self.train, self.loss, optimizer, **options)
            return
        # A loop of one's own, which does not look at the data as fit does.
        x, y = map(xp.asarray, self.train)
        feed = Resident(x, y, self.batch_size, options["key"])
        recorder.begin(state)
        try:
            for event in training.steps(state, feed, self.loss, optimizer, **options):
                recorder(event, state)
        except DivergedError:
            recorder.end(state)


# What can be wrong. Each takes a body and returns a sick one, or None where it cannot have the disease.


def _with_inputs(body: Body, f: Callable[[Any], Any]) -> Body:
    def changed(pair: Pair) -> Pair:
        return f(pair[0].copy()).astype(np.float32), pair[1]

    return replace(body, train=changed(body.train), validation=changed(body.validation))


def _with_targets(body: Body, f: Callable[[Any], Any]) -> Body | None:
    if body.labelled:
        return None
    (x, y), (vx, vy) = body.train, body.validation
    return replace(body, train=(x, f(y).astype(np.float32)), validation=(vx, f(vy).astype(np.float32)))


def _widest(x: Any) -> int:
    """A feature that says something."""
    return int(x.reshape(-1, x.shape[-1]).std(axis=0).argmax())


def _stuck(body: Body) -> Body:
    feature = _widest(body.train[0])

    def change(x: Any) -> Any:
        x[..., feature] = 60.0
        return x

    return _with_inputs(body, change)


def _scaled_feature(body: Body) -> Body:
    feature = _widest(body.train[0])

    def change(x: Any) -> Any:
        x[..., feature] *= 1000
        return x

    return _with_inputs(body, change)


def _shuffled(body: Body) -> Body:
    (x, y), (vx, vy) = body.train, body.validation
    g = body.generator
    return replace(body, train=(x, g.permutation(y)), validation=(vx, g.permutation(vy)))


def _with_nan(x: Any) -> Any:
    x[3, ..., x.shape[-1] // 2] = np.nan
    return x


def _rated(groups: Callable[[str, Any], str], body: Body) -> Body:
    def optimizer(rate: float) -> Any:
        return optim.groups({"all": body.optimizer(rate), "none": optim.frozen()}, groups)

    return replace(body, optimizer=optimizer)


def _cut(model: Any) -> Any:
    if len(model) < 3:
        return model
    return nn.Sequential(*model[:2], bpkit.stop_gradient, *model[2:])


def _times(init: Any, factor: float) -> Any:
    def draw(key: Any, shape: Any, dtype: Any = None) -> Any:
        return init(key, shape, dtype) * xp.asarray(factor, dtype=dtype)

    return draw


def _classes(y: Any) -> Any:
    return y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)


def _sorted(body: Body) -> Body | None:
    x, y = body.train
    if not body.labelled:
        return None
    order = np.argsort(_classes(y), kind="stable")
    return replace(body, train=(x[order], y[order]), shuffle=False)


def _decaying(body: Body) -> Body:
    return replace(body, optimizer=lambda rate: optim.sgd(0.05, weight_decay=1.0))


def _few(body: Body) -> Body:
    (x, y), g = body.train, body.generator
    y = y[:60]
    noisy = g.random(len(y)) < 0.3
    y = np.where(noisy.reshape(-1, *[1] * (y.ndim - 1)), g.permutation(y), y)
    return replace(body, train=(x[:60], y), epochs=20 * body.epochs, batch_size=16)


def _seldom(body: Body) -> Body | None:
    """One class in fifty examples is another one, and hard to tell."""
    if not body.labelled or body.outputs == 1:
        return None
    (x, y), g = body.train, body.generator
    x = x + g.normal(scale=1.5 * x.std(), size=x.shape).astype(np.float32)
    often, rare = np.nonzero(_classes(y) == 0)[0], g.permutation(np.nonzero(_classes(y))[0])
    kept = np.sort(np.concatenate([often, rare[: max(4, len(often) // 12)]]))
    return replace(body, train=(x[kept], y[kept]), epochs=max(2, body.epochs // 2))


def _leaking(body: Body) -> Body:
    return replace(body, validation=(body.train[0][:200], body.train[1][:200]))


def _ended(body: Body, activation: Any, labelled: bool) -> Body | None:
    if body.labelled != labelled or body.build is not None:
        return None
    return replace(body, last=(activation,))


def _only(activations: tuple[Any, ...], change: Callable[[Body], Body]) -> Callable[[Body], Body | None]:
    return lambda body: change(body) if body.build is None and body.activation in activations else None


# The data.


@cache
def _digits() -> tuple[Pair, Pair]:
    data = digits()
    return tuple(  # type: ignore[return-value]
        (split.images, split.labels.astype(np.int32)) for split in (data.train, data.validation)
    )


@cache
def _mnist(folder: str, count: int = 2000) -> tuple[Pair, Pair]:
    data = mnist(folder)
    return tuple(  # type: ignore[return-value]
        (split.images[:count], split.labels[:count].astype(np.int32))
        for split in (data.train, data.validation)
    )


def _one_hot(pairs: tuple[Pair, Pair]) -> tuple[Pair, Pair]:
    return tuple((x, np.eye(10, dtype=np.float32)[y]) for x, y in pairs)  # type: ignore[return-value]


def _split(x: Any, y: Any) -> tuple[Pair, Pair]:
    x, y = x.astype(np.float32), y.astype(y.dtype if y.dtype.kind == "i" else np.float32)
    return (x[:-200], y[:-200]), (x[-200:], y[-200:])


@cache
def _friedman(seed: int) -> tuple[Pair, Pair]:
    """J. Friedman's first function (1991) of ten features, scaled."""
    g = np.random.default_rng(seed)
    x = g.uniform(size=(1000, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y - y.mean()) / y.std() + 0.1 * g.normal(size=1000)
    return _split((x - 0.5) * 12**0.5, y[:, np.newaxis])


@cache
def _waves(seed: int) -> tuple[Pair, Pair]:
    """Two targets, smooth functions of eight features."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1000, 8))
    y = np.stack([np.sin(x[:, 0] + x[:, 1]) + 0.5 * x[:, 2], np.tanh(x[:, 3]) * x[:, 4]], axis=1)
    return _split(x, y + 0.1 * g.normal(size=y.shape))


@cache
def _rings(seed: int) -> tuple[Pair, Pair]:
    """Two classes, one around the other, in six dimensions."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1200, 6))
    inside = np.sqrt(np.sum(x**2, axis=1)) + 0.1 * g.normal(size=1200) < 2.3
    return _split(x, inside[:, np.newaxis].astype(np.float32))


@cache
def _products(seed: int) -> tuple[Pair, Pair]:
    """A product and a square among twelve features."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1400, 12))
    y = x[:, 0] * x[:, 1] + 0.7 * x[:, 2] ** 2 + x[:, 3] - 0.7
    return _split(x, (y / y.std() + 0.1 * g.normal(size=1400))[:, np.newaxis])


@cache
def _clouds(seed: int) -> tuple[Pair, Pair]:
    """Four classes, each two clouds of points with five features."""
    g = np.random.default_rng(seed)
    centres, labels = 1.5 * g.normal(size=(8, 5)), np.arange(8) % 4
    cloud = g.integers(8, size=1400)
    return _split((centres[cloud] + 0.6 * g.normal(size=(1400, 5))) / 1.6, labels[cloud].astype(np.int32))


@cache
def _sequences(seed: int) -> tuple[Pair, Pair]:
    """The sum of the last six of twelve numbers."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(700, 12, 2))
    return _split(x, np.sum(x[:, -6:, 0], axis=1, keepdims=True) * 0.4)


class Reader(nn.Module):
    """A recurrent network that answers after the last number."""

    rnn: nn.RNN
    out: nn.Dense

    def __call__(self, x: Any) -> Any:
        return self.out(self.rnn(x)[0][:, -1, :])


def _reader(body: Body, gain: float = 1.0) -> Reader:
    key = random.key(body.seed)

    def init(key: Any, shape: Any, dtype: Any = None) -> Any:
        return body.init(key, shape, dtype) * xp.asarray(gain, dtype=dtype)

    rnn = nn.RNN(2, body.hidden[0], key=random.fold_in(key, 0), init=init, dtype="float32")
    return Reader(rnn, nn.Dense(body.hidden[0], 1, key=random.fold_in(key, 1), dtype="float32"))


class Rectified(nn.Module):
    """A recurrent network of rectifiers, whose loop over time is its own."""

    into: nn.Dense
    across: nn.Dense
    out: nn.Dense

    def __call__(self, x: Any) -> Any:
        inputs = self.into(x)
        h = nn.relu(inputs[:, 0, :])
        for t in range(1, x.shape[1]):
            h = nn.relu(inputs[:, t, :] + self.across(h))
        return self.out(h)


def _rectified(body: Body) -> Rectified:
    n, options = body.hidden[0], {"dtype": "float32"}
    into, across, out = (random.fold_in(random.key(body.seed), i) for i in range(3))
    return Rectified(
        nn.Dense(2, n, key=into, **options),
        nn.Dense(n, n, key=across, init=nn.init.orthogonal, bias=False, **options),
        nn.Dense(n, 1, key=out, **options),
    )


def _steep(body: Body) -> Body | None:
    if body.build is not _rectified:
        return None
    return replace(body, change=lambda m: m.replace(across=m.across.replace(weight=3 * m.across.weight)))


def _flat(change: Callable[[Body], Body]) -> Callable[[Body], Body | None]:
    return lambda body: change(body) if body.build is None else None


constant = nn.init.constant
LIMITED, SILENT = (nn.sigmoid, nn.tanh), (nn.relu,)
DISEASES: dict[str, tuple[str, Callable[[Body], Body | None]]] = {
    "learning rate × 100": ("learning rate too high", lambda b: replace(b, rate=100 * b.rate)),
    "learning rate / 1000": ("learning rate too low", lambda b: replace(b, rate=b.rate / 1000)),
    "biases of −10": (
        "dead units",
        _only(SILENT, lambda b: replace(b, bias_init=partial(constant, value=-10.0))),
    ),
    "sigmoid, 8 layers": (
        "vanishing gradients",
        _flat(
            lambda b: replace(
                b, hidden=(b.hidden[0],) * 8, activation=nn.sigmoid, init=nn.init.glorot_uniform
            )
        ),
    ),
    "weights × 0.1, 6 layers": (
        "vanishing gradients",
        _flat(lambda b: replace(b, hidden=(b.hidden[0],) * 6, init=_times(b.init, 0.1))),
    ),
    "weights × 10, 6 layers": (
        "exploding gradients",
        _only(SILENT, lambda b: replace(b, hidden=(b.hidden[0],) * 6, init=_times(b.init, 10.0))),
    ),
    "recurrent weights × 3": ("exploding gradients", _steep),
    "weights × 20": (
        "first weights too large",
        _only(LIMITED, lambda b: replace(b, init=_times(b.init, 20.0))),
    ),
    "targets shuffled": ("labels shuffled", _shuffled),
    "inputs × 255": ("inputs not scaled", lambda b: _with_inputs(b, lambda x: 255 * x)),
    "inputs + 100": ("inputs not scaled", lambda b: _with_inputs(b, lambda x: 100 + x)),
    "one feature × 1000": ("inputs not scaled", _scaled_feature),
    "a feature stuck at 60": ("constant feature", _stuck),
    "a first layer without steps": (
        "frozen layer",
        _flat(partial(_rated, lambda path, leaf: "none" if path.startswith(".layers[0]") else "all")),
    ),
    "a gradient that is stopped": ("frozen layer", _flat(lambda b: replace(b, change=_cut))),
    "NaN in an input": ("NaN in the data", lambda b: replace(_with_inputs(b, _with_nan), by_hand=True)),
    "weights of 0": ("units all alike", _flat(lambda b: replace(b, init=nn.init.zeros))),
    "equal weights": ("units all alike", _flat(lambda b: replace(b, init=partial(constant, value=0.1)))),
    "softmax before a loss of logits": (
        "sigmoid or softmax twice",
        lambda b: _ended(b, nn.softmax if b.outputs > 1 else nn.sigmoid, True),
    ),
    "relu at the end": ("targets out of reach", lambda b: _ended(b, nn.relu, False)),
    "sigmoid at the end": ("targets out of reach", lambda b: _ended(b, nn.sigmoid, False)),
    "sorted, not shuffled": ("examples in order", _sorted),
    "weight decay of 1": ("weight decay too strong", _decaying),
    "sixty examples": ("overfitting", _few),
    "one class in twelve": ("one class dominates", _seldom),
    "validated on training data": ("validation seen in training", _leaking),
    "targets × 1000": ("targets not scaled", lambda b: _with_targets(b, lambda y: 1000 * y)),
    "targets + 100": ("targets not scaled", lambda b: _with_targets(b, lambda y: y + 100)),
}


sgd = partial(optim.sgd, momentum=0.9)
softmax, squares = losses.softmax_cross_entropy, losses.mean_squared_error
DIGITS: dict[str, Any] = {"outputs": 10, "loss": softmax}
ONE: dict[str, Any] = {"outputs": 1, "loss": squares}


def _booklike(output: Any, target: Any) -> Any:
    return losses.quadratic(nn.sigmoid(output), target)


def developed() -> dict[str, Body]:
    """The bodies by which the limits were chosen."""
    d, f, w = _digits(), _friedman(1), _waves(2)
    h, two = nn.init.he_normal, {**ONE, "outputs": 2}
    return {
        "digits, relu 48-24, Adam": Body(
            *d, (48, 24), nn.relu, **DIGITS, optimizer=optim.adam, rate=3e-3, epochs=5, seed=1
        ),
        "digits, tanh 32, momentum": Body(
            *d, (32,), nn.tanh, **DIGITS, optimizer=sgd, rate=0.05, epochs=5, seed=2
        ),
        "digits, sigmoid 30, SGD": Body(
            *_one_hot(d),
            (30,),
            nn.sigmoid,
            10,
            losses.sigmoid_cross_entropy,
            optim.sgd,
            0.5,
            epochs=8,
            seed=3,
        ),
        "digits, relu 30-30-30, SGD": Body(
            *d, (30, 30, 30), nn.relu, **DIGITS, optimizer=optim.sgd, rate=0.03, epochs=8, seed=4, init=h
        ),
        "Friedman, relu 32-32, Adam": Body(
            *f, (32, 32), nn.relu, **ONE, optimizer=optim.adam, rate=0.01, epochs=10, seed=5, init=h
        ),
        "Friedman, tanh 24, SGD": Body(
            *f, (24,), nn.tanh, **ONE, optimizer=optim.sgd, rate=0.05, epochs=15, seed=6
        ),
        "sequences, 24": Body(
            *_sequences(1),
            (24,),
            nn.tanh,
            **ONE,
            optimizer=optim.adam,
            rate=0.01,
            epochs=8,
            seed=7,
            build=_reader,
        ),
        "digits, relu 64-64-32, momentum": Body(
            *d, (64, 64, 32), nn.relu, **DIGITS, optimizer=sgd, rate=0.02, epochs=5, seed=11, init=h
        ),
        "digits, tanh 40-40, Adam": Body(
            *d, (40, 40), nn.tanh, **DIGITS, optimizer=optim.adam, rate=2e-3, epochs=6, seed=12
        ),
        "digits, sigmoid 50, the book's cost": Body(
            *_one_hot(d), (50,), nn.sigmoid, 10, _booklike, optim.sgd, 3.0, epochs=5, seed=13, batch_size=10
        ),
        "waves, tanh 32-32, Adam": Body(
            *w, (32, 32), nn.tanh, **two, optimizer=optim.adam, rate=0.01, epochs=12, seed=14
        ),
        "waves, relu 64, momentum": Body(
            *w, (64,), nn.relu, **two, optimizer=sgd, rate=0.02, epochs=12, seed=15, init=h
        ),
        "rings, relu 24-24, RMSprop": Body(
            *_rings(3),
            (24, 24),
            nn.relu,
            1,
            losses.sigmoid_cross_entropy,
            optim.rmsprop,
            5e-3,
            epochs=12,
            seed=16,
            init=h,
        ),
        "sequences, rectified 20": Body(
            *_sequences(4),
            (20,),
            nn.relu,
            **ONE,
            optimizer=optim.adam,
            rate=3e-3,
            epochs=8,
            seed=17,
            build=_rectified,
        ),
    }


def held_out(folder: str | None = None) -> dict[str, Body]:
    """Others; with MNIST where its folder is named."""
    d, p, c = _digits(), _products(21), _clouds(22)
    h = nn.init.he_normal
    bodies = {
        "digits, relu 100, NAdam": Body(
            *d, (100,), nn.relu, **DIGITS, optimizer=optim.nadam, rate=2e-3, epochs=5, seed=101, init=h
        ),
        "digits, elu 60-30, momentum": Body(
            *d, (60, 30), nn.elu, **DIGITS, optimizer=sgd, rate=0.02, epochs=6, seed=102
        ),
        "digits, sigmoid 40, Adam": Body(
            *d, (40,), nn.sigmoid, **DIGITS, optimizer=optim.adam, rate=0.01, epochs=6, seed=103
        ),
        "products, relu 48-48, AdamW": Body(
            *p, (48, 48), nn.relu, **ONE, optimizer=optim.adamw, rate=5e-3, epochs=20, seed=104, init=h
        ),
        "products, tanh 40, momentum": Body(
            *p, (40,), nn.tanh, **ONE, optimizer=sgd, rate=0.01, epochs=20, seed=105
        ),
        "clouds, tanh 16-16, RMSprop": Body(
            *c, (16, 16), nn.tanh, 4, softmax, optim.rmsprop, 3e-3, epochs=10, seed=106
        ),
        "sequences, rectified 28": Body(
            *_sequences(23),
            (28,),
            nn.relu,
            **ONE,
            optimizer=sgd,
            rate=3e-3,
            epochs=10,
            seed=107,
            build=_rectified,
        ),
    }
    if folder is not None:
        m = _mnist(folder)
        bodies |= {
            "MNIST, relu 100, Adam": Body(
                *m, (100,), nn.relu, **DIGITS, optimizer=optim.adam, rate=1e-3, epochs=6, seed=18, init=h
            ),
            "MNIST, tanh 50-50-50, momentum": Body(
                *m, (50, 50, 50), nn.tanh, **DIGITS, optimizer=sgd, rate=0.02, epochs=5, seed=19
            ),
        }
    return bodies


def patients(bodies: dict[str, Body]) -> Iterator[tuple[str, str, Body]]:
    """Disease, body, and the body with the disease."""
    for disease, (_, change) in DISEASES.items():
        for name, body in bodies.items():
            if (sick := change(body)) is not None:
                yield disease, name, sick


def thirty() -> list[tuple[str, str, Body]]:
    """Every disease once, each in another body than the one before, and the first of them once more."""
    every = list(patients(held_out()))
    chosen: list[tuple[str, str, Body]] = []
    turns: Counter[str] = Counter()
    for round_ in range(2):
        for i, disease in enumerate(DISEASES):
            able = [patient for patient in every if patient[0] == disease]
            if len(able) > turns[disease] and len(chosen) < 30:
                chosen.append(able[(i + round_) % len(able)])
                turns[disease] += 1
    return chosen


def ten() -> dict[str, Body]:
    """Healthy bodies: those held out, and three of other kinds."""
    bodies = held_out()
    relu, elu, clouds = (bodies[name] for name in list(bodies)[:2] + list(bodies)[5:6])

    def normal(body: Body) -> Any:
        first, second = random.split(random.key(body.seed))
        hidden = nn.Dense(64, 32, key=first, dtype="float32")
        out = nn.Dense(32, 10, key=second, dtype="float32")
        return nn.Sequential(nn.BatchNorm(64, dtype="float32"), hidden, nn.tanh, nn.Dropout(0.2), out)

    def deep(body: Body) -> Any:
        keys = [random.fold_in(random.key(body.seed), i) for i in range(12)]
        blocks = [
            nn.Residual(
                nn.Sequential(
                    nn.tanh,
                    nn.Dense(24, 24, key=key, init=_times(nn.init.glorot_uniform, 0.3), dtype="float32"),
                )
            )
            for key in keys[2:]
        ]
        first = nn.Dense(64, 24, key=keys[0], dtype="float32")
        return nn.Sequential(first, *blocks, nn.Dense(24, 10, key=keys[1], dtype="float32"))

    raw = _with_inputs(relu, lambda x: 255 * x)
    (x, y), g = clouds.train, clouds.generator
    rare = np.nonzero((y == 0) | (g.random(len(y)) < 0.07))[0]
    return {
        **bodies,
        "digits from 0 to 255, BatchNorm, dropout": replace(raw, build=normal),
        "digits, 12 layers with ways around them": replace(elu, build=deep),
        "clouds, most of one class": replace(clouds, train=(x[rare], y[rare]), epochs=30),
    }


def main() -> None:
    """Print the table of docs/reproductions.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=("developed", "held-out"), default="held-out", help="which bodies")
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST, for two more bodies held out")
    options = parser.parse_args()
    bodies = developed() if options.set == "developed" else held_out(options.data)
    named: dict[str, Counter[str]] = {disease: Counter() for disease in ("healthy", *DISEASES)}
    others: list[str] = []
    everyone = [("healthy", name, body) for name, body in bodies.items()] + list(patients(bodies))
    for disease, name, body in everyone:
        diagnosis, skill = body.diagnosis()
        first = diagnosis.findings[0].name if diagnosis.findings else "healthy"
        named[disease][first] += 1
        if first != (DISEASES[disease][0] if disease in DISEASES else "healthy"):
            others.append(
                f"{name}, {disease}: {first} (skill {'none' if skill is None else format(skill, '.2f')})"
            )
    rows, right, count = [], 0, 0
    for disease, found in named.items():
        truth = DISEASES[disease][0] if disease in DISEASES else "healthy"
        wrong = ", ".join(f"{name} {n}" for name, n in found.items() if name != truth)
        rows.append(("", [disease, truth, f"{found[truth]} of {found.total()}", wrong]))
        if disease in DISEASES:
            right, count = right + found[truth], count + found.total()
    headings = ("what was broken", "its diagnosis", "named first", "otherwise")
    write_table(sys.stdout, f"{len(bodies)} bodies, {count} of them broken", headings, rows)
    sys.stdout.write(
        f"Right: {right} of {count} ({right / count:.1%})\n" + "".join(f"- {x}\n" for x in others)
    )


if __name__ == "__main__":
    main()
