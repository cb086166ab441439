"""Normal numbers from additions, subtractions and multiplications.

The logarithms and cosines of different libraries differ in their last bits, NumPy's even between processors.
On GPUs, XLA does not round float32 divisions (https://github.com/openxla/xla/issues/37181) and square roots
(https://github.com/pearu/functional_algorithms/issues/53) as IEEE-754 says. So nothing here does any of that
on the key's device.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.random._draws import FLOATS, Shape, checked_shape, unit
from bpkit.random._keys import Source, source

__all__ = ["normal"]

LN2 = 0.6931471805599453
N_BITS = {"float32": 24, "float64": 53}
RADIUS_DEGREE = {"float32": 5, "float64": 12}
CIRCLE_TERMS = {"float32": 6, "float64": 9}

OCTAVES = 53
PIECES = 8


def normal(key: RawArray, shape: Shape = (), dtype: Any = None) -> RawArray:
    """Numbers from the normal distribution with mean 0 and standard deviation 1.

    The method is that of Box and Muller [1]_: a point in the plane whose angle is uniform and whose radius is
    ``sqrt(-2 log u)`` has two independent normal coordinates. Radius, sine and cosine are evaluated as
    polynomials; the result is within 5 units in the last place of the exact one. It is symmetric about 0,
    which is never drawn, and the largest numbers are 5.8 (float32) and 8.6 (float64).

    Parameters
    ----------
    key : key
    shape : int or tuple of int
    dtype : dtype or str, optional
        float32 or float64; None takes the library's default, as ``bpkit.xp.zeros`` does (float64 on NumPy).

    Returns
    -------
    array of `shape` and `dtype`

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, `shape` no shape, or the library has no such dtype.

    References
    ----------
    .. [1] G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", Annals of
       Mathematical Statistics 29, 1958, https://doi.org/10.1214/aoms/1177706645

    Examples
    --------
    >>> from bpkit import random
    >>> random.normal(random.key(0), (3,))
    array([-0.48837244,  1.2263173 , -1.12347322])
    """
    origin, lengths = source(key, "normal"), checked_shape(shape, "normal")
    name = origin.dtype_name(dtype, "real floating", FLOATS, "normal")
    n = math.prod(lengths)
    n_pairs = (n + 1) // 2
    u = xp.reshape(unit(origin, 2 * n_pairs, name), (n_pairs, 2))
    r = _radius(origin, u[:, 0], name)
    x, y = _circle(u[:, 1], name)
    return xp.reshape(xp.reshape(xp.stack((r * x, r * y), axis=-1), (2 * n_pairs,))[:n], lengths)


class _Pieces(NamedTuple):
    """``sqrt(-2 log p)`` as a Taylor polynomial on each of many short intervals of v.

    First come the intervals for p = v, then those for p = 1 - v. In both, v goes from 2**-54 to 1/2, with
    `PIECES` intervals of one length in each octave.
    """

    edges: np.ndarray[Any, Any]
    """Where all but the first interval begin, once; shape (424 - 1,)."""
    centre: np.ndarray[Any, Any]
    """Shape (848,)."""
    scale: np.ndarray[Any, Any]
    """Inverse of half an interval, a power of two; shape (848,)."""
    coefficients: np.ndarray[Any, Any]
    """Of the powers of (v - centre) * scale, which is in [-1, 1]; shape (degree + 1, 848)."""


@functools.cache
def _pieces(dtype: str) -> _Pieces:
    # NumPy runs and rounds each of these operations by itself, so the table is the same everywhere.
    octave = np.repeat(np.ldexp(1.0, np.arange(-OCTAVES - 1, -1)), PIECES)
    step = np.tile(np.arange(PIECES), OCTAVES)
    half = octave / (2 * PIECES)
    centre = octave + (2 * step + 1) * half
    doublings = np.repeat(np.arange(OCTAVES, 0, -1), PIECES)
    minus_log = np.concatenate(
        [doublings * LN2 + _minus_log_complement(1 - centre / octave / 2), _minus_log_complement(centre)]
    )
    # With p = p0 (1 + ratio t), the series of -2 log p is -2 log p0 + the sum of 2 (-ratio t)**k / k.
    ratio = np.concatenate([half / centre, -half / (1 - centre)])
    root = [np.sqrt(2 * minus_log)]
    power = np.ones_like(ratio)
    for k in range(1, RADIUS_DEGREE[dtype] + 1):
        power = power * -ratio
        known = sum((root[i] * root[k - i] for i in range(1, k)), np.zeros_like(ratio))
        root.append((2 * power / k - known) / (2 * root[0]))
    edges = octave + 2 * step * half
    table = (edges[1:], np.tile(centre, 2), np.tile(1 / half, 2), np.stack(root))
    return _Pieces(*(part.astype(dtype) for part in table))


def _minus_log_complement(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``-log(1 - x)`` for x from 0 to 1/2, by its series."""
    total = np.zeros_like(x)
    for k in range(60, 0, -1):
        total = total * x + 1 / k
    product: np.ndarray[Any, Any] = total * x
    return product


def _radius(origin: Source, u: RawArray, dtype: str) -> RawArray:
    """``sqrt(-2 log p)`` with p uniform in (0, 1), symmetric about 1/2, from u in [0, 1)."""
    edges, centre, scale, coefficients = _pieces(dtype)
    upper = u >= 0.5
    v = xp.where(upper, u - 0.5, u) + 2.0 ** -(N_BITS[dtype] + 1)
    piece = xp.searchsorted(origin.constant(edges), v, side="right")
    piece = piece + xp.astype(upper, piece.dtype) * (OCTAVES * PIECES)
    t = (v - xp.take(origin.constant(centre), piece)) * xp.take(origin.constant(scale), piece)
    total = xp.zeros_like(t)
    for row in coefficients[::-1]:
        total = total * t + xp.take(origin.constant(row), piece)
    return total


def _circle(u: RawArray, dtype: str) -> tuple[RawArray, RawArray]:
    """The coordinates of a point on the unit circle, uniform, from u in [0, 1)."""
    quadrant = xp.floor(u * 4.0)
    # Halfway between multiples of the last bit, so that sines are symmetric and not 0.
    angle = (u * 4.0 - quadrant + (2.0 ** -(N_BITS[dtype] - 1) - 0.5)) * (math.pi / 2)
    square = angle * angle
    sine, cosine = 0.0, 0.0
    for k in range(CIRCLE_TERMS[dtype] - 1, -1, -1):
        sign = -1 if k % 2 else 1
        sine = sine * square + sign / math.factorial(2 * k + 1)
        cosine = cosine * square + sign / math.factorial(2 * k)
    sine = sine * angle
    cosine = xp.where(quadrant < 2.0, cosine, -cosine)
    swapped = (quadrant == 1.0) | (quadrant == 3.0)
    return xp.where(swapped, sine, cosine), xp.where(swapped, cosine, sine)
