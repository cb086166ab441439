"""The plugin for pytest, as projects outside of this one meet it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import pytest_bpkit
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


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with tests of somebody else."""
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\nfilterwarnings = error\n")
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*options, plugins=[pytest_bpkit])


@pytest.fixture
def alone(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same, run in a process of its own, which is slower."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project.makeini("[pytest]\naddopts = -p pytest_bpkit -p no:cacheprovider\nfilterwarnings = error\n")
    return project


def test_the_fixture_runs_over_all_and_skips_what_is_missing(project: pytest.Pytester) -> None:
    project.makepyfile(GRADIENT)
    result = run(project, "-v", "-rs")
    result.assert_outcomes(passed=len(USABLE) + 1, skipped=len(BUILTIN) - len(USABLE))
    text = result.stdout.str()
    assert all(f"test_gradient[{name}] PASSED" in text for name in USABLE)
    if find_spec("cupy") is None:
        result.stdout.fnmatch_lines(["SKIPPED*is not installed in this environment*pip install*"])


def test_the_option_chooses(project: pytest.Pytester) -> None:
    project.makepyfile(GRADIENT)
    chosen = ["numpy:cpu", *(["torch"] if "torch" in USABLE else [])]
    result = run(project, *[f"--bpkit-backend={spec}" for spec in chosen])
    result.assert_outcomes(passed=len(chosen) + 1, deselected=len(BUILTIN) - len(chosen))


@pytest.mark.parametrize(
    ("spec", "text"),
    [("nampy", "there is no backend 'nampy'. Did you mean 'numpy'?"), ("numpy:gpu", "no device")],
)
def test_a_choice_that_cannot_be_used_is_no_skip(project: pytest.Pytester, spec: str, text: str) -> None:
    project.makepyfile(GRADIENT)
    result = run(project, "--bpkit-backend", spec)
    assert result.ret != pytest.ExitCode.OK
    assert text in result.stdout.str() + result.stderr.str()
    assert " skipped" not in "".join(result.outlines[-1:])


def test_a_test_says_itself_for_which(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("bpkit_backend", ["numpy"], indirect=True)
        def test_one(bpkit_backend):
            assert bpkit_backend.name == "numpy"

        @pytest.mark.parametrize("n, bpkit_backend", [(1, "numpy"), (2, "numpy")], indirect=["bpkit_backend"])
        class TestSome:
            def test_two(self, n, bpkit_backend):
                assert bpkit_backend.name == "numpy"
    """)
    run(project).assert_outcomes(passed=3)


def test_a_shorter_name_and_others_fixtures_of_that_name(project: pytest.Pytester) -> None:
    project.makeconftest("""
        import pytest

        @pytest.fixture
        def backend(bpkit_backend):
            return bpkit_backend
    """)
    project.makepyfile(
        test_short="""
            def test_short(backend):
                assert backend.name == "numpy"
        """,
        test_other="""
            import pytest

            @pytest.fixture(params=["sqlite", "postgres"])
            def backend(request):
                return request.param

            def test_database(backend):
                assert backend in ("sqlite", "postgres")

            @pytest.mark.parametrize("backend", ["redis"])
            def test_direct(backend):
                assert backend == "redis"
        """,
    )
    run(project, "--bpkit-backend", "numpy").assert_outcomes(passed=4, deselected=len(BUILTIN) - 1)


def test_it_costs_nothing_where_nobody_asks_for_it(alone: pytest.Pytester) -> None:
    alone.makepyfile("""
        import sys

        def test_lean():
            loaded = {"bpkit", "numpy", "optree"} & set(sys.modules)
            assert "pytest_bpkit" in sys.modules and not loaded, loaded
    """)
    alone.runpytest_subprocess().assert_outcomes(passed=1)


def test_what_it_imports_itself() -> None:
    script = "import sys, pytest; old = set(sys.modules); import pytest_bpkit; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["pytest_bpkit"], done.stderr
