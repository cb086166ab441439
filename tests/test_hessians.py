"""Hessians, their products with vectors, and their diagonals."""

import importlib
from typing import Any

import numpy as np
import pytest
from test_jacobians import close, host  # type: ignore[import-not-found]

from bpkit import hessian, hessian_diagonal, hvp, tree, xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError
from bpkit.registry import backend_of, use_backend


def valley(p: Any) -> Any:
    return xp.sum(p["a"] ** 2 * xp.exp(p["b"])) + p["c"] * xp.sum(p["a"]) ** 3


@pytest.fixture
def point(backend: Backend) -> Any:
    return {"a": xp.asarray([1.0, -2.0]), "b": xp.asarray([[0.5, 0.25]]), "c": xp.asarray(0.5)}


def test_hessians_of_trees(point: Any) -> None:
    found = hessian(valley)(point)
    assert list(found) == ["a", "b", "c"] == list(found["a"])
    a, b, c = (host(point[name]) for name in "abc")
    close(found["a"]["a"], np.diag(2 * np.exp(b[0])) + 6 * c * np.sum(a))
    close(found["b"]["b"], np.einsum("ij,k,jl->ijkl", a**2 * np.exp(b), [1.0], np.eye(2)))
    close(found["a"]["c"], 3 * np.sum(a) ** 2 * np.ones(2))
    close(found["c"]["c"], 0.0)
    for one in "abc":
        for other in "abc":
            x, y = host(found[one][other]), host(found[other][one])
            n = host(point[one]).ndim
            close(np.moveaxis(x, range(n), range(-n, 0)) if n else x, y)


def test_products_and_diagonals_are_those_of_the_hessian(point: Any) -> None:
    found = hessian(valley)(point)
    v = tree.map(lambda x: x + 1.0, point)
    product, diagonal = hvp(valley, (point,), (v,)), hessian_diagonal(valley)(point)
    assert tree.structure(product) == tree.structure(diagonal) == tree.structure(point)
    for one in "abc":
        size = host(point[one]).size
        rows = [host(found[one][other]).reshape(size, -1) for other in "abc"]
        expected = np.concatenate(rows, axis=1) @ np.concatenate([host(v[other]).ravel() for other in "abc"])
        close(product[one], expected.reshape(point[one].shape), rtol=1e-5)
        close(diagonal[one], np.diag(host(found[one][one]).reshape(size, size)).reshape(point[one].shape))
        assert product[one].dtype == diagonal[one].dtype == point[one].dtype
    for chunk_size in (1, 2, 4):
        for x, y in zip(
            tree.leaves(hessian_diagonal(valley, chunk_size=chunk_size)(point)),
            tree.leaves(diagonal),
            strict=True,
        ):
            close(x, host(y))


def test_several_arguments_keywords_and_aux(backend: Backend) -> None:
    def f(x: Any, y: Any, *, scale: float) -> Any:
        return scale * xp.sum(x**2 * y), {"x": x, "zeros": xp.zeros(2), "name": "f"}

    x, y = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 4.0])
    ((xx, xy), (yx, yy)), aux = hessian(f, (0, 1), True)(x, y, scale=2.0)
    close(xx, np.diag([12.0, 16.0]))
    close(xy, np.diag([4.0, 8.0]))
    close(yx, np.diag([4.0, 8.0]))
    close(yy, np.zeros((2, 2)))
    assert aux["name"] == "f" and type(aux["zeros"]) is type(aux["x"]) is type(x)
    (dx, dy), aux = hessian_diagonal(f, (0, 1), True)(x, y, scale=2.0)
    close(dx, [12.0, 16.0])
    close(dy, [0.0, 0.0])
    assert aux["name"] == "f" and type(aux["zeros"]) is type(aux["x"]) is type(x)
    diagonal, _ = hessian_diagonal(f, -2, True)(x, y, scale=2.0)
    close(diagonal, [12.0, 16.0])
    (px, py), aux = hvp(lambda x, y: f(x, y, scale=2.0), (x, y), (y, x), has_aux=True)
    close(px, np.asarray([12.0, 16.0]) * host(y) + np.asarray([4.0, 8.0]) * host(x))
    close(py, np.asarray([4.0, 8.0]) * host(y))
    assert aux["name"] == "f" and type(aux["zeros"]) is type(aux["x"]) is type(x)
    product, _ = hvp(lambda x: f(x, y, scale=2.0), (x,), (y,), has_aux=True)
    close(product, np.asarray([12.0, 16.0]) * host(y))
    assert hvp(lambda x, y: x * x * y, (2.0, 3.0), (1.0, 0.0)) == (6.0, 4.0)
    assert hvp(lambda x: x * x * x, (2.0,), (1.0,)) == 12.0


def test_the_diagonal_is_finite_where_another_element_is_not() -> None:
    # d2/dx2 of x sqrt(y) is 0, and d2/dxdy is infinite at y = 0.
    found = hessian_diagonal(lambda p: p[0] * xp.sqrt(p[1]) + p[0] ** 2)(np.asarray([3.0, 0.0]))
    assert found[0] == 2.0


def test_the_diagonal_in_chunks_takes_less_memory_than_the_hessian() -> None:
    import tracemalloc

    x = np.linspace(0.1, 1.0, 600)
    f = lambda x: xp.sum(xp.exp(x) * xp.sum(x))  # noqa: E731
    peaks = []
    for work in (lambda: hessian_diagonal(f, chunk_size=10)(x), lambda: hessian(f)(x)):
        tracemalloc.start()
        work()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 10


def test_wrong_products() -> None:
    with pytest.raises(ArgumentError, match="hvp: the first argument must be a function"):
        hvp(3.0, (1.0,), (1.0,))
    with pytest.raises(
        ArgumentError, match=r"hvp of .*: primals must be a tuple, one entry for each argument"
    ):
        hvp(lambda x: x, np.ones(2), (np.ones(2),))
    with pytest.raises(ArgumentError, match=r"hvp of .*: tangents must have the structure of primals"):
        hvp(lambda x: x, (1.0,), (1.0, 2.0))
    with pytest.raises(ArgumentError, match=r"hvp of .*: tangents\[0\] must be an array of shape \(2,\)"):
        hvp(xp.sum, (np.ones(2),), (np.ones(3),))
    with pytest.raises(ArgumentError, match=r"the result must be a real floating scalar"):
        hvp(lambda x: x, (np.ones(2),), (np.ones(2),))
    with pytest.raises(ArgumentError, match=r"the result must be a real floating scalar"):
        hessian_diagonal(lambda x: x)(np.ones(2))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch.func itself uses it
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_hessians_are_those_of_other_libraries(library: str) -> None:
    pytest.importorskip(library)
    values = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    if library == "jax":
        jax = importlib.import_module("jax")
        ns, theirs, x = jax.numpy, jax.hessian, jax.numpy.asarray(values)
    else:
        torch = importlib.import_module("torch")
        ns, theirs, x = torch, torch.func.hessian, torch.asarray(values)

    expected = theirs(lambda x: ns.sum(ns.exp(ns.sin(x)) * ns.sum(x * x)))(x)
    found = hessian(lambda x: xp.sum(xp.exp(xp.sin(x)) * xp.sum(x * x)))(x)
    assert found.shape == expected.shape == (2, 3, 2, 3) and type(found) is type(expected)
    np.testing.assert_allclose(host(found), host(expected), rtol=1e-4, atol=1e-5)


def test_a_current_backend_does_not_matter(backend: Backend) -> None:
    x = xp.asarray([1.0, 2.0])
    with use_backend("numpy"):
        found = hessian(lambda x: xp.sum(x**3))(x)
    assert backend_of(found) is backend
    close(found, np.diag([6.0, 12.0]))
