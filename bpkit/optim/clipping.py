"""Gradients that are kept from being large."""

import math
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, NonFiniteError, RecordingError
from bpkit.kinds import is_complex, is_inexact
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, check_params, check_state, flag, setting
from bpkit.optim.wrapping import check_optimizer, find_state

__all__ = ["ClippedState", "clip_by_norm", "clip_by_value", "global_norm", "gradient_norm"]


class ClippedState(NamedTuple):
    """What :func:`clip_by_norm` remembers between steps.

    Attributes
    ----------
    norm : array, shape ()
        That of the gradients of the last step, before they were scaled; 0 before the first.
    inner : tree
        The state of the optimizer inside.
    """

    norm: Any
    inner: Any


@remembered
def clip_by_norm(
    optimizer: Optimizer, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Optimizer:
    """Scale the gradients down where their norm, of all together, is larger than a limit.

    They are multiplied by ``min(1, max_norm / (norm + 1e-6))``. After a step :func:`gradient_norm` tells the
    norm.

    Parameters
    ----------
    optimizer : Optimizer
        What gets the scaled gradients.
    max_norm : float
        The limit; finite, not negative.
    norm_type : float
        Which norm, as for :func:`global_norm`.
    error_if_nonfinite : bool
        Whether a norm that is NaN or infinite is an error, which names the gradient. It is asked in each
        step, so such a step cannot be compiled. Without it a gradient that is not finite makes the
        parameters NaN, as in PyTorch.

    Returns
    -------
    Optimizer
        With state :class:`ClippedState` and the meaning of ``torch.nn.utils.clip_grad_norm_``.

    Raises
    ------
    ArgumentError
        If a setting is not as said.
    NonFiniteError
        By `update`, if the norm is not finite and `error_if_nonfinite` is set.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013, algorithm 1.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.clip_by_norm(optim.sgd(1.0), max_norm=1.0)
    >>> x = xp.asarray([3.0, 4.0])
    >>> x, state = optimizer.update(10 * x, optimizer.init(x), x)
    >>> x.round(3), float(optim.gradient_norm(state))
    (array([2.4, 3.2]), 50.0)
    """
    check_optimizer("clip_by_norm", optimizer)
    limit = setting("clip_by_norm", "max_norm", max_norm)
    order = _order("clip_by_norm", norm_type)
    flag("clip_by_norm", "error_if_nonfinite", error_if_nonfinite)

    def init(params: Any) -> ClippedState:
        inner = optimizer.init(params)
        return ClippedState(global_norm(tree.map(xp.zeros_like, params), order), inner)

    def update(grads: Any, state: ClippedState, params: Any) -> tuple[Any, ClippedState]:
        check_state("clip_by_norm.update", state, ClippedState)
        norm = global_norm(grads, order)
        if error_if_nonfinite:
            _check_finite(norm, grads)
        factor = xp.minimum(limit / (norm + 1e-6), 1.0)
        scaled = tree.map(
            lambda g: g * xp.astype(factor, xp.real(g).dtype if is_complex(g) else g.dtype), grads
        )
        params, inner = optimizer.update(scaled, state.inner, params)
        return params, ClippedState(norm, inner)

    def observe(state: ClippedState, value: Any) -> ClippedState:
        return state._replace(inner=optimizer.observe(state.inner, value))

    return Optimizer(init, update, observe)


@remembered
def clip_by_value(optimizer: Optimizer, clip_value: float) -> Optimizer:
    """Keep each number of the gradients between two limits.

    Parameters
    ----------
    optimizer : Optimizer
        What gets the clipped gradients.
    clip_value : float
        They are kept in ``[-clip_value, clip_value]``; finite, not negative.

    Returns
    -------
    Optimizer
        With the state of `optimizer`, and the meaning of ``torch.nn.utils.clip_grad_value_``.

    Raises
    ------
    ArgumentError
        If the setting is not such a number; by `init`, if a parameter is not of real floating dtype.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.clip_by_value(optim.sgd(1.0), 0.5)
    >>> x = xp.asarray([3.0, 4.0])
    >>> optimizer.update(xp.asarray([-2.0, 0.25]), optimizer.init(x), x)[0]
    array([3.5 , 3.75])
    """
    check_optimizer("clip_by_value", optimizer)
    limit = setting("clip_by_value", "clip_value", clip_value)

    def init(params: Any) -> Any:
        check_params("clip_by_value", params)
        return optimizer.init(params)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        clipped = tree.map(lambda g: xp.clip(g, -limit, limit), grads)
        return optimizer.update(clipped, state, params)

    return Optimizer(init, update, optimizer.observe)


def global_norm(values: Any, norm_type: float = 2.0) -> RawArray:
    """The norm of all numbers in a tree, as if they were one vector.

    Parameters
    ----------
    values : tree of arrays, floating
    norm_type : float
        Positive: ``sum(abs(x) ** norm_type) ** (1 / norm_type)``; ``math.inf`` for the largest of them.

    Returns
    -------
    array, shape ()
        Of the widest real dtype among the arrays, at least float32; 0 if there is none.

    Raises
    ------
    ArgumentError
        If `norm_type` is not such a number.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optim.global_norm({"w": xp.asarray([[1.0, 2.0]]), "b": xp.asarray(2.0)})
    np.float64(3.0)
    """
    order = _order("global_norm", norm_type)
    sizes = [xp.abs(_wide(x)) for x in tree.leaves(values) if 0 not in x.shape]
    if not sizes:
        return xp.zeros(())
    if order == math.inf:
        largest = xp.max(sizes[0])
        for size in sizes[1:]:
            largest = xp.maximum(largest, xp.max(size))
        return largest
    total = 0.0
    for size in sizes:
        total = total + xp.sum(xp.square(size) if order == 2.0 else xp.pow(size, order))
    return xp.sqrt(total) if order == 2.0 else xp.pow(total, 1.0 / order)


def gradient_norm(state: Any) -> RawArray:
    """The norm of the gradients of the last step, before they were scaled.

    Parameters
    ----------
    state : tree
        Of an optimizer with :func:`clip_by_norm` around or inside it.

    Returns
    -------
    array, shape ()
        0 before the first step. With a training that is compiled it is part of the state, which the next step
        may write over.

    Raises
    ------
    ArgumentError
        If the state is of another optimizer.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.clip_by_norm(optim.sgd(1.0), max_norm=1.0)
    >>> optim.gradient_norm(optimizer.init(xp.asarray([3.0, 4.0])))
    np.float64(0.0)
    """
    return find_state("gradient_norm", state, ClippedState, "clip_by_norm").norm


def _order(called: str, norm_type: Any) -> float:
    if norm_type == math.inf:
        return math.inf
    order = setting(called, "norm_type", norm_type)
    if order == 0.0:
        raise ArgumentError(f"{called}(norm_type={norm_type!r}): norm_type must be positive; it is a root")
    return order


def _wide(x: Any) -> RawArray:
    """The array in a dtype in which squares do not overflow: at least float32."""
    if not is_inexact(x):
        raise ArgumentError(f"global_norm: an array has dtype {x.dtype}; the norm is of floating arrays")
    return x if xp.finfo(x.dtype).bits >= 32 else xp.astype(x, "float32")


def _check_finite(norm: RawArray, grads: Any) -> None:
    try:
        fine = bool(xp.isfinite(norm))
    except RecordingError as error:
        error.add_note(
            "clip_by_norm(..., error_if_nonfinite=True) looks at the norm in every step. Leave it out, and "
            "ask bpkit.optim.gradient_norm(state) after the step; or run the step without jit"
        )
        raise
    if fine:
        return
    for path, g in zip(tree.paths(grads), tree.leaves(grads), strict=True):
        if not bool(xp.all(xp.isfinite(g))):
            raise NonFiniteError(
                f"clip_by_norm.update: the norm of the gradients is {float(norm)}, since grads{path} is not "
                f"finite; try a smaller learning rate, or find where it comes from with bpkit.debug_nans()"
            )
    raise NonFiniteError(
        f"clip_by_norm.update: the norm of the gradients is {float(norm)}, though each number is finite: "
        f"they are too large for {norm.dtype}; try a smaller learning rate"
    )
