"""A backend in a package of its own, for a library that bpkit does not know: installed, listed, at work."""

import os
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
import bpkit_tally

class Broken(bpkit_tally.TallyBackend):
    capabilities = bpkit_tally.ALL_CAPABILITIES

    def to_host(self, x):
        return super().to_host(x)[::-1] if x.ndim else super().to_host(x)

bpkit_tally.TallyBackend = Broken

from bpkit.testing.contract import BackendContract

class TestTally(BackendContract):
    name = "tally"

class TestNobody(BackendContract):
    pass
"""


def test_what_is_broken_is_quoted(run: Run, tmp_path: Path) -> None:
    tests = tmp_path / "test_broken.py"
    tests.write_text(BROKEN, "utf-8")
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path))
    done = run("-m", "pytest", *options, str(tests), "-k", "round_trip or in_place or says_who")
    assert done.returncode == 1, done.stdout + done.stderr
    says = (ROOT / "bpkit" / "_protocol.py").read_text("utf-8").splitlines()
    line = next(k for k, text in enumerate(says, 1) if "def to_host" in text)
    text = "Copy an array to a writable NumPy array, keeping its dtype."
    assert "The backend 'tally' breaks the contract:" in done.stdout
    assert f"Backend.to_host (bpkit/_protocol.py:{line}): {text}" in done.stdout
    assert "that `x += 1` changes x itself is False, and the capability True" in done.stdout
    assert "Capability.IN_PLACE (bpkit/_protocol.py:" in done.stdout
    assert 'TestNobody: say which backend to test: name = "mine"' in done.stdout
