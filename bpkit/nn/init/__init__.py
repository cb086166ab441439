"""Initialisers: functions ``(key, shape, dtype) -> array`` that draw a layer's first weights.

A weight has the shape ``(out, in, *window)``; each of its ``out`` rows sees ``fan_in = in * prod(window)``
numbers, and each of its inputs is seen by ``fan_out = out * prod(window)``. A random number is only ever
scaled by one exactly rounded operation after another, so that a key gives the same weights to the bit on
every backend. Options are keywords: :func:`functools.partial` makes an initialiser of a function with
options, as in ``partial(init.orthogonal, gain=2.0)``.
"""

from collections.abc import Callable
from typing import Any

from bpkit._protocol import RawArray
from bpkit.nn.init.fans import (
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_uniform,
    scaled_normal,
)
from bpkit.nn.init.matrices import identity, orthogonal, sparse
from bpkit.nn.init.plain import constant, ones, standard_normal, truncated_normal, uniform, zeros

__all__ = [
    "Initializer",
    "bias_for",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "scaled_normal",
    "sparse",
    "standard_normal",
    "truncated_normal",
    "uniform",
    "zeros",
]

Initializer = Callable[[RawArray, tuple[int, ...], Any], RawArray]
"""``init(key, shape, dtype)`` draws the weights of a layer, an array of that shape and dtype."""

lecun_normal = scaled_normal
"""LeCun's is the second of Nielsen's book."""


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
