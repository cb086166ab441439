"""Weights that are drawn or chosen one by one, whatever the shape."""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import raw
from bpkit.registry import backend_of

__all__ = ["constant", "ones", "standard_normal", "truncated_normal", "uniform", "zeros"]


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


def uniform(
    key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, minval: float = 0.0, maxval: float = 1.0
) -> RawArray:
    """Independent draws from ``U(minval, maxval)``, whatever the shape.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
    dtype : floating dtype or None
        None for the default of the current backend.
    minval, maxval : float

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ArgumentError
        If nothing lies between the bounds.

    Examples
    --------
    >>> from bpkit import random
    >>> uniform(random.key(0), (3, 2), minval=-0.1, maxval=0.1).shape
    (3, 2)
    """
    return random.uniform(key, shape, dtype, minval, maxval)


def truncated_normal(
    key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, std: float = 1.0, bound: float = 2.0
) -> RawArray:
    r"""Draws from N(0, `std`\ ²) without those further than `bound` standard deviations from 0.

    It is :func:`bpkit.random.normal` with what is too far left out, and the bits are the same everywhere.
    Drawn on the host, so not inside :func:`bpkit.jit`.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
    dtype : floating dtype or None
        None for the default of the current backend.
    std : float
        Before the cut; with a bound of 2 that of the draws is 0.88 times this.
    bound : float
        Above 0, in units of `std`.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ArgumentError
        If `bound` is not above 0.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> w = truncated_normal(random.key(0), (100, 100), std=0.02)
    >>> bool(xp.max(xp.abs(w)) <= 0.04)
    True
    """
    if not bound > 0:
        raise ArgumentError(f"truncated_normal: bound: expected a number above 0, got {bound!r}")
    count = math.prod(shape)
    share = math.erf(bound / math.sqrt(2))
    # The first of more draws are the same draws, so that how many are made is of no consequence.
    drawn = math.ceil(count / share + 6 * math.sqrt(count + 1) / share)
    backend = backend_of(raw(key))
    while True:
        draws = random.normal(key, (drawn,), dtype)
        device = backend.device(backend.device_of(draws))
        host = backend.to_host(draws)
        kept = host[abs(host) <= bound]
        if len(kept) >= count:
            return backend.from_host(kept[:count].reshape(shape), device) * std
        drawn *= 2


def constant(key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, value: float) -> RawArray:
    """One number everywhere; the key is not used.

    Parameters
    ----------
    key : array
        Ignored.
    shape : tuple of int
    dtype : floating dtype or None
        None for the default of the current backend.
    value : float

    Returns
    -------
    array of the given shape and dtype

    Examples
    --------
    >>> from functools import partial
    >>> from bpkit import nn, random
    >>> nn.Dense(2, 3, key=random.key(0), bias_init=partial(constant, value=0.5)).bias
    array([0.5, 0.5, 0.5])
    """
    return xp.full(shape, float(value), dtype=dtype)


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


def ones(key: RawArray, shape: tuple[int, ...], dtype: Any = None) -> RawArray:
    """Ones; the key is not used.

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
    >>> ones(random.key(0), (3,))
    array([1., 1., 1.])
    """
    return xp.ones(shape, dtype=dtype)
