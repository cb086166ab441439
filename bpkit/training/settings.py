"""Everything that decides how a run turns out, except the machine it runs on."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bpkit.errors import SettingsError

__all__ = ["CHOICES", "DATASETS", "OPTIMIZERS", "Settings"]

DATASETS: Mapping[str, tuple[int, int]] = {"digits": (64, 10), "mnist": (784, 10)}
"""Features per image and classes of each data set, so that a model can be built without the data."""

OPTIMIZERS: Mapping[str, tuple[float, str]] = {
    "sgd": (0.1, "straight against the gradient; --momentum adds what is left of the steps before"),
    "adagrad": (0.01, "shorter where gradients have been large so far; sparse data"),
    "rmsprop": (0.001, "shorter where gradients have been large of late; takes --momentum"),
    "adadelta": (1.0, "as long as the steps before, so that --lr hardly matters"),
    "adam": (0.001, "the mean gradient over its mean size: a good first choice"),
    "adamw": (0.001, "Adam whose --weight-decay is not scaled: the usual one for transformers"),
    "adamax": (0.002, "Adam with the largest gradient in place of the mean size"),
    "nadam": (0.002, "Adam that looks one step ahead"),
    "radam": (0.001, "Adam that begins carefully, by itself"),
    "lion": (0.001, "all of one length, by the sign of the mean gradient; keeps half of what Adam does"),
}
"""Learning rate to begin with, and what its steps are, of each function of :mod:`bpkit.optim` that can be
chosen."""

_WITH_MOMENTUM = ("sgd", "rmsprop")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "dataset": tuple(DATASETS),
    "activation": ("sigmoid", "tanh", "relu"),
    "init": ("standard-normal", "scaled-normal", "glorot-uniform", "he-normal"),
    "cost": ("quadratic", "cross-entropy", "softmax"),
    "optimizer": tuple(OPTIMIZERS),
    "dtype": ("float32", "float64"),
}
"""The values of each setting that is a name."""

MOST_WEIGHTS = 2**28
"""One gibibyte in float32, of which training needs several times as much."""


def _whole(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def _real(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "preset": (lambda x: isinstance(x, str), "the name of a preset"),
    "hidden": (
        lambda x: isinstance(x, tuple) and all(_whole(n) and n > 0 for n in x),
        "the sizes of the hidden layers, whole numbers above 0",
    ),
    "learning_rate": (lambda x: _real(x) and x > 0, "a finite number above 0"),
    "momentum": (lambda x: _real(x) and 0 <= x < 1, "a number from 0 to below 1"),
    "weight_decay": (lambda x: _real(x) and x >= 0, "a number not below 0"),
    "batch_size": (lambda x: _whole(x) and x > 0, "a whole number above 0"),
    "epochs": (lambda x: _whole(x) and x > 0, "a whole number above 0"),
    "jit": (lambda x: isinstance(x, bool), "True or False"),
    "seed": (lambda x: _whole(x) and 0 <= x < 2**63, "a whole number from 0 to 2**63 - 1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a run; :func:`bpkit.training.preset` has good ones.

    Attributes
    ----------
    dataset : {"digits", "mnist"}
    preset : str
        Which preset the settings started from; for the record.
    hidden : tuple of int
        Neurons of each hidden layer; empty for none.
    activation : {"sigmoid", "tanh", "relu"}
        Of the hidden layers. The output's activation belongs to the cost.
    init : {"standard-normal", "scaled-normal", "glorot-uniform", "he-normal"}
        How the weights are drawn: see :mod:`bpkit.nn.init`.
    cost : {"quadratic", "cross-entropy", "softmax"}
        Quadratic cost of sigmoid outputs, cross-entropy of sigmoid outputs, cross-entropy of a softmax.
    optimizer : {"sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "lion"}
        A function of :mod:`bpkit.optim`.
    learning_rate, momentum, weight_decay : float
        Of the optimizer. Momentum is 0 for those that have no such setting.
    batch_size : int
        Images per gradient step. The last batch of an epoch is smaller if the images do not divide evenly.
    epochs : int
        Passes through the training images.
    seed : int
        Decides the initial weights and the order of the images, with the same bits on every backend.
    dtype : {"float32", "float64"}
        Of weights and images.
    jit : bool
        Whether steps are compiled; see :func:`bpkit.training.train`. It decides how they round, and so does
        whether Numba is installed.

    Raises
    ------
    SettingsError
        If a value cannot be used; it names the field and what was expected.
    """

    dataset: str
    preset: str
    hidden: tuple[int, ...]
    activation: str
    init: str
    cost: str
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    seed: int
    dtype: str
    jit: bool

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise SettingsError(field, value, f"one of {', '.join(choices)}")
        for field, (holds, expected) in _CHECKS.items():
            value = getattr(self, field)
            if not holds(value):
                raise SettingsError(field, value, expected)
        if self.momentum and self.optimizer not in _WITH_MOMENTUM:
            raise SettingsError(
                "momentum", self.momentum, f"0: {self.optimizer} has none, {' and '.join(_WITH_MOMENTUM)} do"
            )
        weights = sum(m * n for m, n in pairwise(self.sizes))
        if weights > MOST_WEIGHTS:
            expected = f"layers with at most {MOST_WEIGHTS:,} weights in all, and these have {weights:,}"
            raise SettingsError("hidden", self.hidden, expected)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, from the image to the classes, for instance ``(784, 30, 10)``."""
        features, classes = DATASETS[self.dataset]
        return (features, *self.hidden, classes)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Settings":
        """The inverse of :meth:`to_json`.

        Raises
        ------
        SettingsError
            If a setting is missing, unknown or has a value that cannot be used.
        """
        values = {"jit": False, **values}  # runs from before there was this setting
        names = {field.name for field in dataclasses.fields(cls)}
        for name in sorted(names.symmetric_difference(values)):
            raise SettingsError(name, values.get(name), "a value" if name in names else "no such setting")
        hidden = values["hidden"]
        return cls(**{**values, "hidden": tuple(hidden) if isinstance(hidden, list) else hidden})
