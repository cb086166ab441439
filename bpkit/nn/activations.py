"""Activation functions: plain functions of an array, usable as layers of a :class:`bpkit.nn.Sequential`."""

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["identity", "relu", "sigmoid", "softmax", "tanh"]


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


def relu(z: RawArray, /) -> RawArray:
    """The rectifier, ``max(z, 0)``.

    Derivative: 1 where ``z > 0`` and 0 where ``z < 0``; at 0 that of :func:`bpkit.xp.relu`.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> from bpkit import xp
    >>> relu(xp.asarray([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """
    return xp.relu(z)


def softmax(z: RawArray, /, axis: int = -1) -> RawArray:
    """Positive numbers that sum to one, ``exp(z) / sum(exp(z))`` along an axis.

    It does not overflow for any finite `z`. To train with the cross-entropy, leave it out of the model and
    use :func:`bpkit.losses.softmax_cross_entropy`, which takes the logits.

    Parameters
    ----------
    z : array of any shape with at least one dimension, floating
    axis : int
        The axis of the classes.

    Returns
    -------
    array of `z`'s shape and dtype, in [0, 1]

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equation 78.

    Examples
    --------
    >>> from bpkit import xp
    >>> softmax(xp.asarray([[0.0, 0.0], [0.0, 1000.0]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return xp.softmax(z, axis=axis)


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
