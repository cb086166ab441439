"""What a call started from, kept so that it can be done again after the user has gone on."""

from collections.abc import Callable, Sequence
from functools import partial
from types import CellType, FunctionType
from typing import Any, Self

from bpkit import tree
from bpkit.derivative import private
from bpkit.trace import Traced
from bpkit.transforms.arguments import is_array

__all__ = ["Origin"]


class Origin:
    """A function, the variables that it captures, and its arguments, as they are now.

    Parameters
    ----------
    leaves : sequence of objects
    structure : Structure
        Together the tree ``(fun, args, kwargs)``.
    copy : callable
        Copies a raw array.
    """

    __slots__ = ("leaves", "structure")

    def __init__(self, leaves: Sequence[Any], structure: tree.Structure, copy: Callable[[Any], Any]) -> None:
        copies = _Copies(copy)
        self.leaves = [copies.of(x) for x in leaves]
        self.structure = structure

    def again(self) -> Self:
        """The same for one run, which may write to it."""
        return type(self)(self.leaves, self.structure, private)

    def call(self) -> Any:
        """Call the function."""
        fun, args, kwargs = tree.unflatten(self.structure, self.leaves)
        return fun(*args, **kwargs)


class _Copies:
    """Objects that stay what they are when the originals are assigned to or written to.

    What was one object is one again, so that two functions that capture the same variable still share it.
    """

    def __init__(self, copy: Callable[[Any], Any]) -> None:
        self._copy = copy
        self._made: dict[int, Any] = {}

    def of(self, x: Any) -> Any:
        if id(x) in self._made:
            return self._made[id(x)]
        if isinstance(x, Traced):
            value = self._copy(x._value) if x._trace.borrowed else x._value
            return self._note(x, type(x)(value, x._trace, x._link))
        if isinstance(x, FunctionType):
            return self._function(x)
        if isinstance(x, partial):
            keywords = {name: self.of(value) for name, value in x.keywords.items()}
            return type(x)(self.of(x.func), *map(self.of, x.args), **keywords)
        return self._note(x, self._copy(x)) if is_array(x) else x

    def _note(self, x: Any, new: Any) -> Any:
        self._made[id(x)] = new
        return new

    def _function(self, x: FunctionType) -> FunctionType:
        """A function over copies of the variables that it captures and of its defaults."""
        if not (x.__closure__ or x.__defaults__ or x.__kwdefaults__):
            return x
        fresh = [cell for cell in x.__closure__ or () if id(cell) not in self._made]
        cells = tuple([self._made.setdefault(id(cell), CellType()) for cell in x.__closure__ or ()])
        new = FunctionType(x.__code__, x.__globals__, x.__name__, None, cells)
        # Noted before what it captures is looked at, which may be itself.
        self._note(x, new)
        new.__qualname__ = x.__qualname__
        new.__dict__.update(x.__dict__)
        if x.__defaults__:
            new.__defaults__ = tuple(map(self.of, x.__defaults__))
        if x.__kwdefaults__:
            new.__kwdefaults__ = {name: self.of(value) for name, value in x.__kwdefaults__.items()}
        for cell in fresh:
            try:
                self._made[id(cell)].cell_contents = self.of(cell.cell_contents)
            except ValueError:
                continue  # a variable to which nothing has been assigned yet
        return new
