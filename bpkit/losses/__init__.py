"""What a network is trained to make small: a scalar from a batch of outputs and a batch of targets.

The first axis counts the examples of the batch, and a loss is a mean over them. All options of a loss are
keywords. Weights of examples are relative: a weighted loss is ``sum(w * cost) / sum(w)``, and an example of
weight 0 is left out, so that its output and its target may be anything, NaN too. Where everything has weight
0 there is nothing to learn from: the loss is 0 and so is its gradient.

Where values can be read, targets that make no sense (the number of a class that does not exist) are refused
with their place. A compiled function (:func:`bpkit.jit`) looks at those it was recorded with only.
"""

from typing import TYPE_CHECKING

from bpkit.losses.classification import (
    hinge,
    multiclass_hinge,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from bpkit.losses.distance import (
    cosine,
    huber,
    kl_divergence,
    mean_absolute_error,
    mean_squared_error,
    quadratic,
)
from bpkit.losses.penalties import l1, l2

__all__ = [
    "cosine",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "l2",
    "mean_absolute_error",
    "mean_squared_error",
    "multiclass_hinge",
    "quadratic",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

if not TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name):
        from bpkit._other_names import unknown_name

        raise unknown_name(__name__, __all__, name)
