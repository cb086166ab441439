"""Chapter 2 of Nielsen's book: how the backpropagation algorithm works.

    python examples/nielsen_chapter2.py --data FOLDER
    python examples/nielsen_chapter2.py --quick

The four equations of the chapter, BP1 to BP4, written out by hand in NumPy, for one image and (the chapter's
problem) for the matrix of a whole mini-batch at once; then `bpkit.grad`, to which nobody told them. It
prints how far the gradients are apart, and what an image costs each way. The network is the book's first,
784-30-10. Without --data, MNIST is downloaded once; --quick takes the small digits that come with bpkit.
"""

import argparse
import sys
import time

import numpy as np

import bpkit
from bpkit import inspect, losses, nn, random, training, tree, xp
from bpkit.data import digits, mnist
from bpkit.terminal import write_table


def network(features, dtype):
    """The book's first network."""
    first, second = xp.unstack(random.split(random.key(0)))
    options = {"init": nn.init.standard_normal, "dtype": dtype}
    return nn.Sequential(
        nn.Dense(features, 30, key=first, **options),
        nn.sigmoid,
        nn.Dense(30, 10, key=second, **options),
        nn.sigmoid,
    )


def loss(model, x, y):
    """The quadratic cost, a mean over the images."""
    return losses.quadratic(model(x), y)


def sigmoid(z):
    """The activation of every neuron."""
    return 1 / (1 + np.exp(-z))


def by_hand(model, x, y):
    """Backpropagation as the chapter has it; x and y have a row for each image."""
    layers = [layer for layer in model if isinstance(layer, nn.Dense)]
    activations = [x]
    for layer in layers:
        activations.append(sigmoid(activations[-1] @ layer.weight.T + layer.bias))
    slopes = [a * (1 - a) for a in activations]

    deltas = [(activations[-1] - y) * slopes[-1]]  # BP1
    for i in range(len(layers) - 1, 0, -1):
        deltas.insert(0, deltas[0] @ layers[i].weight * slopes[i])  # BP2
    gradient = []
    for delta, a in zip(deltas, activations, strict=False):
        bias = delta.sum(axis=0) / len(x)  # BP3
        weight = delta.T @ a / len(x)  # BP4
        gradient += [weight, bias]
    return gradient


def image_by_image(model, x, y):
    """The same with a loop over the mini-batch, as the book's program does it."""
    total = by_hand(model, x[:1], y[:1])
    for i in range(1, len(x)):
        part = by_hand(model, x[i : i + 1], y[i : i + 1])
        total = [so_far + more for so_far, more in zip(total, part, strict=True)]
    return [derivative / len(x) for derivative in total]


def fastest(functions, *args, rounds):
    """Seconds of each function, the fastest of many rounds in which they take turns."""
    seconds = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function(*args)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def main() -> None:
    """Check the equations, then time them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", help="where the files of MNIST are")
    parser.add_argument("--rounds", type=int, default=1000, metavar="N", help="of which the fastest counts")
    parser.add_argument("--quick", action="store_true", help="the digits of bpkit, fewer rounds")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds counts from 1")
    images = digits() if args.quick else mnist(args.data)
    rounds = 50 if args.quick else args.rounds

    data = training.place(images, "float64").train
    model = network(images.features, "float64")
    x, y = data.images[:100], data.targets[:100]
    print(inspect.equations(model, losses.quadratic, x, y))
    gradient = tree.leaves(bpkit.grad(loss)(model, x, y))
    for name, function in (("at once", by_hand), ("image by image", image_by_image)):
        pairs = zip(function(model, x, y), gradient, strict=True)
        apart = max(np.max(np.abs(mine - bpkits)) for mine, bpkits in pairs)
        print(f"100 images by hand, {name}: at most {apart:.0e} away from bpkit.grad")

    data = training.place(images, "float32").train
    model = network(images.features, "float32")
    functions = {
        "by hand, image by image": image_by_image,
        "by hand, at once": by_hand,
        "bpkit.grad": bpkit.grad(loss),
        "bpkit.grad, compiled": bpkit.jit(bpkit.grad(loss)),
    }
    sizes = (10, 100)
    timed = [fastest(functions, model, data.images[:n], data.targets[:n], rounds=rounds) for n in sizes]
    rows = []
    for name in functions:
        cells = [name]
        for n, seconds in zip(sizes, timed, strict=True):
            times = seconds["by hand, image by image"] / seconds[name]
            cells += [f"{1e6 * seconds[name] / n:.1f} µs", f"{times:.1f} ×"]
        rows.append(("", cells))
    headings = ("gradient", "image of 10", "faster", "image of 100", "faster ")
    write_table(sys.stdout, "Time for an image, in mini-batches", headings, rows, right=headings[1:])
    print("The book says of all at once: about a factor of two.")


if __name__ == "__main__":
    main()
