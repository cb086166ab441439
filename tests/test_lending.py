"""Constants that foreign code writes to: numpy.asarray and DLPack share memory, as on raw arrays."""

import copy
import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import grad, xp
from bpkit._protocol import Backend
from bpkit.errors import GradientCutError

# Libraries whose arrays NumPy can write to.
sharing = pytest.mark.parametrize("backend", ["numpy", "array_api_strict", "torch"], indirect=True)


def ones(backend: Backend, count: int = 3) -> Any:
    return backend.from_host(np.ones(count))


def on_raw_and_traced(steps: Callable[[Any], None], backend: Backend) -> list[Any]:
    """What a buffer of zeros holds after the same steps on a raw and on a traced one."""
    found = []

    def run(space: Any) -> None:
        x = space.zeros(6, dtype=space.float64)
        steps(x)
        found.append([float(x[i]) for i in range(6)])

    run(backend.xp)

    def traced(t: Any) -> Any:
        run(t.__array_namespace__())
        return xp.sum(t)

    grad(traced)(ones(backend))
    return found


def write_through(x: Any) -> None:
    np.asarray(x)[1] = 7.0


def write_through_a_view(x: Any) -> None:
    np.asarray(x[2:4])[...] = 7.0
    x[3:5] += 1.0


def write_both_ways(x: Any) -> None:
    loan = np.asarray(x)
    x[0] = 2.0
    loan *= 3.0
    x += 1.0
    view = x[1:]
    view[0] = 9.0
    x[5] = loan[1] + loan[0]


def write_to_slices_of_slices(x: Any) -> None:
    view = x[1:]
    loan = np.asarray(view[::2])
    loan[1:] = 4.0
    np.asarray(x)[1] = loan[1]
    view[1] = 5.0
    loan[0] = np.asarray(x)[2]


def write_to_a_conversion(x: Any) -> None:
    np.asarray(x, dtype=np.float32)[...] = 7.0
    np.asarray(x).copy()[...] = 7.0


def write_after_a_loan_is_gone(x: Any) -> None:
    loan = np.asarray(x)
    loan[0] = 1.0
    del loan
    gc.collect()
    x[1] = 2.0
    np.asarray(x)[2] = 3.0


@sharing
@pytest.mark.parametrize(
    "steps",
    [
        write_through,
        write_through_a_view,
        write_both_ways,
        write_to_slices_of_slices,
        write_to_a_conversion,
        write_after_a_loan_is_gone,
    ],
    ids=lambda steps: steps.__name__,
)
def test_a_buffer_holds_what_a_raw_one_would(steps: Callable[[Any], None], backend: Backend) -> None:
    raw, traced = on_raw_and_traced(steps, backend)
    assert traced == raw


@sharing
def test_gradients_keep_what_a_buffer_held_when_it_was_used(backend: Backend) -> None:
    def f(x: Any) -> Any:
        buffer = x.__array_namespace__().zeros(3, dtype=x.dtype)
        buffer[...] = 2.0
        before = x * buffer
        loan = np.asarray(buffer)
        loan[...] = 5.0
        while_lent = x * buffer
        loan[...] = 7.0
        del loan
        after = x * buffer
        np.asarray(buffer)[...] = 11.0
        return xp.sum(before + 10 * while_lent + 100 * after)

    for mode in (grad(f), bpkit.jacfwd(f)):
        np.testing.assert_array_equal(backend.to_host(mode(ones(backend))), [752.0] * 3)


@sharing
def test_a_traced_value_cannot_be_written_while_a_loan_is_in_use(backend: Backend) -> None:
    message = r"x\[\.\.\.\] = value: an array that numpy.asarray\(x\) or DLPack made of x is still in use"

    def f(x: Any) -> Any:
        buffer = x.__array_namespace__().zeros(3, dtype=x.dtype)
        part = np.asarray(buffer)[1:]
        with pytest.raises(GradientCutError, match=message):
            buffer[0] = x[0]
        del part
        buffer[0] = 3.0 * x[0]
        return xp.sum(buffer)

    np.testing.assert_array_equal(backend.to_host(grad(f)(ones(backend))), [3.0, 0.0, 0.0])


@sharing
def test_whats_given_to_dlpack_is_lent_for_good(backend: Backend) -> None:
    def f(x: Any) -> Any:
        buffer = x.__array_namespace__().zeros(3, dtype=x.dtype)
        y = x * buffer
        taken = backend.xp.from_dlpack(buffer)
        buffer[0] = 4.0
        assert float(taken[0]) == 4.0
        with pytest.raises(GradientCutError, match="DLPack made of x is still in use"):
            buffer[0] = x[0]
        return xp.sum(y + x * buffer)

    np.testing.assert_array_equal(backend.to_host(grad(f)(ones(backend))), [4.0, 0.0, 0.0])


@sharing
def test_a_copy_of_a_lent_array_is_one(backend: Backend) -> None:
    def f(x: Any) -> Any:
        buffer = x.__array_namespace__().zeros(3, dtype=x.dtype)
        loan = np.asarray(buffer)
        copies = [copy.copy(buffer), copy.deepcopy(buffer)]
        loan[...] = 1.0
        return xp.sum(x * copies[0] + x * copies[1] + x * buffer)

    np.testing.assert_array_equal(backend.to_host(grad(f)(ones(backend))), np.ones(3))


@sharing
def test_what_depends_on_an_argument_is_not_lent(backend: Backend) -> None:
    def f(x: Any, whole: Any) -> Any:
        for known in (whole, bpkit.stop_gradient(x), whole + 1):
            with pytest.raises(ValueError, match="read-only"):
                np.asarray(known)[0] = 7
            np.array(known)[0] = 7
            with pytest.raises(ValueError, match=r"numpy.asarray\(x, copy=False\): x with dtype .* copied"):
                np.asarray(known, copy=False)
        return xp.sum(x)

    grad(f)(ones(backend), backend.from_host(np.asarray([1, 2])))


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_arrays_that_cannot_change_are_not_lent(backend: Backend) -> None:
    def f(x: Any) -> Any:
        made = x.__array_namespace__().zeros(3)
        assert not np.asarray(made).flags.writeable
        return xp.sum(x * made)

    grad(f)(ones(backend))


@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
def test_what_belongs_to_the_caller_is_lent_as_it_is(backend: Backend) -> None:
    callers = np.zeros(3)

    def f(x: Any) -> Any:
        np.asarray(xp.asarray(callers))[0] = 7.0
        return xp.sum(x * callers)

    np.testing.assert_array_equal(grad(f)(np.ones(3)), [7.0, 0.0, 0.0])
    assert callers[0] == 7.0


@sharing
def test_threads_fill_slices_of_one_buffer(backend: Backend) -> None:
    def f(x: Any) -> Any:
        buffer = x.__array_namespace__().zeros((16, 8), dtype=x.dtype)
        start = threading.Barrier(16)

        def fill(row: Any, value: float) -> None:
            start.wait()
            np.asarray(row)[...] = value

        threads = [threading.Thread(target=fill, args=(buffer[i, ...], float(i))) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return xp.sum(x * buffer[:, 0])

    np.testing.assert_array_equal(backend.to_host(grad(f)(ones(backend, 16))), np.arange(16.0))


@pytest.mark.parametrize("backend", ["array_api_strict"], indirect=True)
def test_where_the_library_refuses_so_does_a_traced_array(backend: Backend) -> None:
    elsewhere = backend.device("device1")
    with pytest.raises(RuntimeError, match="Can't convert array on the"):
        np.asarray(backend.xp.zeros(3, device=elsewhere))

    def f(x: Any) -> Any:
        with pytest.raises(RuntimeError, match="Can't convert array on the"):
            np.asarray(x.__array_namespace__().zeros(3, device=elsewhere))
        return xp.sum(x)

    grad(f)(ones(backend))
