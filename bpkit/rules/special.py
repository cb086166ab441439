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
from bpkit.rules.cotangents import annihilating_product
from bpkit.rules.registry import elementwise, no_gradient
from bpkit.trace import call


def no_closed_form(name: str, operand: str) -> Callable[[], NoReturn]:
    """A partial that nobody can have: it raises when a derivative by this operand is asked for."""

    def refuse() -> NoReturn:
        raise NotDifferentiableError(
            f"special.{name} has no closed-form derivative by its argument {operand}. If no gradient should "
            f"flow there, pass bpkit.stop_gradient({operand}). Inside bpkit.debug_nans() a note shows the "
            f"line that called it"
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
# From this many standard deviations on, so many levels of the continued fraction give 15 digits, of two
# derivatives of it too.
_FAR = 6.0
_LEVELS = 24


def _excess(t: Any) -> Any:
    """What density / tail probability of the normal distribution is above t, for t from _FAR on.

    By Laplace's continued fraction 1 / (t + 2 / (t + 3 / (t + ...))) (7.9.2): what the difference itself is
    has fewer and fewer digits, and its derivatives fewer still.
    """
    below = t
    for k in range(_LEVELS, 1, -1):
        below = t + k / below
    return 1 / below


def _excess_slope(t: Any) -> Any:
    """The derivative of _excess, level by level: its own product rule would cancel."""
    below, slope = t, xp.ones_like(t)
    for k in range(_LEVELS, 1, -1):
        share = k / below
        slope = 1 - share / below * slope
        below = t + share
    return -slope / below / below


def _erfcx_slope(x: Any, out: Any) -> Any:
    t = math.sqrt(2) * x
    far = t > _FAR
    excess = _excess(xp.where(far, t, xp.full_like(t, _FAR)))
    return xp.where(far, -math.sqrt(2) * out * excess, 2 * x * out - 2 / math.sqrt(math.pi))


def _inverse_mills_slope(x: Any, out: Any) -> Any:
    far = x < -_FAR
    slope = _excess_slope(xp.where(far, -x, xp.full_like(x, _FAR)))
    return xp.where(far, -1 - slope, annihilating_product(-out, x + out))


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
elementwise("special.inverse_mills", x=_inverse_mills_slope)
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


def _power_times_exp(x: Any, exponent: Any, logarithm: Any) -> Any:
    """x**exponent * exp(logarithm), by logarithms: either factor may overflow.

    At 0, where the logarithm of x has lost the slope, by the power itself.
    """
    at_0 = xp.logical_and(x == 0, logarithm < 80.0)  # exp(80) is finite in every dtype
    power = xp.where(at_0, x, xp.zeros_like(x)) ** exponent
    factor = xp.exp(xp.where(at_0, logarithm, xp.zeros_like(logarithm)))
    # At infinity exp(-x) wins.
    idle = xp.logical_or(at_0, logarithm == -math.inf)
    away = xp.exp(special.xlogy(exponent, xp.where(idle, xp.ones_like(x), x)) + logarithm)
    return xp.where(at_0, power * factor, away)


def gamma_density(a: Any, x: Any) -> Any:
    """The derivative of gammainc by x (8.8.13)."""
    return _power_times_exp(x, a - 1, -x - special.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc by x."""
    return beta_density_of_parts(a, b, x, 1 - x)


def beta_density_of_parts(a: Any, b: Any, x: Any, rest: Any) -> Any:
    """The derivative of betainc by x, of an x and 1 - x that both have all their digits."""
    turned = x > 0.5
    a, b = xp.where(turned, b, a), xp.where(turned, a, b)
    x = xp.where(turned, rest, x)
    return _power_times_exp(x, a - 1, special.xlog1py(b - 1, -x) - special.betaln(a, b))


_SHIFT = 10
# Bernoulli's numbers B(2 * k) over 2 * k, of the series 5.11.2.
_PSI_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def psi_difference(x: Any, step: Any) -> Any:
    """psi(x + step) - psi(x), without their difference where both arguments are positive.

    By the recurrence 5.5.2 up to large arguments, and there by the asymptotic series, each term of which is
    subtracted from its like before anything cancels.
    """
    both = xp.logical_and(xp.logical_and(x > 0, x + step > 0), xp.isfinite(x + step))
    one = xp.ones_like(x + step)
    low, step_up = xp.where(both, x, one), xp.where(both, step, one)
    total = xp.zeros_like(one)
    for k in range(_SHIFT):
        total = total + step_up / (low + k) / (low + step_up + k)
    low = low + _SHIFT
    logarithm = xp.log1p(step_up / low)
    total = total + logarithm + 0.5 * step_up / low / (low + step_up)
    for k, c in enumerate(_PSI_SERIES, start=1):
        total = total - c * low ** (-2.0 * k) * xp.expm1(-2.0 * k * logarithm)
    high, low = xp.where(both, one, x + step), xp.where(both, one, x * one)
    return xp.where(both, total, special.psi(high) - special.psi(low))


def _is_pole(x: Any) -> Any:
    return xp.logical_and(x <= 0, x == xp.floor(x))


def _quotient_slope(out: Any, below: Any, step: Any, factor: Any) -> Any:
    """The derivative of out = factor * gamma(below + step) / gamma(below) by `below`.

    Where both are poles, by the reflection formula 5.5.4, whose two cotangents are equal.
    """
    one = xp.ones_like(out)
    below, step = one * below, one * step
    above = below + step
    both = xp.logical_and(_is_pole(below), _is_pole(above))
    zero = xp.logical_and(_is_pole(below), xp.logical_not(both))
    difference = psi_difference(
        xp.where(both, 1 - below, xp.where(zero, one, below)),
        xp.where(both, -step, xp.where(zero, xp.zeros_like(step), step)),
    )
    # At a zero by the product rule, whose terms are finite; the one that is 0 there has a slope.
    above, below = xp.where(zero, above, one), xp.where(zero, below, one)
    reciprocal = special.rgamma(below)
    steep = reciprocal * special.psi(above) + _rgamma_slope(below, reciprocal)
    return xp.where(zero, factor * special.gamma(above) * steep, out * difference)


def _binom_by_n(n: Any, k: Any, out: Any) -> Any:
    return _quotient_slope(out, n - k + 1, k, special.rgamma(k + 1))


def _binom_by_k(n: Any, k: Any, out: Any) -> Any:
    one = xp.ones_like(out)
    chosen, left = one * (k + 1), one * (n - k + 1)
    zero = xp.logical_or(_is_pole(chosen), _is_pole(left))
    slope = out * (special.psi(xp.where(zero, one, left)) - special.psi(xp.where(zero, one, chosen)))
    chosen, left = xp.where(zero, chosen, one), xp.where(zero, left, one)
    p, q = special.rgamma(chosen), special.rgamma(left)
    at_zero = special.gamma(n + 1) * (_rgamma_slope(chosen, p) * q - p * _rgamma_slope(left, q))
    return xp.where(zero, at_zero, slope)


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
    a=lambda a, b, out: -out * psi_difference(a, b),
    b=lambda a, b, out: -out * psi_difference(b, a),
)
elementwise(
    "special.betaln",
    a=lambda a, b: -psi_difference(a, b),
    b=lambda a, b: -psi_difference(b, a),
)
elementwise(
    "special.poch",
    z=lambda z, m, out: _quotient_slope(out, z, m, 1.0),
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
