"""Of which kind an array's dtype is; remembered by dtype, since the engine asks at every call."""

from functools import lru_cache
from typing import Any

from bpkit._protocol import Backend
from bpkit.registry import backend_of
from bpkit.trace import Traced

__all__ = ["is_complex", "is_inexact", "is_real", "raw"]


def raw(x: Any) -> Any:
    """The library's own array under every trace; anything else unchanged."""
    while isinstance(x, Traced):
        x = x._value
    return x


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
