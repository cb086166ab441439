"""Derivatives beside finite differences: of any order, in both modes, with the place where they disagree.

``check`` has the arguments and the orders, ``level`` one function and its derivatives, ``differences`` its
slopes; ``search`` compares them and finds the worst element, and ``comparison`` says it.
"""

from bpkit.transforms.checking.check import GradientCheck, check_grads
from bpkit.transforms.checking.comparison import Comparison, worst

__all__ = ["Comparison", "GradientCheck", "check_grads", "worst"]
