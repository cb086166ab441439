"""checkpoint: the same derivatives as without it, from a second run instead of from memory."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from bpkit import checkpoint, grad, jvp, nn, random, stop_gradient, vjp, vmap, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, TraceError
from bpkit.graph import Node
from bpkit.registry import use_backend

X = np.asarray([0.3, -0.7, 1.1])
W = np.asarray([0.9, 0.4, -0.6])


def bend(x: Any, w: Any) -> Any:
    for _ in range(3):
        x = xp.sin(x * w) + 0.5 * x
    return x


def both(x: Any, w: Any) -> Any:
    inner = checkpoint(bend)
    return checkpoint(lambda x, w: inner(inner(x, w), w))(x, w)


def chained(segment: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, w: xp.sum((segment(segment(x, w), w + 0.5) + x * w) ** 2)


PLAIN = chained(lambda x, w: bend(bend(x, w), w))
CHECKPOINTED = {
    "one": chained(checkpoint(lambda x, w: bend(bend(x, w), w))),
    "each": chained(lambda x, w: checkpoint(bend)(checkpoint(bend)(x, w), w)),
    "nested": chained(both),
    "twice": chained(checkpoint(checkpoint(lambda x, w: bend(bend(x, w), w)))),
    "all": checkpoint(PLAIN),
    "captured": lambda x, w: checkpoint(lambda: PLAIN(x, w))(),
}

Maker = Callable[[Callable[..., Any]], Callable[..., Any]]
OF: dict[str, Maker] = {
    "value": lambda f: f,
    "grad": lambda f: grad(f, (0, 1)),
    "vjp": lambda f: lambda x, w: vjp(f, x, w)[1](2.0),
    "jvp": lambda f: lambda x, w: jvp(f, (x, w), (w, x)),
    "grad of grad": lambda f: grad(lambda x, w: xp.sum(grad(f)(x, w) ** 2), (0, 1)),
    "third order": lambda f: grad(
        lambda x, w: xp.sum(grad(lambda x, w: xp.sum(grad(f)(x, w) ** 2))(x, w) * w), (0, 1)
    ),
    "jvp of grad": lambda f: lambda x, w: jvp(grad(f, (0, 1)), (x, w), (w, x)),
    "grad of jvp": lambda f: grad(lambda x, w: jvp(f, (x, w), (w, x * w))[1], (0, 1)),
    "grad of vjp": lambda f: grad(lambda x, w: xp.sum(vjp(f, x, w)[1](x[0])[1]), (0, 1)),
    "checkpoint of grad": lambda f: grad(lambda x, w: xp.sum(checkpoint(grad(f))(x, w) ** 2), (0, 1)),
    "vmap of grad": lambda f: lambda x, w: vmap(grad(f, (0, 1)), (0, None))(xp.stack([x, w, x * w]), w),
    "grad of vmap": lambda f: grad(
        lambda x, w: xp.sum(vmap(f, (0, None))(xp.stack([x, w, x * w]), w) ** 2), (0, 1)
    ),
    "grad of vmap of grad": lambda f: grad(
        lambda x, w: xp.sum(vmap(grad(f), (0, None))(xp.stack([x, w, x * w]), w) ** 2), (0, 1)
    ),
    "grad of jvp of vmap": lambda f: grad(
        lambda x, w: xp.sum(jvp(lambda x: vmap(f, (0, None))(xp.stack([x, w]), w), (x,), (w,))[1]), (0, 1)
    ),
}


def double(backend: Backend) -> tuple[Any, Any, float]:
    """The two arguments and a tolerance."""
    if Capability.FLOAT64 in backend.capabilities:
        return backend.from_host(X), backend.from_host(W), 1e-11
    return backend.from_host(X.astype(np.float32)), backend.from_host(W.astype(np.float32)), 1e-3


def assert_close(backend: Backend, found: Any, expected: Any, rtol: float) -> None:
    if isinstance(expected, tuple):
        assert isinstance(found, tuple) and len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            assert_close(backend, x, y, rtol)
        return
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(backend.to_host(found), backend.to_host(expected), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("of", OF)
@pytest.mark.parametrize("name", CHECKPOINTED)
def test_derivatives_are_those_of_the_function(backend: Backend, name: str, of: str) -> None:
    x, w, rtol = double(backend)
    make = OF[of]
    assert_close(backend, make(CHECKPOINTED[name])(x, w), make(PLAIN)(x, w), rtol)


def test_gradients_agree_with_finite_differences() -> None:
    f = CHECKPOINTED["nested"]
    gradient = grad(f)(X, W)
    h = 1e-6
    slopes = [(f(X + h * e, W) - f(X - h * e, W)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(gradient, slopes, atol=1e-9)


def test_gradients_agree_with_torch_and_jax() -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    found = grad(chained(checkpoint(bend)), (0, 1))(X, W)

    def written_for(sin: Callable[..., Any]) -> Callable[..., Any]:
        def segment(x: Any, w: Any) -> Any:
            for _ in range(3):
                x = sin(x * w) + 0.5 * x
            return x

        return segment

    leaves = [torch.asarray(z).clone().requires_grad_() for z in (X, W)]
    recompute = partial(torch.utils.checkpoint.checkpoint, written_for(torch.sin), use_reentrant=False)
    ((recompute(recompute(*leaves), leaves[1] + 0.5) + leaves[0] * leaves[1]) ** 2).sum().backward()
    for g, leaf in zip(found, leaves, strict=True):
        np.testing.assert_allclose(g, leaf.grad, rtol=1e-12)
    segment = jax.checkpoint(written_for(jax.numpy.sin))
    with jax.enable_x64(True):
        expected = jax.grad(lambda x, w: ((segment(segment(x, w), w + 0.5) + x * w) ** 2).sum(), (0, 1))(X, W)
    for g, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12)


# When it runs.


def counted(calls: list[str], name: str, fun: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        calls.append(name)
        return fun(*args)

    return run


def test_it_runs_again_once_for_each_backward_pass() -> None:
    calls: list[str] = []
    # Two arguments and two results: still one second run.
    f = checkpoint(counted(calls, "f", lambda x, w: (xp.sin(x * w), x / w)))
    f(X, W)
    jvp(f, (X, W), (W, X))
    assert calls == ["f", "f"], "no gradient, no second run"
    calls.clear()
    grad(lambda x, w: xp.sum(f(x, w)[0] * f(x, w)[1]), (0, 1))(X, W)
    assert calls == ["f"] * 4
    calls.clear()
    _, pullback = vjp(f, X, W)
    assert calls == ["f"]
    for n in range(3):
        pullback((X, W))
        assert calls == ["f"] * (n + 2)
    calls.clear()
    grad(lambda x: xp.sum(x * stop_gradient(f(x, W)[0])))(X)
    assert calls == ["f"], "nothing arrives"


def test_nested_checkpoints_run_again_for_each_level() -> None:
    calls: list[str] = []
    leaf = checkpoint(counted(calls, "leaf", xp.sin))
    middle = checkpoint(counted(calls, "middle", lambda x: leaf(leaf(x))))
    outer = checkpoint(counted(calls, "outer", lambda x: middle(middle(x))))
    found = grad(lambda x: xp.sum(outer(x)))(X)
    expected = grad(lambda x: xp.sum(xp.sin(xp.sin(xp.sin(xp.sin(x))))))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert (calls.count("outer"), calls.count("middle"), calls.count("leaf")) == (2, 6, 16)


def living_nodes() -> int:
    return sum(type(x) is Node for x in gc.get_objects())


def test_values_inside_are_not_kept() -> None:
    alive: list[int] = []

    def long(x: Any) -> Any:
        for _ in range(100):
            x = xp.sin(x)
        return x

    def measured(segment: Callable[..., Any]) -> Callable[..., Any]:
        def loss(x: Any) -> Any:
            gc.collect()
            before = living_nodes()
            for _ in range(5):
                x = segment(x)
            gc.collect()
            alive.append(living_nodes() - before)
            return xp.sum(x)

        return loss

    for of in (grad, lambda f: grad(lambda x: xp.sum(grad(f)(x)))):
        alive.clear()
        plain = of(measured(long))(X)
        again = of(measured(checkpoint(long)))(X)
        np.testing.assert_allclose(again, plain, rtol=1e-12)
        assert alive[0] >= 500
        assert alive[1] < 60
    # The view holds the array that it was taken from, but not how that was computed.
    alive.clear()
    grad(measured(checkpoint(lambda x: xp.stack([long(x), x])[0])))(X)
    assert alive[0] < 60


def test_second_order_keeps_no_values_either() -> None:
    alive: list[int] = []

    def long(x: Any) -> Any:
        for _ in range(100):
            x = xp.sin(x)
        return x

    def measured(segment: Callable[..., Any]) -> Callable[..., Any]:
        def squared(x: Any) -> Any:
            gradient = grad(lambda x: xp.sum(segment(segment(segment(x)))))(x)
            gc.collect()
            alive.append(living_nodes())
            return xp.sum(gradient**2)

        return squared

    gc.collect()
    before = living_nodes()
    np.testing.assert_allclose(grad(measured(checkpoint(long)))(X), grad(measured(long))(X), rtol=1e-10)
    again, plain = (count - before for count in alive)
    assert plain >= 900
    assert again < 100


# Arguments and results.


class Pair(NamedTuple):
    first: Any
    second: Any


def test_trees_keywords_and_what_is_no_array(backend: Backend) -> None:
    x, w, rtol = double(backend)

    def f(pair: Any, n: int, *, table: Any, name: str, power: Any = 2) -> Any:
        assert (n, name) == (3, "f")
        return {
            "sum": [pair.first * table["w"] ** power, n],
            "pair": Pair(xp.sin(pair.second), None),
            "name": name,
            "index": xp.argmax(pair.first),
            "flag": pair.first > 0.0,
            "whole": xp.astype(pair.second, xp.int32),
        }

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, w: Any) -> Any:
            out = function(Pair(x, w), 3, table={"w": w}, name="f")
            assert type(out["pair"]) is Pair and out["pair"].second is None
            assert (out["sum"][1], out["name"]) == (3, "f")
            kept = xp.where(out["flag"], out["sum"][0], 0.0)
            return xp.sum(kept * out["pair"].first + xp.astype(out["whole"], x.dtype)) + x[out["index"]]

        return run

    for of in (OF["grad"], OF["grad of grad"]):
        assert_close(backend, of(loss(checkpoint(f)))(x, w), of(loss(f))(x, w), rtol)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x, w: (x, w, x), id="arguments"),
        pytest.param(lambda x, w: [(y := x * w), y, y], id="one result three times"),
        pytest.param(lambda x, w: (x * w, stop_gradient(x), xp.ones(3)), id="constants"),
        pytest.param(lambda x, w: (w, xp.sin(w), x * 0.0), id="some"),
    ],
)
def test_results_that_are_arguments_constants_or_each_other(function: Callable[..., Any]) -> None:
    def loss(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, w: xp.sum(f(x, w)[0] * f(x, w)[1] + f(x, w)[2] ** 2)

    for of in (OF["grad"], OF["grad of grad"]):
        for found, expected in zip(
            of(loss(checkpoint(function)))(X, W), of(loss(function))(X, W), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_arrays_that_are_not_differentiated(backend: Backend) -> None:
    x, w, rtol = double(backend)
    matrix = xp.stack([w, x, w * x])

    def f(x: Any, matrix: Any, rows: Any) -> Any:
        return xp.take(xp.matmul(matrix, xp.sin(x)), rows)

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        rows = xp.asarray([0, 2, 2])
        # Raw arrays and, from xp, arrays that depend on nothing.
        return lambda x, w: xp.sum(function(x * w, matrix, rows) + function(x, xp.asarray(matrix), rows) ** 2)

    assert_close(backend, grad(loss(checkpoint(f)), (0, 1))(x, w), grad(loss(f), (0, 1))(x, w), rtol)


def test_it_is_a_decorator_and_looks_like_the_function() -> None:
    @checkpoint
    def layer(x: Any) -> Any:
        """A layer."""
        return xp.tanh(x)

    assert (layer.__name__, layer.__doc__) == ("layer", "A layer.")
    np.testing.assert_allclose(grad(lambda x: xp.sum(layer(x)))(X), 1 - np.tanh(X) ** 2, rtol=1e-14)
    with pytest.raises(ArgumentError, match=r"^checkpoint: the first argument must be a function; it is"):
        checkpoint(3.0)


def test_a_model_is_a_function(backend: Backend) -> None:
    x, _, _ = double(backend)
    model = nn.Sequential(nn.Dense(3, 8, key=random.key(0)), nn.tanh, nn.Dense(8, 1, key=random.key(1)))

    def loss(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        return lambda model, x: xp.sum(wrapped(model)(x[None, :]) ** 2)

    x = xp.astype(x, xp.float32)
    found, expected = grad(loss(checkpoint))(model, x), grad(loss(lambda model: model))(model, x)
    assert_close(backend, found[0].weight, expected[0].weight, 1e-6)
    assert_close(backend, found[2].bias, expected[2].bias, 1e-6)


# What the function captures.


def test_gradients_flow_to_what_is_captured(backend: Backend) -> None:
    x, w, rtol = double(backend)

    def loss(wrap: Maker) -> Callable[..., Any]:
        def run(w: Any) -> Any:
            params = {"w": w, "b": w * w}
            layer = lambda y: xp.sin(xp.matmul(y, w)) * params["w"] + params["b"]  # noqa: E731
            return xp.sum(wrap(layer)(wrap(layer)(x)) ** 2)

        return run

    for of in (grad, lambda f: grad(lambda w: xp.sum(grad(f)(w) ** 2))):
        assert_close(backend, of(loss(checkpoint))(w), of(loss(lambda f: f))(w), rtol)


def test_captured_variables_are_those_of_the_call() -> None:
    def run(wrap: Maker, x: Any) -> Any:
        t, scale, buffer = 0.5, x, np.zeros(3)

        def helper(y: Any) -> Any:
            return y * t

        for k in range(1, 4):

            def segment(y: Any, shift: Any = scale) -> Any:
                return xp.sin(helper(y) * scale) * k + shift * buffer  # noqa: B023

            x = wrap(segment)(x)
            x = wrap(partial(segment, shift=t))(x)
            x = wrap(lambda: helper(x) + 1.0)()  # noqa: B023
            # Assigned to and written to before the gradient arrives.
            t = t * 1.5 + x[0]
            scale += x
            buffer[k - 1] = k
        return xp.sum(x)

    for of in (grad, lambda f: grad(lambda x: xp.sum(grad(f)(x) ** 2))):
        found, expected = of(partial(run, checkpoint))(X + 0), of(partial(run, lambda f: f))(X + 0)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_functions_that_capture_themselves_each_other_and_nothing_yet() -> None:
    def run(wrap: Maker, x: Any) -> Any:
        def even(y: Any, n: int) -> Any:
            return y if n == 0 else xp.sin(odd(y, n - 1)) * x

        def odd(y: Any, n: int) -> Any:
            return xp.cos(even(y, n - 1)) if n else later

        out = wrap(even)(x, 4)
        later = None
        return xp.sum(out)

    np.testing.assert_allclose(
        grad(partial(run, checkpoint))(X), grad(partial(run, lambda f: f))(X), rtol=1e-14
    )


def test_the_second_run_sees_the_context_of_the_first() -> None:
    pytest.importorskip("torch")

    def f(x: Any) -> Any:
        return x * xp.asarray([1.0, 2.0, 3.0], dtype="float64")

    with use_backend("torch"):
        out, pullback = vjp(checkpoint(f), xp.asarray(X))
    (gradient,) = pullback(out * 0.0 + 1.0)
    assert gradient.tolist() == [1.0, 2.0, 3.0]


# Writing in place.


def test_a_function_may_write_to_arrays_of_its_own_and_to_its_arguments(backend: Backend) -> None:
    x, w, rtol = double(backend)

    def f(x: Any, w: Any) -> Any:
        total = xp.zeros_like(x)
        total[0] = x[1] * w[0]
        total += x
        part = total[1:]
        part *= w[1:]
        x[2] = w[2] * total[0]
        return xp.sin(total) * x, part

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, w: Any) -> Any:
            y = x * w
            out, part = function(y, w)
            # y was written to. Where arrays can change, a write to the view is a write to what it is of.
            return xp.sum(out * y) + xp.sum(part**2)

        return run

    for of in (OF["grad"], OF["grad of grad"], OF["grad of jvp"], OF["vmap of grad"]):
        assert_close(backend, of(loss(checkpoint(f)))(x, w), of(loss(f))(x, w), rtol)


def test_arguments_and_results_may_be_written_to_before_the_gradient_arrives(backend: Backend) -> None:
    x, w, rtol = double(backend)

    def pieces(x: Any, w: Any) -> Any:
        whole = xp.sin(x * w)
        return whole, whole[1:], whole[:2]

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, w: Any) -> Any:
            y = x + w
            whole, tail, head = function(y, w)
            y *= 3.0
            tail[0] = w[0] * y[0]
            whole[2] = x[0]
            head += 1.0
            return xp.sum(whole * y) + xp.sum(tail**2) + xp.sum(head * w[:2])

        return run

    for of in (OF["grad"], OF["grad of grad"]):
        assert_close(backend, of(loss(checkpoint(pieces)))(x, w), of(loss(pieces))(x, w), rtol)


def test_a_view_that_alone_is_returned_can_be_written_to() -> None:
    def loss(wrap: Maker) -> Callable[..., Any]:
        def run(x: Any) -> Any:
            head, tail = wrap(lambda x: ((y := xp.sin(x))[:2], y[1:]))(x)
            head[1] = x[0] ** 2
            return xp.sum(head * head) + xp.sum(tail**3)

        return run

    np.testing.assert_allclose(grad(loss(checkpoint))(X), grad(loss(lambda f: f))(X), rtol=1e-14)


@pytest.mark.parametrize("size", [3, 5000])
def test_raw_arguments_may_be_filled_again(backend: Backend, size: int) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip(f"{backend.name}'s arrays do not change")
    buffer = backend.from_host(np.zeros(size))
    f = checkpoint(lambda x, mask: xp.sin(x) * mask)

    def loss(x: Any) -> Any:
        total = 0.0
        for n in range(1, 4):
            buffer[...] = float(n)
            total = total + xp.sum(f(x, buffer))
        return total

    x = np.linspace(0.0, 1.0, size)
    gradient = grad(loss)(backend.from_host(x))
    np.testing.assert_allclose(backend.to_host(gradient), 6 * np.cos(x), rtol=1e-14)


@pytest.mark.parametrize("size", [3, 5000])
def test_raw_arrays_lent_through_asarray_may_be_filled_again(backend: Backend, size: int) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip(f"{backend.name}'s arrays do not change")
    lent = backend.from_host(np.full(size, 2.0))

    def loss(x: Any) -> Any:
        y = checkpoint(lambda x, k: xp.sin(x) * k)(x, xp.asarray(lent))
        lent[...] = 100.0
        return xp.sum(y)

    x = np.linspace(0.0, 1.0, size)
    gradient = backend.to_host(grad(loss)(backend.from_host(x)))
    np.testing.assert_allclose(gradient, 2 * np.cos(x), rtol=1e-14)


def test_one_array_passed_twice_is_one_array_in_the_second_run() -> None:
    def f(a: Any, b: Any) -> Any:
        a[0] = a[1] * 2.0
        return a * b

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: (y := x * 3.0, xp.sum(function(y, y)))[1]

    np.testing.assert_allclose(grad(loss(checkpoint(f)))(X), grad(loss(f))(X), rtol=1e-14)


def test_a_scratch_array_that_is_captured_or_passed_in() -> None:
    scratch = np.zeros(5000)
    x = np.linspace(0.0, 1.0, 5000)

    def f(x: Any, other: Any) -> Any:
        scratch[:] += 1.0
        other[:] += 1.0
        return xp.sin(x) * scratch * other

    _, pullback = vjp(
        lambda x: checkpoint(f)(x, np.ones(5000)) * np.zeros(5000) + checkpoint(f)(x, x + 0.0), x
    )
    expected = 2.0 * np.cos(x) * (x + 1.0) + 2.0 * np.sin(x)
    for _ in range(3):
        np.testing.assert_allclose(pullback(np.ones(5000))[0], expected, rtol=1e-12)


def test_writing_to_an_argument_that_is_a_view_is_refused() -> None:
    def f(x: Any) -> Any:
        x[0] = 2.0
        return x

    with pytest.raises(TraceError, match=r"checkpoint of .*f: it wrote to an argument that shares memory .*"):
        grad(lambda x: xp.sum(checkpoint(f)(x[1:])))(X)
    with pytest.raises(TraceError, match=r"Copy it first: x = xp\.asarray\(x, copy=True\)"):
        grad(lambda x: (y := x * 1.0, part := y[1:], xp.sum(checkpoint(f)(y) * part[0]))[2])(X)


# Threads.


def test_two_threads_pull_at_once(backend: Backend) -> None:
    x, w, rtol = double(backend)
    met, together = threading.Barrier(2), threading.Event()

    def f(x: Any) -> Any:
        # Both have begun their second run before one goes on, and one ends before the other.
        if together.is_set():
            met.wait(timeout=60)
        return xp.sin(x * w) * x

    _, pullback = vjp(checkpoint(f), x)
    expected = [pullback(g)[0] for g in (x, w)]
    together.set()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda g: pullback(g)[0], (x, w)))
    for a, b in zip(found, expected, strict=True):
        assert_close(backend, a, b, rtol)


def test_a_function_that_uses_threads(backend: Backend) -> None:
    x, w, rtol = double(backend)

    def run(wrap: Maker, x: Any, w: Any) -> Any:
        def f(x: Any) -> Any:
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda z: wrap(xp.sin)(z * w), (x, w))
            return first * second

        return xp.sum(wrap(f)(x))

    found, expected = (grad(partial(run, wrap), (0, 1))(x, w) for wrap in (checkpoint, lambda f: f))
    assert_close(backend, found, expected, rtol)
