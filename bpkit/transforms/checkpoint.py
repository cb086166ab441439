"""Recompute instead of keep: reverse mode at the memory of the arguments, for the price of a second run."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import wraps
from typing import Any

from bpkit import tree
from bpkit.backward import ReverseTrace, walk
from bpkit.errors import TraceError
from bpkit.graph import Node, now
from bpkit.trace import Trace, Traced, revived, running
from bpkit.transforms.arguments import title
from bpkit.transforms.fingerprint import Fingerprint
from bpkit.transforms.origin import Origin

__all__ = ["checkpoint"]


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function whose inner values are not kept for the gradient, but computed again when it is needed.

    Reverse mode keeps the values that a function computes until the cotangents arrive. Of a checkpointed
    function it keeps only what the function started from. A loop of `n` steps in segments of ``sqrt(n)``
    steps, each checkpointed, takes the memory of about ``2 * sqrt(n)`` steps; checkpoints inside checkpoints
    take less. The function runs once more for each backward pass, and once more again for each level of
    checkpoints around it.

    Parameters
    ----------
    fun : callable
        Takes and returns anything; in trees of arrays that it returns, the arrays are checkpointed. It must
        be pure: do and return the same in the second run. Random numbers must be drawn with a key that is
        passed in, and nothing outside `fun` may be changed by it.

    Returns
    -------
    callable
        Takes what `fun` takes and returns the same, with the same derivatives in both modes, to any order.
        Where no gradient is being computed it only calls `fun`.

    Raises
    ------
    TraceError
        In the backward pass, if the second run returns another structure, other shapes, dtypes or values,
        or depends on other values; and in the forward pass, if `fun` writes to an argument that is a view.

    Notes
    -----
    Gradients flow to the arguments and to what `fun` captures alike. In the second run variables that it
    captures, also through the functions that it calls, have the values that they had in the first, even if
    they were assigned to or written to since; the elements of lists and dicts and the attributes of objects
    that it captures have those of the second run, and must not be changed in between. In the second run
    `fun` sees the context variables of the first, among them :func:`bpkit.use_backend`.

    Of each result up to 64 elements, the sum and the extremes are kept, and compared with those of the
    second run. So a function with hidden state (a generator of random numbers, a counter) is refused where
    what that does to the results is more than rounding.

    References
    ----------
    A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
    differentiation", Optimization Methods and Software 1 (1992), 35-54.

    T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", arXiv:1604.06174.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> @checkpoint
    ... def ten_steps(x, rate):
    ...     for _ in range(10):
    ...         x = x + rate * xp.sin(x)
    ...     return x
    >>> def loss(x):
    ...     for _ in range(10):
    ...         x = ten_steps(x, 0.01)
    ...     return xp.sum(x)
    >>> print(grad(loss)(np.asarray([0.0, 0.5])))
    [2.70481383 1.95689876]
    """
    called = title("checkpoint", fun)

    @wraps(fun, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        return _run(called, fun, args, kwargs)

    return checkpointed


def _run(called: str, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `fun`, and let every reverse mode around it keep what it takes to call it again."""
    leaves, structure = tree.flatten((fun, args, kwargs))
    traces = _traces_around(leaves)
    recording = [trace for trace in traces if isinstance(trace, ReverseTrace)]
    if not recording:
        return fun(*args, **kwargs)
    views = [x for x in leaves if isinstance(x, Traced) and _is_related(x)]
    before = [x._value for x in views]
    origin = Origin(leaves, structure, recording[0].keep)
    context = copy_context()
    start = now()
    with _temporary_copies(recording):
        out = fun(*args, **kwargs)
    if any(x._value is not value for x, value in zip(views, before, strict=True)):
        raise TraceError(
            f"{called}: it wrote to an argument that shares memory with another array, which cannot be done "
            f"again in the second run. Copy it first: x = xp.asarray(x, copy=True)"
        )
    # What the function did to its arguments are results as well.
    outputs, arrangement = tree.flatten(out)
    for trace in recording:
        results = _results([*outputs, *leaves], trace, start)
        if results:
            inside = [other for other in traces if other.level >= trace.level]
            shapes = [(tuple(x._value.shape), x._value.dtype) for x in results]
            marks = [Fingerprint.of(x) for x in results]
            parents = _parents([x._link for x in results], start)
            second = _SecondRun(called, origin, context, trace, inside, arrangement, shapes, marks, parents)
            values = [x._value for x in results]
            nodes = trace.joint("checkpoint", values, parents, _carry_back, (second,))
            for x, node in zip(results, nodes, strict=True):
                x._link = node
    return out


def _traces_around(leaves: list[Any]) -> list[Trace]:
    """The live traces of the arguments and of this thread, the innermost first."""
    found = dict.fromkeys(running())
    for x in leaves:
        while isinstance(x, Traced):
            found[x._trace] = None
            x = x._value
    return sorted([t for t in found if t.live and t.level], key=lambda t: t.level, reverse=True)


def _is_related(x: Traced) -> bool:
    """Whether `x` may share memory with another traced array."""
    return x._view is not None or any(reference() is not None for reference in x._views or ())


def _temporary_copies(traces: Iterable[Trace]) -> ExitStack:
    """While it is entered, what is computed and dropped again leaves no copy behind in the traces."""
    stack = ExitStack()
    for trace in traces:
        if isinstance(trace, ReverseTrace):
            stack.enter_context(trace.copies.temporary())
    return stack


def _results(ends: list[Any], trace: Trace, start: int) -> list[Traced]:
    """What `trace` has recorded since `start` and can still be reached, in an order that is always the same.

    An array of an inner trace holds such values one level down, an array of forward mode also in its tangent,
    and a view in what it was taken from.
    """
    found: list[Traced] = []
    seen: set[int] = set()
    waiting = [x for x in reversed(ends) if isinstance(x, Traced)]
    while waiting:
        x = waiting.pop()
        if id(x) in seen or x._trace.level < trace.level:
            continue
        seen.add(id(x))
        if x._trace is trace:
            if x._link is not None and x._link.index >= start:
                found.append(x)
        else:
            waiting += [part for part in (x._link, x._value) if isinstance(part, Traced)]
        if x._view is not None and x._view.base is not None:
            waiting.append(x._view.base)
    return found


def _parents(nodes: list[Node], start: int) -> list[Node]:
    """The nodes from before `start` on which `nodes` depend."""
    found: dict[Node, None] = {}
    seen = set(nodes)
    waiting = list(seen)
    while waiting:
        for parent, _, _ in waiting.pop().edges:
            if parent.index < start:
                found[parent] = None
            elif parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return list(found)


@dataclass(frozen=True, slots=True)
class _SecondRun:
    """What one reverse mode keeps of a call: how to do it again.

    Attributes
    ----------
    called : str
        For errors.
    origin : Origin
    context : Context
        The context variables at the call.
    trace : Trace
        The reverse mode.
    inside : list of Trace
        It and the traces that ran inside it.
    arrangement : Structure
        Of what the function returned.
    shapes : list of (shape, dtype)
        Of the results that this reverse mode has recorded.
    marks : list of Fingerprint
        Of their values.
    parents : list of Node
        What they depend on.
    """

    called: str
    origin: Origin
    context: Context
    trace: Trace
    inside: list[Trace]
    arrangement: tree.Structure
    shapes: list[tuple[tuple[int, ...], Any]]
    marks: list[Fingerprint]
    parents: list[Node]

    def pull(self, *g: Any) -> tuple[Any, ...]:
        """The cotangents of the parents, from those of the results."""
        start = now()
        out, results = self._run_again(start)
        seeds = [(x._link, part) for x, part in zip(results, g, strict=True) if part is not None]
        marks = [Fingerprint.of(x) for x in results]
        found = walk(seeds, once=True, start=start)
        cotangents = tuple([found.pop(node, None) for node in self.parents])
        if found:
            raise self._impure(f"depends on {next(iter(found))}, on which the first did not depend")
        for x, first, second in zip(results, self.marks, marks, strict=True):
            if difference := first.difference(second):
                raise self._impure(f"has other values in {self._name(x, out, start)}: {difference}")
        return cotangents

    def _run_again(self, start: int) -> tuple[Any, list[Traced]]:
        """What the second run returned, and what of it has been recorded."""
        origin = self.origin.again()
        with revived(self.inside), _temporary_copies(self.inside):
            out = self.context.copy().run(origin.call)
        outputs, arrangement = tree.flatten(out)
        if arrangement != self.arrangement:
            raise self._impure(f"returned {arrangement}, the first {self.arrangement}")
        results = _results([*outputs, *origin.leaves], self.trace, start)
        shapes = [(tuple(x._value.shape), x._value.dtype) for x in results]
        if shapes != self.shapes:
            raise self._impure(f"returned arrays of {_listed(shapes)}, the first of {_listed(self.shapes)}")
        return out, results

    def _name(self, x: Traced, out: Any, start: int) -> str:
        """What an error calls an array that was recorded."""
        for path, leaf in zip(tree.paths(out), tree.leaves(out), strict=True):
            if any(part is x for part in _results([leaf], self.trace, start)):
                return f"its result{path}"
        return "an argument that it writes to"

    def _impure(self, what: str) -> TraceError:
        return TraceError(
            f"{self.called}: the second run, for the gradient, {what}. The function must do the same each "
            f"time: pass in what it depends on, change nothing outside it, and draw random numbers with a "
            f"key that is an argument (bpkit.random)"
        )


def _carry_back(g: tuple[Any, ...], saved: tuple[_SecondRun]) -> Any:
    """The cotangents of the parents, by a second run."""
    (second,) = saved
    # A reverse mode further out records this, and need not keep what happens in it either.
    return _run(second.called, second.pull, g, {})


def _listed(shapes: list[tuple[tuple[int, ...], Any]]) -> str:
    return ", ".join([f"shape {shape} and dtype {dtype}" for shape, dtype in shapes]) or "no gradient"
