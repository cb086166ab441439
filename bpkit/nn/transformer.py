"""The block that transformers are made of."""

from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.nn.activations import relu
from bpkit.nn.attention import MultiHeadAttention
from bpkit.nn.dense import Dense
from bpkit.nn.dropout import Dropout
from bpkit.nn.init import Initializer, glorot_uniform
from bpkit.nn.module import Module, static
from bpkit.nn.normalization import LayerNorm
from bpkit.nn.sizes import array_shape, check_sizes, expect

__all__ = ["TransformerBlock"]


class TransformerBlock(Module):
    """Self-attention, and then two dense layers at each position; each is added to what goes in.

    With ``dense(x) = linear2(activation(linear1(x)))`` and the norm first ``x = x + attention(norm1(x))`` and
    ``y = x + dense(norm2(x))``; else, as in the first paper, ``x = norm1(x + attention(x))`` and
    ``y = norm2(x + dense(x))``.

    Parameters
    ----------
    embed_dim, num_heads : int
        As for :class:`bpkit.nn.MultiHeadAttention`.
    dim_feedforward : int or None
        The size between the two dense layers; None for ``4 * embed_dim``.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    dropout : float
        The share that training sets to 0: of the attention weights, of what the attention gives, and of what
        either dense layer gives.
    activation : callable
        A function of an array, such as :func:`bpkit.nn.gelu`.
    layer_norm_eps : float
        As `eps` for :class:`bpkit.nn.LayerNorm`.
    norm_first : bool
        Whether the norms come first, which trains deep stacks without a warm-up.
    bias : bool
        Whether there are biases, those of the norms included.
    init, bias_init : callable
        As in :class:`bpkit.nn.Dense`.
    dtype : floating dtype or None
        Of the parameters; None for the default of the current backend.

    Attributes
    ----------
    attention : MultiHeadAttention
    linear1, linear2 : Dense
    norm1, norm2 : LayerNorm
    dropout : Dropout
    activation : callable
    norm_first : bool

    Raises
    ------
    ArgumentError
        If a size is not a positive int, `num_heads` does not divide `embed_dim`, or the activation is no
        function.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.1.
    R. Xiong et al., "On layer normalization in the transformer architecture", ICML 2020: the norm first.

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> block = TransformerBlock(128, 4, key=random.key(0), activation=nn.gelu, norm_first=True)
    >>> block(xp.zeros((16, 64, 128)), causal=True).shape
    (16, 64, 128)
    """

    attention: MultiHeadAttention
    linear1: Dense
    linear2: Dense
    norm1: LayerNorm
    norm2: LayerNorm
    dropout: Dropout
    activation: Callable[[Any], Any] = static()
    norm_first: bool = static()

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        *,
        key: RawArray,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        check_sizes(type(self).__name__, embed_dim=embed_dim, num_heads=num_heads)
        wide = 4 * embed_dim if dim_feedforward is None else dim_feedforward
        check_sizes(type(self).__name__, dim_feedforward=wide)
        if not callable(activation) or isinstance(activation, Module | type):
            raise ArgumentError(
                f"{type(self).__name__}: activation must be a function of an array, got {activation!r}"
            )
        keys = xp.unstack(random.split(key, 3))
        drawn: dict[str, Any] = {"bias": bias, "init": init, "bias_init": bias_init, "dtype": dtype}
        self.attention = MultiHeadAttention(embed_dim, num_heads, key=keys[0], dropout=dropout, **drawn)
        self.linear1 = Dense(embed_dim, wide, key=keys[1], **drawn)
        self.linear2 = Dense(wide, embed_dim, key=keys[2], **drawn)
        self.norm1, self.norm2 = (
            LayerNorm(embed_dim, eps=layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2)
        )
        self.dropout = Dropout(dropout)
        self.activation = activation
        self.norm_first = bool(norm_first)

    def __call__(self, x: RawArray, *, mask: RawArray | None = None, causal: bool = False) -> RawArray:
        """Apply the block.

        Parameters
        ----------
        x : array, shape (n, t, embed_dim)
        mask, causal
            As for :class:`bpkit.nn.MultiHeadAttention`.

        Returns
        -------
        array, shape (n, t, embed_dim)

        Raises
        ------
        ShapeError
            If the shape of `x` or of the mask does not fit.
        ArgumentError
            If `x` is no array, or the mask is neither boolean nor floating.
        """
        size = self.attention.embed_dim
        shape = array_shape(self, "x", x, f"(n, t, {size})")
        expect(len(shape) == 3 and shape[2] == size, self, "x", shape, f"(n, t, {size})")
        if self.norm_first:
            x = xp.add(x, self._attended(self.norm1(x), mask, causal))
            return xp.add(x, self._transformed(self.norm2(x)))
        x = self.norm1(xp.add(x, self._attended(x, mask, causal)))
        return self.norm2(xp.add(x, self._transformed(x)))

    def _attended(self, x: RawArray, mask: RawArray | None, causal: bool) -> RawArray:
        return self.dropout(self.attention(x, mask=mask, causal=causal))

    def _transformed(self, x: RawArray) -> RawArray:
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.dropout(self.linear2(hidden))

    def __repr__(self) -> str:
        parts = [str(self.attention.embed_dim), f"num_heads={self.attention.num_heads}"]
        parts += [f"dim_feedforward={self.linear1.out_features}"]
        parts += [f"activation={getattr(self.activation, '__name__', repr(self.activation))}"]
        parts += ["norm_first=True"] * self.norm_first
        return f"{type(self).__name__}({', '.join(parts)})"
