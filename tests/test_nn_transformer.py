"""TransformerBlock against PyTorch's TransformerEncoderLayer, in every option."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

N, T, D, HEADS, WIDE = 2, 3, 4, 2, 5
X = np.random.default_rng(0).normal(size=(N, T, D))
SEEN = np.asarray([[True, False, True], [True, True, False], [False, True, False]])
MASKS: dict[str, Any] = {"no mask": None, "booleans": SEEN, "floats": np.where(SEEN, 0.5, -1.0)}


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def block_of(dtype: str = "float64", **options: Any) -> nn.TransformerBlock:
    return nn.TransformerBlock(
        D, HEADS, WIDE, key=random.key(0), bias_init=nn.init.standard_normal, dtype=dtype, **options
    )


def squared(y: Any) -> Any:
    return xp.sum(xp.square(y + 0.3))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("norm_first", [True, False], ids=["norm first", "norm last"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.usefixtures("backend")
def test_results_and_gradients_equal_torch(activation: str, norm_first: bool, bias: bool, mask: str) -> None:
    torch = pytest.importorskip("torch")
    block = block_of(
        activation=getattr(nn, activation), norm_first=norm_first, bias=bias, layer_norm_eps=1e-3
    )
    twin = torch.nn.TransformerEncoderLayer(
        *(D, HEADS, WIDE, 0.0, activation, 1e-3), batch_first=True, norm_first=norm_first, bias=bias
    ).double()
    # Weights of the norms other than ones show that they are used.
    block = tree.map(lambda leaf: leaf + 0.1, block)
    with torch.no_grad():
        for p, leaf in zip(twin.parameters(), tree.leaves(block), strict=True):
            p.copy_(torch.tensor(on_host(leaf)))
    x = torch.tensor(X, requires_grad=True)
    hidden: Any = None if MASKS[mask] is None else torch.tensor(MASKS[mask])
    hidden = ~hidden if mask == "booleans" else hidden
    out = twin(x, src_mask=hidden)
    (out + 0.3).square().sum().backward()

    ours = None if MASKS[mask] is None else xp.asarray(MASKS[mask])
    np.testing.assert_allclose(
        on_host(block(xp.asarray(X), mask=ours)), out.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    take = bpkit.grad(lambda both: squared(both[0](both[1], mask=ours)))
    wanted = [p.grad for p in twin.parameters()] + [x.grad]
    for found in (take, bpkit.jit(take)):
        for g, p in zip(tree.leaves(found((block, xp.asarray(X)))), wanted, strict=True):
            np.testing.assert_allclose(on_host(g), p.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("backend")
def test_causal_is_the_mask_of_what_came_before() -> None:
    block = block_of()
    x, before = xp.asarray(X), xp.asarray(np.tri(T, dtype=bool))
    np.testing.assert_array_equal(on_host(block(x, causal=True)), on_host(block(x, mask=before)))
    later = xp.asarray(np.where(np.arange(T)[:, None] == T - 1, 9.0, X))
    earlier = slice(None, T - 1)
    np.testing.assert_array_equal(
        on_host(block(later, causal=True))[:, earlier], on_host(block(x, causal=True))[:, earlier]
    )


@pytest.mark.parametrize("norm_first", [True, False], ids=["norm first", "norm last"])
def test_gradients_are_those_of_differences(norm_first: bool) -> None:
    with use_backend("numpy"):
        block = block_of(norm_first=norm_first, activation=nn.gelu)
    bpkit.check_grads(lambda block, x: squared(block(x)), (block, X[:1, :2]))


@pytest.mark.usefixtures("backend")
def test_float32_stays() -> None:
    block, x = block_of("float32", activation=nn.gelu), xp.asarray(X, dtype="float32")
    gradient = bpkit.grad(lambda both: squared(both[0](both[1], causal=True)))((block, x))
    for part in (block(x), *tree.leaves(gradient)):
        assert part.dtype == x.dtype


@pytest.mark.usefixtures("backend")
def test_dropout_in_training_only() -> None:
    block, x = block_of(dropout=0.5), xp.asarray(X)
    np.testing.assert_array_equal(on_host(block(x)), on_host(block_of()(x)))
    first, again, other = (
        on_host(nn.training_call(block, x, key=random.key(seed)).output) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    # By hand, with the four draws in their order.
    drawn = [random.fold_in(random.key(1), i) for i in range(4)]

    def dropped(x: Any, key: Any) -> Any:
        return x * xp.astype(random.bernoulli(key, 0.5, tuple(x.shape)), x.dtype) * 2.0

    weights = dropped(xp.ones((N, HEADS, T, T), dtype="float64"), drawn[0])
    layer = block.attention
    rows = on_host(x) @ on_host(layer.in_weight).T + on_host(layer.in_bias)
    q, k, v = rows.reshape(N, T, 3, HEADS, D // HEADS).transpose(2, 0, 3, 1, 4)
    shares = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(D // HEADS))
    shares = shares / shares.sum(-1, keepdims=True) * on_host(weights)
    rows = (shares @ v).transpose(0, 2, 1, 3).reshape(N, T, D)
    rows = xp.asarray(rows @ on_host(layer.out_weight).T + on_host(layer.out_bias))
    between = block.norm1(x + dropped(rows, drawn[1]))
    hidden = dropped(nn.relu(block.linear1(between)), drawn[2])
    wanted = block.norm2(between + dropped(block.linear2(hidden), drawn[3]))
    np.testing.assert_allclose(first, on_host(wanted), rtol=1e-10, atol=1e-12)


def test_wrong_input_is_told_by_name() -> None:
    with use_backend("numpy"):
        block = block_of(norm_first=True)
    shown = r"TransformerBlock\(4, num_heads=2, dim_feedforward=5, activation=relu, norm_first=True\)"
    with pytest.raises(ShapeError, match=shown + r" expected x of shape \(n, t, 4\), got \(2, 3, 5\)"):
        block(np.ones((2, 3, 5)))
    with pytest.raises(ShapeError, match=r"expected x of shape \(n, t, 4\), got \(3, 4\)"):
        block(X[0])
    for sizes, name in (((0, 1), "embed_dim"), ((4, 0), "num_heads"), ((4, 2, 0), "dim_feedforward")):
        with pytest.raises(ArgumentError, match=f"TransformerBlock: {name} must be a positive int, got 0"):
            nn.TransformerBlock(*sizes, key=random.key(0))
    with pytest.raises(ArgumentError, match="activation must be a function of an array, got 'gelu'"):
        block_of(activation="gelu")
