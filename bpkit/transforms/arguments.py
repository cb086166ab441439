"""What every transform does with its arguments: wrap what comes in, check it, unwrap what goes out."""

import dataclasses
import reprlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from operator import index
from typing import Any, NamedTuple

import numpy as np

from bpkit import tree
from bpkit._foreign import instead
from bpkit.array import Array, constant
from bpkit.einops_backend import meet_einops
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.kinds import is_complex, is_inexact, is_real, raw
from bpkit.registry import by_type, common_backend, current
from bpkit.trace import Trace, Traced, call, snapshot, tracing, watcher, watches

__all__ = [
    "Problem",
    "as_argnums",
    "as_inputs",
    "check_cuts",
    "check_structure",
    "check_tangent",
    "describe",
    "is_array",
    "is_real_scalar",
    "link_of",
    "positions_of",
    "results",
    "run",
    "split_aux",
    "title",
    "unwrap",
    "wrap_constants",
    "zeros_like",
]


def title(
    transform: str,
    fun: Any,
    advice: str = "Pass the function itself and not its result: grad(f)(x), vjp(f, x), jvp(f, (x,), (t,))",
) -> str:
    """What an error calls a transform of a function: ``grad of loss``.

    Raises
    ------
    ArgumentError
        If it is not a function.
    """
    if not callable(fun):
        raise ArgumentError(
            f"{transform}: the first argument must be a function; it is {describe(fun)}"
            f"{advice and '. '}{advice}"
        )
    return f"{transform} of {getattr(fun, '__qualname__', None) or type(fun).__qualname__}"


def describe(x: Any) -> str:
    """A value as an error shows it: dtype and shape of an array, else its type and the value, abridged."""
    if is_array(x):
        return f"an array of shape {tuple(x.shape)} and dtype {x.dtype}"
    if x is None:
        return "None"
    name = type(x).__name__
    return f"the {name} {reprlib.repr(x)}{_why_a_leaf(x, name)}"


def _why_a_leaf(x: Any, name: str) -> str:
    """What to write where a dataclass is no container; empty for anything else."""
    if isinstance(x, type) or not dataclasses.is_dataclass(x) or not tree.structure(x).is_leaf():
        return ""
    made = [field.name for field in dataclasses.fields(x) if not field.init]
    return (
        f", a dataclass with fields that its __init__ does not take ({', '.join(made)}): if they are not "
        f"made of the others, bpkit.tree.register_dataclass({name}) makes it a container"
    )


_REAL = int | float
_COMPLEX = int | float | complex
_array_types: dict[type, bool] = {}


def is_array(x: Any) -> bool:
    """Whether `x` is a traced array or one of a library that some backend owns."""
    cls = type(x)
    if cls not in _array_types:
        try:
            _array_types[cls] = issubclass(cls, Traced) or by_type[cls] is not None
        except TypeError:
            _array_types[cls] = False
    return _array_types[cls]


def is_real_scalar(x: Any) -> bool:
    """Whether `x` is a 0-d array of a real floating dtype."""
    return is_array(x) and x.shape == () and is_real(x)


def as_argnums(called: str, argnums: Any, what: str = "argnums") -> tuple[tuple[int, ...], bool]:
    """Which arguments `what` names, and whether they were given as a tuple or list of ints."""
    several = isinstance(argnums, tuple | list)
    try:
        return tuple(map(index, argnums if several else (argnums,))), several
    except TypeError:
        raise ArgumentError(
            f"{called}: {what} must be an int or a tuple of ints; it is {describe(argnums)}"
        ) from None


@lru_cache(maxsize=256)
def positions_of(
    called: str,
    argnums: tuple[int, ...],
    count: int,
    what: str = "argnums",
    advice: str = "arguments passed by keyword cannot be differentiated, pass them by position",
) -> tuple[int, ...]:
    """Where the arguments that `what` names stand in a call with `count` positional ones."""
    positions = tuple([i + count if i < 0 else i for i in argnums])
    if len({i for i in positions if 0 <= i < count}) != len(positions):
        raise ArgumentError(
            f"{called}: {what} {argnums} must name different positional arguments, and the call has "
            f"{count}; {advice}"
        )
    return positions


def as_inputs(
    called: str, name: str, positions: Sequence[int], arguments: Sequence[Any], everything: Any
) -> tuple[list[Any], tree.Structure]:
    """The leaves of the arguments that are differentiated, each a floating array.

    Parameters
    ----------
    called : str
        The transform and the function, for errors.
    name : str
        What an error calls an argument, with ``{}`` for its position.
    positions : sequence of int
        Which arguments these are.
    arguments : sequence of pytrees
        All positional arguments. Arrays are taken, and Python floats, which become 0-d arrays of the library
        of the other arguments.
    everything : pytree
        All arguments, to find that library.

    Returns
    -------
    leaves : list of arrays
    structure : Structure
        Of the tuple of the arguments at `positions`.

    Raises
    ------
    ArgumentError
        If a leaf is not a floating array; the message names it.
    """
    meet_einops()  # here, since einops may have been imported after bpkit
    wanted = tuple([arguments[i] for i in positions])
    leaves, structure = tree.flatten(wanted)
    for i, leaf in enumerate(leaves):
        if not is_array(leaf) and isinstance(leaf, float | complex):
            leaves[i] = _scalar(leaf, everything)
        elif not is_array(leaf) or not is_inexact(leaf):
            place = _place(i, name, positions, arguments)
            raise ArgumentError(
                f"{called}: {place} is asked for a gradient, which only floating arrays have; it is "
                f"{describe(leaf)}. {_advice(leaf)}{_of_model(wanted)}"
            )
    if watches and (watch := watcher.get()) is not None:
        watch.inputs(called, partial(_place, name=name, positions=positions, arguments=arguments), leaves)
    return leaves, structure


def _place(i: int, name: str, positions: Sequence[int], arguments: Sequence[Any]) -> str:
    """What an error calls the leaf number `i` of the arguments that are differentiated."""
    return [name.format(k) + path for k in positions for path in tree.paths(arguments[k])][i]


def _scalar(x: complex, everything: Any) -> Any:
    """A Python number as a 0-d array of the library of the other arguments, a scalar where it has scalars.

    A scalar cannot be changed in place, as a number cannot: after ``y = x; x += 1`` they differ.
    """
    backend = common_backend([raw(leaf) for leaf in tree.leaves(everything) if is_array(leaf)])
    chosen, device = current()
    return backend.xp.asarray(x, device=device if backend is chosen else None)[()]


def _advice(leaf: Any) -> str:
    if is_array(leaf):
        how = 'Convert it, xp.astype(x, "float64"),'
    elif said := instead(type(leaf)):
        return f"{said[0].upper()}{said[1:]}"
    elif isinstance(leaf, int):
        how = f"Write it as a float, {float(leaf)},"
    else:
        how = "Leave it out of what is differentiated,"
    return f"{how} or pass it in an argument that is not differentiated"


def _of_model(wanted: tuple[Any, ...]) -> str:
    if not any(tree.is_dataclass(type(x)) for x in wanted):
        return ""
    return ". Of a model, differentiate its trainable part: parameters, rest = nn.partition(model)"


def wrap_constants(trace: Trace, value: Any) -> Any:
    """Wrap the arrays of an argument that is not differentiated: all arguments are of one namespace."""
    leaves, structure = ([value], None) if is_array(value) else tree.flatten(value)
    trace.entered += filter(is_array, leaves)
    wrapped = [Array(snapshot(x), trace, None) if is_array(x) else x for x in leaves]
    return wrapped[0] if structure is None else tree.unflatten(structure, wrapped)


def run(
    trace: Trace,
    fun: Callable[..., Any],
    positions: Sequence[int],
    watched: Sequence[Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> Any:
    """Call the function with `watched` in the given positions, and everything else as constants."""
    traced = [None if i in positions else wrap_constants(trace, x) for i, x in enumerate(args)]
    for i, argument in zip(positions, watched, strict=True):
        traced[i] = argument
    if kwargs:
        kwargs = {name: wrap_constants(trace, x) for name, x in kwargs.items()}
    return fun(*traced, **kwargs)


class Problem(NamedTuple):
    """What a transform is to differentiate: a function, at some arguments, by some of them.

    Attributes
    ----------
    called : str
        The transform and the function, for errors.
    name : str
        What an error calls an argument, with ``{}`` for its position.
    fun : callable
    positions : sequence of int
        Of the arguments to differentiate by.
    args, kwargs
        All arguments.
    leaves : list of arrays
        Of those to differentiate by.
    structure : Structure
        Of the tuple of them.
    """

    called: str
    name: str
    fun: Callable[..., Any]
    positions: Sequence[int]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    leaves: list[Any]
    structure: tree.Structure

    @classmethod
    def of(
        cls,
        called: str,
        name: str,
        fun: Callable[..., Any],
        positions: Sequence[int],
        args: Sequence[Any],
        kwargs: dict[str, Any] | None = None,
        beside: Any = None,
    ) -> "Problem":
        """Look at the arguments; `beside` may have arrays too. Errors are those of :func:`as_inputs`."""
        kwargs = kwargs or {}
        leaves, structure = as_inputs(called, name, positions, args, (args, kwargs, beside))
        return cls(called, name, fun, positions, args, kwargs, leaves, structure)

    def place(self, i: int) -> str:
        """What an error calls leaf number `i`."""
        return _place(i, self.name, self.positions, self.args)

    def run(self, trace: Trace, watched: list[Any]) -> Any:
        """The function of these leaves."""
        arguments = tree.unflatten(self.structure, watched)
        return run(trace, self.fun, self.positions, arguments, self.args, self.kwargs)


def results(called: str, trace: Trace, out: Any) -> tuple[list[Any], tree.Structure, list[Any]]:
    """The result's arrays without this trace, their arrangement, and their links.

    Raises
    ------
    ArgumentError
        If a leaf is not an array; the message names it.
    """
    leaves, structure = tree.flatten(out)
    check_cuts(called, trace, leaves)
    for path, leaf in zip(tree.paths(out), leaves, strict=True):
        if not is_array(leaf):
            raise ArgumentError(
                f"{called}: the result{path} must be an array; it is {describe(leaf)}. Return arrays, and "
                f"everything else through has_aux=True"
            )
    return [unwrap(called, trace, x) for x in leaves], structure, [link_of(trace, x) for x in leaves]


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
    if isinstance(value, Traced):
        return _outside(value, called, trace)
    return tree.map(lambda x: _outside(x, called, trace), value)


def _outside(x: Any, called: str, trace: Trace) -> Any:
    if not isinstance(x, Traced):
        return x
    if x._trace is trace:
        return x._value
    if not x._trace.level:
        return x if tracing() else x._value
    # The transforms around this one still run, and began before it.
    if not x._trace.live or x._trace.level > trace.level:
        x._trace.refuse(f"{called}: a value in the result")
    return x


def zeros_like(x: Any) -> Any:
    """A zero gradient or tangent."""
    return call("zeros_like", x, dtype=None, device=None)


def check_tangent(called: str, what: str, tangent: Any, primal: Any) -> Any:
    """A tangent or cotangent as an array of its primal's shape and dtype.

    Raises
    ------
    ArgumentError
        If it has another shape or dtype.
    MixedBackendsError
        If it is of another library.
    """
    if isinstance(tangent, np.generic):
        tangent = tangent.item()
    if is_array(tangent):
        common_backend([raw(primal), raw(tangent)], f"{called}, {what}")
        if tangent.shape == primal.shape and tangent.dtype == primal.dtype:
            return constant(tangent, primal._trace) if isinstance(primal, Traced) else tangent
    elif primal.shape == () and isinstance(tangent, _COMPLEX if is_complex(primal) else _REAL):
        return call("full_like", primal, fill_value=tangent, dtype=None, device=None)
    raise ArgumentError(f"{called}: {what} must be {describe(primal)}; it is {describe(tangent)}")


def check_structure(called: str, what: str, of: str, given: tree.Structure, expected: tree.Structure) -> None:
    """Refuse tangents that are another tree than what they belong to."""
    if given == expected:
        return
    alike = str(given) == str(expected)
    raise ArgumentError(
        f"{called}: {what} must have the structure of {of}, {expected}; they have "
        f"{'one that looks alike, but labels, attributes or settings in it differ' if alike else given}"
    )


def check_cuts(called: str, trace: Trace, outputs: Iterable[Any]) -> None:
    """Refuse a result that depends on nothing because a conversion to a Python float cut it off."""
    if trace.cuts and all(link_of(trace, x) is None for x in outputs):
        raise GradientCutError(
            f"{called}: the result does not depend on the inputs, because their values left through "
            f"{'; '.join(trace.cuts)}. Keep arrays as arrays there; if no gradient is "
            f"meant to flow, write bpkit.stop_gradient(x)"
        )
