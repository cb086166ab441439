"""Train any model on any data, from one call."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import nn, random, registry, tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, DivergedError, TrainingInterrupted
from bpkit.optim import Optimizer
from bpkit.training.arguments import check_data, check_kinds, check_model
from bpkit.training.checks import checker
from bpkit.training.feeds import feed_of
from bpkit.training.interrupt import Interrupt
from bpkit.training.loop import host_key
from bpkit.training.loop import steps as events_of
from bpkit.training.measure import Measure, Metric, named_metrics
from bpkit.training.monitor import Monitor
from bpkit.training.progress import Progress
from bpkit.training.saves import Saves
from bpkit.training.state import Epoch, State, Step
from bpkit.training.step import Loss, scaled

__all__ = ["Fitted", "fit"]

Callback = Callable[[Step | Epoch, State], Any]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What :func:`fit` returns.

    Attributes
    ----------
    model : Module
        After the last step; with `patience` that of the best epoch.
    state : State
        Where the training stands; :func:`fit` goes on with it.
    history : tuple of Epoch
    best : Epoch or None
        The epoch with the best value of what was monitored; None before the end of the first.
    ended : {"done", "patience", "callback", "interrupted"}
        Why it ended: all epochs are done, none was better for too long, a callback returned True, or a signal
        came.
    """

    model: Any
    state: State
    history: tuple[Epoch, ...]
    best: Epoch | None
    ended: str


def fit(
    model: Any,
    data: Any,
    loss: Loss,
    optimizer: Optimizer,
    *,
    epochs: int = 1,
    steps: int | None = None,
    batch_size: int | None = 32,
    shuffle: bool | None = None,
    drop_last: bool = False,
    key: RawArray | None = None,
    validation: Any = None,
    metrics: Mapping[str, Metric] | Sequence[Metric] | None = None,
    monitor: str | None = None,
    highest: bool | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    precision: str | None = None,
    nan: str = "raise",
    callbacks: Sequence[Callback] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool | str = False,
    save_every: int | None = None,
    keep: int = 1,
    prefetch: int = 0,
    progress: bool = True,
    jit: bool = True,
) -> Fitted:
    """Train a model.

    A step is one compiled program: batch, output, loss, gradients, update. The same key, model and data give
    the same training on every backend, up to rounding, and to the bit on the same one, wherever it was
    interrupted.

    Parameters
    ----------
    model : Module or State
        A callable tree of arrays. It runs on the backend and device of its arrays, in training mode: see
        :func:`bpkit.nn.training_call`. A :class:`State` goes on where it stands.
    data : pair of arrays, indexable or iterable
        - ``(x, y)``: arrays with an example in each row. They are kept on the device, where each step gathers
          its batch. If x is a tuple of arrays, the model takes several inputs.
        - What has a length and an index holds examples, pairs ``(x, y)``; a list, or a PyTorch data set.
        - Any other iterable gives examples one after another, also without end.
        - With ``batch_size=None`` the last two give whole batches, as a PyTorch DataLoader does.

        Floating numbers are converted to the dtype of the model.
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch; see :mod:`bpkit.losses`.
    optimizer : Optimizer
        See :mod:`bpkit.optim`.
    epochs : int
        How many epochs the model shall have in the end.
    steps : int, optional
        Steps of an epoch; needed where the data have no end. Default: one pass through the data.
    batch_size : int or None
        Examples of a step. The last batch of a pass is smaller if they do not divide evenly.
    shuffle : bool, optional
        Whether to take the examples in a random order, another one in each epoch. Default: yes, but for
        iterables that have no index.
    drop_last : bool
        Whether to leave a smaller last batch out.
    key : array, optional
        Decides that order and what layers draw; see :mod:`bpkit.random`. Default: ``random.key(0)``.
    validation : as `data`, optional
        Measured after each epoch: ``"validation_loss"``, and ``"validation_NAME"`` for each of `metrics`.
        The model runs batch by batch; loss and metrics are called once, on the outputs and targets of all
        batches put together, for which the device needs memory.
    metrics : mapping of str to callable, or sequence of callables
        ``(output, target) -> scalar array``, of all examples of `validation` at once; see
        :mod:`bpkit.metrics`.
    monitor : str, optional
        What decides which epoch is the best: ``"loss"``, ``"validation_loss"`` or a metric of `validation`.
        Default: ``"validation_loss"`` if there is `validation`.
    highest : bool, optional
        Whether the highest value of `monitor` is the best. Default: no for a loss; for a metric it must be
        said.
    patience : int, optional
        Stop after so many epochs without a new best one, and return the model of the best.
    min_delta : float
        By how much a new best must be better.
    precision : {"bfloat16", "float16"}, optional
        Run the model in this dtype; parameters, loss and optimizer stay in theirs. For float16 the loss is
        scaled; see :func:`bpkit.training.step.scaled`.
    nan : {"raise", "skip"}
        What to do about data with a NaN or an infinity: name it, or leave it out (of arrays the
        example, else the batch).
    callbacks : sequence of callable
        Each is called with every event and the state: ``callback(event, state)``. An event is a :class:`Step`
        or an :class:`Epoch`. One that returns True ends the training. One with a method ``begin(state)`` is
        told before the first step, one with a method ``end(state)`` when the training has diverged.
    folder : path, optional
        Save the training there after each epoch, and when Ctrl-C or SIGTERM ends it.
    resume : bool or "previous"
        Go on with the training in `folder`, if there is one. ``"previous"``: with the latest whole one of the
        earlier saves, if the last one is damaged. The loss may be another one, and so may the settings of the
        optimizer.
    save_every : int, optional
        Save also every so many steps of an epoch.
    keep : int
        How many earlier saves to keep, in ``saves`` inside `folder`, besides the last one and that of the
        best epoch.
    prefetch : int
        How many batches a thread makes ready in the background, of data that are no arrays.
    progress : bool
        Show a progress bar on standard error, if that is a terminal.
    jit : bool
        Whether steps are compiled. If not, model, loss and optimizer run as they are, to find mistakes.

    Returns
    -------
    Fitted
        The model with what is known about its training.

    Raises
    ------
    TrainingInterrupted
        A KeyboardInterrupt, after Ctrl-C: the step that was running is done, the training is saved if there
        is a `folder`, and ``error.fitted`` is what would have been returned. The second Ctrl-C raises
        KeyboardInterrupt at once.
    SystemExit
        After SIGTERM, likewise, with the exit code 143.
    ArgumentError
        If a setting cannot be used, the model has nothing to train, or the loss is no scalar.
    DataError, ShapeError
        If the data are empty, have a number that is not finite, are no pairs, can be read fewer times than
        there are epochs, or have a label that the loss does not take, or an id for which an
        :class:`bpkit.nn.Embedding` has no vector; the message names batch and place.
    DivergedError
        If the loss or a weight is no longer finite.
    BackendError
        If the backend has no such `precision`.
    RunError, CorruptRunError, SaveError
        If `folder` cannot be read or written; what was saved stays as it was.

    Notes
    -----
    Where the targets are integers, the model runs on one example before the first step, to know how many
    classes there are. With `jit` the Python code of model and loss runs only while a program is recorded,
    once for each shape of a batch: what it counts counts recordings, and what it draws with ``numpy.random``
    is the same in every step. Draw with :mod:`bpkit.random`, with the key of :mod:`bpkit.nn.mode`.

    To go on with a stream that is read from its beginning, as many batches are read and left out as the
    training has used.

    Examples
    --------
    >>> from bpkit import losses, nn, optim, xp
    >>> from bpkit.data import digits
    >>> data = digits()
    >>> def accuracy(logits, labels):
    ...     return xp.mean(xp.astype(xp.argmax(logits, axis=1) == labels, "float32"))
    >>> fitted = fit(
    ...     nn.Dense(64, 10, key=random.key(0)),
    ...     (data.train.images, data.train.labels),
    ...     losses.softmax_cross_entropy,
    ...     optim.adam(0.01),
    ...     epochs=5,
    ...     validation=(data.validation.images, data.validation.labels),
    ...     metrics=[accuracy],
    ... )
    >>> len(fitted.history), fitted.ended
    (5, 'done')
    >>> fitted.history[-1].metrics["validation_accuracy"] > 0.9
    True
    """
    _check_settings(epochs, steps, batch_size, patience, min_delta, nan, save_every, keep, prefetch)
    given = model.model if isinstance(model, State) else model
    check_kinds(loss, optimizer, metrics, callbacks, key)
    check_model(given)
    check_data("data", data, batch_size, epochs if steps is None else 1)
    if validation is not None:
        check_data("validation", validation, batch_size)
    arrays = tree.leaves(nn.partition(given).trainable)
    backend = registry.backend_of(arrays[0])
    dtype = str(arrays[0].dtype).rpartition(".")[2]
    optimizer = scaled(optimizer) if precision == "float16" else optimizer
    named = named_metrics(metrics)
    skip = nan == "skip"
    with registry.use_backend(f"{backend.name}:{backend.device_of(arrays[0])}"), ExitStack() as stack:
        key = random.key(0) if key is None else key
        check = checker(loss, given, batch_size=batch_size, skip=skip, jit=jit)
        indexed = isinstance(data, tuple) or (hasattr(data, "__len__") and hasattr(data, "__getitem__"))
        feed = feed_of(
            data,
            batch_size=batch_size,
            key=key if (indexed if shuffle is None else shuffle) else None,
            steps=steps,
            ahead=prefetch,
            dtype=dtype,
            check=check,
            skip=skip,
            drop_last=drop_last,
        )
        measure = None
        if validation is not None:
            functions = {f"validation_{name}": f for name, f in {"loss": loss, **named}.items()}
            measure = Measure(validation, functions, batch_size, check, dtype, jit, skip)
        elif named:
            raise ArgumentError("fit: metrics are measured on validation, and there is none")
        watched = Monitor.of(monitor, highest, patience, min_delta, () if measure is None else measure.names)
        state = (
            model if isinstance(model, State) else State(model, optimizer.init(nn.partition(model).trainable))
        )
        saves = None
        if folder is not None:
            settings = {
                "key": host_key(key).tolist(),
                "batch_size": batch_size,
                "shuffle": shuffle,
                "drop_last": drop_last,
                "steps": feed.steps,
                "precision": precision,
                "nan": nan,
                "jit": jit,
                "loss": getattr(loss, "__qualname__", type(loss).__name__),
            }
            saves = stack.enter_context(Saves(folder, settings, state, epochs, keep, watched, resume))
            state = saves.state
        elif resume or save_every:
            raise ArgumentError("fit: resume and save_every need a folder: folder='runs/name'")
        events = events_of(
            state,
            feed,
            loss,
            optimizer,
            key=key,
            epochs=epochs,
            measure=measure,
            watch=watched.value,
            precision=precision,
            jit=jit,
        )
        interrupt = stack.enter_context(Interrupt())
        bar = stack.enter_context(Progress(epochs, state)) if progress else None
        # What overflows is reported once, and with advice, by the loop.
        stack.enter_context(np.errstate(over="ignore", invalid="ignore"))
        ended, best_model = "done", None
        if watched.is_over(state.metrics):
            ended, events = "patience", iter(())
        for callback in callbacks:
            if hasattr(callback, "begin"):
                callback.begin(state)
        try:
            for event in events:
                if isinstance(event, Epoch) and patience is not None and watched.best(state.metrics) is event:
                    best_model = state.model
                if saves is not None and (
                    isinstance(event, Epoch) or (save_every and event.step % save_every == 0)
                ):
                    saves.save()
                if bar is not None:
                    bar(event)
                asked = [_is_true(callback(event, state)) for callback in callbacks]
                if interrupt.signal is not None:
                    ended = "interrupted"
                elif any(asked):
                    ended = "callback"
                elif isinstance(event, Epoch) and watched.is_over(state.metrics):
                    ended = "patience"
                else:
                    continue
                break
        except DivergedError:
            for callback in callbacks:
                if hasattr(callback, "end"):
                    callback.end(state)
            raise
        if saves is not None and state.step:
            saves.save()
        best = watched.best(state.metrics)
        result = state.model
        if patience is not None and best is not None and best.epoch != (0 if state.step else state.epoch):
            if best_model is None and saves is not None:
                best_model = saves.model_of(best)
            result = state.model if best_model is None else best_model
    fitted = Fitted(result, state, tuple(state.metrics), best, ended)
    # It may have come after the last event, too.
    if interrupt.is_ctrl_c:
        raise TrainingInterrupted(_way_on(state, folder), fitted)
    interrupt.pass_on()
    return fitted


def _way_on(state: State, folder: str | os.PathLike[str] | None) -> str:
    """Where Ctrl-C has ended a training, and how it goes on."""
    where = f"step {state.step} of epoch {state.epoch + 1}" if state.step else f"epoch {state.epoch}"
    what = f"fit: interrupted after {where}; what there was is `fitted` of this error"
    if folder is None:
        return f"{what} (at a prompt: sys.last_value.fitted). Nothing is saved, since no folder was given"
    return f"{what}, and saved; go on with: fit(..., folder={os.fspath(folder)!r}, resume=True)"


def _check_settings(
    epochs: Any,
    steps: Any,
    batch_size: Any,
    patience: Any,
    min_delta: Any,
    nan: Any,
    save_every: Any,
    keep: Any,
    prefetch: Any,
) -> None:
    counts = {"epochs": epochs, "steps": steps, "batch_size": batch_size, "patience": patience}
    counts |= {"save_every": save_every}
    for name, value in counts.items():
        optional = name != "epochs"
        if not ((optional and value is None) or _whole(value, 1)):
            raise ArgumentError(
                f"fit({name}={value!r}): expected a whole number above 0{' or None' if optional else ''}"
            )
    if not _whole(keep, 0):
        raise ArgumentError(f"fit(keep={keep!r}): expected a whole number, 0 for no earlier save")
    if not _whole(prefetch, 0):
        raise ArgumentError(f"fit(prefetch={prefetch!r}): expected a whole number, 0 for no thread")
    if not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
        raise ArgumentError(f"fit(min_delta={min_delta!r}): expected a finite number, not negative")
    if nan not in ("raise", "skip"):
        raise ArgumentError(f"fit(nan={nan!r}): expected 'raise' or 'skip'")


def _is_true(value: Any) -> bool:
    """Whether it is True itself, Python's or NumPy's: what some function returns by the way is no request."""
    return isinstance(value, bool | np.bool_) and bool(value)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
