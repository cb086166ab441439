"""Where the namespace makes arrays, the dtypes it knows, and the namespace as an object."""

import copy
import inspect
import operator
import pickle
import re
from typing import Any

import array_api_strict
import numpy as np
import pytest

import bpkit
from bpkit import namespace, registry, xp
from bpkit._protocol import Backend
from bpkit.kinds import raw
from bpkit.namespace import names
from bpkit.namespace.xp import Namespace, namespace_of

X = np.asarray([[0.25, 0.75, 0.5], [0.875, 0.5, 0.375]], dtype=np.float32)
Y = np.asarray([[0.5, 0.75, 0.125], [0.25, 0.5, 1.0]], dtype=np.float32)


def host(x: Any) -> Any:
    """A result as a NumPy array."""
    return registry.backend_of(x).to_host(x)


# Where new arrays are made.


@pytest.mark.parametrize(
    ("name", "args"),
    [
        *(("zeros", ((2, 3),)), ("ones", (4,)), ("empty", ((0, 2),)), ("full", ((2,), 7)), ("eye", (2, 3))),
        *(("arange", (1, 9, 2)), ("linspace", (0.0, 1.0, 5)), ("asarray", ([[1, 2], [3, 4]],))),
    ],
)
@pytest.mark.parametrize("dtype", [None, "float32", "int32"])
def test_creation_on_the_current_backend(
    backend: Backend, name: str, args: tuple[Any, ...], dtype: str | None
) -> None:
    if name == "linspace" and dtype == "int32":
        pytest.skip("the standard leaves linspace of integers undefined")
    made = getattr(xp, name)(*args, dtype=dtype)
    assert registry.backend_of(made) is backend
    native = None if dtype is None else getattr(backend.xp, dtype)
    expected = getattr(backend.xp, name)(*args, dtype=native)
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(host(made), host(expected), strict=True)


def test_device_by_name_and_by_object(backend: Backend) -> None:
    name = backend.devices()[0]
    for device in (name, backend.device(name)):
        assert backend.device_of(xp.zeros(3, device=device)) == name
        assert backend.device_of(xp.zeros_like(xp.ones(3), device=device)) == name
        assert backend.device_of(xp.asarray(X, device=device)) == name


def test_like_functions_follow_their_argument_and_not_the_selection(backend: Backend) -> None:
    x = backend.from_host(X)
    with registry.use_backend("numpy"):
        for made in (
            xp.zeros_like(x),
            xp.ones_like(x),
            xp.empty_like(x),
            xp.full_like(x, 2.0),
            xp.astype(x, "int32"),
            xp.full_like(x, 2, dtype="int32"),
        ):
            assert registry.backend_of(made) is backend
            assert made.shape == (2, 3)
        assert host(xp.full_like(x, 2, dtype="int32")).dtype == np.int32


def test_asarray_moves_arrays_to_the_current_backend(backend: Backend) -> None:
    moved = xp.asarray(X)
    assert registry.backend_of(moved) is backend
    np.testing.assert_array_equal(host(moved), X, strict=True)
    # Cast before the move: a library without 64-bit integers takes 64-bit labels as 32-bit ones.
    labels = xp.asarray(np.asarray([3, 1]), dtype="int32")
    np.testing.assert_array_equal(host(labels), np.asarray([3, 1], dtype=np.int32), strict=True)
    with registry.use_backend("numpy"):
        back = xp.asarray(moved)
        assert isinstance(back, np.ndarray)
        np.testing.assert_array_equal(back, X, strict=True)


def test_asarray_of_the_current_library_is_the_array_itself() -> None:
    assert xp.asarray(X) is X
    copied = xp.asarray(X, copy=True)
    assert not np.shares_memory(copied, X)


def test_asarray_refuses_to_move_without_copying() -> None:
    x = array_api_strict.asarray(X)
    with pytest.raises(
        ValueError, match=r"asarray: copy=False, but an array of array_api_strict has to be copied"
    ):
        xp.asarray(x, copy=False)


def test_asarray_refuses_what_would_lose_its_mask() -> None:
    with pytest.raises(TypeError, match="MaskedArray is not supported"):
        xp.asarray(np.ma.masked_array([1.0, 2.0], mask=[True, False]))


def test_asarray_of_a_traced_array_is_itself_until_something_changes() -> None:
    def check(x: Any) -> Any:
        assert xp.asarray(x) is x
        assert xp.asarray(x, copy=True) is not x
        assert xp.asarray(x, dtype="float64").dtype == np.float64
        with pytest.raises(ValueError, match="copy=False"):
            xp.asarray(x, dtype="float64", copy=False)
        return xp.sum(xp.asarray(x, dtype="float64", copy=True) * 2)

    gradient = bpkit.grad(check)(X)
    np.testing.assert_array_equal(gradient, np.full_like(X, 2), strict=True)


def test_asarray_stacks_a_list_that_holds_traced_values(backend: Backend) -> None:
    device = backend.device(None)

    def check(x: Any) -> Any:
        made = xp.asarray([[x[0, 0], 2], [3.0, x[1, 2]]])
        assert made.dtype == x.dtype
        assert xp.asarray([x[0, 1], 1.0], dtype="int32", device=device).dtype == xp.int32
        return xp.sum(made * made)

    x = backend.from_host(X)
    gradient = bpkit.grad(check)(x)
    np.testing.assert_array_equal(host(gradient), [[2 * X[0, 0], 0, 0], [0, 0, 2 * X[1, 2]]])


# Dtypes.


def test_dtype_functions(backend: Backend) -> None:
    x = backend.from_host(X)
    assert xp.isdtype(x.dtype, ("integral", "real floating"))
    assert xp.isdtype("uint8", "unsigned integer")
    assert not xp.isdtype(xp.int32, xp.float32)
    assert xp.can_cast(xp.int8, "int16")
    assert xp.can_cast(x, xp.float32)
    assert not xp.can_cast(x, "int32")
    assert xp.finfo(x).bits == xp.finfo("float32").bits == xp.finfo(x.dtype).bits == 32
    assert xp.iinfo(xp.int16).max == xp.iinfo("int16").max == 2**15 - 1
    assert xp.result_type(xp.int8, xp.int16) == xp.result_type("int8", "int16") == xp.int16
    assert xp.result_type(x, 1.0) == xp.float32
    assert xp.dtype_of("int32", like=x) == xp.astype(x, "int32").dtype == xp.int32
    with registry.use_backend("numpy"):
        assert xp.isdtype(x.dtype, "real floating")
        assert xp.dtype_of("float32", like=x) == x.dtype


def test_dtype_functions_of_a_traced_array() -> None:
    def check(x: Any) -> Any:
        assert xp.finfo(x).bits == 32
        assert xp.can_cast(x, "float64")
        assert xp.result_type(x, "float64") == xp.dtype_of("float64", like=x) == np.float64
        return xp.sum(x)

    bpkit.grad(check)(X)


def test_an_unknown_dtype_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"dtype 'float31' is not one that numpy has: 'bool', 'int8', .*'float64'"
    ):
        xp.zeros(3, dtype="float31")
    with pytest.raises(TypeError, match=r"expected a dtype of numpy.*got <object.*use_backend"):
        xp.isdtype(object(), "bool")


# The namespace as an object.


def test_the_default_namespace_follows_the_selection(backend: Backend) -> None:
    for name in backend.dtypes():
        assert getattr(xp, name) is getattr(backend.xp, name)
    assert xp.float32 == xp.zeros(1, dtype=xp.float32).dtype
    assert set(xp.__array_namespace_info__().dtypes()) <= set(dir(xp))


def test_a_backends_namespace_stays_with_it(backend: Backend) -> None:
    own = namespace_of(backend)
    with registry.use_backend("numpy"):
        assert registry.backend_of(raw(own.zeros(2))) is backend
        assert registry.backend_of(raw(own.asarray(X))) is backend
        assert own.ones(2, dtype="float32").dtype == own.float32
        assert own.float32 is backend.xp.float32
        assert own.result_type(1.0, own.float32) == own.float32
        assert registry.current().backend.name == "numpy"


def test_namespaces_are_stable_values() -> None:
    numpy, strict = (namespace_of(registry.get_backend(name)) for name in ("numpy", "array_api_strict"))
    assert numpy is namespace_of(registry.get_backend("numpy"))
    assert {numpy: 1, strict: 2, xp: 3}[numpy] == 1
    assert (numpy.__name__, strict.__name__) == ("bpkit.xp.numpy", "bpkit.xp.array_api_strict")
    assert numpy.__array_api_version__ == "2025.12"
    for one in (numpy, xp):
        assert pickle.loads(pickle.dumps(one)) is copy.deepcopy(one) is one
        assert inspect.ismodule(one)
        assert set(namespace.__all__) <= set(dir(one))
        assert all(hasattr(one, name) for name in dir(one))
        assert one.linalg.matmul is one.matmul


def test_a_traced_array_names_its_librarys_namespace() -> None:
    seen: list[Namespace] = []

    def function(x: Any) -> Any:
        seen.append(x.__array_namespace__())
        return seen[0].sum(x * seen[0].asarray(Y) + seen[0].zeros(3, dtype=x.dtype))

    x = array_api_strict.asarray(X)
    gradient = bpkit.grad(function)(x)
    assert seen == [namespace_of(registry.get_backend("array_api_strict"))]
    np.testing.assert_array_equal(host(gradient), Y)


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (xp, "arcsin", "; write bpkit.xp.asin"),
        (xp, "norm", "; write bpkit.xp.linalg.vector_norm or linalg.matrix_norm"),
        (xp, "svd", "; did you mean bpkit.xp.linalg.svd?"),
        (xp.linalg, "lstsq", "; write bpkit.xp.linalg.pinv(a) @ b"),
        (xp.fft, "fftt", "; did you mean bpkit.xp.fft.fft"),
        (xp, "interp", ""),
    ],
)
def test_an_unknown_function_is_refused_with_what_to_write(module: Any, name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"{module.__name__}.{name} ")) as refusal:
        getattr(module, name)
    assert hint in str(refusal.value)
    assert bool(hint) or str(refusal.value).partition("\n")[0].endswith("a few extras")
    assert not hasattr(module, "__wrapped__")


def test_what_is_to_be_written_exists() -> None:
    for replacement in names._HERE.values():
        function = re.match(r"[\w.]+", replacement)[0]  # type: ignore[index]
        assert callable(operator.attrgetter(function)(xp)), replacement
    for other in names._HERE:
        assert not hasattr(xp, other), other
