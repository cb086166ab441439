"""How long the first steps may be: a short training whose learning rate grows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, DivergedError
from bpkit.optim import Optimizer, Schedule
from bpkit.training.arguments import check_maker
from bpkit.training.fit import fit
from bpkit.training.state import Epoch, State, Step
from bpkit.training.step import Loss

__all__ = ["RateSearch", "find_learning_rate"]

SMOOTHING = 0.9
"""How much of the running mean of losses stays in each step."""

FIRST = 10
"""Steps at the beginning whose running mean says little."""


@dataclass(frozen=True, slots=True)
class RateSearch:
    """What :func:`find_learning_rate` found.

    Attributes
    ----------
    suggestion : float
        A tenth of the rate at which the smoothed loss was lowest.
    rates, losses : NumPy arrays, shape (steps,)
        The rate of each step and the loss before it.
    smoothed : NumPy array, shape (steps,)
        Running means of the losses.
    """

    suggestion: float
    rates: np.ndarray[Any, Any]
    losses: np.ndarray[Any, Any]
    smoothed: np.ndarray[Any, Any]


def find_learning_rate(
    model: Any,
    data: Any,
    loss: Loss,
    make_optimizer: Callable[[Schedule], Optimizer],
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    key: RawArray | None = None,
    jit: bool = True,
) -> RateSearch:
    """Train for some steps with a learning rate that grows from step to step, and look at the losses.

    While the rate is too small the loss stays where it is, then it falls, and where the rate is too large it
    rises again. The training ends there. The model that was given is left as it is.

    Parameters
    ----------
    model, data, loss, batch_size, key, jit
        As for :func:`bpkit.training.fit`.
    make_optimizer : callable
        ``learning rate -> optimizer``, such as :func:`bpkit.optim.adam`, or a function of the rate that calls
        one with other settings.
    lowest, highest : float
        The first and the last rate; between them it grows by the same factor in each step.
    steps : int
        At most; above 10.

    Returns
    -------
    RateSearch

    Raises
    ------
    ArgumentError
        If the rates are not positive and in order, or there are too few steps; else what `fit` raises.
    DivergedError
        If the loss rises, or is not finite, within the first steps.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.

    Examples
    --------
    >>> from bpkit import losses, nn, optim, random
    >>> from bpkit.data import digits
    >>> train = digits().train
    >>> found = find_learning_rate(
    ...     nn.Dense(64, 10, key=random.key(0)),
    ...     (train.images, train.labels),
    ...     losses.softmax_cross_entropy,
    ...     optim.sgd,
    ... )
    >>> 0.01 < found.suggestion < 10
    True
    """
    check_maker(make_optimizer)
    if not 0 < lowest < highest < math.inf:
        raise ArgumentError(
            f"find_learning_rate(lowest={lowest!r}, highest={highest!r}): expected 0 < lowest < highest"
        )
    if not isinstance(steps, int) or steps <= FIRST:
        raise ArgumentError(f"find_learning_rate(steps={steps!r}): expected a whole number above 10")
    growth = math.log(highest / lowest) / (steps - 1)

    def rate(count: RawArray) -> RawArray:
        return lowest * xp.exp(growth * xp.astype(count, "float32"))

    found: list[float] = []
    smoothed: list[float] = []

    def watch(event: Step | Epoch, state: State) -> bool:
        if isinstance(event, Epoch):
            return False
        found.append(state.read_losses()[-1])
        mean = SMOOTHING * (smoothed[-1] * _share(len(found) - 1) if smoothed else 0.0)
        smoothed.append((mean + (1 - SMOOTHING) * found[-1]) / _share(len(found)))
        least = min(smoothed)
        return len(found) >= steps or smoothed[-1] - least > 3 * abs(least)

    try:
        # Passes through arrays have no end here; of what is read, the steps are one epoch.
        resident = isinstance(data, tuple)
        fit(
            model,
            data,
            loss,
            make_optimizer(rate),
            epochs=steps if resident else 1,
            steps=None if resident else steps,
            batch_size=batch_size,
            key=key,
            callbacks=[watch],
            progress=False,
            jit=jit,
        )
    except DivergedError:
        if len(found) <= FIRST:
            raise
    if len(found) <= FIRST:
        raise DivergedError(
            f"find_learning_rate: with rates from {lowest:g} on the loss rose to four times its least within "
            f"{len(found)} steps; begin with a lower one: lowest={lowest / 1000:g}"
        )
    rates = lowest * np.exp(growth * np.arange(len(found)))
    best = FIRST + int(np.argmin(smoothed[FIRST:]))
    return RateSearch(float(rates[best]) / 10, rates, np.asarray(found), np.asarray(smoothed))


def _share(count: int) -> float:
    """How much of a running mean is losses by now."""
    return 1 - SMOOTHING**count
