"""``scipy.special``: SciPy takes each function from the namespace of its arguments."""

from typing import Any

from scipy import special

from .call import MIXED, POSITIVE, SIGNED, UNIT, Call, X, Y, call

__all__ = ["CALLS"]

ORDERS = [1, 2, 3, 1, 2]


def each(names: str, *arguments: Any, not_on: str = "") -> list[Call]:
    """Calls of functions of `scipy.special` with the same arguments."""
    return [
        call(f"special.{name}", getattr(special, name), *arguments, not_on=not_on) for name in names.split()
    ]


CALLS = [
    *each("erf erfc erfcx expit log_ndtr ndtr i0 i0e i1 i1e j0 j1", SIGNED),
    *each("exp10 exp2 cbrt exprel sinc cosm1 cosdg sindg tandg cotdg", SIGNED),
    *each("gamma gammaln psi loggamma rgamma entr exp1 expi", X),
    *each("k0 k0e k1 k1e y0 y1 spence", X),
    *each("erfinv logit ndtri ellipk ellipkm1", UNIT),
    *each("betaln kl_div rel_entr xlogy xlog1py boxcox boxcox1p inv_boxcox inv_boxcox1p", X, Y),
    *each("huber pseudo_huber poch binom", X, Y),
    *each("pdtr pdtrc expn yn", ORDERS, X),
    call("special.radian", lambda x: special.radian(x, x, x), X),
    call("special.polygamma", lambda x: special.polygamma(2, x), X),
    call("special.multigammaln", lambda x: special.multigammaln(x, 2), X + 1),
    call("special.zeta", lambda q: special.zeta(2.5, q), X),
    call("special.gammainc", lambda x: special.gammainc(2.0, x), X, not_on="torch"),
    call("special.gammaincc", lambda x: special.gammaincc(2.0, x), X, not_on="torch"),
    call("special.gammaincinv", lambda x: special.gammaincinv(2.0, x), UNIT),
    call("special.gammainccinv", lambda x: special.gammainccinv(2.0, x), UNIT),
    call("special.betainc", lambda x: special.betainc(2.0, 1.5, x), UNIT),
    call("special.betaincc", lambda x: special.betaincc(2.0, 1.5, x), UNIT),
    call("special.betaincinv", lambda x: special.betaincinv(2.0, 1.5, x), UNIT),
    call("special.stdtr", lambda t: special.stdtr(3.0, t), SIGNED),
    call("special.stdtrit", lambda p: special.stdtrit(3.0, p), UNIT),
    call("special.chdtr", lambda x: special.chdtr(3.0, x), X, not_on="torch"),
    call("special.chdtrc", lambda x: special.chdtrc(3.0, x), X, not_on="torch"),
    call("special.chdtri", lambda p: special.chdtri(3.0, p), UNIT),
    call("special.fdtr", lambda x: special.fdtr(3.0, 4.0, x), X),
    call("special.fdtrc", lambda x: special.fdtrc(3.0, 4.0, x), X),
    call("special.fdtri", lambda p: special.fdtri(3.0, 4.0, p), UNIT),
    call("special.gdtr", lambda a, x: special.gdtr(a, 2.0, x), Y, X),
    call("special.gdtrc", lambda a, x: special.gdtrc(a, 2.0, x), Y, X),
    call("special.pdtri", special.pdtri, ORDERS, UNIT),
    call("special.bdtr", lambda n, p: special.bdtr(1.0, n, p), ORDERS, UNIT),
    call("special.nbdtr", lambda n, p: special.nbdtr(n, n, p), ORDERS, UNIT),
    call("special.hyp1f1", lambda x: special.hyp1f1(1.5, 2.5, x), SIGNED),
    call("special.lpmv", lambda x: special.lpmv(1, 2, x), UNIT),
    call("special.logsumexp", special.logsumexp, MIXED),
    call("special.logsumexp of rows", lambda x: special.logsumexp(x, axis=1, keepdims=True), MIXED),
    call("special.logsumexp weighted", lambda x, b: special.logsumexp(x, axis=0, b=b), MIXED, POSITIVE),
    call(
        "special.logsumexp and sign",
        lambda x, b: special.logsumexp(x, b=b, return_sign=True)[0],
        MIXED,
        MIXED[::-1] + 0.1,
    ),
    call("special.softmax", lambda x: special.softmax(x, axis=1), MIXED),
    call("special.log_softmax", lambda x: special.log_softmax(x, axis=0), MIXED),
]
