"""SciPy's solvers on bpkit's functions of trees; problems of Moré, Garbow and Hillstrom (1981)."""

import re
import sys

import numpy as np
import pytest

import bpkit
from bpkit import xp
from bpkit.errors import ArgumentError, RecordingError
from bpkit.interop.scipy import hessian_operator, jacobian_operator, objective, residuals

optimize = pytest.importorskip("scipy.optimize")


def rosenbrock(x):
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def of_tree(params):
    """Its Hessian has blocks between w and b."""
    w, b = params["w"], params["b"][0]
    return xp.sum((w + b) ** 4 + (w * b) ** 2)


def tree_of(chosen, dtype="float64"):
    return {
        "w": chosen.asarray([[0.5, -1.5]], dtype=getattr(chosen, dtype)),
        "b": (chosen.asarray(0.7, dtype=getattr(chosen, dtype)),),
    }


def differences(fun, x, step=1e-5):
    """Central differences of a function of a vector, one column for each element."""
    rows = [(fun(x + step * e) - fun(x - step * e)) / (2 * step) for e in np.eye(x.size)]
    return np.stack(rows, axis=-1)


POINT = np.asarray([-1.2, 1.0, 0.3, 1.7])


@pytest.mark.parametrize("method", ["trust-ncg", "Newton-CG", "trust-krylov"])
def test_newton_methods_converge_with_exact_products(method):
    loss = objective(rosenbrock, np.asarray([-1.2, 1.0, -1.2, 1.0, -1.2, 1.0]))
    found = optimize.minimize(loss.fun, loss.x0, jac=True, hessp=loss.hessp, method=method)
    assert found.success, found.message
    np.testing.assert_allclose(loss.tree(found.x), 1.0, atol=1e-4)


@pytest.mark.parametrize("jit", [True, False])
def test_value_gradient_and_products_against_scipy_s_own(jit):
    loss = objective(rosenbrock, POINT, jit=jit)
    for x in (POINT, POINT[::-1].copy()):  # the second call runs what the first recorded
        value, gradient = loss.fun(x)
        assert type(value) is float and gradient.dtype == np.float64
        np.testing.assert_allclose(value, optimize.rosen(x), rtol=1e-14)
        np.testing.assert_allclose(gradient, optimize.rosen_der(x), rtol=1e-12)
        p = np.asarray([1.0, -2.0, 0.5, 3.0])
        np.testing.assert_allclose(loss.hessp(x, p), optimize.rosen_hess(x) @ p, rtol=1e-12)


def test_a_tree_on_each_backend(backend, xp):
    example = tree_of(xp)
    loss = objective(of_tree, example)
    assert loss.x0.dtype == np.float64 and loss.x0.shape == (3,)
    value, gradient = loss.fun(loss.x0)
    np.testing.assert_allclose(value, float(of_tree(example)), rtol=1e-12)
    np.testing.assert_allclose(gradient, differences(lambda x: loss.fun(x)[0], loss.x0), rtol=1e-7)
    dense = np.stack([loss.hessp(loss.x0, e) for e in np.eye(3)])
    np.testing.assert_allclose(dense, differences(lambda x: loss.fun(x)[1], loss.x0), rtol=1e-7)
    back = loss.tree(loss.x0)
    assert bpkit.tree.structure(back) == bpkit.tree.structure(example)
    for leaf, like in zip(bpkit.tree.leaves(back), bpkit.tree.leaves(example), strict=True):
        assert backend.owns(type(leaf)) and leaf.dtype == like.dtype and leaf.shape == like.shape
        np.testing.assert_array_equal(backend.to_host(leaf), backend.to_host(like))


def test_products_with_a_tree_are_the_blocks_of_its_hessian():
    example = tree_of(np)
    assert bpkit.tree.paths(example) == ["['b'][0]", "['w']"]
    blocks = bpkit.hessian(of_tree)(example)
    dense = hessian_operator(of_tree, example) @ np.eye(3)
    np.testing.assert_allclose(dense[1:, 0], blocks["w"]["b"][0].reshape(2), rtol=1e-12)
    np.testing.assert_allclose(dense[1:, 1:], blocks["w"]["w"].reshape(2, 2), rtol=1e-12, atol=1e-14)


def test_float32_inside_and_float64_outside(backend, xp):
    loss = objective(of_tree, tree_of(xp, "float32"))
    value, gradient = loss.fun(loss.x0)
    exact = objective(of_tree, tree_of(np)).fun(loss.x0)
    np.testing.assert_allclose(value, exact[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, exact[1], rtol=1e-5)
    assert gradient.dtype == loss.hessp(loss.x0, gradient).dtype == np.float64
    assert all(leaf.dtype == xp.float32 for leaf in bpkit.tree.leaves(loss.tree(loss.x0)))


def helical_valley(x):
    """Moré, Garbow, Hillstrom, problem 7: zero at (1, 0, 0)."""
    angle = xp.atan2(x["plane"][1], x["plane"][0]) / (2 * xp.pi)
    radius = xp.sqrt(xp.sum(x["plane"] ** 2))
    return {"turn": 10 * (x["z"] - 10 * angle), "rest": xp.stack([10 * (radius - 1), x["z"]])}


def powell_singular(x):
    """Problem 13 of the same: zero at the origin, where the Jacobian is singular."""
    roots = xp.asarray([5.0, 10.0], dtype=x.dtype) ** 0.5
    return xp.stack(
        [
            x[0] + 10 * x[1],
            roots[0] * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            roots[1] * (x[0] - x[3]) ** 2,
        ]
    )


@pytest.mark.parametrize("kind", ["dense", "operator"])
def test_least_squares(kind):
    helix = residuals(helical_valley, {"plane": np.asarray([-1.0, 0.5]), "z": np.asarray(0.0)})
    jac = helix.jac if kind == "dense" else helix.operator
    found = optimize.least_squares(helix.fun, helix.x0, jac=jac, method="trf", xtol=1e-12)
    assert found.success and found.cost < 1e-16
    np.testing.assert_allclose(helix.tree(found.x)["plane"], [1.0, 0.0], atol=1e-7)


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(method):
    problem = residuals(powell_singular, np.asarray([3.0, -1.0, 0.0, 1.0]))
    found = optimize.root(problem.fun, problem.x0, jac=problem.jac, method=method)
    np.testing.assert_allclose(problem.fun(found.x), 0.0, atol=1e-9)


def test_jacobians_on_each_backend(backend, xp):
    example = {"plane": xp.asarray([-1.0, 0.5], dtype=xp.float64), "z": xp.asarray(0.25, dtype=xp.float64)}
    problem = residuals(helical_valley, example)
    dense = problem.jac(problem.x0)
    assert dense.shape == (3, 3) and dense.dtype == np.float64
    np.testing.assert_allclose(dense, differences(problem.fun, problem.x0), rtol=1e-7, atol=1e-9)
    operator = problem.operator(problem.x0)
    np.testing.assert_allclose(operator @ np.eye(3), dense, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(operator.T @ np.eye(3), dense.T, rtol=1e-12, atol=1e-14)


def test_the_jacobian_of_a_tree_is_bpkit_s():
    example = {"plane": np.asarray([-1.0, 0.5]), "z": np.asarray(0.25)}
    dense = jacobian_operator(helical_valley, example) @ np.eye(3)
    blocks = bpkit.jacobian(helical_valley)(example)
    np.testing.assert_allclose(dense[:2, :2], blocks["rest"]["plane"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dense[2, :], [*blocks["turn"]["plane"], blocks["turn"]["z"]], rtol=1e-12)


def test_operators_of_shapes_that_are_not_square():
    x = np.asarray([1.0, 2.0])
    tall = jacobian_operator(lambda x, scale: scale * x[0] * x[1], x, np.arange(1.0, 4.0))
    assert tall.shape == (3, 2)
    np.testing.assert_allclose(tall @ np.asarray([[1.0], [0.0]]), [[2.0], [4.0], [6.0]])
    np.testing.assert_allclose(tall.T @ np.ones(3), [12.0, 6.0])


def test_the_hessian_operator_is_the_hessian():
    operator = hessian_operator(rosenbrock, POINT)
    dense = bpkit.hessian(rosenbrock)(POINT)
    np.testing.assert_allclose(operator @ np.eye(4), dense, rtol=1e-12)
    np.testing.assert_allclose(operator.T @ np.eye(4), dense, rtol=1e-12)


def test_args_of_scipy_reach_function_and_derivatives():
    loss = objective(lambda x, target: xp.sum((x - target) ** 4 + (x - target) ** 2), np.zeros(3))
    for target in (np.asarray([1.0, 2.0, 3.0]), np.asarray([-1.0, 0.0, 5.0])):
        found = optimize.minimize(
            loss.fun, loss.x0, jac=True, hessp=loss.hessp, args=(target,), method="trust-ncg"
        )
        np.testing.assert_allclose(found.x, target, atol=1e-4)


def test_results_are_not_written_over_by_later_calls():
    loss = objective(rosenbrock, POINT)
    loss.fun(POINT)
    first = loss.fun(POINT)[1]
    kept = first.copy()
    loss.fun(POINT + 1)
    np.testing.assert_array_equal(first, kept)


def test_without_jit_a_function_may_branch_on_values():
    def bent(x):
        return xp.sum(x**2) if x[0] > 0 else xp.sum(x**4)

    with pytest.raises(RecordingError):
        objective(bent, np.ones(2)).fun(np.ones(2))
    loss = objective(bent, np.ones(2), jit=False)
    np.testing.assert_array_equal(loss.fun(np.ones(2))[1], [2.0, 2.0])
    np.testing.assert_array_equal(loss.fun(-np.ones(2))[1], [-4.0, -4.0])


def test_an_objective_that_is_no_scalar():
    with pytest.raises(ArgumentError, match=r"(?s)shape \(2,\).*xp\.sum or xp\.mean"):
        objective(lambda x: x**2, np.ones(2)).fun(np.ones(2))


@pytest.mark.parametrize("make", [objective, residuals])
@pytest.mark.parametrize(
    "x0, text",
    [
        ({"w": np.ones(2), "n": np.arange(3)}, r"x0\['n'\] .* dtype int64.*xp\.astype"),
        ([np.ones(2), np.ones(2) * 1j], r"x0\[1\] must be real.* complex128. Pass its real"),
        ({}, "x0 must hold floating arrays"),
    ],
    ids=["integers", "complex", "empty"],
)
def test_examples_that_have_no_real_vector(make, x0, text):
    with pytest.raises(ArgumentError, match=f"{make.__name__} of rosenbrock: {text}"):
        make(rosenbrock, x0)


def test_vectors_that_do_not_fit():
    loss = objective(rosenbrock, POINT)
    for wrong in (np.ones(3), np.ones((4, 1)), POINT * 1j):
        with pytest.raises(ArgumentError, match="objective of rosenbrock: x must be a vector of 4 real"):
            loss.fun(wrong)
    with pytest.raises(ArgumentError, match="p must be a vector of 4 real"):
        loss.hessp(POINT, np.ones(5))


@pytest.mark.parametrize(
    "fun, text",
    [
        (lambda x: {"a": x, "b": x * 1j}, r"the result\['b'\] must be a real floating array; .* complex128"),
        (lambda x: [x, 3], r"the result\[1\] must be a real floating array; it is the int 3"),
        (lambda x: None, "the result must hold residuals; it is None"),
    ],
    ids=["complex", "int", "nothing"],
)
def test_residuals_that_are_none(fun, text):
    with pytest.raises(ArgumentError, match=text):
        residuals(fun, np.ones(2)).fun(np.ones(2))


def test_what_is_no_function():
    with pytest.raises(ArgumentError, match="objective: the first argument must be a function"):
        objective(np.ones(2), np.ones(2))


def test_without_scipy_only_operators_are_missed(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", None)
    assert objective(rosenbrock, POINT).fun(POINT)[1].shape == (4,)
    with pytest.raises(ImportError, match=r"hessian_operator of rosenbrock: .*pip install scipy"):
        hessian_operator(rosenbrock, POINT)


@pytest.mark.parametrize("make", [objective, residuals])
def test_a_branch_on_values_names_jit(make):
    problem = make(lambda x: x[0] if x[0] > 0 else -x[0], np.ones(2))
    with pytest.raises(RecordingError) as caught:
        problem.fun(np.ones(2))
    assert re.match(rf"{make.__name__} of .*: with jit=False", caught.value.__notes__[-1])


@pytest.mark.parametrize("jit", [False, True])
def test_an_objective_of_many_numbers_names_residuals(jit):
    loss = objective(lambda x: 2 * x, np.ones(2), jit=jit)
    with pytest.raises(ArgumentError, match=r"^objective of .*must be one number.*\(2,\).*use residuals"):
        loss.fun(np.ones(2))
