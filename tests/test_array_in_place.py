"""In-place operators on traced arrays: what they change, and what they refuse to."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkit import grad, value_and_grad, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import BackendError, GradientCutError
from bpkit.registry import backend_of, get_backend

IN_PLACE: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "add": (operator.iadd, operator.add),
    "subtract": (operator.isub, operator.sub),
    "multiply": (operator.imul, operator.mul),
    "divide": (operator.itruediv, operator.truediv),
    "floor_divide": (operator.ifloordiv, operator.floordiv),
    "remainder": (operator.imod, operator.mod),
    "pow": (operator.ipow, operator.pow),
    "matmul": (operator.imatmul, operator.matmul),
}


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operator_gives_what_the_operator_gives(backend: Backend, name: str) -> None:
    x, y = xp.asarray([[1.5, 2.5], [0.5, 1.0]]), xp.asarray([[2.0, 0.75], [1.25, 3.0]])
    change, apply = IN_PLACE[name]

    def in_place(t: Any, u: Any) -> Any:
        t = change(t, u)
        return xp.sum(t * t)

    expected = grad(lambda t, u: xp.sum(apply(t, u) ** 2), (0, 1))(x, y)
    for got, want in zip(grad(in_place, (0, 1))(x, y), expected, strict=True):
        np.testing.assert_allclose(host(got), host(want), rtol=1e-14)


def test_a_loss_adds_up_in_a_loop(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        total = 0.0
        for k in range(3):
            total += xp.sum(x**k)
        product = x[0] * 1.0
        for k in range(1, 3):
            product *= x[k]
        return total + product

    x = xp.asarray([2.0, 3.0, 4.0])
    expected = 1 + 2 * np.asarray([2.0, 3.0, 4.0]) + np.asarray([12.0, 8.0, 6.0])
    np.testing.assert_allclose(host(grad(loss)(x)), expected)


def test_in_place_changes_the_array_under_every_name_where_the_library_does(backend: Backend) -> None:
    def f(x: Any) -> Any:
        x = x * 1.0
        alias = x
        x += 1.0
        return xp.sum(alias * x)

    x = xp.asarray([1.0, 2.0])
    value, gradient = value_and_grad(f)(x)
    assert float(value) == float(f(x))
    changes = Capability.IN_PLACE in backend.capabilities
    assert host(gradient).tolist() == ([4.0, 6.0] if changes else [3.0, 5.0])


def test_numpy_scalars_do_not_change_under_another_name() -> None:
    def f(x: Any) -> Any:
        first = x[0]
        kept = first
        first += x[1]
        total = xp.sum(x)
        also = total
        total *= 2.0
        return first * kept + total * also

    x = np.asarray([2.0, 3.0])
    value, gradient = value_and_grad(f)(x)
    assert value == f(x) == 5.0 * 2.0 + 10.0 * 5.0
    np.testing.assert_allclose(gradient, [7.0 + 20.0, 2.0 + 20.0])


def test_in_place_keeps_shape_and_dtype() -> None:
    def grows(x: Any) -> Any:
        x += xp.ones((2, 3))
        return xp.sum(x)

    with pytest.raises(
        ValueError, match=r"result has shape \(2, 3\), which does not fit into x of shape \(3,\)"
    ):
        grad(grows)(np.ones(3))

    def widens(x: Any) -> Any:
        x *= np.ones(3)
        assert x.dtype == np.float32
        return xp.sum(x)

    assert grad(widens)(np.ones(3, dtype=np.float32)).dtype == np.float32

    def turns_complex(x: Any) -> Any:
        x *= 1j
        return xp.sum(xp.abs(x))

    with pytest.raises(
        TypeError, match="the result has dtype complex128, which x with dtype float64 cannot hold"
    ):
        grad(turns_complex)(np.ones(3))


def test_plain_arrays_do_not_take_up_traced_values() -> None:
    def accumulate(x: Any) -> Any:
        total = np.zeros(3)
        total += x
        return xp.sum(total)

    with pytest.raises(TypeError, match="Array"):
        grad(accumulate)(np.ones(3))

    def assign(x: Any) -> Any:
        rows = np.zeros((2, 3))
        rows[0] = x
        return np.sum(rows)

    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\) of a value traced by grad"):
        grad(assign)(np.ones(3))


KINDS = ("alias", "scale", "iadd", "imul", "isub_scalar", "part", "reshape", "row", "item", "sum")
STATEMENTS = st.tuples(st.sampled_from(KINDS), st.integers(0, 6), st.integers(0, 6))


def execute(program: list[tuple[str, int, int]], x: Any) -> Any:
    """Run a straight-line program of aliases, views and in-place operators."""
    names = [x]
    for statement, i, j in program:
        a, b = names[i % len(names)], names[j % len(names)]
        if statement == "alias":
            names.append(a)
        elif statement == "scale":
            names.append(a * 0.5)
        elif statement == "iadd":
            a += b if a.shape == b.shape else 1.0
            names[i % len(names)] = a
        elif statement == "imul":
            a *= 1.5
            names[i % len(names)] = a
        elif statement == "isub_scalar":
            a -= xp.sum(b)
            names[i % len(names)] = a
        elif statement == "part" and a.ndim and a.shape[0] > 1:
            names.append(a[1:, ...])
        elif statement == "reshape" and a.ndim:
            names.append(xp.reshape(a, (-1, 1) if a.ndim == 1 else (-1,)))
        elif statement == "row" and a.ndim:
            names.append(a[0, ...])
        elif statement == "item" and a.ndim == 1:
            names.append(a[-1])
        elif statement == "sum":
            names.append(xp.sum(a, axis=0) if a.ndim else a + 0.0)
    total = 0.0
    for name in names:
        total = total + xp.sum(name)
    return total


@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
@settings(deadline=None)
@given(program=st.lists(STATEMENTS, min_size=1, max_size=8))
def test_in_place_programs_agree_with_the_raw_run(library: str, program: list[tuple[str, int, int]]) -> None:
    try:
        backend = get_backend(library)
        x = backend.from_host(np.asarray([1.0, 2.0, 4.0]))
    except BackendError as error:
        pytest.skip(str(error))
    value, _ = value_and_grad(lambda t: execute(program, t * 1.0))(x)
    assert float(value) == float(execute(program, x * 1.0))
