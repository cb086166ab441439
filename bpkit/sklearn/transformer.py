"""A network that finds features from which it can make its input again."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from bpkit import namespace as xp
from bpkit import registry
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.sklearn.base import Backprop, Targets
from bpkit.sklearn.batches import Examples
from bpkit.sklearn.networks import Autoencoder, layered
from bpkit.sklearn.objectives import REGRESSION, Objective
from bpkit.sklearn.places import back, check_same_place, place_of
from bpkit.sklearn.settings import is_stochastic, layer_sizes, refused
from bpkit.sklearn.training import outputs

__all__ = ["BackpropTransformer"]


class BackpropTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Backprop):
    """An autoencoder: features from which a second network makes the input again.

    The hidden layers lead to the features, which are the outputs of the last of them, and the same sizes in
    reverse lead back. Its parameters are those of :class:`BackpropClassifier`, which has all of them
    explained, but for `class_weight`.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Of the way to the features; the last one is their number.
    activation : {"identity", "logistic", "tanh", "relu"}
        After each layer but the last one of the way back.
    module : Module or callable, optional
        A network in place of those two: an :class:`bpkit.sklearn.Autoencoder`, or a Module that has an
        `encoder` and a `decoder` as it has; or a function ``(n_features, n_outputs, key) -> Module``, where
        both numbers are that of the inputs.
    loss : {"squared_error", "poisson"} or callable
        As for :class:`BackpropRegressor`; the target is the input.
    solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, random_state
        As for :class:`BackpropClassifier`.
    tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
        As for :class:`BackpropClassifier`; what decides when to stop is R².
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun, backend, dtype
        As for :class:`BackpropClassifier`.

    Attributes
    ----------
    model_, loss_, best_loss_, best_validation_score_, loss_curve_, validation_scores_
        As of :class:`BackpropClassifier`; ``model_.encoder`` leads to the features.
    coefs_, intercepts_, n_iter_, t_, n_outputs_, n_features_in_
        As of :class:`BackpropClassifier`.

    References
    ----------
    D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning internal representations by error
    propagation", in Parallel Distributed Processing, volume 1 (1986), chapter 8, for the encoder problem.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> X = scale(load_iris().data)
    >>> network = BackpropTransformer((2,), "tanh", solver="lbfgs", max_iter=500, tol=0.01, random_state=0)
    >>> network.fit_transform(X).shape
    (150, 2)
    >>> bool(network.score(X) > 0.9)
    True
    """

    _losses: ClassVar[Mapping[str, Objective]] = REGRESSION

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train on these examples.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)
        y
            Not used.
        sample_weight : array, shape (n,), optional
            Of 0 or more; an example of weight 2 counts as two.

        Returns
        -------
        BackpropTransformer
            Itself.

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used.
        DivergedError
            If the loss is no longer finite.
        """
        return self._fit(X, None, sample_weight)

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Go on with one more pass, over these examples.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.

        Returns
        -------
        BackpropTransformer
            Itself. It raises what :meth:`fit` raises.
        """
        return self._fit(X, None, sample_weight, incremental=True)

    def transform(self, X: Any) -> Any:  # noqa: N803
        """The features of each example.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n, features out)
            Of the dtype of the network.
        """
        with self._reading("transform", X) as (examples, place):
            return back(outputs(self.model_.encoder, examples), place)

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """Inputs from their features.

        Parameters
        ----------
        X : array, shape (n, features out)

        Returns
        -------
        array, shape (n, features)
        """
        check_is_fitted(self)
        check_same_place(self, "inverse_transform", X)
        options = {name: x for name, x in self._accepted(X).items() if name != "accept_sparse"}
        features = check_array(X, input_name="X", **options)
        if features.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {features.shape[1]} features, but {type(self).__name__} makes {self._n_features_out}"
            )
        place = place_of(features)
        with registry.use_backend(self.backend or place):
            found = outputs(self.model_.decoder, self._examples(features, None, None))
            return back(self._numbers(found), place)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """How much of the input its features say: R² of what is made of them, the mean over the columns.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)
        y
            Not used.
        sample_weight : array, shape (n,), optional

        Returns
        -------
        float
            At most 1.
        """
        with self._reading("score", X) as (examples, _):
            return self._score_of(outputs(self.model_, examples), None, examples, sample_weight)

    def _numbers(self, output: RawArray) -> RawArray:
        return xp.exp(output) if isinstance(self.loss, str) and self.loss == "poisson" else output

    @property
    def _n_features_out(self) -> int:
        return self._width

    def _validated(self, x: Any, y: Any, first: bool) -> tuple[Any, Any]:
        return validate_data(self, x, reset=first, **self._accepted(x)), None

    def _targets(self, y: Any, first: bool, incremental: bool) -> Targets:
        return Targets(None, self.n_features_in_, None)

    def _network(self, features: int, outputs: int, draws: np.random.RandomState) -> Any:
        hidden = layer_sizes(self)
        if not hidden:
            expected = "one or more ints of 1 or more, of which the last is the number of features it makes"
            raise refused(self, "hidden_layer_sizes", expected, self.hidden_layer_sizes)
        sizes = [features, *hidden]
        encoder = layered(sizes, self.activation, draws, ends_linear=False)
        return Autoencoder(encoder, layered(sizes[::-1], self.activation, draws))

    def _begun(self, examples: Examples, outputs: int, draws: np.random.RandomState) -> Any:
        model = super()._begun(examples, outputs, draws)
        if not callable(getattr(model, "encoder", None)) or not callable(getattr(model, "decoder", None)):
            raise ArgumentError(
                f"module: {type(model).__name__} has no encoder and decoder; expected a model such as "
                f"bpkit.sklearn.Autoencoder(encoder, decoder)"
            )
        self._width = int(model.encoder(xp.zeros((2, outputs), dtype=self._trained_in)).shape[1])
        return model

    def _score_of(self, output: RawArray, truth: Any, examples: Examples, weight: Any) -> float:
        backend = registry.current().backend
        given = examples.x.toarray() if issparse(examples.x) else backend.to_host(examples.x)
        return float(r2_score(given, backend.to_host(self._numbers(output)), sample_weight=weight))
