"""Means over a batch, with and without weights."""

import math

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["average", "ratio", "without_ignored"]


def without_ignored(weight: RawArray | None, *arrays: RawArray) -> tuple[RawArray, ...]:
    """The arrays with 0 wherever the weight is 0, so that what stands there is of no consequence."""
    if weight is None:
        return arrays
    ignored = weight == 0
    return tuple(xp.where(ignored, 0.0, x) for x in arrays)


def average(terms: RawArray, weight: RawArray | None, factor: float = 1.0) -> RawArray:
    """`factor` times the weighted mean of all elements; 0 where all weights are.

    Parameters
    ----------
    terms : array of any shape
    weight : array or None
        Of a shape that broadcasts to that of `terms`.
    factor : float
    """
    size = math.prod(terms.shape)
    if weight is None:
        return xp.sum(terms) * (factor / size)
    total = xp.sum(weight) * (size // math.prod(weight.shape))
    return ratio(factor * xp.sum(xp.multiply(terms, weight)), total)


def ratio(total: RawArray, weights: RawArray) -> RawArray:
    """A sum over the sum of its weights; of no weights at all, which leave the sum 0, that 0."""
    return xp.divide(total, xp.where(weights == 0, 1.0, weights))
