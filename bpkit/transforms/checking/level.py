"""A function to be checked: its derivatives in numbers, and as functions to be checked in their turn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.errors import GradientCheckError
from bpkit.kinds import device_of, is_complex
from bpkit.transforms.checking.differences import (
    Differences,
    Function,
    Values,
    Variable,
    named,
    numbers,
    place,
)
from bpkit.transforms.products import jvp, vjp

__all__ = ["ROUNDINGS", "Level", "Settings", "axis", "drawn", "unit"]

ROUNDINGS = 16
"""How many roundings of its result a function is granted."""
FAR = 2.0**10
"""Results that change so many times more slowly than others are given more weight."""


@dataclass(frozen=True)
class Settings:
    """What all levels of a check share.

    Attributes
    ----------
    function : str
        The name of what is checked, for errors.
    variables : list of Variable
    wide : bool
        Whether differences are taken in float64.
    eps, own : float
        Relative rounding errors: of the differences, and of the derivatives.
    size : float
        The largest number in the function's result.
    rtol : float
    atol, step : float or None
        None where the rounding errors decide.
    """

    function: str
    variables: list[Variable]
    wide: bool
    eps: float
    own: float
    size: float
    rtol: float
    atol: float | None
    step: float | None


class Level:
    """A function and what is to be checked of it: `f` itself, or a derivative of `f`.

    Parameters
    ----------
    settings : Settings
    fun : Function
    order : int
        Of the derivatives that are checked here.
    nesting : str
        Which modes lead from `f` to `fun`: ``"rev of fwd"``.
    names : list of str
        What messages call its results.
    values : list of NumPy arrays
        Its results.
    """

    def __init__(
        self,
        settings: Settings,
        fun: Function,
        order: int,
        nesting: str,
        names: list[str],
        values: list[Values],
    ) -> None:
        self.settings, self.fun, self.order, self.nesting = settings, fun, order, nesting
        self.names, self.values = names, values
        self.differences = Differences(fun, settings.variables, settings.wide, settings.eps, settings.step)

    @cached_property
    def _weights(self) -> list[Values]:
        """What reverse mode multiplies the results with, in their dtypes."""
        if self.order == 1 and sum(numbers(y).size for y in self.values) == 1:
            return [np.ones_like(y) for y in self.values]  # so that what is found is the gradient itself
        rng = np.random.default_rng((self.order, 0))
        return [
            _like(y, drawn(rng, scale.size) * scale)
            for y, scale in zip(self.values, self._scales(), strict=True)
        ]

    def _scales(self) -> list[Values]:
        """Factors that make results change about as fast as the fastest, so that none hides in the sum.

        Only those that are far slower, and as far as their rounding stays below what is allowed anyway.
        """
        settings = self.settings
        here, there = self.differences.aside
        with np.errstate(all="ignore"):
            change = [np.abs(x - y) for x, y in zip(here, there, strict=True)]
            fastest = max(float(np.max(c, where=np.isfinite(c), initial=0.0)) for c in change)
            most = np.divide(settings.rtol * fastest, ROUNDINGS * settings.own * settings.size)
            factors = [np.minimum(fastest / c, most) for c in change]
            return [np.where(f > FAR, 2.0 ** np.round(np.log2(f)), 1.0) for f in factors]

    @cached_property
    def _covector(self) -> Values:
        return np.concatenate([numbers(np.conj(c)) for c in self._weights])

    def result(self, mode: str, row: int, k: int) -> str:
        """What a message calls a number of :meth:`seen`."""
        if mode == "fwd":
            where = place(self.values[row], k)
            return f"{self.names[row]}, {where}," if where else self.names[row]
        what = self.names[0] if len(self.names) == 1 else "all results"
        return what if self._covector.size == 1 else f"{what}, summed with random weights,"

    # The derivatives of `fun` as functions.

    def derivative(self, mode: str) -> "Level":
        """The level above: what `mode` returns is the function to be checked."""
        variables, settings = self.settings.variables, self.settings
        if mode == "rev":
            fun, names = self._gradient, [f"the gradient by {x.name}" for x in variables]
        else:
            fun, names = self._tangent, [f"the tangent of {name}" for name in self.names]
        values = [variables[0].backend.to_host(y) for y in fun(*self._primals)]
        nesting = f"{mode} of {self.nesting}" if self.nesting else mode
        return Level(settings, named(fun, settings.function), self.order + 1, nesting, names, values)

    def _gradient(self, *xs: Any) -> list[Any]:
        out, pullback = vjp(self.fun, *xs)
        growth = self._growth(xs)
        return list(pullback([_scaled(c, growth) for c in self._cotangents(out)]))

    def _tangent(self, *xs: Any) -> list[Any]:
        growth = self._growth(xs)
        rng = np.random.default_rng((self.order, 1))
        directions = [v.array(drawn(rng, v.row.size)) for v in self.settings.variables]
        ts = [xp.astype(t, x.dtype, copy=False) for t, x in zip(directions, xs, strict=True)]
        moved: list[Any] = jvp(self.fun, xs, [_scaled(t, growth) for t in ts])[1]
        return moved

    def _cotangents(self, out: Sequence[Any]) -> list[Any]:
        """The weights of the results, in their dtypes, which may be others than those of a plain run."""
        backend = self.settings.variables[0].backend
        weights = zip(self._weights, out, strict=True)
        return [xp.astype(backend.from_host(c, device_of(y)), y.dtype, copy=False) for c, y in weights]

    def _growth(self, xs: Sequence[Any]) -> Any:
        """1 at the point and different beside it, so that cotangents and tangents depend on the arguments."""
        rng = np.random.default_rng((self.order, 2))
        total: Any = 1.0
        for v, x in zip(self.settings.variables, xs, strict=True):
            here, slope = v.array(v.row), v.array(unit(drawn(rng, v.row.size)))
            part = xp.sum((x - xp.astype(here, x.dtype)) * xp.astype(slope, x.dtype))
            total = total + (xp.real(part) if is_complex(part) else part)
        return total

    # Its derivatives, in numbers.

    def exact(self, mode: str, i: int, direction: Values) -> list[tuple[Values, Values, float]]:
        """What a mode says of a direction of variable `i`: the rows of :meth:`seen`, and sizes.

        What a relative error of each number refers to, which is its own size if it stands for one number, and
        the usual size of its row.
        """
        if mode == "fwd":
            rows = self._tangents(i, direction)
            return [(t, np.abs(t), float(np.max(np.abs(t), where=np.isfinite(t), initial=0.0))) for t in rows]
        g, moving = self._gradients[i], direction != 0
        row = np.asarray([g[moving] @ direction[moving]])
        # The derivative along a direction in which every element of the gradient is of its usual size.
        usual = math.sqrt(float(np.mean(np.square(g, where=np.isfinite(g), out=np.zeros_like(g)))))
        usual *= float(np.linalg.norm(direction))
        alone = np.count_nonzero(moving) == 1
        return [(row, np.abs(row) if alone else np.asarray([usual]), usual)]

    def seen(self, mode: str, rows: list[Values]) -> list[Values]:
        """What a mode differentiates: the results, or in reverse mode their weighted sum."""
        return rows if mode == "fwd" else [np.asarray([self._covector @ np.concatenate(rows)])]

    def bounds(self, mode: str, rows: list[Values]) -> list[float]:
        """How large the numbers of :meth:`seen` are where those of the results are as large as `rows`."""
        if mode == "fwd":
            return [float(np.max(row, initial=0.0)) for row in rows]
        return [float(np.linalg.norm(self._covector * np.concatenate(rows)))]

    @cached_property
    def _primals(self) -> list[Any]:
        return [x.array(x.row) for x in self.settings.variables]

    @cached_property
    def _gradients(self) -> list[Values]:
        """Reverse mode, as rows that pair with directions."""
        out, pullback = vjp(self.fun, *self._primals)
        self._check_values("rev", out)
        to_host = self.settings.variables[0].backend.to_host
        return [numbers(np.conj(to_host(g))) for g in pullback(self._cotangents(out))]

    def _tangents(self, i: int, direction: Values) -> list[Values]:
        """Forward mode along a direction of variable `i`."""
        variables = self.settings.variables
        ts = [x.array(direction if k == i else np.zeros_like(x.row)) for k, x in enumerate(variables)]
        out, moved = jvp(self.fun, self._primals, ts)
        self._check_values("fwd", out)
        return [numbers(variables[0].backend.to_host(t)) for t in moved]

    def _check_values(self, mode: str, out: Sequence[Any]) -> None:
        settings = self.settings
        for name, y, again in zip(self.names, self.values, out, strict=True):
            plain, run = numbers(y), numbers(settings.variables[0].backend.to_host(again))
            error = np.abs(plain - run)
            if np.all(error <= settings.rtol * np.max(np.abs(plain), initial=settings.size)):
                continue
            k = int(np.argmax(error))
            where = place(y, k)
            raise GradientCheckError(
                f"check_grads of {settings.function}: {name}{', ' + where if where else ''} is "
                f"{plain[k]:.10g}, and {run[k]:.10g} when the function runs in mode {mode}, order "
                f"{self.order}. A function must return the same each time: pass random numbers and state in "
                f"as arguments; where it has a rule of its own, the rule must return its value"
            )


def drawn(rng: "np.random.Generator", n: int) -> Values:
    """Between 1/2 and 1 with random signs, exact in every dtype."""
    return np.asarray(rng.integers(128, 257, n) / 256 * rng.choice([-1.0, 1.0], n))


def unit(row: Values) -> Values:
    """About as long as one number is."""
    return row * 2.0 ** -round(math.log2(row.size) / 2)


def axis(n: int, k: int) -> Values:
    """The direction of one number."""
    row = np.zeros(n)
    row[k] = 1.0
    return row


def _like(x: Values, row: Values) -> Values:
    values = row.view(np.complex128) if x.dtype.kind == "c" else row
    return values.reshape(x.shape).astype(x.dtype)


def _scaled(x: Any, growth: Any) -> Any:
    """A cotangent or tangent that grows with the arguments."""
    return xp.multiply(x, xp.astype(growth, x.dtype))
