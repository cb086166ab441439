"""Weights whose variance follows from how many inputs and outputs they connect."""

import math
from typing import Any, Literal

from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError

__all__ = [
    "fans",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_uniform",
    "scaled_normal",
]


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
    fan_in, _ = fans("scaled_normal", shape)
    return random.normal(key, shape, dtype) * (1.0 / math.sqrt(fan_in))


def glorot_uniform(
    key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, gain: float = 1.0
) -> RawArray:
    """Draws from ``U(-a, a)`` with ``a = gain * sqrt(6 / (fan_in + fan_out))``.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    gain : float
        Factor of the numbers.

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
    fan_in, fan_out = fans("glorot_uniform", shape)
    return _symmetric(key, shape, dtype) * (gain * math.sqrt(6.0 / (fan_in + fan_out)))


def glorot_normal(key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, gain: float = 1.0) -> RawArray:
    """Draws from ``N(0, gain**2 * 2 / (fan_in + fan_out))``.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    gain : float
        Factor of the numbers.

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
    AISTATS 2010, equation 12.

    Examples
    --------
    >>> from bpkit import random
    >>> glorot_normal(random.key(0), (30, 784)).shape
    (30, 784)
    """
    fan_in, fan_out = fans("glorot_normal", shape)
    return random.normal(key, shape, dtype) * (gain * math.sqrt(2.0 / (fan_in + fan_out)))


def he_uniform(
    key: RawArray,
    shape: tuple[int, ...],
    dtype: Any = None,
    *,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
) -> RawArray:
    """Draws from ``U(-a, a)`` with ``a = sqrt(3 * 2 / fan_in)``, which keeps the variance through rectifiers.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    negative_slope : float
        Of the leaky rectifier after it: 2 becomes ``2 / (1 + negative_slope**2)``.
    mode : {"fan_in", "fan_out"}
        Which of the two keeps its variance: the outputs, or the gradients with respect to the inputs.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.
    ArgumentError
        If there is no such mode.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> from bpkit import random
    >>> he_uniform(random.key(0), (30, 784)).shape
    (30, 784)
    """
    variance = _he_variance("he_uniform", shape, negative_slope, mode)
    return _symmetric(key, shape, dtype) * math.sqrt(3.0 * variance)


def he_normal(
    key: RawArray,
    shape: tuple[int, ...],
    dtype: Any = None,
    *,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
) -> RawArray:
    """Draws from ``N(0, 2 / fan_in)``, which keeps the variance through rectifiers.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    negative_slope : float
        Of the leaky rectifier after it: 2 becomes ``2 / (1 + negative_slope**2)``.
    mode : {"fan_in", "fan_out"}
        Which of the two keeps its variance: the outputs, or the gradients with respect to the inputs.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.
    ArgumentError
        If there is no such mode.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> from bpkit import random
    >>> he_normal(random.key(0), (30, 784)).shape
    (30, 784)
    """
    return random.normal(key, shape, dtype) * math.sqrt(
        _he_variance("he_normal", shape, negative_slope, mode)
    )


def lecun_uniform(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Draws from ``U(-a, a)`` with ``a = sqrt(3 / fan_in)``, of variance ``1 / fan_in``.

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
    Y. LeCun, L. Bottou, G. Orr and K.-R. Müller, "Efficient BackProp" (1998), section 4.6.

    Examples
    --------
    >>> from bpkit import random
    >>> lecun_uniform(random.key(0), (30, 784)).shape
    (30, 784)
    """
    fan_in, _ = fans("lecun_uniform", shape)
    return _symmetric(key, shape, dtype) * math.sqrt(3.0 / fan_in)


def fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many numbers each row of a weight sees, and how many rows see each of its inputs."""
    if len(shape) < 2 or min(shape) < 1:
        raise ShapeError(
            f"{name}: expected the shape (out, in, *window) of a weight, all sizes positive, got "
            f"{tuple(shape)}; standard_normal and zeros take any shape"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _he_variance(name: str, shape: tuple[int, ...], negative_slope: float, mode: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f'{name}: mode: expected "fan_in" or "fan_out", got {mode!r}')
    fan_in, fan_out = fans(name, shape)
    return 2.0 / (1.0 + negative_slope**2) / (fan_in if mode == "fan_in" else fan_out)


def _symmetric(key: RawArray, shape: tuple[int, ...], dtype: Any) -> RawArray:
    """Uniform in [-1, 1)."""
    # Doubling is exact, so a compiler that fuses it with the subtraction changes no bit.
    return random.uniform(key, shape, dtype) * 2.0 - 1.0
