"""A few numbers of an array, by which it is seen later whether another one has the same values."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bpkit.kinds import is_complex, raw
from bpkit.registry import backend_of

__all__ = ["Fingerprint"]

FEW = 64
"""So many elements are kept of an array."""
ROUNDINGS = 1024
"""So many roundings of its largest number are no difference."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a floating array; of a complex one, of its real and imaginary parts.

    It stays on the array's device until it is compared, so that nothing has to wait for it.

    Attributes
    ----------
    few : list of arrays
        Elements from all over it.
    ends : list of arrays
        Maximum and minimum; like `sums` empty if `few` is all.
    sums : list of arrays
    count : int
        How many elements there are.
    eps : float
        Of its dtype.
    """

    few: list[Any]
    ends: list[Any]
    sums: list[Any]
    count: int
    eps: float

    @classmethod
    def of(cls, x: Any) -> Self:
        """That of an array, raw or traced."""
        x = raw(x)
        backend = backend_of(x)
        xp, count = backend.xp, math.prod(x.shape)
        with backend.quiet():
            parts = [xp.real(x), xp.imag(x)] if is_complex(x) else [x]
            # Copies, since a view would keep the whole array.
            key = _spread(x.shape) if count > FEW else ...
            few = [xp.asarray(part[key], copy=True) for part in parts]
            if count <= FEW:
                parts = []
            ends = [extreme(part) for part in parts for extreme in (xp.max, xp.min)]
            sums = [xp.sum(part) for part in parts]
        return cls(few, ends, sums, count, float(xp.finfo(x.dtype).eps))

    def difference(self, other: Self) -> str:
        """In words, what is not the same in another one of the same shape and dtype; empty if nothing is.

        Equal is what half of the digits are equal of, or what roundings of the largest number can have made
        different. Bit by bit the same code gives the same on one library as a rule, but not always: copies
        of what was passed in may lie in memory in another order, and threads, those of a GPU above all, add
        in whatever order they come.
        """
        try:
            first, second = (
                [_on_host(x) for x in (mark.few, mark.ends, mark.sums)] for mark in (self, other)
            )
        except TypeError:
            return ""  # A library's own tracer (jax.jit) has no values to look at.
        seen = np.abs(np.concatenate([*first[:2], *second[:2]]))
        largest = float(np.max(seen, where=np.isfinite(seen), initial=0.0))
        sizes = (largest, largest, largest * math.sqrt(self.count))
        for what, x, y, size in zip(
            ("", "a largest or least ", "a sum of "), first, second, sizes, strict=True
        ):
            different = np.flatnonzero(~self._equal(x, y, size))
            if different.size:
                k = different[0]
                return f"{what}{y[k]:.6g} where it was {x[k]:.6g}"
        return ""

    def _equal(self, x: Any, y: Any, largest: float) -> Any:
        with np.errstate(all="ignore"):
            allowed = math.sqrt(self.eps) * np.maximum(np.abs(x), np.abs(y)) + ROUNDINGS * self.eps * largest
            close = np.isfinite(x) & np.isfinite(y) & (np.abs(x - y) <= allowed)
        return close | (x == y) | (np.isnan(x) & np.isnan(y))


def _spread(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The key of at most ``FEW`` elements, evenly spread along each axis."""
    left, key = FEW, []
    for i, n in enumerate(shape):
        count = max(1, min(n, int(left ** (1 / (len(shape) - i)) + 1e-9)))
        left //= count
        key.append(slice(None, None, max(1, -(-n // count))))
    return tuple(key)


def _on_host(arrays: list[Any]) -> np.ndarray[Any, Any]:
    """All numbers in a row."""
    rows = [np.asarray(backend_of(x).to_host(x), dtype=np.float64).reshape(-1) for x in arrays]
    return np.concatenate([np.zeros(0), *rows])
