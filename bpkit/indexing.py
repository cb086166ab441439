"""``x[key]``, its transpose and ``x[key] = value``, where arrays inside the key may be traced."""

from typing import Any

from bpkit.evaluate import definition
from bpkit.kinds import is_inexact
from bpkit.registry import backend_of
from bpkit.trace import Traced, call

__all__ = ["fill", "getitem", "scatter_add", "setitem"]

_ARRAY = "an array"
"""Stands for an array in a key whose arrays are passed as operands."""


def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` for integers, slices, ellipsis, None, boolean masks and integer arrays."""
    places, arrays = _split(key)
    return call("getitem", x, *arrays, key=places)


def scatter_add(updates: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `updates` added at `key`; repeated indices accumulate.

    The transpose of :func:`getitem`.
    """
    places, arrays = _split(key)
    return call("scatter_add", updates, *arrays, key=places, shape=shape)


def setitem(x: Any, key: Any, value: Any) -> Any:
    """A copy of `x` with `value` at `key`, converted to the dtype of `x`."""
    places, arrays = _split(key)
    if _is_array(value) and not is_inexact(x) and is_inexact(value):
        # As in the library, decimals are cut off; nothing flows through integers.
        value = call("astype", value, dtype=x.dtype, copy=True, device=None)
    return call("setitem", x, value, *arrays, key=places)


def _split(key: Any) -> tuple[tuple[Any, ...], list[Any]]:
    # A list is copied, since the user may change it before the transpose reads it.
    parts = [
        list(part) if isinstance(part, list) else part for part in (key if isinstance(key, tuple) else (key,))
    ]
    arrays = [part for part in parts if _is_array(part)]
    return tuple([_ARRAY if _is_array(part) else part for part in parts]), arrays


def fill(places: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key again, from its fixed parts and its arrays."""
    waiting = iter(arrays)
    return tuple([next(waiting) if part is _ARRAY else part for part in places])


def _is_array(part: Any) -> bool:
    return isinstance(part, Traced) or hasattr(part, "shape")


@definition("getitem")
def _getitem(xp: Any, x: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return x[fill(key, indices)]


@definition("setitem")
def _setitem(xp: Any, x: Any, value: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return backend_of(x).index_set(x, fill(key, indices), value)


@definition("scatter_add")
def _scatter_add(xp: Any, updates: Any, *indices: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    # Arrays that JAX traces have no device.
    zeros = xp.zeros(shape, dtype=updates.dtype, device=getattr(updates, "device", None))
    return backend_of(updates).index_add(zeros, fill(key, indices), updates)
