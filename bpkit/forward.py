"""Forward mode: carry tangents along with the values."""

from typing import Any

from bpkit.derivative import DerivativeTrace
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.rules.cotangents import cotangent_as
from bpkit.rules.registry import Rule
from bpkit.trace import call

__all__ = ["ForwardTrace"]


class ForwardTrace(DerivativeTrace):
    """Links every value that depends on an input to its tangent."""

    __slots__ = ()

    transform = "jvp"

    def link(self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """The tangent of `out`."""
        with backend_of(raw(out)).quiet():
            t = rule.tangent(links, values, out, static)
        if t is None:
            return None
        if t.shape != out.shape:
            t = call("broadcast_to", t, shape=out.shape)
        return t if t.dtype == out.dtype else cotangent_as(t, out.dtype)
