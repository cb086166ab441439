"""Error functions, the normal distribution, and exponential integrals.

DLMF chapters 6, 7 and 25: https://dlmf.nist.gov/7
"""

from bpkit._protocol import RawArray
from bpkit.namespace.operands import special_function

__all__ = [
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "expi",
    "expn",
    "log_ndtr",
    "ndtr",
    "ndtri",
    "spence",
]


def erf(x: RawArray, /) -> RawArray:
    """Error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to `x`.

    Derivative: ``2 / sqrt(pi) * exp(-x**2)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.erf(xp.asarray([-1.0, 0.0, 1.0]))
    array([-0.84270079,  0.        ,  0.84270079])
    """
    return special_function("erf", x)


def erfc(x: RawArray, /) -> RawArray:
    """``1 - erf(x)``, accurate where that rounds to 0.

    Derivative: ``-2 / sqrt(pi) * exp(-x**2)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.erfc(xp.asarray([0.0, 1.0, 10.0]))
    array([1.00000000e+00, 1.57299207e-01, 2.08848758e-45])
    """
    return special_function("erfc", x)


def erfcx(x: RawArray, /) -> RawArray:
    """``exp(x**2) * erfc(x)``, which neither overflows nor underflows for positive `x`.

    Derivative: ``2 * x * erfcx(x) - 2 / sqrt(pi)``, by its asymptotic series where the two cancel.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.erfcx(xp.asarray([0.0, 1.0, 100.0]))
    array([1.        , 0.42758358, 0.00564161])
    """
    return special_function("erfcx", x)


def erfinv(y: RawArray, /) -> RawArray:
    """Inverse of :func:`erf`; NaN outside [-1, 1].

    Derivative: ``sqrt(pi) / 2 * exp(erfinv(y)**2)``.

    Parameters
    ----------
    y : array of any shape, real

    Returns
    -------
    array of `y`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.erfinv(xp.asarray([-0.5, 0.0, 0.5]))
    array([-0.47693628,  0.        ,  0.47693628])
    """
    return special_function("erfinv", y)


def erfcinv(y: RawArray, /) -> RawArray:
    """Inverse of :func:`erfc`; NaN outside [0, 2].

    Derivative: ``-sqrt(pi) / 2 * exp(erfcinv(y)**2)``.

    Parameters
    ----------
    y : array of any shape, real

    Returns
    -------
    array of `y`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.erfcinv(xp.asarray([0.1, 1.0]))
    array([ 1.16308715, -0.        ])
    """
    return special_function("erfcinv", y)


def ndtr(x: RawArray, /) -> RawArray:
    """Distribution function of the standard normal distribution.

    Derivative: the density ``exp(-x**2 / 2) / sqrt(2 * pi)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.ndtr(xp.asarray([-1.0, 0.0, 1.0]))
    array([0.15865525, 0.5       , 0.84134475])
    """
    return special_function("ndtr", x)


def log_ndtr(x: RawArray, /) -> RawArray:
    """Logarithm of :func:`ndtr`, accurate where that rounds to 0 or 1.

    Derivative: density over distribution function, ``sqrt(2 / pi) / erfcx(-x / sqrt(2))``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.log_ndtr(xp.asarray([-50.0, 0.0]))
    array([-1.25483136e+03, -6.93147181e-01])
    """
    return special_function("log_ndtr", x)


def ndtri(y: RawArray, /) -> RawArray:
    """Inverse of :func:`ndtr`: the quantile of the standard normal distribution.

    Derivative: ``sqrt(2 * pi) * exp(ndtri(y)**2 / 2)``.

    Parameters
    ----------
    y : array of any shape, real

    Returns
    -------
    array of `y`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.ndtri(xp.asarray([0.025, 0.5, 0.975]))
    array([-1.95996398,  0.        ,  1.95996398])
    """
    return special_function("ndtri", y)


def exp1(x: RawArray, /) -> RawArray:
    """Exponential integral E1, the integral of ``exp(-t) / t`` from `x` to infinity.

    Derivative: ``-exp(-x) / x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.exp1(xp.asarray([0.5, 1.0]))
    array([0.55977359, 0.21938393])
    """
    return special_function("exp1", x)


def expi(x: RawArray, /) -> RawArray:
    """Exponential integral Ei, the principal value of the integral of ``exp(t) / t`` up to `x`.

    Derivative: ``exp(x) / x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.expi(xp.asarray([0.5, 1.0]))
    array([0.4542199 , 1.89511782])
    """
    return special_function("expi", x)


def expn(n: RawArray, x: RawArray, /) -> RawArray:
    """Exponential integral E_n, the integral of ``exp(-x * t) / t**n`` from 1 to infinity.

    Derivative: ``-expn(n - 1, x)`` by `x`; none by the order `n`, a whole number.

    Parameters
    ----------
    n, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.expn(2.0, xp.asarray([0.5, 1.0]))
    array([0.32664386, 0.14849551])
    """
    return special_function("expn", n, x)


def spence(x: RawArray, /) -> RawArray:
    """Dilogarithm, the integral of ``log(t) / (1 - t)`` from 1 to `x`.

    Derivative: ``log(x) / (1 - x)``, -1 at 1.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.spence(xp.asarray([0.5, 1.0, 2.0]))
    array([ 0.58224053,  0.        , -0.82246703])
    """
    return special_function("spence", x)
