"""The namespace as an object: what ``x.__array_namespace__()`` returns, and what ``bpkit.xp`` is.

Code written for the standard takes a namespace as a module-like value, keeps it in dictionaries, compares it
by identity or name, and asks it for functions, dtypes and constants. So there is one object per backend and
one that follows the current selection.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from bpkit import namespace, registry
from bpkit._protocol import Backend
from bpkit.constants import constant_array
from bpkit.errors import UnknownNameError
from bpkit.namespace import dtypes, fft, linalg, special
from bpkit.namespace.names import advice
from bpkit.trace import tracing

__all__ = ["Namespace", "namespace_of", "xp"]

API_VERSION = "2025.12"
CHAPTERS = {"fft": fft, "linalg": linalg, "special": special}
"""The extensions, each a module of its own."""
CREATION = frozenset(
    {
        *("arange", "asarray", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros"),
        *("empty_like", "full_like", "ones_like", "zeros_like"),
        *("fftfreq", "rfftfreq"),
    }
)
"""The functions that make arrays; most have no array argument to tell them the library."""
QUESTIONS = frozenset({"can_cast", "result_type"})
"""Those about dtypes, which may be given Python's numbers only."""
_NEW = (list, tuple, int, float, complex)


class Namespace(ModuleType):
    """The standard's functions, differentiable, with the dtypes of one library.

    Parameters
    ----------
    name : str
        Of the module.
    backend : Backend, optional
        Where its creation functions make arrays, whatever the current selection; None follows the selection.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.__name__, xp.__array_api_version__
    ('bpkit.xp', '2025.12')
    >>> namespace_of(registry.get_backend("numpy")).__name__
    'bpkit.xp.numpy'
    """

    __array_api_version__ = API_VERSION

    def __init__(self, name: str, backend: Backend | None = None) -> None:
        super().__init__(name, f"The array-API namespace of {'bpkit' if backend is None else backend.name}.")
        self.__all__ = [*namespace.__all__, *CHAPTERS]
        self._backend = backend
        for exported in namespace.__all__:
            setattr(self, exported, _bound_to(backend, getattr(namespace, exported)))
        for chapter, functions in CHAPTERS.items():
            extension = _Extension(f"{name}.{chapter}", functions.__doc__)
            extension.__all__ = list(functions.__all__)
            for exported in functions.__all__:
                setattr(extension, exported, _bound_to(backend, getattr(functions, exported)))
            setattr(self, chapter, extension)

    def __array_namespace_info__(self) -> Any:
        """What the library says about its devices and dtypes."""
        return self._library().xp.__array_namespace_info__()

    def _library(self) -> Backend:
        return registry.current().backend if self._backend is None else self._backend

    def __getattr__(self, name: str) -> Any:
        if name in dtypes.NAMES:
            library = self._library().xp
            if hasattr(library, name):
                return getattr(library, name)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise UnknownNameError(
            f"{self.__name__}.{name} is not in bpkit's namespace: the array-API standard {API_VERSION} and a "
            f"few extras{advice(name, _everything())}"
        )

    def __dir__(self) -> list[str]:
        library = self._library().xp
        here = [name for name in dtypes.NAMES if hasattr(library, name)]
        return sorted(
            [*namespace.__all__, *here, *CHAPTERS, "__array_api_version__", "__array_namespace_info__"]
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _restore, (None if self._backend is None else self._backend.name,)


class _Extension(ModuleType):
    """One of :data:`CHAPTERS` as a namespace has it."""

    __all__: list[str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise UnknownNameError(f"{self.__name__}.{name} does not exist{advice(name, _everything())}")


def _everything() -> list[str]:
    """The functions of the namespace and of its extensions, those with the name of their module."""
    inside = [f"{chapter}.{name}" for chapter, functions in CHAPTERS.items() for name in functions.__all__]
    main = set(namespace.__all__)
    return [*namespace.__all__, *(name for name in inside if name.partition(".")[2] not in main)]


def _bound_to(backend: Backend | None, value: Any) -> Any:
    """A function as a namespace has it: what makes arrays makes them with its backend, and traced.

    A traced array can take up, by assignment, values that depend on an input; the library's own cannot.
    """
    name = getattr(value, "__name__", "")
    if name not in CREATION and (backend is None or name not in QUESTIONS):
        return value

    @functools.wraps(value)
    def created(*args: Any, **kwargs: Any) -> Any:
        if backend is None or registry.current().backend is backend:
            made = value(*args, **kwargs)
        else:
            with registry.use_backend(backend.name):
                made = value(*args, **kwargs)
        if name in QUESTIONS or (backend is None and not tracing()):
            return made
        # What is made of lists and numbers is new; of anything else, it may be somebody's memory.
        new = name not in ("asarray", "from_dlpack") or isinstance(args[0], _NEW)
        return constant_array(made, borrowed=not new)

    return created


_bound: dict[str, Namespace] = {}


def namespace_of(backend: Backend) -> Namespace:
    """The one namespace of a backend, made on first use.

    Parameters
    ----------
    backend : Backend

    Returns
    -------
    Namespace
        Its creation functions use this backend, whatever is selected.

    Examples
    --------
    >>> numpy = registry.get_backend("numpy")
    >>> namespace_of(numpy) is namespace_of(numpy)
    True
    """
    try:
        return _bound[backend.name]
    except KeyError:
        return _bound.setdefault(backend.name, Namespace(f"bpkit.xp.{backend.name}", backend))


def _restore(name: str | None) -> Namespace:
    return xp if name is None else namespace_of(registry.get_backend(name))


xp = Namespace("bpkit.xp")
"""The namespace whose creation functions and dtypes follow the current selection."""
