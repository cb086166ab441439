"""Chapter 5 of Nielsen's book: why deep neural networks are hard to train.

    python examples/nielsen_chapter5.py --data FOLDER --seeds 5
    python examples/nielsen_chapter5.py --data FOLDER --plot speeds.svg
    python examples/nielsen_chapter5.py --quick

1. In a chain of neurons each layer multiplies the gradient by w s'(z), which is seldom above 1/4.
2. So the first of several hidden layers learn slowest: the speed of learning of a layer is the length of the
   vector dC/db, at the start and while the network learns from 1,000 images.
3. And more layers do not make the network better: the accuracy with one to four hidden layers.

Weights have the deviation 1/sqrt(n), the cost is the cross-entropy, the learning rate 0.1 and lambda 5, as in
the book. Without --data, MNIST is downloaded once; --quick takes the small digits that come with bpkit.
"""

import argparse
import json
import statistics
import sys
from itertools import pairwise

import bpkit
from bpkit import losses, nn, optim, random, training, xp
from bpkit.data import digits, mnist
from bpkit.terminal import write_table

RATE, DECAY = 0.1, 5.0
# By the number of hidden layers, of 30 neurons each: speeds at the start and the accuracy in the book.
BOOK_SPEEDS = {1: (), 2: (0.07, 0.31), 3: (0.012, 0.060, 0.283), 4: (0.003, 0.017, 0.070, 0.285)}
BOOK_ACCURACY = {1: "96.48", 2: "96.90", 3: "96.57", 4: "96.53"}


def network(key, features, hidden):
    """So many hidden layers of 30 sigmoid neurons; the last sigmoid is part of the cost."""
    sizes = (features, *[30] * hidden, 10)
    keys = xp.unstack(random.split(key, len(sizes) - 1))
    layers = []
    for (before, after), key in zip(pairwise(sizes), keys, strict=True):
        layers += [nn.Dense(before, after, key=key, init=nn.init.scaled_normal, dtype="float32"), nn.sigmoid]
    return nn.Sequential(*layers[:-1])


def descent(images):
    """Gradient descent in which weights, and not biases, shrink by themselves."""
    return optim.groups(
        {"weights": optim.sgd(RATE, weight_decay=DECAY / images), "biases": optim.sgd(RATE)},
        lambda path, leaf: "weights" if leaf.ndim > 1 else "biases",
    )


def loss(model, x, y):
    """The cross-entropy of the chapter."""
    return losses.sigmoid_cross_entropy(model(x), y)


def chain(params, x):
    """Four sigmoid neurons, one after another."""
    for w, b in zip(xp.unstack(params["w"]), xp.unstack(params["b"]), strict=True):
        x = nn.sigmoid(w * x + b)
    return x


def show_chain(count):
    """Print how much slower the first neuron of four learns than the third, over random chains."""
    keys = xp.unstack(random.split(random.key(0), 3))
    drawn = {"w": random.normal(keys[0], (count, 4)), "b": random.normal(keys[1], (count, 4))}
    slopes = bpkit.vmap(bpkit.grad(chain))(drawn, random.uniform(keys[2], (count,)))["b"]
    ratio = xp.sort(xp.abs(slopes[:, 0] / slopes[:, 2]))
    slower = float(xp.mean(xp.astype(ratio < 1 / 16, "float32")))
    print(f"{count} chains of four neurons, w and b drawn from N(0, 1):")
    print(f"  dC/db of the first is 1/{1 / float(ratio[count // 2]):.0f} of the third's in the middle,")
    print(f"  and below 1/16, which the book gives as usual, in {slower:.1%}")

    # The exploding gradient: large weights, and biases that keep z at 0, where s'(z) is 1/4.
    w, x = 100.0, 0.5
    exploding = {"w": xp.asarray([w] * 4), "b": xp.asarray([-w * x] * 4)}
    slopes = bpkit.grad(chain)(exploding, xp.asarray(x))["b"]
    print(
        f"  with w = 100 and z = 0 it is {float(slopes[0] / slopes[2]):.0f} times the third's (the book: 25²)"
    )


def speeds(model, x, y):
    """The lengths of dC/db, for each hidden layer."""
    gradient = bpkit.grad(loss)(model, x, y)
    return [xp.linalg.vector_norm(layer.bias) for layer in gradient.layers[:-1:2]]


def watch_speeds(data, hidden, seed, epochs):
    """Speeds before each of so many steps of gradient descent on 1,000 images, all in one batch."""
    x, y = data.train.images[:1000, :], data.train.targets[:1000, :]
    model = network(random.key(seed), x.shape[1], hidden)
    optimizer = descent(x.shape[0])

    @bpkit.jit
    def step(model, state, x, y):
        return *optimizer.update(bpkit.grad(loss)(model, x, y), state, model), speeds(model, x, y)

    state, found = optimizer.init(model), []
    for _ in range(epochs):
        model, state, now = step(model, state, x, y)
        found.append([float(speed) for speed in now])
    return found


def train(data, hidden, seed, epochs):
    """The accuracy on the validation images after each epoch."""
    weights_key, order_key = xp.unstack(random.split(random.key(seed)))
    accuracies = []

    def measure(event, state):
        if isinstance(event, training.Epoch):
            accuracies.append(training.evaluate(state.model, data.validation))

    training.fit(
        network(weights_key, data.train.images.shape[1], hidden),
        (data.train.images, data.train.targets),
        losses.sigmoid_cross_entropy,
        descent(len(data.train)),
        batch_size=10,
        epochs=epochs,
        key=order_key,
        callbacks=[measure],
    )
    return accuracies


def plot(curves, file):
    """Draw the speeds of each network of several hidden layers while it learns."""
    from matplotlib import pyplot as plt

    drawn = [hidden for hidden in curves if hidden > 1]
    plt.rcParams["svg.fonttype"] = "none"  # text stays text, which is smaller
    figure, panels = plt.subplots(1, len(drawn), figsize=(10, 3.5), sharey=True, layout="constrained")
    for panel, hidden in zip(panels, drawn, strict=True):
        for layer in range(hidden):
            panel.plot([speeds[layer] for speeds in curves[hidden]], label=f"hidden layer {layer + 1}")
        panel.set(title=f"{hidden} hidden layers", xlabel="epoch", yscale="log")
        panel.legend()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("speed of learning")
    figure.savefig(file)


def percent(values):
    """Mean and standard deviation, in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{deviation}"


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", help="where the files of MNIST are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train with seeds 0 … N - 1")
    parser.add_argument(
        "--only", nargs="+", type=int, choices=BOOK_SPEEDS, metavar="N", help="so many hidden layers, 1 to 4"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the speeds of seed 0 (matplotlib)")
    parser.add_argument("--json", metavar="FILE", help="add a line for each run to this file")
    parser.add_argument("--quick", action="store_true", help="the digits of bpkit, one seed, few epochs")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds counts from 1")
    data = training.place(digits() if args.quick else mnist(args.data))
    seeds, steps, epochs = (range(1), 50, 2) if args.quick else (range(args.seeds), 500, 30)

    show_chain(1000 if args.quick else 100_000)
    curves, speed_rows, accuracy_rows = {}, [], []
    for hidden in args.only or BOOK_SPEEDS:
        watched = [watch_speeds(data, hidden, seed, steps) for seed in seeds]
        curves[hidden] = watched[0]
        for moment in (0, steps // 5, steps - 1):
            at = [
                f"{statistics.mean(speeds):.3g}"
                for speeds in zip(*[run[moment] for run in watched], strict=True)
            ]
            speed_rows.append(("", (str(hidden), f"step {moment}", *at, *[""] * (4 - hidden))))
        if hidden > 1:
            at = [f"{speed:.3g}" for speed in BOOK_SPEEDS[hidden]]
            speed_rows.append(("", ("", "book, step 0", *at, *[""] * (4 - hidden))))

        runs = []
        for seed in seeds:
            run = train(data, hidden, seed, epochs)
            print(f"{hidden} hidden layers, seed {seed}: {max(run):.2%} best, {run[-1]:.2%} last")
            if args.json:
                line = {"hidden": hidden, "seed": seed, "speeds": watched[seed][0], "validation": run}
                with open(args.json, "a") as file:
                    print(json.dumps(line), file=file)
            runs.append(run)
        best, last = percent([max(run) for run in runs]), percent([run[-1] for run in runs])
        accuracy_rows.append(("", (str(hidden), BOOK_ACCURACY[hidden], best, last)))

    headings = ["hidden", "when", "layer 1", "layer 2", "layer 3", "layer 4"]
    title = f"Speed of learning, 1,000 images, mean of {len(seeds)} seeds (the book's is on MNIST)"
    write_table(sys.stdout, title, headings, speed_rows, headings[2:])
    headings = ["hidden layers", "book, MNIST", "best epoch", "last epoch"]
    title = f"Accuracy on the validation images in per cent, mean and deviation of {len(seeds)} seeds"
    write_table(sys.stdout, title, headings, accuracy_rows, headings)
    if args.quick:
        print(
            f"These are the small digits after {epochs} epochs; the book's accuracies are after 30 on MNIST."
        )
    if args.plot:
        plot(curves, args.plot)


if __name__ == "__main__":
    main()
