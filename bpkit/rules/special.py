"""Derivatives of the special functions.

Formulas are those of the NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, whose
sections are named beside them. Where a formula is 0 / 0 its power series stands in, for
higher derivatives too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bpkit import namespace as xp
from bpkit.errors import NotDifferentiableError
from bpkit.namespace import special
from bpkit.rules.registry import elementwise, no_gradient
from bpkit.trace import call


def no_closed_form(name: str, operand: str) -> Callable[[], NoReturn]:
    """A partial that nobody can have: it raises when a derivative by this operand is asked for."""

    def refuse() -> NoReturn:
        raise NotDifferentiableError(
            f"special.{name} has no closed-form derivative by its argument {operand}. If no gradient should "
            f"flow there, pass bpkit.stop_gradient({operand})"
        )

    return refuse


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """The sum of ``coefficients[k] * x**k``."""
    total = xp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def around_zero(x: Any, radius: float, near: Callable[[Any], Any], away: Callable[[Any], Any]) -> Any:
    """near(x) within the radius, away(x) outside; neither sees an x that it is not for."""
    within = xp.abs(x) < radius
    inner = near(xp.where(within, x, xp.zeros_like(x)))
    return xp.where(within, inner, away(xp.where(within, xp.ones_like(x), x)))


# Error functions and the normal distribution (DLMF 7.2, 7.10), exponential integrals (8.19), the dilogarithm
# (25.12).

_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
# 2 * x * erfcx(x) - 2 / sqrt(pi) by the asymptotic series 7.12.1, in powers of 1 / (2 * x**2).
_ERFCX_SLOPE = [0.0] + [
    2 / math.sqrt(math.pi) * (-1) ** k * math.prod(range(1, 2 * k, 2)) for k in range(1, 15)
]


def _erfcx_slope(x: Any, out: Any) -> Any:
    far = x > 10.0
    inverse = xp.where(far, x, xp.full_like(x, math.inf)) ** -2
    return xp.where(far, polynomial(0.5 * inverse, _ERFCX_SLOPE), 2 * x * out - 2 / math.sqrt(math.pi))


def _normal_density(x: Any) -> Any:
    return _DENSITY_AT_0 * xp.exp(-0.5 * x * x)


def _spence_slope(x: Any) -> Any:
    series = [-((-1) ** k) / (k + 1) for k in range(20)]
    within = xp.abs(x - 1) < 0.125
    inner = polynomial(xp.where(within, x - 1, xp.zeros_like(x)), series)
    away = xp.where(within, xp.full_like(x, 2.0), x)
    return xp.where(within, inner, xp.log(away) / (1 - away))


def _expn_slope(n: Any, x: Any) -> Any:
    order_0 = n == 0
    below = special.expn(xp.where(order_0, xp.ones_like(n), n) - 1, x)
    return -xp.where(order_0, xp.exp(-x) * (1 + 1 / x) / x, below)


elementwise("special.erf", x=lambda x: 2 / math.sqrt(math.pi) * xp.exp(-x * x))
elementwise("special.erfc", x=lambda x: -2 / math.sqrt(math.pi) * xp.exp(-x * x))
elementwise("special.erfcx", x=_erfcx_slope)
elementwise("special.erfinv", y=lambda out: math.sqrt(math.pi) / 2 * xp.exp(out * out))
elementwise("special.erfcinv", y=lambda out: -math.sqrt(math.pi) / 2 * xp.exp(out * out))
elementwise("special.ndtr", x=_normal_density)
elementwise("special.log_ndtr", x=lambda x: call("special.inverse_mills", x))
# Density over distribution function, which exp(-x**2 / 2 - log_ndtr(x)) would lose to rounding far left.
elementwise("special.inverse_mills", x=lambda x, out: -out * (x + out))
elementwise("special.ndtri", y=lambda out: math.sqrt(2 * math.pi) * xp.exp(0.5 * out * out))
elementwise("special.exp1", x=lambda x: -xp.exp(-x) / x)
elementwise("special.expi", x=lambda x: xp.exp(x) / x)
elementwise("special.expn", n=no_closed_form("expn", "n"), x=_expn_slope)
elementwise("special.spence", x=_spence_slope)

# Gamma and beta functions (DLMF 5.2, 5.5, 5.12, 5.15), the incomplete ones (8.8, 8.17).


def _rgamma_slope(x: Any, out: Any) -> Any:
    # For x < 1/2 by the reflection formula 5.5.3, which is right at the zeros.
    turned = math.pi * x
    mirrored = xp.cos(turned) - xp.sin(turned) / math.pi * special.psi(1 - x)
    return xp.where(x < 0.5, special.gamma(1 - x) * mirrored, -out * special.psi(x))


def _slope_of_rgamma(x: Any) -> Any:
    return _rgamma_slope(x, special.rgamma(x))


# Where a reciprocal gamma function in them is 0, psi has a pole.


def _poch_by_z(z: Any, m: Any, out: Any) -> Any:
    slope = out * (special.psi(z + m) - special.psi(z))
    return xp.where(out == 0, special.gamma(z + m) * _slope_of_rgamma(z), slope)


def _binom_by_n(n: Any, k: Any, out: Any) -> Any:
    slope = out * (special.psi(n + 1) - special.psi(n - k + 1))
    at_zero = special.gamma(n + 1) * special.rgamma(k + 1) * _slope_of_rgamma(n - k + 1)
    return xp.where(out == 0, at_zero, slope)


def _binom_by_k(n: Any, k: Any, out: Any) -> Any:
    slope = out * (special.psi(n - k + 1) - special.psi(k + 1))
    chosen = _slope_of_rgamma(k + 1) * special.rgamma(n - k + 1)
    left = special.rgamma(k + 1) * _slope_of_rgamma(n - k + 1)
    return xp.where(out == 0, special.gamma(n + 1) * (chosen - left), slope)


def gamma_density(a: Any, x: Any) -> Any:
    """The derivative of gammainc by x (8.8.13)."""
    return xp.exp(special.xlogy(a - 1, x) - x - special.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc by x."""
    return xp.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b))


elementwise("special.gamma", x=lambda x, out: out * special.psi(x))
elementwise("special.gammaln", x=lambda x: special.psi(x))
elementwise("special.loggamma", x=lambda x: special.psi(x))
no_gradient("special.gammasgn")
elementwise("special.rgamma", x=_rgamma_slope)
elementwise("special.psi", x=lambda x: special.polygamma(1.0, x))
elementwise(
    "special.polygamma", n=no_closed_form("polygamma", "n"), x=lambda n, x: special.polygamma(n + 1, x)
)
elementwise(
    "special.zeta",
    x=no_closed_form("zeta", "x"),
    q=lambda x, q: -x * special.zeta(x + 1, q),  # 25.11.17
)
elementwise("special.riemann_zeta", x=no_closed_form("zeta", "x"))
elementwise("special.zetac", x=no_closed_form("zetac", "x"))
elementwise(
    "special.beta",
    a=lambda a, b, out: out * (special.psi(a) - special.psi(a + b)),
    b=lambda a, b, out: out * (special.psi(b) - special.psi(a + b)),
)
elementwise(
    "special.betaln",
    a=lambda a, b: special.psi(a) - special.psi(a + b),
    b=lambda a, b: special.psi(b) - special.psi(a + b),
)
elementwise(
    "special.poch",
    z=_poch_by_z,
    m=lambda z, m, out: out * special.psi(z + m),
)
elementwise("special.binom", n=_binom_by_n, k=_binom_by_k)
elementwise("special.gammainc", a=no_closed_form("gammainc", "a"), x=gamma_density)
elementwise("special.gammaincc", a=no_closed_form("gammaincc", "a"), x=lambda a, x: -gamma_density(a, x))
elementwise(
    "special.gammaincinv",
    a=no_closed_form("gammaincinv", "a"),
    y=lambda a, out: 1 / gamma_density(a, out),
)
elementwise(
    "special.gammainccinv",
    a=no_closed_form("gammainccinv", "a"),
    y=lambda a, out: -1 / gamma_density(a, out),
)
elementwise(
    "special.betainc",
    a=no_closed_form("betainc", "a"),
    b=no_closed_form("betainc", "b"),
    x=beta_density,
)
elementwise(
    "special.betaincc",
    a=no_closed_form("betaincc", "a"),
    b=no_closed_form("betaincc", "b"),
    x=lambda a, b, x: -beta_density(a, b, x),
)
elementwise(
    "special.betaincinv",
    a=no_closed_form("betaincinv", "a"),
    b=no_closed_form("betaincinv", "b"),
    y=lambda a, b, out: 1 / beta_density(a, b, out),
)

# Bessel functions (DLMF 10.6, 10.29), elliptic integrals (19.4), 1F1 (13.3.15), Legendre functions (14.10.5).


def _order_1_over_x(function: Callable[[Any], Any], sign: int) -> Callable[[Any], Any]:
    """J1(x) / x (sign -1) or I1(x) / x (sign 1), at 0 by the series 10.2.2 and 10.25.2."""
    series = [sign**k / (2 * math.factorial(k) * math.factorial(k + 1)) for k in range(10)]
    return lambda x: around_zero(
        x, 1.0, lambda x: polynomial(0.25 * x * x, series), lambda x: function(x) / x
    )


_i1_over_x = _order_1_over_x(special.i1, 1)
_j1_over_x = _order_1_over_x(special.j1, -1)


def _i1e_slope(x: Any, out: Any) -> Any:
    return special.i0e(x) - xp.exp(-xp.abs(x)) * _i1_over_x(x) - xp.sign(x) * out


elementwise("special.i0", x=lambda x: special.i1(x))
elementwise("special.i0e", x=lambda x, out: special.i1e(x) - xp.sign(x) * out)
elementwise("special.i1", x=lambda x: special.i0(x) - _i1_over_x(x))
elementwise("special.i1e", x=_i1e_slope)
elementwise("special.j0", x=lambda x: -special.j1(x))
elementwise("special.j1", x=lambda x: special.j0(x) - _j1_over_x(x))
elementwise("special.y0", x=lambda x: -special.y1(x))
elementwise("special.y1", x=lambda x, out: special.y0(x) - out / x)
elementwise("special.yn", n=no_closed_form("yn", "n"), x=lambda n, x, out: n / x * out - special.yn(n + 1, x))
elementwise("special.k0", x=lambda x: -special.k1(x))
elementwise("special.k0e", x=lambda x, out: out - special.k1e(x))
elementwise("special.k1", x=lambda x, out: -special.k0(x) - out / x)
elementwise("special.k1e", x=lambda x, out: out - special.k0e(x) - out / x)

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
