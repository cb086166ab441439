"""Derivatives of Bessel functions, elliptic integrals, and other functions of mathematical physics.

Formulas are those of the NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, whose
sections are named beside them.
"""

import math
from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit.namespace import special
from bpkit.rules.registry import elementwise
from bpkit.rules.special import around_zero, no_closed_form, polynomial

# Bessel functions (DLMF 10.6, 10.29), elliptic integrals (19.4), 1F1 (13.3.15), Legendre functions (14.10.5).


def _series_1(sign: int) -> list[float]:
    """J1(x) / x (sign -1) or I1(x) / x (sign 1) in powers of x**2 / 4: 10.2.2 and 10.25.2."""
    return [sign**k / (2 * math.factorial(k) * math.factorial(k + 1)) for k in range(10)]


_I1_SERIES, _J1_SERIES = _series_1(1), _series_1(-1)


def _i1_over_x(x: Any) -> Any:
    return around_zero(x, 1.0, lambda x: polynomial(0.25 * x * x, _I1_SERIES), lambda x: special.i1(x) / x)


def _j1_over_x(x: Any) -> Any:
    return around_zero(x, 1.0, lambda x: polynomial(0.25 * x * x, _J1_SERIES), lambda x: special.j1(x) / x)


def _far_slope(order: int, sign: int) -> Callable[[Any, Any], Any]:
    """The slope of exp(-x) * I(x) (sign -1) or exp(x) * K(x) (sign 1): of the series 10.40.1 or 10.40.2.

    It serves from 20 on, where the difference of two functions, which serves below, has lost digits.
    """
    terms = [math.sqrt(math.pi / 2 if sign == 1 else 0.5 / math.pi)]
    for k in range(1, 34):
        terms.append(sign * terms[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    slopes = [-(k + 0.5) * c for k, c in enumerate(terms)]

    def slope(x: Any, below: Any) -> Any:
        far = x > 20.0
        x = xp.where(far, x, xp.full_like(x, 20.0))
        return xp.where(far, x**-1.5 * polynomial(1 / x, slopes), below)

    return slope


_far_i0e, _far_i1e = _far_slope(0, -1), _far_slope(1, -1)
_far_k0e, _far_k1e = _far_slope(0, 1), _far_slope(1, 1)


def _near_0(order: int) -> Callable[[Any], Any]:
    """The slope of exp(-abs(x)) * I(x), in powers of x that are smooth: the kinks are those of abs(x).

    exp(-abs(x)) is cosh(x) - abs(x) * (sinh(x) / x).
    """
    count = 22
    bessel, cosh, sinhc = [0.0] * count, [0.0] * count, [0.0] * count
    for k in range(0, count - order, 2):
        half = k // 2
        bessel[k + order] = 0.5 ** (k + order) / (math.factorial(half) * math.factorial(half + order))
    for k in range(0, count, 2):
        cosh[k], sinhc[k] = 1 / math.factorial(k), 1 / math.factorial(k + 1)
    smooth, kinked = [
        [math.fsum(bessel[j] * other[k - j] for j in range(k + 1)) for k in range(count)]
        for other in (cosh, sinhc)
    ]
    slope, kinked_slope = [[k * c for k, c in enumerate(terms)][1:] for terms in (smooth, kinked)]

    def near(x: Any) -> Any:
        kinks = xp.sign(x) * polynomial(x, kinked) + xp.abs(x) * polynomial(x, kinked_slope)
        return polynomial(x, slope) - kinks

    return near


_near_i0e, _near_i1e = _near_0(0), _near_0(1)


def _i0e_slope(x: Any) -> Any:
    return around_zero(
        x, 0.5, _near_i0e, lambda x: xp.sign(x) * _far_i0e(xp.abs(x), xp.abs(special.i1e(x)) - special.i0e(x))
    )


def _i1e_slope(x: Any, out: Any) -> Any:
    within = xp.abs(x) < 0.5
    divisor = xp.where(within, xp.ones_like(x), x)
    away = _far_i1e(xp.abs(x), special.i0e(x) - out / divisor - xp.abs(out))
    return xp.where(within, _near_i1e(xp.where(within, x, xp.zeros_like(x))), away)


def _k0e_slope(x: Any) -> Any:
    # At 0, where both are infinite, k1e is the larger one.
    idle = x == 0
    away = xp.where(idle, xp.ones_like(x), x)
    difference = special.k0e(away) - special.k1e(away)
    return xp.where(idle, -special.k1e(x), _far_k0e(x, difference))


elementwise("special.i0", x=lambda x: special.i1(x))
elementwise("special.i0e", x=_i0e_slope)
elementwise("special.i1", x=lambda x: special.i0(x) - _i1_over_x(x))
elementwise("special.i1e", x=_i1e_slope)
elementwise("special.j0", x=lambda x: -special.j1(x))
elementwise("special.j1", x=lambda x: special.j0(x) - _j1_over_x(x))
elementwise("special.y0", x=lambda x: -special.y1(x))
elementwise("special.y1", x=lambda x, out: special.y0(x) - out / x)
elementwise("special.yn", n=no_closed_form("yn", "n"), x=lambda n, x, out: n / x * out - special.yn(n + 1, x))
elementwise("special.k0", x=lambda x: -special.k1(x))
elementwise("special.k0e", x=_k0e_slope)
elementwise("special.k1", x=lambda x, out: -special.k0(x) - out / x)
elementwise("special.k1e", x=lambda x, out: _far_k1e(x, out * (1 - 1 / x) - special.k0e(x)))

# ellipk(m) is the sum of these times m**k, and ellipe(m) that of these over 1 - 2 * k (19.5.1, 19.5.2).
_ELLIPTIC = [(math.comb(2 * k, k) / 4**k) ** 2 * math.pi / 2 for k in range(20)]


def _ellipk_slope(m: Any) -> Any:
    return around_zero(
        m,
        0.125,
        lambda m: polynomial(m, [k * c for k, c in enumerate(_ELLIPTIC)][1:]),
        lambda m: (special.ellipe(m) - (1 - m) * special.ellipk(m)) / (2 * m * (1 - m)),
    )


def _ellipkm1_slope(p: Any) -> Any:
    near = xp.abs(1 - p) < 0.125
    away = xp.where(near, xp.full_like(p, 0.5), p)
    slope = (away * special.ellipkm1(away) - special.ellipe(1 - away)) / (2 * away * (1 - away))
    return xp.where(near, -_ellipk_slope(xp.where(near, 1 - p, xp.zeros_like(p))), slope)


def _ellipe_slope(m: Any, out: Any) -> Any:
    return around_zero(
        m,
        0.125,
        lambda m: polynomial(m, [k * c / (1 - 2 * k) for k, c in enumerate(_ELLIPTIC)][1:]),
        lambda m: (special.ellipe(m) - special.ellipk(m)) / (2 * m),
    )


def _legendre_slope(m: Any, v: Any, x: Any, out: Any) -> Any:
    return ((v + 1) * x * out - (v - m + 1) * special.lpmv(m, v + 1, x)) / (1 - x * x)


elementwise("special.ellipk", m=_ellipk_slope)
elementwise("special.ellipkm1", p=_ellipkm1_slope)
elementwise("special.ellipe", m=_ellipe_slope)
elementwise(
    "special.hyp1f1",
    a=no_closed_form("hyp1f1", "a"),
    b=no_closed_form("hyp1f1", "b"),
    x=lambda a, b, x: a / b * special.hyp1f1(a + 1, b + 1, x),
)
elementwise("special.lpmv", m=no_closed_form("lpmv", "m"), v=no_closed_form("lpmv", "v"), x=_legendre_slope)
