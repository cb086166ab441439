"""Reverse mode: record the graph on the way forward, then carry cotangents back through it."""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Any

from bpkit.array import Array, constant
from bpkit.derivative import Copies, DerivativeTrace, owned
from bpkit.evaluate import on_scalars
from bpkit.graph import Node
from bpkit.kinds import is_inexact, raw
from bpkit.registry import backend_of
from bpkit.rules.cotangents import cotangent_as
from bpkit.rules.registry import RULES, Elementwise, Rule
from bpkit.scalars import REAL_SCALARS, ScalarNode, noted
from bpkit.trace import Trace, Traced, call, snapshot, watcher, watches

__all__ = ["ReverseTrace", "gradients", "walk"]


class ReverseTrace(DerivativeTrace):
    """Links every value that depends on an input to a node of the graph."""

    __slots__ = ("copies",)

    transform = "grad, value_and_grad or vjp"

    def __init__(self) -> None:
        super().__init__()
        self.copies = Copies()

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down and note it; element-wise functions of real scalars go a short way."""
        rule = RULES.get(name)
        if type(rule) is not Elementwise or static or not self.live:
            return super().process(name, operands, static)
        if len(operands) == 1:
            (x,) = operands
            x, one = x._value, x._link
            if x.__class__ in REAL_SCALARS:
                return noted(self, rule, on_scalars(name)(x), x, one)
        elif len(operands) == 2:
            x, y = operands
            one = two = None
            if isinstance(x, Traced) and x._trace is self:
                x, one = x._value, x._link
            if isinstance(y, Traced) and y._trace is self:
                y, two = y._value, y._link
            if x.__class__ in REAL_SCALARS and y.__class__ in REAL_SCALARS:
                return noted(self, rule, on_scalars(name)(x, y), x, one, y, two)
        return super().process(name, operands, static)

    def input(self, value: Any) -> Array:
        """Watch a value as an input: a node without edges."""
        self.entered.append(value)
        return Array(snapshot(value), self, Node("input", value, []))

    def keep(self, x: Any) -> Any:
        """A copy: what the graph keeps of a buffer must not change when the user fills it again."""
        return self.copies.of(x)

    def link(
        self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]
    ) -> Node | None:
        """The node of `out`."""
        edges = rule.edges(links, values, out, static)
        return Node(rule.name, out, edges) if edges else None

    def links(
        self,
        rule: Rule,
        links: list[Any],
        values: list[Any],
        out: tuple[Any, ...],
        static: dict[str, Any],
    ) -> list[Any]:
        """A node for each result, which all lead to one node for the function."""
        edges = rule.edges(links, values, out, static)
        if not edges:
            return [None] * len(out)
        return _apart(Node(rule.name, None, edges), out)

    def joint(
        self,
        name: str,
        outs: list[Any],
        parents: list[Node],
        pull: Callable[..., Any],
        saved: tuple[Any, ...],
    ) -> list[Node | None]:
        """A node for each result of a function whose arguments get their cotangents from one call.

        Parameters
        ----------
        name : str
        outs : list of arrays
            The results.
        parents : list of Node
            The arguments that depend on an input.
        pull : callable
            ``pull(gs, saved)`` takes a tuple of the cotangents of all results, None where nothing reached
            one, and returns a tuple of the cotangents of all `parents`, None for zero.
        saved : tuple
        """
        arguments = Node(name, None, [(parent, _part, (i,)) for i, parent in enumerate(parents)])
        return _apart(Node(name, None, [(arguments, pull, (saved,))]), outs)


def _apart(function: Node, outs: Sequence[Any]) -> list[Node | None]:
    """A node for each result of a function, if it can have one, with an edge to the function's own."""
    return [
        Node(function.name, out, [(function, _alone, (i, len(outs)))]) if is_inexact(out) else None
        for i, out in enumerate(outs)
    ]


def _alone(g: Any, i: int, count: int) -> tuple[Any, ...]:
    """The cotangents of all results of a function, of which one is `g` and nothing reached the others."""
    return tuple([g if k == i else None for k in range(count)])


def _part(gs: tuple[Any, ...], i: int) -> Any:
    return gs[i]


def gradients(seeds: list[tuple[Node, Any]], inputs: list[Node], primals: list[Any], once: bool) -> list[Any]:
    """Carry cotangents from the outputs of a graph back to its inputs.

    Parameters
    ----------
    seeds : list of (Node, cotangent)
        Outputs; the same node may stand there twice.
    inputs : list of Node
    primals : list of arrays
        The values of `inputs`.
    once : bool
        Whether graph and seeds serve this walk only: it lets go of what each node kept as soon as it has been
        used, and a gradient may be a seed.

    Returns
    -------
    list of arrays
        For each input the sum of what reached it, zeros where nothing did. Each has the type of its primal
        and shares memory with no other, so that it may be written to.
    """
    if seeds:
        watch = watcher.get() if watches else None
        with backend_of(raw(seeds[0][1])).quiet():
            found = walk(seeds, once) if watch is None else watch.walk(partial(walk, seeds, once))
    else:
        found = {}
    return owned([found.get(node) for node in inputs], primals, [] if once else [g for _, g in seeds])


def walk(seeds: list[tuple[Node, Any]], once: bool, start: int = 0) -> dict[Node, Any]:
    """The cotangent of every input that the seeds depend on; nodes with an index below `start` are inputs."""
    pending: dict[int, tuple[Node, Any]] = {}
    # Parents are older than their children, so the youngest node has all of its cotangent: a heap of clock
    # readings walks the graph in topological order without visiting it first.
    queue: list[int] = []
    for node, g in seeds:
        _accumulate(pending, queue, node, g)
    inputs: dict[Node, Any] = {}
    watch = watcher.get() if watches else None
    while queue:
        index = -heappop(queue)
        node, g = pending.pop(index)
        if watch is not None:
            watch.arrived(node, g)
        elif node.__class__ is ScalarNode and g.__class__ is node.out.__class__ and index >= start:
            by_x, by_y = node.rule.scalar_pulls
            if node.one is not None:
                _pass_on(pending, queue, node.one, by_x(g, node.x, node.y, node.out))
            if node.two is not None:
                _pass_on(pending, queue, node.two, by_y(g, node.x, node.y, node.out))
            if once:
                node.one = node.two = None
            continue
        edges = node.edges
        if not edges or index < start:
            inputs[node] = g
            continue
        if once:
            node.let_go()
        trace = _trace_of(g) if type(g) is tuple or isinstance(g, Traced) else None
        if trace is not None:
            g = _constant(g, trace)
        for parent, pull, saved in edges:
            if trace is not None:
                saved = tuple([_constant(x, trace) for x in saved])
            part = pull(g, *saved) if watch is None else watch.pulled(node, g, pull, saved)
            if part is not None:
                _accumulate(pending, queue, parent, part)
    return inputs


def _pass_on(pending: dict[int, tuple[Node, Any]], queue: list[int], node: Node, g: Any) -> None:
    """Accumulate a cotangent that is a number."""
    if node.__class__ is not ScalarNode or g.__class__ is not node.out.__class__:
        _accumulate(pending, queue, node, g)
        return
    index = node.index
    if index in pending:
        pending[index] = node, pending[index][1] + g
    else:
        heappush(queue, -index)
        pending[index] = node, g


def _trace_of(g: Any) -> Trace | None:
    """Who watches the cotangent of a function, or the cotangents of its several results."""
    if type(g) is tuple:
        return next((part._trace for part in g if isinstance(part, Traced)), None)
    return g._trace if isinstance(g, Traced) else None


def _constant(x: Any, trace: Trace) -> Any:
    if type(x) is tuple:
        return tuple([constant(part, trace) for part in x])
    return constant(x, trace)


def _accumulate(pending: dict[int, tuple[Node, Any]], queue: list[int], node: Node, g: Any) -> None:
    index = node.index
    if node.shape is None:
        if index in pending:
            g = tuple([_sum(x, y) for x, y in zip(pending[index][1], g, strict=True)])
        else:
            heappush(queue, -index)
        pending[index] = node, g
        return
    if g.shape != node.shape:
        g = _sum_to(g, node.shape)
    if g.dtype is not node.dtype and g.dtype != node.dtype:
        g = cotangent_as(g, node.dtype)
    if index in pending:
        g = pending[index][1] + g
    else:
        heappush(queue, -index)
    pending[index] = node, g


def _sum(x: Any, y: Any) -> Any:
    """The sum of two cotangents, of which None is zero."""
    if x is None or y is None:
        return y if x is None else x
    return x + y


def _sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes along which broadcasting repeated an operand of this shape."""
    extra = len(g.shape) - len(shape)
    stretched = [extra + i for i, length in enumerate(shape) if length == 1]
    g = call("sum", g, axis=(*range(extra), *stretched), dtype=None, keepdims=False)
    return g if g.shape == shape else call("reshape", g, shape=shape, copy=None)
