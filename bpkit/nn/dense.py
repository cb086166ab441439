"""The fully connected layer."""

from numbers import Integral
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn.init import Initializer, bias_for, glorot_uniform
from bpkit.nn.module import Module, static

__all__ = ["Dense"]


class Dense(Module):
    """A fully connected layer: ``y = x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Positive sizes of the last dimension of `x` and of `y`.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`; one half of its split draws the weight,
        the other the bias.
    bias : bool
        Whether there is a bias.
    init : callable
        ``(key, shape, dtype) -> array`` for the weight, of :mod:`bpkit.nn.init` or your own.
    bias_init : callable or None
        The same for the bias. None for the one that belongs to `init`: N(0, 1) for the two of Nielsen's book
        (`standard_normal`, `scaled_normal`), zeros otherwise.
    dtype : floating dtype or None
        Of weight and bias; None for the default of the current backend.

    Attributes
    ----------
    weight : array, shape (out_features, in_features)
    bias : array, shape (out_features,), or None
    in_features, out_features : int

    Raises
    ------
    ArgumentError
        If a size is not a positive int.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, equation 25: ``w[j, k]`` leads from
    neuron k of the layer before to neuron j, and ``z = w a + b``.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = Dense(784, 30, key=random.key(0))
    >>> layer
    Dense(784 → 30)
    >>> layer(xp.zeros((10, 784))).shape
    (10, 30)
    """

    weight: RawArray
    bias: RawArray | None
    in_features: int = static()
    out_features: int = static()

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        key: RawArray,
        bias: bool = True,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
                raise ArgumentError(f"Dense: {name} must be a positive int, got {size!r}; it counts neurons")
        weight_key, bias_key = xp.unstack(random.split(key, 2))
        self.weight = init(weight_key, (out_features, in_features), dtype)
        self.bias = (bias_init or bias_for(init))(bias_key, (out_features,), dtype) if bias else None
        self.in_features = int(in_features)
        self.out_features = int(out_features)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (..., in_features)
            Any leading shape, also none, of the weight's dtype.

        Returns
        -------
        array, shape (..., out_features)

        Raises
        ------
        ShapeError
            If the last dimension of `x` is not `in_features`.
        ArgumentError
            If `x` is not an array.
        """
        shape = getattr(x, "shape", None)
        if shape is None:
            raise ArgumentError(
                f"{self!r} was called with {a_type(type(x))}; expected an array of shape "
                f"(..., {self.in_features}): make one with bpkit.xp.asarray(x)"
            )
        if not shape or shape[-1] != self.in_features:
            raise ShapeError(
                f"{self!r} expected x of shape (..., {self.in_features}), got {tuple(shape)}; the last "
                f"dimension must be in_features={self.in_features}"
            )
        y = xp.matmul(x, xp.matrix_transpose(self.weight))
        return y if self.bias is None else xp.add(y, self.bias)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_features} → {self.out_features})"
