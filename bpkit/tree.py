"""Pytrees: nested containers of arrays, on top of optree.

Lists, tuples, named tuples and dicts are containers, and so is every :class:`bpkit.nn.Module`; anything else
is a leaf. ``None`` is an empty container, as in JAX.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import optree

__all__ = [
    "NAMESPACE",
    "Structure",
    "broadcast_prefix",
    "flatten",
    "leaves",
    "map",
    "match",
    "path_of",
    "paths",
    "register",
    "structure",
    "unflatten",
]

NAMESPACE = "bpkit"
Structure = optree.PyTreeSpec


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Split a tree into its leaves and the structure that held them.

    Examples
    --------
    >>> leaves, structure = flatten({"b": 2, "a": [1]})
    >>> leaves
    [1, 2]
    >>> unflatten(structure, leaves)
    {'b': 2, 'a': [1]}
    """
    found, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    return found, spec


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Put leaves back into a structure; the inverse of :func:`flatten`."""
    return optree.tree_unflatten(structure, leaves)


def leaves(tree: Any) -> list[Any]:
    """Every leaf, in the order of :func:`flatten`."""
    return optree.tree_leaves(tree, namespace=NAMESPACE)


def structure(tree: Any) -> Structure:
    """The tree without its leaves; two trees match when their structures are equal."""
    return optree.tree_structure(tree, namespace=NAMESPACE)


def match(given: Any, structure: Structure) -> list[Any]:
    """The leaves of a tree of a known structure, in which None may stand for any part of it.

    Parameters
    ----------
    given : pytree
    structure : Structure

    Returns
    -------
    list
        As many leaves as `structure` has, None where `given` has None.

    Raises
    ------
    ValueError
        If the structures differ in anything else.

    Examples
    --------
    >>> match({"w": None, "b": 3}, structure({"w": [1, 2], "b": 0}))
    [3, None, None]
    """
    found, spec = optree.tree_flatten(given, none_is_leaf=True, namespace=NAMESPACE)
    if any(x is None for x in found):
        wanted = unflatten(structure, [_ABSENT] * structure.num_leaves)
        accessors = optree.tree_accessors(given, none_is_leaf=True, namespace=NAMESPACE)
        with contextlib.suppress(LookupError, AttributeError, TypeError):
            found = [
                accessor(wanted) if x is None else x for accessor, x in zip(accessors, found, strict=True)
            ]
    found, arrangement = flatten(unflatten(spec, found))
    if arrangement != structure:
        raise ValueError(f"the structure is {arrangement}, not {structure}")
    return [None if x is _ABSENT else x for x in found]


_ABSENT = object()


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply a function leaf by leaf to one tree, or to several of the same structure.

    Raises
    ------
    ValueError
        If the structures differ.

    Examples
    --------
    >>> map(lambda x, y: x + y, {"w": 1}, {"w": 10})
    {'w': 11}
    """
    return optree.tree_map(function, tree, *rest, namespace=NAMESPACE)


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of a tree what stands above it in `prefix`, where ``None`` is a value like any other.

    Raises
    ------
    ValueError
        If `prefix` is not the upper part of such a tree.

    Examples
    --------
    >>> broadcast_prefix((0, None), ([1, 2], {"a": 3}))
    [0, 0, None]
    """
    above = optree.broadcast_prefix(prefix, tree, none_is_leaf=True, namespace=NAMESPACE)
    found = optree.tree_leaves(tree, none_is_leaf=True, namespace=NAMESPACE)
    return [value for value, leaf in zip(above, found, strict=True) if leaf is not None]


def paths(tree: Any) -> list[str]:
    """Where each leaf stands, written as Python would reach it.

    Examples
    --------
    >>> paths({"layers": [1, 2]})
    ["['layers'][0]", "['layers'][1]"]
    """
    return [a.codify("") for a in optree.tree_accessors(tree, namespace=NAMESPACE)]


def path_of(part: Any, tree: Any) -> str | None:
    """Where a part of a tree stands, a leaf or a container, by identity; None if it is not in it.

    Examples
    --------
    >>> layers = [[1, 2], [3]]
    >>> path_of(layers[1], {"layers": layers})
    "['layers'][1]"
    """
    accessors, found, _ = optree.tree_flatten_with_accessor(
        tree, is_leaf=lambda x: x is part, namespace=NAMESPACE
    )
    return next((a.codify("") for a, x in zip(accessors, found, strict=True) if x is part), None)


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Any, Iterable[Any]]],
    unflatten: Callable[[Any, Iterable[Any]], Any],
    path_entry: type[optree.PyTreeEntry] = optree.GetAttrEntry,
) -> None:
    """Make instances of a class containers.

    Parameters
    ----------
    cls : type
    flatten : callable
        ``instance -> (children, static, names)``; `static` must be hashable.
    unflatten : callable
        ``(static, children) -> instance``; must not check the children, which need not be arrays.
    path_entry : type
        How a child is reached, for :func:`paths`.
    """
    optree.register_pytree_node(cls, flatten, unflatten, path_entry_type=path_entry, namespace=NAMESPACE)
