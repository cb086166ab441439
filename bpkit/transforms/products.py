"""Products with the Jacobian, without forming it: from the left (vjp) and from the right (jvp)."""

from collections.abc import Callable, Sequence
from typing import Any

from bpkit import tree
from bpkit.array import Array
from bpkit.backward import ReverseTrace, pull_back
from bpkit.errors import ArgumentError
from bpkit.forward import ForwardTrace
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Trace, Traced
from bpkit.transforms.arguments import (
    as_inputs,
    check_cuts,
    check_tangent,
    describe,
    is_array,
    name_of,
    own,
    unwrap,
    zeros_like,
)

__all__ = ["jvp", "vjp"]


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
    called = f"vjp of {name_of(fun)}"
    inputs = [as_inputs(called, f"primal {i}", x, primals) for i, x in enumerate(primals)]
    with ReverseTrace() as trace:
        watched = [[trace.input(leaf) for leaf in leaves] for leaves, _ in inputs]
        nodes = [[leaf._link for leaf in leaves] for leaves in watched]
        out = fun(*[tree.unflatten(s, leaves) for (_, s), leaves in zip(inputs, watched, strict=True)])
    out, aux = _aux(called, out) if has_aux else (out, None)
    outputs, structure, links = _outputs(called, trace, out)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given, given_structure = tree.flatten(cotangent)
        if given_structure != structure:
            raise ArgumentError(
                f"{called}: the cotangent must have the result's structure {structure}; "
                f"it has {given_structure}"
            )
        given = [
            check_tangent(called, f"the cotangent{path}", g, x)
            for path, g, x in zip(tree.paths(cotangent), given, outputs, strict=True)
        ]
        seeds = [(link, g) for link, g in zip(links, given, strict=True) if link is not None]
        if seeds:
            with backend_of(raw(seeds[0][1])).quiet():
                found = pull_back(seeds, release=False)
        else:
            found = {}
        gradients = iter(
            own(
                [
                    found[n] if n in found else zeros_like(x)
                    for ns, (xs, _) in zip(nodes, inputs, strict=True)
                    for n, x in zip(ns, xs, strict=True)
                ],
                taken=given,
            )
        )
        return tuple(tree.unflatten(s, [next(gradients) for _ in leaves]) for leaves, s in inputs)

    result = tree.unflatten(structure, outputs)
    return (result, pullback, unwrap(trace, aux)) if has_aux else (result, pullback)


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
    called = f"jvp of {name_of(fun)}"
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise ArgumentError(
                f"{called}: {what} must be a tuple, one entry for each argument; it is {describe(given)}"
            )
    inputs = [as_inputs(called, f"primals[{i}]", x, primals) for i, x in enumerate(primals)]
    directions, structure = tree.flatten(tuple(tangents))
    if structure != tree.structure(tuple(primals)):
        raise ArgumentError(
            f"{called}: tangents must have the structure of primals, {tree.structure(tuple(primals))}; "
            f"they have {structure}"
        )
    places = tree.paths(tuple(tangents))
    pairs = iter(zip(places, directions, strict=True))
    with ForwardTrace() as trace:
        traced = []
        for leaves, arrangement in inputs:
            wrapped = []
            for leaf in leaves:
                place, direction = next(pairs)
                t = check_tangent(called, f"tangents{place}", direction, leaf)
                wrapped.append(Array(leaf, trace, t))
            traced.append(tree.unflatten(arrangement, wrapped))
        out = fun(*traced)
    out, aux = _aux(called, out) if has_aux else (out, None)
    outputs, structure, links = _outputs(called, trace, out)
    moved = [zeros_like(x) if t is None else t for x, t in zip(outputs, links, strict=True)]
    result = tree.unflatten(structure, outputs), tree.unflatten(structure, moved)
    return (*result, unwrap(trace, aux)) if has_aux else result


def _aux(called: str, out: Any) -> tuple[Any, Any]:
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            f"{called}: with has_aux=True it must return (out, aux); it returned {type(out).__name__}"
        )
    return out


def _outputs(called: str, trace: Trace, out: Any) -> tuple[list[Any], tree.Structure, list[Any]]:
    """The result's arrays without this trace, their arrangement, and their links."""
    leaves, structure = tree.flatten(out)
    check_cuts(called, trace, leaves)
    for path, leaf in zip(tree.paths(out), leaves, strict=True):
        if not is_array(leaf):
            raise ArgumentError(f"{called}: the result{path} must be an array; it is {describe(leaf)}")
    links = [x._link if isinstance(x, Traced) and x._trace is trace else None for x in leaves]
    return [unwrap(trace, x) for x in leaves], structure, links
