"""Laws of derivatives on random programs: adjoint modes, linearity, the chain rule, symmetric Hessians."""

from typing import Any

import numpy as np
import pytest
from cases.programs import PROGRAMS, build, draw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpkit import grad, jvp, vjp, xp
from bpkit._protocol import Capability
from bpkit.errors import BackendError
from bpkit.registry import backend_of, get_backend

fast = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def inner(xs: Any, ys: Any) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(xs, ys, strict=True)))


def close(x: float, y: float, scale: float = 1.0, rtol: float = 1e-10) -> bool:
    return abs(x - y) <= rtol * (abs(x) + abs(y) + scale)


@fast
@given(program=PROGRAMS, seed=st.integers(0, 2**16))
def test_reverse_mode_is_the_transpose_of_forward_mode(program: Any, seed: int) -> None:
    f = build(program)
    primals, tangents = draw(seed, 2)
    g = np.random.default_rng(seed + 1).normal(size=(3, 3))
    out, t = jvp(f, primals, tangents)
    same, pullback = vjp(f, *primals)
    np.testing.assert_array_equal(out, same)
    assert close(np.sum(g * t), inner(pullback(g), tangents))


@fast
@given(program=PROGRAMS, seed=st.integers(0, 2**16))
def test_derivatives_are_linear(program: Any, seed: int) -> None:
    f = build(program)
    primals, s, t = draw(seed, 3)
    g, h = np.random.default_rng(seed + 1).normal(size=(2, 3, 3))
    _, pullback = vjp(f, *primals)
    both = pullback(2.0 * g - 3.0 * h)
    for x, y, z in zip(both, pullback(g), pullback(h), strict=True):
        np.testing.assert_allclose(x, 2.0 * y - 3.0 * z, rtol=1e-9, atol=1e-10)
    mixed = [2.0 * a - 3.0 * b for a, b in zip(s, t, strict=True)]
    np.testing.assert_allclose(
        jvp(f, primals, mixed)[1],
        2.0 * jvp(f, primals, s)[1] - 3.0 * jvp(f, primals, t)[1],
        rtol=1e-9,
        atol=1e-10,
    )


@fast
@given(first=PROGRAMS, second=PROGRAMS, seed=st.integers(0, 2**16))
def test_the_chain_rule(first: Any, second: Any, seed: int) -> None:
    f, rest = build(first), draw(seed, 1)[0]
    h = lambda m: build(second)(m, *rest[1:])  # noqa: E731
    middle, pull_f = vjp(f, *rest)
    _, pull_h = vjp(h, middle)
    g = np.random.default_rng(seed + 1).normal(size=(3, 3))
    _, pull_both = vjp(lambda *x: h(f(*x)), *rest)
    for x, y in zip(pull_both(g), pull_f(pull_h(g)[0]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-10)
    t = draw(seed + 2, 1)[0]
    _, moved = jvp(h, (middle,), (jvp(f, rest, t)[1],))
    np.testing.assert_allclose(jvp(lambda *x: h(f(*x)), rest, t)[1], moved, rtol=1e-9, atol=1e-10)


@fast
@given(program=PROGRAMS, seed=st.integers(0, 2**16))
def test_gradients_agree_with_central_differences(program: Any, seed: int) -> None:
    f = build(program)
    primals, tangents = draw(seed, 2)
    loss = lambda *x: xp.sum(xp.sin(f(*x)))  # noqa: E731
    slope = inner(grad(loss, argnums=(0, 1, 2, 3))(*primals), tangents)

    def along(step: float) -> Any:
        return loss(*[x + step * t for x, t in zip(primals, tangents, strict=True)])

    # Richardson's extrapolation of two central differences; where two step sizes disagree, a kink is near.
    coarse, fine = (8 * (along(s) - along(-s)) - along(2 * s) + along(-2 * s) for s in (2e-3, 1e-3))
    coarse, fine = coarse / (12 * 2e-3), fine / (12 * 1e-3)
    if close(coarse, fine, rtol=1e-7):
        assert close(slope, fine, rtol=1e-6)


@fast
@given(program=PROGRAMS, seed=st.integers(0, 2**16))
def test_hessians_are_symmetric_and_the_same_in_every_mode(program: Any, seed: int) -> None:
    f = build(program)
    primals, u, v = draw(seed, 3)
    every = (0, 1, 2, 3)
    gradient = grad(lambda *x: xp.sum(xp.sin(f(*x))), argnums=every)

    def forward_over_reverse(t: Any) -> Any:
        return jvp(gradient, primals, t)[1]

    def reverse_over_forward(t: Any) -> Any:
        slope = lambda *x: jvp(lambda *y: xp.sum(xp.sin(f(*y))), x, t)[1]  # noqa: E731
        return grad(slope, argnums=every)(*primals)

    def reverse_over_reverse(t: Any) -> Any:
        return vjp(gradient, *primals)[1](tuple(t))

    products = [hvp(v) for hvp in (forward_over_reverse, reverse_over_forward, reverse_over_reverse)]
    for one, two, three in zip(*products, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(one, three, rtol=1e-8, atol=1e-8)
    assert close(inner(u, products[0]), inner(forward_over_reverse(u), v), rtol=1e-8)


# Against other libraries' automatic differentiation.


def energy(ns: Any, weight: Any, x: Any) -> Any:
    """A function with a dense Hessian, in the functions that every namespace has under one name."""
    hidden = ns.tanh(ns.matmul(weight, x))
    return ns.sum(hidden * hidden * x) + ns.sum(ns.exp(-x * x) * ns.sin(ns.matmul(weight, x * x)))


def ours(library: str, weight: Any, x: Any, v: Any) -> Any:
    backend = get_backend(library)
    w, x, v = (backend.from_host(a) for a in (weight, x, v))
    gradient = grad(lambda x: energy(xp, w, x))
    out = [
        gradient(x),
        jvp(gradient, (x,), (v,))[1],
        grad(lambda x: xp.sum(gradient(x) * v))(x),
        jvp(lambda x: jvp(gradient, (x,), (v,))[1], (x,), (v,))[1],
    ]
    assert all(backend_of(a) is backend for a in out)
    return [backend.to_host(a) for a in out]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_hessian_vector_products_agree_with_jax_and_torch(library: str) -> None:
    try:
        get_backend(library).require()
    except BackendError as error:
        pytest.skip(str(error))
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    if Capability.FLOAT64 not in get_backend("jax").capabilities:
        pytest.skip("JAX's x64 mode is off: run with --backend jax, or with all backends")
    generator = np.random.default_rng(0)
    weight, x, v = generator.normal(size=(6, 6)), generator.normal(size=6), generator.normal(size=6)
    gradient, product, again, third = ours(library, weight, x, v)
    np.testing.assert_allclose(product, again, rtol=1e-12)

    theirs = jax.grad(lambda x: energy(jax.numpy, weight, x))
    along = lambda x: jax.jvp(theirs, (x,), (v,))[1]  # noqa: E731
    np.testing.assert_allclose(gradient, theirs(x), rtol=1e-12)
    np.testing.assert_allclose(product, along(x), rtol=1e-12)
    np.testing.assert_allclose(third, jax.jvp(along, (x,), (v,))[1], rtol=1e-11)

    w, xt, vt = (torch.from_numpy(a) for a in (weight, x, v))
    loss = lambda x: energy(torch, w, x)  # noqa: E731
    np.testing.assert_allclose(gradient, torch.autograd.functional.vjp(loss, xt)[1], rtol=1e-12)
    np.testing.assert_allclose(product, torch.autograd.functional.hvp(loss, xt, vt)[1], rtol=1e-12)

    step = 1e-3
    sides = [ours("numpy", weight, x + s * step * v, v)[0] for s in (-2, -1, 1, 2)]
    difference = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * step)
    np.testing.assert_allclose(product, difference, rtol=1e-8, atol=1e-8)
