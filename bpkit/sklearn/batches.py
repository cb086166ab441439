"""Examples on the device that trains, and the batches that steps take of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import registry, tree
from bpkit._protocol import RawArray

__all__ = ["Dense", "Examples", "Sparse"]

ROWS = 2**14
"""Of sparse data so many are made dense at a time, where nothing else is said."""


def gathered(x: Any, y: Any, weight: Any, rows: RawArray, number: RawArray) -> tuple[Any, Any]:
    """The rows of this number, where there are several; without y, x is what is to be found."""
    chosen = rows if rows.shape[0] == 1 else xp.take(rows, number, axis=0)
    chosen = xp.reshape(chosen, (-1,))
    x, y, weight = tree.map(lambda values: xp.take(values, chosen, axis=0), (x, y, weight))
    return x, (x if y is None else y, weight)


def handed(x: Any, y: Any, weight: Any, number: RawArray) -> tuple[Any, Any]:
    """A batch as it is."""
    return x, (x if y is None else y, weight)


class Dense:
    """Arrays on the device; each step gathers its rows itself.

    Parameters
    ----------
    x, y, weight : array or None
        With an example in each row, `y` None where `x` is its own target.
    """

    take = staticmethod(gathered)

    def __init__(self, x: Any, y: Any, weight: Any) -> None:
        self.x, self.y, self.weight = x, y, weight

    def epoch(self, order: np.ndarray[Any, Any], size: int) -> Iterator[tuple[tuple[Any, ...], int]]:
        """What a step takes of each batch, and how many examples that is."""
        backend, device = registry.current()
        whole, rest = divmod(len(order), size)
        data = self.x, self.y, self.weight
        rows = backend.from_host(order[: whole * size].astype(np.int32).reshape(whole, size), device)
        for _ in range(whole):
            yield (*data, rows), size
        if rest:
            yield (
                (*data, backend.from_host(order[whole * size :].astype(np.int32).reshape(1, rest), device)),
                rest,
            )

    def inputs(self) -> Iterator[RawArray]:
        """What the model reads, in order."""
        yield self.x

    def batches(self) -> list[tuple[Any, Any, Any]]:
        """All of it."""
        return [(self.x, self.x if self.y is None else self.y, self.weight)]

    def part(self, rows: np.ndarray[Any, Any]) -> "Dense":
        """Some of the examples."""
        backend, device = registry.current()
        chosen = backend.from_host(rows.astype(np.int32), device)
        return Dense(*tree.map(lambda x: xp.take(x, chosen, axis=0), (self.x, self.y, self.weight)))


class Sparse:
    """A sparse matrix in the machine's memory, of which each batch is made dense on the device.

    Parameters
    ----------
    x : sparse matrix
    y, weight : NumPy array or None
    dtype : str
        Of real numbers on the device.
    """

    take = staticmethod(handed)

    def __init__(self, x: Any, y: Any, weight: Any, dtype: str) -> None:
        self.x, self.y, self.weight, self.dtype = x, y, weight, dtype

    def _placed(self, rows: Any) -> tuple[Any, Any, Any]:
        backend, device = registry.current()
        x = np.ascontiguousarray(self.x[rows].toarray(), dtype=self.dtype)
        parts = (None if part is None else part[rows] for part in (self.y, self.weight))
        x, y, weight = tree.map(lambda part: backend.from_host(part, device), (x, *parts))
        return x, y, weight

    def epoch(self, order: np.ndarray[Any, Any], size: int) -> Iterator[tuple[tuple[Any, ...], int]]:
        """What a step takes of each batch, and how many examples that is."""
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield self._placed(rows), len(rows)

    def inputs(self) -> Iterator[RawArray]:
        """What the model reads, in order."""
        for start in range(0, self.x.shape[0], ROWS):
            yield self._placed(slice(start, start + ROWS))[0]

    def batches(self) -> list[tuple[Any, Any, Any]]:
        """All of it, dense, in parts."""
        parts = [self._placed(slice(start, start + ROWS)) for start in range(0, self.x.shape[0], ROWS)]
        return [(x, x if y is None else y, weight) for x, y, weight in parts]

    def part(self, rows: np.ndarray[Any, Any]) -> "Sparse":
        """Some of the examples."""
        y, weight = (None if part is None else part[rows] for part in (self.y, self.weight))
        return Sparse(self.x[rows], y, weight, self.dtype)


Examples = Dense | Sparse
