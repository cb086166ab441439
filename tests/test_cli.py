"""``bpkit`` as people and scripts meet it: what it prints, what it leaves, and with which code it ends."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import __version__, registry
from bpkit._protocol import Backend
from bpkit.cli import main
from bpkit.data import digits
from bpkit.errors import SaveError
from bpkit.training import Run, Session, preset

BPKIT = [sys.executable, "-m", "bpkit"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def bpkit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BPKIT, *words], capture_output=True, text=True, timeout=60)


def trained(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON of ``bpkit train``."""
    assert main(["train", "--json", "--quiet", *words]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


# The help.


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for words, taught in (
        (["--help"], ["train", "eval", "backends", "examples:", "bpkit train mnist --preset nielsen"]),
        (
            ["train", "--help"],
            ["--resume", "--no-jit", "compiled", "presets:", "sigmoid", "3.0", "adamw", "examples:", "JSON"],
        ),
        (["eval", "--help"], ["RUN", "examples:"]),
        (["backends", "--help"], ["BPKIT_BACKEND"]),
    ):
        assert main(words) == 0
        shown = capsys.readouterr()
        assert all(text in shown.out for text in taught)
        assert not shown.err


def test_every_example_of_the_help_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    from bpkit.cli.parser import make_parser

    for words in (["--help"], ["train", "--help"], ["eval", "--help"]):
        main(words)
    examples = re.findall(r"^  bpkit (.*?)(?:  .*)?$", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) > 10
    for example in examples:
        if "COMMAND" not in example:
            make_parser().parse_args(shlex.split(example.partition("|")[0]))


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "examples:" in shown.err
    assert not shown.out


def test_version() -> None:
    done = bpkit("--version")
    assert (done.returncode, done.stdout) == (0, f"bpkit {__version__}\n")


def test_help_is_quick_because_nothing_big_is_imported() -> None:
    script = (
        "import sys, bpkit.cli; bpkit.cli.main(['train', '--help']); "
        "print(*({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    shown_with = {"tqdm", "tabulate"}
    assert not loaded & (shown_with | {"safetensors", "pooch", "array_api_compat", "jax", "torch", "cupy"})


# Wrong arguments.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "invalid choice: 'trian'"),
        ("train cifar", "dataset is cifar; expected one of digits, mnist"),
        ("train digits mnist", "mnist is not understood"),
        ("train --prest nielsen", "--prest is not understood; see: bpkit train --help"),
        ("train --preset book", "--preset is book; expected one of default, nielsen"),
        ("train --hidden 30,x", "--hidden: '30,x' is not a list of whole numbers"),
        ("train --hidden 30,0", "--hidden is 30,0; expected the sizes of the hidden layers"),
        ("train --activation gelu", "--activation is gelu; expected one of sigmoid, tanh, relu"),
        ("train --cost hinge", "--cost is hinge; expected one of quadratic, cross-entropy, softmax"),
        ("train --optimizer adem", "--optimizer is adem; expected one of sgd, adagrad"),
        ("train --optimizer adam --momentum 0.5", "--momentum is 0.5; expected 0: adam has none"),
        ("train --init zeros", "--init is zeros; expected one of standard-normal"),
        ("train --hidden 100000000", "expected layers with at most 268,435,456 weights in all"),
        ("train --lr -1", "--lr is -1.0; expected a finite number above 0"),
        ("train --lr nan", "--lr is nan; expected a finite number above 0"),
        ("train --lr fast", "--lr: 'fast' is not a number"),
        ("train --lr", "--lr: expected one argument"),
        ("train --momentum 1", "--momentum is 1.0; expected a number from 0 to below 1"),
        ("train --weight-decay -0.1", "--weight-decay is -0.1; expected a number not below 0"),
        ("train --batch-size 0", "--batch-size is 0; expected a whole number above 0"),
        ("train --batch-size 2.5", "--batch-size: '2.5' is not a whole number"),
        ("train --epochs -3", "--epochs is -3; expected a whole number above 0"),
        ("train --seed -1", "--seed is -1; expected a whole number from 0"),
        ("train --dtype float16", "--dtype is float16; expected one of float32, float64"),
        ("train --backend nmupy", "--backend nmupy: there is no backend 'nmupy'. Did you mean 'numpy'?"),
        ("train --backend numpy:gpu", "--backend numpy:gpu: backend 'numpy' has no device 'gpu' here"),
        ("train --data .", "digits comes with bpkit, not from a folder; leave --data out"),
        ("train mnist --data nowhere", "nowhere"),
        ("train mnist --data .", "4 of 4 files are missing"),
        ("train --out taken", "choose another folder (--out), or go on with the run in it (--resume)"),
        ("train --resume nowhere", "nowhere does not exist"),
        ("train --resume taken", "taken is not a run folder"),
        ("train --resume taken/file", "is a file"),
        ("train --resume run --lr 1", "--lr cannot be given with --resume"),
        ("train --resume run --no-jit", "--no-jit cannot be given with --resume"),
        ("train --no-jit=1", "--no-jit: ignored explicit argument"),
        ("train mnist --resume run", "dataset cannot be given with --resume"),
        ("train --resume run --out other", "--out cannot be given with --resume"),
        ("train --resume run --epochs 0", "--epochs is 0; expected at least 1"),
        ("train --resume run --backend x", "there is no backend 'x'"),
        ("eval", "the following arguments are required: RUN"),
        ("eval nowhere", "nowhere does not exist"),
        ("eval taken", "taken is not a run folder"),
        ("eval half", "weights-1.safetensors was cut"),
        ("eval run --data .", "leave --data out"),
        ("eval fit", "training.load_model('fit', model)"),
        ("backends numpy", "numpy is not understood; see: bpkit backends --help"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("precious")
    for name in ("run", "half"):
        Session.start(preset("digits", hidden=(2,), epochs=1), name)
    Run.create("fit", {"steps": 3}, Run.open("run").saved)
    weights = tmp_path / "half" / "weights-1.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    before = sorted(tmp_path.rglob("*"))

    assert main(words.split()) == 2

    shown = capsys.readouterr()
    assert not shown.out
    assert said in shown.err
    assert shown.err.startswith("bpkit: ")
    assert shown.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before, "nothing is made, nothing is lost"


def test_a_backend_that_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    absent = [status for status in registry.backend_table() if not status.usable]
    if not absent:
        pytest.skip("every backend is installed here")
    assert main(["train", "--backend", absent[0].name]) == 2
    shown = capsys.readouterr().err
    assert "pip install" in shown
    assert "usable here" in shown.lower()


def test_the_environment_variable_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPKIT_BACKEND", "abacus")
    assert main(["train"]) == 2
    assert capsys.readouterr().err.startswith("bpkit: BPKIT_BACKEND=abacus: there is no backend 'abacus'")


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_float64_in_jax_as_it_comes(backend: Backend) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"}
    words = [*BPKIT, "train", "--backend", "jax", "--dtype", "float64"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "JAX_ENABLE_X64=1" in done.stderr


def test_no_traceback_in_a_process_of_its_own() -> None:
    done = bpkit("train", "--backend", "abacus")
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1


# Training.


def test_train_prints_a_line_per_epoch_when_not_on_a_terminal() -> None:
    done = bpkit("train", "--epochs", "3", "--out", "run", "--seed", "4")
    assert done.returncode == 0
    assert not done.stderr
    lines = done.stdout.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 3
    assert re.fullmatch(
        r"epoch 2/3: loss \d+\.\d{4}, accuracy: train \d+\.\d\d%, validation \d+\.\d\d%, test \d+\.\d\d%; "
        r"\d+\.\d\d s, [\d,]+ images/s",
        epochs[1],
    )
    assert "64-100-50-10" in lines[0]
    assert "seed 4" in done.stdout
    assert lines[-3].startswith("Test accuracy ")
    assert lines[-2] == "Measure it again with: bpkit eval run"
    assert lines[-1] == "A page of all that is known about it: bpkit report run"
    assert "\x1b" not in done.stdout
    assert done.stdout.isascii()


def test_json_is_the_only_thing_on_stdout(backend: Backend, tmp_path: Path) -> None:
    words = ["--epochs", "2", "--hidden", "8", "--seed", "9", "--backend", backend.name]
    done = bpkit("train", "--json", "--out", "run", *words)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("epoch ") >= 2
    run = Run.open("run")
    last = run.saved.metrics[-1]
    assert result["test_accuracy"] == last["test_accuracy"]
    assert result["best_test_accuracy"] == max(line["test_accuracy"] for line in run.saved.metrics)
    assert (result["epochs"], result["seed"], result["interrupted"]) == (2, 9, False)
    assert (result["backend"], result["device"]) == (backend.name, run.saved.device)
    assert (result["run"], result["dataset"], result["dtype"]) == ("run", "digits", "float32")
    assert 0 < result["seconds"] < 60


def test_options_override_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    words = "digits --preset nielsen --hidden 12 --hidden 7,5 --cost cross-entropy --lr 0.5 --momentum 0.1"
    more = "--activation tanh --init he-normal --weight-decay 0.01 --batch-size 99 --epochs 1 --dtype float64"
    result = trained(*words.split(), *more.split(), "--seed", "3", capsys=capsys)
    expected = preset(
        "digits",
        "nielsen",
        hidden=(12, 7, 5),
        cost="cross-entropy",
        learning_rate=0.5,
        momentum=0.1,
        activation="tanh",
        init="he-normal",
        weight_decay=0.01,
        batch_size=99,
        epochs=1,
        dtype="float64",
        seed=3,
    )
    run = Run.open(result["run"])
    assert run.settings == expected
    assert {x.dtype for x in run.saved.arrays.values()} == {np.dtype("float64")}


def test_without_jit(capsys: pytest.CaptureFixture[str]) -> None:
    # Smooth: a rectifier turns a last digit into a step where its input is as good as 0.
    words = ["--epochs", "2", "--seed", "5", "--activation", "tanh", "--out"]
    assert main(["train", *words, "plain", "--no-jit"]) == 0
    assert "seed 5, not compiled\n" in capsys.readouterr().out
    assert main(["train", *words, "compiled"]) == 0
    assert "seed 5, compiled\n" in capsys.readouterr().out
    plain, compiled = Run.open("plain"), Run.open("compiled")
    assert (plain.settings.jit, compiled.settings.jit) == (False, True)
    for name, x in plain.saved.arrays.items():
        np.testing.assert_allclose(compiled.saved.arrays[name], x, rtol=1e-3, atol=1e-4)
    for run in ("plain", "compiled"):
        assert main(["train", "--resume", run, "--epochs", "3"]) == 0
        said = capsys.readouterr().out
        assert f"seed 5, {'not ' * (run == 'plain')}compiled\n" in said, "a run keeps its settings"


def test_no_hidden_layer(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained("--hidden", "none", "--epochs", "2", capsys=capsys)
    assert Run.open(result["run"]).settings.sizes == (64, 10)


def test_runs_of_one_second_get_folders_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--epochs", "1", "--batch-size", "500", "--hidden", "2"]
    folders = [trained(*words, capsys=capsys)["run"] for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(re.fullmatch(r"runs/digits-default-\d{8}-\d{6}(-\d)?", folder) for folder in folders)


def test_the_same_seed_gives_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    one, two, other = (trained("--epochs", "2", "--seed", seed, capsys=capsys)["run"] for seed in "774")
    weights = [Run.open(run).saved.arrays["model.layers[0].weight"].tobytes() for run in (one, two, other)]
    assert weights[0] == weights[1] != weights[2]


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--quiet", "--epochs", "1"]) == 0
    shown = capsys.readouterr()
    assert "epoch 1/1" not in shown.out
    assert shown.out.startswith("Test accuracy")
    assert not shown.err


def test_mnist_from_a_folder(mnist_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mnist", "--epochs", "1", "--batch-size", "500", "--hidden", "10", "--data"]
    result = trained(*words, os.path.relpath(mnist_root), capsys=capsys)
    assert result["dataset"] == "mnist"
    assert result["test_accuracy"] > 0.6
    os.chdir("runs")
    assert main(["eval", "../" + result["run"], "--json"]) == 0, "the run knows where its data was"
    assert json.loads(capsys.readouterr().out)["reproduced"] is True


# Failing.


def test_a_diverging_training_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--lr", "1e30", "--out", "run"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "epoch 1, step" in shown
    assert "smaller learning rate" in shown
    assert Run.open("run").saved.epoch == 0


def test_a_full_disk_while_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], os.write

    def fill_up(handle: int, content: Any) -> int:
        written.append(len(content))
        if len(written) > 10:
            raise OSError(28, "No space left on device")
        return write(handle, content)

    monkeypatch.setattr(os, "write", fill_up)
    assert main(["train", "--out", "run"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "the disk is full; the save of epoch 2 is intact" in shown
    assert "bpkit train --resume run" in shown
    assert Run.open("run").saved.epoch == 2
    assert len(list(Path("run").iterdir())) == 5  # the four of a save, and the looks


def test_a_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert main(["train", "--out", "file/run"]) == 1
    assert "file/run could not be saved" in capsys.readouterr().err
    assert issubclass(SaveError, OSError)


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipes")
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{shlex.join(BPKIT)} train --epochs 40 --out run | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Training")
    assert not done.stderr
    Run.open("run")


# Evaluation and the table of backends.


def test_eval_reproduces_the_accuracy_to_the_last_digit(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained("--epochs", "1", "--hidden", "9", "--backend", backend.name, capsys=capsys)
    assert main(["eval", result["run"], "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["reproduced"] is True
    for name in ("test_accuracy", "validation_accuracy", "train_accuracy", "backend", "device", "seed"):
        assert again[name] == result[name]
    assert again["recorded_test_accuracy"] == result["test_accuracy"]
    right = round(result["test_accuracy"] * 360)
    assert result["test_accuracy"] == right / 360
    assert main(["eval", result["run"]]) == 0
    said = f"Test accuracy {right / 360:.2%} ({right} of 360 images), exactly as the run recorded."
    assert said in capsys.readouterr().out


def test_eval_is_what_numpy_says(capsys: pytest.CaptureFixture[str]) -> None:
    result = trained("--epochs", "2", "--hidden", "9", capsys=capsys)
    arrays, test = Run.open(result["run"]).saved.arrays, digits().test
    x = np.maximum(test.images @ arrays["model.layers[0].weight"].T + arrays["model.layers[0].bias"], 0)
    z = x @ arrays["model.layers[2].weight"].T + arrays["model.layers[2].bias"]
    assert result["test_accuracy"] == np.mean(z.argmax(axis=1) == test.labels)


def test_eval_reports_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    settings = preset("digits", hidden=(4,), epochs=1)
    session = Session.start(settings, "run")
    list(session.events())
    session.state.metrics[0].metrics["test_accuracy"] = 0.125
    session.save()
    assert main(["eval", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reproduced"] is False
    assert main(["eval", "run"]) == 0
    assert "but the run recorded 12.50%" in capsys.readouterr().out


def test_eval_of_an_unfinished_epoch_has_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session.start(preset("digits", hidden=(4,)), "run")
    next(session.events())
    session.save()
    assert main(["eval", "run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["reproduced"], result["recorded_test_accuracy"], result["step"]) == (None, None, 1)
    assert main(["eval", "run"]) == 0
    assert "not recorded" in capsys.readouterr().out


def test_the_backend_of_the_run_is_used_unless_another_is_named(
    backend: Backend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("--epochs", "1", "--hidden", "4", "--backend", backend.name, capsys=capsys)["run"]

    def used(*words: str) -> str:
        name: str = json.loads(bpkit("eval", run, "--json", *words).stdout)["backend"]
        return name

    assert used() == backend.name
    assert used("--backend", "numpy") == "numpy"
    monkeypatch.setenv("BPKIT_BACKEND", "numpy")
    assert used() == "numpy"


def test_the_table_of_backends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    unusable = registry.BackendStatus("abacus", False, note="install the beads: pip install beads")
    real = registry.backend_table()
    monkeypatch.setattr(registry, "backend_table", lambda: [*real, unusable])
    assert main(["backends"]) == 0
    shown = capsys.readouterr().out
    for status in real:
        assert status.name in shown
        assert (status.version or "-") in shown
    assert "pip install beads" in shown
    assert "New arrays are made on numpy" in shown
    assert max(len(line) for line in shown.splitlines() if line[:1] in "┃│┡") <= 80
    assert main(["backends", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table[0]["name"] == "numpy"
    assert table[-1] == {
        "name": "abacus",
        "usable": False,
        "version": None,
        "devices": [],
        "dtypes": [],
        "note": "install the beads: pip install beads",
    }
