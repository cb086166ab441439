"""The book's training without bpkit, to see what its figures vary by: plain NumPy, its own random numbers.

    python benchmarks/book_in_numpy.py hundred --data FOLDER
    python benchmarks/book_in_numpy.py overfitting --data FOLDER

`hundred`: chapter 1's 784-100-10, quadratic cost, learning rate 3, 30 epochs. `overfitting`: chapter 3's
784-30-10 on 1,000 images, cross-entropy, learning rate 0.5, 400 epochs, without and with lambda 0.1.
"""

import argparse

import numpy as np

from bpkit.data import mnist


def sigmoid(z):
    """The activation of every neuron."""
    return 1 / (1 + np.exp(-z))


def train(data, seed, *, hidden, images, epochs, rate, decay, cross_entropy):
    """The accuracy on the test images after each epoch."""
    draw = np.random.RandomState(seed)
    x, y = data.train.images[:images].astype(float), np.eye(10)[data.train.labels[:images]]
    biases = [draw.randn(hidden), draw.randn(10)]
    weights = [draw.randn(hidden, 784), draw.randn(10, hidden)]
    accuracies = []
    for _ in range(epochs):
        for batch in draw.permutation(images).reshape(-1, 10):
            first = sigmoid(x[batch] @ weights[0].T + biases[0])
            second = sigmoid(first @ weights[1].T + biases[1])
            delta = second - y[batch]
            if not cross_entropy:
                delta = delta * second * (1 - second)
            before = delta @ weights[1] * first * (1 - first)
            for i, (error, a) in enumerate(((before, x[batch]), (delta, first))):
                weights[i] = (1 - rate * decay / images) * weights[i] - rate / 10 * error.T @ a
                biases[i] = biases[i] - rate / 10 * error.sum(axis=0)
        outputs = sigmoid(data.test.images @ weights[0].T + biases[0]) @ weights[1].T + biases[1]
        accuracies.append(np.mean(outputs.argmax(axis=1) == data.test.labels))
    return accuracies


def main() -> None:
    """Print the best and the last epoch of each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("hundred", "overfitting"))
    parser.add_argument("--data", metavar="FOLDER", help="where the files of MNIST are")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 … N - 1")
    args = parser.parse_args()
    data = mnist(args.data)
    if args.what == "hundred":
        settings = {"hidden": 100, "images": 50_000, "epochs": 30, "rate": 3.0, "cross_entropy": False}
    else:
        settings = {"hidden": 30, "images": 1000, "epochs": 400, "rate": 0.5, "cross_entropy": True}
    for decay in (0.0,) if args.what == "hundred" else (0.0, 0.1):
        for seed in range(args.seeds):
            found = train(data, seed, decay=decay, **settings)
            print(f"lambda {decay}, seed {seed}: {max(found):.2%} best, {found[-1]:.2%} last", flush=True)


if __name__ == "__main__":
    main()
