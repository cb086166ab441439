"""Indexing, where the array, the indices or what is written may differ between the examples."""

from typing import Any, NamedTuple

from bpkit._protocol import Capability
from bpkit.batching.registry import (
    Operand,
    after_batch,
    aligned,
    batching,
    each_by_itself,
    in_front,
    refused,
    reshaped,
    transposed,
)
from bpkit.indexing import ARRAY
from bpkit.kinds import Kind, kind_of, raw
from bpkit.registry import backend_of
from bpkit.trace import call

Key = tuple[Any, ...]


class _Plan(NamedTuple):
    """How a batch is indexed.

    Attributes
    ----------
    order : tuple of int
        The axes of an example, in the order in which `key` is for them.
    key, indices
        Of ``call("getitem", …)`` for a batch in that order of axes.
    n_axes : int
        The number of axes of an example of the result.
    result : tuple of int
        Where each axis of an example of the result stands in what that key gives.
    """

    order: tuple[int, ...]
    key: Key
    indices: list[Any]
    n_axes: int
    result: tuple[int, ...]


def _plan(size: int, x: Operand, key: Key, indices: tuple[Operand, ...], on_batch: bool) -> _Plan | None:
    """How to index a batch with a key for examples of the shape of `x`; None if only one by one.

    Parameters
    ----------
    on_batch : bool
        Whether what is indexed has a batch axis; if not, the indices have one.
    """
    n_axes = len(x.shape)
    parts, arrays = _expanded(n_axes, key, indices)
    if parts is None:
        return None
    kept = len(parts) - sum(isinstance(part, int) for part in parts)
    if not arrays:
        return _Plan(tuple(range(n_axes)), (slice(None), *parts), [], kept, tuple(range(kept)))
    # Integers beside arrays are indices too, and what is indexed so must be neighbours: where the axes of the
    # indices go if they are not is not the same in all libraries.
    picked = [i for i, part in enumerate(parts) if part is ARRAY or isinstance(part, int)]
    first, last = picked[0], picked[-1] + 1
    if len(picked) != last - first or None in parts:
        return None
    n_index = max(len(index.shape) for index in arrays)
    before, after = first, n_axes - last
    mixed = Capability.MIXED_INDEXING in backend_of(raw(arrays[0].value)).capabilities
    if on_batch and mixed and not any(index.batched for index in arrays):
        kept = before + n_index + after
        values = [index.value for index in arrays]
        return _Plan(tuple(range(n_axes)), (slice(None), *parts), values, kept, tuple(range(kept)))
    values = aligned(tuple(arrays))
    if on_batch:
        library = backend_of(raw(values[0]))
        numbers = library.xp.arange(size, device=getattr(raw(values[0]), "device", None))
        values.insert(0, library.xp.reshape(numbers, (size, *(1,) * n_index)))
    order = (*range(first, last), *range(first), *range(last, n_axes))
    new = (*[ARRAY] * on_batch, *parts[first:last], *parts[:first], *parts[last:])
    result = (
        *range(n_index, n_index + before),
        *range(n_index),
        *range(n_index + before, n_index + before + after),
    )
    return _Plan(order, new, values, len(result), result)


def _expanded(n_axes: int, key: Key, indices: tuple[Operand, ...]) -> tuple[Key | None, list[Operand]]:
    """A key with a part for every axis, and its arrays of integers; None if it has parts of other kinds."""
    waiting = iter(indices)
    parts: list[Any] = []
    arrays: list[Operand] = []
    for part in key:
        index = next(waiting) if part is ARRAY else None
        if index is None:
            parts.append(part)
        elif kind_of(index.value) is not Kind.BOOLEAN:
            parts.append(ARRAY)
            arrays.append(index)
        elif index.batched or not index.shape:
            return None, []
        else:
            places = call("nonzero", index.value)
            parts += [ARRAY] * len(places)
            arrays += [Operand(place, False) for place in places]
    if any(isinstance(part, list | bool) for part in parts):
        return None, []
    missing = n_axes - sum(part is not None and part is not ... for part in parts)
    gap = parts.index(...) if ... in parts else len(parts)
    parts[gap : gap + 1] = [slice(None)] * missing
    return tuple(parts), arrays


def _shuffled(x: Any, plan: _Plan, batched: bool) -> Any:
    """The batch with its axes in the order of the plan."""
    order = tuple([axis + batched for axis in plan.order])
    return transposed(x, (0, *order) if batched else order)


def _restored(x: Any, order: tuple[int, ...]) -> Any:
    """The batch with the axes of examples back where they were before `order`."""
    return transposed(x, (0, *[order.index(axis) + 1 for axis in range(len(order))]))


@batching("getitem")
def _getitem(name: str, size: int, x: Operand, *indices: Operand, key: Key) -> Any:
    plan = _plan(size, x, key, indices, x.batched)
    if plan is None:
        _check_masks(key, indices)
        return each_by_itself(name, size, x, *indices, key=key)
    found = call("getitem", _shuffled(x.value, plan, x.batched), *plan.indices, key=plan.key)
    return transposed(found, (0, *[axis + 1 for axis in plan.result]))


@batching("setitem", "index_add")
def _write(name: str, size: int, x: Operand, value: Operand, *indices: Operand, key: Key) -> Any:
    x = Operand(in_front(size, x), True)
    if name == "setitem" and _is_mask(x, key, indices) and not value.shape:
        return _masked(x, value, indices[0])
    plan = _plan(size, x, key, indices, True)
    if plan is None or not _takes_arrays(name, indices):
        _check_masks(key, indices)
        return each_by_itself(name, size, x, value, *indices, key=key)
    written = call(name, _shuffled(x.value, plan, True), _as_found(value, plan), *plan.indices, key=plan.key)
    return _restored(written, plan.order)


def _takes_arrays(name: str, indices: tuple[Operand, ...]) -> bool:
    """Whether what a library writes to by a mask it can also write to by the places of that mask."""
    masks = name == "setitem" and any(kind_of(index.value) is Kind.BOOLEAN for index in indices)
    return not masks or Capability.MIXED_INDEXING in backend_of(raw(indices[0].value)).capabilities


def _is_mask(x: Operand, key: Key, indices: tuple[Operand, ...]) -> bool:
    """Whether a key is one mask for all of an array."""
    if len(indices) != 1 or len(key) != 1 or indices[0].shape != x.shape:
        return False
    return kind_of(indices[0].value) is Kind.BOOLEAN


def _masked(x: Operand, value: Operand, mask: Operand) -> Any:
    """``x[mask] = number``, in the dtype of `x`."""
    chosen, old, new = aligned((mask, x, value))
    if hasattr(new, "shape"):
        new = call("astype", new, dtype=old.dtype, copy=False, device=None)
    return call("where", chosen, new, old)


@batching("scatter_add")
def _scatter_add(
    name: str, size: int, updates: Operand, *indices: Operand, key: Key, shape: tuple[int, ...]
) -> Any:
    plan = _plan(size, Operand(_Shaped((size, *shape)), True), key, indices, True)
    if plan is None:
        _check_masks(key, indices)
        return each_by_itself(name, size, updates, *indices, key=key, shape=shape)
    lengths = (size, *[shape[axis] for axis in plan.order])
    given = _as_found(Operand(in_front(size, updates), True), plan)
    return _restored(call(name, given, *plan.indices, key=plan.key, shape=lengths), plan.order)


class _Shaped(NamedTuple):
    """What a plan needs to know of an array that does not exist yet."""

    shape: tuple[int, ...]


def _as_found(value: Operand, plan: _Plan) -> Any:
    """What is written, with its axes as the key of the plan finds them."""
    if not value.shape and not value.batched:
        return value.value
    # More axes than are written to are of length 1.
    shape = (*(1,) * (plan.n_axes - len(value.shape)), *value.shape[max(0, len(value.shape) - plan.n_axes) :])
    spread = reshaped(value.value, (value.value.shape[0] if value.batched else 1, *shape))
    return transposed(spread, (0, *[plan.result.index(axis) + 1 for axis in range(plan.n_axes)]))


def _check_masks(key: Key, indices: tuple[Operand, ...]) -> None:
    for index in indices:
        if index.batched and kind_of(index.value) is Kind.BOOLEAN:
            refused(
                "x[mask]",
                "the mask differs between the examples, and so would the shape of the result",
                "Write xp.where(mask, x, y), which keeps the shape",
            )


# Along one axis.


@batching("take")
def _take(name: str, size: int, x: Operand, indices: Operand, *, axis: int | None) -> Any:
    place = 0 if axis is None else after_batch(axis, len(x.shape)) - 1
    if x.batched and not indices.batched:
        return call("take", x.value, indices.value, axis=place + 1)
    if not x.batched:
        found = call("take", x.value, reshaped(indices.value, (-1,)), axis=place)
        shape = (*x.shape[:place], size, *indices.shape, *x.shape[place + 1 :])
        n_axes = len(shape)
        return transposed(reshaped(found, shape), (place, *[i for i in range(n_axes) if i != place]))
    key = (*(slice(None),) * place, ARRAY)
    return _getitem("getitem", size, x, indices, key=key)


@batching("take_along_axis")
def _take_along_axis(name: str, size: int, x: Operand, indices: Operand, *, axis: int) -> Any:
    return call(name, in_front(size, x), in_front(size, indices), axis=after_batch(axis, len(x.shape)))


@batching("add_along_axis")
def _add_along_axis(
    name: str, size: int, updates: Operand, indices: Operand, *, shape: tuple[int, ...], axis: int
) -> Any:
    return call(
        name,
        in_front(size, updates),
        in_front(size, indices),
        shape=(size, *shape),
        axis=after_batch(axis, len(shape)),
    )
