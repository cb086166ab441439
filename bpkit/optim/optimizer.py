"""What an optimiser is, how one is made of the formula for one array, and the checks that they share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit._messages import a_type
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import is_complex, is_inexact, is_real
from bpkit.optim.made import Made

__all__ = [
    "FROM_INIT",
    "Optimizer",
    "Schedule",
    "check_params",
    "check_state",
    "flag",
    "gradients",
    "leafwise",
    "leaves_like",
    "no_steps",
    "pair_of_betas",
    "rate_of",
    "setting",
    "share_of_mean",
]

Schedule = Callable[[Any], Any]
"""A learning rate that changes: ``count -> rate``, from the number of steps done before this one, an array of
int32 of shape (), to an array of shape (), written in bpkit's functions so that it can be compiled."""

_FROM_GRAD = "take grads from bpkit.grad of a function of these params"
FROM_INIT = "make the state with init(params)"


def _unchanged(state: Any, value: Any) -> Any:
    return state


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Optimizer(Made):
    """Pure functions over trees of arrays.

    Those of :mod:`bpkit.optim` are printed as the call that makes them, are equal where this call is, and are
    pickled as it: with a schedule of one's own only if that is a function of a module, not a `lambda`.

    Attributes
    ----------
    init : callable
        ``init(params) -> state``.
    update : callable
        ``update(grads, state, params) -> (params, state)``: one step. `grads` has the structure and the
        shapes of `params`. It changes nothing in place, and the new parameters keep the dtypes of the old
        ones.
    observe : callable, optional
        ``observe(state, value) -> state``: what a validation found, a number, for those whose steps depend on
        it (:func:`bpkit.optim.on_plateau`). For all others it is left out, and the state stays as it is.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.sgd(0.5)
    >>> optimizer
    sgd(learning_rate=0.5)
    >>> params = {"w": xp.asarray([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update({"w": xp.asarray([2.0, 0.0])}, state, params)
    >>> params
    {'w': array([0., 2.])}
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]
    observe: Callable[[Any, Any], Any] = _unchanged


def leafwise(
    name: str,
    learning_rate: float | Schedule,
    state_type: Any,
    step: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    slots: dict[str, Callable[[Any], Any]],
    *,
    shared: Callable[[Any, Any], Any] | None = None,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
    linear: bool = False,
) -> Optimizer:
    """An optimizer from what it does to one array.

    Parameters
    ----------
    name : str
        Of the function that the user called, for errors.
    learning_rate : float or Schedule
    state_type : NamedTuple class
        With a field ``count`` and one for each slot.
    step : callable
        ``step(p, g, kept, given) -> (p, kept)``, where `kept` is of `state_type` and has an array in each
        slot, and `given` is what `shared` returned, or the rate where there is no `shared`.
    slots : dict
        For each field that holds a tree what it has at first, as a function of a parameter. Other fields hold
        None.
    shared : callable, optional
        ``shared(rate, t)``: what steps of all arrays of a dtype have in common; `t` counts steps from 1 on,
        as an array of that dtype, of complex ones the real dtype.
    weight_decay : float
        Strength of the L2 penalty, or with `decoupled` the share of the weights that goes over the rate.
    maximize : bool
        Whether to go up.
    linear : bool
        Whether steps are linear in the gradients; if not, complex parameters are refused.

    Returns
    -------
    Optimizer
        The state counts steps if `shared` or a schedule asks for it; otherwise ``count`` is None.
    """
    rate = learning_rate if callable(learning_rate) else setting(name, "learning_rate", learning_rate)
    decay = setting(name, "weight_decay", weight_decay)
    penalty, shrinking = (0.0, decay) if flag(name, "decoupled_weight_decay", decoupled) else (decay, 0.0)
    flag(name, "maximize", maximize)
    counts = shared is not None or callable(rate)

    def init(params: Any) -> Any:
        check_params(name, params, linear)
        trees = [tree.map(slots[field], params) if field in slots else None for field in state_type._fields]
        return state_type(*trees)._replace(count=no_steps(params) if counts else None)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        check_state(f"{name}.update", state, state_type)
        old, structure = tree.flatten(params)
        slopes = gradients(name, grads, params, old, structure)
        kept = [
            _of_slot(name, field, getattr(state, field), params, old, structure) if field in slots else None
            for field in state_type._fields
        ]
        if counts and state.count is None:
            raise ArgumentError(
                f"{name}.update: state.count is None, but this {name} counts steps; {FROM_INIT}"
            )
        count = state.count + 1 if counts else None
        of_dtype: dict[Any, tuple[Any, Any, bool]] = {}
        new = []
        for i, (p, g) in enumerate(zip(old, slopes, strict=True)):
            if p.dtype not in of_dtype:
                complicated = is_complex(p)
                dtype = xp.real(p).dtype if complicated else p.dtype
                now = rate_of(rate, state.count, dtype)
                given = shared(now, xp.astype(count, dtype)) if shared else now
                of_dtype[p.dtype] = now, given, complicated
            now, given, complicated = of_dtype[p.dtype]
            if complicated:
                # A gradient is what a change of p is multiplied by; the way up is its conjugate.
                g = xp.conj(g)
            if maximize:
                g = -g
            if penalty:
                g = g + penalty * p
            if shrinking:
                p = (1.0 - now * shrinking) * p
            p, after = step(p, g, state_type(*[x if x is None else x[i] for x in kept]), given)
            for values, value in zip(kept, after, strict=True):
                if values is not None:
                    values[i] = value
            new.append(p)
        trees = [x if x is None else tree.unflatten(structure, x) for x in kept]
        return tree.unflatten(structure, new), state_type(*trees)._replace(count=count)

    return Optimizer(init, update)


def _of_slot(
    name: str, slot: str, values: Any, params: Any, old: list[Any], structure: tree.Structure
) -> list[Any]:
    """The leaves of a tree of the state, each a number or of the shape of its parameter."""
    leaves = leaves_like(f"{name}.update", f"state.{slot}", values, structure, FROM_INIT)
    for i, (p, x) in enumerate(zip(old, leaves, strict=True)):
        if x.shape != p.shape and x.shape != ():
            raise _wrong_shape(f"{name}.update", f"state.{slot}", x, params, i, FROM_INIT)
    return leaves


def rate_of(learning_rate: float | Schedule, count: Any, dtype: Any) -> Any:
    """The learning rate of a step.

    Parameters
    ----------
    learning_rate : float or Schedule
    count : array of int32, shape (), or None
        Steps done before.
    dtype : dtype
        Of the parameters.

    Returns
    -------
    float or array of `dtype`, shape ()
        A float as it is.

    Raises
    ------
    ArgumentError
        If a schedule returns anything but one number.

    Examples
    --------
    >>> from bpkit import xp
    >>> rate_of(0.5, None, "float32")
    0.5
    >>> float(rate_of(lambda count: 1 / (1 + count), xp.asarray(3), "float32"))
    0.25
    """
    if not callable(learning_rate):
        return learning_rate
    rate = learning_rate(count)
    if getattr(rate, "shape", None) == ():
        return xp.astype(rate, dtype)
    if isinstance(rate, Real):
        return setting("schedule", "learning_rate", rate)
    found = f"an array of shape {tuple(rate.shape)}" if hasattr(rate, "shape") else a_type(type(rate))
    raise ArgumentError(
        f"a schedule must return one number, an array of shape (); {learning_rate!r} returned {found}"
    )


def no_steps(params: Any) -> Any:
    """A count of no steps, where the parameters are, and of the type that the count has after a step."""
    return xp.sum(xp.zeros_like(tree.leaves(params)[0], dtype="int32"), dtype="int32")


def setting(called: str, name: str, value: Any, below: float = math.inf) -> float:
    """A setting as Python's own float: a NumPy scalar would promote float32 parameters to float64.

    Raises
    ------
    ArgumentError
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0.0 <= float(value) < below:
        return float(value)
    expected = "a finite number and not negative" if below == math.inf else f"from 0 to below {below:g}"
    raise ArgumentError(f"{called}({name}={value!r}): {name} must be {expected}")


def flag(called: str, name: str, value: Any) -> bool:
    """A setting that is True or False.

    Raises
    ------
    ArgumentError
    """
    if isinstance(value, bool):
        return value
    raise ArgumentError(f"{called}({name}={value!r}): {name} must be True or False")


def pair_of_betas(called: str, betas: Any) -> list[float]:
    """Two settings, how much of a running mean stays in each step.

    Raises
    ------
    ArgumentError
        If they are not two numbers from 0 to below 1.
    """
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ArgumentError(
            f"{called}(betas={betas!r}): betas must be two numbers, for instance (0.9, 0.999)"
        )
    return [setting(called, "betas", beta, below=1.0) for beta in betas]


def share_of_mean(beta: float, t: Any) -> Any:
    """``1 - beta**t``, how much of a running mean is values by now, to the last digits also in float32."""
    return -xp.expm1(t * (math.log(beta) if beta else -math.inf))


def check_state(called: str, state: Any, expected: type) -> None:
    """Raise :class:`ArgumentError` if another optimiser made the state."""
    if not isinstance(state, expected):
        raise ArgumentError(
            f"{called}: state must be of the class {expected.__name__}; it is of {type(state).__name__}; "
            f"{FROM_INIT} of the same optimizer"
        )


def check_params(called: str, params: Any, linear: bool = False) -> None:
    """Refuse parameters that are no floating arrays.

    With `linear` they may be complex.

    Raises
    ------
    ArgumentError
        Naming the first, or if there is none.
    """
    leaves = tree.leaves(params)
    if not leaves:
        raise ArgumentError(
            f"{called}.init: params has no arrays, so there is nothing to train; give it the parameters that "
            f"are to change, of which a model has none if all its parts are frozen"
        )
    for path, p in zip(tree.paths(params), leaves, strict=True):
        if not hasattr(p, "shape"):
            raise ArgumentError(
                f"{called}.init: params{path} is {a_type(type(p))}; a parameter must be an array: "
                f"bpkit.xp.asarray({p!r})"
            )
        if not (is_inexact(p) if linear else is_real(p)):
            raise ArgumentError(
                f"{called}.init: params{path} has dtype {p.dtype}; {called} needs "
                f"{'floating' if linear else 'real floating'} parameters"
            )


def gradients(called: str, grads: Any, params: Any, old: list[Any], structure: tree.Structure) -> list[Any]:
    """The leaves of `grads`, each of the dtype of its parameter.

    Parameters
    ----------
    called : str
        The optimizer to name in an error.
    grads, params : tree
    old, structure
        The leaves of `params`, and its structure.

    Raises
    ------
    ArgumentError
        If the structures differ.
    ShapeError
        If a gradient has another shape than its parameter.
    """
    slopes = leaves_like(f"{called}.update", "grads", grads, structure, _FROM_GRAD)
    for i, (p, g) in enumerate(zip(old, slopes, strict=True)):
        if g.shape != p.shape:
            reason = "a gradient has the shape of its parameter"
            raise _wrong_shape(f"{called}.update", "grads", g, params, i, reason)
        if g.dtype != p.dtype:
            slopes[i] = xp.astype(g, p.dtype)
    return slopes


def _wrong_shape(called: str, name: str, x: Any, params: Any, i: int, advice: str) -> ShapeError:
    path, p = tree.paths(params)[i], tree.leaves(params)[i]
    found, expected = tuple(x.shape), tuple(p.shape)
    return ShapeError(
        f"{called}: {name}{path} has shape {found}, but params{path} has shape {expected}; {advice}"
    )


def leaves_like(called: str, name: str, values: Any, expected: tree.Structure, advice: str) -> list[Any]:
    """The leaves of a tree that has the structure of the parameters.

    Parameters
    ----------
    called, name, advice : str
        For the error: the function, what the tree is, and the next step.
    values : tree
    expected : tree.Structure
        That of the parameters.

    Raises
    ------
    ArgumentError
        Naming the first place where they differ.
    """
    leaves, found = tree.flatten(values)
    if found == expected:
        return leaves
    path, one, other = _first_difference(found, expected)
    describe = _describe if _describe(one) != _describe(other) else _describe_with_settings
    raise ArgumentError(
        f"{called}: {name} must have the structure of params, but {name}{path} is {describe(one)} where "
        f"params{path} is {describe(other)}; {advice}"
    )


def _first_difference(
    found: tree.Structure, expected: tree.Structure, path: str = ""
) -> tuple[str, tree.Structure, tree.Structure]:
    """Where two structures first differ, and what each has there."""
    if found.type is expected.type and found.entries() == expected.entries():
        one_level = expected.one_level()
        if one_level is not None:
            accessors = one_level.accessors()
            for accessor, one, other in zip(accessors, found.children(), expected.children(), strict=True):
                if one != other:
                    return _first_difference(one, other, path + accessor.codify(""))
    return path, found, expected


def _describe(structure: tree.Structure) -> str:
    if structure.type is None:
        return "an array"
    if structure.type is type(None):
        return "None"
    return f"{a_type(structure.type)} with entries {structure.entries()}"


def _describe_with_settings(structure: tree.Structure) -> str:
    return str(structure.one_level())
