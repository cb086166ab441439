"""Where derivatives go wrong: kinks, ties, zeros, infinities, NaN, empty arrays, repeated indices.

Every value is checked in both modes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cases.edges import CURVATURES, POINTS, Function

import bpkit
from bpkit import namespace as xp
from bpkit._protocol import Backend

only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)

Values = np.ndarray[Any, Any]


def quiet(fun: Function) -> Function:
    """The function without NumPy's warnings of its own; those of its derivative are still seen."""

    def silent(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return fun(*args)

    return silent


def gradients(backend: Backend, fun: Function, *points: Any) -> list[Values]:
    """The gradient of ``sum(fun(*points))``, the same in both modes."""
    primals = [backend.from_host(np.asarray(x)) for x in points]
    total = quiet(lambda *xs: xp.sum(fun(*xs)))
    found = bpkit.grad(total, argnums=tuple(range(len(primals))))(*primals)
    reverse = [backend.to_host(g) for g in found]
    forward = [np.zeros_like(np.asarray(x)) for x in points]
    for which, slopes in enumerate(forward):
        for place in np.ndindex(slopes.shape):
            directions = [np.zeros_like(np.asarray(x)) for x in points]
            directions[which][place] = 1
            moved = bpkit.jvp(total, tuple(primals), tuple(backend.from_host(t) for t in directions))[1]
            slopes[place] = backend.to_host(moved)
    for one, other in zip(reverse, forward, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, err_msg="reverse and forward mode differ")
    return reverse


def assert_gradients(backend: Backend, fun: Function, points: Sequence[Any], expected: Sequence[Any]) -> None:
    for found, want in zip(gradients(backend, fun, *points), expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12)


def hessian(backend: Backend, fun: Function, point: Any) -> Values:
    """All second derivatives of ``sum(fun(x))``: the same by either mode over either, row by row."""
    x = backend.from_host(np.asarray(point))
    total = quiet(lambda x: xp.sum(fun(x)))
    gradient = bpkit.grad(total)
    rows = []
    for unit in np.eye(len(point)):
        t = backend.from_host(unit)

        def tangent(x: Any, t: Any = t) -> Any:
            return bpkit.jvp(total, (x,), (t,))[1]

        ways = {
            "forward over reverse": bpkit.jvp(gradient, (x,), (t,))[1],
            "reverse over reverse": bpkit.vjp(gradient, x)[1](t)[0],
            "reverse over forward": bpkit.grad(tangent)(x),
        }
        found = {way: backend.to_host(row) for way, row in ways.items()}
        rows.append(found["forward over reverse"])
        for way, row in found.items():
            np.testing.assert_allclose(row, rows[-1], rtol=1e-12, err_msg=f"{way} differs")
        for i, other in enumerate(np.eye(len(point))):
            twice = bpkit.jvp(tangent, (x,), (backend.from_host(other),))[1]
            np.testing.assert_allclose(
                backend.to_host(twice), rows[-1][i], rtol=1e-12, err_msg="forward twice"
            )
    return np.stack(rows)


@pytest.mark.parametrize("fun, points, expected", [p[1:] for p in POINTS], ids=[p[0] for p in POINTS])
def test_gradient(fun: Function, points: list[Any], expected: list[Any], backend: Backend) -> None:
    assert_gradients(backend, fun, points, expected)


@pytest.mark.parametrize("fun, point, expected", [c[1:] for c in CURVATURES], ids=[c[0] for c in CURVATURES])
def test_hessian(fun: Function, point: list[float], expected: Any, backend: Backend) -> None:
    np.testing.assert_allclose(hessian(backend, fun, point), expected, rtol=1e-12)


@pytest.mark.parametrize("static", [{}, {"axis": 0}, {"axis": 1, "correction": 1, "keepdims": True}], ids=str)
def test_std_of_equal_numbers_whose_mean_rounds(static: dict[str, Any], backend: Backend) -> None:
    # The mean of nine equal numbers is not always that number: for about one constant in fifteen the rounding
    # error over the standard deviation, which is one too, would be a slope of 1 or -1.
    for s in np.random.default_rng(0).normal(size=100):
        x = backend.from_host(np.full((3, 3), s))
        out, pullback = bpkit.vjp(lambda x: xp.std(x, **static), x)
        (gradient,) = pullback(xp.ones_like(out))
        assert not backend.to_host(gradient).any()
        _, tangent = bpkit.jvp(
            lambda x: xp.std(x, **static), (x,), (xp.sin(x * xp.cumulative_sum(x, axis=0)),)
        )
        assert not backend.to_host(tangent).any()


@pytest.mark.parametrize("static", [{}, {"axis": 0}, {"axis": 1, "correction": 1, "keepdims": True}], ids=str)
def test_var_of_equal_numbers_is_flat(static: dict[str, Any], backend: Backend) -> None:
    for s in np.random.default_rng(0).normal(size=20):
        x = backend.from_host(np.full((3, 3), s))
        gradient = bpkit.grad(lambda x: xp.sum(xp.var(x, **static)))(x)
        np.testing.assert_allclose(backend.to_host(gradient), 0, atol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("name", ["bitwise_left_shift", "bitwise_right_shift"])
def test_large_shifts_of_bits_are_those_of_the_library(name: str, backend: Backend) -> None:
    i = backend.from_host(np.asarray([1, -1, 2**62, -(2**63)]))
    by = backend.from_host(np.asarray([0, 1, 62, 63]))
    one = backend.from_host(np.asarray(1.0))

    def fun(one: Any, i: Any, by: Any) -> tuple[Any, Any]:
        return one, getattr(xp, name)(i, by)

    _, found = bpkit.grad(fun, has_aux=True)(one, i, by)
    expected = getattr(np, name)(backend.to_host(i), backend.to_host(by))
    np.testing.assert_array_equal(backend.to_host(found), expected)


def test_third_derivative_of_cumulative_products_with_zeros(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.0, 0.0, 0.0, 5.0]))
    total = lambda x: xp.sum(xp.cumulative_prod(x))  # noqa: E731
    third = bpkit.grad(lambda x: bpkit.grad(lambda x: bpkit.grad(total)(x)[0])(x)[1])(x)
    np.testing.assert_array_equal(backend.to_host(third), [0, 0, 6, 0])


def test_third_derivative_of_a_product_with_zeros(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.0, 0.0, 0.0]))
    third = bpkit.grad(lambda x: bpkit.grad(lambda x: bpkit.grad(xp.prod)(x)[0])(x)[1])(x)
    np.testing.assert_array_equal(backend.to_host(third), [0, 0, 1])


def test_gradient_of_a_gradient_that_vanishes_by_a_mask(backend: Backend) -> None:
    def penalty(x: Any) -> Any:
        slope = bpkit.grad(lambda x: xp.sum(xp.where(x > 0.0, xp.sqrt(x), 0.0)))(x)
        return xp.sum(slope**2)

    found = bpkit.grad(penalty)(backend.from_host(np.asarray([0.0, 4.0])))
    np.testing.assert_allclose(backend.to_host(found), [0, -1 / 64], rtol=1e-12)


# Masks and indices.


def test_a_boolean_mask_gives_the_gradient_to_what_it_selects(backend: Backend) -> None:
    assert_gradients(backend, lambda x: x[x > 0.0] ** 2, [[[1.0, -2.0], [-3.0, 4.0]]], [[[2, 0], [0, 8]]])


def test_a_mask_that_selects_nothing_gives_zeros(backend: Backend) -> None:
    assert_gradients(backend, lambda x: x[x > 9.0] ** 2, [[1.0, 2.0]], [[0, 0]])


def test_repeated_indices_accumulate(backend: Backend) -> None:
    at = backend.from_host(np.asarray([1, 1, 0, 1]))
    assert_gradients(backend, lambda x: x[at] * 2.0, [[1.0, 5.0]], [[2, 6]])


def test_repeated_pairs_of_indices_accumulate(backend: Backend) -> None:
    rows, columns = (backend.from_host(np.asarray(i)) for i in ([0, 0, 1], [1, 1, 0]))
    assert_gradients(backend, lambda x: x[rows, columns] ** 2, [[[1.0, 2.0], [3.0, 4.0]]], [[[0, 8], [6, 0]]])


def test_indices_may_themselves_be_traced_constants(backend: Backend) -> None:
    at = backend.from_host(np.asarray([1, 1]))
    found = bpkit.grad(lambda x, at: xp.sum(x[at] * xp.take(x, at)))(
        backend.from_host(np.asarray([1.0, 3.0])), at
    )
    np.testing.assert_array_equal(backend.to_host(found), [0, 12])


# Dtypes.


def test_float32_stays_float32_through_python_scalars(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.5, 2.0], dtype=np.float32))
    value, gradient = bpkit.value_and_grad(lambda x: xp.sum(2 * x**2 + 0.5 / x - 1.5 * xp.exp(-x) + x**1.5))(
        x
    )
    assert value.dtype == x.dtype and gradient.dtype == x.dtype
    _, tangent = bpkit.jvp(lambda x: 3 * xp.logaddexp(x, 0.0) + xp.clip(x, 0, 1), (x,), (x,))
    assert tangent.dtype == x.dtype


def test_float32_stays_float32_beside_float64_constants(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.5, 2.0], dtype=np.float32))
    wide = backend.from_host(np.asarray([1.0, 3.0]))
    value, gradient = bpkit.value_and_grad(lambda x: xp.sum(x * wide + x / wide - xp.pow(wide, x)))(x)
    assert value.dtype == wide.dtype and gradient.dtype == x.dtype
    out, tangent = bpkit.jvp(lambda x: x * wide, (x,), (x,))
    assert out.dtype == wide.dtype and tangent.dtype == wide.dtype


def test_an_unused_float32_input_has_a_float32_gradient(backend: Backend) -> None:
    x, y = (backend.from_host(np.ones((2, 1), dtype=name)) for name in ("float64", "float32"))
    found = bpkit.grad(lambda x, y: xp.sum(x), argnums=(0, 1))(x, y)
    assert [g.dtype for g in found] == [x.dtype, y.dtype]
    assert found[1].shape == (2, 1) and not backend.to_host(found[1]).any()


def test_no_gradient_flows_through_integers(backend: Backend) -> None:
    x = backend.from_host(np.asarray([1.5, 2.5]))
    whole = lambda x: xp.astype(xp.sum(xp.astype(x, "int64")), "float64")  # noqa: E731
    assert not backend.to_host(bpkit.grad(whole)(x)).any()
    assert not backend.to_host(bpkit.jvp(whole, (x,), (x,))[1]).any()


# Complex numbers, by JAX's convention: the gradient of a real loss is dL/dx - i dL/dy.


@pytest.mark.parametrize(
    "fun, point, expected",
    [
        (lambda z: xp.real(z * xp.conj(z)), 3 + 4j, 6 - 8j),
        (xp.abs, 3 + 4j, 0.6 - 0.8j),
        (xp.abs, 0j, 0),
        (xp.real, 3 + 4j, 1),
        (xp.imag, 3 + 4j, -1j),
        (lambda z: xp.real(xp.where(xp.abs(z) > 0.0, xp.sqrt(z), 0.0)), 0j, 0),
        (lambda z: xp.real(xp.sign(z)), 0j, 0),
        (lambda z: xp.real(z**2), 0j, 0),
        (lambda z: xp.real(z**0), 0j, 0),
        (lambda z: xp.real((-2.0) ** z), 2 + 0j, 4 * (math.log(2) + math.pi * 1j)),
        (lambda z: xp.real(xp.acosh(z)), -2 + 1j, 1 / (np.sqrt(-3 + 1j) * np.sqrt(-1 + 1j))),
    ],
    ids=[
        "|z|**2",
        "|z|",
        "|z| at 0",
        "real",
        "imag",
        "sqrt where not 0",
        "sign at 0",
        "0**2",
        "0**0",
        "(-2)**z",
        "acosh",
    ],
)
def test_gradient_by_a_complex_number(
    fun: Function, point: complex, expected: complex, backend: Backend
) -> None:
    z = backend.from_host(np.asarray(point))
    total = quiet(lambda z: xp.sum(fun(z)))
    found = backend.to_host(bpkit.grad(total)(z))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for direction in (1 + 0j, 1j):
        moved = bpkit.jvp(total, (z,), (backend.from_host(np.asarray(direction)),))[1]
        np.testing.assert_allclose(backend.to_host(moved), (expected * direction).real, atol=1e-12)


# Warnings are errors, so a derivative that lets one out fails these.


@only_numpy
@pytest.mark.parametrize(
    "fun, point",
    [
        (xp.sqrt, 0.0),
        (lambda x: x**0.5, 0.0),
        (lambda x: x ** (0.5 * xp.ones_like(x)), 0.0),
        (xp.asin, 1.0),
        (xp.acos, -1.0),
        (xp.acosh, 1.0),
        (lambda x: xp.hypot(x, 0.0 * x), 0.0),
        (lambda x: xp.atan2(x, x), 0.0),
        (lambda x: xp.sqrt(x) * 0.0, 0.0),
        (lambda x: xp.asinh(1e200 * x), 1.0),
        (lambda x: xp.atan(1e200 * x), 1.0),
        (lambda x: xp.exp(x) * 1e300, -1.0),
        (xp.relu, math.nan),
        (lambda x: xp.maximum(x, 1.0), math.nan),
        (lambda x: xp.logaddexp(x, x), -math.inf),
    ],
)
def test_derivatives_emit_no_warning(fun: Function, point: float, backend: Backend) -> None:
    x, t = np.asarray([point]), np.asarray([1.0])
    before = np.geterr()
    assert before["divide"] == before["invalid"] == "warn"
    total = lambda x: xp.sum(fun(x))  # noqa: E731
    bpkit.grad(total)(x)
    bpkit.jvp(total, (x,), (t,))
    bpkit.vjp(fun, x)[1](t)
    bpkit.grad(lambda x: xp.sum(bpkit.grad(total)(x)))(x)
    bpkit.jvp(bpkit.grad(total), (x,), (t,))
    assert np.geterr() == before


@only_numpy
def test_a_warning_of_the_function_itself_is_kept(backend: Backend) -> None:
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        bpkit.grad(lambda x: xp.sum(xp.log(x)))(np.asarray([0.0]))


def test_var_with_nothing_left_to_divide_by_has_no_gradient() -> None:
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        found = bpkit.grad(lambda x: xp.var(x, correction=2))(np.asarray([1.0, 3.0]))
    assert not np.isfinite(found).any()
