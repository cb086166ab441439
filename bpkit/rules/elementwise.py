"""Derivatives of the element-wise functions.

The partials of most are in any table (Abramowitz and Stegun, *Handbook of Mathematical Functions*, chapters
4 and 6); a comment says where a convention had to be chosen.
"""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit.kinds import is_complex, is_inexact
from bpkit.rules.cotangents import annihilating_product, finite_where_zero
from bpkit.rules.registry import custom, elementwise, linear, no_gradient

# Arithmetic.


def _reciprocal(x2: Any) -> Any:
    """1 / x2, also for a Python scalar 0, which Python itself would refuse.

    Not `reciprocal`, which NumPy rounds to an integer for integers.
    """
    if isinstance(x2, int | float | complex) and not x2:
        return math.inf
    return 1 / x2


def _power_by_base(x1: Any, x2: Any) -> Any:
    if isinstance(x2, int | float | complex):
        if x2 == 2:
            return 2 * x1
        # Not the operator, which on a raw tensor of torch is not what bpkit means by a power of -0.
        return x2 * xp.pow(x1, x2 - 1) if x2 else xp.zeros_like(x1)
    if not is_inexact(x2):
        x2 = xp.astype(x2, x1.dtype)  # x2 - 1 would wrap around where x2 is unsigned
    # The formula has 0 * 0**-1 at 0**0, where x1**0 is constant. Elsewhere it holds for x2 = 0 as well, and
    # there its own derivative by x2 is not 0.
    constant = xp.logical_and(x1 == 0, x2 == 0)
    return x2 * x1 ** xp.where(constant, xp.ones_like(x2), x2 - 1)


def _power_by_exponent(x1: Any, x2: Any, out: Any) -> Any:
    if isinstance(x1, int | float | complex):
        x1 = xp.full_like(out, x1)
    elif x1.dtype != out.dtype:
        # A negative real base of a complex power has a complex logarithm, and an integer a precise one.
        x1 = xp.astype(x1, out.dtype)
    # 0**x2 is 0 for every x2 > 0, and log 0 must not make its slope NaN. The jump at x2 = 0 has slope
    # 0, as in PyTorch.
    flat = x1 == 0 if is_complex(out) else xp.logical_and(x1 == 0, x2 >= 0)
    return out * xp.log(xp.where(flat, xp.ones_like(x1), x1))


elementwise("add", x1=1, x2=1)
elementwise("subtract", x1=1, x2=-1)
elementwise("multiply", x1=lambda x2: x2, x2=lambda x1: x1)
elementwise("divide", x1=_reciprocal, x2=lambda x2, out: -out / x2)
elementwise("remainder", x1=1, x2=lambda x1, x2: -xp.floor_divide(x1, x2))
elementwise("pow", x1=_power_by_base, x2=_power_by_exponent)
elementwise("negative", x=-1)
elementwise("positive", x=1)
elementwise("square", x=lambda x: 2 * x)
# + 0.0 makes 0 of -0, whose root is -0: the slope of a function that begins at 0 is that on its right.
elementwise("sqrt", x=lambda out: 0.5 / (out + 0.0))
elementwise("reciprocal", x=lambda out: -out * out)


def _by_derivative(g: Any, factor: Any) -> Any:
    """g * factor; where `factor` is 0 it annihilates an infinite `g`, as it did the derivative itself."""
    return annihilating_product(finite_where_zero(factor, g), factor)


def _annihilating_jvp(ts: list[Any], factor: Any, derivative: Any) -> Any:
    by_factor, by_derivative = ts
    parts = []
    if by_factor is not None:
        parts.append(annihilating_product(by_factor, finite_where_zero(factor, derivative)))
    if by_derivative is not None:
        parts.append(_by_derivative(by_derivative, factor))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


custom(
    "annihilating_product",
    factor=lambda g, factor, derivative: annihilating_product(g, finite_where_zero(factor, derivative)),
    derivative=_by_derivative,
    jvp=_annihilating_jvp,
)

# Exponentials, logarithms and the logistic function.


def _logaddexp_share(x1: Any, x2: Any, out: Any) -> Any:
    # inf - inf is NaN where both operands are the same infinity; they share evenly there.
    tied = xp.logical_and(xp.equal(x1, x2), xp.isinf(out))
    return xp.expit(xp.where(tied, xp.zeros_like(out), x1 - x2))


elementwise("exp", x=lambda out: out)
# Not out + 1, which cancels where x is far below 0.
elementwise("expm1", x=lambda x: xp.exp(x))
# + 0.0 as for sqrt.
elementwise("log", x=lambda x: xp.reciprocal(x + 0.0))
elementwise("log1p", x=lambda x: xp.reciprocal(1 + x))
elementwise("log2", x=lambda x: (1 / math.log(2)) / (x + 0.0))
elementwise("log10", x=lambda x: (1 / math.log(10)) / (x + 0.0))
elementwise(
    "logaddexp",
    x1=_logaddexp_share,
    x2=lambda x1, x2, out: _logaddexp_share(x2, x1, out),
)
elementwise("expit", x=lambda out: out * (1 - out))
elementwise("log_expit", x=lambda x: xp.expit(-x))

# Trigonometric and hyperbolic functions.

elementwise("sin", x=lambda x: xp.cos(x))
elementwise("cos", x=lambda x: -xp.sin(x))
elementwise("tan", x=lambda out: 1 + out * out)


def _asinh_slope(x: Any) -> Any:
    # hypot, where there is one: the square of x overflows long before it does.
    return xp.reciprocal(xp.sqrt(1 + x * x) if is_complex(x) else xp.hypot(x, xp.ones_like(x)))


# With (1 - x) * (1 + x) for 1 - x**2, which cancels beside the branch points.
elementwise("asin", x=lambda x: xp.reciprocal(xp.sqrt((1 - x) * (1 + x))))
elementwise("acos", x=lambda x: -xp.reciprocal(xp.sqrt((1 - x) * (1 + x))))
elementwise("atan", x=lambda x: xp.reciprocal(1 + x * x))
elementwise("sinh", x=lambda x: xp.cosh(x))
elementwise("cosh", x=lambda x: xp.sinh(x))
elementwise("tanh", x=lambda out: 1 - out * out)
elementwise("asinh", x=_asinh_slope)
# As a product of roots, which has the branch cuts of acosh itself for complex x.
elementwise("acosh", x=lambda x: xp.reciprocal(xp.sqrt(x - 1) * xp.sqrt(x + 1)))
elementwise("atanh", x=lambda x: xp.reciprocal((1 - x) * (1 + x)))
elementwise(
    "atan2",
    # Divided by the modulus twice, since its square overflows and underflows long before it does.
    x1=lambda x1, x2: x2 / xp.hypot(x1, x2) / xp.hypot(x1, x2),
    x2=lambda x1, x2: -(x1 / xp.hypot(x1, x2) / xp.hypot(x1, x2)),
)


def _direction(x: Any, out: Any) -> Any:
    """x / hypot(x, y); at the origin, where every direction is as good, the subgradient 0."""
    origin = out == 0
    return xp.where(origin, xp.zeros_like(out), x / xp.where(origin, xp.ones_like(out), out))


elementwise("hypot", x1=lambda x1, out: _direction(x1, out), x2=lambda x2, out: _direction(x2, out))

# Piecewise functions: ties are split evenly, relu'(0) = 0, and the slope at NaN is NaN.


def _step(x1: Any, x2: Any, out: Any) -> Any:
    """1 where x1 > x2, 1/2 where they are equal, 0 where x1 < x2, and 0 / 0 where one is NaN."""
    above = xp.astype(xp.greater_equal(x1, x2), out.dtype)
    return above / (above + xp.astype(xp.less_equal(x1, x2), out.dtype))


def _below_max(x: Any, bound: Any, out: Any) -> Any:
    return 1 if bound is None else _step(bound, x, out)


def _above_min(x: Any, bound: Any, out: Any) -> Any:
    return 1 if bound is None else _step(x, bound, out)


def _raised(x: Any, bound: Any) -> Any:
    return x if bound is None else xp.maximum(x, bound)


elementwise("maximum", x1=_step, x2=lambda x1, x2, out: _step(x2, x1, out))
elementwise("minimum", x1=lambda x1, x2, out: _step(x2, x1, out), x2=_step)
# clip is minimum(maximum(x, min), max).
elementwise(
    "clip",
    x=lambda x, min, max, out: _above_min(x, min, out) * _below_max(_raised(x, min), max, out),
    min=lambda x, min, max, out: _step(min, x, out) * _below_max(_raised(x, min), max, out),
    max=lambda x, min, max, out: _step(_raised(x, min), max, out),
)
elementwise("relu", x=lambda out: xp.sign(out))
elementwise(
    "copysign",
    finite=True,
    x1=lambda x1, out: xp.copysign(xp.ones_like(out), x1) * xp.copysign(xp.ones_like(out), out),
    x2=None,
)
elementwise("nextafter", x1=1, x2=None)
linear(
    "where",
    "condition",
    "x1",
    "x2",
    jointly=True,
    x1=lambda g, condition: xp.where(condition, g, xp.zeros_like(g)),
    x2=lambda g, condition: xp.where(condition, xp.zeros_like(g), g),
)

# Functions of complex numbers that are not holomorphic. A cotangent pairs with a tangent as Re(g * t), JAX's
# convention, under which grad of a real loss L is dL/dx - i dL/dy.


def _sign_or_conj(x: Any) -> Any:
    return xp.conj(xp.sign(x)) if is_complex(x) else xp.sign(x)


def _sign_pull(g: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return xp.zeros_like(g)
    return 1j * _over(xp.imag(g * out), xp.abs(x), x) * xp.conj(out)


def _sign_jvp(t: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return xp.zeros_like(t)
    return 1j * _over(xp.imag(xp.conj(out) * t), xp.abs(x), x) * out


def _over(numerator: Any, modulus: Any, like: Any) -> Any:
    """A real quotient as a complex number; 0 at the origin."""
    origin = modulus == 0
    quotient = numerator / xp.where(origin, xp.ones_like(modulus), modulus)
    return xp.astype(xp.where(origin, xp.zeros_like(quotient), quotient), like.dtype)


def _abs_jvp(t: Any, x: Any) -> Any:
    moved = annihilating_product(t, _sign_or_conj(x))
    return xp.real(moved) if is_complex(x) else moved


custom(
    "abs",
    x=lambda g, x: annihilating_product(g, _sign_or_conj(x)),
    jvp=_abs_jvp,
)
custom("sign", x=_sign_pull, jvp=_sign_jvp)
linear("conj", x=lambda g: xp.conj(g))
linear("real", x=lambda g: g)
linear("imag", x=lambda g, x: -1j * xp.astype(g, x.dtype))

# Functions whose results are integers or booleans, or constant between jumps.

no_gradient(
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor"
)
no_gradient("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
no_gradient(
    "isfinite", "isinf", "isnan", "signbit", "logical_and", "logical_not", "logical_or", "logical_xor"
)
no_gradient("ceil", "floor", "floor_divide", "round", "trunc")
no_gradient("stop_gradient")


linear("cotangent_as", x=lambda g: g)
