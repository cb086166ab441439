"""Attention against PyTorch's, in every option."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

RNG = np.random.default_rng(0)
N, T, S, D, HEADS = 2, 3, 4, 6, 2
SEEN = np.asarray([[True, False, True, True], [True, True, False, False], [False, True, False, True]])
BLIND = np.asarray([[True, False, True, True], [False] * 4, [False, True, False, True]])
ADDED = RNG.normal(size=(T, S))
INF = float("inf")
attend: Any = nn.scaled_dot_product_attention
MASKS: dict[str, Any] = {
    "none": None,
    "boolean": SEEN,
    "floats": ADDED,
    "floats that hide": np.where(SEEN, ADDED, -INF),
    "by example": RNG.random((N, 1, T, S)) < 0.8,
    "by head": RNG.normal(size=(N, HEADS, T, S)),
    "of keys": np.asarray([[True, True, False, True], [True, False, False, True]])[:, None, None, :],
    "a blind query": BLIND,
    "a query blinded by floats": np.where(BLIND, ADDED, -INF),
}


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def close(found: Any, wanted: Any) -> None:
    assert on_host(found).dtype == np.float64
    np.testing.assert_allclose(on_host(found), wanted, rtol=1e-10, atol=1e-12)


def squared(y: Any) -> Any:
    return xp.sum(xp.square(y + 0.3))


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.usefixtures("backend")
def test_dot_product_attention_equals_torch(mask: str, causal: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    given = [rng.normal(size=(N, HEADS, n, d)) for n, d in ((T, 5), (S, 5), (S, 3))]
    q, k, v = (torch.tensor(x, requires_grad=True) for x in given)
    both = None if MASKS[mask] is None else torch.tensor(MASKS[mask])
    if causal and both is not None:
        # PyTorch's function takes one of the two.
        before = torch.ones(T, S, dtype=torch.bool).tril()
        both = both & before if both.dtype == torch.bool else both.masked_fill(~before, -INF)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, both, is_causal=causal and both is None)
    (out + 0.3).square().sum().backward()

    ours = None if MASKS[mask] is None else xp.asarray(MASKS[mask])
    args = tuple(xp.asarray(x) for x in given)
    close(attend(*args, mask=ours, causal=causal), out.detach().numpy())
    take = bpkit.grad(lambda args: squared(attend(*args, ours, causal)))
    for found in (take(args), bpkit.jit(take)(args)):
        for g, x in zip(found, (q, k, v), strict=True):
            close(g, x.grad.numpy())


@pytest.mark.parametrize("mask", ["a blind query", "a query blinded by floats"])
@pytest.mark.usefixtures("backend")
def test_a_query_that_sees_nothing_gives_zeros_and_finite_gradients(mask: str) -> None:
    rng = np.random.default_rng(1)
    args = tuple(xp.asarray(rng.normal(size=(n, D))) for n in (T, S, S))
    hidden = xp.asarray(MASKS[mask])
    out = on_host(attend(*args, hidden))
    assert not np.any(out[1])
    assert np.all(out[[0, 2]] != 0)
    gradient = bpkit.grad(lambda args: squared(attend(*args, hidden)))(args)
    assert all(np.all(np.isfinite(on_host(g))) for g in gradient)
    assert not np.any(on_host(gradient[0])[1])
    if xp.isdtype(hidden.dtype, "real floating"):
        by_mask = bpkit.grad(lambda mask: squared(attend(*args, mask)))(hidden)
        assert np.all(np.isfinite(on_host(by_mask)))


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "keys of their own size": {"kdim": 5},
    "values of their own size, no bias": {"vdim": 7, "bias": False},
    "both": {"kdim": 5, "vdim": 7},
}
CALLS: dict[str, tuple[int, ...]] = {"of itself": (0,), "of another": (0, 1), "of two others": (0, 1, 2)}
LAYER_MASKS: dict[str, Any] = {
    "none": None,
    "for all": lambda s: SEEN[:, :s],
    "by example": lambda s: MASKS["by example"][:, 0, :, :s],
    "by head": lambda s: MASKS["by head"][..., :s],
    "of keys": lambda s: MASKS["of keys"][:, 0, :, :s],
}


def pair(torch: Any, **settings: Any) -> tuple[nn.MultiHeadAttention, Any]:
    """Our layer and PyTorch's, with the same weights."""
    layer = nn.MultiHeadAttention(
        D, HEADS, key=random.key(0), bias_init=nn.init.standard_normal, dtype="float64", **settings
    )
    twin = torch.nn.MultiheadAttention(D, HEADS, batch_first=True, **settings).double()
    with torch.no_grad():
        for p, leaf in zip(weights_of(twin), tree.leaves(layer), strict=True):
            p.copy_(torch.tensor(on_host(leaf)))
    return layer, twin


def weights_of(twin: Any) -> list[Any]:
    one = [twin.in_proj_weight, twin.q_proj_weight, twin.k_proj_weight, twin.v_proj_weight]
    all_ = [*one, twin.in_proj_bias, twin.out_proj.weight, twin.out_proj.bias]
    return [p for p in all_ if p is not None]


def sizes_of(settings: str) -> tuple[int, int, int]:
    return D, SETTINGS[settings].get("kdim", D), SETTINGS[settings].get("vdim", D)


FITTING = [
    (settings, called)
    for settings in SETTINGS
    for called, places in CALLS.items()
    # The last array that is passed stands for those after it, too.
    if len(set(sizes_of(settings)[places[-1] :])) == 1
]


@pytest.mark.parametrize("mask", LAYER_MASKS)
@pytest.mark.parametrize(("settings", "called"), FITTING)
@pytest.mark.usefixtures("backend")
def test_multi_head_attention_equals_torch(settings: str, called: str, mask: str) -> None:
    sizes, options = sizes_of(settings), SETTINGS[settings]
    torch = pytest.importorskip("torch")
    layer, twin = pair(torch, **options)
    rng = np.random.default_rng(1)
    given = [rng.normal(size=(N, S if i else T, sizes[i])) for i in CALLS[called]]
    args = [torch.tensor(x, requires_grad=True) for x in given]
    hidden = LAYER_MASKS[mask] and LAYER_MASKS[mask](S if len(given) > 1 else T)
    theirs = None
    if hidden is not None:
        wide = hidden if hidden.ndim == 4 else hidden[:, None] if hidden.ndim == 3 else hidden[None, None]
        theirs = np.broadcast_to(wide, (N, HEADS, T, hidden.shape[-1])).reshape(N * HEADS, T, -1)
        theirs = torch.tensor(~theirs if theirs.dtype == bool else theirs)
    out, _ = twin(args[0], args[min(1, len(args) - 1)], args[-1], attn_mask=theirs, need_weights=False)
    (out + 0.3).square().sum().backward()

    ours = None if hidden is None else xp.asarray(hidden)
    here = tuple(xp.asarray(x) for x in given)
    close(layer(*here, mask=ours), out.detach().numpy())
    take = bpkit.grad(lambda both: squared(both[0](*both[1], mask=ours)))
    wanted = [p.grad for p in weights_of(twin)] + [x.grad for x in args]
    for g, p in zip(tree.leaves(take((layer, here))), wanted, strict=True):
        close(g, p.numpy())


@pytest.mark.usefixtures("backend")
def test_causal_layer_compiled_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    layer, twin = pair(torch)
    x = np.random.default_rng(1).normal(size=(N, T, D))
    there = torch.tensor(x)
    before = torch.ones(T, T, dtype=torch.bool).tril()
    out, _ = twin(there, there, there, attn_mask=~before, need_weights=False)
    (out + 0.3).square().sum().backward()
    compiled = bpkit.jit(bpkit.value_and_grad(lambda layer, x: squared(layer(x, causal=True))))
    for _ in range(2):
        value, gradient = compiled(layer, xp.asarray(x))
        np.testing.assert_allclose(float(value), float((out.detach() + 0.3).square().sum()), rtol=1e-12)
        for g, p in zip(tree.leaves(gradient), weights_of(twin), strict=True):
            close(g, p.grad.numpy())


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_are_those_of_differences(settings: str) -> None:
    options = SETTINGS[settings]
    with use_backend("numpy"):
        layer = nn.MultiHeadAttention(D, HEADS, key=random.key(0), dtype="float64", **options)
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(1, 2, n)) for n in (D, layer.kdim, layer.vdim))
    mask = rng.normal(size=(2, 2))
    bpkit.check_grads(lambda layer, q, k, v, mask: squared(layer(q, k, v, mask=mask)), (layer, q, k, v, mask))


@pytest.mark.parametrize("mask", [None, SEEN[:, :T], ADDED[:, :T]], ids=["no mask", "booleans", "float64"])
@pytest.mark.usefixtures("backend")
def test_float32_stays(mask: Any) -> None:
    layer = nn.MultiHeadAttention(D, HEADS, key=random.key(0), dtype="float32")
    x = xp.asarray(np.ones((N, T, D)), dtype="float32")
    mask = None if mask is None else xp.asarray(mask)
    gradient = bpkit.grad(lambda both: squared(both[0](both[1], mask=mask, causal=True)))((layer, x))
    for part in (layer(x, mask=mask, causal=True), *tree.leaves(gradient)):
        assert part.dtype == x.dtype


@pytest.mark.usefixtures("backend")
def test_dropout_is_of_the_weights_and_in_training_only() -> None:
    layer = nn.MultiHeadAttention(D, HEADS, key=random.key(0), dropout=0.5, dtype="float64")
    x = xp.asarray(np.random.default_rng(1).normal(size=(N, T, D)))
    plain = layer.replace(dropout=nn.Dropout(0.0))
    np.testing.assert_array_equal(on_host(layer(x)), on_host(plain(x)))
    out = nn.training_call(layer, x, key=random.key(4)).output
    scale = nn.training_call(nn.Dropout(0.5), xp.ones((N, HEADS, T, T), dtype="float64"), key=random.key(4))
    weight, bias = (on_host(a) for a in (layer.in_weight, layer.in_bias))
    z = (on_host(x) @ weight.T + bias).reshape(N, T, 3, HEADS, D // HEADS)
    q, k, v = z.transpose(2, 0, 3, 1, 4)
    shares = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(D // HEADS))
    shares = shares / shares.sum(-1, keepdims=True) * on_host(scale.output)
    rows = (shares @ v).transpose(0, 2, 1, 3).reshape(N, T, D)
    close(out, rows @ on_host(layer.out_weight).T + on_host(layer.out_bias))


def test_wrong_input_is_told_by_name() -> None:
    with use_backend("numpy"):
        layer = nn.MultiHeadAttention(D, HEADS, key=random.key(0), kdim=5, vdim=7)
    shown = r"MultiHeadAttention\(6, num_heads=2, kdim=5, vdim=7\)"
    q, k, v = np.ones((N, T, D)), np.ones((N, S, 5)), np.ones((N, S, 7))
    assert layer(q, k, v).shape == q.shape
    with pytest.raises(ShapeError, match=shown + r" expected query of shape \(n, t, 6\), got \(3, 6\)"):
        layer(q[0], k, v)
    with pytest.raises(ShapeError, match=shown + r" expected key of shape \(2, s, 5\), got \(2, 4, 7\)"):
        layer(q, v)
    with pytest.raises(ShapeError, match=r"expected value of shape \(2, 4, 7\), got \(2, 3, 7\)"):
        layer(q, k, v[:, 1:])
    with pytest.raises(ArgumentError, match=shown + r" was called with a value and no key"):
        layer(q, value=v)
    with pytest.raises(ShapeError, match=r"the mask has shape \(4, 3\), which .* \(2, 2, 3, 4\)"):
        layer(q, k, v, mask=np.ones((4, 3), dtype=bool))
    with pytest.raises(ArgumentError, match=r"the mask has dtype int64; expected booleans"):
        layer(q, k, v, mask=np.ones((3, 4), dtype=np.int64))
    with pytest.raises(ArgumentError, match=r"num_heads=4 must divide embed_dim=6"):
        nn.MultiHeadAttention(6, 4, key=random.key(0))
    with pytest.raises(ArgumentError, match=r"MultiHeadAttention: kdim must be a positive int, got 0"):
        nn.MultiHeadAttention(6, 2, key=random.key(0), kdim=0)
    with pytest.raises(ShapeError, match=r"scaled_dot_product_attention: expected q \(\.\.\., t, d\)"):
        attend(q, k, k)
