"""Derivatives of derivatives: closed forms to the fifth order, and the literature on confusing them."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jacfwd, jacrev, jvp, linearize, vjp, vmap, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, LeakedArrayError
from bpkit.registry import backend_of

Scalar = Callable[[Any], Any]
Transform = Callable[[Scalar], Scalar]


def forward_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function by forward mode."""
    return lambda x: jvp(f, (x,), (1.0,))[1]


def pulled_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function by vjp."""
    return lambda x: vjp(f, x)[1](1.0)[0]


def linear_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function by its tangent map."""
    return lambda x: linearize(f, x)[1](1.0)


def batched_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function as that of a batch of one."""
    return lambda x: vmap(grad(f))(xp.reshape(xp.asarray(x), (1,)))[0]


MODES: tuple[Transform, ...] = (grad, forward_grad, pulled_grad)
ALL_MODES: tuple[Transform, ...] = (*MODES, linear_grad, jacrev, jacfwd, batched_grad)


def sine(x: float, n: int) -> float:
    """The derivative of order n of the sine."""
    return math.sin(x + n * math.pi / 2)


def power_tower(x: float) -> list[float]:
    """Derivatives of x**x: f' = f l with l = log x + 1, so f^(n+1) = sum of binomials of f and l."""
    l = [math.log(x) + 1] + [(-1) ** (k - 1) * math.factorial(k - 1) / x**k for k in range(1, 6)]  # noqa: E741
    f = [x**x]
    for n in range(5):
        f.append(sum(math.comb(n, k) * f[k] * l[n - k] for k in range(n + 1)))
    return f


def polynomial(step: Callable[[Any], Any], y: float, n: int) -> float:
    """A derivative of y(x) that is a polynomial in y, which `step` differentiates."""
    p = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        p = step(p)
    return float(p(y))


def hermite(x: float, n: int) -> float:
    """Derivatives of exp(-x^2) are Hermite polynomials times itself."""
    return float((-1) ** n * np.polynomial.hermite.hermval(x, [0] * n + [1]) * math.exp(-x * x))


def touchard(x: float, n: int) -> float:
    """Derivatives of exp(exp(x)) are Touchard polynomials in exp(x) times itself."""
    stirling = [[1]]
    for m in range(1, n + 1):
        row = stirling[-1]
        stirling.append([k * (row[k] if k < m else 0) + (row[k - 1] if k else 0) for k in range(m + 1)])
    return math.exp(math.exp(x)) * sum(s * math.exp(k * x) for k, s in enumerate(stirling[n]))


LOGISTIC = np.polynomial.Polynomial([0.0, 1.0, -1.0])
"""s' = s - s^2."""
TANGENT = np.polynomial.Polynomial([1.0, 0.0, -1.0])
"""t' = 1 - t^2 of the hyperbolic tangent."""

DERIVATIVES: dict[str, tuple[Scalar, Callable[[float, int], float]]] = {
    "sin 3x": (lambda x: xp.sin(3 * x), lambda x, n: 3**n * sine(3 * x, n)),
    "exp 2x": (lambda x: xp.exp(x + x), lambda x, n: 2**n * math.exp(2 * x)),
    "1 / x": (lambda x: 1 / x, lambda x, n: (-1) ** n * math.factorial(n) / x ** (n + 1)),
    "log x": (xp.log, lambda x, n: (-1) ** (n - 1) * math.factorial(n - 1) / x**n),
    "x^7": (lambda x: x**7, lambda x, n: math.perm(7, n) * x ** (7 - n)),
    "x^3 x^4": (lambda x: (x * x * x) * (x**2) ** 2, lambda x, n: math.perm(7, n) * x ** (7 - n)),
    "sqrt x": (
        lambda x: xp.sqrt(x) * 1.0,
        lambda x, n: math.prod([0.5 - k for k in range(n)]) * x ** (0.5 - n),
    ),
    "x^x": (lambda x: x**x, lambda x, n: power_tower(x)[n]),
    "x sin x + x": (lambda x: x * xp.sin(x) + x, lambda x, n: x * sine(x, n) + n * sine(x, n - 1) + (n == 1)),
    "exp(-x^2)": (lambda x: xp.exp(-(x * x)), hermite),
    "exp(exp x)": (lambda x: xp.exp(xp.exp(x)), touchard),
    "atan x": (
        xp.atan,
        lambda x, n: math.factorial(n - 1) * math.cos(math.atan(x)) ** n * sine(n * math.atan(x), n),
    ),
    "1 / (1 + exp(-x))": (
        lambda x: 1.0 / (1.0 + xp.exp(-x)),
        lambda x, n: polynomial(lambda p: p.deriv() * LOGISTIC, 1 / (1 + math.exp(-x)), n),
    ),
    "tanh x": (xp.tanh, lambda x, n: polynomial(lambda p: p.deriv() * TANGENT, math.tanh(x), n)),
    "log(exp(sin x))": (lambda x: xp.log(xp.exp(xp.sin(x))), sine),
}


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_every_order(name: str, order: int) -> None:
    f, exact = DERIVATIVES[name]
    if order < 3:
        mixtures = list(product(ALL_MODES, repeat=order))
    elif order == 3:
        mixtures = list(product(MODES, repeat=order))
    else:
        mixtures = [MODES[:1] * order, (MODES * 2)[:order], ALL_MODES[-order:]]
    for modes in mixtures:
        g = f
        for mode in modes:
            g = mode(g)
        assert float(g(0.7)) == pytest.approx(exact(0.7, order), rel=1e-10, abs=1e-12), modes


@pytest.mark.parametrize("name", DERIVATIVES)
def test_grad_to_the_fifth_order_on_every_library(backend: Backend, name: str) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("needs float64")
    f, exact = DERIVATIVES[name]
    x = xp.asarray(0.7, dtype="float64")
    for order in range(1, 6):
        f = grad(f)
        found = f(x)
        assert float(found) == pytest.approx(exact(0.7, order), rel=1e-10, abs=1e-12)
        assert backend_of(found) is backend and found.dtype == x.dtype


@pytest.mark.parametrize("mode", ALL_MODES)
def test_the_fifth_order_by_every_mode_on_every_library(backend: Backend, mode: Transform) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("needs float64")
    f, exact = DERIVATIVES["x^3 x^4"]
    for _ in range(5):
        f = mode(f)
    assert float(f(xp.asarray(0.7, dtype="float64"))) == pytest.approx(exact(0.7, 5), rel=1e-11)


# Perturbation confusion.
#
# J. M. Siskind, B. A. Pearlmutter, "Perturbation confusion and referential transparency: correct functional
# implementation of forward-mode AD", IFL 2005; "Nesting forward-mode AD in a functional framework",
# Higher-Order and Symbolic Computation 21 (2008), 361-376.


@pytest.mark.parametrize("inner", ALL_MODES)
@pytest.mark.parametrize("outer", ALL_MODES)
def test_inner_derivatives_see_the_outer_argument(inner: Transform, outer: Transform) -> None:
    # d/dx x * d/dy (x y^2 + y) at y = x: x (2 x^2 + 1), so 6 x^2 + 1.
    f = outer(lambda x: x * inner(lambda y: x * y * y + y)(x))
    assert float(f(2.0)) == pytest.approx(25.0)


@pytest.mark.parametrize("inner", ALL_MODES)
@pytest.mark.parametrize("outer", ALL_MODES)
def test_no_perturbation_confusion(inner: Transform, outer: Transform) -> None:
    # d/dx (x * d/dy (x + y) at y=1) at x=1 is 1, and 2 if the two derivatives are confused; with x y at y=2
    # it is 2, and 3 if they are.
    assert float(outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0)) == 1.0
    assert float(outer(lambda x: x * inner(lambda y: x * y)(2.0))(1.0)) == 2.0
    # The inner function ignores its argument, or returns the outer one.
    assert float(outer(lambda x: x + inner(lambda y: x * x)(1.0))(3.0)) == 1.0
    assert float(outer(lambda x: x + inner(lambda y: x)(x))(3.0)) == 1.0
    # Three levels, of which each uses the two around it: x y z twice, thrice, once.
    f = outer(lambda x: inner(lambda y: outer(lambda z: x**2 * y**3 * z)(x * y))(x))
    assert float(f(2.0)) == pytest.approx(3 * 4 * 2.0**3)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_no_confusion_on_any_library(backend: Backend, mode: Transform) -> None:
    one = xp.asarray(1.0)
    assert float(mode(lambda x: x * mode(lambda y: x + y)(one))(one)) == 1.0
    assert float(mode(lambda x: x * mode(lambda y: x * y)(2.0 * one))(one)) == 2.0


@pytest.mark.parametrize("inner", ALL_MODES)
@pytest.mark.parametrize("outer", ALL_MODES)
def test_the_derivative_of_an_optimum_that_gradient_steps_found(inner: Transform, outer: Transform) -> None:
    # A saddle, as in the second paper: max over y of x y - y^2 / 2 is x^2 / 2, with the slope x. The steps
    # inside differentiate by y what depends on x, and the derivative outside sees all of them.
    def best(x: Any) -> Any:
        value = lambda y: x * y - y * y / 2  # noqa: E731
        y = 0.0 * x
        for _ in range(3):
            y = y + 0.5 * inner(value)(y)
        return y

    # y is (1 - 1/2^3) x.
    assert float(best(2.0)) == pytest.approx(2.0 * 0.875)
    assert float(outer(best)(2.0)) == pytest.approx(0.875)
    assert float(outer(lambda x: x * best(x) - best(x) ** 2 / 2)(2.0)) == pytest.approx(
        2 * 2.0 * (0.875 - 0.875**2 / 2)
    )


# O. Manzyuk, B. A. Pearlmutter, A. A. Radul, D. R. Rush, J. M. Siskind, "Perturbation confusion in forward
# automatic differentiation of higher-order functions", J. Funct. Prog. 29 (2019) e12. With
# s(u)(f)(x) = f(x + u) the derivative of s at 0 is the derivative operator, and applied twice it must be the
# second derivative. Where the two applications share one tag, because s was differentiated once, it gives 0.


@pytest.mark.parametrize("derivative", ALL_MODES)
def test_no_confusion_of_curried_derivatives(derivative: Transform) -> None:
    def operator(f: Scalar) -> Scalar:
        return lambda y: derivative(lambda u: f(y + u))(0.0)

    h = operator(operator(xp.exp))
    assert float(h(1.0)) == pytest.approx(math.e)
    assert float(operator(operator(operator(lambda x: x**4)))(2.0)) == pytest.approx(48.0)


@pytest.mark.parametrize("derivative", ALL_MODES)
def test_no_confusion_of_the_derivative_of_a_function_of_functions(
    backend: Backend, derivative: Transform
) -> None:
    # The derivative of what returns a function, by eta expansion: D(f)(u)(h)(y) = d/dv f(v)(h)(y) at u.
    def of_functions(f: Callable[[Any], Callable[[Scalar], Scalar]]) -> Callable[[Any], Any]:
        return lambda u: lambda h: lambda y: derivative(lambda v: f(v)(h)(y))(u)

    def shift(u: Any) -> Callable[[Scalar], Scalar]:
        return lambda f: lambda x: f(u + x)

    operator = of_functions(shift)(xp.asarray(0.0))
    x = xp.asarray(2.0)
    assert float(operator(lambda x: x**4)(x)) == pytest.approx(32.0)
    assert float(operator(operator(lambda x: x**4))(x)) == pytest.approx(48.0)
    assert float(operator(operator(operator(lambda x: x**4)))(x)) == pytest.approx(48.0)
    # What was differentiated may itself use the operator at another point.
    assert float(operator(lambda x: x * operator(lambda y: x * y * y)(x))(x)) == pytest.approx(6 * 2.0**2)


@pytest.mark.parametrize("derivative", [forward_grad, linear_grad, pulled_grad, jacrev, jacfwd])
def test_a_derivative_that_is_a_function_is_refused(derivative: Transform) -> None:
    # The paper's operator itself, D(s)(0), which shares one tag among all uses of what it returns.
    with pytest.raises(ArgumentError, match="the result must be an array; it is the function"):
        derivative(lambda u: lambda f: lambda x: f(x + u))(0.0)


def test_a_function_that_leaves_with_its_traced_values_is_refused() -> None:
    _, operator = grad(lambda u: (u, lambda x: xp.exp(x + u)), has_aux=True)(0.0)
    with pytest.raises(LeakedArrayError, match=r"add\(1\.0, float64\[\]\): an operand was .* has ended"):
        operator(1.0)
    with pytest.raises(LeakedArrayError):
        grad(operator)(1.0)
