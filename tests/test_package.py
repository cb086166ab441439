"""What is built and installed: contents of wheel and sdist, a clean environment, the repository's text."""

import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bpkit
from bpkit.registry import BUILTIN

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CORE_LIMIT_MB = 90


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; its whole output is in the failure if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Every file of the repository, as git names it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so what belongs to the repository is unknown")
    names = run("git", "ls-files", "-z", cwd=ROOT).rstrip("\0").split("\0")
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it, of the tracked files alone."""
    pytest.importorskip("build", reason="build is not installed; nox -s package installs it")
    source = tmp_path_factory.mktemp("source")
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel, what it depends on, and not even pip."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    # A pin for every dependency, and none for the build tools, which this does not need.
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "-c", ROOT / "constraints.txt", wheel, cwd=home)
    return python


def shipped(tracked: list[str]) -> set[str]:
    """The tracked files that users get, under the names they are installed as."""
    names = {name for name in tracked if name.startswith("bpkit/")} | {"pytest_bpkit.py"}
    return names | {f"bpkit/{name}" for name in tracked if name.startswith("backends/")}


@pytest.mark.slow
def test_wheel_holds_exactly_the_tracked_package(wheel: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped(tracked)
    assert {PurePosixPath(name).parts[0] for name in names} == {"bpkit", "pytest_bpkit.py"}


@pytest.mark.slow
def test_wheel_carries_licence_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        about = [name for name in archive.namelist() if ".dist-info/" in name]
        texts = {name.partition("/")[2]: archive.read(name).decode() for name in about}
    assert texts["licenses/LICENSE"] == (ROOT / "LICENSE").read_text("utf-8")
    assert "bpkit = bpkit.cli:main" in texts["entry_points.txt"]
    assert "[pytest11]\npytest_bpkit = pytest_bpkit" in texts["entry_points.txt"]
    assert "License-Expression: MIT" in texts["METADATA"]
    assert "Requires-Python: >=3.11" in texts["METADATA"]


@pytest.mark.slow
def test_sdist_holds_what_the_wheel_is_built_from(built: Path, tracked: list[str]) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name for name in tracked if name.startswith(("bpkit/", "backends/", "pytest_bpkit"))}
    assert wanted | {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= names


@pytest.mark.slow
def test_every_module_imports_with_the_core_alone(installed: Path, tmp_path: Path) -> None:
    script = (
        "import importlib, pkgutil, bpkit\n"
        "for module in pkgutil.walk_packages(bpkit.__path__, 'bpkit.'):\n"
        "    if module.name.endswith('.__main__'):\n"
        "        continue\n"
        "    try:\n"
        "        print(importlib.import_module(module.name).__name__)\n"
        "    except ImportError as error:\n"
        "        optional = ('bpkit.sklearn', 'bpkit.interop.', 'bpkit.testing.contract')\n"
        "        assert module.name.startswith(optional), error\n"
        "        assert 'pip install' in str(error)\n"
    )
    names = run(installed, "-I", "-W", "error", "-c", script, cwd=tmp_path).split()
    assert {entry.partition(":")[0] for entry in BUILTIN.values()} <= set(names)


@pytest.mark.slow
def test_backends_load_or_say_what_to_install(installed: Path, tmp_path: Path) -> None:
    script = (
        "from bpkit import registry\n"
        "from bpkit.errors import BackendNotInstalledError\n"
        "for name in registry.BUILTIN:\n"
        "    try:\n"
        "        print(name, registry.get_backend(name).name)\n"
        "    except BackendNotInstalledError as error:\n"
        "        print(name, error)\n"
    )
    lines = run(installed, "-I", "-c", script, cwd=tmp_path).splitlines()
    said = dict(line.split(" ", 1) for line in lines)
    assert said.keys() == BUILTIN.keys()
    assert said.pop("numpy") == "numpy"
    for name, text in said.items():
        assert "pip install" in text, f"{name}: {text}"


@pytest.mark.slow
def test_command_line_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    bpkit_command = installed.parent / "bpkit"
    for arguments in (["--help"], ["train", "--help"], ["backends"]):
        assert run(bpkit_command, *arguments, cwd=tmp_path).strip()


@pytest.mark.slow
def test_the_example_of_a_backend_installs(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools is not installed; nox -s package installs it")
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT / "tests" / "example_backend", source)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", site, source, cwd=tmp_path)
    script = (
        f"import sys; sys.path.append({str(site)!r}); import bpkit; print(bpkit.registry.backend_table()[-1])"
    )
    assert "name='tally', usable=True, version='1.0'" in run(sys.executable, "-c", script, cwd=ROOT)


@pytest.mark.slow
def test_core_is_small(installed: Path) -> None:
    (site,) = (installed.parents[1] / "lib").glob("python*/site-packages")
    sizes: dict[str, int] = {}
    for file in site.rglob("*"):
        if file.is_file():
            top = file.relative_to(site).parts[0]
            sizes[top] = sizes.get(top, 0) + file.stat().st_size
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert sum(sizes.values()) / 1e6 <= CORE_LIMIT_MB, largest


def test_version_is_the_distribution_s() -> None:
    assert version("bpkit-backprop") == bpkit.__version__


def test_every_dependency_that_tests_install_has_a_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    pinned = {canonicalize_name(pin.name) for pin in pins}
    wanted = PROJECT["dependencies"] + [
        line
        for extra in ("test", "jax", "torch", "data", "report", "thirdparty")
        for line in PROJECT["optional-dependencies"][extra]
    ]
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= pinned
    for line in wanted:
        requirement = Requirement(line)
        versions = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
        for pin in versions:
            (specifier,) = pin.specifier
            assert requirement.specifier.contains(specifier.version), f"{pin} is not {requirement}"


@pytest.mark.parametrize("name", BUILTIN)
def test_what_a_backend_asks_to_install_is_in_an_extra(name: str) -> None:
    module, _, cls = BUILTIN[name].partition(":")
    asked = getattr(importlib.import_module(module), cls).distribution
    extras = PROJECT["optional-dependencies"].values()
    known = {Requirement(line).name for lines in [PROJECT["dependencies"], *extras] for line in lines}
    assert asked in known


FORBIDDEN = {
    "a path of one machine": r"(?<![\w.}~])/(?:work|tmp|root|home|Users|opt|mnt)/\w",
    "the address of a package registry": (
        r"https?://(?!127\.0\.0\.1|[^\s/]+\.(?:invalid|example)\b)"
        r"[^\s/\"'>)]*(?:pypi|pythonhosted|npmjs|debian|conda|mirror|artifact|:\d{2,5}\b)"
    ),
    "an option that names a package registry": r"--(?:extra-)?index[-]url|--find[-]links|--trusted[-]host",
    "an instruction to install a stranger's package": r"pip3? install (?:-\S+ )*[\"']?bpkit(?![\w-])",
}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_text_holds_nothing_that_is_wrong_elsewhere(pattern: str, tracked: list[str]) -> None:
    hits = []
    for name in tracked:
        content = (ROOT / name).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            if re.search(pattern, line):
                hits.append(f"{name}:{number}: {line.strip()}")
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a path of one machine", "see /" + "home/ada/bpkit"),
        ("the address of a package registry", "http:" + "//localhost:3141/simple"),
        ("an option that names a package registry", "pip install --extra" + "-index-url X"),
        ("an instruction to install a stranger's package", "pip install -U" + " bpkit"),
    ],
)
def test_forbidden_text_is_recognised(kind: str, text: str) -> None:
    assert re.search(FORBIDDEN[kind], text)
    assert not re.search(
        FORBIDDEN[kind], "pip install 'bpkit-backprop[jax]', from https://doi.org/10.1038/323533a0"
    )
