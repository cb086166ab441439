"""A network that predicts numbers."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from bpkit import namespace as xp
from bpkit import registry
from bpkit._protocol import RawArray
from bpkit.sklearn.base import Backprop, Targets
from bpkit.sklearn.batches import Examples
from bpkit.sklearn.networks import layered
from bpkit.sklearn.objectives import REGRESSION, Objective
from bpkit.sklearn.places import back, host
from bpkit.sklearn.settings import is_stochastic, layer_sizes
from bpkit.sklearn.training import outputs

__all__ = ["BackpropRegressor"]


class BackpropRegressor(RegressorMixin, Backprop):
    """A network that predicts one number for each example, or several.

    It has the parameters of :class:`BackpropClassifier`, which has all of them explained, but for
    `class_weight`, and those of :class:`sklearn.neural_network.MLPRegressor`.

    Parameters
    ----------
    hidden_layer_sizes, activation, module, solver, alpha, batch_size, learning_rate, learning_rate_init
        As for :class:`BackpropClassifier`; `module` has an output for each number.
    loss : {"squared_error", "poisson"} or callable
        Half the squared error, or half the deviance of counts, which are predicted by the exponential of the
        output; both are summed over the numbers of an example. Or a function ``(output, target) -> scalar``,
        as in :mod:`bpkit.losses`; both have a row for each example.
    power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum
        As for :class:`BackpropClassifier`.
    early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun, backend, dtype
        As for :class:`BackpropClassifier`; what decides when to stop is R².

    Attributes
    ----------
    model_, loss_, best_loss_, best_validation_score_, loss_curve_, validation_scores_
        As of :class:`BackpropClassifier`.
    coefs_, intercepts_, n_iter_, t_, n_outputs_, n_features_in_
        As of :class:`BackpropClassifier`.

    Examples
    --------
    A loss that takes outliers less seriously:

    >>> from bpkit import losses
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> network = BackpropRegressor((20,), loss=losses.huber, solver="lbfgs", max_iter=500, tol=0.01)
    >>> bool(network.fit(X, y).score(X, y) > 0.95)
    True
    """

    _losses: ClassVar[Mapping[str, Objective]] = REGRESSION

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train on these examples.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)
        y : array, shape (n,) or (n, outputs)
        sample_weight : array, shape (n,), optional
            Of 0 or more; an example of weight 2 counts as two.

        Returns
        -------
        BackpropRegressor
            Itself.

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used.
        DivergedError
            If the loss is no longer finite.
        """
        return self._fit(X, y, sample_weight)

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Go on with one more pass, over these examples.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.

        Returns
        -------
        BackpropRegressor
            Itself. It raises what :meth:`fit` raises.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The numbers of each example.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n,) or (n, outputs)
            Of the dtype of the network.
        """
        with self._reading("predict", X) as (examples, place):
            return back(self._numbers(outputs(self.model_, examples)), place)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """R² of the predictions, the mean over the numbers of an example.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)
        y : array, shape (n,) or (n, outputs)
        sample_weight : array, shape (n,), optional

        Returns
        -------
        float
            At most 1.
        """
        # On the host, since scikit-learn's own writes into arrays, which those of JAX do not allow.
        return float(r2_score(host(y), host(self.predict(X)), sample_weight=sample_weight))

    def _numbers(self, output: RawArray) -> RawArray:
        if isinstance(self.loss, str) and self.loss == "poisson":
            output = xp.exp(output)
        return output[:, 0] if output.shape[1] == 1 else output

    def _validated(self, x: Any, y: Any, first: bool) -> tuple[Any, Any]:
        x, y = super()._validated(x, y, first)
        y = host(y)
        return x, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _targets(self, y: Any, first: bool, incremental: bool) -> Targets:
        values = np.asarray(y, dtype=np.float64)
        if isinstance(self.loss, str) and self.loss == "poisson" and (values < 0).any():
            raise ValueError(f"y has {values.min():g}; loss='poisson' is for counts, of 0 or more")
        rows = values[:, np.newaxis] if values.ndim == 1 else values
        if not first and rows.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {rows.shape[1]} numbers for each example, and had {self.n_outputs_} before"
            )
        return Targets(rows, rows.shape[1], values)

    def _network(self, features: int, outputs: int, draws: np.random.RandomState) -> Any:
        return layered([features, *layer_sizes(self), outputs], self.activation, draws)

    def _score_of(self, output: RawArray, truth: Any, examples: Examples, weight: Any) -> float:
        found = registry.current().backend.to_host(self._numbers(output))
        return float(r2_score(truth, found, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
