"""A fit that is saved: it goes on to the same bits wherever it was stopped, or says why it cannot."""

import errno
import itertools
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
from test_fit import RNG, X, Y, accuracy, curve, make, run, same_bits  # type: ignore[import-not-found]
from test_run_folder import Faults, Killed  # type: ignore[import-not-found]

from bpkit import losses, nn, optim, random, registry, xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, CorruptRunError, RunError, SaveError, TrainingInterrupted
from bpkit.training import Epoch, Run, Session, Step, load_model, preset, restore


def stop_after(events: int) -> Callable[..., bool]:
    counter = itertools.count(1)
    return lambda event, state: next(counter) == events


def bits(folder: Path) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in Run.open(folder).saved.arrays.items()}


def untimed(history: Any) -> list[Any]:
    return [(epoch.epoch, epoch.loss, epoch.metrics) for epoch in history]


OPTIONS: dict[str, Any] = {"epochs": 4, "validation": (X[:9], Y[:9]), "metrics": [accuracy], "batch_size": 8}


@pytest.mark.parametrize("jit", [True, False])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(backend: Backend, tmp_path: Path, jit: bool) -> None:
    whole = run(folder=tmp_path / "whole", jit=jit, **OPTIONS)
    for events in (3, 10, 99):
        parts = run(
            folder=tmp_path / "parts", resume=True, jit=jit, callbacks=[stop_after(events)], **OPTIONS
        )
    assert parts.ended == "done"
    assert untimed(parts.history) == untimed(whole.history)
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    assert same_bits(parts.model, whole.model)


STREAMS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "items": (lambda: list(zip(X, Y, strict=True)), {}),
    "endless": (lambda: zip(itertools.cycle(X), itertools.cycle(Y), strict=True), {"steps": 6}),
    "batches": (lambda: [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)], {"batch_size": None}),
    "read ahead": (lambda: list(zip(X, Y, strict=True)), {"prefetch": 3}),
}


@pytest.mark.parametrize("name", STREAMS)
def test_all_kinds_of_data_go_on(tmp_path: Path, name: str) -> None:
    data, options = STREAMS[name]
    whole = run(data=data(), **{**OPTIONS, **options})
    for events in (4, 9, 99):
        parts = run(
            data=data(),
            folder=tmp_path / "run",
            resume=True,
            callbacks=[stop_after(events)],
            **{**OPTIONS, **options},
        )
    assert untimed(parts.history) == untimed(whole.history)
    assert same_bits(parts.model, whole.model)


def test_ctrl_c_on_an_endless_stream_and_on(tmp_path: Path) -> None:
    def stream() -> Iterator[Any]:
        return zip(itertools.cycle(X), itertools.cycle(Y), strict=True)

    def interrupt(event: Any, state: Any) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 5):
            signal.raise_signal(signal.SIGINT)

    options: dict[str, Any] = {"epochs": 3, "steps": 10}
    whole = run(data=stream(), **options)
    with pytest.raises(TrainingInterrupted, match=r"after step 5 of epoch 2; .*resume=True") as found:
        run(data=stream(), folder=tmp_path / "run", callbacks=[interrupt], **options)
    stopped = found.value.fitted
    assert (stopped.ended, stopped.state.epoch, stopped.state.step) == ("interrupted", 1, 5)
    on = run(data=stream(), folder=tmp_path / "run", resume=True, **options)
    assert (on.ended, curve(on)) == ("done", curve(whole))
    assert same_bits(on.model, whole.model)


def sent(number: int, step: int) -> Any:
    """A callback that sends a signal in a step of the first epoch."""

    def callback(event: Any, state: Any) -> None:
        if isinstance(event, Step) and event.step == step:
            signal.raise_signal(number)

    return callback


def test_ctrl_c_without_a_folder_loses_nothing() -> None:
    with pytest.raises(TrainingInterrupted, match=r"after step 2 of epoch 1; .* Nothing is saved") as found:
        run(callbacks=[sent(signal.SIGINT, 2)])
    assert same_bits(found.value.fitted.model, found.value.fitted.state.model)
    assert not isinstance(found.value, Exception), "`except Exception` does not swallow it"


def test_sigterm_ends_the_program_when_all_is_saved(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="143"):
        run(folder=tmp_path / "run", callbacks=[sent(signal.SIGTERM, 3)])
    saved = Run.open(tmp_path / "run").saved
    assert (saved.epoch, saved.step) == (0, 3)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_handler_of_the_program_is_called_when_all_is_saved(number: int, tmp_path: Path) -> None:
    noted: list[Any] = []
    before = signal.signal(
        number, lambda number, frame: noted.append((number, Run.open(tmp_path / "run").saved.step))
    )
    try:
        stopped = run(folder=tmp_path / "run", callbacks=[sent(number, 3)])
    finally:
        signal.signal(number, before)
    assert (noted, stopped.ended) == ([(number, 3)], "interrupted")


def test_the_second_ctrl_c_is_obeyed_at_once() -> None:
    def interrupt(event: Any, state: Any) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[interrupt])


def test_mixed_precision_goes_on_with_its_scale(tmp_path: Path) -> None:
    model = make(dtype="float32")
    options: dict[str, Any] = {"precision": "float16", "epochs": 3}
    whole = run(model, **options)
    for events in (5, 99):
        parts = run(model, folder=tmp_path / "run", resume=True, callbacks=[stop_after(events)], **options)
    assert curve(parts) == curve(whole)


def test_a_run_goes_on_with_another_backend(backend: Backend, tmp_path: Path) -> None:
    with registry.use_backend("numpy"):
        whole = run(**OPTIONS)
        run(folder=tmp_path / "run", callbacks=[stop_after(12)], **OPTIONS)
    there = run(folder=tmp_path / "run", resume=True, **OPTIONS)
    assert registry.backend_of(there.model.first.weight) is backend
    np.testing.assert_allclose(curve(there), curve(whole), rtol=1e-10)


# Which saves there are.

WRONG = (X, (Y + 1) % 3)
"""Another task, at which a model becomes worse."""


def saves(folder: Path) -> set[str]:
    return {path.name for path in (folder / "saves").iterdir()}


def test_the_last_saves_and_the_best_are_kept(tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": optim.sgd(0.3), "epochs": 7, "validation": WRONG}
    fitted = run(folder=tmp_path / "run", keep=2, **options)
    best = fitted.best.epoch
    assert best < 5
    assert saves(tmp_path / "run") == {f"epoch-{best}", "epoch-5", "epoch-6"}
    for name in saves(tmp_path / "run"):
        kept = Run.open(tmp_path / "run" / "saves" / name)
        assert kept.saved.epoch == int(name[6:])
    run(folder=tmp_path / "steps", keep=1, save_every=3, steps=7, epochs=2)
    assert saves(tmp_path / "steps") == {"epoch-1-step-6"}
    run(folder=tmp_path / "none", keep=0, epochs=3)
    assert saves(tmp_path / "none") == set()
    with pytest.raises(
        ArgumentError, match=r"fit\(keep=-1\): expected a whole number, 0 for no earlier save"
    ):
        run(folder=tmp_path / "other", keep=-1)


def test_without_options_there_is_an_earlier_save_to_go_back_to(tmp_path: Path) -> None:
    run(folder=tmp_path / "run", epochs=2)
    assert saves(tmp_path / "run") == {"epoch-1"}
    (tmp_path / "run" / "state.json").write_bytes(b"")
    on = run(folder=tmp_path / "run", epochs=3, resume="previous")
    assert curve(on) == curve(run(epochs=3))


def test_early_stopping_finds_the_best_model_of_a_run_that_went_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "optimizer": optim.sgd(0.3),
        "epochs": 50,
        "validation": WRONG,
        "patience": 4,
    }
    whole = run(**options)
    for events in (8 * (whole.best.epoch + 1) + 3, 999):
        parts = run(folder=tmp_path / "run", resume=True, callbacks=[stop_after(events)], **options)
    assert (parts.ended, parts.best.epoch) == ("patience", whole.best.epoch)
    assert same_bits(parts.model, whole.model)
    again = run(folder=tmp_path / "run", resume=True, **options)
    assert again.ended == "patience" and len(again.history) == len(whole.history)
    assert same_bits(again.model, whole.model)


def test_a_run_goes_on_with_what_it_was_begun_with(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path / "run", "resume": True}
    run(epochs=1, folder=tmp_path / "run")
    for name, value in (("batch_size", 9), ("key", random.key(8)), ("jit", False), ("steps", 3)):
        with pytest.raises(RunError, match=rf"was begun with {name}=.*goes on with"):
            run(**{name: value}, **options)
    # Those of RAdam have the same names, shapes and dtypes as those of Adam.
    for optimizer, found in ((optim.radam(0.01), "RAdamState"), (optim.sgd(0.1), "SGDState")):
        with pytest.raises(RunError, match=rf"begun with optimizer='AdamState', and now it is '{found}'"):
            run(optimizer=optimizer, **options)
    with pytest.raises(CorruptRunError, match=r"optimizer\.largest.* not among the saved arrays; give the m"):
        run(optimizer=optim.adam(0.01, amsgrad=True), **options)
    with pytest.raises(CorruptRunError, match=r"saved model.*has shape .*, the model has"):
        run(make().replace(last=nn.Dense(8, 4, key=random.key(0), dtype="float64")), **options)
    with pytest.raises(RunError, match="already there and not empty") as caught:
        run(folder=tmp_path / "run")
    assert str(caught.value).endswith(f"fit(..., folder={str(tmp_path / 'run')!r}, resume=True)")
    assert "--" not in str(caught.value)
    assert len(run(epochs=3, **options).history) == 3
    with pytest.raises(ArgumentError, match="resume and save_every need a folder"):
        run(resume=True)
    with pytest.raises(ArgumentError, match="expected True, False or 'previous'"):
        run(folder=tmp_path / "run", resume="latest")


class Squashed(nn.Module):
    """A model whose text would have an address, and the numbers of its arrays, if they were left in."""

    weight: Any
    squash: Any = nn.static()

    def __call__(self, x: Any) -> Any:
        return self.squash(x @ self.weight)

    def __repr__(self) -> str:
        return f"Squashed({self.weight}, {self.squash})"


def test_a_run_goes_on_with_the_model_it_was_begun_with(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path / "run", "resume": True}
    weight = RNG.normal(size=(6, 3))
    begun = run(Squashed(weight, nn.relu), epochs=1, **options)
    with pytest.raises(
        RunError, match=r"begun with another model: where it had .*relu.* now .*tanh"
    ) as caught:
        run(Squashed(weight, nn.tanh), **options)
    assert "training.load_model(" in str(caught.value)
    assert Run.open(tmp_path / "run").saved.epoch == 1
    other: dict[str, Any] = {"folder": tmp_path / "drop", "resume": True}
    run(epochs=1, **other)
    with pytest.raises(RunError, match=r"had .*Dropout\(0\.25\).* now .*Dropout\(0\.5\)"):
        run(make().replace(drop=nn.Dropout(0.5)), **other)
    # The same model with other numbers, another loss and another rate.
    on = run(
        Squashed(weight + 1, nn.relu),
        loss=lambda output, y: losses.softmax_cross_entropy(output, y) * 2,
        optimizer=optim.adam(0.02),
        epochs=2,
        **options,
    )
    assert on.history[0].loss == begun.history[0].loss
    assert (
        json.loads((tmp_path / "run" / "settings.json").read_text())["fit"]["loss"] == "softmax_cross_entropy"
    )


def test_runs_of_the_command_line_and_of_fit_are_told_apart(tmp_path: Path) -> None:
    run(epochs=1, folder=tmp_path / "fit")
    with pytest.raises(RunError, match=r"is a training of bpkit\.training\.fit"):
        Session.resume(Run.open(tmp_path / "fit"))
    Session.start(preset("digits", hidden=(2,)), tmp_path / "train")
    with pytest.raises(RunError, match="is a run of `bpkit train`"):
        run(folder=tmp_path / "train", resume=True)


# A model to use.


def test_the_last_and_the_best_model_of_a_folder(backend: Backend, tmp_path: Path) -> None:
    models: dict[int, Any] = {}

    def note(event: Any, state: Any) -> None:
        if isinstance(event, Epoch):
            models[event.epoch] = state.model

    fitted = run(
        folder=tmp_path / "run",
        optimizer=optim.sgd(0.3),
        epochs=6,
        validation=WRONG,
        callbacks=[note],
        keep=0,
    )
    assert fitted.best.epoch < 6
    loaded = load_model(tmp_path / "run", make(seed=5))
    assert registry.backend_of(loaded.first.weight) is backend
    assert same_bits(loaded, fitted.model)
    best = load_model(tmp_path / "run", make(seed=5), best=True)
    assert same_bits(best, models[fitted.best.epoch])
    x = registry.current()[0].from_host(X, registry.current()[1])
    assert bool(xp.all(loaded(x) == fitted.model(x)))
    run(folder=tmp_path / "last", epochs=2)
    last = load_model(tmp_path / "last", make(seed=5), best=True)
    assert same_bits(last, load_model(tmp_path / "last", make(seed=5)))


def test_the_model_of_bpkit_train(tmp_path: Path) -> None:
    session = Session.start(preset("digits", hidden=(2,)), tmp_path / "run")
    model = restore(Run.open(tmp_path / "run")).model
    assert same_bits(load_model(tmp_path / "run", model), session.state.model)
    with pytest.raises(RunError, match=r"does not say which epoch was the best.*leave best=True out"):
        load_model(tmp_path / "run", model, best=True)


def test_another_model_is_one_error(tmp_path: Path) -> None:
    run(folder=tmp_path / "run", epochs=2)
    wide = nn.Dense(8, 4, key=random.key(0), dtype="float64")
    for model, said in (
        (make().replace(last=wide), r"model\.last\.weight has shape \(3, 8\) and dtype float64, the model"),
        (make(dtype="float32"), r"model\.\w+\S* has .* dtype float64, the model has .* and float32"),
        (nn.Sequential(wide), r"model\.layers\[0\]\.weight is not among the saved arrays"),
        (make().replace(last=nn.relu), r"the saved model\.last\.bias belongs to no part of the model"),
    ):
        with pytest.raises(ArgumentError, match=said) as caught:
            load_model(tmp_path / "run", model)
        assert "; give a model of the structure that was trained" in str(caught.value)
    with pytest.raises(ArgumentError, match="has no arrays"):
        load_model(tmp_path / "run", nn.relu)
    with pytest.raises(RunError, match="does not exist"):
        load_model(tmp_path / "nowhere", make())
    shutil.rmtree(tmp_path / "run" / "saves")
    assert load_model(tmp_path / "run", make())


# Damage.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of three epochs with all its saves."""
    run(folder=tmp_path / "run", keep=9)
    return tmp_path / "run"


def later(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "train again"),
        (lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" * 9), "train again"),
        (lambda file: file.unlink(), "is missing"),
        (later, "update bpkit"),
    ],
    ids=["truncated", "foreign", "missing", "future"],
)
@pytest.mark.parametrize("name", ["state.json", "weights-4.safetensors", "settings.json", "metrics.jsonl"])
def test_a_damaged_save_is_one_error_and_the_one_before_is_used_when_asked(
    folder: Path, damage: Callable[[Path], Any], said: str, name: str
) -> None:
    if said == "update bpkit" and name not in ("state.json", "settings.json"):
        return
    damage(folder / name)
    with pytest.raises(CorruptRunError) as caught:
        run(folder=folder, resume=True, epochs=5)
    assert str(folder / name) in str(caught.value)
    assert "the earlier save saves/epoch-2 is whole: go on with it by resume='previous'" in str(caught.value)
    on = run(folder=folder, resume="previous", epochs=5, keep=9)
    assert curve(on) == curve(run(epochs=5))
    assert Run.open(folder).saved.epoch == 5
    assert saves(folder) == {f"epoch-{n}" for n in range(5)}


def test_the_one_before_may_be_damaged_too(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"")
    (folder / "saves" / "epoch-2" / "metrics.jsonl").write_bytes(b"{}")
    on = run(folder=folder, resume="previous", epochs=5)
    assert curve(on) == curve(run(epochs=5))
    shutil.rmtree(folder / "saves")
    (folder / "state.json").write_bytes(b"")
    with pytest.raises(CorruptRunError) as caught:
        run(folder=folder, resume="previous")
    assert f"in {folder / 'saves'} there is no earlier save" in str(caught.value)
    with pytest.raises(CorruptRunError) as caught:
        run(folder=folder, resume=True)
    assert "earlier save" not in str(caught.value)


def test_no_earlier_save_is_whole(folder: Path) -> None:
    for place in (folder, *(folder / "saves").iterdir()):
        (place / "state.json").write_bytes(b"")
    with pytest.raises(CorruptRunError, match="none of the earlier ones there is whole"):
        run(folder=folder, resume="previous")


def test_no_flipped_bit_is_loaded(folder: Path) -> None:
    rng = np.random.default_rng(0)
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size]
    for _ in range(150):
        file = files[rng.integers(len(files))]
        good = file.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        file.write_bytes(bad)
        with pytest.raises(CorruptRunError):
            Run.open(file.parent)
        file.write_bytes(good)
    assert Run.open(folder).saved.epoch == 3


# Failing and stopping at every file operation.


@pytest.mark.parametrize("failure", ["disk", "kill"])
def test_failing_at_every_operation_of_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    raised: Any = Killed if failure == "kill" else lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    options: dict[str, Any] = {
        "steps": 2,
        "epochs": 3,
        "keep": 1,
        "folder": tmp_path / "run",
        "resume": True,
    }
    options["jit"] = False
    expected = curve(run(steps=2, epochs=3, jit=False))
    run(callbacks=[lambda event, state: isinstance(event, Epoch) and event.epoch == 2], **options)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    faults = Faults(monkeypatch, raised)
    outcomes = []
    for allowed in range(200):
        shutil.rmtree(tmp_path / "run")
        shutil.copytree(tmp_path / "copy", tmp_path / "run")

        def arm(event: Any, state: Any, allowed: int = allowed) -> None:
            if isinstance(event, Step) and event.step == 2:
                faults.arm(allowed)

        try:
            run(callbacks=[arm], **options)
        except SaveError as error:
            assert failure == "disk"
            assert "the disk is full" in str(error)
            assert "--" not in str(error)
        except Killed:
            assert failure == "kill"
        else:
            if failure == "kill" or not any("failed" in operation for operation in faults.done):
                break
        finally:
            faults.arm(sys.maxsize)
        outcomes.append(Run.open(tmp_path / "run").saved.epoch)
        assert outcomes[-1] in (2, 3)
        if allowed % 7 == 0:
            assert curve(run(**options)) == expected
    assert allowed > 30
    assert {2, 3} >= set(outcomes) >= {2}
    assert outcomes == sorted(outcomes)


# Killed.

KILLS = 10


VICTIM = """
import sys
sys.path[:0] = [{tests!r}]
from test_fit import run
def tell(event, state, once=[1]):
    if once:
        print(once.pop(), "step", flush=True)
print("ready", flush=True)
run(folder={folder!r}, resume=True, epochs=4000, save_every=3, keep=1, callbacks=[tell])
print("done", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 on Windows")
def test_kill_minus_9_at_random_moments(tmp_path: Path) -> None:
    """Whatever was killed goes on; in the end it has the bits of a run that was not."""
    rng = np.random.default_rng(0)
    script = VICTIM.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "run"))
    stood = []
    for kill in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            # Every other time later than the first step, which compiles.
            if kill % 2:
                assert process.stdout.readline() == b"1 step\n"
            time.sleep(rng.uniform(0.0, 0.5))
            process.send_signal(signal.SIGKILL)
        if Run.is_begun(tmp_path / "run"):
            saved = Run.open(tmp_path / "run").saved
            stood.append((saved.epoch, saved.step))
    assert stood == sorted(stood)
    epochs = stood[-1][0] + 2
    parts = run(folder=tmp_path / "run", resume=True, epochs=epochs, save_every=3, keep=1)
    whole = run(epochs=epochs)
    assert curve(parts) == curve(whole)
    assert same_bits(parts.model, whole.model)
