"""What a function name means when none of its operands is traced: the library's own function.

:func:`evaluate` finds the library that owns the operands and runs, in this order, the backend's kernel of
that name, the definition registered here, or the function of that name in the library's array-API
namespace. A special function is the library's own, the definition registered here, or SciPy's.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from bpkit._protocol import Backend
from bpkit.errors import NoSuchFunctionError
from bpkit.registry import backend_of, by_type, common_backend, current

__all__ = [
    "Definition",
    "definition",
    "definition_of",
    "definitions",
    "evaluate",
    "function_of",
    "on_scalars",
    "without_numpy_scalars",
]

Definition = Callable[..., Any]

_definitions: dict[str, Definition] = {}
definitions: Mapping[str, Definition] = MappingProxyType(_definitions)
"""What names mean in standard functions, also where a library has a kernel of its own."""
_functions: dict[Backend, dict[str, Callable[..., Any]]] = {}


def definition(name: str) -> Callable[[Definition], Definition]:
    """Register what `name` means in standard functions, as ``f(xp, *operands, **static)``.

    Needed where the standard's signature is not the engine's (operands positional, the rest by keyword) or
    where the standard has no such function; `xp` is the library's own namespace.
    """

    def register(function: Definition) -> Definition:
        if name in _definitions:
            raise ValueError(f"{name!r} already has a definition")
        _definitions[name] = function
        return function

    return register


def definition_of(backend: Backend, name: str) -> Definition | None:
    """The definition of a name in standard functions, if that is what it means on this library."""
    function = function_of(backend, name)
    made = isinstance(function, partial) and function.func is _definitions.get(name)
    return _definitions[name] if made else None


def evaluate(name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Run `name` on raw arrays of one library and Python scalars.

    Raises
    ------
    MixedBackendsError
        If the operands belong to two libraries.
    """
    backend = None
    for x in operands:
        owner = by_type[type(x)]
        if owner is not backend and owner is not None:
            if backend is not None:
                plain = without_numpy_scalars(operands)
                common_backend(plain, name)
                return evaluate(name, plain, static)
            backend = owner
    if backend is None:
        backend = current().backend
    try:
        function = _functions[backend][name]
    except KeyError:
        function = function_of(backend, name)
    return function(*operands, **static)


@cache
def on_scalars(name: str) -> Callable[..., Any]:
    """The function `name` of real scalars, which are NumPy's whatever the library."""
    return function_of(backend_of(np.float64(0)), name)


def without_numpy_scalars(operands: Sequence[Any]) -> tuple[Any, ...]:
    """Operands with Python's numbers for NumPy's scalars, as another library's arrays take them."""
    return tuple([x.item() if isinstance(x, np.generic) else x for x in operands])


def functions_of(backend: Backend) -> dict[str, Callable[..., Any]]:
    """What names mean on one library, as far as they were asked for."""
    return _functions.setdefault(backend, {})


def function_of(backend: Backend, name: str) -> Callable[..., Any]:
    """What a name means on the raw arrays of one library: operands positional, the rest by keyword."""
    function = functions_of(backend)[name] = _found(backend, name, backend.kernels.get(name))
    return function


def without_kernel(backend: Backend, name: str) -> Callable[..., Any]:
    """What a name would mean if the backend had no kernel of that name."""
    return _found(backend, name, None)


def _found(backend: Backend, name: str, function: Callable[..., Any] | None) -> Callable[..., Any]:
    special = name.removeprefix("special.") if name.startswith("special.") else None
    if function is None and special is not None:
        function = backend.special(special)
    if name in _definitions:
        defined = partial(_definitions[name], backend.xp)
        if function is None:
            function = defined
        elif getattr(function, "declines", False):
            function = _unless_declined(function, defined)
    if function is None and special is not None:
        function = backend.special_on_host(special)
    if function is None:
        function = backend.xp
        for part in name.split("."):
            function = getattr(function, part, None)
        if function is None:
            raise NoSuchFunctionError(
                f"{name}: {backend.name} {backend.version} has no such function. Run this part on another "
                f"library: xp.asarray(x) under bpkit.use_backend(...) moves an array there"
            )
    return function


def _unless_declined(kernel: Callable[..., Any], defined: Callable[..., Any]) -> Callable[..., Any]:
    def function(*operands: Any, **static: Any) -> Any:
        out = kernel(*operands, **static)
        return defined(*operands, **static) if out is NotImplemented else out

    return function
