"""How a function of single examples is applied to a whole batch of them.

A rule gets the operands one level down. Those that are batched have their examples along an axis in front;
the others are the same for every example. It returns the result with such an axis in front, or a tuple of
results. Rules end in :func:`bpkit.trace.call`, so that what they do is differentiated, batched and recorded
like everything else.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, NoReturn

from bpkit.errors import BatchingError
from bpkit.trace import call

__all__ = [
    "BATCHING",
    "Operand",
    "Rule",
    "after_batch",
    "aligned",
    "batching",
    "each_by_itself",
    "flat",
    "in_front",
    "refused",
    "reshaped",
    "rule_of",
    "transposed",
]


class Operand(NamedTuple):
    """An operand of a function that is applied to a batch.

    Attributes
    ----------
    value
        An array, a Python scalar or None.
    batched : bool
        Whether its first axis counts the examples.
    """

    value: Any
    batched: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        shape: tuple[int, ...] = getattr(self.value, "shape", ())
        return shape[1:] if self.batched else shape


Rule = Callable[..., Any]
"""``rule(name, size, *operands, **static)``: `size` is the number of examples."""

BATCHING: dict[str, Rule] = {}
"""The batching rule of every function by name."""


def batching(*names: str) -> Callable[[Rule], Rule]:
    """Register the batching rule of functions."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if name in BATCHING:
                raise ValueError(f"{name!r} already has a batching rule")
            BATCHING[name] = rule
        return rule

    return register


def rule_of(name: str) -> Rule:
    """The batching rule of a function.

    Raises
    ------
    BatchingError
        If it has none.
    """
    try:
        return BATCHING[name]
    except KeyError:
        raise BatchingError(
            f"{name} has no batching rule, and its operands differ between the examples. Call it outside "
            f"vmap, on the whole batch"
        ) from None


def refused(name: str, reason: str, advice: str) -> NoReturn:
    """Refuse what cannot be done for all examples at once."""
    raise BatchingError(f"vmap: {name}: {reason}. {advice}")


# What rules are made of.


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """``reshape``, where it changes anything."""
    return x if tuple(x.shape) == shape else call("reshape", x, shape=shape, copy=None)


def transposed(x: Any, axes: tuple[int, ...]) -> Any:
    """``permute_dims``, where it changes anything."""
    return x if axes == tuple(range(len(axes))) else call("permute_dims", x, axes=axes)


def after_batch(axis: int, n_axes: int) -> int:
    """The place of an example's axis, counted from either end, in the batch."""
    if not -n_axes <= axis < n_axes:
        raise IndexError(f"axis {axis} is out of bounds for an array of {n_axes} axes")
    return axis % n_axes + 1


def in_front(size: int, x: Operand) -> Any:
    """An array with the batch axis, repeated along it if it is the same for every example."""
    if x.batched:
        return x.value
    return call("broadcast_to", x.value, shape=(size, *x.value.shape))


def aligned(operands: tuple[Operand, ...], n_axes: int | None = None) -> list[Any]:
    """The values, in which broadcasting pairs the axes of examples as it does without a batch.

    Examples with fewer than `n_axes` axes (by default those of the operand with the most) get axes of length
    1 after the batch axis. What is not batched is broadcast as it is.
    """
    if n_axes is None:
        n_axes = max(len(x.shape) for x in operands)
    values = []
    for x in operands:
        missing = n_axes - len(x.shape)
        value = x.value
        if x.batched and missing:
            value = reshaped(value, (value.shape[0], *(1,) * missing, *x.shape))
        values.append(value)
    return values


def flat(x: Operand) -> Any:
    """A batch whose examples have one axis."""
    return reshaped(x.value, (x.value.shape[0], prod(x.shape)))


def each_by_itself(name: str, size: int, *operands: Operand, **static: Any) -> Any:
    """The function for one example after the other: for what a library does for one at a time only."""
    if not size:
        refused(name, "the batch is empty, and it is done for one example at a time", "Pass an example")
    found = []
    for i in range(size):
        values = [call("getitem", x.value, key=(i, ...)) if x.batched else x.value for x in operands]
        example = call(name, *values, **static)
        found.append(reshaped(example, (1, *example.shape)))
    return call("concat", *found, axis=0)
