"""What derivatives do with cotangents and tangents that no function of the standard does."""

import cmath
import math
from typing import Any

from bpkit.evaluate import definition
from bpkit.trace import call

__all__ = ["annihilating_product", "cotangent_as", "finite_where_zero"]


_NUMBER = int | float | complex


def annihilating_product(factor: Any, derivative: Any) -> Any:
    """``factor * derivative``, where ``factor == 0`` gives 0 even if the derivative is infinite or NaN.

    So ``where(x > 0, sqrt(x), 0)`` has the gradient 0 at ``x = 0``, and nobody needs a second ``where``
    inside. Where the derivative is finite this is the plain product, and its own derivatives are the plain
    ones: a cotangent that happens to be zero still counts at second order.
    """
    if isinstance(derivative, float) and math.isfinite(derivative):
        return factor * derivative  # in one place more, since most derivatives by scalars are these
    if isinstance(derivative, _NUMBER):
        if cmath.isfinite(derivative):
            return factor * derivative
        derivative = call("full_like", factor, fill_value=derivative, dtype=None, device=None)
    return call("annihilating_product", factor, derivative)


def finite_where_zero(factor: Any, derivative: Any) -> Any:
    """`derivative`, with 0 in place of what is not finite where `factor` is 0."""
    singular = call("logical_not", call("isfinite", derivative))
    idle = call("logical_and", call("equal", factor, 0), singular)
    return call("where", idle, call("zeros_like", derivative, dtype=None, device=None), derivative)


@definition("annihilating_product")
def _annihilating_product(xp: Any, factor: Any, derivative: Any) -> Any:
    return xp.where(factor == 0, 0.0, factor * derivative)


def cotangent_as(x: Any, dtype: Any) -> Any:
    """A cotangent or tangent in the dtype of the value it belongs to; a real value takes the real part."""
    return call("cotangent_as", x, dtype=dtype)


@definition("cotangent_as")
def _cotangent_as(xp: Any, x: Any, dtype: Any) -> Any:
    if xp.isdtype(x.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
        x = xp.real(x)
    return xp.astype(x, dtype)
