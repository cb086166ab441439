"""Whether a rule is linear in the tangents: one that is not has no way back, and would be silently wrong."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bpkit.errors import ArgumentError
from bpkit.kinds import is_complex, raw
from bpkit.registry import backend_of
from bpkit.trace import Traced

__all__ = ["check_linear", "has_values"]

Pairs = Sequence[tuple[Any, Any]]


def has_values(leaves: Sequence[Any]) -> bool:
    """Whether no transform watches any of these."""
    for x in leaves:
        while isinstance(x, Traced):
            if x._trace.level:
                return False
            x = x._value
    return True


def check_linear(
    called: str, there: Pairs, back: Pairs, moved: Sequence[Any], twice: Callable[[], Sequence[Any]]
) -> None:
    """Refuse a rule that is not linear, where the numbers show it.

    Parameters
    ----------
    called : str
        For the error.
    there : list of pairs
        The cotangents of the results and the tangents that the rule made of ones.
    back : list of pairs
        The cotangents of the arguments and the ones. For a linear rule the products of both have one sum.
    moved : list of arrays
        What the rule made of ones.
    twice : callable
        What it makes of twos. It is asked only where the sums differ: rounding may have done that in a rule
        that subtracts large numbers, but to double a number is exact.
    """
    try:
        (first, size), (second, other) = _sum(there), _sum(back)
    except TypeError:
        return  # A library's own tracer (jax.jit) has no values to look at.
    count = sum(math.prod(x.shape) for x, _ in [*there, *back])
    eps = max(float(backend_of(raw(x)).xp.finfo(raw(x).dtype).eps) for x in moved)
    # What is not finite compares as False.
    if not abs(first - second) > 16 * eps * math.sqrt(count) * (size + other):
        return
    for one, two in zip(moved, twice(), strict=True):
        a, b = (np.atleast_1d(backend_of(raw(x)).to_host(raw(x))) for x in (one, two))
        error = np.abs(2 * a - b)
        # A solver inside the rule stops where its tolerance says.
        if np.max(error) > max(1e-3, 16 * eps) * np.max(np.abs(b)):
            k = np.unravel_index(np.argmax(error), a.shape)
            raise ArgumentError(
                f"{called}: the rule must be linear in the tangents, and it is not: for tangents of 1 it "
                f"returned {a[k]:.6g}, and for tangents of 2 it returned {b[k]:.6g}, not {2 * a[k]:.6g}. "
                f"Reverse mode cannot turn such a rule around. Return only sums of products of a tangent "
                f"with what does not depend on tangents, as in cos(x) * t"
            )


def _sum(pairs: Pairs) -> tuple[float, float]:
    """The sum of all products, and that of their absolute values."""
    total = size = 0.0
    for pair in pairs:
        x, y = map(raw, pair)
        backend = backend_of(x)
        with backend.quiet():
            products = backend.xp.real(x * y) if is_complex(x) else x * y
            total += float(backend.xp.sum(products))
            size += float(backend.xp.sum(backend.xp.abs(products)))
    return total, size
