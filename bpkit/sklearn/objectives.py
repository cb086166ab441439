"""Losses by name, and a loss with the penalty on weights that scikit-learn's networks have."""

from collections.abc import Callable, Mapping
from typing import Any

from bpkit import losses, nn
from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import is_real

__all__ = ["CLASSIFICATION", "REGRESSION", "Objective", "Penalized", "of_user", "penalized"]

Objective = Callable[[RawArray, RawArray, RawArray | None], RawArray]
"""``(output, target, weight) -> scalar``, the mean over a batch."""


def log_loss(output: RawArray, target: RawArray, weight: RawArray | None) -> RawArray:
    """Cross-entropy: of a softmax for class numbers, and for rows of 0 and 1 of a sigmoid for each column."""
    if is_real(target):
        return losses.sigmoid_cross_entropy(output, target, sample_weight=weight)
    return losses.softmax_cross_entropy(output, target, sample_weight=weight)


def squared_error(output: RawArray, target: RawArray, weight: RawArray | None) -> RawArray:
    """Half the squared distance, summed over the outputs."""
    return losses.quadratic(output, target, sample_weight=weight)


def poisson(output: RawArray, target: RawArray, weight: RawArray | None) -> RawArray:
    """Half the deviance of counts from ``exp(output)``, summed over the outputs."""
    own = xp.where(target > 0, target * xp.log(xp.where(target > 0, target, 1.0)), 0.0) - target
    terms = xp.sum(xp.exp(output) - target * output + own, axis=-1)
    return xp.mean(terms) if weight is None else xp.sum(terms * weight) / xp.sum(weight)


CLASSIFICATION: Mapping[str, Objective] = {"log_loss": log_loss}
REGRESSION: Mapping[str, Objective] = {"squared_error": squared_error, "poisson": poisson}


def of_user(loss: Callable[..., Any]) -> Objective:
    """A loss of :mod:`bpkit.losses`, or like one of these."""

    def objective(output: RawArray, target: RawArray, weight: RawArray | None) -> RawArray:
        if weight is None:
            return loss(output, target)
        try:
            return loss(output, target, sample_weight=weight)
        except TypeError as error:
            if "sample_weight" not in str(error):
                raise
            raise ArgumentError(
                f"loss: {getattr(loss, '__qualname__', loss)!r} takes no weights, and sample_weight or "
                f"class_weight was given; write it as loss(output, target, *, sample_weight=None)"
            ) from error

    return objective


class Penalized(nn.Module):
    """A model that also returns ``alpha / 2`` times the sum of the squares of its weights.

    Attributes
    ----------
    model : Module
    alpha : array of shape (1,), or None for no penalty
    """

    model: Any
    alpha: Any = nn.buffer()

    def __call__(self, x: RawArray) -> tuple[RawArray, RawArray | None]:
        """The output and the penalty."""
        output = self.model(x)
        if self.alpha is None:
            return output, None
        return output, xp.sum(self.alpha) * losses.l2(self.model, skip_biases=True)


def penalized(objective: Objective) -> Callable[[Any, Any], RawArray]:
    """A loss of what :class:`Penalized` returns and of pairs ``(target, weight)``.

    The penalty is divided by the number of examples in the batch, or by the sum of their weights. A batch
    whose weights are all 0 has the loss 0 and no gradient.
    """

    def loss(found: tuple[RawArray, RawArray | None], wanted: tuple[RawArray, RawArray | None]) -> RawArray:
        (output, penalty), (target, weight) = found, wanted
        empty = None if weight is None else xp.sum(weight) == 0
        if weight is not None:
            # Before any loss divides by the sum, as the gradient of 0 / 0 is NaN even where it is not chosen.
            weight = xp.where(empty, xp.ones_like(weight), weight)
        value = objective(output, target, weight)
        if penalty is not None:
            value = value + penalty / (output.shape[0] if weight is None else xp.sum(weight))
        return value if empty is None else xp.where(empty, xp.zeros_like(value), value)

    return loss
