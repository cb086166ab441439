"""Forward mode: carry tangents along with the values."""

from typing import Any

from bpkit.array import constant
from bpkit.derivative import DerivativeTrace
from bpkit.kinds import is_inexact, raw
from bpkit.registry import backend_of
from bpkit.rules.cotangents import cotangent_as
from bpkit.rules.registry import Rule
from bpkit.trace import Traced, call

__all__ = ["ForwardTrace"]


class ForwardTrace(DerivativeTrace):
    """Links every value that depends on an input to its tangent."""

    __slots__ = ()

    transform = "jvp"

    def link(self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """The tangent of `out`."""
        with backend_of(raw(out)).quiet():
            return _fitting(_tangent(rule, links, values, out, static), out)

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
            ts = _tangent(rule, links, values, out, static)
            if ts is None:
                return [None] * len(out)
            return [_fitting(t, x) if is_inexact(x) else None for t, x in zip(ts, out, strict=True)]


def _tangent(rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
    """What the rule says. Where one of tangents and values is traced one level down, all of them are."""
    trace = next((x._trace for x in (*links, *values) if isinstance(x, Traced)), None)
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
