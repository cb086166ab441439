"""What the three estimators share: parameters, data, and the network."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from bpkit import __version__, registry
from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.data.prefetch import to_device
from bpkit.errors import ShapeError
from bpkit.sklearn.batches import Dense, Examples, Sparse
from bpkit.sklearn.networks import dense_layers, given_model, placed
from bpkit.sklearn.objectives import Objective
from bpkit.sklearn.places import check_same_place, host, library_of, place_of
from bpkit.sklearn.settings import check_settings, check_unchanged, made_with
from bpkit.sklearn.training import train

__all__ = ["Backprop", "Targets"]


class Targets(NamedTuple):
    """What a network is to learn.

    Attributes
    ----------
    values : NumPy array, or None
        A row, or the number of a class, for each example; None where they are the inputs.
    outputs : int
        How many numbers the network gives for an example.
    truth : NumPy array, or None
        What `score` compares predictions with.
    stratify : NumPy array, or None
        Classes of which a validation gets its share.
    """

    values: Any
    outputs: int
    truth: Any
    stratify: Any = None


class Backprop(BaseEstimator):
    """Parameters and training; see :class:`bpkit.sklearn.BackpropClassifier` for what they mean."""

    _losses: ClassVar[Mapping[str, Objective]]
    _made_with: dict[str, Any]

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        module: Any = None,
        loss: Any = "squared_error",
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.dtype = dtype

    @abstractmethod
    def _targets(self, y: Any, first: bool, incremental: bool) -> Targets:
        """What is to be learnt, of what scikit-learn has checked."""

    @abstractmethod
    def _network(self, features: int, outputs: int, draws: np.random.RandomState) -> Any:
        """A network of dense layers."""

    @abstractmethod
    def _score_of(self, output: RawArray, truth: Any, examples: Examples, weight: Any) -> float:
        """How good these outputs for examples are, for early stopping."""

    def _class_weights(self, y: Any) -> Any:
        """A weight for each example because of its class, or None."""
        return None

    def _fit(self, x: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Self:
        check_settings(self, self._losses)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        called = "partial_fit" if incremental else "fit"
        if not first:
            check_unchanged(self, self._made_with, called)
        x, y = self._validated(x, y, first)
        targets = self._targets(y, first, incremental)
        weight = self._weights(sample_weight, x, y)
        draws = check_random_state(self.random_state)
        place = place_of(x)
        with registry.use_backend(self.backend or place):
            if first:
                self._trained_in = self._dtype_of(x)
            else:
                check_same_place(self, called, x)
            examples = self._examples(x, targets.values, weight)
            if first:
                self.n_outputs_, self._fitted_on = targets.outputs, place
                self.model_ = self._begun(examples, targets.outputs, draws)
                self._made_with = made_with(self)
            train(self, examples, targets, weight, draws, first, incremental)
        return self

    def _validated(self, x: Any, y: Any, first: bool) -> tuple[Any, Any]:
        """Both, as scikit-learn checks them; y may be anything that has rows."""
        x, y = validate_data(self, x, y, reset=first, multi_output=True, **self._accepted(x))
        return x, y

    def _accepted(self, x: Any) -> dict[str, Any]:
        library = library_of(x)
        if library is None:
            return {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "order": "C"}
        known = [getattr(library.xp, name) for name in ("float64", "float32") if name in library.dtypes()]
        return {"dtype": known}

    def _weights(self, sample_weight: Any, x: Any, y: Any) -> Any:
        """Weights of the examples as a NumPy array, or None."""
        found = self._class_weights(y)
        if sample_weight is not None:
            given = self._given_weights(sample_weight, x)
            found = given if found is None else given * found
        if found is not None and not found.any():
            raise ValueError(
                "Weights sum to zero: by sample_weight, class_weight or both no example counts; give some a "
                "weight above 0"
            )
        return found

    def _given_weights(self, sample_weight: Any, x: Any) -> Any:
        """The argument `sample_weight` as a NumPy array."""
        if isinstance(sample_weight, Real):
            sample_weight = np.full(x.shape[0], float(sample_weight))
        given = check_array(
            host(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
        if given.ndim != 1:
            raise ValueError(f"sample_weight has shape {given.shape}; expected one weight for each example")
        check_consistent_length(x, given)
        if (given < 0).any():
            raise ValueError(f"sample_weight[{int(np.argmax(given < 0))}] is below 0; weights are 0 or more")
        return given

    def _dtype_of(self, x: Any) -> str:
        name = self.dtype or str(x.dtype).rpartition(".")[2]
        return name if name in registry.current().backend.dtypes() else "float32"

    def _examples(self, x: Any, y: Any, weight: Any) -> Examples:
        dtype = self._trained_in
        real = [
            None if part is None else part if part.dtype.kind in "iu" else part.astype(dtype)
            for part in (y, weight)
        ]
        if issparse(x):
            return Sparse(x, real[0], real[1], dtype)
        return Dense(*to_device((x, *real), dtype))

    def _begun(self, examples: Examples, outputs: int, draws: np.random.RandomState) -> Any:
        """The network before the first step."""
        features, dtype = int(examples.x.shape[1]), self._trained_in
        if self.module is None:
            return placed(self._network(features, outputs, draws), dtype)
        model = placed(given_model(self.module, features, outputs, draws.randint(2**31 - 1)), dtype)
        found = tuple(model(xp.zeros((2, features), dtype=dtype)).shape)
        if found != (2, outputs):
            raise ShapeError(
                f"module: for 2 examples of {features} features the model returned the shape {found}; "
                f"expected (2, {outputs}), a row of {outputs} for each example"
            )
        return model

    @contextmanager
    def _reading(self, called: str, x: Any) -> Iterator[tuple[Examples, str]]:
        """Data that were checked, where the network is, and the place that they came from."""
        check_is_fitted(self)
        check_same_place(self, called, x)
        x = validate_data(self, x, reset=False, **self._accepted(x))
        place = place_of(x)
        with registry.use_backend(self.backend or place):
            yield self._examples(x, None, None), place

    @property
    def coefs_(self) -> list[Any]:
        """The weights of each layer, of shape (from, to)."""
        return [xp.matrix_transpose(layer.weight) for layer in self._own_layers("coefs_")]

    @property
    def intercepts_(self) -> list[Any]:
        """The biases of each layer."""
        return [layer.bias for layer in self._own_layers("intercepts_")]

    def _own_layers(self, name: str) -> list[Any]:
        if not hasattr(self, "model_") or self.module is not None:
            raise AttributeError(
                f"{type(self).__name__} has {name} when it is fitted, if it made its network itself; "
                f"model_ is the network in any case"
            )
        return dense_layers(self.model_)

    def __getstate__(self) -> dict[str, Any]:
        # Programs are not saved: another process compiles its own.
        state: dict[str, Any] = super().__getstate__()
        kept = {name: value for name, value in state.items() if name != "_compiled"}
        return kept | {"_bpkit_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        before = state.get("_bpkit_version", "unknown")
        if before != __version__:
            warned = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=f"{__version__} of bpkit",
                original_sklearn_version=f"{before} of bpkit",
            )
            warnings.warn(warned, stacklevel=2)
        super().__setstate__({name: value for name, value in state.items() if name != "_bpkit_version"})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
