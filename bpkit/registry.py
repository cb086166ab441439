"""Which array library an array belongs to, and which one new arrays are made with.

A backend is loaded by name on first use, and an array's library is found among those already imported, so
nothing here imports an array library that the program does not use.

Packages add backends of their own through the entry-point group ``"bpkit.backends"``: an entry's name is the
backend's, and it points at an object that satisfies :class:`bpkit._protocol.Backend`, or at a callable
without arguments that makes one.
"""

import os
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from bpkit._foreign import instead
from bpkit._loading import BUILTIN, ENTRY_POINT_GROUP, find, load, names, reworded
from bpkit._messages import described
from bpkit._protocol import Backend
from bpkit.errors import BackendError, MixedBackendsError

__all__ = [
    "BUILTIN",
    "ENTRY_POINT_GROUP",
    "ENVIRONMENT_VARIABLE",
    "BackendStatus",
    "Selection",
    "backend_names",
    "backend_of",
    "backend_table",
    "by_type",
    "common_backend",
    "current",
    "get_backend",
    "use_backend",
]

ENVIRONMENT_VARIABLE = "BPKIT_BACKEND"
"""Which backend is chosen where no :func:`use_backend` says it, with a device after a colon if need be."""
DEFAULT = "numpy"


class Selection(NamedTuple):
    """Where new arrays are made.

    Attributes
    ----------
    backend : Backend
        The library.
    device : object or None
        The library's own device object, as its creation functions take it; None is the library's default.
    """

    backend: Backend
    device: Any = None


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """One row of :func:`backend_table`.

    Attributes
    ----------
    name : str
        What ``use_backend`` and ``BPKIT_BACKEND`` call it.
    usable : bool
        Whether it works here.
    version : str or None
        The installed version of the library.
    devices : tuple of str
        The devices usable here, the default one first.
    dtypes : tuple of str
        The standard's dtypes that the library has here.
    note : str
        Why it is not usable and what to do about it; empty if it is.
    """

    name: str
    usable: bool
    version: str | None = None
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    note: str = ""


def get_backend(name: str) -> Backend:
    """The backend with this name, loaded on first use.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"jax"``, ``"torch"``, ``"cupy"``, ``"array_api_strict"`` or a name that an installed
        package provides; without a device.

    Returns
    -------
    Backend

    Raises
    ------
    UnknownBackendError
        If no backend has this name.
    BackendNotInstalledError
        If its library is missing; the message has the command that installs it.
    DeviceNotFoundError
        If the library cannot do anything here, as CuPy without a GPU.
    BackendError
        If the package that provides it is broken.

    Examples
    --------
    >>> get_backend("numpy").devices()
    ('cpu',)
    """
    return find(name, f"get_backend({name!r})")


# Finding an array's library.


class _ByType(dict[type, Backend | None]):
    """Owners by exact type, looked up on first sight of a type."""

    def __missing__(self, cls: type) -> Backend | None:
        owner = _find_owner(cls)
        self[cls] = owner
        return owner


by_type: dict[type, Backend | None] = _ByType(dict.fromkeys((bool, int, float, complex, NoneType)))
"""The backend of a type of array; None for Python's own scalars and for None.

``by_type[type(x)]`` asks the libraries on first sight of a type and remembers the answer; it raises
:class:`TypeError` for a type that nobody owns.
"""


def _find_owner(cls: type) -> Backend | None:
    for name in BUILTIN:
        backend = load(name)
        if backend.owns(cls):
            return backend
    if issubclass(cls, bool | int | float | complex):
        return None
    failures = []
    if cls.__module__ != "builtins":
        for name in [name for name in names() if name not in BUILTIN]:
            try:
                backend = load(name)
            except BackendError as error:
                failures.append(str(error))
                continue
            if backend.owns(cls):
                return backend
    raise TypeError("; ".join([_not_an_array(cls), *failures]))


def _not_an_array(cls: type) -> str:
    written = _written(cls)
    if issubclass(cls, list | tuple):
        return f"expected an array, got a {written}; make an array of it first: bpkit.xp.asarray(...)"
    return (
        f"expected an array of one of the libraries {', '.join(names())}, got {written}; "
        f"{instead(cls) or 'bpkit.xp.asarray(...) makes an array'}"
    )


def _written(cls: type) -> str:
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def backend_of(x: Any) -> Backend:
    """The backend whose array this is.

    Parameters
    ----------
    x : array
        An array of any library bpkit knows, of any shape and dtype, or a NumPy scalar.

    Returns
    -------
    Backend

    Raises
    ------
    TypeError
        If `x` is no array, or one that does not follow the standard (masked arrays, ``numpy.matrix``).

    Examples
    --------
    >>> backend_of(np.zeros(3)).name
    'numpy'
    """
    owner = by_type[type(x)]
    if owner is None:
        raise TypeError(
            f"expected an array, got the Python value {x!r}; make an array of it first: bpkit.xp.asarray(...)"
        )
    return owner


def common_backend(operands: Iterable[Any], called: str = "common_backend") -> Backend:
    """The one backend of several operands.

    Parameters
    ----------
    operands : iterable
        Arrays, Python scalars and None.
    called : str
        The function they are operands of, for the error.

    Returns
    -------
    Backend
        That of the arrays; the current one if there is none among the operands.

    Raises
    ------
    MixedBackendsError
        If two libraries meet.
    TypeError
        If an operand is no array and no scalar.

    Examples
    --------
    >>> common_backend([np.zeros(3), 2.0]).name
    'numpy'
    """
    first: Any = None
    owner: Backend | None = None
    for x in operands:
        backend = by_type[type(x)]
        if backend is None or backend is owner:
            continue
        if owner is not None:
            raise _mixed(called, (first, owner), (x, backend))
        first, owner = x, backend
    return current().backend if owner is None else owner


def _mixed(called: str, *met: tuple[Any, Backend]) -> MixedBackendsError:
    (first, one), (second, other) = met
    if isinstance(first, np.ndarray | np.generic) or isinstance(second, np.ndarray | np.generic):
        host, target = (one, other) if isinstance(first, np.ndarray | np.generic) else (other, one)
        advice = (
            f"Move the {host.name} array to {target.name}: "
            f'with bpkit.use_backend("{target.name}"): x = bpkit.xp.asarray(x)'
        )
    else:
        advice = (
            f"Move one to the other's library through NumPy: "
            f'bpkit.registry.get_backend("{one.name}").from_host('
            f'bpkit.registry.get_backend("{other.name}").to_host(x))'
        )
    return MixedBackendsError(
        f"{called}: arrays of two libraries met, {_written(type(first))} of {one.name} and "
        f"{_written(type(second))} of {other.name} ({described(first)} and {described(second)}); all must "
        f"come from one. {advice}"
    )


# Choosing where new arrays are made.

_override: ContextVar[Selection | None] = ContextVar("bpkit_backend", default=None)
_environment: tuple[str, Selection] | None = None


def _select(spec: str, called: str) -> Selection:
    name, colon, device = spec.partition(":")
    backend = find(name, called)
    try:
        if colon:
            return Selection(backend, backend.device(device))
        backend.xp  # noqa: B018  a library that cannot be imported is reported here, not at the first array
        return Selection(backend)
    except BackendError as error:
        raise reworded(error, f"{called}: {error}") from error.__cause__


def current() -> Selection:
    """The backend and device with which new arrays are made.

    In this order: the innermost :class:`use_backend` of this thread, the environment variable
    ``BPKIT_BACKEND`` (``name`` or ``name:device``), NumPy.

    Returns
    -------
    Selection
        ``(backend, device)``; device is None where none was named.

    Raises
    ------
    BackendError
        If ``BPKIT_BACKEND`` names a backend or device that cannot be used here.

    Examples
    --------
    >>> with use_backend("numpy:cpu"):
    ...     backend, device = current()
    >>> backend.name, device
    ('numpy', 'cpu')
    """
    chosen = _override.get()
    if chosen is not None:
        return chosen
    global _environment
    spec = os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT
    if _environment is None or _environment[0] != spec:
        _environment = (spec, _select(spec, f"{ENVIRONMENT_VARIABLE}={spec}"))
    return _environment[1]


class use_backend:
    """Make new arrays with this backend: from here on, or within a ``with`` block.

    A plain call, ``use_backend("torch")``, holds until the next; ``with use_backend("torch"):`` until the
    block ends, by an exception too, and then restores what was before.

    Holds for the current thread (more exactly: the current :mod:`contextvars` context) only. It decides where
    arrays are *made*; an array that is passed in always keeps its own library.

    Parameters
    ----------
    spec : str
        ``"name"`` or ``"name:device"``, for instance ``"torch"``, ``"torch:cuda:1"``, ``"cupy:0"``.

    Raises
    ------
    UnknownBackendError, BackendNotInstalledError, DeviceNotFoundError
        At once, if it cannot be used here.

    Examples
    --------
    >>> with use_backend("numpy:cpu") as selection:
    ...     selection.device
    'cpu'
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._selection = _select(spec, f"use_backend({spec!r})")
        self._before = _override.get()
        _override.set(self._selection)

    def __enter__(self) -> Selection:
        # Made and entered in one line, it is selected already; entered a second time, it may not be.
        if _override.get() is not self._selection:
            self._before = _override.get()
            _override.set(self._selection)
        return self._selection

    def __exit__(self, *exception: object) -> None:
        _override.set(self._before)

    def __repr__(self) -> str:
        return f"use_backend({self._spec!r})"


# Reporting.


def backend_names() -> list[str]:
    """Every backend's name, the built-in ones first, whether it can be used here or not.

    Examples
    --------
    >>> backend_names()[:3]
    ['numpy', 'jax', 'torch']
    """
    return names()


def backend_table() -> list[BackendStatus]:
    """What every backend can do here, the built-in ones first; never raises.

    Libraries that are installed are imported to ask them for their devices.

    Examples
    --------
    >>> [status.usable for status in backend_table() if status.name == "numpy"]
    [True]
    """
    return [_status(name) for name in names()]


def _status(name: str) -> BackendStatus:
    try:
        backend = load(name)
        backend.require()
        return BackendStatus(name, True, backend.version, backend.devices(), backend.dtypes())
    except Exception as error:  # noqa: BLE001  the table shows what is broken
        reason = str(error) if isinstance(error, BackendError) else f"{type(error).__name__}: {error}"
        return BackendStatus(name, False, note=reason)
