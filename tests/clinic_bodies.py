"""What trainings of the clinic are made of: a body, its data, networks that have no layers in a row."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from bpkit import inspect, nn, random, training
from bpkit import namespace as xp
from bpkit.data import digits, mnist
from bpkit.errors import DivergedError
from bpkit.inspect.doctor_record import Record
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


# The data.


@cache
def of_digits() -> tuple[Pair, Pair]:
    data = digits()
    return tuple(  # type: ignore[return-value]
        (split.images, split.labels.astype(np.int32)) for split in (data.train, data.validation)
    )


@cache
def of_mnist(folder: str, count: int = 2000) -> tuple[Pair, Pair]:
    data = mnist(folder)
    return tuple(  # type: ignore[return-value]
        (split.images[:count], split.labels[:count].astype(np.int32))
        for split in (data.train, data.validation)
    )


def one_hot(pairs: tuple[Pair, Pair]) -> tuple[Pair, Pair]:
    return tuple((x, np.eye(10, dtype=np.float32)[y]) for x, y in pairs)  # type: ignore[return-value]


def _split(x: Any, y: Any) -> tuple[Pair, Pair]:
    x, y = x.astype(np.float32), y.astype(y.dtype if y.dtype.kind == "i" else np.float32)
    return (x[:-200], y[:-200]), (x[-200:], y[-200:])


@cache
def friedman(seed: int) -> tuple[Pair, Pair]:
    """J. Friedman's first function (1991) of ten features, scaled."""
    g = np.random.default_rng(seed)
    x = g.uniform(size=(1000, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y - y.mean()) / y.std() + 0.1 * g.normal(size=1000)
    return _split((x - 0.5) * 12**0.5, y[:, np.newaxis])


@cache
def waves(seed: int) -> tuple[Pair, Pair]:
    """Two targets, smooth functions of eight features."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1000, 8))
    y = np.stack([np.sin(x[:, 0] + x[:, 1]) + 0.5 * x[:, 2], np.tanh(x[:, 3]) * x[:, 4]], axis=1)
    return _split(x, y + 0.1 * g.normal(size=y.shape))


@cache
def rings(seed: int) -> tuple[Pair, Pair]:
    """Two classes, one around the other, in six dimensions."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1200, 6))
    inside = np.sqrt(np.sum(x**2, axis=1)) + 0.1 * g.normal(size=1200) < 2.3
    return _split(x, inside[:, np.newaxis].astype(np.float32))


@cache
def products(seed: int) -> tuple[Pair, Pair]:
    """A product and a square among twelve features."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(1400, 12))
    y = x[:, 0] * x[:, 1] + 0.7 * x[:, 2] ** 2 + x[:, 3] - 0.7
    return _split(x, (y / y.std() + 0.1 * g.normal(size=1400))[:, np.newaxis])


@cache
def clouds_of_points(seed: int) -> tuple[Pair, Pair]:
    """Four classes, each two clouds of points with five features."""
    g = np.random.default_rng(seed)
    centres, labels = 1.5 * g.normal(size=(8, 5)), np.arange(8) % 4
    cloud = g.integers(8, size=1400)
    return _split((centres[cloud] + 0.6 * g.normal(size=(1400, 5))) / 1.6, labels[cloud].astype(np.int32))


@cache
def sequences(seed: int) -> tuple[Pair, Pair]:
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


def reader(body: Body, gain: float = 1.0) -> Reader:
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


def rectified(body: Body) -> Rectified:
    n, options = body.hidden[0], {"dtype": "float32"}
    into, across, out = (random.fold_in(random.key(body.seed), i) for i in range(3))
    return Rectified(
        nn.Dense(2, n, key=into, **options),
        nn.Dense(n, n, key=across, init=nn.init.orthogonal, bias=False, **options),
        nn.Dense(n, 1, key=out, **options),
    )
