"""What an optimiser is, and the check that its trees fit together."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit._messages import a_type
from bpkit.errors import ArgumentError, ShapeError

__all__ = ["FROM_INIT", "Optimizer", "check_params", "check_state", "gradients", "leaves_like", "setting"]

_FROM_GRAD = "take grads from bpkit.grad of a function of these params"
FROM_INIT = "make the state with init(params)"


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Two pure functions over trees of arrays.

    Attributes
    ----------
    init : callable
        ``init(params) -> state``.
    update : callable
        ``update(grads, state, params) -> (params, state)``: one step. `grads` has the structure and the
        shapes of `params`. It changes nothing in place, and the new parameters keep the dtypes of the old
        ones.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.sgd(0.5)
    >>> params = {"w": xp.asarray([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update({"w": xp.asarray([2.0, 0.0])}, state, params)
    >>> params
    {'w': array([0., 2.])}
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def setting(called: str, name: str, value: Any, below: float = math.inf) -> float:
    """A setting as Python's own float: a NumPy scalar would promote float32 parameters to float64.

    Raises
    ------
    ArgumentError
        If it is not a number from 0 to below `below`.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0.0 <= float(value) < below:
        return float(value)
    expected = "a finite number and not negative" if below == math.inf else f"from 0 to below {below:g}"
    raise ArgumentError(f"{called}({name}={value!r}): {name} must be {expected}")


def check_state(called: str, state: Any, expected: type) -> None:
    """Refuse a state that another optimiser made.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(state, expected):
        raise ArgumentError(
            f"{called}: state must be of the class {expected.__name__}; it is of {type(state).__name__}; "
            f"{FROM_INIT} of the same optimizer"
        )


def check_params(called: str, params: Any) -> None:
    """Refuse parameters that are no arrays.

    Raises
    ------
    ArgumentError
        Naming the first.
    """
    for path, p in zip(tree.paths(params), tree.leaves(params), strict=True):
        if not hasattr(p, "shape"):
            raise ArgumentError(
                f"{called}.init: params{path} is {a_type(type(p))}; a parameter must be an array: "
                f"bpkit.xp.asarray({p!r})"
            )


def gradients(called: str, grads: Any, params: Any, old: list[Any], structure: tree.Structure) -> list[Any]:
    """The leaves of `grads`, each of the dtype of its parameter.

    Parameters
    ----------
    called : str
        The optimizer to name in an error.
    grads, params : tree
    old, structure
        The leaves and the structure of `params`.

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
            path = tree.paths(params)[i]
            raise ShapeError(
                f"{called}.update: grads{path} has shape {tuple(g.shape)}, but params{path} has shape "
                f"{tuple(p.shape)}; a gradient has the shape of its parameter"
            )
        if g.dtype != p.dtype:
            slopes[i] = xp.astype(g, p.dtype)
    return slopes


def leaves_like(called: str, name: str, values: Any, expected: tree.Structure, advice: str) -> list[Any]:
    """The leaves of a tree that has the structure of the parameters.

    Parameters
    ----------
    called : str
        The function to name in the error.
    name : str
        What the tree is: ``"grads"``.
    values : tree
    expected : tree.Structure
        That of the parameters.
    advice : str
        The next step, for the error.

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
