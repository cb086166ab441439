"""Functions with a derivative of their own, and what each transform does with one.

:func:`apply` is to them what :func:`bpkit.trace.call` is to the functions of the namespace: the innermost
live trace among the arguments takes its wrappers off and asks the function for what it needs, one level
down: its results with a way back (reverse mode), with their tangents (forward mode), or for all examples of a
batch (vmap).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from bpkit.array import Array, constant
from bpkit.backward import ReverseTrace
from bpkit.batching import BatchTrace
from bpkit.batching.registry import Operand, in_front
from bpkit.constants import ConstantTrace, constant_array
from bpkit.derivative import DerivativeTrace
from bpkit.errors import GradientCutError
from bpkit.forward import ForwardTrace
from bpkit.kinds import device_of, is_inexact, raw
from bpkit.record import Recorder
from bpkit.registry import backend_of
from bpkit.trace import BATCHED, Trace, Traced, call, snapshot, tracing
from bpkit.transforms.arguments import is_array, zeros_like
from bpkit.transforms.linearity import check_linear, has_values
from bpkit.transforms.products import vjp

__all__ = ["BatchedBothWays", "Function", "apply", "check_closure", "traces", "zeros"]

Leaves = list[Any]
Pull = Callable[[Leaves, Leaves], Leaves]


class Function(ABC):
    """A function of a list of leaves that says itself how it is differentiated.

    Leaves are arrays, or anything else that has no derivative. Its methods are called one level below the
    trace that asks; what they do is differentiated by the traces around that one like all other code.

    Attributes
    ----------
    name : str
        For errors and for the graph.
    """

    name: str

    @abstractmethod
    def run(self, leaves: Leaves) -> Leaves:
        """The results."""

    @abstractmethod
    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """The results, all arrays, and their tangents, of which None is zero."""

    def batched(self, size: int, which: list[bool]) -> "Function":
        """The function of `size` examples, which lie along a first axis of the leaves of `which`."""
        return Batched(self, size, which)

    def backward(self, leaves: Leaves, moving: list[bool]) -> tuple[Leaves, Leaves, Pull]:
        """The results, all arrays, and the way back; by default the transpose of :meth:`forward`.

        Returns
        -------
        outs : list of arrays
        saved : list
            What the way back needs.
        pull : callable
            ``pull(saved, gs)`` takes the cotangents of the results and returns those of the leaves; in both,
            None is zero. Only those of `moving` leaves count.
        """
        places = [i for i, moves in enumerate(moving) if moves]

        def linear(*tangents: Any) -> tuple[Leaves, tuple[Leaves, list[int]]]:
            known = dict(zip(places, tangents, strict=True))
            outs, moved = self.forward(leaves, [known.get(i) for i in range(len(leaves))])
            found = [i for i, t in enumerate(moved) if t is not None and is_inexact(outs[i])]
            return [moved[i] for i in found], (outs, found)

        linear.__qualname__ = self.name
        # At ones, since a zero would annihilate an infinite factor of the map.
        ones = [call("ones_like", leaves[i], dtype=None, device=None) for i in places]
        moved, pullback, (outs, found) = vjp(linear, *ones, has_aux=True)

        def rule(tangents: Leaves) -> Leaves:
            return linear(*tangents)[0]

        def pull(saved: Leaves, gs: Leaves) -> Leaves:
            cotangents = [
                zeros_like(t) if gs[i] is None else gs[i] for i, t in zip(found, moved, strict=True)
            ]
            known = dict(zip(places, pullback(cotangents), strict=True))
            back = [known[i] for i in places]
            if found and has_values([*leaves, *cotangents, *back]):
                check_linear(self.name, rule, ones, moved, cotangents, back)
            return [known.get(i) for i in range(len(leaves))]

        return outs, [], pull


class Batched(Function):
    """A function of many examples: one of single examples, run with a batch trace around it.

    Parameters
    ----------
    function : Function
        Of one example.
    size : int
        The number of examples.
    which : list of bool
        Which leaves have them, along a first axis. All results do.
    """

    def __init__(self, function: Function, size: int, which: list[bool]) -> None:
        self.name = function.name
        self.function = function
        self.size = size
        self.which = which

    def run(self, leaves: Leaves) -> Leaves:
        """The results for all examples."""
        with BatchTrace(self.size) as trace:
            outs = self.function.run(_examples(trace, leaves, self.which))
            return [self.in_front(trace, x) for x in outs]

    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """The results and tangents for all examples."""
        with BatchTrace(self.size) as trace:
            outs, moved = self.function.forward(
                _examples(trace, leaves, self.which), _examples(trace, tangents, self.which)
            )
            return [self.in_front(trace, x) for x in outs], [self.in_front(trace, t) for t in moved]

    def batched(self, size: int, which: list[bool]) -> Function:
        """The function of batches of batches."""
        return type(self)(self, size, which)

    def in_front(self, trace: BatchTrace, x: Any) -> Any:
        """A result with the examples along its first axis."""
        return in_front(self.size, _operand(trace, x)) if is_array(x) else x


class BatchedBothWays(Batched):
    """The same for a function whose way back is not the transpose of its tangents."""

    def backward(self, leaves: Leaves, moving: list[bool]) -> tuple[Leaves, Leaves, Pull]:
        """Results and way back for all examples; what the same leaf gets from each is summed."""
        with BatchTrace(self.size) as trace:
            outs, kept, back = self.function.backward(_examples(trace, leaves, self.which), moving)
            saved = [_operand(trace, x) for x in kept]

        def pull(values: Leaves, gs: Leaves) -> Leaves:
            with BatchTrace(self.size) as trace:
                given = _examples(trace, values, [x.batched for x in saved])
                found = back(given, _examples(trace, gs, [True] * len(gs)))
                return [self.summed(trace, g, own) for g, own in zip(found, self.which, strict=True)]

        return [self.in_front(trace, x) for x in outs], [x.value for x in saved], pull

    def summed(self, trace: BatchTrace, g: Any, own: bool) -> Any:
        """The cotangent of a leaf, from that of every example."""
        g = self.in_front(trace, g)
        return g if g is None or own else call("sum", g, axis=0, dtype=None, keepdims=False)


def _operand(trace: BatchTrace, x: Any) -> Operand:
    """A result of the function of one example, for all of them."""
    if isinstance(x, Traced) and x._trace is trace:
        return Operand(x._value, x._link is BATCHED)
    return Operand(x, False)


def _examples(trace: BatchTrace, leaves: Leaves, which: list[bool]) -> Leaves:
    """Leaves as the function of one example takes them."""
    return [
        trace.watch(snapshot(x), BATCHED if batched else None) if is_array(x) else x
        for x, batched in zip(leaves, which, strict=True)
    ]


def apply(function: Function, leaves: Leaves) -> Leaves:
    """The results of a function with a derivative of its own, of leaves of which any may be traced."""
    trace = _innermost(leaves)
    if trace is None or not trace.level:
        outs = function.run(leaves)
        return _given(outs) if tracing() else [snapshot(x) for x in outs]
    own = [isinstance(x, Traced) and x._trace is trace for x in leaves]
    values = [x._value if mine else x for x, mine in zip(leaves, own, strict=True)]
    links = [x._link if mine else None for x, mine in zip(leaves, own, strict=True)]
    still = all(link is None for link in links)
    if not trace.live:
        if not still:
            trace.refuse(f"{function.name}: an argument")
        return apply(function, values)
    if isinstance(trace, Recorder):
        return function.run(leaves) if trace.opens else _noted(function, trace, leaves)
    if still:
        return _watched(function, trace, apply(function, _given(values)), None)
    if isinstance(trace, DerivativeTrace):
        # Somebody else may write to what the trace does not hold.
        values = [
            x if mine or (isinstance(x, Traced) and not x._trace.borrowed) else trace.keep(x)
            for x, mine in zip(values, own, strict=True)
        ]
    if isinstance(trace, ReverseTrace):
        return _reverse(function, trace, _given(values), links)
    if isinstance(trace, ForwardTrace):
        return _forward(function, trace, _given(values), links)
    assert isinstance(trace, BatchTrace)
    batched = function.batched(trace.size, [link is BATCHED for link in links])
    return _watched(function, trace, apply(batched, _given(values)), BATCHED)


def _noted(function: Function, trace: Recorder, leaves: Leaves) -> Leaves:
    """The results of a function that becomes one step of a program."""

    def do(*leaves: Any) -> Any:
        # What a function does is code inside a transform, also where a program runs it.
        with ConstantTrace():
            found = [snapshot(x) for x in apply(function, _given(list(leaves)))]
        return tuple(found) if len(found) > 1 else found[0]

    outs = trace.note(function.name, tuple(leaves), {}, do)
    return list(outs) if isinstance(outs, tuple) else [outs]


def _innermost(leaves: Leaves) -> Trace | None:
    found = None
    for x in leaves:
        if isinstance(x, Traced) and (found is None or x._trace.level > found.level):
            found = x._trace
    return found


def _given(leaves: Leaves) -> Leaves:
    """Leaves as code inside a transform meets them: traced at level 0 at least, and free to be changed."""
    values = map(snapshot, leaves)
    return [constant_array(x) if is_array(x) else x for x in values]


def _watched(function: Function, trace: Trace, outs: Leaves, link: Any) -> Leaves:
    """Results one level up, all with the same link."""
    return [Array(_below(function, trace, x), trace, link) if is_array(x) else x for x in outs]


def _reverse(function: Function, trace: ReverseTrace, values: Leaves, links: Leaves) -> Leaves:
    moving = [link is not None for link in links]
    outs, saved, back = function.backward(values, moving)
    parents = [link for link in links if link is not None]

    def pull(gs: tuple[Any, ...], saved: tuple[Any, ...]) -> tuple[Any, ...]:
        like = next(g for g in gs if g is not None)
        # What a function does on the way back is code inside a transform, too.
        with ConstantTrace():
            found = back(_given(list(saved)), _given(list(gs)))
        # The way back may be differentiated or batched itself, by what began after `trace`.
        among = traces([*saved, *gs])
        cotangents = [
            zeros(parent.shape, parent.dtype, like) if g is None else _below(function, trace, g, among)
            for parent, g in zip(parents, [g for g, m in zip(found, moving, strict=True) if m], strict=True)
        ]
        over = next((g._trace for g in (*gs, *cotangents) if isinstance(g, Traced)), None)
        return tuple(cotangents if over is None else [constant(g, over) for g in cotangents])

    outs = [_below(function, trace, x) for x in outs]
    kept = tuple([_below(function, trace, x) for x in saved])
    nodes = trace.joint(function.name, outs, parents, pull, kept)
    return [Array(out, trace, node) for out, node in zip(outs, nodes, strict=True)]


def _forward(function: Function, trace: ForwardTrace, values: Leaves, links: Leaves) -> Leaves:
    outs, moved = function.forward(values, _given(links))
    among = traces(links)
    return [
        Array(
            _below(function, trace, out),
            trace,
            _below(function, trace, t, among) if is_inexact(out) else None,
        )
        for out, t in zip(outs, moved, strict=True)
    ]


def zeros(shape: Any, dtype: Any, like: Any) -> Any:
    """A zero cotangent, in the library and on the device of another."""
    like = raw(like)
    return backend_of(like).xp.zeros(shape, dtype=dtype, device=device_of(like))


def traces(leaves: Leaves) -> set[Trace]:
    """Every trace that watches one of the leaves, at any level."""
    found = set()
    for x in leaves:
        while isinstance(x, Traced):
            found.add(x._trace)
            x = x._value
    return found


def check_closure(called: str, x: Any, among: set[Trace]) -> Any:
    """A result of the user's code, unless it depends on what is differentiated past the arguments.

    Raises
    ------
    GradientCutError
        If it does: no trace in `among`, those of the arguments, is the one that differentiates.
    """
    part = x
    while isinstance(part, Traced):
        if isinstance(part._trace, DerivativeTrace) and part._link is not None and part._trace not in among:
            _refuse_closure(called, part._trace)
        part = part._value
    return x


def _refuse_closure(called: str, trace: Trace) -> NoReturn:
    if not trace.live:
        trace.refuse(f"{called}: a value in the result")
    raise GradientCutError(
        f"{called}: the result depends on a value that is traced by {trace.transform} and is no argument of "
        f"the function, so its rule knows nothing of it. Pass the value as an argument (not in "
        f"nondiff_argnums) instead of using it from outside"
    )


def _below(function: Function, trace: Trace, x: Any, among: Collection[Trace] = ()) -> Any:
    """A result as it is one level down; what the traces in `among` watch stays."""
    while isinstance(x, Traced) and x._trace.level >= trace.level and x._trace not in among:
        if x._link is not None:
            _refuse_closure(function.name, x._trace)
        x = x._value
    return snapshot(x)
