"""Looks while a network trains."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, registry, transforms
from bpkit._protocol import RawArray
from bpkit.data.prefetch import to_device
from bpkit.errors import ArgumentError, CorruptRunError, RecordingError, SaveError
from bpkit.inspect.look import Look, check_examples, look_at
from bpkit.inspect.observe import Loss, Observation, at_home, observe
from bpkit.training import Run, Session, Settings, build_cost, files, settings_of
from bpkit.training.state import Epoch, State, Step

__all__ = ["INSIGHT", "Recorder", "read_looks", "recorder_for", "was_shuffled"]

INSIGHT = "insight.jsonl"
"""The name of the file in a run folder."""

EXAMPLES = 256
"""How many ``bpkit train`` looks at."""

EARLY = frozenset({1, 2, 4, 8, 16, 32})
"""The steps of the first epoch after which there is a look: what goes wrong mostly does so here."""


class Recorder:
    """A callback that looks at a network before, and after each epoch of its training.

    In the first epoch it also looks after steps 1, 2, 4, 8, 16 and 32, and where a training diverges once
    more. It looks through the same examples each time, calls the model as in training with the same key each
    time, and changes nothing: the training has the same bits without it. How far a step moves the weights is
    seen at the step before the look, where it is known how many steps an epoch has; else it is the way since
    the last look, divided by its steps.

    Parameters
    ----------
    loss : callable
        The one of the training, ``(output, target) -> scalar``.
    x : array or tuple of arrays
        Some examples of the training data, one in each row: a few hundred are enough. They are converted to
        library, device and floating dtype of the model.
    y : array
    every : int, optional
        Look also after every so many steps of an epoch.
    path : path, optional
        A file to write a line of JSON to for each look; its folder must be there. Where a training goes on,
        the looks in the file up to there are kept, and those beyond are replaced.
    key : array, optional
        For layers that draw; see :mod:`bpkit.random`. Default: ``random.key(0)``.
    backend : str, optional
        Look with this library, as :func:`bpkit.use_backend` takes it: the weights are copied there for each
        look. ``"numpy"`` has nothing to compile and leaves the device alone. Default: that of the model.

    Attributes
    ----------
    looks : list of Look
        All so far, with those in the file where the training goes on.

    Raises
    ------
    ArgumentError
        If `loss` is no function, `every` is not above 0, or `x` and `y` are no arrays with examples.
    ShapeError
        If `x` and `y` have different numbers of examples.

    Examples
    --------
    >>> from bpkit import losses, nn, optim, random, training
    >>> from bpkit.data import digits
    >>> images, labels = digits().train.images, digits().train.labels
    >>> recorder = Recorder(losses.softmax_cross_entropy, images[:200], labels[:200])
    >>> model = nn.Dense(64, 10, key=random.key(0))
    >>> fitted = training.fit(
    ...     model,
    ...     (images, labels),
    ...     losses.softmax_cross_entropy,
    ...     optim.sgd(0.1),
    ...     epochs=2,
    ...     callbacks=[recorder],
    ... )
    >>> [(look.epoch, look.step) for look in recorder.looks]
    [(0, 0), (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32), (1, 0), (2, 0)]
    >>> recorder.looks[0].loss > recorder.looks[-1].loss
    True
    """

    def __init__(
        self,
        loss: Loss,
        x: Any,
        y: Any,
        *,
        every: int | None = None,
        path: str | os.PathLike[str] | None = None,
        key: RawArray | None = None,
        backend: str | None = None,
    ) -> None:
        if not callable(loss) or isinstance(loss, type):
            raise ArgumentError(
                f"Recorder: loss: expected a function (output, target) -> scalar, such as "
                f"bpkit.losses.softmax_cross_entropy, got {loss!r}"
            )
        if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
            raise ArgumentError(f"Recorder(every={every!r}): expected a whole number above 0, or None")
        check_examples("Recorder", x, y)
        self._loss, self._data, self._every, self._key = loss, (x, y), every, key
        self._path = None if path is None else Path(path)
        self._backend = backend
        self._observe: Callable[..., Observation] = transforms.jit(self._plain)
        self._known: Look | None = None
        self.looks: list[Look] = []
        self._begun = False
        self._steps: int | None = None  # of an epoch, as the last step has said
        self._before: Any = None
        self._ago = 0  # how many steps

    def begin(self, state: State) -> None:
        """Look before the first step; :func:`bpkit.training.fit` calls it.

        Where the training goes on, looks from beyond this place are forgotten, and the network is looked at
        if no look is from here: the process before may have been killed between its save and its look.

        Parameters
        ----------
        state : State

        Raises
        ------
        CorruptRunError
            If the file at `path` is damaged.
        SaveError
            If it cannot be written.
        """
        here = (state.epoch, state.step)
        self._keep(here, included=True)
        if not state.step and not (self.looks and _place(self.looks[-1]) == here):
            self._look(state)
        self._hold(state)

    def __call__(self, event: Step | Epoch, state: State) -> None:
        """Look, if it is time; raises what :meth:`begin` raises."""
        if not self._begun:
            self._keep((state.epoch, state.step), included=False)
        if isinstance(event, Step):
            self._steps = event.steps
            self._ago += 1
            due = self._is_time(state.epoch, event.step)
        else:
            due = True
        if due:
            self._look(state)
        following = state.step + 1
        if following == self._steps or self._is_time(state.epoch, following) or (due and self._steps is None):
            self._hold(state)

    def end(self, state: State) -> None:
        """Look where a training has diverged; :func:`bpkit.training.fit` calls it then."""
        if not (self.looks and _place(self.looks[-1]) == (state.epoch, state.step)):
            self._look(state)

    def _is_time(self, epoch: int, step: int) -> bool:
        """Whether there is a look after this step, whatever else it ends."""
        return (self._every is not None and step % self._every == 0) or (not epoch and step in EARLY)

    def _hold(self, state: State) -> None:
        self._before, self._ago = state.model, 0

    def _plain(self, model: Any, x: Any, y: Any, key: RawArray) -> Observation:
        return observe(model, self._loss, x, y, key=key)

    def _look(self, state: State) -> None:
        model = state.model
        if self._backend is not None:
            with registry.use_backend(self._backend):
                model = to_device(model)
        with at_home(model) as place:
            self._data = x, y = place(self._data)
            key = random.key(0) if self._key is None else self._key
            try:
                seen = self._observe(model, x, y, key)
            except RecordingError:  # the model branches on values, and is trained without jit
                self._observe = self._plain
                seen = self._plain(model, x, y, key)
            before, steps = (self._before, self._ago) if self._ago else (None, 1)
            where = state.epoch, state.step
            look = look_at(seen, self._loss, model, x, y, before, steps, *where, self._known)
        self._known = look
        self.looks.append(look)
        if self._path is not None:
            with _saving(self._path), self._path.open("a", encoding="utf-8") as stream:
                stream.write(_line(look))

    def _keep(self, here: tuple[int, int], included: bool) -> None:
        """Forget the looks from beyond a place, and all where a training begins."""
        self._begun = True
        if here == (0, 0):
            self.looks = []
        elif self._path is not None and self._path.exists():
            self.looks = list(read_looks(self._path))
        self.looks = [at for at in self.looks if _place(at) < here or (included and _place(at) == here)]
        if self._path is not None:
            with _saving(self._path):
                files.write(self._path, "".join(map(_line, self.looks)).encode())


def recorder_for(session: Session) -> Recorder:
    """The recorder of ``bpkit train``: 256 images from all over the training set, into the run folder."""
    data = session.data.train
    backend, device = registry.current()
    rows = np.linspace(0, len(data) - 1, min(EXAMPLES, len(data))).astype(np.int32)
    chosen = backend.from_host(rows, device)
    x, y = xp.take(data.images, chosen, axis=0), xp.take(data.targets, chosen, axis=0)
    cost = build_cost(settings_of(session.run))
    # These networks are small: JAX takes longer to compile a look than NumPy for all looks.
    return Recorder(cost, x, y, path=session.run.path / INSIGHT, backend="numpy")


def read_looks(path: str | os.PathLike[str]) -> tuple[Look, ...]:
    """Read what a :class:`Recorder` has written.

    Parameters
    ----------
    path : path
        Of the file; ``insight.jsonl`` in a run folder.

    Returns
    -------
    tuple of Look
        Without a last line that was cut, as when a process is killed while it writes.

    Raises
    ------
    CorruptRunError
        If another line is none of a Recorder; the message names the line and what is wrong.
    FileNotFoundError
        If there is no such file.
    """
    *lines, _ = Path(path).read_bytes().split(b"\n")
    looks = []
    for number, line in enumerate(lines, 1):
        try:
            looks.append(Look.from_json(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise CorruptRunError(
                f"{path}, line {number}: {error}; nothing else needs the file: to go on without its looks, "
                f"delete the file"
            ) from error
    return tuple(looks)


def was_shuffled(run: Run) -> bool | None:
    """Whether a run took its examples in a random order; None where `fit` chose by their kind."""
    settings = run.settings
    return True if isinstance(settings, Settings) else settings.get("shuffle")


def _place(look: Look) -> tuple[int, int]:
    return look.epoch, look.step


def _line(look: Look) -> str:
    return json.dumps(look.to_json(), allow_nan=False) + "\n"


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(f"{path} could not be written: {error.strerror or error}") from error
