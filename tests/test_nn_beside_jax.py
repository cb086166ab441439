"""Activations, attention, normalisation and convolution beside what JAX has of them: values and gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import nn, xp
from bpkit.tree import leaves

jax = pytest.importorskip("jax")
# Of the same name in jax.nn, or of this one.
NAMES = {
    **{name: name for name in ("celu", "elu", "glu", "mish", "relu", "relu6", "selu", "sigmoid", "silu")},
    **{name: name for name in ("softmax", "log_softmax", "softplus", "tanh")},
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hardtanh": "hard_tanh",
    "leaky_relu": "leaky_relu",
    "logsigmoid": "log_sigmoid",
    "softsign": "soft_sign",
}


@pytest.fixture(autouse=True)
def double() -> Any:
    with jax.enable_x64(True):
        yield


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def same(ours: Callable[..., Any], theirs: Callable[..., Any], *given: Any) -> None:
    """Values, and gradients of a sum with weights, to 1e-10."""
    out = ours(*given)
    weights = normal(*out.shape, seed=9)
    found = bpkit.grad(lambda xs: xp.sum(ours(*xs) * weights))(given)
    wanted = jax.grad(lambda xs: (theirs(*xs) * weights).sum())(given)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, np.asarray(theirs(*given)), rtol=1e-10, atol=1e-12)
    for x, y in zip(leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, np.asarray(y), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_activations(name: str) -> None:
    same(getattr(nn, name), getattr(jax.nn, NAMES[name]), 3 * normal(5, 6))


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu(approximate: bool) -> None:
    ours = lambda z: nn.gelu(z, approximate="tanh" if approximate else "none")  # noqa: E731
    same(ours, lambda z: jax.nn.gelu(z, approximate=approximate), 3 * normal(5, 6))


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    """jax.nn.dot_product_attention itself has the weights in float32."""
    q, k, v = (normal(2, 3, 5, 4, seed=seed) for seed in range(3))  # batch, heads, time, features
    mask = np.tril(np.ones((5, 5), dtype=bool)) | (normal(5, 5, seed=4) > 0)
    seen = np.tril(mask) if causal else mask

    def theirs(q: Any, k: Any, v: Any) -> Any:
        scores = jax.numpy.where(seen, jax.numpy.einsum("bhtd,bhsd->bhts", q, k) / 2.0, -np.inf)
        return jax.nn.softmax(scores, axis=-1) @ v

    same(lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, mask, causal), theirs, q, k, v)


def test_standardize() -> None:
    layer = nn.LayerNorm(6, eps=1e-5, elementwise_affine=False, dtype="float64")
    same(layer, lambda x: jax.nn.standardize(x, axis=-1, epsilon=1e-5), normal(4, 6))


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 1), ((2, 1), (0, 1), (1, 2), 2)],
)
def test_convolution(stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    both = [(n, n) if isinstance(n, int) else n for n in (stride, padding, dilation)]

    def theirs(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            *(x, w, both[0], [(n, n) for n in both[1]]), rhs_dilation=both[2], feature_group_count=groups
        )

    def ours(x: Any, w: Any) -> Any:
        return xp.conv(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)

    same(ours, theirs, normal(2, 4, 9, 8), normal(6, 4 // groups, 3, 2, seed=1))
