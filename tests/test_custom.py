"""custom_vjp and custom_jvp: the rule is what counts, under every transform, and mistakes in it are named."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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
    value_and_grad,
    vjp,
    vmap,
    xp,
)
from bpkit._protocol import Backend
from bpkit.errors import (
    ArgumentError,
    GradientCutError,
    LeakedArrayError,
    MixedBackendsError,
    NotDifferentiableError,
)
from bpkit.kinds import is_mutable, raw
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


class Pair(NamedTuple):
    first: Any
    second: Any


def test_trees(backend: Backend) -> None:
    calls = []

    @custom_vjp
    def f(p: Any, q: Any) -> Any:
        return {"a": p["w"] * q.first, "b": [xp.sum(p["b"]), q.second]}

    def fwd(p: Any, q: Any) -> Any:
        return f(p, q), {"p": p, "n": 3, "q": Pair(q, None), "name": "f"}

    def bwd(residuals: Any, g: Any) -> Any:
        calls.append(g)
        p, (q, none) = residuals["p"], residuals["q"]
        assert (residuals["n"], residuals["name"], none) == (3, "f", None)
        # Twice what it should be.
        return {"w": 2 * g["a"] * q.first, "b": 2 * g["b"][0] * xp.ones_like(p["b"])}, Pair(
            2 * g["a"] * p["w"], None
        )

    f.defvjp(fwd, bwd)
    p = {"w": xp.asarray([1.0, 2.0]), "b": xp.asarray([3.0, 4.0, 5.0])}
    q = Pair(xp.asarray([0.5, 0.25]), xp.asarray(7.0))
    out, pullback = vjp(f, p, q)
    assert type(out["b"]) is list
    gp, gq = pullback(tree.map(xp.ones_like, out))
    assert host(gp["w"]).tolist() == [1.0, 0.5] and host(gp["b"]).tolist() == [2.0] * 3
    assert type(gq) is Pair and host(gq.first).tolist() == [2.0, 4.0] and float(gq.second) == 0.0
    assert len(calls) == 1, "one call for all arguments"
    # Nothing reaches a: its cotangent is zeros.
    gp, gq = grad(lambda p, q: f(p, q)["b"][0], (0, 1))(p, q)
    assert host(gp["w"]).tolist() == [0.0, 0.0] and host(gp["b"]).tolist() == [2.0] * 3
    assert host(raw(calls[-1]["a"])).tolist() == [0.0, 0.0] and calls[-1]["a"].dtype == out["a"].dtype
    # Nothing reaches the function: its rule is not asked.
    count = len(calls)
    close(grad(lambda p, q: (f(p, q), xp.sum(q.first))[1])(p, q), tree.map(xp.zeros_like, p))
    assert len(calls) == count


def test_none_stands_for_a_zero_part() -> None:
    @custom_vjp
    def f(x: Any, tree: Any, none: Any) -> Any:
        return x * tree["a"][0] * tree["b"]

    f.defvjp(lambda x, tree, none: (f(x, tree, none), x), lambda x, g: (g, {"a": None, "b": g * x}, None))
    x = np.asarray([1.0, 2.0])
    gx, gtree = grad(total(lambda x, t: f(x, t, None)), (0, 1))(x, {"a": [x, x], "b": x})
    close((gx, gtree), (np.ones(2), {"a": [np.zeros(2), np.zeros(2)], "b": x}))


def test_integer_results_and_arguments(backend: Backend) -> None:
    @custom_vjp
    def top(x: Any, n: Any) -> Any:
        return xp.max(x) * n, xp.argmax(x)

    seen = []

    def bwd(x: Any, g: Any) -> Any:
        seen.append(g[1])
        return xp.where(x == xp.max(x), g[0], xp.zeros_like(x)), None

    top.defvjp(lambda x, n: (top(x, n), x), bwd)

    def loss(x: Any) -> Any:
        value, place = top(x, 2)
        return value * xp.astype(place, value.dtype)

    x = xp.asarray([1.0, 5.0, 3.0, 4.0])
    value, gradient = value_and_grad(loss)(x)
    assert float(value) == 10.0 and host(gradient).tolist() == [0.0, 1.0, 0.0, 0.0]
    assert seen[0].shape == () and float(seen[0]) == 0.0

    @custom_jvp
    def top_jvp(x: Any) -> Any:
        return xp.max(x), xp.argmax(x)

    top_jvp.defjvp(lambda p, t: (top_jvp(*p), (xp.sum(xp.where(p[0] == xp.max(p[0]), t[0], 0.0)), None)))
    (value, place), (moved, still) = jvp(top_jvp, (x,), (x * 2.0,))
    assert (float(value), int(place), float(moved), int(still)) == (5.0, 1, 10.0, 0)
    assert host(grad(lambda x: top_jvp(x)[0])(x)).tolist() == [0.0, 1.0, 0.0, 0.0]


# Arguments by position and keyword, and those without a derivative.


@pytest.mark.parametrize(
    "run", [lambda f: f(2.0, 3.0, 2), lambda f: f(2.0, n=2, y=3.0), lambda f: f(2.0, y=3.0)]
)
def test_keywords_and_defaults_reach_the_rule_by_position(run: Callable[[Fun], Any]) -> None:
    got = []

    def f(x: Any, y: Any, n: int = 2) -> Any:
        return x * y**n

    v = custom_vjp(f)

    def fwd(x: Any, y: Any, n: Any) -> Any:
        got.append((float(y), n))
        return f(x, y, n), (y, n)

    v.defvjp(fwd, lambda residuals, g: (g * residuals[0] ** residuals[1], None, None))
    assert grad(lambda x: run(lambda _, *args, **kwargs: v(x, *args, **kwargs)))(2.0) == 9.0
    j = custom_jvp(f)

    @j.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y, n), (t, *_) = primals, tangents
        got.append((float(y), n))
        return f(x, y, n), t * y**n

    assert grad(lambda x: run(lambda _, *args, **kwargs: j(x, *args, **kwargs)))(2.0) == 9.0
    # A rule for both modes runs once more on the way back, to see whether it is linear.
    assert got == [(3.0, 2)] * 3
    assert run(v) == run(j) == 18.0


def test_keywords_that_have_no_position() -> None:
    @custom_vjp
    def f(x: Any, *, n: int = 2) -> Any:
        return x * n

    f.defvjp(lambda x: (f(x), None), lambda _, g: (2 * g,))
    assert grad(f)(3.0) == 2.0
    with pytest.raises(
        ArgumentError, match=r"custom_vjp of .*f: n can be passed by keyword only, .* without \*"
    ):
        f(3.0, n=2)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        f()


def test_nondiff_argnums(backend: Backend) -> None:
    @functools.partial(custom_vjp, nondiff_argnums=(2, 0))
    def apply(f: Any, x: Any, options: Any, y: Any) -> Any:
        return f(x) * y * options["scale"]

    def fwd(f: Any, x: Any, options: Any, y: Any) -> Any:
        return apply(f, x, options, y), (x, y)

    def bwd(f: Any, options: Any, residuals: Any, g: Any) -> Any:
        x, y = residuals
        assert f is xp.sin and options == {"scale": 2.0}
        return g * xp.cos(x) * y * 2.0, g * xp.sin(x) * 2.0

    apply.defvjp(fwd, bwd)
    x, y = (backend.from_host(np.asarray(a)) for a in ([0.5, 1.0], [3.0, 4.0]))
    found = grad(total(lambda x, y: apply(xp.sin, x, {"scale": 2.0}, y)), (0, 1))(x, y)
    close(found, grad(total(lambda x, y: xp.sin(x) * y * 2.0), (0, 1))(x, y))

    @functools.partial(custom_jvp, nondiff_argnums=0)
    def same(f: Any, x: Any) -> Any:
        return f(x)

    same.defjvp(lambda f, primals, tangents: (same(f, *primals), tangents[0] * xp.cos(primals[0])))
    close(grad(total(lambda x: same(xp.sin, x)))(x), xp.cos(x))
    close(jvp(lambda x: same(xp.sin, x), (x,), (y,)), (xp.sin(x), y * xp.cos(x)))
    close(vmap(grad(lambda x: same(xp.sin, x)))(x), xp.cos(x))


def test_traced_values_in_nondiff_argnums() -> None:
    @functools.partial(custom_vjp, nondiff_argnums=(1,))
    def f(x: Any, y: Any) -> Any:
        return x * y

    f.defvjp(lambda x, y: (f(x, y), None), lambda y, _, g: (g * y,))
    # A constant of the transform will do.
    assert grad(f)(2.0, 3.0) == 3.0
    assert grad(grad(f))(2.0, 3.0) == 0.0
    for run, transform in (
        (lambda: grad(f, 1)(2.0, 3.0), "grad, value_and_grad or vjp"),
        (lambda: jvp(lambda y: f(2.0, y), (3.0,), (1.0,)), "jvp"),
        (lambda: vmap(lambda y: f(2.0, y))(np.ones(3)), "vmap"),
    ):
        with pytest.raises(
            GradientCutError,
            match=rf"custom_vjp of .*: a value traced by {transform} is passed in a position of",
        ):
            run()


def test_methods_can_be_decorated() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = 3.0

        @custom_vjp
        def __call__(self, x: Any) -> Any:
            return x * self.scale

        __call__.defvjp(lambda self, x: (self(x), None), lambda _, g: (None, 7.0 * g))

    assert Model()(2.0 * np.ones(())) == 6.0
    assert grad(Model())(2.0) == 7.0


def test_a_custom_function_looks_like_the_function() -> None:
    f: Any = by_vjp()
    assert (f.__name__, f.__wrapped__) == ("plain", plain)
    assert (bpkit.custom_vjp, bpkit.custom_jvp) == (custom_vjp, custom_jvp)


# What the code of a rule may do.


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


# Mistakes.


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            lambda g: g,
            r"bwd must return a tuple of 2, a cotangent for each .*, as in return \(g,\); it returned an",
        ),
        (lambda g: None, "bwd must return a tuple of 2, .*; it returned None"),
        (lambda g: (g,), "bwd must return a tuple of 2, .*; it returned the tuple"),
        (
            lambda g: (g, [g]),
            r"bwd must return cotangents of the structure of the arguments, .*'w'.*; it returned",
        ),
        (lambda g: (g, {"w": g, "b": None}), "of the structure of the arguments"),
        (
            lambda g: (g, {"w": xp.sum(g)}),
            r"bwd's result\[1\]\['w'\] must be an array of shape \(3,\) and dtype float64, as its argument "
            r"is, or None for zero; it is an array of shape \(\) and dtype float64",
        ),
        (
            lambda g: (xp.astype(g, "float32"), None),
            r"result\[0\] must be .* dtype float64.* and dtype float32",
        ),
        (
            lambda g: (1.0, None),
            r"bwd's result\[0\] must be an array of shape \(3,\).*; it is the float 1\.0",
        ),
        (lambda g: ("g", None), "it is the str 'g'"),
    ],
)
def test_wrong_cotangents(returned: Fun, message: str) -> None:
    @custom_vjp
    def scale(x: Any, p: Any) -> Any:
        return x * p["w"]

    scale.defvjp(lambda x, p: (scale(x, p), None), lambda _, g: returned(g))
    with pytest.raises(ArgumentError, match=r"custom_vjp of .*scale: .*" + message):
        grad(lambda x, p: xp.sum(scale(x, p)), (0, 1))(np.ones(3), {"w": np.ones(3)})


def test_cotangents_of_another_library() -> None:
    strict = pytest.importorskip("array_api_strict")
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (strict.ones(2, dtype=strict.float64),))
    with pytest.raises(MixedBackendsError, match=r"custom_vjp of .*, bwd: .*numpy.*array_api_strict"):
        grad(total(f))(np.ones(2))


def test_a_number_is_a_cotangent_of_an_array_of_no_axes(backend: Backend) -> None:
    f = custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (5,))
    x = xp.asarray(2.0)
    gradient = grad(f)(x)
    assert float(gradient) == 5.0 and gradient.dtype == x.dtype


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x, t: x, r"the rule must return a pair, \(out, tangent\); it returned an array of shape"),
        (lambda x, t: (x, t, t), "the rule must return a pair"),
        (
            lambda x, t: (x, [t]),
            r"a tangent of the structure of the result, .*; it returned PyTreeSpec\(\[\*\]",
        ),
        (
            lambda x, t: ({"a": x}, {"a": xp.sum(t)}),
            r"the rule's tangent\['a'\] must be an array of shape \(3,\) .*; it is an array of shape \(\)",
        ),
        (lambda x, t: (x, xp.astype(t, "float32")), "must be an array .* dtype float64; it is .* float32"),
        (lambda x, t: ("x", t), "the result of the rule must be an array; it is the str 'x'"),
    ],
)
def test_wrong_tangents(returned: Fun, message: str) -> None:
    double = custom_jvp(lambda x: 2.0 * x)
    double.defjvp(lambda primals, tangents: returned(primals[0], tangents[0]))
    for run in (
        lambda f: jvp(f, (np.ones(3),), (np.ones(3),)),
        lambda f: grad(lambda x: xp.sum(f(x)))(np.ones(3)),
        lambda f: vmap(grad(lambda x: xp.sum(f(x))))(np.ones((2, 3))),
    ):
        with pytest.raises(ArgumentError, match=r"custom_jvp of .*: .*" + message):
            run(double)


@pytest.mark.parametrize(
    ("tangent", "numbers"),
    [
        (lambda p, t: t**2, "for tangents of 1 it returned 1, and for tangents of 2 it returned 4, not 2"),
        (
            lambda p, t: xp.cos(p) * t + 1,
            "returned 1.5403, and for tangents of 2 it returned 2.0806, not 3.0806",
        ),
        (lambda p, t: xp.sin(t) * p, "it returned 0.841471, and for .* it returned 0.909297, not 1.68294"),
        # Those that only a tangent below zero finds.
        (
            lambda p, t: xp.abs(t),
            "for tangents of 1 it returned 1, and for tangents of -1 it returned 1, not -1",
        ),
        (lambda p, t: xp.relu(t) * p, "tangents of -1 it returned -?0, not -1"),
    ],
)
def test_rules_that_are_not_linear(backend: Backend, tangent: Fun, numbers: str) -> None:
    f = custom_jvp(xp.sin)
    f.defjvp(lambda primals, tangents: (xp.sin(primals[0]), tangent(primals[0], tangents[0])))
    for dtype in ("float32", "float64"):
        x = backend.from_host(np.asarray([1.0, 1.0], dtype=dtype))
        for run in (grad(total(f)), grad(total(vmap(f)))):
            with pytest.raises(
                ArgumentError,
                match=r"custom_jvp of .*: the rule must be linear in the tangents, .*" + numbers,
            ):
                run(x)


@pytest.mark.parametrize(
    "tangent",
    [
        lambda t: xp.max(t) * xp.ones_like(t),
        lambda t: xp.sign(t[0]) * xp.sqrt(xp.sum(t**2)) + t,
        lambda t: xp.cumulative_sum(xp.sort(t)),
        lambda t: xp.sum(t**3) / xp.sum(t**2) * xp.ones_like(t),
    ],
)
def test_rules_that_are_not_additive(backend: Backend, tangent: Fun) -> None:
    f = custom_jvp(lambda x: x)
    f.defjvp(lambda primals, tangents: (primals[0], tangent(tangents[0])))
    for dtype, n in (("float32", 3), ("float64", 2000)):
        x = backend.from_host(np.linspace(-1.0, 2.0, n).astype(dtype))
        weights = backend.from_host(np.random.default_rng(0).uniform(size=n).astype(dtype))
        for run in (
            grad(lambda x, w=weights: xp.sum(f(x) * w)),
            lambda x, w=weights: vmap(grad(lambda x: xp.sum(f(x) * w)))(x[None, :]),
        ):
            with pytest.raises(
                ArgumentError, match=r"for some random tangents it returned .*, and for .*, not "
            ):
                run(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linear_rules_are_not_taken_for_others(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(5)

    def made(tangent: Fun) -> Fun:
        f = custom_jvp(lambda x: x)
        f.defjvp(lambda primals, tangents: (primals[0], tangent(tangents[0])))
        return f

    for n in (1, 3, 30, 300):
        a, g = (backend.from_host(rng.normal(size=s).astype(dtype)) for s in ((n, n), (n,)))
        large = backend.from_host(10.0 ** rng.uniform(-3, 8, n).astype(dtype))
        rules: list[Fun] = [
            lambda t, a=a: xp.matmul(a, t),
            lambda t: t - xp.mean(t),
            lambda t, c=large: t * c - t * (c - 1.0),
            lambda t, a=a: xp.matmul(a, t) - xp.matmul(a, t + 0.0),
            lambda t, a=a, c=large: xp.linalg.solve(a * c, t),
            lambda t: 0.0 * t,
        ]
        for rule in rules:
            for weights in (g, xp.ones_like(g), xp.zeros_like(g)):
                grad(lambda x, rule=rule, w=weights: xp.sum(made(rule)(x) * w))(g)


def test_linear_rules_of_complex_numbers_and_infinite_ones() -> None:
    f = custom_jvp(lambda z: z)
    f.defjvp(lambda primals, tangents: (primals[0], xp.conj(tangents[0]) * (2 + 1j) + 3j * tangents[0]))
    z = np.asarray([1 + 2j, 3 - 1j])
    pullback = bpkit.vjp(f, z)[1]
    np.testing.assert_allclose(pullback(z)[0], np.conj(z * (2 + 1j)) + 3j * z, rtol=1e-15)
    f = custom_jvp(xp.sqrt)
    f.defjvp(lambda primals, tangents: (xp.sqrt(primals[0]), tangents[0] / (2 * xp.sqrt(primals[0]))))
    with np.errstate(divide="ignore"):
        assert grad(total(f))(np.asarray([0.0, 4.0])).tolist() == [np.inf, 0.25]


def test_wrong_results() -> None:
    f = custom_vjp(lambda x: {"a": x, "n": 3})
    # Without a derivative it may return anything.
    f.defvjp(lambda x: x, lambda _, g: (g,))
    with pytest.raises(
        ArgumentError, match=r"fwd must return a pair, \(out, residuals\); it returned an array"
    ):
        grad(f)(1.0)
    f.defvjp(lambda x: (float(x), None), lambda _, g: (g,))
    with pytest.raises(ArgumentError, match=r"the result of fwd must be an array; it is the float 1\.0"):
        grad(f)(1.0)


def test_functions_without_a_rule() -> None:
    for make, advice in ((custom_vjp, r"f\.defvjp\(fwd, bwd\)"), (custom_jvp, r"f\.defjvps\(\*rules\)")):
        with pytest.raises(
            ArgumentError, match=rf"{make.__name__} of plain: it has no rule yet\. .*{advice}"
        ):
            make(plain)(1.0, 2.0)
        with pytest.raises(ArgumentError, match="the first argument must be a function; it is the float"):
            make(3.0)
        for wrong in (-1, (0, 0), ("x",)):
            with pytest.raises(
                ArgumentError, match=r"nondiff_argnums must be positions of arguments, .*; it is"
            ):
                make(plain, nondiff_argnums=wrong)
    with pytest.raises(ArgumentError, match="bwd must be a function; it is None"):
        custom_vjp(plain).defvjp(plain, None)
    with pytest.raises(ArgumentError, match="the rule must be a function; it is None"):
        custom_jvp(plain).defjvp(None)
    with pytest.raises(ArgumentError, match="defjvps takes functions and None; it got"):
        custom_jvp(plain).defjvps(3)
    with pytest.raises(ArgumentError, match="defjvps is not for functions with nondiff_argnums; use defjvp"):
        custom_jvp(plain, nondiff_argnums=0).defjvps(None)
    f = custom_jvp(plain)
    f.defjvps(lambda t, out, x, y: t)
    with pytest.raises(ArgumentError, match="defjvps got 1 rules, and the call has 2 arguments"):
        grad(f)(1.0, 2.0)
    g = custom_vjp(plain, nondiff_argnums=3)
    g.defvjp(plain, plain)
    with pytest.raises(ArgumentError, match="nondiff_argnums has 3, and the call has 2 arguments"):
        g(1.0, 2.0)


def test_forward_mode_of_a_rule_for_reverse_mode() -> None:
    f = by_vjp()
    x = np.asarray(0.5)
    for run in (
        lambda: jvp(f, (x, x), (x, x)),
        lambda: vmap(lambda x: jvp(lambda y: f(x, y), (x,), (x,)))(np.ones(2)),
        lambda: jvp(vmap(f), (np.ones(2), np.ones(2)), (np.ones(2), np.ones(2))),
        lambda: grad(lambda x: jvp(lambda y: f(x, y), (x,), (x,))[1])(x),
    ):
        with pytest.raises(
            NotDifferentiableError,
            match=r"custom_vjp of plain: forward mode .* bpkit\.custom_jvp, which serves both",
        ):
            run()


def test_a_closed_over_value_is_refused() -> None:
    """The gradient that it should get is nowhere in the rule."""

    def make_vjp(w: Any) -> Fun:
        f = custom_vjp(lambda x: x * w)
        f.defvjp(lambda x: (x * w, None), lambda _, g: (g,))
        return f

    def in_residuals(w: Any) -> Fun:
        f = custom_vjp(lambda x: x * 2.0)
        f.defvjp(lambda x: (x * 2.0, w), lambda w, g: (g * w,))
        return f

    def make_jvp(w: Any) -> Fun:
        f = custom_jvp(lambda x: x * w)
        f.defjvp(lambda p, t: (p[0] * w, t[0]))
        return f

    def in_tangent(w: Any) -> Fun:
        f = custom_jvp(lambda x: x * 2.0)
        f.defjvp(lambda p, t: (p[0] * 2.0, t[0] * w))
        return f

    message = (
        r"custom_(vjp|jvp) of .*depends on a value that is traced by .* and is no argument .* Pass the value"
    )
    for make in (make_vjp, in_residuals, make_jvp, in_tangent):
        for run in (
            lambda m=make: grad(lambda w, x: m(w)(x), (0, 1))(2.0, 3.0),
            lambda m=make: grad(lambda w: vmap(grad(m(w)))(np.ones(2))[0])(2.0),
        ):
            with pytest.raises(GradientCutError, match=message):
                run()
    for make in (make_vjp, make_jvp):
        for run in (
            lambda m=make: grad(lambda w: m(w)(np.asarray(3.0)))(2.0),
            lambda m=make: grad(lambda w: xp.sum(vmap(m(w))(np.ones(2))))(2.0),
            lambda m=make: jvp(lambda w: m(w)(np.asarray(3.0)), (2.0,), (1.0,)),
            lambda m=make: vmap(lambda w, x: m(w)(x))(np.ones(2), np.ones(2)),
        ):
            with pytest.raises(GradientCutError, match=message):
                run()
    for make in (make_jvp, in_tangent):
        with pytest.raises(GradientCutError, match=message):
            jvp(lambda w, x, m=make: m(w)(x), (2.0, 3.0), (1.0, 1.0))
    # What is not differentiated may be closed over, also where it is a constant of the transform or a batch.
    assert grad(lambda x, w: make_vjp(w)(x))(3.0, 2.0) == 1.0
    assert grad(lambda x, w: in_residuals(w)(x))(3.0, 2.0) == 2.0
    assert grad(lambda x, w: in_tangent(w)(x))(3.0, 2.0) == 2.0
    np.testing.assert_array_equal(
        vmap(lambda w: grad(in_residuals(w))(1.0))(np.asarray([2.0, 5.0])), [2.0, 5.0]
    )
    np.testing.assert_array_equal(
        vmap(lambda w: grad(in_tangent(w))(1.0))(np.asarray([2.0, 5.0])), [2.0, 5.0]
    )


def test_a_value_used_on_the_way_back_has_left_its_transform() -> None:
    def loss(w: Any, x: Any) -> Any:
        f = custom_vjp(lambda x: x * 2.0)
        f.defvjp(lambda x: (x * 2.0, None), lambda _, g: (g * w,))
        return f(x)

    with pytest.raises(LeakedArrayError, match="was traced by grad"):
        grad(loss, (0, 1))(2.0, 3.0)
    # One level further out the code of bwd is differentiated as code.
    assert grad(lambda w: grad(lambda x: loss(w, x))(3.0))(2.0) == 1.0


def test_an_argument_that_has_left_its_transform() -> None:
    kept = []

    def keeping(x: Any) -> Any:
        kept.append(x)
        return x

    grad(keeping)(1.0)
    with pytest.raises(LeakedArrayError, match=r"custom_vjp of plain: an argument was traced by grad"):
        by_vjp()(kept[0], 1.0)


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
