"""A first gradient: the same lines on every array library that is installed.

python examples/first_gradient.py
BPKIT_BACKEND=torch python examples/first_gradient.py
"""

import argparse

import bpkit
from bpkit import xp


def energy(x):
    """Stretched springs between neighbours, and one that holds the first."""
    return 0.5 * xp.sum((x[1:] - x[:-1] - 1.0) ** 2) + 0.5 * x[0] ** 2


def main() -> None:
    """Print the energy of a chain of masses, the forces on them, and where they come to rest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    steps = 200 if parser.parse_args().quick else 2000

    x = xp.asarray([0.3, 0.9, 2.4, 3.1])
    value, gradient = bpkit.value_and_grad(energy)(x)
    print(f"{type(x).__module__}.{type(x).__name__}")
    print(f"energy {float(value):.4f}")
    print(f"forces {-gradient}")

    for _ in range(steps):
        x = x - 0.2 * bpkit.grad(energy)(x)
    print(f"at rest after {steps} steps: {x}")


if __name__ == "__main__":
    main()
