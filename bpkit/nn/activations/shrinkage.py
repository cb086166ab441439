"""Activations that make small numbers smaller."""

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["hardshrink", "softshrink", "tanhshrink"]


def tanhshrink(z: RawArray, /) -> RawArray:
    """``z - tanh(z)``.

    Derivative: ``tanh(z)**2``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> tanhshrink(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([-999.,    0.,  999.])
    """
    return z - xp.tanh(z)


def softshrink(z: RawArray, /, lambd: float = 0.5) -> RawArray:
    """`z` moved towards 0 by `lambd`, and 0 where that is too far.

    Derivative: 1 where ``abs(z) > lambd`` and 0 elsewhere, also at `lambd`.

    Parameters
    ----------
    z : array of any shape, floating
    lambd : float
        0 or more.

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> softshrink(xp.asarray([-2.0, 0.25, 1.0]))
    array([-1.5,  0. ,  0.5])
    """
    return xp.where(z > lambd, z - lambd, xp.where(z < -lambd, z + lambd, 0.0))


def hardshrink(z: RawArray, /, lambd: float = 0.5) -> RawArray:
    """`z`, and 0 where ``abs(z) <= lambd``.

    Derivative: 1 where ``abs(z) > lambd`` and 0 elsewhere, also at `lambd`.

    Parameters
    ----------
    z : array of any shape, floating
    lambd : float
        0 or more.

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> hardshrink(xp.asarray([-2.0, 0.25, 1.0]))
    array([-2.,  0.,  1.])
    """
    return xp.where(xp.abs(z) <= lambd, 0.0, z)
