"""The saves of a :func:`bpkit.training.fit`."""

import dataclasses
import os
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bpkit import tree
from bpkit.errors import ArgumentError, RunError
from bpkit.training import aside
from bpkit.training.files import locked
from bpkit.training.monitor import Monitor
from bpkit.training.run import Run, Saved
from bpkit.training.settings import Settings
from bpkit.training.snapshots import described, restored, snapshot, unpack
from bpkit.training.state import Epoch, State

__all__ = ["Saves"]


class Saves:
    """A run folder in which the last saves and that of the best epoch are kept.

    Parameters
    ----------
    folder : path
    settings : mapping
        What decides how the training goes on, as JSON has it.
    state : State
        Where it begins; with `resume` one of the same structure.
    epochs : int
    keep : int
        How many earlier saves to keep, besides the last one and that of the best epoch.
    monitor : Monitor
    resume : bool or "previous"

    Attributes
    ----------
    run : Run
    state : State
        Where the training stands.
    """

    run: Run

    def __init__(
        self,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        state: State,
        epochs: int,
        keep: int,
        monitor: Monitor,
        resume: bool | str,
    ) -> None:
        if resume not in (False, True, "previous"):
            raise ArgumentError(f"fit(resume={resume!r}): expected True, False or 'previous'")
        self._folder, self.state = Path(folder), state
        told = {"model": described(state.model), "optimizer": _kinds(state.optimizer_state)}
        self._settings = {**settings, **told}
        self._epochs, self._keep, self._monitor, self._resume = epochs, keep, monitor, resume
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            if self._resume and Run.is_begun(self._folder):
                self._open.enter_context(locked(self._folder))
                self.run = Run.open(self._folder, previous=self._resume == "previous")
                begun = self._check_settings()
                # Says more about arrays that do not fit than the text of the model does.
                self.state = restored(self.run.saved, self.state, str(self._folder))
                self._check_model(begun)
            else:
                self.run = Run.create(self._folder, self._settings, self._snapshot())
                self._open.enter_context(locked(self._folder))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _check_settings(self) -> str | None:
        """Refuse other settings; the text of the model that the run was begun with, if it is known."""
        saved = self.run.settings
        if isinstance(saved, Settings):
            raise RunError(
                f"{self._folder} is a run of `bpkit train`; go on with: bpkit train --resume {self._folder}"
            )
        new = {"optimizer"} - {*saved}  # versions before had none
        for name in sorted({*saved, *self._settings} - {"model", "loss"} - new):
            one, other = saved.get(name), self._settings.get(name)
            if one != other:
                raise RunError(
                    f"{self._folder} was begun with {name}={one!r}, and now it is {other!r}; a training goes "
                    f"on with what it was begun with, or begins in another folder"
                )
        model: str | None = saved.get("model")
        return model

    def _check_model(self, before: str | None) -> None:
        now = self._settings["model"]
        if before is None or now is None or before == now:
            return
        lines = zip_longest(before.splitlines(), now.splitlines(), fillvalue="nothing")
        one, other = next((x.strip(), y.strip()) for x, y in lines if x != y)
        raise RunError(
            f"{self._folder} was begun with another model: where it had {one}, there is now {other}; a "
            f"training goes on with the model that it was begun with; to use its weights in another one: "
            f"training.load_model({str(self._folder)!r}, model)"
        )

    def save(self) -> None:
        """Save where the training stands, and delete what need not be kept.

        Raises
        ------
        DivergedError
            If a loss is not finite; nothing is saved.
        SaveError
            If writing fails; the last save stays.
        """
        before = (self.run.saved.epoch, self.run.saved.step)
        saved = self._snapshot()
        if before != (saved.epoch, saved.step):
            self.run.set_aside()
        self.run.save(saved)
        earlier = [path.name for path in reversed(aside.found(self._folder))]
        best = [] if saved.best is None else [aside.name_of(saved.best, 0)]
        self.run.prune({*earlier[: self._keep], *best})

    def _snapshot(self) -> Saved:
        best = self._monitor.best(self.state.metrics)
        return dataclasses.replace(snapshot(self.state, self._epochs), best=best.epoch if best else None)

    def model_of(self, epoch: Epoch) -> Any:
        """The model after an epoch that was kept; raises what :meth:`Run.open` raises."""
        folder = self._folder / aside.FOLDER / aside.name_of(epoch.epoch, 0)
        return unpack("model", self.state.model, Run.open(folder).saved, str(folder))


def _kinds(state: Any) -> str:
    """The classes of an optimizer's state, since arrays of the same names may mean something else."""
    return " ".join(type(part).__name__ for part in tree.parts(state) if hasattr(part, "_fields"))
