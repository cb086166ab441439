"""Derivatives of distribution functions, and of the elementary functions that SciPy counts as special.

The densities are in Abramowitz and Stegun, *Handbook of Mathematical Functions*, chapter 26. A count `k` is
rounded down, so that nothing flows to it.
"""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit.namespace import special
from bpkit.rules.registry import elementwise
from bpkit.rules.special import (
    around_zero,
    beta_density,
    beta_density_of_parts,
    gamma_density,
    no_closed_form,
    polynomial,
)

# Distributions.


def _binomial(k: Any, n: Any, p: Any) -> Any:
    """Minus the derivative of bdtr by p; 0 where it is 1, and where bdtrc is, for lack of choices."""
    k = xp.floor(k)
    inside = xp.logical_and(k >= 0, k < n)
    b = xp.where(inside, n - k, xp.ones_like(n - k))
    density = beta_density(xp.where(inside, k + 1, xp.ones_like(b)), b, p)
    return xp.where(inside, density, xp.zeros_like(density))


def _negative_binomial(k: Any, n: Any, p: Any) -> Any:
    return beta_density(n, xp.trunc(k) + 1, p)


def _poisson(k: Any, m: Any) -> Any:
    return gamma_density(xp.floor(k) + 1, m)


def _chi_square(v: Any, x: Any) -> Any:
    return 0.5 * gamma_density(0.5 * v, 0.5 * x)


def _f(dfn: Any, dfd: Any, x: Any) -> Any:
    both = dfd + dfn * x
    return (
        beta_density_of_parts(0.5 * dfn, 0.5 * dfd, dfn * x / both, dfd / both) * (dfn / both) * (dfd / both)
    )


def _student(df: Any, t: Any) -> Any:
    normal = xp.isinf(df)
    df = xp.where(normal, xp.ones_like(df), df)
    exponent = -0.5 * (df + 1) * xp.log1p(t * t / df) - special.betaln(0.5 * df, 0.5) - 0.5 * xp.log(df)
    limit = -0.5 * t * t - 0.5 * math.log(2 * math.pi)
    return xp.exp(xp.where(normal, limit, exponent))


elementwise("special.bdtr", k=None, n=no_closed_form("bdtr", "n"), p=lambda k, n, p: -_binomial(k, n, p))
elementwise("special.bdtrc", k=None, n=no_closed_form("bdtrc", "n"), p=_binomial)
elementwise(
    "special.bdtri",
    k=None,
    n=no_closed_form("bdtri", "n"),
    y=lambda k, n, out: -1 / _binomial(k, n, out),
)
elementwise("special.nbdtr", k=None, n=no_closed_form("nbdtr", "n"), p=_negative_binomial)
elementwise(
    "special.nbdtrc",
    k=None,
    n=no_closed_form("nbdtrc", "n"),
    p=lambda k, n, p: -_negative_binomial(k, n, p),
)
elementwise(
    "special.nbdtri",
    k=None,
    n=no_closed_form("nbdtri", "n"),
    y=lambda k, n, out: 1 / _negative_binomial(k, n, out),
)
elementwise("special.pdtr", k=None, m=lambda k, m: -_poisson(k, m))
elementwise("special.pdtrc", k=None, m=_poisson)
elementwise("special.pdtri", k=None, y=lambda k, out: -1 / _poisson(k, out))
elementwise("special.chdtr", v=no_closed_form("chdtr", "v"), x=_chi_square)
elementwise("special.chdtrc", v=no_closed_form("chdtrc", "v"), x=lambda v, x: -_chi_square(v, x))
elementwise("special.chdtri", v=no_closed_form("chdtri", "v"), p=lambda v, out: -1 / _chi_square(v, out))
elementwise("special.fdtr", dfn=no_closed_form("fdtr", "dfn"), dfd=no_closed_form("fdtr", "dfd"), x=_f)
elementwise(
    "special.fdtrc",
    dfn=no_closed_form("fdtrc", "dfn"),
    dfd=no_closed_form("fdtrc", "dfd"),
    x=lambda dfn, dfd, x: -_f(dfn, dfd, x),
)
elementwise(
    "special.fdtri",
    dfn=no_closed_form("fdtri", "dfn"),
    dfd=no_closed_form("fdtri", "dfd"),
    p=lambda dfn, dfd, out: 1 / _f(dfn, dfd, out),
)
elementwise(
    "special.gdtr",
    a=lambda a, b, x: x * gamma_density(b, a * x),
    b=no_closed_form("gdtr", "b"),
    x=lambda a, b, x: a * gamma_density(b, a * x),
)
elementwise(
    "special.gdtrc",
    a=lambda a, b, x: -x * gamma_density(b, a * x),
    b=no_closed_form("gdtrc", "b"),
    x=lambda a, b, x: -a * gamma_density(b, a * x),
)
elementwise("special.stdtr", df=no_closed_form("stdtr", "df"), t=_student)
elementwise("special.stdtrit", df=no_closed_form("stdtrit", "df"), p=lambda df, out: 1 / _student(df, out))

# Exponentials and angles.

_DEGREE = math.pi / 180


def _exprel_slope(x: Any) -> Any:
    series = [1 / (math.factorial(k) * (k + 2)) for k in range(16)]
    return around_zero(x, 0.5, lambda x: polynomial(x, series), lambda x: (xp.exp(x) - special.exprel(x)) / x)


def _sinc_slope(x: Any) -> Any:
    series = [(-1) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(1, 13)]
    return around_zero(
        x,
        0.5,
        lambda x: x * polynomial(x * x, series),
        lambda x: (xp.cos(math.pi * x) - special.sinc(x)) / x,
    )


elementwise("special.logit", x=lambda x: 1 / (x * (1 - x)))
elementwise("special.cbrt", x=lambda out: 1 / (3 * out * out))
elementwise("special.exp2", x=lambda out: math.log(2) * out)
elementwise("special.exp10", x=lambda out: math.log(10) * out)
elementwise("special.cosm1", x=lambda x: -xp.sin(x))
elementwise("special.exprel", x=_exprel_slope)
elementwise("special.sinc", x=_sinc_slope)
elementwise("special.sindg", x=lambda x: _DEGREE * special.cosdg(x))
elementwise("special.cosdg", x=lambda x: -_DEGREE * special.sindg(x))
elementwise("special.tandg", x=lambda out: _DEGREE * (1 + out * out))
elementwise("special.cotdg", x=lambda out: -_DEGREE * (1 + out * out))

# Entropies. At 0 the one-sided derivatives, which may be infinite; where both operands are 0, the subgradient
# 0.


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 for 0 / 0."""
    idle = xp.logical_and(x == 0, y == 0)
    return x / xp.where(idle, xp.ones_like(y), y)


def _log_ratio(x: Any, y: Any) -> Any:
    idle = xp.logical_and(x == 0, y == 0)
    return xp.log(xp.where(idle, xp.ones_like(x), x)) - xp.log(xp.where(idle, xp.ones_like(y), y))


def _rel_entr_by_x(x: Any, y: Any) -> Any:
    slope = _log_ratio(x, y) + 1
    return xp.where(xp.logical_and(x == 0, y == 0), xp.zeros_like(slope), slope)


def _kl_div_by_y(x: Any, y: Any) -> Any:
    slope = 1 - _ratio(x, y)
    return xp.where(xp.logical_and(x == 0, y == 0), xp.zeros_like(slope), slope)


elementwise("special.entr", x=lambda x: -xp.log(x) - 1)
elementwise("special.xlogy", x=lambda y: xp.log(y), y=_ratio)
elementwise("special.xlog1py", x=lambda y: xp.log1p(y), y=lambda x, y: _ratio(x, 1 + y))
elementwise("special.rel_entr", x=_rel_entr_by_x, y=lambda x, y: -_ratio(x, y))
elementwise("special.kl_div", x=_log_ratio, y=_kl_div_by_y)

# Huber's losses, and the transforms of Box and Cox.


def _pseudo_huber_by_delta(delta: Any, r: Any) -> Any:
    # r**4 / (h * (h + delta)**2), in factors that do not overflow.
    h = xp.hypot(delta, r)
    return r * _ratio(r, h) * _ratio(r, h + delta) ** 2


def _boxcox_by_lmbda(x: Any, lmbda: Any) -> Any:
    """boxcox is log(x) * exprel(lmbda * log(x)); at x = 0, where the logarithm is infinite, -1 / lmbda."""
    at_0 = xp.logical_and(x == 0, lmbda > 0)
    logarithm = xp.log(xp.where(at_0, xp.ones_like(x), x))
    slope = logarithm * logarithm * _exprel_slope(lmbda * logarithm)
    return xp.where(at_0, xp.where(at_0, lmbda, xp.ones_like(lmbda)) ** -2.0, slope)


def _inverse_by_lmbda(y: Any, lmbda: Any) -> Any:
    """The derivative of log1p(lmbda * y) / lmbda by lmbda: y**2 times (v / (1 + v) - log1p(v)) / v**2."""
    series = [(-1) ** (k + 1) * (k + 1) / (k + 2) for k in range(20)]
    return (
        y
        * y
        * around_zero(
            lmbda * y,
            0.125,
            lambda v: polynomial(v, series),
            lambda v: (v / (1 + v) - xp.log1p(v)) / (v * v),
        )
    )


elementwise(
    "special.huber",
    delta=lambda delta, r: xp.maximum(xp.abs(r) - delta, 0.0),
    r=lambda delta, r: xp.maximum(xp.minimum(r, delta), -delta),
)
elementwise(
    "special.pseudo_huber",
    delta=_pseudo_huber_by_delta,
    r=lambda delta, r: delta * _ratio(r, xp.hypot(delta, r)),
)
elementwise("special.boxcox", x=lambda x, lmbda: x ** (lmbda - 1), lmbda=_boxcox_by_lmbda)
elementwise(
    "special.boxcox1p",
    x=lambda x, lmbda: xp.exp(xp.log1p(x) * (lmbda - 1)),
    lmbda=lambda x, lmbda: xp.log1p(x) ** 2 * _exprel_slope(lmbda * xp.log1p(x)),
)
elementwise(
    "special.inv_boxcox",
    y=lambda y, lmbda, out: out / (1 + lmbda * y),
    lmbda=lambda y, lmbda, out: out * _inverse_by_lmbda(y, lmbda),
)
elementwise(
    "special.inv_boxcox1p",
    y=lambda y, lmbda, out: (1 + out) / (1 + lmbda * y),
    lmbda=lambda y, lmbda, out: (1 + out) * _inverse_by_lmbda(y, lmbda),
)
