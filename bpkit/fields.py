"""Objects that are nothing but their fields: dataclasses and modules, as children and settings."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import cache
from types import MemberDescriptorType
from typing import Any, NamedTuple

from bpkit._messages import a_type
from bpkit.errors import ArgumentError

__all__ = ["Parts", "buffer", "complete", "is_plain", "parts_of", "splitter", "static"]

_BUILTIN = (dict, frozenset, list, set, tuple)


def static(**options: Any) -> Any:
    """Declare a field of a :class:`bpkit.nn.Module` or a dataclass that is a setting and not an array.

    A static field belongs to the structure of the object: it gets no gradient, no optimiser touches it, and
    two objects match only when their static fields are equal.

    Parameters
    ----------
    **options
        What :func:`dataclasses.field` takes: ``default``, ``default_factory``, ``init``, …

    Returns
    -------
    dataclasses.Field
        Typed as `Any`, so that it can stand as the default of a field of any type.

    Examples
    --------
    >>> from bpkit import nn, tree
    >>> class Scale(nn.Module):
    ...     factor: object
    ...     name: str = static(default="scale")
    >>> tree.leaves(Scale(2.0))
    [2.0]
    """
    return dataclasses.field(metadata={"static": True}, **options)


def buffer(**options: Any) -> Any:
    """Declare a field of a :class:`bpkit.nn.Module` that holds arrays which are state and not parameters.

    A buffer is a child as every other array is: transforms, `jit` and checkpoints see it. But no optimiser
    changes it (:func:`bpkit.nn.partition` keeps it apart); a layer does, in training mode, by the
    :class:`bpkit.nn.Mode` of the call.

    Parameters
    ----------
    **options
        What :func:`dataclasses.field` takes: ``default``, ``default_factory``, ``init``, …

    Returns
    -------
    dataclasses.Field
        Typed as `Any`, so that it can stand as the default of a field of any type.

    Examples
    --------
    >>> from bpkit import nn, tree, xp
    >>> class Scale(nn.Module):
    ...     factor: object
    ...     calls: object = nn.buffer()
    >>> scale = Scale(xp.asarray(2.0), calls=xp.asarray(0.0))
    >>> len(tree.leaves(scale)), len(tree.leaves(nn.partition(scale).trainable))
    (2, 1)
    """
    return dataclasses.field(metadata={"buffer": True}, **options)


def is_plain(cls: type) -> bool:
    """Whether a class is a dataclass of which all fields are given when an instance is made.

    A field that ``__init__`` does not take is made of the others, and would not be if it were a child.
    """
    return (
        dataclasses.is_dataclass(cls)
        and not issubclass(cls, _BUILTIN)
        and all(field.init for field in dataclasses.fields(cls))
    )


class Parts(NamedTuple):
    """The fields of a dataclass.

    Attributes
    ----------
    children, settings : tuple of str
        Fields made by :func:`static` are settings, and every other field is a child.
    buffers : frozenset of str
        The children made by :func:`buffer`.
    slots : bool
        Whether some field is not in ``__dict__``.
    """

    children: tuple[str, ...]
    settings: tuple[str, ...]
    buffers: frozenset[str]
    slots: bool


@cache
def parts_of(cls: Any) -> Parts:
    """The fields of a dataclass."""
    fields = dataclasses.fields(cls)
    settings = tuple(field.name for field in fields if field.metadata.get("static"))
    children = tuple(field.name for field in fields if not field.metadata.get("static"))
    buffers = frozenset([field.name for field in fields if field.metadata.get("buffer")])
    slots = any(isinstance(getattr(cls, field.name, None), MemberDescriptorType) for field in fields)
    return Parts(children, settings, buffers, slots)


def splitter(cls: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``flatten`` and ``unflatten`` of a dataclass, as :func:`bpkit.tree.register` takes them."""
    children, settings, _, slots = parts_of(cls)
    declared = frozenset(children + settings)

    def flatten(x: Any) -> tuple[list[Any], tuple[Any, ...], tuple[str, ...]]:
        values = {} if slots else x.__dict__
        if values.keys() != declared:
            values = complete(x)
        static = tuple([values[name] for name in settings])
        try:
            hash(static)
        except TypeError:
            _refuse_unhashable(x, settings)
        return [values[name] for name in children], static, children

    def unflatten(static: tuple[Any, ...], values: Iterable[Any]) -> Any:
        # Not by __init__: values need not be arrays, and an instance may refuse assignments.
        x = object.__new__(cls)
        found = [*zip(children, values, strict=True), *zip(settings, static, strict=True)]
        if slots:
            for name, value in found:
                object.__setattr__(x, name, value)
        else:
            x.__dict__.update(found)
        return x

    return flatten, unflatten


def complete(x: Any) -> dict[str, Any]:
    """The fields where ``__dict__`` holds fewer or more: slots, class-level defaults, cached properties."""
    cls: Any = type(x)
    name = cls.__name__
    children, settings, _, _ = parts_of(cls)
    declared = frozenset(children + settings)
    # typing puts __orig_class__ on an instance of a generic class.
    undeclared = [
        key
        for key in getattr(x, "__dict__", {}).keys() - declared
        if key != "__orig_class__" and not hasattr(cls, key)
    ]
    if undeclared:
        key = min(undeclared)
        raise ArgumentError(
            f"{name} has the attribute {key!r}, which is not a declared field and would be lost by grad and "
            f"tree.map; declare it in the class: `{key}: Any` for arrays and modules, "
            f"`{key}: Any = bpkit.nn.static()` for a setting"
        )
    unset = [field.name for field in dataclasses.fields(cls) if not hasattr(x, field.name)]
    if unset:
        raise ArgumentError(
            f"{name}.{unset[0]} is a declared field that was never set; set `self.{unset[0]} = ...` in "
            f"{name}.__init__, or give the field a default"
        )
    return {key: getattr(x, key) for key in declared}


def _refuse_unhashable(x: Any, settings: tuple[str, ...]) -> None:
    for key in settings:
        value = getattr(x, key)
        try:
            hash(value)
        except TypeError as error:
            raise ArgumentError(
                f"{type(x).__name__}.{key} is a static field, so its value must be hashable, but it is "
                f"{a_type(type(value))} ({error}); use a tuple instead of a list, a frozenset instead of "
                f"a set, and declare arrays and containers of arrays as fields without static()"
            ) from None
