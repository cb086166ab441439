"""Which functions there are of one array and of two, and where to evaluate them.

The tests of bpkit's own rules and the contract of a backend read the same table.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["BINARY", "DOMAINS", "UNARY"]

Values = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def _real(rng: np.random.Generator, shape: Shape) -> Values:
    return rng.uniform(0.3, 2.0, shape) * np.where(rng.random(shape) < 0.5, -1, 1)


DOMAINS: dict[str, Callable[[np.random.Generator, Shape], Values]] = {
    "real": _real,
    "positive": lambda rng, shape: rng.uniform(0.3, 2.5, shape),
    "unit": lambda rng, shape: rng.uniform(0.1, 0.8, shape) * np.where(rng.random(shape) < 0.5, -1, 1),
    "above one": lambda rng, shape: rng.uniform(1.3, 3.0, shape),
    "distinct": lambda rng, shape: rng.permuted(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape) + 0.1,
    "complex": lambda rng, shape: _real(rng, shape) + 1j * _real(rng, shape),
}
"""Where arguments are drawn: away from kinks, poles and the branch cuts on the axes."""

UNARY: list[tuple[str, str, bool]] = [
    ("abs", "real", True),
    ("acos", "unit", True),
    ("acosh", "above one", True),
    ("asin", "unit", True),
    ("asinh", "real", True),
    ("atan", "real", True),
    ("atanh", "unit", True),
    ("conj", "real", True),
    ("cos", "real", True),
    ("cosh", "real", True),
    ("exp", "real", True),
    ("expit", "real", False),
    ("expm1", "real", True),
    ("log", "positive", True),
    ("log1p", "positive", True),
    ("log2", "positive", True),
    ("log10", "positive", True),
    ("log_expit", "real", False),
    ("negative", "real", True),
    ("positive", "real", True),
    ("real", "real", True),
    ("reciprocal", "real", True),
    ("relu", "real", False),
    ("sign", "real", True),
    ("sin", "real", True),
    ("sinh", "real", True),
    ("softplus", "real", False),
    ("sqrt", "positive", True),
    ("square", "real", True),
    ("tan", "unit", True),
    ("tanh", "real", True),
]
"""Name, domain of the operand, whether it takes complex numbers."""
BINARY: list[tuple[str, str, str, bool, Any]] = [
    ("add", "real", "real", True, operator.add),
    ("atan2", "real", "real", False, None),
    ("copysign", "real", "real", False, None),
    ("divide", "real", "real", True, operator.truediv),
    ("hypot", "real", "real", False, None),
    ("logaddexp", "real", "real", False, None),
    ("maximum", "real", "real", False, None),
    ("minimum", "real", "real", False, None),
    ("multiply", "real", "real", True, operator.mul),
    ("nextafter", "real", "real", False, None),
    ("pow", "positive", "real", True, operator.pow),
    ("remainder", "positive", "above one", False, operator.mod),
    ("subtract", "real", "real", True, operator.sub),
]
"""Name, domains of the two operands, whether it takes complex numbers, its operator."""
