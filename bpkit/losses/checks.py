"""What a loss asks of its arguments before it computes."""

import functools
import itertools
import math
from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import Backend, RawArray
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.indexing import places_of
from bpkit.kinds import is_real, raw
from bpkit.registry import backend_of

__all__ = [
    "check_labels",
    "check_same_shape",
    "check_target",
    "check_values",
    "class_numbers",
    "example_weight",
    "floating",
    "positive",
]


def check_same_shape(
    name: str, first: str, output: RawArray, target: RawArray, *, single: bool = False
) -> None:
    """Refuse shapes that differ, an empty batch and, unless `single`, a batch without an axis of outputs."""
    shape = tuple(output.shape)
    if shape != tuple(target.shape):
        hint = "; turn class numbers into rows with bpkit.xp.one_hot" if target.shape == shape[:-1] else ""
        if shape == (*target.shape, 1):
            hint = "; write target[:, None]" if len(shape) == 2 else "; write target[..., None]"
        raise ShapeError(
            f"{name}: {first} and target must have the same shape, got {shape} and "
            f"{tuple(target.shape)}{hint}"
        )
    if len(shape) < 2 and not single:
        raise ShapeError(
            f"{name}: {first} of shape {shape} may be one example or a batch of single outputs; write "
            f"{first}[None, :] for the one and {first}[:, None] for the other, and the same for target"
        )
    if 0 in shape:
        raise ShapeError(f"{name}: the batch is empty, {first} has shape {shape}")


def check_target(name: str, logits: RawArray, target: RawArray) -> None:
    """Refuse what is neither class numbers nor rows of as many numbers as there are classes."""
    shape, classes = tuple(logits.shape), tuple(target.shape)
    if not shape or classes not in (shape, shape[:-1]):
        raise ShapeError(
            f"{name}: got logits of shape {shape} and target of shape {classes}; expected logits (..., k), "
            f"and target (...) for class numbers or (..., k) for probabilities"
        )
    if 0 in shape:
        raise ShapeError(f"{name}: the batch is empty, logits has shape {shape}")


def class_numbers(
    name: str, labels: RawArray, classes: int, ignore_index: int | None
) -> tuple[RawArray, RawArray | None]:
    """Checked class numbers, with 0 for those that are ignored, and which are not; None for all."""
    limits = _limits(backend_of(raw(labels)), raw(labels).dtype)
    if limits is None:
        raise ArgumentError(
            f"{name}: class numbers must be integers, got dtype {labels.dtype}; convert them with "
            f"bpkit.xp.astype, or give probabilities, one row of {classes} for each example"
        )
    labels, kept = places_of(labels), None
    if ignore_index is not None and limits[0] <= ignore_index <= limits[1]:
        kept = labels != ignore_index
        labels = xp.where(kept, labels, xp.zeros_like(labels))
    check_labels(name, labels, classes)
    return labels, kept


def check_labels(name: str, labels: RawArray, classes: int) -> None:
    """Refuse class numbers out of range, with the first and its place."""
    values = raw(labels)
    wrong = (values < 0) | (values > classes - 1)
    check_values(name, values, wrong, f"the {classes} classes of logits have the numbers 0 to {classes - 1}")


def check_values(name: str, values: RawArray, wrong: RawArray, expected: str) -> None:
    """Refuse targets where `wrong` is true anywhere, if it can be looked at."""
    try:
        fine = not xp.any(wrong)
    except TypeError:
        # A library's own tracer (jax.jit) has no values to look at.
        return
    if not fine:
        index = next(i for i in itertools.product(*map(range, values.shape)) if wrong[i])
        value = float(values[index])
        shown = f"{value:.0f}" if value.is_integer() else f"{value:g}"
        place = f"target[{', '.join(map(str, index))}]" if index else "target"
        raise DataError(f"{name}: {place} is {shown}, but {expected}")


def example_weight(
    name: str, sample_weight: RawArray | None, like: RawArray, *, vectors: bool = False
) -> RawArray | None:
    """Weights in the dtype of `like`, with axes of length 1 added after those that they have.

    With `vectors` the last axis of `like` is not one of examples, and the result is without it.
    """
    if sample_weight is None:
        return None
    shape = tuple(like.shape[:-1] if vectors else like.shape)
    given = tuple(getattr(sample_weight, "shape", ()))
    if not given or given != shape[: len(given)]:
        raise ShapeError(
            f"{name}: sample_weight has shape {given}; expected {shape[:1]}, one weight for each example"
            + (f", or more of the first axes of {shape}" if len(shape) > 1 else "")
        )
    weight = xp.astype(sample_weight, like.dtype, copy=False)
    return xp.reshape(weight, given + (1,) * (len(shape) - len(given)))


def floating(target: RawArray, output: RawArray) -> RawArray:
    """The target in a dtype that may meet the outputs: the standard does not mix integers with floats."""
    return target if is_real(target) else xp.astype(target, output.dtype)


def positive(name: str, option: str, value: Any, *, zero: bool = False, stop: float = math.inf) -> float:
    """A setting that must be a finite number above 0, or from 0, and below `stop`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number >= 0 if zero else number > 0) or number >= stop:
        least = "of 0 or more" if zero else "above 0"
        most = "" if stop == math.inf else f" and below {stop:g}"
        raise ArgumentError(f"{name}: {option}: expected a number {least}{most}, got {value!r}")
    return number


@functools.lru_cache(maxsize=64)
def _limits(backend: Backend, dtype: Any) -> tuple[int, int] | None:
    """The range of an integer dtype; None for any other. Asked for every batch, so remembered."""
    if not backend.xp.isdtype(dtype, "integral"):
        return None
    info = backend.xp.iinfo(dtype)
    return int(info.min), int(info.max)
