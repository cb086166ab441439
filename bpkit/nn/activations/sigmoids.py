"""Activations that saturate: from a lower bound to an upper one."""

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["hardsigmoid", "hardtanh", "identity", "logsigmoid", "sigmoid", "softsign", "tanh"]


def sigmoid(z: RawArray, /) -> RawArray:
    """The logistic function, ``1 / (1 + exp(-z))``.

    Derivative: ``sigmoid(z) * (1 - sigmoid(z))``. It neither overflows nor warns for any `z`.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype, in [0, 1]

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1, equation 3.

    Examples
    --------
    >>> from bpkit import xp
    >>> sigmoid(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return xp.expit(z)


def tanh(z: RawArray, /) -> RawArray:
    """The hyperbolic tangent.

    Derivative: ``1 - tanh(z)**2``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype, in [-1, 1]

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equation 109.

    Examples
    --------
    >>> from bpkit import xp
    >>> tanh(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([-1.,  0.,  1.])
    """
    return xp.tanh(z)


def identity(z: RawArray, /) -> RawArray:
    """Return `z` itself, unchanged.

    Parameters
    ----------
    z : array of any shape and dtype

    Returns
    -------
    array
        The same object.

    Examples
    --------
    >>> from bpkit import xp
    >>> z = xp.asarray([1.0])
    >>> identity(z) is z
    True
    """
    return z


def logsigmoid(z: RawArray, /) -> RawArray:
    """Logarithm of :func:`sigmoid`, accurate where that rounds to 0 or 1.

    Derivative: ``sigmoid(-z)``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> logsigmoid(xp.asarray([-1000.0, 1000.0]))
    array([-1000.,     0.])
    """
    return xp.log_expit(z)


def softsign(z: RawArray, /) -> RawArray:
    """``z / (1 + abs(z))``, which approaches -1 and 1 more slowly than tanh.

    Derivative: ``1 / (1 + abs(z))**2``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.

    Examples
    --------
    >>> from bpkit import xp
    >>> softsign(xp.asarray([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """
    return z / (1.0 + xp.abs(z))


def hardtanh(z: RawArray, /, min_val: float = -1.0, max_val: float = 1.0) -> RawArray:
    """`z` between two bounds, and the nearer bound outside.

    Derivative: 1 between the bounds and 0 outside, also at the bounds.

    Parameters
    ----------
    z : array of any shape, floating
    min_val, max_val : float

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> hardtanh(xp.asarray([-2.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    return xp.where(z <= min_val, min_val, xp.where(z >= max_val, max_val, z))


def hardsigmoid(z: RawArray, /) -> RawArray:
    """The straight line ``z / 6 + 1 / 2`` between -3 and 3; 0 below and 1 above.

    Derivative: 1 / 6 between -3 and 3 and 0 outside, also at -3 and 3.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> from bpkit import xp
    >>> hardsigmoid(xp.asarray([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    return xp.where(z <= -3.0, 0.0, xp.where(z >= 3.0, 1.0, z / 6.0 + 0.5))
