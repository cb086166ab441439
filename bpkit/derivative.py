"""What reverse and forward mode share: functions run one level down and are then linked by their rules."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bpkit.array import Array, constant
from bpkit.evaluate import evaluate, without_numpy_scalars
from bpkit.kinds import is_inexact, is_mutable, raw
from bpkit.registry import backend_of, common_backend
from bpkit.rules.registry import Rule, rule_of
from bpkit.trace import Trace, Traced, call, snapshot
from bpkit.views import VIEWS, remember

__all__ = ["Copies", "DerivativeTrace", "owned", "private"]


class DerivativeTrace(Trace):
    """A trace whose values carry a link if they depend on an input, and None if they do not."""

    __slots__ = ()

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down and link its result to the operands that depend on an input."""
        if not self.live:
            return self.afterwards(name, operands, static)
        values, links, depends, outer, bare, number = [], [], False, None, False, False
        for x in operands:
            link = None
            if isinstance(x, Traced):
                if x._trace is self:
                    x, link = x._value, x._link
                    if link is not None:
                        depends = True
                        number = number or isinstance(x, np.generic)
                else:
                    bare = bare or x._trace.borrowed
                    x = snapshot(x)
                if isinstance(x, Traced):
                    outer = x._trace
            elif hasattr(x, "shape"):
                bare = True
            values.append(x)
            links.append(link)
        if number and len(values) > 1:
            # Another library's arrays take it as Python's number, and its derivative would be one of theirs.
            common_backend(map(raw, values), name)
        if bare and depends:
            values = [
                v if isinstance(x, Traced) and not x._trace.borrowed else self.keep(v)
                for x, v in zip(operands, values, strict=True)
            ]
            if len({backend_of(raw(v)) for v in values if hasattr(v, "shape")}) > 1:
                values = list(without_numpy_scalars(values))
        if outer is None:
            out = evaluate(name, tuple(values), static)
        else:
            values = [constant(x, outer) for x in values]
            out = call(name, *values, **static)
        link = None
        # A dtype argument is the one way out of the floating dtypes, and nothing flows through integers.
        if depends and "dtype" in static and not is_inexact(out):
            depends = False
        rule = rule_of(name, values) if depends else None
        if isinstance(out, tuple):
            several = [None] * len(out) if rule is None else self.links(rule, links, values, out, static)
            return tuple([Array(part, self, link) for part, link in zip(out, several, strict=True)])
        if rule is not None:
            link = self.link(rule, links, values, out, static)
        result = Array(out, self, link)
        if name in VIEWS and isinstance(operands[0], Traced):
            remember(result, operands, name, static)
        return result

    def keep(self, x: Any) -> Any:
        """A raw operand as the derivative may need it after the user has gone on."""
        return x

    @abstractmethod
    def link(self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """What ties `out` to the operands, of which at least one has a link; None if nothing does."""

    @abstractmethod
    def links(
        self,
        rule: Rule,
        links: list[Any],
        values: list[Any],
        out: tuple[Any, ...],
        static: dict[str, Any],
    ) -> list[Any]:
        """The same for a function with several results: a link or None for each."""


def private(x: Any) -> Any:
    """An array that nobody else can write to: a copy, where the library's arrays can change."""
    if isinstance(x, Traced) or not hasattr(x, "shape") or not is_mutable(x):
        return snapshot(x)
    return call("astype", x, dtype=x.dtype, copy=True, device=None)


class Copies:
    """Copies of what others may write to, for a trace that needs its operands later.

    Of a large array one copy serves until it is found to have changed: comparing is faster than copying, and
    takes no memory.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}

    def of(self, x: Any) -> Any:
        """A copy of an array as it is now; what cannot change is returned as it is."""
        if not hasattr(x, "shape") or math.prod(x.shape) < 1024 or not is_mutable(x):
            return private(x)
        original, copy = self._made.get(id(x), (None, None))
        if original is None or not backend_of(x).same_values(x, copy):
            copy = private(x)
            self._made[id(x)] = x, copy
        return copy

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Let go, at the end, of the originals that came up meanwhile."""
        before = set(self._made)
        try:
            yield
        finally:
            for key in set(self._made) - before:
                self._made.pop(key, None)


def owned(derivatives: list[Any], values: list[Any], taken: list[Any]) -> list[Any]:
    """Derivatives of the types of their values, each writable without changing another or one `taken`.

    None is zero.
    """
    seen = set(map(id, taken))
    found = []
    for d, value in zip(derivatives, values, strict=True):
        if d is None:
            d = call("zeros_like", value, dtype=None, device=None)
        if not isinstance(d, Traced):
            backend = backend_of(d)
            if id(d) in seen or backend.is_view(d):
                d = call("astype", d, dtype=d.dtype, copy=True, device=None)
            changes = hasattr(value, "__setitem__")
            if changes is not hasattr(d, "__setitem__"):
                # One is a NumPy scalar, which is what functions of a 0-d array return.
                d = backend.xp.asarray(d) if changes else d[()]
        seen.add(id(d))
        found.append(d)
    return found
