"""Looks while a network trains: when, where they are kept, and that they change nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import losses, nn, optim, random, training, tree
from bpkit import namespace as xp
from bpkit.cli import main
from bpkit.errors import ArgumentError, CorruptRunError, DivergedError, SaveError, ShapeError
from bpkit.inspect import Look, Recorder, look, read_looks
from bpkit.registry import backend_of, use_backend

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype("float32"), RNG.integers(3, size=60).astype("int32")
EARLY = [(0, 0), (0, 1), (0, 2), (0, 4)]


def make() -> nn.Sequential:
    first, second = (random.key(seed) for seed in (0, 1))
    return nn.Sequential(
        nn.Dense(4, 8, key=first, dtype="float32"),
        nn.relu,
        nn.BatchNorm(8, dtype="float32"),
        nn.Dropout(0.3),
        nn.Dense(8, 3, key=second, dtype="float32"),
    )


def fit(*callbacks: Any, epochs: int = 3, **options: Any) -> training.Fitted:
    """Six steps an epoch."""
    options = {"optimizer": optim.adam(0.01), "model": make(), "batch_size": 10, "progress": False} | options
    return training.fit(
        data=(X, Y), loss=losses.softmax_cross_entropy, epochs=epochs, callbacks=callbacks, **options
    )


def recorder(**options: Any) -> Recorder:
    return Recorder(losses.softmax_cross_entropy, X[:20], Y[:20], **options)


def places(looks: Any) -> list[tuple[int, int]]:
    return [(each.epoch, each.step) for each in looks]


def weights(model: Any) -> list[bytes]:
    return [np.asarray(backend_of(leaf).to_host(leaf)).tobytes() for leaf in tree.leaves(model)]


def narrowed(library: Any, dtype: str, values: Any) -> Any:
    """Floating arrays of PyTorch or JAX in a dtype that the standard does not have."""
    if library.__name__ == "torch":
        return tree.map(lambda x: x.to(getattr(library, dtype)), values)
    return tree.map(lambda x: x.astype(dtype), values)


def check_alike(one: Look, other: Look) -> None:
    for a, b in zip(one.layers, other.layers, strict=True):
        assert a.error == pytest.approx(b.error, rel=0.02)
        assert a.output_std == pytest.approx(b.output_std, rel=0.02)
        assert (a.units, a.dead, a.not_finite) == (b.units, b.dead, 0)
    assert (one.data.features, one.data.classes) == (other.data.features, other.data.classes)
    assert one.output is not None
    assert other.output is not None
    assert one.output.perfect == pytest.approx(other.output.perfect, rel=0.02)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_parameters_of_16_bits(name: str, tmp_path: Path) -> None:
    library = pytest.importorskip(name)
    cost = losses.softmax_cross_entropy
    with use_backend("numpy"):
        wide = nn.Dense(4, 3, key=random.key(0), dtype="float32")
        exact = look(wide, cost, X, Y)
    # JAX takes seconds to compile a look.
    for dtype in ("bfloat16",) if name == "jax" else ("bfloat16", "float16"):
        with use_backend(name):
            dense = nn.Dense(4, 3, key=random.key(0), dtype="float32")
            model, x = narrowed(library, dtype, (dense, xp.asarray(X)))
            data = (x, xp.asarray(Y))
            check_alike(look(model, cost, *data), exact)
            if name == "jax":
                continue
            seen = Recorder(cost, *data, path=tmp_path / "looks")
            training.fit(model, data, cost, optim.sgd(0.5), callbacks=[seen], progress=False)
        check_alike(seen.looks[0], exact)
        assert seen.looks[-1].layers[0].update_ratio is not None
        assert read_looks(tmp_path / "looks") == tuple(seen.looks)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_run_folder_holds_no_bfloat16(name: str, tmp_path: Path) -> None:
    library = pytest.importorskip(name)
    with use_backend(name):
        dense = nn.Dense(4, 3, key=random.key(0), dtype="float32")
        model, x = narrowed(library, "bfloat16", (dense, xp.asarray(X)))
        data, cost = (x, xp.asarray(Y)), losses.softmax_cross_entropy
        with pytest.raises(ArgumentError, match=r"weight has dtype bfloat16, which .* precision='bfloat16'"):
            training.fit(model, data, cost, optim.sgd(0.5), folder=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("backend")
def test_looking_changes_no_bit() -> None:
    plain, seen, beside = fit(epochs=2), recorder(every=4), recorder(backend="numpy")
    watched = fit(seen, beside, epochs=2)
    assert weights(watched.model) == weights(plain.model)
    assert [epoch.loss for epoch in watched.history] == [epoch.loss for epoch in plain.history]
    assert places(seen.looks) == [*EARLY, (1, 0), (1, 4), (2, 0)]
    assert seen.looks[0].layers[0].update_norm is None
    assert beside.looks[-1].loss == pytest.approx(seen.looks[-1].loss, rel=1e-5)
    for mine, other in zip(beside.looks[-1].layers, seen.looks[-1].layers, strict=True):
        assert mine.error == pytest.approx(other.error, rel=1e-4)
        assert mine.update_norm == other.update_norm
    assert all(layer.update_norm for at in seen.looks[1:] for layer in at.layers if layer.parameters)


def test_a_look_is_that_of_look_in_training_and_the_update_that_of_the_last_step() -> None:
    models: dict[tuple[int, int], Any] = {}

    def keep(event: Any, state: Any) -> None:
        models[state.epoch, state.step] = state.model

    with use_backend("numpy"):
        seen = recorder()
        fit(seen, keep)
        model, before = models[2, 0], models[1, 5]
        expected = look(
            model,
            losses.softmax_cross_entropy,
            X[:20],
            Y[:20],
            key=random.key(0),
            before=before,
            epoch=2,
        )
    found = seen.looks[-2]
    assert (found.epoch, found.step, found.data) == (2, 0, expected.data)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    for mine, other in zip(found.layers, expected.layers, strict=True):
        assert (mine.place, mine.update_norm) == (other.place, other.update_norm)
        assert mine.error == pytest.approx(other.error, rel=1e-4)


def test_a_training_that_is_interrupted_leaves_the_looks_of_one_that_is_not(tmp_path: Path) -> None:
    with use_backend("numpy"):
        fit(recorder(path=tmp_path / "whole"))
        for epochs in (1, 2, 3):
            fit(recorder(path=tmp_path / "parts"), epochs=epochs, folder=tmp_path / "run", resume=True)
            # What a process wrote that was killed before it saved: looks from beyond, and half a one.
            last = (tmp_path / "parts").read_text().splitlines()[-1]
            beyond = json.dumps(json.loads(last) | {"epoch": epochs, "step": 3})
            with (tmp_path / "parts").open("a") as file:
                file.write(beyond + "\n" + beyond[:100])
        seen = recorder(path=tmp_path / "parts")
        fit(seen, folder=tmp_path / "run", resume=True)
    whole, parts = (read_looks(tmp_path / name) for name in ("whole", "parts"))
    assert places(parts) == places(whole) == [*EARLY, (1, 0), (2, 0), (3, 0)]
    assert list(parts) == seen.looks
    for mine, other in zip(parts, whole, strict=True):
        assert mine.loss == pytest.approx(other.loss, rel=1e-5)
        for layer, as_whole in zip(mine.layers, other.layers, strict=True):
            assert layer.update_norm == as_whole.update_norm
            assert layer.weight_norm == as_whole.weight_norm


def test_a_look_that_is_missing_is_taken_when_the_training_goes_on(tmp_path: Path) -> None:
    """The process before was killed between its save and its look."""
    with use_backend("numpy"):
        fit(recorder(path=tmp_path / "log"), epochs=2, folder=tmp_path / "run")
        lines = (tmp_path / "log").read_text().splitlines(keepends=True)
        (tmp_path / "log").write_text("".join(lines[:-1]))
        fit(recorder(path=tmp_path / "log"), folder=tmp_path / "run", resume=True)
    assert places(read_looks(tmp_path / "log")) == [*EARLY, (1, 0), (2, 0), (3, 0)]


def test_another_training_begins_anew(tmp_path: Path) -> None:
    with use_backend("numpy"):
        seen = recorder(path=tmp_path / "log")
        (tmp_path / "log").write_text("of something else\n")
        fit(seen, epochs=2)
        first = seen.looks[0]
        fit(seen, epochs=1, model=make().replace(layers=tree.map(lambda a: 2 * a, make().layers)))
    assert places(seen.looks) == [*EARLY, (1, 0)]
    assert seen.looks[0].loss != first.loss
    assert tuple(seen.looks) == read_looks(tmp_path / "log")


def test_without_fit_and_without_a_length_of_the_epoch() -> None:
    """A loop of one's own; a stream, of which nobody knows where an epoch ends."""

    class Stream:
        def __iter__(self) -> Any:
            return iter([(x, y) for x, y in zip(X[:30], Y[:30], strict=True)])

    with use_backend("numpy"):
        seen = recorder()
        models = {}

        def keep(event: Any, state: Any) -> None:
            models[state.epoch, state.step] = state.model

        training.fit(
            make(),
            Stream(),
            losses.softmax_cross_entropy,
            optim.sgd(0.1),
            epochs=1,
            callbacks=[seen, keep],
            batch_size=5,
            progress=False,
        )
    assert places(seen.looks) == [*EARLY, (1, 0)]
    # From step 4 to step 6: the length of the way, divided by two.
    ways = [models[1, 0][0], models[0, 4][0]]
    squares = [np.sum((getattr(ways[0], name) - getattr(ways[1], name)) ** 2) for name in ("weight", "bias")]
    assert seen.looks[-1].layers[0].update_norm == pytest.approx(np.sqrt(sum(squares)) / 2, rel=1e-5)
    with use_backend("numpy"):
        seen, state = recorder(), training.State(make(), optim.sgd(0.1).init(nn.partition(make()).trainable))
        seen(training.Epoch(1, 0.5, {}, 1.0, 0.0), state)
    assert places(seen.looks) == [(0, 0)]


def test_a_model_that_branches_on_values() -> None:
    class Branching(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            z = self.layer(x)
            return z if bool(xp.sum(z) > 0) else -z

    with use_backend("numpy"):
        seen = recorder()
        fit(seen, epochs=1, model=Branching(nn.Dense(4, 3, key=random.key(0), dtype="float32")), jit=False)
    assert places(seen.looks) == [*EARLY, (1, 0)]


def test_where_a_training_diverges_there_is_a_last_look() -> None:
    with use_backend("numpy"):
        seen = Recorder(losses.quadratic, X, X[:, :3])
        layer = nn.Sequential(nn.Dense(4, 3, key=random.key(0), dtype="float32"))
        with pytest.raises(DivergedError):
            training.fit(
                layer, (X, X[:, :3]), losses.quadratic, optim.sgd(1e20), callbacks=[seen], progress=False
            )
    assert seen.looks[-1].loss is None
    assert sum(layer.not_finite for layer in seen.looks[-1].layers) > 0


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"Recorder\(every=0\): expected a whole number above 0, or None"):
        recorder(every=0)
    with pytest.raises(ArgumentError, match="Recorder: loss: expected a function"):
        Recorder(3.0, X, Y)  # type: ignore[arg-type]
    with pytest.raises(
        ArgumentError, match=r"x, y: expected arrays with an example in each row, got shapes \(0,"
    ):
        Recorder(losses.quadratic, X[:0], Y[:0])
    with pytest.raises(ShapeError, match=r"as many rows in each, got shapes \(60, 4\), \(59,\)"):
        Recorder(losses.quadratic, X, Y[1:])
    with use_backend("numpy"), pytest.raises(SaveError, match="could not be written: No such file"):
        fit(recorder(path=tmp_path / "nowhere" / "log"))


def test_reading_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with use_backend("numpy"):
        fit(recorder(path=path), epochs=1)
    whole = path.read_bytes()
    looks = read_looks(path)
    for cut in (1, 50, 2000):  # a kill in the last line
        path.write_bytes(whole[:-cut])
        assert read_looks(path) == looks[:-1]
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:60] + b"\n" + lines[2])
    with pytest.raises(CorruptRunError, match=r"log, line 2: .*delete the file"):
        read_looks(path)
    path.write_bytes(lines[0] + b'{"epoch": 1}\n')
    with pytest.raises(CorruptRunError, match=r"log, line 2: look\.step is missing"):
        read_looks(path)
    with use_backend("numpy"), pytest.raises(CorruptRunError, match=r"log, line 2"):
        recorder(path=path).begin(training.State(make(), None, [training.Epoch(1, 0.5, {}, 1.0, 0.0)]))
    path.write_bytes(b"")
    assert read_looks(path) == ()
    with pytest.raises(FileNotFoundError):
        read_looks(tmp_path / "nothing")


def test_bpkit_train_looks_and_can_be_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPKIT_BACKEND", "numpy")
    train = ["train", "--quiet", "--hidden", "10", "--epochs"]
    assert main([*train, "3", "--out", "whole"]) == 0
    assert main([*train, "2", "--out", "parts"]) == 0
    assert main(["train", "--quiet", "--epochs", "3", "--resume", "parts"]) == 0
    assert main([*train, "3", "--out", "blind", "--no-insight"]) == 0
    assert not Path("blind/insight.jsonl").exists()
    whole, parts = (read_looks(Path(name, "insight.jsonl")) for name in ("whole", "parts"))
    steps = [(0, step) for step in (0, 1, 2, 4, 8, 16, 32)]
    assert places(parts) == places(whole) == [*steps, (1, 0), (2, 0), (3, 0)]
    assert [layer.layer for layer in whole[0].layers[:2]] == ["Dense(64 → 10)", "Lambda(relu)"]
    assert whole[0].examples == 256
    assert min(whole[0].data.classes or ()) > 10
    accuracies = [
        json.loads(line)["test_accuracy"] for line in Path("blind/metrics.jsonl").read_text().splitlines()
    ]
    assert accuracies == [
        json.loads(line)["test_accuracy"] for line in Path("whole/metrics.jsonl").read_text().splitlines()
    ]
    for mine, other in zip(parts, whole, strict=True):
        assert [layer.weight_norm for layer in mine.layers] == [layer.weight_norm for layer in other.layers]
    assert isinstance(whole[0], Look)
    capsys.readouterr()
