"""Selection by arrays of indices; ``x[...]`` is an operator of the array itself.

Chapter "Indexing Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/indexing_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = ["take"]


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
    return call("take", x, indices, axis=axis)
