"""The networks of chapter 6 of Michael Nielsen's book, from 784-100-10 to convolutions with dropout.

    python examples/nielsen_chapter6.py --quick
    python examples/nielsen_chapter6.py --data FOLDER --nets rectifiers --seeds 3 --folder runs/chapter6

The first line trains all six on 8x8 digits, in a few seconds. The second trains one of them three times on
the real MNIST, in an hour; it may be killed at any moment, and the same line goes on. As in the book, the
accuracy is that on the test images after the epoch that reads the validation images best. It is quickest
with Numba (pip install -e ".[fast]") by one thread (taskset -c 0); BPKIT_BACKEND=torch does the same there.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import bpkit
from bpkit import losses, metrics, nn, optim, random, terminal, training, xp
from bpkit.data import augment, digits, mnist


@dataclass(frozen=True)
class Experiment:
    """A network of the chapter with its settings, and the accuracy that the book has for it."""

    book: float
    filters: tuple[int, ...] = (20, 40)
    hidden: tuple[int, ...] = (100,)
    activation: object = nn.relu
    rate: float = 0.03
    decay: float = 0.1  # lambda: the cost has decay / 2 * (sum of all squared weights) / (steps of an epoch)
    dropout: bool = False
    shifted: bool = False  # whether every image is there five times, moved by one pixel
    epochs: int = 60


EXPERIMENTS = {
    "shallow": Experiment(0.9780, filters=(), activation=nn.sigmoid, rate=0.1, decay=0.0),
    "convolution": Experiment(0.9878, filters=(20,), activation=nn.sigmoid, rate=0.1, decay=0.0),
    "two-convolutions": Experiment(0.9906, activation=nn.sigmoid, rate=0.1, decay=0.0),
    "rectifiers": Experiment(0.9923),
    "shifts": Experiment(0.9937, shifted=True),
    "dropout": Experiment(0.9960, hidden=(1000, 1000), decay=0.0, dropout=True, shifted=True, epochs=40),
}


def build(experiment, side, classes, key):
    """A network for images of side x side pixels, with the first weights that the book's program draws."""
    keys = iter(xp.unstack(random.split(key, len(experiment.filters) + len(experiment.hidden) + 1)))
    layers: list[object] = [nn.Reshape((1, side, side))]
    channels = 1
    for filters in experiment.filters:
        kernel = 5 if side > 8 else max(2, side // 3)  # digits of 8x8 pixels need a smaller one
        given = {"init": normal(filters * kernel**2 / 4), "bias_init": nn.init.standard_normal}
        convolution = nn.Conv2d(channels, filters, kernel, key=next(keys), dtype="float32", **given)
        layers += [convolution, nn.MaxPool2d(2), experiment.activation]
        channels, side = filters, (side - kernel + 1) // 2
    layers.append(nn.Flatten())
    size = channels * side**2
    # In training the book drops half of a layer's inputs and leaves the others as they are; afterwards it
    # halves all. Dropout doubles those that it leaves, and does nothing afterwards.
    dropout = [nn.Dropout(0.5), halved] if experiment.dropout else []
    for width in experiment.hidden:
        given = {"init": normal(width), "bias_init": nn.init.standard_normal}
        dense = nn.Dense(size, width, key=next(keys), dtype="float32", **given)
        layers += [*dropout, dense, experiment.activation]
        size = width
    last = nn.Dense(size, classes, key=next(keys), init=nn.init.zeros, dtype="float32")
    return nn.Sequential(*layers, *dropout, last)


def normal(fan_out):
    """An initialiser of weights from N(0, 1 / fan_out)."""
    return lambda key, shape, dtype: random.normal(key, shape, dtype) / math.sqrt(fan_out)


def halved(x):
    """Half of it."""
    return 0.5 * x


@bpkit.jit
def answers(model, images):
    """The logits of the classes."""
    return model(images)


def accuracy(model, split, size=50):
    """The share of images that a model reads correctly."""
    images, labels = xp.asarray(split.images), xp.asarray(split.labels)
    parts = [answers(model, images[i : i + size, :]) for i in range(0, len(split), size)]
    return float(metrics.accuracy(xp.concat(parts), labels))


def run(name, experiment, data, seed, folder, say):
    """Train one network; the history, and the accuracies in the epoch with the best of validation."""
    side = math.isqrt(data.features)
    images, labels = data.train.images, data.train.labels
    if experiment.shifted:
        images, labels = augment.one_pixel_shifts(images, labels, shape=(side, side))
    model_key, key = xp.unstack(random.split(random.key(seed)))
    decay = experiment.decay * 10 / len(labels)
    optimizer = optim.groups(
        {"weights": optim.sgd(experiment.rate, weight_decay=decay), "biases": optim.sgd(experiment.rate)},
        lambda path, leaf: "weights" if leaf.ndim > 1 else "biases",
    )

    def log(event, state):
        if isinstance(event, training.Epoch):
            line = {"net": name, "seed": seed, **event.to_json()}
            if event.metrics["validation_accuracy"] > max(
                [epoch.metrics["validation_accuracy"] for epoch in state.metrics[:-1]], default=0.0
            ):
                line["test_accuracy"] = accuracy(state.model, data.test)
            say(line)

    fitted = training.fit(
        build(experiment, side, data.classes, model_key),
        (images, labels),
        losses.softmax_cross_entropy,
        optimizer,
        epochs=experiment.epochs,
        batch_size=10,
        key=key,
        validation=(data.validation.images, data.validation.labels),
        metrics=[metrics.accuracy],
        monitor="validation_accuracy",
        highest=True,
        patience=experiment.epochs,  # never stops early, but returns the model of the best epoch
        callbacks=[log],
        folder=None if folder is None else Path(folder) / f"{name}-{seed}",
        resume=folder is not None,
    )
    return fitted, accuracy(fitted.model, data.test)


def main() -> None:
    """Train the networks that were asked for, and print what they read beside the book's figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", default=",".join(EXPERIMENTS), help="which of %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="how many first weights to try")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--epochs", type=int, help="fewer than the book's 60 (dropout: 40)")
    parser.add_argument("--data", help="folder with MNIST; without it, MNIST is downloaded once")
    parser.add_argument("--folder", help="where runs are saved after each epoch, and go on from")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each epoch")
    parser.add_argument("--quick", action="store_true", help="8x8 digits, small networks, five epochs")
    args = parser.parse_args()
    if args.seeds < 1 or args.seed < 0 or (args.epochs is not None and args.epochs < 1):
        parser.error("--seeds and --epochs count from 1, and --seed from 0")
    nets = args.nets.split(",")
    for name in nets:
        if name not in EXPERIMENTS:
            parser.error(f"--nets: there is no {name!r}; there are {', '.join(EXPERIMENTS)}")

    def say(line):
        if args.json:
            print(json.dumps(line), flush=True)
        else:
            test = f", test {line['test_accuracy']:.2%}, the best so far" if "test_accuracy" in line else ""
            begin = f"{line['net']}, seed {line['seed']}, epoch {line['epoch']}: loss {line['loss']:.4f}"
            validation = f"validation {line['validation_accuracy']:.2%}{test}"
            print(f"{begin}, {validation}; {line['seconds']:.1f} s", flush=True)

    data = digits() if args.quick else mnist(args.data)
    rows = []
    for name in nets:
        experiment = EXPERIMENTS[name]
        if args.quick:
            small = {"filters": (8, 16)[: len(experiment.filters)], "hidden": (30,), "decay": 0.0}
            rate = 1.0 if experiment.activation is nn.sigmoid else 0.1
            experiment = replace(experiment, **small, rate=rate, epochs=5)
        experiment = replace(experiment, epochs=args.epochs or experiment.epochs)
        for seed in range(args.seed, args.seed + args.seeds):
            fitted, test = run(name, experiment, data, seed, args.folder, say)
            best = fitted.best
            rows.append((name, seed, best.epoch, best.metrics["validation_accuracy"], test, experiment.book))
    if not args.json:
        cells = [
            ("", (name, str(seed), str(epoch), *(f"{share:.2%}" for share in shares)))
            for name, seed, epoch, *shares in rows
        ]
        headings = ("network", "seed", "best epoch", "validation", "test", "the book, MNIST")
        terminal.write_table(sys.stdout, "Accuracy", headings, cells, headings[1:])


if __name__ == "__main__":
    main()
