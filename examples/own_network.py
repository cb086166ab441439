"""A network, a loss and a training loop of one's own, in the functions that bpkit's are written in.

    python examples/own_network.py
    BPKIT_BACKEND=jax python examples/own_network.py

Two rings of points, one inside the other, that no straight line separates.
"""

import argparse
import math

import bpkit
from bpkit import losses, nn, optim, random, xp


def rings(key, count):
    """Points (count, 2) on two rings of radius 1 and 2 with some noise; (count, 1): 1 on the outer ring."""
    angle_key, ring_key, noise_key = xp.unstack(random.split(key, 3))
    angle = random.uniform(angle_key, (count,), maxval=2 * math.pi)
    outer = random.bernoulli(ring_key, 0.5, (count,))
    outer = xp.astype(outer, angle.dtype)
    radius = 1.0 + outer + 0.15 * random.normal(noise_key, (count,))
    points = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], axis=-1)
    return points, outer[:, None]


def main() -> None:
    """Train and print how the loss falls."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    steps = 300 if parser.parse_args().quick else 1500

    data_key, first_key, second_key = xp.unstack(random.split(random.key(0), 3))
    points, outer = rings(data_key, 256)
    model = nn.Sequential(
        nn.Dense(2, 16, key=first_key),
        nn.tanh,
        nn.Dense(16, 1, key=second_key),
    )

    def loss(model, points, outer):
        return losses.sigmoid_cross_entropy(model(points), outer)

    optimizer = optim.sgd(0.2, momentum=0.9)
    state = optimizer.init(model)
    for step in range(steps + 1):
        value, gradient = bpkit.value_and_grad(loss)(model, points, outer)
        if step % (steps // 5) == 0:
            right = xp.mean(xp.astype((model(points) > 0) == (outer > 0), points.dtype))
            print(f"step {step:5d}: loss {float(value):.4f}, right {float(right):.1%}")
        model, state = optimizer.update(gradient, state, model)


if __name__ == "__main__":
    main()
