"""Checkpointed functions that are not pure, and errors in the second run."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_checkpoint import X, assert_close, double  # type: ignore[import-not-found]

from bpkit import checkpoint, grad, jit, jvp, random, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend
from bpkit.errors import LeakedArrayError, TraceError


class Changing:
    """Returns one thing after the other, and notes the value it was last called with."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.functions = iter(functions)
        self.seen: list[Any] = []

    def __call__(self, x: Any) -> Any:
        self.seen.append(x)
        return next(self.functions)(x)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            lambda x: x * 2.0,
            lambda x: (x * 2.0,),
            r"returned PyTreeSpec\(\(\*,\).*\), the first PyTreeSpec\(\*",
        ),
        (
            lambda x: x * 2.0,
            lambda x: x[1:] * 2.0,
            r"returned arrays of shape \(2,\) and dtype float64, the first of shape \(3,\) and dtype float64",
        ),
        (
            lambda x: x * 2.0,
            lambda x: xp.astype(x * 2.0, xp.float32),
            r"dtype float32, the first of .*float64",
        ),
        (
            lambda x: x * 2.0,
            lambda x: xp.ones(3),
            r"returned arrays of no gradient, the first of shape \(3,\)",
        ),
    ],
)
def test_a_second_run_with_another_result(first: Any, second: Any, message: str) -> None:
    changing = Changing(first, second)
    with pytest.raises(TraceError, match=message) as caught:
        grad(lambda x: xp.sum(checkpoint(changing)(x)))(X)
    assert str(caught.value).startswith("checkpoint of Changing: the second run, for the gradient, returned")
    assert (
        "The function must do the same each time: pass in what it depends on, change nothing outside it, and "
        "draw random numbers with a key"
    ) in str(caught.value)


# Hidden state.


class Noisy:
    """Multiplies by random numbers of its own, which are others in each run."""

    def __init__(self, spread: float = 1.0) -> None:
        self.rng = np.random.default_rng(0)
        self.spread = spread

    def __call__(self, x: Any) -> Any:
        return xp.sin(x) * (1.0 + self.spread * self.rng.standard_normal())


OTHER = (
    r"checkpoint of .*: the second run, for the gradient, has other values in its result.* where it was .*"
)


def of_vmap(f: Callable[..., Any], x: Any) -> Any:
    return grad(lambda x: xp.sum(vmap(f)(xp.stack([x, x]))))(x)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda f, x: grad(lambda x: xp.sum(f(x)))(x), id="grad"),
        pytest.param(lambda f, x: vjp(f, x)[1](x), id="vjp"),
        pytest.param(lambda f, x: grad(lambda x: xp.sum(checkpoint(lambda x: f(f(x)))(x)))(x), id="nested"),
        pytest.param(lambda f, x: vmap(grad(lambda x: xp.sum(f(x))))(xp.stack([x, x])), id="vmap of grad"),
        pytest.param(of_vmap, id="grad of vmap"),
        pytest.param(
            lambda f, x: grad(lambda x: xp.sum(grad(lambda x: xp.sum(f(x)))(x)))(x), id="grad of grad"
        ),
        pytest.param(lambda f, x: jvp(grad(lambda x: xp.sum(f(x))), (x,), (x,)), id="jvp of grad"),
        pytest.param(lambda f, x: grad(lambda x: xp.sum(jvp(f, (x,), (x,))[1]))(x), id="grad of jvp"),
        pytest.param(lambda f, x: jit(grad(lambda x: xp.sum(f(x))))(x), id="jit"),
    ],
)
def test_random_numbers_without_a_key_are_refused(backend: Backend, run: Callable[..., Any]) -> None:
    x, _, _ = double(backend)
    with pytest.raises(TraceError, match=OTHER) as caught:
        run(checkpoint(Noisy()), x)
    assert "draw random numbers with a key that is an argument (bpkit.random)" in str(caught.value)
    run(checkpoint(Noisy(0.0)), x)


def test_random_numbers_with_a_key_are_not(backend: Backend) -> None:
    x, _, rtol = double(backend)
    key = random.key(3)

    def f(x: Any, key: Any) -> Any:
        return x * xp.astype(random.normal(key, x.shape), x.dtype)

    found = grad(lambda x: xp.sum(checkpoint(f)(x, key)))(x)
    assert_close(backend, found, grad(lambda x: xp.sum(f(x, key)))(x), rtol)


def test_the_global_generator_of_numpy_and_what_the_error_names() -> None:
    def dropout(x: Any, w: Any) -> Any:
        kept = np.random.uniform(size=x.shape) < 0.9  # noqa: NPY002  what users have
        return {"same": x + w, "dropped": (x * w, xp.where(xp.asarray(kept), x, 0.0))}

    x = np.linspace(1.0, 2.0, 1000)
    with pytest.raises(
        TraceError, match=r"in its result\['dropped'\]\[1\]: [\d.]+ where it was [\d.]+\. The"
    ):
        grad(lambda x: xp.sum(checkpoint(dropout)(x, x)["dropped"][1]))(x)


class Counting:
    """Adds how often it has been called to one element."""

    def __init__(self, k: Any) -> None:
        self.calls = 0
        self.k = k

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        x = x * 2.0
        x[self.k] = x[self.k] + self.calls
        return x


@pytest.mark.parametrize("shape", [(), (7,), (9, 7), (100_003,), (300, 5, 70), (1, 4000)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_counter_is_seen_in_any_element(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, shape).astype(dtype)
    for _ in range(4):
        k = tuple([int(rng.integers(n)) for n in shape])
        _, pullback = vjp(checkpoint(Counting(k)), x)
        with pytest.raises(TraceError, match=r"has other values in its result: .* where it was"):
            pullback(x)


def test_what_is_not_finite_is_compared_too() -> None:
    def twice(first: Any, second: Any) -> None:
        changing = Changing(lambda x: x * first, lambda x: x * second)
        vjp(checkpoint(changing), np.ones(200))[1](np.ones(200))

    bad = np.asarray([np.nan, np.inf, -np.inf, 1.0, 2.0] * 40)
    for values, changes in (
        (bad, [(0, 1.0), (16, 2.0), (16, -np.inf), (8, np.nan), (4, np.inf)]),
        # Next to finite numbers it is seen anywhere.
        (np.ones(200), [(1, np.nan), (2, np.inf), (3, -np.inf)]),
    ):
        twice(values, values)
        for k, value in changes:
            others = values.copy()
            others[k] = value
            with pytest.raises(TraceError, match="has other values in its result"):
                twice(values, others)


def test_rounding_is_no_hidden_state() -> None:
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    changing = Changing(lambda x: x[None, :] @ x[::-1], lambda x: xp.sum((x * x[::-1])[::-1], keepdims=True))
    first, second = (f(x) for f in (lambda x: x[None, :] @ x[::-1], lambda x: np.sum((x * x[::-1])[::-1])))
    assert first != second
    vjp(checkpoint(changing), x)[1](np.ones(1, np.float32))


def test_what_is_written_to_an_argument_is_compared() -> None:
    state = [1.0]

    def f(x: Any) -> None:
        x *= state[0]
        state[0] += 1.0

    def loss(x: Any) -> Any:
        x = x * 1.0
        checkpoint(f)(x)
        return xp.sum(x)

    with pytest.raises(
        TraceError, match=r"has other values in an argument that it writes to: 0\.6 where it was 0\.3"
    ):
        grad(loss)(X)


def test_few_numbers_are_kept_of_a_result() -> None:
    def peak(f: Callable[..., Any]) -> int:
        x = np.zeros(1_000_000)
        tracemalloc.start()
        _, pullback = vjp(f, x)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        pullback(x)
        return kept

    # Of sin the argument is kept, by either; the result is returned, and dropped.
    assert peak(checkpoint(xp.sin)) < peak(xp.sin) + 20_000


def test_a_second_run_that_depends_on_other_values() -> None:
    def loss(x: Any) -> Any:
        params = {"w": x * 2.0}
        y = checkpoint(lambda x: x * params["w"])(x)
        params["w"] = x * 3.0
        return xp.sum(y)

    with pytest.raises(
        TraceError, match=r"depends on <multiply #\d+ float64\[3\]>, on which the first did not"
    ):
        grad(loss)(X)


def test_after_an_error_in_the_second_run_nothing_is_live() -> None:
    def fail(x: Any) -> Any:
        raise ZeroDivisionError

    changing = Changing(lambda x: x * 2.0, fail, lambda x: x * 2.0)
    _, pullback = vjp(checkpoint(changing), X)
    with pytest.raises(ZeroDivisionError):
        pullback(X)
    for seen in changing.seen:
        with pytest.raises(LeakedArrayError):
            seen + 1.0
    np.testing.assert_allclose(pullback(X)[0], 2 * X)
    with pytest.raises(LeakedArrayError):
        changing.seen[-1] + 1.0


def test_an_error_in_the_first_run_is_the_users(backend: Backend) -> None:
    def fail(x: Any) -> Any:
        raise ZeroDivisionError("mine")

    x, _, _ = double(backend)
    with pytest.raises(ZeroDivisionError, match="mine"):
        value_and_grad(lambda x: xp.sum(checkpoint(fail)(x)))(x)
