"""What a network is trained to make small: a scalar from a batch of outputs and a batch of targets.

The first axis counts the examples of the batch, and a loss is the mean over them of the cost of one example.
"""

import functools
import itertools
import math
from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import Backend, RawArray
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.kinds import is_real, raw
from bpkit.registry import backend_of

__all__ = ["quadratic", "sigmoid_cross_entropy", "softmax_cross_entropy"]


def quadratic(output: RawArray, target: RawArray) -> RawArray:
    """Half the squared distance between output and target, averaged over the batch.

    ``C = 1/n * sum over examples x of 1/2 * sum over outputs j of (a[x, j] - y[x, j])**2``, with gradient
    ``(a - y) / n``.

    Parameters
    ----------
    output : array, shape (n, ...), floating
        What the network says; everything after the first axis belongs to one example.
    target : array of the same shape
        What it should say.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ, if there is no axis of outputs beside that of the batch, or if the batch is
        empty.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 1, equation 6.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.quadratic(xp.asarray([[1.0, 0.0], [0.0, 0.0]]), xp.asarray([[1.0, 2.0], [0.0, 2.0]]))
    np.float64(2.0)
    """
    _check_same_shape("quadratic", "output", output, target)
    return xp.sum(xp.square(output - _floating(target, output))) * (0.5 / output.shape[0])


def sigmoid_cross_entropy(logits: RawArray, target: RawArray) -> RawArray:
    """Cross-entropy of independent sigmoid outputs with their targets, from the logits.

    ``C = -1/n * sum over examples x and outputs j of y ln s(z) + (1 - y) ln(1 - s(z))`` with the logistic
    function ``s``, computed as ``softplus(z) - y z``, which neither overflows nor loses the gradient at any
    finite `z`. The gradient is ``(s(z) - y) / n``: no factor ``s'(z)`` slows a saturated neuron down.

    Parameters
    ----------
    logits : array, shape (n, ...), floating
        The weighted inputs ``z`` of the last layer, before the sigmoid.
    target : array of the same shape
        In [0, 1].

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ, if there is no axis of outputs beside that of the batch, or if the batch is
        empty.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equations 57 and 63.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.sigmoid_cross_entropy(xp.asarray([[1000.0, -1000.0]]), xp.asarray([[1.0, 1.0]]))
    np.float64(1000.0)
    """
    _check_same_shape("sigmoid_cross_entropy", "logits", logits, target)
    return xp.sum(xp.softplus(logits) - _floating(target, logits) * logits) * (1.0 / logits.shape[0])


def softmax_cross_entropy(logits: RawArray, target: RawArray) -> RawArray:
    """Cross-entropy of a softmax over classes with the right class, from the logits.

    ``C = -1/n * sum over examples x of ln p[x, class of x]`` with ``p = softmax(z)`` over the last axis, or
    with probabilities as targets ``-1/n * sum over x and k of y[x, k] ln p[x, k]``. It does not overflow at
    any finite `z`, and its gradient is ``(p - y) / n``.

    Parameters
    ----------
    logits : array, shape (..., k), floating
        The weighted inputs ``z`` of the last layer, before the softmax; every axis but the last counts
        examples.
    target : array
        Class numbers 0 … k - 1, integer, of shape (...); or one row of probabilities for each example, such
        as a one-hot row, of shape (..., k).

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shape of `target` is neither of the two, or if the batch is empty.
    ArgumentError
        If class numbers are not of integer dtype.
    DataError
        If a class number is out of range. Arrays that a library's own compiler traces have no values yet and
        are not checked.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equations 78 and 80.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> logits = xp.asarray([[1000.0, 0.0, 0.0], [0.0, 0.0, 1000.0]])
    >>> losses.softmax_cross_entropy(logits, xp.asarray([0, 1]))
    np.float64(500.0)
    """
    shape, classes = tuple(logits.shape), tuple(target.shape)
    if not shape or classes not in (shape, shape[:-1]):
        raise ShapeError(
            f"softmax_cross_entropy: got logits of shape {shape} and target of shape {classes}; expected "
            f"logits (..., k), and target (...) for class numbers or (..., k) for probabilities"
        )
    if 0 in shape:
        raise ShapeError(f"softmax_cross_entropy: the batch is empty, logits has shape {shape}")
    if classes != shape:
        _check_labels(target, shape[-1])
        target = xp.one_hot(target, shape[-1], dtype=logits.dtype)
    total = xp.sum(_floating(target, logits) * xp.log_softmax(logits, axis=-1))
    return total * (-1.0 / math.prod(shape[:-1]))


def _check_same_shape(name: str, first: str, output: RawArray, target: RawArray) -> None:
    shape = output.shape
    if shape != target.shape:
        hint = "; turn class numbers into rows with bpkit.xp.one_hot" if target.shape == shape[:-1] else ""
        raise ShapeError(
            f"{name}: {first} and target must have the same shape, got {tuple(shape)} and "
            f"{tuple(target.shape)}{hint}"
        )
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: {first} of shape {tuple(shape)} may be one example or a batch of single outputs; write "
            f"{first}[None, :] for the one and {first}[:, None] for the other, and the same for target"
        )
    if shape[0] == 0:
        raise ShapeError(f"{name}: the batch is empty, {first} has shape {tuple(shape)}")


def _check_labels(labels: RawArray, classes: int) -> None:
    values = raw(labels)
    limit = _largest_integer(backend_of(values), values.dtype)
    if limit is None:
        raise ArgumentError(
            f"softmax_cross_entropy: class numbers must be integers, got dtype {labels.dtype}; convert them "
            f"with bpkit.xp.astype, or give probabilities, one row of {classes} for each example"
        )
    # A narrow dtype may be unable to hold the last class, which JAX would wrap around.
    wrong = (values < 0) | (values > min(classes - 1, limit))
    try:
        fine = not xp.any(wrong)
    except TypeError:
        # A library's own tracer (jax.jit) has no values to look at.
        return
    if not fine:
        index = next(i for i in itertools.product(*map(range, values.shape)) if wrong[i])
        raise DataError(
            f"softmax_cross_entropy: target[{', '.join(map(str, index))}] is {int(values[index])}, but the "
            f"{classes} classes of logits have the numbers 0 to {classes - 1}"
        )


@functools.lru_cache(maxsize=64)
def _largest_integer(backend: Backend, dtype: Any) -> int | None:
    """The largest value of an integer dtype; None for any other. Asked for every batch, so remembered."""
    return int(backend.xp.iinfo(dtype).max) if backend.xp.isdtype(dtype, "integral") else None


def _floating(target: RawArray, logits: RawArray) -> RawArray:
    """The target in a dtype that may meet the outputs: the standard does not mix integers with floats."""
    return target if is_real(target) else xp.astype(target, logits.dtype)
