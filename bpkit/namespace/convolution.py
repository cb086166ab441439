"""Convolution, its transpose, and what both are made of: windows that slide over an array.

Three functions belong together, of an image x, a weight w and what comes out, y. Each is linear in its two
operands, and what the three are the derivatives of is one sum of products::

    sum over n, o, c, p, k of  y[n, o, p] * w[o, c, k] * x[n, c, p * stride + k * dilation - before]

``conv`` is its derivative by y, ``conv_transpose`` that by x, ``conv_kernel`` that by w, so that their own
derivatives are each other. All are one product of matrices beside :func:`windows`, in which images stand
last: what a window sees of all images and of neighbouring places then lies in one piece of memory.
"""

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any, Literal

from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.evaluate import definition
from bpkit.indexing import getitem
from bpkit.namespace.linalg import matmul, matrix_transpose
from bpkit.namespace.manipulation import permute_dims, reshape
from bpkit.namespace.operands import check_arrays, floating
from bpkit.namespace.padding import pad
from bpkit.namespace.windows import add_windows, windows
from bpkit.sliding import Ints, Sliding, Windows, seen_lengths
from bpkit.trace import call

__all__ = ["conv", "conv_transpose", "each"]

Sizes = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[Sequence[int]] | Literal["same", "valid"]


def conv(
    x: RawArray,
    weight: RawArray,
    /,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> RawArray:
    """Products of `weight` with what is seen of `x` through a sliding window, added up.

    ``y[n, o, p] = sum(weight[o, c, k] * x[n, c, p * stride + k * dilation - padding])`` over c and k, where
    p and k have one number for each axis that the window moves along. So the weight is not turned round: it
    is what networks call a convolution, and signal processing a correlation.

    Derivative: by `x`, the transposed convolution of the cotangent; by `weight`, the products of the
    cotangent with what the window saw.

    Parameters
    ----------
    x : array of shape (n, channels, *lengths)
        n images, or signals; one axis in `lengths` or more.
    weight : array of shape (out, channels / groups, *window)
        As many axes in `window` as in `lengths`.
    stride : int or sequence of int
        By how many elements the window moves, one number for all axes or one for each.
    padding : int, sequence of int or of pairs, "same" or "valid"
        Zeros before the first and after the last element of each axis. ``"valid"`` has none; ``"same"`` as
        many as keep the lengths, with the odd one after the last, and needs a stride of 1.
    dilation : int or sequence of int
        How far apart the elements are that the window sees.
    groups : int
        Channels are split into so many parts, and so are the results, which see only their part.

    Returns
    -------
    array of shape (n, out, *places) and the promoted floating dtype
        ``places = (length + padding - dilation * (window - 1) - 1) // stride + 1`` along each axis.

    Raises
    ------
    ShapeError
        If the shapes do not fit each other or `groups`, or the window does not fit into the padded `x`.
    ArgumentError
        If a setting is not what it should be.

    References
    ----------
    V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016.

    Examples
    --------
    >>> from bpkit import xp
    >>> x = xp.asarray([[[1.0, 2.0, 4.0, 7.0]]])
    >>> xp.conv(x, xp.asarray([[[-1.0, 1.0]]]))
    array([[[1., 2., 3.]]])
    >>> xp.conv(x, xp.asarray([[[1.0, 1.0, 1.0]]]), padding="same")
    array([[[ 3.,  7., 13., 11.]]])
    """
    x, weight = _operands("conv", x, weight)
    axes = weight.ndim - 2
    steps, gaps = each("conv", "stride", stride, axes, 1), each("conv", "dilation", dilation, axes, 1)
    _check_groups("conv", groups, weight, weight.shape[0])
    if x.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"conv: x of shape {tuple(x.shape)} has {x.shape[1]} channels, and weight of shape "
            f"{tuple(weight.shape)} is for {weight.shape[1]} in each of {groups} groups"
        )
    reach = seen_lengths((1,) * axes, tuple(weight.shape[2:]), steps, gaps)
    pairs = _pairs("conv", padding, steps, reach)
    places = []
    for length, (before, after), step, seen in zip(x.shape[2:], pairs, steps, reach, strict=True):
        places.append((length + before + after - seen) // step + 1)
        if places[-1] < 1:
            raise ShapeError(
                f"conv: the window of weight with shape {tuple(weight.shape)} and dilation={gaps} does not "
                f"fit into x of shape {tuple(x.shape)} with padding={pairs}"
            )
    sliding = Sliding(steps, tuple([first for first, _ in pairs]), gaps, groups)
    return call("conv", x, weight, sliding=sliding, places=tuple(places))


def conv_transpose(
    x: RawArray,
    weight: RawArray,
    /,
    *,
    stride: Sizes = 1,
    padding: int | Sequence[int] | Sequence[Sequence[int]] = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> RawArray:
    """The transpose of :func:`conv` as a linear map: every element of `x` adds a window of numbers.

    So it goes from the shape of the result of :func:`conv` with the same weight and settings back to the
    shape of its operand, and a stride makes the result longer.

    Derivative: by `x`, the convolution of the cotangent; by `weight`, the products of `x` with what its
    window sees of the cotangent.

    Parameters
    ----------
    x : array of shape (n, channels, *lengths)
    weight : array of shape (channels, out / groups, *window)
    stride, dilation, groups
        Of that convolution.
    padding : int, sequence of int or of pairs
        What it adds at either end, and is cut off here.
    output_padding : int or sequence of int
        How much longer the result is at its end. With a stride, several lengths lead to the same number of
        places, of which the shortest is the default.

    Returns
    -------
    array of shape (n, out, *lengths) and the promoted floating dtype
        ``(length - 1) * stride + dilation * (window - 1) + 1 - padding + output_padding`` along each axis.

    Raises
    ------
    ShapeError
        If the shapes do not fit each other or `groups`, or nothing is left of the result.
    ArgumentError
        If a setting is not what it should be.

    References
    ----------
    M. D. Zeiler et al., Deconvolutional networks, CVPR 2010.
    V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016.

    Examples
    --------
    >>> from bpkit import xp
    >>> x = xp.asarray([[[1.0, 2.0]]])
    >>> xp.conv_transpose(x, xp.asarray([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    name = "conv_transpose"
    x, weight = _operands(name, x, weight)
    axes = weight.ndim - 2
    steps, gaps = each(name, "stride", stride, axes, 1), each(name, "dilation", dilation, axes, 1)
    more = each(name, "output_padding", output_padding, axes, 0)
    _check_groups(name, groups, weight, weight.shape[0])
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"conv_transpose: x of shape {tuple(x.shape)} has {x.shape[1]} channels, and weight of shape "
            f"{tuple(weight.shape)} is for {weight.shape[0]}"
        )
    reach = seen_lengths((1,) * axes, tuple(weight.shape[2:]), steps, gaps)
    pairs = _pairs(name, padding, steps, reach)
    lengths = tuple(
        [
            (count - 1) * step + seen - before - after + extra
            for count, step, seen, (before, after), extra in zip(
                x.shape[2:], steps, reach, pairs, more, strict=True
            )
        ]
    )
    if min(lengths) < 1 or min(x.shape[2:]) < 1:
        raise ShapeError(
            f"conv_transpose: nothing is left of the result for x of shape {tuple(x.shape)}, weight of shape "
            f"{tuple(weight.shape)} and padding={pairs}"
        )
    sliding = Sliding(steps, tuple([first for first, _ in pairs]), gaps, groups)
    return call("conv_transpose", x, weight, sliding=sliding, lengths=lengths)


# What both are asked for.


def _operands(name: str, x: Any, weight: Any) -> tuple[RawArray, ...]:
    check_arrays(name, x=x, weight=weight)
    if weight.ndim < 3 or x.ndim != weight.ndim or min(weight.shape) < 1:
        raise ShapeError(
            f"{name}: expected x of shape (n, channels, *lengths) and weight of shape (channels, channels, "
            f"*window), with as many lengths as the window has and nothing empty in weight; got "
            f"{tuple(x.shape)} and {tuple(weight.shape)}"
        )
    return floating(None, x, weight)


def each(owner: str, what: str, given: Any, axes: int, least: int) -> Ints:
    """One size for each axis that a window moves along, of one for all of them or a sequence.

    Raises
    ------
    ArgumentError
        If there are not so many, or one is no int or too small.
    """
    found = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,) * axes
    plain = all(isinstance(size, Integral) and not isinstance(size, bool) for size in found)
    if len(found) != axes or not plain or min(found) < least:
        several = f", or {axes} of them" if axes > 1 else ""
        raise ArgumentError(f"{owner}: {what} must be an int of at least {least}{several}, got {given!r}")
    return tuple([int(size) for size in found])


def _check_groups(name: str, groups: Any, weight: RawArray, divided: int) -> None:
    if type(groups) is not int or groups < 1:
        raise ArgumentError(f"{name}: groups={groups!r}; expected a positive int")
    if divided % groups:
        raise ShapeError(
            f"{name}: the first axis of weight with shape {tuple(weight.shape)} cannot be split into "
            f"groups={groups} equal parts"
        )


def _pairs(name: str, padding: Any, stride: Ints, reach: Sequence[int]) -> list[tuple[int, int]]:
    """How many zeros stand before and after each axis."""
    if padding == "valid" and name == "conv":
        return [(0, 0)] * len(stride)
    if padding == "same" and name == "conv":
        if set(stride) != {1}:
            raise ArgumentError(
                f"conv: padding='same' with stride={stride}; it needs a stride of 1. Say how many zeros: "
                f"padding=1"
            )
        return [((seen - 1) // 2, seen // 2) for seen in reach]
    given = padding if isinstance(padding, Sequence) and not isinstance(padding, str) else None
    wanted = [padding] * len(stride) if given is None else list(given)
    found = [(size, size) if type(size) is int else size for size in wanted]
    fits = len(found) == len(stride) and all(
        isinstance(pair, Sequence)
        and not isinstance(pair, str)
        and len(pair) == 2
        and all(type(size) is int and size >= 0 for size in pair)
        for pair in found
    )
    if not fits:
        words = ", 'same' or 'valid'" if name == "conv" else ""
        raise ArgumentError(
            f"{name}: padding={padding!r}; expected an int that is not negative, or {len(stride)} of them or "
            f"of pairs of them, one for each axis of the window{words}"
        )
    return [(int(first), int(last)) for first, last in found]


# What they are, in products of matrices.


def _images_last(x: RawArray, groups: int) -> RawArray:
    """Channels first and images last, the channels in groups if there are several."""
    x = permute_dims(x, (*range(1, x.ndim), 0))
    return x if groups == 1 else reshape(x, (groups, x.shape[0] // groups, *x.shape[1:]))


def _images_first(x: RawArray, groups: int) -> RawArray:
    if groups > 1:
        x = reshape(x, (groups * x.shape[1], *x.shape[2:]))
    return permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))


def _moving(sliding: Sliding, window: Ints) -> Windows:
    """How the window moves over what :func:`_images_last` gives."""
    lead = 2 if sliding.groups > 1 else 1
    return Windows(tuple(range(lead, lead + len(window))), window, sliding.stride, sliding.dilation)


def _columns(x: RawArray, sliding: Sliding, places: Ints, window: Ints) -> RawArray:
    """A matrix for each group: all that a window sees below each other, places and images side by side."""
    lead = 2 if sliding.groups > 1 else 1
    moving = _moving(sliding, window)
    seen = seen_lengths(places, *moving[1:])
    widths = [
        (first, max(0, end - first - length))
        for first, end, length in zip(sliding.before, seen, x.shape[2:], strict=True)
    ]
    x = _images_last(x, sliding.groups)
    if any(map(any, widths)):
        x = pad(x, ((0, 0),) * lead + tuple(widths) + ((0, 0),))
    out = windows(x, moving, places, lead - 1)
    rows = prod(window) * x.shape[lead - 1]
    return reshape(out, (*x.shape[: lead - 1], rows, prod(places) * x.shape[-1]))


def _weight_matrix(weight: RawArray, groups: int) -> RawArray:
    """A matrix for each group: a row for each result, with numbers for all that its window sees."""
    out, channels, *window = weight.shape
    last = permute_dims(weight, (0, *range(2, weight.ndim), 1))
    lead = (groups, out // groups) if groups > 1 else (out,)
    return reshape(last, (*lead, prod(window) * channels))


def _result_matrix(y: RawArray, groups: int) -> RawArray:
    """A matrix for each group: a row for each channel of the result, places and images side by side."""
    y = _images_last(y, groups)
    lead = 2 if groups > 1 else 1
    return reshape(y, (*y.shape[:lead], prod(y.shape[lead:])))


@definition("conv")
def _conv(xp: Any, x: RawArray, weight: RawArray, *, sliding: Sliding, places: Ints) -> RawArray:
    columns = _columns(x, sliding, places, tuple(weight.shape[2:]))
    out = matmul(_weight_matrix(weight, sliding.groups), columns)
    return _images_first(reshape(out, (*out.shape[:-1], *places, x.shape[0])), sliding.groups)


@definition("conv_kernel")
def _conv_kernel(xp: Any, x: RawArray, y: RawArray, *, sliding: Sliding, window: Ints) -> RawArray:
    """What the derivative of a convolution of `x` by its weight makes of a cotangent `y`."""
    columns = _columns(x, sliding, tuple(y.shape[2:]), window)
    out = matmul(_result_matrix(y, sliding.groups), matrix_transpose(columns))
    out = reshape(out, (y.shape[1], *window, x.shape[1] // sliding.groups))
    return permute_dims(out, (0, out.ndim - 1, *range(1, out.ndim - 1)))


@definition("conv_transpose")
def _conv_transpose(xp: Any, y: RawArray, weight: RawArray, *, sliding: Sliding, lengths: Ints) -> RawArray:
    places, window = tuple(y.shape[2:]), tuple(weight.shape[2:])
    moving, groups = _moving(sliding, window), sliding.groups
    columns = matmul(matrix_transpose(_weight_matrix(weight, groups)), _result_matrix(y, groups))
    lead = moving.axes[0]
    seen = [*columns.shape[: lead - 1], *window, weight.shape[1], *places, y.shape[0]]
    ends = zip(seen_lengths(places, *moving[1:]), sliding.before, lengths, strict=True)
    whole = tuple([max(end, before + length) for end, before, length in ends])
    out = add_windows(reshape(columns, tuple(seen)), moving, whole, lead - 1)
    if whole != lengths:
        inside = [
            slice(before, before + length) for before, length in zip(sliding.before, lengths, strict=True)
        ]
        out = getitem(out, (*(slice(None),) * lead, *inside, slice(None)))
    return _images_first(out, groups)
