"""``bpkit train --watch``: the whole terminal shows how the network learns.

Drawn by the few escape sequences that every terminal has, on the text and the tables that are here already: a
library for screens would be one more thing to install for what is one line of text in :class:`Screen`.
"""

import textwrap
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

from bpkit.cli.display import Display
from bpkit.cli.screen import Cells, Screen, curve, sparkline
from bpkit.inspect import Diagnosis, LayerLook, Look, Recorder, diagnose
from bpkit.report.layers import UPDATES, alike, innermost
from bpkit.terminal import can_encode, size
from bpkit.training import Epoch, Session, Step, settings_of

__all__ = ["Watch"]

REFRESH_S = 0.2
CURVES = 13
"""Rows of the curves at most, with their title and the line below."""

NAME, FIGURES = 23, 70
"""Columns of a layer's name, and of all that is said of it but how its error went."""

BOLD, FAINT, RED, GREEN, YELLOW, BLUE = "1", "2", "31", "32", "33", "36"


class Watch(Display):
    """Curves, what the gradient says about each layer, and the doctor's word, five times per second.

    Parameters
    ----------
    stream : text stream
        A live terminal.
    recorder : Recorder
        Takes the looks.
    """

    def __init__(self, stream: IO[str], recorder: Recorder) -> None:
        self._stream, self._recorder = stream, recorder
        self._screen = Screen(stream)
        self._step: Step | None = None
        self._due = 0.0
        self._diagnosis: Diagnosis | None = None
        self._session: Session
        self._runs = False

    def __enter__(self) -> Self:
        """Take the screen."""
        self._screen.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen; the last picture stays on the one before."""
        try:
            if self._runs:
                self._runs = False
                self._draw()
        finally:
            self._screen.__exit__(kind, error, trace)

    def begin(self, session: Session) -> None:
        """Show the first picture."""
        self._session, self._runs = session, True
        self._draw()

    def step(self, step: Step) -> None:
        """Draw again, if it is time."""
        self._step = step
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + REFRESH_S
            self._draw()

    def epoch(self, epoch: Epoch) -> None:
        """Ask the doctor and draw again."""
        self._step = None
        self._diagnosis = diagnose(self._recorder.looks, self._session.state.metrics, shuffled=True)
        self._draw()

    def _draw(self) -> None:
        columns, rows = size(self._stream)
        self._screen.draw(self._picture(columns, rows))

    def _picture(self, columns: int, rows: int) -> list[Cells]:
        head = [self._title(columns), self._bar(columns), ()]
        keys: Cells = _pad(((FAINT, " Ctrl-C saves and stops"),), columns) if self._runs else ()
        foot: list[Cells] = [(), *self._doctor(columns), keys]
        room = rows - len(head) - len(foot)
        layers = self._layers(columns)
        # Two lines of curves at least, else none.
        least = len(layers) + 1
        curves = self._curves(columns, min(CURVES, room - least)) if room - least >= 4 else []
        room -= len(curves)
        if len(layers) > room:
            hidden = len(layers) - max(2, room - 1)
            layers = [*layers[: max(2, room - 1)], ((FAINT, f" and {hidden} more layers"),)]
        body = [*curves, *layers]
        body += [()] * (rows - len(head) - len(foot) - len(body))
        return [*head, *body, *foot]

    def _title(self, columns: int) -> Cells:
        settings, saved = settings_of(self._session.run), self._session.run.saved
        sizes = "-".join(map(str, settings.sizes))
        left = f" {settings.dataset} {sizes}"
        hidden = f"{settings.activation}, " if settings.hidden else ""
        middle = f"  {hidden}{settings.cost} cost, {settings.optimizer} {settings.learning_rate:g}"
        right = f"{saved.backend} ({saved.device}) "
        gap = max(1, columns - len(left) - len(middle) - len(right))
        return ((BOLD, left), ("", middle), ("", " " * gap), (FAINT, right))

    def _bar(self, columns: int) -> Cells:
        session, step = self._session, self._step
        done = len(session.state.metrics)
        part = step.step / step.steps if step is not None and step.steps else 0.0
        before = f" epoch {min(done + (step is not None), session.epochs)}/{session.epochs} "
        seconds = session.state.seconds + sum(e.seconds + e.evaluation_seconds for e in session.state.metrics)
        after = f" {self._rate():,.0f} images/s  {seconds // 60:.0f}:{seconds % 60:02.0f} "
        room = max(4, columns - len(before) - len(after))
        full, empty = "━─" if can_encode(self._stream, "━─") else "=."
        filled = round((done + part) / session.epochs * room)
        return (("", before), (GREEN, full * filled), (FAINT, empty * (room - filled)), ("", after))

    def _rate(self) -> float:
        state = self._session.state
        if self._step is not None and state.seconds:
            return self._step.examples / state.seconds
        if state.metrics:
            return len(self._session.data.train) / max(1e-9, state.metrics[-1].seconds)
        return 0.0

    def _curves(self, columns: int, rows: int) -> list[Cells]:
        history = self._session.state.metrics
        steps = self._session.state.read_losses() if self._step is not None else []
        # In the first two epochs a step is a point, later an epoch.
        losses = [epoch.loss for epoch in history] if len(history) > 1 or not steps else list(steps)
        now = sum(steps[-20:]) / len(steps[-20:]) if steps else (losses[-1] if losses else None)
        each = "epoch" if len(history) > 1 or not steps else "step"
        width = columns // 2
        left = self._curve(f"loss {_short(now)}", f"by {each}", [(RED, losses)], width, rows)
        names = ("train_accuracy", "test_accuracy")
        shown = [[epoch.metrics[name] for epoch in history] for name in names]
        last = history[-1].metrics if history else {}
        marks = "·●" if can_encode(self._stream, "·●") else ".o"
        title = "accuracy" + "".join(
            f"  {mark} {name.removesuffix('_accuracy')} {_share(last.get(name))}"
            for mark, name in zip(marks, names, strict=True)
        )
        series = list(zip((FAINT, BLUE), shown, strict=True))
        right = self._curve(title, "", series, columns - width, rows, marks=marks)
        return [*((*a, *b) for a, b in zip(left, right, strict=True)), ()]

    def _curve(
        self,
        title: str,
        note: str,
        series: Sequence[tuple[str, Sequence[float]]],
        columns: int,
        rows: int,
        marks: str = "",
    ) -> list[Cells]:
        """A title and, below it, curves with their limits; each line as wide as is asked for.

        Those with a mark each are shares.
        """
        share = bool(marks)
        known = [value for _, values in series for value in values]
        log = not share and bool(known) and min(known) > 0 and max(known) > 20 * min(known)
        margin = 8
        lines, limits = curve(self._stream, series, columns - margin - 2, rows - 1, log=log, marks=marks)
        show = _share if share else _short
        labels = [""] * len(lines)
        if limits is not None:
            labels[0], labels[-1] = show(limits[1]), show(limits[0])
        head = _pad(((BOLD, f" {title}"), (FAINT, f"  {note}")), columns)
        body = [
            _pad(((FAINT, f"{label:>{margin - 1}} "), *line), columns)
            for label, line in zip(labels, lines, strict=True)
        ]
        return [head, *body]

    def _layers(self, columns: int) -> list[Cells]:
        if not self._recorder.looks:
            return [((FAINT, " Looking at the layers..."),)]
        looks, wide = alike(self._recorder.looks), max(4, columns - FIGURES)
        figures = "".join(
            f"{name:>{room}}" for name, room in (("speed", 9), ("update", 9), ("saturated", 10))
        )
        lines: list[Cells] = [((BOLD, f" {'layer':<{NAME}}{'error':>9} {'':<{wide}}{figures}{'dead':>7}"),)]
        for i, group in _groups(looks[-1]):
            layer, errors = looks[-1].layers[i], [look.layers[i].error for look in looks]
            name = f"{layer.place.removeprefix('layers')} {layer.layer}".strip()
            saturated = _largest([each.saturated for each in group])
            dead = _largest([each.dead for each in group])
            lines.append(
                (
                    ("", f" {name[: NAME - 1]:<{NAME}}{_short(layer.error):>9} "),
                    (BLUE, f"{sparkline(self._stream, errors, wide - 1, log=True):<{wide}}"),
                    ("", f"{_short(layer.speed):>9}"),
                    (_ratio_style(layer.update_ratio), f"{_short(layer.update_ratio):>9}"),
                    (_share_style(saturated), f"{_share(saturated):>10}"),
                    (_share_style(dead), f"{_share(dead):>7}"),
                )
            )
        return lines

    def _doctor(self, columns: int) -> list[Cells]:
        """The first finding that does harm, in two lines at most."""
        if self._diagnosis is None:
            return [((FAINT, " The doctor speaks after each epoch."),)]
        if self._diagnosis.healthy:
            return [((GREEN, " The doctor finds nothing that does harm."),)]
        grave = [finding for finding in self._diagnosis.findings if finding.grave]
        more = f" ({len(grave) - 1} more: bpkit doctor)" if len(grave) > 1 else ""
        words = textwrap.wrap(grave[0].words, max(8, columns - 3), max_lines=2, placeholder=" ...")
        head = ((RED, f" Doctor: {grave[0].name}{more}"),)
        return [head, *(((YELLOW, f"  {line}"),) for line in words)]


def _groups(look: Look) -> list[tuple[int, list[LayerLook]]]:
    """Each layer that learns, with those that follow it and do not: its activation, say; else each layer."""
    groups: list[tuple[int, list[LayerLook]]] = []
    for i in innermost(look):
        layer = look.layers[i]
        if layer.parameters or layer.frozen:
            groups.append((i, [layer]))
        elif groups:
            groups[-1][1].append(layer)
    return groups or [(i, [look.layers[i]]) for i in innermost(look)]


def _largest(shares: Sequence[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)


def _pad(cells: Cells, columns: int) -> Cells:
    """Cells of this width."""
    found, room = [], columns
    for style, text in cells:
        found.append((style, text[:room]))
        room -= len(text[:room])
    return (*found, ("", " " * room))


def _short(x: float | None) -> str:
    return "-" if x is None else f"{x:.3g}"


def _share(x: float | None) -> str:
    return "-" if x is None else f"{x:.1%}"


def _ratio_style(x: float | None) -> str:
    """Yellow where steps are ten times longer or shorter than usual."""
    return "" if x is None or UPDATES[0] / 10 < x < UPDATES[1] * 10 else YELLOW


def _share_style(x: float | None) -> str:
    return YELLOW if x is not None and x > 0.5 else ""
