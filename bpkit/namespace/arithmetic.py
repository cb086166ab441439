"""Arithmetic, rounding and signs, element by element.

Chapter "Element-wise Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/elementwise_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = [
    "abs",
    "add",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "divide",
    "floor",
    "floor_divide",
    "imag",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "square",
    "subtract",
    "trunc",
]


def abs(x: RawArray, /) -> RawArray:
    """Absolute value of each element (of a complex number: its modulus).

    Derivative: ``sign(x)``; 0 at 0, the midpoint of the subgradients -1 and 1.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape; real where `x` is complex

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.abs(xp.asarray([-2.0, 0.0, 3.0]))
    array([2., 0., 3.])
    """
    return call("abs", x)


def add(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Sum of two arrays, element by element.

    Derivative: 1 for each.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.add(xp.asarray([1.0, 2.0]), 10.0)
    array([11., 12.])
    """
    return call("add", x1, x2)


def ceil(x: RawArray, /) -> RawArray:
    """Smallest integer not less than each element.

    Derivative: 0.

    Parameters
    ----------
    x : array of any shape, real numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.ceil(xp.asarray([-1.5, 1.2]))
    array([-1.,  2.])
    """
    return call("ceil", x)


def clip(
    x: RawArray, /, min: RawArray | float | None = None, max: RawArray | float | None = None
) -> RawArray:
    """Each element, or the nearest bound where it lies outside `min` … `max`.

    Derivative: for `x`, 1 inside the bounds and 0 outside; for a bound, 1 where it takes the place of `x`.
    Where `x` equals a bound each of the two gets one half.

    Parameters
    ----------
    x : array of any shape, real numeric
    min, max : array or number, optional
        Bounds, broadcast to the shape of `x` and promoted to its dtype. None leaves a side open.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.clip(xp.asarray([-2.0, 0.5, 9.0]), 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    return call("clip", x, min, max)


def conj(x: RawArray, /) -> RawArray:
    """Complex conjugate of each element; a real array is its own conjugate.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.conj(xp.asarray([1.0 + 2.0j]))
    array([1.-2.j])
    """
    return call("conj", x)


def copysign(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Magnitude of `x1` with the sign of `x2`.

    Derivative: for `x1`, 1 where the sign is kept and -1 where it is turned; for `x2`, 0.

    Parameters
    ----------
    x1, x2 : array of any shape, floating-point
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.copysign(xp.asarray([1.0, -2.0]), xp.asarray([-0.0, 1.0]))
    array([-1.,  2.])
    """
    return call("copysign", x1, x2)


def divide(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Quotient ``x1 / x2``, element by element.

    Derivative: ``1 / x2`` and ``-x1 / x2**2``.

    Parameters
    ----------
    x1, x2 : array of any shape, floating-point or complex
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.divide(xp.asarray([1.0, 3.0]), 2.0)
    array([0.5, 1.5])
    """
    return call("divide", x1, x2)


def floor(x: RawArray, /) -> RawArray:
    """Largest integer not greater than each element.

    Derivative: 0.

    Parameters
    ----------
    x : array of any shape, real numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.floor(xp.asarray([-1.5, 1.2]))
    array([-2.,  1.])
    """
    return call("floor", x)


def floor_divide(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Largest integer not greater than ``x1 / x2``, element by element.

    Derivative: 0.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.floor_divide(xp.asarray([7.0, -7.0]), 2.0)
    array([ 3., -4.])
    """
    return call("floor_divide", x1, x2)


def imag(x: RawArray, /) -> RawArray:
    """Imaginary part of each element.

    Parameters
    ----------
    x : array of any shape, complex

    Returns
    -------
    array of `x`'s shape, of the matching real dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.imag(xp.asarray([1.0 + 2.0j]))
    array([2.])
    """
    return call("imag", x)


def maximum(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Larger of two elements; NaN if either is NaN.

    Derivative: 1 for the larger, 0 for the other; one half each in a tie.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.maximum(xp.asarray([1.0, 5.0]), 3.0)
    array([3., 5.])
    """
    return call("maximum", x1, x2)


def minimum(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Smaller of two elements; NaN if either is NaN.

    Derivative: 1 for the smaller, 0 for the other; one half each in a tie.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.minimum(xp.asarray([1.0, 5.0]), 3.0)
    array([1., 3.])
    """
    return call("minimum", x1, x2)


def multiply(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Product of two arrays, element by element.

    Derivative: `x2` and `x1`.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.multiply(xp.asarray([1.0, 2.0]), 10.0)
    array([10., 20.])
    """
    return call("multiply", x1, x2)


def negative(x: RawArray, /) -> RawArray:
    """Each element with its sign turned.

    Derivative: -1.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.negative(xp.asarray([1.0, -2.0]))
    array([-1.,  2.])
    """
    return call("negative", x)


def nextafter(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Next representable number after `x1` in the direction of `x2`.

    Derivative: 1 for `x1` and 0 for `x2`.

    Parameters
    ----------
    x1, x2 : array of any shape, floating-point
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.nextafter(xp.asarray([1.0]), 2.0)
    array([1.])
    """
    return call("nextafter", x1, x2)


def positive(x: RawArray, /) -> RawArray:
    """Each element as it is.

    Derivative: 1.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.positive(xp.asarray([1.0, -2.0]))
    array([ 1., -2.])
    """
    return call("positive", x)


def real(x: RawArray, /) -> RawArray:
    """Real part of each element; a real array is its own real part.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape, of the matching real dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.real(xp.asarray([1.0 + 2.0j]))
    array([1.])
    """
    return call("real", x)


def reciprocal(x: RawArray, /) -> RawArray:
    """One over each element.

    Derivative: ``-1 / x**2``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.reciprocal(xp.asarray([2.0, 4.0]))
    array([0.5 , 0.25])
    """
    return call("reciprocal", x)


def remainder(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Remainder of ``floor_divide(x1, x2)``; it has the sign of `x2`.

    Derivative: 1 and ``-floor_divide(x1, x2)``.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.remainder(xp.asarray([7.0, -7.0]), 3.0)
    array([1., 2.])
    """
    return call("remainder", x1, x2)


def round(x: RawArray, /) -> RawArray:
    """Nearest integer to each element, halves to the even one.

    Derivative: 0.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.round(xp.asarray([0.5, 1.5, 2.4]))
    array([0., 2., 2.])
    """
    return call("round", x)


def sign(x: RawArray, /) -> RawArray:
    """-1, 0 or 1 after each element's sign (of a complex number: ``x / abs(x)``).

    Derivative of a real `x`: 0, also at 0.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sign(xp.asarray([-3.0, 0.0, 2.0]))
    array([-1.,  0.,  1.])
    """
    return call("sign", x)


def signbit(x: RawArray, /) -> RawArray:
    """Whether the sign bit of each element is set, as it is for -0.0.

    Parameters
    ----------
    x : array of any shape, floating-point

    Returns
    -------
    boolean array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.signbit(xp.asarray([-0.0, 1.0]))
    array([ True, False])
    """
    return call("signbit", x)


def square(x: RawArray, /) -> RawArray:
    """Each element times itself.

    Derivative: ``2 * x``.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.square(xp.asarray([1.0, -3.0]))
    array([1., 9.])
    """
    return call("square", x)


def subtract(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Difference ``x1 - x2``, element by element.

    Derivative: 1 and -1.

    Parameters
    ----------
    x1, x2 : array of any shape, numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.subtract(xp.asarray([1.0, 2.0]), 10.0)
    array([-9., -8.])
    """
    return call("subtract", x1, x2)


def trunc(x: RawArray, /) -> RawArray:
    """Each element without its fraction, rounded towards zero.

    Derivative: 0.

    Parameters
    ----------
    x : array of any shape, real numeric

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.trunc(xp.asarray([-1.5, 1.7]))
    array([-1.,  1.])
    """
    return call("trunc", x)
