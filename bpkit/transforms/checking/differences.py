"""Slopes of a function by finite differences: a library's arrays, but arithmetic in NumPy's float64."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bpkit._protocol import Backend
from bpkit.nans import debug_nans

__all__ = [
    "Differences",
    "Function",
    "Slope",
    "Values",
    "Variable",
    "named",
    "numbers",
    "place",
    "precision",
]

Values = np.ndarray[Any, Any]
Function = Callable[..., list[Any]]
"""Takes floating arrays, returns floating arrays."""
NEARER = 2.0**8
"""How much smaller the step is that shows a jump, over which a function changes no less."""


def named(function: Function, name: str) -> Function:
    """A function that errors call by the name of the user's."""

    def same(*xs: Any) -> list[Any]:
        return function(*xs)

    same.__qualname__ = name
    return same


def numbers(x: Values) -> Values:
    """The real numbers of an array in one row, those of a complex one in pairs."""
    dtype = np.complex128 if x.dtype.kind == "c" else np.float64
    return np.asarray(x, dtype=dtype).reshape(-1).view(np.float64)


def precision(arrays: Sequence[Values]) -> float:
    """The largest relative rounding error of a number, among arrays of different dtypes."""
    return max(float(np.finfo(x.dtype).eps) for x in arrays)


@dataclass(frozen=True)
class Variable:
    """A floating array by which a function is differentiated, and where.

    Attributes
    ----------
    name : str
        What a message calls it: ``argument 1['w']``.
    value : NumPy array
    backend : Backend
    device : object
        Of the array that it was.
    """

    name: str
    value: Values
    backend: Backend
    device: Any

    @cached_property
    def row(self) -> Values:
        """Its real numbers."""
        return numbers(self.value)

    def array(self, row: Values, wide: bool = False) -> Any:
        """An array of its library, device, shape and dtype, or the float64 of that, from other numbers."""
        dtype = np.result_type(self.value.dtype, np.float64) if wide else self.value.dtype
        values = row.view(np.complex128) if self.value.dtype.kind == "c" else row
        return self.backend.from_host(values.reshape(self.value.shape).astype(dtype), self.device)

    def place(self, k: int) -> str:
        """Where its real number `k` stands."""
        return place(self.value, k)


def place(x: Values, k: int) -> str:
    """What a message calls the real number `k` of an array; nothing, if it is the only one."""
    k, imaginary = divmod(k, 2) if x.dtype.kind == "c" else (k, None)
    part = {None: "", 0: "real part", 1: "imaginary part"}[imaginary]
    where = f"element {tuple(map(int, np.unravel_index(k, x.shape)))}" if x.shape else ""
    return " of ".join(text for text in (part, where) if text)


class Slope(NamedTuple):
    """How fast a function changes along a direction.

    Attributes
    ----------
    step : float
    direction : array
        What was stepped along, exactly.
    change : list of arrays
        The numbers of each result per step.
    sizes : list of arrays
        The largest numbers that were subtracted from each other.
    roughness : list of arrays
        Differences of fourth order, undivided: next to nothing but rounding, where the function is smooth.
    """

    step: float
    direction: Values
    change: list[Values]
    sizes: list[Values]
    roughness: list[Values]


class Sides(NamedTuple):
    """What a function does on both sides of the point.

    Attributes
    ----------
    step : float
    left, right : lists of arrays
        Slopes of second order.
    leaps : list of pairs of lists of arrays
        On the left and on the right, how much it changes over a step and over one ``NEARER`` times as small.
    sizes : list of arrays
        The largest numbers that were subtracted.
    """

    step: float
    left: list[Values]
    right: list[Values]
    leaps: list[tuple[list[Values], list[Values]]]
    sizes: list[Values]


class Differences:
    """Finite differences of a function at one point.

    Parameters
    ----------
    fun : Function
    variables : list of Variable
        The point.
    wide : bool
        Whether to run it in float64, whatever the dtypes of the variables.
    eps : float
        The relative rounding error of its results, when it is run so.
    step : float or None
        Of the differences; None chooses.
    """

    def __init__(
        self,
        fun: Function,
        variables: list[Variable],
        wide: bool,
        eps: float,
        step: float | None,
    ) -> None:
        self.fun, self.variables, self.wide, self.step = fun, variables, wide, step
        # Truncation of fourth order meets rounding where step**5 is the precision. A power of 2, so that what
        # is converted to another dtype on the way is rounded as little as can be.
        self.usual = 2.0 ** round(math.log2(eps) / 5)

    def run(self, i: int = 0, shift: Values | float = 0.0) -> list[Values]:
        """The results with variable `i` shifted, in NumPy."""
        return self._at([x.row + shift if k == i else x.row for k, x in enumerate(self.variables)])

    def _at(self, rows: list[Values]) -> list[Values]:
        """The results at other numbers."""
        given = [x.array(row, self.wide) for x, row in zip(self.variables, rows, strict=True)]
        backend = self.variables[0].backend
        # A step may lead to where the function is not defined; the next one is smaller.
        with backend.quiet(), debug_nans(enable=False):
            return [backend.to_host(y) for y in self.fun(*given)]

    def _steps(self, x: Values) -> Iterator[float]:
        """Steps to try: the usual one, one by the size of what is moved, and smaller ones."""
        if self.step is not None:
            yield self.step
            return
        yield self.usual
        size = float(np.max(np.abs(x)))
        scale = 2.0 ** round(math.log2(size)) if size else 1.0
        if not 1 / 8 <= scale <= 8:
            yield self.usual * scale
        yield from (self.usual / 2**4, self.usual / 2**8)

    def slopes(self, i: int, direction: Values) -> Iterator[Slope]:
        """The slope along a direction of variable `i`, by one step after the other."""
        for step in self._steps(self.variables[i].row[direction != 0]):
            shift = self._exact(i, step * direction)
            if not np.any(shift):
                continue
            (up, down), (far_up, far_down) = (
                ([numbers(y) for y in self.run(i, n * shift)], [numbers(y) for y in self.run(i, -n * shift)])
                for n in (1, 2)
            )
            four = list(zip(up, down, far_up, far_down, strict=True))
            with np.errstate(all="ignore"):
                change = [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in four]
                sizes = [np.max(np.abs(ys), axis=0) for ys in four]
                rough = [
                    np.abs(6 * y - 4 * (a + b) + (c + d))
                    for y, (a, b, c, d) in zip(self._here, four, strict=True)
                ]
            yield Slope(step, shift / step, change, sizes, rough)

    @cached_property
    def _here(self) -> list[Values]:
        return [numbers(y) for y in self.run()]

    @cached_property
    def aside(self) -> tuple[list[Values], list[Values]]:
        """The numbers of the results here, and where all variables have moved a little, in no special way."""
        step = self.step or self.usual
        rng = np.random.default_rng(0)
        moved = [x.row + step * rng.choice([-1.0, 1.0], x.row.size) for x in self.variables]
        return self._here, [numbers(y) for y in self._at(moved)]

    def _exact(self, i: int, shift: Values) -> Values:
        """A shift that the numbers of a variable can take, also twice of it, without being rounded."""
        x = self.variables[i]
        kind = np.float64 if self.wide else x.value.real.dtype
        unit = np.spacing(np.asarray(np.abs(x.row) + 2 * np.abs(shift), dtype=kind)).astype(np.float64)
        return np.asarray(np.round(shift / unit) * unit)

    def sides(self, i: int, direction: Values) -> Sides:
        """What the results do on both sides."""
        step = self.step or self.usual / 2**4
        shift, near = self._exact(i, step * direction), self._exact(i, step / NEARER * direction)
        here = self._here
        near_down, near_up = ([numbers(y) for y in self.run(i, n * near)] for n in (-1, 1))
        far_down, down, up, far_up = ([numbers(y) for y in self.run(i, n * shift)] for n in (-2, -1, 1, 2))
        with np.errstate(all="ignore"):
            left = [(3 * y - 4 * a + b) / (2 * step) for y, a, b in zip(here, down, far_down, strict=True)]
            right = [(4 * a - b - 3 * y) / (2 * step) for y, a, b in zip(here, up, far_up, strict=True)]
            leaps = [
                (
                    [a - y for a, y in zip(ys, here, strict=True)],
                    [a - y for a, y in zip(near, here, strict=True)],
                )
                for near, ys in ((near_down, down), (near_up, up))
            ]
        return Sides(step, left, right, leaps, [np.abs(y) for y in here])
