"""Derivatives without derivatives: central differences."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bpkit import namespace as xp
from bpkit import registry
from bpkit.errors import ArgumentError
from bpkit.inspect.statistics import Host, on_host
from bpkit.kinds import device_of, is_complex, is_inexact
from bpkit.transforms.arguments import is_array

__all__ = ["Differences", "Slopes"]

MOST = 20_000
"""Outputs of all examples together; the cost is measured twice for each."""


class Slopes(NamedTuple):
    """Derivatives.

    Attributes
    ----------
    values : numpy.ndarray
    bent : numpy.ndarray or False
        Where the function has none, because it has a kink.
    noise : float
        How large rounding has made the error at most.
    """

    values: Host
    bent: Any = False
    noise: float = 0.0


class Differences:
    """Central differences in one precision.

    Parameters
    ----------
    wide : bool
        Whether that is float64.

    Attributes
    ----------
    rtol : float
        Of a difference, the error of which is of the order of the square of the step.
    exact : float
        Of what is computed by sums and products alone.
    """

    def __init__(self, wide: bool) -> None:
        self._dtype = "float64" if wide else "float32"
        self._eps = float(np.finfo(self._dtype).eps)
        self._step = float(np.cbrt(self._eps))
        self._kink = 1e-3 if wide else 0.1
        """In parts of the steepest slope: how far left and right slope differ at a kink."""
        self.rtol, self.exact = (1e-6, 1e-10) if wide else (1e-2, 1e-4)

    def widened(self, x: Any) -> Any:
        """An array in this precision."""
        if not is_array(x) or not is_inexact(x):
            return x
        if is_complex(x):
            raise ArgumentError(f"equations: expected real numbers, got an array of dtype {x.dtype}")
        return xp.astype(x, self._dtype)

    def of_cost(self, cost: Callable[[Any], Any], output: Any) -> Slopes:
        """The gradient by the output of each example's own cost, of which the cost is the mean."""
        start = on_host(output)
        if start.size > MOST:
            raise ArgumentError(
                f"equations: x: the {len(start):,} examples have {start.size:,} outputs, and the cost is "
                f"measured twice for each; give fewer examples, for {MOST:,} outputs at most"
            )
        right, left = np.zeros(start.shape), np.zeros(start.shape)
        middle = np.asarray(float(cost(output)))
        for place in np.ndindex(start.shape):
            right[place], left[place] = self._sides(cost, output, start, place, middle)
        slopes, noise, n = (right + left) / 2, self._noise(middle), len(start)
        bent = np.abs(right - left) > self._kink * np.max(np.abs(slopes)) + 4 * noise
        return Slopes(slopes * n, bent, noise * n)

    def pulled(self, function: Callable[[Any], Any], z: Any, v: Slopes) -> Slopes:
        """The transposed Jacobian of a function of each example, applied to numbers for its outputs."""
        start, middle = on_host(z), on_host(function(z))
        v_values = np.reshape(v.values, middle.shape)
        v_bent = np.broadcast_to(v.bent, middle.shape)
        axes = tuple(range(1, middle.ndim))
        found, jumps, unsure = np.zeros(start.shape), np.zeros(start.shape), np.zeros(start.shape, dtype=bool)
        steepest = 0.0
        for k in range(start.shape[1]):
            right, left = self._sides(function, z, start, (slice(None), k), middle)
            slopes = (right + left) / 2
            steepest = max(steepest, float(np.max(np.abs(slopes), initial=0)))
            found[:, k] = np.sum(slopes * v_values, axis=axes)
            jumps[:, k] = np.max(np.abs(right - left) * (v_values != 0), axis=axes)
            unsure[:, k] = np.any(v_bent & (slopes != 0), axis=axes)
        noise = self._noise(middle)
        bent = unsure | (jumps > self._kink * steepest + 4 * noise)
        each = noise * float(np.max(np.abs(v_values), initial=0)) + v.noise * steepest
        return Slopes(found, bent, each * middle[0].size)

    def _sides(
        self, function: Callable[[Any], Any], at: Any, start: Host, place: Any, middle: Host
    ) -> tuple[Host, Host]:
        """The slopes to the right and to the left, when the numbers at a place are moved."""
        sides = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved[place] += sign * self._step * np.maximum(1.0, np.abs(start[place]))
            by = moved[place] - start[place]
            backend = registry.backend_of(at)
            found = on_host(function(backend.from_host(moved, device_of(at))))
            sides.append(
                (found - middle) / (by if found.ndim == 0 else np.reshape(by, (-1, *[1] * (found.ndim - 1))))
            )
        return sides[0], sides[1]

    def _noise(self, values: Host) -> float:
        """What rounding makes of a slope of numbers of this size."""
        return 4 * self._eps * max(1.0, float(np.max(np.abs(values), initial=0))) / self._step
