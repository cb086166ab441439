"""How far an output is from its target: of numbers, of distributions, of directions."""

import math

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.losses.averaging import average, without_ignored
from bpkit.losses.checks import check_same_shape, example_weight, floating, positive

__all__ = ["cosine", "huber", "kl_divergence", "mean_absolute_error", "mean_squared_error", "quadratic"]


def quadratic(output: RawArray, target: RawArray, *, sample_weight: RawArray | None = None) -> RawArray:
    """Half the squared distance between output and target, averaged over the batch.

    ``C = 1/n * sum over examples x of 1/2 * sum over outputs j of (a[x, j] - y[x, j])**2``, with gradient
    ``(a - y) / n``.

    Parameters
    ----------
    output : array, shape (n, ...), floating
        What the network says; everything after the first axis belongs to one example.
    target : array of the same shape
        What it should say.
    sample_weight : array, shape (n,), or more of the first axes of `output`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

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
    check_same_shape("quadratic", "output", output, target)
    weight = example_weight("quadratic", sample_weight, output)
    output, target = without_ignored(weight, output, floating(target, output))
    return average(xp.square(xp.subtract(output, target)), weight, 0.5 * math.prod(output.shape[1:]))


def mean_squared_error(
    output: RawArray, target: RawArray, *, sample_weight: RawArray | None = None
) -> RawArray:
    """Mean of ``(output - target)**2`` over all elements.

    It is :func:`quadratic` times ``2 / outputs``: PyTorch's scale, which does not grow with the number of
    outputs.

    Parameters
    ----------
    output : array, shape (n, ...), floating
    target : array of the same shape
    sample_weight : array, shape (n,), or more of the first axes of `output`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.mean_squared_error(xp.asarray([1.0, 2.0]), xp.asarray([1.0, 5.0]))
    np.float64(4.5)
    """
    check_same_shape("mean_squared_error", "output", output, target, single=True)
    weight = example_weight("mean_squared_error", sample_weight, output)
    output, target = without_ignored(weight, output, floating(target, output))
    return average(xp.square(xp.subtract(output, target)), weight)


def mean_absolute_error(
    output: RawArray, target: RawArray, *, sample_weight: RawArray | None = None
) -> RawArray:
    """Mean of ``abs(output - target)`` over all elements.

    The gradient is the sign of the difference over the number of elements; 0 where there is no difference.

    Parameters
    ----------
    output : array, shape (n, ...), floating
    target : array of the same shape
    sample_weight : array, shape (n,), or more of the first axes of `output`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.mean_absolute_error(xp.asarray([1.0, 2.0]), xp.asarray([1.0, 5.0]))
    np.float64(1.5)
    """
    check_same_shape("mean_absolute_error", "output", output, target, single=True)
    weight = example_weight("mean_absolute_error", sample_weight, output)
    output, target = without_ignored(weight, output, floating(target, output))
    return average(xp.abs(xp.subtract(output, target)), weight)


def huber(
    output: RawArray, target: RawArray, *, delta: float = 1.0, sample_weight: RawArray | None = None
) -> RawArray:
    """Mean over all elements of a parabola that goes on as straight lines.

    With ``d = output - target`` it is ``d**2 / 2`` where ``abs(d) <= delta`` and
    ``delta * (abs(d) - delta / 2)`` beyond, so that no element has a slope above `delta`.

    Parameters
    ----------
    output : array, shape (n, ...), floating
    target : array of the same shape
    delta : float
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
        If `delta` is no such number.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.huber(xp.asarray([1.0, 2.0]), xp.asarray([2.0, 5.0]))
    np.float64(1.5)
    """
    check_same_shape("huber", "output", output, target, single=True)
    bound = positive("huber", "delta", delta)
    weight = example_weight("huber", sample_weight, output)
    output, target = without_ignored(weight, output, floating(target, output))
    difference = xp.subtract(output, target)
    # Of the clipped difference no square can overflow.
    near = xp.clip(difference, -bound, bound)
    return average(near * (difference - 0.5 * near), weight)


def kl_divergence(
    log_output: RawArray,
    target: RawArray,
    *,
    log_target: bool = False,
    sample_weight: RawArray | None = None,
) -> RawArray:
    """Kullback-Leibler divergence of the target distribution from that of the output, mean over the batch.

    ``1/n * sum of y * (log(y) - log_output)``, where a `y` of 0 adds nothing.

    Parameters
    ----------
    log_output : array, shape (n, ..., k), floating
        Logarithms of probabilities, such as ``bpkit.xp.log_softmax(logits)``.
    target : array of the same shape
        Probabilities ``y``, or their logarithms with `log_target`.
    log_target : bool
    sample_weight : array, shape (n,), or more of the first axes of `log_output`, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

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
    S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22
    (1951).

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> certain, even = xp.asarray([[1.0, 0.0]]), xp.log(xp.asarray([[0.5, 0.5]]))
    >>> round(float(losses.kl_divergence(even, certain)), 6)
    0.693147
    """
    check_same_shape("kl_divergence", "log_output", log_output, target)
    weight = example_weight("kl_divergence", sample_weight, log_output)
    log_output, target = without_ignored(weight, log_output, floating(target, log_output))
    share = xp.exp(target) if log_target else target
    absent = share == 0
    # Twice where: what the logarithm of 0 would bring must reach neither the value nor the gradient.
    log_share = xp.where(absent, 0.0, target) if log_target else xp.log(xp.where(absent, 1.0, target))
    terms = xp.multiply(share, xp.subtract(log_share, xp.where(absent, 0.0, log_output)))
    return average(terms, weight, math.prod(terms.shape[1:]))


def cosine(
    output: RawArray, target: RawArray, *, eps: float = 1e-8, sample_weight: RawArray | None = None
) -> RawArray:
    """1 minus the cosine of the angle between output and target, averaged over the batch.

    Parameters
    ----------
    output : array, shape (..., k), floating
        Vectors along the last axis; every other axis counts examples.
    target : array of the same shape
    eps : float
        A vector shorter than this, which has no direction, counts as if it had this length.
    sample_weight : array, shape (...), or fewer of these axes, optional
        Relative weights of 0 or more, or booleans; see :mod:`bpkit.losses`.

    Returns
    -------
    array, shape ()
        From 0 for the same direction to 2 for the opposite one.

    Raises
    ------
    ShapeError
        If the shapes differ, if there is no axis of the vectors beside that of the batch, or if the batch is
        empty.
    ArgumentError
        If `eps` is not above 0.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.cosine(xp.asarray([[3.0, 0.0], [3.0, 0.0]]), xp.asarray([[5.0, 0.0], [0.0, 1.0]]))
    np.float64(0.5)
    """
    check_same_shape("cosine", "output", output, target)
    least = positive("cosine", "eps", eps)
    weight = example_weight("cosine", sample_weight, output, vectors=True)
    target = floating(target, output)
    if weight is not None:
        output, target = without_ignored(xp.expand_dims(weight, axis=-1), output, target)
    return average(1.0 - xp.vecdot(_direction(output, least), _direction(target, least)), weight)


def _direction(x: RawArray, least: float) -> RawArray:
    length = xp.linalg.vector_norm(x, axis=-1, keepdims=True)
    return x / xp.maximum(length, least)
