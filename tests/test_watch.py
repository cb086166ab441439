"""``bpkit train --watch``: what fills the terminal, and curves of characters."""

import io
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit.cli import main
from bpkit.cli.display import Lines, ProgressBar, display_for
from bpkit.cli.screen import Screen, curve, sparkline
from bpkit.cli.watch import Watch
from bpkit.inspect import Recorder, diagnose
from bpkit.inspect.recorder import recorder_for
from bpkit.training import Epoch, Run, Session, preset

STYLE = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def pictures(self) -> list[list[str]]:
        """Each picture that was drawn, without its styles."""
        drawn = re.findall(r"\x1b\[\?2026h\x1b\[H(.*?)\x1b\[J\x1b\[\?2026l", self.getvalue(), re.DOTALL)
        pictures = []
        for picture in drawn:
            lines = STYLE.sub("", picture).split("\r\n")
            assert all(line.endswith("\x1b[K") for line in lines), "what was there before is cleared"
            pictures.append([line.removesuffix("\x1b[K") for line in lines])
        return pictures


class Ascii(Terminal):
    encoding = "ascii"


@pytest.fixture(autouse=True)
def terminal_of_80_by_24(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def watched(stream: Terminal, folder: Path, **changes: Any) -> tuple[Session, Recorder]:
    """What a stream has shown after a short training."""
    session = Session.start(preset("digits", epochs=3, **{"hidden": (8,), **changes}), folder)
    recorder = recorder_for(session)
    with Watch(stream, recorder) as watch, np.errstate(all="ignore"):
        watch.begin(session)
        recorder.begin(session.state)
        for event in session.events():
            recorder(event, session.state)
            (watch.epoch if isinstance(event, Epoch) else watch.step)(event)
    return session, recorder


def test_a_terminal_of_80_by_24_shows_all_of_it(tmp_path: Path) -> None:
    stream = Terminal()
    session, recorder = watched(stream, tmp_path / "run", activation="sigmoid")
    pictures = stream.pictures()
    assert len(pictures) >= 4
    for picture in pictures:
        assert len(picture) == 24
        assert max(map(len, picture)) <= 80
    text = "\n".join(pictures[-1])
    last, look = session.state.metrics[-1], recorder.looks[-1]
    assert "digits 64-8-10" in pictures[-1][0]
    assert "epoch 3/3 ━" in text
    assert f"loss {last.loss:.3g}" in text
    train, test = (f"{last.metrics[f'{name}_accuracy']:.1%}" for name in ("train", "test"))
    assert f"· train {train}  ● test {test}" in text
    (row,) = (line for line in pictures[-1] if "[0] Dense(64 → 8)" in line)
    dense, sigmoid = look.layers[:2]
    cells = row.split()[4:]
    assert cells[0] == f"{dense.error:.3g}"
    assert cells[2:4] == [f"{dense.speed:.3g}", f"{dense.update_ratio:.3g}"]
    assert cells[4:] == [f"{sigmoid.saturated:.1%}", f"{max(dense.dead or 0, sigmoid.dead or 0):.1%}"]
    assert all("Ctrl-C saves and stops" in picture[-1] for picture in pictures[:-1])
    assert pictures[-1][-1] == "", "nothing runs any more"


def test_the_screen_is_left_as_it_was(tmp_path: Path) -> None:
    stream = Terminal()
    watched(stream, tmp_path / "run")
    shown = stream.getvalue()
    assert shown.startswith("\x1b[?1049h\x1b[?25l")
    before, _, after = shown.partition("\x1b[?25h\x1b[?1049l")
    assert "\x1b[?1049l" not in before
    assert STYLE.sub("", after).splitlines() == stream.pictures()[-1]


def test_an_error_leaves_the_screen_too() -> None:
    stream = Terminal()

    def fail() -> None:
        with Screen(stream) as screen:
            screen.draw([(("1", "text"),)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stream.getvalue().endswith("\x1b[?25h\x1b[?1049l\x1b[1mtext\x1b[0m\n")


def test_what_others_print_comes_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with Screen(stream) as screen:
        sys.stdout.write("hello\n")
        sys.stderr.write("take care\n")
        screen.draw([(("", "picture"),)])
        assert "hello" not in stream.getvalue()
    after = stream.getvalue().partition("\x1b[?1049l")[2]
    assert after == "picture\nhello\ntake care\n"
    assert sys.stdout is stream


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (60, 16), (80, 12), (132, 50), (10, 3), (1, 1)])
def test_other_sizes(columns: int, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(rows))
    stream = Terminal()
    watched(stream, tmp_path / "run", hidden=(8,) * 6)
    picture = stream.pictures()[-1]
    assert len(picture) <= rows
    assert max(map(len, picture)) <= columns
    text = "\n".join(picture)
    if rows == 16:
        assert text.count("Dense(") == 7, "the layers, and no curves"
    if rows in (10, 12):
        assert re.search(r"and \d more layers", text)
    if rows == 50:
        assert "accuracy" in text
        assert text.count("Dense(") == 7


def test_a_terminal_of_ascii(tmp_path: Path) -> None:
    stream = Ascii()
    watched(stream, tmp_path / "run")
    text = stream.getvalue()
    assert text.isascii()
    assert "Dense(64 ? 8)" in text
    assert "===" in text
    assert "***" in text


def test_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    watched(stream, tmp_path / "run")
    assert not STYLE.search(stream.getvalue())
    body = "\n".join(stream.pictures()[-1]).partition("● test")[2]
    assert "··" in body
    assert "●●" in body


def test_a_training_that_diverges_shows_what_it_can(tmp_path: Path) -> None:
    stream = Terminal()
    with pytest.raises(ArithmeticError):
        watched(stream, tmp_path / "run", hidden=(100, 50), learning_rate=1e9)
    assert "\x1b[?1049l" in stream.getvalue()
    assert max(len(line) for line in stream.pictures()[-1]) <= 80


def test_the_doctor_speaks(tmp_path: Path) -> None:
    stream = Terminal()
    session, recorder = watched(stream, tmp_path / "run", learning_rate=1e-6)
    assert "The doctor speaks after each epoch." in "\n".join(stream.pictures()[0])
    diagnosis = diagnose(recorder.looks, session.state.metrics)
    assert not diagnosis.healthy
    last = stream.pictures()[-1]
    (place,) = (i for i, line in enumerate(last) if f"Doctor: {diagnosis.findings[0].name}" in line)
    assert diagnosis.findings[0].words.startswith(last[place + 1].strip().removesuffix(" ..."))
    healthy = Terminal()
    watched(healthy, tmp_path / "healthy", hidden=(30,))
    assert "The doctor finds nothing that does harm." in "\n".join(healthy.pictures()[-1])


# On the command line.


def test_where_no_terminal_is_there_are_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--watch", "--epochs", "2", "--hidden", "4", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "epoch 2/2: loss" in shown


def test_the_display_is_chosen() -> None:
    recorder = Recorder(lambda output, target: output, np.zeros((1, 1)), np.zeros((1, 1)))
    assert isinstance(display_for(Terminal(), watched=recorder), Watch)
    assert isinstance(display_for(Terminal()), ProgressBar)
    assert isinstance(display_for(io.StringIO(), watched=recorder), Lines)


@pytest.mark.parametrize("other", ["--quiet", "--no-insight"])
def test_what_cannot_be_watched(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--watch", other]) == 2
    assert f"--watch shows what {other} leaves out" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
def test_ctrl_c_saves(tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    words = ["train", "--watch", "--epochs", "100000", "--hidden", "8", "--out", "run"]
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}
    shown, asked = b"", False
    with subprocess.Popen(
        [sys.executable, "-m", "bpkit", *words], env=environment, cwd=tmp_path, stdout=end, stderr=end
    ) as process:
        os.close(end)
        while True:
            select.select([terminal], [], [], 60)
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not chunk:
                break
            shown += chunk
            if not asked and b"epoch 3/" in shown:
                process.send_signal(signal.SIGINT)
                asked = True
        os.close(terminal)
    assert process.returncode == -signal.SIGINT
    text = STYLE.sub("", shown.decode())
    after = text.rpartition("\x1b[?1049l")[2]
    assert "Dense(64 → 8)" in after, "the last picture stays"
    assert re.search(r"Interrupted (after|before) .* saved in the run folder", after)
    assert Run.open(tmp_path / "run").saved.epoch >= 2


# Curves and sparklines.


def rows_of(series: Sequence[Sequence[float | None]], columns: int, rows: int, **options: Any) -> list[str]:
    lines, _ = curve(Terminal(), [("", values) for values in series], columns, rows, **options)
    return ["".join(text for _, text in line) for line in lines]


def dots(lines: Sequence[str]) -> set[tuple[int, int]]:
    """Column and row of each dot, from the left and the top."""
    order = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    found = set()
    for row, line in enumerate(lines):
        for column, mark in enumerate(line):
            bits = ord(mark) - 0x2800 if mark != " " else 0
            found |= {(2 * column + x, 4 * row + y) for bit, (x, y) in enumerate(order) if bits >> bit & 1}
    return found


def test_a_straight_line() -> None:
    assert dots(rows_of([[0.0, 1.0]], 4, 2)) == {(i, 7 - i) for i in range(8)}
    assert dots(rows_of([[1.0, 0.0]], 4, 2)) == {(i, i) for i in range(8)}
    assert dots(rows_of([[1.0, 10.0, 1000.0, 1e7]], 4, 2, log=True)) == dots(rows_of([[0, 1, 3, 7]], 4, 2))


def test_a_curve_has_no_holes_where_it_is_steep() -> None:
    steep = dots(rows_of([[0.0, 0.0, 1.0, 1.0]], 10, 5))
    assert {y for _, y in steep} == set(range(20))


def test_a_curve_has_a_gap_where_nothing_is_known() -> None:
    line = rows_of([[1.0, 1.0, None, 1.0, 1.0]], 9, 1)[0]
    assert re.fullmatch(r"\S+ +\S+", line)
    assert rows_of([[None]], 3, 2) == ["   ", "   "]
    assert curve(Terminal(), [("", [])], 3, 1)[1] is None
    assert curve(Terminal(), [("", [2.0, float("inf"), 3.0])], 3, 1)[1] == (2.0, 3.0)


def test_two_curves_have_their_styles_and_common_limits() -> None:
    lines, limits = curve(Terminal(), [("31", [0.0, 0.0]), ("32", [4.0, 4.0])], 3, 2)
    assert limits == (0.0, 4.0)
    assert lines == [(("32", "⠉⠉⠉"),), (("31", "⣀⣀⣀"),)]


def test_two_curves_have_their_marks() -> None:
    series = [("", [0.0, 0.0]), ("", [4.0, 4.0])]
    lines, _ = curve(Terminal(), series, 3, 2, marks="·●")
    assert lines == [(("", "●●●"),), (("", "···"),)]


def test_one_value_is_a_point() -> None:
    assert rows_of([[2.0]], 3, 1) == ["⠉  "]
    assert curve(Ascii(), [("", [2.0])], 3, 1)[0] == [(("", "*  "),)]


def test_a_sparkline() -> None:
    stream = Terminal()
    assert sparkline(stream, [0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(stream, [1, 10, 100], 8, log=True) == "▁▅█"
    assert sparkline(stream, [1, None, 3], 8) == "▁ █"
    assert sparkline(stream, [0, None, 3, float("nan")], 8, log=True) == "  ▄ "
    assert sparkline(stream, list(range(100)), 3) == "▁▅█", "its whole course"
    assert sparkline(stream, [], 8) == ""
    assert sparkline(Ascii(), [1, 2], 8) == ""


def test_a_layer_that_is_sick_is_marked(tmp_path: Path) -> None:
    session, recorder = watched(Terminal(), tmp_path / "run")
    layers = recorder.looks[-1].layers
    sick = replace(layers[0], update_ratio=0.5), replace(layers[1], dead=0.75), replace(layers[2], error=None)
    recorder.looks[-1] = replace(recorder.looks[-1], layers=sick)
    stream = Terminal()
    with Watch(stream, recorder) as watch:
        watch.begin(session)
    assert re.search(r"\x1b\[33m +0.5\x1b\[0m", stream.getvalue())
    assert re.search(r"\x1b\[33m +75.0%\x1b\[0m", stream.getvalue())
