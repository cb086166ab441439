"""Transforms in many threads at once: each thread has its own, and what they share is right for all."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import (
    checkpoint,
    custom_vjp,
    grad,
    hessian,
    jacobian,
    jvp,
    linearize,
    value_and_grad,
    vjp,
    vmap,
    xp,
)
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, BackendError
from bpkit.registry import BUILTIN, backend_of, get_backend, use_backend

THREADS = 8
GRADIENTS = 10_000


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Python changes threads every 10 microseconds, in the middle of most calls."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """The results of functions that all start at the same moment, each in a thread."""
    start = Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        start.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [done.result() for done in [pool.submit(run, function) for function in functions]]


# Gradients of sum(sin(x * a)), for another `a` each time, by different transforms.


def waves(x: Any, a: Any) -> Any:
    return xp.sum(xp.sin(x * a))


def plainly(x: Any, a: Any) -> Any:
    return grad(waves)(x, a)


def by_pullback(x: Any, a: Any) -> Any:
    out, pullback = vjp(lambda x: xp.sin(x * a), x)
    return pullback(xp.ones_like(out))[0]


def by_tangents(x: Any, a: Any) -> Any:
    basis = [xp.asarray(row, dtype=x.dtype) for row in np.eye(x.shape[0]).tolist()]
    return xp.stack([jvp(waves, (x, a), (t, a * 0.0))[1] for t in basis])


def by_batches(x: Any, a: Any) -> Any:
    return vmap(grad(lambda x: xp.sin(x * a)))(x)


def by_a_rule(x: Any, a: Any) -> Any:
    @custom_vjp
    def sine(x: Any) -> Any:
        return xp.sin(x)

    sine.defvjp(lambda x: (xp.sin(x), x), lambda x, g: (g * xp.cos(x),))
    return grad(lambda x: xp.sum(sine(x * a)))(x)


def twice(x: Any, a: Any) -> Any:
    return grad(checkpoint(lambda x: xp.sum(checkpoint(xp.sin)(x * a))))(x)


def by_the_second_derivative(x: Any, a: Any) -> Any:
    return grad(lambda x: xp.sum(grad(lambda x: -xp.sum(xp.cos(x * a)) / a)(x)))(x)


def by_assignment(x: Any, a: Any) -> Any:
    def loss(x: Any) -> Any:
        y = xp.zeros_like(x)
        for i in range(x.shape[0]):
            y[i] = xp.sin(x[i] * a)
        return xp.sum(y)

    return grad(loss)(x)


WAYS: list[Callable[[Any, Any], Any]] = [
    *(plainly, by_batches, by_a_rule, by_tangents),
    *(by_the_second_derivative, twice, by_pullback, by_assignment),
]


def test_ten_thousand_gradients() -> None:
    """Eight threads, each with a library and a transform of its own."""
    backends = []
    for name in BUILTIN:
        with suppress(BackendError):
            backends.append(get_backend(name))
    wrong: list[Any] = []

    def run(k: int) -> int:
        backend = backends[k % len(backends)]
        # JAX has no float64 where its tests are not selected.
        rtol = 1e-5 if "float64" not in backend.dtypes() else 1e-12
        dtype = np.float32 if rtol > 1e-6 else np.float64
        with use_backend(backend.name):
            x = backend.from_host(np.asarray([0.1 * (k + 1), 0.2, -0.3], dtype=dtype))
            for i in range(GRADIENTS // THREADS):
                a = xp.asarray(1.0 + 0.001 * (i % 100) + 0.2 * k, dtype=x.dtype)
                found = WAYS[k](x, a)
                expected = host(a) * np.cos(host(x) * host(a))
                if backend_of(found) is not backend or not np.allclose(host(found), expected, rtol, 1e-9):
                    wrong.append((backend.name, WAYS[k].__name__, i, found, expected))
        return GRADIENTS // THREADS

    assert sum(in_threads(*[partial(run, k) for k in range(THREADS)])) == GRADIENTS
    assert not wrong, f"{len(wrong)} of {GRADIENTS} are wrong: {wrong[:3]}"


def test_each_thread_selects_its_own_library() -> None:
    """Also where a thread changes it again and again, and where a selection surrounds the threads."""
    names = ["numpy", *(name for name in ("array_api_strict", "torch") if has(name))]

    def run(k: int) -> list[str]:
        found = []
        for i in range(50):
            with use_backend(names[(k + i) % len(names)]) as (backend, _):
                gradient = grad(lambda x: xp.sum(xp.ones(3, dtype=xp.float64) * x))(2.0)
                assert backend_of(gradient) is backend and float(gradient) == 3.0
                with pytest.raises(ArgumentError), use_backend("numpy"):
                    grad(lambda x: xp.ones(2) * x)(2.0)
                found.append(backend_of(xp.zeros(1)).name)
        return found

    with use_backend(names[-1]):
        for k, found in enumerate(in_threads(*[partial(run, k) for k in range(THREADS)])):
            assert found == [names[(k + i) % len(names)] for i in range(50)]
        assert backend_of(xp.zeros(1)).name == names[-1]


def has(name: str) -> bool:
    try:
        get_backend(name)
    except BackendError:
        return False
    return True


# What threads share.


def network(p: Any, x: Any) -> Any:
    hidden = xp.tanh(p["w"] @ x)
    hidden[0] = hidden[1] * x[2]
    return xp.where(hidden > 0, hidden, hidden * hidden)


def test_one_pullback_and_one_tangent_map_for_all_threads(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    p = {"w": xp.asarray(rng.normal(size=(3, 3)).tolist(), dtype=xp.float64)}
    x = xp.asarray([0.5, -0.25, 1.5], dtype=xp.float64)
    out, pullback = vjp(network, p, x)
    _, push = linearize(network, p, x)
    rows = [xp.asarray(row, dtype=xp.float64) for row in np.eye(3).tolist()]
    # One after the other first: what a row, a column and a second derivative have to be.
    expected = [[host(g) for g in bpkit.tree.leaves(pullback(row))] for row in rows]
    columns = [host(push({"w": p["w"] * 0.0}, row)) for row in rows]

    def run(k: int) -> None:
        for i in range(20):
            n = (k + i) % 3
            for g, e in zip(bpkit.tree.leaves(pullback(rows[n])), expected[n], strict=True):
                np.testing.assert_array_equal(host(g), e)
            np.testing.assert_array_equal(host(push({"w": p["w"] * 0.0}, rows[n])), columns[n])
        batch = vmap(pullback)(xp.stack([rows[k % 3], rows[(k + 1) % 3]]))
        np.testing.assert_allclose(host(batch[1])[1], expected[(k + 1) % 3][1], rtol=1e-13)
        # A map that is linear has itself as its derivative.
        again = jvp(lambda g: pullback(g)[1], (rows[0],), (rows[k % 3],))[1]
        np.testing.assert_allclose(host(again), expected[k % 3][1], rtol=1e-13)

    in_threads(*[partial(run, k) for k in range(THREADS)])
    np.testing.assert_allclose(np.stack(columns, 1), np.stack([e[1] for e in expected]), rtol=1e-12)
    assert out.shape == (3,)


def test_one_transformed_function_for_all_threads(backend: Backend) -> None:
    """Whatever is kept between calls belongs to a call, not to the function."""
    weights = {"w": xp.asarray([[0.5, -1.0, 2.0], [1.0, 0.25, 0.5], [0.0, 1.5, -0.5]], dtype=xp.float64)}
    loss = checkpoint(lambda p, x: xp.sum(network(p, x)))
    both = value_and_grad(loss, argnums=(0, 1))
    by_example = vmap(grad(loss), in_axes=(None, 0))
    functions: list[Callable[..., Any]] = [
        lambda x: both(weights, x),
        lambda x: by_example(weights, xp.stack([x, x * 0.5])),
        lambda x: hessian(loss, argnums=1)(weights, x),
        lambda x: jacobian(network, argnums=1)(weights, x),
    ]
    places = [xp.asarray([0.1 * k, -0.2, 0.3 + k], dtype=xp.float64) for k in range(THREADS)]
    expected = [[[host(y) for y in bpkit.tree.leaves(f(x))] for f in functions] for x in places]

    def run(k: int) -> None:
        for i in range(3):
            for f, wanted in zip(functions, expected[k], strict=True):
                for y, e in zip(bpkit.tree.leaves(f(places[k])), wanted, strict=True):
                    np.testing.assert_array_equal(host(y), e, err_msg=f"thread {k}, round {i}")

    in_threads(*[partial(run, k) for k in range(THREADS)])


# Threads that a function starts while it is being transformed.


def in_parallel(f: Callable[[Any], Any], *arguments: Any) -> list[Any]:
    return in_threads(*[partial(f, x) for x in arguments])


def test_a_traced_function_may_use_threads(backend: Backend) -> None:
    """Values of one transform are worked on in several threads, and inner transforms run there."""
    x = xp.asarray([0.3, -0.4, 0.5], dtype=xp.float64)
    directions = [x * 0.0 + k for k in range(3)]

    def plain(x: Any) -> Any:
        return sum(in_parallel(lambda k: xp.sum(xp.sin(x) * k), 1.0, 2.0, 3.0))

    def inner(x: Any) -> Any:
        slopes = in_parallel(lambda k: grad(lambda y: xp.sum(y * y * y * x) * k)(x * k), 1.0, 2.0)
        pushed = in_parallel(lambda t: jvp(lambda y: xp.sin(y) * x, (x,), (t,))[1], *directions)
        batched = in_parallel(lambda k: vmap(lambda y: y * y * k)(x), x[0], x[1])
        again = in_parallel(checkpoint(lambda k: xp.sum(xp.exp(x * k))), x[0], x[2])
        return sum(xp.sum(y) for y in (*slopes, *pushed, *batched, *again))

    def one_by_one(x: Any) -> Any:
        slopes = [3 * (x * k) * (x * k) * x * k for k in (1.0, 2.0)]
        pushed = [xp.cos(x) * t * x for t in directions]
        batched = [x * x * k for k in (x[0], x[1])]
        again = [xp.exp(x * k) for k in (x[0], x[2])]
        return sum(xp.sum(y) for y in (*slopes, *pushed, *batched, *again))

    np.testing.assert_allclose(host(grad(plain)(x)), 6 * np.cos(host(x)), rtol=1e-14)
    ones = xp.ones(3, dtype=xp.float64)
    for transform in (
        lambda f: grad(f)(x),
        lambda f: jvp(f, (x,), (ones,))[1],
        lambda f: vmap(f)(xp.stack([x, x * 2.0])),
        lambda f: grad(lambda x: xp.sum(grad(f)(x) ** 2))(x),
        lambda f: vmap(grad(f))(xp.stack([x, x * 2.0])),
    ):
        np.testing.assert_allclose(host(transform(inner)), host(transform(one_by_one)), rtol=1e-11)


def test_an_error_in_one_thread_leaves_the_others_alone(backend: Backend) -> None:
    x = xp.asarray([1.0, 2.0], dtype=xp.float64)

    def fails(x: Any) -> Any:
        raise ZeroDivisionError

    def run(k: int) -> int:
        wrong = 0
        for i in range(20):
            if (k + i) % 2:
                with pytest.raises(ZeroDivisionError):
                    grad(lambda y: xp.sum(vmap(fails)(y)))(x)
            else:
                wrong += host(grad(lambda y: xp.sum(y * y))(x)).tolist() != [2.0, 4.0]
        return wrong

    assert in_threads(*[partial(run, k) for k in range(THREADS)]) == [0] * THREADS


def test_first_use_by_many_threads_at_once() -> None:
    """Modules, tables and functions that are loaded when they are first needed, in a fresh interpreter."""
    script = f"""
import sys
from threading import Barrier, Thread
sys.setswitchinterval(1e-5)
import numpy as np
import bpkit
from bpkit import xp
start, found = Barrier({THREADS}), []
def loss(x):
    y = np.concatenate([x, x]).reshape(2, -1).sum(axis=0)
    return xp.sum(xp.special.expit(y) * xp.linalg.vector_norm(y) + np.sin(y).mean()) + x.std() + x[::-1][0]
def run():
    start.wait()
    x = np.asarray([0.5, -1.0, 2.0])
    found.append((bpkit.grad(loss)(x), bpkit.vmap(bpkit.grad(loss))(np.stack([x, x]))[1],
                  bpkit.jacobian(bpkit.grad(loss))(x)))
threads = [Thread(target=run) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == {THREADS}
for gradient, batched, second in found:
    assert gradient.tolist() == found[0][0].tolist() and second.tolist() == found[0][2].tolist()
    np.testing.assert_allclose(batched, gradient, rtol=1e-13)
print("all right")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "all right\n", done.stderr
