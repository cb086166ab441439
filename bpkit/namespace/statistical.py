"""Reductions: sums, means, extremes.

Chapter "Statistical Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/statistical_functions.html

Throughout, `axis` is an int, a tuple of ints or None for all axes; with `keepdims` the reduced axes stay with
length 1.
"""

from typing import Any

from bpkit._protocol import RawArray
from bpkit.evaluate import definition
from bpkit.namespace.dtypes import dtype_for
from bpkit.trace import call

__all__ = ["cumulative_prod", "cumulative_sum", "max", "mean", "min", "prod", "std", "sum", "var"]


def cumulative_prod(
    x: RawArray, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> RawArray:
    """Product of all elements up to and including each, along one axis.

    Derivative: for each element and each product that it is in, the product of the others, also where
    elements are zero.

    Parameters
    ----------
    x : array of any dtype but bool, at least one axis
    axis : int, optional
        May be left out when `x` has one axis.
    dtype : dtype or str, optional
        None multiplies small integers in the default integer dtype and everything else in its own.
    include_initial : bool
        Put a one first, so that the axis gets one longer.

    Returns
    -------
    array of `x`'s shape, one longer along `axis` with `include_initial`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.cumulative_prod(xp.asarray([1.0, 2.0, 3.0]))
    array([1., 2., 6.])
    """
    return call("cumulative_prod", x, axis=axis, dtype=dtype_for(x, dtype), include_initial=include_initial)


def cumulative_sum(
    x: RawArray, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> RawArray:
    """Sum of all elements up to and including each, along one axis.

    Derivative: the cumulative sum of the cotangent from the other end.

    Parameters
    ----------
    x : array of any dtype but bool, at least one axis
    axis : int, optional
        May be left out when `x` has one axis.
    dtype : dtype or str, optional
        None sums small integers in the default integer dtype and everything else in its own.
    include_initial : bool
        Put a zero first, so that the axis gets one longer.

    Returns
    -------
    array of `x`'s shape, one longer along `axis` with `include_initial`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.cumulative_sum(xp.asarray([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    return call("cumulative_sum", x, axis=axis, dtype=dtype_for(x, dtype), include_initial=include_initial)


def max(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Largest element along `axis`; NaN if there is one.

    Derivative: 1 for the largest element, split evenly among equal ones.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int or tuple of int, optional
    keepdims : bool

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    ValueError
        If a reduced axis is empty (the exception is the library's).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.max(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([7., 5.])
    """
    return call("max", x, axis=axis, keepdims=keepdims)


def mean(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Arithmetic mean along `axis`.

    Derivative: one over the number of elements.

    Parameters
    ----------
    x : array of any shape, floating-point or complex
    axis : int or tuple of int, optional
    keepdims : bool

    Returns
    -------
    array of `x`'s dtype
        NaN where there is nothing to average.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.mean(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([4. , 3.5])
    """
    return call("mean", x, axis=axis, keepdims=keepdims)


def min(x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> RawArray:
    """Smallest element along `axis`; NaN if there is one.

    Derivative: 1 for the smallest element, split evenly among equal ones.

    Parameters
    ----------
    x : array of any shape, real numeric
    axis : int or tuple of int, optional
    keepdims : bool

    Returns
    -------
    array of `x`'s dtype

    Raises
    ------
    ValueError
        If a reduced axis is empty (the exception is the library's).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.min(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([1., 2.])
    """
    return call("min", x, axis=axis, keepdims=keepdims)


def prod(
    x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, dtype: Any = None, keepdims: bool = False
) -> RawArray:
    """Product of the elements along `axis`; 1 if there are none.

    Derivative: for each element the product of the others, also where elements are zero.

    Parameters
    ----------
    x : array of any shape, numeric
    axis : int or tuple of int, optional
    dtype : dtype or str, optional
        None multiplies small integers in the default integer dtype and everything else in its own.
    keepdims : bool

    Returns
    -------
    array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.prod(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([ 7., 10.])
    """
    return call("prod", x, axis=axis, dtype=dtype_for(x, dtype), keepdims=keepdims)


def std(
    x: RawArray,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> RawArray:
    """Standard deviation along `axis`: the square root of :func:`var`.

    Derivative: ``(x - mean(x)) / (n - correction) / std(x)``; 0 where all elements are equal, the least of
    the subgradients there.

    Parameters
    ----------
    x : array of any shape, real floating-point
    axis : int or tuple of int, optional
    correction : float
        What to take off the number of elements; 1 for the unbiased variance of a sample.
    keepdims : bool

    Returns
    -------
    array of `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.std(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([3. , 1.5])
    """
    return call("std", x, axis=axis, correction=correction, keepdims=keepdims)


@definition("std")
def _std(
    xp: Any, x: RawArray, *, axis: int | tuple[int, ...] | None, correction: float, keepdims: bool
) -> RawArray:
    # Not the library's own, which in PyTorch takes no fractions: https://github.com/pytorch/pytorch/issues/61492
    return xp.sqrt(xp.var(x, axis=axis, correction=correction, keepdims=keepdims))


def sum(
    x: RawArray, /, *, axis: int | tuple[int, ...] | None = None, dtype: Any = None, keepdims: bool = False
) -> RawArray:
    """Sum of the elements along `axis`; 0 if there are none.

    Derivative: 1 for each element.

    Parameters
    ----------
    x : array of any shape, numeric
    axis : int or tuple of int, optional
    dtype : dtype or str, optional
        None sums small integers in the default integer dtype and everything else in its own.
    keepdims : bool

    Returns
    -------
    array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sum(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([8., 7.])
    """
    return call("sum", x, axis=axis, dtype=dtype_for(x, dtype), keepdims=keepdims)


def var(
    x: RawArray,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> RawArray:
    """Mean squared distance from the mean along `axis`.

    Derivative: ``2 * (x - mean(x)) / (n - correction)``, for n elements.

    Parameters
    ----------
    x : array of any shape, real floating-point
    axis : int or tuple of int, optional
    correction : float
        What to take off the number of elements; 1 for the unbiased variance of a sample.
    keepdims : bool

    Returns
    -------
    array of `x`'s dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.var(xp.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    array([9.  , 2.25])
    """
    return call("var", x, axis=axis, correction=correction, keepdims=keepdims)
