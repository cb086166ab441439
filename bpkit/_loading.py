"""Backends by name: bpkit's own five, and those that packages add through an entry point."""

import difflib
import functools
import importlib
import inspect
import threading
import warnings
from typing import TYPE_CHECKING, Any

from bpkit._protocol import Backend
from bpkit.errors import (
    BackendError,
    BackendNotInstalledError,
    DeviceNotFoundError,
    UnknownBackendError,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BUILTIN", "ENTRY_POINT_GROUP", "find", "load", "names", "reworded"]

BUILTIN = {
    "numpy": "bpkit.backends.numpy_backend:NumpyBackend",
    "jax": "bpkit.backends.jax_backend:JaxBackend",
    "torch": "bpkit.backends.torch_backend:TorchBackend",
    "cupy": "bpkit.backends.cupy_backend:CupyBackend",
    "array_api_strict": "bpkit.backends.strict_backend:StrictBackend",
}
"""The backends of bpkit itself, and where their classes are."""
ENTRY_POINT_GROUP = "bpkit.backends"
"""The group of entry points in which packages name backends of their own."""

_MEMBERS = tuple(
    sorted({*Backend.__annotations__, *(name for name in vars(Backend) if not name.startswith("_"))})
)
_loaded: dict[str, Backend] = {}
_lock = threading.RLock()


def names() -> list[str]:
    """Every backend's name, bpkit's own first."""
    return [*BUILTIN, *third_party()]


@functools.cache
def third_party() -> "dict[str, EntryPoint]":
    """The backends that other packages provide, by name; does not load them."""
    from importlib.metadata import entry_points  # a sixth of the time of `import bpkit`, which needs it not

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in BUILTIN or entry.name in found:
            holder = "is bpkit's own" if entry.name in BUILTIN else f"belongs to {_origin(found[entry.name])}"
            warnings.warn(
                f"{_origin(entry)} claims the backend name {entry.name!r}, which {holder}; it is ignored",
                stacklevel=2,
            )
        else:
            found[entry.name] = entry
    return found


def _origin(entry: "EntryPoint") -> str:
    package = "" if entry.dist is None else f" of {entry.dist.name} {entry.dist.version}"
    return f"entry point {entry.value!r}{package}"


def load(name: str) -> Backend:
    """The one backend object of a known name; its library need not be installed.

    Raises
    ------
    BackendError
        If the package that provides it is broken.
    """
    # Two objects for one library would look like two libraries, so two threads must not both make one.
    with _lock:
        if name not in _loaded:
            _loaded[name] = _load_builtin(name) if name in BUILTIN else _load_third_party(name)
        return _loaded[name]


def _load_builtin(name: str) -> Backend:
    module, _, cls = BUILTIN[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), cls)()
    return backend


def _load_third_party(name: str) -> Backend:
    entry = third_party()[name]
    try:
        made = entry.load()
        if isinstance(made, type) or (_missing(made) and callable(made)):
            made = made()
        if missing := _missing(made):
            raise TypeError(f"{type(made).__name__} lacks {', '.join(missing)} of the Backend protocol")
        if made.name != name:
            raise ValueError(f"its backend calls itself {made.name!r}")
    except Exception as error:
        raise BackendError(
            f"backend {name!r}: {_origin(entry)} could not be loaded: {type(error).__name__}: {error}. "
            "Update or uninstall the package that provides it; if it is your own, docs/adding-a-backend.md "
            "says what a backend has"
        ) from error
    backend: Backend = made
    return backend


def _missing(candidate: Any) -> list[str]:
    # getattr_static, because asking for the property `xp` would import the library.
    absent = object()
    return [name for name in _MEMBERS if inspect.getattr_static(candidate, name, absent) is absent]


def find(name: str, called: str) -> Backend:
    """The backend of a name that a user gave, checked to be usable here.

    Parameters
    ----------
    name : str
    called : str
        What the user wrote, for the error.

    Raises
    ------
    BackendError
        If it is unknown, not installed, broken or has no device; says what is usable here.
    """
    if name not in names():
        close = difflib.get_close_matches(str(name).strip().lower(), names(), n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownBackendError(
            f"{called}: there is no backend {name!r}.{guess} There are {', '.join(names())}; {_usable()}"
        )
    try:
        backend = load(name)
        backend.require()
    except BackendError as error:
        raise reworded(error, f"{called}: {error}. {_usable().capitalize()}") from error.__cause__
    return backend


def _usable() -> str:
    usable = []
    for name in names():
        try:
            load(name).require()
        except Exception:  # noqa: BLE001  asking for it by name says why
            continue
        usable.append(name)
    return f"usable here: {', '.join(usable)}"


def reworded(error: BackendError, text: str) -> BackendError:
    """An error of the same kind with another text; ImportError keeps its text out of reach of ``args``."""
    kinds = (UnknownBackendError, BackendNotInstalledError, DeviceNotFoundError)
    return next((kind for kind in kinds if isinstance(error, kind)), BackendError)(text)
