"""Indices, ids and class numbers of every integer dtype, on every backend."""

import warnings
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, random
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.registry import backend_of, get_backend
from bpkit.testing import assert_gradients

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
X = np.random.default_rng(0).normal(size=(4, 3))
IDS = np.asarray([2, 0, 2])


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


CASES: dict[str, tuple[Any, Any]] = {
    "take": (lambda x, ids: xp.take(x, ids, axis=0), X[IDS]),
    "take_along_axis": (
        lambda x, ids: xp.take_along_axis(x, xp.expand_dims(ids, -1), axis=0)[..., 0],
        X[IDS, 0],
    ),
    "scatter_add": (lambda x, ids: xp.scatter_add(x[:, 0], ids, x[:3, 1]), None),
    "scatter_set": (lambda x, ids: xp.scatter_set(x[:, 0], ids[:2], x[:2, 1]), None),
    "cross entropy": (lambda x, ids: losses.softmax_cross_entropy(x[:3, ...], ids), None),
    "one_hot": (lambda x, ids: x[:3, ...] * xp.one_hot(ids, 3, dtype="float64"), X[:3] * np.eye(3)[IDS]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_integer_dtype_is_an_index(backend: Backend, name: str, dtype: str) -> None:
    if (backend.name, name) == ("array_api_strict", "scatter_set"):
        pytest.skip("array_api_strict assigns by no arrays of integers")
    f, expected = CASES[name]
    x, ids, usual = xp.asarray(X), xp.asarray(IDS.astype(dtype)), xp.asarray(IDS.astype("int64"))
    if expected is not None:
        np.testing.assert_array_equal(host(f(x, ids)), expected)
    np.testing.assert_array_equal(host(f(x, ids)), host(f(x, usual)))
    gradient = bpkit.grad(lambda x, ids: xp.sum(f(x, ids) ** 2))
    known = host(gradient(x, usual))
    np.testing.assert_array_equal(host(gradient(x, ids)), known)
    np.testing.assert_allclose(host(bpkit.jit(gradient)(x, ids)), known, rtol=1e-14)
    tangent = bpkit.jvp(lambda x: f(x, ids), (x,), (x,))[1]
    np.testing.assert_array_equal(host(tangent), host(bpkit.jvp(lambda x: f(x, usual), (x,), (x,))[1]))


def _read(x: Any, ids: Any) -> Any:
    return x[ids, ...] * x[1, 0]


def _assigned(x: Any, ids: Any) -> Any:
    y = x * 1.0
    y[ids, :] = 2 * x[ids, ...][::-1, ...]
    return y


@pytest.mark.parametrize("f", [_read, _assigned])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_integer_dtype_is_a_key_of_traced_arrays(backend: Backend, f: Any, dtype: str) -> None:
    if backend.name == "array_api_strict":
        pytest.skip("array_api_strict has no key of integer arrays and slices")
    # On PyTorch, bytes 0 and 1 for every row would be taken for a mask.
    ids = np.asarray([1, 0, 2, 3])
    x, keys, usual = xp.asarray(X), xp.asarray(ids.astype(dtype)), xp.asarray(ids.astype("int64"))
    gradient = bpkit.grad(lambda x, ids: xp.sum(f(x, ids) ** 2))
    known = host(gradient(x, usual))
    np.testing.assert_array_equal(host(gradient(x, keys)), known)
    np.testing.assert_allclose(host(bpkit.jit(gradient)(x, keys)), known, rtol=1e-14)
    batched = bpkit.vmap(f, in_axes=(0, None))(x[None, ...], keys)
    np.testing.assert_array_equal(host(batched)[0], host(bpkit.vjp(lambda x: f(x, usual), x)[0]))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64"])
def test_indices_that_differ_between_examples(backend: Backend, dtype: str) -> None:
    x, ids = xp.asarray(np.stack([X[:, 0], -X[:, 0]])), xp.asarray(np.stack([IDS, IDS[::-1]]).astype(dtype))
    found = bpkit.vmap(lambda x, ids: xp.take(x, ids, axis=0))(x, ids)
    np.testing.assert_array_equal(host(found), np.stack([X[IDS, 0], -X[IDS[::-1], 0]]))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_second_derivatives_of_take(backend: Backend, axis: int) -> None:
    x, ids = xp.asarray(np.random.default_rng(1).normal(size=(3, 4, 3))), xp.asarray([2, 0, 2])
    assert_gradients(lambda x: xp.sum(xp.take(x, ids, axis=axis) ** 3), x)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_the_other_axes_may_be_longer_than_the_dtype_counts(backend: Backend, dtype: str) -> None:
    x = xp.asarray(np.arange(900.0).reshape(3, 300))
    ids = xp.asarray(np.full((1, 300), 2, dtype))
    gradient = host(bpkit.grad(lambda x: xp.sum(xp.take_along_axis(x, ids, axis=0)))(x))
    np.testing.assert_array_equal(gradient, np.repeat([[0.0], [0.0], [1.0]], 300, axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ids_of_an_embedding(backend: Backend, dtype: str) -> None:
    layer = nn.Embedding(4, 3, key=random.key(0), dtype="float64")
    ids = xp.asarray(IDS.astype(dtype))
    found = bpkit.grad(lambda layer: xp.sum(layer(ids) ** 2))(layer)
    np.testing.assert_allclose(host(found.weight), 2 * host(layer.weight) * [[1], [0], [2], [0]])


def test_assignment_where_jax_has_no_int64() -> None:
    jax = pytest.importorskip("jax")

    def f(x: Any, ids: Any) -> Any:
        y = x * 1.0
        y[ids] = 2 * x[ids]
        return xp.sum(y)

    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        x, ids = jax.numpy.ones(3), jax.numpy.asarray([2, 0])
        np.testing.assert_array_equal(host(bpkit.grad(f)(x, ids)), [2, 1, 2])


def test_torch_still_takes_few_dtypes() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3)
    with pytest.raises(RuntimeError):
        torch.index_select(x, 0, torch.tensor([1], dtype=torch.uint8))
    with pytest.raises(RuntimeError):
        torch.take_along_dim(x, torch.tensor([1], dtype=torch.int32), 0)
    assert "take_along_axis" in get_backend("torch").kernels
