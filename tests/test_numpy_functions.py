"""Code written with ``numpy.`` names only, on values traced over NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases.numpy_functions import CASES, EDGES, LATER, A, S, V, Z

from bpkit import array, grad, jvp, numpy_protocol, stop_gradient, value_and_grad, vjp
from bpkit.array import Array
from bpkit.errors import (
    GradientCutError,
    NotDifferentiableError,
)
from bpkit.numpy_protocol import FUNCTIONS, UFUNCS, apply_function, apply_ufunc

Function = Callable[[Any], Any]


def is_here(name: str) -> bool:
    """Whether this NumPy has what a case calls."""
    return np.lib.NumpyVersion(np.__version__) >= f"{LATER.get(name, '2.0')}.0"


def since(name: str) -> pytest.MarkDecorator:
    """Skips what calls the function of a case that this NumPy does not have."""
    return pytest.mark.skipif(not is_here(name), reason=f"NumPy {LATER.get(name)} and later have it")


NAMES = [pytest.param(name, marks=since(name)) for name in CASES]


def parts(out: Any) -> list[Any]:
    """The arrays of a result."""
    return list(out) if isinstance(out, tuple | list) else [out]


def loss_of(function: Function, x: Any) -> Function:
    """A real number that depends on every element of every result, written with ``numpy.`` names."""

    def weights(part: Any, phase: float) -> Any:
        shape = np.shape(part)
        return np.cos(np.arange(int(np.prod(shape))) * 1.7 + phase).reshape(shape)

    def loss(x: Any) -> Any:
        total = 0.0
        for i, part in enumerate(parts(function(x))):
            total = total + np.sum(np.real(part) * weights(part, i))
            if np.iscomplexobj(part):
                total = total + np.sum(np.imag(part) * weights(part, i + 0.5))
        return total

    return loss


def differences(loss: Function, x: Any, step: float = 2.0**-10) -> Any:
    """The gradient by central differences of fourth order."""
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        h = np.zeros(x.shape)
        h[place] = step
        found[place] = (8 * (loss(x + h) - loss(x - h)) - (loss(x + 2 * h) - loss(x - 2 * h))) / (12 * step)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_plain_numpy_code(name: str) -> None:
    function, x = CASES[name]
    loss = loss_of(function, x)
    value, gradient = value_and_grad(loss)(x)
    with np.errstate(all="ignore"):
        expected = differences(loss, x)
        np.testing.assert_allclose(value, loss(x), rtol=1e-5 if "float32" in name else 1e-12)
    assert type(gradient) is np.ndarray and gradient.dtype == x.dtype and gradient.shape == x.shape
    # Where x is NaN there are no differences to compare with.
    expected = np.where(np.isnan(x), gradient, expected)
    scale = max(1.0, float(np.max(np.abs(expected))))
    tolerance = 2e-3 if "float32" in name or name in ("astype", "ones_like") else 1e-8
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * scale)
    _, tangent = jvp(loss, (x,), (np.ones_like(x),))
    assert abs(float(tangent) - float(np.sum(gradient))) <= 1e-5 * scale * x.size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_values_dtypes_and_shapes_are_those_of_numpy(name: str, dtype: str) -> None:
    function, x = CASES[name]
    assert_same(function, x.astype(dtype), {"float64": 1e-12, "float32": 3e-5}[dtype])


@pytest.mark.parametrize("name", EDGES)
def test_values_at_edges_are_those_of_numpy(name: str) -> None:
    function, x = EDGES[name]
    assert_same(function, x, 1e-12)


def assert_same(function: Function, x: Any, tolerance: float) -> None:
    """The values of a traced constant are those of the raw array."""
    seen: list[Any] = []

    def run(number: Any, t: Any) -> Any:
        found = parts(function(t))
        assert any(isinstance(part, Array) for part in found)
        seen.extend(np.asarray(stop_gradient(part)) for part in found)
        return number

    with np.errstate(all="ignore"):
        grad(run)(1.0, x)
    with np.errstate(all="ignore"):
        expected = parts(function(x))
    assert len(seen) == len(expected)
    for value, want in zip(seen, expected, strict=True):
        assert (value.dtype, value.shape) == (np.asarray(want).dtype, np.shape(want))
        finite = np.abs(np.asarray(want)[np.isfinite(want)])
        scale = max(1.0, float(np.max(finite, initial=0)))
        np.testing.assert_allclose(value, want, rtol=tolerance, atol=tolerance * scale)


VALUES_ONLY = {
    *("allclose", "array2string", "array_equal", "array_equiv", "array_repr", "array_str", "can_cast"),
    *("common_type", "einsum_path", "iscomplexobj", "isrealobj", "may_share_memory", "min_scalar_type"),
    *("ndim", "result_type", "shape", "shares_memory", "size"),
}
"""What returns Python's own values, which no gradient flows through."""


def test_every_function_that_is_mapped_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def function(original: Any, args: Any, kwargs: Any) -> Any:
        called.add(FUNCTIONS[original].name)
        return apply_function(original, args, kwargs)

    def ufunc(original: Any, method: str, inputs: Any, kwargs: Any) -> Any:
        called.add(f"{original.__name__}.{method}")
        return apply_ufunc(original, method, inputs, kwargs)

    monkeypatch.setattr(numpy_protocol, "apply_function", function)
    monkeypatch.setattr(numpy_protocol, "apply_ufunc", ufunc)
    monkeypatch.setattr(array, "reflected", lambda *_: None)
    with np.errstate(all="ignore"):
        for case, x in [case for name, case in CASES.items() if is_here(name)]:
            vjp(lambda t, case=case: parts(case(t)), x)
    mapped = {f.name for f in FUNCTIONS.values()} | {f"{ufunc.__name__}.__call__" for ufunc in UFUNCS}
    assert len(mapped) >= 250
    assert mapped - called == VALUES_ONLY


# Parameters that came with NumPy 2.1, and the one that it calls by another name.
SINCE_2_1 = {"clip": {"min", "max"}, "reshape": {"newshape", "shape", "copy"}}


def test_parameters_have_the_names_that_numpy_gives_them() -> None:
    for mapped in FUNCTIONS.values():
        if not mapped.open:
            changed = SINCE_2_1.get(mapped.name, set())
            assert mapped.taken - changed <= set(mapped.signature.parameters), mapped.name


# Universal functions.


def test_a_dtype_is_obeyed() -> None:
    def loss(x: Any) -> Any:
        narrow = np.add(x, S, dtype=np.float32)
        assert narrow.dtype == np.float32
        with pytest.raises(TypeError, match=r"numpy\.add: cannot cast an operand from float64 to int64"):
            np.add(x, 1, dtype=np.int64)
        with pytest.raises(NotDifferentiableError, match=r"numpy\.less\(dtype=\.\.\.\) of a value traced by"):
            np.less(x, S, dtype=np.float32)
        return np.sum(np.multiply(narrow, x, dtype="float64", casting="unsafe", subok=True, where=True))

    expected = np.float64(np.add(S, S, dtype=np.float32)) + S
    np.testing.assert_allclose(grad(loss)(S), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("frexp", np.frexp),
        ("spacing", np.spacing),
        ("add.at", lambda x: np.add.at(np.zeros(5), [0], x)),
        ("add.reduceat", lambda x: np.add.reduceat(x, [0, 2])),
        ("hypot.reduce", np.hypot.reduce),
        ("maximum.accumulate", np.maximum.accumulate),
    ],
)
def test_other_universal_functions_are_refused_by_name(name: str, call: Function) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by grad") as caught:
        grad(lambda x: call(x * 1.0))(V)
    assert "bpkit.stop_gradient(x)" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("add", lambda x: np.add(x, 1.0, where=V > 1)),
        ("sum", lambda x: np.add.reduce(x, where=V > 1)),
        ("add.reduce", lambda x: np.add.reduce(x, where=V > 1)),
        ("reshape", lambda x: np.reshape(x, (5,), order="F")),
        ("reshape", lambda x: np.reshape(x, (5,), "F")),
        ("var", lambda x: np.var(x, where=V > 1)),
        ("interp", lambda x: np.interp(x, V, V, period=3.0)),
        ("quantile", lambda x: np.quantile(x, 0.5, method="nearest")),
        ("take", lambda x: np.take(x, [0], mode="wrap")),
    ],
)
def test_arguments_without_a_meaning_here_are_refused_by_name(name: str, call: Function) -> None:
    with pytest.raises(
        NotDifferentiableError, match=r"numpy\.[a-z.]*\([a-z]*=.*\) of a value traced by"
    ) as caught:
        grad(lambda x: np.sum(call(x * 1.0)))(V)
    assert "support" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: np.add(x, 1.0, out=out),
        lambda x, out: np.add(V, 1.0, out=x),
        lambda x, out: np.add(x, 1.0, out),
        lambda x, out: np.cumsum(x, out=out),
        lambda x, out: np.cumsum(x, 0, None, out),
        lambda x, out: np.sum(np.stack([x, x]), axis=0, out=out),
        lambda x, out: np.clip(x, 0, 1, out=out),
        lambda x, out: np.dot(x, np.eye(5), out),
        lambda x, out: np.concatenate([x], 0, out),
    ],
)
def test_a_given_array_is_not_written_to(call: Callable[[Any, Any], Any]) -> None:
    out = np.zeros(5)
    with pytest.raises(
        GradientCutError, match=r"numpy\.[a-z]+\(\.\.\., out=\.\.\.\) with a value traced by grad"
    ):
        grad(lambda x: np.sum(call(x * 1.0, out)))(V)
    assert not out.any()


def test_in_place_operators_of_numpy_arrays_are_refused_by_name() -> None:
    for change in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"):
        total = np.zeros(5)
        with pytest.raises(GradientCutError, match=r"Write a = a \+ x instead of a \+= x"):
            grad(lambda x, change=change, total=total: np.sum(getattr(total, change)(x)))(V)
        assert not total.any()


def test_assignment_to_elements_of_numpy_arrays_keeps_its_errors() -> None:
    def rows(x: Any) -> Any:
        a = np.zeros((2, 5))
        a[0] = x
        return np.sum(a)

    def one(x: Any) -> Any:
        a = np.zeros(2)
        a[0] = x[0]
        return np.sum(a)

    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\) of a value traced by grad"):
        grad(rows)(V)
    with pytest.raises(GradientCutError, match="is assigned to an element of a plain array") as caught:
        grad(one)(V)
    assert "a[0] = x[0]" in caught.value.line


# New arrays, and what writes into an array.


def test_new_arrays_take_up_traced_values() -> None:
    def filled(x: Any) -> Any:
        y = np.full_like(x, np.nan)
        y[:2] = x[:2]
        return np.nansum(y * y)

    def of_other_shapes(x: Any) -> Any:
        total: Any = 0.0
        for make in (np.zeros_like, np.ones_like, np.empty_like, lambda x, **how: np.full_like(x, 7, **how)):
            y = make(x, dtype=np.float32, shape=(2, 2))
            assert y.dtype == np.float32 and y.shape == (2, 2)
            y[...] = 0
            y[0] = x[3:]
            total = total + np.sum(y)
        return total

    def of_an_element(x: Any) -> Any:
        y = np.full_like(x, x[0])
        y[1] = 0.0
        return np.sum(y)

    assert grad(filled)(V).tolist() == [2 * V[0], 2 * V[1], 0, 0, 0]
    assert grad(of_other_shapes)(V).tolist() == [0, 0, 0, 4, 4]
    assert grad(of_an_element)(V).tolist() == [4, 0, 0, 0, 0]
    # Whether a value is traced is not asked of the value, which may be zero.
    assert grad(of_an_element)(0 * V).tolist() == [4, 0, 0, 0, 0]
    assert grad(lambda x: np.dot([x[1], x[1]], x[:2] + 1.0))(0 * V).tolist() == [0, 2, 0, 0, 0]
    assert float(grad(lambda a: np.sum(grad(lambda x: filled(x) * a)(a * V)))(2.0)) == 8 * (V[0] + V[1])


def test_grids_are_copies() -> None:
    for sparse in (False, True):

        def loss(x: Any, sparse: bool = sparse) -> Any:
            x = x * 1.0
            a, b = np.meshgrid(x, x, sparse=sparse)
            x *= 2.0
            b += 1.0
            return np.sum(a * b)

        ones = np.ones(3)
        assert float(value_and_grad(loss)(ones)[0]) == loss(ones) == 18.0
        assert grad(loss)(V[:3]) == pytest.approx(differences(loss, V[:3]))


def test_vectors_of_numpy_are_copied_where_the_elements_do_not_stand_in_a_row() -> None:
    def loss(x: Any) -> Any:
        y = x * 1.0
        r = y[::-1].ravel()
        y[0] = 0.0
        return np.sum(r * r)

    x = np.asarray([1.0, 2.0, 3.0, 4.0])
    assert float(value_and_grad(loss)(x)[0]) == loss(x) == 30.0
    with pytest.raises(NotDifferentiableError, match=r"numpy\.ravel\(order='K'\) of a value traced by grad"):
        grad(lambda x: np.sum(np.ravel((x * 1.0)[::2], "K")))(x)


@since("unstack")
def test_elements_of_a_vector_are_copies() -> None:
    def elements(x: Any) -> Any:
        y = x * 1.0
        first, *_ = np.unstack(y)
        first += 5.0
        return np.sum(y)

    x = np.asarray([1.0, 2.0, 3.0, 4.0])
    assert float(value_and_grad(elements)(x)[0]) == elements(x) == 10.0


@pytest.mark.parametrize("dtype", [None, np.float64, np.float32, np.complex64, np.complex128])
@pytest.mark.filterwarnings("ignore:Casting complex values to real")
def test_moments_of_complex_numbers_in_a_dtype(dtype: Any) -> None:
    for call in (lambda z: z.var(dtype=dtype), lambda z: np.std(z, dtype=dtype, ddof=1)):
        expected = call(Z)
        found = vjp(call, Z)[0]
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_reductions_of_some_elements() -> None:
    chosen = A > -0.5
    calls: list[Function] = [
        lambda x: np.mean(x, where=chosen),
        lambda x: np.mean(x, axis=0, where=chosen, keepdims=True),
        lambda x: x.mean(where=[True, False, True, True]),
        lambda x: x.max(1, where=chosen, initial=-1.0),
        lambda x: np.min(x, axis=0, where=chosen, initial=0.25),
    ]
    for call in calls:
        np.testing.assert_allclose(vjp(call, A)[0], call(A), rtol=1e-14)
        loss = loss_of(call, A)
        np.testing.assert_allclose(grad(loss)(A), differences(loss, A), atol=1e-9)
    with pytest.raises(ValueError, match=r"numpy\.max\(where=\.\.\.\) needs an initial value"):
        grad(lambda x: np.max(x, where=chosen))(A)


def test_rank_of_integers_and_of_vectors() -> None:
    def loss(x: Any, counts: Any) -> Any:
        assert np.linalg.matrix_rank(counts) == 2
        assert np.linalg.matrix_rank(x[0]) == 1 and np.linalg.matrix_rank(x[0] * 0) == 0
        return np.sum(x)

    grad(loss)(A, np.arange(9).reshape(3, 3))


# SciPy's universal functions.


def test_universal_functions_of_scipy_are_those_of_the_namespace() -> None:
    ufuncs = pytest.importorskip("scipy.special._ufuncs")
    np.testing.assert_allclose(grad(lambda x: np.sum(ufuncs.erf(x)))(V), 2 / np.sqrt(np.pi) * np.exp(-(V**2)))
    np.testing.assert_allclose(
        grad(lambda x, n: np.sum(x * ufuncs.erf(n)))(V, np.arange(5)), ufuncs.erf(np.arange(5))
    )
    loss = loss_of(lambda x: ufuncs.gammainc(2, x), V)
    np.testing.assert_allclose(grad(loss)(V), differences(loss, V), atol=1e-9)
    for name, call in {
        "scipy.special.struve": lambda x: ufuncs.struve(1, x),
        "scipy.special.xlogy.outer": lambda x: ufuncs.xlogy.outer(x, x),
        r"the universal function abs \(vectorized\)": np.frompyfunc(abs, 1, 1),
    }.items():
        with pytest.raises(NotDifferentiableError, match=rf"^{name} of a value traced by grad"):
            grad(lambda x, call=call: np.sum(call(x)))(V)
    with pytest.raises(
        GradientCutError, match=r"scipy\.special\.erf\(\.\.\., out=\.\.\.\) with a value traced"
    ):
        grad(lambda x: np.sum(ufuncs.erf(x, out=np.zeros(5))))(V)


# Derivatives of derivatives, and the operators beside the functions.


def test_nested_transforms_of_plain_numpy_code() -> None:
    def energy(x: Any) -> Any:
        return np.sum(np.sin(x) * np.exp(-np.square(x))) + np.prod(np.tanh(x))

    hessian = np.stack([jvp(grad(energy), (V,), (row,))[1] for row in np.eye(5)])
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    direction = np.asarray([0.5, -1.0, 0.25, 0.75, -0.5])
    expected = differences(lambda x: np.sum(grad(energy)(x) * direction), V)
    np.testing.assert_allclose(hessian @ direction, expected, atol=1e-8)
    assert float(grad(grad(np.sin))(0.5)) == pytest.approx(-np.sin(0.5))


def test_lists_of_traced_values_are_arrays() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.multiply(x, [x[0], 1.0, 2, x[3], np.float64(3)])) + np.sum(
            np.where(x > 1, [x[4]] * 5, x)
        )

    def plain(x: Any) -> Any:
        return x[0] ** 2 + x[1] + 2 * x[2] + x[3] ** 2 + 3 * x[4] + x[0] + x[2] + 3 * x[4]

    np.testing.assert_allclose(grad(loss)(V), grad(plain)(V))


def test_functions_that_write_what_the_raw_arrays_may_not_hold() -> None:
    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\)"):
        grad(lambda x: np.sum(np.array([x, x])))(V)
    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\)"):
        grad(lambda x: np.sum(np.vectorize(abs)(x)))(V)


def test_vjp_and_complex_results() -> None:
    out, pullback = vjp(np.fft.rfft, V)
    assert out.dtype == np.complex128
    (g,) = pullback(np.ones_like(out))
    assert g.dtype == V.dtype and g.shape == V.shape


def test_divmod_of_arrays_and_numbers() -> None:
    assert float(grad(lambda x: divmod(np.float64(7.0), x)[1])(2.0)) == -3.0
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(divmod(V, x)[1]))(np.full(5, 0.7)), -np.floor(V / 0.7)
    )
    np.testing.assert_array_equal(grad(lambda x: np.sum(divmod(x, 0.7)[1]))(V), np.ones(5))
    np.testing.assert_array_equal(grad(lambda x: np.sum(divmod(7, x)[1]))(V), -np.floor(7 / V))


def test_rounded_numbers() -> None:
    def loss(x: Any) -> Any:
        assert round(x[1]) == 2 and type(round(x[1])) is int
        assert float(stop_gradient(round(x[1] / 3, 2))) == 0.58
        return np.sum(x) + round(x[0], 1)

    np.testing.assert_array_equal(grad(loss)(V), np.ones(5))
    with pytest.raises(TypeError, match="__round__"):
        grad(lambda x: np.sum(round(x)))(V)
