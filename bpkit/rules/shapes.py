"""Derivatives of the functions that move, pick, repeat or convert elements: linear, every one."""

from itertools import accumulate
from math import prod
from typing import Any

from bpkit import namespace as xp
from bpkit.indexing import fill, gather, scatter_add
from bpkit.namespace.indexing import add_along_axis
from bpkit.namespace.manipulation import slices
from bpkit.rules.registry import custom, linear, no_gradient
from bpkit.views import inverse_permutation


def _concat_starts(arrays_shape: tuple[tuple[int, ...], ...], axis: int | None) -> tuple[int, ...]:
    """Where each operand begins along the axis."""
    lengths = [prod(shape) if axis is None else shape[axis] for shape in arrays_shape]
    return (0, *accumulate(lengths))


def _concat_part(
    g: Any,
    starts: tuple[int, ...],
    arrays_shape: tuple[tuple[int, ...], ...],
    position: int,
    axis: int | None,
) -> Any:
    """The slice of `g` that came from the operand at `position`."""
    axis = (axis or 0) % len(g.shape)
    part = g[(*(slice(None),) * axis, slice(starts[position], starts[position + 1]), ...)]
    return xp.reshape(part, arrays_shape[position])


def _negated(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple([-s for s in shift]) if isinstance(shift, tuple) else -shift


linear("reshape", x=lambda g, x_shape: xp.reshape(g, x_shape))
linear("permute_dims", x=lambda g, axes: xp.permute_dims(g, inverse_permutation(axes)))
linear("matrix_transpose", x=lambda g: xp.matrix_transpose(g))
linear("broadcast_to", x=lambda g: g)
linear("flip", x=lambda g, axis: xp.flip(g, axis=axis))
linear("roll", x=lambda g, shift, axis: xp.roll(g, _negated(shift), axis=axis))
linear("concat", "*arrays", jointly=True, shared={"starts": _concat_starts}, arrays=_concat_part)
linear("tril", x=lambda g, k: xp.tril(g, k=k))
linear("triu", x=lambda g, k: xp.triu(g, k=k))
linear(
    "astype",
    x=lambda g, home: g if home is None else xp.astype(g, g.dtype, copy=False, device=home),
    shared={"home": lambda x, device: None if device is None else x.device},
)

# Indexing. Where an index repeats, cotangents add up.


def _take_transpose(g: Any, x_shape: tuple[int, ...], indices: Any, axis: int | None) -> Any:
    before = 0 if axis is None else axis % len(x_shape)
    return scatter_add(g, (*(slice(None),) * before, indices), x_shape)


linear("take", "x", "indices", x=_take_transpose)
linear(
    "take_along_axis",
    "x",
    "indices",
    x=lambda g, x_shape, indices, axis: add_along_axis(g, indices, x_shape, axis),
)
linear(
    "add_along_axis",
    "updates",
    "indices",
    updates=lambda g, indices, axis: xp.take_along_axis(g, indices, axis=axis),
)
linear(
    "getitem",
    "x",
    "*indices",
    x=lambda g, x_shape, indices, key: scatter_add(g, fill(key, indices), x_shape),
)
linear(
    "scatter_add",
    "updates",
    "*indices",
    updates=lambda g, indices, key: gather(g, key, indices),
)


def _together(gs: tuple[Any, ...], axis: int) -> Any:
    known = next(g for g in gs if g is not None)
    zeros = xp.zeros_like(known) if any(g is None for g in gs) else None
    return xp.stack([zeros if g is None else g for g in gs], axis=axis)


custom("slices", x=_together, jvp=lambda t, axis: slices(t, axis))

# Order. sort(x) is x read at its argsort, which stays put under a small change of x.


def _sort_transpose(g: Any, x: Any, axis: int, descending: bool, stable: bool) -> Any:
    return add_along_axis(g, xp.argsort(x, axis=axis, descending=descending, stable=stable), g.shape, axis)


def _sort_jvp(t: Any, x: Any, axis: int, descending: bool, stable: bool) -> Any:
    order = xp.argsort(x, axis=axis, descending=descending, stable=stable)
    return xp.take_along_axis(t, order, axis=axis)


custom("sort", x=_sort_transpose, jvp=_sort_jvp)
no_gradient("argsort", "argmax", "argmin", "count_nonzero", "isin", "nonzero", "searchsorted")
no_gradient("repeated_places", "unique_all", "unique_counts", "unique_inverse", "unique_values")
no_gradient("zeros_like", "ones_like", "empty_like", "full_like")
