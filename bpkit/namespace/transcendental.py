"""Powers, exponentials, logarithms and angles, element by element.

Chapter "Element-wise Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/elementwise_functions.html
"""

from bpkit._protocol import RawArray
from bpkit.trace import call

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "pow",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]


def acos(x: RawArray, /) -> RawArray:
    """Inverse cosine of each element, in radians.

    Derivative: ``-1 / sqrt(1 - x**2)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.acos(xp.asarray([1.0, 0.0]))
    array([0.        , 1.57079633])
    """
    return call("acos", x)


def acosh(x: RawArray, /) -> RawArray:
    """Inverse hyperbolic cosine of each element.

    Derivative: ``1 / (sqrt(x - 1) * sqrt(x + 1))``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.acosh(xp.asarray([1.0, 2.0]))
    array([0.       , 1.3169579])
    """
    return call("acosh", x)


def asin(x: RawArray, /) -> RawArray:
    """Inverse sine of each element, in radians.

    Derivative: ``1 / sqrt(1 - x**2)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.asin(xp.asarray([0.0, 1.0]))
    array([0.        , 1.57079633])
    """
    return call("asin", x)


def asinh(x: RawArray, /) -> RawArray:
    """Inverse hyperbolic sine of each element.

    Derivative: ``1 / sqrt(x**2 + 1)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.asinh(xp.asarray([0.0, 1.0]))
    array([0.        , 0.88137359])
    """
    return call("asinh", x)


def atan(x: RawArray, /) -> RawArray:
    """Inverse tangent of each element, in radians.

    Derivative: ``1 / (1 + x**2)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.atan(xp.asarray([0.0, 1.0]))
    array([0.        , 0.78539816])
    """
    return call("atan", x)


def atan2(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Angle in radians between the positive first axis and the point ``(x2, x1)``.

    Derivative: ``x2 / (x1**2 + x2**2)`` and ``-x1 / (x1**2 + x2**2)``; NaN at the origin.

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
    >>> xp.atan2(xp.asarray([1.0, 0.0]), xp.asarray([1.0, -1.0]))
    array([0.78539816, 3.14159265])
    """
    return call("atan2", x1, x2)


def atanh(x: RawArray, /) -> RawArray:
    """Inverse hyperbolic tangent of each element.

    Derivative: ``1 / (1 - x**2)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.atanh(xp.asarray([0.0, 0.5]))
    array([0.        , 0.54930614])
    """
    return call("atanh", x)


def cos(x: RawArray, /) -> RawArray:
    """Cosine of each element, an angle in radians.

    Derivative: ``-sin(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.cos(xp.asarray([0.0, 1.0]))
    array([1.        , 0.54030231])
    """
    return call("cos", x)


def cosh(x: RawArray, /) -> RawArray:
    """Hyperbolic cosine of each element.

    Derivative: ``sinh(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.cosh(xp.asarray([0.0, 1.0]))
    array([1.        , 1.54308063])
    """
    return call("cosh", x)


def exp(x: RawArray, /) -> RawArray:
    """e to the power of each element.

    Derivative: ``exp(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.exp(xp.asarray([0.0, 1.0]))
    array([1.        , 2.71828183])
    """
    return call("exp", x)


def expm1(x: RawArray, /) -> RawArray:
    """``exp(x) - 1`` of each element, accurate near 0.

    Derivative: ``exp(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.expm1(xp.asarray([0.0, 1e-10]))
    array([0.e+00, 1.e-10])
    """
    return call("expm1", x)


def hypot(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """Length of the hypotenuse, ``sqrt(x1**2 + x2**2)``, without overflow on the way.

    Derivative: ``x1 / hypot(x1, x2)`` and ``x2 / hypot(x1, x2)``; 0 at the origin, the least of the
    subgradients there.

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
    >>> xp.hypot(xp.asarray([3.0, 5.0]), xp.asarray([4.0, 12.0]))
    array([ 5., 13.])
    """
    return call("hypot", x1, x2)


def log(x: RawArray, /) -> RawArray:
    """Natural logarithm of each element.

    Derivative: ``1 / x``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log(xp.asarray([1.0, 2.0]))
    array([0.        , 0.69314718])
    """
    return call("log", x)


def log1p(x: RawArray, /) -> RawArray:
    """``log(1 + x)`` of each element, accurate near 0.

    Derivative: ``1 / (1 + x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log1p(xp.asarray([0.0, 1e-10]))
    array([0.e+00, 1.e-10])
    """
    return call("log1p", x)


def log2(x: RawArray, /) -> RawArray:
    """Logarithm of each element to base 2.

    Derivative: ``1 / (x * log(2))``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log2(xp.asarray([1.0, 8.0]))
    array([0., 3.])
    """
    return call("log2", x)


def log10(x: RawArray, /) -> RawArray:
    """Logarithm of each element to base 10.

    Derivative: ``1 / (x * log(10))``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.log10(xp.asarray([1.0, 100.0]))
    array([0., 2.])
    """
    return call("log10", x)


def logaddexp(x1: RawArray | float, x2: RawArray | float, /) -> RawArray:
    """``log(exp(x1) + exp(x2))`` of each pair, without overflow on the way.

    Derivative: ``expit(x1 - x2)`` and ``expit(x2 - x1)``; one half each where both are the same infinity.

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
    >>> xp.logaddexp(xp.asarray([0.0, 1000.0]), xp.asarray([0.0, 0.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return call("logaddexp", x1, x2)


def pow(x1: RawArray | complex, x2: RawArray | complex, /) -> RawArray:
    """`x1` to the power `x2`, element by element.

    Derivative: ``x2 * x1**(x2 - 1)`` and ``log(x1) * x1**x2``; both 0 for ``0**0``.

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
    >>> xp.pow(xp.asarray([2.0, 3.0]), 2.0)
    array([4., 9.])
    """
    return call("pow", x1, x2)


def sin(x: RawArray, /) -> RawArray:
    """Sine of each element, an angle in radians.

    Derivative: ``cos(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sin(xp.asarray([0.0, 1.0]))
    array([0.        , 0.84147098])
    """
    return call("sin", x)


def sinh(x: RawArray, /) -> RawArray:
    """Hyperbolic sine of each element.

    Derivative: ``cosh(x)``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sinh(xp.asarray([0.0, 1.0]))
    array([0.        , 1.17520119])
    """
    return call("sinh", x)


def sqrt(x: RawArray, /) -> RawArray:
    """Non-negative square root of each element; NaN for a negative real one.

    Derivative: ``1 / (2 * sqrt(x))``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.sqrt(xp.asarray([4.0, 2.25]))
    array([2. , 1.5])
    """
    return call("sqrt", x)


def tan(x: RawArray, /) -> RawArray:
    """Tangent of each element, an angle in radians.

    Derivative: ``1 + tan(x)**2``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.tan(xp.asarray([0.0, 1.0]))
    array([0.        , 1.55740772])
    """
    return call("tan", x)


def tanh(x: RawArray, /) -> RawArray:
    """Hyperbolic tangent of each element.

    Derivative: ``1 - tanh(x)**2``.

    Parameters
    ----------
    x : array of any shape, floating-point or complex

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.tanh(xp.asarray([0.0, 1.0]))
    array([0.        , 0.76159416])
    """
    return call("tanh", x)
