"""Special functions in functions of the standard, for libraries that have no kernel of their own.

A library's kernel comes first (:func:`bpkit.evaluate.evaluate`) and agrees with the definition in a shared
test. Operands are raw arrays of one floating dtype.
"""

import math
from typing import Any

from bpkit._protocol import RawArray
from bpkit.evaluate import definition, evaluate

__all__: list[str] = []


def _special(name: str, *operands: RawArray) -> RawArray:
    return evaluate(f"special.{name}", operands, {})


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
    return xp.where(xp.isfinite(value), value - x + y, value)


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
    value = delta * size * xp.where(xp.isinf(size), 1.0, share)
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
    sign = _special("gammasgn", a) * _special("gammasgn", b) * _special("gammasgn", a + b)
    return sign * xp.exp(_special("betaln", a, b))


@definition("special.betaln")
def _betaln(xp: Any, a: RawArray, b: RawArray) -> RawArray:
    small, large = xp.minimum(a, b), xp.maximum(a, b)
    both = small + large
    plain = _special("gammaln", small) + _special("gammaln", large) - _special("gammaln", both)
    # From 10 on by Stirling's series (DLMF 5.11.1), whose largest terms are taken out before they cancel.
    q = xp.where(large < 10, 10.0, large)
    p = xp.where(small > 0, small, 1.0)
    corrections = _stirling(q) - _stirling(p + q) + (q - 0.5) * xp.log1p(-p / (p + q))
    one = _special("gammaln", p) + p - p * xp.log(p + q)
    ten = xp.where(p < 10, 10.0, p)
    two = p * xp.log(p / (p + q)) - 0.5 * xp.log(p) + 0.5 * math.log(2 * math.pi) + _stirling(ten)
    asymptotic = corrections + xp.where(p < 10, one, two)
    ordinary = xp.logical_or(xp.logical_or(large < 10, small <= 0), xp.isinf(large))
    return xp.where(xp.logical_or(ordinary, xp.isnan(both)), plain, asymptotic)


def _stirling(x: RawArray) -> RawArray:
    """What gammaln(x) is above (x - 1/2) * log(x) - x + log(2 * pi) / 2, for x of at least 10."""
    total = 0.0 * x
    for c in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        total = total / (x * x) + c
    return total / x


@definition("special.poch")
def _poch(xp: Any, z: RawArray, m: RawArray) -> RawArray:
    above = z + m
    pole, also = [xp.logical_and(x <= 0, x == xp.floor(x)) for x in (z, above)]
    # Where both gamma functions have a pole, the reflection formula (DLMF 5.5.3) for both.
    both = xp.logical_and(pole, also)
    zero = xp.logical_and(pole, xp.logical_not(also))
    top, bottom = xp.where(both, 1.0 - z, above), xp.where(both, 1.0 - above, xp.where(zero, 1.0, z))
    sign = _special("gammasgn", top) * _special("gammasgn", bottom)
    sign = xp.where(both, 1.0 - 2.0 * xp.remainder(m, 2.0), xp.where(zero, 0.0, sign))
    return sign * xp.exp(_special("gammaln", top) - _special("gammaln", bottom))


@definition("special.polygamma")
def _polygamma(xp: Any, n: RawArray, x: RawArray) -> RawArray:
    sign = 2.0 * xp.remainder(n, 2.0) - 1.0
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


def _outside(xp: Any, k: RawArray, n: RawArray, all_of_them: float, below: float) -> RawArray:
    k = xp.floor(k)
    here = xp.where(k == n, all_of_them, math.nan * n)
    return xp.where(k < 0, below, here)


@definition("special.bdtr")
def _bdtr(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    return xp.where(inside, _special("betaincc", a, b, p), _outside(xp, k, n, 1.0, math.nan) + 0.0 * p)


@definition("special.bdtrc")
def _bdtrc(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    return xp.where(inside, _special("betainc", a, b, p), _outside(xp, k, n, 0.0, 1.0) + 0.0 * p)


@definition("special.bdtri")
def _bdtri(xp: Any, k: RawArray, n: RawArray, y: RawArray) -> RawArray:
    a, b, inside = _successes(xp, k, n)
    return xp.where(inside, 1.0 - _special("betaincinv", b, a, y), math.nan)


@definition("special.nbdtr")
def _nbdtr(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    return xp.where(k < 0, math.nan, _special("betainc", n, xp.floor(xp.abs(k)) + 1.0, p))


@definition("special.nbdtrc")
def _nbdtrc(xp: Any, k: RawArray, n: RawArray, p: RawArray) -> RawArray:
    return xp.where(k < 0, math.nan, _special("betaincc", n, xp.floor(xp.abs(k)) + 1.0, p))


@definition("special.nbdtri")
def _nbdtri(xp: Any, k: RawArray, n: RawArray, y: RawArray) -> RawArray:
    return xp.where(k < 0, math.nan, _special("betaincinv", n, xp.floor(xp.abs(k)) + 1.0, y))


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
    value = xp.where(x < 0, 1.0, _special("gammaincc", 0.5 * v, 0.5 * xp.abs(x)))
    return xp.where(v <= 0, math.nan, value)


@definition("special.fdtr")
def _fdtr(xp: Any, dfn: RawArray, dfd: RawArray, x: RawArray) -> RawArray:
    return _special("betainc", 0.5 * dfn, 0.5 * dfd, dfn * x / (dfd + dfn * x))


@definition("special.fdtrc")
def _fdtrc(xp: Any, dfn: RawArray, dfd: RawArray, x: RawArray) -> RawArray:
    return _special("betainc", 0.5 * dfd, 0.5 * dfn, dfd / (dfd + dfn * x))


@definition("special.gdtr")
def _gdtr(xp: Any, a: RawArray, b: RawArray, x: RawArray) -> RawArray:
    return _special("gammainc", b, a * x)


@definition("special.gdtrc")
def _gdtrc(xp: Any, a: RawArray, b: RawArray, x: RawArray) -> RawArray:
    return _special("gammaincc", b, a * x)
