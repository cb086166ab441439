"""fit: what is no model, loss, optimizer or data is refused before anything runs, by name."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_fit import X, Y, accuracy, curve, make, run  # type: ignore[import-not-found]

from bpkit import losses, nn, optim, random
from bpkit.data import batches
from bpkit.errors import ArgumentError, DataError
from bpkit.training import find_learning_rate


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": optim.adam}, r"optimizer: expected .* got the function adam; call it with a learning"),
        ({"optimizer": "adam"}, r"optimizer: expected an Optimizer, .* got 'adam'"),
        ({"loss": "x"}, r"loss: expected a function .* got 'x'"),
        ({"metrics": accuracy}, r"metrics: .* got the function accuracy; write metrics=\[function\]"),
        ({"callbacks": print}, r"callbacks: .* write callbacks=\[function\]"),
        ({"callbacks": [3]}, r"callbacks: .* got 3 in it"),
        ({"key": 0}, r"key: expected a key, got 0; make one with bpkit.random.key\(seed\)"),
        ({"validation": 0.1}, r"validation: expected a pair .* got 0.1"),
        ({"model": lambda x: x}, r"nothing to train: a function is no tree .* bpkit.nn.Module"),
    ],
)
def test_what_is_of_the_wrong_kind_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        run(**{"validation": (X, Y), **options})


def test_a_list_of_two_arrays_as_validation() -> None:
    with pytest.raises(DataError, match=r"validation is a list of 2 arrays; .* is a tuple"):
        run(validation=[X, Y])


def test_an_optimizer_has_a_rate_already() -> None:
    with pytest.raises(ArgumentError, match=r"got an Optimizer with its rate already"):
        find_learning_rate(make(), (X, Y), losses.softmax_cross_entropy, optim.adam(0.1))  # type: ignore[arg-type]


class Own:
    """An optimizer of the caller's own, without `observe`."""

    def __init__(self) -> None:
        self.init, self.update = optim.sgd(0.1).init, optim.sgd(0.1).update


@pytest.mark.parametrize("precision", [None, "float16"])
def test_observe_is_optional(precision: str | None) -> None:
    model = make(dtype="float32")
    mine = run(model, optimizer=Own(), precision=precision)
    assert curve(mine) == curve(run(model, optimizer=optim.sgd(0.1), precision=precision))


class Loader:
    """What a PyTorch DataLoader shows of itself."""

    def __init__(self, batch_size: int | None, batch_sampler: Any = None) -> None:
        self.batch_size, self.batch_sampler = batch_size, batch_sampler

    def __iter__(self) -> Iterator[Any]:
        return iter([(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)])


def test_batches_of_batches_are_refused() -> None:
    for loader in (Loader(10), Loader(None, object())):
        with pytest.raises(ArgumentError, match=r"^data: a Loader with a batch_.* batch_size=None"):
            run(data=loader)
        with pytest.raises(ArgumentError, match=r"^validation: a Loader with a batch_"):
            run(validation=loader)
        with pytest.raises(ArgumentError, match=r"^batches: data: a Loader"):
            next(batches(loader))
    whole = run(data=Loader(10), validation=Loader(10), batch_size=None)
    assert curve(whole) == curve(run(shuffle=False, batch_size=10))


def test_a_dataloader_of_pytorch() -> None:
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(list(zip(X, Y, strict=True)), batch_size=10)
    with pytest.raises(ArgumentError, match=r"a DataLoader with a batch_size of its own gives whole batches"):
        run(data=loader)


def test_a_rate_is_found_on_a_stream() -> None:
    stream = (pair for _ in range(30) for pair in zip(X, Y, strict=True))
    found = find_learning_rate(
        make(), stream, losses.softmax_cross_entropy, optim.sgd, steps=40, key=random.key(0)
    )
    assert found.suggestion > 0


def test_float16_records_its_step_once() -> None:
    """A state whose scalars changed their type after the first step would be recorded again."""
    calls: list[int] = []

    def loss(output: Any, target: Any) -> Any:
        calls.append(1)
        return losses.softmax_cross_entropy(output, target)

    def count(epochs: int) -> int:
        calls.clear()
        model = nn.Dense(6, 3, key=random.key(0), dtype="float32")
        data = X.astype(np.float32), Y.astype(np.float32)[:, None] * np.ones(3, np.float32)
        run(model, data, loss, precision="float16", batch_size=25, epochs=epochs)
        return len(calls)

    assert count(4) == 1
