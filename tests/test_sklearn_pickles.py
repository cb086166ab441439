"""Fitted estimators in other processes, in files, and in a process with other packages."""

import multiprocessing
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from itertools import cycle
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bpkit import optim, tree
from bpkit.sklearn import BackpropClassifier, BackpropRegressor, BackpropTransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

X, Y = load_digits(return_X_y=True)
X, Y = X[:200], Y[:200]
RESULTS = {
    BackpropClassifier: "predict_proba",
    BackpropRegressor: "predict",
    BackpropTransformer: "transform",
}


@cache
def fitted(cls: Any) -> Any:
    # It stops at the first epoch that brings no more than 100.
    model = cls((12,), tol=100.0, n_iter_no_change=1, batch_size=50, random_state=0)
    return make_pipeline(StandardScaler(), model).fit(X, Y)


def result(model: Any) -> Any:
    return getattr(model, RESULTS[type(model[-1])])(X)


@pytest.mark.parametrize("way", ["fork", "spawn", "threads"])
def test_a_hundred_pickles(way: str) -> None:
    if way != "threads" and way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system starts no process by {way}")
    context = None if way == "threads" else multiprocessing.get_context(way)
    # To a process and back: each is pickled, unpickled and copied there, and pickled and unpickled again.
    sent = [fitted(cls) for cls, _ in zip(cycle(RESULTS), range(100), strict=False)]
    with ThreadPoolExecutor(2) if context is None else ProcessPoolExecutor(2, mp_context=context) as workers:
        there = [
            workers.submit(methodcaller(RESULTS[type(one[-1])], X), deepcopy(one) if context is None else one)
            for one in sent
        ]
        back = list(workers.map(deepcopy, sent, chunksize=10))
    for before, one, after in zip(sent, there, back, strict=True):
        expected = result(before)
        np.testing.assert_array_equal(one.result(), expected)
        np.testing.assert_array_equal(result(after), expected)


@pytest.mark.parametrize("kind", ["loky", "threading"])
def test_searches_of_workers_find_the_same(kind: str) -> None:
    grid = {"backpropclassifier__alpha": [1e-4, 10.0], "backpropclassifier__activation": ["relu", "tanh"]}
    search = GridSearchCV(clone(fitted(BackpropClassifier)), grid, cv=2)
    with joblib.parallel_config(kind, n_jobs=2):
        found = clone(search).fit(X, Y)
    expected = search.fit(X, Y)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("cls", RESULTS)
def test_a_pickle_holds_arrays_and_settings(cls: Any) -> None:
    pipeline = fitted(cls)
    model = pipeline[-1]
    text = pickle.dumps(model)
    arrays = tree.leaves((model.model_, model._optimizer_state[1]))
    assert len(text) < sum(x.nbytes for x in arrays if hasattr(x, "nbytes")) + 4000
    for part in (b"bpkit.transforms", b"bpkit.compile", b"lock", b"numba"):
        assert part not in text
    copy = pickle.loads(text)
    assert vars(copy).keys() == vars(model).keys() - {"_compiled"}
    # It goes on as the other does, and so does one with its parameters.
    data = pipeline[0].transform(X)
    again = clone(copy).fit(data, Y)
    for one, other in (
        (again, clone(model).fit(data, Y)),
        (copy.set_params(alpha=0.1).partial_fit(data, Y), deepcopy(model).set_params(alpha=0.1)),
    ):
        if other.alpha == 0.1:
            other.partial_fit(data, Y)
        for x, y in zip(one.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("cls", RESULTS)
def test_a_file_is_read_where_it_lies(cls: Any, tmp_path: Path) -> None:
    pipeline = fitted(cls)
    path = tmp_path / "pipeline.joblib"
    joblib.dump(pipeline, path)
    read = joblib.load(path, mmap_mode="r")
    assert isinstance(read[-1].coefs_[0], np.memmap)
    np.testing.assert_array_equal(result(read), result(pipeline))
    # The file may not be written to, so that what goes on must have memory of its own.
    data, before = pipeline[0].transform(X), path.read_bytes()
    other = deepcopy(pipeline[-1]).partial_fit(data, Y)
    read[-1].partial_fit(data, Y)
    expected = getattr(other, RESULTS[type(other)])(data)
    np.testing.assert_allclose(result(read), expected, rtol=1e-12, atol=1e-14)
    assert path.read_bytes() == before


def test_a_search_over_optimizers_is_saved_and_read(tmp_path: Path) -> None:
    model = BackpropClassifier((8,), max_iter=1, batch_size=50, random_state=0)
    solvers = [optim.adam(1e-2), optim.clip_by_norm(optim.sgd(optim.schedules.cosine(0.1, 100)), 1.0)]
    grid = {"backpropclassifier__solver": solvers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=2).fit(X, Y)
        best = search.best_estimator_[-1]
        assert repr(clone(best)) == repr(best)
        assert clone(best).get_params()["solver"] == search.best_params_["backpropclassifier__solver"]
        assert "<function" not in f"{search.cv_results_['params']}"
        joblib.dump(search, tmp_path / "search.joblib")
        read = joblib.load(tmp_path / "search.joblib")
        assert read.best_params_ == search.best_params_
        np.testing.assert_array_equal(read.predict_proba(X), search.predict_proba(X))
        # It goes on with the state of its optimiser.
        data = search.best_estimator_[0].transform(X)
        other = read.best_estimator_[-1]
        for x, y in zip(best.partial_fit(data, Y).coefs_, other.partial_fit(data, Y).coefs_, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_process_without_numba_predicts_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pipelines.pickle"
    path.write_bytes(pickle.dumps((list(map(fitted, RESULTS)), X)))
    script = (
        "import sys, pickle; sys.modules['numba'] = None\n"
        "pipelines, x = pickle.load(open(sys.argv[1], 'rb'))\n"
        "names = ['predict_proba', 'predict', 'transform']\n"
        "found = [getattr(one, name)(x) for one, name in zip(pipelines, names)]\n"
        "pickle.dump(found, open(sys.argv[2], 'wb'))\n"
    )
    out = tmp_path / "found.pickle"
    subprocess.run([sys.executable, "-c", script, str(path), str(out)], check=True)
    for cls, found in zip(RESULTS, pickle.loads(out.read_bytes()), strict=True):
        np.testing.assert_array_equal(result(fitted(cls)), found)


def test_what_was_trained_on_tensors_is_pickled_with_them() -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(X / 16), torch.asarray(Y)
    with sklearn.config_context(array_api_dispatch=True):
        model = BackpropClassifier((12,), tol=100.0, n_iter_no_change=1, random_state=0).fit(x, y)
        copy = pickle.loads(pickle.dumps(model))
        found = copy.predict_proba(x)
        assert isinstance(found, torch.Tensor) and bool((found == model.predict_proba(x)).all())
    anywhere = BackpropClassifier((12,), tol=100.0, n_iter_no_change=1, backend="torch").fit(X, Y)
    again = pickle.loads(pickle.dumps(anywhere))
    np.testing.assert_array_equal(again.predict_proba(X), anywhere.predict_proba(X))


def test_a_pickle_of_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bpkit.sklearn.base.__version__", "0.0.1")
        text = pickle.dumps(fitted(BackpropClassifier))
    with pytest.warns(InconsistentVersionWarning, match=r"BackpropClassifier from version 0\.0\.1 of bpkit"):
        model = pickle.loads(text)
    np.testing.assert_array_equal(result(model), result(fitted(BackpropClassifier)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(model))
