"""The derivative as a linear map: run a function once, apply its tangent map many times."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bpkit import tree
from bpkit.array import Array
from bpkit.derivative import owned, private
from bpkit.forward import check_tangents
from bpkit.kinds import raw
from bpkit.linear import LinearTrace
from bpkit.record import Program, Recorder
from bpkit.registry import backend_of
from bpkit.trace import watcher, watches
from bpkit.transforms.arguments import (
    Problem,
    check_structure,
    check_tangent,
    results,
    split_aux,
    title,
    unwrap,
    zeros_like,
)

__all__ = ["linearize"]


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Run a function and return its result with the map that carries tangents forward.

    Parameters
    ----------
    fun : callable
        Returns a tree of arrays; with `has_aux`, a pair of that and any tree.
    *primals : pytrees of floating arrays
        Where to run it.
    has_aux : bool

    Returns
    -------
    out : pytree of arrays
        The result.
    jvp_fun : callable
        ``jvp_fun(*tangents)`` takes one tree for each of `primals`, like it in structure, shapes and dtypes,
        and returns the product of the Jacobian with them, a tree like `out`. It may be called many times, by
        several threads, and be differentiated and batched itself. It does not run `fun` again: it repeats
        what is linear in the tangents, with the derivatives that were found in the one run.
    aux : pytree
        Only with `has_aux`.

    Raises
    ------
    ArgumentError
        If a primal is no floating array, or a tangent does not match its primal.

    See Also
    --------
    bpkit.jvp : The same for one direction, which keeps nothing.

    Notes
    -----
    For many directions at the same point `jvp_fun` is cheaper than :func:`bpkit.jvp`, but it keeps the
    derivative of every step in memory.

    References
    ----------
    A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed. (SIAM 2008), section 3.1, on the tangent
    recursion.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> out, jvp_fun = linearize(xp.sin, np.asarray([0.0, 1.0]))
    >>> print(out, jvp_fun(np.asarray([1.0, 0.0])), jvp_fun(np.asarray([0.0, 1.0])))
    [0.         0.84147098] [1. 0.] [0.         0.54030231]
    """
    called = title("linearize", fun)
    problem = Problem.of(called, "primal {}", fun, range(len(primals)), primals)
    structure = problem.structure
    recorder = Recorder("linearize")
    with LinearTrace() as trace:
        # What derivatives are made of must not change until the map is called.
        leaves = [private(leaf) for leaf in problem.leaves]
        trace.entered += leaves
        watched = [Array(leaf, trace, recorder.input(zeros_like(leaf))) for leaf in leaves]
        out = problem.run(trace, watched)
    out, aux = split_aux(called, out) if has_aux else (out, None)
    outputs, arrangement, links = results(called, trace, out)
    check_tangents(links)
    program = Program(recorder.inputs, recorder.steps, [None if t is None else t._link for t in links])

    def jvp_fun(*tangents: Any) -> Any:
        given, given_structure = tree.flatten(tangents)
        check_structure(called, "the tangents", "the primals", given_structure, structure)
        given = [
            check_tangent(called, f"tangents{path}", t, leaf)
            for path, t, leaf in zip(tree.paths(tangents), given, leaves, strict=True)
        ]
        if given:
            watch = watcher.get() if watches else None
            with backend_of(raw(given[0])).quiet():
                found = program(given) if watch is None else watch.mapped(called, partial(program, given))
        else:
            found = [None] * len(outputs)
        moved = [zeros_like(x) if t is None else t for x, t in zip(outputs, found, strict=True)]
        return tree.unflatten(arrangement, owned(moved, outputs, given))

    result = tree.unflatten(arrangement, [private(x) for x in outputs])
    return (result, jvp_fun, unwrap(called, trace, aux)) if has_aux else (result, jvp_fun)
