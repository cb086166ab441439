"""xp.linalg beyond the table of cases: names, values, errors, singular matrices and equal eigenvalues."""

import inspect
import math
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import array_api_strict
import numpy as np
import pytest

import bpkit
from bpkit import namespace, registry, xp
from bpkit._protocol import Backend
from bpkit.errors import ShapeError
from bpkit.namespace.xp import namespace_of

linalg = namespace.linalg
NAMES = sorted([*array_api_strict.linalg.__all__, "eig", "eigvals"])
"""The extension; version 2.6 of the library leaves what 2025.12 added out of its `__all__`."""
RNG = np.random.default_rng(0)
A3 = RNG.uniform(-1, 1, (3, 3)) + 2 * np.eye(3)
SPD = A3 @ A3.T + np.eye(3)
Z3 = A3 + 1j * RNG.uniform(-1, 1, (3, 3))
TALL = RNG.uniform(-1, 1, (2, 4, 3))
WIDE = RNG.uniform(-1, 1, (2, 3, 5))
ONLY_NUMPY = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


def placed(backend: Backend, *values: Any) -> list[Any]:
    return [backend.from_host(x) if isinstance(x, np.ndarray) else x for x in values]


def host(x: Any) -> Any:
    return registry.backend_of(x).to_host(x)


# What there is.


def test_the_extension_is_the_standards() -> None:
    assert sorted(linalg.__all__) == NAMES
    assert all(hasattr(array_api_strict.linalg, name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_the_standards(name: str) -> None:
    def shape(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    expected = shape(getattr(array_api_strict.linalg, name))
    assert shape(getattr(linalg, name)) == expected
    assert shape(getattr(namespace_of(registry.get_backend("numpy")).linalg, name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_docstring_has_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(linalg, name)) or ""
    assert f"xp.linalg.{name}(" in text or f"xp.linalg.{name})(" in text or f"xp.{name}(" in text


@pytest.mark.parametrize(
    "name, fields",
    [
        ("eig", ("eigenvalues", "eigenvectors")),
        ("eigh", ("eigenvalues", "eigenvectors")),
        ("qr", ("Q", "R")),
        ("slogdet", ("sign", "logabsdet")),
        ("svd", ("U", "S", "Vh")),
    ],
)
def test_several_results_have_the_standards_names(
    name: str, fields: tuple[str, ...], backend: Backend
) -> None:
    (x,) = placed(backend, SPD)
    found = getattr(linalg, name)(x)
    assert found._fields == fields
    seen: list[Any] = []

    def run(x: Any) -> Any:
        seen.append(getattr(linalg, name)(x))
        return x

    bpkit.jvp(run, (x,), (x,))
    assert seen[0]._fields == fields


# Values are the library's own, traced and not.

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[("cholesky", (SPD,), {"upper": upper}) for upper in (False, True)],
    ("cross", (A3, A3[0]), {}),
    *[(name, (x,), {}) for name in ("det", "inv") for x in (A3, Z3)],
    *[("diagonal", (x,), {"offset": k}) for x in (TALL, WIDE) for k in (-5, -3, -1, 0, 1, 2, 5)],
    *[("trace", (x,), {"offset": k}) for x in (TALL, WIDE) for k in (-1, 0, 5)],
    ("eigvalsh", (SPD,), {}),
    *[("matrix_norm", (TALL,), {"ord": o}) for o in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)],
    ("matrix_norm", (WIDE,), {"ord": 2, "keepdims": True}),
    *[
        ("matrix_norm", (np.zeros(shape),), {"ord": o, "keepdims": keepdims})
        for o in ("fro", "nuc", 1, 2, math.inf)
        for shape in ((0, 3), (2, 0))
        for keepdims in (False, True)
    ],
    *[("matrix_power", (A3, n), {}) for n in (-3, -1, 0, 1, 2, 7)],
    *[("matrix_rank", (x,), {}) for x in (TALL, A3, np.ones((2, 3, 3)))],
    ("outer", (A3[0], Z3[0]), {}),
    *[("pinv", (x,), {}) for x in (TALL, WIDE, Z3, np.ones((3, 2)))],
    ("pinv", (np.diag([1.0, 0.1, 0.001]),), {"rtol": 0.01}),
    *[("solve", (A3, x), {}) for x in (A3[0], TALL[:, :3], Z3)],
    *[("svdvals", (x,), {}) for x in (TALL, WIDE, Z3)],
    *[("vector_norm", (x,), {"ord": o, "axis": -1}) for x in (TALL, Z3) for o in (0, 1, 2, 3, math.inf)],
    ("vector_norm", (TALL,), {"axis": (0, 2), "keepdims": True}),
]


@pytest.mark.parametrize("traced", [False, True], ids=["raw", "traced"])
@pytest.mark.parametrize("name", sorted({name for name, _, _ in CALLS}))
def test_values_are_the_librarys(name: str, traced: bool, backend: Backend) -> None:
    for function, arguments, static in CALLS:
        if function != name:
            continue
        values = placed(backend, *arguments)
        expected = host(getattr(backend.xp.linalg, name)(*values, **static))
        if traced:
            found = None

            def run(x: Any, values: Any = values, static: Any = static) -> Any:
                nonlocal found
                found = getattr(linalg, name)(x, *values[1:], **static)
                return x

            bpkit.jvp(run, (values[0],), (values[0],))
            while hasattr(found, "_value"):
                found = found._value
        else:
            found = getattr(linalg, name)(*values, **static)
        assert host(found).shape == expected.shape, (arguments, static)
        assert host(found).dtype.kind == expected.dtype.kind
        np.testing.assert_allclose(host(found), expected, rtol=1e-10, atol=1e-12)


def test_eigenvalues_are_complex_and_solve_the_equation(backend: Backend) -> None:
    (x,) = placed(backend, np.asarray([[0.0, 1.0], [-4.0, 0.0]]))
    values, vectors = linalg.eig(x)
    values, vectors = host(values), host(vectors)
    assert values.dtype == np.complex128 == vectors.dtype
    np.testing.assert_allclose(host(x) @ vectors, vectors * values, atol=1e-12)
    for found in (values, host(linalg.eigvals(x))):
        np.testing.assert_allclose(np.sort_complex(found), [-2j, 2j], atol=1e-12)


def test_the_rank_with_a_bound_relative_to_the_largest_singular_value(backend: Backend) -> None:
    # JAX's own takes the bound for absolute.
    x, empty, bounds = placed(
        backend, np.stack([np.diag([10.0, 1.0, 0.01])] * 2), np.zeros((2, 0, 3)), np.asarray([0.01, 0.5])
    )
    np.testing.assert_array_equal(host(linalg.matrix_rank(x, rtol=bounds)), [2, 1])
    np.testing.assert_array_equal(host(linalg.matrix_rank(x, rtol=0.05)), [2, 2])
    np.testing.assert_array_equal(host(linalg.matrix_rank(empty)), [0, 0])


# Errors.


@pytest.mark.parametrize("name", ["cholesky", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "slogdet"])
def test_matrices_that_have_to_be_square(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"^{name}: expected a square matrix .* got shape \(4, 3\)"):
        getattr(linalg, name)(TALL[0])


@pytest.mark.parametrize(
    "name", ["diagonal", "matrix_norm", "matrix_rank", "pinv", "qr", "svd", "svdvals", "trace"]
)
def test_what_is_no_matrix(name: str) -> None:
    with pytest.raises(ShapeError, match=r"expected a matrix or a stack of them, got shape \(3,\)"):
        getattr(linalg, name)(A3[0])


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda: linalg.cross(A3, TALL[0, :2]), ValueError, None),
        (
            lambda: linalg.cross(A3, TALL[0].T),
            ShapeError,
            r"axis=-1 has to be an axis of length 3 .* \(3, 3\) and x2 of shape \(3, 4\)",
        ),
        (lambda: linalg.cross(A3, A3, axis=0), ShapeError, "counted from the end"),
        (lambda: linalg.outer(A3, A3[0]), ShapeError, r"expected two vectors, got x1 of shape \(3, 3\)"),
        (
            lambda: linalg.solve(A3, TALL[0]),
            ShapeError,
            r"needs an x2 of shape \(3,\) or \(\.\.\., 3, k\), got \(4, 3\)",
        ),
        (lambda: linalg.solve(A3, np.asarray(1.0)), ShapeError, r"got \(\)"),
        (lambda: linalg.qr(A3, mode="raw"), ValueError, "mode is 'raw'; expected 'reduced' or 'complete'"),
        (lambda: linalg.matrix_norm(A3, ord=3), ValueError, "ord is 3; expected 'fro'"),
        (lambda: linalg.matrix_norm(A3, ord="max"), ValueError, "ord is 'max'; expected 'fro'"),
        (lambda: linalg.matrix_power(A3, 0.5), TypeError, "integer"),
        (lambda: linalg.matrix_power(TALL, 2), ShapeError, "matrix_power: expected a square matrix"),
    ],
)
def test_errors_say_what_was_expected(
    function: Callable[[], Any], error: type[Exception], message: str | None
) -> None:
    with pytest.raises(error, match=message):
        function()


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


# The engine.


def test_one_of_several_results_alone(backend: Backend) -> None:
    (x,) = placed(backend, A3)
    values = bpkit.grad(lambda x: xp.sum(linalg.svd(x).S))(x)
    u, _, vh = np.linalg.svd(A3)
    np.testing.assert_allclose(host(values), u @ vh, atol=1e-12)


def test_a_power_0_is_constant(backend: Backend) -> None:
    (x,) = placed(backend, A3)
    gradient = bpkit.grad(lambda x: xp.sum(linalg.matrix_power(x, 0)))(x)
    np.testing.assert_array_equal(host(gradient), np.zeros((3, 3)))
