"""A step of training on a batch: the gradient, the penalty on weights, and what the optimiser does with them.

Optimisers that treat every number alike see all parameters of a network as one vector. So a step calls a few
functions for a network and not for each of its arrays, which for small networks is most of the work.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import nn, transforms, tree
from bpkit._protocol import RawArray
from bpkit.kinds import is_real
from bpkit.optim import Optimizer
from bpkit.sklearn.objectives import Objective, shielded
from bpkit.training.step import KEYS

__all__ = ["Trained", "Vector", "begun", "model_of", "step_of"]


@dataclass(frozen=True)
class Layout:
    """What the parts of a vector are: an object, so that a step sees at a glance that they are the same.

    Attributes
    ----------
    structure : Structure
        Of the tree.
    shapes : tuple of tuple of int
        Of its arrays.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]


class Vector(nn.Module):
    """The arrays of a tree one after the other; a matrix column after column, as a product reads it fastest.

    Attributes
    ----------
    values : array of shape (n,)
    layout : Layout
    """

    values: Any
    layout: Layout = nn.static()

    @classmethod
    def of(cls, whole: Any) -> "Vector":
        """The vector of a tree of real arrays of one dtype."""
        leaves, structure = tree.flatten(whole)
        values = xp.concat([xp.reshape(x.mT if x.ndim == 2 else x, (-1,)) for x in leaves])
        return cls(values, Layout(structure, tuple([tuple(x.shape) for x in leaves])))

    def tree(self) -> Any:
        """The tree, of parts of the vector."""
        ends = accumulate(map(math.prod, self.layout.shapes), initial=0)
        leaves = []
        for shape, (start, stop) in zip(self.layout.shapes, pairwise(ends), strict=True):
            part = self.values[start:stop]
            leaves.append(xp.reshape(part, shape[::-1]).mT if len(shape) == 2 else xp.reshape(part, shape))
        return tree.unflatten(self.layout.structure, leaves)


class Trained(NamedTuple):
    """A model as steps take it.

    Attributes
    ----------
    params : Vector or tree
        What is trained.
    rest : tree
        The other part of the model.
    decay : tree, or None for no penalty
        For each array of `params` what the squares of its numbers count in the penalty, broadcast to it.
    """

    params: Any
    rest: Any
    decay: Any


def begun(model: Any, alpha: float, as_vector: bool) -> Trained:
    """A model before the first step.

    Parameters
    ----------
    model : Module
    alpha : float
        Strength of the penalty, on arrays with two axes or more.
    as_vector : bool
        Whether the optimiser treats every number alike.
    """
    params, rest = nn.partition(model)
    leaves = tree.leaves(params)
    as_vector = as_vector and all(is_real(x) for x in leaves) and len({x.dtype for x in leaves}) == 1
    decay = None
    if alpha and any(x.ndim > 1 for x in leaves):
        decay = tree.map(lambda x: xp.full_like(x, 0.0 if x.ndim < 2 else alpha), params)
    if not as_vector:
        return Trained(params, rest, decay)
    return Trained(Vector.of(params), rest, None if decay is None else Vector.of(decay))


def model_of(trained: Trained) -> Any:
    """The model again, in arrays of its own."""
    params = trained.params
    model = nn.combine(params.tree() if isinstance(params, Vector) else params, trained.rest)
    return tree.map(lambda x: xp.astype(x, x.dtype, copy=True) if hasattr(x, "dtype") else x, model)


def penalty(params: Any, decay: Any) -> tuple[RawArray, Any]:
    """Half the sum of the squares, each times its share, and the gradient."""
    slopes = tree.map(xp.multiply, decay, params)
    parts = [
        xp.vecdot(xp.reshape(x, (-1,)), xp.reshape(g, (-1,)))
        for x, g in zip(tree.leaves(params), tree.leaves(slopes), strict=True)
    ]
    return 0.5 * sum(parts[1:], parts[0]), slopes


def step_of(objective: Objective, optimizer: Optimizer, take: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes one step, with the batch of the number that it is given, and counts on.

    The penalty is divided by the number of examples in the batch, or by the sum of their weights. A batch
    whose weights are all 0 has the loss 0 and no gradient.

    Parameters
    ----------
    objective : callable
        ``(output, target, weight) -> scalar``
    optimizer : Optimizer
    take : callable
        ``(*data, number) -> (x, (target, weight))``: the batch of this number.

    Returns
    -------
    callable
        ``step(trained, optimizer_state, *data, keys, number) -> (trained, optimizer_state, loss,
        number + 1)``.
    """
    loss = shielded(objective)

    def step(trained: Trained, optimizer_state: Any, *given: Any) -> tuple[Any, Any, RawArray, RawArray]:
        *data, keys, number = given
        x, (target, weight) = take(*data, number)
        key = xp.reshape(xp.take(keys, number % KEYS, axis=0), (2,))
        total = None if weight is None else xp.sum(weight)
        empty = None if total is None else total == 0
        params, rest, decay = trained

        def loss_of(params: Any) -> Any:
            output, after = nn.training_call(nn.combine(params, rest), x, key=key)
            return loss(output, target, weight, empty), nn.partition(after)[1]

        slope_of = transforms.value_and_grad(loss_of, has_aux=True)
        if isinstance(params, Vector):
            (value, rest), slopes = slope_of(params.tree())
            slopes = Vector.of(slopes)
        else:
            (value, rest), slopes = slope_of(params)
        if decay is not None:
            share = (
                1.0 / x.shape[0]
                if weight is None
                else xp.where(empty, 0.0, 1.0) / xp.where(empty, 1.0, total)
            )
            more, more_slopes = penalty(params, decay)
            value = value + share * more
            slopes = tree.map(lambda g, more: g + share * more, slopes, more_slopes)
        params, optimizer_state = optimizer.update(slopes, optimizer_state, params)
        return Trained(params, rest, decay), optimizer_state, value, number + 1

    return step
