"""Chapter 1 of Nielsen's book: networks that learn to read handwritten digits.

    python examples/nielsen_chapter1.py --data FOLDER --seeds 5
    python examples/nielsen_chapter1.py --quick

The network is the book's: sigmoid neurons, weights and biases drawn from N(0, 1), the quadratic cost,
stochastic gradient descent with mini-batches of 10 and a learning rate of 3, 30 epochs over 50,000 images.
Without --data, MNIST is downloaded once; --quick takes the small digits that come with bpkit.
"""

import argparse
import json
import statistics
import sys
from itertools import pairwise

import numpy as np

from bpkit import losses, nn, optim, random, training, xp
from bpkit.data import digits, mnist
from bpkit.terminal import write_table

BOOK, SMALL = nn.init.standard_normal, nn.init.scaled_normal
# Hidden neurons, first weights, learning rate, and the accuracy in the book, where the network without hidden
# neurons is an exercise. Its outputs, with weights from N(0, 1), begin so near 0 or 1 that some learn next to
# nothing; chapter 3 says why, and what helps: weights of deviation 1/sqrt(784).
NETWORKS = {
    "30": ((30,), BOOK, 3.0, "95.42 %"),
    "100": ((100,), BOOK, 3.0, "96.59 %"),
    "none": ((), BOOK, 3.0, "an exercise"),
    "none-small": ((), SMALL, 0.5, "an exercise"),
}


def network(key, init, *sizes):
    """Sigmoid layers of these sizes."""
    keys = xp.unstack(random.split(key, len(sizes) - 1))
    layers = []
    for (before, after), key in zip(pairwise(sizes), keys, strict=True):
        dense = nn.Dense(before, after, key=key, init=init, dtype="float32")
        layers += [dense, nn.sigmoid]
    return nn.Sequential(*layers)


def train(data, hidden, init, rate, seed, epochs):
    """Train one network; its accuracy on the test images after each epoch."""
    weights_key, order_key = xp.unstack(random.split(random.key(seed)))
    model = network(weights_key, init, data.train.images.shape[1], *hidden, 10)
    accuracies = []

    def measure(event, state):
        if isinstance(event, training.Epoch):
            accuracies.append(training.evaluate(state.model, data.test))

    training.fit(
        model,
        (data.train.images, data.train.targets),
        losses.quadratic,
        optim.sgd(rate),
        batch_size=10,
        epochs=epochs,
        key=order_key,
        callbacks=[measure],
    )
    return accuracies


def by_darkness(data):
    """The book's baseline: an image is the digit whose images are on average as dark as it."""
    darkness = data.train.images.sum(axis=1)
    averages = np.asarray([darkness[data.train.labels == digit].mean() for digit in range(10)])
    distances = np.abs(data.test.images.sum(axis=1)[:, np.newaxis] - averages)
    return np.mean(distances.argmin(axis=1) == data.test.labels)


def spread(values):
    """Mean, lowest and highest, in per cent."""
    return f"{statistics.mean(values):.2%}, {100 * min(values):.2f}–{100 * max(values):.2f}"


def main() -> None:
    """Train every network with every seed, and print what it reaches beside the book."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", help="where the files of MNIST are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train with seeds 0 … N - 1")
    parser.add_argument(
        "--only", nargs="+", choices=NETWORKS, metavar="NAME", help=f"some of {', '.join(NETWORKS)}"
    )
    parser.add_argument("--json", metavar="FILE", help="add a line for each run to this file")
    parser.add_argument("--quick", action="store_true", help="the digits of bpkit, one seed, few epochs")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds counts from 1")

    images = digits() if args.quick else mnist(args.data)
    data, seeds, epochs = training.place(images), range(args.seeds), 30
    if args.quick:
        seeds, epochs = range(1), 5

    rows = []
    for hidden, init, rate, book in [NETWORKS[chosen] for chosen in args.only or NETWORKS]:
        name = "-".join(map(str, (images.features, *hidden, 10))) + ", small" * (init is SMALL)
        runs = []
        for seed in seeds:
            run = train(data, hidden, init, rate, seed, epochs)
            best = 1 + run.index(max(run))
            print(f"{name}, seed {seed}: {max(run):.2%} after epoch {best}, {run[-1]:.2%} at the end")
            if args.json:
                with open(args.json, "a") as file:
                    print(json.dumps({"network": name, "seed": seed, "test": run}), file=file)
            runs.append(run)
        rows.append(("", (name, book, spread([max(run) for run in runs]), spread([run[-1] for run in runs]))))

    print(f"By how dark an image is: {by_darkness(images):.2%} (in the book, on MNIST, 22.25 %)")
    title = f"Test accuracy, mean and range of {len(seeds)} seeds"
    write_table(sys.stdout, title, ("network", "book, MNIST", "best epoch", "last epoch"), rows)


if __name__ == "__main__":
    main()
