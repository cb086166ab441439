"""Embedding against PyTorch's."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, DataError
from bpkit.registry import backend_of, use_backend

IDS = {
    "a batch": np.asarray([[1, 4, 2], [4, 4, 0]]),
    "a row": np.asarray([3, 1, 3]),
    "one": np.asarray(2),
    "none": np.asarray([], dtype=np.int64),
    "bytes": np.asarray([0, 4, 4], dtype=np.uint8),
    "many axes": np.asarray([[[1], [4]], [[4], [0]]], dtype=np.int32),
}


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.mark.parametrize("padding", [None, 4, -3])
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.usefixtures("backend")
def test_results_and_gradients_equal_torch(ids: str, padding: int | None) -> None:
    torch = pytest.importorskip("torch")
    layer = nn.Embedding(5, 3, key=random.key(0), padding_index=padding, dtype="float64")
    twin = torch.nn.Embedding(5, 3, padding_idx=padding).double()
    with torch.no_grad():
        # A vector of the padding other than zeros shows that it is read and not trained.
        layer = layer.replace(weight=layer.weight + 0.5)
        twin.weight.copy_(torch.tensor(on_host(layer.weight)))
    out = twin(torch.tensor(IDS[ids].astype(np.int64)))
    (out + 0.3).square().sum().backward()
    at = xp.asarray(IDS[ids])
    np.testing.assert_array_equal(on_host(layer(at)), out.detach().numpy())
    take = bpkit.grad(lambda layer, at: xp.sum(xp.square(layer(at) + 0.3)))
    for found in (take(layer, at), bpkit.jit(take)(layer, at)):
        np.testing.assert_allclose(on_host(found.weight), twin.weight.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("backend")
def test_the_vector_of_the_padding_is_zero_at_first() -> None:
    layer = nn.Embedding(4, 3, key=random.key(0), padding_index=-1, dtype="float32")
    assert layer.padding_index == 3
    weight = on_host(layer.weight)
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight[3], 0)
    plain = nn.Embedding(4, 3, key=random.key(0), dtype="float32")
    np.testing.assert_array_equal(weight[:3], on_host(plain.weight)[:3])
    assert layer(xp.asarray([0, 3])).dtype == layer.weight.dtype


def test_gradients_are_those_of_differences() -> None:
    with use_backend("numpy"):
        layer = nn.Embedding(5, 3, key=random.key(0), dtype="float64")
    ids = IDS["a batch"]
    bpkit.check_grads(lambda layer: xp.sum(xp.sin(layer(ids))), (layer,))


@pytest.mark.parametrize("name", ["numpy", "torch", "array_api_strict"])
def test_an_id_out_of_range_is_told(name: str) -> None:
    pytest.importorskip(name)
    with use_backend(name):
        layer = nn.Embedding(5, 3, key=random.key(0), padding_index=1)
        with pytest.raises(
            DataError, match=r"Embedding\(5 → 3, padding_index=1\): ids\[1, 0\] is 5, but .* 0 to 4"
        ):
            layer(xp.asarray([[0, 4], [5, -1]]))
        with pytest.raises(DataError, match=r"ids is -1, but"):
            layer(xp.asarray(-1))


def test_a_compiled_function_checks_in_its_first_call() -> None:
    with use_backend("numpy"):
        layer = nn.Embedding(5, 3, key=random.key(0))
    compiled = bpkit.jit(lambda layer, ids: layer(ids))
    with pytest.raises(DataError, match=r"ids\[1\] is -1, but"):
        compiled(layer, np.asarray([1, -1]))
    with pytest.raises(DataError, match=r"ids is 5, but"):
        bpkit.vmap(layer)(np.asarray([[1, 5]]))
    for ids in (np.asarray([1, 2]), np.asarray([0, 4])):
        np.testing.assert_array_equal(compiled(layer, ids), layer(ids))
    assert {step.name for step in compiled.program.steps} == {"take"}


def test_wrong_arguments_are_told(backend: Backend) -> None:
    layer = nn.Embedding(5, 3, key=random.key(0))
    with pytest.raises(ArgumentError, match=r"Embedding\(5 → 3\): ids must be integers, got dtype .*float"):
        layer(xp.asarray([1.0]))
    with pytest.raises(ArgumentError, match=r"Embedding\(5 → 3\): ids is a list; expected an array"):
        layer([1, 2])
    with pytest.raises(ArgumentError, match=r"Embedding: num_embeddings must be a positive int, got 0"):
        nn.Embedding(0, 3, key=random.key(0))
    for index in (5, -6, 1.0, True):
        with pytest.raises(ArgumentError, match=r"Embedding: padding_index must be an int from -5 to 4"):
            nn.Embedding(5, 3, key=random.key(0), padding_index=index)  # type: ignore[arg-type]
