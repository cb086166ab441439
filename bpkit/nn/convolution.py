"""Convolutional layers; those that go the other way are in :mod:`bpkit.nn.transposed_convolution`."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.namespace.convolution import each
from bpkit.nn.init import Initializer, bias_for, glorot_uniform
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, expect

__all__ = ["Conv1d", "Conv2d", "Convolution", "Sizes"]

Sizes = int | Sequence[int]


class Convolution(Module):
    """What all convolutional layers have in common."""

    weight: RawArray
    bias: RawArray | None
    in_channels: int = static()
    out_channels: int = static()
    kernel_size: tuple[int, ...] = static()
    stride: tuple[int, ...] = static()
    padding: Any = static()
    dilation: tuple[int, ...] = static()
    groups: int = static()

    axes: ClassVar[int]

    def _set(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        groups: int,
    ) -> None:
        """Keep the sizes, as one for each axis."""
        owner = type(self).__name__
        self.in_channels, self.out_channels, self.groups = (
            each(owner, name, size, 1, 1)[0]
            for name, size in (
                ("in_channels", in_channels),
                ("out_channels", out_channels),
                ("groups", groups),
            )
        )
        for name, size in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if size % self.groups:
                raise ArgumentError(f"{owner}: {name}={size} cannot be split into groups={self.groups}")
        self.kernel_size = each(owner, "kernel_size", kernel_size, self.axes, 1)
        self.stride = each(owner, "stride", stride, self.axes, 1)
        self.dilation = each(owner, "dilation", dilation, self.axes, 1)
        self.padding = padding if isinstance(padding, str) else each(owner, "padding", padding, self.axes, 0)

    def _draw(
        self,
        key: RawArray,
        channels: tuple[int, int],
        bias: bool,
        init: Initializer,
        bias_init: Initializer | None,
        dtype: Any,
    ) -> None:
        """Draw the weight of shape (*channels, *kernel_size), and the bias."""
        weight_key, bias_key = xp.unstack(random.split(key, 2))
        self.weight = init(weight_key, (*channels, *self.kernel_size), dtype)
        chosen = bias_init or bias_for(init)
        self.bias = chosen(bias_key, (self.out_channels,), dtype) if bias else None

    def _check(self, x: RawArray) -> None:
        lengths = ("length",) if self.axes == 1 else ("height", "width")
        expected = f"(n, {self.in_channels}, {', '.join(lengths)})"
        shape = array_shape(self, "x", x, expected)
        fits = len(shape) == self.axes + 2 and shape[1] == self.in_channels
        expect(fits, self, "x", shape, expected)

    def _with_bias(self, z: RawArray) -> RawArray:
        return z if self.bias is None else z + xp.reshape(self.bias, (1, -1, *(1,) * self.axes))

    def __repr__(self) -> str:
        window = "×".join(map(str, self.kernel_size))
        given = [f"{self.in_channels} → {self.out_channels}", window]
        plain = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        for name, usual in plain.items():
            value: Any = getattr(self, name, usual)
            if value not in (usual, (usual,) * self.axes):
                shown = value if isinstance(value, str) or len(set(value)) > 1 else value[0]
                given.append(f"{name}={shown!r}")
        given += [f"groups={self.groups}"] * (self.groups > 1) + ["no bias"] * (self.bias is None)
        return f"{type(self).__name__}({', '.join(given)})"


class _Conv(Convolution):
    """The constructor and the call of a convolution, for any number of axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        *,
        key: RawArray,
        stride: Sizes = 1,
        padding: Sizes | Literal["same", "valid"] = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(
                f"{type(self).__name__}: padding must be 'same', 'valid' or numbers, got {padding!r}"
            )
        if padding == "same" and set(self.stride) != {1}:
            raise ArgumentError(
                f"{type(self).__name__}: padding='same' needs stride=1, got stride={stride!r}; say how many "
                f"zeros, for instance padding=1"
            )
        self._draw(key, (self.out_channels, self.in_channels // self.groups), bias, init, bias_init, dtype)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, in_channels, length) or (n, in_channels, height, width)
            Of the weight's dtype.

        Returns
        -------
        array, shape (n, out_channels, places) or (n, out_channels, rows, columns)

        Raises
        ------
        ShapeError
            If `x` has another shape, or is smaller than the window.
        ArgumentError
            If `x` is not an array.
        """
        self._check(x)
        out = xp.conv(
            x,
            self.weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return self._with_bias(out)


class Conv1d(_Conv):
    """A convolution of signals: at each place, products of the weight with what a window sees.

    ``y[n, o, p] = bias[o] + sum(weight[o, c, k] * x[n, c, p * stride + k * dilation - padding])`` over c and
    k; what stands outside of `x` is 0.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive sizes of the second dimension of `x` and of `y`.
    kernel_size : int
        How many elements the window has.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`; one half of its split draws the weight,
        the other the bias.
    stride : int
        By how many elements the window moves.
    padding : int, "same" or "valid"
        How many zeros stand at either end; as many as keep the length, for a stride of 1; or none.
    dilation : int
        How far apart the elements are that the window sees.
    groups : int
        Channels are split into so many parts, each with results of its own; it divides both numbers of
        channels. With as many groups as channels the convolution is called depthwise.
    bias : bool
        Whether a number for each channel is added.
    init : callable
        ``(key, shape, dtype) -> array`` for the weight, of :mod:`bpkit.nn.init` or your own.
    bias_init : callable or None
        The same for the bias. None for the one that belongs to `init`, see :class:`bpkit.nn.Dense`.
    dtype : floating dtype or None
        Of weight and bias; None for the default of the current backend.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), 2278.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = Conv1d(2, 8, 5, key=random.key(0), stride=2)
    >>> layer
    Conv1d(2 → 8, 5, stride=2)
    >>> layer(xp.zeros((10, 2, 65))).shape
    (10, 8, 31)
    """

    axes: ClassVar[int] = 1
    __init__ = _Conv.__init__


class Conv2d(_Conv):
    """A convolution of images: at each place, products of the weight with what a window sees.

    ``y[n, o, p, q] = bias[o] + sum(weight[o, c, i, j] * x[n, c, p + i, q + j])`` over c, i and j, for a
    stride and a dilation of 1 and no padding; what stands outside of `x` is 0.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive sizes of the second dimension of `x` and of `y`.
    kernel_size : int or tuple of int
        How many rows and columns the window has; one number for a square.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`; one half of its split draws the weight,
        the other the bias.
    stride : int or tuple of int
        By how many rows and columns the window moves.
    padding : int, tuple of int, "same" or "valid"
        How many zeros stand at either end of each axis; as many as keep the lengths, for a stride of 1; or
        none.
    dilation : int or tuple of int
        How far apart the elements are that the window sees.
    groups, bias, init, bias_init, dtype
        As for :class:`Conv1d`.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), 2278.
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 6, equation 125.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = Conv2d(1, 20, 5, key=random.key(0))
    >>> layer
    Conv2d(1 → 20, 5×5)
    >>> layer(xp.zeros((10, 1, 28, 28))).shape
    (10, 20, 24, 24)
    """

    axes: ClassVar[int] = 2
    __init__ = _Conv.__init__
