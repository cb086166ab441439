"""One fixture over all backends: ``pytest --backend torch --backend jax`` runs the tests on those only.

Fixture and option are those of bpkit's own plugin for pytest, under shorter names.
"""

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bpkit._protocol import Backend
from bpkit.registry import BUILTIN, ENVIRONMENT_VARIABLE

# Where the checkout is installed it is there already, under this name.
pytest_plugins = ["pytest_bpkit", "pytester"]

# Tables for test_thirdparty.py, which says what to install where their libraries are missing; and a package
# of its own, which test_example_backend.py installs.
collect_ignore_glob = ["thirdparty/*", "example_backend/*"]


# Modules whose examples run only where the library is installed that they import.
NEEDED_BY = {
    "bpkit/interop/_aligned.py": "dask",
    "bpkit/interop/dask.py": "dask",
    "bpkit/interop/jax.py": "jax",
    "bpkit/interop/onnx": "ndonnx",
    "bpkit/interop/torch": "torch",
    "bpkit/interop/weights": "torch",
    "bpkit/interop/xarray.py": "xarray",
    "bpkit/sklearn": "sklearn",
    "tests/onnx_runs.py": "onnxruntime",
}

# JAX compiles every function for every shape, and these tests have many of both. An odd number, so that of
# pairs such as float32 and float64 both have their turn.
ONE_IN = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        default=[],
        dest="bpkit_backend",
        metavar="NAME[:DEVICE]",
        help=f"short for --bpkit-backend; one of {', '.join(BUILTIN)}",
    )

    parser.addoption(
        "--all-on-jax",
        action="store_true",
        help=f"run all tests on JAX; without it one in {ONE_IN}",
    )


def pytest_configure(config: pytest.Config) -> None:
    absent = [str(config.rootpath / place) for place, name in NEEDED_BY.items() if find_spec(name) is None]
    config.option.ignore = [*(config.option.ignore or []), *absent]
    os.environ.pop(ENVIRONMENT_VARIABLE, None)
    # SciPy reads this once, when it is imported, and asks arrays for their namespaces from then on.
    os.environ["SCIPY_ARRAY_API"] = "1"
    if "jax" in (_chosen(config) or BUILTIN):
        # Half of the tests need float64, and JAX reads this once, when it is imported.
        os.environ["JAX_ENABLE_X64"] = "1"
        if jax := sys.modules.get("jax"):
            jax.config.update("jax_enable_x64", True)


def _chosen(config: pytest.Config) -> list[str]:
    return [spec.partition(":")[0] for spec in config.getoption("--bpkit-backend")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected = _chosen(config)
    if not selected:
        return
    config.pluginmanager.get_plugin("pytest_bpkit").deselect_backends(config, items, "backend")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    count = 0
    for item in items:
        callspec = getattr(item, "callspec", None)
        name = None if callspec is None else callspec.params.get("backend")
        keep = name is not None or _is_of_no_backend_here(selected, Path(item.path))
        if name == "jax" and not config.getoption("--all-on-jax"):
            count += 1
            keep = count % ONE_IN == 0
        (kept if keep else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@cache
def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _is_of_no_backend_here(selected: list[str], path: Path) -> bool:
    """Whether the tests of a file that ask for no backend run.

    All do with NumPy; with another backend alone, those that speak of it, and on PyTorch those of jit: there
    Numba is not installed, and NumPy's loops are others.
    """
    if len(selected) > 1 or selected == ["numpy"]:
        return True
    words = {"jax": ("jax",), "torch": ("torch", "jit")}.get(selected[0], ())
    return any(word in _text_of(path) for word in words)


@pytest.fixture(params=list(BUILTIN))
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn, current for the length of the test."""
    plugin = request.config.pluginmanager.get_plugin("pytest_bpkit")
    with plugin.use_or_skip(request.param, request.config) as backend:
        yield backend


@pytest.fixture
def xp(backend: Backend) -> Any:
    """The backend's own array-API namespace."""
    return backend.xp


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder with MNIST's four files: ``BPKIT_DATA``, or ``shared/data/mnist`` beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    root = Path(os.environ.get("BPKIT_DATA") or beside)
    if not root.is_dir():
        pytest.skip(f"MNIST is not here: BPKIT_DATA is not set and there is no folder {beside}")
    return root
