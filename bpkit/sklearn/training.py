"""The training of an estimator: epochs of steps, and when to stop."""

import math
import sys
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from bpkit import namespace as xp
from bpkit import random, registry
from bpkit._protocol import RawArray
from bpkit.errors import DivergedError
from bpkit.optim import Optimizer
from bpkit.sklearn.batches import Examples
from bpkit.sklearn.networks import dense_layers
from bpkit.sklearn.objectives import of_user
from bpkit.sklearn.solvers import (
    LARGEST_SHARED,
    Paced,
    Solver,
    fresh_slope,
    fresh_step,
    minimized,
    optimizer_of,
    shared_slope,
    shared_step,
)
from bpkit.sklearn.steps import begun, model_of
from bpkit.training.interrupt import Interrupt
from bpkit.training.loop import step_keys
from bpkit.training.state import Epoch, State
from bpkit.training.step import KEYS

__all__ = ["outputs", "train"]


def outputs(model: Any, examples: Examples) -> RawArray:
    """What a model gives for all examples."""
    parts = [model(x) for x in examples.inputs()]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)


class Training:
    """One call of `fit` or `partial_fit`.

    Parameters
    ----------
    estimator : Backprop
        Its network is the one to begin with.
    examples : Examples
    targets : Targets
    weight : NumPy array or None
    draws : RandomState
        Decides which examples are for validation, and the order of the others.
    first : bool
        Whether the network is new.
    incremental : bool
        Whether it is `partial_fit`: one epoch, with the optimiser of the call before.
    """

    def __init__(
        self,
        estimator: Any,
        examples: Examples,
        targets: Any,
        weight: Any,
        draws: np.random.RandomState,
        first: bool,
        incremental: bool,
    ) -> None:
        self.estimator, self.draws, self.incremental = estimator, draws, incremental
        self.examples = examples
        self.validation: tuple[Any, Any, Any] | None = None
        self.recorded: set[int] = set()
        """The sizes of batches for which the program is known to be there."""
        loss = estimator.loss
        self.is_own = estimator.module is None and isinstance(loss, str)
        """Whether no function of the program is the user's, which may read what changes between calls."""
        self.objective = estimator._losses[loss] if isinstance(loss, str) else of_user(loss)
        if first:
            estimator.t_ = 0
            estimator.loss_curve_, estimator._stalled = [], 0
            stops = estimator.early_stopping
            estimator.validation_scores_ = [] if stops else None
            estimator.best_validation_score_ = -math.inf if stops else None
            estimator.best_loss_ = None if stops else math.inf
        if estimator.early_stopping and estimator.solver != "lbfgs":
            self._set_aside(targets, weight)

    def _set_aside(self, targets: Any, weight: Any) -> None:
        """Keep some examples for validation."""
        estimator, count = self.estimator, self.examples.x.shape[0]
        rest, aside = train_test_split(
            np.arange(count),
            random_state=self.draws,
            test_size=estimator.validation_fraction,
            stratify=targets.stratify,
        )
        if len(aside) < 2:
            raise ValueError(
                f"validation_fraction={estimator.validation_fraction} of {count} examples are "
                f"{len(aside)}; the validation needs 2 or more"
            )
        for part, rows in (("training", rest), ("validation", aside)):
            if weight is not None and not weight[rows].any():
                raise ValueError(
                    f"Weights sum to zero in the {part} that early_stopping=True splits off; change "
                    f"validation_fraction={estimator.validation_fraction} or random_state, or leave out "
                    f"examples of weight 0"
                )
        truth = None if targets.truth is None else targets.truth[aside]
        self.validation = self.examples.part(aside), truth, None if weight is None else weight[aside]
        self.examples = self.examples.part(rest)

    def run(self) -> None:
        """Train, and leave what was found on the estimator.

        Raises
        ------
        DivergedError
            If a loss or a weight is no longer finite.
        """
        if isinstance(self.estimator.solver, str) and self.estimator.solver == "lbfgs":
            self._minimize()
        else:
            self._descend()

    def _minimize(self) -> None:
        estimator = self.estimator
        batches = self.examples.batches()
        slope_of = (shared_slope if self._is_shared(batches[0][0].shape[0]) else fresh_slope)(self.objective)
        estimator.model_, found = minimized(
            estimator.model_,
            batches,
            slope_of,
            alpha=float(estimator.alpha),
            max_iter=int(estimator.max_iter),
            max_fun=int(estimator.max_fun),
            tol=float(estimator.tol),
        )
        estimator.loss_, estimator.n_iter_ = float(found.fun), int(found.nit)
        if not math.isfinite(estimator.loss_):
            raise DivergedError(
                f"lbfgs ended with the loss {estimator.loss_}: scale the data, for instance by StandardScaler"
            )
        estimator.loss_curve_.append(estimator.loss_)
        if found.status != 0:
            warnings.warn(
                f"lbfgs ended after {found.nit} iterations and {found.nfev} calls of the loss without "
                f"convergence: {found.message}; raise max_iter or max_fun, or scale the data",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _descend(self) -> None:
        estimator, count = self.estimator, self.examples.x.shape[0]
        self._prepare()
        order = np.arange(count)
        with Interrupt() as interrupt:
            for number in range(1, 2 if self.incremental else int(estimator.max_iter) + 1):
                if estimator.shuffle:
                    chosen = np.arange(count)
                    self.draws.shuffle(chosen)
                    order = order[chosen]
                loss = self._epoch(order, interrupt)
                estimator.n_iter_, estimator.loss_ = number, loss
                estimator.t_ += count
                estimator.loss_curve_.append(loss)
                if interrupt.signal is not None:
                    break
                self._say(f"Iteration {number}, loss = {loss:.8f}")
                if self._is_over() or self.incremental:
                    break
            else:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
                    f"optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=6,
                )
        self.state.check_weights()
        estimator.model_ = self.best if self.validation is not None else self._model()
        estimator._optimizer_state = self.solver, self.state.optimizer_state
        if interrupt.signal is not None:
            interrupt.pass_on()
            warnings.warn("Training interrupted by user.", stacklevel=6)

    def _prepare(self) -> None:
        """Optimiser, program and state of the steps."""
        estimator, count = self.estimator, self.examples.x.shape[0]
        self.size = min(200, count) if estimator.batch_size == "auto" else int(estimator.batch_size)
        if self.size > count:
            warnings.warn(
                f"batch_size={self.size} is more than the {count} examples of the training; it is taken "
                f"as {count}",
                stacklevel=7,
            )
            self.size = count
        if isinstance(estimator.solver, Optimizer):
            self.solver: Any = estimator.solver
            optimizer = estimator.solver
        else:
            momentum = float(estimator.momentum)
            self.solver = Solver(
                estimator.solver,
                momentum,
                bool(estimator.nesterovs_momentum),
                float(estimator.beta_1),
                float(estimator.beta_2),
                float(estimator.epsilon),
            )
            optimizer = optimizer_of(self.solver)
        self.optimizer = optimizer
        model = estimator.model_
        kept = getattr(estimator, "_optimizer_state", (None, None))
        goes_on = self.incremental and kept[0] == self.solver
        trained = begun(model, float(estimator.alpha), as_vector=isinstance(self.solver, Solver))
        state = kept[1] if goes_on else optimizer.init(trained.params)
        self.state = State(trained, state)
        self.rate = float(estimator.learning_rate_init)
        if goes_on and isinstance(state, Paced):
            self.rate = float(state.rate[0])
        elif not goes_on:
            self._set_rate()
        self.best = model
        self._compile(goes_on)

    def _compile(self, goes_on: bool) -> None:
        """The program of a step: that of the call before, one that all share, or a new one."""
        estimator, take = self.estimator, self.examples.take
        made_of = estimator.loss, self.solver, take
        kept = getattr(estimator, "_compiled", None)
        if goes_on and kept is not None and kept[0] == made_of:
            _, self.step, self.recorded = kept
            return
        if isinstance(self.solver, Solver) and self._is_shared(self.size):
            self.step = shared_step(self.objective, self.solver, take)
        else:
            self.step = fresh_step(self.objective, self.optimizer, take)
        self.recorded = set()
        estimator._compiled = made_of, self.step, self.recorded

    def _is_shared(self, size: int) -> bool:
        """Whether the program for batches of this size is kept for other trainings."""
        if not self.is_own:
            return False
        widest: int = max(max(layer.weight.shape) for layer in dense_layers(self.estimator.model_))
        return size * widest <= LARGEST_SHARED

    def _epoch(self, order: np.ndarray[Any, Any], interrupt: Interrupt) -> float:
        """One pass over the examples; its mean loss."""
        backend, device = registry.current()
        number = backend.from_host(np.zeros(1, dtype=np.int32), device)
        counts = []
        for done, (data, count) in enumerate(self.examples.epoch(order, self.size)):
            if not done % KEYS and not (self.is_own and hasattr(self, "keys")):
                self.keys = self._keys(done // KEYS)
            if count not in self.recorded:
                # The run that is recorded may round in another way than its program.
                self.step(*self.state.copies(), *data, self.keys, number)
                self.recorded.add(count)
            number = self.state.advance(self.step, *data, self.keys, number, writes_over=True)
            counts.append(count)
            if interrupt.signal is not None:
                break
        losses = self.state.read_losses()
        mean = math.fsum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
        self.state.metrics.append(Epoch(self.state.epoch + 1, mean, {}, 0.0, 0.0))
        self.state.step, self.state.losses = 0, []
        return mean

    def _keys(self, chunk: int) -> RawArray:
        """For layers that draw, which the estimator's own networks have not."""
        if not hasattr(self, "key"):
            self.key = random.key(0 if self.is_own else int(self.draws.randint(2**31 - 1)))
        return step_keys(self.key, self.state.epoch, chunk)

    def _set_rate(self) -> None:
        if isinstance(self.solver, Solver):
            self.state.observe(self.optimizer, self.rate)

    def _is_over(self) -> bool:
        """Look at how the epoch went; change the rate, or say that it is time to stop."""
        estimator = self.estimator
        self._count_stalled()
        if isinstance(self.solver, Optimizer):
            self.state.observe(self.optimizer, estimator.loss_)
        elif self.solver.name == "sgd" and estimator.learning_rate == "invscaling":
            self.rate = float(estimator.learning_rate_init) / (estimator.t_ + 1) ** float(estimator.power_t)
            self._set_rate()
        if estimator._stalled <= estimator.n_iter_no_change:
            return False
        what = "Training loss" if self.validation is None else "Validation score"
        said = (
            f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} epochs."
        )
        adapts = isinstance(self.solver, Solver) and self.solver.name == "sgd"
        if not (adapts and estimator.learning_rate == "adaptive") or self.rate <= 1e-6:
            self._say(f"{said} Stopping.")
            return True
        self.rate /= 5.0
        self._set_rate()
        self._say(f"{said} Setting learning rate to {self.rate:f}")
        estimator._stalled = 0
        return False

    def _count_stalled(self) -> None:
        """Count the epochs in turn that brought no progress."""
        estimator = self.estimator
        if self.validation is None:
            loss = estimator.loss_curve_[-1]
            stalls = loss > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, loss)
        else:
            examples, truth, weight = self.validation
            model = self._model()
            score = estimator._score_of(outputs(model, examples), truth, examples, weight)
            estimator.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
            stalls = score < estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_, self.best = score, model
        estimator._stalled = estimator._stalled + 1 if stalls else 0

    def _model(self) -> Any:
        """The network after the last step."""
        return model_of(self.state.model)

    def _say(self, line: str) -> None:
        if self.estimator.verbose:
            sys.stdout.write(line + "\n")


def train(*args: Any) -> None:
    """Train an estimator, see :class:`Training`."""
    Training(*args).run()
