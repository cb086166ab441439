"""What optimisers and schedules were made by: what they print, compare and are pickled as."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["Made", "remembered"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Made:
    """What a function of :func:`remembered` returned: equal to what the same call returns elsewhere.

    Closures can be neither compared nor pickled. So a pickle has the function, by name, and its arguments.
    What no such function made is compared and pickled by its fields.
    """

    _made_by: tuple[Any, dict[str, Any]] | None = field(default=None, init=False)

    def _call(self) -> tuple[Any, dict[str, Any]]:
        if self._made_by is not None:
            return self._made_by
        return type(self), {part.name: getattr(self, part.name) for part in fields(self) if part.init}

    def __eq__(self, other: object) -> bool:
        return self._call() == other._call() if isinstance(other, Made) else NotImplemented

    def __hash__(self) -> int:
        function, arguments = self._call()
        return hash((function, *map(_hashed, arguments.values())))

    def __repr__(self) -> str:
        function, arguments = self._call()
        defaults = inspect.signature(function).parameters
        shown = [f"{name}={value!r}" for name, value in arguments.items() if value != defaults[name].default]
        return f"{function.__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, self._call()


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Let what a function returns remember the function and its arguments, see :class:`Made`."""

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> R:
        made = function(*args, **kwargs)
        if not isinstance(made, Made):
            return made
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        # Another object: the function may have returned one that it was given.
        made = replace(made)
        arguments = {name: _settled(value) for name, value in bound.arguments.items()}
        object.__setattr__(made, "_made_by", (make, arguments))
        return made

    return make


def _made_again(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return function(**arguments)


def _settled(value: Any) -> Any:
    """An argument as Python's own number, tuple or dict, which the caller cannot change any more."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(_settled, value))
    return dict(value) if isinstance(value, Mapping) else value


def _hashed(value: Any) -> int:
    try:
        return hash(value)
    except TypeError:  # a dict, or a schedule of the user's that is compared by value
        return hash(type(value))
