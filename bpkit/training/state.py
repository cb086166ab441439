"""Where a training stands, and what it tells.

A step that is compiled writes the new weights over the old ones. So a :class:`State` knows whether anybody
else can hold its arrays: what was read from it is never written over, the next step works on a copy.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit.errors import DivergedError, InterruptedStepError, NonFiniteError
from bpkit.kinds import is_inexact, returns_scalars
from bpkit.optim import Optimizer
from bpkit.registry import backend_of
from bpkit.training.step import observed
from bpkit.transforms.arguments import is_array

__all__ = ["Epoch", "State", "Step"]

_FIND = "Training inside `with bpkit.debug_nans():` names the function and the layer that did it"


@dataclass(frozen=True, slots=True)
class Step:
    """One gradient step is done.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    step : int
        Which step of the epoch, counted from 1.
    steps : int or None
        How many the epoch has, if that is known.
    examples : int
        How many examples of this epoch have been used.
    """

    epoch: int
    step: int
    steps: int | None
    examples: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch is done: a pass through the data, or as many steps as it was to have.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean over the examples, each taken before the step that it contributed to.
    metrics : mapping of str to float
        What was measured after the epoch. For data sets of images ``"train_accuracy"``,
        ``"validation_accuracy"`` and ``"test_accuracy"``: the share of images whose largest output is the
        right one, in [0, 1].
    seconds : float
        Time of the gradient steps.
    evaluation_seconds : float
        Time of measuring.
    """

    epoch: int
    loss: float
    metrics: Mapping[str, float]
    seconds: float
    evaluation_seconds: float

    def to_json(self) -> dict[str, Any]:
        """A flat mapping, as a line of a log has it."""
        # JSON has no NaN, which a metric may be.
        metrics = {name: x if math.isfinite(x) else None for name, x in self.metrics.items()}
        times = {"seconds": self.seconds, "evaluation_seconds": self.evaluation_seconds}
        return {"epoch": self.epoch, "loss": self.loss, **metrics, **times}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Epoch":
        """The inverse of :meth:`to_json`.

        Raises
        ------
        TypeError
            If something is missing, or is no number.
        """
        known = ("epoch", "loss", "seconds", "evaluation_seconds")
        metrics = {name: math.nan if x is None else x for name, x in values.items() if name not in known}
        if missing := [name for name in known if name not in values]:
            raise TypeError(f"{missing[0]} is missing")
        if wrong := [name for name, x in values.items() if not isinstance(x, int | float | None)]:
            raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
        return cls(metrics=metrics, **{name: values[name] for name in known})


class State:
    """Where a training stands; :func:`train` changes it in place.

    Parameters
    ----------
    model : Module
    optimizer_state : tree of arrays
        From ``optimizer.init(model)``.
    metrics : sequence of Epoch
    step : int
    losses : sequence of float
    seconds : float

    Attributes
    ----------
    model, optimizer_state
        What is read here is never changed by a later step.
    metrics : list of Epoch
        One for each finished epoch.
    step : int
        Gradient steps done in the epoch after those.
    losses : list
        The loss of each of these steps: a float once it was read, before that a scalar on the device, so that
        the device need not be waited for in every step.
    seconds : float
        Time these steps took.

    Examples
    --------
    >>> from bpkit import nn, optim, random
    >>> model = nn.Dense(4, 2, key=random.key(0))
    >>> state = State(model, optim.sgd(0.5).init(model))
    >>> state.model, state.epoch, state.step
    (Dense(4 → 2), 0, 0)
    """

    __slots__ = ("_lent", "_model", "_optimizer_state", "_whole", "losses", "metrics", "seconds", "step")

    def __init__(
        self,
        model: Any,
        optimizer_state: Any,
        metrics: Sequence[Epoch] = (),
        step: int = 0,
        losses: Sequence[Any] = (),
        seconds: float = 0.0,
    ) -> None:
        self._model = model
        self._optimizer_state = optimizer_state
        self._lent = True
        """Whether somebody else may hold the arrays."""
        self._whole = True
        """Whether they belong to one step."""
        self.metrics = list(metrics)
        self.step = step
        self.losses = list(losses)
        self.seconds = seconds

    def __copy__(self) -> "State":
        return State(self.model, self.optimizer_state, self.metrics, self.step, self.losses, self.seconds)

    @property
    def model(self) -> Any:
        """The model after the last step.

        Raises
        ------
        InterruptedStepError
            If a compiled step was stopped half-way.
        """
        self._check_whole()
        self._lent = True
        return self._model

    @property
    def optimizer_state(self) -> Any:
        """What the optimizer remembers after the last step; raises what `model` raises."""
        self._check_whole()
        self._lent = True
        return self._optimizer_state

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.metrics)

    def own(self) -> tuple[Any, Any]:
        """Model and optimizer state in arrays that nobody else has, for a step that may write over them."""
        self._check_whole()
        if self._lent:
            self._model, self._optimizer_state = self.copies()
            self._lent = False
        return self._model, self._optimizer_state

    def copies(self) -> tuple[Any, Any]:
        """The same in other arrays, which may be lost."""
        self._check_whole()
        return tree.map(_copy, self._model), tree.map(_copy, self._optimizer_state)

    def advance(self, step: Callable[..., Any], *args: Any, writes_over: bool) -> Any:
        """Do one gradient step.

        Parameters
        ----------
        step : callable
            ``step(model, optimizer_state, *args) -> (model, optimizer_state, loss, rest)``
        *args
        writes_over : bool
            Whether it may write over the model and the optimizer state that it is given.

        Returns
        -------
        object
            The rest.
        """
        parts = self.own() if writes_over else (self._model, self._optimizer_state)
        self._whole = not writes_over
        try:
            self._model, self._optimizer_state, loss, rest = step(*parts, *args)
        except NonFiniteError:
            # Under debug_nans the function itself runs, which writes over nothing.
            self._whole = True
            raise
        # A function that is not compiled has seen the arrays, and may have kept them.
        self._whole, self._lent = True, not writes_over
        self.losses.append(loss)
        self.step += 1
        return rest

    def observe(self, optimizer: Optimizer, value: float) -> None:
        """Tell the optimizer what a validation found."""
        self._optimizer_state = observed(optimizer, self.optimizer_state, value)

    def read_losses(self) -> list[float]:
        """The losses of the begun epoch; waits for the device.

        Raises
        ------
        DivergedError
            If one is not finite; the message names epoch and step and says what to try.
        """
        start = len(self.losses)
        # NumPy's float64 is a float as well, and has not been looked at.
        while start and type(self.losses[start - 1]) is not float:
            start -= 1
        for step in range(start, len(self.losses)):
            loss = float(self.losses[step])
            if not math.isfinite(loss):
                if not self.epoch and not step:
                    raise DivergedError(
                        f"the loss of the first step is {loss}, before any weight was changed, so no rate "
                        f"mends it; look at the initial weights, the scale of the data, and the loss. {_FIND}"
                    )
                raise DivergedError(
                    f"the loss of epoch {self.epoch + 1}, step {step + 1} is {loss}: the steps were too "
                    f"long; try a smaller learning rate (a third of this one), or smaller initial weights. "
                    f"{_FIND}"
                )
            self.losses[step] = loss
        return self.losses

    def check_weights(self) -> None:
        """Raise :class:`DivergedError` if a weight is not finite."""
        for name, leaf in zip(tree.paths(self.model), tree.leaves(self.model), strict=True):
            if is_array(leaf) and is_inexact(leaf) and not bool(xp.all(xp.isfinite(leaf))):
                raise DivergedError(
                    f"after step {self.step} of epoch {self.epoch + 1} model{name} is no longer finite: the "
                    f"steps were too long; try a smaller learning rate (a third of this one). {_FIND}"
                )

    def _check_whole(self) -> None:
        if not self._whole:
            raise InterruptedStepError(
                f"step {self.step + 1} of epoch {self.epoch + 1} was stopped while it wrote over the model, "
                f"so the weights belong to no step; go on from the last save, or train with jit=False, where "
                f"the model before a step stays until the one after it is there"
            )


def _copy(x: Any) -> Any:
    """A leaf in memory of its own, and of the type that a step returns."""
    if not hasattr(x, "shape"):
        return x
    if x.shape == () and returns_scalars(backend_of(x)):
        return x[()]
    return xp.astype(x, x.dtype, copy=True)
