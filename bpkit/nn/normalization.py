"""Layers that shift and scale each example to mean 0 and variance 1."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, check_sizes, expect

__all__ = ["GroupNorm", "LayerNorm", "RMSNorm", "along", "real_shape", "setting"]


class LayerNorm(Module):
    """Each example normalised over its last axes: ``y = (x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of the last axes, over which mean and variance are taken; an int is one axis.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there are `weight` and `bias`.
    bias : bool
        Whether there is a `bias` beside the weight.
    dtype : floating dtype or None
        Of the parameters; None for the default of the current backend.

    Attributes
    ----------
    weight, bias : array, shape `normalized_shape`, or None
        Ones and zeros at first.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> from bpkit import xp
    >>> layer = LayerNorm(2)
    >>> xp.round(layer(xp.asarray([[0.0, 1.0], [7.0, 5.0]])))
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    weight: RawArray | None
    bias: RawArray | None
    normalized_shape: tuple[int, ...] = static()
    eps: float = static()

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.weight = xp.ones(self.normalized_shape, dtype=dtype) if elementwise_affine else None
        self.bias = xp.zeros(self.normalized_shape, dtype=dtype) if elementwise_affine and bias else None
        self.eps = setting("LayerNorm", "eps", eps)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (..., *normalized_shape), real floating

        Returns
        -------
        array of `x`'s shape

        Raises
        ------
        ArgumentError
            If `x` is not such an array.
        ShapeError
            If its last axes have other lengths.
        """
        axes = _last_axes(self, x, self.normalized_shape)
        y = _standardised(x, axes, self.eps)
        if self.weight is not None:
            y = xp.multiply(y, self.weight)
        return y if self.bias is None else xp.add(y, self.bias)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.normalized_shape))})"


class RMSNorm(Module):
    """Each example scaled by the root of its mean square: ``y = x / sqrt(mean(x**2) + eps) * weight``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of the last axes, over which the mean is taken; an int is one axis.
    eps : float or None
        Added to the mean square; None for the distance from 1 to the next number of `x`'s dtype.
    elementwise_affine : bool
        Whether there is a `weight`.
    dtype : floating dtype or None
        Of the weight; None for the default of the current backend.

    Attributes
    ----------
    weight : array, shape `normalized_shape`, or None
        Ones at first.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind.

    References
    ----------
    B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> from bpkit import xp
    >>> RMSNorm(2)(xp.asarray([1.0, -7.0]))
    array([ 0.2, -1.4])
    """

    weight: RawArray | None
    normalized_shape: tuple[int, ...] = static()
    eps: float | None = static()

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.weight = xp.ones(self.normalized_shape, dtype=dtype) if elementwise_affine else None
        self.eps = None if eps is None else setting("RMSNorm", "eps", eps)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (..., *normalized_shape), real floating

        Returns
        -------
        array of `x`'s shape

        Raises
        ------
        ArgumentError
            If `x` is not such an array.
        ShapeError
            If its last axes have other lengths.
        """
        axes = _last_axes(self, x, self.normalized_shape)
        eps = float(xp.finfo(x.dtype).eps) if self.eps is None else self.eps
        y = xp.multiply(x, 1.0 / xp.sqrt(xp.mean(xp.square(x), axis=axes, keepdims=True) + eps))
        return y if self.weight is None else xp.multiply(y, self.weight)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.normalized_shape))})"


class GroupNorm(Module):
    """Each example normalised over groups of its channels, which are axis 1, and all axes after them.

    Each channel then has a weight and a bias of its own. One group is a layer norm over all axes but the
    first; as many groups as channels are an instance norm.

    Parameters
    ----------
    num_groups, num_channels : int
        `num_groups` must divide `num_channels`.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are `weight` and `bias`.
    dtype : floating dtype or None
        Of the parameters; None for the default of the current backend.

    Attributes
    ----------
    weight, bias : array, shape (num_channels,), or None
        Ones and zeros at first.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, or the groups do not divide the channels.

    References
    ----------
    Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> from bpkit import xp
    >>> layer = GroupNorm(2, 4)
    >>> xp.round(layer(xp.asarray([[0.0, 1.0, 7.0, 5.0]])))
    array([[-1.,  1.,  1., -1.]])
    """

    weight: RawArray | None
    bias: RawArray | None
    num_groups: int = static()
    num_channels: int = static()
    eps: float = static()

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
    ) -> None:
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}; the groups are "
                f"of equal size"
            )
        self.weight = xp.ones((int(num_channels),), dtype=dtype) if affine else None
        self.bias = xp.zeros((int(num_channels),), dtype=dtype) if affine else None
        self.num_groups = int(num_groups)
        self.num_channels = int(num_channels)
        self.eps = setting("GroupNorm", "eps", eps)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, num_channels) or (n, num_channels, *any), real floating

        Returns
        -------
        array of `x`'s shape

        Raises
        ------
        ArgumentError
            If `x` is not such an array.
        ShapeError
            If axis 1 of `x` has another length.
        """
        shape = real_shape(self, x, f"(n, {self.num_channels}, ...)")
        fits = len(shape) > 1 and shape[1] == self.num_channels
        expect(fits, self, "x", shape, f"(n, {self.num_channels}, ...)")
        size = self.num_channels // self.num_groups * math.prod(shape[2:])
        grouped = xp.reshape(x, (shape[0], self.num_groups, size))
        y = xp.reshape(_standardised(grouped, (2,), self.eps), shape)
        if self.weight is not None:
            y = xp.multiply(y, along(1, shape, self.weight))
        return y if self.bias is None else xp.add(y, along(1, shape, self.bias))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_groups}, {self.num_channels})"


def _standardised(x: RawArray, axes: tuple[int, ...], eps: float) -> RawArray:
    centered = xp.subtract(x, xp.mean(x, axis=axes, keepdims=True))
    var = xp.mean(xp.square(centered), axis=axes, keepdims=True)
    return xp.multiply(centered, 1.0 / xp.sqrt(var + eps))


def along(axis: int, shape: tuple[int, ...], x: RawArray) -> RawArray:
    """A vector that lies along one axis of an array of this shape."""
    return xp.reshape(x, tuple([-1 if i == axis else 1 for i in range(axis, len(shape))]))


def real_shape(layer: Module, x: RawArray, expected: str) -> tuple[int, ...]:
    """The shape of an array of real floating numbers that a layer was called with.

    Raises
    ------
    ArgumentError
        If it is something else.
    """
    shape = array_shape(layer, "x", x, expected)
    if not xp.isdtype(x.dtype, "real floating"):
        raise ArgumentError(
            f"{layer!r}: x has dtype {x.dtype}; expected real floating numbers: xp.astype(x, xp.float32)"
        )
    return shape


def _last_axes(layer: Module, x: RawArray, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of the last axes of `x`, which must have these sizes."""
    expected = f"(..., {', '.join(map(str, sizes))})"
    shape = real_shape(layer, x, expected)
    expect(shape[-len(sizes) :] == sizes, layer, "x", shape, expected)
    return tuple(range(len(shape) - len(sizes), len(shape)))


def _sizes(called: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(normalized_shape, Sequence):
        check_sizes(called, normalized_shape=normalized_shape)
        return (int(normalized_shape),)
    if not normalized_shape:
        raise ArgumentError(f"{called}: normalized_shape must name at least one axis, got ()")
    for i, size in enumerate(normalized_shape):
        check_sizes(called, **{f"normalized_shape[{i}]": size})
    return tuple(map(int, normalized_shape))


def setting(called: str, name: str, value: float, most: float = math.inf) -> float:
    """A setting as Python's own float: a NumPy scalar would promote float32 to float64.

    Raises
    ------
    ArgumentError
        If it is not a finite number from 0 to `most`.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0.0 <= value <= most and value < math.inf:
        return float(value)
    expected = "a finite number and not negative" if most == math.inf else f"from 0 to {most:g}"
    raise ArgumentError(f"{called}: {name} must be {expected}, got {value!r}")
