"""Everything that is checked before a change lands; plain ``nox`` runs all that this machine can run.

Each session gets an environment of its own with no more than it needs. ``nox -r`` keeps the environments
between runs, ``nox -s "tests(jax)" -- -k dense`` hands the rest of the line to pytest.
"""

import os
import shutil
import subprocess
from pathlib import Path

import nox

EXTRAS = {
    "numpy": "test,fast,report",
    "array_api_strict": "test",
    "jax": "test,jax",
    "torch": "test,torch",
    "cupy": "test,cupy-cuda13",
}
GPU_BACKENDS = ("cupy", "jax", "torch")
INTEROP = ("jax", "torch")

SUITE = "https://github.com/data-apis/array-api-tests"
SUITE_VERSIONS = ("2024.12", "2025.12")
# Those with array-API tests of their own on array-api-strict.
OWN_SUITES = (
    *(
        "scipy._lib",
        "scipy.cluster",
        "scipy.constants",
        "scipy.differentiate",
        "scipy.fft",
        "scipy.integrate",
    ),
    *("scipy.interpolate", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal"),
    *("scipy.spatial", "scipy.special", "scipy.stats", "sklearn", "array_api_extra"),
)
# Which tests fail is all that counts: failing examples are not made smaller, which takes most of the time.
UNSHRUNK = (
    "from hypothesis import Phase, settings; "
    'settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate]); '
    'settings.load_profile("unshrunk")'
)

# The tests come last, and of those NumPy's, so that a log ends with the run that every change must pass.
nox.options.sessions = [
    "lint",
    "types",
    "package",
    "examples",
    "docs",
    "thirdparty",
    "interop",
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
    # Products this small gain nothing from a second thread, and lose much where the machine is busy.
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}
    for program in programs:
        session.run("python", "-W", "error", str(program), "--quick", *session.posargs, env=one_thread)
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
    without = ["--ignore=tests/test_package.py", "--ignore=tests/test_import.py"]
    if backend in INTEROP:
        # The session interop has these for all three libraries.
        without += ["--ignore-glob=tests/test_interop_*.py", "--ignore=tests/test_docs.py"]
    # JAX compiles every function for every shape; what one worker has compiled serves the others.
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(Path(session.create_tmp()).resolve() / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    chosen = ("--backend", backend)
    session.run("pytest", *parallel, *without, *chosen, *places, *session.posargs, env=compiled)


@nox.session
def thirdparty(session: nox.Session) -> None:
    """SciPy, scikit-learn, array-api-extra, einops and xarray on traced arrays; scikit-learn's estimators."""
    install(session, "-e", ".[test,torch,thirdparty,sklearn]")
    backends = [f"--backend={name}" for name in ("numpy", "array_api_strict", "torch")]
    names = ("test_sklearn", "test_sklearn_checks", "test_sklearn_pickles", "test_sklearn_within")
    estimators = (*(f"tests/{name}.py" for name in names), "bpkit/sklearn")
    parallel = ("--numprocesses=auto", "--maxprocesses=8")
    session.run("pytest", *parallel, *backends, "tests/test_thirdparty.py", *estimators, *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """Functions of bpkit in other libraries' programs, and theirs in bpkit; the programs in docs."""
    install(
        session, "-e", ".[test,torch,jax,onnx,dask,xarray,sklearn,fast,report]", "distributed", "autograd"
    )
    places = sorted(map(str, Path("tests").glob("test_interop_*.py")))
    backends = [f"--backend={name}" for name in ("numpy", *INTEROP)]
    programs = ("bpkit/interop", "tests/test_docs.py")
    parallel = ("--numprocesses=auto", "--maxprocesses=8")
    session.run("pytest", *parallel, "--all-on-jax", *backends, *places, *programs, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, in site/, without a warning and with every public name."""
    install(session, "-e", ".[docs,test]")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("pytest", "tests/test_docs.py", "-k", "site", env={"BPKIT_SITE": "site"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Every workload beside the other libraries, alone on the machine; writes benchmarks.json.

    The rest of the line replaces that: ``nox -s bench -- W1 --peers numpy,jax``.
    """
    install(session, "-e", ".[jax,torch,fast,special]", "autograd", "mygrad", "packaging", "scikit-learn")
    session.run("python", "-m", "benchmarks", *(session.posargs or ("all", "--json", "benchmarks.json")))


@nox.session(default=False, venv_params=["--system-site-packages"])
def gpu(session: nox.Session) -> None:
    """The tests on a GPU machine, with the array libraries and test tools that are installed there."""
    if not has_gpu():
        session.skip("this machine has no NVIDIA GPU")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    for backend in GPU_BACKENDS:
        session.run("pytest", "--backend", backend, "tests", *session.posargs)


@nox.session(default=False)
@nox.parametrize("backend", list(EXTRAS), ids=list(EXTRAS))
def conformance(session: nox.Session, backend: str) -> None:
    """The array-API suite of data-apis on traced arrays; none may fail that the raw library passes.

    BPKIT_ARRAY_API_TESTS is the path of a checkout of the suite with its submodule; without one it is cloned.
    The rest of the line goes to pytest; 100 examples a test take some minutes a run, ``-- --max-examples 5``
    takes one.
    """
    if backend == "cupy" and not has_gpu():
        session.skip("CuPy needs an NVIDIA GPU, and this machine has none")
    tmp = Path(session.create_tmp()).resolve()
    suite = _suite(session, tmp)
    install(session, "-e", f".[{EXTRAS[backend]}]", "-r", str(suite / "requirements.txt"))
    reports = []
    for version in SUITE_VERSIONS:
        for kind in ("raw", "traced"):
            session.log(f"array-api-tests {version} on {kind} arrays of {backend}")
            reports.append(_run_suite(session, suite, tmp / f"{backend}-{version}-{kind}", backend, version))
    session.run("python", "tests/conformance/compare.py", backend, *map(str, reports))


def _suite(session: nox.Session, tmp: Path) -> Path:
    """The folder of array-api-tests."""
    given = os.environ.get("BPKIT_ARRAY_API_TESTS")
    if given is None:
        suite = tmp / "array-api-tests"
        if not suite.exists():
            session.run("git", "clone", "--recurse-submodules", SUITE, str(suite), external=True)
        return suite
    suite = Path(given).resolve()
    if not (suite / "array-api" / "src").is_dir():
        session.error(
            f"BPKIT_ARRAY_API_TESTS={given} is no checkout of array-api-tests with its submodule array-api; "
            f"git submodule update --init fetches that"
        )
    return suite


def _run_suite(session: nox.Session, suite: Path, run: Path, backend: str, version: str) -> Path:
    """The report of one run, raw or traced as its name says."""
    report = run.with_name(f"{run.name}.json")
    report.unlink(missing_ok=True)
    # Both draw the same examples: none that an earlier run found; the constants of the same modules, which
    # Hypothesis takes from what is imported, also of those that only traced arrays need; and seeded where the
    # suite shuffles with Python's own generator.
    shutil.rmtree(run, ignore_errors=True)
    traced = f'bpkit.testing.traced_namespace("{backend}")'
    raw = f'bpkit.registry.get_backend("{backend}").xp'
    chosen = traced if run.name.endswith("traced") else raw
    imports = "import bpkit.testing, bpkit.array_methods, bpkit.lending, bpkit.numpy_protocol, bpkit._foreign"
    program = f"import random; random.seed(0); {UNSHRUNK}; {imports}; {traced}; xp = {chosen}"
    with session.chdir(suite):
        session.run(
            *("pytest", "array_api_tests", "-q", "--tb=no", "-rN", "--disable-warnings"),
            *("--hypothesis-seed=0", "--disable-deadline", "--max-examples=100"),
            *("-p", "no:cacheprovider", "-W", "ignore::bpkit.errors.GradientCutWarning"),
            *("--json-report", f"--json-report-file={report}"),
            *("--json-report-omit", "log", "streams", "keywords", "warnings"),
            *session.posargs,
            env={
                "ARRAY_API_TESTS_MODULE": f"exec('{program}')",
                "ARRAY_API_TESTS_VERSION": version,
                "HYPOTHESIS_STORAGE_DIRECTORY": str(run),
                "JAX_ENABLE_X64": "1",
            },
            success_codes=[0, 1],
        )
    return report


@nox.session(default=False)
def own_suites(session: nox.Session) -> None:
    """Other projects' own array-API tests on traced constants; none may fail that array-api-strict passes.

    The rest of the line names some of the suites, as ``-- scipy.special sklearn``; all take about an hour.
    """
    tmp = Path(session.create_tmp()).resolve()
    install(session, "-e", ".[test,thirdparty]", "pytest-json-report")
    reports = []
    for name in session.posargs or OWN_SUITES:
        for kind in ("raw", "traced"):
            session.log(f"{name} on {kind} arrays of array_api_strict")
            reports.append(_run_own_suite(session, name, tmp / f"{name}-{kind}.json"))
    compare = "tests/conformance/compare.py"
    exceptions = "tests/conformance/own_suites.txt"
    session.run("python", compare, "array_api_strict", *map(str, reports), "--exceptions", exceptions)


def _run_own_suite(session: nox.Session, name: str, report: Path) -> Path:
    """The report of one run, raw or traced as its name says."""
    report.unlink(missing_ok=True)
    if name == "array_api_extra":
        root = _extras_source(session, report.parent)
        chosen = ["tests/main"]
    else:
        root = Path(_answer(session, "import sysconfig; print(sysconfig.get_path('purelib'))"))
        chosen = ["--pyargs", name]
    plugin = ("-p", "conformance.in_place_of_strict") if report.stem.endswith("traced") else ()
    tests = Path("tests").resolve()
    with session.chdir(root):
        session.run(
            # Without settings: array-api-extra's want more plugins, and those of bpkit above are not theirs.
            *("pytest", "-c", os.devnull, *chosen, f"--rootdir={root}", "-k", "array_api_strict"),
            *("-q", "--tb=no", "-rN", "--disable-warnings", "-p", "no:cacheprovider", *plugin),
            *("--json-report", f"--json-report-file={report}"),
            *("--json-report-omit", "log", "streams", "keywords", "warnings"),
            env={"PYTHONPATH": str(tests), "SCIPY_ARRAY_API": "1"},
            # 5: of this suite there is no test for this library.
            success_codes=[0, 1, 5],
        )
    return report


def _extras_source(session: nox.Session, tmp: Path) -> Path:
    """The source of the installed array-api-extra, whose wheel has no tests."""
    version = _answer(session, "from importlib.metadata import version; print(version('array-api-extra'))")
    archive = tmp / f"array_api_extra-{version}.tar.gz"
    if not archive.exists():
        # It is there although its metadata may want tools that are not.
        wanted = ("--no-deps", "--no-binary=array-api-extra", f"array-api-extra=={version}")
        session.run("pip", "download", "--quiet", *wanted, "--dest", str(tmp), success_codes=[0, 1])
    shutil.unpack_archive(archive, tmp)
    return tmp / f"array_api_extra-{version}"


def _answer(session: nox.Session, program: str) -> str:
    """What a Python program prints in the environment of a session."""
    return str(session.run("python", "-c", program, silent=True)).strip()
