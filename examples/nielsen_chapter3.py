"""Chapter 3 of Nielsen's book: better costs, regularization, better first weights.

    python examples/nielsen_chapter3.py --data FOLDER --seeds 5
    python examples/nielsen_chapter3.py --data FOLDER --only overfitting overfitting-l2 --plot curves.svg
    python examples/nielsen_chapter3.py --quick

1. A neuron that is badly wrong learns slowly with the quadratic cost, and quickly with the cross-entropy.
2. The book's experiments with the cross-entropy, each with the settings that the text gives.
3. A search for learning rate and regularization in broad steps, on 1,000 images.

Without --data, MNIST is downloaded once; --quick takes the small digits that come with bpkit.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, replace
from itertools import pairwise

import bpkit
from bpkit import losses, nn, optim, random, training, xp
from bpkit.data import digits, mnist
from bpkit.errors import DivergedError
from bpkit.terminal import write_table


@dataclass(frozen=True)
class Experiment:
    """Settings of the book; `decay` is its lambda, `on` the images on which it gives the accuracy."""

    book: str
    hidden: tuple[int, ...] = (30,)
    init: object = nn.init.standard_normal
    cost: object = losses.sigmoid_cross_entropy
    rate: float = 0.5
    decay: float = 0.0
    images: int = 50_000
    epochs: int = 30
    on: str = "test"


EXPERIMENTS = {
    "cross-entropy-30": Experiment("95.49"),
    "cross-entropy-100": Experiment("96.82", hidden=(100,)),
    "softmax-30": Experiment("none", cost=losses.softmax_cross_entropy),
    "l2-30": Experiment("96.49", decay=5.0),
    "l2-100": Experiment("97.92", hidden=(100,), decay=5.0, on="validation"),
    "l2-100-slow": Experiment("98.04", (100,), rate=0.1, decay=5.0, epochs=60, on="validation"),
    "overfitting": Experiment("82.27", images=1000, epochs=400),
    "overfitting-l2": Experiment("87.1", images=1000, epochs=400, decay=0.1),
    "init-old": Experiment("first: < 87", rate=0.1, decay=5.0, on="validation"),
    "init-new": Experiment("first: ~ 93", init=nn.init.scaled_normal, rate=0.1, decay=5.0, on="validation"),
}


def network(key, init, *sizes):
    """Sigmoid layers; the last sigmoid, or softmax, is part of the cost."""
    keys = xp.unstack(random.split(key, len(sizes) - 1))
    layers = []
    for (before, after), key in zip(pairwise(sizes), keys, strict=True):
        layers += [nn.Dense(before, after, key=key, init=init, dtype="float32"), nn.sigmoid]
    return nn.Sequential(*layers[:-1])


def descent(rate, decay):
    """Gradient descent in which weights, and not biases, shrink by themselves."""
    return optim.groups(
        {"weights": optim.sgd(rate, weight_decay=decay), "biases": optim.sgd(rate)},
        lambda path, leaf: "weights" if leaf.ndim > 1 else "biases",
    )


def train(experiment, data, seed):
    """Train once; the accuracy after each epoch, and at the end that on the images learned from."""
    weights_key, order_key = xp.unstack(random.split(random.key(seed)))
    features, images = data.train.images.shape[1], min(experiment.images, len(data.train))
    model = network(weights_key, experiment.init, features, *experiment.hidden, 10)
    part = training.PlacedSplit(
        data.train.images[:images, :], data.train.targets[:images, :], data.train.labels[:images]
    )
    accuracies = []

    def measure(event, state):
        if isinstance(event, training.Epoch):
            accuracies.append(training.evaluate(state.model, getattr(data, experiment.on)))

    fitted = training.fit(
        model,
        (part.images, part.targets),
        experiment.cost,
        descent(experiment.rate, experiment.decay / images),
        batch_size=10,
        epochs=experiment.epochs,
        key=order_key,
        callbacks=[measure],
        progress=experiment.epochs <= 60,
    )
    return accuracies, training.evaluate(fitted.model, part)


def neuron(cost, weight, bias, rate=0.15, epochs=300):
    """The outputs of one neuron that shall learn to turn 1 into 0, before each epoch and after the last."""

    @bpkit.jit
    def step(params):
        slopes = bpkit.grad(lambda params: cost(params["weight"] * 1.0 + params["bias"]))(params)
        return {name: params[name] - rate * slopes[name] for name in params}

    params = {"weight": xp.asarray(weight), "bias": xp.asarray(bias)}
    outputs = []
    for _ in range(epochs + 1):
        outputs.append(float(nn.sigmoid(params["weight"] + params["bias"])))
        params = step(params)
    return outputs


def show_neuron():
    """Print how a neuron learns that is a little wrong and one that is badly wrong, with both costs."""
    # The target is 0: what the costs are of the weighted input z.
    costs = {"quadratic": lambda z: nn.sigmoid(z) ** 2 / 2, "cross-entropy": xp.softplus}
    starts = {(0.6, 0.9): "0.09", (2.0, 2.0): "0.20"}
    moments = (0, 50, 100, 150, 300)
    rows = []
    for (weight, bias), book in starts.items():
        for name, cost in costs.items():
            outputs = neuron(cost, weight, bias)
            cells = [f"{outputs[epoch]:.2f}" for epoch in moments]
            rows.append(("", (f"{weight}, {bias}", name, *cells, book if name == "quadratic" else "")))
    headings = ("weight, bias", "cost", *map(str, moments), "book, 300")
    title = "Output, after so many epochs, of a neuron that shall learn to say 0"
    write_table(sys.stdout, title, headings, rows, headings[2:])


def search(data, quick):
    """Print how 784-10 does on 1,000 images with learning rates and lambdas a factor of ten apart."""
    rates, decays = (0.1, 1.0, 10.0, 100.0), (0.02, 0.2, 2.0, 20.0)
    rows = []
    for rate in rates:
        cells = []
        for decay in decays:
            tried = Experiment(
                "", (), rate=rate, decay=decay, images=1000, epochs=2 if quick else 10, on="validation"
            )
            try:
                cells.append(f"{max(train(tried, data, seed=0)[0]):.1%}")
            except DivergedError:
                cells.append("diverged")
        rows.append(("", (f"{rate:g}", *cells)))
    headings = ("learning rate", *(f"lambda {decay:g}" for decay in decays))
    write_table(
        sys.stdout, "No hidden neurons, 1,000 images: validation, best epoch", headings, rows, headings
    )


def plot(curves, file):
    """Draw overfitting and the two ways to draw first weights, the mean over the seeds."""
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"  # text stays text, which is smaller
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    pairs = (
        ("overfitting", "overfitting-l2", "1,000 images, test accuracy"),
        ("init-old", "init-new", "First weights, validation accuracy"),
    )
    for panel, (*names, title) in zip(panels, pairs, strict=True):
        for name in [name for name in names if name in curves]:
            means = [100 * statistics.mean(values) for values in zip(*curves[name], strict=True)]
            panel.plot(range(1, len(means) + 1), means, label=name)
        panel.set(title=title, xlabel="epoch", ylabel="%")
        panel.legend(loc="lower right")
        panel.grid(alpha=0.3)
    figure.savefig(file)


def percent(values):
    """Mean and standard deviation, in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{deviation}"


def main() -> None:
    """Run the neuron, the experiments and the search."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", help="where the files of MNIST are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train with seeds 0 … N - 1")
    parser.add_argument(
        "--only", nargs="+", choices=EXPERIMENTS, metavar="NAME", help=f"some of {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw overfitting and first weights (matplotlib)")
    parser.add_argument("--json", metavar="FILE", help="add a line for each run to this file")
    parser.add_argument("--quick", action="store_true", help="the digits of bpkit, one seed, few epochs")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds counts from 1")
    data = training.place(digits() if args.quick else mnist(args.data))

    show_neuron()
    curves, rows = {}, []
    for name in args.only or EXPERIMENTS:
        experiment, seeds = EXPERIMENTS[name], range(args.seeds)
        if args.quick:
            experiment, seeds = replace(experiment, epochs=2), range(1)
        runs = []
        for seed in seeds:
            runs.append(train(experiment, data, seed))
            accuracies, learned = runs[-1]
            best = 1 + accuracies.index(max(accuracies))
            print(f"{name}, seed {seed}: {max(accuracies):.2%} after epoch {best}, {accuracies[-1]:.2%} last")
            if args.json:
                line = {"name": name, "seed": seed, experiment.on: accuracies, "train": learned}
                with open(args.json, "a") as file:
                    print(json.dumps(line), file=file)
        curves[name] = [accuracies for accuracies, _ in runs]
        columns = [
            [run[0] for run in curves[name]],
            map(max, curves[name]),
            [run[-1] for run in curves[name]],
        ]
        figures = [percent(list(column)) for column in (*columns, [learned for _, learned in runs])]
        rows.append(("", (name, experiment.book, *figures)))
    headings = ("experiment", "book", "epoch 1", "best", "last", "on train")
    title = f"Accuracy in per cent, mean and deviation of {len(seeds)} seeds (the book's is on MNIST)"
    write_table(sys.stdout, title, headings, rows, headings[2:])
    if not args.only:
        search(data, args.quick)
    if args.plot:
        plot(curves, args.plot)


if __name__ == "__main__":
    main()
