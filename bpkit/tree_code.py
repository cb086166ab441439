"""Trees of one structure taken apart and put together by code that was written for it.

:func:`bpkit.tree.flatten` asks every container what it is. Where the same structure comes again and again,
code that expects it, and looks whether it is there, takes a fraction of the time.
"""

from collections.abc import Callable, Iterable
from typing import Any

from bpkit import tree
from bpkit.fields import complete, parts_of

__all__ = ["Scope", "Unpacker", "one_level", "packer"]


class Scope:
    """Names for the values that written code uses."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._names: dict[int, str] = {}

    def name(self, value: Any) -> str:
        """A name for a value."""
        if id(value) not in self._names:
            self._names[id(value)] = f"k{len(self._names)}"
            self._values[self._names[id(value)]] = value
        return self._names[id(value)]

    def function(self, parameters: Iterable[str], lines: Iterable[str]) -> Callable[..., Any]:
        """A function of these lines."""
        source = f"def code({', '.join(parameters)}):\n" + "".join([f"    {line}\n" for line in lines])
        exec(compile(source, "<bpkit.tree_code>", "exec"), self._values)
        return self._values["code"]  # type: ignore[no-any-return]


def one_level(structure: tree.Structure) -> Any:
    """The outermost container of a structure, with the numbers of its children in their places."""
    level: Any = structure.one_level()
    return level.unflatten(range(structure.num_children))


def _kind(structure: tree.Structure) -> Any:
    """What code can be written for: dict, list, tuple, "named tuple", "fields"; else None."""
    cls: Any = structure.type
    if cls is dict:
        return dict if all(type(key) is str for key in structure.entries()) else None
    if cls in (list, tuple):
        return cls
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return "named tuple"
    return "fields" if tree.is_dataclass(cls) and not parts_of(cls).slots else None


def packer(structure: tree.Structure) -> Callable[..., Any]:
    """A function that takes the leaves, one by one, and returns the tree.

    Examples
    --------
    >>> packer(tree.structure({"a": 1, "b": [2, None]}))(10, 20)
    {'a': 10, 'b': [20, None]}
    """
    scope = Scope()
    leaves = [f"x{i}" for i in range(structure.num_leaves)]
    lines: list[str] = []
    whole = _packed(structure, leaves.copy(), scope, lines)
    return scope.function(leaves, [*lines, f"return {whole}"])


def _packed(structure: tree.Structure, leaves: list[str], scope: Scope, lines: list[str]) -> str:
    """An expression for a tree, behind these lines; takes its leaves from the list."""
    cls = structure.type
    if cls is None:
        return leaves.pop(0)
    if cls is type(None):
        return "None"
    kind = _kind(structure)
    if kind is None:
        own = [leaves.pop(0) for _ in range(structure.num_leaves)]
        return f"{scope.name(structure.unflatten)}(({''.join([f'{x}, ' for x in own])}))"
    parts = [_packed(child, leaves, scope, lines) for child in structure.children()]
    if kind is dict:
        return f"{{{', '.join([f'{key!r}: {parts[i]}' for key, i in one_level(structure).items()])}}}"
    if kind is list:
        return f"[{', '.join(parts)}]"
    if kind is tuple:
        return f"({''.join([f'{x}, ' for x in parts])})"
    if kind == "named tuple":
        return f"{scope.name(cls)}({', '.join(parts)})"
    children, settings, _, _ = parts_of(cls)
    fields = one_level(structure).__dict__
    made = f"o{len(lines)}"
    # Not by __init__, nor by assignment, which an instance may refuse.
    lines += [f"{made} = {scope.name(object.__new__)}({scope.name(cls)})", f"fields = {made}.__dict__"]
    lines += [f"fields[{key!r}] = {x}" for key, x in zip(children, parts, strict=True)]
    lines += [f"fields[{key!r}] = {scope.name(fields[key])}" for key in settings]
    return made


class Unpacker:
    """Writes the lines that take a tree apart, and return None where it has another structure.

    Parameters
    ----------
    leaf : callable
        ``(number, word) -> str``: when the leaf of that number, which is named `word`, is not as it must be.
    differs : callable
        ``(word, value) -> str``: when the static field named `word` has another value.
    other : callable
        ``structure -> function``: how any other container is taken apart: a function of it that gives its
        leaves, or None.

    Attributes
    ----------
    lines : list of str
    leaves : list of str
        The names of the leaves.
    """

    def __init__(
        self,
        scope: Scope,
        leaf: Callable[[int, str], str],
        differs: Callable[[str, Any], str],
        other: Callable[[tree.Structure], Callable[[Any], Any]],
    ) -> None:
        self.lines: list[str] = []
        self.leaves: list[str] = []
        self._scope = scope
        self._leaf = leaf
        self._differs = differs
        self._other = other
        self._containers = 0

    def take(self, structure: tree.Structure, word: str) -> None:
        """Take apart the tree that is named `word`."""
        cls = structure.type
        if cls is None:
            self._take_leaf(word)
            return
        if cls is type(None):
            self.unless(f"{word} is not None")
            return
        kind = _kind(structure)
        if kind is None:
            found = self._container()
            self.lines.append(f"{found} = {self._scope.name(self._other(structure))}({word})")
            self.unless(f"{found} is None")
            for i in range(structure.num_leaves):
                self._take_leaf(f"{found}[{i}]")
            return
        children = structure.children()
        wrong = f"type({word}) is not {self._scope.name(cls)}"
        if kind == "fields":
            self.unless(wrong)
            fields = self._container()
            _, settings, _, _ = parts_of(cls)
            self.lines.append(f"{fields} = {word}.__dict__")
            count = len(children) + len(settings)
            self.lines.append(f"if len({fields}) != {count}: {fields} = {self._scope.name(complete)}({word})")
            values = one_level(structure).__dict__
            for key in settings:
                self.unless(self._differs(f"{fields}[{key!r}]", values[key]))
            word = fields
            keys: Iterable[Any] = parts_of(cls).children
        else:
            self.unless(f"{wrong} or len({word}) != {len(children)}")
            keys = structure.entries() if kind is dict else range(len(children))
        for key, child in zip(keys, children, strict=True):
            if child.type is None:
                self._take_leaf(f"{word}[{key!r}]")
            else:
                found = self._container()
                self.lines.append(f"{found} = {word}[{key!r}]")
                self.take(child, found)

    def unless(self, wrong: str) -> None:
        """Go on unless this is true."""
        self.lines.append(f"if {wrong}: return None")

    def _container(self) -> str:
        self._containers += 1
        return f"v{self._containers}"

    def _take_leaf(self, word: str) -> None:
        x = f"x{len(self.leaves)}"
        self.leaves.append(x)
        self.lines.append(f"{x} = {word}")
        self.unless(self._leaf(len(self.leaves) - 1, x))
