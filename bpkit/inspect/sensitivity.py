"""To what the cost is most sensitive: numbers of the input, and weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import nn, transforms, tree
from bpkit.errors import ArgumentError
from bpkit.inspect.observe import Loss, at_home, inputs_of, parameters_of
from bpkit.inspect.statistics import on_host
from bpkit.kinds import is_inexact
from bpkit.nn.mode import outside
from bpkit.transforms.arguments import is_array

__all__ = ["SensitiveWeight", "sensitive_weights", "sensitivity"]


@dataclass(frozen=True, slots=True)
class SensitiveWeight:
    """A weight, and how the cost changes with it.

    Attributes
    ----------
    place : str
        The layer, as :func:`bpkit.nn.summary` names it.
    name : str
        Of its array.
    index : tuple of int
    value : float
    derivative : float
        dC/dw: by how much the cost changes for a small change of the weight, in parts of that.
    """

    place: str
    name: str
    index: tuple[int, ...]
    value: float
    derivative: float


def sensitivity(model: Any, loss: Loss, x: Any, y: Any) -> Any:
    """How the cost of each example changes with each number of it: dC/dx.

    For an image it is a map of the pixels that matter: where it is positive, the cost grows with the pixel.

    Parameters
    ----------
    model : Module
        It predicts.
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch.
    x : array or tuple of arrays, shape (n, …)
        With an example in each row, floating. It is converted to library, device and dtype of the model.
    y : array, shape (n, …)

    Returns
    -------
    array or tuple of arrays
        Of the shape of `x`; a row is the derivative of the cost of its own example.

    Raises
    ------
    ArgumentError
        If `x` has integers, which cannot change by a little.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman, "Deep inside convolutional networks: visualising image
    classification models and saliency maps", 2013, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import losses, nn
    >>> model = nn.Lambda(lambda x: 3.0 * x)
    >>> sensitivity(model, losses.quadratic, np.asarray([[1.0], [2.0]]), np.zeros((2, 1)))
    array([[ 9.],
           [18.]])
    """
    with at_home(model) as place, outside():
        x, y = place((x, y))
        for path, leaf in zip(tree.paths(x), tree.leaves(x), strict=True):
            if not is_array(leaf) or not is_inexact(leaf):
                raise ArgumentError(
                    f"sensitivity: x{path}: expected floating numbers, which can change by a little, got "
                    f"{getattr(leaf, 'dtype', type(leaf).__name__)}; look at the output of the embedding by "
                    f"bpkit.inspect.observe"
                )
        gradient = transforms.grad(lambda x: loss(model(*inputs_of(x)), y))(x)
        # C is the mean over the examples.
        return tree.map(lambda g: g * g.shape[0], gradient)


def sensitive_weights(model: Any, loss: Loss, x: Any, y: Any, count: int = 10) -> tuple[SensitiveWeight, ...]:
    """The weights to which the cost is most sensitive: those with the largest dC/dw.

    Parameters
    ----------
    model : Module
        It predicts. Weights inside :class:`bpkit.nn.Frozen` are left out.
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch.
    x : array or tuple of arrays, shape (n, …)
    y : array
    count : int
        How many.

    Returns
    -------
    tuple of SensitiveWeight
        The most sensitive first.

    Raises
    ------
    ArgumentError
        If `count` is not above 0, or the model has nothing to train.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import losses, nn, random
    >>> model = nn.Dense(2, 1, key=random.key(0))
    >>> x, y = np.asarray([[0.0, 100.0], [0.0, 50.0]]), np.zeros((2, 1))
    >>> (found,) = sensitive_weights(model, losses.quadratic, x, y, count=1)
    >>> found.name, found.index
    ('weight', (0, 1))
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ArgumentError(f"sensitive_weights(count={count!r}): expected a whole number above 0")
    with at_home(model) as place, outside():
        x, y = place((x, y))
        trainable, rest = nn.partition(model)
        if not tree.leaves(trainable):
            raise ArgumentError("sensitive_weights: model: it has no floating arrays that are trained")
        gradient = transforms.grad(lambda p: loss(nn.combine(p, rest)(*inputs_of(x)), y))(trainable)
    values = parameters_of(model)
    found = []
    for at, arrays in parameters_of(gradient).items():
        for name, derivative in arrays.items():
            slopes, weights = on_host(derivative), on_host(values[at][name])
            largest = np.argsort(-np.abs(slopes), axis=None, kind="stable")[:count]
            for index in zip(*np.unravel_index(largest, slopes.shape), strict=True):
                where = tuple([int(i) for i in index])
                found.append(SensitiveWeight(at, name, where, float(weights[where]), float(slopes[where])))
    return tuple(sorted(found, key=lambda weight: -abs(weight.derivative))[:count])
