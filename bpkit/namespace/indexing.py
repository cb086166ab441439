"""Selection by arrays of indices; ``x[...]`` is an operator of the array itself.

Chapter "Indexing Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/indexing_functions.html
"""

from typing import Any

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.indexing import places_of
from bpkit.registry import backend_of
from bpkit.trace import call

__all__ = ["add_along_axis", "take", "take_along_axis"]


def take(x: RawArray, indices: RawArray, /, *, axis: int | None = None) -> RawArray:
    """Elements of `x` at `indices` along one axis.

    Derivative: each cotangent is added where its element came from; repeated indices accumulate.

    Parameters
    ----------
    x : array of any dtype, at least one axis
    indices : one-dimensional integer array
        Indices outside the axis are an error or not as the library has it.
    axis : int, optional
        May be left out when `x` has one axis.

    Returns
    -------
    array of `x`'s dtype
        Shape of `x` with the length of `axis` replaced by that of `indices`.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.take(xp.asarray([10.0, 20.0, 30.0]), xp.asarray([2, 0, 2]))
    array([30., 10., 30.])
    """
    return call("take", x, places_of(indices), axis=axis)


def take_along_axis(x: RawArray, indices: RawArray, /, *, axis: int = -1) -> RawArray:
    """Elements of `x` at an index of their own for every place along the other axes.

    Derivative: each cotangent is added where its element came from; repeated indices accumulate.

    Parameters
    ----------
    x : array of any dtype, at least one axis
    indices : integer array with as many axes as `x`
        Lengths broadcast with those of `x` except along `axis`; what :func:`argsort` returns, for instance.
    axis : int

    Returns
    -------
    array of `x`'s dtype and the shape of `indices`, broadcast with that of `x` except along `axis`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.take_along_axis(xp.asarray([[10.0, 20.0], [30.0, 40.0]]), xp.asarray([[1], [0]]))
    array([[20.],
           [30.]])
    """
    return call("take_along_axis", x, places_of(indices), axis=axis)


def add_along_axis(updates: RawArray, indices: RawArray, shape: tuple[int, ...], axis: int) -> RawArray:
    """Zeros of `shape` with `updates` added at `indices` along an axis: the transpose of take_along_axis."""
    return call("add_along_axis", updates, indices, shape=shape, axis=axis)


@definition("add_along_axis")
def _add_along_axis(
    xp: Any, updates: RawArray, indices: RawArray, *, shape: tuple[int, ...], axis: int
) -> RawArray:
    # Arrays that JAX traces have no device.
    device = getattr(updates, "device", None)
    key = []
    for k, length in enumerate(shape):
        lengths = [length if k == other else 1 for other in range(len(shape))]
        every = xp.reshape(xp.arange(length, dtype=indices.dtype, device=device), tuple(lengths))
        key.append(indices if k == axis % len(shape) else every)
    zeros = xp.zeros(shape, dtype=updates.dtype, device=device)
    return backend_of(updates).index_add(zeros, tuple(key), updates)
