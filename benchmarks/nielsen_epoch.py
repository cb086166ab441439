"""Seconds per epoch of Nielsen's first network, beside the loop of the book itself, in one run.

    python benchmarks/nielsen_epoch.py --data FOLDER            # NumPy
    python benchmarks/nielsen_epoch.py --data FOLDER --backend numpy --backend torch --backend jax

The network is 784-30-10, sigmoid, quadratic cost, batches of 10, learning rate 3.0. The book's loop takes
the images of a batch one at a time, as column vectors, and adds up their gradients; it is written anew here
after the description in M. Nielsen, *Neural Networks and Deep Learning* (2015), chapters 1 and 2. bpkit's is
that of ``bpkit train``, where a step is compiled, and the same function by function (``--no-jit``). Every
program does the same number of steps, timed in turn, and the median of the turns is reported; the
evaluation at the end of an epoch is not timed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from bpkit import data, registry
from bpkit.terminal import write_table
from bpkit.training import Epoch, build_cost, build_optimizer, order_key, place, preset, start, train

BATCH = 10


def book_loop(images: np.ndarray, labels: np.ndarray, steps: int, learning_rate: float) -> float:
    """Seconds of `steps` mini-batches, example by example as in the book."""
    rng = np.random.default_rng(0)
    sizes = [784, 30, 10]
    biases = [rng.standard_normal((n, 1)) for n in sizes[1:]]
    weights = [rng.standard_normal((n, m)) for m, n in pairwise(sizes)]
    examples = [(x.reshape(784, 1), np.eye(10)[:, [y]]) for x, y in zip(images, labels, strict=True)]
    rng.shuffle(examples)

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-z))

    def backprop(x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        activations, zs = [x], []
        for w, b in zip(weights, biases, strict=True):
            zs.append(np.dot(w, activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        slope = sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))
        delta = (activations[-1] - y) * slope
        by_bias, by_weight = [delta], [np.dot(delta, activations[-2].transpose())]
        slope = sigmoid(zs[0]) * (1 - sigmoid(zs[0]))
        delta = np.dot(weights[1].transpose(), delta) * slope
        return [delta, *by_bias], [np.dot(delta, x.transpose()), *by_weight]

    started = time.perf_counter()
    for step in range(steps):
        batch = examples[step * BATCH : (step + 1) * BATCH]
        sum_b = [np.zeros(b.shape) for b in biases]
        sum_w = [np.zeros(w.shape) for w in weights]
        for x, y in batch:
            by_bias, by_weight = backprop(x, y)
            sum_b = [total + part for total, part in zip(sum_b, by_bias, strict=True)]
            sum_w = [total + part for total, part in zip(sum_w, by_weight, strict=True)]
        rate = learning_rate / len(batch)
        weights = [w - rate * g for w, g in zip(weights, sum_w, strict=True)]
        biases = [b - rate * g for b, g in zip(biases, sum_b, strict=True)]
    return time.perf_counter() - started


def steps_on(backend: str, dataset: data.Dataset, dtype: str, jit: bool) -> Callable[[int], float]:
    """A function that goes on training on a backend and tells the seconds of so many steps."""
    with registry.use_backend(backend):
        settings = preset("mnist", "nielsen", dtype=dtype)
        placed = place(dataset, dtype)
        state = start(settings)
        events = train(
            state,
            placed,
            build_cost(settings),
            build_optimizer(settings),
            key=order_key(settings),
            batch_size=BATCH,
            epochs=10**6,
            jit=jit,
        )

    def seconds(steps: int) -> float:
        evaluation, done = 0.0, 0
        with registry.use_backend(backend) as selection:
            started = time.perf_counter()
            while done < steps:
                event = next(events)
                if isinstance(event, Epoch):
                    evaluation += event.evaluation_seconds
                else:
                    done += 1
            selection.backend.synchronize()
            return time.perf_counter() - started - evaluation

    return seconds


def main() -> None:
    """Measure and print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder of the four MNIST files (default: BPKIT_DATA, then the cache)")
    parser.add_argument("--backend", action="append", help="may be given several times (default: numpy)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--steps", type=int, default=1000, help="mini-batches in each turn (default: 1000)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each program (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    dataset = data.mnist(options.data)
    count = len(dataset.train)
    images, labels = dataset.train.images, dataset.train.labels
    programs: dict[str, Callable[[int], float]] = {
        "the book's loop": lambda steps: book_loop(
            images[: steps * BATCH], labels[: steps * BATCH], steps, 3.0
        )
    }
    for backend in options.backend or ["numpy"]:
        for jit in (True, False):
            name = f"bpkit, {backend}, {options.dtype}{'' if jit else ', no jit'}"
            programs[name] = steps_on(backend, dataset, options.dtype, jit)

    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in tqdm(range(options.turns + 1), desc="Turns", leave=False, disable=options.json or None):
        for name, seconds in programs.items():
            measured = seconds(options.steps) / options.steps
            if turn:  # the first warms up
                times[name].append(measured)

    book = statistics.median(times["the book's loop"])
    rows = {
        name: {
            "microseconds_per_step": 1e6 * statistics.median(taken),
            "microseconds_spread": [1e6 * min(taken), 1e6 * max(taken)],
            "seconds_per_epoch": statistics.median(taken) * count / BATCH,
            "ratio_to_book": statistics.median(taken) / book,
        }
        for name, taken in times.items()
    }
    if options.json:
        print(json.dumps(rows))
        return
    table = []
    for name, row in rows.items():
        low, high = row["microseconds_spread"]
        cells = [
            name,
            f"{row['microseconds_per_step']:.0f}",
            f"{low:.0f}–{high:.0f}",
            f"{row['seconds_per_epoch']:.2f}",
            f"{row['ratio_to_book']:.2f}",
        ]
        table.append(("", cells))
    headings = ("", "µs a step", "spread", "s an epoch", "of the book's")
    write_table(sys.stdout, "Nielsen 784-30-10, batches of 10", headings, table)


if __name__ == "__main__":
    main()
