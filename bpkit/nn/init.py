"""Initialisers: functions ``(key, shape, dtype) -> array`` that draw a layer's first weights.

A weight has the shape ``(out, in, *window)``; each of its ``out`` rows sees ``fan_in = in * prod(window)``
numbers, and each of its inputs is seen by ``fan_out = out * prod(window)``. A random number is only ever
scaled by one exactly rounded operation after another, so that a key gives the same weights to the bit on
every backend.
"""

import math
from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ShapeError

__all__ = [
    "Initializer",
    "bias_for",
    "glorot_uniform",
    "he_normal",
    "scaled_normal",
    "standard_normal",
    "zeros",
]

Initializer = Callable[[RawArray, tuple[int, ...], Any], RawArray]


def standard_normal(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Independent draws from N(0, 1), whatever the shape.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
    dtype : floating dtype or None
        None for the default of the current backend.

    Returns
    -------
    array of the given shape and dtype

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1: the first network starts like this, its
    biases too.

    Examples
    --------
    >>> from bpkit import random
    >>> standard_normal(random.key(0), (3, 2)).shape
    (3, 2)
    """
    return random.normal(key, shape, dtype)


def scaled_normal(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Draws from ``N(0, 1 / fan_in)``, so that a weighted input of unit inputs has unit variance.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, "Weight initialization".
    Y. LeCun, L. Bottou, G. Orr and K.-R. Müller, "Efficient BackProp" (1998), section 4.6.

    Examples
    --------
    >>> from bpkit import random
    >>> abs(float(scaled_normal(random.key(0), (1, 10_000))[0, 0])) < 0.1
    True
    """
    fan_in, _ = _fans("scaled_normal", shape)
    return random.normal(key, shape, dtype) * (1.0 / math.sqrt(fan_in))


def glorot_uniform(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Draws from ``U(-a, a)`` with ``a = sqrt(6 / (fan_in + fan_out))``.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010, equation 16.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> w = glorot_uniform(random.key(0), (2, 4))
    >>> bool(xp.all(xp.abs(w) <= 1.0))
    True
    """
    fan_in, fan_out = _fans("glorot_uniform", shape)
    # Doubling is exact, so a compiler that fuses it with the subtraction changes no bit.
    return (random.uniform(key, shape, dtype) * 2.0 - 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def he_normal(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Draws from ``N(0, 2 / fan_in)``, which keeps the variance through rectifiers.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> from bpkit import random
    >>> he_normal(random.key(0), (30, 784)).shape
    (30, 784)
    """
    fan_in, _ = _fans("he_normal", shape)
    return random.normal(key, shape, dtype) * math.sqrt(2.0 / fan_in)


def zeros(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Zeros; the key is not used.

    Parameters
    ----------
    key : array
        Ignored.
    shape : tuple of int
    dtype : floating dtype or None
        None for the default of the current backend.

    Returns
    -------
    array of the given shape and dtype

    Examples
    --------
    >>> from bpkit import random
    >>> zeros(random.key(0), (3,))
    array([0., 0., 0.])
    """
    return xp.zeros(shape, dtype=dtype)


def bias_for(init: Initializer) -> Initializer:
    """The initialiser of the biases where the weights have `init` and nothing else is asked for.

    Parameters
    ----------
    init : callable
        An initialiser of weights.

    Returns
    -------
    callable
        :func:`standard_normal` for the two of Nielsen's book, which draw the biases from N(0, 1) in chapter 1
        and in chapter 3; :func:`zeros` for every other.

    Examples
    --------
    >>> bias_for(glorot_uniform) is zeros
    True
    """
    return standard_normal if init in (standard_normal, scaled_normal) else zeros


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2 or min(shape) < 1:
        raise ShapeError(
            f"{name}: expected the shape (out, in, *window) of a weight, all sizes positive, got "
            f"{tuple(shape)}; standard_normal and zeros take any shape"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window
