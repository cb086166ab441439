"""Activations over an axis: shares of a whole."""

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["log_softmax", "softmax", "softmin"]


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


def log_softmax(z: RawArray, /, axis: int = -1) -> RawArray:
    """Logarithm of :func:`softmax`, accurate where that rounds to 0.

    Derivative, for a cotangent g: ``g - softmax(z) * sum(g)``.

    Parameters
    ----------
    z : array of any shape with at least one dimension, floating
    axis : int
        The axis of the classes.

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> log_softmax(xp.asarray([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return xp.log_softmax(z, axis=axis)


def softmin(z: RawArray, /, axis: int = -1) -> RawArray:
    """``softmax(-z)``: the smallest number gets the largest share.

    Derivative, for a cotangent g and the result y: ``y * (sum(g * y) - g)``.

    Parameters
    ----------
    z : array of any shape with at least one dimension, floating
    axis : int
        The axis of the classes.

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> softmin(xp.asarray([0.0, 1000.0]))
    array([1., 0.])
    """
    return xp.softmax(-z, axis=axis)
