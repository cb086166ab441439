"""W1's epoch: 50,000 images through Nielsen's first network, by `bpkit.training` and by the book's own loop.

Images of random grey values stand for MNIST's, which changes no time. All take the images in the order that
bpkit draws, from the weights that it draws. A part of the epoch is timed, and what bpkit does at its end to
tell the accuracies is not. ``benchmarks/nielsen_epoch.py`` does the same on MNIST itself.
"""

from typing import Any

import numpy as np

from benchmarks import w1_nielsen
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import Problem
from benchmarks.w1_nielsen import RATE

BATCH, COMPARED = 10, 5


def images(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    rng = np.random.default_rng(1)
    x = rng.random((case["images"], 784), np.float32)
    x *= rng.random(x.shape, np.float32) < 0.2  # most pixels of a digit are black
    return x, rng.integers(0, 10, len(x))


def settings() -> Any:
    """Those of ``bpkit train mnist --preset nielsen``."""
    from bpkit.training import preset

    return preset("mnist", "nielsen")


def beginning(case: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The weights and the order of the images that bpkit draws."""
    from bpkit.data.batches import draw_order
    from bpkit.training import order_key, start

    order = np.asarray(draw_order(order_key(settings()), 0, case["images"]))
    return weights(start(settings()).model), order.reshape(-1, BATCH)


def weights(model: Any) -> dict[str, np.ndarray]:
    """The weights of a model, by name."""
    from bpkit import registry, tree

    host = registry.current().backend.to_host
    names = {(30, 784): "w0", (30,): "b0", (10, 30): "w1", (10,): "b1"}
    return {names[x.shape]: host(x).T.copy() for x in tree.leaves(model)}


def changes(after: dict[str, Any], before: dict[str, Any]) -> dict[str, np.ndarray]:
    """What some steps have changed."""
    return {key: np.asarray(after[key], float) - x for key, x in before.items()}


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the first steps change, by the equations, in float64."""
    before, order = beginning(case)
    params = {key: x.astype(float) for key, x in before.items()}
    x, labels = images(case)
    for rows in order[:COMPARED]:
        grads = w1_nielsen.gradients(params, x[rows].astype(float), np.eye(10)[labels[rows]])
        params = {key: p - RATE * grads[key] for key, p in params.items()}
    return changes(params, before)


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit's training loop."""
    from bpkit import data
    from bpkit.training import Epoch, build_cost, build_optimizer, order_key, place, start, train

    split, few = data.Split(*images(case)), data.Split(np.zeros((1, 784)), [0])
    placed = place(data.Dataset("random", split, few, few, 10))
    chosen, aside = settings(), 0.0
    state = start(chosen)
    before = weights(state.model)
    parts = (state, placed, build_cost(chosen), build_optimizer(chosen))
    events = train(*parts, key=order_key(chosen), batch_size=BATCH, epochs=10**6, jit=jit)

    def run(steps: int = case["steps"]) -> None:
        nonlocal aside
        while steps:
            event = next(events)
            if isinstance(event, Epoch):
                aside += event.evaluation_seconds
            else:
                steps -= 1

    run(COMPARED)
    scale = case["images"] / BATCH / case["steps"]
    return Program(run, changes(weights(state.model), before), factor=scale, aside=lambda: aside)


def book(case: dict[str, Any]) -> Program:
    """The book's loop."""
    before, order = beginning(case)
    x, labels = images(case)
    examples = [(a[:, None].astype(float), np.eye(10)[:, [b]]) for a, b in zip(x, labels, strict=True)]
    batches = [[examples[i] for i in rows] for rows in order]
    step, after = w1_nielsen.book_step(before)
    for batch in batches[:COMPARED]:
        step(batch)

    def run() -> None:
        for batch in batches[: case["steps"]]:
            step(batch)

    return Program(run, changes(after(), before), factor=len(order) / case["steps"])


def straight(case: dict[str, Any]) -> Program:
    """The step written by hand, images gathered into its memory."""
    before, order = beginning(case)
    x, labels = images(case)
    y = np.eye(10, dtype=np.float32)[labels]
    batch = (np.empty((BATCH, 784), np.float32), np.empty((BATCH, 10), np.float32))
    step, after = w1_nielsen.straight_step(Problem(before, batch, RATE))

    def run(steps: int = case["steps"]) -> None:
        for rows in order[:steps]:
            x.take(rows, 0, batch[0], "clip")
            y.take(rows, 0, batch[1], "clip")
            step()

    run(COMPARED)
    return Program(run, changes(after, before), factor=len(order) / case["steps"])


WORKLOAD = Workload(
    title="an epoch of Nielsen's network, 50,000 images in mini-batches of 10",
    cases={"epoch": {"images": 50_000, "steps": 1000}},
    quick={"epoch": {"images": 200, "steps": 10}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("straight-line NumPy", "numpy", straight),
        Peer("the book's loop", "numpy", book),
    ],
    goals={"epoch": [("bpkit, jit", "the book's loop", 0.15)]},
)
