"""The run folder: what a training leaves behind, and what it is continued from.

::

    settings.json           how the run was started; written once
    weights-7.safetensors   weights, state of the optimizer, losses of a begun epoch; of the 7th save
    metrics.jsonl           one line per finished epoch
    insight.jsonl           of ``bpkit train``: what the gradient said; see :class:`bpkit.inspect.Recorder`
    state.json              where the run stands, and the SHA-256 of the first three; written last

Everything goes to the disk under a temporary name and is renamed, ``state.json`` after the files it names,
and the weights of the save before are deleted after that. So a process that is killed between any two
operations leaves a folder whose ``state.json`` fits its files: the old ones or the new ones.
``metrics.jsonl`` only grows at its end; ``state.json`` knows how much of it belongs to the save, and what
lies beyond is ignored. Earlier saves may lie in ``saves``; see :mod:`bpkit.training.aside`.
"""

import errno
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bpkit import __version__
from bpkit.errors import CorruptRunError, RunError, SaveError, SettingsError
from bpkit.training import aside, files
from bpkit.training.format import FORMAT, arrays_of, check, corrupt, dump, parse, read, serialize
from bpkit.training.settings import Settings

__all__ = ["Run", "Saved"]

SETTINGS, STATE, METRICS = "settings.json", "state.json", "metrics.jsonl"

Metrics = Mapping[str, Any]

_MADE_BY = "a run folder is what fit(..., folder=...) or `bpkit train` has made"

_FIRST = {SETTINGS, STATE, METRICS, "weights-1.safetensors"}


@dataclass(frozen=True, slots=True)
class Saved:
    """Where a training stood when it was saved, in the machine's memory.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        Weights, optimizer state and losses by name.
    metrics : tuple of dict
        One for each finished epoch.
    step : int
        Gradient steps done in the epoch after those.
    seconds : float
        Time they took.
    epochs : int
        How many epochs the run is to have.
    backend, device : str
        Where it was trained.
    best : int or None
        Which of these epochs was the best, counted from 1, if something was watched that says so.
    """

    arrays: Mapping[str, np.ndarray[Any, Any]]
    metrics: tuple[Metrics, ...]
    step: int
    seconds: float
    epochs: int
    backend: str
    device: str
    best: int | None = None

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.metrics)


class Run:
    """A run folder.

    Made by :meth:`create` and :meth:`open`.

    Attributes
    ----------
    path : pathlib.Path
    settings : Settings or dict
        Of ``bpkit train``; of :func:`bpkit.training.fit`, what decides how it goes on.
    data : str or None
        The folder the data came from, if one was named.
    saved : Saved
        The last save.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings | Mapping[str, Any],
        data: str | None,
        saved: Saved,
        number: int,
        digest: str,
    ) -> None:
        self.path = path
        self.settings = settings
        self.data = data
        self.saved = saved
        self._number = number
        self._settings_digest = digest

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        settings: Settings | Mapping[str, Any],
        saved: Saved,
        data: str | None = None,
    ) -> "Run":
        """Start a run in a new or empty folder.

        Parameters
        ----------
        path : path
        settings : Settings or mapping
        saved : Saved
            The first save.
        data : str, optional
            The folder the data comes from, to find it again.

        Returns
        -------
        Run

        Raises
        ------
        RunError
            If there is something at `path` already.
        SaveError
            If the folder cannot be written; nothing of it is left.
        """
        folder = Path(path)
        existed = folder.exists()
        if existed and cls.is_begun(folder):
            raise RunError(
                f"{folder} is already there and not empty, and nothing is overwritten: choose another "
                f"folder, or go on with what is in it: {_way_on(folder, settings)}"
            )
        how = {"settings": settings.to_json()} if isinstance(settings, Settings) else {"fit": dict(settings)}
        content = dump({"format": FORMAT, "bpkit": __version__, **how, "data": data})
        run = cls(folder, settings, data, saved, 0, files.sha256(content))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.write(folder / SETTINGS, content)
            run._replace(saved)
        except BaseException as error:
            for name in (STATE, SETTINGS, METRICS, _weights_name(1)):
                files.remove(folder / name)
            if not existed:
                with suppress(OSError):
                    folder.rmdir()
            if isinstance(error, OSError):
                advice = "nothing was saved; free some space, or choose another folder"
                raise _save_error(folder, error, advice) from error
            raise
        return run

    @staticmethod
    def is_begun(path: str | os.PathLike[str]) -> bool:
        """Whether there is anything at a path, but an empty folder or the rest of a killed first save."""
        folder = Path(path)
        if not folder.is_dir():
            return folder.exists()
        temporary = {f".{name}{files.TEMPORARY_SUFFIX}" for name in _FIRST}
        return any(file.name not in _FIRST | temporary or file.name == STATE for file in folder.iterdir())

    @classmethod
    def open(cls, path: str | os.PathLike[str], previous: bool = False) -> "Run":
        """Read a run folder and check every byte of it.

        Parameters
        ----------
        path : path
        previous : bool
            If the last save is damaged, make the latest whole one of those in ``saves`` the last.

        Returns
        -------
        Run
            With its last save.

        Raises
        ------
        RunError
            If there is no run folder at `path`.
        CorruptRunError
            If it is incomplete, damaged, or written by a later version of bpkit; with `previous` only if
            there is no earlier save that is whole.
        """
        folder = Path(path)
        try:
            return cls._open_last(folder)
        except CorruptRunError as error:
            earlier_saves = aside.found(folder)
            for earlier in reversed(earlier_saves):
                try:
                    kept = cls._open_last(earlier)
                except RunError:
                    continue
                if previous:
                    return cls._go_back(folder, kept)
                raise CorruptRunError(
                    f"{error}; the earlier save {aside.FOLDER}/{earlier.name} is whole: go on with it by "
                    f"resume='previous'"
                ) from error
            if not previous:
                raise
            there = (
                "and none of the earlier ones there is whole" if earlier_saves else "there is no earlier save"
            )
            raise CorruptRunError(f"{error}; in {folder / aside.FOLDER} {there}") from error

    @classmethod
    def _go_back(cls, folder: Path, kept: "Run") -> "Run":
        """Make a save that was set aside the last one of the run."""
        names = [file.name for file in folder.glob("weights-*.safetensors")]
        numbers = [
            int(part) for name in names if (part := name[len("weights-") : -len(".safetensors")]).isdigit()
        ]
        run = cls(
            folder, kept.settings, kept.data, kept.saved, max([kept._number, *numbers]), kept._settings_digest
        )
        place = (kept.saved.epoch, kept.saved.step)
        try:
            files.write(folder / SETTINGS, read(kept.path / SETTINGS))
            run._replace(kept.saved)
        except OSError as error:
            raise _save_error(folder, error, f"the save in {kept.path} is intact") from error
        names = [path.name for path in aside.found(folder)]
        aside.prune(folder, names[: names.index(aside.name_of(*place)) + 1])
        return run

    @classmethod
    def _open_last(cls, folder: Path) -> "Run":
        if not folder.is_dir():
            what = "is a file; name the run folder that holds it" if folder.exists() else "does not exist"
            raise RunError(f"{folder} {what}; {_MADE_BY}")
        if not (folder / SETTINGS).exists() and not (folder / STATE).exists():
            raise RunError(f"{folder} is not a run folder (it has no {SETTINGS}); {_MADE_BY}")
        while True:
            manifest = read(folder / STATE)
            try:
                return cls._open(folder, manifest)
            except CorruptRunError as error:
                wrong = error
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                wrong = corrupt(folder, f"has files of another form than bpkit {__version__} writes")
                wrong.__cause__ = error
            # The training that owns the folder may have saved, and deleted what `manifest` names.
            if read(folder / STATE) == manifest:
                raise wrong

    @classmethod
    def _open(cls, folder: Path, manifest: bytes) -> "Run":
        state = parse(folder / STATE, manifest)
        checksum = state.pop("sha256", None)
        if checksum != files.sha256(dump(state)):
            raise corrupt(folder / STATE, "does not have the checksum it was written with")
        content = read(folder / SETTINGS)
        check(folder / SETTINGS, content, state["settings"])
        started = parse(folder / SETTINGS, content)
        lines = read(folder / METRICS)[: state["metrics"]["bytes"]]
        check(folder / METRICS, lines, state["metrics"])
        weights = folder / _weights_name(int(state["save"]))
        content = read(weights)
        check(weights, content, state["weights"])
        settings: Settings | Mapping[str, Any]
        try:
            settings = dict(started["fit"]) if "fit" in started else Settings.from_json(started["settings"])
        except SettingsError as error:
            raise corrupt(folder / SETTINGS, f"does not suit bpkit {__version__} ({error})") from error
        saved = Saved(
            arrays=arrays_of(weights, content),
            metrics=tuple(json.loads(line) for line in lines.splitlines()),
            step=state["step"],
            seconds=state["seconds"],
            epochs=state["epochs"],
            backend=state["backend"],
            device=state["device"],
            best=state.get("best"),  # versions before had none
        )
        return cls(folder, settings, started["data"], saved, state["save"], state["settings"]["sha256"])

    def save(self, saved: Saved) -> None:
        """Replace the folder's last save.

        Parameters
        ----------
        saved : Saved

        Raises
        ------
        SaveError
            If the disk is full or cannot be written. The last save is as it was, which the message says, and
            no temporary file is left.
        """
        try:
            self._replace(saved)
        except OSError as error:
            raise _save_error(self.path, error, self._left()) from error

    def set_aside(self) -> None:
        """Put the last save aside, so that the next one leaves it; raises what :meth:`save` raises."""
        name = aside.name_of(self.saved.epoch, self.saved.step)
        try:
            aside.set_aside(self.path, name, (SETTINGS, METRICS, STATE), _weights_name(self._number))
        except OSError as error:
            raise _save_error(self.path, error, self._left()) from error

    def _left(self) -> str:
        """What is left of the last save after another one failed, and how to go on."""
        where = f"epoch {self.saved.epoch}" + (f", step {self.saved.step}" if self.saved.step else "")
        if all((self.path / name).exists() for name in (SETTINGS, STATE, _weights_name(self._number))):
            return (
                f"the save of {where} is intact; when that is solved, go on with: "
                f"{_way_on(self.path, self.settings)}"
            )
        return (
            f"the save of {where} is gone, since something else has deleted files of this folder; train "
            f"again, into a folder that is left alone"
        )

    def prune(self, keep: Collection[str]) -> None:
        """Delete the saves that were set aside but those with these names."""
        with suppress(OSError):  # what cannot be deleted now is deleted later
            aside.prune(self.path, keep)

    def _replace(self, saved: Saved) -> None:
        number = self._number + 1
        weights = self.path / _weights_name(number)
        lines = b"".join(dump(line, indent=None) for line in saved.metrics)
        content = serialize(saved.arrays)
        state = {
            "format": FORMAT,
            "save": number,
            "epoch": saved.epoch,
            "step": saved.step,
            "seconds": saved.seconds,
            "epochs": saved.epochs,
            "backend": saved.backend,
            "device": saved.device,
            "best": saved.best,
            "settings": {"sha256": self._settings_digest},
            "metrics": {"bytes": len(lines), "sha256": files.sha256(lines)},
            "weights": {"sha256": files.sha256(content)},
        }
        try:
            files.write(weights, content)
            files.write(self.path / METRICS, lines)
            files.sync_folder(self.path)
            files.write(self.path / STATE, dump({**state, "sha256": files.sha256(dump(state))}))
        except BaseException:
            files.remove(weights)
            raise
        self.saved, self._number = saved, number
        files.sync_folder(self.path)
        self._tidy(weights)

    def _tidy(self, keep: Path) -> None:
        """Delete what older saves, and processes that were killed, have left."""
        for pattern in ("weights-*.safetensors", f".*{files.TEMPORARY_SUFFIX}"):
            for file in self.path.glob(pattern):
                if file != keep:
                    files.remove(file)


def _way_on(path: Path, settings: Settings | Mapping[str, Any]) -> str:
    """How to go on with a run, in the words of what made it."""
    if isinstance(settings, Settings):
        return f"bpkit train --resume {path}"
    return f"fit(..., folder={str(path)!r}, resume=True)"


def _weights_name(number: int) -> str:
    return f"weights-{number}.safetensors"


def _save_error(path: Path, error: OSError, advice: str) -> SaveError:
    reasons = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
    reason = reasons.get(error.errno or 0) or error.strerror or str(error)
    failure = SaveError(f"{path} could not be saved: {reason}; {advice}")
    failure.errno = error.errno
    return failure
