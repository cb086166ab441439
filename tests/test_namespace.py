"""The namespace: the standard's signatures, the libraries' results, the extras, the errors."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import bpkit
from bpkit import namespace, registry, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ShapeError
from bpkit.kinds import raw
from bpkit.namespace.xp import namespace_of

FUNCTIONS = sorted(name for name in namespace.__all__ if callable(getattr(namespace, name)))
STANDARD = sorted(set(FUNCTIONS) & set(array_api_strict.__all__))

X = np.asarray([[0.25, 0.75, 0.5], [0.875, 0.5, 0.375]], dtype=np.float32)
Y = np.asarray([[0.5, 0.75, 0.125], [0.25, 0.5, 1.0]], dtype=np.float32)
Z = (X + 1j * Y).astype(np.complex64)
I = np.asarray([[5, 6, 7], [1, 2, 3]], dtype=np.int32)  # noqa: E741  an integer matrix
B = X > 0.4
EPS = float(np.finfo(np.float32).eps)


def arrays(*values: Any) -> list[Any]:
    """NumPy arrays, also those in lists, as arrays of the current backend; all else as it is."""
    backend = registry.current().backend
    return [
        backend.from_host(x) if isinstance(x, np.ndarray) else arrays(*x) if isinstance(x, list) else x
        for x in values
    ]


def host(x: Any) -> Any:
    """A result, or a tuple of them, as NumPy arrays."""
    return tuple(host(part) for part in x) if isinstance(x, tuple) else registry.backend_of(x).to_host(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_has_an_example(name: str) -> None:
    doc = inspect.getdoc(getattr(namespace, name)) or ""
    assert f"xp.{name}(" in doc or f"xp.special.{name}(" in doc


# Results are the library's own.

REDUCTIONS = [
    (name, (X,), {"axis": axis, "keepdims": keepdims})
    for name in ("max", "mean", "min", "prod", "std", "sum", "var")
    for axis in (None, 1, -2, (0, 1))
    for keepdims in (False, True)
]
UNARY = [
    *("abs", "acos", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp", "expm1", "floor"),
    *(
        "isfinite",
        "isinf",
        "isnan",
        "log",
        "log10",
        "log1p",
        "log2",
        "matrix_transpose",
        "negative",
        "nonzero",
    ),
    *(
        "ones_like",
        "positive",
        "reciprocal",
        "round",
        "sign",
        "signbit",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "tan",
    ),
    *("tanh", "tril", "triu", "trunc", "zeros_like"),
]
BINARY = [
    *("add", "atan2", "copysign", "divide", "equal", "floor_divide", "greater", "greater_equal", "hypot"),
    *("less", "less_equal", "logaddexp", "maximum", "minimum", "multiply", "nextafter", "not_equal", "pow"),
    *("remainder", "subtract"),
]
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *((name, (X,), {}) for name in UNARY),
    *((name, (X, Y), {}) for name in BINARY),
    *((name, (Z,), {}) for name in ("abs", "conj", "exp", "imag", "real")),
    ("acosh", (1 + X,), {}),
    ("bitwise_invert", (I,), {}),
    ("logical_not", (B,), {}),
    *((name, (X, 0.5), {}) for name in ("add", "divide", "logaddexp", "maximum", "pow", "subtract", "less")),
    *((name, (0.5, X), {}) for name in ("add", "divide", "logaddexp", "minimum", "pow", "subtract", "less")),
    *((f"bitwise_{name}", (I, 2), {}) for name in ("and", "or", "xor", "left_shift", "right_shift")),
    *((f"logical_{name}", (B, ~B[:1]), {}) for name in ("and", "or", "xor")),
    ("clip", (X, 0.125, Y), {}),
    ("clip", (X, None, 0.6), {}),
    ("where", (B, X, Y), {}),
    ("where", (B, X, 0.0), {}),
    *REDUCTIONS,
    ("all", (B,), {"axis": 0}),
    ("any", (B,), {"axis": 1, "keepdims": True}),
    ("argmax", (X,), {}),
    ("argmin", (X,), {"axis": 1, "keepdims": True}),
    ("std", (X,), {"correction": 1.0, "axis": 1}),
    ("var", (X,), {"correction": 1}),
    ("cumulative_sum", (X,), {"axis": -1}),
    ("cumulative_sum", (X[0],), {"include_initial": True}),
    ("argsort", (X,), {"axis": 0, "descending": True}),
    ("sort", (X,), {"axis": 0, "descending": True}),
    ("searchsorted", (X[0][[0, 2, 1]], Y), {"side": "right"}),
    ("searchsorted", (X[0][[0, 2, 1]], 0.5), {}),
    ("isin", (I, I[0]), {}),
    ("isin", (I, 3), {"invert": True}),
    ("isin", (2, I), {}),
    ("count_nonzero", (B,), {}),
    ("count_nonzero", (X - 0.5,), {"axis": 1, "keepdims": True}),
    *((name, (X,), {}) for name in ("unique_counts", "unique_inverse", "unique_values")),
    ("cumulative_prod", (X,), {"axis": -1}),
    ("cumulative_prod", (X[0],), {"include_initial": True}),
    ("cumulative_prod", (I[0],), {}),
    ("diff", (X,), {}),
    ("diff", (X,), {"axis": 0}),
    ("diff", (X,), {"n": 2}),
    ("diff", (I,), {"n": 4}),
    ("meshgrid", (X[0], Y[0, :2]), {}),
    ("meshgrid", (X[0], Y[0, :2], X[1]), {"indexing": "ij"}),
    ("meshgrid", (X[0],), {}),
    ("meshgrid", (), {}),
    ("take_along_axis", (X, np.asarray([[2, 0], [1, 1]])), {}),
    ("take_along_axis", (X, np.asarray([[1, 0, 0]])), {"axis": 0}),
    ("take", (X, np.asarray([2, 0, 2], dtype=np.int32)), {"axis": 1}),
    ("matmul", (X, Y.T), {}),
    ("matmul", (X, Y[0]), {}),
    ("tensordot", (X, Y), {}),
    ("tensordot", (X, Y.T), {"axes": 1}),
    ("tensordot", (X, Y), {"axes": 0}),
    ("tensordot", (X, Y), {"axes": ((0, -1), (0, -1))}),
    ("tensordot", (X, Y), {"axes": ((1,), (1,))}),
    ("vecdot", (X, Y), {}),
    ("vecdot", (X, Y), {"axis": -2}),
    ("vecdot", (X, Y[0]), {}),
    ("vecdot", (Z, np.conj(Z)), {}),
    ("broadcast_arrays", (X, Y[0]), {}),
    ("broadcast_to", (X, (4, 2, 3)), {}),
    *(("concat", ([X, Y],), {"axis": axis}) for axis in (None, 0, -1)),
    *(("expand_dims", (X, axis), {}) for axis in (0, 1, 2, -1, -3)),
    ("expand_dims", (X, (0, -1)), {}),
    *(("flip", (X,), {"axis": axis}) for axis in (None, 0, -1, (0, 1))),
    ("moveaxis", (X[None], 0, -1), {}),
    ("moveaxis", (X[None], (0, 1), (-1, 0)), {}),
    ("permute_dims", (X, (1, 0)), {}),
    *(("repeat", (X, 2), {"axis": axis}) for axis in (None, 0, -1)),
    ("repeat", (X, 0), {"axis": 1}),
    ("repeat", (X, np.asarray([2, 0, 1])), {"axis": 1}),
    ("repeat", (X, np.asarray([2, 0, 1, 1, 0, 3])), {}),
    ("repeat", (X, np.asarray([2])), {"axis": 0}),
    ("reshape", (X, (3, -1)), {}),
    ("reshape", (X, (-1,)), {"copy": True}),
    ("roll", (X, 1), {}),
    ("roll", (X, (1, -1)), {"axis": (0, 1)}),
    ("squeeze", (X[None, :, None], (0, -2)), {}),
    *(("stack", ([X, Y],), {"axis": axis}) for axis in (0, 1, -1, -3)),
    *(("tile", (X, times), {}) for times in ((2,), (2, 1, 3), (0, 2), ())),
    *(("unstack", (X,), {"axis": axis}) for axis in (0, -1)),
]
COMPOSITE = {"std", "tensordot", "vecdot"}
"""Computed otherwise than by the library, so equal to its result up to rounding."""


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("name", "args", "kwargs"), CASES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]
)
def test_agrees_with_the_library(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    backend = registry.current().backend
    operands = arrays(*args)
    ours = getattr(namespace, name)(*operands, **kwargs)
    theirs = getattr(backend.xp, name)(*operands, **kwargs)
    assert isinstance(ours, tuple) == isinstance(theirs, tuple | list)
    for one, other in zip(*(r if isinstance(r, tuple | list) else [r] for r in (ours, theirs)), strict=True):
        assert registry.backend_of(one) is backend
        # A backend has a kernel of its own where its library deviates from the standard, also in dtype.
        assert name in backend.kernels or one.dtype == other.dtype
        if name in COMPOSITE:
            np.testing.assert_allclose(host(one), host(other), rtol=4 * EPS)
        else:
            np.testing.assert_array_equal(host(one), host(other))
            assert one.shape == other.shape


def test_every_standard_function_with_an_array_argument_is_among_the_cases() -> None:
    elsewhere = {
        *(
            "arange",
            "asarray",
            "broadcast_shapes",
            "empty",
            "empty_like",
            "eye",
            "from_dlpack",
            "full",
            "full_like",
            "linspace",
            "ones",
            "zeros",
        ),
        *("astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type", "unique_all"),
    }
    assert {name for name, *_ in CASES} == set(STANDARD) - elsewhere


@pytest.mark.usefixtures("backend")
def test_searchsorted_with_a_sorter() -> None:
    x, values, sorter = arrays(
        np.asarray([0.9, 0.1, 0.5]).astype("f4"), X, np.asarray([1, 2, 0]).astype("i4")
    )
    found = namespace.searchsorted(x, values, sorter=namespace.astype(sorter, namespace.argsort(x).dtype))
    np.testing.assert_array_equal(host(found), np.searchsorted([0.1, 0.5, 0.9], X))


@pytest.mark.usefixtures("backend")
def test_unique_elements_and_where_they_are() -> None:
    values = np.asarray([[3.0, 1.0, math.nan], [1.0, math.nan, 3.0]])
    (x,) = arrays(values)
    found = xp.unique_all(x)
    assert found._fields == ("values", "indices", "inverse_indices", "counts")
    np.testing.assert_array_equal(host(found.values), [1, 3, math.nan, math.nan])
    np.testing.assert_array_equal(host(found.counts), [2, 2, 1, 1])
    first = host(found.indices)
    np.testing.assert_array_equal(first[:2], [1, 0])
    assert sorted(first[2:]) == [2, 4]
    np.testing.assert_array_equal(host(found.values)[host(found.inverse_indices)], values)
    assert xp.unique_counts(x)._fields == ("values", "counts")
    assert xp.unique_inverse(x)._fields == ("values", "inverse_indices")


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_pytorch_still_does_not_say_where_unique_elements_are(backend: Backend) -> None:
    # Once it does, the definition of unique_all in bpkit/namespace/sets.py can go.
    with pytest.raises(NotImplementedError, match="issues/36748"):
        backend.xp.unique_all(backend.from_host(X))


@pytest.mark.parametrize("dtype", ["float64", "int64", "complex128"])
def test_traced_unique_elements_are_those_of_the_library_in_its_order(dtype: str, backend: Backend) -> None:
    if backend.name == "torch" and dtype == "complex128":
        pytest.skip("torch has no unique of complex numbers")
    (x,) = arrays(
        (np.random.default_rng(0).integers(0, 9, (5, 6)) * (1 if dtype == "int64" else 0.5)).astype(dtype)
    )
    if dtype == "complex128":
        x = x + 1j * xp.flip(x)
    names = ("unique_values", "unique_counts", "unique_inverse")
    one = backend.from_host(np.asarray(1.0))
    _, found = bpkit.grad(lambda one, x: (one, [getattr(xp, name)(x) for name in names]), has_aux=True)(
        one, x
    )
    for name, result in zip(names, found, strict=True):
        np.testing.assert_equal(host(result), host(getattr(backend.xp, name)(x)))


def test_dtypes_of_traced_arrays(backend: Backend) -> None:
    (x, i) = arrays(X, I)
    theirs = backend.xp

    def fun(x: Any) -> Any:
        assert xp.result_type(x, theirs.float64) == theirs.float64
        assert xp.result_type(x, 1.0) == xp.result_type(1, x) == theirs.float32
        assert xp.result_type(x, x) == theirs.float32
        assert xp.can_cast(x, theirs.float64) and xp.can_cast(x, "float64")
        assert not xp.can_cast(x, theirs.int32)
        assert float(xp.finfo(x).eps) == EPS
        assert xp.iinfo(xp.astype(x, "int8")).max == 127
        assert xp.isdtype(x.dtype, ("integral", "real floating"))
        assert xp.result_type(xp.astype(x, "int8"), i) == theirs.int32
        return xp.sum(x)

    bpkit.grad(fun)(x)


def test_what_the_library_says_of_itself(backend: Backend) -> None:
    ours = namespace_of(backend).__array_namespace_info__()
    theirs = backend.xp.__array_namespace_info__()
    for name in ("capabilities", "default_device", "devices", "dtypes"):
        assert getattr(ours, name)() == getattr(theirs, name)()
    assert ours.dtypes(kind="bool") == {"bool": backend.xp.bool}
    assert ours.default_dtypes()["integral"] == xp.asarray(1).dtype


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["sum", "prod", "cumulative_prod", "cumulative_sum"])
def test_dtype_of_a_reduction_by_name(name: str) -> None:
    (x,) = arrays(I[0])
    result = getattr(namespace, name)(x, dtype="float32")
    assert host(result).dtype == np.float32
    np.testing.assert_array_equal(
        host(result), getattr(registry.get_backend("numpy").xp, name)(I[0], dtype=np.float32)
    )


def test_from_dlpack(backend: Backend) -> None:
    (x,) = arrays(X)
    for namespace_ in (xp, namespace_of(backend)):
        for found in (namespace_.from_dlpack(x), namespace_.from_dlpack(x, copy=True)):
            assert backend.owns(type(raw(found))) and found.dtype == x.dtype
            np.testing.assert_array_equal(host(raw(found)), X)
    device = backend.device_of(x)
    assert backend.device_of(xp.from_dlpack(x, device=device)) == device


def test_from_dlpack_shares_memory_unless_it_copies() -> None:
    x = np.asarray([1.0, 2.0])
    shared, copied = xp.from_dlpack(x), xp.from_dlpack(x, copy=True)
    x[0] = 9.0
    np.testing.assert_array_equal(shared, [9.0, 2.0])
    np.testing.assert_array_equal(copied, [1.0, 2.0])


def test_from_dlpack_in_a_namespace_that_is_not_selected() -> None:
    strict = registry.get_backend("array_api_strict")
    found = namespace_of(strict).from_dlpack(np.asarray([1.0, 2.0]))
    assert strict.owns(type(raw(found)))


@pytest.mark.parametrize("name, count", [("tile", (1,)), ("tile", (2, 1)), ("repeat", 1), ("repeat", 2)])
def test_copies_can_be_written(name: str, count: Any, backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("arrays of this library cannot be written")

    def fun(x: Any) -> tuple[Any, Any]:
        x = x * 1.0
        copy = getattr(xp, name)(x, count)
        copy[(0,) * copy.ndim] = 7.0
        return xp.sum(copy) + xp.sum(x**2), copy

    (x,) = arrays(np.asarray([1.0, 2.0]))
    gradient, copy = bpkit.grad(fun, has_aux=True)(x)
    plain = getattr(xp, name)(x, count)
    plain[(0,) * plain.ndim] = 7.0
    np.testing.assert_array_equal(host(x), [1.0, 2.0])
    np.testing.assert_array_equal(host(copy), host(plain))
    copies = plain.shape[0] * (plain.shape[1] if len(plain.shape) == 2 else 1) // 2
    np.testing.assert_array_equal(host(gradient), [copies - 1 + 2, copies + 4])


@pytest.mark.usefixtures("backend")
def test_meshgrid_can_be_written() -> None:
    x, y = xp.meshgrid(*arrays(X[0], Y[0]))
    if Capability.IN_PLACE in registry.current().backend.capabilities:
        x[0, 0] = 7.0
        np.testing.assert_array_equal(host(x)[1], X[0])
        np.testing.assert_array_equal(host(y)[:, 0], Y[0])


# Extras.


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("expit", lambda x: 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))),
        ("log_expit", lambda x: -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))),
        ("relu", lambda x: max(x, 0.0)),
        ("softplus", lambda x: x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))),
        ("stop_gradient", lambda x: x),
    ],
)
def test_extras_keep_their_precision_and_dtype_at_the_extremes(
    name: str, formula: Callable[[float], float]
) -> None:
    values = np.asarray([-3e38, -1e4, -90.0, -20.0, -1.0, 0.0, 1e-3, 1.0, 20.0, 90.0, 1e4, 3e38], dtype="f4")
    (x,) = arrays(values)
    result = host(getattr(namespace, name)(x))
    assert result.dtype == np.float32
    expected = np.asarray([formula(float(v)) for v in values])
    # Some libraries flush numbers below the smallest normal one to zero.
    tiny = float(np.finfo(np.float32).smallest_normal)
    np.testing.assert_allclose(result, expected, rtol=4 * EPS, atol=tiny)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("expit", [0.0, 1.0]),
        ("log_expit", [-math.inf, 0.0]),
        ("relu", [0.0, math.inf]),
        ("softplus", [0.0, math.inf]),
    ],
)
def test_extras_at_the_infinities_and_nan(name: str, limits: list[float]) -> None:
    (x,) = arrays(np.asarray([-math.inf, math.inf, math.nan], dtype="f4"))
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp warns of a NaN that it was given
        result = getattr(namespace, name)(x)
    np.testing.assert_array_equal(host(result), [*limits, math.nan])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp(axis: Any, keepdims: bool) -> None:
    values = np.asarray([[1e4, 1e4, -1e4], [-2e4, -2e4, 0.0]], dtype="f4")
    (x,) = arrays(values)
    largest = np.max(values.astype("f8"), axis=axis, keepdims=True)
    expected = largest + np.log(np.sum(np.exp(values - largest), axis=axis, keepdims=True))
    expected = expected if keepdims else np.squeeze(expected, axis=axis)
    result = host(namespace.logsumexp(x, axis=axis, keepdims=keepdims))
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=4 * EPS)


@pytest.mark.usefixtures("backend")
def test_logsumexp_of_infinities() -> None:
    inf = math.inf
    (x,) = arrays(
        np.asarray([[-inf, -inf], [inf, 1e4], [inf, -inf], [-inf, 3.0], [math.nan, 3.0]], dtype="f4")
    )
    np.testing.assert_array_equal(host(namespace.logsumexp(x, axis=1)), [-inf, inf, inf, 3.0, math.nan])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_its_logarithm(axis: int) -> None:
    values = np.asarray([[1e4, 1e4 - 1, -1e4], [-2e4, -2e4 + 2, 0.5]], dtype="f4")
    (x,) = arrays(values)
    shifted = values.astype("f8") - np.max(values, axis=axis, keepdims=True)
    total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
    rtol = 8 * EPS
    result, logarithm = host(namespace.softmax(x, axis=axis)), host(namespace.log_softmax(x, axis=axis))
    assert result.dtype == logarithm.dtype == np.float32
    np.testing.assert_allclose(result, np.exp(shifted) / total, rtol=rtol)
    np.testing.assert_allclose(logarithm, shifted - np.log(total), rtol=rtol)


@pytest.mark.usefixtures("backend")
def test_one_hot() -> None:
    (labels,) = arrays(np.asarray([[2, 0], [1, 9]], dtype=np.uint8))
    last = host(namespace.one_hot(labels, 300, dtype="float32"))
    assert last.shape == (2, 2, 300)
    assert last.dtype == np.float32
    np.testing.assert_array_equal(np.argwhere(last), [[0, 0, 2], [0, 1, 0], [1, 0, 1], [1, 1, 9]])
    first = namespace.one_hot(labels, 3, axis=0)
    assert first.dtype == xp.ones(1).dtype
    np.testing.assert_array_equal(host(first)[:, 1, 1], [0, 0, 0])
    np.testing.assert_array_equal(host(first), np.moveaxis(last[..., :3], -1, 0))


# Derivatives of what is composed of other functions, against central differences.

COMPOSED: dict[str, Callable[[Any], Any]] = {
    "asarray of a list": lambda x: xp.asarray([[x[0, 0], 2], [x[1, 1] * x[0, 1], Y[0, 0]]]),
    "broadcast_arrays": lambda x: xp.broadcast_arrays(x[0], Y)[0],
    "expand_dims": lambda x: xp.expand_dims(x, -1) * Y[..., None],
    "full": lambda x: xp.full((3,), x[0, 1]),
    "full_like": lambda x: xp.full_like(x, x[1, 0]) * x,
    "log_softmax": lambda x: xp.log_softmax(x, axis=0),
    "logsumexp": lambda x: xp.logsumexp(x, axis=1),
    "meshgrid": lambda x: xp.stack(xp.meshgrid(x[0], x[1])) ** 2,
    "moveaxis": lambda x: xp.moveaxis(x, 0, 1),
    "one_hot": lambda x: xp.one_hot(xp.argmax(x, axis=1), 3) * x,
    "repeat": lambda x: xp.repeat(x, 2, axis=1),
    "softmax": xp.softmax,
    "softplus": xp.softplus,
    "squeeze": lambda x: xp.squeeze(x[None], 0),
    "stack": lambda x: xp.stack([x, xp.asarray(Y, dtype="float64"), x * x], axis=1),
    "std": lambda x: xp.std(x, axis=1, correction=1),
    "tensordot": lambda x: xp.tensordot(x, x, axes=((1,), (1,))),
    "tile": lambda x: xp.tile(x, (2, 1, 2)),
    "unstack": lambda x: xp.unstack(x, axis=1)[1] * xp.unstack(x, axis=1)[2],
    "vecdot": lambda x: xp.vecdot(x, x * x, axis=-2),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_derivative_of_a_composed_function(name: str) -> None:
    function, x = COMPOSED[name], X.astype(np.float64)
    weights = np.cos(np.arange(function(x).size)).reshape(function(x).shape)

    def scalar(x: Any) -> Any:
        return xp.sum(function(x) * weights)

    step = 1e-6 * np.eye(x.size).reshape(x.size, *x.shape)
    slopes = np.asarray([(scalar(x + h) - scalar(x - h)) / 2e-6 for h in step]).reshape(x.shape)
    np.testing.assert_allclose(bpkit.grad(scalar)(x), slopes, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("finite", [0.0, -math.inf])
def test_masked_logsumexp_has_a_finite_gradient(finite: float) -> None:
    x = np.asarray([-math.inf, finite])
    gradient = bpkit.grad(xp.logsumexp)(x)
    np.testing.assert_array_equal(gradient, [0.0, 1.0 if finite == 0.0 else 0.0])


# Errors.


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: xp.concat([]), ShapeError, "concat: needs at least one array"),
        (lambda: xp.stack([]), ShapeError, "stack: needs at least one array"),
        (lambda: xp.squeeze(X, 0), ShapeError, r"squeeze: axis 0 of shape \(2, 3\) has length 2"),
        (lambda: xp.expand_dims(X, 5), IndexError, "expand_dims: axis 5 is out of bounds"),
        (lambda: xp.moveaxis(X, 0, (0, 1)), ShapeError, "moveaxis: source=0 and destination"),
        (lambda: xp.repeat(X, [1, 2]), TypeError, r"repeat: repeats must be an int or an .*xp.asarray\("),
        (lambda: xp.diff(X, n=-1), ShapeError, "diff: n must not be negative, got -1"),
        (lambda: xp.diff(X, axis=2), IndexError, "diff: axis 2 is out of bounds"),
        (lambda: xp.meshgrid(X[0], indexing="yx"), ValueError, "meshgrid: indexing must be 'xy' or 'ij'"),
        (lambda: xp.repeat(X, -1), ShapeError, "repeat: repeats must not be negative, got -1"),
        (lambda: xp.tensordot(X, Y.T), ShapeError, "tensordot: axes=2 pairs axes of different lengths"),
        (lambda: xp.tensordot(X, Y, axes=3), ShapeError, "tensordot: axes=3 asks for that many axes"),
        (lambda: xp.vecdot(X, Y[:, :2]), ShapeError, "vecdot: x1 of shape .* differ in length along axis -1"),
        (lambda: xp.vecdot(X, Y[:, :1]), ShapeError, "vecdot: .* does not broadcast"),
    ],
)
def test_errors_say_what_was_wrong(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_a_numpy_scalar_is_a_scalar_to_every_library(backend):
    x = backend.from_host(np.asarray([1.0, 2.0], dtype="float32"))
    for total in (xp.add(x, np.float64(2)), xp.add(np.float64(2), x)):
        assert backend.owns(type(total))
        if backend.name != "numpy":  # NumPy itself promotes by the scalar's own dtype
            assert total.dtype == x.dtype
        np.testing.assert_array_equal(backend.to_host(total), [3.0, 4.0])


ROWS = [[1.0, 2.0], [3.0, 4.0]]
# What looks at its operands before the library does, and the argument that it names.
LISTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("det", xp.linalg.det, "x"),
    ("svd", xp.linalg.svd, "x"),
    ("solve", lambda rows: xp.linalg.solve(np.eye(2), rows), "x2"),
    ("cross", lambda rows: xp.linalg.cross(np.ones((2, 3)), rows), "x2"),
    ("trace", xp.linalg.trace, "x"),
    ("outer", lambda rows: xp.linalg.outer(rows, np.ones(2)), "x1"),
    ("tensordot", lambda rows: xp.tensordot(np.eye(2), rows), "x2"),
    ("vecdot", lambda rows: xp.vecdot(rows, rows), "x1"),
    ("fft.fft", xp.fft.fft, "x"),
    ("fft.rfftn", xp.fft.rfftn, "x"),
    ("fft.fftshift", xp.fft.fftshift, "x"),
    ("einsum", lambda rows: xp.einsum("ij,jk", np.eye(2), rows), "operand 1"),
    ("diff", xp.diff, "x"),
    ("pad", lambda rows: xp.pad(rows, 1), "x"),
    ("sliding_window_view", lambda rows: xp.sliding_window_view(rows, 2), "x"),
    ("stack", lambda rows: xp.stack([np.eye(2), rows]), r"arrays\[1\]"),
    ("unstack", xp.unstack, "x"),
    ("meshgrid", xp.meshgrid, r"arrays\[0\]"),
    ("moveaxis", lambda rows: xp.moveaxis(rows, 0, 1), "x"),
    ("expand_dims", lambda rows: xp.expand_dims(rows, axis=0), "x"),
]


@pytest.mark.parametrize("called, run, argument", LISTS, ids=[row[0] for row in LISTS])
def test_a_list_in_the_place_of_an_array_is_refused_with_its_name(
    called: str, run: Callable[[Any], Any], argument: str
) -> None:
    message = rf"{called}: expected an array as {argument}, got a list; make an array of it first: bpkit"
    with pytest.raises(TypeError, match=message):
        run(ROWS)
