"""Derivative of ``x[key] = value`` as a function of `x` and `value`: linear in both together."""

from typing import Any

from bpkit import namespace as xp
from bpkit.indexing import fill, getitem, setitem
from bpkit.rules.registry import linear


def _written(g: Any, key: tuple[Any, ...]) -> Any:
    """The cotangents of what was written; 0 where something else was written to the same place later."""
    part = getitem(g, key)
    if not any(hasattr(place, "shape") and not xp.isdtype(place.dtype, "bool") for place in key):
        return part
    # Their sums are in the library's default dtype of integers, which JAX may have at 32 bits only.
    count = xp.ones_like(xp.reshape(part, (-1,)), dtype="int32")
    numbers = xp.reshape(xp.cumulative_sum(count), part.shape)
    last = getitem(setitem(xp.zeros_like(g, dtype=numbers.dtype), key, numbers), key)
    return xp.where(last == numbers, part, xp.zeros_like(part))


def _by_value(g: Any, value_shape: tuple[int, ...], indices: Any, key: Any) -> Any:
    if value_shape == () and len(indices) == len(key) == 1 and xp.isdtype(indices[0].dtype, "bool"):
        # How many were written depends on values, which compilers cannot follow; nor need they.
        mask = xp.reshape(indices[0], indices[0].shape + (1,) * (len(g.shape) - len(indices[0].shape)))
        return xp.where(mask, g, xp.zeros_like(g))
    part = _written(g, fill(key, indices))
    # A value may have more axes than its place, of length 1.
    extra = len(value_shape) - len(part.shape)
    return xp.reshape(part, (1,) * extra + part.shape) if extra > 0 else part


linear(
    "setitem",
    "x",
    "value",
    "*indices",
    jointly=True,
    x=lambda g, indices, key: setitem(g, fill(key, indices), 0),
    value=_by_value,
)
