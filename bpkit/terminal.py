"""What a terminal shows beyond plain lines: a bar, a table, bold and coloured text."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import IO, Any, Self

__all__ = ["Bar", "can_encode", "is_live", "size", "styled", "write_table"]

REFRESH_S = 0.1
TEXT_COLUMNS = 64  # what the longest texts on both sides of a bar take
MARGIN = 5  # a terminal writes ^C behind the bar, for each time it is pressed


def is_live(stream: IO[str] | None) -> bool:
    """Whether a stream is a terminal that can write a line again."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return stream is not None and stream.isatty() and not dumb


def styled(stream: IO[str], style: str, text: str) -> str:
    """The text in a style, numbers of ECMA-48 such as ``"1;31"``, where the stream shows styles."""
    plain = not style or os.environ.get("NO_COLOR") or os.name == "nt" or not is_live(stream)
    return text if plain else f"\x1b[{style}m{text}\x1b[0m"


class Bar:
    """The last line of a live terminal, which shows how far something is; gone at the end unless kept."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._bar: Any = None
        self._next = 0.0
        self._redirected = ExitStack()

    def __enter__(self) -> Self:
        from tqdm import tqdm
        from tqdm.contrib import DummyTqdmFile

        self._bar = tqdm(
            file=self._stream,
            ascii="─╸━" if can_encode(self._stream, "─╸━") else ".-=",
            leave=False,
            ncols=80,  # until show() measures; tqdm shows nothing where a terminal says that it has no size
            nrows=24,
            delay=1,  # nothing is shown before the first show()
        )
        # What others print meanwhile goes above the bar.
        for redirect, stream in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
            if is_live(stream):
                self._redirected.enter_context(redirect(DummyTqdmFile(self._stream)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.close()
        self._erase()
        self._redirected.close()

    def is_due(self) -> bool:
        """Whether to show anew: ten times per second."""
        now = time.perf_counter()
        if now < self._next:
            return False
        self._next = now + REFRESH_S
        return True

    def show(self, before: str, done: float, total: float | None, after: str) -> None:
        """Write the line: a text, the bar, a text."""
        columns, bar = size(self._stream)[0], self._bar
        bar.n, bar.total, bar.desc, bar.ncols = done, total, after, max(1, columns - MARGIN)
        bar.bar_format = f"{before} {{bar:{min(40, max(4, columns - TEXT_COLUMNS))}}} {{desc}}"
        bar.refresh()

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        self._erase()
        self._stream.write(line + "\n")
        if self._bar.bar_format:
            self._bar.refresh()
        self._stream.flush()

    def keep(self) -> None:
        """Leave the bar as it is, and go to the next line."""
        self._bar.refresh()
        self._stream.write("\n")

    def _erase(self) -> None:
        self._stream.write("\r" + " " * (size(self._stream)[0] - 1) + "\r")
        self._stream.flush()


def write_table(
    stream: IO[str],
    title: str,
    headings: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]] | None],
    right: Sequence[str] = (),
) -> None:
    """Write a table as wide as a terminal at most; longer cells are folded. A file takes any width.

    A row is a style and its cells, or None for a line between rows. The headings in ``right`` are those of
    the columns that hold numbers: set flush right, and not folded.
    """
    from tabulate import SEPARATING_LINE, tabulate

    rows = [("1", headings), None, *rows]
    # The widest column gives way until the table fits; numbers cannot be folded.
    lengths = [max(map(len, column)) for column in zip(*(row[1] for row in rows if row), strict=True)]
    widths = dict(enumerate(lengths))
    foldable = [i for i, heading in enumerate(headings) if heading not in right]
    columns = size(stream, otherwise=(0, 0))[0]
    while columns and sum(widths.values()) + 3 * len(widths) + 1 > columns:
        widest = max(foldable, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] == 1:
            break
        widths[widest] -= 1
    # tabulate takes 1,000 for an int where a width is given: astanin/python-tabulate#428.
    folded = [widths[i] if widths[i] < length else None for i, length in enumerate(lengths)]
    table = tabulate(
        [[styled(stream, row[0], cell) for cell in row[1]] if row else SEPARATING_LINE for row in rows],
        tablefmt="simple_outline" if can_encode(stream, "┌─┬┐│├┼┤└┴┘") else "outline",
        disable_numparse=True,
        maxcolwidths=folded,
        colalign=["right" if heading in right else "left" for heading in headings],
    )
    stream.write(f"{styled(stream, '1', title)}\n{table}\n")


def size(stream: IO[str], otherwise: tuple[int, int] = (80, 24)) -> tuple[int, int]:
    """Columns and rows: of COLUMNS and LINES, else of the terminal; `otherwise` where neither is known."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # no terminal
        found = os.terminal_size((0, 0))
    columns, rows = (_number(os.environ.get(name, "")) for name in ("COLUMNS", "LINES"))
    return columns or found.columns or otherwise[0], rows or found.lines or otherwise[1]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def can_encode(stream: IO[str], text: str) -> bool:
    """Whether a stream has the characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
