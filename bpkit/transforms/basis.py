"""A linear function along every vector of the standard basis, in batches."""

from collections.abc import Callable
from math import prod
from typing import Any

from bpkit.array import constant
from bpkit.batching.registry import reshaped
from bpkit.errors import ArgumentError, BatchingError
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Traced, call
from bpkit.transforms.arguments import describe, zeros_like
from bpkit.transforms.vmap import vmap

__all__ = ["along_basis", "check_chunk_size", "count", "split"]


def check_chunk_size(called: str, chunk_size: Any) -> None:
    """Refuse what is no number of rows or columns."""
    if chunk_size is None or (type(chunk_size) is int and chunk_size > 0):
        return
    raise ArgumentError(
        f"{called}: chunk_size must be a positive int, or None for everything at once; it is "
        f"{describe(chunk_size)}"
    )


def along_basis(
    called: str, function: Callable[[list[Any]], list[Any]], leaves: list[Any], chunk_size: int | None
) -> list[Any]:
    """What a linear function gives for every vector of the standard basis.

    Parameters
    ----------
    called : str
        For errors.
    function : callable
        Takes a list of arrays like `leaves`, returns a list of arrays.
    leaves : list of arrays
        Their numbers in a row are the space of which it is the basis.
    chunk_size : int or None
        How many vectors one batch takes.

    Returns
    -------
    list of arrays
        Those of `function`, each with an additional first axis for the basis.
    """
    total = count(leaves)
    if not total:
        nothing = function([zeros_like(leaf) for leaf in leaves])
        return [call("broadcast_to", x, shape=(0, *x.shape)) for x in nothing]
    size = chunk_size or total
    chunks = []
    for start in range(0, total, size):
        stop = min(start + size, total)
        basis = _basis(leaves, start, stop)
        if stop - start == 1:
            alone = [reshaped(e, tuple(leaf.shape)) for e, leaf in zip(basis, leaves, strict=True)]
            chunks.append([reshaped(x, (1, *x.shape)) for x in function(alone)])
            continue
        try:
            chunks.append(vmap(function)(basis))
        except BatchingError as error:
            raise BatchingError(
                f"{called} runs for a batch of directions, which cannot be done here. With chunk_size=1 it "
                f"takes one direction after the other, without a batch. The reason: {error}"
            ) from error
    if len(chunks) == 1:
        return chunks[0]
    return [call("concat", *parts, axis=0) for parts in zip(*chunks, strict=True)]


def _basis(leaves: list[Any], start: int, stop: int) -> list[Any]:
    """The vectors from `start` to before `stop`, cut up like the leaves, along a first axis."""
    found = []
    offset = 0
    for leaf in leaves:
        like = raw(leaf)
        size = prod(leaf.shape)
        device = getattr(like, "device", None)  # what a library traces itself may have none
        eye = backend_of(like).xp.eye
        part = eye(stop - start, size, k=start - offset, dtype=like.dtype, device=device)
        e = reshaped(part, (stop - start, *leaf.shape))
        found.append(constant(e, leaf._trace) if isinstance(leaf, Traced) else e)
        offset += size
    return found


def split(x: Any, leaves: list[Any], axis: int = 0) -> list[Any]:
    """An array cut up along its first or last axis, which has one element for every number in the leaves."""
    if len(leaves) == 1:
        return [x]
    parts = []
    start = 0
    for leaf in leaves:
        stop = start + prod(leaf.shape)
        parts.append(x[start:stop, ...] if axis == 0 else x[..., start:stop])
        start = stop
    return parts


def count(leaves: list[Any]) -> int:
    """How many numbers there are in arrays."""
    return sum(prod(x.shape) for x in leaves)
