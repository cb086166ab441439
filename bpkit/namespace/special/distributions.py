"""Distribution functions of statistics, and their inverses.

Abramowitz and Stegun, *Handbook of Mathematical Functions*, chapter 26.
"""

from bpkit._protocol import RawArray
from bpkit.namespace.operands import special_function

__all__ = [
    "bdtr",
    "bdtrc",
    "bdtri",
    "chdtr",
    "chdtrc",
    "chdtri",
    "fdtr",
    "fdtrc",
    "fdtri",
    "gdtr",
    "gdtrc",
    "nbdtr",
    "nbdtrc",
    "nbdtri",
    "pdtr",
    "pdtrc",
    "pdtri",
    "stdtr",
    "stdtrit",
]


def bdtr(k: RawArray, n: RawArray, p: RawArray, /) -> RawArray:
    """Binomial distribution function: at most `k` successes in `n` trials of probability `p`.

    Derivative: ``-(n - k) * binom(n, k) * p**k * (1 - p)**(n - k - 1)`` by `p`; 0 by `k`, which is
    rounded down; no closed form by `n`.

    Parameters
    ----------
    k, n, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.bdtr(2.0, 5.0, xp.asarray([0.1, 0.5]))
    array([0.99144, 0.5    ])
    """
    return special_function("bdtr", k, n, p)


def bdtrc(k: RawArray, n: RawArray, p: RawArray, /) -> RawArray:
    """More than `k` successes in `n` trials: ``1 - bdtr(k, n, p)``.

    Derivative: that of :func:`bdtr`, negated.

    Parameters
    ----------
    k, n, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.bdtrc(2.0, 5.0, xp.asarray([0.1, 0.5]))
    array([0.00856, 0.5    ])
    """
    return special_function("bdtrc", k, n, p)


def bdtri(k: RawArray, n: RawArray, y: RawArray, /) -> RawArray:
    """The probability `p` with ``bdtr(k, n, p) == y``.

    Derivative: one over that of :func:`bdtr` by `y`; 0 by `k`; no closed form by `n`.

    Parameters
    ----------
    k, n, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.bdtri(2.0, 5.0, xp.asarray([0.1, 0.5]))
    array([0.75336355, 0.5       ])
    """
    return special_function("bdtri", k, n, y)


def nbdtr(k: RawArray, n: RawArray, p: RawArray, /) -> RawArray:
    """Negative binomial distribution function: at most `k` failures before the success number `n`.

    Derivative: ``p**(n - 1) * (1 - p)**k / beta(n, k + 1)`` by `p`; 0 by `k`, which is rounded down; no
    closed form by `n`.

    Parameters
    ----------
    k, n, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.nbdtr(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.00856, 0.5    ])
    """
    return special_function("nbdtr", k, n, p)


def nbdtrc(k: RawArray, n: RawArray, p: RawArray, /) -> RawArray:
    """More than `k` failures before the success number `n`: ``1 - nbdtr(k, n, p)``.

    Derivative: that of :func:`nbdtr`, negated.

    Parameters
    ----------
    k, n, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.nbdtrc(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.99144, 0.5    ])
    """
    return special_function("nbdtrc", k, n, p)


def nbdtri(k: RawArray, n: RawArray, y: RawArray, /) -> RawArray:
    """The probability `p` with ``nbdtr(k, n, p) == y``.

    Derivative: one over that of :func:`nbdtr` by `y`; 0 by `k`; no closed form by `n`.

    Parameters
    ----------
    k, n, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.nbdtri(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.24663645, 0.5       ])
    """
    return special_function("nbdtri", k, n, y)


def pdtr(k: RawArray, m: RawArray, /) -> RawArray:
    """Poisson distribution function: at most `k` events where `m` are expected.

    Derivative: ``-m**k * exp(-m) / gamma(k + 1)`` by `m`; 0 by `k`, which is rounded down.

    Parameters
    ----------
    k, m : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.pdtr(2.0, xp.asarray([0.5, 3.0]))
    array([0.98561232, 0.42319008])
    """
    return special_function("pdtr", k, m)


def pdtrc(k: RawArray, m: RawArray, /) -> RawArray:
    """More than `k` events where `m` are expected: ``1 - pdtr(k, m)``.

    Derivative: that of :func:`pdtr`, negated.

    Parameters
    ----------
    k, m : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.pdtrc(2.0, xp.asarray([0.5, 3.0]))
    array([0.01438768, 0.57680992])
    """
    return special_function("pdtrc", k, m)


def pdtri(k: RawArray, y: RawArray, /) -> RawArray:
    """The expectation `m` with ``pdtr(k, m) == y``.

    Derivative: one over that of :func:`pdtr` by `y`; 0 by `k`.

    Parameters
    ----------
    k, y : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.pdtri(2.0, xp.asarray([0.1, 0.5]))
    array([5.32232034, 2.67406031])
    """
    return special_function("pdtri", k, y)


def chdtr(v: RawArray, x: RawArray, /) -> RawArray:
    """Chi-square distribution function with `v` degrees of freedom.

    Derivative: the density by `x`; no closed form by `v`.

    Parameters
    ----------
    v, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.chdtr(2.0, xp.asarray([0.5, 3.0]))
    array([0.22119922, 0.77686984])
    """
    return special_function("chdtr", v, x)


def chdtrc(v: RawArray, x: RawArray, /) -> RawArray:
    """Upper tail of the chi-square distribution: ``1 - chdtr(v, x)``.

    Derivative: the density, negated, by `x`; no closed form by `v`.

    Parameters
    ----------
    v, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.chdtrc(2.0, xp.asarray([0.5, 3.0]))
    array([0.77880078, 0.22313016])
    """
    return special_function("chdtrc", v, x)


def chdtri(v: RawArray, p: RawArray, /) -> RawArray:
    """The `x` with ``chdtrc(v, x) == p``.

    Derivative: minus one over the density by `p`; no closed form by `v`.

    Parameters
    ----------
    v, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.chdtri(2.0, xp.asarray([0.1, 0.5]))
    array([4.60517019, 1.38629436])
    """
    return special_function("chdtri", v, p)


def fdtr(dfn: RawArray, dfd: RawArray, x: RawArray, /) -> RawArray:
    """Distribution function of F with `dfn` and `dfd` degrees of freedom.

    Derivative: the density by `x`; no closed form by `dfn` and `dfd`.

    Parameters
    ----------
    dfn, dfd, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.fdtr(2.0, 3.0, xp.asarray([0.5, 3.0]))
    array([0.35048095, 0.80754991])
    """
    return special_function("fdtr", dfn, dfd, x)


def fdtrc(dfn: RawArray, dfd: RawArray, x: RawArray, /) -> RawArray:
    """Upper tail of the F distribution: ``1 - fdtr(dfn, dfd, x)``.

    Derivative: the density, negated, by `x`; no closed form by `dfn` and `dfd`.

    Parameters
    ----------
    dfn, dfd, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.fdtrc(2.0, 3.0, xp.asarray([0.5, 3.0]))
    array([0.64951905, 0.19245009])
    """
    return special_function("fdtrc", dfn, dfd, x)


def fdtri(dfn: RawArray, dfd: RawArray, p: RawArray, /) -> RawArray:
    """The `x` with ``fdtr(dfn, dfd, x) == p``.

    Derivative: one over the density by `p`; no closed form by `dfn` and `dfd`.

    Parameters
    ----------
    dfn, dfd, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.fdtri(2.0, 3.0, xp.asarray([0.1, 0.5]))
    array([0.10914897, 0.88110158])
    """
    return special_function("fdtri", dfn, dfd, p)


def gdtr(a: RawArray, b: RawArray, x: RawArray, /) -> RawArray:
    """Distribution function of gamma with rate `a` and shape `b`.

    Derivative: the density by `x`, times ``x / a`` by `a`; no closed form by `b`.

    Parameters
    ----------
    a, b, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gdtr(2.0, 3.0, xp.asarray([0.5, 3.0]))
    array([0.0803014, 0.9380312])
    """
    return special_function("gdtr", a, b, x)


def gdtrc(a: RawArray, b: RawArray, x: RawArray, /) -> RawArray:
    """Upper tail of the gamma distribution: ``1 - gdtr(a, b, x)``.

    Derivative: that of :func:`gdtr`, negated.

    Parameters
    ----------
    a, b, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.gdtrc(2.0, 3.0, xp.asarray([0.5, 3.0]))
    array([0.9196986, 0.0619688])
    """
    return special_function("gdtrc", a, b, x)


def stdtr(df: RawArray, t: RawArray, /) -> RawArray:
    """Student's distribution function with `df` degrees of freedom.

    Derivative: the density by `t`; no closed form by `df`.

    Parameters
    ----------
    df, t : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.stdtr(4.0, xp.asarray([-1.0, 0.0, 2.0]))
    array([0.18695048, 0.5       , 0.94194174])
    """
    return special_function("stdtr", df, t)


def stdtrit(df: RawArray, p: RawArray, /) -> RawArray:
    """The `t` with ``stdtr(df, t) == p``.

    Derivative: one over the density by `p`; no closed form by `df`.

    Parameters
    ----------
    df, p : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.stdtrit(4.0, xp.asarray([0.1, 0.5]))
    array([-1.53320627,  0.        ])
    """
    return special_function("stdtrit", df, p)
