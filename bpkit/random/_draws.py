"""Words, uniform numbers, booleans, integers and permutations."""

import math
import operator
from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.random._keys import MASK, Source, integer, source

__all__ = [
    "FLOATS",
    "Shape",
    "bernoulli",
    "bits",
    "checked_shape",
    "permutation",
    "randint",
    "uniform",
    "unit",
]

Shape = SupportsIndex | Sequence[SupportsIndex]

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16")


def checked_shape(shape: Shape, called: str) -> tuple[int, ...]:
    """A shape as a tuple of Python integers."""
    lengths = shape if isinstance(shape, Sequence) else (shape,)
    try:
        found = tuple(operator.index(length) for length in lengths)
    except TypeError:
        raise ArgumentError(
            f"{called}: shape: expected an integer or a tuple of integers, got {shape!r}; "
            f"for example {called}(key, (3, 2))"
        ) from None
    if any(length < 0 for length in found):
        raise ShapeError(
            f"{called}: shape: expected lengths of 0 or more, got {found}; check how it is computed"
        )
    return found


def unit(origin: Source, n: int, dtype: str) -> RawArray:
    """Multiples of 2**-24 (float32) or 2**-53 (float64) in [0, 1); shape (n,)."""
    target = origin.dtype(dtype)
    if dtype == "float32":
        return xp.astype(origin.words(n) >> 8, target) * 2.0**-24
    high, low = origin.blocks(n)
    return (xp.astype(high >> 5, target) * 2.0**26 + xp.astype(low >> 6, target)) * 2.0**-53


def bits(key: RawArray, shape: Shape = ()) -> RawArray:
    """Words of 32 random bits.

    Parameters
    ----------
    key : key
    shape : int or tuple of int

    Returns
    -------
    array of `shape`
        Integers from 0 to 2**32 - 1 in the dtype of the key: uint32, or int64 on PyTorch.

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key or `shape` no shape.

    Examples
    --------
    >>> from bpkit import random
    >>> random.bits(random.key(0), (2,))
    array([1797259609, 2579123966], dtype=uint32)
    """
    origin, lengths = source(key, "bits"), checked_shape(shape, "bits")
    return xp.reshape(origin.words(math.prod(lengths)), lengths)


def uniform(
    key: RawArray,
    shape: Shape = (),
    dtype: Any = None,
    minval: SupportsFloat = 0.0,
    maxval: SupportsFloat = 1.0,
) -> RawArray:
    """Numbers spread evenly over [minval, maxval).

    A float32 has 24 random bits and a float64 has 53. Between 0 and 1 they are multiples of 2**-24 or 2**-53.

    Parameters
    ----------
    key : key
    shape : int or tuple of int
    dtype : dtype or str, optional
        float32 or float64; None takes the library's default, as ``bpkit.xp.zeros`` does (float64 on NumPy).
    minval, maxval : float
        Python or NumPy numbers; `maxval` itself is never drawn.

    Returns
    -------
    array of `shape` and `dtype`

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, `shape` no shape, the library has no such dtype, or the bounds, rounded to it, are
        not finite or leave nothing between them.

    Examples
    --------
    >>> from bpkit import random
    >>> random.uniform(random.key(0), (3,), minval=-1, maxval=1)
    array([-0.16308578, -0.37063656, -0.21367943])
    """
    origin, lengths = source(key, "uniform"), checked_shape(shape, "uniform")
    name = origin.dtype_name(dtype, "real floating", FLOATS, "uniform")
    low, high, largest = _bounds(minval, maxval, name)
    x = unit(origin, math.prod(lengths), name)
    if (low, high) != (0.0, 1.0):
        # The sum may round up to maxval.
        x = xp.minimum(x * (high - low) + low, largest)
    return xp.reshape(x, lengths)


def _bounds(minval: SupportsFloat, maxval: SupportsFloat, dtype: str) -> tuple[float, float, float]:
    """Both bounds rounded to a dtype, and the largest number below the upper one."""
    kind = np.dtype(dtype).type
    try:
        with np.errstate(over="ignore"):
            low, high = kind(float(minval)), kind(float(maxval))
            finite = bool(np.isfinite(high - low))
    except TypeError:
        raise ArgumentError(
            f"uniform: minval, maxval: expected Python numbers, got {minval!r} and {maxval!r}; "
            "for bounds that are arrays write low + uniform(key, shape) * (high - low)"
        ) from None
    if not (finite and low < high):
        raise ArgumentError(
            f"uniform: expected minval < maxval and a finite distance in {dtype}, "
            f"got minval={minval!r} and maxval={maxval!r}"
        )
    return float(low), float(high), float(np.nextafter(high, low))


def bernoulli(key: RawArray, p: SupportsFloat | RawArray = 0.5, shape: Shape | None = None) -> RawArray:
    """True with probability `p`.

    Decided by comparing integers if `p` is a number, which is rounded to a multiple of 2**-31, and else by
    comparing :func:`uniform` numbers of `p`'s dtype with it.

    Parameters
    ----------
    key : key
    p : float, or array of float32 or float64
        Probabilities. Those of an array are not checked; below 0 is never, above 1 is always.
    shape : int or tuple of int, optional
        None takes that of `p`; `p` is broadcast to it.

    Returns
    -------
    array of `shape`, bool

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, `shape` no shape, or `p` a number outside [0, 1].

    Examples
    --------
    >>> from bpkit import random
    >>> random.bernoulli(random.key(0), 0.25, (4,))
    array([False, False, False, False])
    """
    origin = source(key, "bernoulli")
    chances: Any = p
    if hasattr(chances, "dtype") and not isinstance(chances, np.generic):
        lengths = tuple(chances.shape) if shape is None else checked_shape(shape, "bernoulli")
        name = origin.dtype_name(chances.dtype, "real floating", FLOATS, "bernoulli: p")
        return xp.less(xp.reshape(unit(origin, math.prod(lengths), name), lengths), chances)
    lengths = checked_shape(() if shape is None else shape, "bernoulli")
    try:
        chance = float(p)
    except TypeError:
        chance = math.nan
    if not 0.0 <= chance <= 1.0:
        raise ArgumentError(
            f"bernoulli: p: expected a probability from 0 to 1, got {p!r}; of a logit take bpkit.xp.expit"
        )
    # 31 bits, and "less than or equal", because every library can compare those with a Python integer.
    drawn = xp.astype(origin.words(math.prod(lengths)) >> 1, origin.dtype("int32"))
    return xp.reshape(drawn <= round(chance * 2**31) - 1, lengths)


def randint(
    key: RawArray, shape: Shape, minval: SupportsIndex, maxval: SupportsIndex, dtype: Any = None
) -> RawArray:
    """Integers spread evenly over [minval, maxval).

    Each is the high part of the product of 64 random bits with ``maxval - minval``, so the probability of a
    value is off by less than 2**-64.

    Parameters
    ----------
    key : key
    shape : int or tuple of int
    minval, maxval : int
        Python or NumPy integers; at most 2**31 apart.
    dtype : dtype or str, optional
        int8, int16, int32, int64, uint8 or uint16; None takes the library's default (int64 on NumPy). The
        numbers do not depend on it.

    Returns
    -------
    array of `shape` and `dtype`

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, `shape` no shape, the library has no such dtype, or the bounds are no integers,
        not in its range, in the wrong order or more than 2**31 apart.

    Examples
    --------
    >>> from bpkit import random
    >>> random.randint(random.key(0), (5,), 1, 7)
    array([3, 2, 3, 5, 5])
    """
    origin, lengths = source(key, "randint"), checked_shape(shape, "randint")
    name = origin.dtype_name(dtype, "integral", INTEGERS, "randint")
    try:
        low, high = operator.index(minval), operator.index(maxval)
    except TypeError:
        raise ArgumentError(
            f"randint: minval, maxval: expected integers, got {minval!r} and {maxval!r}; "
            "convert them with int(...)"
        ) from None
    limits = np.iinfo(name)
    if not (0 < high - low <= 2**31 and limits.min <= low and high - 1 <= limits.max):
        raise ArgumentError(
            f"randint: expected minval < maxval, at most 2**31 apart, and within {name} "
            f"({limits.min} to {limits.max}), got minval={low} and maxval={high}"
        )
    first, second = origin.blocks(math.prod(lengths))
    top, rest = _product(first, high - low)
    carried, _ = _product(second, high - low)
    # Bit 32 of rest + carried, from their mean, which cannot overflow.
    carry = ((rest >> 1) + (carried >> 1) + (rest & carried & 1)) >> 31
    wide = origin.dtype("int64" if name == "int64" else "int32")
    drawn = xp.astype(top + carry, wide) + low
    return xp.reshape(xp.astype(drawn, origin.dtype(name)), lengths)


def _product(x: RawArray, factor: int) -> tuple[RawArray, RawArray]:
    """The high and the low 32 bits of words times an integer up to 2**32, by the halves of both."""
    x_high, x_low = x >> 16, x & 0xFFFF
    high, low = factor >> 16, factor & 0xFFFF
    bottom = x_low * low
    middle = x_high * low + (bottom >> 16)
    other = x_low * high + (middle & 0xFFFF)
    return x_high * high + (middle >> 16) + (other >> 16), ((other & 0xFFFF) << 16) | (bottom & 0xFFFF)


def permutation(key: RawArray, x: SupportsIndex | RawArray) -> RawArray:
    """A random order of the numbers 0 to x - 1, or of the rows of an array.

    Sorts by random words, as often as it takes to make equal words unlikely: in ``3 log(n) / log(2**32 - 1)``
    rounds, which is one up to n = 1625 and two up to 2.6 million. The sort is stable, so that equal words
    give the same order everywhere, too.

    Parameters
    ----------
    key : key
    x : int, or array of at least one axis
        How many numbers, or what to reorder along its first axis.

    Returns
    -------
    array
        Integers of the library's default dtype and shape (x,), or an array of `x`'s shape and dtype.

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, or `x` a negative number, no integer, or an array without axes.

    Examples
    --------
    >>> from bpkit import random
    >>> random.permutation(random.key(0), 5)
    array([2, 4, 0, 1, 3])
    """
    origin = source(key, "permutation")
    if not hasattr(x, "shape") or isinstance(x, np.generic):
        n = integer(x, "permutation", "x", 2**31)
        default = origin.dtype_name(None, "integral", INTEGERS, "permutation")
        return xp.astype(_order(origin, n), origin.dtype(default))
    if not x.shape:
        raise ShapeError(
            "permutation: x: expected an integer or an array with at least one axis, got one of shape (); "
            "for a random order of the numbers below it use int(x)"
        )
    return xp.take(x, _order(origin, x.shape[0]), axis=0)


def _order(origin: Source, n: int) -> RawArray:
    """Indices of a random order; shape (n,)."""
    rounds = 1
    while MASK**rounds < n**3:
        rounds += 1
    first, *others = xp.unstack(xp.reshape(origin.words(rounds * n), (rounds, n)))
    order = xp.argsort(first, stable=True)
    for words in others:
        order = xp.take(order, xp.argsort(words, stable=True), axis=0)
    return order
