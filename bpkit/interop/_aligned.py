"""Dask arrays as data: each with its examples along the first axis, in the same chunks."""

import math
from collections.abc import Sequence
from typing import Any

try:
    import dask.array as da
except ImportError as error:
    raise ImportError(
        'bpkit.interop.dask needs Dask, which is not installed: pip install "dask[array]"'
    ) from error

from bpkit.errors import ArgumentError, ShapeError
from bpkit.transforms.arguments import describe, is_array

__all__ = ["ADVICE_UNKNOWN", "aligned"]

ADVICE_UNKNOWN = "x.compute_chunk_sizes() finds them out"


def aligned(called: str, arrays: Sequence[Any]) -> list[Any]:
    """The arrays with the chunks of the first along their first axis, and in one piece along the others."""
    if not arrays:
        raise ArgumentError(f"{called}: expected Dask arrays with the data; got none")
    for i, x in enumerate(arrays):
        if not isinstance(x, da.Array):
            raise ArgumentError(f"{called}: data {i} must be a Dask array; it is {describe(x)}. {_advice(x)}")
        if x.ndim == 0:
            raise ShapeError(f"{called}: data {i} must have its examples along a first axis; it has no axes")
    whole = [x.rechunk(dict.fromkeys(range(1, x.ndim), -1)) if _is_split(x) else x for x in arrays]
    first, found = whole[0], [whole[0]]
    for i, x in enumerate(whole[1:], 1):
        if _agree(x.chunks[0], first.chunks[0]):
            found.append(x)
            continue
        both = (
            f"data 0 has {first.shape[0]} examples in {first.numblocks[0]} chunks, data {i} has {x.shape[0]} "
            f"in {x.numblocks[0]}"
        )
        if math.isnan(x.shape[0]) or math.isnan(first.shape[0]):
            raise ShapeError(
                f"{called}: {both}, of unknown sizes (nan), which cannot be aligned; {ADVICE_UNKNOWN}"
            )
        if x.shape[0] != first.shape[0]:
            raise ShapeError(f"{called}: all arrays must have the same number of examples; {both}")
        found.append(x.rechunk({0: first.chunks[0]}))
    return found


def _is_split(x: Any) -> bool:
    return any(count > 1 for count in x.numblocks[1:])


def _agree(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether chunks are as long; of unknown lengths, whether they are as many."""
    return len(one) == len(other) and all(
        x == y or math.isnan(x) or math.isnan(y) for x, y in zip(one, other, strict=True)
    )


def _advice(x: Any) -> str:
    if isinstance(getattr(x, "data", None), da.Array):
        return "Pass its .data"
    if type(x).__module__.partition(".")[0] == "pandas":
        return "Write da.from_array(x.to_numpy(), chunks=...)"
    if is_array(x):
        return (
            "Write da.from_array(x, chunks=...); what is no data belongs to params or into a keyword argument"
        )
    return "Pass what is no data as a keyword argument"
