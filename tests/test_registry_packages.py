"""Backends that other packages add through an entry point."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bpkit import _loading
from bpkit._protocol import Backend
from bpkit.errors import BackendError, UnknownBackendError
from bpkit.registry import ENTRY_POINT_GROUP, backend_of, backend_table, get_backend, use_backend

GOOD = """
from bpkit.backends.numpy_backend import NumpyBackend

class Array:
    pass

class Homemade(NumpyBackend):
    name = {name!r}
    def owns(self, cls):
        return cls is Array

instance = Homemade()
def make():
    return Homemade()
"""


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Put a distribution with one module and its entry points on the path."""
    monkeypatch.setattr(_loading, "_loaded", dict(_loading._loaded))
    monkeypatch.syspath_prepend(tmp_path)

    def install(module: str, source: str, **entries: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n")
        lines = [f"{name} = {module}:{what}" for name, what in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines]))
        _loading.third_party.cache_clear()

    yield install
    monkeypatch.undo()
    _loading.third_party.cache_clear()


@pytest.mark.parametrize("what", ["Homemade", "instance", "make"])
def test_a_package_adds_a_backend(install: Callable[..., None], what: str) -> None:
    module = f"good_{what}".lower()
    install(module, GOOD.format(name=f"mine_{what}"), **{f"mine_{what}": what})
    backend = get_backend(f"mine_{what}")
    assert backend.name == f"mine_{what}"
    assert isinstance(backend, Backend)
    assert use_backend_name(f"mine_{what}") == backend.name
    assert [status.usable for status in backend_table() if status.name == backend.name] == [True]
    with pytest.raises(
        UnknownBackendError, match=f"array_api_strict, mine_{what}; usable here: .*, mine_{what}$"
    ):
        get_backend("nosuch")


def use_backend_name(spec: str) -> str:
    with use_backend(spec) as (backend, _):
        return backend.name


def test_arrays_of_an_added_backend_are_found_without_naming_it(install: Callable[..., None]) -> None:
    install("good_owner", GOOD.format(name="owner"), owner="Homemade")
    module = __import__("good_owner")
    assert backend_of(module.Array()).name == "owner"


class Stranger:
    pass


def test_a_broken_package_fails_only_when_asked_for(install: Callable[..., None]) -> None:
    install("bad_import", "import nosuchmodule", broken="thing")
    assert get_backend("numpy").name == "numpy"
    with pytest.raises(BackendError) as caught:
        get_backend("broken")
    text = str(caught.value)
    assert text.startswith(
        "get_backend('broken'): backend 'broken': entry point 'bad_import:thing' of bad_import 1.5 could not "
        "be loaded: ModuleNotFoundError: No module named 'nosuchmodule'. "
        "Update or uninstall the package that provides it"
    )
    [status] = [status for status in backend_table() if status.name == "broken"]
    assert not status.usable
    assert "No module named 'nosuchmodule'" in status.note
    with pytest.raises(
        TypeError, match=r"got .*Stranger; .*entry point 'bad_import:thing' of bad_import 1\.5"
    ):
        backend_of(Stranger())


@pytest.mark.parametrize(
    "source, reason",
    [
        (
            "class thing:\n    name = 'broken'",
            "TypeError: thing lacks added, capabilities, compiled, device, device_of, ",
        ),
        ("thing = 3", "TypeError: int lacks added, capabilities, "),
        (GOOD.format(name="other") + "thing = Homemade", "ValueError: its backend calls itself 'other'"),
        ("def thing():\n    raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("", "AttributeError: module "),
    ],
)
def test_what_is_wrong_with_a_broken_package_is_said(
    install: Callable[..., None], source: str, reason: str, request: pytest.FixtureRequest
) -> None:
    module = f"bad_{request.node.callspec.indices['source']}"
    install(module, source, broken="thing")
    with pytest.raises(BackendError) as caught:
        get_backend("broken")
    assert f"could not be loaded: {reason}" in str(caught.value)


def test_checking_an_added_backend_does_not_import_its_library(install: Callable[..., None]) -> None:
    source = GOOD.format(name="lazy") + "    \nclass Lazy(Homemade):\n    xp = property(lambda self: 1 / 0)\n"
    install("good_lazy", source, lazy="Lazy")
    assert get_backend("lazy").name == "lazy"


def test_nobody_takes_a_name_of_ours(install: Callable[..., None]) -> None:
    install("thief", GOOD.format(name="torch"), torch="Homemade")
    text = (
        r"entry point 'thief:Homemade' of thief 1\.5 claims the backend name 'torch', which is bpkit's own; "
        "it is ignored"
    )
    with pytest.warns(UserWarning, match=text) as caught:
        _loading.names()
    _loading.names()
    assert len(caught) == 1
    assert type(_loading.load("torch")).__module__ == "bpkit.backends.torch_backend"


def test_of_two_packages_with_one_name_the_first_stays(install: Callable[..., None]) -> None:
    install("twin_a", GOOD.format(name="twin"), twin="Homemade")
    install("twin_b", GOOD.format(name="twin"), twin="make")
    with pytest.warns(
        UserWarning, match=r"claims the backend name 'twin', which belongs to entry point 'twin_"
    ):
        assert _loading.names().count("twin") == 1
    assert get_backend("twin").name == "twin"
