"""What kinds of things a training can be made of."""

from collections.abc import Iterable, Mapping
from typing import Any

from bpkit import nn, tree
from bpkit._messages import a_type
from bpkit.data.batches import check_no_loader
from bpkit.errors import ArgumentError, DataError
from bpkit.optim import Optimizer
from bpkit.transforms.arguments import is_array

__all__ = ["check_data", "check_kinds", "check_maker", "check_model"]


def check_kinds(loss: Any, optimizer: Any, metrics: Any, callbacks: Any, key: Any) -> None:
    """Refuse what cannot be what it is given for.

    Raises
    ------
    ArgumentError
        That names the argument, what was expected, what came, and what to write.
    """
    if not callable(loss) or isinstance(loss, type):
        raise ArgumentError(
            f"fit: loss: expected a function (output, target) -> scalar, such as "
            f"bpkit.losses.softmax_cross_entropy, got {_shown(loss)}"
        )
    # A class of the caller's own with these two will do.
    if isinstance(optimizer, type) or not all(
        callable(getattr(optimizer, name, None)) for name in ("init", "update")
    ):
        raise ArgumentError(
            f"fit: optimizer: expected an Optimizer, such as bpkit.optim.adam(1e-3), got {_shown(optimizer)}"
            + ("; call it with a learning rate" if callable(optimizer) else "")
        )
    if metrics is not None and (isinstance(metrics, str) or not isinstance(metrics, Mapping | Iterable)):
        raise ArgumentError(
            f"fit: metrics: expected a list of functions or a dict of them, got {_shown(metrics)}; write "
            f"metrics=[function]"
        )
    several = isinstance(callbacks, Iterable) and not isinstance(callbacks, str)
    wrong = [x for x in callbacks if not callable(x)] if several else [callbacks]
    if wrong:
        raise ArgumentError(
            f"fit: callbacks: expected a list of functions (event, state), got {_shown(wrong[0])}"
            + (" in it" if several else "; write callbacks=[function]")
        )
    if key is not None and not is_array(key):
        raise ArgumentError(
            f"fit: key: expected a key, got {_shown(key)}; make one with bpkit.random.key(seed)"
        )


def check_model(model: Any) -> None:
    """Refuse a model that cannot be called, or has nothing to train.

    Raises
    ------
    ArgumentError
    """
    if not callable(model) or isinstance(model, type):
        raise ArgumentError(f"fit: the model must be an object that can be called, got {a_type(type(model))}")
    if tree.leaves(nn.partition(model).trainable):
        return
    if not isinstance(model, nn.Module) and len(leaves := tree.leaves(model)) == 1 and leaves[0] is model:
        raise ArgumentError(
            f"fit: the model has nothing to train: {a_type(type(model))} is no tree of arrays; derive its "
            f"class from bpkit.nn.Module, and declare a field for each layer and array"
        )
    raise ArgumentError(
        "fit: the model has nothing to train: no floating array that is neither a buffer nor inside "
        "nn.Frozen, in a field that its class declares"
    )


def check_data(name: str, data: Any, batch_size: int | None, passes: int = 1) -> None:
    """Refuse data that cannot be read so often, or are not what they seem.

    Parameters
    ----------
    name : str
        Of the argument.
    data : object
    batch_size : int or None
    passes : int
        How many times they are gone through.

    Raises
    ------
    ArgumentError, DataError
    """
    if isinstance(data, str | bytes | Mapping) or not (
        isinstance(data, Iterable) or hasattr(data, "__getitem__") or hasattr(data, "shape")
    ):
        raise ArgumentError(
            f"{name}: expected a pair (x, y) of arrays, or an iterable of such pairs, got {_shown(data)}"
        )
    if isinstance(data, list) and data and all(map(is_array, data)):
        advice = "a pair of arrays is a tuple: (x, y)" if len(data) == 2 else "its items must be pairs (x, y)"
        raise DataError(f"{name} is a list of {len(data)} arrays; {advice}")
    check_no_loader(name, data, batch_size)
    if passes > 1 and isinstance(data, Iterable) and iter(data) is data:
        raise DataError(
            f"{name}: {a_type(type(data))} can be read only once, and {passes} epochs read it again; give "
            f"something that can be read again, or steps= of an epoch"
        )


def check_maker(make: Any) -> None:
    """Refuse what makes no optimizer of a learning rate.

    Raises
    ------
    ArgumentError
    """
    if not callable(make):
        made = " with its rate already" if isinstance(make, Optimizer) else ""
        raise ArgumentError(
            f"find_learning_rate: make_optimizer: expected a function of a learning rate, such as "
            f"bpkit.optim.adam without a call, got {_shown(make)}{made}"
        )


def _shown(value: Any) -> str:
    name = getattr(value, "__name__", None)
    if name is not None:
        return f"the {type(value).__name__ if not isinstance(value, type) else 'class'} {name}"
    if isinstance(value, str | int | float | None):
        return repr(value)
    return a_type(type(value))
