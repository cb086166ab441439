"""What of a model is trained, and what is not."""

from typing import Any, NamedTuple

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.fields import parts_of
from bpkit.kinds import is_inexact
from bpkit.nn.mode import outside
from bpkit.nn.module import Module, layout
from bpkit.nn.sequential import Lambda
from bpkit.transforms.arguments import is_array

__all__ = ["Frozen", "Partition", "combine", "partition"]


class Frozen(Module):
    """A layer that is not trained: it predicts in training too, and no optimiser sees its arrays.

    Gradients flow through it to what comes before.

    Parameters
    ----------
    layer : Module or callable
        A function that is not a Module becomes a :class:`bpkit.nn.Lambda`.

    Attributes
    ----------
    layer : Module

    Raises
    ------
    ArgumentError
        If it is neither a Module nor a function.

    Examples
    --------
    >>> from bpkit import nn, random, tree
    >>> first, second = random.split(random.key(0))
    >>> model = nn.Sequential(Frozen(nn.Dense(4, 3, key=first)), nn.Dense(3, 2, key=second))
    >>> [leaf.shape for leaf in tree.leaves(nn.partition(model).trainable)]
    [(2, 3), (2,)]
    >>> model[0].layer
    Dense(4 → 3)
    """

    layer: Any

    def __init__(self, layer: Any) -> None:
        self.layer = layer if isinstance(layer, Module) else Lambda(layer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer predicts."""
        with outside():
            return self.layer(*args, **kwargs)

    def __repr__(self) -> str:
        return layout(type(self).__name__, [repr(self.layer)])


class Partition(NamedTuple):
    """What :func:`partition` returns.

    Attributes
    ----------
    trainable
        The model with None in the place of what is not trained.
    rest
        The model with None in the place of what is.
    """

    trainable: Any
    rest: Any


def partition(model: Any) -> Partition:
    """Split a model into what is trained and the rest.

    Trained are the arrays of real or complex floating dtype that are neither in a field made by
    :func:`bpkit.nn.buffer` nor inside :class:`bpkit.nn.Frozen`.

    Parameters
    ----------
    model : Module
        Or any tree.

    Returns
    -------
    Partition
        Two trees of the model's structure, each with None where the other has an array (or another leaf). An
        optimiser works on the first as on any tree: None is no leaf. :func:`combine` is the inverse.

    Examples
    --------
    >>> from bpkit import nn, random, tree
    >>> model = nn.Dense(3, 2, key=random.key(0))
    >>> trainable, rest = nn.partition(model)
    >>> tree.leaves(rest)
    []
    >>> nn.combine(trainable, rest).weight is model.weight
    True
    """
    leaves, structure = tree.flatten(model)
    trained = [
        is_array(leaf) and is_inexact(leaf) and not _is_kept(model, accessor)
        for accessor, leaf in zip(structure.accessors(), leaves, strict=True)
    ]
    return Partition(
        tree.unflatten(structure, [x if t else None for x, t in zip(leaves, trained, strict=True)]),
        tree.unflatten(structure, [None if t else x for x, t in zip(leaves, trained, strict=True)]),
    )


def _is_kept(model: Any, accessor: Any) -> bool:
    """Whether the way to a leaf leads through a frozen layer or a buffer."""
    part = model
    for entry in accessor:
        cls: Any = type(part)
        if issubclass(cls, Frozen) or (tree.is_dataclass(cls) and entry.entry in parts_of(cls).buffers):
            return True
        part = entry(part)
    return False


def combine(trainable: Any, rest: Any) -> Any:
    """Put together what :func:`partition` has split.

    Parameters
    ----------
    trainable, rest : tree
        Of one structure, each with None where the other has something.

    Returns
    -------
    tree

    Raises
    ------
    ArgumentError
        If the structures differ, or both have something in one place.

    Examples
    --------
    >>> combine({"w": 1.0, "steps": None}, {"w": None, "steps": 3})
    {'w': 1.0, 'steps': 3}
    """
    try:
        return tree.merge(trainable, rest)
    except ValueError as error:
        raise ArgumentError(
            f"combine: trainable and rest must be the two parts of one model, as partition returns them: "
            f"{error}"
        ) from None
