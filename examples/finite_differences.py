"""What backpropagation saves: all derivatives of a cost, beside central differences, from 1e2 to 1e7 weights.

    python examples/finite_differences.py
    python examples/finite_differences.py --sizes 1e2 1e3 --budget-s 10
    python examples/finite_differences.py --plot cost.svg

Central differences take two forward passes for each weight, C(w + h) and C(w - h). Backpropagation takes one
forward and one backward pass for all weights together. The networks have three layers of equal width,
sigmoids, the quadratic cost and a mini-batch of ten examples, in float64 on NumPy. Operations are what
bpkit.jit counts from the shapes. Seconds are measured: of the passes the fastest of some rounds, of the
differences the fastest of all weights times their number, since what else runs on a machine only makes things
slower. Where all weights would take longer than --budget-s, a sample of them is measured: the table says
"about", and the plot has open circles.
"""

import argparse
import json
import math
import sys
import time

import numpy as np

import bpkit
from bpkit import losses, nn, random, tree, xp
from bpkit.terminal import write_table

LAYERS, EXAMPLES, STEP = 3, 10, 1e-4


def network(weights, key):
    """A network with about so many weights and biases, and a mini-batch for it."""
    width = round((math.sqrt(1 + 4 * weights / LAYERS) - 1) / 2)
    *keys, x_key, y_key = xp.unstack(random.split(key, LAYERS + 2))
    layers = [part for k in keys for part in (nn.Dense(width, width, key=k), nn.sigmoid)]
    shape = EXAMPLES, width
    return nn.Sequential(*layers), random.uniform(x_key, shape), random.uniform(y_key, shape)


def cost(model, x, y):
    """The quadratic cost of the mini-batch."""
    return losses.quadratic(model(x), y)


def seconds(function, *args):
    """How long a call takes."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def central_differences(forward, model, x, y, chosen):
    """The derivatives by some weights, counted through all arrays of the model, and the seconds of each."""
    arrays = tree.leaves(model)
    ends = np.cumsum([array.size for array in arrays])
    found, taken_s = np.empty((2, len(chosen)))
    for place, number in enumerate(chosen):
        start = time.perf_counter()
        which = np.searchsorted(ends, number, side="right")
        weights, i = arrays[which].reshape(-1), number - ends[which]  # a view: it changes the model itself
        kept = weights[i]
        weights[i] = kept + STEP
        above = float(forward(model, x, y))
        weights[i] = kept - STEP
        below = float(forward(model, x, y))
        weights[i] = kept
        found[place] = (above - below) / (2 * STEP)
        taken_s[place] = time.perf_counter() - start
    return found, taken_s


def compare(weights, key, rounds, sample, budget_s):
    """Both ways, for a network of this size: operations, seconds, and how far the derivatives are apart."""
    model, x, y = network(weights, key)
    count = sum(array.size for array in tree.leaves(model))
    forward, gradient = bpkit.jit(cost), bpkit.jit(bpkit.value_and_grad(cost))
    both = [[seconds(f, model, x, y) for f in (forward, gradient)] for _ in range(rounds + 2)]
    forward_s, gradient_s = np.min(both[2:], axis=0)  # the first call records, the second compiles

    chosen = np.arange(count)
    if 2 * count * forward_s > budget_s:
        chosen = np.random.default_rng(0).choice(count, size=sample, replace=False)
    expected, taken_s = central_differences(forward, model, x, y, chosen)
    _, gradients = gradient(model, x, y)
    found = np.concatenate([array.reshape(-1) for array in tree.leaves(gradients)])[chosen]
    return {
        "weights": count,
        "operations": [
            forward.cost.operations,
            gradient.cost.operations,
            2 * count * forward.cost.operations,
        ],
        "seconds": [float(forward_s), float(gradient_s), count * float(taken_s.min())],
        "differences_measured": len(chosen),
        "relative_error": float(np.linalg.norm(found - expected) / np.linalg.norm(expected)),
    }


def show(results, what, unit):
    """A table of operations, or of seconds."""
    headings = ["weights", "forward", "gradient", "/ forward", "differences", "/ gradient", "error"]
    rows = []
    for result in results:
        forward, gradient, differences = result[what]
        about = "about " * (what == "seconds" and result["differences_measured"] < result["weights"])
        cells = [f"{result['weights']:,}", f"{forward:.3g}", f"{gradient:.3g}", f"{gradient / forward:.2f}"]
        cells += [
            f"{about}{differences:.3g}",
            f"{differences / gradient:,.0f}",
            f"{result['relative_error']:.0e}",
        ]
        rows.append(("", cells))
    write_table(sys.stdout, unit, headings, rows, right=headings)


def draw(results, path):
    """Operations and seconds by the number of weights, on logarithmic axes."""
    from matplotlib import pyplot

    weights = np.asarray([result["weights"] for result in results])
    measured = np.asarray([result["differences_measured"] for result in results]) == weights
    names = "one forward pass", "gradient by backpropagation", "gradient by central differences"
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axis, what in zip(axes, ("operations", "seconds"), strict=True):
        columns = np.asarray([result[what] for result in results]).T
        for name, column, marker in zip(names, columns, "sdo", strict=True):
            filled = measured if marker == "o" and what == "seconds" else np.ones_like(measured)
            (line,) = axis.loglog(weights, column, label=name)
            axis.loglog(weights[filled], column[filled], marker, color=line.get_color())
            axis.loglog(weights[~filled], column[~filled], marker, color=line.get_color(), mfc="white")
        axis.set(xlabel="weights and biases", ylabel=what)
        axis.grid(alpha=0.3)
    axes[0].legend()
    axes[1].set_title("open: extrapolated from a sample of the weights", fontsize="small")
    figure.savefig(path)


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [10.0**e for e in range(2, 8)]
    parser.add_argument("--sizes", type=float, nargs="+", default=sizes, help="about how many weights each")
    parser.add_argument("--budget-s", type=float, default=120, help="for the differences of one network")
    parser.add_argument("--sample", type=int, default=100, help="weights measured where all take longer")
    parser.add_argument("--rounds", type=int, default=30, help="of which the fastest pass counts")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and examples")
    parser.add_argument("--plot", metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print the figures instead of tables")
    parser.add_argument("--quick", action="store_true", help="networks of 1e2 to 1e4 weights, some seconds")
    options = parser.parse_args()
    if min(*options.sizes, options.rounds, options.sample) < 1:
        parser.error("--sizes, --rounds and --sample count from 1")
    if options.quick:
        options.sizes, options.budget_s = sizes[:3], 0.5

    key = random.key(options.seed)
    results = []
    for size in options.sizes:
        results.append(compare(size, key, options.rounds, options.sample, options.budget_s))
        print(f"{results[-1]['weights']:,} weights: done", file=sys.stderr)
    if options.json:
        print(json.dumps(results))
    else:
        show(results, "operations", "Operations of all derivatives")
        show(results, "seconds", "Seconds")
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
