"""Forward mode: carry tangents along with the values."""

import sys
from typing import Any, NoReturn

from bpkit.array import Array, constant
from bpkit.derivative import DerivativeTrace
from bpkit.errors import NotDifferentiableError
from bpkit.kinds import is_inexact, raw
from bpkit.registry import backend_of
from bpkit.rules.cotangents import cotangent_as
from bpkit.rules.registry import Rule
from bpkit.trace import Trace, Traced, call

__all__ = ["ForwardTrace", "check_tangents"]


class _Refused(Trace):
    """Watches a tangent that nobody can work out, and says so to whoever asks for it.

    Reverse mode asks a rule only for what a result needs; so a result beside one without a derivative has
    its own in forward mode as well.
    """

    __slots__ = ("error",)

    def __init__(self, error: NotDifferentiableError) -> None:
        super().__init__()
        self.level = sys.maxsize  # it is asked before every other
        self.live = 1
        self.error = error

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> NoReturn:
        """Raise what the rule raised."""
        raise self.error


def check_tangents(tangents: list[Any]) -> None:
    """Raise for the first of the tangents of a result that nobody can work out."""
    for t in tangents:
        if _is_refused(t):
            raise t._trace.error


def _is_refused(t: Any) -> bool:
    return isinstance(t, Traced) and isinstance(t._trace, _Refused)


class ForwardTrace(DerivativeTrace):
    """Links every value that depends on an input to its tangent."""

    __slots__ = ()

    transform = "jvp"

    def link(self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """The tangent of `out`."""
        with backend_of(raw(out)).quiet():
            try:
                return _fitting(_tangent(rule, links, values, out, static), out)
            except NotDifferentiableError as error:
                return Array(out, _Refused(error), None)

    def links(
        self,
        rule: Rule,
        links: list[Any],
        values: list[Any],
        out: tuple[Any, ...],
        static: dict[str, Any],
    ) -> list[Any]:
        """The tangent of each result that can have one."""
        with backend_of(raw(out[0])).quiet():
            try:
                ts = _tangent(rule, links, values, out, static)
            except NotDifferentiableError as error:
                return [Array(x, _Refused(error), None) if is_inexact(x) else None for x in out]
            if ts is None:
                return [None] * len(out)
            return [_fitting(t, x) if is_inexact(x) else None for t, x in zip(ts, out, strict=True)]


def _tangent(rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
    """What the rule says. Where one of tangents and values is traced one level down, all of them are."""
    known = (x for x in (*links, *values) if isinstance(x, Traced) and not _is_refused(x))
    trace = next((x._trace for x in known), None)
    if trace is not None:
        links = [constant(x, trace) for x in links]
        values = [constant(x, trace) for x in values]
        out = tuple([constant(x, trace) for x in out]) if isinstance(out, tuple) else constant(out, trace)
    return rule.tangent(links, values, out, static)


def _fitting(t: Any, out: Any) -> Any:
    """A tangent with the shape and dtype of its value; None if it is zero."""
    if t is None:
        return None
    if t.shape != out.shape:
        t = call("broadcast_to", t, shape=out.shape)
    return t if t.dtype == out.dtype else cotangent_as(t, out.dtype)
