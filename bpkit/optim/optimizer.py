"""What an optimiser is, and the check that its trees fit together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bpkit import tree
from bpkit.errors import ArgumentError, ShapeError

__all__ = ["Optimizer", "check_structure", "refuse_shape"]


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


def check_structure(
    called: str, name: str, found: tree.Structure, expected: tree.Structure, advice: str
) -> None:
    """Refuse a tree whose structure is not that of the parameters.

    Parameters
    ----------
    called : str
        The function to name in the error.
    name : str
        What the tree is: ``"grads"``.
    found, expected : tree.Structure
        Structure of that tree, and of the parameters.
    advice : str
        The next step, for the error.

    Raises
    ------
    ArgumentError
        Naming the first place where they differ.
    """
    if found != expected:
        path, one, other = _first_difference(found, expected)
        describe = _describe if _describe(one) != _describe(other) else _describe_with_settings
        raise ArgumentError(
            f"{called}: {name} must have the structure of params, but {name}{path} is {describe(one)} where "
            f"params{path} is {describe(other)}; {advice}"
        )


def refuse_shape(called: str, params: Any, index: int, found: Any, expected: Any) -> None:
    """Raise the error for leaf number `index`, whose gradient has another shape than the parameter.

    Raises
    ------
    ShapeError
        Always.
    """
    path = tree.paths(params)[index]
    raise ShapeError(
        f"{called}: grads{path} has shape {tuple(found.shape)}, but params{path} has shape "
        f"{tuple(expected.shape)}; a gradient has the shape of its parameter"
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
    return f"a {structure.type.__name__} with entries {structure.entries()}"


def _describe_with_settings(structure: tree.Structure) -> str:
    return str(structure.one_level())
