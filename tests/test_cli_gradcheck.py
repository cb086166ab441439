"""``bpkit gradcheck``: where functions and arguments come from, what it prints, and how it ends."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import registry
from bpkit._protocol import Backend, Capability
from bpkit.cli import main
from bpkit.cli.parser import make_parser

MODEL = """
import numpy as np

import bpkit
from bpkit import xp


def loss(w, b):
    return xp.sum(xp.tanh(w @ b))


def power(x, n=3):
    return x**n


def wrong(w, b):
    return xp.sum(xp.sin(w @ b) + bpkit.stop_gradient(b[0] * b[0]))


def kinked(x):
    return xp.sum(xp.relu(x))


def chatty(x):
    print("thinking")
    return xp.sum(x)


def count(x):
    return xp.argmax(x)


def picky(x):
    if x.shape != (2,):
        raise ValueError("two numbers, please")
    return x


def leaky(x):
    return xp.asarray(float(x))


def hollow(x):
    return xp.log(x)


def library(x):
    return x.whereabouts


@bpkit.custom_vjp
def square(x):
    return x * x


square.defvjp(lambda x: (x * x, x), lambda x, g: (2 * x * g,))


class Net:
    def call(x):
        return xp.exp(x)


def net(params, x):
    return xp.tanh(params["w"] @ x) * params["scale"]


def make_args():
    return {"w": np.ones((2, 3)), "scale": 3}, np.ones(3)


def make_list():
    return [1.0]


def make_nothing():
    return 1 / 0


number = 3
"""


def line_of(code: str) -> str:
    """A line of the model as errors show it."""
    number, line = next((i, line) for i, line in enumerate(MODEL.splitlines(), 1) if code in line)
    return f"model.py:{number}: {line.strip()}"


@pytest.fixture(autouse=True)
def in_a_folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("model", "broken", "needy", "package", "package.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    Path("model.py").write_text(MODEL)
    Path("broken.py").write_text("x = 1\n1 / 0\n")
    Path("needy.py").write_text("import abacus_that_is_not_there\n")
    Path("package").mkdir()
    Path("package/__init__.py").touch()
    Path("package/inner.py").write_text("from package import other\nf = other.f\n")
    Path("package/other.py").write_text("def f(x):\n    return x * x\n")


def ran(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["gradcheck", *shlex.split(words)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def result(words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, _ = ran(f"{words} --json", capsys)
    found: dict[str, Any] = json.loads(out)
    assert code == (0 if found["agrees"] else 1)
    return found


# The help.


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran("--help", capsys)
    assert (code, err) == (0, "")
    for text in ("MODULE:FUNCTION", "--shape", "--example", "examples:", "numpy.savez", "make_args"):
        assert text in out
    examples = re.findall(r"^  bpkit (gradcheck .*)$", out, re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        make_parser().parse_args(shlex.split(example))
    main(["--help"])
    assert "bpkit gradcheck loss.py:loss --shape 3" in capsys.readouterr().out


# What it prints.


def test_a_row_for_each_argument_mode_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran("model.py:loss --shape 3,4 --shape 4 --order 2", capsys)
    assert (code, err) == (0, "")
    rows = re.findall(r"│ (\S.*?) *│ (\d) *│ +(\S+) │ +(\S+) │ (\S.*?) *│ (\w+) *│", out)
    modes = ["fwd", "rev", "fwd of fwd", "rev of fwd", "fwd of rev", "rev of rev"]
    assert sorted(row[:2] for row in rows) == sorted((mode, arg) for mode in modes for arg in "01")
    assert all(float(row[2]) < float(row[3]) < 1e-7 and row[5] == "right" for row in rows)
    assert all(row[4].startswith("element (") for row in rows)
    assert out.startswith("Derivatives of model.py:loss")
    assert out.endswith("All 12 agree with finite differences.\n")
    assert max(map(len, out.splitlines())) <= 80


def test_a_wrong_derivative_is_a_row_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran("model.py:wrong --shape 3,4 --shape 4 --order 3", capsys)
    assert code == 1
    verdicts = re.findall(r"│ (fwd|rev) *│ (\d) .* (\w+) *│\n", out)
    assert verdicts == [
        ("fwd", "0", "right"),
        ("rev", "0", "right"),
        ("fwd", "1", "wrong"),
        ("rev", "1", "wrong"),
    ]
    assert out.endswith("Derivatives above order 1 were not checked.\n")
    assert err.count("\n") == 1
    assert re.match(
        r"bpkit: check_grads of wrong: the derivative of the result by argument 1, element \(0,\)", err
    )
    assert "and finite differences say" in err


def test_json_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran("model.py:chatty --shape 3 --json", capsys)
    assert (code, out.count("\n")) == (0, 1)
    assert "thinking" in err
    found = json.loads(out)
    assert (found["function"], found["agrees"], found["error"]) == ("model.py:chatty", True, None)
    assert [row["mode"] for row in found["comparisons"]] == ["fwd", "rev"]
    assert {row["verdict"] for row in found["comparisons"]} == {"right"}
    wrong = result("model.py:wrong --shape 2,2 --shape 2 --mode rev", capsys)
    assert "finite differences say" in wrong["error"]
    row = wrong["comparisons"][1]
    assert (row["verdict"], row["argument"], row["place"]) == ("wrong", "argument 1", "element (0,)")
    assert row["error"] > row["allowed"]
    np.savez("point.npz", x=[0.0, 1.0])
    row = result("model.py:kinked --args point.npz", capsys)["comparisons"][0]
    assert (row["verdict"], row["slopes"]) == ("at a kink", [0.0, 1.0])


def test_it_ends_in_a_process_as_it_does_here() -> None:
    words = [sys.executable, "-m", "bpkit", "gradcheck", "model:loss", "--shape", "2,2", "--shape", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*words, "--dtype", "int64"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, out, _ = ran("model.py:power --shape 3 --order 2", capsys)
    assert "0/6" in out or "6/6" in out
    _, quiet, _ = ran("model.py:power --shape 3 --order 2 --quiet", capsys)
    assert "6/6" not in quiet and "Derivatives of" in quiet


# Functions.


@pytest.mark.parametrize(
    "target",
    ["model.py:power", "model:power", "./model.py:Net.call", "package.inner:f", "package/inner.py:f"],
)
def test_where_functions_are_found(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    if target == "package/inner.py:f":
        sys.path.insert(0, ".")
    assert ran(f"{target} --shape 2", capsys)[0] == 0


@pytest.mark.parametrize("module", ["types", "json"])
def test_a_file_may_have_the_name_of_a_module_of_python(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.modules.get(module)
    Path(f"{module}.py").write_text("def f(x):\n    return x * x\n")
    assert ran(f"{module}.py:f --shape 2", capsys)[0] == 0
    assert sys.modules.get(module) is before


# Arguments.


def test_what_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(words: str) -> np.ndarray[Any, Any]:
        Path("seen.py").write_text("seen = []\ndef f(x):\n    seen.append(x)\n    return x\n")
        monkeypatch.delitem(sys.modules, "seen", raising=False)
        assert ran(f"seen:f {words} --mode rev", capsys)[0] == 0
        return np.asarray(sys.modules["seen"].seen[0])

    x = drawn("--shape 5,4")
    assert (x.shape, x.dtype) == ((5, 4), np.float64)
    assert np.all(np.abs(x) < 1) and np.any(x < 0)
    np.testing.assert_array_equal(drawn("--shape 5,4 --seed 0"), x)
    assert np.all(drawn("--shape 5,4 --seed 1") != x)
    x = drawn("--shape 50 --low 2 --high 3 --dtype float32")
    assert x.dtype == np.float32 and np.all((x >= 2) & (x < 3))
    z = drawn("--shape 50 --dtype complex64 --low -3 --high 3")
    assert z.dtype == np.complex64 and np.all(z.real != z.imag) and np.max(np.abs(z.imag)) > 1
    assert drawn("--shape scalar").shape == ()


def test_backends_draw_the_same(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"model.py:loss --shape 3,4 --shape 4 --dtype float32 --backend {backend.name}"
    rows = result(words, capsys)["comparisons"]
    assert all(row["verdict"] == "right" for row in rows)
    Path("where.py").write_text(
        "from bpkit import registry\nseen = set()\ndef f(x):\n    seen.add(type(x))\n    return x\n"
    )
    assert ran(f"where.py:f --shape 2 --backend {backend.name}", capsys)[0] == 0
    seen = sys.modules.pop("where").seen
    assert any(backend.owns(cls) for cls in seen)


def test_float32_where_there_is_no_float64(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy = registry.get_backend("numpy")
    narrow = numpy.capabilities - {Capability.FLOAT64}
    monkeypatch.setattr(type(numpy), "capabilities", property(lambda self: narrow))
    rows = result("model.py:power --shape 3", capsys)["comparisons"]
    assert all(row["allowed"] > 1e-4 for row in rows)


def test_arguments_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    w, b = np.ones((2, 3)), np.linspace(0, 1, 3)
    for arrays, named in (((w, b), {}), ((), {"b": b, "w": w})):
        np.savez("point.npz", *arrays, **named)
        rows = result("model.py:loss --args point.npz", capsys)["comparisons"]
        assert {row["argument"] for row in rows} == {"argument 0", "argument 1"}
    np.savez("point.npz", *[np.ones(2)] * 11, np.ones(3))
    Path("many.py").write_text("def f(*xs):\n    return [x * i for i, x in enumerate(xs)]\n")
    rows = result("many.py:f --args point.npz --mode rev", capsys)["comparisons"]
    assert len(rows) == 12
    np.savez("point.npz", w.astype(np.int64), b)
    rows = result("model.py:loss --args point.npz", capsys)["comparisons"]
    assert {row["argument"] for row in rows} == {"argument 1"}


def test_arguments_made_by_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    rows = result("model:net --example model:make_args", capsys)["comparisons"]
    assert {row["argument"] for row in rows} == {"argument 0['w']", "argument 1"}


# What goes wrong.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "the following arguments are required: MODULE:FUNCTION"),
        ("model --shape 3", "MODULE:FUNCTION is 'model'; write a module and a function, package.mod"),
        ("model.py: --shape 3", "write a module and a function"),
        ("modle:loss --shape 3", "there is no module modle, neither in"),
        ("package.iner:f --shape 3", "there is no module package.iner"),
        ("nowhere.py:loss --shape 3", "there is no file nowhere.py in"),
        ("broken:f --shape 3", "failed with ZeroDivisionError: division by zero at broken.py:2: 1 / 0"),
        ("needy.py:f --shape 3", "No module named 'abacus_that_is_not_there'"),
        ("needy:f --shape 3", "No module named 'abacus_that_is_not_there' at needy.py:1"),
        ("model:los --shape 3", "model has no function los; did you mean loss"),
        ("model:qqqq --shape 3", "model has no function qqqq; it has loss, power, wrong"),
        ("model:Net.cal --shape 3", "has no function cal; did you mean call"),
        ("model:number --shape 3", "model:number is an int, which cannot be called"),
        ("model:loss", "what are the arguments of loss(w, b)? Give a shape for each, bpkit gradcheck"),
        ("model:loss --shape 3", "--shape gives 1 argument, and the function is loss(w, b): missing"),
        ("model:loss --shape 3 --shape 3 --shape 3", "gives 3 arguments, and the function is loss(w, b): to"),
        ("model:loss --shape 3,x", "--shape: '3,x' is not a shape such as 3,4"),
        ("model:loss --shape 0", "--shape: '0' is not a shape"),
        ("model:loss --shape 3 --args x.npz", "--shape and --args both say what the arguments are"),
        ("model:loss --shape 3 --dtype int8", "--dtype is int8; expected one of float32, float64"),
        ("model:power --shape 3 --low 2 --high 1", "uniform"),
        ("model:power --shape 3 --seed -1", "key"),
        ("model:power --shape 3 --order 0", "--order is 0; expected a whole number from 1"),
        ("model:power --shape 3 --mode both,fwd", "--mode is both,fwd; expected one of fwd, rev, both"),
        ("model:power --shape 3 --rtol -1", "rtol must be a finite number not below 0"),
        ("model:power --shape 3 --backend abacus", "--backend abacus: there is no backend 'abacus'"),
        ("model:power --shape 3 --shap 4", "--shap 4 is not understood; see: bpkit gradcheck --help"),
        ("model:count --shape 3", "nothing to check, because the result has no floating array"),
        ("model:picky --shape 3", "model:picky, called with an array of shape (3,) and dtype float64, raised "
         f"ValueError: two numbers, please at {line_of('raise ValueError')}"),
        ("model:library --shape 3", line_of("return x.whereabouts")),
        ("model:loss --shape 3,4 --shape 3", "return xp.sum(xp.tanh(w @ b))"),
        ("model:square --shape 3", "to check one mode alone, add --mode rev or fwd"),
        ("model:power --args nowhere.npz", "there is no file nowhere.npz; make it with numpy.savez"),
        ("model:power --args model.py", "model.py cannot be read"),
        ("model:power --args one.npy", "one.npy holds one array without a name; save it with numpy.savez"),
        ("model:power --args objects.npz", "objects.npz cannot be read (Object arrays cannot be loaded"),
        ("model:power --args cut.npz", "cut.npz cannot be read"),
        ("model:power --args named.npz", "named.npz holds y, and the function is power(x, n=3): "),
        ("model:power --args named.npz --seed 3", "--seed is for arguments that are drawn; leave it out"),
        ("model:power --args words.npz", "nothing to check, because the arguments have no floating array"),
        ("model:power --example model:make_list", "must return a tuple with one entry for each argument"),
        ("model:power --example model:make_nothing", "model:make_nothing raised ZeroDivisionError: division"),
        ("model:power --example model:make", "--example: model has no function make; did you mean"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("one.npy", np.ones(2))
    np.savez("objects.npz", x=np.asarray([None, "x"], dtype=object))
    np.savez("named.npz", y=np.ones(2))
    np.savez("words.npz", x=np.asarray(["a", "b"]))
    whole = Path("named.npz").read_bytes()
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    code, out, err = ran(words, capsys)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("bpkit: ")
    assert err.count("\n") == 1


def test_a_function_that_loses_its_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="float"):
        code, _, err = ran("model:leaky --shape scalar", capsys)
    assert code == 2
    assert err.count(line_of("return xp.asarray(float(x))")) == 1


def test_a_point_where_the_function_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("point.npz", x=[1.0, 0.0])
    code, out, err = ran("model.py:hollow --args point.npz", capsys)
    assert (code, out) == (1, "")
    assert "the result, element (1,) is -inf (1 of 2 elements are not finite)" in err
    assert "--low" not in err
    assert result("model.py:hollow --args point.npz", capsys)["comparisons"] == []
    code, _, err = ran("model.py:hollow --shape 8", capsys)
    assert code == 1
    assert "choose another point: --low and --high say between what numbers it is drawn" in err
    assert ran("model.py:hollow --shape 8 --low 0.5 --high 2", capsys)[0] == 0
    Path("root.py").write_text("from bpkit import xp\ndef f(x):\n    return xp.sqrt(x)\n")
    row = result("root.py:f --args point.npz", capsys)["comparisons"][0]
    assert (row["verdict"], row["found"], row["expected"]) == ("not finite", "inf", "nan")
