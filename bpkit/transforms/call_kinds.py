"""Kinds of calls: what must be equal in two calls of a function for one recorded program to serve both."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.transforms.arguments import is_array

__all__ = ["CallKind", "guard", "keys_of", "kind_of_leaf", "reason", "setting"]


class CallKind(NamedTuple):
    """What must be equal for the same program to serve.

    Attributes
    ----------
    structure : Structure
        Of the arguments.
    settings : tuple
        The static arguments.
    keys : tuple of str
        What :func:`keys_of` says of the structure.
    leaves : tuple
        What :func:`kind_of_leaf` says of each leaf.
    layouts : tuple or None
        The memory layout of each array, if the program depends on it.
    """

    structure: tree.Structure
    settings: tuple[Any, ...]
    keys: tuple[str, ...]
    leaves: tuple[Any, ...]
    layouts: tuple[Any, ...] | None = None

    def laid_out(self, leaves: list[Any], backend: Backend) -> "CallKind":
        """The same for the memory layouts of these leaves only."""
        return self._replace(layouts=tuple([backend.layout(x) if is_array(x) else None for x in leaves]))


def keys_of(structure: tree.Structure) -> tuple[str, ...]:
    """The keys of its dictionaries, as they are written, that are no strings: 1 is equal to True."""
    keys = structure.entries() if structure.type in _DICTIONARIES else []
    own = [repr(key) for key in keys if type(key) is not str]
    return (*own, *[key for child in structure.children() for key in keys_of(child)])


_DICTIONARIES = (dict, OrderedDict, defaultdict)


def kind_of_leaf(x: Any) -> Any:
    """Equal for leaves for which the same program serves."""
    return (type(x), tuple(x.shape), x.dtype, getattr(x, "device", None)) if is_array(x) else setting(x)


class _Setting(NamedTuple):
    """Equal for settings that are the same: not for 1, 1.0 and True, nor for 0.0 and -0.0; NaN is itself."""

    cls: type
    value: Any

    def __repr__(self) -> str:
        return self.value if issubclass(self.cls, float | complex) else repr(self.value)


def setting(x: Any) -> _Setting:
    """A setting as it is compared."""
    if isinstance(x, float | complex):
        return _Setting(type(x), repr(x))
    return _Setting(type(x), tuple(map(setting, x)) if isinstance(x, tuple) else x)


def guard(kind: CallKind, backend: Backend) -> Callable[..., bool]:
    """A function that says whether other leaves are of the same kinds, as fast as Python can."""
    several_devices = len(backend.devices()) > 1
    scope: dict[str, Any] = {"setting": setting, "layout": backend.layout}
    conditions = ["True"]
    for i, leaf in enumerate(kind.leaves):
        scope[f"type{i}"] = leaf[0]
        conditions.append(f"x{i}.__class__ is type{i}")
        if isinstance(leaf, _Setting):
            scope[f"value{i}"] = leaf.value
            plain = leaf.cls in (int, bool, str, type(None))
            conditions.append(f"x{i} == value{i}" if plain else f"setting(x{i}).value == value{i}")
            continue
        _, scope[f"shape{i}"], scope[f"dtype{i}"], scope[f"device{i}"] = leaf
        conditions += [f"x{i}.shape == shape{i}", f"x{i}.dtype == dtype{i}"]
        if several_devices:
            conditions.append(f"x{i}.device == device{i}")
        if kind.layouts is not None:
            scope[f"layout{i}"] = kind.layouts[i]
            conditions.append(f"layout(x{i}) == layout{i}")
    parameters = ", ".join(f"x{i}" for i in range(len(kind.leaves)))
    fits: Callable[..., bool] = eval(f"lambda {parameters}: {' and '.join(conditions)}", scope)
    return fits


def reason(kind: CallKind, before: CallKind | None, names: list[str]) -> str:
    """What is new in a kind of arguments."""
    if before is None:
        return "the first call"
    if kind.settings != before.settings:
        return f"static arguments {kind.settings!r}, before {before.settings!r}"
    if (kind.structure, kind.keys) != (before.structure, before.keys):
        return f"arguments of the structure {kind.structure}, before {before.structure}"
    changed = [
        f"{name} is {_spelled(x)}, before {_spelled(y)}"
        for name, x, y in zip(names, kind.leaves, before.leaves, strict=False)
        if x != y
    ]
    if not changed:
        changed = [
            f"{name} has the memory layout {x}, before {y}"
            for name, x, y in zip(names, kind.layouts or (), before.layouts or (), strict=False)
            if x != y
        ]
    return "; ".join(changed)


def _spelled(leaf: Any) -> str:
    if isinstance(leaf, _Setting):
        return f"the setting {leaf!r}"
    cls, shape, dtype, device = leaf
    return f"{cls.__name__} of shape {shape} and dtype {dtype} on {device}"
