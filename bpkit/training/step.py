"""One gradient step as a pure function, in full or in mixed precision."""

from collections.abc import Callable
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import nn, registry, transforms, tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, BackendError
from bpkit.kinds import is_real, raw
from bpkit.optim import Optimizer
from bpkit.optim.wrapping import chosen

__all__ = ["KEYS", "PRECISIONS", "Loss", "LossScale", "observed", "scaled", "training_step"]

Loss = Callable[[Any, Any], RawArray]
"""``(output, target) -> scalar``: the mean over a batch."""

PRECISIONS = ("bfloat16", "float16")

KEYS = 1024
"""How many steps' keys are drawn at once; drawing them one by one takes longer than a small step."""

FIRST_SCALE = 2.0**15
GROWS_AFTER = 2000
"""Steps without an overflow after which the scale is doubled."""


class LossScale(NamedTuple):
    """What :func:`scaled` remembers between steps.

    Attributes
    ----------
    inner : tree
        The state of the optimizer.
    scale : array of float32, shape ()
        What the loss is multiplied by.
    steps : array of int32, shape ()
        Steps since it was last changed.
    """

    inner: Any
    scale: Any
    steps: Any


def scaled(optimizer: Optimizer) -> Optimizer:
    """An optimizer for gradients of a loss that was multiplied by ``state.scale``.

    Gradients in float16 vanish below 6e-8. So the loss is multiplied by a large number, and the gradients are
    divided by it again in the dtype of the parameters. Where they overflowed, nothing is changed but the
    scale, which is halved; after 2,000 steps without that it is doubled. (Buffers are left to the step.)

    Parameters
    ----------
    optimizer : Optimizer

    Returns
    -------
    Optimizer
        With state :class:`LossScale`.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = scaled(optim.sgd(0.5))
    >>> x = xp.asarray([1.0], dtype="float32")
    >>> state = optimizer.init(x)
    >>> x, state = optimizer.update(x * state.scale, state, x)
    >>> x, state = optimizer.update(x * float("inf"), state, x)
    >>> x, float(state.scale)
    (array([0.5], dtype=float32), 16384.0)
    """

    def init(params: Any) -> LossScale:
        like = xp.sum(xp.zeros_like(tree.leaves(params)[0]))
        scale = xp.astype(like, "float32") + FIRST_SCALE
        return LossScale(optimizer.init(params), scale, xp.astype(like, "int32"))

    def update(grads: Any, state: LossScale, params: Any) -> tuple[Any, LossScale]:
        grads = tree.map(lambda g: g / xp.astype(state.scale, g.dtype), grads)
        fine = _all_finite(grads)
        new, inner = optimizer.update(grads, state.inner, params)
        new, inner = chosen(fine, (new, inner), (params, state.inner))
        grown = state.steps + 1 >= GROWS_AFTER
        scale = chosen(fine, chosen(grown, state.scale * 2.0, state.scale), state.scale * 0.5)
        steps = chosen(fine & ~grown, state.steps + 1, xp.zeros_like(state.steps))
        return new, LossScale(inner, scale, steps)

    def observe(state: LossScale, value: Any) -> LossScale:
        return state._replace(inner=observed(optimizer, state.inner, value))

    return Optimizer(init, update, observe)


def observed(optimizer: Any, state: Any, value: Any) -> Any:
    """The state after the optimizer was told a value; one without `observe` has no use for it."""
    observe = getattr(optimizer, "observe", None)
    return state if observe is None else observe(state, value)


def _all_finite(values: Any) -> Any:
    fine: Any = True
    for x in tree.leaves(values):
        fine = xp.all(xp.isfinite(x)) & fine
    return fine


def training_step(
    loss: Loss, optimizer: Optimizer, take: Callable[..., Any], precision: str | None = None
) -> Callable[..., Any]:
    """A function that takes one step, with the batch of the number that it is given, and counts on.

    Parameters
    ----------
    loss : callable
        ``(output, target) -> scalar``
    optimizer : Optimizer
        Made by :func:`scaled` for float16.
    take : callable
        ``(*data, number) -> (x, y)``: the batch of this number. If x is a tuple, the model takes several
        inputs.
    precision : {"bfloat16", "float16"}, optional
        The dtype in which the model runs.

    Returns
    -------
    callable
        ``step(model, optimizer_state, *data, keys, number) -> (model, optimizer_state, loss, number + 1)``.
    """
    lower, raise_ = _casts(precision)

    def step(model: Any, optimizer_state: Any, *rest: Any) -> tuple[Any, Any, RawArray, RawArray]:
        *data, keys, number = rest
        x, y = take(*data, number)
        inputs = x if isinstance(x, tuple) else (x,)
        key = xp.reshape(xp.take(keys, number % KEYS, axis=0), (2,))
        trainable, fixed = nn.partition(model)

        def loss_of(trainable: Any) -> Any:
            whole = nn.combine(lower(trainable), fixed)
            output, after = nn.training_call(whole, *lower(inputs), key=key)
            value = loss(raise_(output), y)
            _check_scalar(value)
            buffers = tree.map(_as_before, nn.partition(after)[1], fixed)
            return scale(value), (value, buffers)

        def scale(value: Any) -> Any:
            return value * xp.astype(optimizer_state.scale, value.dtype) if precision == "float16" else value

        (_, (value, buffers)), gradients = transforms.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, after = optimizer.update(gradients, optimizer_state, trainable)
        if precision == "float16":
            # A smaller scale tells that gradients overflowed, and that the step is none.
            fine = after.scale >= optimizer_state.scale
            buffers = tree.map(
                lambda new, old: chosen(fine, new, old) if hasattr(old, "dtype") else old, buffers, fixed
            )
        return nn.combine(trainable, buffers), after, value, number + 1

    return step


def _casts(precision: str | None) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """To the dtype that the model runs in, and to that of the loss."""
    if precision is None:
        return (lambda values: values), (lambda values: values)
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision={precision!r}: expected None or one of {', '.join(PRECISIONS)}")
    backend = registry.current().backend
    low = getattr(backend.xp, precision, None)
    if low is None:
        raise BackendError(f"precision={precision!r}: {backend.name} has no {precision} here")

    def lower(values: Any) -> Any:
        return tree.map(lambda x: xp.astype(x, low) if is_real(x) else x, values)

    def raise_(values: Any) -> Any:
        return tree.map(lambda x: xp.astype(x, "float32") if is_real(x) else x, values)

    return lower, raise_


def _as_before(new: Any, old: Any) -> Any:
    """A buffer in its own dtype, whatever the model ran in."""
    same = not hasattr(old, "dtype") or new.dtype == old.dtype
    return new if same else xp.astype(new, old.dtype)


def _check_scalar(value: Any) -> None:
    shape = getattr(raw(value), "shape", None)
    if shape is None:
        raise ArgumentError(
            f"the loss is {type(value).__name__}; expected an array of shape (), as bpkit.xp.mean(...) gives"
        )
    if tuple(shape) != ():
        raise ArgumentError(
            f"the loss has shape {tuple(shape)}; expected one number for the batch, of shape (): take the "
            f"mean with bpkit.xp.mean(...)"
        )
