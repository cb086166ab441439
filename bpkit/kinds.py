"""Facts about arrays that the engine needs: the kind of a dtype, and whether ``x += y`` changes x itself."""

from functools import lru_cache
from typing import Any

from bpkit._protocol import Backend, Capability
from bpkit.registry import backend_of
from bpkit.trace import Traced

__all__ = ["is_complex", "is_inexact", "is_mutable", "is_real", "raw"]


def raw(x: Any) -> Any:
    """The library's own array under every trace; anything else unchanged."""
    while isinstance(x, Traced):
        x = x._value
    return x


def is_mutable(x: Any) -> bool:
    """Whether ``x += y`` on a raw array changes it for everyone who holds it."""
    # NumPy's scalars cannot change, and they are what its functions return in place of 0-d arrays.
    return Capability.IN_PLACE in backend_of(x).capabilities and hasattr(x, "__setitem__")


@lru_cache(maxsize=256)
def _kind(backend: Backend, dtype: Any) -> str:
    for kind in ("real floating", "complex floating"):
        if backend.xp.isdtype(dtype, kind):
            return kind
    return "other"


def _kind_of(x: Any) -> str:
    x = raw(x)
    return _kind(backend_of(x), x.dtype)


def is_real(x: Any) -> bool:
    """Whether an array has a real floating dtype."""
    return _kind_of(x) == "real floating"


def is_complex(x: Any) -> bool:
    """Whether an array has a complex dtype."""
    return _kind_of(x) == "complex floating"


def is_inexact(x: Any) -> bool:
    """Whether an array has a real floating or complex dtype: the kinds that have derivatives."""
    return _kind_of(x) != "other"
