"""A training in the terminal: the bar, signals that stop it, and going on."""

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_cli import (  # type: ignore[import-not-found]
    BPKIT,
    in_a_folder_of_its_own,  # noqa: F401 - it is used by every test
    trained,
)

from bpkit.cli import main
from bpkit.training import Run, Session
from bpkit.training.interrupt import Interrupt

# Stopping and going on.


@contextmanager
def training(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A training in a process of its own that has finished its first epoch."""
    process = subprocess.Popen(
        [*BPKIT, "train", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch 1/"):
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_saves_and_resume_goes_on_to_the_same_bits(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--hidden", "8", "--batch-size", "3", "--seed", "2"]
    with training(*settings, "--epochs", "500", "--out", "parts") as process:
        time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert not err
    assert re.search(r"Interrupted (after|before) .* of epoch \d+; saved", out)
    assert out.endswith("bpkit train --resume parts\n")

    saved = Run.open("parts").saved
    epochs = saved.epoch + 2
    assert main(["train", "--resume", "parts", "--epochs", str(epochs), "--quiet"]) == 0
    assert main(["train", *settings, "--epochs", str(epochs), "--out", "whole", "--quiet"]) == 0
    parts, whole = Run.open("parts").saved, Run.open("whole").saved
    assert {name: x.tobytes() for name, x in parts.arrays.items()} == {
        name: x.tobytes() for name, x in whole.arrays.items()
    }
    assert [line["loss"] for line in parts.metrics] == [line["loss"] for line in whole.metrics]
    assert parts.epoch == epochs


def test_json_of_an_interrupted_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Session.events

    def interrupted(session: Session) -> Iterator[Any]:
        for number, event in enumerate(events(session)):
            if number == 50:
                signal.raise_signal(signal.SIGINT)
            yield event

    monkeypatch.setattr(Session, "events", interrupted)
    assert main(["train", "--json", "--quiet", "--out", "run", "--batch-size", "32"]) == 130
    result = json.loads(capsys.readouterr().out)
    assert (result["epochs"], result["interrupted"]) == (1, True)
    assert (Run.open("run").saved.epoch, Run.open("run").saved.step) == (1, 10)


def test_resume_of_a_finished_run_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained("--epochs", "1", "--out", "run", capsys=capsys)
    before = Path("run/state.json").read_bytes()
    assert trained("--resume", "run", capsys=capsys) == result
    assert Path("run/state.json").read_bytes() == before


def test_two_trainings_in_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fcntl", reason="no advisory locks on folders here")
    with training("--epochs", "500", "--out", "run"):
        assert main(["train", "--resume", "run"]) == 2
        assert "another process" in capsys.readouterr().err
        assert main(["eval", "run"]) == 0, "looking is allowed"


def test_the_second_ctrl_c_is_obeyed_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        assert interrupt.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert interrupt.signal is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_stopped_at_once_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(session: Session) -> Iterator[Any]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield

    monkeypatch.setattr(Session, "events", twice)
    assert main(["train", "--quiet", "--out", "run"]) == 130
    assert capsys.readouterr().err == (
        "bpkit: stopped at once; the last save is in run; go on with: bpkit train --resume run\n"
    )


# The terminal.


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
@pytest.mark.parametrize("json_too", [False, True], ids=["stdout", "stderr beside --json"])
def test_the_progress_bar_on_a_terminal(json_too: bool) -> None:
    import pty

    terminal, end = pty.openpty()
    words = [*BPKIT, "train", "--epochs", "4", "--batch-size", "2", "--hidden", "8", "--out", "run"]
    words += ["--no-jit"]  # or it ends before the bar, which moves ten times per second, has moved
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": end} if json_too else {"stdout": end}
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen([*words, *["--json"] * json_too], env=environment, **streams) as process:
        os.close(end)
        shown = b""
        while True:
            select.select([terminal], [], [], 60)
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not chunk:
                break
            shown += chunk
        os.close(terminal)
        out = process.stdout.read() if process.stdout else b""
    assert process.returncode == 0
    if json_too:
        assert json.loads(out)["epochs"] == 4
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"epoch \d/4 .*[━╸╺].* loss \d\.\d{4}( +test \d+\.\d\d%)? +[\d,]+ images/s", text)
    rows = re.findall(
        r"(?:^|\r) +(\d) +\d\.\d{4} +\d+\.\d\d% +\d+\.\d\d% +\d+\.\d\d% +\d+\.\d\d +[\d,]+",
        text,
        re.MULTILINE,
    )
    assert rows == ["1", "2", "3", "4"]
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= 80
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h"), "the cursor is shown again"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from bpkit.cli.display import Lines, ProgressBar, display_for

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(Terminal(), quiet=False), Lines)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display_for(Terminal(), quiet=False), ProgressBar)
    assert isinstance(display_for(io.StringIO(), quiet=False), Lines)
