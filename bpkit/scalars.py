"""Single numbers: the short way through reverse mode.

A program on single numbers is all engine and no arithmetic. NumPy's real scalars cannot change and are no
views, so most of what the engine asks of an array need not be asked of them. What an element-wise function
leaves of them is a :class:`Number`, whose operators note themselves, and a :class:`ScalarNode`, which keeps
both operands and the result in the place of edges. Everything else takes the way of all arrays, with the same
result.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit.array import Array
from bpkit.graph import Edge, Node, clock
from bpkit.rules.registry import RULES, Elementwise
from bpkit.trace import Trace, watches

__all__ = ["REAL_SCALARS", "Number", "ScalarNode", "noted"]

REAL_SCALARS = frozenset({float, int, np.float32, np.float64})
"""Types of real numbers that are no arrays: Python's, and what NumPy's functions return without axes."""
_FLOATS = frozenset({np.float32, np.float64})


Operator = Callable[[Array, Any], Array]


class ScalarNode(Node):
    """The node of an element-wise function of real scalars.

    Attributes
    ----------
    rule : Elementwise
    one, two : Node or None
        Where the operands come from, if they depend on an input.
    x, y, out : number
        The operands and the result.
    """

    __slots__ = ("one", "out", "rule", "two", "x", "y")

    shape = ()

    def __init__(
        self, rule: Elementwise, one: Node | None, two: Node | None, x: Any, y: Any, out: Any
    ) -> None:
        self.index = next(clock)
        self.rule = rule
        self.one = one
        self.two = two
        self.x = x
        self.y = y
        self.out = out

    @property
    def name(self) -> str:  # type: ignore[override]
        """The function that made it."""
        return self.rule.name

    @property
    def dtype(self) -> Any:
        """That of the result."""
        return self.out.dtype

    @property
    def edges(self) -> list[Edge]:  # type: ignore[override]
        """The way back as other nodes have it."""
        count = len(self.rule.operands)
        return self.rule.edges([self.one, self.two][:count], [self.x, self.y][:count], self.out, {})

    def let_go(self) -> None:
        """Forget what is kept for the way back."""
        self.one = self.two = None


def noted(
    trace: Trace,
    rule: Elementwise,
    out: Any,
    x: Any,
    one: Node | None,
    y: Any = None,
    two: Node | None = None,
) -> Array:
    """The result of a function as a value of the trace, linked to what it depends on."""
    by_x, by_y = rule.scalar_pulls
    one = None if by_x is None else one
    two = None if by_y is None else two
    if one is None and two is None:
        return Array(out, trace, None)
    node = ScalarNode(rule, one, two, x, y, out)
    return (Number if out.__class__ in _FLOATS else Array)(out, trace, node)


def _operator(name: str, apply: Callable[[Any, Any], Any], long: Operator) -> Operator:
    rule = _rule(name)

    def apply_noted(self: Array, other: Any) -> Array:
        trace = self._trace
        if other.__class__ is Number and other._trace is trace:
            y, two = other._value, other._link
        elif other.__class__ in REAL_SCALARS:
            y, two = other, None
        else:
            return long(self, other)
        if watches or not trace.live:
            return long(self, other)
        x = self._value
        try:
            out = apply(x, y)
        except ArithmeticError:
            return long(self, other)
        return Number(out, trace, ScalarNode(rule, self._link, two, x, y, out))

    return apply_noted


def _reflected(name: str, apply: Callable[[Any, Any], Any], long: Operator) -> Operator:
    rule = _rule(name)

    def apply_noted(self: Array, other: Any) -> Array:
        trace = self._trace
        if other.__class__ not in REAL_SCALARS or watches or not trace.live:
            return long(self, other)
        y = self._value
        try:
            out = apply(other, y)
        except ArithmeticError:
            return long(self, other)
        return Number(out, trace, ScalarNode(rule, None, self._link, other, y, out))

    return apply_noted


def _rule(name: str) -> Elementwise:
    rule = RULES[name]
    assert isinstance(rule, Elementwise)
    return rule


class Number(Array):
    """A real scalar of NumPy that depends on an input of the reverse trace that watches it."""

    __slots__ = ()

    __add__ = _operator("add", operator.add, Array.__add__)
    __radd__ = _reflected("add", operator.add, Array.__radd__)
    __sub__ = _operator("subtract", operator.sub, Array.__sub__)
    __rsub__ = _reflected("subtract", operator.sub, Array.__rsub__)
    __mul__ = _operator("multiply", operator.mul, Array.__mul__)
    __rmul__ = _reflected("multiply", operator.mul, Array.__rmul__)
    __truediv__ = _operator("divide", operator.truediv, Array.__truediv__)
    __rtruediv__ = _reflected("divide", operator.truediv, Array.__rtruediv__)


# Python's own errors name the class, of which users know only this one.
Number.__name__ = Array.__name__
