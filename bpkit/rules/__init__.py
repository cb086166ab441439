"""Derivative rules, in the chapters of the standard; importing this package registers all of them."""

from bpkit.rules import (
    assignment,
    convolution,
    cumulative,
    decompositions,
    elementwise,
    extras,
    fft,
    linalg,
    reductions,
    shapes,
    special,
    special_bessel,
    special_statistics,
)

__all__ = [
    "assignment",
    "convolution",
    "cumulative",
    "decompositions",
    "elementwise",
    "extras",
    "fft",
    "linalg",
    "reductions",
    "shapes",
    "special",
    "special_bessel",
    "special_statistics",
]
