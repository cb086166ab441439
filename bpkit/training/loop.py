"""The training loop: take a batch, differentiate, update, tell.

:func:`train` is a generator. It changes a :class:`State` step by step and yields what happened; whoever
iterates decides what to show, what to save and when to stop. Nothing is lost by stopping between two events:
a state that is saved and loaded again goes on to the same bits.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, registry, tree
from bpkit._protocol import RawArray
from bpkit.data import Dataset, Split
from bpkit.errors import BackendError, DataError, DivergedError
from bpkit.optim import Optimizer
from bpkit.transforms import value_and_grad

__all__ = [
    "Epoch",
    "PlacedDataset",
    "PlacedSplit",
    "State",
    "Step",
    "draw_order",
    "evaluate",
    "place",
    "train",
]

_FIND = "Training inside `with bpkit.debug_nans():` names the function and the layer that did it"

Cost = Callable[[RawArray, RawArray], RawArray]
"""``(logits, one-hot targets) -> scalar``: the mean over a batch."""


@dataclass(frozen=True, slots=True)
class PlacedSplit:
    """A split of a data set on the device that trains.

    Attributes
    ----------
    images : array, shape (n, features), floating
    targets : array, shape (n, classes), the same dtype
        1 at the label, 0 elsewhere.
    labels : array of int32, shape (n,)
    """

    images: RawArray
    targets: RawArray
    labels: RawArray

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True)
class PlacedDataset:
    """A :class:`bpkit.data.Dataset` on the device that trains."""

    train: PlacedSplit
    validation: PlacedSplit
    test: PlacedSplit


def place(data: Dataset, dtype: str = "float32") -> PlacedDataset:
    """Copy a data set to the current backend and device.

    Parameters
    ----------
    data : Dataset
    dtype : {"float32", "float64"}
        Of images and targets.

    Returns
    -------
    PlacedDataset

    Raises
    ------
    BackendError
        If the current backend does not have the dtype.
    DataError
        If a split is empty.

    Examples
    --------
    >>> from bpkit.data import digits
    >>> place(digits()).train.targets.shape
    (1257, 10)
    """
    backend, device = registry.current()
    try:
        backend.from_host(np.zeros(1, dtype), device)
    except (TypeError, ValueError) as error:
        raise BackendError(f"training in {dtype} is not possible: {error}") from error

    def move(name: str, split: Split) -> PlacedSplit:
        if not len(split):
            raise DataError(
                f"data set {data.name!r}: {name} is empty; training needs images in all three splits"
            )
        one_hot = split.labels[:, np.newaxis] == np.arange(data.classes)
        return PlacedSplit(
            images=backend.from_host(split.images.astype(dtype), device),
            targets=backend.from_host(one_hot.astype(dtype), device),
            labels=backend.from_host(split.labels.astype(np.int32), device),
        )

    return PlacedDataset(
        move("train", data.train), move("validation", data.validation), move("test", data.test)
    )


@dataclass(slots=True)
class State:
    """Where a training stands; :func:`train` changes it in place.

    Attributes
    ----------
    model : Module
    optimizer_state : tree of arrays
    metrics : list of Epoch
        One for each finished epoch.
    step : int
        Gradient steps done in the epoch after those.
    losses : list
        The loss of each of these steps: a float once it was read, before that a scalar on the device, so that
        the device need not be waited for in every step.
    seconds : float
        Time these steps took.
    """

    model: Any
    optimizer_state: Any
    metrics: "list[Epoch]" = field(default_factory=list)
    step: int = 0
    losses: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.metrics)

    def read_losses(self) -> list[float]:
        """The losses of the begun epoch; waits for the device.

        Raises
        ------
        DivergedError
            If one is not finite; the message names epoch and step and says what to try.
        """
        start = len(self.losses)
        while start and not isinstance(self.losses[start - 1], float):
            start -= 1
        for step in range(start, len(self.losses)):
            loss = float(self.losses[step])
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss of epoch {self.epoch + 1}, step {step + 1} is {loss}: the steps were too "
                    f"long; try a smaller learning rate (a third of this one), or smaller initial weights. "
                    f"{_FIND}"
                )
            self.losses[step] = loss
        return self.losses

    def check_weights(self) -> None:
        """Raise :class:`DivergedError` if a weight is not finite."""
        for name, leaf in zip(tree.paths(self.model), tree.leaves(self.model), strict=True):
            if not bool(xp.all(xp.isfinite(leaf))):
                raise DivergedError(
                    f"after step {self.step} of epoch {self.epoch + 1} model{name} is no longer finite: the "
                    f"steps were too long; try a smaller learning rate (a third of this one). {_FIND}"
                )


@dataclass(frozen=True, slots=True)
class Step:
    """One gradient step is done.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    step, steps : int
        Which step of how many of the epoch, counted from 1.
    images : int
        How many images of this epoch have been used.
    """

    epoch: int
    step: int
    steps: int
    images: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass through the training images is done.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean over the images, each taken before the step that it contributed to.
    train_accuracy, validation_accuracy, test_accuracy : float
        The share of images whose largest output is the right one, in [0, 1], after the epoch.
    seconds : float
        Time of the gradient steps.
    evaluation_seconds : float
        Time of measuring the accuracies.
    """

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    evaluation_seconds: float


def train(
    state: State,
    data: PlacedDataset,
    cost: Cost,
    optimizer: Optimizer,
    *,
    key: RawArray,
    batch_size: int,
    epochs: int,
) -> Iterator[Step | Epoch]:
    """Train a model by stochastic gradient descent, event by event.

    The images are taken in a random order, another in each epoch; it depends on `key` and the epoch only and
    is the same on every backend. The last batch of an epoch is smaller if the images do not divide evenly.

    Parameters
    ----------
    state : State
        Where to start; changed in place.
    data : PlacedDataset
        On the device of the model.
    cost : callable
        ``(logits, targets) -> scalar``, mean over the batch.
    optimizer : Optimizer
    key : array
        Decides the order; see :mod:`bpkit.random`.
    batch_size : int
    epochs : int
        How many epochs `state` shall have in the end, those it has already included.

    Yields
    ------
    Step or Epoch

    Raises
    ------
    DivergedError
        If the loss or a weight is no longer finite. It is noticed when the losses are read: at the end of an
        epoch, and whenever the caller calls ``state.read_losses()``.

    Examples
    --------
    >>> from bpkit import nn, losses, optim
    >>> from bpkit.data import digits
    >>> model = nn.Dense(64, 10, key=random.key(0))
    >>> optimizer = optim.sgd(0.5)
    >>> state = State(model, optimizer.init(model))
    >>> events = train(
    ...     state,
    ...     place(digits()),
    ...     losses.softmax_cross_entropy,
    ...     optimizer,
    ...     key=random.key(1),
    ...     batch_size=50,
    ...     epochs=3,
    ... )
    >>> sum(isinstance(event, Step) for event in events)
    78
    >>> state.metrics[-1].test_accuracy > 0.8
    True
    """
    gradient = value_and_grad(lambda model, images, targets: cost(model(images), targets))
    images, targets, count = data.train.images, data.train.targets, len(data.train)
    steps = -(-count // batch_size)
    while state.epoch < epochs:
        order = draw_order(key, state.epoch, count)
        started = time.perf_counter() - state.seconds
        while state.step < steps:
            used = min((state.step + 1) * batch_size, count)
            batch = order[state.step * batch_size : used]
            loss, gradients = gradient(
                state.model, xp.take(images, batch, axis=0), xp.take(targets, batch, axis=0)
            )
            state.model, state.optimizer_state = optimizer.update(
                gradients, state.optimizer_state, state.model
            )
            state.losses.append(loss)
            state.step += 1
            state.seconds = time.perf_counter() - started
            yield Step(state.epoch + 1, state.step, steps, used)
        yield _finish(state, data, batch_size, started)


def draw_order(key: RawArray, epoch: int, count: int) -> RawArray:
    """The order of the training images in an epoch, drawn on the host, which is quicker.

    Parameters
    ----------
    key : array
        From :mod:`bpkit.random`, on whatever backend.
    epoch : int
        Counted from 0.
    count : int
        How many images there are.

    Returns
    -------
    array of int32, shape (count,)
        A permutation of ``range(count)`` on the current device.

    Examples
    --------
    >>> sorted(draw_order(random.key(0), 0, 4).tolist())
    [0, 1, 2, 3]
    """
    with registry.use_backend("numpy"):
        # Libraries without uint32 keep the two words of a key in wider integers.
        host_key = registry.backend_of(key).to_host(key).astype(np.uint32)
        order = np.asarray(random.permutation(random.fold_in(host_key, epoch), count))
    backend, device = registry.current()
    return backend.from_host(order.astype(np.int32), device)


def _finish(state: State, data: PlacedDataset, batch_size: int, started: float) -> Epoch:
    """Close an epoch: read its losses, measure, and make the state ready for the next."""
    losses = state.read_losses()
    seconds = time.perf_counter() - started
    state.check_weights()
    last = len(data.train) - (len(losses) - 1) * batch_size
    total = math.fsum(loss * batch_size for loss in losses[:-1]) + losses[-1] * last
    measured = time.perf_counter()
    epoch = Epoch(
        epoch=state.epoch + 1,
        loss=total / len(data.train),
        train_accuracy=evaluate(state.model, data.train),
        validation_accuracy=evaluate(state.model, data.validation),
        test_accuracy=evaluate(state.model, data.test),
        seconds=seconds,
        evaluation_seconds=time.perf_counter() - measured,
    )
    state.metrics.append(epoch)
    state.step, state.losses, state.seconds = 0, [], 0.0
    return epoch


def evaluate(model: Callable[[RawArray], RawArray], split: PlacedSplit, batch_size: int = 10_000) -> float:
    """The share of images that a model reads correctly.

    Parameters
    ----------
    model : callable
        ``images (n, features) -> logits (n, classes)``; the largest logit is the answer, the first of equals.
    split : PlacedSplit
        On the device of the model.
    batch_size : int
        Images at a time.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> from bpkit.data import digits
    >>> split = place(digits()).test
    >>> evaluate(lambda images: 0 * images[:, :10], split)  # always answers 0; the test has 36 zeros
    0.1
    """
    right = 0
    for start in range(0, len(split), batch_size):
        stop = min(start + batch_size, len(split))
        answers = xp.argmax(model(split.images[start:stop, ...]), axis=-1)
        right += int(xp.sum(xp.astype(answers == split.labels[start:stop], "int32")))
    return right / len(split)
