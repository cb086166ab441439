"""The progress bar of :func:`bpkit.training.fit`."""

import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from bpkit.terminal import Bar, is_live
from bpkit.training.state import Epoch, State, Step

__all__ = ["Progress"]

RECENT = 20
"""Steps over which the loss is averaged that the bar shows."""


class Progress:
    """A bar for the epoch that runs, and a line for each that is done; nothing where no terminal is."""

    def __init__(self, epochs: int, state: State) -> None:
        self._epochs, self._state = epochs, state
        self._bar: Bar | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if is_live(sys.stderr):
            self._bar = self._open.enter_context(Bar(sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away; the lines stay."""
        self._open.close()

    def __call__(self, event: Step | Epoch) -> None:
        """Show an event; steps ten times per second."""
        bar, state = self._bar, self._state
        if bar is None:
            return
        if isinstance(event, Epoch):
            shown = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            bar.write(
                f"epoch {event.epoch}/{self._epochs}: loss {event.loss:.4f}{', ' * bool(shown)}{shown}; "
                f"{event.seconds + event.evaluation_seconds:.2f} s"
            )
        elif bar.is_due():
            recent = state.read_losses()[-RECENT:]
            bar.show(
                f"epoch {event.epoch}/{self._epochs}",
                event.step,
                event.steps,
                f"loss {sum(recent) / len(recent):.4f}  {event.examples / state.seconds:,.0f} examples/s",
            )
