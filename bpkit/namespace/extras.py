"""What networks need and the standard lacks, each defined in the standard's functions.

Numerically these hold for every finite input, without overflow on the way: exponentials are taken of
non-positive numbers only.
"""

from typing import Any

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.kinds import raw
from bpkit.namespace.arithmetic import maximum, minimum, subtract
from bpkit.namespace.comparison import equal
from bpkit.namespace.dtypes import astype, backend_for, finfo, iinfo
from bpkit.namespace.manipulation import expand_dims, moveaxis, reshape
from bpkit.namespace.operands import floating
from bpkit.namespace.searching import where
from bpkit.namespace.statistical import max, sum
from bpkit.namespace.transcendental import exp, log, logaddexp
from bpkit.trace import call

__all__ = [
    "expit",
    "log_expit",
    "log_softmax",
    "logsumexp",
    "one_hot",
    "relu",
    "softmax",
    "softplus",
    "stop_gradient",
]


def expit(x: RawArray, /) -> RawArray:
    """Logistic function ``1 / (1 + exp(-x))`` of each element, the book's sigmoid neuron.

    Derivative: ``expit(x) * (1 - expit(x))``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype
        In [0, 1]; exactly 0 and 1 at the infinities.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning, 2015, chapter 1, equation (3).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.expit(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return call("expit", *floating("expit", x))


@definition("expit")
def _expit(xp: Any, x: RawArray) -> RawArray:
    # 1 / (1 + exp(-x)) for x >= 0 and exp(x) / (1 + exp(x)) for x < 0: neither overflows, and small results
    # keep their precision. A second exponential is three times as fast in NumPy as choosing with where.
    return xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))


def log_expit(x: RawArray, /) -> RawArray:
    """Logarithm of :func:`expit`, accurate where that rounds to 0 or 1.

    Derivative: ``expit(-x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log_expit(xp.asarray([-1000.0, 0.0]))
    array([-1.00000000e+03, -6.93147181e-01])
    """
    return call("log_expit", *floating("log_expit", x))


@definition("log_expit")
def _log_expit(xp: Any, x: RawArray) -> RawArray:
    # log(1 / (1 + exp(-x))) is -log1p(exp(-x)) for x >= 0 and x - log1p(exp(x)) for x < 0.
    return xp.minimum(x, 0.0) - xp.log1p(xp.exp(-xp.abs(x)))


def relu(x: RawArray, /) -> RawArray:
    """Each element, or 0 where it is negative.

    Derivative: 1 where `x` is positive and 0 elsewhere, also at 0.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.relu(xp.asarray([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """
    return call("relu", x)


@definition("relu")
def _relu(xp: Any, x: RawArray) -> RawArray:
    return xp.maximum(x, 0.0)


def softplus(x: RawArray, /) -> RawArray:
    """``log(1 + exp(x))`` of each element, a smooth :func:`relu`.

    Derivative: ``expit(x)``.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.softplus(xp.asarray([-1000.0, 0.0, 1000.0]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return logaddexp(x, 0.0)


def stop_gradient(x: RawArray, /) -> RawArray:
    """`x` as a constant: derivatives do not pass.

    Parameters
    ----------
    x : array of any shape and dtype

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.stop_gradient(xp.asarray([1.0, 2.0]))
    array([1., 2.])
    """
    return call("stop_gradient", x)


@definition("stop_gradient")
def _stop_gradient(xp: Any, x: RawArray) -> RawArray:
    return x


def _shift(largest: RawArray) -> RawArray:
    # Clipping keeps x - shift defined where the largest is infinite: the infinite elements stay so, and
    # finite ones vanish beside +inf.
    limits = finfo(largest)
    return minimum(maximum(largest, float(limits.min)), float(limits.max))


def logsumexp(
    x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> RawArray:
    """``log(sum(exp(x)))`` along `axis`, without overflow on the way.

    Derivative: the :func:`softmax` over `axis`; 0 where all elements are ``-inf``, and shared by those that
    are ``inf`` where there are any.

    Parameters
    ----------
    x : array of any shape, real floating-point
    axis : int or tuple of int, optional
        None reduces over all axes.
    keepdims : bool
        Keep the reduced axes with length 1.

    Returns
    -------
    array of `x`'s dtype
        ``-inf`` where all elements are; ``inf`` where one is.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.logsumexp(xp.asarray([[1000.0, 1000.0], [0.0, -1000.0]]), axis=1)
    array([1000.69314718,    0.        ])
    """
    return call("logsumexp", x, axis=axis, keepdims=keepdims)


@definition("logsumexp")
def _logsumexp(xp: Any, x: RawArray, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> RawArray:
    largest = max(x, axis=axis, keepdims=True)
    total = sum(exp(subtract(x, _shift(largest))), axis=axis, keepdims=True)
    # The sum is at least 1, or 0 where every element is -inf, and then the shift says so by itself.
    result = log(where(equal(total, 0.0), 1.0, total)) + largest
    return result if keepdims else reshape(result, _reduced_shape(x.shape, axis))


def _reduced_shape(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if axis is None:
        return ()
    gone = {i % len(shape) for i in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(length for i, length in enumerate(shape) if i not in gone)


def softmax(x: RawArray, /, *, axis: int = -1) -> RawArray:
    """``exp(x) / sum(exp(x))`` along one axis: positive numbers that add up to 1.

    Derivative, for a cotangent g and the result y: ``y * (g - sum(g * y))``.

    Parameters
    ----------
    x : array of real floating-point dtype, at least one axis
    axis : int

    Returns
    -------
    array of `x`'s shape and dtype
        NaN along an axis where all elements are ``-inf`` or one is ``inf``.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning, 2015, chapter 3, equation (78).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.softmax(xp.asarray([1000.0, 1000.0, -1000.0]))
    array([0.5, 0.5, 0. ])
    """
    return call("softmax", x, axis=axis)


@definition("softmax")
def _softmax(xp: Any, x: RawArray, *, axis: int) -> RawArray:
    terms = exp(subtract(x, _shift(max(x, axis=axis, keepdims=True))))
    return terms / sum(terms, axis=axis, keepdims=True)


def log_softmax(x: RawArray, /, *, axis: int = -1) -> RawArray:
    """Logarithm of :func:`softmax`, accurate where that rounds to 0.

    Derivative, for a cotangent g: ``g - softmax(x) * sum(g)``.

    Parameters
    ----------
    x : array of real floating-point dtype, at least one axis
    axis : int

    Returns
    -------
    array of `x`'s shape and dtype
        NaN along an axis where all elements are ``-inf`` or one is ``inf``.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log_softmax(xp.asarray([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return call("log_softmax", x, axis=axis)


@definition("log_softmax")
def _log_softmax(xp: Any, x: RawArray, *, axis: int) -> RawArray:
    shifted = subtract(x, _shift(max(x, axis=axis, keepdims=True)))
    return shifted - log(sum(exp(shifted), axis=axis, keepdims=True))


def one_hot(x: RawArray, /, num_classes: int, *, dtype: object = None, axis: int = -1) -> RawArray:
    """A 1 at each label's place on a new axis and 0 elsewhere.

    Parameters
    ----------
    x : integer array of any shape
        Labels; one outside ``range(num_classes)`` gives zeros only.
    num_classes : int
        Length of the new axis.
    dtype : dtype or str, optional
        None takes the library's default for floats.
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    array of `x`'s shape with the new axis, and its library

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.one_hot(xp.asarray([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    xp = backend_for(x).xp
    device = getattr(raw(x), "device", None)
    if dtype is None:
        dtype = xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]
    # A narrow label dtype cannot count to num_classes; the default integer can, and compares with it.
    wide = num_classes - 1 > iinfo(x).max
    classes = xp.arange(num_classes, dtype=None if wide else x.dtype, device=device)
    hot = astype(equal(expand_dims(x, -1), classes), dtype)
    return hot if axis in (-1, x.ndim) else moveaxis(hot, -1, axis)
