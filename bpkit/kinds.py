"""Facts about arrays that the engine needs: the kind of a dtype, and whether ``x += y`` changes x itself."""

from enum import IntEnum
from functools import cache, lru_cache
from typing import Any

from bpkit._protocol import Backend, Capability
from bpkit.registry import backend_of, by_type
from bpkit.trace import Traced

__all__ = [
    "SHAPED_BY_VALUES",
    "Kind",
    "device_of",
    "elements_are_views",
    "is_complex",
    "is_inexact",
    "is_mutable",
    "is_real",
    "kind_of",
    "raw",
    "returns_scalars",
]


SHAPED_BY_VALUES = frozenset(
    {"nonzero", "repeated_places", "unique_all", "unique_counts", "unique_inverse", "unique_values"}
)
"""Functions whose result has a shape that depends on values."""


def raw(x: Any) -> Any:
    """The library's own array under every trace; anything else unchanged."""
    while isinstance(x, Traced):
        x = x._value
    return x


def device_of(x: Any) -> Any:
    """The library's device object; None for what has none, as NumPy 2.0's scalars and what JAX traces."""
    return getattr(raw(x), "device", None)


def is_mutable(x: Any) -> bool:
    """Whether ``x += y`` on an array, raw or traced, changes it for everyone who holds it."""
    while isinstance(x, Traced):
        if x._is_scalar:
            return False
        x = x._value
    # NumPy's scalars cannot change, and they are what its functions return in place of 0-d arrays.
    return Capability.IN_PLACE in backend_of(x).capabilities and hasattr(x, "__setitem__")


@cache
def returns_scalars(backend: Backend) -> bool:
    """Whether a library's functions return scalars, which cannot change, where others return 0-d arrays."""
    xp = backend.xp
    return not hasattr(xp.sum(xp.zeros(1)), "__setitem__")


@cache
def elements_are_views(backend: Backend) -> bool:
    """Whether ``x[0]`` of a vector shares memory with it."""
    x = backend.xp.zeros(1)
    return backend.shares_memory(x, x[0])


class Kind(IntEnum):
    """Kinds of dtypes, each of which can hold the numbers of those before it."""

    OTHER = -1
    """Not in the standard: NumPy's objects, strings, dates."""
    BOOLEAN = 0
    INTEGER = 1
    REAL = 2
    COMPLEX = 3


_NAMES = {
    "bool": Kind.BOOLEAN,
    "integral": Kind.INTEGER,
    "real floating": Kind.REAL,
    "complex floating": Kind.COMPLEX,
}


@lru_cache(maxsize=256)
def _kind(cls: type, dtype: Any) -> Kind:
    owner = by_type[cls]
    assert owner is not None
    return next((kind for name, kind in _NAMES.items() if owner.xp.isdtype(dtype, name)), Kind.OTHER)


def kind_of(x: Any) -> Kind:
    """The kind of an array's dtype."""
    while isinstance(x, Traced):
        x = x._value
    return _kind(x.__class__, x.dtype)


def is_real(x: Any) -> bool:
    """Whether an array has a real floating dtype."""
    return kind_of(x) is Kind.REAL


def is_complex(x: Any) -> bool:
    """Whether an array has a complex dtype."""
    return kind_of(x) is Kind.COMPLEX


def is_inexact(x: Any) -> bool:
    """Whether an array has a real floating or complex dtype: the kinds that have derivatives."""
    return kind_of(x) >= Kind.REAL
