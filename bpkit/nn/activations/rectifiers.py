"""Activations that pass what is positive and hold back what is not."""

from bpkit import namespace as xp
from bpkit._protocol import RawArray

__all__ = ["celu", "elu", "leaky_relu", "relu", "relu6", "selu", "softplus", "threshold"]

_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


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


def relu6(z: RawArray, /) -> RawArray:
    """The rectifier up to 6, ``min(max(z, 0), 6)``.

    Derivative: 1 between 0 and 6 and 0 outside, also at 0 and 6.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010).

    Examples
    --------
    >>> from bpkit import xp
    >>> relu6(xp.asarray([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """
    return xp.where(z >= 6.0, 6.0, xp.relu(z))


def leaky_relu(z: RawArray, /, negative_slope: float = 0.01) -> RawArray:
    """`z` where it is positive and ``negative_slope * z`` elsewhere.

    Derivative: 1 where ``z > 0`` and `negative_slope` elsewhere, also at 0.

    Parameters
    ----------
    z : array of any shape, floating
    negative_slope : float

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    A. Maas, A. Hannun and A. Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML 2013.

    Examples
    --------
    >>> from bpkit import xp
    >>> leaky_relu(xp.asarray([-2.0, 0.0, 3.0]), 0.1)
    array([-0.2,  0. ,  3. ])
    """
    return xp.where(z > 0, z, negative_slope * z)


def threshold(z: RawArray, /, threshold: float, value: float) -> RawArray:
    """`z` where it is above a threshold and a constant elsewhere.

    Derivative: 1 where ``z > threshold`` and 0 elsewhere, also at the threshold.

    Parameters
    ----------
    z : array of any shape, floating
    threshold, value : float

    Returns
    -------
    array of `z`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> threshold(xp.asarray([0.5, 1.0, 2.0]), 1.0, -7.0)
    array([-7., -7.,  2.])
    """
    return xp.where(z > threshold, z, value)


def softplus(z: RawArray, /, beta: float = 1.0) -> RawArray:
    """A smooth rectifier, ``log(1 + exp(beta * z)) / beta``.

    Derivative: ``sigmoid(beta * z)``. It does not overflow. It is exact for every `z`, where PyTorch has the
    straight line for ``beta * z > 20``.

    Parameters
    ----------
    z : array of any shape, floating
    beta : float
        Above 0; the larger, the sharper the bend.

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NIPS 2000.

    Examples
    --------
    >>> from bpkit import xp
    >>> softplus(xp.asarray([-1000.0, 1000.0]), 2.0)
    array([   0., 1000.])
    """
    return xp.softplus(z) if beta == 1 else xp.softplus(z * beta) / beta


def elu(z: RawArray, /, alpha: float = 1.0) -> RawArray:
    """`z` where it is positive and ``alpha * (exp(z) - 1)`` elsewhere.

    Derivative: 1 where ``z > 0`` and ``alpha * exp(z)`` elsewhere, so `alpha` at 0.

    Parameters
    ----------
    z : array of any shape, floating
    alpha : float

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", ICLR 2016.

    Examples
    --------
    >>> from bpkit import xp
    >>> elu(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([  -1.,    0., 1000.])
    """
    positive = z > 0
    return xp.where(positive, z, alpha * xp.expm1(xp.where(positive, 0.0, z)))


def selu(z: RawArray, /) -> RawArray:
    """``scale * elu(z, alpha)`` with constants that keep mean 0 and variance 1 from layer to layer.

    Derivative: ``scale`` (1.0507…) where ``z > 0`` and ``scale * alpha * exp(z)`` elsewhere, also at 0.
    Draw the weights with :func:`bpkit.nn.init.lecun_normal`.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, "Self-normalizing neural networks", NIPS 2017.

    Examples
    --------
    >>> from bpkit import xp
    >>> selu(xp.asarray([-1000.0, 0.0, 1.0]))
    array([-1.75809934,  0.        ,  1.05070099])
    """
    return _SELU_SCALE * elu(z, _SELU_ALPHA)


def celu(z: RawArray, /, alpha: float = 1.0) -> RawArray:
    """`z` where it is positive and ``alpha * (exp(z / alpha) - 1)`` elsewhere, which has no kink.

    Derivative: 1 where ``z > 0`` and ``exp(z / alpha)`` elsewhere.

    Parameters
    ----------
    z : array of any shape, floating
    alpha : float
        Above 0.

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    J. T. Barron, "Continuously differentiable exponential linear units" (2017).

    Examples
    --------
    >>> from bpkit import xp
    >>> celu(xp.asarray([-1000.0, 0.0, 1000.0]), 2.0)
    array([  -2.,    0., 1000.])
    """
    positive = z > 0
    return xp.where(positive, z, alpha * xp.expm1(xp.where(positive, 0.0, z) / alpha))
