"""Batches that are taken in parts."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import (
    FROM_INIT,
    Optimizer,
    check_params,
    check_state,
    gradients,
    leaves_like,
    no_steps,
)
from bpkit.optim.schedules.counting import steps_setting
from bpkit.optim.wrapping import check_optimizer, chosen

__all__ = ["AccumulatedState", "accumulate"]


class AccumulatedState(NamedTuple):
    """What :func:`accumulate` remembers between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Gradients that are in the mean.
    mean : tree
        Their sum over the number of steps, with the structure, shapes and dtypes of the parameters.
    inner : tree
        The state of the optimizer inside.
    """

    count: Any
    mean: Any
    inner: Any


@remembered
def accumulate(optimizer: Optimizer, steps: int) -> Optimizer:
    """Take a step only every so many gradients, with their mean.

    So a batch can be larger than memory allows: where a loss is the mean over the examples and the parts are
    of one size, the step is that of the whole batch. In between the parameters stay as they are.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the steps. Its counts and schedules count these.
    steps : int
        How many gradients make one; positive.

    Returns
    -------
    Optimizer
        With state :class:`AccumulatedState`.

    Raises
    ------
    ArgumentError
        If the setting is not such a number; by `update`, what that of `optimizer` raises.
    ShapeError
        By `update`, if a gradient has another shape than its parameter.

    Notes
    -----
    A compiled step cannot branch, so the step of `optimizer` is computed each time, and used or not.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.accumulate(optim.sgd(1.0), 2)
    >>> x = xp.asarray([3.0, 4.0])
    >>> state = optimizer.init(x)
    >>> for g in (2.0, 4.0):
    ...     x, state = optimizer.update(xp.full_like(x, g), state, x)
    ...     print(x)
    [3. 4.]
    [0. 1.]
    """
    check_optimizer("accumulate", optimizer)
    size = steps_setting("accumulate", "steps", steps)

    def init(params: Any) -> AccumulatedState:
        check_params("accumulate", params, linear=True)
        return AccumulatedState(no_steps(params), tree.map(xp.zeros_like, params), optimizer.init(params))

    def update(grads: Any, state: AccumulatedState, params: Any) -> tuple[Any, AccumulatedState]:
        check_state("accumulate.update", state, AccumulatedState)
        old, structure = tree.flatten(params)
        slopes = gradients("accumulate", grads, params, old, structure)
        sums = leaves_like("accumulate.update", "state.mean", state.mean, structure, FROM_INIT)
        mean = tree.unflatten(structure, [m + g / size for m, g in zip(sums, slopes, strict=True)])
        count = state.count + 1
        whole = count >= size
        stepped = optimizer.update(mean, state.inner, params)
        params, inner = chosen(whole, stepped, (params, state.inner))
        mean = chosen(whole, tree.map(xp.zeros_like, mean), mean)
        return params, AccumulatedState(count % size, mean, inner)

    def observe(state: AccumulatedState, value: Any) -> AccumulatedState:
        return state._replace(inner=optimizer.observe(state.inner, value))

    return Optimizer(init, update, observe)
