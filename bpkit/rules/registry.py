"""The four kinds of derivative rule.

A rule names each operand it differentiates with respect to and gives a function of what it needs, **by the
names of that function's parameters**: an operand (``x``, ``x1``), the result (``out``), a static argument
(``axis``), ``<operand>_shape``, or, for transposes, the cotangent ``g``. So a rule reads like a table of
derivatives, and what it does not name is not kept in memory::

    elementwise("sin", x=lambda x: xp.cos(x))
    elementwise("tanh", x=lambda out: 1 - out * out)
    linear("reshape", x=lambda g, x_shape: xp.reshape(g, x_shape))

The engine sums over broadcast axes, restores dtypes and adds up fan-out; rules do none of that. Rules use
bpkit's own functions, so that every derivative can be differentiated again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from math import isfinite
from operator import itemgetter, mul
from typing import Any, Literal

from bpkit._messages import spelled_call
from bpkit.errors import NotDifferentiableError
from bpkit.graph import Edge, Node
from bpkit.rules.cotangents import annihilating_product
from bpkit.trace import call

__all__ = [
    "RULES",
    "Rule",
    "custom",
    "elementwise",
    "elementwise_names",
    "is_elementwise",
    "linear",
    "no_gradient",
    "rule_of",
]

RULES: dict[str, "Rule | None"] = {}
"""The rule of every function by name; None where it has no gradient, by declaration."""

Partial = Callable[..., Any]


class Rule(ABC):
    """How one function is differentiated, in both modes.

    Attributes
    ----------
    name : str
    operands : tuple of str
        Names of the positional operands, in order; a single name with a star means any number of them.
    """

    def __init__(self, name: str, operands: tuple[str, ...]) -> None:
        self.name = name
        self.operands = operands

    @abstractmethod
    def edges(
        self, parents: list[Node | None], values: list[Any], out: Any, static: dict[str, Any]
    ) -> list[Edge]:
        """The way back to each operand that has a parent."""

    @abstractmethod
    def tangent(self, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        """The tangent of `out`, a tuple of them for several results; None is zero, and not all given are."""


_OF_ELEMENTS = frozenset(
    {
        *("abs", "annihilating_product", "astype", "conj", "cotangent_as", "imag", "real", "sign"),
        *("bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift"),
        *("bitwise_xor", "ceil", "equal", "floor", "floor_divide", "greater", "greater_equal", "isfinite"),
        *("isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor"),
        *("not_equal", "round", "signbit", "special.gammasgn", "stop_gradient", "trunc", "where"),
        *("empty_like", "full_like", "ones_like", "zeros_like"),
    }
)
"""Element by element without a derivative, or with one of another kind than :class:`Elementwise`."""


def is_elementwise(name: str) -> bool:
    """Whether each element of a function depends on the elements of the operands at that place only."""
    return name in _OF_ELEMENTS or isinstance(RULES.get(name), Elementwise)


def elementwise_names() -> list[str]:
    """The functions of which that is so."""
    return [*sorted(_OF_ELEMENTS), *(name for name, rule in RULES.items() if isinstance(rule, Elementwise))]


def rule_of(name: str, operands: Sequence[Any] = ()) -> Rule | None:
    """The rule of a function; None where it is declared to have no gradient. An error shows the operands.

    Raises
    ------
    NotDifferentiableError
        If the function has neither.
    """
    try:
        return RULES[name]
    except KeyError:
        raise NotDifferentiableError(
            f"{spelled_call(name, operands, {})}: {name} has no derivative rule, and a value that needs a "
            f"gradient was passed to it. If no gradient should flow here, pass bpkit.stop_gradient(x)"
        ) from None


def _needs(function: Partial) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def _register(rule: Rule) -> None:
    if rule.name in RULES:
        raise ValueError(f"{rule.name!r} already has a rule")
    RULES[rule.name] = rule


class Elementwise(Rule):
    """out[i] depends on element i of each operand only, so its derivative is one array per operand."""

    def __init__(self, name: str, finite: bool, partials: dict[str, Partial | float | None]) -> None:
        super().__init__(name, tuple(partials))
        self.product = mul if finite else annihilating_product
        self.partials = partials
        sources = [*partials, "out"]
        # For each operand with a derivative: its place, its pull, and what takes the pull's arguments.
        self.ways: list[tuple[int, Partial, Callable[[list[Any], Any], tuple[Any, ...]]]] = []
        for i, partial in enumerate(partials.values()):
            if partial is not None:
                places = [sources.index(need) for need in _needs(partial)] if callable(partial) else []
                self.ways.append((i, self._pull(partial), _taker(places, len(partials))))

    def _pull(self, partial: Partial | float) -> Callable[..., Any]:
        if callable(partial):
            product = self.product
            return lambda g, *saved: product(g, partial(*saved))
        if partial == 1:
            return lambda g: g
        if partial == -1:
            return lambda g: -g
        return lambda g: g * partial

    def edges(
        self, parents: list[Node | None], values: list[Any], out: Any, static: dict[str, Any]
    ) -> list[Edge]:
        found = []
        for i, pull, take in self.ways:
            parent = parents[i]
            if parent is not None:
                found.append((parent, pull, take(values, out)))
        return found

    @cached_property
    def scalar_pulls(self) -> tuple[Any, Any]:
        """The pulls of a function of one or two real scalars, ``pull(g, x, y, out)``; None where it has none.

        The same as in its edges, in one Python function for each operand: scalars spend their time in calls.
        """
        given = ("x", "y")[: len(self.operands)]
        places = dict(zip((*self.operands, "out"), (*given, "out"), strict=True))
        pulls = [self._scalar_pull(partial, places) for partial in self.partials.values()]
        return pulls[0], pulls[1] if len(pulls) == 2 else None

    def _scalar_pull(self, partial: Partial | float | None, places: dict[str, str]) -> Any:
        if partial is None:
            return None
        if callable(partial):
            known = ", ".join(places[need] for need in _needs(partial))
            product = f"g * d if isfinite(d := partial({known})) else product(g, d)"
        else:
            product = "g" if partial == 1 else "-g" if partial == -1 else "g * partial"
        scope = {"partial": partial, "product": self.product, "isfinite": isfinite}
        return eval(f"lambda g, x, y, out: {product}", scope)

    def tangent(self, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        total = None
        for i, pull, take in self.ways:
            t = tangents[i]
            if t is not None:
                part = pull(t, *take(values, out))
                total = part if total is None else total + part
        return total


def _taker(places: list[int], result: int) -> Callable[[list[Any], Any], tuple[Any, ...]]:
    """What takes from the operands and the result, which has the place `result`, those that are wanted."""
    if not places:
        return lambda values, out: ()
    if places == [result]:
        return lambda values, out: (out,)
    if len(places) == 1:
        place = places[0]
        return lambda values, out: (values[place],)
    take = itemgetter(*places)
    return lambda values, out: take((*values, out))


class _Structured(Rule):
    """Rules whose pulls are written out: linear maps and custom rules."""

    def __init__(
        self,
        name: str,
        operands: tuple[str, ...],
        pulls: dict[str, Callable[..., Any]],
        shared: dict[str, Callable[..., Any]],
    ) -> None:
        super().__init__(name, operands)
        self.variadic = operands[-1].startswith("*")
        self.pulls = pulls
        self.shared = shared
        self.needs = {operand: _needs(pull)[1:] for operand, pull in pulls.items()}

    def named(self, values: list[Any]) -> dict[str, Any]:
        """Operands by name; those of a variadic rule together as one tuple under its name."""
        if not self.variadic:
            return dict(zip(self.operands, values, strict=True))
        fixed = len(self.operands) - 1
        return {
            **dict(zip(self.operands, values, strict=False)),
            self.operands[-1][1:]: tuple(values[fixed:]),
        }

    def operand(self, position: int) -> str:
        return self.operands[position] if position < len(self.operands) - 1 else self.operands[-1].lstrip("*")

    def known(self, values: list[Any], out: Any, static: dict[str, Any]) -> dict[str, Any]:
        """What functions may ask for by their parameters' names; :meth:`gather` adds what it works out."""
        return {"out": out, **static, **self.named(values)}

    def gather(self, needs: tuple[str, ...], position: int, known: dict[str, Any]) -> tuple[Any, ...]:
        """What a function asks for, for the operand at `position`."""
        return tuple([position if need == "position" else self.find(need, known) for need in needs])

    def find(self, need: str, known: dict[str, Any]) -> Any:
        """One thing asked for, worked out at most once for all operands of a call."""
        if need in known:
            return known[need]
        if need in self.shared:
            function = self.shared[need]
            found = function(*[self.find(name, known) for name in _needs(function)])
        elif need.endswith("_shape") and need.removesuffix("_shape") in known:
            found = _shape(known[need.removesuffix("_shape")])
        else:
            raise KeyError(f"the rule of {self.name} asks for {need!r}, which is no operand and no argument")
        known[need] = found
        return found

    def edges(
        self, parents: list[Node | None], values: list[Any], out: Any, static: dict[str, Any]
    ) -> list[Edge]:
        found = []
        known = self.known(values, out, static)
        for i, parent in enumerate(parents):
            operand = self.operand(i)
            if parent is not None and operand in self.pulls:
                saved = self.gather(self.needs[operand], i, known)
                found.append((parent, self.pulls[operand], saved))
        return found


def _shape(value: Any) -> Any:
    return tuple(x.shape for x in value) if isinstance(value, tuple) else value.shape


class _Linear(_Structured):
    """Linear in each differentiated operand by itself ("each"), or in all of them together ("jointly")."""

    def __init__(
        self,
        name: str,
        operands: tuple[str, ...],
        jointly: bool,
        pulls: dict[str, Callable[..., Any]],
        shared: dict[str, Callable[..., Any]],
    ) -> None:
        super().__init__(name, operands, pulls, shared)
        self.jointly = jointly

    def tangent(self, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        moving = [self.operand(i) in self.pulls for i in range(len(values))]
        if self.jointly:
            filled = [
                (_zero(v) if t is None else t) if m else v
                for t, v, m in zip(tangents, values, moving, strict=True)
            ]
            return call(self.name, *filled, **static)
        total = None
        for i, t in enumerate(tangents):
            if t is None or not moving[i]:
                continue
            part = call(self.name, *values[:i], t, *values[i + 1 :], **static)
            total = part if total is None else total + part
        return total


def _zero(value: Any) -> Any:
    return call("zeros_like", value, dtype=None, device=None) if hasattr(value, "shape") else 0


class _Custom(_Structured):
    """Both modes written out."""

    def __init__(
        self,
        name: str,
        operands: tuple[str, ...],
        jvp: Callable[..., Any],
        pulls: dict[str, Callable[..., Any]],
    ) -> None:
        super().__init__(name, operands, pulls, {})
        self.jvp = jvp
        self.jvp_needs = _needs(jvp)[1:]

    def tangent(self, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        moving = [t for i, t in enumerate(tangents) if self.operand(i) in self.pulls]
        if all(t is None for t in moving):
            return None
        return self.jvp(
            moving[0] if len(moving) == 1 else moving,
            *self.gather(self.jvp_needs, 0, self.known(values, out, static)),
        )


def elementwise(name: str, /, *, finite: bool = False, **partials: Partial | Literal[1, -1] | None) -> None:
    """Declare the partial derivative of an element-wise function by each of its operands.

    Parameters
    ----------
    name : str
    finite : bool
        Whether the partials are finite whatever the operands are, infinities and NaN included. If not, a zero
        cotangent still gives zero (see :func:`bpkit.rules.cotangents.annihilating_product`).
    **partials
        For every operand in order: a function of operands and ``out`` by name, the number 1 or -1, or None
        for an operand that has no derivative.
    """
    _register(Elementwise(name, finite, dict(partials)))


def linear(
    name: str,
    /,
    *operands: str,
    jointly: bool = False,
    shared: dict[str, Callable[..., Any]] | None = None,
    **transposes: Callable[..., Any],
) -> None:
    """Declare the transpose of a function that is linear in the named operands.

    The tangent needs no rule: it is the function itself, applied to one tangent after the other, or, if it is
    linear `jointly` (``concat``), to all of them at once.

    Parameters
    ----------
    name : str
    *operands : str
        Names of all operands; may be left out where every operand has a transpose. ``"*arrays"`` stands for
        any number; its transpose then gets ``position``.
    jointly : bool
    shared : dict of str to callable, optional
        Functions of what a rule may need, by name. A transpose that has the name among its parameters gets
        the result, which is worked out once for all operands: with any number of them, what takes one look at
        each would otherwise take as many looks as there are pairs.
    **transposes
        ``operand=lambda g, …: cotangent``.
    """
    _register(_Linear(name, operands or tuple(transposes), jointly, transposes, shared or {}))


def custom(name: str, /, *operands: str, jvp: Callable[..., Any], **pulls: Callable[..., Any]) -> None:
    """Declare both modes by hand, where a product of partials misbehaves.

    Parameters
    ----------
    name : str
    *operands : str
        As in :func:`linear`.
    jvp : callable
        ``lambda t, …: tangent of out``; for one differentiated operand `t` is its tangent, for several the
        list of their tangents (None for zero).
    **pulls
        ``operand=lambda g, …: cotangent``.

    Notes
    -----
    For a function with several results ``out`` is the tuple of them, `g` the tuple of their cotangents (None
    where nothing depends on a result), and `jvp` returns a tuple of tangents (None for zero).
    """
    _register(_Custom(name, operands or tuple(pulls), jvp, pulls))


def no_gradient(*names: str) -> None:
    """Declare functions whose result has no derivative, or a zero one everywhere it exists."""
    for name in names:
        if name in RULES:
            raise ValueError(f"{name!r} already has a rule")
        RULES[name] = None
