"""Cases of xp.special: tiny, and on both sides of every point where a formula changes."""

from typing import Any

import numpy as np

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument


def at(*values: float) -> Argument:
    """An argument with these values."""
    return A((len(values),), values=list(values))


# Name and points of the functions of one operand.
UNARY: list[tuple[str, tuple[float, ...]]] = [
    ("erf", (-1.5, 0.0, 0.7)),
    ("erfc", (-1.5, 0.0, 2.5)),
    ("erfcx", (-1.5, 0.0, 4.0, 4.5, 23.0)),
    ("erfinv", (-0.75, 0.0, 0.5)),
    ("erfcinv", (0.25, 1.0, 1.75)),
    ("ndtr", (-2.5, 0.0, 1.5)),
    ("log_ndtr", (-30.0, -6.5, -5.5, 0.0, 3.0)),
    ("ndtri", (0.125, 0.5, 0.75)),
    ("exp1", (0.5, 1.5)),
    ("expi", (-0.75, 0.5, 1.5)),
    ("spence", (0.25, 1.0, 1.0625, 2.5)),
    ("gamma", (-1.5, 0.5, 3.25)),
    ("gammaln", (-1.5, 0.5, 3.25)),
    ("loggamma", (0.5, 1.25, 3.25)),
    ("rgamma", (-2.0, -0.75, 0.0, 0.75, 3.25)),
    ("psi", (0.5, 1.25, 3.25)),
    ("i0", (-2.0, 0.0, 1.5)),
    ("i0e", (-20.5, -2.0, 0.5, 19.5, 20.5)),
    ("i1", (-2.0, 0.0, 0.5, 1.5)),
    ("i1e", (-20.5, -2.0, -0.25, 0.5, 1.5, 19.5, 20.5)),
    ("j0", (-2.0, 0.0, 1.5)),
    ("j1", (-2.0, 0.0, 0.5, 1.5)),
    ("y0", (0.5, 1.5)),
    ("y1", (0.5, 1.5)),
    ("k0", (0.5, 1.5)),
    ("k0e", (0.5, 1.5, 19.5, 20.5)),
    ("k1", (0.5, 1.5)),
    ("k1e", (0.5, 1.5, 19.5, 20.5)),
    ("ellipk", (-1.5, -0.0625, 0.0, 0.5)),
    ("ellipkm1", (0.25, 0.9375, 1.0, 1.5)),
    ("ellipe", (-1.5, -0.0625, 0.0, 0.5)),
    ("logit", (0.125, 0.5, 0.75)),
    ("cbrt", (-2.0, 0.5, 1.5)),
    ("exp2", (-2.0, 0.5)),
    ("exp10", (-1.0, 0.5)),
    ("cosm1", (-2.0, 0.0, 0.5)),
    ("exprel", (-2.0, -0.25, 0.0, 0.25, 1.5)),
    ("sinc", (-1.75, -0.25, 0.0, 0.25, 0.75, 1.0)),
    ("sindg", (-50.0, 0.0, 100.0)),
    ("cosdg", (-50.0, 0.0, 100.0)),
    ("tandg", (-50.0, 0.0, 50.0)),
    ("cotdg", (-50.0, 40.0, 100.0)),
    ("entr", (0.25, 0.5, 1.5)),
]

# Name, operands that are only constants, points of the last operand.
BY_THE_LAST: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = [
    ("expn", (0.0,), (0.5, 1.5)),
    ("expn", (2.0,), (0.5, 1.5)),
    ("polygamma", (0.0,), (0.5, 1.25, 3.25)),
    ("polygamma", (2.0,), (0.75, 1.25, 3.25)),
    ("zeta", (2.5,), (0.75, 1.25, 3.25)),
    ("yn", (0.0,), (0.75, 1.5)),
    ("yn", (2.0,), (0.75, 1.5)),
    ("hyp1f1", (0.5, 1.5), (-1.0, 0.0, 1.5)),
    ("lpmv", (1.0, 2.0), (-0.5, 0.0, 0.75)),
    ("lpmv", (0.0, 0.0), (-0.5, 0.0, 0.75)),
    ("gammainc", (2.5,), (0.5, 1.0, 4.0)),
    ("gammaincc", (2.5,), (0.5, 1.0, 4.0)),
    ("gammaincinv", (2.5,), (0.125, 0.5, 0.75)),
    ("gammainccinv", (2.5,), (0.125, 0.5, 0.75)),
    ("betainc", (2.5, 1.5), (0.125, 0.5, 0.75)),
    ("betaincc", (2.5, 1.5), (0.125, 0.5, 0.75)),
    ("betaincinv", (2.5, 1.5), (0.125, 0.5, 0.75)),
    ("bdtr", (2.0, 5.0), (0.125, 0.5, 0.75)),
    ("bdtrc", (2.0, 5.0), (0.125, 0.5, 0.75)),
    ("bdtri", (2.0, 5.0), (0.125, 0.5, 0.75)),
    ("nbdtr", (2.0, 3.0), (0.125, 0.5, 0.75)),
    ("nbdtrc", (2.0, 3.0), (0.125, 0.5, 0.75)),
    ("nbdtri", (2.0, 3.0), (0.125, 0.5, 0.75)),
    ("pdtr", (2.0,), (0.5, 1.0, 4.0)),
    ("pdtrc", (2.0,), (0.5, 1.0, 4.0)),
    ("pdtri", (2.0,), (0.125, 0.5, 0.75)),
    ("chdtr", (3.0,), (0.5, 1.0, 4.0)),
    ("chdtrc", (3.0,), (0.5, 1.0, 4.0)),
    ("chdtri", (3.0,), (0.125, 0.5, 0.75)),
    ("fdtr", (3.0, 4.0), (0.5, 1.0, 4.0)),
    ("fdtrc", (3.0, 4.0), (0.5, 1.0, 4.0)),
    ("fdtri", (3.0, 4.0), (0.125, 0.5, 0.75)),
    ("stdtr", (3.5,), (-1.5, 0.0, 2.0)),
    ("stdtrit", (3.5,), (0.125, 0.5, 0.75)),
]

# Name and points of functions of two operands that have both derivatives.
BINARY: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = [
    ("beta", (0.5, 1.5, 2.5), (1.25, 0.75, 3.5)),
    ("betaln", (0.5, 1.5, 2.5), (1.25, 0.75, 3.5)),
    ("poch", (0.5, 1.5, 2.5), (1.25, 0.75, 3.5)),
    ("binom", (4.5, 5.5, 6.25), (1.25, 2.75, 3.5)),
    ("xlogy", (0.0, -1.5, 2.5), (1.25, 0.75, 3.5)),
    ("xlog1py", (0.0, -1.5, 2.5), (-0.5, 0.0, 3.5)),
    ("rel_entr", (0.5, 1.5, 2.5), (1.25, 1.5, 3.5)),
    ("kl_div", (0.5, 1.5, 2.5), (1.25, 1.5, 3.5)),
    ("huber", (1.0, 1.0, 0.5), (0.25, -1.5, 2.5)),
    ("pseudo_huber", (1.0, 1.5, 0.5), (0.25, -1.5, 0.0)),
    ("boxcox", (0.5, 1.5, 2.5), (-0.75, 0.0, 1.5)),
    ("boxcox1p", (-0.5, 0.0, 2.5), (-0.75, 0.5, 0.0)),
    ("inv_boxcox", (-0.5, 0.5, 2.5), (-0.25, 0.0, 1.5)),
    ("inv_boxcox1p", (-0.5, 0.5, 2.5), (-0.25, 0.0, 1.5)),
]


def _of_one(name: str, points: tuple[float, ...]) -> list[Case]:
    full = f"special.{name}"
    return [
        case(full, at(*points), label="vector"),
        case(full, A((), values=points[-1]), label="0-d"),
        case(full, A((0, 2), values=np.zeros((0, 2))), label="empty"),
    ]


def _of_the_last(name: str, constants: tuple[float, ...], points: tuple[float, ...]) -> list[Case]:
    full, shown = f"special.{name}", ", ".join(map(str, constants))
    arrays = [np.full((2, 1), c) for c in constants]
    # The order of a library's polygamma is an integer; their own derivatives of psi and zeta stand for it.
    library = name != "polygamma"
    return [
        case(full, *constants, at(*points), label=shown, library=library),
        case(full, *arrays, at(*points), label=f"{shown} broadcast", library=library),
    ]


def _of_both(name: str, first: tuple[float, ...], second: tuple[float, ...]) -> list[Case]:
    full = f"special.{name}"
    column = A((3, 1), values=np.reshape(first, (3, 1)))
    return [
        case(full, at(*first), at(*second), label="both"),
        case(full, column, A((), values=second[-1]), label="broadcast"),
        case(full, at(*first), second[-1], label="number on the right"),
        case(full, first[-1], at(*second), label="number on the left"),
        case(full, at(*first), np.asarray(second), label="constant on the right"),
        case(full, A((3,), values=first, dtype="float32"), at(*second), label="float32 and float64"),
        case(full, A((0, 1), values=np.zeros((0, 1))), at(*second), label="empty"),
    ]


def _mills(xp: Any, x: Any) -> Any:
    from bpkit.trace import call

    return call("special.inverse_mills", x)


CASES: list[Case] = [
    *[c for row in UNARY for c in _of_one(*row)],
    *[c for row in BY_THE_LAST for c in _of_the_last(*row)],
    *[c for row in BINARY for c in _of_both(*row)],
    case("special.gdtr", at(0.5, 1.5), 2.5, at(1.5, 3.0), label="rate and point"),
    case("special.gdtrc", at(0.5, 1.5), 2.5, at(1.5, 3.0), label="rate and point"),
    case("special.multigammaln", at(2.5, 4.25), 1, label="d=1"),
    case("special.multigammaln", at(2.5, 4.25), 3, label="d=3"),
    case("special.radian", at(1.0, 2.0), at(30.0, 15.0), at(0.0, 5.0), label="all", library=False),
    case("special.radian", np.asarray([1.0, 2.0]), at(30.0, 15.0), 5.0, label="minutes", library=False),
    case("special.digamma", at(0.5, 3.25), label="vector"),
    case("special.inverse_mills", at(-30.0, -6.5, -5.5, 3.0), call=_mills, label="vector", library=False),
    case("special.bdtr", 5.0, 5.0, at(0.25, 0.75), label="all successes", library=False),
    *[case(name, at(0.25, 0.75), label="main namespace") for name in ("erf", "erfc", "sinc")],
    case("xlogy", at(0.0, 1.5), at(0.25, 0.75), label="main namespace"),
]
