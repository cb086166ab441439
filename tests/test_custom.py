"""custom_vjp and custom_jvp: the rule is what counts, under every transform."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import (
    checkpoint,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    tree,
    vjp,
    vmap,
    xp,
)
from bpkit._protocol import Backend
from bpkit.kinds import is_mutable
from bpkit.registry import backend_of

Fun = Callable[..., Any]


def host(x: Any) -> Any:
    return tree.map(lambda leaf: backend_of(leaf).to_host(leaf), x)


def close(found: Any, expected: Any, rtol: float = 1e-13) -> None:
    assert tree.structure(found) == tree.structure(expected)
    for x, y in zip(tree.leaves(host(found)), tree.leaves(host(expected)), strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-14)


# One function in three ways: with the derivative that its code has, and with a rule for either mode.


def plain(x: Any, y: Any) -> Any:
    return xp.sin(x) * xp.exp(y)


def by_vjp(scale: float = 1.0) -> Fun:
    """`plain` with its own derivative times `scale`."""
    f = custom_vjp(plain)

    def bwd(residuals: Any, g: Any) -> Any:
        x, y = residuals
        gx, gy = g * xp.cos(x) * xp.exp(y) * scale, g * xp.sin(x) * xp.exp(y) * scale
        # Of a number and a vector, the number was repeated.
        return gx if x.shape else xp.sum(gx), gy if y.shape else xp.sum(gy)

    f.defvjp(lambda x, y: (plain(x, y), (x, y)), bwd)
    return f


def by_jvp(scale: float = 1.0) -> Fun:
    f = custom_jvp(plain)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (s, t) = primals, tangents
        return f(x, y), (s * xp.cos(x) + t * xp.sin(x)) * xp.exp(y) * scale

    return f


def by_jvps(scale: float = 1.0) -> Fun:
    f = custom_jvp(plain)
    f.defjvps(lambda s, out, x, y: s * xp.cos(x) * xp.exp(y) * scale, lambda t, out, x, y: t * out * scale)
    return f


MAKERS = [by_vjp, by_jvp, by_jvps]
FORWARD = [by_jvp, by_jvps]


def total(f: Fun) -> Fun:
    return lambda *args: xp.sum(f(*args))


def squares(f: Fun) -> Fun:
    """A scalar of all results."""
    return lambda *args: functools.reduce(lambda a, b: a + b, [xp.sum(g**2) for g in tree.leaves(f(*args))])


def with_checkpoint_inside(f: Fun) -> Fun:
    """`f`, called by a function with a rule whose own code has a checkpoint."""
    outer = custom_vjp(f)

    def fwd(x: Any, y: Any) -> Any:
        return checkpoint(f)(x, y), (x, y)

    outer.defvjp(fwd, lambda residuals, g: vjp(checkpoint(f), *residuals)[1](g))
    return outer


COMPOSED: dict[str, Callable[[Fun], Fun]] = {
    "value": lambda f: f,
    "grad": lambda f: grad(total(f)),
    "grad by the second": lambda f: grad(total(f), 1),
    "grad by both": lambda f: grad(total(f), (0, 1)),
    "grad by both at one place": lambda f: lambda x, y: grad(lambda z: xp.sum(f(z, z * y)))(x),
    "twice in a row": lambda f: grad(lambda x, y: xp.sum(f(f(x, y), y)), (0, 1)),
    "grad of grad": lambda f: grad(squares(grad(total(f), (0, 1))), (0, 1)),
    "grad of grad by the other": lambda f: grad(squares(grad(total(f))), 1),
    "third order": lambda f: grad(squares(grad(squares(grad(total(f)))))),
    "vjp": lambda f: lambda x, y: vjp(f, x, y)[1](y),
    "grad of vjp": lambda f: grad(lambda x, y: xp.sum(vjp(f, x, y)[1](y)[0])),
    "jvp of grad": lambda f: lambda x, y: jvp(grad(total(f)), (x, y), (y, x)),
    "vmap": vmap,
    "vmap over one": lambda f: vmap(f, in_axes=(0, None)),
    "nested vmap": lambda f: lambda x, y: vmap(lambda a: vmap(lambda b: f(a, b))(y))(x),
    "vmap of grad": lambda f: vmap(grad(total(f), (0, 1))),
    "vmap of grad over one": lambda f: vmap(grad(total(f), (0, 1)), in_axes=(0, None)),
    "grad of vmap": lambda f: grad(total(vmap(f)), (0, 1)),
    "grad of vmap over one": lambda f: grad(total(vmap(f, in_axes=(None, 0))), (0, 1)),
    "grad of nested vmap": lambda f: grad(
        total(lambda x, y: vmap(lambda a: vmap(lambda b: f(a, b))(y))(x)), (0, 1)
    ),
    "grad of vmap of grad": lambda f: grad(squares(vmap(grad(total(f)))), (0, 1)),
    "vmap of grad of grad": lambda f: vmap(grad(squares(grad(total(f), (0, 1))), (0, 1))),
    "grad of grad of vmap": lambda f: grad(squares(grad(total(vmap(f)), (0, 1))), (0, 1)),
    "checkpoint": lambda f: grad(total(checkpoint(f)), (0, 1)),
    "grad of grad of checkpoint": lambda f: grad(squares(grad(total(checkpoint(f)), (0, 1))), (0, 1)),
    "checkpoint of grad": lambda f: grad(squares(checkpoint(grad(total(f), (0, 1)))), (0, 1)),
    "vmap of grad of checkpoint": lambda f: vmap(grad(total(checkpoint(f)), (0, 1))),
    "grad of vmap of checkpoint": lambda f: grad(total(vmap(checkpoint(f), in_axes=(None, 0))), (0, 1)),
    "grad of checkpoint of vmap": lambda f: grad(total(checkpoint(vmap(f, in_axes=(0, None)))), (0, 1)),
    "a checkpoint inside": lambda f: grad(total(with_checkpoint_inside(f)), (0, 1)),
    "jacrev": lambda f: jacrev(f, (0, 1)),
    "hessian by reverse mode": lambda f: jacrev(jacrev(total(f), (0, 1)), (0, 1)),
    "jvp of grad of vmap": lambda f: lambda x, y: jvp(grad(total(vmap(f))), (x, y), (y, x)),
}
COMPOSED_FORWARD: dict[str, Callable[[Fun], Fun]] = {
    "jvp": lambda f: lambda x, y: jvp(f, (x, y), (y, x)),
    "jvp of checkpoint": lambda f: lambda x, y: jvp(checkpoint(f), (x, y), (y, x)),
    "jacfwd": lambda f: jacfwd(f, (0, 1)),
    "hessian": lambda f: hessian(total(f), (0, 1)),
    "linearize": lambda f: lambda x, y: linearize(f, x, y)[1](y, x),
    "linearize of grad": lambda f: lambda x, y: linearize(grad(total(f)), x, y)[1](y, x),
    "linearize of vmap": lambda f: lambda x, y: linearize(vmap(f), x, y)[1](y, x),
    "grad of linearize": lambda f: grad(total(lambda x, y: linearize(f, x, y)[1](y, x)), (0, 1)),
    "vmap of linearize": lambda f: vmap(lambda x, y: linearize(f, x, y)[1](y, x)),
    "jvp by one": lambda f: lambda x, y: jvp(lambda x: f(x, y), (x,), (y,)),
    "jvp of jvp": lambda f: lambda x, y: jvp(lambda x, y: jvp(f, (x, y), (y, x))[1], (x, y), (y, x)),
    "grad of jvp": lambda f: grad(total(lambda x, y: jvp(f, (x, y), (y, x))[1]), (0, 1)),
    "vmap of jvp": lambda f: vmap(lambda x, y: jvp(f, (x, y), (y, x))),
    "jvp of vmap": lambda f: lambda x, y: jvp(vmap(f), (x, y), (y, x)),
    "jvp of vmap over one": lambda f: lambda x, y: jvp(vmap(f, in_axes=(None, 0)), (x, y), (y, x)),
    "grad of jvp of vmap": lambda f: grad(total(lambda x, y: jvp(vmap(f), (x, y), (y, x))[1]), (0, 1)),
    "jvp of vmap of grad": lambda f: lambda x, y: jvp(vmap(grad(total(f))), (x, y), (y, x)),
}


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize("make", MAKERS)
def test_a_right_rule_changes_nothing(backend: Backend, make: Callable[[], Fun], name: str) -> None:
    x, y = (backend.from_host(np.asarray(a)) for a in ([0.5, -1.25, 2.0], [0.25, 0.75, -0.5]))
    close(COMPOSED[name](make())(x, y), COMPOSED[name](plain)(x, y))


@pytest.mark.parametrize("name", COMPOSED_FORWARD)
@pytest.mark.parametrize("make", FORWARD)
def test_a_right_rule_changes_nothing_in_forward_mode(
    backend: Backend, make: Callable[[], Fun], name: str
) -> None:
    x, y = (backend.from_host(np.asarray(a)) for a in ([0.5, -1.25, 2.0], [0.25, 0.75, -0.5]))
    close(COMPOSED_FORWARD[name](make())(x, y), COMPOSED_FORWARD[name](plain)(x, y))


@pytest.mark.parametrize(
    "name",
    ["grad by both", "vjp", "vmap of grad", "grad of vmap", "grad of vmap over one", "grad of nested vmap"],
)
@pytest.mark.parametrize("make", MAKERS)
def test_the_rule_decides_and_not_the_code(make: Callable[..., Fun], name: str) -> None:
    x, y = np.asarray([0.5, -1.25, 2.0]), np.asarray([0.25, 0.75, -0.5])
    expected = tree.map(lambda g: 3.0 * g, COMPOSED[name](plain)(x, y))
    close(COMPOSED[name](make(3.0))(x, y), expected)


@pytest.mark.parametrize("name", ["jvp", "vmap of jvp", "jvp of vmap", "jvp of vmap over one"])
@pytest.mark.parametrize("make", FORWARD)
def test_the_rule_decides_in_forward_mode(make: Callable[..., Fun], name: str) -> None:
    x, y = np.asarray([0.5, -1.25, 2.0]), np.asarray([0.25, 0.75, -0.5])
    out, tangent = COMPOSED_FORWARD[name](plain)(x, y)
    close(COMPOSED_FORWARD[name](make(3.0))(x, y), (out, 3.0 * tangent))


def test_dtypes_and_devices_stay(backend: Backend) -> None:
    for make in MAKERS:
        x, y = xp.asarray([0.5, 1.0], dtype="float32"), xp.asarray(0.25, dtype="float32")
        gx, gy = grad(total(make()), (0, 1))(x, y)
        assert gx.dtype == gy.dtype == x.dtype and gy.shape == () and gx.device == x.device
        assert backend_of(gx) is backend_of(gy) is backend


def test_complex_arguments(backend: Backend) -> None:
    if bpkit._protocol.Capability.COMPLEX not in backend.capabilities:
        pytest.skip("needs complex numbers")
    x, y = (backend.from_host(np.asarray(a)) for a in ([0.5 + 1.0j, -1.0j], [0.25 - 0.5j, 0.5 + 0.5j]))
    for make in MAKERS:
        expected, found = (
            grad(lambda x, y, f=f: xp.sum(xp.abs(f(x, y))), (0, 1))(x, y) for f in (plain, make())
        )
        close(found, expected)


# Trees of arguments, results and residuals.


def test_code_outside_the_library() -> None:
    @custom_vjp
    def cube(x: Any) -> Any:
        total = 0.0
        for value in np.asarray(x).ravel():
            total += float(value) ** 3
        return np.asarray(total)

    cube.defvjp(lambda x: (cube(x), np.asarray(x)), lambda x, g: (3 * x**2 * g,))
    close(grad(lambda x: cube(2.0 * x))(np.asarray([1.0, 2.0])), np.asarray([24.0, 96.0]))


def test_rules_may_change_what_they_are_given_in_place(backend: Backend) -> None:
    @custom_vjp
    def f(x: Any, y: Any) -> Any:
        return x * y

    def fwd(x: Any, y: Any) -> Any:
        kept = x * 1.0
        x *= y
        return x, (kept, y)

    def bwd(residuals: Any, g: Any) -> Any:
        x, y = residuals
        x *= g
        g *= y
        return g, x

    f.defvjp(fwd, bwd)
    x, y = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 5.0])
    out, pullback = vjp(lambda x, y: (f(x, y) + x, x), x, y)
    cotangent = (xp.asarray([1.0, 10.0]), xp.asarray([0.0, 0.0]))
    for _ in range(2):
        gx, gy = pullback(cotangent)
        assert host(gx).tolist() == [4.0, 60.0] and host(gy).tolist() == [1.0, 20.0]
    assert host(x).tolist() == [1.0, 2.0] and host(y).tolist() == [3.0, 5.0]
    assert host(out).__getitem__(0).tolist() == [4.0, 12.0] and host(cotangent[0]).tolist() == [1.0, 10.0]
    j = custom_jvp(lambda x: x * x)

    @j.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        t *= x
        x *= x
        return x, 2.0 * t

    (out, same), (moved, still) = jvp(lambda x: (j(x), x), (x,), (y,))
    assert [host(a).tolist() for a in (out, same, moved, still)] == [
        [1.0, 4.0],
        [1.0, 2.0],
        [6.0, 20.0],
        [3.0, 5.0],
    ]
    assert host(x).tolist() == [1.0, 2.0] and host(y).tolist() == [3.0, 5.0]


def test_a_buffer_may_be_filled_again() -> None:
    f = custom_vjp(lambda x, buffer: x * buffer)
    f.defvjp(lambda x, buffer: (x * buffer, buffer), lambda buffer, g: (g * buffer, None))
    buffer = np.asarray([2.0, 3.0])

    def loss(x: Any) -> Any:
        out = f(x, buffer)
        buffer[:] = 0.0
        return xp.sum(out)

    assert is_mutable(buffer)
    assert grad(loss)(np.ones(2)).tolist() == [2.0, 3.0]


def test_a_zero_cotangent_annihilates_an_infinite_factor(backend: Backend) -> None:
    root = custom_jvp(xp.sqrt)
    root.defjvp(lambda p, t: (root(*p), t[0] * (0.5 / xp.sqrt(p[0]))))
    x = xp.asarray([0.0, 4.0])
    with np.errstate(divide="ignore"):
        assert host(grad(lambda x: xp.sum(xp.where(x > 0, root(x), 0.0)))(x)).tolist() == [0.0, 0.25]


def test_arguments_that_do_not_move_ask_for_no_rule() -> None:
    f = custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: pytest.fail("y does not move"))
    assert grad(f)(2.0, 3.0) == 3.0
    g = custom_jvp(lambda x, y: x * y)
    g.defjvps(lambda t, out, x, y: t * y, None)
    assert grad(g, (0, 1))(2.0, 3.0) == (3.0, 0.0)
    assert jvp(lambda y: g(2.0, y), (3.0,), (1.0,)) == (6.0, 0.0)


def test_custom_functions_inside_custom_functions() -> None:
    for inner in (by_vjp(3.0), by_jvp(3.0)):
        outer = doubled(inner)
        x = np.asarray(0.5)
        assert grad(outer)(x) == plain(x, x)
        slope = np.cos(x) * np.exp(x) + np.sin(x) * np.exp(x)
        np.testing.assert_allclose(grad(grad(outer))(x), 3.0 * slope, rtol=1e-15)


def doubled(inner: Fun) -> Fun:
    """Twice a function at ``(x, x)``, with the function itself for a derivative."""
    outer = custom_jvp(lambda x: inner(x, x) * 2.0)
    outer.defjvp(lambda primals, tangents: (outer(*primals), tangents[0] * inner(*primals, *primals)))
    return outer


def test_values_that_depend_on_nothing_take_the_function_itself() -> None:
    def forbidden(*args: Any) -> Any:
        raise AssertionError("nothing is differentiated")

    f = custom_vjp(lambda x: x * 2.0)
    f.defvjp(forbidden, forbidden)
    assert f(3.0) == 6.0
    assert grad(lambda x, c: x * f(c))(1.0, 3.0) == 6.0
    assert grad(lambda x: x * f(bpkit.stop_gradient(x)))(3.0) == 6.0
    assert vmap(f)(np.ones(2)).tolist() == [2.0, 2.0]
    # Made inside a transform, and a result that goes on with the library's functions.
    assert grad(lambda x: xp.sum(x * f(xp.ones(2))))(3.0) == 4.0


# Against JAX.


def test_as_in_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    with jax.enable_x64(True):
        _compare_with_jax(jax, jnp)


def _compare_with_jax(jax: Any, jnp: Any) -> None:
    def softplus(lib: Any, decorate: Any) -> Any:
        @decorate  # type: ignore[untyped-decorator]
        def f(x: Any) -> Any:
            return lib.log(1.0 + lib.exp(x))

        @f.defjvp  # type: ignore[untyped-decorator]
        def rule(primals: Any, tangents: Any) -> Any:
            (x,), (t,) = primals, tangents
            ans = f(x)
            return ans, (1.0 - 1.0 / (1.0 + lib.exp(x))) * t

        return f

    def clip(lib: Any, decorate: Any) -> Any:
        @functools.partial(decorate, nondiff_argnums=(0,))
        def f(limit: float, x: Any, y: Any) -> Any:
            return x * y, lib.sum(x)

        def fwd(limit: float, x: Any, y: Any) -> Any:
            return f(limit, x, y), (x, y)

        def bwd(limit: float, residuals: Any, g: Any) -> Any:
            x, y = residuals
            return lib.clip(g[0] * y, -limit, limit) + g[1], g[0] * lib.sin(x)

        f.defvjp(fwd, bwd)
        return f

    ours, theirs = softplus(xp, custom_jvp), softplus(jnp, jax.custom_jvp)
    x = np.asarray([-1.0, 0.5, 3.0])
    for order in range(4):
        a, b = ours, theirs
        for _ in range(order):
            a, b = grad(a), jax.grad(b)
        np.testing.assert_allclose(vmap(a)(x), jax.vmap(b)(x), rtol=1e-12)
    mine, other = clip(xp, custom_vjp), clip(jnp, jax.custom_vjp)
    y = np.asarray([3.0, -0.5, 0.25])
    for f, g in (
        (lambda f, lib: lambda x, y: lib.sum(f(1.0, x, y)[0] ** 2), (0, 1)),
        (lambda f, lib: lambda x, y: f(1.0, x, y)[1], (0, 1)),
        (lambda f, lib: lambda x, y: lib.sum(f(1.0, x, y=y)[0]) * f(1.0, x, y)[1], 0),
    ):
        for found, expected in zip(
            tree.leaves(grad(f(mine, xp), g)(x, y)),
            tree.leaves(jax.grad(f(other, jnp), g)(x, y)),
            strict=True,
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-13)
    second = lambda grad, vmap, f, lib: grad(  # noqa: E731
        lambda x, y: lib.sum(vmap(grad(lambda x, y: f(1.0, x, y)[0]))(x, y) ** 2), (0, 1)
    )
    for found, expected in zip(
        second(grad, vmap, mine, xp)(x, y), second(jax.grad, jax.vmap, other, jnp)(x, y), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
