"""The parameters of the estimators: what each must be."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from bpkit.nn import Module
from bpkit.optim import Optimizer

__all__ = ["check_settings", "check_unchanged", "is_stochastic", "layer_sizes", "made_with", "refused"]

STOCHASTIC = ("sgd", "adam")

Test = Callable[[Any], bool]


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(float(value))


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_share(value: Any) -> bool:
    return _is_real(value) and 0 <= value < 1


def _is_positive(value: Any) -> bool:
    return _is_real(value) and 0 < value < math.inf


def _is_not_negative(value: Any) -> bool:
    return _is_real(value) and 0 <= value < math.inf


def _one_of(*choices: str | None) -> tuple[Test, str]:
    return lambda value: any(value is x or value == x for x in choices if isinstance(value, str | None)), (
        f"one of {', '.join(map(repr, choices))}"
    )


FLAG = _is_flag, "True or False"
COUNT = _is_count, "an int of 1 or more"
SHARE = _is_share, "a number from 0 to below 1"
POSITIVE = _is_positive, "a number above 0"
NOT_NEGATIVE = _is_not_negative, "a number of 0 or more"

EXPECTED: Mapping[str, tuple[Test, str]] = {
    "activation": _one_of("identity", "logistic", "tanh", "relu"),
    "solver": (
        lambda value: (
            isinstance(value, Optimizer) or (isinstance(value, str) and value in ("lbfgs", *STOCHASTIC))
        ),
        "'adam', 'sgd', 'lbfgs' or an Optimizer, such as bpkit.optim.adamw(1e-3)",
    ),
    "alpha": NOT_NEGATIVE,
    "batch_size": (
        lambda value: (isinstance(value, str) and value == "auto") or _is_count(value),
        "'auto' or an int of 1 or more",
    ),
    "learning_rate": _one_of("constant", "invscaling", "adaptive"),
    "learning_rate_init": POSITIVE,
    "power_t": NOT_NEGATIVE,
    "max_iter": COUNT,
    "shuffle": FLAG,
    "tol": NOT_NEGATIVE,
    "verbose": (lambda value: _is_flag(value) or isinstance(value, Integral), "True or False"),
    "warm_start": FLAG,
    "momentum": (lambda value: _is_real(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "nesterovs_momentum": FLAG,
    "early_stopping": FLAG,
    "validation_fraction": (lambda value: _is_real(value) and 0 < value < 1, "a number between 0 and 1"),
    "beta_1": SHARE,
    "beta_2": SHARE,
    "epsilon": POSITIVE,
    "n_iter_no_change": (
        lambda value: _is_count(value) or (_is_real(value) and value == math.inf),
        "an int of 1 or more, or infinity",
    ),
    "max_fun": COUNT,
    "module": (
        lambda value: value is None or isinstance(value, Module) or callable(value),
        "None, a Module, or a function (n_features, n_outputs, key) -> Module",
    ),
    "backend": (
        lambda value: value is None or isinstance(value, str),
        "None or the name of a backend, such as 'torch' or 'torch:cuda:0'",
    ),
    "dtype": _one_of(None, "float32", "float64"),
}


def check_settings(estimator: Any, losses: Mapping[str, Any]) -> None:
    """Refuse a parameter that cannot be used.

    Parameters
    ----------
    estimator : estimator
    losses : mapping
        Those that have a name.

    Raises
    ------
    ValueError
        Naming the parameter, what it may be, and what it is.
    """
    table = {
        **EXPECTED,
        "loss": (
            lambda value: callable(value) or (isinstance(value, str) and value in losses),
            f"{' or '.join(map(repr, losses))}, or a function (output, target) -> scalar",
        ),
    }
    for name, (test, expected) in table.items():
        value = getattr(estimator, name)
        if not test(value):
            raise refused(estimator, name, expected, value)
    layer_sizes(estimator)


def layer_sizes(estimator: Any) -> list[int]:
    """``hidden_layer_sizes`` as a list.

    Raises
    ------
    ValueError
        If they are no sizes.
    """
    given = estimator.hidden_layer_sizes
    sizes = [given] if isinstance(given, Real) else given
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise refused(estimator, "hidden_layer_sizes", "ints of 1 or more", given)
    found = list(sizes)
    if not all(map(_is_count, found)):
        raise refused(estimator, "hidden_layer_sizes", "ints of 1 or more", given)
    return [int(size) for size in found]


def made_with(estimator: Any) -> dict[str, Any]:
    """The parameters that a network keeps from when it was made."""
    kept = {name: getattr(estimator, name) for name in ("module", "backend", "dtype")}
    if estimator.module is None:
        kept |= {"hidden_layer_sizes": layer_sizes(estimator), "activation": estimator.activation}
    return kept


def check_unchanged(estimator: Any, before: Mapping[str, Any], called: str) -> None:
    """Refuse to go on with a network that was made with other parameters.

    Parameters
    ----------
    estimator : estimator
    before : mapping
        What :func:`made_with` gave when the network was made.
    called : str
        What goes on.

    Raises
    ------
    ValueError
        Naming the parameter, what it was, and what it is.
    """
    for name, value in made_with(estimator).items():
        same = value is before[name] if name == "module" else value == before[name]
        if not same:
            raise ValueError(
                f"{type(estimator).__name__}.{called} goes on with the network of the previous call, which "
                f"was made with {name}={before[name]!r}, and {name} is now {value!r}; set it back, or begin "
                f"anew with fit and warm_start=False"
            )


def is_stochastic(estimator: Any) -> bool:
    """Whether it takes steps on batches; AttributeError otherwise, for scikit-learn's ``available_if``."""
    if isinstance(estimator.solver, str) and estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit takes steps on batches, which solver={estimator.solver!r} does not; use 'adam' or "
            f"'sgd'"
        )
    return True


def refused(estimator: Any, name: str, expected: str, value: Any) -> ValueError:
    """The error that a parameter is not what it must be."""
    return ValueError(f"{type(estimator).__name__}({name}={value!r}): {name} must be {expected}")
