"""The gradient of a long simulation, with the memory of a short one.

    python examples/checkpointed_ode.py

Five hundred pendulums swing for 5,000 steps: how do their final angles depend on how they start, and on
gravity? Reverse mode keeps what every step computes. In segments of 50 steps, each checkpointed, it keeps
the states between the segments and what one segment computes.
"""

import argparse
import tracemalloc

import numpy as np

import bpkit
from bpkit import xp

STEP_S = 1e-3


def swing(angle, speed, gravity, steps):
    """Angles (n,) and speeds (n,) after some steps of the symplectic Euler method."""
    for _ in range(steps):
        speed = speed - STEP_S * gravity * xp.sin(angle)
        angle = angle + STEP_S * speed
    return angle, speed


def final_angles(segment, segments, steps):
    """A loss: the mean square of the angles after `segments` calls of `segment`, with so many steps each."""

    def loss(angle, speed, gravity):
        for _ in range(segments):
            angle, speed = segment(angle, speed, gravity, steps)
        return xp.mean(angle**2)

    return loss


def measured(loss, *start):
    """The gradient, and the peak of the memory in MiB."""
    tracemalloc.start()
    gradient = bpkit.grad(loss, argnums=(0, 1, 2))(*start)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return gradient, peak_bytes / 2**20


def main() -> None:
    """Print the peak of the memory with and without checkpoints, and how the gradients differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    segments, steps = (20, 25) if parser.parse_args().quick else (100, 50)

    start = np.linspace(0.1, 3.0, 500), np.zeros(500), np.asarray(9.81)
    kept = final_angles(swing, 1, segments * steps)
    recomputed = final_angles(bpkit.checkpoint(swing), segments, steps)

    bpkit.grad(xp.sum)(start[0])  # what is loaded on first use shall not count
    expected, kept_mib = measured(kept, *start)
    found, recomputed_mib = measured(recomputed, *start)
    difference = max(np.max(np.abs(f - e)) for f, e in zip(found, expected, strict=True))
    print(f"{segments * steps} steps, everything kept: {kept_mib:.1f} MiB")
    print(f"in {segments} checkpointed segments: {recomputed_mib:.1f} MiB, 1/{kept_mib / recomputed_mib:.0f}")
    print(f"gradient by gravity: {found[2]:.6f}; largest difference of the gradients: {difference:.0e}")


if __name__ == "__main__":
    main()
