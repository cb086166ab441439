"""Forward mode: carry tangents along with the values."""

from typing import Any

from bpkit.array import Array
from bpkit.rules.registry import rule_of
from bpkit.trace import VIEWS, Trace, Traced, call, share

__all__ = ["ForwardTrace"]


class ForwardTrace(Trace):
    """Links every value that depends on an input to its tangent."""

    __slots__ = ()

    transform = "jvp"

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        if not self.live:
            self.refuse(name)
        values, tangents, depends = [], [], False
        for x in operands:
            if isinstance(x, Traced) and x._trace is self:
                values.append(x._value)
                tangents.append(x._link)
                depends = depends or x._link is not None
            else:
                values.append(x)
                tangents.append(None)
        out = call(name, *values, **static)
        if type(out) is tuple:
            return tuple([Array(part, self, None) for part in out])
        rule = rule_of(name) if depends else None
        result = Array(out, self, None if rule is None else _tangent(rule, tangents, values, out, static))
        if name in VIEWS:
            share(result, operands)
        return result


def _tangent(rule: Any, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
    t = rule.tangent(tangents, values, out, static)
    if t is None:
        return None
    if t.shape != out.shape:
        t = call("broadcast_to", t, shape=out.shape)
    return t if t.dtype == out.dtype else call("cotangent_as", t, dtype=out.dtype)
