"""Pooling: one number for what a window sees of each channel, at each of its places."""

import math
from collections.abc import Sequence
from typing import ClassVar

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import device_of
from bpkit.namespace.convolution import each
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape

__all__ = ["AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d"]

Sizes = int | Sequence[int]


class _Pool(Module):
    """What all layers have in common that pool through a window."""

    kernel_size: tuple[int, ...] = static()
    stride: tuple[int, ...] = static()
    padding: tuple[int, ...] = static()
    ceil_mode: bool = static()

    axes: ClassVar[int]

    def _set(self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, ceil_mode: bool) -> None:
        owner = type(self).__name__
        self.kernel_size = each(owner, "kernel_size", kernel_size, self.axes, 1)
        self.stride = self.kernel_size if stride is None else each(owner, "stride", stride, self.axes, 1)
        self.padding = each(owner, "padding", padding, self.axes, 0)
        self.ceil_mode = bool(ceil_mode)
        if any(2 * size > window for size, window in zip(self.padding, self.kernel_size, strict=True)):
            raise ArgumentError(
                f"{owner}: padding must be at most half of kernel_size={kernel_size!r}, or a window would "
                f"see nothing else, got {padding!r}"
            )

    def _places(self, x: RawArray, dilation: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Of each axis its length, the number of places, and how many elements have to stand after it."""
        expected = "(n, channels, length)" if self.axes == 1 else "(n, channels, height, width)"
        shape = array_shape(self, "x", x, expected)
        found = []
        sizes = zip(shape[2:], self.kernel_size, self.stride, self.padding, dilation, strict=False)
        for length, window, step, padding, gap in sizes:
            seen = gap * (window - 1) + 1
            free = length + 2 * padding - seen
            places = (-(-free // step) if self.ceil_mode else free // step) + 1
            if (places - 1) * step >= length + padding:
                places -= 1  # The last window would begin behind all elements.
            found.append((length, places, max(0, (places - 1) * step + seen - padding - length)))
        if len(shape) != self.axes + 2 or any(places < 1 for _, places, _ in found):
            raise ShapeError(
                f"{self!r} expected x of shape {expected} that is not smaller than the window, got {shape}"
            )
        return found

    def _padded(self, x: RawArray, places: list[tuple[int, int, int]], value: float) -> RawArray:
        widths = [(before, after) for before, (_, _, after) in zip(self.padding, places, strict=True)]
        return xp.pad(x, ((0, 0), (0, 0), *widths), constant_values=value) if any(map(any, widths)) else x

    def __repr__(self) -> str:
        given = ["×".join(map(str, self.kernel_size))]
        usual = {"stride": self.kernel_size, "padding": (0,) * self.axes, "dilation": (1,) * self.axes}
        for name, value in usual.items():
            own = getattr(self, name, value)
            if own != value:
                given.append(f"{name}={own if len(set(own)) > 1 else own[0]}")
        given += ["ceil_mode=True"] * self.ceil_mode
        return f"{type(self).__name__}({', '.join(given)})"


class _MaxPool(_Pool):
    dilation: tuple[int, ...] = static()

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        *,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.dilation = each(type(self).__name__, "dilation", dilation, self.axes, 1)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, channels, length) or (n, channels, height, width), real floating-point

        Returns
        -------
        array, shape (n, channels, places) or (n, channels, rows, columns), of the dtype of `x`

        Raises
        ------
        ShapeError
            If `x` has another shape, or is smaller than the window.
        ArgumentError
            If `x` is not an array.
        """
        x = self._padded(x, self._places(x, self.dilation), -math.inf)
        axes = tuple(range(2, 2 + self.axes))
        return xp.max_pool(x, self.kernel_size, axis=axes, stride=self.stride, dilation=self.dilation)


class MaxPool1d(_MaxPool):
    """The largest element that a window sees of a signal, at each of its places.

    The gradient goes to that element; where several are equal, to the first of them.

    Parameters
    ----------
    kernel_size : int
        How many elements the window sees.
    stride : int or None
        By how many elements it moves; None for `kernel_size`, so that windows do not overlap.
    padding : int
        How many elements that are never the largest stand at either end; at most half of `kernel_size`.
    dilation : int
        How far apart the elements are that the window sees.
    ceil_mode : bool
        Whether a last window counts that reaches over the end.

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    M. Riesenhuber and T. Poggio, "Hierarchical models of object recognition in cortex", Nature Neuroscience 2
    (1999), 1019.

    Examples
    --------
    >>> from bpkit import xp
    >>> MaxPool1d(2)(xp.asarray([[[1.0, 3.0, 2.0, 0.0, 5.0]]]))
    array([[[3., 2.]]])
    >>> MaxPool1d(2, ceil_mode=True)(xp.asarray([[[1.0, 3.0, 2.0, 0.0, 5.0]]]))
    array([[[3., 2., 5.]]])
    """

    axes: ClassVar[int] = 1
    __init__ = _MaxPool.__init__


class MaxPool2d(_MaxPool):
    """The largest element that a window sees of an image, at each of its places.

    The gradient goes to that element; where several are equal, to the first of them, row by row.

    Parameters
    ----------
    kernel_size : int or tuple of int
        How many rows and columns the window sees; one number for a square.
    stride : int, tuple of int or None
        By how many rows and columns it moves; None for `kernel_size`, so that windows do not overlap.
    padding, dilation : int or tuple of int
    ceil_mode : bool
        As for :class:`MaxPool1d`.

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 6, "Pooling layers".

    Examples
    --------
    >>> from bpkit import xp
    >>> layer = MaxPool2d(2)
    >>> layer
    MaxPool2d(2×2)
    >>> layer(xp.zeros((10, 20, 24, 24))).shape
    (10, 20, 12, 12)
    """

    axes: ClassVar[int] = 2
    __init__ = _MaxPool.__init__


class _AvgPool(_Pool):
    count_include_pad: bool = static()

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        *,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, channels, length) or (n, channels, height, width), floating

        Returns
        -------
        array, shape (n, channels, places) or (n, channels, rows, columns), of the dtype of `x`

        Raises
        ------
        ShapeError
            If `x` has another shape, or is smaller than the window.
        ArgumentError
            If `x` is not an array.
        """
        places = self._places(x, (1,) * self.axes)
        axes = tuple(range(2, 2 + self.axes))
        seen = xp.sliding_window_view(
            self._padded(x, places, 0.0), self.kernel_size, axis=axes, stride=self.stride
        )
        return xp.sum(seen, axis=tuple(range(-self.axes, 0))) / self._shares(x, places)

    def _shares(self, x: RawArray, places: list[tuple[int, int, int]]) -> RawArray | float:
        """By what the sum is divided at each place: the number of elements that count there."""
        counts = []
        sizes = zip(places, self.kernel_size, self.stride, self.padding, strict=True)
        for (length, count, _), window, step, padding in sizes:
            first, end = (-padding, length + padding) if self.count_include_pad else (0, length)
            begins = [place * step - padding for place in range(count)]
            counts.append([min(begin + window, end) - max(begin, first) for begin in begins])
        if all(len(set(along)) == 1 for along in counts):
            return float(math.prod(along[0] for along in counts))
        shares = [1.0]
        for along in counts:
            shares = [share * count for share in shares for count in along]
        shape = tuple([len(along) for along in counts])
        return xp.reshape(xp.asarray(shares, dtype=x.dtype, device=device_of(x)), shape)


class AvgPool1d(_AvgPool):
    """The mean of what a window sees of a signal, at each of its places.

    Parameters
    ----------
    kernel_size : int
        How many elements the window sees.
    stride : int or None
        By how many elements it moves; None for `kernel_size`, so that windows do not overlap.
    padding : int
        How many zeros stand at either end; at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window counts that reaches over the end; only what it sees of the padded signal is
        divided by.
    count_include_pad : bool
        Whether these zeros count among what is divided by.

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), 2278,
    there with a weight and called subsampling.

    Examples
    --------
    >>> from bpkit import xp
    >>> AvgPool1d(2)(xp.asarray([[[1.0, 3.0, 2.0, 0.0]]]))
    array([[[2., 1.]]])
    """

    axes: ClassVar[int] = 1
    __init__ = _AvgPool.__init__


class AvgPool2d(_AvgPool):
    """The mean of what a window sees of an image, at each of its places.

    Parameters
    ----------
    kernel_size : int or tuple of int
        How many rows and columns the window sees; one number for a square.
    stride : int, tuple of int or None
        By how many rows and columns it moves; None for `kernel_size`, so that windows do not overlap.
    padding : int or tuple of int
    ceil_mode, count_include_pad : bool
        As for :class:`AvgPool1d`.

    Raises
    ------
    ArgumentError
        If a setting is not what it should be; the message says which.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), 2278,
    there with a weight and called subsampling.

    Examples
    --------
    >>> from bpkit import xp
    >>> AvgPool2d(2)(xp.zeros((10, 20, 24, 24))).shape
    (10, 20, 12, 12)
    """

    axes: ClassVar[int] = 2
    __init__ = _AvgPool.__init__
