"""bpkit's plugin for pytest: a fixture over the array libraries that are installed, and an option to choose.

pytest loads this module in every run wherever bpkit is installed, so it is none of the package `bpkit`, which
brings NumPy with it, and imports nothing before a test asks for the fixture. Its names begin with ``bpkit``,
so that they stand in nobody's way; three lines in a conftest.py give the fixture a shorter one::

    @pytest.fixture
    def backend(bpkit_backend):
        return bpkit_backend
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpkit._protocol import Backend

__all__ = ["bpkit_backend", "deselect_backends", "use_or_skip"]

FIXTURE = "bpkit_backend"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--bpkit-backend``."""
    parser.getgroup("bpkit").addoption(
        "--bpkit-backend",
        action="append",
        default=[],
        dest="bpkit_backend",
        metavar="NAME[:DEVICE]",
        help="run tests with the fixture bpkit_backend on this array library only; repeatable",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a library that was asked for by name and cannot be used: a skip would look like success."""
    for spec in session.config.getoption("--bpkit-backend"):
        from bpkit.errors import BackendError
        from bpkit.registry import get_backend

        try:
            get_backend(spec.partition(":")[0])
        except BackendError as error:
            raise pytest.UsageError(f"--bpkit-backend {spec}: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each library, unless a test says itself for which."""
    if FIXTURE not in metafunc.fixturenames or not _is_ours(metafunc):
        return
    if any(FIXTURE in _names_of(mark) for mark in metafunc.definition.iter_markers("parametrize")):
        return
    from bpkit.registry import backend_names

    metafunc.parametrize(FIXTURE, backend_names(), indirect=True)


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    """Whether it is the fixture of this file, and none of the project's own under its name."""
    definitions = list(getattr(metafunc, "_arg2fixturedefs", {}).get(FIXTURE) or ())
    while definitions:
        last = definitions.pop()
        if last.func.__module__ == __name__:
            return True
        if last.params or FIXTURE not in last.argnames:
            return False
        # One that is built on the one that it hides.
    return True


def _names_of(mark: pytest.Mark) -> list[str]:
    names = mark.args[0] if mark.args else mark.kwargs["argnames"]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on a library that was not chosen."""
    deselect_backends(config, items, FIXTURE)


def deselect_backends(config: pytest.Config, items: list[pytest.Item], fixture: str) -> None:
    """Take tests away for which `fixture` has another library than those of ``--bpkit-backend``."""
    chosen = {spec.partition(":")[0] for spec in config.getoption("--bpkit-backend")}
    if not chosen:
        return
    from bpkit.registry import backend_names

    # Another value is for a fixture or a parameter of the project's own, or a mistake that the test shows.
    refused = set(backend_names()) - chosen
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        name = None if callspec is None else callspec.params.get(fixture)
        (left if str(name).partition(":")[0] in refused else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@contextmanager
def use_or_skip(name: str, config: pytest.Config) -> Iterator[Backend]:
    """Make a library current, on the device of ``--bpkit-backend``; skip the test if it cannot be used.

    `name` may have a device itself (``"torch:cuda"``). One that no library has is an error.
    """
    from bpkit.errors import BackendError, UnknownBackendError
    from bpkit.registry import use_backend

    specs = [
        spec
        for spec in config.getoption("--bpkit-backend")
        if spec.partition(":")[0] == name.partition(":")[0]
    ]
    try:
        selection = use_backend(specs[0] if specs and ":" not in name else name)
    except BackendError as error:
        if specs or isinstance(error, UnknownBackendError):
            raise
        pytest.skip(str(error))
    with selection as (backend, _):
        yield backend


@pytest.fixture
def bpkit_backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each array library in turn, current for the length of the test; skipped where it is not installed.

    Yields its :class:`bpkit._protocol.Backend`, with the attributes `name` and `xp`.
    """
    if not hasattr(request, "param"):
        pytest.fail(
            f"request.getfixturevalue({FIXTURE!r}) comes too late to run a test for each library: take "
            f"{FIXTURE} as an argument of the test, or of a fixture that the test takes",
            pytrace=False,
        )
    with use_or_skip(request.param, request.config) as backend:
        yield backend
