"""The standard's constants.

Chapter "Constants" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/constants.html
"""

import math

__all__ = ["e", "inf", "nan", "newaxis", "pi"]

e = math.e
"""Base of the natural logarithm."""

inf = math.inf
"""Positive infinity."""

nan = math.nan
"""Not a number."""

newaxis = None
"""In an index, a new axis of length 1."""

pi = math.pi
"""Ratio of a circle's circumference to its diameter."""
