"""What a fit tells while it runs: a bar, logs; and the learning rate that it finds."""

import io
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_fit import X, Y, accuracy, curve, make, run, same_bits  # type: ignore[import-not-found]

from bpkit import losses, nn, optim, random
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, DivergedError
from bpkit.training import Epoch, find_learning_rate, json_lines, tensorboard

VALIDATED: dict[str, Any] = {"validation": (X[:9], Y[:9]), "metrics": [accuracy]}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_epoch_and_each_third_step(tmp_path: Path) -> None:
    fitted = run(callbacks=[json_lines(tmp_path / "log", every=3)], **VALIDATED)
    found = lines(tmp_path / "log")
    assert [(line["epoch"], line.get("step")) for line in found] == [
        (epoch, step) for epoch in (1, 2, 3) for step in (3, 6, None)
    ]
    epochs = [line for line in found if "step" not in line]
    assert epochs == [epoch.to_json() for epoch in fitted.history]
    assert list(epochs[0]) == [
        *("epoch", "loss", "validation_loss", "validation_accuracy", "seconds", "evaluation_seconds")
    ]
    assert all(set(line) == {"epoch", "step", "loss"} for line in found if "step" in line)


def test_a_log_of_a_training_that_was_interrupted(tmp_path: Path) -> None:
    run(callbacks=[json_lines(tmp_path / "whole", every=2)])
    for events in (13, 6, 99):
        counter = itertools.count(1)
        log = json_lines(tmp_path / "parts", every=2)

        def stop(event: Any, state: Any, counter: Any = counter, events: int = events) -> Any:
            return next(counter) == events

        run(callbacks=[log, stop], folder=tmp_path / "run", resume=True)
        with (tmp_path / "parts").open("a") as file:  # what a process wrote that was killed before it saved
            file.write('{"epoch": 9, "step": 2, "loss": 1.0}\n{"epoch": 9, "st')
    expected = [{**line, "seconds": 0, "evaluation_seconds": 0} for line in lines(tmp_path / "whole")]
    text = (tmp_path / "parts").read_text().rpartition('{"epoch": 9, "step": 2')[0]
    found = [{**json.loads(line), "seconds": 0, "evaluation_seconds": 0} for line in text.splitlines()]
    assert found == expected


def test_a_metric_that_is_nan_is_null(tmp_path: Path) -> None:
    def odd(output: Any, target: Any) -> Any:
        return losses.softmax_cross_entropy(output, target) * float("nan")

    options: dict[str, Any] = {"validation": (X, Y), "metrics": [odd], "folder": tmp_path / "run"}
    fitted = run(callbacks=[json_lines(tmp_path / "log")], **options)
    assert lines(tmp_path / "log")[0]["validation_odd"] is None
    again = run(resume=True, **options)
    assert [np.isnan(epoch.metrics["validation_odd"]) for epoch in again.history] == [True] * 3
    assert curve(again) == curve(fitted)


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_fit import run
from bpkit.training import tensorboard
run(callbacks=[tensorboard("board", every=2)])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
    (file,) = (tmp_path / "board").iterdir()
    content = file.read_bytes()
    assert [content.count(tag) for tag in (b"epoch/loss", b"epoch/seconds", b"step/loss")] == [3, 3, 9]


def test_tensorboard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install tensorboardX"):
        tensorboard("board")
    for make_log in (tensorboard, json_lines):
        with pytest.raises(ArgumentError, match=r"every=0\): expected a whole number above 0"):
            make_log("log", every=0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        shown = run(progress=True, **VALIDATED)
    text = terminal.getvalue()
    rows = re.findall(
        r"epoch (\d)/3: loss (\d\.\d{4}), validation_loss \d\.\d{4}, validation_accuracy \d\.\d{4}; ",
        text,
    )
    assert rows == [(str(epoch.epoch), f"{epoch.loss:.4f}") for epoch in shown.history]
    assert "examples/s" in text
    run(progress=True)
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "")


def test_training_in_a_thread(tmp_path: Path) -> None:
    """Signals belong to the main thread, and others train too."""
    script = f"""
import sys, threading
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_fit import run
threading.Thread(target=lambda: print(run().ended)).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


# The learning rate.


def test_the_rate_that_is_found_learns(backend: Backend) -> None:
    model = make()
    labels = np.argmax(X[:, :3], axis=1)
    found = find_learning_rate(
        model, (X, labels), losses.softmax_cross_entropy, optim.sgd, batch_size=8, highest=100.0
    )
    assert same_bits(model, make())
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 100
    np.testing.assert_allclose(found.rates[:3], 1e-6 * 1e8 ** (np.arange(3) / 99), rtol=1e-6)
    assert 1e-3 < found.suggestion < 3
    fitted = run(data=(X, labels), optimizer=optim.sgd(found.suggestion), epochs=20)
    assert fitted.history[-1].loss < 0.7 * fitted.history[0].loss


def test_the_rates_are_those_of_the_steps() -> None:
    """On a loss whose slope is 1, what a step changes is its rate."""

    class Point(nn.Module):
        x: Any

        def __call__(self, data: Any) -> Any:
            return self.x + 0.0 * data[:, 0]

    data = (np.zeros((64, 1)), np.zeros(64))
    found = find_learning_rate(
        Point(np.zeros(1)), data, lambda out, y: out.mean(), optim.sgd, steps=20, lowest=1e-3, highest=1.0
    )
    np.testing.assert_allclose(-np.diff(found.losses), found.rates[:-1], rtol=1e-5)


def test_a_search_that_cannot_be_done() -> None:
    search: dict[str, Any] = {"loss": losses.softmax_cross_entropy, "make_optimizer": optim.sgd}
    for wrong in ({"lowest": 1.0, "highest": 0.1}, {"lowest": 0.0}, {"highest": float("inf")}):
        with pytest.raises(ArgumentError, match="expected 0 < lowest < highest"):
            find_learning_rate(make(), (X, Y), **search, **wrong)
    with pytest.raises(ArgumentError, match="steps=10"):
        find_learning_rate(make(), (X, Y), **search, steps=10)
    model = nn.Dense(6, 3, key=random.key(0))
    search["loss"] = lambda out, y: (out**2).mean()
    with pytest.raises(DivergedError, match=r"begin with a lower one: lowest=0\.1"):
        find_learning_rate(model, (X, Y), **search, lowest=100.0, highest=1e5)


def test_an_epoch_as_json_and_back() -> None:
    epoch = Epoch(3, 0.5, {"validation_loss": 0.25}, 1.0, 0.5)
    assert Epoch.from_json(epoch.to_json()) == epoch
    with pytest.raises(TypeError, match="loss is missing"):
        Epoch.from_json({"epoch": 1})
    with pytest.raises(TypeError, match="perplexity is 'low'"):
        Epoch.from_json({**epoch.to_json(), "perplexity": "low"})
