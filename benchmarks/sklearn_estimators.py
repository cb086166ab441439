"""The estimators of `bpkit.sklearn` beside scikit-learn's own networks, on four data sets.

    python -m benchmarks.sklearn_estimators

Both have the same settings, which are scikit-learn's defaults but for the number of epochs, the same seeds
and the same number of threads, and fit in turn, round after round. A seed decides the split (three quarters
are for training), the first weights and the batches. Shown are the score on the test split (accuracy or R²)
as mean and standard deviation over the seeds, and the seconds of a fit: of all rounds the fastest of each
seed, as a mean over the seeds, since a busy machine can only make a fit longer; and the processor time of
all threads, which other programs change less. Beside the ratio of the fastest is the median of the ratios of
each fit to the one before it. Each data set has a process of its own, whose first fit is
shown apart: bpkit compiles its steps in it, and Numba starts, where that is installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

EPOCHS = {"digits": 60, "breast cancer": 200, "houses": 15, "forest": 10}
DESCRIBED = {
    "digits": "1,797 images of 64 points, 10 classes (scikit-learn)",
    "breast cancer": "569 cells with 30 features, 2 classes (scikit-learn)",
    "houses": "20,640 examples of 8 features, a number; made up, of the size of California housing",
    "forest": "20,000 examples of 10 numbers and 44 flags, 7 classes; made up, like covtype",
}


def data_of(name: str, quick: bool) -> tuple[Any, Any]:
    """Features, of mean 0 and variance 1 unless they are images, and what is to be found."""
    import numpy as np
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.preprocessing import scale

    rng = np.random.default_rng(20)
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        x = x / 16
    elif name == "breast cancer":
        x, y = load_breast_cancer(return_X_y=True)
        x = scale(x)
    elif name == "houses":
        x = rng.standard_normal((20_640, 8))
        bends = np.tanh(x @ rng.standard_normal((8, 12)))
        y = bends @ rng.standard_normal(12) / 3 + 0.5 * x[:, 0] * x[:, 1] + 0.3 * rng.standard_normal(20_640)
    else:
        numbers = rng.standard_normal((20_000, 10))
        flags = np.zeros((20_000, 44))
        kinds = rng.integers(0, 4, 20_000), rng.integers(4, 44, 20_000)
        for kind in kinds:
            flags[np.arange(20_000), kind] = 1
        x = np.concatenate([numbers, flags], axis=1)
        hidden = np.tanh(x @ rng.standard_normal((54, 20)) / 2)
        chances = hidden @ rng.standard_normal((20, 7)) + rng.gumbel(size=(20_000, 7)) / 2
        y = np.argmax(chances + np.linspace(1, -1, 7), axis=1)
    return (x[:600], y[:600]) if quick else (x, y)


def measure(name: str, seeds: int, rounds: int, quick: bool, dtype: str) -> dict[str, Any]:
    """Scores and seconds of both, in this process."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from bpkit.sklearn import BackpropClassifier, BackpropRegressor

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = data_of(name, quick)
    x = x.astype(dtype)
    ours, theirs = (
        (BackpropRegressor, MLPRegressor) if name == "houses" else (BackpropClassifier, MLPClassifier)
    )
    epochs = 3 if quick else EPOCHS[name]
    rows = {
        cls.__name__: {"scores": [], "epochs": [], "losses": [], "first_s": None, "rounds_s": []}
        for cls in (theirs, ours)
    }
    for number in range(rounds):
        for cls in (theirs, ours):
            rows[cls.__name__]["rounds_s"].append([])
        for seed in range(seeds):
            a, b, c, d = train_test_split(x, y, random_state=seed)
            for cls in (theirs, ours):
                row = rows[cls.__name__]
                estimator = cls(max_iter=epochs, random_state=seed)
                start, worked = time.perf_counter(), time.process_time()
                estimator.fit(a, c)
                seconds, worked = time.perf_counter() - start, time.process_time() - worked
                print(f"  {cls.__name__}, seed {seed}: {seconds:.3f} s", file=sys.stderr, flush=True)
                if row["first_s"] is None:
                    row["first_s"] = seconds
                else:
                    row["rounds_s"][-1].append((seed, seconds, worked))
                if number == 0:
                    row["scores"].append(estimator.score(b, d))
                    row["epochs"].append(estimator.n_iter_)
                    row["losses"].append(estimator.loss_)
    return rows


def fastest(row: dict[str, Any], column: int = 1) -> float:
    """The fastest fit of each seed, as a mean; or with 2, its least processor time."""
    of_seed: dict[int, list[float]] = {}
    for one in row["rounds_s"]:
        for times in one:
            of_seed.setdefault(times[0], []).append(times[column])
    return sum(min(times) for times in of_seed.values()) / len(of_seed)


def ratios(row: dict[str, Any], base: dict[str, Any], column: int) -> list[float]:
    """The seconds of each fit over those of the fit of the other that was done just before it."""
    pairs = [
        ({times[0]: times[column] for times in one}, {times[0]: times[column] for times in other})
        for one, other in zip(row["rounds_s"], base["rounds_s"], strict=True)
    ]
    return [
        seconds / theirs[seed] for ours, theirs in pairs for seed, seconds in ours.items() if seed in theirs
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=list(EPOCHS), action="append", help="one data set; repeatable")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: 5)")
    parser.add_argument("--rounds", type=int, default=7, help="how many fits of each seed (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="of both (default: 2)")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64", help="of the features")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured there")
    parser.add_argument("--quick", action="store_true", help="few examples and epochs, to see that it runs")
    parser.add_argument("--without-numba", action="store_true", help="as if it were not installed")
    parser.add_argument("--one", metavar="DATA", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        if options.without_numba:
            sys.modules["numba"] = None  # type: ignore[assignment]
        found = measure(options.one, options.seeds, options.rounds, options.quick, options.dtype)
        print(json.dumps(found))
        return 0
    if options.rounds < 2:
        parser.error("--rounds: the first fit of a process does not count, so there must be 2 or more")
    for variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{variable}_NUM_THREADS"] = str(options.threads)
    found = {}
    names = options.data or list(EPOCHS)
    for name in names:
        command = [
            sys.executable,
            "-m",
            "benchmarks.sklearn_estimators",
            "--one",
            name,
            "--dtype",
            options.dtype,
        ]
        command += ["--seeds", str(options.seeds), "--rounds", str(options.rounds)]
        print(f"{name}: {DESCRIBED[name]}", file=sys.stderr, flush=True)
        command += ["--quick"] * options.quick + ["--without-numba"] * options.without_numba
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found[name] = json.loads(done.stdout)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    write(found, options)
    return 0


def write(found: dict[str, Any], options: argparse.Namespace) -> None:
    """The table."""
    from statistics import mean, median, stdev

    from bpkit.terminal import write_table

    headings = [
        "data",
        "estimator",
        "score",
        "epochs",
        "fit, s",
        "ratio",
        "median",
        "processor, s",
        "ratio",
        "median",
        "first fit, s",
    ]
    rows: list[tuple[str, list[str]] | None] = []
    for name, measured in found.items():
        base = next(iter(measured.values()))
        for estimator, row in measured.items():
            scores = row["scores"]
            spread = stdev(scores) if len(scores) > 1 else 0.0
            cells = [name, estimator, f"{mean(scores):.4f} ± {spread:.4f}", f"{mean(row['epochs']):.0f}"]
            for column in (1, 2):
                seconds = fastest(row, column)
                cells += [f"{seconds:.3f}", f"{seconds / fastest(base, column):.2f}"]
                cells.append(f"{median(ratios(row, base, column)):.2f}")
            rows.append(("", [*cells, f"{row['first_s']:.3f}"]))
        rows.append(None)
    title = f"{options.dtype}, {options.threads} threads, {options.seeds} seeds, {options.rounds} rounds"
    title += ", without Numba" * options.without_numba
    write_table(sys.stdout, title, headings, rows[:-1], right=headings[2:])


if __name__ == "__main__":
    sys.exit(main())
