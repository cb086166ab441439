"""How a training looks while it runs: a progress bar on a terminal, lines elsewhere, or nothing."""

import math
from types import TracebackType
from typing import IO, Self

from bpkit import tree
from bpkit.inspect import Recorder
from bpkit.terminal import Bar, is_live, styled
from bpkit.training import Epoch, Session, Step, settings_of

__all__ = ["Display", "Lines", "ProgressBar", "display_for"]

_SPLITS = ("train", "validation", "test")


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
        share = {name: f"{value:.2%}" for name, value in epoch.metrics.items()}
        self._write(
            f"epoch {epoch.epoch}/{self._session.epochs}: loss {epoch.loss:.4f}, accuracy: train "
            f"{share['train_accuracy']}, validation {share['validation_accuracy']}, test "
            f"{share['test_accuracy']}; {epoch.seconds:.2f} s, {_rate(self._session, epoch):,.0f} images/s"
        )

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class ProgressBar(Display):
    """A table that grows by a row per epoch, and a bar below it for the epoch that runs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._bar = Bar(stream)
        self._test = ""

    def __enter__(self) -> Self:
        """Make room for the bar."""
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away; the table stays."""
        self._bar.__exit__(kind, error, trace)
        self._stream.write("\n")

    def begin(self, session: Session) -> None:
        """Say what is trained, and where."""
        self._session = session
        self._best = -1.0
        for line in _describe(session):
            self._bar.write(line)
        headings = (
            f"{'epoch':>7}{'loss':>10}{'train':>10}{'validation':>12}{'test':>10}{'seconds':>10}"
            f"{'images/s':>11}"
        )
        self._bar.write("\n" + styled(self._stream, "1", headings))
        for epoch in session.state.metrics:
            self.epoch(epoch)

    def step(self, step: Step) -> None:
        """Move the bar, ten times per second."""
        if not self._bar.is_due():
            return
        state = self._session.state
        recent = state.read_losses()[-max(1, (step.steps or 0) // 20) :]
        rate = step.examples / state.seconds
        self._bar.show(
            f"epoch {step.epoch}/{self._session.epochs}",
            step.step,
            step.steps,
            f"loss {sum(recent) / len(recent):.4f}{self._test}  {rate:,.0f} images/s",
        )

    def epoch(self, epoch: Epoch) -> None:
        """Add the row, green if it is the best so far."""
        train, validation, test = (epoch.metrics[f"{name}_accuracy"] for name in _SPLITS)
        row = (
            f"{epoch.epoch:>7}{epoch.loss:>10.4f}{train:>10.2%}{validation:>12.2%}{test:>10.2%}"
            f"{epoch.seconds:>10.2f}{_rate(self._session, epoch):>11,.0f}"
        )
        self._bar.write(styled(self._stream, "32" if test > self._best else "", row))
        self._best = max(self._best, test)
        self._test = f"  test {test:.2%}"


def display_for(stream: IO[str], quiet: bool = False, watched: Recorder | None = None) -> Display:
    """The display that suits a stream: nothing, lines, a bar, or all that a recorder sees."""
    if quiet:
        return Display()
    if not is_live(stream):
        return Lines(stream)
    if watched is None:
        return ProgressBar(stream)
    from bpkit.cli.watch import Watch

    return Watch(stream, watched)


def _describe(session: Session) -> list[str]:
    settings, data = settings_of(session.run), session.data
    sizes = "-".join(map(str, settings.sizes))
    hidden = f", {settings.activation}" if settings.hidden else ""
    parameters = sum(math.prod(leaf.shape) for leaf in tree.leaves(session.state.model))
    saved = session.run.saved
    return [
        f"Training {sizes} ({parameters:,} parameters{hidden}, {settings.cost} cost) on {settings.dataset}",
        f"Images: {len(data.train):,} to train, {len(data.validation):,} to validate, "
        f"{len(data.test):,} to test",
        f"Backend: {saved.backend} ({saved.device}), {settings.dtype}, seed {settings.seed}, "
        f"{'compiled' if settings.jit else 'not compiled'}",
        f"Saved after every epoch in {session.run.path}",
    ]


def _rate(session: Session, epoch: Epoch) -> float:
    return len(session.data.train) / epoch.seconds
