"""Layers that go the other way than a convolution, from its results back to what it sees."""

from typing import Any, ClassVar

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.namespace.convolution import each
from bpkit.nn.convolution import Convolution, Sizes
from bpkit.nn.init import Initializer, glorot_uniform
from bpkit.nn.module import static

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]


class _ConvTranspose(Convolution):
    """The constructor and the call of a transposed convolution, for any number of axes."""

    output_padding: tuple[int, ...] = static()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        *,
        key: RawArray,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        owner = type(self).__name__
        if isinstance(padding, str):
            raise ArgumentError(f"{owner}: padding must be numbers, got {padding!r}")
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = each(owner, "output_padding", output_padding, self.axes, 0)
        self._draw(key, (self.in_channels, self.out_channels // self.groups), bias, init, bias_init, dtype)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, in_channels, length) or (n, in_channels, height, width)
            Of the weight's dtype.

        Returns
        -------
        array, shape (n, out_channels, length) or (n, out_channels, height, width)
            With new lengths, ``(length - 1) * stride - 2 * padding + dilation * (kernel_size - 1) +
            output_padding + 1``.

        Raises
        ------
        ShapeError
            If `x` has another shape, or nothing is left of the result.
        ArgumentError
            If `x` is not an array.
        """
        self._check(x)
        out = xp.conv_transpose(
            x,
            self.weight,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return self._with_bias(out)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of a convolution of signals: every element of `x` adds a window of numbers to `y`.

    It leads from the shape that a :class:`Conv1d` of the same settings gives back to that which it takes, so
    that a stride makes the signal longer.

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
        How far apart the windows are that two neighbours in `x` add.
    padding : int
        How many elements are cut off at either end.
    output_padding : int
        How many elements longer `y` is at its end.
    dilation : int
        How far apart the elements of a window are.
    groups, bias, init, bias_init, dtype
        As for :class:`Conv1d`.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285 (2016).

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = ConvTranspose1d(8, 2, 5, key=random.key(0), stride=2)
    >>> layer(xp.zeros((10, 8, 31))).shape
    (10, 2, 65)
    """

    axes: ClassVar[int] = 1
    __init__ = _ConvTranspose.__init__


class ConvTranspose2d(_ConvTranspose):
    """The transpose of a convolution of images: every element of `x` adds a window of numbers to `y`.

    It leads from the shape that a :class:`Conv2d` of the same settings gives back to that which it takes, so
    that a stride makes the image larger.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive sizes of the second dimension of `x` and of `y`.
    kernel_size : int or tuple of int
        How many rows and columns the window has; one number for a square.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`; one half of its split draws the weight,
        the other the bias.
    stride, padding, output_padding, dilation : int or tuple of int
        As for :class:`ConvTranspose1d`, one number for both axes or one for each.
    groups, bias, init, bias_init, dtype
        As for :class:`Conv1d`.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285 (2016).

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = ConvTranspose2d(8, 1, 2, key=random.key(0), stride=2)
    >>> layer(xp.zeros((10, 8, 14, 14))).shape
    (10, 1, 28, 28)
    """

    axes: ClassVar[int] = 2
    __init__ = _ConvTranspose.__init__
