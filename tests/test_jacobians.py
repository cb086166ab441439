"""jacrev, jacfwd, jacobian, hessian, hvp and hessian_diagonal."""

import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import CASES, Case
from cases.check import TOLERANCE, assert_close, first_order, problem

import bpkit
from bpkit import grad, hessian, hessian_diagonal, hvp, jacfwd, jacobian, jacrev, jvp, nn, tree, vjp, vmap, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, BatchingError, NotDifferentiableError
from bpkit.registry import backend_of

Transform = Callable[..., Callable[..., Any]]
BOTH: tuple[Transform, ...] = (jacrev, jacfwd)
ALL: tuple[Transform, ...] = (jacrev, jacfwd, jacobian)
NAMES = list(dict.fromkeys(case.name for case in CASES))


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def close(found: Any, expected: Any, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(host(found), expected, rtol=rtol, atol=1e-6)


# Against finite differences, torch and JAX.


def is_real(case: Case) -> bool:
    reference = first_order(case)
    return not any(np.iscomplexobj(x) for x in [*case.values(), *reference.outputs])


@pytest.mark.parametrize("name", NAMES)
def test_the_jacobian_of_every_function(name: str, backend: Backend) -> None:
    cases = [c for c in CASES if c.name == name and backend.name not in c.not_on and is_real(c)]
    cases = [c for c in cases if backend.capabilities.issuperset(c.needs)]
    for case in cases if backend.name == "numpy" else cases[:1]:
        reference = first_order(case)
        fun, primals = problem(case, backend)

        def inexact(*xs: Any, fun: Any = fun) -> list[Any]:
            return [y for y in fun(*xs) if y.dtype in (backend.xp.float32, backend.xp.float64)]

        outputs = [y for y in reference.outputs if y.dtype.kind == "f"]
        starts = np.cumsum([0, *[y.size for y in reference.outputs]])
        rows = [
            reference.jacobian[start : start + y.size]
            for start, y in zip(starts, reference.outputs, strict=False)
            if y.dtype.kind == "f"
        ]
        everywhere = tuple(range(len(primals)))
        for transform in ALL:
            found = transform(inexact, everywhere)(*primals)
            assert len(found) == len(outputs)
            for blocks, y, row in zip(found, outputs, rows, strict=True):
                for block, x in zip(blocks, primals, strict=True):
                    assert tuple(block.shape) == (*y.shape, *x.shape)
                flat = [
                    host(block).reshape(y.size, math.prod(x.shape))
                    for block, x in zip(blocks, primals, strict=True)
                ]
                assert_close(np.concatenate(flat, axis=1), row, TOLERANCE["finite differences"], str(case))


def network(p: Any, x: Any) -> Any:
    hidden = xp.tanh(xp.matmul(p["w"], x) + p["b"])
    return {"sum": xp.sum(hidden * hidden), "out": (hidden, xp.matmul(xp.matrix_transpose(p["w"]), hidden))}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch.func itself uses it
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_trees_are_those_of_other_libraries(library: str) -> None:
    pytest.importorskip(library)
    rng = np.random.default_rng(0)
    values = {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(3)}, rng.standard_normal(2)
    if library == "jax":
        jax = importlib.import_module("jax")
        ns, theirs, to = jax.numpy, jax.jacrev, jax.numpy.asarray
        if not jax.config.jax_enable_x64:
            pytest.skip("needs float64")
    else:
        torch = importlib.import_module("torch")
        ns, theirs, to = torch, torch.func.jacrev, torch.asarray

    def other(p: Any, x: Any) -> Any:
        hidden = ns.tanh(ns.matmul(p["w"], x) + p["b"])
        return {"sum": ns.sum(hidden * hidden), "out": (hidden, ns.matmul(p["w"].T, hidden))}

    expected = theirs(other, argnums=(0, 1))(*tree.map(to, values))
    for transform in ALL:
        found = transform(network, argnums=(0, 1))(*tree.map(to, values))
        assert tree.structure(found) == tree.structure(expected)
        for path, x, y in zip(tree.paths(found), tree.leaves(found), tree.leaves(expected), strict=True):
            assert x.shape == y.shape and x.dtype == y.dtype, path
            np.testing.assert_allclose(host(x), host(y), rtol=1e-10, atol=1e-14)


# Arguments and results.


class Point(NamedTuple):
    x: Any
    y: Any


@pytest.mark.parametrize("transform", ALL)
def test_argnums_keyword_arguments_and_aux(backend: Backend, transform: Transform) -> None:
    def f(a: Any, b: Any, *, c: Any, power: int) -> Any:
        return a * xp.sum(b) * c**power, {"c": c, "name": "f"}

    a, b, c = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 4.0, 5.0]), xp.asarray([10.0, 20.0])
    by_a, by_b = 12 * np.diag([100.0, 400.0]), np.outer([100.0, 800.0], np.ones(3))
    found, aux = transform(f, has_aux=True)(a, b, c=c, power=2)
    close(found, by_a)
    assert aux["name"] == "f" and type(aux["c"]) is type(c)
    close(transform(f, 1, has_aux=True)(a, b, c=c, power=2)[0], by_b)
    close(transform(f, -1, True)(a, b, c=c, power=2)[0], by_b)
    (second, first), _ = transform(f, (1, 0), True)(a, b, c=c, power=2)
    close(first, by_a)
    close(second, by_b)
    (alone,), _ = transform(f, (0,), True)(a, b, c=c, power=2)
    close(alone, by_a)


@pytest.mark.parametrize("transform", ALL)
def test_aux_made_inside_is_a_plain_array(backend: Backend, transform: Transform) -> None:
    x = xp.asarray([1.0, 2.0])
    _, aux = transform(lambda x: (x * 2.0, [xp.zeros(2), x.__array_namespace__().ones(2), x]), has_aux=True)(
        x
    )
    assert all(type(part) is type(x) for part in aux)


@pytest.mark.parametrize("transform", ALL)
def test_modules_and_named_tuples(backend: Backend, transform: Transform) -> None:
    layer = nn.Dense(2, 3, key=bpkit.random.key(0))
    x = xp.asarray([1.0, 2.0])
    found = transform(lambda layer, x: Point(layer(x), xp.sum(layer(x))))(layer, x)
    assert type(found) is Point and type(found.x) is type(layer) is type(found.y)
    shapes = [tuple(leaf.shape) for leaf in tree.leaves(layer)]
    assert [tuple(leaf.shape) for leaf in tree.leaves(found.x)] == [(3, *shape) for shape in shapes]
    assert [tuple(leaf.shape) for leaf in tree.leaves(found.y)] == shapes
    close(found.x.bias, np.eye(3))
    close(found.y.bias, np.ones(3))


@pytest.mark.parametrize("transform", ALL)
def test_numbers(transform: Transform) -> None:
    assert transform(lambda x: x**3)(2.0) == 12.0
    assert type(transform(lambda x: x**3)(2.0)) is type(grad(lambda x: x**3)(2.0)) is np.float64
    assert type(transform(lambda x: x**3)(np.asarray(2.0))) is type(grad(lambda x: x**3)(np.asarray(2.0)))
    np.testing.assert_array_equal(transform(lambda x: x * np.asarray([1.0, 2.0]))(3.0), [1.0, 2.0])
    assert transform(lambda x, y: x * y, (0, 1))(2.0, 3.0) == (3.0, 2.0)


@pytest.mark.parametrize("transform", ALL)
def test_empty_arrays(backend: Backend, transform: Transform) -> None:
    x, none = xp.asarray([1.0, 2.0]), xp.zeros((0, 3))
    assert transform(lambda x: xp.zeros((0, 3)) * x[0])(x).shape == (0, 3, 2)
    assert transform(lambda y: xp.ones((2,)) * xp.sum(y))(none).shape == (2, 0, 3)
    by_x, by_none = transform(lambda p: p[0] * xp.sum(p[1]))([x, none])
    assert by_x.shape == (2, 2) and by_none.shape == (2, 0, 3)


@pytest.mark.parametrize("transform", ALL)
def test_results_that_depend_on_nothing(backend: Backend, transform: Transform) -> None:
    x = xp.asarray([1.0, 2.0])
    found = transform(lambda x, y: [xp.ones(3), y, 2.0 * x])(x, x)
    assert [host(block).tolist() for block in found[1:]] == [[[0.0, 0.0]] * 2, [[2.0, 0.0], [0.0, 2.0]]]
    assert found[0].shape == (3, 2) and not np.any(host(found[0]))


def test_dtypes(backend: Backend) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("needs float64")
    single, double = xp.asarray([1.0, 2.0], dtype="float32"), xp.asarray([3.0], dtype="float64")

    def f(p: Any) -> Any:
        return {"s": p["s"] * 2.0, "d": p["d"] * xp.sum(p["s"])}

    p = {"s": single, "d": double}
    for transform, dtypes in {
        jacrev: [double, single, double, single],
        jacfwd: [double, double, single, single],
        jacobian: [double, double, double, single],
    }.items():
        found = tree.leaves(transform(f)(p))
        assert [x.dtype for x in found] == [x.dtype for x in dtypes]
        assert [host(x).tolist() for x in found] == [[[3.0]], [[3.0, 3.0]], [[0.0], [0.0]], [[2, 0], [0, 2]]]


def test_jacobians_stay_on_the_device() -> None:
    strict = pytest.importorskip("array_api_strict")
    x = strict.asarray([1.0, 2.0], device=strict.Device("device1"))
    for transform in ALL:
        for chunk_size in (None, 1):
            assert transform(lambda x: x * x, chunk_size=chunk_size)(x).device == x.device
    assert hessian(lambda x: xp.sum(x**3))(x).device == x.device


@pytest.mark.parametrize("transform", [*BOTH, hessian])
def test_jax_can_compile_it(transform: Transform) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([1.0, 2.0])
    f = transform(lambda x: xp.tanh(x[:, None] * x))
    np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=1e-6, atol=1e-6)


# Chunks.


@pytest.mark.parametrize("transform", ALL)
@pytest.mark.parametrize("shape", [(7, 3), (3, 7)])
def test_chunks_change_nothing(backend: Backend, transform: Transform, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    m = backend.from_host(rng.standard_normal(shape).astype(np.float32))
    p = [
        backend.from_host(x.astype(np.float32)) for x in (rng.standard_normal(shape[1] - 2), np.ones((2, 1)))
    ]

    def f(p: Any) -> Any:
        y = xp.tanh(xp.matmul(m, xp.concat([p[0], xp.reshape(p[1], (2,))])))
        return y[:2], xp.sum(y), y[2:]

    whole = transform(f)(p)
    for chunk_size in (1, 2, 3, 100):
        for x, y in zip(tree.leaves(transform(f, chunk_size=chunk_size)(p)), tree.leaves(whole), strict=True):
            close(x, host(y), rtol=1e-5)


def test_a_chunk_bounds_the_length_of_a_batch() -> None:
    lengths: set[int] = set()

    def f(x: Any) -> Any:
        return xp.stack([g(x, k) for k in range(10)])

    @bpkit.custom_jvp
    def g(x: Any, k: Any) -> Any:
        return xp.sum(x) * k

    @g.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        lengths.add(bpkit.kinds.raw(tangents[0]).size // 4)
        return g(*primals), xp.sum(tangents[0]) * primals[1]

    jacfwd(f, chunk_size=3)(np.ones(4))
    assert lengths == {3, 1}
    lengths.clear()
    jacfwd(f)(np.ones(4))
    assert lengths == {4}


def test_what_no_batch_can_take_is_done_one_at_a_time() -> None:
    def f(x: Any) -> Any:
        first, *_ = xp.nonzero(jvp(lambda y: y * y, (x,), (x,))[1])
        return x[first] * 2.0

    def g(x: Any) -> Any:
        # The tangent decides about the shape, so it cannot be a batch of them.
        return h(x)

    @bpkit.custom_jvp
    def h(x: Any) -> Any:
        return x

    @h.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (t,) = tangents
        return primals[0], xp.sum(t[t != 0.0]) * xp.ones(2)

    x = np.asarray([1.0, 2.0])
    np.testing.assert_array_equal(jacfwd(f)(x), 2 * np.eye(2))
    message = r"jacfwd of .*g runs for a batch of directions, .* With chunk_size=1 .* vmap: x\[mask\]"
    with pytest.raises(BatchingError, match=message):
        jacfwd(g)(x)
    np.testing.assert_array_equal(jacfwd(g, chunk_size=1)(x), np.ones((2, 2)))


@pytest.mark.parametrize("transform", [*ALL, hessian, hessian_diagonal])
@pytest.mark.parametrize("chunk_size", [0, -1, 2.0, True, "all"])
def test_wrong_chunk_sizes(transform: Transform, chunk_size: Any) -> None:
    with pytest.raises(ArgumentError, match=r" of .*: chunk_size must be a positive int, or None .*; it is"):
        transform(lambda x: x, chunk_size=chunk_size)


def test_a_hundred_rows_at_once_are_those_of_a_loop(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    first, second = (
        backend.from_host((rng.standard_normal((100, 100)) / 10).astype(np.float32)) for _ in range(2)
    )
    x = backend.from_host(rng.standard_normal(100).astype(np.float32))

    def f(x: Any) -> Any:
        return xp.tanh(xp.matmul(second, xp.tanh(xp.matmul(first, x))))

    w, v, z = (host(a).astype(np.float64) for a in (first, second, x))
    hidden = np.tanh(w @ z)
    exact = (1 - np.tanh(v @ hidden) ** 2)[:, None] * v @ ((1 - hidden**2)[:, None] * w)
    basis = backend.from_host(np.eye(100, dtype=np.float32))
    _, pullback = vjp(f, x)
    loops = {
        jacrev: np.stack([host(pullback(basis[i, ...])[0]) for i in range(100)]),
        jacfwd: np.stack([host(jvp(f, (x,), (basis[i, ...],))[1]) for i in range(100)], axis=1),
    }
    for transform, rows in loops.items():
        np.testing.assert_allclose(host(transform(f)(x)), rows, atol=1e-5)
        np.testing.assert_allclose(host(transform(f)(x)), exact, atol=1e-5)


# Which side is the cheaper one.


def sides(f: Callable[..., Any], *args: Any, **options: Any) -> list[str]:
    """What transforms `jacobian` runs a function under, in order."""
    found = []

    def watched(*args: Any) -> Any:
        found.append(args[0]._trace.transform)
        return f(*args)

    jacobian(watched, **options)(*args)
    return ["forward" if name == "jvp" else "reverse" for name in found]


def test_jacobian_goes_forward_where_there_are_fewer_numbers_in_than_out() -> None:
    x = np.asarray([1.0, 2.0, 3.0])
    assert sides(lambda x: x[:2], x) == ["reverse"]
    assert sides(lambda x: x * x, x) == ["reverse"]
    assert sides(lambda x: xp.stack([x, x]), x) == ["reverse", "forward"]
    assert sides(lambda x, y: {"a": x, "b": xp.sum(y)}, x, x) == ["reverse", "forward"]
    assert sides(lambda x, y: {"a": x, "b": xp.sum(y)}, x, x, argnums=(0, 1)) == ["reverse"]
    assert sides(lambda x: 1j * x[:2], x) == ["reverse", "forward"]
    assert sides(lambda z: xp.abs(xp.stack([z, z])), 1j * x) == ["reverse"]


def test_jacobian_goes_back_where_there_is_a_rule_for_reverse_mode_only() -> None:
    @bpkit.custom_vjp
    def double(x: Any) -> Any:
        return xp.stack([x, 2.0 * x])

    double.defvjp(lambda x: (double(x), None), lambda residuals, g: (g[0, ...] + 2.0 * g[1, ...],))
    x = np.asarray([1.0, 2.0])
    expected = np.stack([np.eye(2), 2 * np.eye(2)])
    np.testing.assert_array_equal(jacobian(double)(x), expected)
    np.testing.assert_array_equal(jacrev(double)(x), expected)
    with pytest.raises(NotDifferentiableError):
        jacfwd(double)(x)
    with pytest.raises(NotDifferentiableError):
        jacobian(lambda x: 1j * double(x))(x)


def test_reverse_mode_runs_the_function_once() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(1)
        return x * x

    jacrev(f, chunk_size=1)(np.ones(5))
    assert len(runs) == 1
    jacfwd(f, chunk_size=2)(np.ones(5))
    assert len(runs) == 1 + 3


# Complex numbers.


def complex_points(backend: Backend) -> Any:
    if Capability.COMPLEX not in backend.capabilities:
        pytest.skip("needs complex numbers")
    return xp.asarray([1.0 + 2.0j, -0.5j])


def test_holomorphic_functions(backend: Backend) -> None:
    z = complex_points(backend)
    for transform in ALL:
        close(
            transform(lambda z: xp.exp(z) * z, holomorphic=True)(z), np.diag(np.exp(host(z)) * (host(z) + 1))
        )
        tall = transform(lambda z: xp.stack([z * z, 3j * z, z]), holomorphic=True)(z)
        close(tall, np.stack([np.diag(2 * host(z)), 3j * np.eye(2), np.eye(2)]))
        wide = transform(lambda z: z[0] * z[1], holomorphic=True)(z)
        close(wide, host(z)[::-1])
    second = hessian(lambda z: xp.sum(z * z * z), holomorphic=True)(z)
    close(second, np.diag(6 * host(z)))


def test_real_results_of_complex_arguments_are_those_of_grad(backend: Backend) -> None:
    z = complex_points(backend)
    for transform in (jacrev, jacobian):
        found = transform(lambda z: xp.real(z * xp.conj(z)))(z)
        close(found, np.diag(2 * np.conj(host(z))))
        assert found.dtype == z.dtype
    with pytest.raises(ArgumentError, match=r"jacfwd of .*: argument 0 is an array .*complex"):
        jacfwd(xp.real)(z)


def test_complex_results_of_real_arguments(backend: Backend) -> None:
    z = complex_points(backend)
    x = xp.asarray([1.0, 2.0])
    for transform in (jacfwd, jacobian):
        close(transform(lambda x: x * x * z)(x), np.diag(2 * host(z) * host(x)))
    with pytest.raises(
        ArgumentError, match=r"jacrev of .*: the result is an array .*complex.* jacfwd gives it"
    ):
        jacrev(lambda x: x * z)(x)


def test_complex_results_of_complex_arguments_are_refused_unless_holomorphic() -> None:
    z = np.asarray([1.0 + 2.0j, -0.5j])
    message = (
        r" of .*: .* is an array of shape \(2,\) and dtype complex128\. Real and imaginary part may each .*"
        r"If the function is holomorphic, write holomorphic=True; if not, take xp.real and xp.imag apart"
    )
    for transform in (*ALL, hessian):
        with pytest.raises(ArgumentError, match=message):
            transform(xp.conj)(z)
    with pytest.raises(ArgumentError, match=r"jacobian of .*: the result\['c'\] is an array .*complex128"):
        jacobian(lambda p: {"a": xp.real(p["x"]), "c": p["y"] * 1j})({"x": z, "y": np.ones(2)})
    for transform in (*ALL, hessian):
        with pytest.raises(
            ArgumentError, match=r"with holomorphic=True all arguments .* must be complex; argument 0"
        ):
            transform(lambda x: x * 1j, holomorphic=True)(np.ones(2))
    for transform in ALL:
        with pytest.raises(
            ArgumentError, match=r"with holomorphic=True all results must be complex; the result is"
        ):
            transform(xp.real, holomorphic=True)(z)
    with pytest.raises(
        ArgumentError, match=r"hessian_diagonal of .*: argument 0 is .* complex number is no single"
    ):
        hessian_diagonal(lambda z: xp.sum(xp.real(z)))(z)


# Wrong calls.


@pytest.mark.parametrize("transform", [*ALL, hessian])
def test_wrong_calls(transform: Transform) -> None:
    name = transform.__name__
    with pytest.raises(ArgumentError, match=f"{name}: the first argument must be a function"):
        transform(3.0)
    with pytest.raises(ArgumentError, match=f"{name} of .*: argnums must be an int or a tuple of ints"):
        transform(lambda x: x, [0.0])
    with pytest.raises(ArgumentError, match=f"{name} of .*: argnums .* must name different positional"):
        transform(lambda x: x, 1)(2.0)
    with pytest.raises(
        ArgumentError, match=rf"{name} of .*: argument 1\['a'\] is asked for a gradient, .* 3\.0"
    ):
        transform(lambda x, y: x, (0, 1))(1.0, {"a": 3})
    with pytest.raises(
        ArgumentError, match=rf"{name} of .*: the result\['n'\] must be an array; it is the int 3"
    ):
        transform(lambda x: {"n": 3, "x": x})(2.0)
    with pytest.raises(
        ArgumentError,
        match=rf"{name} of .*: the result\[0\] is an array .* int64, which has no derivative.* has_aux=True",
    ):
        transform(lambda x: [xp.argmax(x), x])(np.ones(2))
    with pytest.raises(ArgumentError, match="with has_aux=True it must return a pair"):
        transform(lambda x: x, has_aux=True)(2.0)


def test_a_transformed_function_looks_like_the_function() -> None:
    def f(x: Any) -> Any:
        """Of x."""
        return x

    for transform in (*ALL, hessian, hessian_diagonal):
        assert (transform(f).__name__, transform(f).__doc__) == ("f", "Of x.")


# Memory.


@pytest.mark.parametrize("transform", [*ALL, hessian, hessian_diagonal])
def test_jacobians_share_no_memory(backend: Backend, transform: Transform) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip(f"{backend.name}'s arrays do not change")
    x, y = xp.asarray([1.0, 2.0]), xp.asarray([[3.0, 4.0]])

    def f(p: Any) -> Any:
        total = xp.sum(p[0] * p[0]) * xp.sum(p[1] * p[1])
        return total if transform in (hessian, hessian_diagonal) else (p[0] * 1.0, total, p[1] * p[0])

    leaves = [x, y, *tree.leaves(transform(f)([x, y]))]
    before = [host(leaf) for leaf in leaves]
    for i, leaf in enumerate(leaves):
        leaf -= 77.0
        before[i] = before[i] - 77.0
        for found, expected in zip(leaves, before, strict=True):
            np.testing.assert_array_equal(host(found), expected)


# Under and over other transforms.


def test_jacobians_of_jacobians(backend: Backend) -> None:
    x = xp.asarray([0.5, -1.5])
    f = lambda x: xp.stack([x[0] ** 2 * x[1], xp.sin(x[1])])  # noqa: E731
    a, b = host(x)
    second = np.asarray([[[2 * b, 2 * a], [2 * a, 0.0]], [[0.0, 0.0], [0.0, -np.sin(b)]]])
    for outer in ALL:
        for inner in ALL:
            close(outer(inner(f))(x), second)
    close(hessian(f)(x), second)
    third = np.zeros((2, 2, 2, 2))
    third[0, 0, 0, 1] = third[0, 0, 1, 0] = third[0, 1, 0, 0] = 2.0
    third[1, 1, 1, 1] = -np.cos(b)
    close(jacfwd(hessian(f))(x), third)
    close(jacrev(hessian(f))(x), third)


def test_jacobians_inside_gradients_and_tangents(backend: Backend) -> None:
    # L(w) = sum of squares of d(w tanh x)/dx, so dL/dw = 2 w sum (1 - tanh^2 x)^2.
    w, x = xp.asarray(3.0), xp.asarray([0.5, -1.5])
    slope = 1 - np.tanh(host(x)) ** 2
    for transform in ALL:
        for chunk_size in (None, 1):

            def loss(w: Any, transform: Any = transform, chunk_size: Any = chunk_size) -> Any:
                return xp.sum(transform(lambda x: w * xp.tanh(x), chunk_size=chunk_size)(x) ** 2)

            close(grad(loss)(w), 6 * np.sum(slope**2))
            close(jvp(loss, (w,), (xp.asarray(1.0),))[1], 6 * np.sum(slope**2))
            close(bpkit.linearize(loss, w)[1](xp.asarray(1.0)), 6 * np.sum(slope**2))


def test_jacobians_of_a_batch(backend: Backend) -> None:
    xs = xp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    f = lambda x: xp.stack([x[0] * x[1], x[0] ** 2])  # noqa: E731
    expected = np.asarray([[[b, a], [2 * a, 0.0]] for a, b in host(xs)])
    for transform in ALL:
        close(vmap(transform(f))(xs), expected)
        whole = host(transform(vmap(f))(xs))
        np.testing.assert_allclose(whole[[0, 1, 2], :, [0, 1, 2], :], expected, rtol=1e-6)
        assert np.count_nonzero(whole) == np.count_nonzero(expected)
    loss = lambda x: x[0] ** 2 * x[1]  # noqa: E731
    close(vmap(hessian(loss))(xs), np.asarray([[[2 * b, 2 * a], [2 * a, 0.0]] for a, b in host(xs)]))
    close(vmap(hessian_diagonal(loss))(xs), np.asarray([[2 * b, 0.0] for a, b in host(xs)]))
    vs = xs + 1.0
    products = vmap(lambda x, v: hvp(loss, (x,), (v,)))(xs, vs)
    close(products, [[2 * b * (a + 1) + 2 * a * (b + 1), 2 * a * (a + 1)] for a, b in host(xs)])


def test_linear_maps_in_a_batch(backend: Backend) -> None:
    x, ts = xp.asarray([1.0, 2.0]), xp.asarray([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    _, jvp_fun = bpkit.linearize(lambda x: xp.sum(x * x) * x, x)
    m = np.asarray([[7.0, 4.0], [4.0, 13.0]])
    close(vmap(jvp_fun)(ts), host(ts) @ m)
    close(
        vmap(lambda x: bpkit.linearize(lambda x: xp.sum(x * x), x)[1](x))(ts),
        2 * np.sum(host(ts) ** 2, axis=1),
    )


def test_public_names() -> None:
    for name in ("jacrev", "jacfwd", "jacobian", "hessian", "hvp", "hessian_diagonal"):
        assert getattr(bpkit, name) is globals()[name] and name in bpkit.__all__
