"""scikit-learn's own checks of estimators, all of them; those of the array API on what is installed."""

from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from bpkit.sklearn import BackpropClassifier, BackpropRegressor, BackpropTransformer

# As many iterations as scikit-learn gives its own networks in these checks, which are not enough to converge.
ESTIMATORS = [cls(max_iter=100) for cls in (BackpropClassifier, BackpropRegressor, BackpropTransformer)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_it_is_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)
