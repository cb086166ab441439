"""Published derivatives: Rosenbrock's function, the test problems of MINPACK, the double pendulum."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bpkit import grad, hessian, hessian_diagonal, hvp, jacfwd, jacobian, jacrev, xp
from bpkit._protocol import Backend, Capability
from bpkit.registry import backend_of

Values = np.ndarray[Any, Any]


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.fixture
def double(backend: Backend) -> Callable[[Any], Any]:
    """What makes arrays of float64."""
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("needs float64")
    return lambda values: backend.from_host(np.asarray(values, dtype=np.float64))


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Equal relative to the largest expected number."""
    expected = np.asarray(expected)
    found = host(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(expected))))


# The Hessian of Rosenbrock's function.
#
# H. H. Rosenbrock, "An automatic method for finding the greatest or least value of a function", The Computer
# Journal 3 (1960), 175-184, in n dimensions.


def rosenbrock(x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_hessian(x: Values) -> Values:
    diagonal = np.concatenate([1200.0 * x[:-1] ** 2 - 400.0 * x[1:] + 2.0, [0.0]])
    diagonal[1:] += 200.0
    beside = -400.0 * x[:-1]
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_hessian_of_rosenbrocks_function(double: Callable[[Any], Any], n: int) -> None:
    rng = np.random.default_rng(n)
    for point in (np.where(np.arange(n) % 2, 1.0, -1.2), rng.uniform(-2, 2, n), np.ones(n)):
        x, v = double(point), rng.standard_normal(n)
        expected = rosenbrock_hessian(point)
        close(hessian(rosenbrock)(x), expected)
        close(hvp(rosenbrock, (x,), (double(v),)), expected @ v)
        close(hessian_diagonal(rosenbrock, chunk_size=3)(x), np.diag(expected))


def test_the_hessian_of_rosenbrocks_function_at_its_minimum(double: Callable[[Any], Any]) -> None:
    assert not np.any(host(grad(rosenbrock)(double([1.0, 1.0]))))
    found = host(hessian(rosenbrock)(double([1.0, 1.0])))
    assert found.tolist() == [[802.0, -400.0], [-400.0, 200.0]]
    # The determinant is 400, and the valley is about 2508 times as steep across as along.
    assert np.linalg.det(found) == pytest.approx(400.0)
    assert np.linalg.cond(found) == pytest.approx(2508.0, rel=1e-3)
    four = host(hessian(rosenbrock)(double(np.ones(4))))
    assert np.diag(four).tolist() == [802.0, 1002.0, 1002.0, 200.0]


def test_the_hessian_of_rosenbrocks_function_is_that_of_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x = np.random.default_rng(0).uniform(-2, 2, 7)
    close(hessian(rosenbrock)(x), optimize.rosen_hess(x))
    close(grad(rosenbrock)(x), optimize.rosen_der(x))


# The Jacobians of MINPACK's test problems.
#
# J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions
# on Mathematical Software 7 (1981), 17-41; the numbers of the problems are theirs.


class Problem(NamedTuple):
    """A system of functions, its Jacobian written out in NumPy, and where the paper starts."""

    fun: Callable[[Any], Any]
    jacobian: Callable[[Values], Values]
    start: list[float]
    squares: float | None = None
    """The sum of squares at the start, where it is well known."""
    solution: list[float] | None = None


def numbers(like: Any, values: Any) -> Any:
    """Constants beside an array."""
    return xp.asarray(np.asarray(values, dtype=np.float64).tolist(), dtype=like.dtype)


def rosenbrock_system(x: Any) -> Any:
    return xp.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def powell_singular(x: Any) -> Any:
    return xp.stack(
        [
            x[0] + 10.0 * x[1],
            math.sqrt(5.0) * (x[2] - x[3]),
            (x[1] - 2.0 * x[2]) ** 2,
            math.sqrt(10.0) * (x[0] - x[3]) ** 2,
        ]
    )


def powell_singular_jacobian(x: Values) -> Values:
    a, b = 2 * (x[1] - 2 * x[2]), 2 * math.sqrt(10.0) * (x[0] - x[3])
    s = math.sqrt(5.0)
    return np.asarray([[1, 10, 0, 0], [0, 0, s, -s], [0, a, -2 * a, 0], [b, 0, 0, -b]])


def powell_badly_scaled(x: Any) -> Any:
    return xp.stack([1e4 * x[0] * x[1] - 1.0, xp.exp(-x[0]) + xp.exp(-x[1]) - 1.0001])


def helical_valley(x: Any) -> Any:
    angle = xp.atan(x[1] / x[0]) / (2.0 * math.pi)
    turns = xp.where(x[0] > 0.0, angle, angle + 0.5)
    return xp.stack([10.0 * (x[2] - 10.0 * turns), 10.0 * (xp.hypot(x[0], x[1]) - 1.0), x[2]])


def helical_valley_jacobian(x: Values) -> Values:
    square = x[0] ** 2 + x[1] ** 2
    a, b = 100 / (2 * math.pi * square), 10 / math.sqrt(square)
    return np.asarray([[a * x[1], -a * x[0], 10], [b * x[0], b * x[1], 0], [0, 0, 1]])


def wood(x: Any) -> Any:
    return xp.stack(
        [
            10.0 * (x[1] - x[0] ** 2),
            1.0 - x[0],
            math.sqrt(90.0) * (x[3] - x[2] ** 2),
            1.0 - x[2],
            math.sqrt(10.0) * (x[1] + x[3] - 2.0),
            (x[1] - x[3]) / math.sqrt(10.0),
        ]
    )


def wood_jacobian(x: Values) -> Values:
    s, t = math.sqrt(90.0), math.sqrt(10.0)
    return np.asarray(
        [
            [-20 * x[0], 10, 0, 0],
            [-1, 0, 0, 0],
            [0, 0, -2 * s * x[2], s],
            [0, 0, -1, 0],
            [0, t, 0, t],
            [0, 1 / t, 0, -1 / t],
        ]
    )


KOWALIK_Y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
KOWALIK_U = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]


def kowalik_osborne(x: Any) -> Any:
    y, u = numbers(x, KOWALIK_Y), numbers(x, KOWALIK_U)
    return y - x[0] * (u * u + x[1] * u) / (u * u + x[2] * u + x[3])


def kowalik_osborne_jacobian(x: Values) -> Values:
    u = np.asarray(KOWALIK_U)
    above, below = u * u + x[1] * u, u * u + x[2] * u + x[3]
    by_below = x[0] * above / below**2
    return np.stack([-above / below, -x[0] * u / below, by_below * u, by_below], axis=1)


def watson(x: Any) -> Any:
    n = x.shape[0]
    t = np.arange(1, 30) / 29
    powers = t[:, None] ** np.arange(n)
    slopes = np.arange(1, n) * t[:, None] ** np.arange(n - 1)
    rows = xp.matmul(numbers(x, slopes), x[1:]) - xp.matmul(numbers(x, powers), x) ** 2 - 1.0
    return xp.concat([rows, xp.stack([x[0], x[1] - x[0] ** 2 - 1.0])])


def watson_jacobian(x: Values) -> Values:
    n = x.size
    rows = []
    for i in range(1, 30):
        t = i / 29
        total = sum(x[j] * t**j for j in range(n))
        rows.append([(j * t ** (j - 1) if j else 0.0) - 2 * t**j * total for j in range(n)])
    first, second = np.zeros(n), np.zeros(n)
    first[0], second[:2] = 1, [-2 * x[0], 1]
    return np.asarray([*rows, first, second])


def variably_dimensioned(x: Any) -> Any:
    total = xp.sum(numbers(x, np.arange(1, x.shape[0] + 1)) * (x - 1.0))
    return xp.concat([x - 1.0, xp.stack([total, total**2])])


def variably_dimensioned_jacobian(x: Values) -> Values:
    j = np.arange(1, x.size + 1)
    return np.concatenate([np.eye(x.size), [j, 2 * np.sum(j * (x - 1)) * j]])


def trigonometric(x: Any) -> Any:
    n = x.shape[0]
    i = numbers(x, np.arange(1, n + 1))
    return n - xp.sum(xp.cos(x)) + i * (1.0 - xp.cos(x)) - xp.sin(x)


def trigonometric_jacobian(x: Values) -> Values:
    i = np.arange(1, x.size + 1)
    return np.sin(x) + np.diag(i * np.sin(x) - np.cos(x))


def brown_almost_linear(x: Any) -> Any:
    n = x.shape[0]
    return xp.concat([x[:-1] + xp.sum(x) - (n + 1.0), xp.reshape(xp.prod(x) - 1.0, (1,))])


def brown_almost_linear_jacobian(x: Values) -> Values:
    found = np.eye(x.size) + 1
    found[-1] = [np.prod(np.delete(x, j)) for j in range(x.size)]
    return found


def discrete_points(n: int) -> tuple[float, Values]:
    h = 1 / (n + 1)
    return h, h * np.arange(1, n + 1)


def discrete_boundary_value(x: Any) -> Any:
    h, t = discrete_points(x.shape[0])
    around = xp.pad(x, 1)
    return 2.0 * x - around[:-2] - around[2:] + h**2 * (x + numbers(x, t) + 1.0) ** 3 / 2.0


def discrete_boundary_value_jacobian(x: Values) -> Values:
    h, t = discrete_points(x.size)
    beside = np.ones(x.size - 1)
    return np.diag(2 + 1.5 * h**2 * (x + t + 1) ** 2) - np.diag(beside, 1) - np.diag(beside, -1)


def discrete_integral_equation(x: Any) -> Any:
    h, points = discrete_points(x.shape[0])
    t = numbers(x, points)
    cubes = (x + t + 1.0) ** 3
    before = xp.cumulative_sum(t * cubes)
    after = xp.sum((1.0 - t) * cubes) - xp.cumulative_sum((1.0 - t) * cubes)
    return x + h / 2.0 * ((1.0 - t) * before + t * after)


def discrete_integral_equation_jacobian(x: Values) -> Values:
    h, t = discrete_points(x.size)
    found = np.eye(x.size)
    for i in range(x.size):
        for j in range(x.size):
            weight = (1 - t[i]) * t[j] if j <= i else t[i] * (1 - t[j])
            found[i, j] += h / 2 * weight * 3 * (x[j] + t[j] + 1) ** 2
    return found


def broyden_tridiagonal(x: Any) -> Any:
    around = xp.pad(x, 1)
    return (3.0 - 2.0 * x) * x - around[:-2] - 2.0 * around[2:] + 1.0


def broyden_tridiagonal_jacobian(x: Values) -> Values:
    beside = np.ones(x.size - 1)
    return np.diag(3 - 4 * x) - np.diag(beside, -1) - 2 * np.diag(beside, 1)


def band(n: int) -> Values:
    """Which variables an equation of the banded problem has besides its own: five below, one above."""
    i, j = np.indices((n, n))
    return np.asarray((j != i) & (j >= i - 5) & (j <= i + 1), dtype=np.float64)


def broyden_banded(x: Any) -> Any:
    others = xp.matmul(numbers(x, band(x.shape[0])), x * (1.0 + x))
    return x * (2.0 + 5.0 * x**2) + 1.0 - others


def broyden_banded_jacobian(x: Values) -> Values:
    found: Values = np.diag(2 + 15 * x**2) - band(x.size) * (1 + 2 * x)
    return found


def chebyquad(x: Any) -> Any:
    n = x.shape[0]
    before, current = xp.ones_like(x), 2.0 * x - 1.0
    found = []
    for i in range(1, n + 1):
        # The mean of the shifted polynomial over [0, 1] is 0 for odd i and -1 / (i^2 - 1) for even i.
        found.append(xp.mean(current) + (0.0 if i % 2 else 1.0 / (i * i - 1)))
        before, current = current, 2.0 * (2.0 * x - 1.0) * current - before
    return xp.stack(found)


def chebyquad_jacobian(x: Values) -> Values:
    # T_i(cos a) = cos(i a), so dT_i/dx = 2 i sin(i a) / sin(a) where 2 x - 1 = cos a.
    a = np.arccos(2 * x - 1)
    i = np.arange(1, x.size + 1)[:, None]
    found: Values = 2 * i * np.sin(i * a) / np.sin(a) / x.size
    return found


_, T10 = discrete_points(10)
PROBLEMS: dict[str, Problem] = {
    "1 Rosenbrock": Problem(
        rosenbrock_system,
        lambda x: np.asarray([[-20 * x[0], 10], [-1, 0]]),
        [-1.2, 1.0],
        24.2,
        [1.0, 1.0],
    ),
    "3 Powell badly scaled": Problem(
        powell_badly_scaled,
        lambda x: np.asarray([[1e4 * x[1], 1e4 * x[0]], [-math.exp(-x[0]), -math.exp(-x[1])]]),
        [0.0, 1.0],
    ),
    "7 helical valley": Problem(
        helical_valley, helical_valley_jacobian, [-1.0, 0.0, 0.0], 2500.0, [1.0, 0.0, 0.0]
    ),
    "13 Powell singular": Problem(
        powell_singular, powell_singular_jacobian, [3.0, -1.0, 0.0, 1.0], 215.0, [0.0] * 4
    ),
    "14 Wood": Problem(wood, wood_jacobian, [-3.0, -1.0, -3.0, -1.0], 19192.0, [1.0] * 4),
    "15 Kowalik and Osborne": Problem(
        kowalik_osborne, kowalik_osborne_jacobian, [0.25, 0.39, 0.415, 0.39], 5.313172e-3
    ),
    "20 Watson": Problem(watson, watson_jacobian, [0.0] * 6, 30.0),
    "25 variably dimensioned": Problem(
        variably_dimensioned,
        variably_dimensioned_jacobian,
        [1 - j / 10 for j in range(1, 11)],
        2198551.1625,
        [1.0] * 10,
    ),
    "26 trigonometric": Problem(trigonometric, trigonometric_jacobian, [0.1] * 10, None, [0.0] * 10),
    "27 Brown almost linear": Problem(
        brown_almost_linear, brown_almost_linear_jacobian, [0.5] * 10, 273.2480478, [1.0] * 10
    ),
    "28 discrete boundary value": Problem(
        discrete_boundary_value, discrete_boundary_value_jacobian, (T10 * (T10 - 1)).tolist()
    ),
    "29 discrete integral equation": Problem(
        discrete_integral_equation, discrete_integral_equation_jacobian, (T10 * (T10 - 1)).tolist()
    ),
    "30 Broyden tridiagonal": Problem(broyden_tridiagonal, broyden_tridiagonal_jacobian, [-1.0] * 10, 21.0),
    "31 Broyden banded": Problem(broyden_banded, broyden_banded_jacobian, [-1.0] * 10, 360.0),
    "35 Chebyquad": Problem(chebyquad, chebyquad_jacobian, [j / 8 for j in range(1, 8)]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_jacobians_of_minpack(backend: Backend, double: Callable[[Any], Any], name: str) -> None:
    problem = PROBLEMS[name]
    rng = np.random.default_rng(0)
    start = np.asarray(problem.start)
    points = [start, start + 0.1 * rng.standard_normal(start.size)]
    if name == "35 Chebyquad":
        points[1] = rng.uniform(0.05, 0.95, start.size)
    for point in points[1:] if backend.name == "jax" else points:
        expected = problem.jacobian(point)
        for transform in (jacobian,) if backend.name == "jax" else (jacrev, jacfwd, jacobian):
            close(transform(problem.fun)(double(point)), expected)


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.squares is not None])
def test_the_sums_of_squares_at_the_start_are_the_known_ones(name: str) -> None:
    problem = PROBLEMS[name]
    assert problem.squares is not None
    assert np.sum(problem.fun(np.asarray(problem.start)) ** 2) == pytest.approx(problem.squares, rel=1e-6)


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.solution is not None])
def test_the_known_solutions_are_zeros(name: str) -> None:
    problem = PROBLEMS[name]
    np.testing.assert_allclose(problem.fun(np.asarray(problem.solution)), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "1 Rosenbrock",
        "28 discrete boundary value",
        "29 discrete integral equation",
        "30 Broyden tridiagonal",
        "31 Broyden banded",
    ],
)
def test_newtons_method_converges_quadratically(name: str) -> None:
    problem = PROBLEMS[name]
    x = np.asarray(problem.start)
    errors = []
    for _ in range(25):
        errors.append(float(np.max(np.abs(problem.fun(x)))))
        if errors[-1] < 1e-12:
            break
        x = x - np.linalg.solve(jacobian(problem.fun)(x), problem.fun(x))
    assert errors[-1] < 1e-12, errors
    near = [e for e in errors if 1e-7 < e < 1e-2]
    # A wrong Jacobian converges by a constant factor at best.
    for e in near:
        assert errors[errors.index(e) + 1] < 1e3 * e * e


# The double pendulum.


class Pendulum(NamedTuple):
    """Two masses on two rods, in SI units."""

    m1: Any
    m2: Any
    l1: Any
    l2: Any
    g: Any


def lagrangian(q: Any, v: Any, p: Pendulum) -> Any:
    """Kinetic minus potential energy at the angles `q` from the vertical and their velocities `v`."""
    both = p.m1 + p.m2
    kinetic = (
        0.5 * both * p.l1**2 * v[0] ** 2
        + 0.5 * p.m2 * p.l2**2 * v[1] ** 2
        + p.m2 * p.l1 * p.l2 * v[0] * v[1] * xp.cos(q[0] - q[1])
    )
    potential = -both * p.g * p.l1 * xp.cos(q[0]) - p.m2 * p.g * p.l2 * xp.cos(q[1])
    return kinetic - potential


def textbook_acceleration(q: Values, v: Values, p: Pendulum) -> Values:
    """The equations of motion, solved for the accelerations by hand."""
    apart = q[0] - q[1]
    below = 2 * p.m1 + p.m2 - p.m2 * np.cos(2 * apart)
    first = (
        -p.g * (2 * p.m1 + p.m2) * np.sin(q[0])
        - p.m2 * p.g * np.sin(q[0] - 2 * q[1])
        - 2 * np.sin(apart) * p.m2 * (v[1] ** 2 * p.l2 + v[0] ** 2 * p.l1 * np.cos(apart))
    ) / (p.l1 * below)
    second = (
        2
        * np.sin(apart)
        * (
            v[0] ** 2 * p.l1 * (p.m1 + p.m2)
            + p.g * (p.m1 + p.m2) * np.cos(q[0])
            + v[1] ** 2 * p.l2 * p.m2 * np.cos(apart)
        )
    ) / (p.l2 * below)
    return np.asarray([first, second])


# d/dt dL/dv = dL/dq, so (d2L/dv2) a = dL/dq - (d2L/dq dv) v.
SECOND_DERIVATIVES: dict[str, Callable[..., Any]] = {
    "grad of grad": lambda f, i, j: jacrev(grad(f, i), j),
    "jacfwd of grad": lambda f, i, j: jacfwd(grad(f, i), j),
    "hessian": lambda f, i, j: lambda *args: hessian(f, (0, 1))(*args)[i][j],
}


def acceleration(q: Any, v: Any, p: Pendulum, way: str = "grad of grad") -> Any:
    """The acceleration that the Euler-Lagrange equations of any Lagrangian give."""
    second = SECOND_DERIVATIVES[way]
    mass = second(lagrangian, 1, 1)(q, v, p)
    force = grad(lagrangian, 0)(q, v, p) - xp.matmul(second(lagrangian, 1, 0)(q, v, p), v)
    return xp.linalg.solve(mass, force)


STATES = [
    (np.asarray([0.3, -0.2]), np.asarray([0.5, 1.0])),
    (np.asarray([2.5, 1.1]), np.asarray([-3.0, 2.0])),
    (np.asarray([math.pi / 2, math.pi / 2]), np.asarray([0.0, 0.0])),
]
PENDULUM = Pendulum(1.0, 2.0, 0.8, 1.3, 9.81)


@pytest.mark.parametrize("way", SECOND_DERIVATIVES)
def test_the_acceleration_of_a_double_pendulum(
    backend: Backend, double: Callable[[Any], Any], way: str
) -> None:
    for q, v in STATES[:1] if backend.name == "jax" else STATES:
        p = Pendulum(*map(double, PENDULUM))
        close(acceleration(double(q), double(v), p, way), textbook_acceleration(q, v, PENDULUM), 1e-11)


def test_the_derivative_of_the_acceleration_by_each_parameter(
    backend: Backend, double: Callable[[Any], Any]
) -> None:
    q, v = STATES[1]
    expected = []
    for name in Pendulum._fields:
        # An imaginary step has no cancellation: W. Squire, G. Trapp, SIAM Review 40 (1998), 110-112.
        moved = PENDULUM._replace(**{name: getattr(PENDULUM, name) + 1e-30j})
        expected.append(np.imag(textbook_acceleration(q, v, moved)) / 1e-30)
    at = double(q), double(v), Pendulum(*map(double, PENDULUM))
    for i in range(2):
        for found, exact in zip(grad(lambda *s, i=i: acceleration(*s)[i], 2)(*at), expected, strict=True):
            close(found, exact[i], 1e-11)
    if backend.name != "jax":  # which compiles every function for every shape
        for found, exact in zip(jacfwd(acceleration, 2)(*at), expected, strict=True):
            close(found, exact, 1e-11)
