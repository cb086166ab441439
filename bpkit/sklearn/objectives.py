"""Losses by name, and a loss with the penalty on weights that scikit-learn's networks have."""

from collections.abc import Callable, Mapping
from typing import Any

from bpkit import losses
from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import is_real

__all__ = ["CLASSIFICATION", "REGRESSION", "Objective", "of_user", "shielded"]

Objective = Callable[[RawArray, RawArray, RawArray | None], RawArray]
"""``(output, target, weight) -> scalar``, the mean over a batch."""


def log_loss(output: RawArray, target: RawArray, weight: RawArray | None) -> RawArray:
    """Cross-entropy: of a softmax for class numbers, and for rows of 0 and 1 of a sigmoid for each column."""
    if is_real(target):
        return losses.sigmoid_cross_entropy(output, target, sample_weight=weight)
    # For finite outputs. Of this form the gradient takes fewer functions than that of the loss in `losses`.
    shifted = output - xp.stop_gradient(xp.max(output, axis=-1, keepdims=True))
    logs = xp.log(xp.sum(xp.exp(shifted), axis=-1))
    own = xp.one_hot(target, output.shape[-1], dtype=output.dtype) * shifted
    if weight is None:
        return xp.mean(logs) - xp.sum(own) / output.shape[0]
    return xp.sum((logs - xp.sum(own, axis=-1)) * weight) / xp.sum(weight)


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


def shielded(objective: Objective) -> Callable[[RawArray, RawArray, RawArray | None, Any], RawArray]:
    """A loss that is 0, without a gradient, for a batch whose weights are all 0.

    It takes as the last argument whether they are, which is None where there are no weights.
    """

    def loss(output: RawArray, target: RawArray, weight: RawArray | None, empty: Any) -> RawArray:
        if weight is None:
            return objective(output, target, None)
        # Before any loss divides by the sum, as the gradient of 0 / 0 is NaN even where it is not chosen.
        value = objective(output, target, xp.where(empty, xp.ones_like(weight), weight))
        return xp.where(empty, xp.zeros_like(value), value)

    return loss
