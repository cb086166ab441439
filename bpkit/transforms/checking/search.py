"""How far a derivative is from the slopes of its function, and where most."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bpkit.errors import ArgumentError
from bpkit.transforms.checking.differences import Slope, Values, Variable
from bpkit.transforms.checking.level import ROUNDINGS, Level, axis, drawn, unit

__all__ = ["Found", "search"]

ONE_BY_ONE = 32
"""A variable of up to so many real numbers is checked number by number."""
DIRECTIONS = 4
"""A larger one is checked along so many random directions."""
SINGLE = float(np.finfo(np.float32).eps)
"""The coarsest numbers that a function may compute with inside without being called wrong."""


@dataclass(frozen=True)
class Found:
    """How far a derivative along a direction is from the slope there.

    Attributes
    ----------
    step : float
        Of the difference.
    error, allowed : float
        Absolute.
    noise : float
        How much of `allowed` is for rounding.
    size : float
        What a relative error refers to.
    rough : float
        How far the function is from being smooth, which may be its rounding.
    coarse : float
        What would be allowed to a function that computes in float32.
    found, expected : float
        The derivative and the slope.
    result, k : int
        Which number of which row of :meth:`Level.seen` this is.
    place : str
        Where in the variable.
    slopes : pair of float or None
        From the left and from the right, if they differ.
    jump : float or None
        How much the function changes over next to nothing.
    """

    step: float
    error: float
    allowed: float
    noise: float
    size: float
    rough: float
    coarse: float
    found: float
    expected: float
    result: int
    k: int
    place: str = ""
    slopes: tuple[float, float] | None = None
    jump: float | None = None

    @property
    def excess(self) -> float:
        """How many times larger the error is than it may be."""
        if self.error in (0, math.inf):
            return self.error
        return self.error / self.allowed if self.allowed else math.inf

    @property
    def doubt(self) -> float:
        """How far off the derivative may be."""
        return self.error if self.error == math.inf else self.error + self.noise

    @property
    def settled(self) -> bool:
        """Whether they agree, and not because rounding hides the slope."""
        return self.error == 0 or (self.excess <= 1 and 2 * self.noise <= self.allowed)


def search(level: Level, modes: Sequence[str]) -> Iterator[tuple[str, Variable, Found]]:
    """What is worst in each variable, for each mode."""
    for i, x in enumerate(level.settings.variables):
        n = x.row.size
        one_by_one = n <= ONE_BY_ONE
        rng = np.random.default_rng((level.order, 3, i))
        directions = [
            axis(n, k) if one_by_one else unit(drawn(rng, n)) for k in range(n if one_by_one else DIRECTIONS)
        ]
        tried = [_measure(level, i, direction, modes) for direction in directions]
        for mode in modes:
            founds = _surest([steps[mode] for steps in tried])
            k = max(range(len(founds)), key=lambda k: founds[k].excess)
            found, direction, where = founds[k], directions[k], "random directions"
            if one_by_one:
                where = x.place(k)
            elif found.excess > 1:
                found, direction, where = _locate(level, i, mode, found, direction)
            if found.excess > 1:
                found = _beside(level, i, mode, found, direction)
            yield mode, x, replace(found, place=where)


def _measure(level: Level, i: int, direction: Values, modes: Sequence[str]) -> dict[str, list[Found]]:
    """How far each mode is from the slope along a direction, by one step after the other until it is sure."""
    tried: dict[str, list[Found]] = {mode: [] for mode in modes}
    for slope in level.differences.slopes(i, direction):
        for mode, founds in tried.items():
            if not founds or not founds[-1].settled:
                founds.append(_compare(level, i, mode, slope))
        if all(founds[-1].settled for founds in tried.values()):
            break
    if not all(tried.values()):
        raise ArgumentError(
            f"check_grads of {level.settings.function}: a step of eps={level.settings.step!r} is lost in the "
            f"rounding of {level.settings.variables[i].name}; choose a larger one, or leave eps out"
        )
    return tried


def _surest(tried: list[list[Found]]) -> list[Found]:
    """What the steps along each direction say together."""
    # What is rough at the smallest step is rounding inside the function, or where a solver in it stopped. It
    # is as large at the first step, where it counts least. A kink is smaller there by as much as the step. A
    # jump is as large, too: what is more than numbers of float32 would do is no rounding.
    rough = max([founds[-1].rough for founds in tried if len(founds) > 2], default=0.0)
    surest = []
    for founds in tried:
        best = founds[-1] if founds[-1].settled else min(founds, key=lambda found: found.doubt)
        first = founds[0]
        if best.excess > 1 and first.noise < 0.01 * first.error:
            more = min(ROUNDINGS * rough / first.step, first.coarse)
            first = replace(first, allowed=first.allowed + more)
            best = first if first.excess <= 1 else best
        surest.append(best)
    return surest


def _compare(level: Level, i: int, mode: str, slope: Slope) -> Found:
    """A derivative beside a slope: the number that is furthest off."""
    settings = level.settings
    rows = zip(
        level.exact(mode, i, slope.direction),
        level.seen(mode, slope.change),
        level.bounds(mode, slope.sizes),
        level.bounds(mode, slope.roughness),
        strict=True,
    )
    founds = []
    for result, ((exact, sizes, size), change, largest, rough) in enumerate(rows):
        if exact.size:
            errors = np.abs(exact - change)
            errors[~np.isfinite(errors)] = np.inf
            noise = _noise(level, i, slope.direction, slope.step, largest)
            if settings.atol is None:
                # Each number by its own size, so that large ones do not hide what is wrong with small ones;
                # but what rounds the large ones may round those that are differences of such.
                noise += ROUNDINGS * settings.own * size
            more = noise if settings.atol is None else settings.atol
            allowed = settings.rtol * np.where(np.isfinite(sizes), sizes, size) + more
            k = int(np.argmax(_excess(errors, allowed)))
            founds.append(
                Found(
                    step=slope.step,
                    error=float(errors[k]),
                    allowed=float(allowed[k]),
                    noise=noise,
                    size=float(sizes[k]),
                    rough=rough if settings.atol is None else 0.0,
                    coarse=4 * math.sqrt(SINGLE) * size + _single(max(largest, settings.size)),
                    found=float(exact[k]),
                    expected=float(change[k]),
                    result=result,
                    k=k,
                )
            )
    return max(founds, key=lambda found: found.excess)


def _excess(errors: Values, allowed: Values) -> Values:
    """How many times larger errors are than they may be."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(errors == 0, 0.0, errors / allowed))


def _noise(level: Level, i: int, direction: Values, step: float, size: float) -> float:
    """How far rounding of results of this size may bring a slope and a derivative apart."""
    settings = level.settings
    if settings.atol is not None:
        return 0.0
    # What rounding does to a function's last operations it does to its derivative too, even if that is 0.
    own = settings.own / math.sqrt(direction.size) / np.max(np.abs(settings.variables[i].row), initial=1.0)
    return float(ROUNDINGS * (settings.eps / step + own) * max(size, settings.size))


def _single(size: float) -> float:
    """How far rounding to float32 may bring a slope and a derivative apart, at the step that suits it."""
    return ROUNDINGS * SINGLE / 2.0 ** round(math.log2(SINGLE) / 5) * size


def _locate(level: Level, i: int, mode: str, found: Found, direction: Values) -> tuple[Found, Values, str]:
    """The worst element: by halves, and then number by number."""
    n, first, end = direction.size, 0, direction.size
    while end - first > ONE_BY_ONE:
        middle = (first + end) // 2
        halves = []
        for a, b in ((first, middle), (middle, end)):
            half = np.zeros(n)
            half[a:b] = direction[a:b] * 2.0 ** round(math.log2(n / (b - a)) / 2)
            halves.append(_measure(level, i, half, (mode,))[mode])
        upper, lower = _surest(halves)
        first, end = (first, middle) if upper.excess > lower.excess else (middle, end)
    each = _surest([_measure(level, i, axis(n, k), (mode,))[mode] for k in range(first, end)])
    k = max(range(len(each)), key=lambda k: each[k].excess)
    where = level.settings.variables[i].place(first + k)
    if each[k].excess > 1:
        return each[k], axis(n, first + k), where
    return found, direction, f"random directions, most at {where}"


def _beside(level: Level, i: int, mode: str, found: Found, direction: Values) -> Found:
    """What is found, with the jump or the kink that explains it."""
    sides = level.differences.sides(i, direction)

    def number(rows: list[Values]) -> float:
        return float(level.seen(mode, rows)[found.result][found.k])

    noise = _noise(level, i, direction, sides.step, level.bounds(mode, sides.sizes)[found.result])
    for leap in sides.leaps:
        whole, near = (abs(number(rows)) for rows in leap)
        # A smooth function, and one with a kink, changes less by as much as the step is smaller.
        if near > whole / 4 + noise * sides.step and near > 0.1 * found.error * found.step:
            return replace(found, jump=near)
    left, right = number(sides.left), number(sides.right)
    if abs(left - right) > 0.01 * max(abs(left), abs(right)) + noise:
        return replace(found, slopes=(left, right))
    return found
