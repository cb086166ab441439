"""Changing the shape and the order of elements; every function here is linear.

Chapter "Manipulation Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/manipulation_functions.html
"""

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.evaluate import definition
from bpkit.namespace.indexing import take
from bpkit.namespace.operands import check_arrays
from bpkit.trace import call

__all__ = [
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "slices",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]


def broadcast_arrays(*arrays: RawArray) -> tuple[RawArray, ...]:
    """All arrays in the shape they have together.

    Parameters
    ----------
    *arrays : array of any shape and dtype

    Returns
    -------
    tuple of arrays, each of its own dtype and all of one shape

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> from bpkit import xp
    >>> x, y = xp.broadcast_arrays(xp.asarray([[1], [2]]), xp.asarray([3, 4]))
    >>> y
    array([[3, 4],
           [3, 4]])
    """
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(x if x.shape == shape else broadcast_to(x, shape) for x in arrays)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together.

    Parameters
    ----------
    *shapes : tuple of int

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    return np.broadcast_shapes(*shapes)


def broadcast_to(x: RawArray, /, shape: tuple[int, ...]) -> RawArray:
    """`x` repeated along new axes and axes of length 1.

    Derivative: the cotangent summed over the axes that were repeated.

    Parameters
    ----------
    x : array of any shape and dtype
    shape : tuple of int
        A shape that `x` broadcasts to.

    Returns
    -------
    array of shape `shape` and `x`'s dtype
        In some libraries a read-only view.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.broadcast_to(xp.asarray([1, 2]), (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    return call("broadcast_to", x, shape=shape)


def concat(arrays: Sequence[RawArray], /, *, axis: int | None = 0) -> RawArray:
    """Arrays joined along an axis they have.

    Parameters
    ----------
    arrays : sequence of arrays
        Of equal shape except along `axis`.
    axis : int, optional
        None flattens each first.

    Returns
    -------
    array of the promoted dtype

    Raises
    ------
    ShapeError
        If there is no array.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.concat([xp.asarray([1.0, 2.0]), xp.asarray([3.0])])
    array([1., 2., 3.])
    """
    if len(arrays) == 0:
        raise ShapeError("concat: needs at least one array, got an empty sequence")
    return call("concat", *arrays, axis=axis)


@definition("concat")
def _concat(xp: Any, *arrays: RawArray, axis: int | None) -> RawArray:
    return xp.concat(arrays, axis=axis)


def expand_dims(x: RawArray, /, axis: int | tuple[int, ...]) -> RawArray:
    """`x` with a new axis of length 1, or several.

    Parameters
    ----------
    x : array of any shape and dtype
    axis : int or tuple of int
        Where the new axes stand in the result.

    Returns
    -------
    array of `x`'s dtype with these axes more

    Raises
    ------
    IndexError
        If the result has no such axis.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.expand_dims(xp.asarray([1, 2]), 1)
    array([[1],
           [2]])
    """
    check_arrays("expand_dims", x=x)
    new = axis if isinstance(axis, tuple) else (axis,)
    shape = list(x.shape)
    for place in sorted(normalize_axis_tuple(new, x.ndim + len(new), "expand_dims")):
        shape.insert(place, 1)
    return reshape(x, tuple(shape))


def flip(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None) -> RawArray:
    """`x` with the order of elements turned along axes.

    Parameters
    ----------
    x : array of any shape and dtype
    axis : int or tuple of int, optional
        None turns all axes.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.flip(xp.asarray([1, 2, 3]))
    array([3, 2, 1])
    """
    return call("flip", x, axis=axis)


def moveaxis(x: RawArray, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> RawArray:
    """`x` with some axes moved and the others in their order.

    Parameters
    ----------
    x : array of any shape and dtype
    source, destination : int or tuple of int
        Where the axes stand in `x`, and where in the result.

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    IndexError
        If an axis does not exist.
    ShapeError
        If there are more sources than destinations, or fewer.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.moveaxis(xp.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    check_arrays("moveaxis", x=x)
    sources = normalize_axis_tuple(source, x.ndim, "source")
    destinations = normalize_axis_tuple(destination, x.ndim, "destination")
    if len(sources) != len(destinations):
        raise ShapeError(
            f"moveaxis: source={source} and destination={destination} must name equally many axes"
        )
    order = [i for i in range(x.ndim) if i not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


def permute_dims(x: RawArray, /, axes: tuple[int, ...]) -> RawArray:
    """`x` with its axes in another order.

    Derivative: the cotangent with its axes put back.

    Parameters
    ----------
    x : array of any shape and dtype
    axes : tuple of int
        Every axis of `x` once, in the new order; negative ones count from the end.

    Returns
    -------
    array of `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.permute_dims(xp.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    check_arrays("permute_dims", x=x)
    # Not every library counts from the end yet, which the standard has since 2025.12.
    return call("permute_dims", x, axes=tuple([axis + x.ndim if axis < 0 else axis for axis in axes]))


def repeat(x: RawArray, repeats: int | RawArray, /, *, axis: int | None = None) -> RawArray:
    """`x` with each element repeated along an axis.

    Derivative: the sum of the cotangents of an element's copies.

    Parameters
    ----------
    x : array of any shape and dtype
    repeats : int or one-dimensional integer array
        How often, equally for all elements or for each along `axis`; with an array the shape of the result
        depends on values.
    axis : int, optional
        None flattens `x` first.

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    TypeError
        If `repeats` is neither an int nor an array.
    ShapeError
        If `repeats` is a negative int.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.repeat(xp.asarray([1, 2]), 3)
    array([1, 1, 1, 2, 2, 2])
    >>> xp.repeat(xp.asarray([1, 2]), xp.asarray([3, 1]))
    array([1, 1, 1, 2])
    """
    check_arrays("repeat", x=x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = normalize_axis_index(axis, x.ndim, "repeat")
    if hasattr(repeats, "shape"):
        return take(x, call("repeated_places", repeats, length=x.shape[place]), axis=place)
    try:
        times = operator.index(repeats)
    except TypeError:
        raise TypeError(
            f"repeat: repeats must be an int or an integer array, got {repeats!r}; "
            "make an array of it first: xp.asarray(repeats)"
        ) from None
    if times < 0:
        raise ShapeError(f"repeat: repeats must not be negative, got {times}")
    before, length, after = tuple(x.shape[:place]), x.shape[place], tuple(x.shape[place + 1 :])
    column = reshape(x, (*before, length, 1, *after))
    together = (*before, length * times, *after)
    # A copy, since a view would have one element in several places.
    return reshape(broadcast_to(column, (*before, length, times, *after)), together, copy=True)


@definition("repeated_places")
def _repeated_places(xp: Any, repeats: RawArray, *, length: int) -> RawArray:
    """The index of the element that each element of the result repeats."""
    # Arrays that JAX traces have no device.
    return xp.repeat(xp.arange(length, device=getattr(repeats, "device", None)), repeats)


def reshape(x: RawArray, /, shape: tuple[int, ...], *, copy: bool | None = None) -> RawArray:
    """The elements of `x`, last axis fastest, in another shape.

    Parameters
    ----------
    x : array of any shape and dtype
    shape : tuple of int
        One length may be -1 and follows from the others.
    copy : bool, optional
        True copies always, False never; None copies if it has to.

    Returns
    -------
    array of shape `shape` and `x`'s dtype

    Raises
    ------
    ValueError
        If the shape has another number of elements, or `copy` is False and a copy is needed (the exception is
        the library's).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.reshape(xp.asarray([1, 2, 3, 4]), (2, -1))
    array([[1, 2],
           [3, 4]])
    """
    return call("reshape", x, shape=shape, copy=copy)


def roll(
    x: RawArray, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None
) -> RawArray:
    """`x` with its elements moved along axes; those pushed out come in at the other end.

    Derivative: the cotangent moved back.

    Parameters
    ----------
    x : array of any shape and dtype
    shift : int or tuple of int
        By how many places, one for each axis.
    axis : int or tuple of int, optional
        None moves along the flattened array.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.roll(xp.asarray([1, 2, 3]), 1)
    array([3, 1, 2])
    """
    return call("roll", x, shift=shift, axis=axis)


def slices(x: RawArray, axis: int) -> tuple[RawArray, ...]:
    """What :func:`unstack` gives, for reading only: a gradient puts all slices together at once.

    The gradient of ``x[i]`` is an array of all of `x`, so that a loop over the slices of one long axis would
    take time by the square of its length.
    """
    return call("slices", x, axis=axis % len(x.shape))  # type: ignore[no-any-return]


@definition("slices")
def _slices(xp: Any, x: RawArray, *, axis: int) -> tuple[RawArray, ...]:
    before = (slice(None),) * axis
    return tuple([call("getitem", x, key=(*before, i, ...)) for i in range(x.shape[axis])])


def squeeze(x: RawArray, /, axis: int | tuple[int, ...]) -> RawArray:
    """`x` without some of its axes of length 1.

    Parameters
    ----------
    x : array of any shape and dtype
    axis : int or tuple of int
        Axes of length 1.

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    ShapeError
        If an axis is longer than 1.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.squeeze(xp.asarray([[1], [2]]), 1)
    array([1, 2])
    """
    check_arrays("squeeze", x=x)
    gone = normalize_axis_tuple(axis, x.ndim, "axis")
    for i in gone:
        if x.shape[i] != 1:
            raise ShapeError(
                f"squeeze: axis {i} of shape {tuple(x.shape)} has length {x.shape[i]}; only axes of length 1 "
                "can go"
            )
    return reshape(x, tuple(length for i, length in enumerate(x.shape) if i not in gone))


def stack(arrays: Sequence[RawArray], /, *, axis: int = 0) -> RawArray:
    """Arrays of one shape joined along a new axis.

    Parameters
    ----------
    arrays : sequence of arrays
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    array of the promoted dtype

    Raises
    ------
    ShapeError
        If there is no array.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.stack([xp.asarray([1, 2]), xp.asarray([3, 4])], axis=1)
    array([[1, 3],
           [2, 4]])
    """
    if len(arrays) == 0:
        raise ShapeError("stack: needs at least one array, got an empty sequence")
    for i, x in enumerate(arrays):
        check_arrays("stack", **{f"arrays[{i}]": x})
    place = normalize_axis_index(axis, arrays[0].ndim + 1, "stack")
    return concat([expand_dims(x, place) for x in arrays], axis=place)


def tile(x: RawArray, repetitions: tuple[int, ...], /) -> RawArray:
    """Copies of `x` laid side by side.

    Parameters
    ----------
    x : array of any shape and dtype
    repetitions : tuple of int
        Copies along each axis; the shorter of it and `x`'s shape gets ones in front.

    Returns
    -------
    array of `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.tile(xp.asarray([1, 2]), (2, 2))
    array([[1, 2, 1, 2],
           [1, 2, 1, 2]])
    """
    check_arrays("tile", x=x)
    shape = (1,) * (len(repetitions) - x.ndim) + tuple(x.shape)
    times = (1,) * (x.ndim - len(repetitions)) + tuple(repetitions)
    apart = [n for length in shape for n in (1, length)]
    repeated = [n for pair in zip(times, shape, strict=True) for n in pair]
    together = tuple(prod(pair) for pair in zip(times, shape, strict=True))
    # A copy, as in repeat.
    return reshape(broadcast_to(reshape(x, tuple(apart)), tuple(repeated)), together, copy=True)


def unstack(x: RawArray, /, *, axis: int = 0) -> tuple[RawArray, ...]:
    """The slices of `x` along one axis.

    Parameters
    ----------
    x : array of any dtype, at least one axis
    axis : int

    Returns
    -------
    tuple of arrays without `axis`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.unstack(xp.asarray([[1, 2], [3, 4]]), axis=1)
    (array([1, 3]), array([2, 4]))
    """
    check_arrays("unstack", x=x)
    place = normalize_axis_index(axis, x.ndim, "unstack")
    before = (slice(None),) * place
    # Without an ellipsis, NumPy gives a vector's elements as scalars, as its own unstack does.
    after = () if x.ndim == 1 else (...,)
    return tuple(x[(*before, i, *after)] for i in range(x.shape[place]))
