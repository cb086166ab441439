"""The estimators inside scikit-learn's own: ensembles, searches, calibration, tables, inspection."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - the search exists after it
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bpkit.sklearn import BackpropClassifier, BackpropRegressor, BackpropTransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(150, 5, n_informative=3, n_redundant=0, n_classes=3, shuffle=False, random_state=0)
ORDER = np.random.default_rng(1).permutation(150)
X, Y = X[ORDER], Y[ORDER]
WEIGHT = np.random.default_rng(0).uniform(0.5, 2.0, 150)


def network(**options: Any) -> Any:
    settings = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.02, "max_iter": 20, "random_state": 0}
    return BackpropClassifier(**{**settings, **options})


def test_in_ensembles_and_calibration() -> None:
    parts = [("one", network()), ("other", make_pipeline(StandardScaler(), network(activation="tanh")))]
    last = LogisticRegression()
    for whole in (
        StackingClassifier(parts, final_estimator=last, cv=2).fit(X, Y),
        StackingClassifier([("last", last)], final_estimator=network(), cv=2).fit(X, Y),
        VotingClassifier(parts, voting="soft").fit(X, Y),
        VotingClassifier([("one", network())], voting="hard").fit(X, Y, sample_weight=WEIGHT),
        CalibratedClassifierCV(network(), cv=2).fit(X, Y, sample_weight=WEIGHT),
        CalibratedClassifierCV(network(), method="isotonic", ensemble=False, cv=2).fit(X, Y),
    ):
        assert whole.score(X, Y) > 0.6


def test_in_a_halving_search() -> None:
    grid = {"alpha": [1e-4, 1e-2, 1000.0]}
    search = HalvingGridSearchCV(network(), grid, resource="max_iter", max_resources=18, cv=2, random_state=0)
    assert search.fit(X, Y).best_params_["alpha"] < 1000.0


def test_on_columns_of_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcde")).assign(kind=np.where(Y > 0, "u", "v"))
    columns = ColumnTransformer(
        [
            ("numbers", BackpropTransformer((2,), max_iter=3, random_state=0), ["a", "b", "c"]),
            ("kind", OneHotEncoder(sparse_output=False), ["kind"]),
        ]
    ).set_output(transform="pandas")
    names = [*(f"numbers__backproptransformer{i}" for i in (0, 1)), "kind__kind_u", "kind__kind_v"]
    assert list(columns.fit_transform(table, Y).columns) == names
    pipeline = make_pipeline(columns, network()).fit(table, pandas.Series(Y))
    assert list(pipeline[-1].feature_names_in_) == names
    assert pipeline.score(table, pandas.Series(Y)) > 0.6
    with pytest.raises(ValueError, match="feature names should match"):
        network().fit(table[["a", "b"]], Y).predict(table[["b", "a"]])


def test_how_it_is_looked_into() -> None:
    model = network(max_iter=60).fit(X, Y)
    found = permutation_importance(model, X, Y, n_repeats=3, random_state=0).importances_mean
    assert found[:3].max() > 0.1 > found[3:].max(), "the last two features say nothing"
    assert partial_dependence(model, X, [0], grid_resolution=5)["average"].shape == (3, 5)
    straight = BackpropRegressor((), solver="lbfgs", random_state=0).fit(X, 2.0 * X[:, 0])
    curve = partial_dependence(straight, X, [0], grid_resolution=5)
    np.testing.assert_allclose(
        np.diff(curve["average"][0]) / np.diff(curve["grid_values"][0]), 2.0, rtol=1e-3
    )


def test_how_it_learns_from_more() -> None:
    for step_by_step in (False, True):
        sizes, _, scores = learning_curve(
            network(),
            X,
            Y,
            cv=2,
            train_sizes=[0.4, 1.0],
            shuffle=True,
            random_state=0,
            exploit_incremental_learning=step_by_step,
        )
        assert list(sizes) == [30, 75] and np.isfinite(scores).all()


def test_weights_and_classes_with_early_stopping() -> None:
    names = np.where(Y > 0, "many", "few")
    options = {"early_stopping": True, "class_weight": "balanced"}
    model = network(**options).fit(X, names, WEIGHT)
    assert len(model.validation_scores_) == model.n_iter_
    other = network(**options).fit(X, names)
    assert not np.array_equal(model.predict_proba(X), other.predict_proba(X))
