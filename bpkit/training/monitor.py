"""Which epoch was the best, and whether to wait for a better one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bpkit.errors import ArgumentError
from bpkit.training.state import Epoch

__all__ = ["Monitor"]


@dataclass(frozen=True, slots=True)
class Monitor:
    """What is watched from epoch to epoch. It has no memory: all that it says follows from the history.

    Attributes
    ----------
    name : str
        ``"loss"``, or one of the metrics of an epoch.
    highest : bool
        Whether high values are good.
    patience : int or None
        Epochs to wait for a better one.
    min_delta : float
        By how much it must be better.

    Examples
    --------
    >>> monitor = Monitor("loss", False, 2, 0.0)
    >>> history = [Epoch(n + 1, loss, {}, 0.0, 0.0) for n, loss in enumerate([3.0, 1.0, 2.0, 1.0])]
    >>> monitor.best(history).epoch, monitor.is_over(history[:3]), monitor.is_over(history)
    (2, False, True)
    """

    name: str
    highest: bool
    patience: int | None
    min_delta: float

    @classmethod
    def of(
        cls,
        name: str | None,
        highest: bool | None,
        patience: int | None,
        min_delta: float,
        measured: Iterable[str] | None,
    ) -> "Monitor":
        """The monitor of these settings.

        Raises
        ------
        ArgumentError
            If nothing of this name is measured, or it is not said whether high or low is good.
        """
        available = ["loss", *(measured or ())]
        name = name or available[min(1, len(available) - 1)]
        if name not in available:
            raise ArgumentError(
                f"fit(monitor={name!r}): expected one of {', '.join(available)}, which are measured"
            )
        if highest is None:
            if name not in ("loss", "validation_loss"):
                raise ArgumentError(
                    f"fit(monitor={name!r}): say whether the best is the highest or the lowest: "
                    f"highest=True or highest=False"
                )
            highest = False
        return cls(name, highest, patience, min_delta)

    def value(self, epoch: Epoch) -> float:
        """What it has in an epoch; NaN if nothing."""
        return epoch.loss if self.name == "loss" else epoch.metrics.get(self.name, math.nan)

    def best(self, history: Sequence[Epoch]) -> Epoch | None:
        """The last epoch that was better than all before it; None if there is none."""
        found, best = None, -math.inf
        for epoch in history:
            value = self.value(epoch) if self.highest else -self.value(epoch)
            if value > best + self.min_delta if found else value > best:
                found, best = epoch, value
        return found

    def is_over(self, history: Sequence[Epoch]) -> bool:
        """Whether the patience is at its end."""
        if self.patience is None or not history:
            return False
        best = self.best(history)
        return len(history) - (best.epoch if best else 0) >= self.patience
