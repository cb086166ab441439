"""Everything that is checked before a change lands; plain ``nox`` runs all that this machine can run.

Each session gets an environment of its own with no more than it needs. ``nox -r`` keeps the environments
between runs, ``nox -s "tests(jax)" -- -k dense`` hands the rest of the line to pytest.
"""

import shutil
import subprocess
from pathlib import Path

import nox

EXTRAS = {
    "numpy": "test",
    "array_api_strict": "test",
    "jax": "test,jax",
    "torch": "test,torch",
    "cupy": "test,cupy-cuda13",
}
GPU_BACKENDS = ("cupy", "jax", "torch")

# The tests come last, and of those NumPy's, so that a log ends with the run that every change must pass.
nox.options.sessions = [
    "lint",
    "types",
    "package",
    "examples",
    "tests(cupy)",
    "tests(torch)",
    "tests(jax)",
    "tests(array_api_strict)",
    "tests(numpy)",
]
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True


def install(session: nox.Session, *requirements: str) -> None:
    """Install at the versions of constraints.txt."""
    session.install("--quiet", "-c", "constraints.txt", *requirements)


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU, found without importing anything that would start it."""
    if Path("/dev/nvidia0").exists():
        return True
    query = shutil.which("nvidia-smi")
    if query is None:
        return False
    return "GPU " in subprocess.run([query, "-L"], capture_output=True, text=True, check=False).stdout


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format of every file (ruff)."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Every annotation, strictly (mypy)."""
    install(session, "-e", ".[test]", "mypy", "nox")
    session.run("mypy")


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist: what is in them, what they install, how large it is and how fast it imports."""
    install(session, "-e", ".[test]", "build", "setuptools", "virtualenv")
    session.run("pytest", "tests/test_package.py", "tests/test_import.py", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Every program in examples/, with the small settings of its ``--quick``."""
    install(session, "-e", ".")
    programs = sorted(Path("examples").glob("*.py"))
    for program in programs:
        session.run("python", "-W", "error", str(program), "--quick", *session.posargs)
    if not programs:
        session.error("examples/ holds no program")


@nox.session
@nox.parametrize("backend", list(EXTRAS), ids=list(EXTRAS))
def tests(session: nox.Session, backend: str) -> None:
    """The tests on one backend; with numpy also the examples in the docstrings."""
    if backend == "cupy" and not has_gpu():
        session.skip("CuPy needs an NVIDIA GPU, and this machine has none")
    install(session, "-e", f".[{EXTRAS[backend]}]")
    places = () if backend == "numpy" else ("tests",)
    parallel = ("--numprocesses=auto", "--maxprocesses=8")
    # What is built and how fast it imports is the session package's: nothing may run beside a measurement.
    without = ("--ignore=tests/test_package.py", "--ignore=tests/test_import.py")
    session.run("pytest", *parallel, *without, "--backend", backend, *places, *session.posargs)


@nox.session(default=False, venv_params=["--system-site-packages"])
def gpu(session: nox.Session) -> None:
    """The tests on a GPU machine, with the array libraries and test tools that are installed there."""
    if not has_gpu():
        session.skip("this machine has no NVIDIA GPU")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    for backend in GPU_BACKENDS:
        session.run("pytest", "--backend", backend, "tests", *session.posargs)
