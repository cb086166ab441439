"""What every transform does with its arguments: wrap what comes in, check it, unwrap what goes out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bpkit import tree
from bpkit.array import Array
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.kinds import is_inexact, is_mutable, is_real, raw
from bpkit.registry import by_type, common_backend
from bpkit.trace import Trace, Traced, call, snapshot

__all__ = [
    "as_inputs",
    "check_cuts",
    "check_tangent",
    "describe",
    "is_array",
    "is_real_scalar",
    "link_of",
    "name_of",
    "private",
    "split_aux",
    "unwrap",
    "wrap_constants",
    "zeros_like",
]


def name_of(fun: Callable[..., Any]) -> str:
    """What to call the user's function in an error."""
    return getattr(fun, "__qualname__", None) or repr(fun)


def describe(x: Any) -> str:
    """A value as an error shows it: dtype and shape of an array, else its type and value."""
    return f"{x.dtype} array of shape {x.shape}" if is_array(x) else f"{type(x).__name__} {x!r}"


def is_array(x: Any) -> bool:
    """Whether `x` is a traced array or one of a library that some backend owns."""
    if isinstance(x, Traced):
        return True
    try:
        return by_type[type(x)] is not None
    except TypeError:
        return False


def is_real_scalar(x: Any) -> bool:
    """Whether `x` is a 0-d array of a real floating dtype."""
    return is_array(x) and x.shape == () and is_real(x)


def as_inputs(
    called: str, names: Sequence[str], values: Sequence[Any], everything: Any
) -> tuple[list[Any], tree.Structure]:
    """The leaves of the arguments that are differentiated, each a floating array.

    Parameters
    ----------
    called : str
        The transform and the function, for errors.
    names : sequence of str
        What an error calls each argument.
    values : sequence of pytrees
        Of arrays, and of Python floats, which become 0-d arrays of the library of the other arguments.
    everything : pytree
        All arguments, to find that library.

    Returns
    -------
    leaves : list of arrays
    structure : Structure
        Of the tuple of `values`.

    Raises
    ------
    ArgumentError
        If a leaf is not a floating array; the message names it.
    """
    leaves, structure = tree.flatten(tuple(values))
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, float | complex) and not is_array(leaf):
            arrays = [raw(x) for x in tree.leaves(everything) if is_array(x)]
            leaves[i] = common_backend(arrays).xp.asarray(leaf)
        elif not is_array(leaf) or not is_inexact(leaf):
            places = [name + path for name, x in zip(names, values, strict=True) for path in tree.paths(x)]
            raise ArgumentError(
                f"{called}: {places[i]} is asked for a gradient, which only floating arrays have; it is "
                f"{_kind(leaf)}. Convert it (xp.astype(x, xp.float64)) or choose other argnums"
            )
    return leaves, structure


def _kind(leaf: Any) -> str:
    if isinstance(leaf, bool | int):
        return f"the Python {type(leaf).__name__} {leaf}"
    return f"of {describe(leaf)}" if not is_array(leaf) else f"a {describe(leaf)}"


def wrap_constants(trace: Trace, value: Any) -> Any:
    """Wrap the arrays of an argument that is not differentiated: all arguments are of one namespace."""
    if is_array(value):
        return Array(snapshot(value), trace, None)
    leaves, structure = tree.flatten(value)
    return tree.unflatten(structure, [Array(snapshot(x), trace, None) if is_array(x) else x for x in leaves])


def private(x: Any) -> Any:
    """An array that nobody else can write to: a copy, where the library's arrays can change."""
    if isinstance(x, Traced) or not is_mutable(x):
        return snapshot(x)
    return call("astype", x, dtype=x.dtype, copy=True, device=None)


def link_of(trace: Trace, x: Any) -> Any:
    """What ties an output to the inputs of a trace; None if it does not depend on them."""
    return x._link if isinstance(x, Traced) and x._trace is trace else None


def split_aux(called: str, out: Any) -> tuple[Any, Any]:
    """The two things that a function returns under ``has_aux=True``."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            f"{called}: with has_aux=True it must return a pair, (result, aux); it returned {describe(out)}"
        )
    return out


def unwrap(called: str, trace: Trace, value: Any) -> Any:
    """The tree that the user's function returned, as it would be without this trace.

    Raises
    ------
    LeakedArrayError
        If an array in it is of a transform that has ended.
    """

    def outside(x: Any) -> Any:
        if not isinstance(x, Traced):
            return x
        if x._trace is trace:
            return x._value
        # The transforms around this one still run, and began before it.
        if not x._trace.live or x._trace.level > trace.level:
            x._trace.refuse(f"{called}: a value in the result")
        return x

    return outside(value) if isinstance(value, Traced) else tree.map(outside, value)


def zeros_like(x: Any) -> Any:
    """A zero gradient or tangent."""
    return call("zeros_like", x, dtype=None, device=None)


def check_tangent(called: str, what: str, tangent: Any, primal: Any) -> Any:
    """A tangent or cotangent as an array of its primal's shape and dtype.

    Raises
    ------
    ArgumentError
        If it has another shape or dtype.
    """
    if isinstance(tangent, int | float | complex) and not is_array(tangent) and primal.shape == ():
        return call("full_like", primal, fill_value=tangent, dtype=None, device=None)
    if not is_array(tangent) or tangent.shape != primal.shape or tangent.dtype != primal.dtype:
        raise ArgumentError(
            f"{called}: {what} must be a {describe(primal)}, like its primal; it is {_kind(tangent)}"
        )
    return tangent


def check_cuts(called: str, trace: Trace, outputs: Iterable[Any]) -> None:
    """Refuse a result that depends on nothing because a conversion to a Python float cut it off."""
    if trace.cuts and all(link_of(trace, x) is None for x in outputs):
        raise GradientCutError(
            f"{called}: the result does not depend on the inputs, because their values left through "
            f"{'; '.join(dict.fromkeys(trace.cuts))}. Keep arrays as arrays there; if no gradient is "
            f"meant to flow, write bpkit.stop_gradient(x)"
        )
