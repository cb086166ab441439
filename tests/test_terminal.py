"""Bars and tables as a terminal shows them, and as a file or a pipe keeps them."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tabulate import tabulate

from bpkit.cli import main
from bpkit.terminal import Bar, is_live, styled, write_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What is seen in the end: a carriage return goes to the start of the line, and text overwrites."""
        lines = []
        for written in self.getvalue().split("\n"):
            line: list[str] = []
            for part in written.split("\r"):
                line[: len(part)] = part
            lines.append("".join(line).rstrip())
        return lines


class Ascii(Terminal):
    encoding = "ascii"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_a_bar_shows_how_far_it_is(terminal: Terminal) -> None:
    with Bar(terminal) as bar:
        assert terminal.getvalue() == ""
        bar.show("epoch 1/2", 1, 4, "loss {0.5}")
        assert terminal.screen() == ["epoch 1/2 ━━━━──────────── loss {0.5}"]
        bar.show("epoch 1/2", 4, 4, "loss")
        assert terminal.screen() == ["epoch 1/2 ━━━━━━━━━━━━━━━━ loss"]
    assert terminal.screen() == [""]


def test_what_is_written_stays_above_the_bar(terminal: Terminal) -> None:
    with Bar(terminal) as bar:
        bar.write("first")
        assert terminal.screen() == ["first", ""], "no bar before it is shown"
        bar.show("1/2", 1, 2, "a text that is longer than the second line")
        terminal.write("^C")  # as a terminal does
        bar.write("second")
        assert terminal.screen()[:2] == ["first", "second"]
        assert terminal.screen()[2].startswith("1/2 ━━━━━━━━──────── a text")
    assert terminal.screen() == ["first", "second", ""]


def test_what_others_print_goes_above_the_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    with Bar(terminal) as bar:
        bar.show("1/2", 1, 2, "text")
        sys.stdout.write("hello\nwor")
        sys.stderr.write("into a file\n")
        assert terminal.screen() == ["hello", "1/2 ━━━━━━━━──────── text"]
        sys.stdout.write("ld\nno newline")
    assert terminal.screen() == ["hello", "world", "no newline"]
    assert sys.stdout is terminal
    assert error.getvalue() == "into a file\n"


def test_a_bar_that_is_kept(terminal: Terminal) -> None:
    with Bar(terminal) as bar:
        bar.show("a", 1, 2, "half")
        bar.keep()
    assert terminal.screen() == ["a ━━━━━━━━──────── half", ""]


@pytest.mark.parametrize("columns", [8, 20, 40, 80, 200])
def test_a_bar_leaves_room_for_the_echo_of_ctrl_c(
    columns: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with Bar(terminal) as bar:
        bar.show("epoch 1/2", 1, 4, "loss 0.1234  test 97.12%  123,456 images/s")
        (line,) = terminal.screen()
        assert 0 < len(line) <= columns - 5
    assert terminal.screen() == [""]


def test_a_terminal_without_line_characters(terminal: Terminal) -> None:
    shown = Ascii()
    with Bar(shown) as bar:
        bar.show("a", 1, 2, "half")
        assert shown.screen() == ["a ========........ half"]
    write_table(shown, "T", ["x"], [("", ["1"])])
    assert shown.getvalue().isascii()


@pytest.mark.parametrize(
    ("variable", "value", "live", "coloured"),
    [("TERM", "dumb", False, False), ("NO_COLOR", "1", True, False), ("TERM", "xterm", True, True)],
)
def test_styles_are_for_terminals_that_have_them(
    variable: str, value: str, live: bool, coloured: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.name", "posix")
    monkeypatch.setenv(variable, value)
    assert is_live(terminal) == live
    assert styled(terminal, "31", "red") == ("\x1b[31mred\x1b[0m" if coloured else "red")
    assert styled(terminal, "", "plain") == "plain"
    assert styled(io.StringIO(), "31", "red") == "red"
    assert not is_live(io.StringIO())
    assert not is_live(None)


HEADINGS = ("name", "number", "words")
ROWS = [("", ["first", "1.50", "some words"]), None, ("1;31", ["second", "10.00", "more words than before"])]


def test_a_table() -> None:
    stream = io.StringIO()
    write_table(stream, "A title", HEADINGS, ROWS, right=("number",))
    assert stream.getvalue().splitlines() == [
        "A title",
        "┌────────┬────────┬────────────────────────┐",
        "│ name   │ number │ words                  │",
        "├────────┼────────┼────────────────────────┤",
        "│ first  │   1.50 │ some words             │",
        "├────────┼────────┼────────────────────────┤",
        "│ second │  10.00 │ more words than before │",
        "└────────┴────────┴────────────────────────┘",
    ]


@pytest.mark.parametrize("columns", [10, 30])
def test_numbers_are_not_folded(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    write_table(
        stream, "", ("words", "number"), [("", ["some more words than fit", "1,000,000"])], ("number",)
    )
    assert "1,000,000 │" in stream.getvalue()


def test_tabulate_takes_a_number_with_commas_for_an_int() -> None:
    # Once this fails, write_table can give the width of every column.
    with pytest.raises(ValueError, match="invalid literal"):
        tabulate([["1,000"]], disable_numparse=True, maxcolwidths=[8])


@pytest.mark.parametrize("columns", [16, 20, 30, 44])
@pytest.mark.parametrize("live", [False, True])
def test_a_table_folds_what_does_not_fit(
    columns: int, live: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = terminal if live else io.StringIO()
    write_table(stream, "", HEADINGS, ROWS)
    shown = stream.getvalue()
    assert ("\x1b[1;31m" in shown) == live
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()[1:]
    (width,) = {len(line) for line in plain}
    assert width <= columns
    cells = [line.strip("│").split("│") for line in plain if line.startswith("│")]
    whole = ["".join(part.replace(" ", "") for part in column) for column in zip(*cells, strict=True)]
    assert whole == ["namefirstsecond", "number1.5010.00", "wordssomewordsmorewordsthanbefore"]


def test_gradcheck_on_a_terminal(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talking.py").write_text("def f(x):\n    print('called')\n    return x**2\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["gradcheck", "talking:f", "--shape", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert main(words) == 0
    screen = terminal.screen()
    assert "0/2 ─" in terminal.getvalue()
    title = next(number for number, line in enumerate(screen) if "Derivatives of talking:f" in line)
    assert screen[:title] == ["called"] * title
    assert title > 1
    assert screen[-2:] == ["All 2 agree with finite differences.", ""]
    assert main(words) == 0
    piped = capsys.readouterr().out
    assert "\x1b" not in piped
    assert "\r" not in piped
    assert piped.splitlines()[title:] == [re.sub(r"\x1b\[[\d;]*m", "", line) for line in screen[title:-1]]


@pytest.mark.parametrize("words", [["--quiet"], ["--json"], []])
def test_bars_and_tables_are_loaded_when_they_are_shown(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys, bpkit.cli; "
        f"bpkit.cli.main(['train', '--epochs', '1', '--hidden', '2', '--out', 'run', *{words}]); "
        "sys.stdout.write(str({'tqdm', 'tabulate'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_table_in_a_file_is_as_wide_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    words = "word " * 40 + "end"
    with (tmp_path / "table.txt").open("w+", encoding="utf-8") as stream:
        write_table(stream, "", ["words", "number"], [("", [words, "1"])], right=("number",))
        stream.seek(0)
        assert words in stream.read()
