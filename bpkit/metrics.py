"""How good an output is, in numbers for people: plain functions ``(output, target) -> array``.

Written in the namespace, so that they run where the arrays are, and inside :func:`bpkit.jit`. A class is
what has the largest output, the first of equals.
"""

from typing import Any, Literal

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import Kind, is_real, kind_of, raw
from bpkit.losses import mean_absolute_error, mean_squared_error
from bpkit.losses.checks import check_same_shape, class_numbers, floating
from bpkit.registry import backend_of

__all__ = [
    "accuracy",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "r2",
    "recall",
    "top_k_accuracy",
]

Average = Literal["macro", "micro"] | None


def accuracy(output: RawArray, target: RawArray, *, threshold: float | None = None) -> RawArray:
    """The share of examples whose class is right.

    Parameters
    ----------
    output : array
        Scores, one for each class along the last axis, shape (..., k), floating; or class numbers, shape
        (...), integer. With `threshold` scores of class 1 against class 0, of any shape.
    target : array
        Class numbers, shape (...), or one row for each example of shape (..., k), the largest of which is the
        class. With `threshold` 0 and 1, or booleans, of the shape of `output`.
    threshold : float, optional
        For outputs of two classes: class 1 is above it. 0 for logits, 0.5 for probabilities.

    Returns
    -------
    array, shape ()
        In [0, 1].

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> accuracy(xp.asarray([[0.1, 0.9], [0.8, 0.2]]), xp.asarray([1, 1]))
    np.float64(0.5)
    >>> accuracy(xp.asarray([[2.0], [-1.0]]), xp.asarray([[1], [0]]), threshold=0.0)
    np.float64(1.0)
    """
    if threshold is not None:
        check_same_shape("accuracy", "output", output, target, single=True)
        truth = target if kind_of(target) is Kind.BOOLEAN else target == 1
        right = xp.equal(output > threshold, truth)
    else:
        right = xp.equal(*_classes("accuracy", output, target)[:2])
    return xp.mean(xp.astype(right, _float(output)))


def top_k_accuracy(output: RawArray, target: RawArray, k: int = 5) -> RawArray:
    """The share of examples whose right class is among the `k` largest outputs.

    Of equal outputs the first count as larger, so that ``k=1`` is :func:`accuracy`.

    Parameters
    ----------
    output : array, shape (..., classes), floating
    target : array, shape (...), integer
        Class numbers.
    k : int
        From 1 to the number of classes.

    Returns
    -------
    array, shape ()
        In [0, 1].

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    ArgumentError
        If `k` is out of range.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> top_k_accuracy(xp.asarray([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]]), xp.asarray([1, 0]), k=2)
    np.float64(0.5)
    """
    shape = tuple(output.shape)
    if not shape or tuple(target.shape) != shape[:-1] or 0 in shape:
        raise ShapeError(
            f"top_k_accuracy: got output of shape {shape} and target of shape {tuple(target.shape)}; "
            f"expected output (..., classes) and target (...), and at least one example"
        )
    if not 1 <= k <= shape[-1]:
        raise ArgumentError(
            f"top_k_accuracy: k: expected a number from 1 to the {shape[-1]} classes, got {k!r}"
        )
    target, _ = class_numbers("top_k_accuracy", target, shape[-1], None)
    hot = xp.one_hot(target, shape[-1], dtype="bool")
    score = xp.sum(xp.where(hot, output, 0.0), axis=-1, keepdims=True)
    # By what is not below, so that an output of NaN is not counted as right.
    before = xp.cumulative_sum(xp.astype(hot, "int32"), axis=-1) == 0
    ahead = xp.logical_not(xp.where(before, output < score, xp.logical_or(output <= score, hot)))
    rank = xp.sum(xp.astype(ahead, "int32"), axis=-1)
    return xp.mean(xp.astype(rank < k, _float(output)))


def confusion_matrix(output: RawArray, target: RawArray, *, classes: int | None = None) -> RawArray:
    """How many examples of each class were taken for which.

    Parameters
    ----------
    output, target : array
        As for :func:`accuracy`.
    classes : int, optional
        How many there are. None for as many as `output` has scores; of class numbers for one more than the
        largest, which is read from the arrays.

    Returns
    -------
    array of int32, shape (classes, classes)
        A row for each class of `target`, a column for each class of `output`.

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> confusion_matrix(xp.asarray([0, 1, 1, 2]), xp.asarray([0, 1, 2, 2]))
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]], dtype=int32)
    """
    return _confusion("confusion_matrix", output, target, classes)


def precision(
    output: RawArray, target: RawArray, *, average: Average = "macro", classes: int | None = None
) -> RawArray:
    """Of what was taken for a class, the share that is of this class.

    Parameters
    ----------
    output, target : array
        As for :func:`accuracy`.
    average : {"macro", "micro"} or None
        The mean over all classes; the share over all examples; None for each class by itself.
    classes : int, optional
        As for :func:`confusion_matrix`.

    Returns
    -------
    array, shape (), or (classes,) without an average
        In [0, 1]; 0 for a class that nothing was taken for.

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    ArgumentError
        If there is no such average.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> precision(xp.asarray([0, 1, 1, 2]), xp.asarray([0, 1, 2, 2]), average=None)
    array([1. , 0.5, 1. ])
    """
    right, taken, _ = _counts("precision", output, target, average, classes)
    return _averaged(_share(right, taken), average)


def recall(
    output: RawArray, target: RawArray, *, average: Average = "macro", classes: int | None = None
) -> RawArray:
    """Of what is of a class, the share that was taken for it.

    Parameters
    ----------
    output, target : array
        As for :func:`accuracy`.
    average : {"macro", "micro"} or None
        The mean over all classes; the share over all examples; None for each class by itself.
    classes : int, optional
        As for :func:`confusion_matrix`.

    Returns
    -------
    array, shape (), or (classes,) without an average
        In [0, 1]; 0 for a class of which there are no examples.

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    ArgumentError
        If there is no such average.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> recall(xp.asarray([0, 1, 1, 2]), xp.asarray([0, 1, 2, 2]), average=None)
    array([1. , 1. , 0.5])
    """
    right, _, present = _counts("recall", output, target, average, classes)
    return _averaged(_share(right, present), average)


def f1(
    output: RawArray, target: RawArray, *, average: Average = "macro", classes: int | None = None
) -> RawArray:
    """Harmonic mean of precision and recall of each class.

    Parameters
    ----------
    output, target : array
        As for :func:`accuracy`.
    average : {"macro", "micro"} or None
        The mean over all classes; the one of all examples together; None for each class by itself.
    classes : int, optional
        As for :func:`confusion_matrix`.

    Returns
    -------
    array, shape (), or (classes,) without an average
        In [0, 1]; 0 for a class that is neither in `target` nor in `output`.

    Raises
    ------
    ShapeError
        If the shapes do not fit or there are no examples.
    ArgumentError
        If there is no such average.
    DataError
        If a class number is out of range, where values can be read.

    Examples
    --------
    >>> from bpkit import xp
    >>> f1(xp.asarray([0, 1, 1, 2]), xp.asarray([0, 1, 2, 2]), average="micro")
    np.float64(0.75)
    """
    right, taken, present = _counts("f1", output, target, average, classes)
    return _averaged(_share(2 * right, taken + present), average)


def r2(output: RawArray, target: RawArray) -> RawArray:
    """The share of the target's variance that the output explains, averaged over the outputs.

    Parameters
    ----------
    output : array, shape (n, ...), floating
    target : array of the same shape

    Returns
    -------
    array, shape ()
        1 at best; 0 for the mean of the targets; below for worse. Of a target that is the same for all
        examples, 1 if the output is just that and 0 if not.

    Raises
    ------
    ShapeError
        If the shapes differ or there are no examples.

    Examples
    --------
    >>> from bpkit import xp
    >>> r2(xp.asarray([1.0, 2.0, 4.0]), xp.asarray([1.0, 2.0, 3.0]))
    np.float64(0.5)
    """
    check_same_shape("r2", "output", output, target, single=True)
    target = floating(target, output)
    left = xp.sum(xp.square(xp.subtract(target, output)), axis=0)
    # Sums of equal numbers may round, so that constancy is asked of the numbers themselves.
    constant = xp.max(target, axis=0) == xp.min(target, axis=0)
    spread = xp.sum(xp.square(target - xp.mean(target, axis=0)), axis=0)
    explained = 1.0 - xp.divide(left, xp.where(constant, 1.0, spread))
    return xp.mean(xp.where(constant, xp.astype(left == 0, explained.dtype), explained))


def _classes(name: str, output: RawArray, target: RawArray) -> tuple[RawArray, RawArray, int | None]:
    """Class numbers of output and target, and how many classes there are, if scores tell."""
    shape, expected = tuple(output.shape), tuple(target.shape)
    if 0 in shape:
        raise ShapeError(f"{name}: there are no examples, output has shape {shape}")
    if not is_real(output):
        if shape != expected:
            raise ShapeError(
                f"{name}: class numbers of output and target must have the same shape, got {shape} and "
                f"{expected}"
            )
        return output, target, None
    if not shape or expected not in (shape, shape[:-1]):
        raise ShapeError(
            f"{name}: got output of shape {shape} and target of shape {expected}; expected scores (..., k) "
            f"with target (...) or (..., k), or class numbers of integer dtype"
        )
    if expected == shape:
        target = xp.argmax(target, axis=-1)
    else:
        target, _ = class_numbers(name, target, shape[-1], None)
    return xp.argmax(output, axis=-1), target, shape[-1]


def _confusion(name: str, output: RawArray, target: RawArray, classes: int | None) -> RawArray:
    answers, right, known = _classes(name, output, target)
    if classes is None:
        classes = known
    if classes is None:
        classes = 1 + max(int(xp.max(answers)), int(xp.max(right)))
    answers, _ = class_numbers(name, answers, classes, None)
    right, _ = class_numbers(name, right, classes, None)
    place = xp.reshape(xp.astype(right, "int32") * classes + xp.astype(answers, "int32"), (-1,))
    zeros = xp.broadcast_to(xp.zeros_like(place[:1]), (classes * classes,))
    return xp.reshape(xp.scatter_add(zeros, place, xp.ones_like(place)), (classes, classes))


def _counts(
    name: str, output: RawArray, target: RawArray, average: Average, classes: int | None
) -> tuple[RawArray, RawArray, RawArray]:
    """Of each class how many are right, were taken for it, and are of it; for "micro" of all together."""
    if average not in ("macro", "micro", None):
        raise ArgumentError(f'{name}: average: expected "macro", "micro" or None, got {average!r}')
    table = xp.astype(_confusion(name, output, target, classes), _float(output))
    counts = (xp.linalg.diagonal(table), xp.sum(table, axis=0), xp.sum(table, axis=1))
    if average != "micro":
        return counts
    right, taken, present = map(xp.sum, counts)
    return right, taken, present


def _share(part: RawArray, whole: RawArray) -> RawArray:
    return xp.divide(part, xp.where(whole == 0, 1.0, whole))


def _averaged(shares: RawArray, average: Average) -> RawArray:
    return xp.mean(shares) if average == "macro" else shares


def _float(output: RawArray) -> Any:
    """The dtype of shares: that of the scores, or the library's default for floats."""
    if is_real(output):
        return output.dtype
    return backend_of(raw(output)).xp.__array_namespace_info__().default_dtypes()["real floating"]
