"""Checks that layers share: of the sizes they are made with, and of the arrays they are called with."""

from numbers import Integral
from typing import Any

from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError

__all__ = ["array_shape", "check_sizes", "expect"]


def check_sizes(called: str, **sizes: Any) -> None:
    """Refuse what is not a positive int.

    Raises
    ------
    ArgumentError
        That names `called` and the size.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ArgumentError(f"{called}: {name} must be a positive int, got {size!r}")


def array_shape(layer: object, name: str, x: RawArray, expected: str) -> tuple[int, ...]:
    """The shape of an array that a layer was called with.

    Raises
    ------
    ArgumentError
        If it is no array.
    """
    shape = getattr(x, "shape", None)
    if shape is None:
        raise ArgumentError(
            f"{layer!r}: {name} is {a_type(type(x))}; expected an array of shape {expected}: make one with "
            f"bpkit.xp.asarray"
        )
    return tuple(shape)


def expect(fits: bool, layer: object, name: str, shape: tuple[int, ...], expected: str) -> None:
    """Refuse an array whose shape does not fit.

    Raises
    ------
    ShapeError
        That names the layer and both shapes.
    """
    if not fits:
        raise ShapeError(f"{layer!r} expected {name} of shape {expected}, got {shape}")
