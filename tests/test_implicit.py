"""implicit_root: the derivative of a solution is that of the equation, whatever the solver."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import (
    checkpoint,
    custom_jvp,
    grad,
    hessian,
    implicit_root,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    tree,
    value_and_grad,
    vjp,
    vmap,
    xp,
)
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.registry import backend_of, use_backend

Fun = Callable[..., Any]


def host(x: Any) -> Any:
    return tree.map(lambda leaf: backend_of(leaf).to_host(leaf), x)


def newton(f: Fun, x: Any) -> Any:
    """Newton's method for one equation, in Python's floats."""
    value = float(x)
    for _ in range(100):
        step = float(f(value)) / ((float(f(value + 1e-6)) - float(f(value - 1e-6))) / 2e-6)
        value -= step
        if abs(step) < 1e-14 * max(1.0, abs(value)):
            break
    return value


def scipy_root(f: Fun, x: Any) -> Any:
    """SciPy on NumPy's arrays, whatever the library."""
    optimize = pytest.importorskip("scipy.optimize")
    found = optimize.root(f, backend_of(x).to_host(x), tol=1e-14)
    assert np.max(np.abs(f(found.x))) < 1e-12
    return found.x


def square_root(a: Any, **options: Any) -> Any:
    return implicit_root(lambda x, a: x * x - a, 1.0, newton, a, **options)


# One equation.


def ruled(f: Fun) -> Fun:
    """`f` with a rule whose own code differentiates `f`."""
    g = custom_jvp(f)
    g.defjvp(lambda primals, tangents: jvp(f, primals, tangents))
    return g


COMPOSED: dict[str, Callable[[Fun], Fun]] = {
    "value": lambda f: f,
    "grad": grad,
    "grad of grad": lambda f: grad(grad(f)),
    "third order": lambda f: grad(grad(grad(f))),
    "jvp": lambda f: lambda a: jvp(f, (a,), (3.0 * a,)),
    "jvp of jvp": lambda f: lambda a: jvp(lambda a: jvp(f, (a,), (a,))[1], (a,), (a,)),
    "jvp of grad": lambda f: lambda a: jvp(grad(f), (a,), (a,)),
    "grad of jvp": lambda f: grad(lambda a: jvp(f, (a,), (a,))[1]),
    "linearize": lambda f: lambda a: linearize(f, a)[1](a),
    "vjp": lambda f: lambda a: vjp(f, a)[1](a),
    "checkpoint": lambda f: grad(checkpoint(f)),
    "grad of grad of checkpoint": lambda f: grad(grad(checkpoint(f))),
    "hessian": hessian,
    "custom": lambda f: grad(ruled(f)),
}
BATCHED: dict[str, Callable[[Fun], Fun]] = {
    "vmap": vmap,
    "vmap of grad": lambda f: vmap(grad(f)),
    "grad of vmap": lambda f: grad(lambda a: xp.sum(vmap(f)(a) ** 2)),
    "jvp of vmap": lambda f: lambda a: jvp(vmap(f), (a,), (a,)),
    "vmap of jvp": lambda f: vmap(lambda a: jvp(f, (a,), (a,))),
    "vmap of grad of grad": lambda f: vmap(grad(grad(f))),
    "grad of grad of vmap": lambda f: grad(lambda a: xp.sum(grad(lambda a: xp.sum(vmap(f)(a)))(a) ** 2)),
    "nested vmap": lambda f: vmap(vmap(f)),
    "jacrev": lambda f: jacrev(vmap(f)),
    "jacfwd": lambda f: jacfwd(vmap(f)),
    "hessian of vmap": lambda f: hessian(lambda a: xp.sum(vmap(f)(a))),
    "vmap of linearize": lambda f: vmap(lambda a: linearize(f, a)[1](a)),
    "grad of vmap of checkpoint": lambda f: grad(lambda a: xp.sum(vmap(checkpoint(f))(a))),
    "grad of nested vmap": lambda f: grad(lambda a: xp.sum(vmap(vmap(f))(xp.stack([a, a * 2.0])))),
}


def divide(matvec: Fun, b: Any) -> Any:
    """A linear system of one equation."""
    return b / matvec(0.0 * b + 1.0)


@pytest.mark.parametrize("linear_solve", [None, divide])
@pytest.mark.parametrize("name", [*COMPOSED, *BATCHED])
def test_square_root_by_newton(backend: Backend, name: str, linear_solve: Any) -> None:
    f = lambda a: square_root(a, linear_solve=linear_solve)  # noqa: E731
    if name in COMPOSED:
        of, a = COMPOSED[name], np.asarray(2.0)
    else:
        of, a = BATCHED[name], np.asarray([0.5, 2.0, 9.0])
    if name == "nested vmap":
        a = np.stack([a, a + 1.0])
    a = backend.from_host(a)
    found, expected = tree.leaves(of(f)(a)), tree.leaves(of(xp.sqrt)(a))
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape and backend_of(x) is backend
        np.testing.assert_allclose(host(x), host(y), rtol=1e-12)


def test_float32_stays(backend: Backend) -> None:
    for a in (xp.asarray(4.0, dtype="float32"), xp.asarray([4.0], dtype="float32")[0]):
        value, slope = value_and_grad(square_root)(a)
        assert value.dtype == slope.dtype == a.dtype and (float(value), float(slope)) == (2.0, 0.25)


def test_fixed_point(backend: Backend) -> None:
    # Kepler's equation, E = M + e sin E, by iteration.
    def iterate(f: Fun, x: Any) -> Any:
        for _ in range(200):
            x = x - f(x)
        return x

    def eccentric(m: Any, e: Any) -> Any:
        return implicit_root(lambda x, m, e: x - (m + e * xp.sin(x)), m, iterate, m, e)

    m, e = (backend.from_host(np.asarray(v)) for v in (0.8, 0.3))
    x, (by_m, by_e) = value_and_grad(eccentric, (0, 1))(m, e)
    x, slope = float(x), 1.0 / (1.0 - 0.3 * np.cos(float(x)))
    np.testing.assert_allclose((float(by_m), float(by_e)), (slope, np.sin(x) * slope), rtol=1e-14)
    step = 1e-6
    for argnum, by in ((0, by_m), (1, by_e)):
        ends = []
        for sign in (1.0, -1.0):
            moved = [float(m), float(e)]
            moved[argnum] += sign * step
            ends.append(float(eccentric(*(backend.from_host(np.asarray(v)) for v in moved))))
        np.testing.assert_allclose(float(by), (ends[0] - ends[1]) / (2 * step), rtol=1e-8)


# Systems.


def circle_and_line(x: Any, p: Any) -> Any:
    return xp.stack([x[0] ** 2 + x[1] ** 2 - p["radius"] ** 2, x[0] * p["slope"][0] - x[1] + p["slope"][1]])


def solve_columns(matvec: Fun, b: Any) -> Any:
    """A linear system by its matrix, on NumPy's arrays."""
    b = backend_of(b).to_host(b)
    return np.linalg.solve(np.stack([matvec(e) for e in np.eye(b.size)], axis=1), b)


@pytest.mark.parametrize("linear_solve", [None, solve_columns])
def test_a_system_by_scipy(backend: Backend, linear_solve: Any) -> None:
    def meet(p: Any) -> Any:
        start = xp.asarray([1.0, 1.0], dtype=p["slope"].dtype)
        return implicit_root(circle_and_line, start, scipy_root, p, linear_solve=linear_solve)

    def closed(p: Any) -> Any:
        m, c = p["slope"][0], p["slope"][1]
        x = (xp.sqrt(p["radius"] ** 2 * (1.0 + m * m) - c * c) - m * c) / (1.0 + m * m)
        return xp.stack([x, x * m + c])

    p = tree.map(
        lambda v: backend.from_host(np.asarray(v)),
        {"radius": 2.0, "slope": [np.asarray(0.5), np.asarray(0.25)]},
    )
    p["slope"] = xp.stack(p["slope"])
    weights = backend.from_host(np.asarray([1.0, -3.0]))
    loss = lambda f: lambda p: xp.sum(f(p) ** 2 * weights)  # noqa: E731

    def slopes(f: Fun) -> Fun:
        return lambda p: sum(xp.sum(g**3) for g in tree.leaves(grad(loss(f))(p)))

    for transform in (
        lambda f: f(p),
        lambda f: grad(loss(f))(p),
        lambda f: grad(slopes(f))(p),
        lambda f: jvp(f, (p,), (tree.map(lambda x: x * 2.0, p),)),
        lambda f: jvp(grad(loss(f)), (p,), (p,)),
        lambda f: vmap(lambda s: f({**p, "radius": s * p["radius"]}))(1.0 + weights * weights),
        lambda f: grad(
            lambda p: xp.sum(
                vmap(lambda s: loss(f)({**p, "radius": s * p["radius"]}))(1.0 + weights * weights)
            )
        )(p),
    ):
        for found, expected in zip(tree.leaves(transform(meet)), tree.leaves(transform(closed)), strict=True):
            np.testing.assert_allclose(host(found), host(expected), rtol=2e-11)


def test_iterative_linear_solver() -> None:
    """Conjugate gradients of SciPy, which never sees a matrix, at first and second order."""
    sparse = pytest.importorskip("scipy.sparse.linalg")
    shapes = []

    def cg(matvec: Fun, b: Any) -> Any:
        shapes.append(b.shape)
        operator = sparse.LinearOperator((b.size, b.size), matvec=matvec, dtype=b.dtype)
        v, failed = sparse.cg(operator, b, rtol=1e-14)
        assert not failed
        return v

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(6, 6))
    matrix = matrix @ matrix.T + 6.0 * np.eye(6)

    def solution(b: Any, linear_solve: Any = None) -> Any:
        residual = lambda x, b: matrix @ x + x**3 - b  # noqa: E731
        return implicit_root(residual, np.zeros(6), scipy_root, b, linear_solve=linear_solve)

    b = rng.normal(size=6)
    curvature = lambda **options: grad(  # noqa: E731
        lambda b: xp.sum(grad(lambda b: xp.sum(solution(b, **options) ** 2))(b) ** 2)
    )(b)
    np.testing.assert_allclose(curvature(linear_solve=cg), curvature(), rtol=1e-9)
    assert set(shapes) == {(6,)}


def test_minimum_of_ridge_regression(backend: Backend) -> None:
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(20, 3)), rng.normal(size=20)
    x, y, held_out, held_out_y = (
        backend.from_host(a) for a in (inputs[:12], targets[:12], inputs[12:], targets[12:])
    )

    def objective(w: Any, log_strength: Any, x: Any) -> Any:
        return xp.sum((x @ w["w"] - y) ** 2) + xp.exp(log_strength) * xp.sum(w["w"] ** 2)

    def fitted(log_strength: Any, x: Any) -> Any:
        def solver(f: Fun, w: Any) -> Any:
            return {"w": scipy_root(lambda v: f({"w": v})["w"], w["w"])}

        start = {"w": xp.zeros(3, dtype=x.dtype)}
        return implicit_root(grad(objective), start, solver, log_strength, x)["w"]

    def closed(log_strength: Any, x: Any) -> Any:
        normal = x.T @ x + xp.exp(log_strength) * backend.from_host(np.eye(3))
        return xp.linalg.solve(normal, x.T @ y)

    def validation(fit: Fun) -> Fun:
        return lambda log_strength, x: xp.mean((xp.matmul(held_out, fit(log_strength, x)) - held_out_y) ** 2)

    strength = backend.from_host(np.asarray(0.7))
    for of in (
        lambda f: f(strength, x),
        lambda f: grad(validation(f), (0, 1))(strength, x),
        lambda f: grad(grad(validation(f)))(strength, x),
    ):
        for found, expected in zip(tree.leaves(of(fitted)), tree.leaves(of(closed)), strict=True):
            np.testing.assert_allclose(host(found), host(expected), rtol=1e-9, atol=1e-13)


def test_trees_of_mixed_shapes_and_dtypes(backend: Backend) -> None:
    if Capability.COMPLEX not in backend.capabilities:
        pytest.skip("needs complex numbers")
    a, z = backend.from_host(np.asarray([[1.0, 4.0]])), backend.from_host(np.asarray(3.0 + 4.0j))

    def residual(x: Any, a: Any, z: Any) -> Any:
        return [x[0] ** 2 - a, {"z": x[1]["z"] * x[1]["z"] - z, "sum": x[1]["sum"] - xp.sum(x[0])}]

    def solver(f: Fun, x: Any) -> Any:
        return [host(a) ** 0.5, {"z": 2.0 + 1.0j, "sum": float(np.sum(host(a) ** 0.5))}]

    def found(a: Any, z: Any) -> Any:
        start = [a, {"z": z, "sum": xp.asarray(0.0, dtype=a.dtype)}]
        return implicit_root(residual, start, solver, a, z)

    def closed(a: Any, z: Any) -> Any:
        return [xp.sqrt(a), {"z": xp.sqrt(z), "sum": xp.sum(xp.sqrt(a))}]

    def loss(f: Fun) -> Fun:
        def value(a: Any, z: Any) -> Any:
            x, rest = f(a, z)
            return xp.sum(x**2) * rest["sum"] + xp.real(rest["z"] * (2.0 - 5.0j)) * xp.imag(rest["z"] ** 2)

        return value

    for of in (
        lambda f: f(a, z),
        lambda f: grad(loss(f), (0, 1))(a, z),
        lambda f: jvp(f, (a, z), (a * 2.0, z * (1.0 - 0.5j))),
    ):
        (x, structure), (y, expected) = (tree.flatten(of(f)) for f in (found, closed))
        assert structure == expected
        for one, other in zip(x, y, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            np.testing.assert_allclose(host(one), host(other), rtol=1e-13)


# What counts, and what does not.


def test_no_derivative_flows_to_the_initial_value(backend: Backend) -> None:
    start, a = xp.asarray([1.0, 1.5]), xp.asarray([4.0, 9.0])

    def loss(start: Any, a: Any) -> Any:
        return xp.sum(implicit_root(lambda x, a: x * x - a, start, lambda f, x: solution, a))

    solution = xp.asarray([2.0, 3.0])
    by_start, by_a = grad(loss, (0, 1))(start, a)
    assert host(by_start).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(host(by_a), [0.25, 1.0 / 6.0], rtol=1e-6)
    assert host(grad(loss)(start, a)).tolist() == [0.0, 0.0]
    assert float(jvp(lambda start: loss(start, a), (start,), (start,))[1]) == 0.0


def test_the_solver_runs_once_and_on_raw_arrays(backend: Backend) -> None:
    seen: list[Any] = []

    def solver(f: Fun, x: Any) -> Any:
        # Also what is made here is not traced.
        seen.append((x, f(x), xp.zeros(2)))
        return newton(f, x)

    root = lambda a: implicit_root(lambda x, a: x * x - a, 1.0, solver, a)  # noqa: E731
    a = backend.from_host(np.asarray(2.0))
    for of in (root, grad(root), grad(grad(root)), lambda a: jvp(root, (a,), (a,))):
        seen.clear()
        of(a)
        assert len(seen) == 1
        assert all(backend_of(x) is backend for x in seen[0])
    seen.clear()
    grad(lambda x: xp.sum(vmap(root)(x)))(xp.stack([a, a + 1.0, a + 2.0]))
    assert len(seen) == 3


def test_solvers_may_use_transforms_themselves(backend: Backend) -> None:
    def solver(f: Fun, x: Any) -> Any:
        for _ in range(60):
            slope = grad(f)(x)
            _, same = jvp(f, (x,), (xp.ones_like(x),))
            assert float(slope) == pytest.approx(float(same))
            x = x - f(x) / slope
        return x

    cube_root = lambda a: implicit_root(lambda x, a: x**3 - a, 1.0, solver, a)  # noqa: E731
    a = backend.from_host(np.asarray(2.0))
    np.testing.assert_allclose(float(grad(grad(cube_root))(a)), -2.0 / 9.0 * 2.0 ** (-5.0 / 3.0), rtol=1e-12)


def test_a_root_inside_a_root() -> None:
    # x = sqrt(y), y = sqrt(a): the inner solution is part of the outer equation.
    fourth = lambda a: implicit_root(lambda x, a: x * x - square_root(a), 1.0, newton, a)  # noqa: E731
    a = 5.0
    np.testing.assert_allclose(fourth(a), a**0.25, rtol=1e-9)
    np.testing.assert_allclose(grad(fourth)(a), 0.25 * a**-0.75, rtol=1e-9)
    np.testing.assert_allclose(grad(grad(fourth))(a), -0.1875 * a**-1.75, rtol=1e-9)


def test_what_is_not_differentiated_may_be_closed_over() -> None:
    def loss(a: Any, scale: Any) -> Any:
        return implicit_root(lambda x, a: x * x * scale - a, 1.0, newton, a)

    np.testing.assert_allclose(grad(loss)(8.0, 2.0), 0.125, rtol=1e-12)
    np.testing.assert_allclose(jvp(lambda a: loss(a, 2.0), (8.0,), (1.0,))[1], 0.125, rtol=1e-12)
    # Options and other leaves are passed as they are.
    power = lambda a: implicit_root(lambda x, a, n, name: x**n - a, 1.0, newton, a, 3, "cube")  # noqa: E731
    np.testing.assert_allclose(grad(power)(8.0), 1.0 / 12.0, rtol=1e-12)


def test_values_that_come_past_the_arguments() -> None:
    def loss(a: Any, scale: Any) -> Any:
        return implicit_root(lambda x, a: x * x * scale - a, 1.0, newton, a)

    message = r"implicit_root of .*: the residual uses a value traced by .* Pass it: implicit_root\(residual"
    for run in (
        lambda: grad(loss, (0, 1))(8.0, 2.0),
        lambda: grad(loss, 1)(8.0, 2.0),
        lambda: jvp(lambda s: loss(8.0, s), (2.0,), (1.0,)),
        lambda: vmap(lambda s: loss(8.0, s))(np.ones(2)),
    ):
        with pytest.raises(GradientCutError, match=message):
            run()
    with pytest.raises(GradientCutError, match="the solver uses a value traced by grad"):
        grad(lambda a: implicit_root(lambda x: x * x - 2.0, 1.0, lambda f, x: x * a))(2.0)


def test_the_library_of_the_arguments_decides() -> None:
    strict = pytest.importorskip("array_api_strict")
    with use_backend("array_api_strict"):
        assert type(square_root(4.0)) is type(strict.asarray(1.0))
        assert type(grad(square_root)(4.0)) is type(strict.asarray(1.0))
    assert isinstance(square_root(4.0), np.generic | np.ndarray)
    assert type(square_root(strict.asarray(4.0))) is type(strict.asarray(1.0))


# Mistakes.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3.0, 1.0, newton), "the first argument must be a function"),
        ((lambda x: x, 1.0, None), "solver must be a function; it is None"),
        (
            (lambda x: x, {"a": 1}, newton),
            r"initial\['a'\] must be a floating array, which decides the shape and dtype .*; it is the int 1",
        ),
        (
            (lambda x: x[0], np.ones(3), lambda f, x: f(x)),
            r"the solver must return a tree like x; x is an array of shape \(3,\) and dtype float64, and "
            r"there it is an array of shape \(\)",
        ),
        ((lambda x: x, {"a": 1.0}, lambda f, x: 2.0), "the solver must return a tree like x, of structure"),
        (
            (lambda x: x, 1.0, lambda f, x: 1j),
            "the solver must return a tree like x; .* there it is the complex 1j",
        ),
        ((lambda x: x, 1.0, lambda f, x: "x"), "the solver .* there it is the str 'x'"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=r"implicit_root.*: " + message):
        implicit_root(*arguments)


def test_residuals_and_linear_solves_of_another_shape() -> None:
    for residual, message in (
        (
            lambda x, a: xp.sum(x - a),
            r"the residual must return a tree like x; x is an array of shape \(2,\)",
        ),
        (lambda x, a: {"x": x - a}, "the residual must return a tree like x, of structure"),
    ):
        with pytest.raises(ArgumentError, match=r"implicit_root of .*: " + message):
            grad(lambda a, r=residual: xp.sum(implicit_root(r, np.ones(2), lambda f, x: x, a)))(np.ones(2))
    with pytest.raises(ArgumentError, match=r"linear_solve must be a function; it is the int 3"):
        square_root(2.0, linear_solve=3)
    with pytest.raises(ArgumentError, match=r"linear_solve must return a tree like x"):
        grad(lambda a: square_root(a, linear_solve=lambda matvec, b: 0.0))(2.0)


# Against JAX.


def test_as_in_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def equation(lib: Any) -> Fun:
        return lambda x, a: x + 0.25 * lib.sin(lib.flip(x)) * a - a**2

    def iterate(f: Fun, x: Any) -> Any:
        for _ in range(80):
            x = x - f(x)
        return x

    def theirs(a: Any) -> Any:
        solve = lambda g, y: jnp.linalg.solve(jax.jacobian(g)(y), y)  # noqa: E731
        return jax.lax.custom_root(lambda x: equation(jnp)(x, a), jnp.zeros(3), iterate, solve)

    def ours(a: Any) -> Any:
        return implicit_root(equation(xp), np.zeros(3), iterate, a)

    a = np.asarray([0.5, -1.0, 1.5])
    with jax.enable_x64(True):
        pairs = [
            (ours(a), theirs(a)),
            (grad(lambda a: xp.sum(ours(a) ** 3))(a), jax.grad(lambda a: jnp.sum(theirs(a) ** 3))(a)),
            (jvp(ours, (a,), (a,))[1], jax.jvp(theirs, (a,), (a,))[1]),
            (
                grad(lambda a: xp.sum(grad(lambda a: xp.sum(ours(a) ** 3))(a) ** 2))(a),
                jax.grad(lambda a: jnp.sum(jax.grad(lambda a: jnp.sum(theirs(a) ** 3))(a) ** 2))(a),
            ),
        ]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_public_name() -> None:
    assert bpkit.implicit_root is implicit_root
