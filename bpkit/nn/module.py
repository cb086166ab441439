"""The base class of layers and models: a dataclass that is also a pytree."""

import dataclasses
from typing import Any, Self, dataclass_transform

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.fields import buffer, static

__all__ = ["Module", "buffer", "static"]


@dataclass_transform(eq_default=False, field_specifiers=(static, buffer, dataclasses.field))
class Module:
    """A layer or a model: a pytree of arrays plus static settings.

    A subclass declares its fields as a dataclass does. Fields made by :func:`static` are settings, and must
    be hashable; every other field is a child: an array, another Module, a container of them, or None. Those
    made by :func:`buffer` hold arrays that are state and no parameters. The class gets the ``__init__`` of a
    dataclass unless it has or inherits one of its own, which then must set every field. Instances compare by
    identity.

    So `bpkit.grad` of a function of a model is a model of the same structure that holds the gradients,
    `bpkit.tree.map` goes over its arrays, and nothing about a model is global. A model is not changed in
    place: :meth:`replace` returns a changed copy.

    Raises
    ------
    ArgumentError
        When an instance is first used as a tree, if ``__init__`` left a field unset or set an attribute that
        is not declared, or if a static field is not hashable.

    Examples
    --------
    >>> class Line(Module):
    ...     slope: object
    ...     intercept: object
    ...
    ...     def __call__(self, x):
    ...         return self.slope * x + self.intercept
    >>> line = Line(slope=2.0, intercept=1.0)
    >>> line(3.0)
    7.0
    >>> from bpkit import tree
    >>> tree.map(lambda a: -a, line)
    Line(slope=-2.0, intercept=-1.0)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(init=_takes_generated_init(cls), eq=False, repr=False)(cls)
        tree.register_dataclass(cls)
        if hasattr(cls, "forward") and not any("__call__" in vars(base) for base in cls.__mro__):
            cls.__call__ = _not_forward  # type: ignore[method-assign]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; nothing is checked, and ``__init__`` does not run.

        Parameters
        ----------
        **changes
            New values by field name.

        Raises
        ------
        ArgumentError
            If a name is not a field.

        Examples
        --------
        >>> class Line(Module):
        ...     slope: object
        ...     intercept: object
        >>> Line(2.0, 1.0).replace(intercept=0.0)
        Line(slope=2.0, intercept=0.0)
        """
        names = _field_names(self)
        unknown = [name for name in changes if name not in names]
        if unknown:
            raise ArgumentError(
                f"{type(self).__name__}.replace() got {', '.join(map(repr, unknown))}, which is not a field; "
                f"the fields are {', '.join(names) or 'none'}"
            )
        copy = object.__new__(type(self))
        copy.__dict__.update({name: value for name, value in self.__dict__.items() if name in names})
        copy.__dict__.update(changes)
        return copy

    def __repr__(self) -> str:
        fields = [f"{name}={_show(getattr(self, name, ...))}" for name in _field_names(self)]
        return layout(type(self).__name__, fields)


def _not_forward(module: Module, *args: Any, **kwargs: Any) -> Any:
    raise ArgumentError(
        f"{type(module).__name__} cannot be called: it has a method forward, but the call of a layer is "
        f"__call__; rename it"
    )


def layout(name: str, parts: list[str], lines: bool = False) -> str:
    """Write ``name(parts)``, one part to a line if asked to, if a part has several lines or it gets long."""
    line = f"{name}({', '.join(parts)})"
    if not lines and len(line) <= 88 and "\n" not in line:
        return line
    return "\n".join([f"{name}(", *("  " + part.replace("\n", "\n  ") + "," for part in parts), ")"])


def _show(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        # "torch.float32", "array_api_strict.float32" and "float32" all name the standard's float32.
        return f"{str(value.dtype).rpartition('.')[2]}{list(value.shape)}"
    if type(value) in (list, tuple):
        return layout("" if type(value) is tuple else "list", [_show(item) for item in value])
    if type(value) is dict:
        return layout("dict", [f"{key}={_show(item)}" for key, item in value.items()])
    return "…" if value is ... else repr(value)


def _field_names(module: Module) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(module))  # type: ignore[arg-type]


def _takes_generated_init(cls: type) -> bool:
    """Whether no base has an ``__init__`` that somebody wrote, which a generated one would replace."""
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    params = vars(owner).get("__dataclass_params__")
    return owner is object or (params is not None and params.init)
