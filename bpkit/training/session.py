"""A training and its run folder: start, go on, save."""

import os
from collections.abc import Iterator

from bpkit.data import Dataset, digits, mnist
from bpkit.errors import DataError, RunError, SettingsError
from bpkit.training.build import build_cost, build_optimizer, order_key, start
from bpkit.training.loop import train
from bpkit.training.placed import PlacedDataset, place
from bpkit.training.run import Run
from bpkit.training.settings import Settings
from bpkit.training.snapshots import restored, snapshot
from bpkit.training.state import Epoch, State, Step

__all__ = ["Session", "load_dataset", "restore", "settings_of"]


def load_dataset(settings: Settings, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set of a run.

    Parameters
    ----------
    settings : Settings
    folder : path, optional
        Where the files of MNIST are; without it they are looked for, see :func:`bpkit.data.mnist`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file is missing or damaged, or a folder is given for digits, which are inside the package.
    """
    if settings.dataset == "mnist":
        return mnist(folder)
    if folder is not None:
        raise DataError(f"{settings.dataset} comes with bpkit, not from a folder; leave the folder out")
    return digits()


def restore(run: Run) -> State:
    """The state that a run was saved with, on the current backend.

    Parameters
    ----------
    run : Run
        Saved on whatever backend.

    Returns
    -------
    State

    Raises
    ------
    CorruptRunError
        If names, shapes or dtypes of the saved arrays are not those of the model in the run's settings.
    """
    return restored(run.saved, start(settings_of(run)), str(run.path))


def settings_of(run: Run) -> Settings:
    """The settings of a run of ``bpkit train``."""
    if isinstance(run.settings, Settings):
        return run.settings
    raise RunError(
        f"{run.path} is a training of bpkit.training.fit, whose model is in a program; use it there: "
        f"training.load_model({str(run.path)!r}, model), or go on: "
        f"fit(..., folder={str(run.path)!r}, resume=True)"
    )


class Session:
    """A training that is saved in a run folder after every epoch.

    Made by :meth:`start` and :meth:`resume`, on the current backend.

    Attributes
    ----------
    run : Run
    state : State
        Where the training stands.
    data : PlacedDataset
        What it learns from, on the device.
    epochs : int
        How many epochs the run shall have in the end.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from bpkit.training import preset
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "run"
    >>> session = Session.start(preset("digits", epochs=2), folder)
    >>> [event.metrics["test_accuracy"] > 0.85 for event in session.events() if isinstance(event, Epoch)]
    [True, True]
    >>> session = Session.resume(Run.open(folder), epochs=3)
    >>> [event.epoch for event in session.events() if isinstance(event, Epoch)]
    [3]
    """

    def __init__(self, run: Run, state: State, data: PlacedDataset, epochs: int) -> None:
        self.run = run
        self.state = state
        self.data = data
        self.epochs = epochs

    @classmethod
    def start(
        cls, settings: Settings, folder: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
    ) -> "Session":
        """Begin a run in a new folder.

        Parameters
        ----------
        settings : Settings
        folder : path
            A new or empty folder.
        data : path, optional
            The folder with the data.

        Returns
        -------
        Session

        Raises
        ------
        BpkitError
            If the data is missing, the backend lacks the dtype, or the folder is taken or cannot be written.
        """
        placed = place(load_dataset(settings, data), settings.dtype)
        state = start(settings)
        origin = None if data is None else os.path.abspath(data)
        run = Run.create(folder, settings, snapshot(state, settings.epochs), origin)
        return cls(run, state, placed, settings.epochs)

    @classmethod
    def resume(
        cls, run: Run, data: str | os.PathLike[str] | None = None, epochs: int | None = None
    ) -> "Session":
        """Go on with a run; on the backend that saved it, to the same bits as if it had not been interrupted.

        Parameters
        ----------
        run : Run
        data : path, optional
            The folder with the data. Default: where it was.
        epochs : int, optional
            How many epochs the run shall have in the end. Default: as many as it was to have.

        Returns
        -------
        Session

        Raises
        ------
        BpkitError
            If the data is missing, the backend lacks the dtype, `epochs` is below what the run already has,
            or the run is damaged.
        """
        epochs = run.saved.epochs if epochs is None else epochs
        least = run.saved.epoch + (run.saved.step > 0)
        if epochs < max(1, least):
            raise SettingsError("epochs", epochs, f"at least {max(1, least)}, which the run has begun")
        settings = settings_of(run)
        placed = place(load_dataset(settings, run.data if data is None else data), settings.dtype)
        return cls(run, restore(run), placed, epochs)

    def events(self) -> Iterator[Step | Epoch]:
        """Train, and save after every epoch, before its event is seen.

        Yields
        ------
        Step or Epoch

        Raises
        ------
        DivergedError
            If the loss or a weight is no longer finite; the last save stays.
        SaveError
            If a save fails; the last save stays.
        """
        settings = settings_of(self.run)
        for event in train(
            self.state,
            self.data,
            build_cost(settings),
            build_optimizer(settings),
            key=order_key(settings),
            batch_size=settings.batch_size,
            epochs=self.epochs,
            jit=settings.jit,
        ):
            if isinstance(event, Epoch):
                self.save()
            yield event

    def save(self) -> None:
        """Save where the training stands.

        Raises
        ------
        DivergedError
            If a loss since the last save is not finite; nothing is saved.
        SaveError
            If writing fails; the last save stays.
        """
        self.run.save(snapshot(self.state, self.epochs))
