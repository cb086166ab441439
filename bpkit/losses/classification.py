"""Losses of classifiers: cross-entropies from logits, and margins."""

import math

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import raw
from bpkit.losses.averaging import average, ratio, without_ignored
from bpkit.losses.checks import (
    check_same_shape,
    check_target,
    check_values,
    class_numbers,
    example_weight,
    floating,
    positive,
)

__all__ = ["hinge", "multiclass_hinge", "sigmoid_cross_entropy", "softmax_cross_entropy"]


def sigmoid_cross_entropy(
    logits: RawArray,
    target: RawArray,
    *,
    label_smoothing: float = 0.0,
    pos_weight: RawArray | float | None = None,
    sample_weight: RawArray | None = None,
) -> RawArray:
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
    label_smoothing : float
        From 0 to 1; moves the targets this part of the way to 1/2.
    pos_weight : array that broadcasts to the shape of `logits`, or float, optional
        Factor of the term ``y ln s(z)``: above 1 to find more of what is rare.
    sample_weight : array, shape (n,), or more of the first axes of `logits`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ, if there is no axis of outputs beside that of the batch, or if the batch is
        empty.
    ArgumentError
        If `label_smoothing` is not in [0, 1).
    DataError
        If a target that is not ignored is outside [0, 1], where values can be read.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equations 57 and 63.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.sigmoid_cross_entropy(xp.asarray([[1000.0, -1000.0]]), xp.asarray([[1.0, 1.0]]))
    np.float64(1000.0)
    """
    name = "sigmoid_cross_entropy"
    check_same_shape(name, "logits", logits, target)
    smoothing = positive(name, "label_smoothing", label_smoothing, zero=True, stop=1)
    weight = example_weight(name, sample_weight, logits)
    logits, target = without_ignored(weight, logits, floating(target, logits))
    values = raw(target)
    check_values(name, values, (values < 0) | (values > 1), "targets are probabilities, from 0 to 1")
    if smoothing:
        target = target * (1 - smoothing) + 0.5 * smoothing
    if pos_weight is None:
        terms = xp.subtract(xp.softplus(logits), xp.multiply(target, logits))
    else:
        if not isinstance(pos_weight, int | float):
            pos_weight = xp.astype(pos_weight, logits.dtype, copy=False)
        factor = 1.0 + xp.multiply(target, pos_weight - 1.0)
        terms = xp.multiply(1.0 - target, logits) + xp.multiply(factor, xp.softplus(-logits))
    return average(terms, weight, math.prod(logits.shape[1:]))


def softmax_cross_entropy(
    logits: RawArray,
    target: RawArray,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    class_weight: RawArray | None = None,
    sample_weight: RawArray | None = None,
    ignore_index: int | None = None,
) -> RawArray:
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
    axis : int
        Where the classes stand in `logits`, and in a `target` of probabilities: 1 for images with channels
        first.
    label_smoothing : float
        From 0 to 1; moves the targets this part of the way to ``1 / k`` for each class.
    class_weight : array, shape (k,), optional
        Factor of each class's term ``y ln p``. An example weighs as much as its class, or the mean of its
        classes by their probabilities, so that the loss is divided by the sum of these weights.
    sample_weight : array of the shape of the examples (...), or fewer of these axes, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.
    ignore_index : int, optional
        A class number that marks examples to be left out, such as -100 or that of padding.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shape of `target` is neither of the two, the shape of a weight does not fit, or the batch is
        empty.
    ArgumentError
        If class numbers are not of integer dtype, `label_smoothing` is not in [0, 1), or `ignore_index` is
        given with probabilities.
    DataError
        If a class number is out of range. Arrays that a library's own compiler traces have no values yet and
        are not checked.

    Notes
    -----
    With class numbers it is PyTorch's ``cross_entropy`` in every option. With probabilities and
    `class_weight`, PyTorch divides by the number of examples; here a class number and its one-hot row mean
    the same.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equations 78 and 80.
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> logits = xp.asarray([[1000.0, 0.0, 0.0], [0.0, 0.0, 1000.0]])
    >>> losses.softmax_cross_entropy(logits, xp.asarray([0, 1]))
    np.float64(500.0)
    >>> losses.softmax_cross_entropy(logits, xp.asarray([0, -100]), ignore_index=-100)
    np.float64(0.0)
    """
    name = "softmax_cross_entropy"
    if axis != -1:
        target = xp.moveaxis(target, axis, -1) if target.ndim == logits.ndim else target
        logits = xp.moveaxis(logits, axis, -1)
    check_target(name, logits, target)
    smoothing = positive(name, "label_smoothing", label_smoothing, zero=True, stop=1)
    classes, examples = logits.shape[-1], math.prod(logits.shape[:-1])
    weight = example_weight(name, sample_weight, logits, vectors=True)
    hot = None
    if target.ndim < logits.ndim:
        if weight is not None:
            target = xp.where(weight == 0, xp.zeros_like(target), target)
        target, kept = class_numbers(name, target, classes, ignore_index)
        if kept is not None:
            kept = xp.astype(kept, logits.dtype)
            weight = kept if weight is None else xp.multiply(weight, kept)
        target = hot = xp.one_hot(target, classes, dtype="bool")
    elif ignore_index is not None:
        raise ArgumentError(
            f"{name}: ignore_index={ignore_index} is for class numbers, and target has a row for each "
            f"example; give those to be left out a sample_weight of 0"
        )
    if smoothing or class_weight is not None or hot is None:
        target = floating(target, logits)
    if weight is not None:
        ignored = xp.expand_dims(weight == 0, axis=-1)
        logits = xp.where(ignored, 0.0, logits)
        target = target if hot is not None else xp.where(ignored, 0.0, target)
    log_shares = xp.log_softmax(logits, axis=-1)
    share = weight
    if class_weight is not None:
        factors = _class_weight(name, class_weight, logits)
        log_shares = xp.multiply(log_shares, factors)
        share = xp.sum(xp.multiply(target, factors), axis=-1)
        share = share if weight is None else xp.multiply(share, weight)
    if hot is not None and not smoothing:
        # A product would make NaN of a class that is impossible (a logit of -inf) and wrong.
        terms = xp.where(hot, log_shares, 0.0)
    else:
        smoothed = target * (1 - smoothing) + smoothing / classes if smoothing else target
        terms = xp.multiply(smoothed, log_shares)
    if share is None:
        return xp.sum(terms) * (-1.0 / examples)
    if weight is not None:
        terms = xp.multiply(terms, xp.expand_dims(weight, axis=-1))
    return ratio(0.0 - xp.sum(terms), xp.sum(share) * (examples // math.prod(share.shape)))


def _class_weight(name: str, class_weight: RawArray, logits: RawArray) -> RawArray:
    given, expected = tuple(getattr(class_weight, "shape", ())), (logits.shape[-1],)
    if given != expected:
        raise ShapeError(
            f"{name}: class_weight has shape {given}; expected {expected}, an array of a weight per class"
        )
    return xp.astype(class_weight, logits.dtype, copy=False)


def hinge(
    output: RawArray, target: RawArray, *, margin: float = 1.0, sample_weight: RawArray | None = None
) -> RawArray:
    """Mean over all elements of ``max(0, margin - target * output)``: how far it is from right with a margin.

    The gradient is 0 where the margin is just kept.

    Parameters
    ----------
    output : array, shape (n, ...), floating
        Above 0 for the one class, below for the other.
    target : array of the same shape
        1 or -1.
    margin : float
        Above 0.
    sample_weight : array, shape (n,), or more of the first axes of `output`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    ArgumentError
        If `margin` is not above 0.
    DataError
        If a target that is not ignored is neither 1 nor -1, where values can be read.

    References
    ----------
    C. Cortes and V. Vapnik, "Support-vector networks", Machine Learning 20 (1995).

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.hinge(xp.asarray([2.0, 0.5, -3.0]), xp.asarray([1, 1, 1]))
    np.float64(1.5)
    """
    check_same_shape("hinge", "output", output, target, single=True)
    margin = positive("hinge", "margin", margin)
    weight = example_weight("hinge", sample_weight, output)
    target = floating(target, output)
    values = raw(target)
    wrong = xp.abs(values) != 1
    if weight is not None:
        wrong = wrong & (raw(weight) != 0)
    check_values("hinge", values, wrong, "targets are 1 or -1; of 0 and 1 make them by 2 * target - 1")
    output, target = without_ignored(weight, output, target)
    return average(xp.relu(margin - xp.multiply(target, output)), weight)


def multiclass_hinge(
    output: RawArray,
    target: RawArray,
    *,
    margin: float = 1.0,
    squared: bool = False,
    sample_weight: RawArray | None = None,
    ignore_index: int | None = None,
) -> RawArray:
    """How far every wrong class is from staying a margin below the right one, averaged over the batch.

    For an example of class c it is ``1/k * sum over j != c of max(0, margin - a[c] + a[j])``, or of its
    square. It is PyTorch's ``multi_margin_loss``.

    Parameters
    ----------
    output : array, shape (..., k), floating
        One score for each class; every axis but the last counts examples.
    target : array, shape (...), integer
        Class numbers 0 … k - 1.
    margin : float
        Above 0.
    squared : bool
        PyTorch's ``p=2``.
    sample_weight : array of the shape of the examples (...), or fewer of these axes, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.
    ignore_index : int, optional
        A class number that marks examples to be left out.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes do not fit or the batch is empty.
    ArgumentError
        If class numbers are not of integer dtype, or `margin` is not above 0.
    DataError
        If a class number is out of range, where values can be read.

    References
    ----------
    J. Weston and C. Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.multiclass_hinge(xp.asarray([[2.0, 1.5, 0.0, 0.0]]), xp.asarray([0]))
    np.float64(0.125)
    """
    name = "multiclass_hinge"
    shape = tuple(output.shape)
    if not shape or tuple(target.shape) != shape[:-1]:
        raise ShapeError(
            f"{name}: got output of shape {shape} and target of shape {tuple(target.shape)}; expected output "
            f"(..., k) and target (...), class numbers"
        )
    if 0 in shape:
        raise ShapeError(f"{name}: the batch is empty, output has shape {shape}")
    margin = positive(name, "margin", margin)
    weight = example_weight(name, sample_weight, output, vectors=True)
    if weight is not None:
        target = xp.where(weight == 0, xp.zeros_like(target), target)
    target, kept = class_numbers(name, target, shape[-1], ignore_index)
    if kept is not None:
        kept = xp.astype(kept, output.dtype)
        weight = kept if weight is None else xp.multiply(weight, kept)
    if weight is not None:
        (output,) = without_ignored(xp.expand_dims(weight, axis=-1), output)
    hot = xp.one_hot(target, shape[-1], dtype="bool")
    right = xp.sum(xp.where(hot, output, 0.0), axis=-1, keepdims=True)
    short = xp.where(hot, 0.0, xp.relu(margin - right + output))
    terms = xp.square(short) if squared else short
    return average(xp.sum(terms, axis=-1), weight, 1.0 / shape[-1])
