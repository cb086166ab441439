"""What reverse and forward mode share: functions run one level down and are then linked by their rules."""

from abc import abstractmethod
from typing import Any

from bpkit.array import Array, constant
from bpkit.evaluate import evaluate
from bpkit.kinds import is_inexact
from bpkit.registry import backend_of
from bpkit.rules.registry import Rule, rule_of
from bpkit.trace import VIEWS, Trace, Traced, call, share, snapshot

__all__ = ["DerivativeTrace", "owned"]


class DerivativeTrace(Trace):
    """A trace whose values carry a link if they depend on an input, and None if they do not."""

    __slots__ = ()

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down and link its result to the operands that depend on an input."""
        if not self.live:
            self.refuse(f"{name}: an operand")
        values, links, depends, outer = [], [], False, None
        for x in operands:
            link = None
            if isinstance(x, Traced):
                if x._trace is self:
                    x, link = x._value, x._link
                    depends = depends or link is not None
                else:
                    x = snapshot(x)
                if isinstance(x, Traced):
                    outer = x._trace
            values.append(x)
            links.append(link)
        if outer is None:
            out = evaluate(name, tuple(values), static)
        else:
            values = [constant(x, outer) for x in values]
            out = call(name, *values, **static)
        if type(out) is tuple:
            return tuple([Array(part, self, None) for part in out])
        link = None
        # A dtype argument is the one way out of the floating dtypes, and nothing flows through integers.
        if depends and "dtype" in static and not is_inexact(out):
            depends = False
        if depends and (rule := rule_of(name)) is not None:
            link = self.link(rule, links, values, out, static)
        result = Array(out, self, link)
        if name in VIEWS:
            share(result, operands)
        return result

    @abstractmethod
    def link(self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """What ties `out` to the operands, of which at least one has a link; None if nothing does."""


def owned(derivatives: list[Any], values: list[Any], taken: list[Any]) -> list[Any]:
    """Derivatives of the types of their values, each writable without changing another or one `taken`."""
    seen = {id(x) for x in taken}
    found = []
    for d, value in zip(derivatives, values, strict=True):
        if not isinstance(d, Traced):
            backend = backend_of(d)
            if id(d) in seen or type(d) is not type(value) or backend.is_view(d):
                d = backend.xp.asarray(d, copy=True)
        seen.add(id(d))
        found.append(d)
    return found
