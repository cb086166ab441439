"""What a call of foreign code is, what stops one, and the numbers they are called with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit.errors import GradientCutError

__all__ = [
    "AB",
    "AC",
    "MATRIX",
    "MIXED",
    "POSITIVE",
    "RNG",
    "SIGNED",
    "UNIT",
    "Call",
    "Stop",
    "X",
    "Y",
    "call",
    "stop",
]

Values = np.ndarray[Any, Any]

# Vectors of five numbers.
X = np.asarray([0.5, 1.75, 0.25, 2.5, 1.25])
Y = np.asarray([1.35, 0.75, 2.25, 0.625, 1.5])
SIGNED = np.asarray([-1.5, 0.75, -0.25, 1.25, 2.5])
UNIT = np.asarray([0.28, 0.375, 0.75, 0.6, 0.125])
# Matrices of distinct numbers, with both signs and positive; a regular one; samples in columns.
RNG = np.random.default_rng(5)
MIXED = RNG.permutation(12).reshape(3, 4) / 4 - 1.4
POSITIVE = RNG.permutation(12).reshape(3, 4) / 3 + 0.3
MATRIX = np.asarray([[2.0, 0.5, -0.25], [0.75, 1.5, 0.5], [-0.5, 0.25, 3.0]])
AB = RNG.normal(size=(8, 3)) * [1, 2, 0.5] + [0, 1, 2]
AC = RNG.normal(size=(5, 3)) * [1, 1, 2] + 0.5


@dataclass(frozen=True, eq=False)
class Call:
    """One call; its floating arguments are differentiated.

    Attributes
    ----------
    name : str
    run : callable
        Takes the arguments as arrays of one library, returns an array, or a tuple or list of such results.
    arguments : tuple of NumPy arrays
    not_on : tuple of str
        Libraries on whose own arrays it fails.
    refused_on : tuple of str
        Libraries on whose arrays it runs, and on traced ones is refused.
    other_gradient : tuple of str
        Libraries whose own differentiation of it is wrong.
    """

    name: str
    run: Callable[..., Any]
    arguments: tuple[Values, ...]
    not_on: tuple[str, ...] = ()
    refused_on: tuple[str, ...] = ()
    other_gradient: tuple[str, ...] = ()

    def moving(self) -> tuple[int, ...]:
        """Positions of the arguments that are differentiated."""
        return tuple([i for i, x in enumerate(self.arguments) if x.dtype.kind == "f"])


def call(
    name: str, run: Callable[..., Any], *arguments: Any, not_on: str = "", refused: str = "", other: str = ""
) -> Call:
    """A call of `run`; `not_on`, `refused` and `other` are libraries' names between spaces."""
    values = tuple([np.asarray(x) for x in arguments])
    return Call(name, run, values, *[tuple(names.split()) for names in (not_on, refused, other)])


@dataclass(frozen=True, eq=False)
class Stop:
    """A call that no gradient gets through, although it runs on raw arrays.

    Attributes
    ----------
    name : str
    run : callable
    arguments : tuple of NumPy arrays
    line : str
        The line of foreign code that stops it, as it stands there.
    error : type
        What it is refused with.
    library : str
        Of the arrays.
    """

    name: str
    run: Callable[..., Any]
    arguments: tuple[Values, ...]
    line: str
    error: type[Exception]
    library: str


def stop(
    name: str,
    run: Callable[..., Any],
    *arguments: Any,
    line: str,
    error: type[Exception] = GradientCutError,
    library: str = "numpy",
) -> Stop:
    """A call that is stopped by the given line."""
    return Stop(name, run, tuple([np.asarray(x) for x in arguments]), line, error, library)
