"""Gamma and beta functions, and the incomplete ones.

DLMF chapters 5 and 8: https://dlmf.nist.gov/5, https://dlmf.nist.gov/8
"""

import math
import operator

from bpkit._protocol import RawArray
from bpkit.namespace.operands import floating, special_function
from bpkit.namespace.searching import where

__all__ = [
    "beta",
    "betainc",
    "betaincc",
    "betaincinv",
    "betaln",
    "binom",
    "digamma",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "gammaln",
    "gammasgn",
    "loggamma",
    "multigammaln",
    "poch",
    "polygamma",
    "psi",
    "rgamma",
]


def gamma(x: RawArray, /) -> RawArray:
    """Gamma function.

    Derivative: ``gamma(x) * psi(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gamma(xp.asarray([0.5, 1.0, 5.0]))
    array([ 1.77245385,  1.        , 24.        ])
    """
    return special_function("gamma", x)


def gammaln(x: RawArray, /) -> RawArray:
    """Logarithm of the absolute value of :func:`gamma`.

    Derivative: ``psi(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammaln(xp.asarray([-0.5, 1.0, 100.0]))
    array([  1.26551212,   0.        , 359.13420537])
    """
    return special_function("gammaln", x)


def loggamma(x: RawArray, /) -> RawArray:
    """Principal branch of the logarithm of :func:`gamma`; NaN for negative real `x`.

    Derivative: ``psi(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.loggamma(xp.asarray([0.5, 1.0, 100.0]))
    array([  0.57236494,   0.        , 359.13420537])
    """
    return special_function("loggamma", x)


def gammasgn(x: RawArray, /) -> RawArray:
    """Sign of :func:`gamma`: 1, -1, and NaN at negative whole numbers.

    Derivative: none, it is constant between jumps.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammasgn(xp.asarray([-1.5, -0.5, 2.0]))
    array([ 1., -1.,  1.])
    """
    return special_function("gammasgn", x)


def rgamma(x: RawArray, /) -> RawArray:
    """``1 / gamma(x)``, 0 at 0 and the negative whole numbers.

    Derivative: ``-rgamma(x) * psi(x)``, by reflection for `x` below 1/2, where that is 0 times infinity
    at the zeros.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.rgamma(xp.asarray([-1.0, 0.5, 5.0]))
    array([0.        , 0.56418958, 0.04166667])
    """
    return special_function("rgamma", x)


def psi(x: RawArray, /) -> RawArray:
    """Digamma function, the derivative of :func:`gammaln`.

    Derivative: ``polygamma(1, x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.psi(xp.asarray([0.5, 1.0, 5.0]))
    array([-1.96351003, -0.57721566,  1.50611767])
    """
    return special_function("psi", x)


def polygamma(n: RawArray, x: RawArray, /) -> RawArray:
    """Derivative of order `n` of :func:`psi`.

    Derivative: ``polygamma(n + 1, x)`` by `x`; none by the order `n`, a whole number.

    Parameters
    ----------
    n, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.polygamma(1.0, xp.asarray([0.5, 1.0]))
    array([4.9348022 , 1.64493407])
    """
    return special_function("polygamma", n, x)


def beta(a: RawArray, b: RawArray, /) -> RawArray:
    """Beta function, ``gamma(a) * gamma(b) / gamma(a + b)``.

    Derivative: ``beta(a, b) * (psi(a) - psi(a + b))`` by `a`, and with `b` for `a` by `b`.

    Parameters
    ----------
    a, b : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.beta(2.0, xp.asarray([0.5, 3.0]))
    array([1.33333333, 0.08333333])
    """
    return special_function("beta", a, b)


def betaln(a: RawArray, b: RawArray, /) -> RawArray:
    """Logarithm of the absolute value of :func:`beta`.

    Derivative: ``psi(a) - psi(a + b)`` by `a`, and with `b` for `a` by `b`.

    Parameters
    ----------
    a, b : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.betaln(2.0, xp.asarray([0.5, 3.0]))
    array([ 0.28768207, -2.48490665])
    """
    return special_function("betaln", a, b)


def poch(z: RawArray, m: RawArray, /) -> RawArray:
    """Rising factorial (Pochhammer symbol), ``gamma(z + m) / gamma(z)``.

    Derivative: ``poch(z, m) * (psi(z + m) - psi(z))`` by `z`, also where a pole of `psi` is removable;
    ``poch(z, m) * psi(z + m)`` by `m`, NaN where `z` and `z + m` are both whole and not positive.

    Parameters
    ----------
    z, m : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.poch(xp.asarray([0.5, 3.0]), 2.0)
    array([ 0.75, 12.  ])
    """
    return special_function("poch", z, m)


def binom(n: RawArray, k: RawArray, /) -> RawArray:
    """Binomial coefficient, for real arguments as well.

    Derivative: ``binom(n, k) * (psi(n + 1) - psi(n - k + 1))`` by `n`, ``binom(n, k) * (psi(n - k + 1) -
    psi(k + 1))`` by `k`; at the zeros, where `psi` has a pole, by their limits.

    Parameters
    ----------
    n, k : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.binom(xp.asarray([4.0, 4.5]), 2.0)
    array([6.   , 7.875])
    """
    return special_function("binom", n, k)


def gammainc(a: RawArray, x: RawArray, /) -> RawArray:
    """Regularized lower incomplete gamma function.

    Derivative: ``x**(a - 1) * exp(-x) / gamma(a)`` by `x`; no closed form by `a`.

    Parameters
    ----------
    a, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammainc(2.0, xp.asarray([0.5, 3.0]))
    array([0.09020401, 0.80085173])
    """
    return special_function("gammainc", a, x)


def gammaincc(a: RawArray, x: RawArray, /) -> RawArray:
    """Regularized upper incomplete gamma function, ``1 - gammainc(a, x)``.

    Derivative: ``-x**(a - 1) * exp(-x) / gamma(a)`` by `x`; no closed form by `a`.

    Parameters
    ----------
    a, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammaincc(2.0, xp.asarray([0.5, 3.0]))
    array([0.90979599, 0.19914827])
    """
    return special_function("gammaincc", a, x)


def gammaincinv(a: RawArray, y: RawArray, /) -> RawArray:
    """The `x` with ``gammainc(a, x) == y``.

    Derivative: one over that of :func:`gammainc` by `y`; no closed form by `a`.

    Parameters
    ----------
    a, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammaincinv(2.0, xp.asarray([0.1, 0.5]))
    array([0.53181161, 1.67834699])
    """
    return special_function("gammaincinv", a, y)


def gammainccinv(a: RawArray, y: RawArray, /) -> RawArray:
    """The `x` with ``gammaincc(a, x) == y``.

    Derivative: one over that of :func:`gammaincc` by `y`; no closed form by `a`.

    Parameters
    ----------
    a, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gammainccinv(2.0, xp.asarray([0.1, 0.5]))
    array([3.88972017, 1.67834699])
    """
    return special_function("gammainccinv", a, y)


def betainc(a: RawArray, b: RawArray, x: RawArray, /) -> RawArray:
    """Regularized incomplete beta function.

    Derivative: ``x**(a - 1) * (1 - x)**(b - 1) / beta(a, b)`` by `x`; no closed form by `a` and `b`.

    Parameters
    ----------
    a, b, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.betainc(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.0523, 0.6875])
    """
    return special_function("betainc", a, b, x)


def betaincc(a: RawArray, b: RawArray, x: RawArray, /) -> RawArray:
    """``1 - betainc(a, b, x)``, accurate where that rounds to 0.

    Derivative: ``-x**(a - 1) * (1 - x)**(b - 1) / beta(a, b)`` by `x`; no closed form by `a` and `b`.

    Parameters
    ----------
    a, b, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.betaincc(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.9477, 0.3125])
    """
    return special_function("betaincc", a, b, x)


def betaincinv(a: RawArray, b: RawArray, y: RawArray, /) -> RawArray:
    """The `x` with ``betainc(a, b, x) == y``.

    Derivative: one over that of :func:`betainc` by `y`; no closed form by `a` and `b`.

    Parameters
    ----------
    a, b, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.betaincinv(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.14255932, 0.38572757])
    """
    return special_function("betaincinv", a, b, y)


digamma = psi
"""The same function as :func:`psi`."""


def multigammaln(a: RawArray, d: int, /) -> RawArray:
    """Logarithm of the multivariate gamma function of dimension `d`.

    Derivative: the sum of ``psi(a - j / 2)`` for `j` from 0 to ``d - 1``.

    Parameters
    ----------
    a : array of any shape, real
    d : int
        Dimension, at least 1.

    Returns
    -------
    array of `a`'s shape and floating dtype
        NaN where `a` is not above ``(d - 1) / 2``, where the integral that defines it diverges.

    Raises
    ------
    ValueError
        If `d` is no positive whole number.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.multigammaln(xp.asarray([2.0, 3.0]), 2)
    array([0.45158271, 1.55019499])
    """
    order = operator.index(d) if hasattr(d, "__index__") else 0
    if order < 1:
        raise ValueError(f"special.multigammaln: expected a positive whole number as dimension d, got {d!r}")
    (a,) = floating("gammaln", a)
    total = gammaln(where(a > 0.5 * (order - 1), a, math.nan))
    for j in range(1, order):
        total = total + gammaln(a - 0.5 * j)
    return total + 0.25 * order * (order - 1) * math.log(math.pi)
