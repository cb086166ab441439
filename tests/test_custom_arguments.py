"""What custom functions take and return: trees, keywords, settings, methods."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_custom import Fun, by_vjp, close, host, plain, total  # type: ignore[import-not-found]

import bpkit
from bpkit import custom_jvp, custom_vjp, grad, jvp, tree, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.kinds import raw


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
