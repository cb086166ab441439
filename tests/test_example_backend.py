"""A backend in a package of its own, for a library that bpkit does not know: installed, listed, at work."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = Path(__file__).parent / "example_backend"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python where the example is installed, with what pip would have written of it."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    about, modules = project["project"], project["tool"]["setuptools"]["py-modules"]
    for module in modules:
        shutil.copy(EXAMPLE / f"{module}.py", site)
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n", "utf-8"
    )
    lines = [
        line
        for group, entries in about["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}

    def python(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "error", *words], env=environment, cwd=site, capture_output=True, text=True
        )

    return python


def test_it_passes_the_contract(run: Run) -> None:
    options = ("-q", "-p", "pytest_bpkit", "-p", "no:cacheprovider")
    done = run("-m", "pytest", *options, str(EXAMPLE / "test_tally.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "failed" not in done.stdout


def test_it_is_listed(run: Run) -> None:
    done = run("-c", "from bpkit.registry import backend_names; print(*backend_names())")
    assert done.stdout.split()[-1] == "tally", done.stderr
    listed = run("-m", "bpkit", "backends")
    (row,) = [line for line in listed.stdout.splitlines() if "tally" in line]
    assert row.replace("│", " ").split() == ["tally", "1.0", "cpu", "all", "of", "the", "standard"]


def test_its_own_examples(run: Run) -> None:
    done = run("-m", "doctest", str(EXAMPLE / "tally.py"))
    assert done.returncode == 0, done.stdout + done.stderr


BROKEN = """
from contextlib import nullcontext

import bpkit_tally
import numpy as np
import pytest
from bpkit.backends import ALL_CAPABILITIES, Capability
from bpkit.testing.contract import BackendContract

ALL = ALL_CAPABILITIES

def add_once(self, x, key, updates):
    out = self.to_host(x)
    out[self._host(key)] += self._host(updates)
    return self.module.Array(out)

def add_and_saturate(self, x, key, updates):
    total = TALLY_ADD(self, self.module.Array(self.to_host(x).astype(float)), key, updates)
    host = self.to_host(total)
    least, most = (-128, 127) if str(x.dtype) == "int8" else (None, None)
    return self.module.Array(np.clip(host, least, most).astype(x.dtype))

def set_as_the_value(self, x, key, value):
    out = self.to_host(TALLY_SET(self, x, key, value))
    narrow = str(x.dtype) == "float64" and str(value.dtype) == "float32"
    return self.module.Array(out.astype("float32") if narrow else out)

TALLY_ADD, TALLY_SET = bpkit_tally.TallyBackend.index_add, bpkit_tally.TallyBackend.index_set

# What is wrong, and a test that has to find it; of one member the second has a word after two underscores.
WRONG = {
    "to_host": (lambda self, x: np.array(x._values)[::-1] if x.ndim else np.array(x._values), "round_trip"),
    "from_host": (lambda self, x, device=None: self.module.Array(x), "share_no_memory"),
    "index_add": (add_once, "index_add_accumulates"),
    "index_set": (lambda self, x, key, value: x, "index_set_replaces"),
    "index_add__saturates": (add_and_saturate, "wraps_integers"),
    "index_set__narrows": (set_as_the_value, "index_set_keeps_the_dtype"),
    "capabilities": (ALL, "in_place"),
    "device_of": (lambda self, x: "gpu", "default_device"),
    "dtypes": (lambda self: ("bool", "int32", "float32", "float8"), "round_trip"),
    "same_values": (lambda self, x, y: True, "equal_arrays"),
    "quiet": (lambda self: nullcontext(), "quiet_silences"),
    "operator_dtype": (lambda self, x, y: np.dtype("float64"), "operators_promote"),
    "host_view": (lambda self, x: np.zeros(6), "view_from_numpy"),
    "version": (None, "who_it_is"),
    "kernels": ({"expit": lambda x: x, "tanh": lambda x: x}, "kernels_do"),
    "compiled": (lambda self, run, *_: lambda *xs: [x + 1.0 for x in run(*xs)], "test_programs[where"),
    "owns": (lambda self, cls: True, "owns_its_arrays"),
}
for member, (wrong, _) in WRONG.items():
    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch, member=member, wrong=wrong):
        monkeypatch.setattr(bpkit_tally.TallyBackend, member.partition("__")[0], wrong)

    body = {"name": "tally", "broken": broken}
    globals()[f"Test_{member}"] = type(f"Test_{member}", (BackendContract,), body)
del broken

class TestWithout_capability(BackendContract):
    name = "tally"

    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch):
        fewer = ALL - {Capability.IN_PLACE, Capability.BOOLEAN_INDEXING, Capability.UINT32_ARITHMETIC}
        monkeypatch.setattr(bpkit_tally.TallyBackend, "capabilities", fewer)

class TestNobody(BackendContract):
    pass
"""
CHOOSE = """
def pytest_collection_modifyitems(items):
    import test_broken
    words = {f"Test_{member}": word for member, (_, word) in test_broken.WRONG.items()}
    others = {"TestWithout_capability": "stated_rightly", "TestNobody": "who_it_is"}
    items[:] = [item for item in items if (words | others)[item.cls.__name__] in item.name]
"""


def test_what_is_broken_is_found_and_quoted(run: Run, tmp_path: Path) -> None:
    tests = tmp_path / "test_broken.py"
    tests.write_text(BROKEN, "utf-8")
    (tmp_path / "conftest.py").write_text(CHOOSE, "utf-8")
    options = ("-q", "-rf", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path))
    done = run("-m", "pytest", *options, str(tests))
    assert done.returncode == 1, done.stdout + done.stderr
    failed = {line.split("::")[1] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    wrong = re.findall(r'^    "(\w+)": \(', BROKEN, re.MULTILINE)
    assert len(wrong) == 17 and failed >= {f"Test_{member}" for member in wrong} | {"TestWithout_capability"}
    says = (ROOT / "bpkit" / "_protocol.py").read_text("utf-8").splitlines()
    line = next(k for k, text in enumerate(says, 1) if "def to_host" in text)
    text = "Copy an array to a writable NumPy array, keeping its dtype."
    assert "The backend 'tally' breaks the contract:" in done.stdout
    assert f"Backend.to_host (bpkit/_protocol.py:{line}): {text}" in done.stdout
    assert "that `x += 1` changes x itself is False, and the capability True" in done.stdout
    assert "boolean indexing works, and the capabilities say that it does not" in done.stdout
    assert "arithmetic of uint32 works, and the capabilities say that it does not" in done.stdout
    assert "Capability.IN_PLACE (bpkit/_protocol.py:" in done.stdout
    assert 'TestNobody: say which backend to test: name = "mine"' in done.stdout


def test_a_backend_that_cannot_be_loaded_is_one_error(run: Run, tmp_path: Path) -> None:
    text = (
        'from bpkit.testing.contract import BackendContract\nclass TestMine(BackendContract): name = "mine"'
    )
    (tmp_path / "test_mine.py").write_text(text, "utf-8")
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-k",
        "Mine and index",
    )
    done = run("-m", "pytest", *options, str(tmp_path / "test_mine.py"))
    assert done.returncode == 1 and "there is no backend 'mine'" in done.stdout
    assert re.search(r"^\d+ skipped, \d+ deselected, 1 error in ", done.stdout.splitlines()[-1]), done.stdout
