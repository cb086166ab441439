"""fit: what is measured on validation is measured on all of it, and its errors say so."""

from typing import Any

import numpy as np
import pytest
from test_fit import X, Y, bad, run  # type: ignore[import-not-found]

from bpkit import losses, metrics, nn, random
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, DataError, ShapeError

BY_CLASS = np.argsort(Y, kind="stable")


def on_device(backend: Backend, *arrays: Any) -> list[Any]:
    return [backend.from_host(np.asarray(x, np.int32) if x.dtype.kind == "i" else x) for x in arrays]


@pytest.mark.parametrize("jit", [True, False])
def test_metrics_that_are_no_means_see_all_of_it(backend: Backend, jit: bool) -> None:
    validation = X[BY_CLASS], Y[BY_CLASS]
    wanted: dict[str, Any] = {"f1": metrics.f1, "accuracy": metrics.accuracy}
    fitted = run(epochs=1, validation=validation, metrics=wanted, jit=jit)
    x, y = on_device(backend, *validation)
    for name, metric in wanted.items():
        expected = float(metric(fitted.model(x), y))
        assert fitted.history[0].metrics[f"validation_{name}"] == pytest.approx(expected, rel=1e-10)


def test_r2_of_a_sorted_validation(backend: Backend) -> None:
    model = nn.Dense(6, 1, key=random.key(0), dtype="float64")
    target = np.sort(X @ np.arange(6.0))[:, None]
    order = np.argsort(X @ np.arange(6.0))
    batches = [(X[order][i : i + 8], target[i : i + 8]) for i in range(0, 50, 8)]
    x, y = on_device(backend, X[order], target)
    for data, size in (((X[order], target), 8), (batches, None)):
        fitted = run(
            model,
            data,
            losses.mean_squared_error,
            epochs=1,
            batch_size=size,
            validation=data,
            metrics=[metrics.r2],
        )
        expected = float(metrics.r2(fitted.model(x), y))
        assert fitted.history[0].metrics["validation_r2"] == pytest.approx(expected, rel=1e-9)


def test_a_loss_that_leaves_examples_out(backend: Backend) -> None:
    """Batches with more and fewer that count, and one with none."""
    y = Y.copy()
    y[:11] = y[20:25] = -1

    def loss(output: Any, target: Any) -> Any:
        return losses.softmax_cross_entropy(output, target, ignore_index=-1)

    fitted = run(loss=loss, epochs=1, data=(X[30:], Y[30:]), validation=(X, y))
    x, labels = on_device(backend, X, y)
    expected = float(loss(fitted.model(x), labels))
    assert fitted.history[0].metrics["validation_loss"] == pytest.approx(expected, rel=1e-10)


class Two(nn.Module):
    """A model whose output is a tree."""

    inner: Any

    def __call__(self, x: Any) -> Any:
        y = self.inner(x)
        return {"logits": y, "sizes": (xp.sum(y * y, axis=1),)}


def test_outputs_that_are_trees(backend: Backend) -> None:
    def loss(output: Any, target: Any) -> Any:
        ratio = xp.max(output["sizes"][0]) / xp.min(output["sizes"][0])
        return losses.softmax_cross_entropy(output["logits"], target) + 1e-3 * ratio

    model = Two(nn.Dense(6, 3, key=random.key(0), dtype="float64"))
    fitted = run(model, loss=loss, epochs=1, validation=(X, Y))
    x, y = on_device(backend, X, Y)
    expected = float(loss(fitted.model(x), y))
    assert fitted.history[0].metrics["validation_loss"] == pytest.approx(expected, rel=1e-9)


class Sum(nn.Module):
    """A model one of whose outputs has no axis of examples."""

    inner: Any

    def __call__(self, x: Any) -> Any:
        y = self.inner(x)
        return y, xp.sum(y)


def test_outputs_that_cannot_be_put_together() -> None:
    def loss(output: Any, target: Any) -> Any:
        return losses.softmax_cross_entropy(output[0], target)

    model = Sum(nn.Dense(6, 3, key=random.key(0), dtype="float64"))
    with pytest.raises(ShapeError, match=r"validation: output\[1\] of batch 0 has shape \(\).*one batch"):
        run(model, loss=loss, epochs=1, validation=(X, Y))
    assert run(model, loss=loss, epochs=1, validation=(X[:8], Y[:8])).ended == "done"


def test_errors_of_validation_say_so() -> None:
    for data, error, said in (
        ((X[:, :5], Y), ShapeError, r"validation: .*Dense\(6 → 8\)"),
        ([5], DataError, "validation: batch 0 is "),
    ):
        with pytest.raises(error, match=said):
            run(epochs=1, validation=data)
    with pytest.raises(ArgumentError, match=r"validation: rows gave an array of shape \(50,\)"):
        run(epochs=1, validation=(X, Y), metrics={"rows": lambda output, target: output[:, 0]})


def test_nan_is_left_out_of_validation(backend: Backend) -> None:
    rest = np.arange(50) != 17
    found = run(epochs=1, validation=(bad(float("nan")), Y), nan="skip").history[0].metrics
    expected = run(epochs=1, validation=(X[rest], Y[rest])).history[0].metrics
    assert found == pytest.approx(expected, rel=1e-12)
