"""Levels of transforms: nesting, what may leave them, threads, and graphs too deep or too large."""

import gc
import math
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

from bpkit import backward, grad, jvp, stop_gradient, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend, Capability
from bpkit.array import Array
from bpkit.errors import BackendError, LeakedArrayError, NoSuchFunctionError
from bpkit.graph import Node
from bpkit.kinds import raw
from bpkit.registry import backend_of, get_backend
from bpkit.trace import call

Scalar = Callable[[Any], Any]
Transform = Callable[[Scalar], Scalar]


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def forward_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function by forward mode."""
    return lambda x: jvp(f, (x,), (1.0,))[1]


def pulled_grad(f: Scalar) -> Scalar:
    """The derivative of a scalar function by vjp."""
    return lambda x: vjp(f, x)[1](1.0)[0]


MODES: tuple[Transform, ...] = (grad, forward_grad, pulled_grad)

PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "multiply": lambda a, x: a * x,
    "divide": lambda a, x: a / x,
    "exp": lambda a, x: xp.exp(x),
    "vector @ vector": xp.matmul,
    "matrix @ vector": lambda a, x: xp.matmul(a[:, None] * a, x),
    "vector @ matrix": lambda a, x: xp.matmul(a, x[:, None] * a),
    "where": lambda a, x: xp.where(a > 1.5, x * x, a),
    "prod": lambda a, x: xp.prod(x * a),
    "cumulative_sum": lambda a, x: xp.cumulative_sum(x * a),
    "var": lambda a, x: xp.var(x * a),
    "inv": lambda a, x: xp.linalg.inv(5.0 * xp.eye(3) + x[:, None] * a)[0, :],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_a_jacobian_of_plain_arrays_are_linear_maps(backend: Backend, name: str) -> None:
    # Here only cotangents and tangents are traced, and rules meet plain arrays.
    a = xp.asarray([1.0, 2.0, 4.0])

    def f(x: Any) -> Any:
        return PRODUCTS[name](xp.stop_gradient(x) * 0.0 + a if backend.name == "array_api_strict" else a, x)

    x, v = xp.asarray([3.0, 2.0, 1.0]), xp.asarray([0.5, -1.0, 2.0])
    out, pullback = vjp(f, x)
    expected = host(jvp(f, (x,), (v,))[1])
    back = grad(lambda g: xp.sum(pullback(g)[0] * v))(xp.ones_like(out))
    np.testing.assert_allclose(host(back), expected, rtol=1e-5)
    along = grad(lambda t: xp.sum(jvp(f, (x,), (t,))[1]))(v)
    np.testing.assert_allclose(host(along), host(pullback(xp.ones_like(out))[0]), rtol=1e-5)


# What may leave a transform.


def test_a_value_kept_in_a_global_is_refused(backend: Backend) -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 2.0)
        return xp.sum(x)

    x = xp.asarray([1.0, 2.0])
    grad(f)(x)
    with pytest.raises(
        LeakedArrayError, match=r"kept .* and used later; return it from the function instead"
    ):
        kept[0] + 1.0
    jvp(f, (x,), (x,))
    vjp(f, x)
    for leaked in kept:
        for use in (
            lambda y: grad(lambda t: xp.sum(t * y))(x),
            lambda y: jvp(lambda t: t * y, (x,), (x,)),
            lambda y: y[0],
            lambda y: y @ x,
            grad(xp.sum),
        ):
            with pytest.raises(LeakedArrayError):
                use(leaked)


def test_constants_of_a_transform_outlive_it(backend: Backend) -> None:
    # Nothing flows through them, so a function that was made inside may use them.
    kept: list[Any] = []

    def f(x: Any, scale: Any) -> Any:
        kept.append(scale * 3.0 if x.shape == () else stop_gradient(x) * 0.0 + scale * 3.0)
        return xp.sum(x * scale)

    x, scale = xp.asarray([1.0, 2.0]), xp.asarray([2.0, 5.0])
    for transform in (grad(f), lambda x, s: jvp(lambda x: f(x, s), (x,), (x,)), vmap(f, in_axes=(0, None))):
        kept.clear()
        transform(x, scale)
        constant = kept[0]
        total = grad(lambda y, c=constant: xp.sum(y * c))(x)
        assert backend.to_host(total).tolist() == [6.0, 15.0]
        assert float(xp.sum(constant)) == 21.0
    grad(f)(x, scale)
    if Capability.IN_PLACE in backend.capabilities:
        with pytest.raises(LeakedArrayError, match=r"in-place add: x was traced by grad"):
            kept[-1] += 1.0


@pytest.mark.parametrize("where", ["loss", "aux", "vjp", "jvp"])
def test_a_leaked_value_in_a_result_is_refused(where: str) -> None:
    cache: list[Any] = []

    def f(x: Any) -> Any:
        if not cache:
            cache.append(x * x)
        return (x, {"cached": cache[0]}) if where == "aux" else cache[0]

    transforms: dict[str, Scalar] = {
        "loss": grad(f),
        "aux": grad(f, has_aux=True),
        "vjp": lambda x: vjp(f, x),
        "jvp": lambda x: jvp(f, (x,), (1.0,)),
    }
    transforms[where](2.0)
    with pytest.raises(LeakedArrayError, match="a value in the result was traced by"):
        transforms[where](3.0)


def test_an_inner_value_in_the_outer_result_is_refused() -> None:
    kept: list[Any] = []

    def inner(y: Any) -> Any:
        kept.append(y * y)
        return y

    def f(x: Any) -> Any:
        grad(inner)(x)
        return kept[-1]

    with pytest.raises(LeakedArrayError):
        grad(f)(2.0)


def test_a_generator_that_runs_on_after_its_transform_is_refused() -> None:
    def powers(x: Any) -> Iterator[Any]:
        y = x
        while True:
            yield y
            y = y * x

    def f(x: Any) -> Any:
        generator = powers(x)
        total = next(generator) + next(generator) + next(generator)
        return total, generator

    gradient, generator = grad(f, has_aux=True)(2.0)
    assert float(gradient) == 1 + 4 + 12
    with pytest.raises(LeakedArrayError):
        next(generator)


def test_an_exception_ends_its_transform_and_no_other() -> None:
    kept: list[Any] = []

    def fails(x: Any) -> Any:
        kept.append(x)
        raise KeyError("no such key")

    def f(x: Any) -> Any:
        for transform in MODES:
            with pytest.raises(KeyError):
                transform(fails)(x)
        return x * x

    assert float(grad(f)(3.0)) == 6.0
    assert float(forward_grad(f)(3.0)) == 6.0
    for leaked in kept:
        with pytest.raises(LeakedArrayError):
            leaked + 1.0


def test_what_a_pullback_keeps_belongs_to_the_outer_transform() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        _, pullback = vjp(lambda y: x * y * y, x)
        kept.append(pullback)
        return pullback(1.0)[0]

    assert float(grad(f)(3.0)) == 12.0
    with pytest.raises(LeakedArrayError):
        kept[0](1.0)


def test_in_place_changes_do_not_reach_what_an_inner_graph_keeps() -> None:
    def f(x: Any) -> Any:
        x = x * 1.0
        _, by_closure = vjp(lambda y: xp.sum(y * x), np.asarray([1.0, 1.0]))
        _, by_argument = vjp(lambda y: xp.sum(y * y), x)
        out, by_result = vjp(xp.exp, x)
        kept = out * 1.0
        x += 5.0
        out *= 100.0
        (g1,), (g2,), (g3,) = by_closure(1.0), by_argument(1.0), by_result(xp.ones(2))
        return xp.sum(g1 * g1) + xp.sum(g2) + xp.sum(g3 - kept)

    x = np.asarray([1.0, 2.0])
    value, gradient = value_and_grad(f)(x)
    assert value == pytest.approx(np.sum(x * x) + np.sum(2 * x))
    np.testing.assert_allclose(gradient, 2 * x + 2)


# stop_gradient.


def test_stop_gradient_stops_every_level() -> None:
    assert float(grad(grad(lambda x: stop_gradient(x) * x * x))(3.0)) == 6.0
    assert float(grad(lambda x: grad(lambda y: stop_gradient(x * y) * y)(x))(3.0)) == 0.0
    assert float(grad(lambda x: grad(lambda y: x * stop_gradient(y) * y)(x))(3.0)) == 3.0
    assert float(grad(lambda x: jvp(lambda y: stop_gradient(y) * x, (x,), (1.0,))[1] + x)(3.0)) == 1.0
    assert float(jvp(lambda x: grad(lambda y: y * stop_gradient(x))(x), (3.0,), (1.0,))[1]) == 0.0
    assert float(grad(lambda x: x * stop_gradient(grad(lambda y: y * y * x)(x)))(3.0)) == 18.0


def test_stop_gradient_takes_trees_and_leaves_the_rest_alone() -> None:
    def f(p: Any) -> Any:
        stopped = stop_gradient({**p, "name": "relu", "n": 3})
        assert (stopped["name"], stopped["n"]) == ("relu", 3)
        return p["w"] * stopped["w"] + stopped["b"][0]

    gradient = grad(f)({"w": 2.0, "b": [1.0, None]})
    assert (float(gradient["w"]), float(gradient["b"][0]), gradient["b"][1]) == (2.0, 0.0, None)
    x = np.ones(3)
    np.testing.assert_array_equal(stop_gradient(x), x)


# Threads and contexts.


def test_threads_do_not_see_each_other() -> None:
    libraries = []
    for name in ("numpy", "torch", "jax", "array_api_strict"):
        try:
            backend = get_backend(name)
            if Capability.FLOAT64 in backend.capabilities:
                libraries.append(backend)
        except BackendError:
            continue
    barrier = threading.Barrier(8)

    def work(number: int) -> list[str]:
        backend = libraries[number % len(libraries)]
        mode = MODES[number % 3]
        barrier.wait(timeout=60)
        wrong = []
        for k in range(25 if backend.name == "jax" else 200):
            x = backend.from_host(np.asarray(0.5 + number + 0.01 * k))
            first = mode(lambda y: y * xp.sin(y))(x)
            second = grad(mode(lambda y: y * xp.sin(y)))(x)
            v = float(x)
            exact = (math.sin(v) + v * math.cos(v), 2 * math.cos(v) - v * math.sin(v))
            if (float(first), float(second)) != pytest.approx(exact, rel=1e-12):
                wrong.append(f"{backend.name} {v}: {first}, {second} and not {exact}")
            if backend_of(second) is not backend:
                wrong.append(f"{backend.name} gave {type(second)}")
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [line for lines in pool.map(work, range(8)) for line in lines] == []


@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_a_transform_in_a_thread_that_the_function_starts_is_inner(
    inner: Transform, outer: Transform
) -> None:
    def f(x: Any) -> Any:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda n: inner(lambda y: x * y**n)(x), (2, 3))
        return first * second

    assert float(outer(f)(2.0)) == pytest.approx(5 * 6 * 2.0**4)


def test_contexts_can_be_copied_inside_a_transform() -> None:
    def f(x: Any) -> Any:
        inner = grad(lambda y: x * y * y)
        return x * copy_context().run(inner, x)

    assert float(grad(f)(2.0)) == 24.0
    assert float(copy_context().run(grad(f), 2.0)) == 24.0


# Deep and large graphs.


def living_nodes() -> int:
    return sum(type(x) is Node for x in gc.get_objects())


def test_nothing_of_the_graph_lives_on() -> None:
    def f(x: Any) -> Any:
        y = xp.sin(x) * x
        return xp.sum(y * y), y

    x = np.ones(3)
    gc.collect()
    before = living_nodes()
    gc.disable()  # Counting references must do: a graph is no cycle.
    try:
        value, gradient = value_and_grad(f, has_aux=True)(x)
        assert living_nodes() == before
        second = grad(lambda t: xp.sum(grad(lambda u: f(u)[0])(t)))(x)
        assert living_nodes() == before
        tangent = jvp(grad(lambda u: f(u)[0]), (x,), (x,))
        assert living_nodes() == before
        _, pullback = vjp(f, x)
        assert living_nodes() > before
        pullback((1.0, x))
        del pullback
        assert living_nodes() == before
    finally:
        gc.enable()
    assert (value[0], gradient.shape, second.shape, len(tangent)) == (pytest.approx(value[0]), (3,), (3,), 2)


def test_nodes_let_go_while_the_gradient_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[Any]] = []
    alive: list[int] = []
    accumulate = backward._accumulate

    def spy(*arguments: Any) -> None:
        alive.append(sum(reference() is not None for reference in kept))
        accumulate(*arguments)

    def f(x: Any) -> Any:
        for _ in range(20):
            x = xp.tanh(x)
            kept.append(weakref.ref(raw(x)))
        return xp.sum(x)

    monkeypatch.setattr(backward, "_accumulate", spy)
    grad(f)(np.ones(3))
    assert alive[0] == 20
    assert alive == sorted(alive, reverse=True)
    assert alive[-1] <= 1


def peak_bytes(function: Callable[[], Any]) -> int:
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_what_the_derivatives_need() -> None:
    x = np.full(1 << 17, 0.5)  # 1 MiB

    def chain(step: Callable[[Any], Any]) -> Callable[[], Any]:
        def loss(y: Any) -> Any:
            for _ in range(30):
                y = step(y)
            return xp.sum(y)

        return lambda: grad(loss)(x)

    # tanh keeps its result, and adding and scaling by a number keep nothing.
    assert 30 <= peak_bytes(chain(xp.tanh)) / x.nbytes < 34
    assert peak_bytes(chain(lambda y: y * 2.0 + 1.0)) / x.nbytes < 5


def test_a_graph_in_the_shape_of_a_ladder_takes_linear_time() -> None:
    calls = 0

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x + x

    def f(x: Any) -> Any:
        for _ in range(200):
            x = counted(x)
        return x

    value, gradient = value_and_grad(f)(1.0)
    assert float(value) == float(gradient) == 2.0**200
    assert calls == 200


def test_a_traced_value_knows_its_level_only() -> None:
    seen: list[Any] = []

    def inner(y: Any) -> Any:
        seen.append(y)
        return y

    def outer(x: Any) -> Any:
        seen.append(x)
        grad(inner)(x)
        grad(inner)(1.0)
        return x

    grad(outer)(2.0)
    x, y, z = seen
    assert isinstance(y._value, Array) and y._value._trace is x._trace
    assert not isinstance(z._value, Array)
    assert x._trace.level < y._trace.level < z._trace.level


def test_a_function_that_the_library_lacks_is_named() -> None:
    with pytest.raises(NoSuchFunctionError, match=r"linalg\.no_such: numpy \d.* has no such function\. Run"):
        call("linalg.no_such", np.ones(2))
