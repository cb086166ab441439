"""Derivative rules, in the chapters of the standard; importing this package registers all of them."""

from bpkit.rules import elementwise, reductions, shapes

__all__ = ["elementwise", "reductions", "shapes"]
