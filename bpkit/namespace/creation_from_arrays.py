"""Making arrays of other arrays, without a choice of the values.

The rest of the chapter "Creation Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/creation_functions.html
"""

from math import prod
from typing import Any, Literal

from bpkit import registry
from bpkit._protocol import RawArray
from bpkit.array import Array
from bpkit.namespace.creation import asarray
from bpkit.namespace.dtypes import astype
from bpkit.namespace.manipulation import broadcast_to, reshape
from bpkit.namespace.operands import check_arrays

__all__ = ["from_dlpack", "meshgrid"]


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> RawArray:
    """An array of the chosen library that shares the memory of an array of another.

    Derivative: 1; a traced array stays with its own library, as in :func:`asarray`.

    Parameters
    ----------
    x : object with ``__dlpack__`` and ``__dlpack_device__``
    device : device or str, optional
        Where the result lives; None leaves it where `x` is.
    copy : bool, optional
        True copies always, False never; None copies if it has to.

    Returns
    -------
    array

    Raises
    ------
    BufferError, ValueError
        If `copy` is False and a copy is needed (the exception is the library's).

    Examples
    --------
    >>> import numpy
    >>> from bpkit import xp
    >>> xp.from_dlpack(numpy.asarray([1.0, 2.0]))
    array([1., 2.])
    """
    if isinstance(x, Array):
        return asarray(x, device=device, copy=copy)
    backend = registry.current().backend
    if isinstance(device, str):
        device = backend.device(device)
    # Some libraries know the keywords of the standard but not what they mean left out.
    given = {key: value for key, value in {"device": device, "copy": copy}.items() if value is not None}
    return backend.xp.from_dlpack(x, **given)


def meshgrid(*arrays: RawArray, indexing: Literal["xy", "ij"] = "xy") -> tuple[RawArray, ...]:
    """The coordinates of every point of a grid, from those along each of its axes.

    Derivative: the cotangent summed over the other axes of the grid.

    Parameters
    ----------
    *arrays : one-dimensional array, numeric
        The coordinates along each axis of the grid.
    indexing : "xy" or "ij"
        "ij" gives the results the axes in the order of `arrays`; "xy", as in a picture, exchanges the first
        two.

    Returns
    -------
    tuple of arrays
        One of each array's dtype, all of the shape of the grid; copies, also where a library has views.

    Raises
    ------
    ValueError
        If `indexing` is neither.

    Examples
    --------
    >>> from bpkit import xp
    >>> x, y = xp.meshgrid(xp.asarray([1.0, 2.0, 3.0]), xp.asarray([4.0, 5.0]))
    >>> y
    array([[4., 4., 4.],
           [5., 5., 5.]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    for i, x in enumerate(arrays):
        check_arrays("meshgrid", **{f"arrays[{i}]": x})
    axes = list(range(len(arrays)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    lengths = [1] * len(arrays)
    for axis, x in zip(axes, arrays, strict=True):
        lengths[axis] = prod(x.shape)
    grid = tuple(lengths)
    return tuple(
        # A copy, since libraries return arrays that can be written.
        astype(broadcast_to(_column(x, axis, len(arrays)), grid), x.dtype, copy=True)
        for axis, x in zip(axes, arrays, strict=True)
    )


def _column(x: RawArray, axis: int, ndim: int) -> RawArray:
    """`x` along one of `ndim` axes, the others of length 1."""
    return reshape(x, tuple([-1 if k == axis else 1 for k in range(ndim)]))
