"""Whether a rule is linear in the tangents: one that is not has no way back, and would be silently wrong."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from bpkit.batching import BatchTrace
from bpkit.errors import ArgumentError
from bpkit.kinds import device_of, is_complex, raw
from bpkit.registry import backend_of
from bpkit.trace import Traced, call

__all__ = ["check_linear", "has_values"]

Pairs = Sequence[tuple[Any, Any]]
Rule = Callable[[list[Any]], list[Any]]
Hosted = list[np.ndarray[Any, Any]]


def has_values(leaves: Sequence[Any]) -> bool:
    """Whether no transform watches any of these, or one vmap alone, whose batches pair as they are."""
    traces = set()
    for x in leaves:
        while isinstance(x, Traced):
            if x._trace.level:
                traces.add(x._trace)
            x = x._value
    return not traces or (len(traces) == 1 and isinstance(traces.pop(), BatchTrace))


def check_linear(
    called: str,
    rule: Rule,
    ones: Sequence[Any],
    moved: Sequence[Any],
    cotangents: Sequence[Any],
    back: Sequence[Any],
) -> None:
    """Refuse a rule that is not linear, where the numbers show it.

    Parameters
    ----------
    called : str
        For the error.
    rule : callable
        Takes the tangents of the arguments and returns those of the results.
    ones : list of arrays
        Tangents, at which the rule was turned around.
    moved : list of arrays
        What it made of them.
    cotangents : list of arrays
        Of the results.
    back : list of arrays
        The cotangents of the arguments that were found.
    """
    others = [_mixed(t, i) for i, t in enumerate(ones)]
    moved_others = rule(others)
    # For a linear rule the products of cotangents and tangents have one sum on both sides, at any tangents.
    there, here = zip(cotangents, moved_others, strict=True), zip(back, others, strict=True)
    try:
        (first, size), (second, other) = _sum(list(there)), _sum(list(here))
    except TypeError:
        return  # A library's own tracer (jax.jit) has no values to look at.
    count = sum(math.prod(x.shape) for x in [*cotangents, *back])
    eps = max(float(backend_of(raw(x)).xp.finfo(raw(x).dtype).eps) for x in moved)
    # What is not finite compares as False.
    if not abs(first - second) > 16 * eps * math.sqrt(count) * (size + other):
        return
    if why := _proof(rule, ones, others, _on_host(moved), _on_host(moved_others), eps):
        raise ArgumentError(
            f"{called}: the rule must be linear in the tangents, and it is not: {why}. "
            f"Reverse mode cannot turn such a rule around. Return only sums of products of a tangent "
            f"with what does not depend on tangents, as in cos(x) * t"
        )


def _proof(
    rule: Rule, ones: Sequence[Any], others: Sequence[Any], moved: Hosted, moved_others: Hosted, eps: float
) -> str:
    """Numbers that show that a rule is not linear; empty if rounding may have made the sums differ.

    It does where a rule subtracts large numbers. But 2 and -1 are exact factors.
    """
    for said, multiple, factor, given, found in (
        ("tangents of 1", "tangents of {}", 2, ones, moved),
        ("tangents of 1", "tangents of {}", -1, ones, moved),
        ("some random tangents", "{} times these", -1, others, moved_others),
    ):
        for a, b in zip(found, _on_host(rule([factor * t for t in given])), strict=True):
            if (k := _differs(b, factor * a, 0.0, eps)) is not None:
                return (
                    f"for {said} it returned {a[k]:.6g}, and for {multiple.format(factor)} it returned "
                    f"{b[k]:.6g}, not {factor * a[k]:.6g}"
                )
    more = [_mixed(t, i + len(ones)) for i, t in enumerate(ones)]
    moved_more = _on_host(rule(more))
    # A sum is not exact: what shows in this one must show in the difference, too, and be more than in
    # multiples, which are not exact either.
    noise, why = 0.0, ""
    for sign, name in ((-1, "difference"), (1, "sum")):
        why = ""
        both = _on_host(rule([t + sign * u for t, u in zip(others, more, strict=True)]))
        for a, b, c in zip(moved_others, moved_more, both, strict=True):
            if _differs(c, a + sign * b, 0.0, eps) is None:
                continue
            noise = noise or max(
                float(np.max(np.abs(k / 10 * x - y), initial=0.0))
                for given, found in ((others, moved_others), (more, moved_more))
                for k in range(3, 33, 2)
                for x, y in zip(found, _on_host(rule([k / 10 * t for t in given])), strict=True)
            )
            if (place := _differs(c, a + sign * b, 64 * noise, eps)) is not None:
                why = (
                    f"for some random tangents it returned {a[place]:.6g}, for others {b[place]:.6g}, and "
                    f"for the {name} of both {c[place]:.6g}, not {a[place] + sign * b[place]:.6g}"
                )
        if not why:
            break
    return why


@cache
def _pattern() -> np.ndarray[Any, Any]:
    """Numbers of both signs, none of them 0. The first are -0.76, -0.97, 0.61, -0.91: in no order."""
    return np.asarray(-np.cos(np.arange(50.0, 1050.0) ** 2), dtype=np.float32)


def _mixed(one: Any, i: int) -> Any:
    """A tangent of numbers of both signs, the first below 0, for argument `i`."""
    x = raw(one)
    row = _pattern()[7 * i % 500 :]
    # It goes on: to make a number for every element would take longer than many a rule does.
    row = np.resize(row if row[0] < 0 else -row, one.shape)
    return one * call(
        "astype", backend_of(x).from_host(row, device_of(x)), dtype=x.dtype, copy=True, device=None
    )


def _on_host(arrays: Sequence[Any]) -> Hosted:
    return [np.atleast_1d(backend_of(raw(x)).to_host(raw(x))) for x in arrays]


def _differs(x: Any, y: Any, noise: float, eps: float) -> tuple[int, ...] | None:
    """Where two arrays are furthest apart, if that is too far."""
    error = np.abs(x - y)
    # A solver inside the rule stops where its tolerance says.
    if not np.max(error, initial=0.0) > max(1e-3, 16 * eps) * np.max(np.abs(x), initial=0.0) + noise:
        return None
    return tuple(map(int, np.unravel_index(np.argmax(error), x.shape)))


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
