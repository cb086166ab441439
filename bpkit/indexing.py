"""Reading ``x[key]`` where arrays inside the key may be traced, and the transpose that adds back to those places."""

from typing import Any

from bpkit.evaluate import definition
from bpkit.registry import backend_of
from bpkit.trace import Traced, call

__all__ = ["getitem", "scatter_add"]

_ARRAY = object()
"""Stands for an array in a key whose arrays are passed as operands."""


def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` for integers, slices, ellipsis, None, boolean masks and integer arrays."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [part for part in parts if _is_array(part)]
    places = tuple([_ARRAY if _is_array(part) else part for part in parts])
    return call("getitem", x, *arrays, key=places)


def scatter_add(g: Any, *indices: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `g` added at `key`; repeated indices accumulate. The transpose of :func:`getitem`."""
    return call("scatter_add", g, *indices, key=key, shape=shape)


def _is_array(part: Any) -> bool:
    return isinstance(part, Traced) or hasattr(part, "shape")


def _fill(key: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    waiting = iter(arrays)
    return tuple([next(waiting) if part is _ARRAY else part for part in key])


@definition("getitem")
def _getitem(xp: Any, x: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return x[_fill(key, indices)]


@definition("scatter_add")
def _scatter_add(xp: Any, g: Any, *indices: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    zeros = xp.zeros(shape, dtype=g.dtype, device=g.device)
    return backend_of(g).index_add(zeros, _fill(key, indices), g)
