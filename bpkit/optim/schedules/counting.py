"""What the schedules share: the count as a number, and what stands for a schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import raw
from bpkit.optim.made import Made
from bpkit.registry import backend_of

__all__ = ["Rated", "floating", "share", "steps_setting"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rated(Made):
    """A function of an integer array, which a Python int can stand for."""

    rate_at: Callable[[RawArray], RawArray]

    def __call__(self, count: Any) -> Any:
        """The rate after so many steps."""
        return float(self.rate_at(np.asarray(count))) if isinstance(count, int) else self.rate_at(count)


def steps_setting(called: str, name: str, value: Any, least: int = 1) -> int:
    """A setting that counts steps, as Python's own int.

    Raises
    ------
    ArgumentError
        If it is not an int of at least `least`, 1 or 0.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    expected = "a positive int" if least else "an int and not negative"
    raise ArgumentError(f"{called}({name}={value!r}): {name} must be {expected}; it counts steps")


def floating(count: RawArray) -> RawArray:
    """The count in the widest floating dtype that its library has."""
    here = backend_of(raw(count)).dtypes()
    return xp.astype(count, "float64" if "float64" in here else "float32")


def share(count: RawArray, total: int) -> RawArray:
    """How much of the way is done, from 0 to 1."""
    return xp.minimum(floating(count) / total, 1.0)
