"""Functions that move and repeat elements without looking at them, and those that no batch can take."""

from math import prod
from typing import Any, NoReturn

from bpkit.batching.registry import (
    Operand,
    after_batch,
    batching,
    each_by_itself,
    flat,
    in_front,
    refused,
    reshaped,
    transposed,
)
from bpkit.kinds import SHAPED_BY_VALUES
from bpkit.trace import call


@batching("reshape")
def _reshape(name: str, size: int, x: Operand, *, shape: tuple[int, ...], copy: bool | None) -> Any:
    if -1 in shape and not size:
        # In an empty batch any length would fit: the one that fits an example.
        known = -prod(shape)
        shape = tuple([prod(x.shape) // known if n == -1 and known else n for n in shape])
    return call("reshape", x.value, shape=(size, *shape), copy=copy)


@batching("permute_dims")
def _permute_dims(name: str, size: int, x: Operand, *, axes: tuple[int, ...]) -> Any:
    return transposed(x.value, (0, *[after_batch(axis, len(x.shape)) for axis in axes]))


@batching("slices")
def _slices(name: str, size: int, x: Operand, *, axis: int) -> Any:
    return call("slices", x.value, axis=axis + 1)


@batching("broadcast_to")
def _broadcast_to(name: str, size: int, x: Operand, *, shape: tuple[int, ...]) -> Any:
    missing = len(shape) - len(x.shape)
    return call("broadcast_to", reshaped(x.value, (size, *(1,) * missing, *x.shape)), shape=(size, *shape))


@batching("matrix_transpose", "tril", "triu")
def _matrices(name: str, size: int, x: Operand, **static: Any) -> Any:
    if len(x.shape) < 2:
        refused(name, f"each example has {len(x.shape)} axes", "It needs at least two")
    return call(name, x.value, **static)


@batching("concat")
def _concat(name: str, size: int, *arrays: Operand, axis: int | None) -> Any:
    batches = [in_front(size, x) for x in arrays]
    if axis is None:
        return call("concat", *[flat(Operand(x, True)) for x in batches], axis=1)
    return call("concat", *batches, axis=after_batch(axis, len(arrays[0].shape)))


@batching("pad")
def _pad(
    name: str, size: int, x: Operand, constant_values: Operand, *, pad_width: tuple[tuple[int, int], ...]
) -> Any:
    if constant_values.batched:
        return each_by_itself(name, size, x, constant_values, pad_width=pad_width)
    return call("pad", x.value, constant_values.value, pad_width=((0, 0), *pad_width))


@batching("isin")
def _isin(name: str, size: int, x1: Operand, x2: Operand, *, invert: bool) -> Any:
    if not x2.batched:
        return call("isin", x1.value, x2.value, invert=invert)
    values = flat(x2)
    values = reshaped(values, (size, *(1,) * len(x1.shape), values.shape[1]))
    same = call("equal", reshaped(in_front(size, x1), (size, *x1.shape, 1)), values)
    found = call("any", same, axis=-1, keepdims=False)
    return call("logical_not", found) if invert else found


@batching("searchsorted")
def _searchsorted(name: str, size: int, x1: Operand, x2: Operand, sorter: Operand, *, side: str) -> Any:
    if x1.batched or sorter.batched:
        return each_by_itself(name, size, x1, x2, sorter, side=side)
    return call("searchsorted", x1.value, x2.value, sorter.value, side=side)


@batching(*SHAPED_BY_VALUES)
def _by_value(name: str, size: int, *operands: Operand, **static: Any) -> NoReturn:
    name = "repeat with an array of repeats" if name == "repeated_places" else name
    refused(
        name,
        "the shape of the result depends on values, and would differ between the examples",
        "Call it outside vmap, or keep all elements and mark them with xp.where",
    )
