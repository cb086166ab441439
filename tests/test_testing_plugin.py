"""The plugin for pytest, as projects outside of this one meet it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bpkit.errors import BackendError
from bpkit.registry import BUILTIN, get_backend

ROOT = Path(__file__).parents[1]


def usable(name: str) -> bool:
    """Whether a library is installed, without importing it."""
    try:
        return get_backend(name).name == name
    except BackendError:
        return False


USABLE = [name for name in BUILTIN if usable(name)]

GRADIENT = """
    import bpkit
    from bpkit import xp

    def test_gradient(bpkit_backend):
        x = xp.asarray([1.0, 2.0])
        assert bpkit_backend.owns(type(x))
        slope = bpkit_backend.to_host(bpkit.grad(lambda x: xp.sum(x**2))(x))
        assert slope.tolist() == [2.0, 4.0]

    def test_without():
        pass
"""
ITSELF = """
    import pytest

    @pytest.mark.parametrize("bpkit_backend", ["numpy"], indirect=True)
    def test_one(bpkit_backend):
        assert bpkit_backend.name == "numpy"

    @pytest.mark.parametrize("n, bpkit_backend", [(1, "numpy"), (2, "torch")], indirect=["bpkit_backend"])
    class TestSome:
        def test_two(self, n, bpkit_backend):
            assert n == 1 and bpkit_backend.name == "numpy"
"""
SHORT = """
    import pytest

    @pytest.fixture
    def backend(bpkit_backend):
        return bpkit_backend
"""
OTHERS = """
    import pytest

    @pytest.fixture(params=["sqlite", "postgres"])
    def backend(request):
        return request.param

    def test_database(backend):
        assert backend in ("sqlite", "postgres")

    @pytest.mark.parametrize("backend", ["redis"])
    def test_direct(backend):
        assert backend == "redis"
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with tests of somebody else.

    They run in a process of their own: in this one, pytester would have libraries imported twice.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = -p pytest_bpkit -p no:cacheprovider\nfilterwarnings = error\n")
    return pytester


def test_the_fixture_runs_over_all_and_skips_what_is_missing(project: pytest.Pytester) -> None:
    project.makepyfile(GRADIENT)
    result = project.runpytest_subprocess("-v", "-rs")
    result.assert_outcomes(passed=len(USABLE) + 1, skipped=len(BUILTIN) - len(USABLE))
    text = result.stdout.str()
    assert all(f"test_gradient[{name}] PASSED" in text for name in USABLE)
    if find_spec("cupy") is None:
        result.stdout.fnmatch_lines(["SKIPPED*is not installed in this environment*pip install*"])


def test_the_option_chooses_and_others_fixtures_are_theirs(project: pytest.Pytester) -> None:
    project.makeconftest(SHORT)
    short = "def test_short(backend):\n    assert backend.xp.zeros(1).device == 'cpu'"
    project.makepyfile(test_gradient=GRADIENT, test_itself=ITSELF, test_short=short, test_others=OTHERS)
    result = project.runpytest_subprocess("--bpkit-backend=numpy:cpu", "-v")
    result.assert_outcomes(passed=8, deselected=2 * (len(BUILTIN) - 1) + 1)
    result.stdout.fnmatch_lines(["*test_short[[]numpy] PASSED*"])


@pytest.mark.parametrize("params", ["", "(params=['numpy', 'sqlite'])"])
def test_a_fixture_of_the_same_name_is_the_projects_own(project: pytest.Pytester, params: str) -> None:
    project.makeconftest(f"""
        import pytest

        @pytest.fixture{params}
        def bpkit_backend(request):
            return getattr(request, "param", "sqlite")
    """)
    project.makepyfile("def test_own(bpkit_backend):\n    assert bpkit_backend in ('numpy', 'sqlite')")
    project.runpytest_subprocess().assert_outcomes(passed=2 if params else 1)
    project.runpytest_subprocess("--bpkit-backend=numpy").assert_outcomes(passed=2 if params else 1)


def test_a_fixture_built_on_the_one_that_it_hides(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.fixture
        def bpkit_backend(bpkit_backend):
            return bpkit_backend.name

        def test_name(bpkit_backend):
            assert bpkit_backend == "numpy"
    """)
    result = project.runpytest_subprocess("--bpkit-backend=numpy")
    result.assert_outcomes(passed=1, deselected=len(BUILTIN) - 1)


def test_names_in_a_test(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("bpkit_backend", ["numpy:cpu", "nampy", "torch"], indirect=True)
        def test_some(bpkit_backend):
            assert bpkit_backend.name == "numpy"

        def test_asked_for(request):
            request.getfixturevalue("bpkit_backend")
    """)
    result = project.runpytest_subprocess("--bpkit-backend=numpy", "-v")
    result.assert_outcomes(passed=1, errors=1, failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*test_some[[]numpy:cpu] PASSED*",
            "*there is no backend 'nampy'*",
            "*take bpkit_backend as an argument*",
        ]
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [("nampy", "there is no backend 'nampy'. Did you mean 'numpy'?"), ("numpy:gpu", "no device 'gpu' here")],
)
def test_a_choice_that_cannot_be_used_is_no_skip(project: pytest.Pytester, spec: str, text: str) -> None:
    project.makepyfile(GRADIENT)
    result = project.runpytest_subprocess("--bpkit-backend", spec)
    assert result.ret != pytest.ExitCode.OK
    assert text in result.stdout.str() + result.stderr.str()
    assert " skipped" not in "".join(result.outlines[-1:])


def test_it_costs_nothing_where_nobody_asks_for_it(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import sys

        def test_lean():
            loaded = {"bpkit", "numpy", "optree"} & set(sys.modules)
            assert "pytest_bpkit" in sys.modules and not loaded, loaded
    """)
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_what_it_imports_itself() -> None:
    script = "import sys, pytest; old = set(sys.modules); import pytest_bpkit; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["pytest_bpkit"], done.stderr
