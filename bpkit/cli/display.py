"""How a training looks while it runs: a progress bar on a terminal, lines elsewhere, or nothing."""

import math
import time
from types import TracebackType
from typing import IO, Any, Self

from bpkit import tree
from bpkit.training import Epoch, Session, Step

__all__ = ["Display", "Lines", "ProgressBar", "display_for"]

REFRESH_S = 0.1


class Display:
    """Shows nothing; the base of those that do."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen tidy."""

    def begin(self, session: Session) -> None:
        """Say what is trained, and where."""

    def step(self, step: Step) -> None:
        """Take note of a gradient step; called very often."""

    def epoch(self, epoch: Epoch) -> None:
        """Show an epoch that is done."""


class Lines(Display):
    """One plain line per epoch, for logs and pipes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def begin(self, session: Session) -> None:
        """Say what is trained, and where."""
        self._session = session
        for line in _describe(session):
            self._write(line)

    def epoch(self, epoch: Epoch) -> None:
        """Write the line."""
        self._write(
            f"epoch {epoch.epoch}/{self._session.epochs}: loss {epoch.loss:.4f}, accuracy: train "
            f"{epoch.train_accuracy:.2%}, validation {epoch.validation_accuracy:.2%}, test "
            f"{epoch.test_accuracy:.2%}; {epoch.seconds:.2f} s, {_rate(self._session, epoch):,.0f} images/s"
        )

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class ProgressBar(Display):
    """A table that grows by a row per epoch, and a bar below it for the epoch that runs."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = console
        self._next = 0.0
        self._test = ""
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            # The line stays short of the edge, because a terminal writes ^C behind it.
            BarColumn(bar_width=min(40, max(4, console.width - 64))),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=1, epoch="", status="")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away; the table stays."""
        self._progress.stop()
        self._console.print()

    def begin(self, session: Session) -> None:
        """Say what is trained, and where."""
        self._session = session
        self._best = -1.0
        for line in _describe(session):
            self._console.print(line, soft_wrap=True, markup=False)
        self._console.print(
            f"\n{'epoch':>7}{'loss':>10}{'train':>10}{'validation':>12}{'test':>10}{'seconds':>10}"
            f"{'images/s':>11}",
            style="bold",
        )
        for epoch in session.state.metrics:
            self._row(epoch)
        if session.state.epoch < session.epochs:
            self._progress.start()

    def step(self, step: Step) -> None:
        """Move the bar, ten times per second."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + REFRESH_S
        state = self._session.state
        recent = state.read_losses()[-max(1, step.steps // 20) :]
        self._progress.update(
            self._task,
            total=step.steps,
            completed=step.step,
            epoch=f"{step.epoch}/{self._session.epochs}",
            status=f"loss {sum(recent) / len(recent):.4f}{self._test}  "
            f"{step.images / state.seconds:,.0f} images/s",
        )
        self._progress.refresh()

    def epoch(self, epoch: Epoch) -> None:
        """Add the row."""
        self._row(epoch)

    def _row(self, epoch: Epoch) -> None:
        self._console.print(
            f"{epoch.epoch:>7}{epoch.loss:>10.4f}{epoch.train_accuracy:>10.2%}{epoch.validation_accuracy:>12.2%}"
            f"{epoch.test_accuracy:>10.2%}{epoch.seconds:>10.2f}{_rate(self._session, epoch):>11,.0f}",
            style="green" if epoch.test_accuracy > self._best else None,
        )
        self._best = max(self._best, epoch.test_accuracy)
        self._test = f"  test {epoch.test_accuracy:.2%}"


def display_for(stream: IO[str], *, quiet: bool) -> Display:
    """The display that suits a stream."""
    if quiet:
        return Display()
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream, highlight=False)
        if not console.is_dumb_terminal:
            return ProgressBar(console)
    return Lines(stream)


def _describe(session: Session) -> list[str]:
    settings, data = session.run.settings, session.data
    sizes = "-".join(map(str, settings.sizes))
    hidden = f", {settings.activation}" if settings.hidden else ""
    parameters = sum(math.prod(leaf.shape) for leaf in tree.leaves(session.state.model))
    saved = session.run.saved
    return [
        f"Training {sizes} ({parameters:,} parameters{hidden}, {settings.cost} cost) on {settings.dataset}",
        f"Images: {len(data.train):,} to train, {len(data.validation):,} to validate, "
        f"{len(data.test):,} to test",
        f"Backend: {saved.backend} ({saved.device}), {settings.dtype}, seed {settings.seed}",
        f"Saved after every epoch in {session.run.path}",
    ]


def _rate(session: Session, epoch: Epoch) -> float:
    return len(session.data.train) / epoch.seconds
