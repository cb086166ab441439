"""Bessel functions, elliptic integrals, and other functions of mathematical physics.

DLMF chapters 10, 13, 14, 19 and 25: https://dlmf.nist.gov/10
"""

from bpkit._protocol import RawArray
from bpkit.namespace.operands import special_function

__all__ = [
    "ellipe",
    "ellipk",
    "ellipkm1",
    "hyp1f1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "lpmv",
    "y0",
    "y1",
    "yn",
    "zeta",
    "zetac",
]


def i0(x: RawArray, /) -> RawArray:
    """Modified Bessel function of the first kind, order 0.

    Derivative: ``i1(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.i0(xp.asarray([-1.0, 0.0, 1.0]))
    array([1.26606588, 1.        , 1.26606588])
    """
    return special_function("i0", x)


def i0e(x: RawArray, /) -> RawArray:
    """``exp(-abs(x)) * i0(x)``, which does not overflow.

    Derivative: ``i1e(x) - sign(x) * i0e(x)``, 0 at the kink 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.i0e(xp.asarray([-1.0, 0.0, 1000.0]))
    array([0.46575961, 1.        , 0.01261724])
    """
    return special_function("i0e", x)


def i1(x: RawArray, /) -> RawArray:
    """Modified Bessel function of the first kind, order 1.

    Derivative: ``i0(x) - i1(x) / x``, 1/2 at 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.i1(xp.asarray([-1.0, 0.0, 1.0]))
    array([-0.5651591,  0.       ,  0.5651591])
    """
    return special_function("i1", x)


def i1e(x: RawArray, /) -> RawArray:
    """``exp(-abs(x)) * i1(x)``, which does not overflow.

    Derivative: ``i0e(x) - i1e(x) / x - sign(x) * i1e(x)``, 1/2 at 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.i1e(xp.asarray([-1.0, 0.0, 1000.0]))
    array([-0.20791042,  0.        ,  0.01261093])
    """
    return special_function("i1e", x)


def j0(x: RawArray, /) -> RawArray:
    """Bessel function of the first kind, order 0.

    Derivative: ``-j1(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.j0(xp.asarray([0.0, 1.0, 5.0]))
    array([ 1.        ,  0.76519769, -0.17759677])
    """
    return special_function("j0", x)


def j1(x: RawArray, /) -> RawArray:
    """Bessel function of the first kind, order 1.

    Derivative: ``j0(x) - j1(x) / x``, 1/2 at 0.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.j1(xp.asarray([0.0, 1.0, 5.0]))
    array([ 0.        ,  0.44005059, -0.32757914])
    """
    return special_function("j1", x)


def y0(x: RawArray, /) -> RawArray:
    """Bessel function of the second kind, order 0.

    Derivative: ``-y1(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.y0(xp.asarray([0.5, 1.0]))
    array([-0.44451873,  0.08825696])
    """
    return special_function("y0", x)


def y1(x: RawArray, /) -> RawArray:
    """Bessel function of the second kind, order 1.

    Derivative: ``y0(x) - y1(x) / x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.y1(xp.asarray([0.5, 1.0]))
    array([-1.47147239, -0.78121282])
    """
    return special_function("y1", x)


def yn(n: RawArray, x: RawArray, /) -> RawArray:
    """Bessel function of the second kind, order `n`.

    Derivative: ``n / x * yn(n, x) - yn(n + 1, x)`` by `x`; none by the order `n`, a whole number.

    Parameters
    ----------
    n, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.yn(2.0, xp.asarray([0.5, 1.0]))
    array([-5.44137084, -1.65068261])
    """
    return special_function("yn", n, x)


def k0(x: RawArray, /) -> RawArray:
    """Modified Bessel function of the second kind, order 0.

    Derivative: ``-k1(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.k0(xp.asarray([0.5, 1.0]))
    array([0.92441907, 0.42102444])
    """
    return special_function("k0", x)


def k0e(x: RawArray, /) -> RawArray:
    """``exp(x) * k0(x)``, which does not underflow.

    Derivative: ``k0e(x) - k1e(x)``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.k0e(xp.asarray([0.5, 1000.0]))
    array([1.52410939, 0.03962832])
    """
    return special_function("k0e", x)


def k1(x: RawArray, /) -> RawArray:
    """Modified Bessel function of the second kind, order 1.

    Derivative: ``-k0(x) - k1(x) / x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.k1(xp.asarray([0.5, 1.0]))
    array([1.65644112, 0.60190723])
    """
    return special_function("k1", x)


def k1e(x: RawArray, /) -> RawArray:
    """``exp(x) * k1(x)``, which does not underflow.

    Derivative: ``k1e(x) - k0e(x) - k1e(x) / x``.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.k1e(xp.asarray([0.5, 1000.0]))
    array([2.73100971, 0.03964813])
    """
    return special_function("k1e", x)


def ellipk(m: RawArray, /) -> RawArray:
    """Complete elliptic integral of the first kind of the parameter `m`.

    Derivative: ``(ellipe(m) - (1 - m) * ellipk(m)) / (2 * m * (1 - m))``, by its power series where that
    cancels.

    Parameters
    ----------
    m : array of any shape, real

    Returns
    -------
    array of `m`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.ellipk(xp.asarray([0.0, 0.5]))
    array([1.57079633, 1.85407468])
    """
    return special_function("ellipk", m)


def ellipkm1(p: RawArray, /) -> RawArray:
    """``ellipk(1 - p)``, accurate where `p` is small.

    Derivative: ``(p * ellipkm1(p) - ellipe(1 - p)) / (2 * p * (1 - p))``, by its power series where that
    cancels.

    Parameters
    ----------
    p : array of any shape, real

    Returns
    -------
    array of `p`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.ellipkm1(xp.asarray([1e-20, 0.5]))
    array([24.41214529,  1.85407468])
    """
    return special_function("ellipkm1", p)


def ellipe(m: RawArray, /) -> RawArray:
    """Complete elliptic integral of the second kind of the parameter `m`.

    Derivative: ``(ellipe(m) - ellipk(m)) / (2 * m)``, by its power series where that cancels.

    Parameters
    ----------
    m : array of any shape, real

    Returns
    -------
    array of `m`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.ellipe(xp.asarray([0.0, 0.5]))
    array([1.57079633, 1.35064388])
    """
    return special_function("ellipe", m)


def hyp1f1(a: RawArray, b: RawArray, x: RawArray, /) -> RawArray:
    """Confluent hypergeometric function 1F1.

    Derivative: ``a / b * hyp1f1(a + 1, b + 1, x)`` by `x`; no closed form by `a` and `b`.

    Parameters
    ----------
    a, b, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.hyp1f1(1.0, 2.0, xp.asarray([-1.0, 0.5]))
    array([0.63212056, 1.29744254])
    """
    return special_function("hyp1f1", a, b, x)


def lpmv(m: RawArray, v: RawArray, x: RawArray, /) -> RawArray:
    """Associated Legendre function of order `m`, a whole number, and degree `v`; `x` in [-1, 1].

    Derivative: ``((v + 1) * x * lpmv(m, v, x) - (v - m + 1) * lpmv(m, v + 1, x)) / (1 - x**2)`` by `x`;
    no closed form by `m` and `v`.

    Parameters
    ----------
    m, v, x : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.lpmv(1.0, 2.0, xp.asarray([-0.5, 0.5]))
    array([ 1.29903811, -1.29903811])
    """
    return special_function("lpmv", m, v, x)


def zetac(x: RawArray, /) -> RawArray:
    """``zeta(x) - 1``, Riemann's zeta function without its first term.

    Derivative: no closed form.

    Parameters
    ----------
    x : array of any shape, real

    Returns
    -------
    array of `x`'s shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.zetac(xp.asarray([2.0, 50.0]))
    array([6.44934067e-01, 8.88178421e-16])
    """
    return special_function("zetac", x)


def zeta(x: RawArray, q: RawArray | None = None, /) -> RawArray:
    """Zeta function: Hurwitz's, the sum of ``(k + q)**-x`` for all `k` from 0, or Riemann's without `q`.

    Derivative: ``-x * zeta(x + 1, q)`` by `q`; no closed form by `x`.

    Parameters
    ----------
    x, q : arrays that broadcast, or floats, real

    Returns
    -------
    array of the common shape and floating dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.special.zeta(xp.asarray([2.0, 4.0]))
    array([1.64493407, 1.08232323])
    >>> xp.special.zeta(2.0, xp.asarray([1.0, 2.0]))
    array([1.64493407, 0.64493407])
    """
    if q is None:
        return special_function("riemann_zeta", x)
    return special_function("zeta", x, q)
