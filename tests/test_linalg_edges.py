"""Derivatives of xp.linalg where they are delicate: singular matrices, equal eigenvalues, norms at kinks."""

import math
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace, registry, xp
from bpkit._protocol import Backend

linalg = namespace.linalg
RNG = np.random.default_rng(0)
A3 = RNG.uniform(-1, 1, (3, 3)) + 2 * np.eye(3)
SPD = A3 @ A3.T + np.eye(3)
ONLY_NUMPY = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


def placed(backend: Backend, *values: Any) -> list[Any]:
    return [backend.from_host(x) for x in values]


def host(x: Any) -> Any:
    return registry.backend_of(x).to_host(x)


# Determinants of matrices of every rank.


def _leibniz(x: Any) -> Any:
    """The determinant as a polynomial."""
    n = x.shape[-1]
    total: Any = 0.0
    for order in permutations(range(n)):
        swaps = sum(int(order[i] > order[j]) for i, j in combinations(range(n), 2))
        term: Any = (-1.0) ** swaps
        for i in range(n):
            term = term * x[i, order[i]]
        total = total + term
    return total


def _along(function: Callable[..., Any], directions: list[Any]) -> Callable[..., Any]:
    """The derivative of a function in several directions, one after the other."""
    for t in directions:
        function = lambda x, f=function, t=t: bpkit.jvp(f, (x,), (t,))[1]  # noqa: E731
    return function


@ONLY_NUMPY
@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n, rank", [(n, rank) for n in (3, 4) for rank in range(n + 1)])
def test_determinants_have_derivatives_at_every_rank(
    n: int, rank: int, order: int, complex_: bool, backend: Backend
) -> None:
    rng = np.random.default_rng(10 * n + rank)

    def draw(*shape: int) -> Any:
        values = rng.standard_normal(shape)
        return values + 1j * rng.standard_normal(shape) if complex_ else values

    x = draw(n, rank) @ draw(rank, n)
    directions = [draw(n, n) for _ in range(order)]
    found, expected = (_along(f, directions)(x) for f in (linalg.det, _leibniz))
    assert abs(found - expected) <= 1e-12 * max(1.0, float(np.linalg.norm(x)) ** n)


def test_a_determinant_of_entries_of_different_sizes(backend: Backend) -> None:
    (x,) = placed(backend, np.diag([1e20, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(host(bpkit.grad(linalg.det)(x)), np.diag([1.0, 1e20, 1e20, 1e20]), rtol=1e-12)


@ONLY_NUMPY
def test_a_determinant_of_nan_has_a_gradient_of_nan(backend: Backend) -> None:
    x = np.diag([math.nan, 1.0, 1.0, 1.0])
    with np.errstate(invalid="ignore"):
        assert np.all(np.isnan(bpkit.grad(linalg.det)(x)))


def test_a_singular_matrix_does_not_disturb_the_logarithms_of_the_others(backend: Backend) -> None:
    (x,) = placed(backend, np.stack([np.ones((2, 2)), np.diag([2.0, 4.0])]))

    def loss(x: Any) -> Any:
        sign, logabsdet = linalg.slogdet(x)
        return xp.sum(xp.where(sign == 0, 0.0, logabsdet))

    expected = np.stack([np.zeros((2, 2)), np.diag([0.5, 0.25])])
    np.testing.assert_allclose(host(bpkit.grad(loss)(x)), expected)
    (raw,) = placed(backend, np.ones((2, 2)))
    assert np.all(np.isnan(host(bpkit.grad(lambda x: linalg.slogdet(x).logabsdet)(raw))))


# Equal eigenvalues and singular values.


def _turned(values: list[float], seed: int = 0) -> Any:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (q * np.asarray(values)) @ q.T


def _differences(function: Callable[[Any], Any], x: Any, t: Any) -> Any:
    step = 1e-5
    return (function(x + step * t) - function(x - step * t)) / (2 * step)


def _symmetric(x: Any) -> Any:
    return (x + x.mT) / 2


EQUAL = [[1.0, 1.0, 3.0], [2.0, 2.0, 2.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
TREATED_ALIKE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: xp.sum(linalg.eigvalsh(x)),
    "sum of squares": lambda x: xp.sum(linalg.eigvalsh(x) ** 2),
    "sum of the lower two": lambda x: xp.sum(linalg.eigvalsh(x)[:2]),
    "projection": lambda x: linalg.eigh(x)[1][:, 2:] @ linalg.eigh(x)[1][:, 2:].mT,
}


@pytest.mark.parametrize(
    "name, values",
    [
        (name, values)
        for name in TREATED_ALIKE
        for values in EQUAL
        # These two separate the third from the others.
        if values[1] != values[2] or name not in ("sum of the lower two", "projection")
    ],
    ids=str,
)
@pytest.mark.parametrize("turned", [False, True], ids=["diagonal", "turned"])
def test_what_treats_equal_eigenvalues_alike_has_its_derivative(
    name: str, values: list[float], turned: bool, backend: Backend
) -> None:
    x = _turned(values) if turned else np.diag(values)
    t = _symmetric(np.random.default_rng(1).standard_normal((3, 3)))
    function = TREATED_ALIKE[name]
    raw, direction = placed(backend, x, t)
    _, tangent = bpkit.jvp(function, (raw,), (direction,))
    expected = _differences(function, x, t)
    np.testing.assert_allclose(host(tangent), expected, atol=1e-8)
    _, pullback = bpkit.vjp(function, raw)
    weights = np.random.default_rng(2).standard_normal(np.shape(expected))
    (gradient,) = pullback(placed(backend, np.asarray(weights))[0])
    np.testing.assert_allclose(np.sum(host(gradient) * t), np.sum(weights * expected), atol=1e-7)


SINGULAR_ALIKE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: xp.sum(linalg.svdvals(x)),
    "norm": lambda x: xp.sum(linalg.svdvals(x) ** 2),
    "polar factor": lambda x: linalg.svd(x, full_matrices=False).U @ linalg.svd(x, full_matrices=False).Vh,
}


@pytest.mark.parametrize("name", SINGULAR_ALIKE)
@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)], ids=str)
def test_what_treats_equal_singular_values_alike_has_its_derivative(
    name: str, shape: tuple[int, int], complex_: bool, backend: Backend
) -> None:
    rng = np.random.default_rng(3)
    x, t = 2 * np.eye(*shape), rng.standard_normal(shape)
    if complex_:
        x, t = x * np.exp(0.5j), t + 1j * rng.standard_normal(shape)
    function = SINGULAR_ALIKE[name]
    raw, direction = placed(backend, x, t)
    expected = _differences(function, x, t)
    np.testing.assert_allclose(host(bpkit.jvp(function, (raw,), (direction,))[1]), expected, atol=1e-8)
    _, pullback = bpkit.vjp(function, raw)
    weights = rng.standard_normal(np.shape(expected))
    weights = weights + 0j if np.iscomplexobj(expected) else weights
    (gradient,) = pullback(placed(backend, np.asarray(weights))[0])
    np.testing.assert_allclose(
        np.real(np.sum(host(gradient) * t)), np.real(np.sum(weights * expected)), atol=1e-7
    )


@pytest.mark.parametrize("function", [linalg.eigh, linalg.eig, linalg.svd], ids=["eigh", "eig", "svd"])
def test_derivatives_at_equal_values_are_finite(function: Callable[[Any], Any], backend: Backend) -> None:
    x, t = placed(backend, np.eye(3), _symmetric(A3))
    _, tangents = bpkit.jvp(lambda x: list(function(x)), (x,), (t,))
    out, pullback = bpkit.vjp(lambda x: list(function(x)), x)
    (gradient,) = pullback(out)
    assert all(np.all(np.isfinite(host(part))) for part in [*tangents, gradient])


def test_the_gradient_of_a_symmetric_matrix_is_symmetric(backend: Backend) -> None:
    (x,) = placed(backend, SPD)
    for function in (linalg.cholesky, lambda x: linalg.eigh(x).eigenvectors ** 2, linalg.eigvalsh):
        gradient = host(bpkit.grad(lambda x, f=function: xp.sum(f(x)[..., 0]))(x))
        np.testing.assert_allclose(gradient, gradient.T, atol=1e-14)
        assert np.any(gradient)


# Norms at kinks.


@pytest.mark.parametrize("order", [1, 2, 3, 1.5, math.inf, 0, -math.inf], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_norm_at_the_origin_has_the_gradient_0(order: float, dtype: str, backend: Backend) -> None:
    (x,) = placed(backend, np.zeros(3, dtype=dtype))
    norm = lambda x: linalg.vector_norm(x, ord=order)  # noqa: E731
    np.testing.assert_array_equal(host(bpkit.grad(norm)(x)), np.zeros(3))
    np.testing.assert_array_equal(host(bpkit.jvp(norm, (x,), (x + 1,))[1]), 0)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, 2, math.inf], ids=str)
def test_a_matrix_norm_at_the_origin_has_the_gradient_0(order: Any, backend: Backend) -> None:
    (x,) = placed(backend, np.zeros((3, 2)))
    gradient = bpkit.grad(lambda x: linalg.matrix_norm(x, ord=order))(x)
    np.testing.assert_array_equal(host(gradient), np.zeros((3, 2)))


def test_norms_split_ties_evenly(backend: Backend) -> None:
    (x,) = placed(backend, np.asarray([-2.0, 2.0, 1.0]))
    largest = bpkit.grad(lambda x: linalg.vector_norm(x, ord=math.inf))(x)
    np.testing.assert_allclose(host(largest), [-0.5, 0.5, 0])
    (x,) = placed(backend, 3 * np.eye(3))
    spectral = bpkit.grad(lambda x: linalg.matrix_norm(x, ord=2))(x)
    np.testing.assert_allclose(host(spectral), np.eye(3) / 3, atol=1e-15)


@ONLY_NUMPY
def test_the_curvature_of_a_norm_with_zeros_is_right(backend: Backend) -> None:
    x = np.asarray([0.0, 3.0, -4.0])
    for order in (2, 3, 4, 2.5):
        gradient = bpkit.grad(lambda x, o=order: linalg.vector_norm(x, ord=o))
        for t in np.eye(3):
            # Of order 2.5 it has an infinite third derivative at 0, and differences converge slowly.
            expected = _differences(gradient, x, t)
            np.testing.assert_allclose(
                bpkit.jvp(gradient, (x,), (t,))[1], expected, atol=1e-2 if order == 2.5 else 1e-5
            )


# QR of dependent columns.


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3)], ids=str)
def test_dependent_columns_have_no_derivative_of_qr_and_are_no_error(
    shape: tuple[int, int], backend: Backend
) -> None:
    regular = np.asarray([2.0, 1.0, 0.5, 3.0, -1.0, 1.5])[: math.prod(shape)].reshape(shape)
    (x,) = placed(backend, np.stack([np.zeros(shape), regular]))

    def both(x: Any) -> Any:
        q, r = linalg.qr(x)
        return xp.sum(q, axis=(-2, -1)) + xp.sum(r, axis=(-2, -1))

    gradient = host(bpkit.grad(lambda x: xp.sum(both(x)))(x))
    assert np.all(np.isnan(gradient[0]) | (np.arange(shape[1]) >= min(shape)))
    (alone,) = placed(backend, regular)
    np.testing.assert_allclose(gradient[1], host(bpkit.grad(both)(alone)), rtol=1e-12)
    moved = host(bpkit.jvp(both, (x,), placed(backend, np.ones_like(gradient)))[1])
    assert np.isnan(moved[0])
    np.testing.assert_allclose(moved[1], np.sum(gradient[1]), rtol=1e-12)
