"""Special functions in functions of the standard, for libraries that have no kernel of their own.

A library's kernel comes first (:func:`bpkit.evaluate.evaluate`) and agrees with the definition in a shared
test. Operands are raw arrays of one floating dtype.
"""

import math
from typing import Any

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.trace import call

__all__: list[str] = []


def _special(name: str, *operands: RawArray) -> RawArray:
    return call(f"special.{name}", *operands)


# Logarithms and powers.


@definition("special.logit")
def _logit(xp: Any, x: RawArray) -> RawArray:
    return xp.log(x) - xp.log1p(-x)


@definition("special.entr")
def _entr(xp: Any, x: RawArray) -> RawArray:
    return xp.where(x < 0, -math.inf, -_special("xlogy", x, x))


@definition("special.xlogy")
def _xlogy(xp: Any, x: RawArray, y: RawArray) -> RawArray:
    idle = xp.logical_and(x == 0, xp.logical_not(xp.isnan(y)))
    return x * xp.log(xp.where(idle, 1.0, y))


@definition("special.xlog1py")
def _xlog1py(xp: Any, x: RawArray, y: RawArray) -> RawArray:
    idle = xp.logical_and(x == 0, xp.logical_not(xp.isnan(y)))
    return x * xp.log1p(xp.where(idle, 0.0, y))


@definition("special.rel_entr")
def _rel_entr(xp: Any, x: RawArray, y: RawArray) -> RawArray:
    inside = xp.logical_and(x > 0, y > 0)
    value = x * (xp.log(xp.where(inside, x, 1.0)) - xp.log(xp.where(inside, y, 1.0)))
    value = xp.where(inside, value, math.inf)
    value = xp.where(xp.logical_and(x == 0, y >= 0), 0.0, value)
    return xp.where(xp.logical_or(xp.isnan(x), xp.isnan(y)), math.nan, value)


@definition("special.kl_div")
def _kl_div(xp: Any, x: RawArray, y: RawArray) -> RawArray:
    value = _special("rel_entr", x, y)
    inside = xp.logical_and(x >= 0, xp.logical_or(y > 0, xp.logical_and(x == 0, y == 0)))
    return xp.where(inside, value - x + y, value)


@definition("special.cbrt")
def _cbrt(xp: Any, x: RawArray) -> RawArray:
    root = xp.abs(x) ** (1 / 3)
    # One step of Newton's method takes away the rounding of 1 / 3; at 0 and infinity it is NaN.
    step = (root - xp.abs(x) / root**2) / 3
    return xp.copysign(root - xp.where(xp.isfinite(step), step, 0.0), x)


@definition("special.exp2")
def _exp2(xp: Any, x: RawArray) -> RawArray:
    return 2.0**x


@definition("special.exp10")
def _exp10(xp: Any, x: RawArray) -> RawArray:
    return 10.0**x


@definition("special.cosm1")
def _cosm1(xp: Any, x: RawArray) -> RawArray:
    return -2.0 * xp.sin(0.5 * x) ** 2


@definition("special.exprel")
def _exprel(xp: Any, x: RawArray) -> RawArray:
    idle = x == 0
    value = xp.where(idle, 1.0, xp.expm1(x) / xp.where(idle, 1.0, x))
    return xp.where(x == math.inf, math.inf, value)


@definition("special.sinc")
def _sinc(xp: Any, x: RawArray) -> RawArray:
    turned = math.pi * xp.where(x == 0, 1.0, x)
    return xp.where(x == 0, 1.0, xp.sin(turned) / turned)


@definition("special.huber")
def _huber(xp: Any, delta: RawArray, r: RawArray) -> RawArray:
    size = xp.abs(r)
    value = xp.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))
    return xp.where(delta < 0, math.inf, value)


@definition("special.pseudo_huber")
def _pseudo_huber(xp: Any, delta: RawArray, r: RawArray) -> RawArray:
    # sqrt(1 + u**2) - 1 is u**2 / (sqrt(1 + u**2) + 1), which does not cancel.
    size = xp.abs(r)
    both = xp.hypot(delta, r) + delta
    share = size / xp.where(both == 0, 1.0, both)
    value = delta * size * xp.where(xp.logical_and(xp.isinf(size), xp.isfinite(delta)), 1.0, share)
    return xp.where(delta < 0, math.inf, xp.where(xp.logical_or(delta == 0, size == 0), 0.0, value))


def _power_difference(xp: Any, logarithm: RawArray, lmbda: RawArray) -> RawArray:
    """(exp(lmbda * logarithm) - 1) / lmbda."""
    scaled = lmbda * logarithm
    # Where the product underflows, or is 0 * infinity, the limit lmbda = 0 is exact.
    limit = xp.logical_or(lmbda == 0, xp.abs(scaled) < 1e-30)
    return xp.where(limit, logarithm, xp.expm1(scaled) / xp.where(limit, 1.0, lmbda))


@definition("special.boxcox")
def _boxcox(xp: Any, x: RawArray, lmbda: RawArray) -> RawArray:
    return _power_difference(xp, xp.log(x), lmbda)


@definition("special.boxcox1p")
def _boxcox1p(xp: Any, x: RawArray, lmbda: RawArray) -> RawArray:
    return _power_difference(xp, xp.log1p(x), lmbda)


def _inverse_exponent(xp: Any, y: RawArray, lmbda: RawArray) -> RawArray:
    scaled = lmbda * y
    limit = xp.logical_or(lmbda == 0, xp.abs(scaled) < 1e-30)
    return xp.where(limit, y, xp.log1p(scaled) / xp.where(limit, 1.0, lmbda))


@definition("special.inv_boxcox")
def _inv_boxcox(xp: Any, y: RawArray, lmbda: RawArray) -> RawArray:
    return xp.exp(_inverse_exponent(xp, y, lmbda))


@definition("special.inv_boxcox1p")
def _inv_boxcox1p(xp: Any, y: RawArray, lmbda: RawArray) -> RawArray:
    return xp.expm1(_inverse_exponent(xp, y, lmbda))


# The normal distribution.


@definition("special.ndtr")
def _ndtr(xp: Any, x: RawArray) -> RawArray:
    return 0.5 * _special("erfc", -math.sqrt(0.5) * x)


@definition("special.erfcinv")
def _erfcinv(xp: Any, y: RawArray) -> RawArray:
    return -math.sqrt(0.5) * _special("ndtri", 0.5 * y)


@definition("special.inverse_mills")
def _inverse_mills(xp: Any, x: RawArray) -> RawArray:
    return math.sqrt(2 / math.pi) / _special("erfcx", -math.sqrt(0.5) * x)


# Gamma and beta functions.


@definition("special.gammasgn")
def _gammasgn(xp: Any, x: RawArray) -> RawArray:
    whole = xp.floor(x)
    sign = 1.0 - 2.0 * xp.remainder(whole, 2.0)
    pole = xp.logical_or(xp.logical_and(x < 0, x == whole), xp.isnan(x))
    return xp.where(x > 0, 1.0, xp.where(pole, math.nan, xp.where(x == 0, xp.copysign(1.0 + 0 * x, x), sign)))


@definition("special.gamma")
def _gamma(xp: Any, x: RawArray) -> RawArray:
    return _special("gammasgn", x) * xp.exp(_special("gammaln", x))


@definition("special.loggamma")
def _loggamma(xp: Any, x: RawArray) -> RawArray:
    return xp.where(x < 0, math.nan, _special("gammaln", x))


@definition("special.rgamma")
def _rgamma(xp: Any, x: RawArray) -> RawArray:
    pole = xp.logical_and(x <= 0, x == xp.floor(x))
    return xp.where(pole, 0.0, 1.0 / _special("gamma", xp.where(pole, 1.0, x)))


@definition("special.beta")
def _beta(xp: Any, a: RawArray, b: RawArray) -> RawArray:
    a, b, odd, infinite = _between_poles(xp, a, b)
    zero = _is_pole(xp, a + b)
    sign = _special("gammasgn", a) * _special("gammasgn", b)
    sign = sign * xp.where(zero, 0.0, _special("gammasgn", xp.where(zero, 1.0, a + b)))
    value = xp.where(odd, -1.0, sign) * xp.exp(_special("betaln", a, b))
    return xp.where(infinite, math.inf, value)


def _is_pole(xp: Any, x: RawArray) -> RawArray:
    return xp.logical_and(x <= 0, x == xp.floor(x))


def _between_poles(xp: Any, a: RawArray, b: RawArray) -> tuple[RawArray, RawArray, RawArray, RawArray]:
    """Operands of beta that have the same size of it, and whether it has an odd sign, or is infinite.

    Where one is at a pole of the gamma function and a + b at one too, by the reflection formula (DLMF 5.5.3)
    beta(a, b) is (-1)**b * beta(1 - a - b, b).
    """
    first, second = _is_pole(xp, a), _is_pole(xp, b)
    pole, other = xp.where(first, a, b), xp.where(first, b, a)
    mirror = 1.0 - pole - other
    finite = xp.logical_and(xp.logical_and(other > 0, mirror > 0), xp.isfinite(mirror))
    between = xp.logical_and(xp.logical_or(first, second), xp.logical_and(finite, other == xp.floor(other)))
    infinite = xp.logical_and(xp.logical_or(first, second), xp.logical_not(between))
    a = xp.where(between, mirror, xp.where(infinite, 1.0, a))
    b = xp.where(between, other, xp.where(infinite, 1.0, b))
    return a, b, xp.logical_and(between, xp.remainder(xp.where(between, b, 0.0), 2.0) == 1), infinite


@definition("special.betaln")
def _betaln(xp: Any, a: RawArray, b: RawArray) -> RawArray:
    a, b, _, infinite = _between_poles(xp, a, b)
    small, large = xp.minimum(a, b), xp.maximum(a, b)
    both = small + large
    value = _special("gammaln", small) - _gammaln_difference(xp, small + large, large)
    # From 10 on by Stirling's series for all three (DLMF 5.11.1), whose largest terms cancel.
    both = xp.logical_and(small >= 10, xp.isfinite(large))
    p, q = xp.where(both, small, 10.0), xp.where(both, large, 10.0)
    series = p * xp.log(p / (p + q)) - 0.5 * xp.log(p) + (q - 0.5) * xp.log1p(-p / (p + q))
    series = series + 0.5 * math.log(2 * math.pi) + _stirling(p) + _stirling(q) - _stirling(p + q)
    value = xp.where(both, series, value)
    # At infinity gamma(a + b) / gamma(b) is b**a.
    value = xp.where(xp.logical_and(large == math.inf, small < math.inf), -small * math.inf, value)
    return xp.where(infinite, math.inf, value)


def _stirling(x: RawArray) -> RawArray:
    """What gammaln(x) is above (x - 1/2) * log(x) - x + log(2 * pi) / 2, for x of at least 10."""
    total = 0.0 * x
    for c in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        total = total / (x * x) + c
    return total / x


@definition("special.poch")
def _poch(xp: Any, z: RawArray, m: RawArray) -> RawArray:
    above = z + m
    pole, also = _is_pole(xp, z), _is_pole(xp, above)
    # Where both gamma functions have a pole, the reflection formula (DLMF 5.5.3) for both.
    both = xp.logical_and(pole, also)
    zero = xp.logical_and(pole, xp.logical_not(xp.logical_or(also, xp.isnan(above))))
    top, bottom = xp.where(both, 1.0 - z, above), xp.where(both, 1.0 - above, xp.where(zero, 1.0, z))
    sign = _special("gammasgn", top) * _special("gammasgn", bottom)
    value = xp.where(both, 1.0 - 2.0 * xp.remainder(m, 2.0), sign) * xp.exp(
        _gammaln_difference(xp, top, bottom)
    )
    value = xp.where(xp.logical_and(also, xp.logical_not(pole)), math.inf, value)
    return xp.where(m == 0, 1.0, xp.where(zero, 0.0, value))


def _gammaln_difference(xp: Any, top: RawArray, bottom: RawArray) -> RawArray:
    """gammaln(top) - gammaln(bottom), from 10 on by Stirling's series: both may be much larger than it."""
    large = xp.logical_and(xp.minimum(top, bottom) >= 10, xp.isfinite(top + bottom))
    p, q = xp.where(large, top, 10.0), xp.where(large, bottom, 10.0)
    step = p - q
    series = (p - 0.5) * xp.log1p(step / q) + step * (xp.log(q) - 1.0) + _stirling(p) - _stirling(q)
    return xp.where(large, series, _special("gammaln", top) - _special("gammaln", bottom))


@definition("special.polygamma")
def _polygamma(xp: Any, n: RawArray, x: RawArray) -> RawArray:
    sign = xp.where(n == xp.floor(n), 2.0 * xp.remainder(n, 2.0) - 1.0, math.nan)
    above = sign * xp.exp(_special("gammaln", n + 1.0)) * _special("zeta", n + 1.0, x)
    return xp.where(n == 0, _special("psi", x), above)


@definition("special.betaincc")
def _betaincc(xp: Any, a: RawArray, b: RawArray, x: RawArray) -> RawArray:
    return _special("betainc", b, a, 1.0 - x)


# Distributions, by the incomplete gamma and beta functions: Abramowitz and Stegun, sections 26.4 to 26.7.


def _successes(xp: Any, k: RawArray, n: RawArray) -> tuple[RawArray, RawArray, RawArray]:
    """What `bdtr` makes of its counts: k + 1, n - k, and whether k is between 0 and n."""
    k = xp.floor(k)
    inside = xp.logical_and(k >= 0, k < n)
    return xp.where(inside, k + 1.0, 1.0), xp.where(inside, n - k, 1.0), inside


def _share(xp: Any, p: RawArray) -> RawArray:
    """A probability as it is, and NaN for what cannot be one."""
    return xp.where(xp.logical_and(p >= 0, p <= 1), p, math.nan)


@definition("special.bdtr")
def _bdtr(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    p = _share(xp, p)
    all_of_them = xp.logical_and(n >= 0, xp.floor(k) == n)
    outside = xp.where(all_of_them, 1.0 + 0.0 * p, math.nan)
    return xp.where(inside, _special("betaincc", a, b, p), outside)


@definition("special.bdtrc")
def _bdtrc(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    p = _share(xp, p)
    outside = xp.where(k < 0, 1.0 + 0.0 * p, xp.where(xp.floor(k) == n, 0.0 * p, math.nan))
    return xp.where(inside, _special("betainc", a, b, p), outside)


@definition("special.bdtri")
def _bdtri(xp: Any, k: RawArray, n: RawArray, y: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    return xp.where(inside, 1.0 - _special("betaincinv", b, a, y), math.nan)


def _failures(xp: Any, k: RawArray, n: RawArray) -> tuple[RawArray, RawArray]:
    """What `nbdtr` makes of its counts: n and k + 1, and NaN for what cannot be counts."""
    k = xp.trunc(k)
    inside = xp.logical_and(xp.logical_and(k >= 0, n > 0), xp.isfinite(k))
    return xp.where(inside, n, math.nan), xp.where(inside, k + 1.0, math.nan)


@definition("special.nbdtr")
def _nbdtr(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    n, above = _failures(xp, k, n)
    return _special("betainc", n, above, _share(xp, p))


@definition("special.nbdtrc")
def _nbdtrc(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    n, above = _failures(xp, k, n)
    return _special("betaincc", n, above, _share(xp, p))


@definition("special.nbdtri")
def _nbdtri(xp: Any, k: RawArray, n: RawArray, y: RawArray) -> RawArray:
    n, above = _failures(xp, k, n)
    return _special("betaincinv", n, above, _share(xp, y))


@definition("special.pdtr")
def _pdtr(xp: Any, k: RawArray, m: RawArray) -> RawArray:
    return xp.where(k < 0, math.nan, _special("gammaincc", xp.floor(xp.abs(k)) + 1.0, m))


@definition("special.pdtrc")
def _pdtrc(xp: Any, k: RawArray, m: RawArray) -> RawArray:
    return xp.where(k < 0, math.nan, _special("gammainc", xp.floor(xp.abs(k)) + 1.0, m))


@definition("special.chdtr")
def _chdtr(xp: Any, v: RawArray, x: RawArray) -> RawArray:
    return xp.where(x < 0, math.nan, _special("gammainc", 0.5 * v, 0.5 * xp.abs(x)))


@definition("special.chdtrc")
def _chdtrc(xp: Any, v: RawArray, x: RawArray) -> RawArray:
    # Without freedom all is at 0.
    idle = v == 0
    value = _special("gammaincc", xp.where(v > 0, 0.5 * v, xp.where(idle, 1.0, math.nan * v)), 0.5 * x)
    value = xp.where(xp.logical_and(idle, x > 0), 0.0, value)
    return xp.where(xp.logical_or(x < 0, xp.logical_and(idle, x == 0)), math.nan, value)


@definition("special.fdtr")
def _fdtr(xp: Any, dfn: RawArray, dfd: RawArray, x: RawArray) -> RawArray:
    inside = _is_f(xp, dfn, dfd, x)
    share = xp.where(x == math.inf, 1.0, dfn * x / (dfd + dfn * x))
    return xp.where(inside, _special("betainc", 0.5 * dfn, 0.5 * dfd, share), math.nan)


@definition("special.fdtrc")
def _fdtrc(xp: Any, dfn: RawArray, dfd: RawArray, x: RawArray) -> RawArray:
    inside = _is_f(xp, dfn, dfd, x)
    rest = xp.where(x == math.inf, 0.0, dfd / (dfd + dfn * x))
    return xp.where(inside, _special("betainc", 0.5 * dfd, 0.5 * dfn, rest), math.nan)


def _is_f(xp: Any, dfn: RawArray, dfd: RawArray, x: RawArray) -> RawArray:
    """Whether operands are in the domain of fdtr: infinite degrees of freedom are not, but at infinity."""
    finite = xp.logical_or(x == math.inf, xp.isfinite(dfn + dfd))
    return xp.logical_and(xp.logical_and(dfn > 0, dfd > 0), xp.logical_and(x >= 0, finite))


@definition("special.gdtr")
def _gdtr(xp: Any, a: RawArray, b: RawArray, x: RawArray) -> RawArray:
    return xp.where(x < 0, math.nan, _special("gammainc", b, a * x))


@definition("special.gdtrc")
def _gdtrc(xp: Any, a: RawArray, b: RawArray, x: RawArray) -> RawArray:
    return xp.where(x < 0, math.nan, _special("gammaincc", b, a * x))
