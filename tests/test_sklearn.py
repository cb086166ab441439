"""Estimators beside scikit-learn's own networks, and what goes beyond these."""

import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from bpkit import losses, nn, optim, random, tree, xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, DivergedError, ShapeError
from bpkit.sklearn import Autoencoder, BackpropClassifier, BackpropRegressor, BackpropTransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(90, 6, n_informative=4, n_classes=3, random_state=0)
X2, Y2 = make_regression(70, 5, n_targets=2, noise=1.0, random_state=1)
Y2 = Y2 / 100
LABELS = np.stack([Y == 0, X[:, 0] > 0], axis=1).astype(int)
SOME = {"hidden_layer_sizes": (7, 4), "random_state": 3, "max_iter": 12}

PROBLEMS = {
    "two classes": (BackpropClassifier, MLPClassifier, X, np.where(Y > 0, "yes", "no")),
    "three classes": (BackpropClassifier, MLPClassifier, X, Y),
    "labels": (BackpropClassifier, MLPClassifier, X, LABELS),
    "a number": (BackpropRegressor, MLPRegressor, X2, Y2[:, 0]),
    "two numbers": (BackpropRegressor, MLPRegressor, X2, Y2),
    "counts": (BackpropRegressor, MLPRegressor, X2 / 3, np.abs(Y2[:, 0]).round()),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05, "batch_size": 32},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.05, "batch_size": 25, "alpha": 0.5},
    "falling": {
        "solver": "sgd",
        "learning_rate": "invscaling",
        "learning_rate_init": 0.1,
        "activation": "tanh",
    },
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    "in order": {"solver": "sgd", "shuffle": False, "batch_size": 20, "activation": "logistic"},
    "linear": {"solver": "sgd", "activation": "identity"},
    "adam": {"epsilon": 1e-14, "batch_size": 40, "activation": "tanh"},
    "lbfgs": {"solver": "lbfgs", "activation": "tanh"},
}


def agrees(problem: str, solver: str) -> bool:
    """Whether scikit-learn's gradient is that of its loss: not for a mean over several numbers."""
    return (problem, solver) != ("two numbers", "lbfgs")


def pair(problem: str, **options: Any) -> tuple[Any, Any]:
    """Ours and scikit-learn's own, fitted."""
    ours, theirs, x, y = PROBLEMS[problem]
    if problem == "counts":
        options["loss"] = "poisson"
    weight = options.pop("sample_weight", None)
    fitted = [cls(**{**SOME, **options}).fit(x, y, weight) for cls in (ours, theirs)]
    return fitted[0], fitted[1]


def assert_same_network(ours: Any, theirs: Any, rtol: float = 1e-9) -> None:
    for name in ("coefs_", "intercepts_"):
        for x, y in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("problem, settings", [(p, s) for p in PROBLEMS for s in SETTINGS if agrees(p, s)])
def test_it_trains_as_scikit_learns_own_network_does(problem: str, settings: str) -> None:
    ours, theirs = pair(problem, **SETTINGS[settings])
    loose = 1e-5 if settings in ("adam", "lbfgs") else 1e-9
    assert_same_network(ours, theirs, loose)
    assert ours.n_iter_ == theirs.n_iter_
    if problem != "two numbers":
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=loose)
        if settings != "lbfgs":
            np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=loose)
    x = PROBLEMS[problem][2]
    found, expected = ours.predict(x), theirs.predict(x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if isinstance(ours, BackpropRegressor):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        return
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        ours.predict_log_proba(x), np.log(ours.predict_proba(x)), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize(
    "problem, solver", [(p, s) for p in PROBLEMS for s in ("sgd", "lbfgs") if agrees(p, s)]
)
def test_weights_of_examples_count_as_they_do_there(problem: str, solver: str) -> None:
    count = len(PROBLEMS[problem][3])
    weight = np.random.default_rng(0).uniform(0.0, 3.0, count)
    # Where a rectifier bends, rounding decides where a line search goes.
    options = {"batch_size": 30, "alpha": 0.1, "activation": "tanh" if solver == "lbfgs" else "relu"}
    ours, theirs = pair(problem, solver=solver, sample_weight=weight, **options)
    assert_same_network(ours, theirs, 1e-5 if solver == "lbfgs" else 1e-9)


@pytest.mark.parametrize("problem", ["two classes", "a number", "two numbers"])
def test_it_stops_early_as_it_does_there(problem: str) -> None:
    options = {"solver": "sgd", "early_stopping": True, "learning_rate_init": 0.3, "n_iter_no_change": 3}
    ours, theirs = pair(problem, **options, max_iter=60, batch_size=10)
    assert 3 < ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-6)
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    assert ours.best_loss_ is None
    assert_same_network(ours, theirs, 1e-6)


def test_the_best_network_of_a_validation_is_kept() -> None:
    model = BackpropClassifier(
        (8,), early_stopping=True, learning_rate_init=0.5, random_state=0, max_iter=30
    ).fit(X, Y)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert best < model.n_iter_
    settings = {"max_iter": best, "n_iter_no_change": np.inf}
    again = clone(model).set_params(**settings).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("problem", [problem for problem in PROBLEMS if problem != "counts"])
def test_parts_and_warm_starts_go_on_as_they_do_there(problem: str) -> None:
    ours, theirs, x, y = PROBLEMS[problem]
    options = {**SOME, "solver": "sgd", "batch_size": 16, "learning_rate_init": 0.02}
    pairs = [cls(**options) for cls in (ours, theirs)]
    classes = {} if "number" in problem else {"classes": [0, 1] if problem == "labels" else np.unique(y)}
    for part in (slice(0, 40), slice(40, None), slice(10, 50)):
        for model in pairs:
            model.partial_fit(x[part], y[part], **classes)
        classes = {}
    assert_same_network(*pairs)
    assert len(pairs[0].loss_curve_) == 3
    assert pairs[0].t_ == pairs[1].t_
    pairs = [cls(**options, warm_start=True).fit(x, y).fit(x, y) for cls in (ours, theirs)]
    assert_same_network(*pairs)
    assert len(pairs[0].loss_curve_) == 24


def test_a_classifier_may_see_some_classes_first() -> None:
    model = BackpropClassifier((8,), random_state=0)
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        model.partial_fit(X, Y)
    model.partial_fit(X[Y < 2], Y[Y < 2], classes=[2, 0, 1]).partial_fit(X, Y)
    assert model.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match=r"y has \[7\], which are not in classes_: \[0 1 2\]"):
        model.partial_fit(X, np.where(Y == 2, 7, Y))
    with pytest.raises(ValueError, match=r"classes are \[0 1\], and were \[0 1 2\]"):
        model.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="warm_start can only be used where y has the same classes"):
        clone(model).set_params(warm_start=True, max_iter=1).fit(X, Y).fit(X[Y < 2], Y[Y < 2])


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"batch_size": 10**6}], ids=str)
@pytest.mark.filterwarnings("ignore:batch_size=")
def test_a_weight_of_two_is_the_example_twice(options: dict[str, Any]) -> None:
    times = np.random.default_rng(0).integers(0, 3, len(Y))
    weighted = BackpropClassifier((5,), **options, random_state=0, max_iter=30, alpha=0.1)
    repeated = clone(weighted)
    weighted.fit(X, Y, times)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(Y, times))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", losses.huber])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_batch_without_weight_changes_nothing(loss: Any, sparse: bool) -> None:
    x, y = X2[:20], np.abs(Y2[:20, 0])
    weight = np.repeat([0.0, 1.0], 10)
    options: dict[str, Any] = {"loss": loss, "batch_size": 2, "shuffle": False, "random_state": 0}
    options |= {"solver": "sgd", "momentum": 0.0, "max_iter": 3, "alpha": 0.1}
    model = BackpropRegressor((8,), **options).fit(csr_array(x) if sparse else x, y, weight)
    expected = BackpropRegressor((8,), **options).fit(x[10:], y[10:])
    assert_same_network(model, expected)
    np.testing.assert_allclose(model.loss_curve_, np.array(expected.loss_curve_) / 2)


def test_a_part_without_weight_changes_nothing_for_lbfgs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpkit.sklearn.batches.ROWS", 5)
    weight = np.repeat([0.0, 1.0], 10)
    model = BackpropRegressor((4,), solver="lbfgs", max_iter=5, random_state=0)
    found = clone(model).fit(csr_array(X2[:20]), Y2[:20], weight)
    assert_same_network(found, model.fit(X2[10:20], Y2[10:20]), rtol=1e-6)


def test_a_class_without_weight_may_fill_a_batch() -> None:
    y = np.repeat([0, 1], 45)
    options: dict[str, Any] = {"class_weight": {0: 0, 1: 1}, "batch_size": 5, "shuffle": False, "max_iter": 3}
    assert np.isfinite(BackpropClassifier((8,), **options).fit(X, y).loss_)
    with pytest.raises(ValueError, match="Weights sum to zero: by sample_weight, class_weight or both"):
        BackpropClassifier((8,), **options).fit(X, y, 1.0 - y)


def test_early_stopping_needs_weight_in_both_parts() -> None:
    weight = np.zeros(len(X2))
    weight[0] = 1
    with pytest.raises(ValueError, match=r"Weights sum to zero in the (training|validation) that early"):
        BackpropRegressor((8,), early_stopping=True).fit(X2, Y2, weight)


def test_an_autoencoder_needs_a_hidden_layer() -> None:
    with pytest.raises(
        ValueError, match=r"BackpropTransformer\(hidden_layer_sizes=\(\)\).* one or more ints"
    ):
        BackpropTransformer(()).fit(X)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_layer_sizes": (20,)},
        {"activation": "tanh"},
        {"dtype": "float32"},
        {"backend": "numpy"},
        {"module": lambda n_in, n_out, key: nn.Dense(n_in, n_out, key=key)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_warm_start_refuses_another_network(changed: dict[str, Any]) -> None:
    model = BackpropRegressor((8,), warm_start=True, max_iter=2).fit(X2, Y2)
    # The same sizes written in another way, and what does not make the network, may change.
    model.set_params(hidden_layer_sizes=8, alpha=0.1, solver="sgd").fit(X2, Y2)
    (name,) = changed
    model.set_params(**changed)
    with pytest.raises(ValueError, match=f"BackpropRegressor.fit goes on .* made with {name}="):
        model.fit(X2, Y2)
    with pytest.raises(ValueError, match=f"BackpropRegressor.partial_fit goes on .* {name} is now"):
        model.partial_fit(X2, Y2)
    model.set_params(warm_start=False).fit(X2, Y2)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5, 2: 1.0}])
def test_weights_of_classes_are_those_of_their_examples(class_weight: Any) -> None:
    y = np.where(np.arange(90) < 60, 0, Y)
    weight = np.random.default_rng(0).uniform(size=90)
    options = {"max_iter": 20, "random_state": 0, "batch_size": 25}
    model = BackpropClassifier((6,), class_weight=class_weight, **options).fit(X, y, weight)
    other = BackpropClassifier((6,), **options).fit(X, y, weight * compute_sample_weight(class_weight, y))
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    assert not np.allclose(
        model.predict_proba(X), BackpropClassifier((6,), **options).fit(X, y).predict_proba(X)
    )
    if class_weight == "balanced":
        with pytest.raises(ValueError, match="class_weight='balanced' needs all examples"):
            model.partial_fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", [BackpropClassifier, BackpropRegressor, BackpropTransformer])
def test_sparse_data_are_the_same_data(cls: Any, solver: str) -> None:
    x = np.where(X > 0.5, X, 0.0)
    model = cls(
        (5,), solver=solver, max_iter=8, batch_size=32, random_state=0, early_stopping=solver == "adam"
    )
    dense, thin = clone(model).fit(x, Y), clone(model).fit(csr_array(x), Y)
    for a, b in zip(dense.coefs_, thin.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    result = "transform" if cls is BackpropTransformer else "predict"
    np.testing.assert_allclose(getattr(dense, result)(x), getattr(thin, result)(csr_array(x)), rtol=1e-9)


# What goes beyond scikit-learn's networks.


def normalized(n_features: int, n_outputs: int, key: Any) -> nn.Module:
    first, second = xp.unstack(random.split(key, 2))
    return nn.Sequential(
        nn.Dense(n_features, 12, key=first),
        nn.BatchNorm(12),
        nn.gelu,
        nn.Dropout(0.3),
        nn.Dense(12, n_outputs, key=second),
    )


@pytest.mark.parametrize("y", [Y, Y > 0, LABELS], ids=["three", "two", "labels"])
def test_any_model_is_trained(y: Any) -> None:
    model = BackpropClassifier(module=normalized, learning_rate_init=0.02, max_iter=60, random_state=0).fit(
        X, y
    )
    assert model.score(X, y) > 0.7
    norm = model.model_[1]
    assert not np.allclose(norm.running_mean, 0.0), "buffers are learnt"
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.allclose(model.predict_proba(X), other.predict_proba(X))
    with pytest.raises(AttributeError, match="model_ is the network in any case"):
        _ = model.coefs_


def test_a_model_that_is_given_stays_as_it_is() -> None:
    network = normalized(6, 3, random.key(0))
    before = [np.array(x) for x in tree.leaves(network)]
    model = BackpropClassifier(module=network, max_iter=5).fit(X.astype(np.float32), Y)
    for x, y in zip(before, tree.leaves(network), strict=True):
        np.testing.assert_array_equal(x, y)
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert all(x.dtype == np.float32 for x in tree.leaves(model.model_) if x.dtype.kind == "f")


def test_a_model_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"returned the shape \(2, 4\); expected \(2, 3\), a row of 3"):
        BackpropClassifier(module=nn.Dense(6, 4, key=random.key(0))).fit(X, Y)
    with pytest.raises(ArgumentError, match=r"the function returned int; expected a bpkit.nn model"):
        BackpropClassifier(module=lambda n, m, key: 3).fit(X, Y)
    with pytest.raises(ArgumentError, match="Dense has no encoder and decoder"):
        BackpropTransformer(module=nn.Dense(6, 6, key=random.key(0))).fit(X)


def test_any_loss_is_made_small() -> None:
    y = Y2[:, 0].copy()
    y[::10] += 30.0
    right = np.arange(70) % 10 > 0
    options = {"solver": "lbfgs", "max_iter": 300, "tol": 0.01, "random_state": 0, "hidden_layer_sizes": ()}
    robust = BackpropRegressor(loss=losses.huber, **options).fit(X2, y)
    plain = BackpropRegressor(**options).fit(X2, y)
    errors = [np.abs(model.predict(X2) - y)[right].mean() for model in (robust, plain)]
    assert errors[0] < 0.3 * errors[1]
    weight = right.astype(float)
    exact = BackpropRegressor(loss=losses.huber, **options).fit(X2, y, weight)
    assert np.abs(exact.predict(X2) - y)[right].mean() < errors[0]


def test_a_loss_without_weights_is_not_given_any() -> None:
    def own(output: Any, target: Any) -> Any:
        return xp.mean(xp.abs(output - target))

    BackpropRegressor(loss=own, max_iter=2).fit(X2, Y2)
    with pytest.raises(
        ArgumentError, match=r"takes no weights.*write it as loss\(output, target, \*, sample_weight"
    ):
        BackpropRegressor(loss=own, max_iter=2).fit(X2, Y2, np.ones(70))


def test_what_a_loss_reads_may_change_between_fits() -> None:
    strength = [1.0]

    def own(output: Any, target: Any) -> Any:
        return xp.mean((output - target) ** 2) * strength[0]

    model = BackpropRegressor(loss=own, max_iter=3, random_state=0)
    first = model.fit(X2, Y2).loss_
    strength[0] = 100.0
    assert model.fit(X2, Y2).loss_ > 10 * first


def test_any_optimizer_takes_the_steps() -> None:
    solver = optim.adam(optim.schedules.cosine(0.05, 100))
    model = BackpropClassifier((16,), solver=solver, max_iter=100, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.9
    model.partial_fit(X, Y)


def test_programs_are_shared_by_networks_of_one_shape() -> None:
    options = {"hidden_layer_sizes": (9,), "batch_size": 60, "max_iter": 3}
    first = BackpropClassifier(**options, alpha=0.1).fit(X, Y)
    step = first._compiled[1]
    said = step.explain()
    second = BackpropClassifier(**options, learning_rate_init=0.1, alpha=0.2, random_state=5).fit(X, Y)
    assert second._compiled[1] is step
    assert step.explain() == said, "another rate or penalty needs no other program"


@pytest.mark.parametrize("cls", [BackpropClassifier, BackpropRegressor, BackpropTransformer])
def test_it_is_pickled_without_its_programs(cls: Any) -> None:
    model = cls((5,), max_iter=5, random_state=0, shuffle=False).fit(X, Y)
    text = pickle.dumps(model)
    copy = pickle.loads(text)
    assert len(text) < 30_000
    result = "transform" if cls is BackpropTransformer else "predict"
    np.testing.assert_array_equal(getattr(copy, result)(X), getattr(model, result)(X))
    for one in (copy, model):
        one.partial_fit(X, Y)
    np.testing.assert_array_equal(getattr(copy, result)(X), getattr(model, result)(X))


def test_it_works_in_searches_pipelines_and_other_processes() -> None:
    digits, numbers = load_digits(return_X_y=True)
    digits, numbers = digits[:300], numbers[:300]
    pipeline = make_pipeline(
        StandardScaler(), BackpropClassifier((16,), max_iter=30, learning_rate_init=0.02, random_state=0)
    )
    scores = cross_val_score(pipeline, digits, numbers, cv=2, n_jobs=2)
    assert scores.min() > 0.8
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, digits, numbers, cv=2))
    grid = {"backpropclassifier__learning_rate_init": [1e-6, 3e-2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(digits, numbers)
    assert search.best_params_ == {"backpropclassifier__learning_rate_init": 3e-2}
    assert search.best_score_ > 0.85
    calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(digits, numbers)
    np.testing.assert_allclose(calibrated.predict_proba(digits).sum(axis=1), 1.0)
    assert calibrated.score(digits, numbers) > 0.9


def test_weights_are_routed_to_it() -> None:
    weight = np.where(Y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = BackpropClassifier((8,), max_iter=50, learning_rate_init=0.01, random_state=0)
        asks = model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), asks)
        found = cross_validate(
            pipeline, X, Y, cv=3, params={"sample_weight": weight}, return_estimator=True, error_score="raise"
        )
    assert all(2 not in one.predict(X) for one in found["estimator"])


@pytest.mark.parametrize("cls", [BackpropClassifier, BackpropRegressor, BackpropTransformer])
def test_what_is_trained_on_another_library_stays_there(cls: Any, backend: Backend) -> None:
    model = cls((5,), max_iter=5, batch_size=32, random_state=0, early_stopping=True)
    x, y = backend.from_host(X), backend.from_host(Y.astype(np.float64) if cls is BackpropRegressor else Y)
    methods = ["transform", "inverse_transform"] if cls is BackpropTransformer else ["predict"]
    methods += ["predict_proba", "predict_log_proba"] if cls is BackpropClassifier else []
    with sklearn.config_context(array_api_dispatch=True):
        here = clone(model).fit(x, y)
        found = [getattr(here, name)(x[:, :5] if name == "inverse_transform" else x) for name in methods]
        assert all(backend.owns(type(leaf)) for leaf in [*tree.leaves(here.model_), *found])
        assert isinstance(here.score(x, y), float)
    there = clone(model).fit(X, Y)
    for name, result in zip(methods, found, strict=True):
        expected = getattr(there, name)(X[:, :5] if name == "inverse_transform" else X)
        np.testing.assert_allclose(backend.to_host(result), expected, rtol=1e-6, atol=1e-9)
        assert backend.to_host(result).dtype == expected.dtype
    if backend.name != "numpy":
        with (
            sklearn.config_context(array_api_dispatch=True),
            pytest.raises(ValueError, match=rf"fit\(\): {backend.name}.*, not numpy"),
        ):
            getattr(here, methods[0])(X)


def test_a_backend_of_ones_choice_takes_data_from_anywhere() -> None:
    torch = pytest.importorskip("torch")
    model = BackpropClassifier((5,), max_iter=5, random_state=0, backend="torch").fit(X, Y)
    assert all(isinstance(leaf, torch.Tensor) for leaf in tree.leaves(model.model_))
    assert type(model.predict(X)) is type(model.predict_proba(csr_array(X))) is np.ndarray
    with sklearn.config_context(array_api_dispatch=True):
        assert isinstance(model.predict(torch.asarray(X)), torch.Tensor)
    single = BackpropRegressor((5,), max_iter=5, dtype="float32").fit(X2, Y2)
    assert single.predict(X2).dtype == single.coefs_[0].dtype == np.float32


def test_an_autoencoder_is_a_network_that_predicts_its_inputs() -> None:
    options = {"solver": "sgd", "random_state": 0, "max_iter": 10, "batch_size": 32, "activation": "tanh"}
    ours = BackpropTransformer((5, 2), **options).fit(X)
    assert_same_network(ours, MLPRegressor(hidden_layer_sizes=(5, 2, 5), **options).fit(X, X))
    features = ours.transform(X)
    assert features.shape == (90, 2)
    np.testing.assert_allclose(ours.inverse_transform(features), ours.model_(X), rtol=1e-12)
    assert list(ours.get_feature_names_out()) == ["backproptransformer0", "backproptransformer1"]
    with pytest.raises(ValueError, match="X has 6 features, but BackpropTransformer makes 2"):
        ours.inverse_transform(X)
    with pytest.raises(NotFittedError):
        BackpropTransformer().inverse_transform(X)
    one, other = xp.unstack(random.split(random.key(0), 2))
    network = Autoencoder(nn.Dense(6, 3, key=one), nn.Dense(3, 6, key=other))
    linear = BackpropTransformer(module=network, solver="lbfgs", tol=1e-6, max_iter=500, alpha=0.0).fit(X)
    assert linear.get_feature_names_out().shape == (3,)
    # A linear one finds the plane of the principal components.
    centred = X - X.mean(axis=0)
    left = np.linalg.svd(centred, compute_uv=False)[3:]
    assert 2 * linear.loss_ * len(X) == pytest.approx((left**2).sum(), rel=1e-4)


def test_ctrl_c_leaves_the_network_of_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def write(self, line: str) -> None:
            if line.startswith("Iteration 3"):
                signal.raise_signal(signal.SIGINT)

    model = BackpropClassifier((5,), verbose=True, random_state=0)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 4
    assert np.isfinite(model.predict_proba(X)).all()


def test_it_says_that_it_did_not_converge_where_the_user_called_it() -> None:
    for solver in ("sgd", "lbfgs"):
        with pytest.warns(ConvergenceWarning) as noted:
            BackpropClassifier((5,), solver=solver, max_iter=2).fit(X, Y)
        assert noted[0].filename == __file__


def test_a_training_that_diverges_is_an_error() -> None:
    with pytest.raises(DivergedError, match="smaller learning rate"):
        BackpropRegressor(solver="sgd", learning_rate_init=1e6).fit(X2, Y2)


WRONG = [
    ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes=\(3, 0\)\): hidden_layer_sizes must be ints of 1"),
    ({"activation": "gelu"}, "activation must be one of 'identity', 'logistic', 'tanh', 'relu'"),
    ({"solver": "adamw"}, "solver must be 'adam', 'sgd', 'lbfgs' or an Optimizer"),
    ({"alpha": -1.0}, r"BackpropClassifier\(alpha=-1.0\): alpha must be a number of 0 or more"),
    ({"batch_size": 0}, "batch_size must be 'auto' or an int of 1 or more"),
    ({"learning_rate_init": 0}, "learning_rate_init must be a number above 0"),
    ({"max_iter": 1.5}, "max_iter must be an int of 1 or more"),
    ({"shuffle": "yes"}, "shuffle must be True or False"),
    ({"loss": "hinge"}, r"loss must be 'log_loss', or a function \(output, target\) -> scalar"),
    ({"module": 3}, "module must be None, a Module, or a function"),
    ({"dtype": "float16"}, "dtype must be one of None, 'float32', 'float64'"),
    ({"beta_1": 1.0}, "beta_1 must be a number from 0 to below 1"),
    ({"validation_fraction": 0.0}, "validation_fraction must be a number between 0 and 1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(options) for options, _ in WRONG])
def test_a_parameter_that_cannot_be_used_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackpropClassifier(**options).fit(X, Y)


def test_data_that_cannot_be_used_are_refused() -> None:
    model = BackpropClassifier(max_iter=1)
    with pytest.raises(ValueError, match="y has one class, 1; there must be two or more"):
        model.fit(X, np.ones(90, dtype=int))
    with pytest.raises(ValueError, match=r"sample_weight\[2\] is below 0"):
        model.fit(X, Y, np.where(np.arange(90) == 2, -1.0, 1.0))
    with pytest.raises(ValueError, match="Weights sum to zero: by sample_weight"):
        model.fit(X, Y, np.zeros(90))
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        BackpropRegressor(early_stopping=True).partial_fit(X2, Y2)
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = BackpropRegressor(solver="lbfgs").partial_fit
    with pytest.raises(ValueError, match=r"y has -1; loss='poisson' is for counts"):
        BackpropRegressor(loss="poisson").fit(X2, np.full(70, -1.0))
    with pytest.raises(ValueError, match="of 5 examples are 1; the validation needs 2 or more"):
        BackpropRegressor(early_stopping=True, validation_fraction=0.1).fit(X2[:5], Y2[:5])


def test_without_scikit_learn_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['sklearn'] = None; import bpkit.sklearn"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "bpkit.sklearn needs scikit-learn, which is not installed: pip install scikit-learn" in done.stderr


def test_the_benchmark_runs_in_small(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.sklearn_estimators", "--quick", "--seeds", "1"]
    done = subprocess.run(
        [*command, "--rounds", "2", "--data", "houses", "--json", str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text("utf-8"))["houses"]
    assert rows.keys() == {"MLPRegressor", "BackpropRegressor"}
    assert rows["MLPRegressor"]["scores"] == pytest.approx(rows["BackpropRegressor"]["scores"], rel=1e-3)
