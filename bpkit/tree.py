"""Pytrees: nested containers of arrays, on top of optree.

Lists, tuples, named tuples, dicts, deques and dataclasses are containers, and so is every
:class:`bpkit.nn.Module`; anything else is a leaf. ``None`` is an empty container, as in JAX.

A dataclass need not be registered: left alone, the arrays in one that a function takes or returns would be
overlooked, and their gradients with them. It becomes a container when an instance is first seen, unless its
``__init__`` does not take all fields: what is made of the others is no child beside them. Where nothing is,
:func:`register_dataclass` says so. xarray's labelled arrays become containers in the same way; see
:mod:`bpkit.interop.xarray`.
"""

import contextlib
from collections.abc import Callable, Iterable
from importlib import import_module
from threading import Lock
from typing import Any

import optree

from bpkit.fields import is_plain, splitter

__all__ = [
    "NAMESPACE",
    "Structure",
    "broadcast_prefix",
    "children",
    "flatten",
    "follow",
    "is_dataclass",
    "leaves",
    "map",
    "match",
    "merge",
    "parts",
    "path_of",
    "paths",
    "register",
    "register_dataclass",
    "structure",
    "unflatten",
]

NAMESPACE = "bpkit"
"""The name under which dataclasses are registered with optree."""
Structure = optree.PyTreeSpec
"""What a tree is without its leaves; comparable, hashable and picklable."""

_ON_SIGHT = {"xarray": "bpkit.interop.xarray"}
"""What makes containers of a library's classes, imported when an instance of one is first seen."""
_leaf_types: set[type] = set()
"""Types of leaves that were looked at: nothing that could be a container."""
_registered: set[type] = set()
_dataclasses: set[type] = set()
_followers: list[Callable[[type], None]] = []
_registering = Lock()


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
    if not _leaf_types.issuperset([type(x) for x in found]) and _found_containers(found):
        return flatten(tree)
    return found, spec


def _found_containers(leaves: list[Any]) -> bool:
    """Whether some of the leaves are plain dataclasses or of `_ON_SIGHT`: containers from now on."""
    found = False
    for cls in {type(x) for x in leaves} - _leaf_types:
        if module := _ON_SIGHT.get(cls.__module__.partition(".")[0]):
            import_module(module)
        if is_plain(cls):
            register_dataclass(cls)
            found = True
        elif cls in _registered:
            found = True
        else:
            _leaf_types.add(cls)
    return found


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Put leaves back into a structure; the inverse of :func:`flatten`."""
    return structure.unflatten(leaves)


def leaves(tree: Any) -> list[Any]:
    """Every leaf, in the order of :func:`flatten`."""
    return flatten(tree)[0]


def structure(tree: Any) -> Structure:
    """The tree without its leaves; two trees match when their structures are equal."""
    return flatten(tree)[1]


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
    flatten(given)  # so that its dataclasses are known
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
    found, spec = flatten(tree)
    others = [spec.flatten_up_to(other) for other in rest]
    return spec.unflatten([function(*each) for each in zip(found, *others, strict=True)])


def merge(first: Any, second: Any) -> Any:
    """One tree of two: what `first` has, and where that is None what `second` has.

    Raises
    ------
    ValueError
        If the structures differ in anything but None, or both have something in one place.

    Examples
    --------
    >>> merge({"w": 1, "b": None}, {"w": None, "b": [2]})
    {'w': 1, 'b': [2]}
    """
    flatten((first, second))  # so that their dataclasses are known
    found, spec = optree.tree_flatten(first, none_is_leaf=True, namespace=NAMESPACE)
    others = spec.flatten_up_to(second)
    for accessor, one, other in zip(spec.accessors(), found, others, strict=True):
        if one is not None and other is not None:
            raise ValueError(f"both have something in {accessor.codify('tree')}")
    return spec.unflatten([y if x is None else x for x, y in zip(found, others, strict=True)])


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
    flatten((prefix, tree))  # so that their dataclasses are known
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
    return [a.codify("") for a in structure(tree).accessors()]


def children(tree: Any) -> list[tuple[str, Any]]:
    """What a container holds, each with how Python reaches it; nothing for a leaf.

    Examples
    --------
    >>> children({"layers": [1, 2], "bias": None})
    [("['bias']", None), ("['layers']", [1, 2])]
    """
    level = structure(tree).one_level()
    return [] if level is None else [(a.codify(""), a(tree)) for a in level.accessors()]


def parts(tree: Any) -> list[Any]:
    """The tree itself, every container in it and every leaf, from the top down.

    Examples
    --------
    >>> parts({"layers": [1, 2]})
    [{'layers': [1, 2]}, [1, 2], 1, 2]
    """
    flatten(tree)  # so that its dataclasses are known
    found: list[Any] = []

    def note(part: Any) -> bool:
        found.append(part)
        return False

    optree.tree_flatten(tree, is_leaf=note, namespace=NAMESPACE)
    return found


def path_of(part: Any, tree: Any) -> str | None:
    """Where a part of a tree stands, a leaf or a container, by identity; None if it is not in it.

    Examples
    --------
    >>> layers = [[1, 2], [3]]
    >>> path_of(layers[1], {"layers": layers})
    "['layers'][1]"
    """
    flatten(tree)  # so that its dataclasses are known
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
    _registered.add(cls)


def register_dataclass(cls: type) -> type:
    """Make instances of a dataclass containers, whatever its ``__init__`` takes.

    Fields made by :func:`bpkit.nn.static` (or with ``metadata={"static": True}``, as for JAX) are settings,
    which must be hashable; every other field is a child. Containers are put together again without calling
    ``__init__`` or ``__post_init__``. Can be used as a decorator; a class may be registered again.

    Parameters
    ----------
    cls : type
        A dataclass.

    Returns
    -------
    type
        The class.

    Examples
    --------
    >>> from dataclasses import dataclass, field
    >>> @register_dataclass
    ... @dataclass
    ... class Line:
    ...     slope: float
    ...     parts: list = field(init=False, default_factory=list)
    >>> leaves(Line(2.0))
    [2.0]
    """
    with _registering:
        if cls not in _dataclasses:
            register(cls, *splitter(cls))
            _dataclasses.add(cls)
            for follower in _followers:
                follower(cls)
    return cls


def follow(follower: Callable[[type], None]) -> None:
    """Call a function with every dataclass that is a container: those known by now, and each later one.

    So another library's registry of containers can be kept like this one.

    Parameters
    ----------
    follower : callable
        Takes the class.

    Examples
    --------
    >>> from bpkit import nn
    >>> seen = []
    >>> follow(seen.append)
    >>> class Line(nn.Module):
    ...     slope: object
    >>> nn.Dense in seen, seen[-1] is Line
    (True, True)
    """
    with _registering:
        _followers.append(follower)
        for cls in _dataclasses:
            follower(cls)


def is_dataclass(cls: type | None) -> bool:
    """Whether the instances of a class are dataclasses that are containers."""
    return cls in _dataclasses
