"""NumPy's functions that bpkit does not have, and arrays of other libraries among traced values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases.numpy_functions import Q, S, V

import bpkit
from bpkit import grad, jvp, stop_gradient
from bpkit.array import Array
from bpkit.errors import (
    BackendError,
    MixedBackendsError,
    NotDifferentiableError,
)
from bpkit.numpy_protocol import FUNCTIONS
from bpkit.registry import get_backend

Function = Callable[[Any], Any]


# What has no counterpart, and whose arrays are of another library.


@pytest.mark.parametrize(
    ("name", "call", "advice"),
    [
        ("unique", np.unique, "xp.unique_"),
        ("histogram", np.histogram, "bpkit.stop_gradient(x)"),
        ("insert", lambda x: np.insert(x, 0, 1.0), "numpy.concatenate"),
        ("copyto", lambda x: np.copyto(np.zeros(5), x), "numpy.where"),
        ("copyto", lambda x: np.full_like(V, x[0]), "numpy.where"),
        ("put", lambda x: np.put(np.zeros(5), [0], x[0]), "numpy.stack"),
        ("linalg.lstsq", lambda x: np.linalg.lstsq(Q, x[:3]), "numpy.linalg.pinv(a) @ b"),
        ("polyfit", lambda x: np.polyfit(V, x, 1), "numpy.vander"),
        ("emath.sqrt", np.emath.sqrt, "xp.sqrt"),
        (
            "lib.stride_tricks.sliding_window_view",
            lambda x: np.lib.stride_tricks.sliding_window_view(x, 2),
            "bpkit.xp.sliding_window_view, which copies",
        ),
        ("trim_zeros", np.poly1d, "numpy.polyval(p, x)"),
        ("roots", np.roots, "bpkit.stop_gradient(x)"),
    ],
)
def test_what_is_not_mapped_is_refused_by_name(name: str, call: Function, advice: str) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by grad") as caught:
        grad(lambda x: call(x * 1.0))(V)
    assert advice in str(caught.value)
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by jvp"):
        jvp(lambda x: call(x * 1.0), (V,), (V,))


def test_every_function_of_numpy_answers_or_refuses_by_name() -> None:
    """No function takes a traced value for something else: a list of objects, a number, a copy."""

    def refusals(x: Any) -> Any:
        for module in (np, np.linalg, np.fft):
            for name in sorted(vars(module)):
                original = getattr(module, name)
                if type(original) is not type(np.sum) or original in FUNCTIONS or "save" in name:
                    continue
                with pytest.raises((NotDifferentiableError, TypeError)) as caught:
                    original(x)
                if not isinstance(caught.value, NotDifferentiableError):
                    assert "missing" in str(caught.value) or "argument" in str(caught.value), name
        return np.sum(x)

    grad(refusals)(V)


def test_constants_are_plain_arrays_to_what_is_not_mapped() -> None:
    def loss(x: Any, labels: Any) -> Any:
        counts = np.bincount(labels, minlength=3)
        assert type(counts) is np.ndarray
        assert np.unique(stop_gradient(x)).tolist() == sorted(V)
        with pytest.raises(ValueError, match="read-only"):
            np.put(labels, [0], 7)
        held = np.zeros(5)
        np.copyto(held, stop_gradient(x))
        return np.sum(x * counts[labels] * held)

    np.testing.assert_array_equal(grad(loss)(V, np.asarray([0, 2, 2, 1, 0])), np.asarray([2, 2, 2, 1, 2]) * V)


def test_constants_go_the_same_way() -> None:
    def loss(x: Any, y: Any) -> Any:
        assert isinstance(np.sin(y), Array) and isinstance(np.fft.fft(y), Array)
        return np.sum(x * np.cumsum(y))

    np.testing.assert_allclose(grad(loss)(V, S), np.cumsum(S))


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_values_of_other_libraries_are_refused_with_the_way_out(name: str) -> None:
    try:
        backend = get_backend(name)
        x = backend.from_host(V.astype(np.float32))
    except BackendError as error:
        pytest.skip(str(error))

    def loss(t: Any) -> Any:
        calls: dict[str, Function] = {
            "sin": np.sin,
            "add": lambda t: np.add(t, 1.0),
            "add.reduce": np.add.reduce,
            "sum": np.sum,
            "concatenate": lambda t: np.concatenate([t, t]),
            "linalg.norm": np.linalg.norm,
            "unique": np.unique,
        }
        for called, call in calls.items():
            with pytest.raises(
                MixedBackendsError, match=rf"numpy\.{called} of a value traced by grad"
            ) as caught:
                call(t)
            assert name in str(caught.value) and "x.__array_namespace__()" in str(caught.value)
        assert np.shape(t) == (5,) and np.ndim(t) == 1 and np.size(t) == 5
        with pytest.raises(MixedBackendsError, match="numpy"):
            V * t
        if name != "array_api_strict":
            assert (np.float64(2) * t).dtype == t.dtype
        return bpkit.xp.sum(t)

    grad(loss)(x)


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_constants_of_other_libraries_become_numpy_arrays_as_the_library_s_own_do(name: str) -> None:
    try:
        backend = get_backend(name)
        x, y = backend.from_host(V.astype(np.float32)), backend.from_host(S.astype(np.float32))
    except BackendError as error:
        pytest.skip(str(error))

    def loss(t: Any, y: Any) -> Any:
        made = t.__array_namespace__().ones(5)
        for constant, value in ((y, S.astype(np.float32)), (bpkit.stop_gradient(t), V), (made, np.ones(5))):
            for call in (np.atleast_2d, np.sin, np.add.reduce, np.linalg.norm, lambda x: np.tile(x, 2)):
                found = call(constant)
                assert isinstance(found, np.ndarray | np.generic)
                np.testing.assert_allclose(found, call(value), rtol=1e-6)
            with pytest.raises(MixedBackendsError, match=r"numpy\.concatenate"):
                np.concatenate([t, constant])
        return bpkit.xp.sum(t)

    grad(loss)(x, y)


def test_questions_about_values_are_answered_in_python() -> None:
    def loss(x: Any) -> Any:
        assert np.allclose(x, V) and not np.array_equal(x, S) and np.array_equiv(x, V)
        assert np.shape(x) == (5,) and np.size(x) == 5 and np.ndim(x) == 1
        assert np.result_type(x, np.float32) == np.float64 and np.can_cast(x.dtype, np.float64)
        assert np.isrealobj(x) and not np.iscomplexobj(x)
        assert np.array2string(x) == np.array2string(V)
        assert np.shares_memory(x, x[1:]) and not np.may_share_memory(x, S)
        return np.sum(x)

    np.testing.assert_array_equal(grad(loss)(V), np.ones(5))
