"""Settings to start from."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bpkit.errors import SettingsError
from bpkit.training.settings import CHOICES, OPTIMIZERS, Settings

__all__ = ["PRESETS", "preset"]

# Chosen by images to train and to validate alone, in five folds over 30 seeds.
_DEFAULT = {
    "hidden": (100, 50),
    "activation": "relu",
    "init": "he-normal",
    "cost": "softmax",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "batch_size": 32,
    "epochs": 30,
    "seed": 0,
    "dtype": "float32",
    "jit": True,
}

# M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1: net.SGD(training_data, 30, 10, 3.0)
_NIELSEN = {
    **_DEFAULT,
    "hidden": (30,),
    "activation": "sigmoid",
    "init": "standard-normal",
    "cost": "quadratic",
    "learning_rate": 3.0,
    "momentum": 0.0,
    "batch_size": 10,
    "epochs": 30,
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "default": {
            "digits": _DEFAULT,
            "mnist": {**_DEFAULT, "hidden": (128,), "batch_size": 64, "epochs": 10},
        },
        "nielsen": {"digits": _NIELSEN, "mnist": _NIELSEN},
    }
)
"""By name of preset and of data set."""


def preset(dataset: str = "digits", name: str = "default", **changes: Any) -> Settings:
    """The settings of a preset, with changes.

    Parameters
    ----------
    dataset : {"digits", "mnist"}
    name : {"default", "nielsen"}
        ``"default"``: hidden layers of rectifiers, softmax, momentum; quick and good.
        ``"nielsen"``: the first network of M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1:
        30 sigmoid neurons, N(0, 1) weights and biases, quadratic cost, batches of 10, learning rate 3.
    **changes
        Fields of :class:`Settings` with other values. With another `optimizer`, learning rate and momentum
        are those that it begins with, unless they are given too.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        If a name is unknown or a value cannot be used.

    Examples
    --------
    >>> settings = preset("mnist", "nielsen", epochs=3)
    >>> settings.sizes, settings.learning_rate, settings.epochs
    ((784, 30, 10), 3.0, 3)
    """
    if name not in PRESETS:
        raise SettingsError("preset", name, f"one of {', '.join(PRESETS)}")
    if dataset not in CHOICES["dataset"]:
        raise SettingsError("dataset", dataset, f"one of {', '.join(CHOICES['dataset'])}")
    for field, value in changes.items():
        if field not in _DEFAULT:
            close = difflib.get_close_matches(field, _DEFAULT, n=1)
            hint = f"no such setting; did you mean {close[0]}?" if close else f"one of {', '.join(_DEFAULT)}"
            raise SettingsError(field, value, hint)
    values = {**PRESETS[name][dataset]}
    chosen = changes.get("optimizer", values["optimizer"])
    if chosen != values["optimizer"] and chosen in OPTIMIZERS:
        values |= {"learning_rate": OPTIMIZERS[chosen][0], "momentum": 0.0}
    values |= changes
    return Settings(dataset=dataset, preset=name, **values)
