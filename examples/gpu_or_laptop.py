"""The same training on every array library and device of this machine: how long it takes, and if all agree.

    python examples/gpu_or_laptop.py
    BPKIT_BACKEND=torch:cuda python examples/gpu_or_laptop.py --batch 256

The network is a small one of convolutions. Nothing in `train` says where it runs: it is decided by
BPKIT_BACKEND=NAME or NAME:DEVICE, or by `bpkit.use_backend`, as it is done here to go through all that
`bpkit backends` lists. Random numbers are the same everywhere, so the losses differ by rounding alone.
"""

import argparse
import sys
import time

import bpkit
from bpkit import losses, nn, optim, random, registry, terminal, xp


def build(key, filters, hidden):
    """Images of 28x28 pixels to ten classes."""
    first, second, third = xp.unstack(random.split(key, 3))
    return nn.Sequential(
        nn.Conv2d(1, filters, 5, key=first, init=nn.init.he_normal, dtype="float32"),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(filters * 12 * 12, hidden, key=second, init=nn.init.he_normal, dtype="float32"),
        nn.relu,
        nn.Dense(hidden, 10, key=third, dtype="float32"),
    )


def train(compiled, steps, batch, filters, hidden):
    """Train on images that are noise; the loss of each step, and how long it took in seconds."""
    image_key, label_key, model_key = xp.unstack(random.split(random.key(0), 3))
    images = random.uniform(image_key, (batch, 1, 28, 28), dtype="float32")
    labels = random.randint(label_key, (batch,), 0, 10)
    model = build(model_key, filters, hidden)
    optimizer = optim.sgd(0.01, momentum=0.9)

    def loss(model, images, labels):
        return losses.softmax_cross_entropy(model(images), labels)

    def step(model, state, images, labels):
        value, gradient = bpkit.value_and_grad(loss)(model, images, labels)
        return *optimizer.update(gradient, state, model), value

    run = bpkit.jit(step, donate_argnums=(0, 1)) if compiled else step
    state, found, seconds = optimizer.init(model), [], []
    for _ in range(steps):
        begin = time.perf_counter()
        model, state, value = run(model, state, images, labels)
        found.append(float(value))  # waits for the device
        seconds.append(time.perf_counter() - begin)
    return found, seconds


def places():
    """Every backend with each of its devices that can be used here, the chosen one first."""
    backend, device = registry.current()
    chosen = backend.name if device is None else f"{backend.name}:{device}"
    found = [
        f"{status.name}:{device}"
        for status in registry.backend_table()
        # Those of array-api-strict, which is for tests, are all the same processor.
        for device in status.devices[: 1 if status.name == "array_api_strict" else None]
    ]
    alike = [place for place in found if place == chosen or place.startswith(f"{chosen}:")][:1] or [chosen]
    return alike + [place for place in found if place not in alike]


def main() -> None:
    """Print a table of the places, with times and the largest difference from the first one's losses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64, help="images of a step (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="how many steps (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smaller network, and four steps")
    args = parser.parse_args()
    if args.batch < 1 or args.steps < 1:
        parser.error("--batch and --steps count from 1")
    sizes = [4, 8, 4, 16] if args.quick else [args.steps, args.batch, 20, 100]

    rows, first = [], None
    for place in places():
        with bpkit.use_backend(place):
            found, seconds = train(True, *sizes)
            _, plain = train(False, *sizes)
        first = first or found
        apart = max(abs(a - b) / abs(b) for a, b in zip(found, first, strict=True))
        times = [f"{1000 * t:.2f} ms" for t in (max(seconds), min(seconds), min(plain))]
        rows.append(("", (place, *times, f"{found[-1]:.6f}", f"{apart:.1e}")))
    headings = ("where", "first step", "compiled step", "not compiled", "last loss", "apart")
    print(f"Loss of the first step {first[0]:.6f}; a rounding of float32 is 6.0e-08 apart")
    terminal.write_table(sys.stdout, "One program", headings, rows, headings[1:])


if __name__ == "__main__":
    main()
