"""Derivative rules, in the chapters of the standard; importing this package registers all of them."""

from bpkit.rules import elementwise, fft, linalg, reductions, shapes, special

__all__ = ["elementwise", "fft", "linalg", "reductions", "shapes", "special"]
