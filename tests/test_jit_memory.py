"""Compiled functions and memory: what is donated, shared, written over or handed out."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from test_jit import arrays, copied, host, step  # type: ignore[import-not-found]

from bpkit import custom_vjp, grad, jit, vjp, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import BackendError, GradientCutError, LeakedArrayError
from bpkit.registry import use_backend


def test_results_are_new_each_time(backend: Backend) -> None:
    fixed = xp.ones(3, dtype=xp.float64)

    def f(x: Any) -> Any:
        y = x * 2
        return x, y, y, xp.reshape(y, (3, 1)), fixed, xp.zeros(2), 3.0, None, y[0]

    compiled = jit(f)
    (x,) = arrays((3,))
    before = host(x).copy()
    expected = [None if z is None else (z if isinstance(z, float) else host(z)) for z in f(x)]
    kept = [compiled(x) for _ in range(3)]
    for out in kept:
        for found, wanted in zip(out, expected, strict=True):
            if found is not None and not isinstance(found, float):
                np.testing.assert_array_equal(host(found), wanted)
                if Capability.IN_PLACE in backend.capabilities and found.shape:
                    found += 100.0
    np.testing.assert_array_equal(host(x), before)
    np.testing.assert_array_equal(host(fixed), np.ones(3))


def test_arrays_from_elsewhere_keep_their_values(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("the library's arrays cannot change")
    (x,) = arrays((3,))
    scale = xp.ones(3, dtype=xp.float64)
    f = jit(lambda x: xp.multiply(x, scale))
    f(x)
    scale *= 5
    np.testing.assert_array_equal(host(f(x)), host(x))


def test_writes_and_views(backend: Backend) -> None:
    def f(x: Any) -> Any:
        y = xp.zeros((3, 4), dtype=x.dtype)
        y[1:, :] = x
        row = y[2, :]
        row += 1
        y[y > 1] = 0.5
        return y * 2, xp.sum(y)

    (x,) = arrays((2, 4))
    compiled = jit(f)
    compiled(x)
    out, total = compiled(x * 2)
    again, sum_again = jit(f)(x * 2)
    np.testing.assert_array_equal(host(out), host(again))
    np.testing.assert_allclose(host(total), host(sum_again), rtol=1e-15)


def test_donated_arguments_are_written_over(backend: Backend) -> None:
    compiled = jit(step, donate_argnums=0)
    w, b, v, x, y = arrays((4, 3), (3,), (3, 2), (5, 4), (5, 2))
    p = q = {"w": w, "b": b, "v": v}
    for _ in range(4):
        p = step(p, x, y)[1]
        given = {name: xp.asarray(q[name], copy=True) for name in q}
        q = compiled(given, x, y)[1]
        for name in p:
            np.testing.assert_allclose(host(q[name]), host(p[name]), rtol=1e-13)
    if backend.name == "numpy":
        assert all(q[name] is given[name] for name in q)


def test_donated_arguments_that_share_memory() -> None:
    compiled = jit(lambda w, x: (w - x, x * 2.0), donate_argnums=0)
    memory = np.arange(6.0)

    def pairs() -> list[tuple[Any, Any]]:
        x, y = memory.copy(), memory.copy()
        one, row = np.arange(3.0), np.broadcast_to(np.float64(1.0), (3,))
        return [(x[:3], x[1:4]), (one, one), (row, one), (one, row), (y[:3], np.ones(3))]

    compiled(np.ones(3), np.ones(3))
    for (w, x), (same_w, same_x) in zip(pairs(), pairs(), strict=True):
        for found, expected in zip(compiled(w, x), (same_w - same_x, same_x * 2), strict=True):
            np.testing.assert_array_equal(found, expected)
    owner = np.arange(6.0)
    view = owner[:3]
    compiled(view.base, owner)
    np.testing.assert_array_equal(owner, memory)


def test_memory_for_values_is_taken_once() -> None:
    x = np.ones((50, 40))
    compiled = jit(lambda x: np.float64(2.0) * xp.sum(xp.tanh(xp.exp(-x) + 1.0) * x))
    compiled(x)
    compiled(x)
    tracemalloc.start()
    compiled(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 2
    assert compiled.source.count("empty") == 0


def test_a_value_kept_from_the_run_that_was_recorded(backend: Backend) -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept[:] = [x * 2, vjp(lambda y: y * xp.sin(x), x)[1]]
        return x + 1

    @custom_vjp
    def g(x: Any) -> Any:
        return x * 1

    g.defvjp(lambda x: (x * 1, None), lambda _, g: (g,))
    (x,) = arrays((3,))
    jit(f)(x)
    for use in (
        lambda y: kept[0] + y,
        lambda y: g(kept[0]),
        lambda y: kept[1](y * 1),
        jit(lambda y: y + kept[0]),
        grad(lambda y: xp.sum(y * kept[0])),
    ):
        with pytest.raises(LeakedArrayError, match="traced by jit, which has ended"):
            use(x)


def test_a_write_to_a_view_is_seen_by_the_array(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("the library's arrays cannot change")

    def f(x: Any) -> Any:
        y = x * 1
        view = y[1:]
        view *= 2
        constant = xp.zeros(3, dtype=x.dtype)
        part = constant[:2]
        part += 1
        return y, view, constant * x

    (x,) = arrays((3,))
    compiled = jit(f)
    for _ in range(2):
        for found, expected in zip(compiled(x), f(x), strict=True):
            np.testing.assert_array_equal(host(found), host(expected))


def test_functions_of_one_name_that_return_what_they_were_given(backend: Backend) -> None:
    def scaled(k: float | None) -> Any:
        @custom_vjp
        def f(x: Any) -> Any:
            return x if k is None else x * k

        f.defvjp(lambda x: (x, None), lambda _, g: (g,))
        return f

    def f(x: Any) -> Any:
        y = x * 2
        same = scaled(None)(y)
        z = xp.sin(xp.exp(x * 3)) + 1
        return same + z, scaled(2.0)(x), scaled(3.0)(x), scaled(None)(x), scaled(None)(xp.zeros_like(x))

    (x,) = arrays((3,))
    compiled = jit(f)
    expected = [host(y).copy() for y in f(x)]
    for _ in range(3):
        out = compiled(x)
        for found, wanted in zip(out, expected, strict=True):
            np.testing.assert_allclose(host(found), wanted, rtol=1e-14)
        assert not any(backend.shares_memory(y, x) for y in out)


def in_place(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("the library's arrays cannot change")


def test_arguments_that_share_memory_at_a_later_call(backend: Backend) -> None:
    in_place(backend)

    def written(x: Any, y: Any) -> Any:
        x += 1
        return x + y

    def inside(x: Any, y: Any) -> Any:
        def f(w: Any) -> Any:
            w[1:] *= 2
            return xp.sum(w * w)

        return grad(f)(x) + y

    def both_inside(x: Any, y: Any) -> Any:
        def f(w: Any, v: Any) -> Any:
            w *= 2
            return xp.sum(w * v)

        return grad(f)(x[1:], y[:-1])

    a, b = arrays((3,), (3,))
    for fun in (written, both_inside):
        compiled = jit(fun)
        for _ in range(2):
            np.testing.assert_array_equal(host(compiled(a, b)), host(fun(copied(a), b)))
        for x, y in ((a, a), (a[:], a), (a, xp.reshape(a, (3,)))):
            for call in (compiled, jit(fun)):
                with pytest.raises(GradientCutError, match=r"in-place .*: x shares memory with another arg"):
                    call(x, y)
        np.testing.assert_array_equal(host(compiled(b, a)), host(fun(copied(b), a)))
    # What only the inner transform writes to, nobody else sees.
    compiled = jit(inside)
    for x, y in ((a, b), (a, a)):
        np.testing.assert_array_equal(host(compiled(x, y)), host(inside(x, y)))


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_whether_a_view_shares_memory_depends_on_the_layout(name: str) -> None:
    def to_a_view(x: Any) -> Any:
        v = xp.reshape(x, (-1,))
        v *= 2
        return x

    def to_an_array_that_has_views(x: Any) -> Any:
        v = xp.reshape(x, (-1,))
        x[0, :] = 7
        return v

    def to_a_result(x: Any) -> Any:
        y = x * 1
        v = xp.reshape(y, (-1,))
        v += 1
        return y

    try:
        selection = use_backend(name)
    except BackendError as error:
        pytest.skip(str(error))
    with selection:
        x = xp.reshape(xp.arange(6.0), (2, 3))
        turned = xp.reshape(xp.arange(6.0), (3, 2)).T
        for fun in (to_a_view, to_an_array_that_has_views, to_a_result):
            compiled = jit(fun)
            for z in (x, turned, x, turned + 0, x + 1):
                # A product has the memory layout of its operand.
                np.testing.assert_array_equal(host(compiled(z)), host(fun(z * 1)))
            lines = compiled.explain().split("\n")
            assert len(lines) == 2 and lines[1].startswith("2. x has the memory layout (")
        untouched = jit(lambda x: xp.reshape(x, (-1,)) * 2)
        for z in (x, turned):
            untouched(z)
        assert untouched.explain() == "1. the first call"


def test_the_first_call_writes_over_nothing(backend: Backend) -> None:
    f = jit(lambda x, y: (x * 2 + y, y), donate_argnums=0)
    x, y = arrays((3,), (3,))
    before = host(x).copy()
    for _ in range(2):
        f.clear()
        found, _ = f(x, y)
        np.testing.assert_array_equal(host(x), before)
        np.testing.assert_array_equal(host(found), before * 2 + host(y))
