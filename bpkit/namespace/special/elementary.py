"""What is elementary but needs care: at 0, or where terms cancel.

Each is one formula in standard functions; a library's own kernel is only faster.
"""

import math

from bpkit._protocol import RawArray
from bpkit.namespace.arithmetic import add, divide, multiply
from bpkit.namespace.operands import floating, special_function

__all__ = [
    "boxcox",
    "boxcox1p",
    "cbrt",
    "cosdg",
    "cosm1",
    "cotdg",
    "entr",
    "exp2",
    "exp10",
    "exprel",
    "huber",
    "inv_boxcox",
    "inv_boxcox1p",
    "kl_div",
    "logit",
    "pseudo_huber",
    "radian",
    "rel_entr",
    "sinc",
    "sindg",
    "tandg",
    "xlog1py",
    "xlogy",
]


def logit(x: RawArray, /) -> RawArray:
    """``log(x / (1 - x))``, the inverse of :func:`expit`.

    Derivative: ``1 / (x * (1 - x))``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.logit(xp.asarray([0.1, 0.5]))
    array([-2.19722458,  0.        ])
    """
    return special_function("logit", x)


def cbrt(x: RawArray, /) -> RawArray:
    """Cube root, also of negative numbers.

    Derivative: ``1 / (3 * cbrt(x)**2)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.cbrt(xp.asarray([-8.0, 27.0]))
    array([-2.,  3.])
    """
    return special_function("cbrt", x)


def exp2(x: RawArray, /) -> RawArray:
    """``2**x``.

    Derivative: ``log(2) * 2**x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.exp2(xp.asarray([-1.0, 3.0]))
    array([0.5, 8. ])
    """
    return special_function("exp2", x)


def exp10(x: RawArray, /) -> RawArray:
    """``10**x``.

    Derivative: ``log(10) * 10**x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.exp10(xp.asarray([-1.0, 3.0]))
    array([1.e-01, 1.e+03])
    """
    return special_function("exp10", x)


def cosm1(x: RawArray, /) -> RawArray:
    """``cos(x) - 1``, accurate where `x` is small.

    Derivative: ``-sin(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.cosm1(xp.asarray([0.0, 1e-10]))
    array([ 0.e+00, -5.e-21])
    """
    return special_function("cosm1", x)


def exprel(x: RawArray, /) -> RawArray:
    """``(exp(x) - 1) / x``, 1 at 0.

    Derivative: ``(exp(x) - exprel(x)) / x``, by its power series near 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.exprel(xp.asarray([-1.0, 0.0, 1.0]))
    array([0.63212056, 1.        , 1.71828183])
    """
    return special_function("exprel", x)


def sinc(x: RawArray, /) -> RawArray:
    """``sin(pi * x) / (pi * x)``, 1 at 0.

    Derivative: ``(cos(pi * x) - sinc(x)) / x``, by its power series near 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.sinc(xp.asarray([0.0, 0.5, 1.5]))
    array([ 1.        ,  0.63661977, -0.21220659])
    """
    return special_function("sinc", x)


def sindg(x: RawArray, /) -> RawArray:
    """Sine of an angle in degrees, exact at multiples of 30.

    Derivative: ``pi / 180 * cosdg(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.sindg(xp.asarray([30.0, 180.0]))
    array([ 0.5, -0. ])
    """
    return special_function("sindg", x)


def cosdg(x: RawArray, /) -> RawArray:
    """Cosine of an angle in degrees, exact at multiples of 30.

    Derivative: ``-pi / 180 * sindg(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.cosdg(xp.asarray([60.0, 90.0]))
    array([ 0.5, -0. ])
    """
    return special_function("cosdg", x)


def tandg(x: RawArray, /) -> RawArray:
    """Tangent of an angle in degrees.

    Derivative: ``pi / 180 * (1 + tandg(x)**2)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.tandg(xp.asarray([0.0, 45.0]))
    array([0., 1.])
    """
    return special_function("tandg", x)


def cotdg(x: RawArray, /) -> RawArray:
    """Cotangent of an angle in degrees.

    Derivative: ``-pi / 180 * (1 + cotdg(x)**2)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.cotdg(xp.asarray([45.0, 90.0]))
    array([1., 0.])
    """
    return special_function("cotdg", x)


def entr(x: RawArray, /) -> RawArray:
    """``-x * log(x)``, 0 at 0 and -inf below.

    Derivative: ``-log(x) - 1``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.entr(xp.asarray([0.0, 0.5, 1.0]))
    array([ 0.        ,  0.34657359, -0.        ])
    """
    return special_function("entr", x)


def xlogy(x: RawArray, y: RawArray, /) -> RawArray:
    """``x * log(y)``, 0 where `x` is 0.

    Derivative: ``log(y)`` by `x`, ``x / y`` by `y`, which is 0 where both are.

    Parameters
    ----------
    x, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.xlogy(xp.asarray([0.0, 2.0]), xp.asarray([0.0, 3.0]))
    array([0.        , 2.19722458])
    """
    return special_function("xlogy", x, y)


def xlog1py(x: RawArray, y: RawArray, /) -> RawArray:
    """``x * log1p(y)``, 0 where `x` is 0.

    Derivative: ``log1p(y)`` by `x`, ``x / (1 + y)`` by `y`, which is 0 where both are.

    Parameters
    ----------
    x, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.xlog1py(xp.asarray([0.0, 2.0]), xp.asarray([-1.0, 3.0]))
    array([0.        , 2.77258872])
    """
    return special_function("xlog1py", x, y)


def radian(d: RawArray, m: RawArray, s: RawArray, /) -> RawArray:
    """Angle of `d` degrees, `m` minutes and `s` seconds in radians.

    Derivative: ``pi / 180`` by `d`, ``pi / 10800`` by `m`, ``pi / 648000`` by `s`.

    Parameters
    ----------
    d, m, s : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.radian(xp.asarray([90.0, 1.0]), 30.0, 0.0)
    array([1.57952297, 0.02617994])
    """
    d, m, s = floating("radian", d, m, s)
    return multiply(add(d, add(divide(m, 60.0), divide(s, 3600.0))), math.pi / 180)


def rel_entr(x: RawArray, y: RawArray, /) -> RawArray:
    """``x * log(x / y)``, a term of the relative entropy; 0 where `x` is 0, inf where one is negative.

    Derivative: ``log(x / y) + 1`` by `x`, ``-x / y`` by `y`; both 0 where `x` and `y` are.

    Parameters
    ----------
    x, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.rel_entr(xp.asarray([0.0, 2.0]), xp.asarray([1.0, 3.0]))
    array([ 0.        , -0.81093022])
    """
    return special_function("rel_entr", x, y)


def kl_div(x: RawArray, y: RawArray, /) -> RawArray:
    """``x * log(x / y) - x + y``, a term of the Kullback-Leibler divergence that is never negative.

    Derivative: ``log(x / y)`` by `x`, ``1 - x / y`` by `y`; both 0 where `x` and `y` are.

    Parameters
    ----------
    x, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.kl_div(xp.asarray([0.0, 2.0]), xp.asarray([1.0, 3.0]))
    array([1.        , 0.18906978])
    """
    return special_function("kl_div", x, y)


def huber(delta: RawArray, r: RawArray, /) -> RawArray:
    """``r**2 / 2`` within `delta` of 0, ``delta * (abs(r) - delta / 2)`` outside.

    Derivative: `r` clipped to `delta`, by `r`; by how much `r` exceeds `delta`, by `delta`.

    Parameters
    ----------
    delta, r : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.huber(1.0, xp.asarray([0.5, 1.0, 3.0]))
    array([0.125, 0.5  , 2.5  ])
    """
    return special_function("huber", delta, r)


def pseudo_huber(delta: RawArray, r: RawArray, /) -> RawArray:
    """``delta**2 * (sqrt(1 + (r / delta)**2) - 1)``, a smooth :func:`huber`.

    Derivative: with ``h = hypot(delta, r)``, ``delta * r / h`` by `r` and ``r**4 / (h * (h + delta)**2)``
    by `delta`.

    Parameters
    ----------
    delta, r : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.pseudo_huber(1.0, xp.asarray([0.5, 1.0, 3.0]))
    array([0.11803399, 0.41421356, 2.16227766])
    """
    return special_function("pseudo_huber", delta, r)


def boxcox(x: RawArray, lmbda: RawArray, /) -> RawArray:
    """Box-Cox transform ``(x**lmbda - 1) / lmbda``, ``log(x)`` where `lmbda` is 0.

    Derivative: ``x**(lmbda - 1)`` by `x`; by `lmbda` that of ``log(x) * exprel(lmbda * log(x))``.

    Parameters
    ----------
    x, lmbda : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.boxcox(xp.asarray([0.5, 2.0]), xp.asarray([0.0, 2.0]))
    array([-0.69314718,  1.5       ])
    """
    return special_function("boxcox", x, lmbda)


def boxcox1p(x: RawArray, lmbda: RawArray, /) -> RawArray:
    """Box-Cox transform of ``1 + x``, accurate where `x` is small.

    Derivative: that of :func:`boxcox` at ``1 + x``.

    Parameters
    ----------
    x, lmbda : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.boxcox1p(xp.asarray([0.5, 2.0]), xp.asarray([0.0, 2.0]))
    array([0.40546511, 4.        ])
    """
    return special_function("boxcox1p", x, lmbda)


def inv_boxcox(y: RawArray, lmbda: RawArray, /) -> RawArray:
    """The `x` with ``boxcox(x, lmbda) == y``.

    Derivative: ``x / (1 + lmbda * y)`` by `y`; by `lmbda` that of ``exp(log1p(lmbda * y) / lmbda)``, by
    its power series where `lmbda` is small.

    Parameters
    ----------
    y, lmbda : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.inv_boxcox(xp.asarray([0.5, 2.0]), xp.asarray([0.0, 2.0]))
    array([1.64872127, 2.23606798])
    """
    return special_function("inv_boxcox", y, lmbda)


def inv_boxcox1p(y: RawArray, lmbda: RawArray, /) -> RawArray:
    """The `x` with ``boxcox1p(x, lmbda) == y``.

    Derivative: that of :func:`inv_boxcox`.

    Parameters
    ----------
    y, lmbda : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.inv_boxcox1p(xp.asarray([0.5, 2.0]), xp.asarray([0.0, 2.0]))
    array([0.64872127, 1.23606798])
    """
    return special_function("inv_boxcox1p", y, lmbda)
