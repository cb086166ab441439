"""Traced values that are assigned to arrays which cannot take them up."""

import re
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import grad, jvp, stop_gradient, vmap
from bpkit.errors import GradientCutError, GradientCutWarning


def _in_turn(x: Any) -> Any:
    plain = np.empty(3)
    for i in range(3):
        plain[i] = x[i] ** 2
    return plain


def _in_a_row(x: Any) -> Any:
    plain = np.zeros((2, 2))
    plain[1, 0] = x[0]
    return plain


def _in_place(x: Any) -> Any:
    plain = np.zeros(2)
    plain[0] += x[0]
    return plain


def _flat(x: Any) -> Any:
    plain = np.zeros((2, 2))
    plain.flat[1] = x[0]
    return plain


def _complex(x: Any) -> Any:
    plain = np.zeros(2, complex)
    plain[0] = x[0]
    return np.real(plain)


def _in_a_function(x: Any) -> Any:
    plain = np.zeros(2)

    def put(i: int) -> None:
        plain[i] = x[i]

    put(1)
    return plain


def _slice(x: Any) -> Any:
    plain = np.zeros(2)
    plain[:] = x[0]
    return plain


def _memory(x: Any) -> Any:
    plain = memoryview(np.zeros(2))
    plain[0] = x[0]
    return np.asarray(plain)


STORES = [_in_turn, _in_a_row, _in_place, _flat, _complex, _in_a_function, _slice, _memory]


@pytest.mark.parametrize("store", STORES)
def test_assignment_to_a_plain_array_is_refused(store: Any) -> None:
    x = np.asarray([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return np.sum(store(x)) + np.sum(x)

    for transform in (
        lambda: grad(f)(x),
        lambda: jvp(f, (x,), (x,)),
        lambda: grad(lambda x: np.sum(grad(f)(x)))(x),
        lambda: grad(lambda x: f(bpkit.checkpoint(lambda x: x * f(x))(x)))(x),
    ):
        with pytest.raises(
            GradientCutError, match=r"bpkit\.xp\.zeros\(...\) or\s+numpy\.zeros_like"
        ) as caught:
            transform()
        assert re.search(r"test_plain_arrays\.py:\d+: plain.*=", caught.value.line)
    with pytest.raises((TypeError, ValueError)):
        bpkit.jit(grad(f))(x)
    with pytest.raises((TypeError, ValueError)):
        vmap(f)(x[None, :])


def test_assignments_that_lose_nothing() -> None:
    def f(x: Any) -> Any:
        plain, values, named = np.zeros(3), [0.0, 0.0], {}
        plain[0] = stop_gradient(x[0])
        plain[1] = x[1] > 0
        values[0], values[1:] = x[0], [x[1]]
        named["z"] = x[2]
        return np.sum(plain) + values[0] * values[1] * named["z"]

    assert grad(f)(np.asarray([1.0, 2.0, 3.0])).tolist() == [6.0, 3.0, 2.0]


def test_a_number_that_is_asked_for_and_then_assigned_is_a_warning() -> None:
    def f(x: Any) -> Any:
        plain = np.zeros(2)
        plain[0] = float(x)
        return np.sum(plain) + x

    with pytest.warns(GradientCutWarning, match=r"float\(\) of a value"):
        assert float(grad(f)(3.0)) == 1.0


def test_errors_of_ones_own_are_not_replaced() -> None:
    def f(x: Any) -> Any:
        try:
            np.zeros(2)[0] = x
        except (TypeError, ValueError) as error:
            raise KeyError("mine") from error

    with pytest.raises(KeyError, match="mine"):
        grad(f)(3.0)
