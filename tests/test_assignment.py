"""Assignment to traced arrays and their views: the values and gradients are those of the raw run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkit
from bpkit import grad, jvp, xp
from bpkit._protocol import Backend
from bpkit.errors import GradientCutError
from bpkit.kinds import raw
from bpkit.registry import backend_of, get_backend

on_mutable = pytest.mark.parametrize("backend", ["numpy", "array_api_strict", "torch", "cupy"], indirect=True)
STEP = 2.0**-10


def host(x: Any) -> Any:
    return backend_of(raw(x)).to_host(raw(x))


def differences(fun: Callable[[Any], Any], x: Any) -> Any:
    """The gradient by central differences of fourth order, in NumPy; `fun` may write to what it gets."""
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved = [x.copy() for _ in range(4)]
        for copy, step in zip(moved, (STEP, -STEP, 2 * STEP, -2 * STEP), strict=True):
            copy[i] += step
        near, back, far, far_back = (float(fun(copy)) for copy in moved)
        found[i] = (8 * (near - back) - (far - far_back)) / (12 * STEP)
    return found


def complex_step(fun: Callable[[Any], Any], x: Any) -> Any:
    """The gradient of an analytic function without the error of a difference (Squire and Trapp 1998)."""
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved = x.astype(np.complex128)
        moved[i] += 1e-40j
        found[i] = fun(moved).imag / 1e-40
    return found


def assert_as_raw(
    fun: Callable[[Any, Any], Any],
    x: Any,
    backend: Backend,
    derivative: Callable[[Callable[[Any], Any], Any], Any] = differences,
) -> None:
    """Value and both derivatives of ``fun(xp, x)`` are those of the raw NumPy run."""
    numpy = get_backend("numpy").xp
    expected = derivative(lambda x: fun(numpy, x), x)
    value = fun(numpy, x.copy())
    placed = backend.from_host(x)
    found, gradient = bpkit.value_and_grad(lambda x: fun(xp, x))(placed)
    np.testing.assert_allclose(host(found), value, rtol=1e-13)
    np.testing.assert_allclose(host(gradient), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(host(placed), x, err_msg="the caller's array was written to")
    direction = np.linspace(-1.0, 1.0, x.size).reshape(x.shape)
    _, t = jvp(lambda x: fun(xp, x), (placed,), (backend.from_host(direction),))
    np.testing.assert_allclose(host(t), np.sum(expected * direction), rtol=1e-9, atol=1e-9)


def fills_a_new_array(xp: Any, x: Any) -> Any:
    y = xp.zeros((2, 3), dtype=x.dtype)
    y[0, :] = x[0, :] * 2.0
    y[1, 0] = x[1, 2] ** 2
    y[1, 1:] = x[1, :2] * x[0, 1:]
    return xp.sum(y * y)


def overwrites(xp: Any, x: Any) -> Any:
    y = x * 3.0
    y[0, :] = 1.0
    y[1, 1] = x[0, 0] * x[1, 1]
    return xp.sum(y * x)


def by_mask(xp: Any, x: Any) -> Any:
    y = x * 1.0
    y[x > 0.6] = 0.5
    y[y < 0.4] *= 2.0
    return xp.sum(y * y * x)


def through_a_view(xp: Any, x: Any) -> Any:
    y = x * 1.0
    row = y[1, :]
    row *= x[0, :]
    row[0] = x[0, 2] ** 2
    return xp.sum(y * y)


def through_a_view_of_a_view(xp: Any, x: Any) -> Any:
    y = x * 1.0
    column = xp.permute_dims(xp.reshape(y, (3, 2)), (1, 0))[1, :]
    column += x[0, 0]
    y[0, 0] *= 4.0
    return xp.sum(column * column) * xp.sum(y)


def views_follow_their_base(xp: Any, x: Any) -> Any:
    y = x * 1.0
    second, rows = y[1:, :], y.mT
    y += x * x
    y[1, 1] = 2.0
    return xp.sum(second * x) + xp.sum(rows[0, :] ** 3)


def siblings_overlap(xp: Any, x: Any) -> Any:
    y = x * 1.0
    left, right = y[:, :2], y[:, 1:]
    left *= 2.0
    right += left
    return xp.sum(left * right)


def writes_to_the_argument(xp: Any, x: Any) -> Any:
    x[0, 0] = x[1, 1] * 5.0
    x[:, 2] *= x[:, 0]
    return xp.sum(x * x)


def a_zero_meets_an_infinite_derivative(xp: Any, x: Any) -> Any:
    y = x - x
    z = xp.sqrt(y)
    z[y == 0.0] = 1.0
    return xp.sum(z * x)


def longer_value_shape(xp: Any, x: Any) -> Any:
    y = xp.zeros((2, 3), dtype=x.dtype)
    y[0, :] = xp.reshape(x[0, 0], (1,))
    y[1, ...] = x[1, :]
    return xp.sum(y * y * x)


def indexed_by_integers_of_the_library(xp: Any, x: Any) -> Any:
    y = x * 1.0
    for i in range(2):
        at = xp.asarray(i)
        row = y[at[()], ...]
        row += x[0, 0]
    largest = y[xp.argmax(y[:, 1]), :]
    largest *= 2.0
    return xp.sum(y * y)


PROGRAMS = [
    fills_a_new_array,
    overwrites,
    by_mask,
    through_a_view,
    through_a_view_of_a_view,
    views_follow_their_base,
    siblings_overlap,
    writes_to_the_argument,
    a_zero_meets_an_infinite_derivative,
    longer_value_shape,
]


@on_mutable
@pytest.mark.parametrize("program", PROGRAMS)
def test_values_and_derivatives_are_those_of_the_raw_run(
    program: Callable[..., Any], backend: Backend
) -> None:
    assert_as_raw(program, np.asarray([[0.5, 0.75, 1.5], [0.3, 1.2, 0.9]]), backend)


@pytest.mark.parametrize("backend", ["numpy", "torch"], indirect=True)
def test_an_integer_of_the_library_takes_a_view(backend: Backend) -> None:
    assert_as_raw(
        indexed_by_integers_of_the_library, np.asarray([[0.5, 0.75, 1.5], [0.3, 1.2, 0.9]]), backend
    )


@pytest.mark.parametrize("backend", ["numpy", "torch"], indirect=True)
def test_a_repeated_index_keeps_what_was_written_last(backend: Backend) -> None:
    def f(xp: Any, x: Any) -> Any:
        y = xp.zeros(3, dtype=x.dtype)
        y[at if xp is not bpkit.xp else backend.from_host(at)] = x
        return xp.sum(y * y)

    at = np.asarray([2, 0, 2, 0])
    assert_as_raw(f, np.asarray([0.5, 0.75, 1.5, 2.0]), backend)


@on_mutable
def test_second_order(backend: Backend) -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        row = y[0, :]
        row *= x[1, :]
        y[1, 0] = x[0, 0] ** 3
        return xp.sum(y * y)

    x = backend.from_host(np.asarray([[0.5, 0.75], [0.3, 1.2]]))
    # f = (x00 x10)^2 + (x01 x11)^2 + x00^6 + x11^2
    expected = [[2 * 0.3**2 + 30 * 0.5**4, 0.0], [4 * 0.5 * 0.3, 0.0]]
    hessian_row = grad(lambda x: grad(f)(x)[0, 0])(x)
    np.testing.assert_allclose(host(hessian_row), expected, rtol=1e-13)


@on_mutable
def test_arrays_made_before_the_transform_are_not_written_to(backend: Backend) -> None:
    outside = xp.ones(3)

    def f(x: Any) -> Any:
        y = xp.asarray(outside)
        y[0] = x[0] * 2.0
        return xp.sum(y * x)

    x = backend.from_host(np.asarray([3.0, 4.0, 5.0]))
    np.testing.assert_array_equal(host(grad(f)(x)), [12.0, 1.0, 1.0])
    np.testing.assert_array_equal(host(outside), [1.0, 1.0, 1.0])


@on_mutable
def test_a_result_that_depends_on_nothing_is_a_plain_array(backend: Backend) -> None:
    def f(x: Any) -> Any:
        made = xp.zeros(2)
        made[1] = 3.0
        return xp.sum(x), made

    _, aux = grad(f, has_aux=True)(backend.from_host(np.asarray([1.0])))
    assert backend.owns(type(aux))
    assert host(aux).tolist() == [0.0, 3.0]


@on_mutable
def test_one_array_passed_twice_may_not_be_written_to(backend: Backend) -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = 2.0
        return xp.sum(x * y)

    x = backend.from_host(np.asarray([1.0, 2.0]))
    with pytest.raises(GradientCutError, match="shares memory with another argument"):
        grad(f)(x, x)
    assert host(grad(f)(x, xp.asarray(x, copy=True))).tolist() == [0.0, 2.0]


def test_different_columns_of_one_array_are_different_arrays() -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = 2.0
        return xp.sum(x * y)

    both = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    assert grad(f, 1)(both[:, 0], both[:, 1]).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("part", ["real", "imag"])
def test_a_view_that_cannot_be_followed_is_refused_by_name(part: str) -> None:
    def f(z: Any) -> Any:
        view = getattr(xp, part)(z)
        view += 1.0
        return xp.sum(xp.abs(z))

    with pytest.raises(GradientCutError, match=rf"x was made by {part} and shares memory .* Copy x first"):
        grad(f)(np.asarray([1.0 + 2.0j]))


def test_a_copy_is_no_view() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        copy = xp.reshape(y.mT, (-1,))  # not contiguous, so NumPy copies
        copy += 1.0
        picked = y[np.asarray([0, 1]), :]
        picked *= 3.0
        return xp.sum(y * y) + xp.sum(copy) + xp.sum(picked)

    np.testing.assert_allclose(grad(f)(np.asarray([[1.0, 2.0], [3.0, 4.0]])), [[6.0, 8.0], [10.0, 12.0]])


def test_memory_is_laid_out_as_in_the_raw_run() -> None:
    def f(xp: Any, x: Any) -> Any:
        gaps = x[:, ::2]
        gaps[0, 0] = x[1, 1]
        copy = xp.reshape(gaps, (-1,))  # NumPy has to copy what has gaps
        copy *= 2.0
        columns = x.mT
        columns *= x[0, 1]
        flat = xp.reshape(x, (-1,))  # and x has none, though its transpose was written to
        flat *= 3.0
        return xp.sum(x * x) + xp.sum(copy)

    assert_as_raw(f, np.asarray([[0.5, 0.75, 1.5], [0.3, 1.2, 0.9]]), get_backend("numpy"))


def test_an_array_of_no_axes_can_be_written_to_again() -> None:
    def f(x: Any) -> Any:
        y = xp.zeros(())
        alias = y
        for _ in range(3):
            y += x
        y[...] = y * y
        return alias * x

    assert grad(f)(np.asarray(2.0)) == pytest.approx(27 * 4.0)


def test_numbers_are_rebound_and_not_changed() -> None:
    def f(t: Any) -> Any:
        before = t
        t -= 0.5 * (t * t - 2.0) / t
        return t - before

    value, gradient = bpkit.value_and_grad(f)(1.0)
    assert value == f(1.0) == 0.5
    assert gradient == pytest.approx(-1.5)  # t / 2 + 1 / t - t has the slope 1/2 - 1/t**2 - 1


def test_a_list_can_be_assigned() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y[:2] = [5.0, x[2]]
        return xp.sum(y * y)

    np.testing.assert_array_equal(grad(f)(np.asarray([1.0, 2.0, 3.0])), [0.0, 0.0, 12.0])


def test_views_of_views_without_end() -> None:
    def f(x: Any) -> Any:
        views = [x * 1.0]
        for _ in range(2000):
            views.append(views[-1][0:])
        views[-1][...] = views[-1] + 1.0
        return xp.sum(views[0] * x)

    np.testing.assert_array_equal(grad(f)(np.asarray([1.0, 2.0])), [3.0, 5.0])


def test_integers_take_up_numbers_without_a_gradient() -> None:
    def f(x: Any) -> Any:
        counts = xp.zeros(2, dtype="int64")
        counts[0] = x[1]
        return xp.sum(x * xp.astype(counts, x.dtype))

    np.testing.assert_array_equal(grad(f)(np.asarray([5.0, 2.7])), [2.0, 0.0])


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_jax_arrays_are_assigned_to_one_at_a_time(backend: Backend) -> None:
    def f(x: Any) -> Any:
        view, copy = x[1:], xp.reshape(x, (3,))
        x[0] = x[1] * 5  # array_api_extra.at does this
        view[0] = 0.0
        copy += 1
        return xp.sum(x * x) + xp.sum(view**3) + xp.sum(copy)

    x = backend.from_host(np.asarray([1.0, 2.0, 3.0], dtype=np.float32))
    assert backend.to_host(grad(f)(x)).tolist() == [1.0, 4.0 + 100.0 + 1.0, 6.0 + 27.0 + 1.0]
    assert backend.to_host(x).tolist() == [1.0, 2.0, 3.0]


def test_a_numpy_scalar_is_assigned_to() -> None:
    def f(x: Any) -> Any:
        total = xp.sum(x)  # a numpy.float64 under the trace
        total[...] = total * x[1]
        return total

    np.testing.assert_array_equal(grad(f)(np.asarray([2.0, 3.0])), [3.0, 8.0])


# Random programs over views of one array.

VIEWS = st.sampled_from(
    [
        lambda xp, y: y[1:, :],
        lambda xp, y: y[np.int64(-1) :, :],
        lambda xp, y: y[np.int64(-1)][None, :] if y.shape[0] else y,
        lambda xp, y: y[..., ::2],
        lambda xp, y: y[::-1, :],
        lambda xp, y: y.mT,
        lambda xp, y: xp.reshape(y, (-1, 1)),
        lambda xp, y: xp.flip(y, axis=1),
        lambda xp, y: xp.expand_dims(y, axis=0)[0, ...],
    ]
)
WRITES = ("add", "scale", "assign", "assign scalar")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), VIEWS, st.integers(0, 5), st.sampled_from(WRITES)),
        min_size=1,
        max_size=5,
    )
)
def test_random_views_and_writes(steps: list[Any]) -> None:
    def program(xp: Any, x: Any) -> Any:
        arrays = [x * 1.0]
        for source, view, target, kind in steps:
            arrays.append(view(xp, arrays[source % len(arrays)]))
            y = arrays[target % len(arrays)]
            if y.shape[0] == 0:
                continue
            if kind == "add":
                y += 0.5 * x[0, 0]
            elif kind == "scale":
                y *= xp.sin(y[0, 0]) + 1.5
            elif kind == "assign":
                y[0, ...] = y[-1, ...] * x[1, 2]
            else:
                y[-1, 0] = x[0, 1] ** 2
        return sum((xp.sum(xp.sin(y * (k + 1))) for k, y in enumerate(arrays)), start=0.0)

    assert_as_raw(
        program, np.asarray([[0.5, 0.75, 1.5], [0.3, 1.2, 0.9]]), get_backend("numpy"), complex_step
    )
