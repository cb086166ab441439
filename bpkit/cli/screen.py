"""A whole terminal as one picture that is drawn again and again, and curves made of characters."""

import io
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import IO, Self

from bpkit.report.layers import spread
from bpkit.terminal import can_encode, is_live, size, styled

__all__ = ["Cells", "Screen", "curve", "sparkline"]

Cells = Sequence[tuple[str, str]]
"""A line of the screen: texts, each with its style, as :func:`bpkit.terminal.styled` takes them."""

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
# A terminal that knows these two shows nothing between them, the others ignore them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

_BARS = "▁▂▃▄▅▆▇█"
# The bits of the eight dots of a Braille character, from the top down, in its left and right column.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class Screen:
    """The second screen of a terminal; when it is left, the first is as it was, with the last picture below.

    What others print meanwhile is kept, and written at the end.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last: Sequence[Cells] = ()
        self._redirected = ExitStack()
        self._said = io.StringIO()

    def __enter__(self) -> Self:
        self._stream.write(_ENTER)
        for redirect, stream in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
            if is_live(stream):
                self._redirected.enter_context(redirect(self._said))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Go back to the first screen."""
        self._redirected.close()
        self._stream.write(_LEAVE)
        for line in self._last:
            self._stream.write(self._written(line) + "\n")
        self._stream.write(self._said.getvalue())
        self._stream.flush()

    def draw(self, lines: Sequence[Cells]) -> None:
        """Show a picture; what goes beyond the terminal is cut off."""
        _, rows = size(self._stream)
        self._last = lines[:rows]
        text = f"{_CLEAR_LINE}\r\n".join(map(self._written, self._last))
        self._stream.write(f"{_BEGIN}{_HOME}{text}{_CLEAR_LINE}{_CLEAR_BELOW}{_END}")
        self._stream.flush()

    def _written(self, line: Cells) -> str:
        room, parts = size(self._stream)[0], []
        for style, text in line:
            if not can_encode(self._stream, text):
                text = text.encode("ascii", "replace").decode()
            parts.append(styled(self._stream, style if text.strip() else "", text[:room]))
            room -= len(text[:room])
        return "".join(parts)


def sparkline(stream: IO[str], values: Sequence[float | None], columns: int, *, log: bool = False) -> str:
    """Numbers as a row of bars, some of them if there are many; a blank where there is none.

    Parameters
    ----------
    stream : text stream
        Where it is to be written; without characters for it, the line is empty.
    values : sequence of float or None
    columns : int
    log : bool
        Whether heights are logarithms.

    Returns
    -------
    str
    """
    if not can_encode(stream, _BARS):
        return ""
    heights = [_height(value, log) for value in spread(values, columns)]
    low, high = _limits(heights)
    if not low < high:
        return "".join(" " if math.isnan(height) else _BARS[3] for height in heights)
    marks = len(_BARS) - 1
    return "".join(
        " " if math.isnan(height) else _BARS[round((height - low) / (high - low) * marks)]
        for height in heights
    )


def curve(
    stream: IO[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    columns: int,
    rows: int,
    *,
    log: bool = False,
    marks: Sequence[str] = (),
) -> tuple[list[Cells], tuple[float, float] | None]:
    """Curves in a rectangle of characters; their first values at the left, the last at the right.

    Parameters
    ----------
    stream : text stream
        Where it is to be written: it decides between dots, eight to a character, and stars.
    series : sequence of (style, values)
        Where two of them meet in one character, it has the style of the later one.
    columns, rows : int
    log : bool
        Whether heights are logarithms.
    marks : sequence of str, optional
        The character of each curve, which tells them apart without colours; else dots or stars.

    Returns
    -------
    lines : list of Cells
        One for each row.
    limits : pair of float or None
        The values at the bottom and at the top; None if there is no value.
    """
    dotted = not marks and can_encode(stream, "\u28ff")
    across, down = (2, 4) if dotted else (1, 1)
    width, height = columns * across, rows * down
    heights = [[_height(value, log) for value in values] for _, values in series]
    low, high = _limits([h for values in heights for h in values])
    if math.isnan(low):
        return [(("", " " * columns),) for _ in range(rows)], None
    dots = [[0] * columns for _ in range(rows)]
    drawn = [[" "] * columns for _ in range(rows)]
    styles = [[""] * columns for _ in range(rows)]
    for (style, _), values, mark in zip(series, heights, marks or "*" * len(series), strict=True):
        before: int | None = None
        # One value alone is a point, and no line.
        for x in range(width if len(values) > 1 else min(across, width)):
            value = _between(values, x / max(1, width - 1) * (len(values) - 1))
            if math.isnan(value):
                before = None
                continue
            y = round((high - value) / (high - low or 1.0) * (height - 1))
            near, far = (y, y) if before is None else sorted((before + (y > before) - (y < before), y))
            for dot in range(near, far + 1):  # without holes where it is steep
                dots[dot // down][x // across] |= _DOTS[x % across][dot % down]
                styles[dot // down][x // across] = style
                drawn[dot // down][x // across] = (
                    chr(0x2800 + dots[dot // down][x // across]) if dotted else mark
                )
            before = y
    lines: list[Cells] = []
    for row, used in zip(drawn, styles, strict=True):
        runs = groupby(zip(used, row, strict=True), key=itemgetter(0))
        lines.append(tuple((style, "".join(mark for _, mark in run)) for style, run in runs))
    return lines, (10**low, 10**high) if log else (low, high)


def _between(values: Sequence[float], place: float) -> float:
    """A value between two of a sequence, or NaN."""
    if not values:
        return math.nan
    left = min(int(place), len(values) - 1)
    right = min(left + 1, len(values) - 1)
    if place == left:
        return values[left]
    return values[left] + (place - left) * (values[right] - values[left])


def _height(value: float | None, log: bool) -> float:
    if value is None or not math.isfinite(value) or (log and value <= 0):
        return math.nan
    return math.log10(value) if log else value


def _limits(heights: Sequence[float]) -> tuple[float, float]:
    known = [height for height in heights if not math.isnan(height)]
    return (min(known), max(known)) if known else (math.nan, math.nan)
