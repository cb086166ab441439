"""Other settings for some of the parameters, and parameters that stay as they are."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import FROM_INIT, Optimizer, check_params, check_state, gradients
from bpkit.optim.wrapping import check_optimizer

__all__ = ["FrozenState", "GroupsState", "frozen", "groups"]


class FrozenState(NamedTuple):
    """What :func:`frozen` remembers: nothing."""


class GroupsState(NamedTuple):
    """What :func:`groups` remembers between steps.

    Attributes
    ----------
    inner : dict
        For each label the state of its optimizer, over a tree with None in the places of all other
        parameters; None for a label that no parameter has.
    """

    inner: dict[str, Any]


@remembered
def frozen() -> Optimizer:
    """An optimizer that changes nothing, for one of the :func:`groups`.

    Returns
    -------
    Optimizer
        With state :class:`FrozenState`.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.frozen()
    >>> x = xp.asarray([1.0])
    >>> optimizer.update(x, optimizer.init(x), x)
    (array([1.]), FrozenState())
    """
    return Optimizer(lambda params: FrozenState(), lambda grads, state, params: (params, state))


@remembered
def groups(optimizers: Mapping[str, Optimizer], label_of: Callable[[str, Any], str]) -> Optimizer:
    """Give each parameter the optimizer of its group, as PyTorch's parameter groups do.

    Parameters
    ----------
    optimizers : mapping of str to Optimizer
        By label.
    label_of : callable
        ``label_of(path, leaf) -> label``: the group of a parameter, from its place as Python would write it
        (``".layers[0].bias"``, ``"['w']"``) and the array, whose values it must not ask for. It is called in
        each step that is not compiled, and must always answer the same.

    Returns
    -------
    Optimizer
        With state :class:`GroupsState`.

    Raises
    ------
    ArgumentError
        If there are no optimizers; by `init` and `update`, if a label has none, with the parameter; by
        `update`, if the structure of the gradients is not that of the parameters.
    ShapeError
        By `update`, if a gradient has another shape than its parameter.

    Examples
    --------
    No weight decay for biases:

    >>> from bpkit import optim, xp
    >>> optimizer = optim.groups(
    ...     {"weights": optim.sgd(0.5, weight_decay=1.0), "biases": optim.sgd(0.5)},
    ...     lambda path, leaf: "weights" if leaf.ndim > 1 else "biases",
    ... )
    >>> params = {"w": xp.asarray([[2.0]]), "b": xp.asarray([2.0])}
    >>> grads = {"w": xp.asarray([[0.0]]), "b": xp.asarray([0.0])}
    >>> optimizer.update(grads, optimizer.init(params), params)[0]
    {'w': array([[1.]]), 'b': array([2.])}
    """
    known = dict(optimizers)
    if not known:
        raise ArgumentError("groups({}, ...): there must be at least one optimizer")
    for label, optimizer in known.items():
        check_optimizer(f"groups: {label!r}", optimizer)

    def init(params: Any) -> GroupsState:
        check_params("groups", params, linear=True)
        leaves, structure = tree.flatten(params)
        parts = {label: _part(where, leaves, structure) for label, where in _places("init", params).items()}
        return GroupsState(
            {label: known[label].init(parts[label]) if label in parts else None for label in known}
        )

    def update(grads: Any, state: GroupsState, params: Any) -> tuple[Any, GroupsState]:
        check_state("groups.update", state, GroupsState)
        if set(state.inner) != set(known):
            raise ArgumentError(
                f"groups.update: state.inner has the labels {sorted(state.inner)}, where the optimizers have "
                f"{sorted(known)}; {FROM_INIT}"
            )
        leaves, structure = tree.flatten(params)
        slopes = gradients("groups", grads, params, leaves, structure)
        new, inner = list(leaves), dict(state.inner)
        for label, where in _places("update", params).items():
            part, inner[label] = known[label].update(
                _part(where, slopes, structure), inner[label], _part(where, leaves, structure)
            )
            for i, p in zip(where, tree.leaves(part), strict=True):
                new[i] = p
        return tree.unflatten(structure, new), GroupsState(inner)

    def observe(state: GroupsState, value: Any) -> GroupsState:
        return GroupsState(
            {
                label: None if inner is None else known[label].observe(inner, value)
                for label, inner in state.inner.items()
            }
        )

    def _places(called: str, params: Any) -> dict[str, list[int]]:
        """The numbers of the leaves that have each label."""
        found: dict[str, list[int]] = {}
        for i, (path, leaf) in enumerate(zip(tree.paths(params), tree.leaves(params), strict=True)):
            label = label_of(path, leaf)
            if label not in known:
                raise ArgumentError(
                    f"groups.{called}: label_of gave params{path} the label {label!r}, which has no "
                    f"optimizer; there are {', '.join(map(repr, known))}, and bpkit.optim.frozen() for what "
                    f"must not change"
                )
            found.setdefault(label, []).append(i)
        return found

    return Optimizer(init, update, observe)


def _part(where: list[int], leaves: list[Any], structure: tree.Structure) -> Any:
    """A tree with some of the leaves, and None in the places of the others."""
    kept = set(where)
    return tree.unflatten(structure, [x if i in kept else None for i, x in enumerate(leaves)])
