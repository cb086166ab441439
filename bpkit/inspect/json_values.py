"""Dataclasses of numbers, strings, tuples and each other as what JSON has, and back."""

import dataclasses
import math
import reprlib
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from bpkit.errors import DataError

__all__ = ["read", "written"]


@cache
def _kinds(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def written(value: Any) -> Any:
    """A dataclass as mappings, lists, strings and numbers; dataclasses.asdict copies every number."""
    if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        return [written(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return list(value) if isinstance(value, tuple) else value
    cls: Any = type(value)
    return {name: written(getattr(value, name)) for name in _kinds(cls)}


def read(cls: Any, values: Any, path: str) -> Any:
    """The inverse of :func:`written`.

    Parameters
    ----------
    cls : type
        The dataclass; the annotations of its fields say what is expected.
    values : object
        What JSON had.
    path : str
        What it is called in errors.

    Raises
    ------
    DataError
        If something is missing, unknown, or of another kind.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{path}: expected a mapping, got {reprlib.repr(values)}")
    kinds = _kinds(cls)
    if missing := [name for name in kinds if name not in values]:
        raise DataError(f"{path}.{missing[0]} is missing")
    if unknown := [name for name in values if name not in kinds]:
        raise DataError(f"{path}.{unknown[0]} is not known to this version of bpkit")
    return cls(**{name: _field(kind, values[name], f"{path}.{name}") for name, kind in kinds.items()})


def _field(kind: Any, value: Any, path: str) -> Any:
    """A value of an annotated type, of what JSON has."""
    options = typing.get_args(kind)
    if type(None) in options:
        return None if value is None else _field(options[0], value, path)
    if dataclasses.is_dataclass(kind):
        return read(kind, value, path)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise DataError(f"{path}: expected a list, got {reprlib.repr(value)}")
        several = options[1:] == (...,)
        if not several and len(value) != len(options):
            raise DataError(f"{path}: expected {len(options)} numbers, got {len(value)}")
        return tuple([_field(options[0], item, f"{path}[{i}]") for i, item in enumerate(value)])
    if kind is str:
        fits, expected = isinstance(value, str), "a string"
    elif kind is int:
        fits, expected = isinstance(value, int) and value >= 0, "a whole number, not negative"
    else:
        fits, expected = isinstance(value, int | float) and abs(value) < math.inf, "a finite number"
    if not fits or isinstance(value, bool):
        raise DataError(f"{path}: expected {expected}, got {reprlib.repr(value)}")
    return float(value) if kind is float else value
