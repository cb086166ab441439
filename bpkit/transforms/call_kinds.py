"""Kinds of calls: what must be equal in two calls of a function for one recorded program to serve both."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.fields import parts_of
from bpkit.transforms.arguments import is_array
from bpkit.tree_code import Scope, Unpacker, one_level

__all__ = [
    "CallKind",
    "Setting",
    "changed_number",
    "exact",
    "guard",
    "kind_of_leaf",
    "names_of",
    "reason",
    "setting",
]


class CallKind(NamedTuple):
    """What must be equal for the same program to serve.

    Attributes
    ----------
    structure : Structure
        Of the arguments, with None in the place of static ones.
    settings : tuple
        The static arguments.
    exact : tuple
        What :func:`exact` says of the structure.
    leaves : tuple
        What :func:`kind_of_leaf` says of each leaf.
    layouts : tuple or None
        The memory layout of each array, if the program depends on it.
    """

    structure: tree.Structure
    settings: tuple["Setting", ...]
    exact: tuple[Any, ...]
    leaves: tuple[Any, ...]
    layouts: tuple[Any, ...] | None = None

    def laid_out(self, leaves: list[Any], backend: Backend) -> "CallKind":
        """The same for the memory layouts of these leaves only."""
        return self._replace(layouts=tuple([backend.layout(x) if is_array(x) else None for x in leaves]))


def exact(structure: tree.Structure) -> tuple[Any, ...]:
    """Its static fields, and keys that are no strings, as settings are compared: 1 is equal to True."""
    own: list[Any] = []
    if structure.type in _DICTIONARIES:
        own = [setting(key) for key in structure.entries() if type(key) is not str]
    elif tree.is_dataclass(structure.type):
        fields = one_level(structure)
        own = [setting(getattr(fields, name)) for name in parts_of(structure.type).settings]
    return (*own, *[x for child in structure.children() for x in exact(child)])


_DICTIONARIES = (dict, OrderedDict, defaultdict)


class Setting(NamedTuple):
    """Equal for settings that are the same: not for 1, 1.0 and True, nor for 0.0 and -0.0; NaN is itself."""

    cls: type
    value: Any

    def __repr__(self) -> str:
        return self.value if issubclass(self.cls, float | complex) else repr(self.value)


def setting(x: Any) -> Setting:
    """A setting as it is compared."""
    if isinstance(x, float | complex):
        return Setting(type(x), repr(x))
    return Setting(type(x), tuple(map(setting, x)) if isinstance(x, tuple) else x)


def kind_of_leaf(x: Any) -> Any:
    """Equal for leaves for which the same program serves."""
    return (type(x), tuple(x.shape), x.dtype, getattr(x, "device", None)) if is_array(x) else setting(x)


def guard(
    kind: CallKind, backend: Backend, static: tuple[int, ...]
) -> Callable[[tuple[Any, ...], dict[str, Any]], list[Any] | None]:
    """A function of ``args, kwargs`` that returns their arrays if they are of this kind, and else None.

    It runs in front of every call, so it is code written for this kind.
    """
    scope = Scope()
    several_devices = len(backend.devices()) > 1

    def differs(word: str, value: Setting) -> str:
        if value.cls in (int, bool, str, type(None)):
            return f"type({word}) is not {scope.name(value.cls)} or {word} != {scope.name(value.value)}"
        if value.cls is float and float(value.value) and value.value != "nan":
            return f"type({word}) is not float or {word} != {value.value}"
        differs = f"{scope.name(setting)}({word}) != {scope.name(value)}"
        if issubclass(value.cls, float | complex | tuple):
            return differs
        # Mostly it is the same object, which takes no time to see.
        return f"({word} is not {scope.name(value.value)} and {differs})"

    def leaf_differs(i: int, x: str) -> str:
        leaf = kind.leaves[i]
        if isinstance(leaf, Setting):
            return differs(x, leaf)
        cls, shape, dtype, device = map(scope.name, leaf)
        wrong = f"type({x}) is not {cls} or {x}.shape != {shape} or {x}.dtype != {dtype}"
        if several_devices:
            wrong += f" or {x}.device != {device}"
        if kind.layouts is not None:
            wrong += f" or {scope.name(backend.layout)}({x}) != {scope.name(kind.layouts[i])}"
        return wrong

    def other(structure: tree.Structure) -> Callable[[Any], list[Any] | None]:
        settings = exact(structure)

        def leaves_of(x: Any) -> list[Any] | None:
            leaves, found = tree.flatten(x)
            return leaves if found == structure and exact(found) == settings else None

        return leaves_of

    positional, keywords = kind.structure.children()
    code = Unpacker(scope, leaf_differs, lambda word, value: differs(word, setting(value)), other)
    code.unless(f"len(args) != {positional.num_children}")
    for i, value in zip(static, kind.settings, strict=True):
        code.unless(differs(f"args[{i}]", value))
    for i, child in enumerate(positional.children()):
        if i not in static:
            code.take(child, f"args[{i}]")
    code.take(keywords, "kwargs")
    arrays = [x for x, leaf in zip(code.leaves, kind.leaves, strict=True) if not isinstance(leaf, Setting)]
    lines = ["try:", *[f"    {line}" for line in code.lines], "except KeyError: return None"]
    return scope.function(["args", "kwargs"], [*lines, f"return [{', '.join(arrays)}]"])


def names_of(structure: tree.Structure, parameters: tuple[list[str], str | None]) -> list[str]:
    """What the leaves of the arguments are called, by the parameters of the function.

    Parameters
    ----------
    structure : Structure
        Of ``(args, kwargs)``.
    parameters : tuple
        The names of those that are passed by position, and of that which takes all others.
    """
    positional, keywords = structure.children()
    names, rest = parameters
    count = positional.num_children
    names = names[:count] + [f"{rest or 'argument'}[{i}]" for i in range(count - len(names))]
    parts = [
        *zip(names, positional.children(), strict=True),
        *zip(keywords.entries(), keywords.children(), strict=True),
    ]
    return [name + accessor.codify("") for name, part in parts for accessor in part.accessors()]


def reason(kind: CallKind, before: CallKind | None, names: list[str]) -> str:
    """What is new in a kind of arguments."""
    if before is None:
        return "the first call"
    if kind.settings != before.settings:
        return f"static arguments {kind.settings!r}, before {before.settings!r}"
    if (kind.structure, kind.exact) != (before.structure, before.exact):
        return f"arguments of the structure {kind.structure}, before {before.structure}"
    changed = [
        f"{names[i]} is {_spelled(kind.leaves[i])}, before {_spelled(before.leaves[i])}"
        for i in _changed(kind.leaves, before.leaves)
    ]
    if not changed and kind.layouts and before.layouts:
        changed = [
            f"{names[i]} has the memory layout {kind.layouts[i]}, before {before.layouts[i]}"
            for i in _changed(kind.layouts, before.layouts)
        ]
    return "; ".join(changed)


def changed_number(kind: CallKind, before: CallKind | None) -> int | None:
    """Which leaf is a number, and alone is new; None if something else is."""
    if before is None or kind[:3] != before[:3]:
        return None
    changed = _changed(kind.leaves, before.leaves)
    if len(changed) != 1:
        return None
    both = kind.leaves[changed[0]], before.leaves[changed[0]]
    are_numbers = all(isinstance(x, Setting) and x.cls in (int, float, complex) for x in both)
    return changed[0] if are_numbers else None


def _changed(now: tuple[Any, ...], before: tuple[Any, ...]) -> list[int]:
    return [i for i, (x, y) in enumerate(zip(now, before, strict=True)) if x != y]


def _spelled(leaf: Any) -> str:
    if isinstance(leaf, Setting):
        return f"the setting {leaf!r}"
    cls, shape, dtype, device = leaf
    return f"{cls.__name__} of shape {shape} and dtype {dtype} on {device}"
