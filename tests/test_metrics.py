"""The metrics: scikit-learn's numbers; compiled; ties, NaN, empty classes; refusals."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import metrics
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.registry import backend_of

RNG = np.random.default_rng(2)
SCORES = RNG.normal(size=(60, 5))
LABELS = RNG.choice(4, size=60)  # nothing is of class 4
SCORES[:, 3] -= 100  # nothing is taken for class 3
ANSWERS = SCORES.argmax(axis=1)


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def measured(metric: Any, output: Any, target: Any, **options: Any) -> Any:
    return on_host(metric(xp.asarray(output), xp.asarray(target), **options))


@pytest.mark.usefixtures("backend")
def test_compiled_metrics_are_the_same() -> None:
    def everything(scores: Any, labels: Any) -> list[Any]:
        return [
            metrics.accuracy(scores, labels),
            metrics.accuracy(scores, scores > 0, threshold=0.1),
            metrics.top_k_accuracy(scores, labels, k=2),
            metrics.confusion_matrix(scores, labels),
            metrics.precision(scores, labels),
            metrics.recall(scores, labels, average=None),
            metrics.f1(scores, labels, average="micro"),
            metrics.r2(scores, scores**2),
            metrics.mean_absolute_error(scores, scores**2),
        ]

    scores, labels = xp.asarray(SCORES), xp.asarray(LABELS)
    expected = everything(scores, labels)
    compiled = bpkit.jit(everything)
    for _ in range(2):
        for found, plain in zip(compiled(scores, labels), expected, strict=True):
            np.testing.assert_allclose(on_host(found), on_host(plain), rtol=1e-13)


@pytest.mark.usefixtures("backend")
def test_metrics_equal_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    classes = list(range(5))
    np.testing.assert_allclose(
        measured(metrics.accuracy, SCORES, LABELS), theirs.accuracy_score(LABELS, ANSWERS), rtol=1e-15
    )
    for k in (1, 2, 4, 5):
        expected = np.mean(np.sum(SCORES[np.arange(60), LABELS][:, None] < SCORES, axis=1) < k)
        found = measured(metrics.top_k_accuracy, SCORES, LABELS, k=k)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        if k < 5:
            np.testing.assert_allclose(
                found, theirs.top_k_accuracy_score(LABELS, SCORES, k=k, labels=classes), rtol=1e-14
            )
    matrix = measured(metrics.confusion_matrix, SCORES, LABELS)
    assert matrix.dtype == np.int32
    np.testing.assert_array_equal(matrix, theirs.confusion_matrix(LABELS, ANSWERS, labels=classes))
    for name in ("precision", "recall", "f1"):
        for average in ("macro", "micro", None):
            np.testing.assert_allclose(
                measured(getattr(metrics, name), SCORES, LABELS, average=average),
                getattr(theirs, f"{name}_score")(
                    LABELS, ANSWERS, labels=classes, average=average, zero_division=0
                ),
                rtol=1e-14,
            )


@pytest.mark.usefixtures("backend")
def test_regression_metrics_equal_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    x, y = RNG.normal(size=(2, 20, 3))
    y[:, 1] = 0.5  # of 0.1 scikit-learn's mean is not 0.1, and its score -2e33
    x[:, 2] = y[:, 2]
    np.testing.assert_allclose(measured(metrics.r2, x, y), theirs.r2_score(y, x), rtol=1e-13)
    np.testing.assert_allclose(
        measured(metrics.r2, x[:, 0], y[:, 0]), theirs.r2_score(y[:, 0], x[:, 0]), rtol=1e-13
    )
    for target, expected in ((0.1, 1.0), (0.2, 0.0)):
        assert measured(metrics.r2, np.full(3, 0.1), np.full(3, target)) == expected
    np.testing.assert_allclose(
        measured(metrics.mean_absolute_error, x, y), theirs.mean_absolute_error(y, x), rtol=1e-14
    )


@pytest.mark.usefixtures("backend")
def test_class_numbers_rows_and_thresholds() -> None:
    expected = np.mean(ANSWERS == LABELS)
    for output, target in ((ANSWERS, LABELS), (SCORES, np.eye(5)[LABELS]), (np.eye(5)[ANSWERS], LABELS)):
        np.testing.assert_allclose(
            on_host(metrics.accuracy(xp.asarray(output), xp.asarray(target))), expected
        )
    np.testing.assert_array_equal(
        on_host(metrics.confusion_matrix(xp.asarray(ANSWERS), xp.asarray(LABELS))),
        on_host(metrics.confusion_matrix(xp.asarray(SCORES), xp.asarray(LABELS))),
    )
    assert tuple(metrics.confusion_matrix(xp.asarray([0]), xp.asarray([0]), classes=3).shape) == (3, 3)
    logits = np.asarray([[2.0], [-1.0], [0.0]])
    for target in (np.asarray([[1], [0], [1]]), np.asarray([[1.0], [0.0], [1.0]])):
        np.testing.assert_allclose(measured(metrics.accuracy, logits, target, threshold=0.0), 2 / 3)
    images = RNG.normal(size=(2, 3, 4))
    found = metrics.accuracy(xp.asarray(images), xp.asarray(images.argmax(-1)))
    assert float(found) == 1


@pytest.mark.usefixtures("backend")
def test_ties_go_to_the_first_and_nan_is_wrong() -> None:
    equal, labels = np.zeros((3, 3)), np.asarray([0, 1, 2])
    for k, expected in ((1, 1 / 3), (2, 2 / 3), (3, 1)):
        np.testing.assert_allclose(measured(metrics.top_k_accuracy, equal, labels, k=k), expected, rtol=1e-15)
    np.testing.assert_allclose(measured(metrics.accuracy, equal, labels), 1 / 3, rtol=1e-15)
    assert measured(metrics.top_k_accuracy, np.full((1, 3), np.nan), np.asarray([0]), k=2) == 0
    single = on_host(metrics.accuracy(xp.asarray(SCORES.astype(np.float32)), xp.asarray(LABELS)))
    assert single.dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"accuracy: got output of shape \(60, 5\) and target of shape \(4,\)"
    ):
        metrics.accuracy(SCORES, LABELS[:4])
    with pytest.raises(ShapeError, match=r"must have the same shape, got \(60,\) and \(4,\)"):
        metrics.accuracy(ANSWERS, LABELS[:4])
    with pytest.raises(ShapeError, match=r"accuracy: there are no examples, output has shape \(0, 5\)"):
        metrics.accuracy(SCORES[:0], LABELS[:0])
    with pytest.raises(DataError, match=r"accuracy: target\[0\] is 7, but the 5 classes"):
        metrics.accuracy(SCORES[:1], np.asarray([7]))
    with pytest.raises(DataError, match=r"recall: target\[1\] is 3, but the 3 classes"):
        metrics.recall(np.asarray([0, 1]), np.asarray([0, 3]), classes=3)
    with pytest.raises(ArgumentError, match=r"f1: average: expected .*, got 'weighted'"):
        metrics.f1(SCORES, LABELS, average="weighted")
    with pytest.raises(ArgumentError, match="k: expected a number from 1 to the 5 classes, got 6"):
        metrics.top_k_accuracy(SCORES, LABELS, k=6)
    with pytest.raises(
        ShapeError, match=r"top_k_accuracy: got output of shape \(60, 5\) and target .* \(60, 5\)"
    ):
        metrics.top_k_accuracy(SCORES, SCORES)
