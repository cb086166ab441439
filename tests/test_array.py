"""The traced array: operators, Python's control flow, and what it refuses."""

import copy
import math
import operator
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import grad, jvp, stop_gradient, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend
from bpkit.array import Array
from bpkit.errors import (
    BackendError,
    BatchingError,
    GradientCutError,
    GradientCutWarning,
    MixedBackendsError,
    TraceError,
)
from bpkit.kinds import raw
from bpkit.namespace.xp import namespace_of
from bpkit.registry import backend_of, get_backend

Binary = Callable[[Any, Any], Any]

ARITHMETIC: dict[str, Binary] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "matmul": operator.matmul,
}
COMPARISONS: dict[str, Binary] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
BITWISE: dict[str, Binary] = {
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "bitwise_left_shift": operator.lshift,
    "bitwise_right_shift": operator.rshift,
}


def host(x: Any) -> Any:
    return backend_of(raw(x)).to_host(raw(x))


def traced(*values: Any) -> list[Any]:
    """Values as the user's function sees them, after the transform has ended."""
    seen: list[Any] = []

    def keep(*arguments: Any) -> Any:
        seen.extend(arguments)
        return xp.sum(arguments[0])

    grad(keep)(*values)
    return seen


def inside(function: Callable[[Any], Any], x: Any) -> Any:
    """What a function of a traced value returns, while the transform runs."""
    seen: list[Any] = []

    def run(t: Any) -> Any:
        seen.append(function(t * 1.0))
        return xp.sum(t)

    grad(run)(x)
    return seen[0]


# Operators.


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_arithmetic_is_the_function_of_that_name(backend: Backend, name: str, side: str) -> None:
    x, y = xp.asarray([1.5, 2.5, 3.5]), xp.asarray([2.0, 0.75, 1.25])
    values: list[Any] = []

    def run(combine: Binary) -> Callable[[Any], Any]:
        def loss(t: Any) -> Any:
            operands = {"left": (t, y), "right": (y, t), "both": (t, t)}[side]
            out = combine(*operands)
            values.append(host(stop_gradient(out)._value))
            assert isinstance(out, Array)
            return xp.sum(out * out)

        return loss

    if backend.name == "array_api_strict" and side == "right":
        with pytest.raises(TypeError, match=r"got <class 'bpkit\.array\.Array'>"):
            grad(run(ARITHMETIC[name]))(x)
        return
    by_operator = grad(run(ARITHMETIC[name]))(x)
    by_function = grad(run(getattr(xp, name)))(x)
    np.testing.assert_array_equal(host(by_operator), host(by_function))
    raw = {"left": (x, y), "right": (y, x), "both": (x, x)}[side]
    np.testing.assert_allclose(values[0], host(ARITHMETIC[name](*raw)), rtol=1e-15)


@pytest.mark.parametrize("name", [name for name in ARITHMETIC if name != "matmul"])
def test_arithmetic_with_python_scalars(backend: Backend, name: str) -> None:
    apply = ARITHMETIC[name]
    x = xp.asarray([1.5, 2.5])
    for scalar in (2, 0.75):
        for combine in (lambda t, s=scalar: apply(t, s), lambda t, s=scalar: apply(s, t)):
            value, _ = value_and_grad(lambda t, f=combine: xp.sum(f(t)))(x)
            assert float(value) == pytest.approx(float(xp.sum(combine(x))), rel=1e-15)
            assert value.dtype == x.dtype


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_compare_values(backend: Backend, name: str) -> None:
    x, y = xp.asarray([1.0, 2.0, 3.0]), xp.asarray([3.0, 2.0, 1.0])
    compare = COMPARISONS[name]
    expected = host(compare(x, y))

    def loss(t: Any) -> Any:
        found = compare(t, y)
        assert isinstance(found, Array)
        np.testing.assert_array_equal(np.asarray(found), expected)
        np.testing.assert_array_equal(np.asarray(compare(t, 2.0)), host(compare(x, 2.0)))
        np.testing.assert_array_equal(np.asarray(compare(2.0, t)), host(compare(xp.asarray(2.0), x)))
        return xp.sum(xp.where(found, t, 2 * t))

    np.testing.assert_array_equal(host(grad(loss)(x)), np.where(expected, 1.0, 2.0))


@pytest.mark.parametrize("name", BITWISE)
def test_bitwise_operators_on_constants(backend: Backend, name: str) -> None:
    x, y = xp.asarray([5, 6, 7]), xp.asarray([1, 2, 1])
    apply = BITWISE[name]

    def loss(w: Any, t: Any, u: Any) -> Any:
        for found, expected in (
            (apply(t, u), apply(x, y)),
            (apply(t, y), apply(x, y)),
            (apply(t, 1), apply(x, 1)),
            (apply(3, t), apply(xp.asarray(3), x)),
        ):
            np.testing.assert_array_equal(np.asarray(found), host(expected))
        if backend.name != "array_api_strict":
            np.testing.assert_array_equal(np.asarray(apply(x, u)), host(apply(x, y)))
        return w

    grad(loss)(1.0, x, y)


def test_unary_operators(backend: Backend) -> None:
    x = xp.asarray([-1.5, 2.5])
    assert host(grad(lambda t: xp.sum(-t))(x)).tolist() == [-1.0, -1.0]
    assert host(grad(lambda t: xp.sum(+t))(x)).tolist() == [1.0, 1.0]
    assert host(grad(lambda t: xp.sum(abs(t)))(x)).tolist() == [-1.0, 1.0]
    assert host(grad(lambda t: xp.sum(xp.where(~(t > 0), t, 3 * t)))(x)).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("backend", ["array_api_strict", "torch"], indirect=True)
def test_numpy_scalars_meet_traced_arrays_of_another_library(backend: Backend) -> None:
    def loss(t: Any) -> Any:
        return xp.sum(np.float64(2.0) * t / np.float32(4.0) + t ** np.float64(3.0))

    # SciPy makes such factors with math and numpy; array-api-strict's operators refuse them.
    gradient = grad(loss)(backend.from_host(np.asarray([1.0, 2.0]), None))
    assert backend.to_host(gradient).tolist() == [3.5, 12.5]


@pytest.mark.parametrize(
    "scalar", [np.float64(2.0), np.float32(2.0), np.int64(2), np.bool_(True)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "pow", "less", "equal"])
def test_numpy_scalars_meet_traced_arrays(scalar: Any, name: str) -> None:
    if name == "subtract" and isinstance(scalar, np.bool_):
        scalar = np.int8(1)
    apply = {**ARITHMETIC, **COMPARISONS}[name]
    x = np.asarray([1.5, 2.5])
    for combine in (lambda t: apply(scalar, t), lambda t: apply(t, scalar)):
        found: list[Any] = []

        def loss(t: Any, f: Any = combine, found: Any = found) -> Any:
            found.append(f(t))
            return xp.sum(xp.astype(found[0], xp.float64))

        value, _ = value_and_grad(loss)(x)
        assert isinstance(found[0], Array)
        assert value == np.sum(combine(x))


@pytest.mark.parametrize("names", [("numpy", "torch"), ("numpy", "jax"), ("jax", "torch")])
@pytest.mark.parametrize("transform", ["grad", "jvp"])
def test_two_libraries_are_an_error_that_names_both(names: tuple[str, str], transform: str) -> None:
    try:
        one, other = (get_backend(name) for name in names)
        x, y = (backend.from_host(np.ones(3, dtype=np.float32)) for backend in (one, other))
    except BackendError as error:
        pytest.skip(str(error))
    for combine in (lambda t: xp.sum(t * y), lambda t: xp.sum(y * t), lambda t: xp.sum(xp.atan2(y, t))):
        with pytest.raises(MixedBackendsError) as caught:
            grad(combine)(x) if transform == "grad" else jvp(combine, (x,), (x,))
        assert names[0] in str(caught.value) and names[1] in str(caught.value)


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_a_numpy_scalar_with_a_derivative_is_no_number_of_another_library(library: str) -> None:
    """Which would take it as one, and the derivative would be an array of that library."""
    pytest.importorskip(library)
    y = get_backend(library).from_host(np.ones(3, dtype=np.float32))
    x = np.float64(2.0)
    for f in (lambda t: xp.sum(t * y), lambda t: xp.sum(2.0 * t * y), lambda t: xp.sum(xp.divide(y, t * t))):
        with pytest.raises(
            MixedBackendsError, match=rf"numpy\.float64 of numpy.*{library}|{library}.*of numpy"
        ):
            grad(f)(x)
        with pytest.raises(MixedBackendsError):
            jvp(f, (x,), (x,))
    # One without a derivative still is.
    assert float(grad(lambda t: xp.sum(t * x) + xp.sum(t) * (3.0 * x))(y)[0]) == 8.0


def test_an_operand_of_no_library_is_refused() -> None:
    with pytest.raises(TypeError, match="expected an array of one of the libraries numpy"):
        grad(lambda t: t + "1")(1.0)
    with pytest.raises(TypeError, match="expected an array, got a list; make an array of it first"):
        grad(lambda t: xp.sum(t * [1.0, 2.0]))(np.ones(2))


# Values for Python.


def test_python_branches_and_loops_follow_the_values(backend: Backend) -> None:
    def f(x: Any, n: Any) -> Any:
        y = x if x > 1.0 else -x
        for _ in range(n):
            y = y * x
        while y < 100.0:
            y = y * 2.0
        return y * [1.0, 10.0][int(x > 1.0)]

    g = grad(f)
    assert float(g(xp.asarray(2.0), xp.asarray(2))) == pytest.approx(10 * 16 * 3 * 4)
    assert float(g(xp.asarray(-2.0), xp.asarray(2))) == pytest.approx(-16 * 3 * 4)


def test_integers_that_math_makes_of_a_value_are_no_cut(backend: Backend) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = grad(lambda x: x * math.floor(x) + math.ceil(x * 2.0) * x + math.trunc(-x))(xp.asarray(2.3))
    assert float(found) == 2 + 5
    with pytest.raises(BatchingError, match=r"math\.floor\(\) of a value that differs between the examples"):
        vmap(lambda x: x * math.floor(x))(xp.asarray([1.5, 2.5]))


def test_int_bool_and_index(backend: Backend) -> None:
    def f(x: Any, i: Any) -> Any:
        assert int(x[0]) == 2
        assert bool(x[0])
        assert not bool(x[1] > 0)
        assert operator.index(i) == 1
        assert [10, 20][i] == 20
        assert (1, 2, 3)[: i + 1] == (1, 2)
        return x[i] * 1.0

    x = xp.asarray([2.75, -1.0])
    assert host(grad(f)(x, xp.asarray(1))).tolist() == [0.0, 1.0]
    with pytest.raises(TypeError):
        grad(lambda t: [1.0][t])(1.0)


def test_float_of_a_traced_value_warns_with_the_place() -> None:
    def f(x: Any) -> Any:
        return x * float(x)

    line = f.__code__.co_firstlineno + 1
    with pytest.warns(
        GradientCutWarning, match=r"float\(\) of a value that is being differentiated"
    ) as found:
        assert float(grad(f)(3.0)) == 3.0
    assert [(w.filename, w.lineno) for w in found] == [(__file__, line)]
    with pytest.warns(GradientCutWarning, match=r"write float\(bpkit.stop_gradient\(x\)\)"):
        grad(lambda x: x * math.exp(x))(1.0)
    with pytest.warns(GradientCutWarning, match=r"complex\(\)"):
        grad(lambda x: x * complex(x).real)(1.0)
    with pytest.warns(GradientCutWarning):
        jvp(f, (2.0,), (1.0,))


def test_float_warns_once_per_place() -> None:
    def f(x: Any) -> Any:
        total = x
        for _ in range(5):
            total = total + float(x)
        return total * float(x)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            grad(f)(2.0)
    assert len(caught) == 2


def test_float_that_cuts_everything_is_an_error_with_the_place() -> None:
    def f(x: Any) -> Any:
        y = math.sin(x) + math.sin(x)
        return y * y

    place = f"test_array.py:{f.__code__.co_firstlineno + 1}: "
    with (
        pytest.warns(GradientCutWarning),
        pytest.raises(GradientCutError, match=r"grad of .*f: the result does not depend") as caught,
    ):
        grad(f)(2.0)
    assert str(caught.value).count(place) == 1
    for transform in (lambda: vjp(f, 2.0), lambda: jvp(f, (2.0,), (1.0,))):
        with pytest.warns(GradientCutWarning), pytest.raises(GradientCutError, match="stop_gradient"):
            transform()


def test_float_without_a_gradient_is_silent() -> None:
    assert float(grad(lambda x: x * float(stop_gradient(x)))(3.0)) == 3.0
    assert float(grad(lambda x, y: x * float(y) * math.sqrt(y))(3.0, np.asarray(4.0))) == 8.0
    assert float(grad(lambda x: x * float(x > 2.0) * float(x.shape[0:1] == ()))(3.0)) == 1.0


def test_float_of_an_outer_value_warns_too() -> None:
    def f(x: Any) -> Any:
        return grad(lambda y: y * float(x))(x) * x

    with pytest.warns(GradientCutWarning):
        assert float(grad(f)(3.0)) == 3.0


# What it refuses, and what it allows.


@pytest.mark.parametrize(
    ("what", "conversion"),
    [
        ("numpy.asarray", np.asarray),
        ("numpy.asarray", np.vectorize(abs)),
        ("numpy.asarray", lambda x: np.array([x, x])),
        ("numpy.asarray", lambda x: np.sum([x, x])),
        ("numpy.asarray", lambda x: np.ones(3)[x]),
        ("DLPack export", np.from_dlpack),
    ],
)
def test_numpy_conversions_refuse(what: str, conversion: Callable[[Any], Any]) -> None:
    with pytest.raises(GradientCutError) as caught:
        grad(lambda x: conversion(x * 1.0))(np.ones(3))
    assert what in str(caught.value)
    assert "bpkit.xp" in str(caught.value) and "bpkit.stop_gradient(x)" in str(caught.value)


def test_foreign_libraries_refuse() -> None:
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    x = torch.ones(3)
    for conversion in (torch.asarray, torch.as_tensor, torch.from_dlpack, torch.tensor):
        with pytest.raises(GradientCutError, match="DLPack export of a value traced by grad"):
            grad(lambda t, f=conversion: f(t * 1.0))(x)
    for function in (torch.sin, lambda t: torch.add(torch.ones(3), t), lambda t: torch.stack([t, t])):
        with pytest.raises(TraceError, match=r"torch's (sin|add|stack) of a traced value: .* bpkit\.xp"):
            grad(function)(x)
    for function in (jax.numpy.asarray, lambda t: jax.numpy.stack([t, t]), jax.numpy.sin):
        with pytest.raises(TypeError):
            grad(function)(jax.numpy.ones(3))


def test_constants_become_numpy_arrays(backend: Backend) -> None:
    labels = xp.asarray([0, 2, 1])

    def f(x: Any, y: Any) -> Any:
        plain = np.array(y)
        plain += 1
        assert np.asarray(y, dtype=np.float32).dtype == np.float32
        with pytest.raises(ValueError, match="copy=False"):
            np.asarray(y, copy=False)
        np.testing.assert_array_equal(np.asarray(stop_gradient(x)), [1.0, 2.0, 4.0])
        return xp.sum(x) * float(np.eye(3)[np.asarray(y)].sum()) * float(plain.sum())

    assert host(grad(f)(xp.asarray([1.0, 2.0, 4.0]), labels)).tolist() == [18.0] * 3
    assert host(labels).tolist() == [0, 2, 1]


def test_copies_stay_traced_and_pickles_refuse() -> None:
    def f(x: Any) -> Any:
        shallow, deep = copy.copy(x), copy.deepcopy({"a": [x]})["a"][0]
        deep += 1.0
        return xp.sum(shallow * deep * x)

    np.testing.assert_allclose(grad(f)(np.asarray([2.0])), [3 * 4.0 + 2 * 2.0])
    with pytest.raises(GradientCutError, match="means nothing in another process"):
        grad(pickle.dumps)(1.0)


def test_0d_arrays_have_no_length_and_nothing_is_hashable(backend: Backend) -> None:
    (x, y) = traced(xp.asarray(1.0), xp.ones((2, 3)))
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d array"):
        len(x)
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        iter(x)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    assert len(y) == 2
    rows = inside(lambda t: [(row.shape, float(stop_gradient(xp.sum(row)))) for row in t], xp.ones((2, 3)))
    assert rows == [((3,), 3.0)] * 2


def test_properties_are_those_of_the_raw_array(backend: Backend) -> None:
    x = xp.ones((2, 3), dtype="float32")

    def check(t: Any) -> None:
        assert (t.shape, t.ndim, t.size, t.dtype, t.device) == ((2, 3), 2, 6, x.dtype, x.device)
        assert t.T.shape == t.mT.shape == (3, 2)
        assert t.__array_namespace__() is namespace_of(backend)
        assert t.__array_namespace__(api_version="2024.12") is namespace_of(backend)

    inside(check, x)
    if hasattr(x, "astype"):  # as in NumPy, of any number of axes
        inside(lambda t: check_turned(t.T), xp.ones((2, 1, 3)))
    else:
        with pytest.raises(ValueError, match=r"x\.T transposes a matrix, and x has shape \(2,\); use x\.mT"):
            grad(lambda t: xp.sum(t.T))(xp.ones(2))


def check_turned(t: Any) -> None:
    assert t.shape == (3, 1, 2)


def test_how_it_prints() -> None:
    def f(x: Any) -> Any:
        assert repr(x) == "Array(np.float64(2.5), traced by grad, value_and_grad or vjp)"
        assert str(x) == repr(x) == f"{x}" == f"{x!r}"
        assert f"{x:.2f}|{x * 2:6.1f}" == "2.50|   5.0"
        jvp(inner, (x,), (1.0,))
        return x

    def inner(y: Any) -> Any:
        show.append(repr(y))
        return y

    show: list[str] = []
    grad(f)(2.5)
    assert show == ["Array(Array(np.float64(2.5), traced by grad, value_and_grad or vjp), traced by jvp)"]


def test_namespace_of_a_traced_array_serves_third_party_code(backend: Backend) -> None:
    def standardise(x: Any) -> Any:
        ns = x.__array_namespace__()
        return (x - ns.mean(x)) / ns.std(x) + ns.zeros(x.shape, dtype=x.dtype)

    g = grad(lambda x: xp.sum(standardise(x) ** 3))(xp.asarray([1.0, 2.0, 4.0]))
    assert backend_of(g) is backend
    assert abs(float(bpkit.xp.sum(g))) < 1e-6


def test_a_method_of_one_library_names_the_function_to_use() -> None:
    with pytest.raises(AttributeError, match=r"write bpkit\.xp\.flip\(x"):
        grad(lambda x: x.flip(axis=0))(np.ones(2))
    with pytest.raises(AttributeError, match=r"'flatten_all' is not among them\n"):
        grad(lambda x: x.flatten_all())(np.ones(2))
