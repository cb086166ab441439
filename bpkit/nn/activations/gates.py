"""Activations that multiply: a value and how much of it passes."""

import math
from typing import Literal

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.transforms.custom import custom_jvp

__all__ = ["gelu", "glu", "hardswish", "mish", "silu", "swish"]

_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def gelu(z: RawArray, /, approximate: Literal["none", "tanh"] = "none") -> RawArray:
    """`z` times the probability that a standard normal number is below it.

    Derivative: ``cdf(z) + z * pdf(z)``.

    Parameters
    ----------
    z : array of any shape, floating
    approximate : {"none", "tanh"}
        "tanh" for ``z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))``, which is off by less than
        0.001.

    Returns
    -------
    array of `z`'s shape and dtype

    Raises
    ------
    ArgumentError
        If there is no such approximation.
    BackendNotInstalledError
        If the library has no error function and SciPy, which has, is missing.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units" (2016).

    Examples
    --------
    >>> from bpkit import xp
    >>> gelu(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    if approximate == "none":
        return z * xp.special.ndtr(z)
    if approximate != "tanh":
        raise ArgumentError(f'gelu: approximate: expected "none" or "tanh", got {approximate!r}')
    return _gelu_by_tanh(z)


@custom_jvp
def _gelu_by_tanh(z: RawArray) -> RawArray:
    return z * _share_by_tanh(z)[0]


@_gelu_by_tanh.defjvp
def _(primals: tuple[RawArray], tangents: tuple[RawArray]) -> tuple[RawArray, RawArray]:
    """One number for each element is kept for the way back, in place of all that the formula makes."""
    (z,), (t,) = primals, tangents
    share, slope = _share_by_tanh(z)
    return z * share, (share + z * slope) * t


def _share_by_tanh(z: RawArray) -> tuple[RawArray, RawArray]:
    """How much of `z` passes, and the derivative of that."""
    # Beyond 100 the tanh is 1 or -1 anyway, and its argument cannot overflow.
    near = xp.clip(z, -100.0, 100.0)
    square = xp.square(near)
    y = xp.tanh(_ROOT * near * (1.0 + _CUBE * square))
    return 0.5 * (1.0 + y), (0.5 * _ROOT) * (1.0 - xp.square(y)) * (1.0 + (3.0 * _CUBE) * square)


def silu(z: RawArray, /) -> RawArray:
    """``z * sigmoid(z)``, also called swish.

    Derivative: ``sigmoid(z) * (1 + z * (1 - sigmoid(z)))``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning" (2017).

    Examples
    --------
    >>> from bpkit import xp
    >>> silu(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    return z * xp.expit(z)


def mish(z: RawArray, /) -> RawArray:
    """``z * tanh(softplus(z))``.

    Derivative: ``t + z * sigmoid(z) * (1 - t**2)`` with ``t = tanh(softplus(z))``.

    Parameters
    ----------
    z : array of any shape, floating

    Returns
    -------
    array of `z`'s shape and dtype

    References
    ----------
    D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> from bpkit import xp
    >>> mish(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    return z * xp.tanh(xp.softplus(z))


def hardswish(z: RawArray, /) -> RawArray:
    """``z * hardsigmoid(z)``: 0 below -3, `z` above 3, a parabola between.

    Derivative: ``z / 3 + 1 / 2`` between -3 and 3, 0 from -3 down and 1 from 3 up.

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
    >>> hardswish(xp.asarray([-4.0, 0.0, 1.5, 4.0]))
    array([0.   , 0.   , 1.125, 4.   ])
    """
    inside = xp.abs(z) < 3.0
    middle = xp.where(inside, z, 0.0)
    return xp.where(inside, middle * (middle / 6.0 + 0.5), xp.relu(z))


def glu(z: RawArray, /, axis: int = -1) -> RawArray:
    """The first half of `z` along an axis times the sigmoid of the second.

    Derivative: ``sigmoid(b)`` in the first half ``a``, and ``a * sigmoid(b) * (1 - sigmoid(b))`` in the
    second, ``b``.

    Parameters
    ----------
    z : array with an even length along `axis`, floating
    axis : int

    Returns
    -------
    array of `z`'s dtype, half as long along `axis`

    Raises
    ------
    ShapeError
        If the length along `axis` is odd.

    References
    ----------
    Y. Dauphin, A. Fan, M. Auli and D. Grangier, "Language modeling with gated convolutional networks",
    ICML 2017.

    Examples
    --------
    >>> from bpkit import xp
    >>> glu(xp.asarray([3.0, 5.0, 0.0, 1000.0]))
    array([1.5, 5. ])
    """
    if z.ndim == 0 or z.shape[axis] % 2:
        raise ShapeError(
            f"glu: expected an even length along axis {axis}, got z of shape {tuple(z.shape)}; one half "
            f"gates the other"
        )
    half = z.shape[axis] // 2
    before = (slice(None),) * (axis % z.ndim)
    return z[(*before, slice(half), ...)] * xp.expit(z[(*before, slice(half, None), ...)])


swish = silu
"""The same function as :func:`silu`."""
