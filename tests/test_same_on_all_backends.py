"""One seed, one training: the same first weights, the same order, the same losses on every backend."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_fit import run  # type: ignore[import-not-found]

from bpkit import nn, random, registry, tree
from bpkit._protocol import Backend
from bpkit.data import Dataset, Split
from bpkit.data.batches import draw_order
from bpkit.training import (
    Run,
    Session,
    Settings,
    State,
    Step,
    build_cost,
    build_model,
    build_optimizer,
    load_dataset,
    order_key,
    place,
    preset,
    restore,
    start,
    train,
)

STEPS = 200
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}


@functools.cache
def dataset(settings: Settings, root: Path | None) -> Dataset:
    full = load_dataset(settings, root)
    # All the batches that are taken, and some to measure with; no need to copy 47 million pixels.
    train, validation, test = (
        Split(part.images[:2500], part.labels[:2500]) for part in (full.train, full.validation, full.test)
    )
    return Dataset(full.name, train=train, validation=validation, test=test, classes=full.classes)


def first_losses(settings: Settings, root: Path | None) -> list[float]:
    """The losses of the first 200 mini-batches, on the current backend."""
    state, data = start(settings), place(dataset(settings, root), settings.dtype)
    losses: list[Any] = []
    for event in train(
        state,
        data,
        build_cost(settings),
        build_optimizer(settings),
        key=order_key(settings),
        batch_size=settings.batch_size,
        epochs=1000,
    ):
        if isinstance(event, Step):
            losses.append(state.losses[-1])
        if len(losses) == STEPS:
            return [float(loss) for loss in losses]
    raise AssertionError("the training ended early")


@functools.cache
def losses_on_numpy(settings: Settings, root: Path | None) -> list[float]:
    with registry.use_backend("numpy"):
        return first_losses(settings, root)


@pytest.mark.parametrize(("name", "dtype"), [("default", "float64"), ("nielsen", "float32")])
def test_first_losses_on_digits(backend: Backend, name: str, dtype: str) -> None:
    settings = preset("digits", name, dtype=dtype)
    expected = losses_on_numpy(settings, None)
    np.testing.assert_allclose(first_losses(settings, None), expected, rtol=TOLERANCE[dtype], atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_losses_on_mnist(backend: Backend, mnist_root: Path, dtype: str) -> None:
    settings = preset("mnist", "nielsen", dtype=dtype)
    expected = losses_on_numpy(settings, mnist_root)
    np.testing.assert_allclose(first_losses(settings, mnist_root), expected, rtol=TOLERANCE[dtype], atol=0)


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_first_losses_in_jax_as_it_comes(backend: Backend) -> None:
    """These tests run JAX with its 64-bit types, a user's JAX has none."""
    script = (
        "import json\n"
        "from bpkit import use_backend\n"
        "from test_same_on_all_backends import first_losses, preset\n"
        "use_backend('jax')\n"
        "print(json.dumps(first_losses(preset('digits', 'nielsen'), None)))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = losses_on_numpy(preset("digits", "nielsen"), None)
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=TOLERANCE["float32"], atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", ["standard-normal", "scaled-normal", "glorot-uniform", "he-normal"])
def test_initial_weights_to_the_bit(backend: Backend, init: str, dtype: str) -> None:
    settings = preset("mnist", "nielsen", init=init, dtype=dtype, seed=5)
    weights = [backend.to_host(leaf) for leaf in tree.leaves(build_model(settings))]
    with registry.use_backend("numpy"):
        expected = tree.leaves(build_model(settings))
    assert [(w.dtype, w.shape, w.tobytes()) for w in weights] == [
        (w.dtype, w.shape, w.tobytes()) for w in expected
    ]
    assert {str(w.dtype) for w in weights} == {dtype}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_drawn_on_the_device_to_the_bit(backend: Backend, dtype: str) -> None:
    init = nn.init.standard_normal
    layer = nn.Dense(784, 30, key=random.key(5), init=init, dtype=dtype)
    weights = [backend.to_host(leaf) for leaf in tree.leaves(layer)]
    with registry.use_backend("numpy"):
        expected = tree.leaves(nn.Dense(784, 30, key=random.key(5), init=init, dtype=dtype))
    assert [w.tobytes() for w in weights] == [w.tobytes() for w in expected]


def test_the_order_of_the_images(backend: Backend) -> None:
    key = order_key(preset("mnist", seed=5))
    orders = [draw_order(key, epoch, 1000) for epoch in (0, 1)]
    with registry.use_backend("numpy"):
        expected = [draw_order(order_key(preset("mnist", seed=5)), epoch, 1000) for epoch in (0, 1)]
    assert np.array_equal(orders, expected)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(np.sort(orders[0]), np.arange(1000))


def test_a_run_goes_on_with_another_backend(backend: Backend, tmp_path: Path) -> None:
    with registry.use_backend("numpy"):
        session = Session.start(preset("digits", epochs=1, dtype="float64"), tmp_path / "run")
        assert len(list(session.events())) == 41
    run = Run.open(tmp_path / "run")
    weights = [backend.to_host(leaf) for leaf in tree.leaves(restore(run).model)]
    assert [w.tobytes() for w in weights] == [w.tobytes() for w in tree.leaves(session.state.model)]

    there = Session.resume(run, epochs=2)
    assert registry.backend_of(tree.leaves(there.state.model)[0]) is backend
    list(there.events())
    saved = Run.open(tmp_path / "run").saved
    assert (saved.backend, saved.epoch) == (backend.name, 2)
    with registry.use_backend("numpy"):
        session.epochs = 2
        list(session.events())
    assert there.state.metrics[1].loss == pytest.approx(session.state.metrics[1].loss, rel=1e-10)


# A whole training.


@functools.cache
def long_curve(name: str) -> Any:
    """The losses of 500 steps with batch norm and dropout."""
    with registry.use_backend("numpy"):
        keys = random.split(random.key(3), 3)
        model = nn.Sequential(
            nn.Dense(6, 16, key=keys[0], dtype="float64"),
            nn.BatchNorm(16, dtype="float64"),
            nn.relu,
            nn.Dropout(0.3),
            nn.Dense(16, 16, key=keys[1], dtype="float64"),
            nn.LayerNorm(16, dtype="float64"),
            nn.tanh,
            nn.Dropout(0.2),
            nn.Dense(16, 3, key=keys[2], dtype="float64"),
        )
    found: list[float] = []

    def note(event: Any, state: State) -> None:
        if isinstance(event, Step) and event.step == event.steps:
            found.extend(state.read_losses())

    with registry.use_backend(name) as (backend, device):
        model = tree.map(lambda leaf: backend.from_host(np.asarray(leaf), device), model)
        x = np.random.default_rng(5).normal(size=(200, 6))
        run(model, (x, np.argmax(x[:, :3], axis=1)), epochs=20, callbacks=[note])
    return np.asarray(found)


def test_the_same_curve_on_every_backend_over_500_steps(backend: Backend) -> None:
    expected = long_curve("numpy")
    assert expected.shape == (500,)
    assert expected[-25:].mean() < 0.85 * expected[:25].mean()
    np.testing.assert_allclose(long_curve(backend.name), expected, rtol=1e-9)
