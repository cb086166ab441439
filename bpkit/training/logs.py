"""Callbacks for :func:`bpkit.training.fit` that write down what happens."""

import atexit
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bpkit.errors import ArgumentError
from bpkit.training import files
from bpkit.training.state import Epoch, State, Step

__all__ = ["json_lines", "tensorboard"]

Callback = Callable[[Step | Epoch, State], None]


def json_lines(path: str | os.PathLike[str], every: int | None = None) -> Callback:
    r"""Write a line of JSON for each epoch, and for steps if asked to.

    Lines from beyond the place where a training goes on are replaced, so that a log of a training that was
    interrupted is that of one that was not.

    Parameters
    ----------
    path : path
        Of the file; its folder must be there.
    every : int, optional
        Write also every so many steps of an epoch, with their losses; the device is waited for then.

    Returns
    -------
    callable
        For `callbacks` of :func:`bpkit.training.fit`.

    Raises
    ------
    ArgumentError
        If `every` is not above 0.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> log = json_lines(path)
    >>> log(Epoch(1, 0.5, {"validation_loss": 0.7}, 2.0, 0.1), None)
    >>> path.read_text()
    '{"epoch": 1, "loss": 0.5, "validation_loss": 0.7, "seconds": 2.0, "evaluation_seconds": 0.1}\n'
    """
    _check_every("json_lines", every)
    file, begun = Path(path), False

    def log(event: Step | Epoch, state: State) -> None:
        nonlocal begun
        if not begun:
            kept = _before(file, _place(event))
            files.write(file, "".join(kept).encode())
            begun = True
        if isinstance(event, Epoch):
            line = event.to_json()
        elif every is not None and event.step % every == 0:
            line = {"epoch": event.epoch, "step": event.step, "loss": state.read_losses()[-1]}
        else:
            return
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    return log


def _place(event: Step | Epoch) -> tuple[int, float]:
    return (event.epoch, event.step if isinstance(event, Step) else math.inf)


def _before(file: Path, place: tuple[int, float]) -> list[str]:
    """The lines of a log that come before a place."""
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []:
        try:
            values = json.loads(line)
            earlier = (values["epoch"], values.get("step", math.inf)) < place
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # half a line, of a process that was killed
        if earlier:
            kept.append(line)
    return kept


def tensorboard(folder: str | os.PathLike[str], every: int | None = None) -> Callback:
    """Write what TensorBoard shows: the loss, what was measured, and times, by epoch.

    Parameters
    ----------
    folder : path
        For ``tensorboard --logdir``.
    every : int, optional
        Write the loss also every so many steps of an epoch, counted over all epochs.

    Returns
    -------
    callable
        For `callbacks` of :func:`bpkit.training.fit`.

    Raises
    ------
    ArgumentError
        If `every` is not above 0.
    ImportError
        If tensorboardX, which writes the files, is missing.
    """
    _check_every("tensorboard", every)
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard: the files are written by tensorboardX, which is not installed: "
            "pip install tensorboardX"
        ) from error
    writer: Any = SummaryWriter(str(folder))
    # A thread of its own writes, which shall end before the process does.
    atexit.register(writer.close)
    done = 0

    def log(event: Step | Epoch, state: State) -> None:
        nonlocal done
        if isinstance(event, Epoch):
            for name, value in event.to_json().items():
                if name != "epoch" and value is not None:
                    writer.add_scalar(f"epoch/{name}", value, event.epoch)
            writer.flush()
        elif every is not None:
            done = (event.epoch - 1) * event.steps + event.step if event.steps else done + 1
            if event.step % every == 0:
                writer.add_scalar("step/loss", state.read_losses()[-1], done)

    return log


def _check_every(called: str, every: Any) -> None:
    if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise ArgumentError(f"{called}(every={every!r}): expected a whole number above 0, or None")
