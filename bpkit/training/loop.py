"""The training loop: take a batch, differentiate, update, tell.

:func:`steps` is a generator, and :func:`train` the same for data sets of images. It changes a :class:`State`
step by step and yields what happened; whoever iterates decides what to show, what to save and when to stop.
Nothing is lost by stopping between two events: a state that is saved and loaded again goes on to the same
bits.

The whole step is one program of :func:`bpkit.jit`; see :mod:`bpkit.training.step`.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, registry, transforms
from bpkit._protocol import RawArray
from bpkit.errors import DataError, RecordingError
from bpkit.optim import Optimizer
from bpkit.training.feeds import Feed, Resident
from bpkit.training.placed import PlacedDataset, PlacedSplit
from bpkit.training.state import Epoch, State, Step
from bpkit.training.step import KEYS, Loss, training_step

__all__ = ["evaluate", "host_key", "placed_key", "step_keys", "steps", "train"]


def train(
    state: State,
    data: PlacedDataset,
    cost: Loss,
    optimizer: Optimizer,
    *,
    key: RawArray,
    batch_size: int,
    epochs: int,
    jit: bool = True,
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
    jit : bool
        Whether a step runs as one compiled program; see :func:`bpkit.jit`. It is recorded twice, for the
        batches and for the last one. The model and `cost` are then run in these recordings only, so that what
        they read besides arrays and their arguments keeps its value. Without jit they are run in every step;
        the results are the same up to rounding.

    Yields
    ------
    Step or Epoch

    Raises
    ------
    DivergedError
        If the loss or a weight is no longer finite. It is noticed when the losses are read: at the end of an
        epoch, and whenever the caller calls ``state.read_losses()``.
    RecordingError
        With `jit`, if the model or `cost` branches on the value of an array.

    Notes
    -----
    A compiled step writes the new weights over the old ones. What was read from `state` before is left as it
    is, but Ctrl-C in the middle of a step leaves weights of no step, which `state` then refuses to hand out
    (:class:`InterruptedStepError`). ``bpkit train`` waits for the end of the step.

    Examples
    --------
    >>> from bpkit import nn, losses, optim
    >>> from bpkit.data import digits
    >>> from bpkit.training import place
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
    >>> state.metrics[-1].metrics["test_accuracy"] > 0.8
    True
    """
    feed = Resident(data.train.images, data.train.targets, batch_size, key)

    def measure(model: Any) -> Mapping[str, float]:
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        return {f"{name}_accuracy": evaluate(model, split) for name, split in splits.items()}

    yield from steps(state, feed, cost, optimizer, key=key, epochs=epochs, measure=measure, jit=jit)


def steps(
    state: State,
    feed: Feed,
    loss: Loss,
    optimizer: Optimizer,
    *,
    key: RawArray,
    epochs: int,
    measure: Callable[[Any], Mapping[str, float]] | None = None,
    watch: Callable[[Epoch], float] | None = None,
    precision: str | None = None,
    jit: bool = True,
) -> Iterator[Step | Epoch]:
    """The loop itself: train a model on the batches of a feed, event by event.

    Parameters
    ----------
    state : State
        Where to start; changed in place.
    feed : Feed
        Of :mod:`bpkit.training.feeds`.
    loss : callable
        ``(output, target) -> scalar``, mean over the batch.
    optimizer : Optimizer
    key : array
        For layers that draw. Step s of epoch e draws with row ``s % 1024`` of
        ``split(fold_in(fold_in(key, e), s // 1024), 1024)``.
    epochs : int
        How many epochs `state` shall have in the end.
    measure : callable, optional
        ``model -> {name: number}``, at the end of each epoch.
    watch : callable, optional
        ``epoch -> number``, for optimizers whose steps depend on how it changes.
    precision : str, optional
        As for :func:`bpkit.training.fit`; the optimizer is then the one of :func:`bpkit.training.step.scaled`
        for float16.
    jit : bool
        As for :func:`train`.

    Yields
    ------
    Step or Epoch

    Raises
    ------
    DivergedError, RecordingError
        As :func:`train`.
    DataError
        If an epoch has no batch.
    """
    step = training_step(loss, optimizer, feed.take, precision)
    run = transforms.jit(step, donate_argnums=(0, 1)) if jit else step
    recorded: set[Hashable] = set()
    backend, device = registry.current()
    while state.epoch < epochs:
        number = keys = counted = None
        total, started = feed.steps, time.perf_counter() - state.seconds
        while (batch := feed.batch(epoch := len(state.metrics), done := state.step)) is not None:
            data, kind = batch
            if (epoch, done) != counted:  # the first one, or somebody else has changed the state
                number, keys = backend.from_host(np.asarray([done], dtype=np.int32), device), None
            if keys is None or not done % KEYS:
                keys = step_keys(key, epoch, done // KEYS)
            if jit and kind not in recorded:
                # The run that is recorded may round as without jit: its results are not those of the program.
                _record(run, *state.copies(), *data, keys, number)
                recorded.add(kind)
            number = state.advance(run, *data, keys, number, writes_over=jit)
            counted = (epoch, done + 1)
            state.seconds = time.perf_counter() - started
            yield Step(epoch + 1, done + 1, total, feed.examples(done + 1))
        epoch_done = _finish(state, feed, measure, started)
        if watch is not None:
            state.observe(optimizer, watch(epoch_done))
        yield epoch_done


def step_keys(key: RawArray, epoch: int, chunk: int) -> RawArray:
    """The keys of 1,024 steps, drawn on the host, which is quicker."""
    with registry.use_backend("numpy"):
        drawn = random.split(random.fold_in(random.fold_in(host_key(key), epoch), chunk), KEYS)
    return placed_key(drawn)


def host_key(key: RawArray) -> np.ndarray[Any, Any]:
    """A key as NumPy has it; libraries without uint32 keep the two words in wider integers."""
    return registry.backend_of(key).to_host(key).astype(np.uint32)


def placed_key(key: np.ndarray[Any, Any]) -> RawArray:
    """Keys of NumPy as the current backend has them."""
    backend, device = registry.current()
    return backend.from_host(key.astype(str(random.key(0).dtype).rpartition(".")[2]), device)


def _record(step: Callable[..., Any], *args: Any) -> None:
    try:
        step(*args)
    except RecordingError as error:
        error.add_note("Without recording, every step runs the function itself: jit=False")
        raise


def _finish(
    state: State, feed: Feed, measure: Callable[[Any], Mapping[str, float]] | None, started: float
) -> Epoch:
    """Close an epoch: read its losses, measure, and make the state ready for the next."""
    if not state.step:
        raise DataError(f"epoch {state.epoch + 1} has no batch: there is nothing in the data")
    losses = state.read_losses()
    seconds = time.perf_counter() - started
    state.check_weights()
    sizes = feed.sizes(len(losses))
    total = math.fsum(loss * size for loss, size in zip(losses, sizes, strict=True))
    measured = time.perf_counter()
    epoch = Epoch(
        epoch=state.epoch + 1,
        loss=total / sum(sizes),
        metrics={} if measure is None else dict(measure(state.model)),
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
    >>> from bpkit.training import place
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
