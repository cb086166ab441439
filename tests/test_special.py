"""xp.special: derivatives at edge points, and refusals.

Derivatives at ordinary points are in the table of cases, see test_rules.py.
"""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from test_edge_points import gradients, hessian, quiet  # type: ignore[import-not-found]

import bpkit
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.errors import NotDifferentiableError
from bpkit.namespace import special
from bpkit.registry import BUILTIN

pytest.importorskip("scipy.special")

only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)
but_jax = pytest.mark.parametrize("backend", [name for name in BUILTIN if name != "jax"], indirect=True)
inf = math.inf


# Derivatives at edge points: name, points, expected gradient by each operand.

EDGES: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
    ("xlogy", ([0.0, 0.0, 2.0], [3.0, 0.0, 0.5]), ([math.log(3), -inf, math.log(0.5)], [0, 0, 4])),
    ("xlog1py", ([0.0, 0.0], [3.0, -1.0]), ([math.log(4), -inf], [0, 0])),
    ("entr", ([0.0, 1.0],), ([inf, -1],)),
    ("rel_entr", ([0.0, 0.0, 2.0], [0.0, 3.0, 2.0]), ([0, -inf, 1], [0, 0, -1])),
    ("kl_div", ([0.0, 0.0, 2.0], [0.0, 3.0, 2.0]), ([0, -inf, 0], [0, 1, 0])),
    ("sinc", ([0.0, 1.0, 1e-9],), ([0, -1, -(math.pi**2) / 3 * 1e-9],)),
    ("huber", ([1.0, 1.0, 1.0, 0.0], [1.0, -1.0, 0.0, 2.0]), ([0, 0, 0, 2], [1, -1, 0, 0])),
    ("pseudo_huber", ([1.0, 0.0, 0.0], [0.0, 2.0, 0.0]), ([0, 2, 0], [0, 0, 0])),
    ("boxcox", ([1.0, 2.0, 0.0], [0.0, 0.0, 2.0]), ([1, 0.5, 0], [0, math.log(2) ** 2 / 2, 0.25])),
    (
        "boxcox",
        ([2.0, 2.0], [1e-9, -1e-9]),
        (
            [2 ** (1e-9 - 1), 2 ** (-1e-9 - 1)],
            [math.log(2) ** 2 * (0.5 + u * math.log(2) / 3) for u in (1e-9, -1e-9)],
        ),
    ),
    ("boxcox1p", ([0.0, 1.0], [0.0, 0.0]), ([1, 0.5], [0, math.log(2) ** 2 / 2])),
    ("inv_boxcox", ([0.0, 1.0], [0.0, 0.0]), ([1, math.e], [0, -math.e / 2])),
    ("gammaln", ([-1.5],), ([0.7031566406452432],)),
    ("rgamma", ([0.0, -1.0, -2.0],), ([1, -1, 2],)),
    ("binom", ([2.0, 2.0, 1.0], [3.0, 5.0, -1.0]), ([1 / 3, 1 / 30, 0], [-1 / 3, -1 / 30, 0.5])),
    ("poch", ([0.0], [2.5]), ([0.75 * math.sqrt(math.pi)], [0])),
    ("i1", ([0.0],), ([0.5],)),
    ("i1e", ([0.0],), ([0.5],)),
    ("i0e", ([0.0],), ([0],)),
    ("j1", ([0.0],), ([0.5],)),
    ("exprel", ([0.0],), ([0.5],)),
    # -1/(x**2 sqrt(pi)) times 1 - 3/(2 x**2) + 15/(4 x**4), which 2 x erfcx(x) - 2/sqrt(pi) would lose.
    ("erfcx", ([1e4],), ([-(1 - 1.5e-8) / (1e8 * math.sqrt(math.pi))],)),
    ("spence", ([1.0],), ([-1],)),
    ("ellipk", ([0.0],), ([math.pi / 8],)),
    ("ellipe", ([0.0],), ([-math.pi / 8],)),
    ("cbrt", ([0.0, -8.0],), ([inf, 1 / 12],)),
    ("erfinv", ([0.0, 1.0],), ([math.sqrt(math.pi) / 2, inf],)),
    # x + 1/x - 2/x**3 + 10/x**5 - 74/x**7 + 706/x**9 …, negated, by the asymptotic series 7.12.1 of DLMF.
    ("log_ndtr", ([-50.0, 50.0],), ([50 + 1 / 50 - 2 / 50**3 + 10 / 50**5 - 74 / 50**7, 0],)),
]


@pytest.mark.parametrize("name, where, expected", EDGES, ids=[row[0] for row in EDGES])
def test_gradient_at_edge_points(name: str, where: Any, expected: Any, backend: Backend) -> None:
    found = gradients(backend, getattr(special, name), *where)
    for slope, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(slope, want, rtol=2e-12, atol=1e-15)


CURVED = [
    ("sinc", [0.0, 1e-9, 1.0], [-(math.pi**2) / 3, -(math.pi**2) / 3, 2]),
    ("i0e", [-1e-9, 0.0, 1e-9], [1.5 - 5e-9 / 2, 1.5, 1.5 - 5e-9 / 2]),
    ("i1", [0.0], [0]),
    ("i1e", [-1e-9, 0.0, 1e-9], [1 - 1.875e-9, 0, 1.875e-9 - 1]),
    ("j1", [0.0], [0]),
    ("exprel", [0.0], [1 / 3]),
    ("spence", [1.0], [0.5]),
    ("ellipk", [0.0], [9 * math.pi / 64]),
    # -m (x + m) with m the derivative, from its series beside the first derivatives above.
    ("log_ndtr", [-50.0, 50.0], [-1 + 1 / 50**2 - 6 / 50**4 + 50 / 50**6 - 518 / 50**8, 0]),
]


@but_jax
@pytest.mark.parametrize("name, where, expected", CURVED, ids=[row[0] for row in CURVED])
def test_second_derivative_at_edge_points(name: str, where: Any, expected: Any, backend: Backend) -> None:
    found = hessian(backend, getattr(special, name), where)
    # What log_ndtr'' = -m * (x + m) loses at -50 is 50**2 times the rounding of m.
    np.testing.assert_allclose(found, np.diag(expected), rtol=2e-12, atol=1e-12)


def derivatives(fun: Callable[[Any], Any], x: Any, orders: int) -> list[Any]:
    """The first so many derivatives of a function of one number, in reverse mode."""
    found = []
    for _ in range(orders):
        fun = bpkit.grad(fun)
        found.append(fun(x))
    return found


# Name, constants, a point where a density is 0, 1 or infinite, and the derivatives there.
AT_THE_BORDER: list[tuple[str, tuple[float, ...], float, list[float]]] = [
    ("gammainc", (1.0,), 0.0, [1, -1, 1]),
    ("gammainc", (2.0,), 0.0, [0, 1, -2]),
    ("gammaincc", (3.0,), 0.0, [0, 0, -1]),
    ("gammainc", (1.5,), 0.0, [0, inf]),
    ("gammainc", (0.5,), 0.0, [inf]),
    ("gammainc", (300.0,), 0.0, [0, 0, 0]),
    ("chdtr", (4.0,), 0.0, [0, 0.25, -0.25]),
    ("chdtr", (3.0,), 0.0, [0, inf]),
    ("chdtrc", (4.0,), 0.0, [0, -0.25, 0.25]),
    ("pdtr", (1.0,), 0.0, [0, -1, 2]),
    ("pdtrc", (0.0,), 0.0, [1, -1, 1]),
    ("gdtr", (3.0, 2.0), 0.0, [0, 9, -54]),
    ("gdtrc", (3.0, 2.0), 0.0, [0, -9, 54]),
    ("betainc", (2.0, 3.0), 0.0, [0, 12, -48]),
    ("betainc", (3.0, 2.0), 1.0, [0, -12, -48]),
    ("betaincc", (2.0, 3.0), 1.0, [0, 0, -24]),
    ("betainc", (2.0, 1.0), 1.0, [2, 2, 0]),
    ("betainc", (2.0, 1.5), 1.0, [0, -inf]),
    ("betainc", (1e5, 2e5), 0.0, [0, 0, 0]),
    ("bdtr", (1.0, 3.0), 0.0, [0, -6, 12]),
    ("bdtrc", (1.0, 3.0), 1.0, [0, -6, -12]),
    ("nbdtr", (2.0, 1.0), 0.0, [3, -6, 6]),
    ("nbdtr", (1.0, 2.0), 0.0, [0, 6, -12]),
    ("fdtr", (4.0, 2.0), 0.0, [0, 8, -96]),
    ("fdtrc", (2.0, 4.0), 0.0, [-1, 1.5, -3]),
]


@but_jax
@pytest.mark.parametrize("name, constants, where, expected", AT_THE_BORDER)
def test_derivatives_where_a_density_begins(
    name: str, constants: tuple[float, ...], where: float, expected: list[float], backend: Backend
) -> None:
    fun = quiet(partial(getattr(special, name), *constants))
    with np.errstate(all="ignore"):
        found = derivatives(fun, backend.from_host(np.asarray(where)), len(expected))
    np.testing.assert_allclose([float(d) for d in found], expected, rtol=1e-13, atol=1e-15)


# Name, point, and the derivatives there by mpmath in 120 digits. Each cancels in the formula that serves
# elsewhere, the second and third more than the first.
FAR_OUT: list[tuple[str, float, list[float]]] = [
    # At the kink of abs(x) what the derivatives on both sides have in common, or their middle.
    ("i0e", 0.0, [0, 1.5, 0]),
    ("i1e", 0.0, [0.5, 0, 1.875]),
    ("k0e", 0.0, [-inf, inf, -inf]),
    ("k1e", 0.0, [-inf, inf, -inf]),
    ("log_ndtr", -6.5, [6.6473013611904926, -0.97915653874676089, 0.0056783226153897354]),
    ("log_ndtr", -30.0, [30.033259667433670, -0.99889622848810991, 7.3099930157844385e-5]),
    ("log_ndtr", -1000.0, [1000.0009999980000, -0.99999900000599995, 1.9999760002999959e-9]),
    ("log_ndtr", -5000.0, [5000.0001999999840, -0.9999999600000096, 1.599999232000384e-11]),
    ("log_ndtr", -1e5, [100000.00001, -0.9999999999, 1.9999999976e-15]),
    ("log_ndtr", -inf, [inf, -1, 0]),
    ("log_ndtr", inf, [0, 0, 0]),
    ("erfcx", 4.5, [-0.026015928630939816, 0.010826250869224492, -0.0066274567007388401]),
    ("erfcx", 20.0, [-0.0014052174534598012, 0.00013999934371059263, -2.0896065415499417e-5]),
    ("erfcx", 1000.0, [-5.6418873726549667e-7, 1.1283757819707055e-9, -3.3851205756878906e-12]),
    ("erfcx", 1e5, [-5.6418958346312785e-11, 1.1283791667569988e-15, -3.385137499593969e-20]),
    ("i0e", 20.5, [-0.0021903155216580026, 0.00016238160458004195, -2.0071338144770549e-5]),
    ("i0e", 1000.0, [-6.3101989626271155e-6, 9.4676683256014869e-9, -2.3675099972830331e-11]),
    ("i0e", 100000.0, [-6.307854959639557e-9, 9.4618060942702585e-14, -2.3654574373146493e-18]),
    ("i1e", 20.5, [-0.0020279339170779606, 0.0001423102664352714, -1.6596662268200091e-5]),
    ("i1e", 1000.0, [-6.300731294301514e-6, 9.4439932256286566e-9, -2.3592216355258613e-11]),
    ("i1e", 100000.0, [-6.3077603415786143e-9, 9.461569548526527e-14, -2.3653746460973606e-18]),
    ("k0e", 20.5, [-0.0066332605581529295, 0.00047983478918029685, -5.7864629094010301e-5]),
    ("k0e", 1000.0, [-1.9809212205993365e-5, 2.970640097347964e-8, -7.4247472967775273e-11]),
    ("k0e", 100000.0, [-1.9816562176339893e-8, 2.9724768953516337e-13, -7.431173660770038e-18]),
    ("k1e", 20.5, [-0.0071130953473332263, 0.00053769941827430715, -6.7636240817380683e-5]),
    ("k1e", 1000.0, [-1.9838918606966845e-5, 2.9780648446447415e-8, -7.4507274318526253e-11]),
    ("k1e", 100000.0, [-1.9816859424029429e-8, 2.9725512070882414e-13, -7.4314337511979535e-18]),
]


@but_jax
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-13), ("float32", 4e-6)])
@pytest.mark.parametrize("name, where, expected", FAR_OUT)
def test_derivatives_far_out(
    name: str, where: float, expected: list[float], dtype: str, rtol: float, backend: Backend
) -> None:
    x = backend.from_host(np.asarray(where, dtype=dtype))
    with np.errstate(all="ignore"):
        found = derivatives(quiet(getattr(special, name)), x, 3)
    np.testing.assert_allclose([float(d) for d in found], expected, rtol=rtol)


# Operands of betaln, and its first three derivatives by the first one, by mpmath in 60 digits: differences of
# polygamma functions of arguments that may be next to each other.
NEIGHBOURS: list[tuple[float, float, list[float]]] = [
    (1e-08, 0.5, [-99999998.61370566, 9999999999999996.0, -2e24]),
    (0.5, 1e-12, [-4.934802200536265e-12, 1.6828796644185615e-11, -9.74090910336167e-11]),
    (3.0, 0.001, [-0.0003948570297626245, 0.00015405435932048863, -0.00011887130355025226]),
    (9.5, 20.0, [-1.1696074874739657, 0.07651794526867893, -0.011119138387070446]),
    (30.0, 1e-12, [-3.389506035773937e-14, 1.148765203728561e-15, -7.786003664735733e-17]),
    (1000.0, 0.5, [-0.000500124999984375, 5.002499999375001e-07, -1.0007499996875003e-09]),
    (100000000.0, 2.0, [-1.9999999900000002e-08, 1.9999999800000003e-16, -3.999999940000001e-24]),
    (1000000000000000.0, 0.5, [-5.000000000000001e-16, 5.000000000000002e-31, -1.0000000000000008e-45]),
]


@but_jax
@pytest.mark.parametrize("a, b, expected", NEIGHBOURS)
def test_derivatives_of_betaln_do_not_cancel(
    a: float, b: float, expected: list[float], backend: Backend
) -> None:
    by_a = partial(special.betaln, b)  # which is symmetric
    found = derivatives(quiet(by_a), backend.from_host(np.asarray(a)), 3)
    np.testing.assert_allclose([float(d) for d in found], expected, rtol=1e-14)
    # Beside their own values, of which some libraries have fewer digits.
    for fun, sign in ((partial(special.beta, b), 1), (lambda x: special.poch(x, b), -1)):
        value, slope = bpkit.value_and_grad(fun)(backend.from_host(np.asarray(a)))
        assert float(slope) == pytest.approx(sign * float(value) * expected[0], rel=1e-13)


@pytest.mark.parametrize("name", ["gammainc", "chdtr", "pdtr"])
def test_densities_end_at_infinity(name: str, backend: Backend) -> None:
    (slope,) = gradients(backend, partial(getattr(special, name), 5.0), [inf])
    assert slope[0] == 0


def test_the_density_of_f_keeps_its_digits(backend: Backend) -> None:
    # The density is 20 / (3 * x**3) times 1 - 14 / (3 * x) there, and so on.
    (slope,) = gradients(backend, partial(special.fdtr, 3.0, 4.0), [1e10, 1e15])
    np.testing.assert_allclose(slope, [(1 - 14 / 3e10) * 20 / 3e30, 20 / 3e45], rtol=1e-13)


# Name, operands, number of the operand, and its first two derivatives, where zeros and poles of gamma
# functions cancel: poch(z, 2) is (z + 1) times z there, and binom(n, 2) is n / 2 times (n - 1).
REMOVABLE: list[tuple[str, tuple[float, ...], int, list[float]]] = [
    ("poch", (-3.0, 2.0), 0, [-5, 2]),
    ("poch", (0.0, 2.0), 0, [1, 2]),
    ("poch", (-1.0, 2.0), 0, [-1, 2]),
    ("poch", (-1.0, 3.0), 0, [-1, 0]),
    ("poch", (2.5, 2.0), 0, [6, 2]),
    ("binom", (1.0, 2.0), 0, [0.5, 1]),
    ("binom", (4.0, 2.0), 0, [3.5, 1]),
    # sin(pi * k) / (pi * k * (1 - k)) is binom(1, k).
    ("binom", (1.0, 2.0), 1, [-0.5, 1.5]),
    ("binom", (1.0, -1.0), 1, [0.5, 1.5]),
    ("binom", (1.0, 0.0), 1, [1, 2 - math.pi**2 / 3]),
]


@pytest.mark.parametrize("name, operands, argnum, expected", REMOVABLE)
def test_derivatives_where_gamma_functions_cancel(
    name: str, operands: tuple[float, ...], argnum: int, expected: list[float], backend: Backend
) -> None:
    def fun(x: Any) -> Any:
        return getattr(special, name)(*operands[:argnum], x, *operands[argnum + 1 :])

    with np.errstate(all="ignore"):
        found = derivatives(quiet(fun), backend.from_host(np.asarray(operands[argnum])), 2)
    np.testing.assert_allclose([float(d) for d in found], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mixed, expected", [((2.0, 0.0), math.log(2) ** 3 / 3), ((1.0, 0.0), 0.0)])
def test_boxcox_is_smooth_in_lmbda_at_0(
    mixed: tuple[float, float], expected: float, backend: Backend
) -> None:
    x, lmbda = [backend.from_host(np.asarray([v])) for v in mixed]
    slope = bpkit.grad(lambda lmbda: xp.sum(special.boxcox(x, lmbda)))
    curvature = bpkit.grad(lambda lmbda: xp.sum(slope(lmbda)))(lmbda)
    assert float(curvature[0]) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["entr", "cbrt", "logit", "y0", "expi"])
def test_a_zero_cotangent_annihilates(name: str, backend: Backend) -> None:
    def masked(x: Any) -> Any:
        return xp.where(x > 0.25, getattr(special, name)(x), 0.0)

    (slope,) = gradients(backend, masked, [0.0, 0.5])
    assert slope[0] == 0 and np.isfinite(slope[1]) and slope[1] != 0


# What has no derivative says so.

REFUSED = [
    (name, operand)
    for name, operands in {
        **dict.fromkeys(("expn", "polygamma", "yn"), ("n",)),
        **dict.fromkeys(("gammainc", "gammaincc", "gammaincinv", "gammainccinv"), ("a",)),
        **dict.fromkeys(("betainc", "betaincc", "betaincinv", "hyp1f1"), ("a", "b")),
        **dict.fromkeys(("bdtr", "bdtrc", "bdtri", "nbdtr", "nbdtrc", "nbdtri"), ("n",)),
        **dict.fromkeys(("chdtr", "chdtrc", "chdtri"), ("v",)),
        **dict.fromkeys(("fdtr", "fdtrc", "fdtri"), ("dfn", "dfd")),
        **dict.fromkeys(("gdtr", "gdtrc"), ("b",)),
        **dict.fromkeys(("stdtr", "stdtrit"), ("df",)),
        "lpmv": ("m", "v"),
        "zeta": ("x",),
        "zetac": ("x",),
    }.items()
    for operand in operands
]


def _call(name: str, operand: str) -> tuple[Callable[[Any], Any], float]:
    names = list(inspect.signature(getattr(special, name)).parameters)
    start = {"bdtr": [2.0, 5.0, 0.5], "lpmv": [1.0, 2.0, 0.5]}.get(name, [2.0] * (len(names) - 1) + [0.5])
    at = names.index(operand)

    def fun(x: Any) -> Any:
        return getattr(special, name)(*start[:at], x, *start[at + 1 :])

    return fun, start[at]


def test_every_refusal_is_in_the_table() -> None:
    from bpkit.rules.registry import RULES, Elementwise

    def refuses(pull: Callable[..., Any]) -> bool:
        partial = inspect.getclosurevars(pull).nonlocals.get("partial")
        return getattr(partial, "__qualname__", "").startswith("no_closed_form.")

    found = {
        (name.removeprefix("special.").replace("riemann_", ""), rule.operands[place])
        for name, rule in RULES.items()
        if name.startswith("special.") and isinstance(rule, Elementwise)
        for place, pull, _ in rule.ways
        if refuses(pull)
    }
    assert found == set(REFUSED)


@only_numpy
@pytest.mark.parametrize("name, operand", REFUSED)
def test_what_has_no_closed_form_is_refused_by_name(name: str, operand: str, backend: Backend) -> None:
    fun, start = _call(name, operand)
    x = np.asarray(start)
    message = f"special.{name} has no closed-form derivative by its argument {operand}"
    with pytest.raises(NotDifferentiableError, match=message):
        bpkit.grad(fun)(x)
    with pytest.raises(NotDifferentiableError, match=message):
        bpkit.jvp(fun, (x,), (np.asarray(1.0),))


def test_refusals_wait_until_the_derivative_is_asked_for(backend: Backend) -> None:
    def unused(a: Any) -> Any:
        special.gammainc(a, 1.5)
        return a * a

    x = backend.from_host(np.asarray(3.0))
    assert float(bpkit.grad(unused)(x)) == 6
    assert float(bpkit.grad(lambda a: a * special.gammainc(bpkit.stop_gradient(a), 1.5))(x)) > 0


def test_refusals_wait_in_forward_mode_too(backend: Backend) -> None:
    def both(a: Any) -> tuple[Any, Any]:
        idle = xp.where(a > 0, 2 * special.gammainc(a, 1.5) + a, a)
        return a * a, xp.stack([idle, a])

    def first(a: Any) -> Any:
        return both(a)[0]

    x, one = [backend.from_host(np.asarray(v)) for v in (3.0, 1.0)]
    assert float(bpkit.jvp(first, (x,), (one,))[1]) == 6
    assert float(bpkit.linearize(first, x)[1](one)) == 6
    assert float(bpkit.jvp(bpkit.grad(first), (x,), (one,))[1]) == 2
    assert float(bpkit.jacfwd(first)(x)) == 6
    for run in (
        lambda: bpkit.jvp(both, (x,), (one,)),
        lambda: bpkit.linearize(both, x),
        lambda: bpkit.jacfwd(both)(x),
        lambda: bpkit.jvp(lambda a: bpkit.jvp(both, (a,), (one,)), (x,), (one,)),
    ):
        with pytest.raises(NotDifferentiableError, match=r"special\.gammainc has no closed-form derivative"):
            run()
