"""Attention: every position looks at others, and takes from each as much as it fits."""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import Kind, device_of, kind_of, raw
from bpkit.namespace.manipulation import slices
from bpkit.nn.dropout import Dropout
from bpkit.nn.init import Initializer, bias_for, glorot_uniform
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, check_sizes, expect
from bpkit.registry import backend_of

__all__ = ["MultiHeadAttention", "scaled_dot_product_attention"]

INF = math.inf


def scaled_dot_product_attention(
    q: RawArray, k: RawArray, v: RawArray, mask: RawArray | None = None, causal: bool = False
) -> RawArray:
    """``softmax(q @ k.T / sqrt(d) + mask) @ v``: means of the values, weighted by how well keys fit queries.

    Parameters
    ----------
    q : array, shape (..., t, d), floating
        A query for each of t positions.
    k : array, shape (..., s, d)
        A key for each of s positions.
    v : array, shape (..., s, e)
        What is taken from them.
    mask : array or None
        Of a shape that broadcasts to (..., t, s). Boolean: True where a query sees a key. Floating: added to
        the products; ``-inf`` hides a key.
    causal : bool
        Whether query i sees the keys 0 … i only.

    Returns
    -------
    array, shape (..., t, e), of `q`'s dtype
        Zeros for a query that sees no key, and no gradient flows through those.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ArgumentError
        If the mask is neither boolean nor floating.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.

    Examples
    --------
    >>> from bpkit import nn, xp
    >>> q = xp.zeros((2, 1))
    >>> nn.scaled_dot_product_attention(q, q, xp.asarray([[1.0], [3.0]]), causal=True)
    array([[1.],
           [2.]])
    """
    _check_fit(q, k, v)
    return _attend(q, k, v, mask, causal, None)


class MultiHeadAttention(Module):
    """Attention with several heads, each of which has its own queries, keys and values.

    ``y = concat(head_1, …, head_h) @ out_weight.T + out_bias``, where head i is
    :func:`scaled_dot_product_attention` of the i-th parts of ``query @ q_weight.T + q_bias`` and so on.

    Parameters
    ----------
    embed_dim : int
        The size of the last dimension of queries and of the result.
    num_heads : int
        Must divide `embed_dim`.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    kdim, vdim : int or None
        The sizes of the last dimension of keys and of values; None for `embed_dim`.
    bias : bool
        Whether anything is added to the products.
    dropout : float
        The share of the attention weights that training sets to 0, see :class:`bpkit.nn.Dropout`.
    init, bias_init : callable
        As in :class:`bpkit.nn.Dense`. The weights of queries, keys and values count as one array.
    dtype : floating dtype or None
        Of the parameters; None for the default of the current backend.

    Attributes
    ----------
    in_weight : array or tuple of array
        Of shape (3 * embed_dim, embed_dim): those of queries, keys and values below each other, so that they
        take one product. If kdim or vdim differs from embed_dim three arrays, of the shapes
        (embed_dim, embed_dim), (embed_dim, kdim) and (embed_dim, vdim).
    in_bias : array, shape (3 * embed_dim,), or None
    out_weight : array, shape (embed_dim, embed_dim)
    out_bias : array, shape (embed_dim,), or None
    dropout : Dropout
    embed_dim, num_heads, kdim, vdim : int

    Raises
    ------
    ArgumentError
        If a size is not a positive int, or `num_heads` does not divide `embed_dim`.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.2.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = MultiHeadAttention(128, 4, key=random.key(0))
    >>> layer
    MultiHeadAttention(128, num_heads=4)
    >>> layer(xp.zeros((16, 64, 128)), causal=True).shape
    (16, 64, 128)
    """

    in_weight: Any
    in_bias: RawArray | None
    out_weight: RawArray
    out_bias: RawArray | None
    dropout: Dropout
    embed_dim: int = static()
    num_heads: int = static()
    kdim: int = static()
    vdim: int = static()

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        key: RawArray,
        kdim: int | None = None,
        vdim: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        kdim, vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        name = type(self).__name__
        check_sizes(name, embed_dim=embed_dim, num_heads=num_heads, kdim=kdim, vdim=vdim)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"{name}: num_heads={num_heads} must divide embed_dim={embed_dim}, of which each head takes "
                f"an equal part"
            )
        keys = xp.unstack(random.split(key, 6))
        self.embed_dim, self.num_heads = int(embed_dim), int(num_heads)
        self.kdim, self.vdim = int(kdim), int(vdim)
        if kdim == vdim == embed_dim:
            self.in_weight = init(keys[0], (3 * self.embed_dim, self.embed_dim), dtype)
        else:
            sizes = (self.embed_dim, self.kdim, self.vdim)
            self.in_weight = tuple(
                [init(k, (self.embed_dim, n), dtype) for k, n in zip(keys, sizes, strict=False)]
            )
        self.out_weight = init(keys[3], (self.embed_dim, self.embed_dim), dtype)
        bias_init = bias_init or bias_for(init)
        self.in_bias = bias_init(keys[4], (3 * self.embed_dim,), dtype) if bias else None
        self.out_bias = bias_init(keys[5], (self.embed_dim,), dtype) if bias else None
        self.dropout = Dropout(dropout)

    def __call__(
        self,
        query: RawArray,
        key: RawArray | None = None,
        value: RawArray | None = None,
        *,
        mask: RawArray | None = None,
        causal: bool = False,
    ) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        query : array, shape (n, t, embed_dim)
        key : array, shape (n, s, kdim), or None
            What is looked at; None for `query`, which is self-attention.
        value : array, shape (n, s, vdim), or None
            What is taken from there; None for `key`.
        mask : array or None
            Of shape (t, s), (n, t, s) for all heads, or (n, num_heads, t, s); any length may be 1. Boolean:
            True where a query sees a key. (PyTorch's layer takes the opposite.) Floating: added to the
            products. To leave out keys that are padding, pass ``is_word[:, None, :]``.
        causal : bool
            Whether query i sees the keys 0 … i only.

        Returns
        -------
        array, shape (n, t, embed_dim)
            `out_bias` alone for a query that sees no key.

        Raises
        ------
        ShapeError
            If a shape does not fit.
        ArgumentError
            If an argument is no array, or the mask is neither boolean nor floating.
        """
        if key is None and value is not None:
            raise ArgumentError(f"{self!r} was called with a value and no key; pass the key as well")
        n, t = self._lengths("query", query, "n, t", self.embed_dim, (None, None))
        if key is None and self._is_one:
            q, k, v = self._heads(query, self.in_weight, self.in_bias)
        else:
            key = query if key is None else key
            value = key if value is None else value
            _, s = self._lengths("key", key, f"{n}, s", self.kdim, (n, None))
            self._lengths("value", value, f"{n}, {s}", self.vdim, (n, s))
            q, k, v = self._apart(query, key, value)
        if mask is not None and len(mask.shape) == 3:
            mask = xp.expand_dims(mask, 1)
        seen = _attend(q, k, v, mask, causal, self.dropout)
        rows = xp.reshape(xp.permute_dims(seen, (0, 2, 1, 3)), (n, t, self.embed_dim))
        return _dense(rows, self.out_weight, self.out_bias)

    @property
    def _is_one(self) -> bool:
        """Whether queries, keys and values have their weights in one array."""
        return not isinstance(self.in_weight, tuple)

    def _apart(self, query: RawArray, key: RawArray, value: RawArray) -> tuple[RawArray, ...]:
        """Queries, keys and values of different arrays, by head."""
        d, weight, bias = self.embed_dim, self.in_weight, self.in_bias
        biases = (None,) * 3 if bias is None else (bias[:d], bias[d : 2 * d], bias[2 * d :])
        if not self._is_one:
            weights = weight
        elif key is value:
            (q,) = self._heads(query, weight[:d, :], biases[0])
            return (q, *self._heads(key, weight[d:, :], None if bias is None else bias[d:]))
        else:
            weights = weight[:d, :], weight[d : 2 * d, :], weight[2 * d :, :]
        parts = zip((query, key, value), weights, biases, strict=True)
        return tuple([self._heads(x, w, b)[0] for x, w, b in parts])

    def _heads(self, x: RawArray, weight: RawArray, bias: RawArray | None) -> tuple[RawArray, ...]:
        """What the parts of a weight make of `x`, each of shape (n, num_heads, length, features)."""
        n, length, _ = x.shape
        z = _dense(x, weight, bias)
        z = xp.reshape(z, (n, length, -1, self.num_heads, self.embed_dim // self.num_heads))
        return tuple([xp.permute_dims(part, (0, 2, 1, 3)) for part in slices(z, 2)])

    def _lengths(
        self, name: str, x: RawArray, before: str, features: int, wanted: tuple[int | None, int | None]
    ) -> tuple[int, int]:
        """The first two of the three lengths of an array, which must be as wanted."""
        expected = f"({before}, {features})"
        shape = array_shape(self, name, x, expected)
        fits = len(shape) == 3 and shape[2] == features
        fits = fits and all(want in (None, n) for want, n in zip(wanted, shape, strict=False))
        expect(fits, self, name, shape, expected)
        return shape[0], shape[1]

    def __repr__(self) -> str:
        parts = [str(self.embed_dim), f"num_heads={self.num_heads}"]
        parts += [f"{name}={getattr(self, name)}" for name in ("kdim", "vdim") if not self._is_one]
        parts += ["bias=False"] * (self.out_bias is None)
        return f"{type(self).__name__}({', '.join(parts)})"


def _dense(x: RawArray, weight: RawArray, bias: RawArray | None) -> RawArray:
    y = xp.matmul(x, xp.matrix_transpose(weight))
    return y if bias is None else xp.add(y, bias)


def _attend(
    q: RawArray, k: RawArray, v: RawArray, mask: RawArray | None, causal: bool, dropout: Dropout | None
) -> RawArray:
    """Means of `v` by the products of `q` with `k`."""
    scores = xp.matmul(q, xp.matrix_transpose(k)) * (1.0 / math.sqrt(q.shape[-1]))
    added, blind = _added(q, mask, causal, tuple(scores.shape))
    weights = xp.softmax(scores if added is None else xp.add(scores, added), axis=-1)
    y = xp.matmul(weights if dropout is None else dropout(weights), v)
    return y if blind is None else xp.where(blind, 0.0, y)


def _added(
    q: RawArray, mask: RawArray | None, causal: bool, shape: tuple[int, ...]
) -> tuple[RawArray | None, RawArray | None]:
    """What is to be added to the products, and which queries see nothing, if some might.

    These get numbers that do no harm, where ``-inf`` alone would make NaN.
    """
    before = None
    if causal:
        # Not of the chosen library, but of that of `q`.
        lib = backend_of(raw(q)).xp
        before = lib.tril(lib.ones(shape[-2:], dtype=lib.bool, device=device_of(q)))
    if mask is None:
        # A query sees at least the first key.
        return (None if before is None else _hiding(before, q)), None
    _check_mask(mask, shape)
    if kind_of(mask) is Kind.BOOLEAN:
        mask = mask if before is None else xp.logical_and(mask, before)
        blind = xp.logical_not(xp.any(mask, axis=-1, keepdims=True))
        return _hiding(xp.logical_or(mask, blind), q), blind
    mask = mask if mask.dtype == q.dtype else xp.astype(mask, q.dtype)
    mask = mask if before is None else xp.where(before, mask, -INF)
    blind = xp.all(mask == -INF, axis=-1, keepdims=True)
    return xp.where(blind, 0.0, mask), blind


def _hiding(seen: RawArray, q: RawArray) -> RawArray:
    return xp.where(seen, xp.zeros_like(seen, dtype=q.dtype), -INF)


def _check_mask(mask: RawArray, shape: tuple[int, ...]) -> None:
    found = tuple(mask.shape)
    extra = len(found) - len(shape)
    if extra > 0 or any(n not in (1, m) for n, m in zip(found[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"attention: the mask has shape {found}, which does not broadcast to that of the products of "
            f"queries and keys, {shape}"
        )
    if kind_of(mask) not in (Kind.BOOLEAN, Kind.REAL):
        raise ArgumentError(
            f"attention: the mask has dtype {mask.dtype}; expected booleans, True where a query sees a key, "
            f"or floats, which are added to the products"
        )


def _check_fit(q: RawArray, k: RawArray, v: RawArray) -> None:
    shapes = [tuple(x.shape) for x in (q, k, v)]
    long = all(len(shape) >= 2 for shape in shapes)
    if not long or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: expected q (..., t, d), k (..., s, d) and v (..., s, e), got "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
