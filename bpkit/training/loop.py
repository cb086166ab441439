"""The training loop: take a batch, differentiate, update, tell.

:func:`train` is a generator. It changes a :class:`State` step by step and yields what happened; whoever
iterates decides what to show, what to save and when to stop. Nothing is lost by stopping between two events:
a state that is saved and loaded again goes on to the same bits.

The whole step is one program of :func:`bpkit.jit`, which takes its batch out of the data on the device.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, registry, transforms
from bpkit._protocol import RawArray
from bpkit.errors import RecordingError
from bpkit.optim import Optimizer
from bpkit.training.placed import PlacedDataset, PlacedSplit
from bpkit.training.state import Epoch, State, Step

__all__ = ["draw_order", "evaluate", "train"]

Cost = Callable[[RawArray, RawArray], RawArray]
"""``(logits, one-hot targets) -> scalar``: the mean over a batch."""


def train(
    state: State,
    data: PlacedDataset,
    cost: Cost,
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
    >>> state.metrics[-1].test_accuracy > 0.8
    True
    """
    step = _training_step(cost, optimizer)
    run = transforms.jit(step, donate_argnums=(0, 1)) if jit else step
    recorded: set[int] = set()
    images, targets, count = data.train.images, data.train.targets, len(data.train)
    backend, device = registry.current()
    whole, rest = divmod(count, batch_size)
    steps = whole + (rest > 0)
    while state.epoch < epochs:
        order = draw_order(key, state.epoch, count)
        batches = xp.reshape(order[: whole * batch_size], (whole, batch_size))
        last = xp.reshape(order[whole * batch_size :], (steps - whole, rest))
        number, counted = None, -1
        started = time.perf_counter() - state.seconds
        while state.step < steps:
            rows, row = (batches, state.step) if state.step < whole else (last, 0)
            if row != counted:
                number = backend.from_host(np.asarray([row], dtype=np.int32), device)
            size = rows.shape[1]
            if jit and size not in recorded:
                # The run that is recorded may round as without jit: its results are not those of the program.
                _record(run, *state.copies(), images, targets, rows, number)
                recorded.add(size)
            number = state.advance(run, images, targets, rows, number, writes_over=jit)
            counted = row + 1
            state.seconds = time.perf_counter() - started
            yield Step(state.epoch + 1, state.step, steps, min(state.step * batch_size, count))
        yield _finish(state, data, batch_size, started)


def _training_step(cost: Cost, optimizer: Optimizer) -> Callable[..., Any]:
    """A function that takes one step, with the batch of the number that it is given, and counts on."""

    def loss_of(model: Any, images: RawArray, targets: RawArray) -> RawArray:
        return cost(model(images), targets)

    def step(
        model: Any,
        optimizer_state: Any,
        images: RawArray,
        targets: RawArray,
        batches: RawArray,
        number: RawArray,
    ) -> tuple[Any, Any, RawArray, RawArray]:
        batch = xp.reshape(xp.take(batches, number, axis=0), (-1,))
        loss, gradients = transforms.value_and_grad(loss_of)(
            model, xp.take(images, batch, axis=0), xp.take(targets, batch, axis=0)
        )
        return *optimizer.update(gradients, optimizer_state, model), loss, number + 1

    return step


def _record(step: Callable[..., Any], *args: Any) -> None:
    try:
        step(*args)
    except RecordingError as error:
        error.add_note("Without recording, every step runs the function itself: train(..., jit=False)")
        raise


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
