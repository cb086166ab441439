"""A run folder is the last save or the one before it, or it is refused; never something in between."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bpkit import __version__
from bpkit.errors import CorruptRunError, RunError, SaveError
from bpkit.training import Run, Saved, locked, preset, restore
from bpkit.training import files as files_module

SETTINGS = preset("digits", hidden=(3,), epochs=5)


def make_saved(epoch: int, step: int = 0) -> Saved:
    rng = np.random.default_rng([epoch, step])
    return Saved(
        arrays={
            "model.layers[0].weight": rng.normal(size=(3, 64)).astype(np.float32),
            "model.layers[0].bias": np.asfortranarray(rng.normal(size=(4, 5))),
            "optimizer.count": np.asarray(epoch, dtype=np.int64),
            "losses": rng.normal(size=step),
        },
        metrics=tuple({"epoch": n + 1, "loss": 1 / (n + 1), "test_accuracy": 0.9} for n in range(epoch)),
        step=step,
        seconds=0.25 * step,
        epochs=5,
        backend="numpy",
        device="cpu",
    )


def same(one: Saved, other: Saved) -> bool:
    return (
        one.arrays.keys() == other.arrays.keys()
        and all(
            x.dtype == other.arrays[name].dtype
            and x.shape == other.arrays[name].shape
            and x.tobytes() == other.arrays[name].tobytes()
            for name, x in one.arrays.items()
        )
        and (one.metrics, one.step, one.seconds, one.epochs, one.backend, one.device)
        == (other.metrics, other.step, other.seconds, other.epochs, other.backend, other.device)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with the save of epoch 2."""
    run = Run.create(tmp_path / "run", SETTINGS, make_saved(0))
    run.save(make_saved(1))
    run.save(make_saved(2))
    return run.path


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# What is written is what is read.


@pytest.mark.parametrize("saved", [make_saved(0), make_saved(3), make_saved(3, step=17)])
def test_a_save_is_read_back_to_the_bit(folder: Path, saved: Saved) -> None:
    run = Run.open(folder)
    run.save(saved)
    again = Run.open(folder)
    assert same(again.saved, saved)
    assert again.settings == SETTINGS
    assert again.saved.epoch == saved.epoch


def test_the_files_are_plain_json_and_safetensors(folder: Path) -> None:
    assert names(folder) == {"settings.json", "state.json", "metrics.jsonl", "weights-3.safetensors"}
    started = json.loads((folder / "settings.json").read_text())
    assert started["bpkit"] == __version__
    assert started["settings"]["hidden"] == [3]
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == [1, 2]
    arrays = load_file(folder / "weights-3.safetensors")
    expected = make_saved(2).arrays["model.layers[0].weight"]
    assert np.array_equal(arrays["model.layers[0].weight"], expected)


def test_what_a_killed_process_left_is_removed_by_the_next_save(folder: Path) -> None:
    (folder / ".state.json.tmp").write_text("{")
    (folder / "weights-9.safetensors").write_bytes(b"never named in state.json")
    (folder / "notes.txt").write_text("the user's own")
    Run.open(folder).save(make_saved(3))
    kept = {"settings.json", "state.json", "metrics.jsonl", "weights-4.safetensors", "notes.txt"}
    assert names(folder) == kept


def test_a_folder_is_read_while_its_training_saves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, read = Run.open(folder), Path.read_bytes
    interfered: list[bool] = []

    def save_after_state_was_read(path: Path) -> bytes:
        content = read(path)
        if path.name == "state.json" and not interfered:
            interfered.append(True)
            writer.save(make_saved(3))
        return content

    monkeypatch.setattr(Path, "read_bytes", save_after_state_was_read)
    assert same(Run.open(folder).saved, make_saved(3))
    assert interfered


def test_a_later_version_of_bpkit_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpkit.training.run.__version__", "99.0")
    Run.open(folder).save(make_saved(3))
    assert same(Run.open(folder).saved, make_saved(3))
    assert json.loads((folder / "settings.json").read_text())["bpkit"] == __version__


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run is already there and not empty.*bpkit train --resume"):
        Run.create(folder, SETTINGS, make_saved(0))
    assert same(Run.open(folder).saved, make_saved(2))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="already there"):
        Run.create(tmp_path / "file", SETTINGS, make_saved(0))
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", SETTINGS, make_saved(0))


def test_two_processes_cannot_train_in_one_folder(folder: Path) -> None:
    pytest.importorskip("fcntl", reason="no advisory locks on folders here")
    with locked(folder), pytest.raises(RunError, match="another process"), locked(folder):
        pass
    with locked(folder):
        pass


# Damage.


@pytest.mark.parametrize("name", ["settings.json", "state.json", "metrics.jsonl", "weights-3.safetensors"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.unlink(), id="missing"),
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]), id="half"),
        pytest.param(lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n"), id="foreign"),
        pytest.param(lambda file: file.write_text("[1, 2]"), id="other JSON"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Callable[[Path], Any]) -> None:
    damage(folder / name)
    with pytest.raises(CorruptRunError) as caught:
        Run.open(folder)
    assert str(folder / name) in str(caught.value)
    assert "train again" in str(caught.value)


def test_no_flipped_bit_loads(folder: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(folder.iterdir())
    for _ in range(1500):
        file = files[rng.integers(len(files))]
        good = file.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        file.write_bytes(bad)
        with pytest.raises(CorruptRunError):
            Run.open(folder)
        file.write_bytes(good)
    assert same(Run.open(folder).saved, make_saved(2))


@pytest.mark.parametrize("name", ["settings.json", "state.json"])
def test_a_later_format_says_to_update(folder: Path, name: str) -> None:
    later = {**json.loads((folder / name).read_text()), "format": 2}
    text = json.dumps(later, indent=1) + "\n"
    (folder / name).write_text(text)
    if name == "settings.json":  # the checksum is right, so only the version can be wrong
        state = json.loads((folder / "state.json").read_text())
        del state["sha256"]
        state["settings"]["sha256"] = files_module.sha256(text.encode())
        digest = files_module.sha256((json.dumps(state, indent=1) + "\n").encode())
        (folder / "state.json").write_text(json.dumps({**state, "sha256": digest}, indent=1) + "\n")
    with pytest.raises(CorruptRunError, match=r"format version 2, but bpkit .* update bpkit"):
        Run.open(folder)


@pytest.mark.parametrize("what", ["absent", "empty", "file", "foreign"])
def test_what_is_no_run_folder_says_so(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("")
    elif what != "absent":
        path.mkdir()
    if what == "foreign":
        (path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(RunError, match="bpkit train") as caught:
        Run.open(path)
    assert not isinstance(caught.value, CorruptRunError)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("model.layers[2].bias"), r"model\.layers\[2\]\.bias is not among"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "more belongs to no part"),
        (
            lambda arrays: arrays.update({"model.layers[0].weight": np.zeros((3, 65), np.float32)}),
            r"weight has shape \(3, 65\).*\(3, 64\)",
        ),
        (
            lambda arrays: arrays.update({"model.layers[2].bias": np.zeros(10, np.float64)}),
            "dtype float64.*float32",
        ),
    ],
)
def test_arrays_of_another_model_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    from bpkit.training import Session

    saved = Session.start(preset("digits", hidden=(3,), momentum=0.0), tmp_path / "run").run.saved
    arrays = dict(saved.arrays)
    change(arrays)
    run = Run.open(tmp_path / "run")
    run.save(Saved(arrays, (), 0, 0.0, 5, "numpy", "cpu"))
    with pytest.raises(CorruptRunError, match=message):
        restore(Run.open(tmp_path / "run"))


# Failing and stopping at every file operation.


class Killed(BaseException):
    """Stands for the end of the process."""


OPERATIONS = ("open", "write", "fsync", "close", "replace", "unlink")


class Faults:
    """Lets the first `allowed` file operations of a save happen and fails the one after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: Callable[[], BaseException]) -> None:
        self.failure = failure
        self.allowed = sys.maxsize
        self.done: list[str] = []
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._faulty(name, getattr(os, name)))

    def _faulty(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*arguments: Any, **options: Any) -> Any:
            dead = isinstance(self.failure(), Killed)
            due = len(self.done) >= self.allowed if dead else len(self.done) == self.allowed
            if due and (dead or name != "unlink"):
                if not dead:
                    self.done.append(f"{name} failed")
                if name == "close":
                    function(*arguments, **options)
                raise self.failure()
            self.done.append(name)
            return function(*arguments, **options)

        return operate

    def arm(self, allowed: int) -> None:
        self.allowed, self.done = allowed, []


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    made = Faults(monkeypatch, no_space)
    yield made
    made.arm(sys.maxsize)


def test_a_full_disk_at_every_operation_of_a_save(folder: Path, faults: Faults) -> None:
    allowed, outcomes = 0, []
    while True:
        run = Run.open(folder)
        before = run.saved
        after = make_saved(before.epoch + 1)
        faults.arm(allowed)
        try:
            run.save(after)
        except SaveError as error:
            assert "the disk is full" in str(error)
            assert f"bpkit train --resume {folder}" in str(error)
            assert error.errno == errno.ENOSPC
        else:
            if not any("failed" in operation for operation in faults.done):
                break
        faults.arm(sys.maxsize)
        again = Run.open(folder)
        assert same(again.saved, before) or same(again.saved, after)
        outcomes.append(same(again.saved, after))
        assert not [name for name in names(folder) if name.endswith(".tmp")]
        assert (
            len(names(folder)) == 4 + outcomes[-1]
        )  # once saved, the old weights may stay until the next save
        again.save(before)
        assert len(names(folder)) == 4
        allowed += 1
    assert len(outcomes) > 15
    assert outcomes == sorted(outcomes), "an old save came back"
    assert outcomes.count(True) <= 3, (
        "only making the last rename lasting may fail with the new save in place"
    )


def test_a_full_disk_at_every_operation_of_the_first_save(tmp_path: Path, faults: Faults) -> None:
    allowed = 0
    while True:
        faults.arm(allowed)
        try:
            Run.create(tmp_path / "run", SETTINGS, make_saved(0))
        except SaveError as error:
            assert "the disk is full" in str(error)
            assert "nothing was saved" in str(error)
            assert not list(tmp_path.iterdir())
        else:
            break
        finally:
            faults.arm(sys.maxsize)
        allowed += 1
    assert allowed > 15


def test_a_half_written_file_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.write, []

    def write_little(handle: int, content: Any) -> int:
        calls.append(handle)
        if len(calls) > 3:
            raise no_space()
        return write(handle, content[:10])

    monkeypatch.setattr(os, "write", write_little)
    with pytest.raises(SaveError):
        Run.open(folder).save(make_saved(3))
    assert names(folder) == {"settings.json", "state.json", "metrics.jsonl", "weights-3.safetensors"}
    assert same(Run.open(folder).saved, make_saved(2))


def test_killed_at_every_operation(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faults = Faults(monkeypatch, Killed)
    outcomes: list[bool] = []
    while True:
        victim = tmp_path / f"victim-{len(outcomes)}"
        shutil.copytree(folder, victim)
        run = Run.open(victim)
        faults.arm(len(outcomes))
        try:
            run.save(make_saved(3))
        except Killed:
            pass
        else:
            break
        finally:
            faults.arm(sys.maxsize)
        again = Run.open(victim)
        outcomes.append(same(again.saved, make_saved(3)))
        assert outcomes[-1] or same(again.saved, make_saved(2))
        again.save(make_saved(4))
        assert names(victim) == {"settings.json", "state.json", "metrics.jsonl"} | {
            name for name in names(victim) if name.startswith("weights-")
        }
        assert same(Run.open(victim).saved, make_saved(4))
    assert {True, False} == set(outcomes)
    assert outcomes == sorted(outcomes)


SAVER = """
import sys
sys.path.insert(0, {tests!r})
from test_run_folder import Run, make_saved
run = Run.open({folder!r})
print("ready", flush=True)
epoch = run.saved.epoch
while True:
    epoch += 1
    run.save(make_saved(epoch))
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 on Windows")
def test_kill_minus_9_at_a_random_moment(folder: Path) -> None:
    rng = np.random.default_rng(1)
    script = SAVER.format(tests=str(Path(__file__).parent), folder=str(folder))
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
        saved = Run.open(folder).saved
        assert same(saved, make_saved(saved.epoch))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    def wide(epoch: int) -> Saved:
        saved = make_saved(epoch)
        return Saved({"w": np.full(12_000, float(epoch))}, *[getattr(saved, f) for f in REST])

    run = Run.create(small_disk / "run", SETTINGS, wide(0))
    run.save(wide(1))
    (small_disk / "other").write_bytes(b"x" * 100_000)
    with pytest.raises(SaveError, match=r"the disk is full; the save of epoch 1 is intact"):
        run.save(wide(2))
    assert names(run.path) == {"settings.json", "state.json", "metrics.jsonl", "weights-2.safetensors"}
    assert same(Run.open(run.path).saved, wide(1))
    with pytest.raises(SaveError, match="the disk is full; nothing was saved"):
        Run.create(small_disk / "second", SETTINGS, wide(0))
    assert not (small_disk / "second").exists()
    (small_disk / "other").unlink()
    run.save(wide(2))
    assert same(Run.open(run.path).saved, wide(2))


@pytest.mark.parametrize("lost", ["folder", "state.json", "weights-1.safetensors"])
def test_a_folder_that_somebody_deletes_while_training(tmp_path, lost):
    run = Run.create(tmp_path / "run", SETTINGS, make_saved(0))
    if lost == "folder":
        shutil.rmtree(run.path)
    else:
        (run.path / lost).unlink()
        (run.path / ".weights-2.safetensors.tmp").mkdir()  # which no save can replace
    for failing in (run.set_aside, lambda: run.save(make_saved(1))):
        with pytest.raises(SaveError, match=r"the save of epoch 0 is gone.* train again, into a folder"):
            failing()
        assert run.path.exists() == (lost != "folder")


REST = ("metrics", "step", "seconds", "epochs", "backend", "device")


@pytest.mark.parametrize("name", [".state.json.tmp", ".metrics.jsonl.tmp", ".weights-1.safetensors.tmp"])
def test_saving_follows_no_link_that_somebody_put_there(tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = Run.create(tmp_path / "run", SETTINGS, make_saved(0))
    for link in {name.replace("-1", f"-{number}") for number in range(1, 4)}:
        (tmp_path / "run" / link).symlink_to(precious)
    run.save(make_saved(1))
    assert precious.read_text() == "mine"


def test_a_file_that_is_a_link_or_a_pipe_is_refused(tmp_path):
    Run.create(tmp_path / "run", SETTINGS, make_saved(0))
    for name in ("state.json", "settings.json", "metrics.jsonl"):
        file = tmp_path / "run" / name
        content = file.read_bytes()
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(CorruptRunError, match="not a plain file"):
            Run.open(tmp_path / "run")
        file.unlink()
        file.write_bytes(content)


@pytest.mark.parametrize(
    "change", [{"weights": 5}, {"save": "x"}, {"metrics": {"bytes": "x"}}, {"step": None}]
)
def test_a_state_of_another_form_with_a_right_checksum(tmp_path, change):
    Run.create(tmp_path / "run", SETTINGS, make_saved(0))
    file = tmp_path / "run" / "state.json"
    state = json.loads(file.read_text()) | change
    if state["step"] is None:
        del state["step"]
    del state["sha256"]
    content = json.dumps(state, indent=1) + "\n"
    state["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    file.write_text(json.dumps(state, indent=1) + "\n")
    with pytest.raises(CorruptRunError):
        Run.open(tmp_path / "run")
