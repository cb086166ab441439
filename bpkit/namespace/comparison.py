"""Comparisons, logic and bits, element by element; none has a derivative.

Chapter "Element-wise Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/elementwise_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
]


def bitwise_and(x1: RawArray | int, x2: RawArray | int, /) -> RawArray:
    """Bitwise and of two arrays.

    Parameters
    ----------
    x1, x2 : array of any shape, integer or boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_and(xp.asarray([6, 3]), 5)
    array([4, 1])
    """
    return call("bitwise_and", x1, x2)


def bitwise_invert(x: RawArray, /) -> RawArray:
    """Each element with every bit turned.

    Parameters
    ----------
    x : array of any shape, integer or boolean

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_invert(xp.asarray([0, 5]))
    array([-1, -6])
    """
    return call("bitwise_invert", x)


def bitwise_left_shift(x1: RawArray | int, x2: RawArray | int, /) -> RawArray:
    """Bits of `x1` moved left by `x2` places.

    Parameters
    ----------
    x1, x2 : array of any shape, integer; `x2` not negative
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_left_shift(xp.asarray([1, 3]), 2)
    array([ 4, 12])
    """
    return call("bitwise_left_shift", x1, x2)


def bitwise_or(x1: RawArray | int, x2: RawArray | int, /) -> RawArray:
    """Bitwise or of two arrays.

    Parameters
    ----------
    x1, x2 : array of any shape, integer or boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_or(xp.asarray([6, 3]), 5)
    array([7, 7])
    """
    return call("bitwise_or", x1, x2)


def bitwise_right_shift(x1: RawArray | int, x2: RawArray | int, /) -> RawArray:
    """Bits of `x1` moved right by `x2` places.

    Parameters
    ----------
    x1, x2 : array of any shape, integer; `x2` not negative
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_right_shift(xp.asarray([8, 5]), 2)
    array([2, 1])
    """
    return call("bitwise_right_shift", x1, x2)


def bitwise_xor(x1: RawArray | int, x2: RawArray | int, /) -> RawArray:
    """Bitwise exclusive or of two arrays.

    Parameters
    ----------
    x1, x2 : array of any shape, integer or boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    array of the broadcast shape and the promoted dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.bitwise_xor(xp.asarray([6, 3]), 5)
    array([3, 6])
    """
    return call("bitwise_xor", x1, x2)


def equal(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Whether ``x1 == x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape and dtype
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.equal(xp.asarray([1.0, 2.0]), 2.0)
    array([False,  True])
    """
    return call("equal", x1, x2)


def greater(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Whether ``x1 > x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.greater(xp.asarray([1.0, 2.0]), 1.0)
    array([False,  True])
    """
    return call("greater", x1, x2)


def greater_equal(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Whether ``x1 >= x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.greater_equal(xp.asarray([1.0, 2.0]), 2.0)
    array([False,  True])
    """
    return call("greater_equal", x1, x2)


def isfinite(x: RawArray, /) -> RawArray:
    """Whether each element is neither infinite nor NaN.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    boolean array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.isfinite(xp.asarray([1.0, float("inf"), float("nan")]))
    array([ True, False, False])
    """
    return call("isfinite", x)


def isinf(x: RawArray, /) -> RawArray:
    """Whether each element is infinite, of either sign.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    boolean array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.isinf(xp.asarray([1.0, float("inf"), float("nan")]))
    array([False,  True, False])
    """
    return call("isinf", x)


def isnan(x: RawArray, /) -> RawArray:
    """Whether each element is NaN.

    Parameters
    ----------
    x : array of any shape, numeric

    Returns
    -------
    boolean array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.isnan(xp.asarray([1.0, float("inf"), float("nan")]))
    array([False, False,  True])
    """
    return call("isnan", x)


def less(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Whether ``x1 < x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.less(xp.asarray([1.0, 2.0]), 2.0)
    array([ True, False])
    """
    return call("less", x1, x2)


def less_equal(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Whether ``x1 <= x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape, real numeric
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.less_equal(xp.asarray([1.0, 2.0]), 1.0)
    array([ True, False])
    """
    return call("less_equal", x1, x2)


def logical_and(x1: RawArray | bool, x2: RawArray | bool, /) -> RawArray:
    """Whether both elements are true.

    Parameters
    ----------
    x1, x2 : array of any shape, boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.logical_and(xp.asarray([True, False]), True)
    array([ True, False])
    """
    return call("logical_and", x1, x2)


def logical_not(x: RawArray, /) -> RawArray:
    """Each truth value turned.

    Parameters
    ----------
    x : array of any shape, boolean

    Returns
    -------
    boolean array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.logical_not(xp.asarray([True, False]))
    array([False,  True])
    """
    return call("logical_not", x)


def logical_or(x1: RawArray | bool, x2: RawArray | bool, /) -> RawArray:
    """Whether at least one of two elements is true.

    Parameters
    ----------
    x1, x2 : array of any shape, boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.logical_or(xp.asarray([True, False]), False)
    array([ True, False])
    """
    return call("logical_or", x1, x2)


def logical_xor(x1: RawArray | bool, x2: RawArray | bool, /) -> RawArray:
    """Whether exactly one of two elements is true.

    Parameters
    ----------
    x1, x2 : array of any shape, boolean
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.logical_xor(xp.asarray([True, False]), True)
    array([False,  True])
    """
    return call("logical_xor", x1, x2)


def not_equal(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """Whether ``x1 != x2``, element by element.

    Parameters
    ----------
    x1, x2 : array of any shape and dtype
        One of the two may be a Python number; shapes broadcast.

    Returns
    -------
    boolean array of the broadcast shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.not_equal(xp.asarray([1.0, 2.0]), 2.0)
    array([ True, False])
    """
    return call("not_equal", x1, x2)
