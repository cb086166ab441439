"""Products with the Jacobian, without forming it: from the left (vjp) and from the right (jvp)."""

from collections.abc import Callable, Sequence
from typing import Any

from bpkit import tree
from bpkit.array import Array
from bpkit.backward import ReverseTrace, gradients
from bpkit.derivative import owned, private
from bpkit.errors import ArgumentError
from bpkit.forward import ForwardTrace, check_tangents
from bpkit.trace import snapshot
from bpkit.transforms.arguments import (
    Problem,
    check_structure,
    check_tangent,
    describe,
    results,
    split_aux,
    title,
    unwrap,
    zeros_like,
)

__all__ = ["jvp", "product", "pullback_of", "push", "vjp"]


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Run a function and return its result with the map that carries cotangents back: reverse mode.

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
    pullback : callable
        ``pullback(cotangent)`` takes a tree like `out` and returns a tuple with one gradient for each of
        `primals`: the product of the cotangent with the Jacobian. It may be called many times.
    aux : pytree
        Only with `has_aux`.

    Raises
    ------
    ArgumentError
        If a primal is no floating array, or a cotangent does not match the result.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> out, pullback = vjp(xp.sin, np.asarray([0.0, 1.0]))
    >>> pullback(np.asarray([1.0, 1.0]))
    (array([1.        , 0.54030231]),)
    """
    called = title("vjp", fun)
    problem = Problem.of(called, "primal {}", fun, range(len(primals)), primals)
    out, pullback, aux = pullback_of(problem, has_aux)
    return (out, pullback, aux) if has_aux else (out, pullback)


def pullback_of(problem: Problem, has_aux: bool) -> tuple[Any, Callable[[Any], tuple[Any, ...]], Any]:
    """:func:`vjp` of a problem: result, pullback and aux."""
    called, leaves, structure = problem.called, problem.leaves, problem.structure
    with ReverseTrace() as trace:
        # What the graph keeps must not change under it until the pullback is called.
        watched = [trace.input(private(leaf)) for leaf in leaves]
        inputs = [leaf._link for leaf in watched]
        out = problem.run(trace, watched)
    out, aux = split_aux(called, out) if has_aux else (out, None)
    outputs, arrangement, links = results(called, trace, out)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given, given_arrangement = tree.flatten(cotangent)
        if given_arrangement != arrangement:
            raise ArgumentError(
                f"{called}: the cotangent must have the result's structure {arrangement}; "
                f"it has {given_arrangement}"
            )
        given = [
            check_tangent(called, f"the cotangent{path}", g, x)
            for path, g, x in zip(tree.paths(cotangent), given, outputs, strict=True)
        ]
        seeds = [(link, g) for link, g in zip(links, given, strict=True) if link is not None]
        found: tuple[Any, ...] = tree.unflatten(structure, gradients(seeds, inputs, leaves, once=False))
        return found

    result = tree.unflatten(arrangement, [private(x) for x in outputs])
    return result, pullback, unwrap(called, trace, aux)


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """Run a function and carry tangents along: forward mode.

    Parameters
    ----------
    fun : callable
        Returns a tree of arrays; with `has_aux`, a pair of that and any tree.
    primals : sequence of pytrees of floating arrays
        Its arguments.
    tangents : sequence of pytrees
        The direction: like `primals` in structure, shapes and dtypes.
    has_aux : bool

    Returns
    -------
    out : pytree of arrays
        The result.
    tangent : pytree of arrays
        The product of the Jacobian with the direction, like `out`.
    aux : pytree
        Only with `has_aux`.

    Raises
    ------
    ArgumentError
        If a primal is no floating array, or a tangent does not match its primal.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> jvp(xp.sin, (np.asarray([0.0, 1.0]),), (np.asarray([1.0, 2.0]),))
    (array([0.        , 0.84147098]), array([1.        , 1.08060461]))
    """
    return product(title("jvp", fun), fun, primals, tangents, has_aux)


def product(
    called: str, fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool
) -> tuple[Any, ...]:
    """:func:`jvp` under another name, for errors."""
    for what, sequence in (("primals", primals), ("tangents", tangents)):
        if not isinstance(sequence, tuple | list):
            raise ArgumentError(
                f"{called}: {what} must be a tuple, one entry for each argument; it is {describe(sequence)}"
            )
    problem = Problem.of(called, "primals[{}]", fun, range(len(primals)), primals, beside=tangents)
    given, given_structure = tree.flatten(tuple(tangents))
    check_structure(called, "tangents", "primals", given_structure, problem.structure)
    directions = [
        check_tangent(called, f"tangents{path}", t, leaf)
        for path, t, leaf in zip(tree.paths(tuple(tangents)), given, problem.leaves, strict=True)
    ]
    trace = ForwardTrace()
    outputs, arrangement, moved, aux = push(trace, problem, directions, has_aux)
    found = tree.unflatten(arrangement, outputs), tree.unflatten(arrangement, moved)
    return (*found, unwrap(called, trace, aux)) if has_aux else found


def push(
    trace: ForwardTrace, problem: Problem, directions: list[Any], has_aux: bool
) -> tuple[list[Any], tree.Structure, list[Any], Any]:
    """Carry tangents along, one for each leaf of the problem.

    Returns the results, their arrangement, their tangents, and aux as the function returned it.
    """
    with trace:
        trace.entered += problem.leaves
        watched = [
            Array(snapshot(leaf), trace, t) for leaf, t in zip(problem.leaves, directions, strict=True)
        ]
        out = problem.run(trace, watched)
    out, aux = split_aux(problem.called, out) if has_aux else (out, None)
    outputs, arrangement, links = results(problem.called, trace, out)
    check_tangents(links)
    moved = [zeros_like(x) if t is None else t for x, t in zip(outputs, links, strict=True)]
    return outputs, arrangement, owned(moved, outputs, directions), aux
