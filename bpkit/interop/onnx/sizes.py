"""Sizes that are known only when a model runs: polynomials in the lengths of dynamic axes.

What a function does to arrays of several lengths is recorded once for each, and where the recordings differ
in a number, such as ``2 * batch``, that number is a function of the lengths. One more recording
shows whether the function was right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, combinations
from typing import Any

import numpy as np

__all__ = ["Filled", "Ramp", "Size", "Triangle", "Unequal", "agree", "fitted", "subsets"]

Lengths = Mapping[str, int]
Names = frozenset[str]


class Unequal(Exception):  # noqa: N818 - caught by who knows the function, and told with its line
    """What was recorded at other lengths is not the same but for sizes."""


@dataclass(frozen=True)
class Size:
    """A sum of products of lengths, each product at most once and every length in it once.

    Attributes
    ----------
    terms : tuple of pairs
        The names in a product, and its factor.
    inverse : bool
        Whether it is one divided by that sum.
    """

    terms: tuple[tuple[Names, Fraction], ...]
    inverse: bool = False

    @classmethod
    def of(cls, name: str) -> "Size":
        """The length of this name."""
        return cls(((frozenset([name]), Fraction(1)),))

    def at(self, lengths: Lengths) -> float:
        """Its value; an int, unless it is an inverse."""
        total = Fraction(0)
        for names, factor in self.terms:
            for name in names:
                factor = factor * lengths[name]
            total += factor
        if self.inverse:
            return float(1 / total)
        return int(total) if total.denominator == 1 else float(total)

    @property
    def name(self) -> str | None:
        """The one length that it is; None if it is anything else."""
        if self.inverse or len(self.terms) != 1:
            return None
        names, factor = self.terms[0]
        return next(iter(names)) if factor == 1 and len(names) == 1 else None

    def __str__(self) -> str:
        parts = []
        for names, factor in self.terms:
            product = "*".join(sorted(names))
            parts.append(str(factor) if not names else product if factor == 1 else f"{factor}*{product}")
        return f"1/({' + '.join(parts)})" if self.inverse else " + ".join(parts)


@dataclass(frozen=True, eq=False)
class Filled:
    """An array of one value in a shape that depends on lengths."""

    value: Any
    shape: tuple[int | Size, ...]
    dtype: np.dtype[Any]

    def made(self, lengths: Lengths) -> np.ndarray[Any, Any]:
        """The array at these lengths."""
        value = self.value.at(lengths) if isinstance(self.value, Size) else self.value
        return np.full(at(self.shape, lengths), value)


@dataclass(frozen=True, eq=False)
class Ramp:
    """``start + step * arange(n)`` in a shape that depends on lengths."""

    start: Any
    step: Any
    shape: tuple[int | Size, ...]
    dtype: np.dtype[Any]

    def made(self, lengths: Lengths) -> np.ndarray[Any, Any]:
        """The array at these lengths."""
        shape = at(self.shape, lengths)
        flat: np.ndarray[Any, Any] = self.start + self.step * np.arange(np.prod(shape, dtype=int))
        return flat.reshape(shape)


@dataclass(frozen=True, eq=False)
class Triangle:
    """Matrices with one value on and below the diagonal and another above it."""

    below: Any
    above: Any
    shape: tuple[int | Size, ...]
    dtype: np.dtype[Any]

    def made(self, lengths: Lengths) -> np.ndarray[Any, Any]:
        """The array at these lengths."""
        shape = at(self.shape, lengths)
        return np.broadcast_to(np.where(np.tri(*shape[-2:], dtype=np.bool_), self.below, self.above), shape)


def at(shape: tuple[int | Size, ...], lengths: Lengths) -> tuple[int, ...]:
    """A shape at these lengths."""
    return tuple([int(n.at(lengths)) if isinstance(n, Size) else n for n in shape])


def subsets(names: Sequence[str]) -> list[Names]:
    """Every choice of names, none first and all last."""
    return [frozenset(x) for x in chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))]


def fitted(values: Sequence[Any], first: Lengths, other: Lengths) -> Any:
    """The same for all lengths, or what it depends on them by.

    Parameters
    ----------
    values : sequence
        What was recorded for each of the :func:`subsets` of the names: those in the subset had their `other`
        length. Containers, numbers, arrays and what can be compared.
    first, other : mapping of str to int

    Raises
    ------
    Unequal
        If there is no such function.
    """
    start = values[0]
    if any(type(x) is not type(start) for x in values[1:]):
        raise Unequal(f"{start!r} is {next(x for x in values if type(x) is not type(start))!r}")
    if isinstance(start, tuple | list):
        if any(len(x) != len(start) for x in values[1:]):
            raise Unequal(f"{start!r} has another length at another size")
        parts = [fitted(x, first, other) for x in zip(*values, strict=True)]
        return type(start)(*parts) if hasattr(start, "_fields") else type(start)(parts)
    if isinstance(start, dict):
        return {key: fitted([x[key] for x in values], first, other) for key in start}
    if isinstance(start, slice):
        return slice(*fitted([(x.start, x.stop, x.step) for x in values], first, other))
    if isinstance(start, np.ndarray | np.generic):
        return _array(list(map(np.asarray, values)), first, other)
    if isinstance(start, int | float) and not isinstance(start, bool):
        return _number(values, first, other)
    if any(x != start for x in values[1:]):
        raise Unequal(f"{start!r} is {next(x for x in values if x != start)!r} at another size")
    return start


def _number(values: Sequence[Any], first: Lengths, other: Lengths) -> Any:
    if all(x == values[0] or (x != x and values[0] != values[0]) for x in values):
        return values[0]
    if isinstance(values[0], int):
        return Size(_polynomial(list(map(Fraction, values)), first, other))
    if not np.all(np.isfinite(values)) or 0.0 in values:
        raise Unequal(f"the number {values[0]} is {values[-1]} at another size")
    plain = _polynomial(list(map(Fraction, values)), first, other, whole=False)
    inverted = _polynomial([_simple(1 / x) for x in values], first, other, whole=False)
    # A constant over a length is simpler than anything that goes through the same values.
    simplest = min((plain, False), (inverted, True), key=lambda found: _weight(found[0]))
    return Size(*simplest)


def _simple(x: float) -> Fraction:
    near = Fraction(x).limit_denominator(10**6)
    return near if abs(float(near) - x) <= 1e-12 * abs(x) else Fraction(x)


def _weight(terms: tuple[tuple[Names, Fraction], ...]) -> int:
    return sum(factor.numerator.bit_length() + factor.denominator.bit_length() for _, factor in terms)


def _polynomial(
    values: Sequence[Fraction], first: Lengths, other: Lengths, whole: bool = True
) -> tuple[tuple[Names, Fraction], ...]:
    """The multilinear polynomial through the values."""
    names = list(first)
    total: dict[Names, Fraction] = {}
    for chosen, value in zip(subsets(names), values, strict=True):
        term = {frozenset[str](): value}
        for name in names:
            span = other[name] - first[name]
            # 1 where this name has the chosen length, 0 at its other one.
            slope = Fraction(1, span) if name in chosen else Fraction(-1, span)
            offset = Fraction(-first[name], span) if name in chosen else Fraction(other[name], span)
            term = {
                **{key: factor * offset for key, factor in term.items()},
                **{key | {name}: factor * slope for key, factor in term.items()},
            }
        for key, factor in term.items():
            total[key] = total.get(key, Fraction(0)) + factor
    found = tuple([(key, factor) for key, factor in total.items() if factor])
    if whole and any(factor.denominator != 1 for _, factor in found):
        raise Unequal(f"{', '.join(map(str, values))} does not grow by whole numbers with {', '.join(names)}")
    return found


def _array(values: list[np.ndarray[Any, Any]], first: Lengths, other: Lengths) -> Any:
    start = values[0]
    if any(x.dtype != start.dtype or x.ndim != start.ndim for x in values):
        raise Unequal("an array has another dtype or number of axes at another size")
    if all(x.shape == start.shape and np.array_equal(x, start, equal_nan=True) for x in values):
        return start
    shape = fitted([x.shape for x in values], first, other)
    filled = [x.size and np.array_equal(x, np.full_like(x, x.flat[0]), equal_nan=True) for x in values]
    if all(filled):
        return Filled(fitted([x.flat[0].item() for x in values], first, other), shape, start.dtype)
    if start.dtype.kind in "iuf" and all(x.size > 1 and _is_ramp(x) for x in values):
        step = start.flat[1] - start.flat[0]
        if all(x.flat[0] == start.flat[0] and x.flat[1] - x.flat[0] == step for x in values):
            return Ramp(start.flat[0].item(), step.item(), shape, start.dtype)
    if start.ndim >= 2 and all(_is_triangle(x) for x in values):
        corners = [(x.flat[0].item(), x[..., 0, -1].flat[0].item()) for x in values]
        if all(x == corners[0] for x in corners):
            return Triangle(*corners[0], shape, start.dtype)
    raise Unequal(
        f"an array of shape {start.shape} that was made inside has the shape {values[-1].shape} or other "
        f"values at another size, and it is no range, no triangle and not filled with one number"
    )


def _is_ramp(x: np.ndarray[Any, Any]) -> bool:
    flat = x.ravel()
    if not np.all(np.isfinite(flat[:2])):
        return False
    return bool(np.array_equal(flat, flat[0] + (flat[1] - flat[0]) * np.arange(x.size, dtype=x.dtype)))


def _is_triangle(x: np.ndarray[Any, Any]) -> bool:
    if min(x.shape[-2:]) < 2:
        return False
    below = np.tri(*x.shape[-2:], dtype=np.bool_)
    return bool(
        np.array_equal(x, np.where(below, x.flat[0], x[..., 0, -1].flat[0]), equal_nan=x.dtype.kind == "f")
    )


def agree(fit: Any, value: Any, lengths: Lengths) -> bool:
    """Whether what :func:`fitted` found is what was recorded at these lengths."""
    if isinstance(fit, Size):
        return bool(np.isclose(fit.at(lengths), value, rtol=1e-12, atol=0))
    if isinstance(fit, Filled | Ramp | Triangle):
        made = fit.made(lengths)
        return made.shape == value.shape and np.array_equal(made, value, equal_nan=made.dtype.kind == "f")
    if type(fit) is not type(value):
        return False
    if isinstance(fit, tuple | list):
        return len(fit) == len(value) and all(agree(x, y, lengths) for x, y in zip(fit, value, strict=True))
    if isinstance(fit, dict):
        return all(agree(x, value[key], lengths) for key, x in fit.items())
    if isinstance(fit, slice):
        return agree((fit.start, fit.stop, fit.step), (value.start, value.stop, value.step), lengths)
    if isinstance(fit, np.ndarray):
        return fit.shape == value.shape and np.array_equal(fit, value, equal_nan=fit.dtype.kind == "f")
    return bool(fit == value or fit != fit)
