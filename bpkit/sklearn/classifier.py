"""A network that tells classes apart."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from bpkit import namespace as xp
from bpkit import nn, registry
from bpkit._protocol import RawArray
from bpkit.data.prefetch import to_device
from bpkit.sklearn.base import Backprop, Targets
from bpkit.sklearn.batches import Examples
from bpkit.sklearn.networks import layered
from bpkit.sklearn.objectives import CLASSIFICATION, Objective
from bpkit.sklearn.places import back, host
from bpkit.sklearn.settings import is_stochastic, layer_sizes
from bpkit.sklearn.training import outputs

__all__ = ["BackpropClassifier"]


class BackpropClassifier(ClassifierMixin, Backprop):
    """A network that tells classes apart, for scikit-learn's pipelines and searches.

    It has the parameters and defaults of :class:`sklearn.neural_network.MLPClassifier`, and from the same
    `random_state` it begins with the same weights and takes the same batches. `module`, `loss`, `solver`,
    `class_weight`, `backend` and `dtype` go beyond it.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The sizes of the hidden layers.
    activation : {"identity", "logistic", "tanh", "relu"}
        After each hidden layer.
    module : Module or callable, optional
        A network in place of those two: a :mod:`bpkit.nn` model that takes the features and returns a row of
        ``n_outputs`` for each example, or a function ``(n_features, n_outputs, key) -> Module`` that makes
        one. There is one output for two classes, and else one for each class or label.
    loss : "log_loss" or callable
        ``(output, target) -> scalar``, the mean over a batch, as in :mod:`bpkit.losses`, from outputs before
        the softmax or sigmoid. The target are class numbers (n,); for two classes 0 and 1 of shape (n, 1),
        for several labels of (n, labels), in the dtype of the network. With weights it is called with
        ``sample_weight=``.
    class_weight : dict, "balanced" or None
        Weights of classes, by which those of their examples are multiplied.
    solver : {"adam", "sgd", "lbfgs"} or Optimizer
        One of :mod:`bpkit.optim` has its own rate: `learning_rate_init` and the like are not used. "lbfgs" is
        SciPy's L-BFGS-B, on all examples at once.
    alpha : float
        Strength of the penalty: ``alpha / 2`` times the sum of the squares of all arrays of weights (with two
        axes or more), over the number of examples in a batch, or the sum of their weights.
    batch_size : int or "auto"
        Examples of a step; "auto" for 200, or all if they are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For "sgd" alone: the same in all epochs; divided by ``(t_ + 1) ** power_t``; or divided by 5 where it
        would stop otherwise, until it is 1e-6.
    learning_rate_init : float
    power_t : float
    max_iter : int
        How many epochs at most; for "lbfgs", iterations.
    shuffle : bool
        Whether each epoch has another order.
    random_state : int, RandomState or None
        Decides the first weights, the order of examples, and which of them are for validation.
    tol : float
        By how much loss or score must get better.
    verbose : bool
        Whether to write a line for each epoch.
    warm_start : bool
        Whether `fit` goes on with the network of the call before.
    momentum : float
    nesterovs_momentum : bool
        Both for "sgd".
    early_stopping : bool
        Whether to set examples aside, measure the score on them after each epoch, and keep the best network.
    validation_fraction : float
        How large a part of the examples that is, with equal shares of the classes.
    beta_1, beta_2, epsilon : float
        For "adam", see :func:`bpkit.optim.adam`.
    n_iter_no_change : int
        It stops after more than so many epochs without progress.
    max_fun : int
        For "lbfgs", how often the loss may be computed.
    backend : str, optional
        Where to train and predict, such as ``"torch"`` or ``"torch:cuda:0"``; results come back to the
        library of the data. Default: where the data are, which is NumPy unless scikit-learn's
        array-API dispatch is on.
    dtype : {"float32", "float64"}, optional
        Of the network. Default: that of the data of `fit`, float64 for integers.

    Attributes
    ----------
    model_ : Module
    classes_ : NumPy array, shape (n_classes,)
    loss_, best_loss_, best_validation_score_ : float
        Of the last epoch, and the best; that of the validation with `early_stopping`, and then no best loss.
    loss_curve_, validation_scores_ : list of float
        One for each epoch. The loss is the mean over examples of what each batch had before its step.
    coefs_, intercepts_ : list of array
        Weights (from, to) and biases of each layer, without `module`.
    n_iter_, t_, n_outputs_, n_features_in_ : int
        Epochs of the last call, examples seen, outputs, features.

    See Also
    --------
    bpkit.training.fit : everything that training can do.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> network = BackpropClassifier((20,), solver="lbfgs", random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), network).fit(X, y)
    >>> bool(pipeline.score(X, y) > 0.95)
    True
    """

    _losses: ClassVar[Mapping[str, Objective]] = CLASSIFICATION
    classes_: Any

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        module: Any = None,
        loss: Any = "log_loss",
        class_weight: Any = None,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            module=module,
            loss=loss,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            backend=backend,
            dtype=dtype,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train on these examples.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)
        y : array, shape (n,), or (n, labels) of 0 and 1
            Classes, of whatever type; or several labels for each example.
        sample_weight : array, shape (n,), optional
            Of 0 or more; an example of weight 2 counts as two.

        Returns
        -------
        BackpropClassifier
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:  # noqa: N803
        """Go on with one more pass, over these examples.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes : array, shape (n_classes,), optional
            All classes there will be; needed in the first call.

        Returns
        -------
        BackpropClassifier
            Itself.

        Raises
        ------
        ValueError
            As :meth:`fit`; if `classes` are missing, or not those of the first call.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all examples, and partial_fit sees some; give a "
                f"dict: dict(zip(classes, compute_class_weight('balanced', classes=classes, y=y)))"
            )
        if classes is not None:
            given = np.unique(host(classes))
            if hasattr(self, "classes_") and not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"partial_fit: classes are {given}, and were {self.classes_} in the first call"
                )
            self.classes_ = given
        elif not hasattr(self, "classes_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The class of each example.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n,), or (n, labels) of 0 and 1
        """
        with self._reading("predict", X) as (examples, place):
            found = self._decided(outputs(self.model_, examples))
            if self._is_multilabel:
                return back(xp.astype(found, _integers()), place)
            if self.classes_.dtype.kind not in "biuf":
                return self.classes_[registry.current().backend.to_host(found)]
            return back(xp.take(to_device(self.classes_), found, axis=0), place)

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """How likely each class is, by the softmax or the sigmoid of the outputs.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n, n_classes)
            In the order of `classes_`; of several labels each for itself.
        """
        with self._reading("predict_proba", X) as (examples, place):
            return back(self._shares(outputs(self.model_, examples)), place)

    def predict_log_proba(self, X: Any) -> Any:  # noqa: N803
        """The logarithm of :meth:`predict_proba`, which does not overflow.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n, n_classes)
        """
        with self._reading("predict_log_proba", X) as (examples, place):
            found = outputs(self.model_, examples)
            if self._is_multilabel:
                return back(nn.logsigmoid(found), place)
            if found.shape[1] == 1:
                found = xp.concat([xp.zeros_like(found), found], axis=1)
            return back(nn.log_softmax(found), place)

    def _shares(self, output: RawArray) -> RawArray:
        if self._is_multilabel:
            return nn.sigmoid(output)
        if output.shape[1] == 1:
            return xp.concat([nn.sigmoid(-output), nn.sigmoid(output)], axis=1)
        return nn.softmax(output)

    def _decided(self, output: RawArray) -> RawArray:
        """Class numbers, or for several labels which apply."""
        if self._is_multilabel:
            return output > 0
        if output.shape[1] == 1:
            return xp.astype(output[:, 0] > 0, "int32")
        return xp.argmax(output, axis=1)

    def _validated(self, x: Any, y: Any, first: bool) -> tuple[Any, Any]:
        x, y = super()._validated(x, y, first)
        y = y if issparse(y) else host(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return x, y

    def _targets(self, y: Any, first: bool, incremental: bool) -> Targets:
        kind = type_of_target(y)
        several = kind == "multilabel-indicator"
        if several:
            y = y.toarray() if issparse(y) else y
        elif kind not in ("binary", "multiclass"):
            raise ValueError(f"Unknown label type: {kind}; y must be classes, or rows of 0 and 1 for labels")
        found = np.arange(y.shape[1]) if several else np.unique(y)
        if first and not incremental:
            self.classes_ = found
            if len(found) < 2 and not several:
                raise ValueError(f"y has one class, {found[0]}; there must be two or more to tell apart")
        elif not incremental and not np.array_equal(found, self.classes_):
            raise ValueError(
                f"warm_start can only be used where y has the same classes as in the previous call to fit: "
                f"they were {self.classes_}, and are {found}"
            )
        elif len(unknown := np.setdiff1d(found, self.classes_)):
            raise ValueError(f"y has {unknown}, which are not in classes_: {self.classes_}")
        self._is_multilabel = several
        if several:
            return Targets(np.asarray(y, dtype=np.float64), len(self.classes_), y)
        numbers = np.searchsorted(self.classes_, y)
        if len(self.classes_) == 2:
            return Targets(numbers[:, np.newaxis].astype(np.float64), 1, numbers, numbers)
        return Targets(numbers.astype(np.int32), len(self.classes_), numbers, numbers)

    def _class_weights(self, y: Any) -> Any:
        if self.class_weight is None:
            return None
        return compute_sample_weight(self.class_weight, y)

    def _network(self, features: int, outputs: int, draws: np.random.RandomState) -> Any:
        return layered([features, *layer_sizes(self), outputs], self.activation, draws)

    def _score_of(self, output: RawArray, truth: Any, examples: Examples, weight: Any) -> float:
        found = registry.current().backend.to_host(self._decided(output))
        return float(accuracy_score(truth, found, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _integers() -> str:
    """The name of the widest integers here."""
    return "int64" if "int64" in registry.current().backend.dtypes() else "int32"
