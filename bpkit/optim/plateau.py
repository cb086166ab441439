"""Smaller steps when a validation no longer gets better."""

import math
from numbers import Real
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.kinds import is_complex
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import Optimizer, check_params, check_state, no_steps, setting
from bpkit.optim.schedules.counting import floating, steps_setting
from bpkit.optim.wrapping import check_optimizer, chosen

__all__ = ["PlateauState", "on_plateau"]


class PlateauState(NamedTuple):
    """What :func:`on_plateau` remembers between steps.

    Attributes
    ----------
    scale : array, shape ()
        What the steps are multiplied by; 1 at first.
    best : array, shape ()
        The best value so far.
    bad, resting : array of int32, shape ()
        Values since then that were no better, and how many more of these do not count.
    inner : tree
        The state of the optimizer inside.

    The first two are of the widest floating dtype that the library of the parameters has.
    """

    scale: Any
    best: Any
    bad: Any
    resting: Any
    inner: Any


@remembered
def on_plateau(
    optimizer: Optimizer,
    mode: str = "min",
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    min_scale: float = 0.0,
    eps: float = 1e-8,
) -> Optimizer:
    """Take smaller steps when a value, told by ``observe``, has stopped getting better.

    ``state = optimizer.observe(state, value)`` after each validation. When the value was no better than the
    best more than `patience` times in a row, all further steps are multiplied by `factor`.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the steps.
    mode : {"min", "max"}
        Whether smaller or larger values are better.
    factor : float
        From 0 to below 1.
    patience : int
        How many values in a row may be no better; not negative.
    threshold : float
        What counts as better; finite, not negative.
    threshold_mode : {"rel", "abs"}
        Whether a better value is below ``best * (1 - threshold)``, or above ``best * (1 + threshold)``; or
        below ``best - threshold``, or above ``best + threshold``.
    cooldown : int
        How many values after that do not count; not negative.
    min_scale : float
        What the scale does not go below; finite, not negative.
    eps : float
        A smaller change of the scale is left out; finite, not negative.

    Returns
    -------
    Optimizer
        With state :class:`PlateauState`, and the meaning of ``torch.optim.lr_scheduler.ReduceLROnPlateau``
        over a learning rate of 1.

    Raises
    ------
    ArgumentError
        If a setting is not as said; by ``observe``, if the value is not one number.

    Notes
    -----
    The whole step is multiplied, with weight decay and momentum. Where a step is in proportion to the
    learning rate, as in PyTorch's first-order optimizers, that is to multiply the learning rate.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.on_plateau(optim.sgd(1.0), factor=0.5, patience=0)
    >>> x = xp.asarray([4.0])
    >>> state = optimizer.init(x)
    >>> for loss in (1.0, 2.0):
    ...     x, state = optimizer.update(xp.asarray([1.0]), state, x)
    ...     state = optimizer.observe(state, loss)
    >>> optimizer.update(xp.asarray([1.0]), state, x)[0], float(state.scale)
    (array([1.5]), 0.5)
    """
    check_optimizer("on_plateau", optimizer)
    sign = _choice("mode", mode, {"min": 1.0, "max": -1.0})
    relative = _choice("threshold_mode", threshold_mode, {"rel": True, "abs": False})
    shrinking = setting("on_plateau", "factor", factor, below=1.0)
    margin = setting("on_plateau", "threshold", threshold)
    least = setting("on_plateau", "min_scale", min_scale)
    smallest = setting("on_plateau", "eps", eps)
    allowed = steps_setting("on_plateau", "patience", patience, least=0)
    rest = steps_setting("on_plateau", "cooldown", cooldown, least=0)

    def init(params: Any) -> PlateauState:
        check_params("on_plateau", params, linear=True)
        zero = floating(no_steps(params))
        inner = optimizer.init(params)
        return PlateauState(zero + 1.0, zero + sign * math.inf, no_steps(params), no_steps(params), inner)

    def update(grads: Any, state: PlateauState, params: Any) -> tuple[Any, PlateauState]:
        check_state("on_plateau.update", state, PlateauState)
        new, inner = optimizer.update(grads, state.inner, params)

        def shortened(p: Any, q: Any) -> Any:
            dtype = xp.real(p).dtype if is_complex(p) else p.dtype
            # From the far end, so that with a scale of 1 it is the same to the bit.
            return q - xp.astype(1.0 - state.scale, dtype) * (q - p)

        return tree.map(shortened, params, new), state._replace(inner=inner)

    def observe(state: PlateauState, value: Any) -> PlateauState:
        check_state("on_plateau.observe", state, PlateauState)
        if not isinstance(value, Real) and getattr(value, "shape", None) != ():
            raise ArgumentError(f"on_plateau.observe: value must be one number, got {value!r}")
        scale, best, bad, resting = state[:4]
        found = xp.astype(xp.zeros_like(best) + value, best.dtype)
        limit = best * (1.0 - sign * margin) if relative else best - sign * margin
        better = sign * found < sign * limit
        paused = resting > 0
        bad = chosen(better | paused, xp.zeros_like(bad), bad + 1)
        resting = xp.maximum(resting - 1, 0)
        late = bad > allowed
        lower = xp.maximum(scale * shrinking, least)
        return PlateauState(
            chosen(late & (scale - lower > smallest), lower, scale),
            chosen(better, found, best),
            chosen(late, xp.zeros_like(bad), bad),
            chosen(late, xp.zeros_like(resting) + rest, resting),
            optimizer.observe(state.inner, value),
        )

    return Optimizer(init, update, observe)


def _choice(name: str, value: Any, choices: dict[str, Any]) -> Any:
    if isinstance(value, str) and value in choices:
        return choices[value]
    expected = " or ".join(map(repr, choices))
    raise ArgumentError(f"on_plateau({name}={value!r}): {name} must be {expected}")
