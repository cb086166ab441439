"""xp.linalg beyond the table of cases: names, values, errors."""

import inspect
import math
from collections.abc import Callable
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

    bpkit.vjp(run, x)
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
    calls = [(arguments, static) for function, arguments, static in CALLS if function == name]
    # JAX compiles each function for each shape, which takes longer than all the rest.
    for arguments, static in calls[:2] if backend.name == "jax" else calls:
        values = placed(backend, *arguments)
        expected = host(getattr(backend.xp.linalg, name)(*values, **static))
        if traced:
            found = None

            def run(x: Any, values: Any = values, static: Any = static) -> Any:
                nonlocal found
                found = getattr(linalg, name)(x, *values[1:], **static)
                return x

            bpkit.vjp(run, values[0])
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


# Results that nothing, or not all, depends on.


def test_one_of_several_results_alone(backend: Backend) -> None:
    (x,) = placed(backend, A3)
    values = bpkit.grad(lambda x: xp.sum(linalg.svd(x).S))(x)
    u, _, vh = np.linalg.svd(A3)
    np.testing.assert_allclose(host(values), u @ vh, atol=1e-12)


def test_a_power_0_is_constant(backend: Backend) -> None:
    (x,) = placed(backend, A3)
    gradient = bpkit.grad(lambda x: xp.sum(linalg.matrix_power(x, 0)))(x)
    np.testing.assert_array_equal(host(gradient), np.zeros((3, 3)))
