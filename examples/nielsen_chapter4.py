"""Chapter 4 of Nielsen's book: a network can compute any function.

    python examples/nielsen_chapter4.py
    python examples/nielsen_chapter4.py --plot functions.svg

A sigmoid neuron with large weights is a step. Two steps, up and down again, are a bump of any height, and
bumps side by side are any function of one number. With two inputs four steps make a cross, whose middle is
twice as high as its arms; a neuron that only answers to the middle is a tower, and towers side by side are
any function of two. This builds such networks by hand, without learning, and shows how the error shrinks with
more neurons. Then backpropagation finds its own weights for networks of the same size.
"""

import argparse
import sys

import bpkit
from bpkit import losses, nn, optim, random, xp
from bpkit.terminal import write_table

STEEP = 100.0
"""Weight of a step times the width of a bump: from 0 to 1 within a twentieth of it."""


def curve(x):
    """The book's function of one number from 0 to 1."""
    return 0.2 + 0.4 * x**2 + 0.3 * x * xp.sin(15 * x) + 0.05 * xp.cos(50 * x)


def hill(x):
    """A function of two numbers, in the rows of x."""
    return 0.5 + 0.3 * xp.sin(6 * x[:, :1]) * xp.cos(4 * x[:, 1:])


def logit(a):
    """What a sigmoid neuron must be given to answer a; the book writes it as the inverse of sigma."""
    return xp.log(a / (1 - a))


def dense(weight, bias):
    """A layer with the weights that we want."""
    after, before = weight.shape
    return nn.Dense(before, after, key=random.key(0), dtype=weight.dtype).replace(weight=weight, bias=bias)


def edges(bumps):
    """Weights (2 bumps,) and biases of the steps at both edges of each of so many bumps from 0 to 1."""
    number = xp.arange(bumps, dtype="float64")
    at = xp.reshape(xp.stack([number / bumps, (number + 1) / bumps], axis=1), (-1,))
    # The outermost steps lie outside, so that neither 0 nor 1 is on a slope.
    at = xp.where((at == 0) | (at == 1), 3 * at - 1, at)
    weight = xp.full_like(at, STEEP * bumps)
    return weight, -weight * at


def middles(bumps):
    """The middle of each bump, shape (bumps, 1)."""
    return ((xp.arange(bumps, dtype="float64") + 0.5) / bumps)[:, None]


def up_and_down(heights):
    """Weights for pairs of steps: each height, and back again."""
    return xp.reshape(xp.stack([heights, -heights], axis=-1), (*heights.shape[:-1], -1))


def of_one(bumps):
    """A network with so many bumps: one input, pairs of steps, one output."""
    weight, bias = edges(bumps)
    heights = logit(curve(middles(bumps)[:, 0]))
    return nn.Sequential(
        dense(weight[:, None], bias),
        nn.sigmoid,
        dense(up_and_down(heights)[None, :], xp.zeros(1, dtype="float64")),
        nn.sigmoid,
    )


def of_two(bumps):
    """A network with a square of towers: two inputs, pairs of steps along both, the towers, one output."""
    weight, bias = edges(bumps)
    none = xp.zeros_like(weight)
    along_x, along_y = xp.stack([weight, none], axis=1), xp.stack([none, weight], axis=1)

    # Tower i, j adds up bump i along x and bump j along y, and answers to more than one and a half.
    one = xp.eye(bumps, dtype="float64")
    pairs = up_and_down(one)
    x_bumps = xp.repeat(pairs, bumps, axis=0)
    y_bumps = xp.tile(pairs, (bumps, 1))
    towers = STEEP * xp.concat([x_bumps, y_bumps], axis=1)

    across = xp.repeat(middles(bumps), bumps, axis=0)
    centres = xp.concat([across, xp.tile(middles(bumps), (bumps, 1))], axis=1)
    heights = logit(hill(centres))[:, 0]
    return nn.Sequential(
        dense(xp.concat([along_x, along_y]), xp.concat([bias, bias])),
        nn.sigmoid,
        dense(towers, xp.full((bumps**2,), -1.5 * STEEP, dtype="float64")),
        nn.sigmoid,
        dense(heights[None, :], xp.zeros(1, dtype="float64")),
        nn.sigmoid,
    )


def random_steps(key, before, after, slope):
    """A layer of soft steps, each through a random point of what the layer can be given."""
    weight_key, point_key = xp.unstack(random.split(key))
    weight = slope * random.normal(weight_key, (after, before), "float64")
    return dense(weight, -xp.sum(weight * random.uniform(point_key, weight.shape, "float64"), axis=1))


def learned(function, x, hidden, steps, slope):
    """A network of the same shape, whose weights backpropagation finds from random ones of this size."""
    keys = xp.unstack(random.split(random.key(0), len(hidden) + 1))
    layers = []
    for before, after, key in zip((x.shape[1], *hidden), hidden, keys, strict=False):
        layers += [random_steps(key, before, after, slope), nn.sigmoid]
    model = nn.Sequential(*layers, nn.Dense(hidden[-1], 1, key=keys[-1], dtype="float64"), nn.sigmoid)
    optimizer = optim.adam(optim.schedules.cosine(0.05, steps))

    @bpkit.jit
    def step(model, state, x, y):
        gradient = bpkit.grad(lambda model: losses.mean_squared_error(model(x), y))(model)
        return optimizer.update(gradient, state, model)

    y, state = function(x), optimizer.init(model)
    for _ in range(steps):
        model, state = step(model, state, x, y)
    return model


def error(model, function, x):
    """The mean distance of a network from a function."""
    return float(xp.mean(xp.abs(model(x) - function(x))))


def plot(models, file):
    """Draw the function of one number, and networks that compute it."""
    from matplotlib import pyplot as plt

    x = xp.linspace(0.0, 1.0, 1000, dtype="float64")[:, None]
    plt.rcParams["svg.fonttype"] = "none"  # text stays text, which is smaller
    figure, panel = plt.subplots(figsize=(7, 4), layout="constrained")
    panel.plot(x[:, 0], curve(x)[:, 0], color="black", label="the function")
    for name, model in models.items():
        panel.plot(x[:, 0], model(x)[:, 0], label=name)
    panel.set(xlabel="x", ylabel="output")
    panel.legend()
    panel.grid(alpha=0.3)
    figure.savefig(file)


def main() -> None:
    """Print the errors of networks that were built, and of networks that learned."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="of learning, for each network")
    parser.add_argument("--plot", metavar="FILE", help="draw networks of ten bumps (matplotlib)")
    parser.add_argument("--quick", action="store_true", help="smaller networks, fewer steps")
    args = parser.parse_args()
    if args.steps < 1:
        parser.error("--steps counts from 1")
    steps = 300 if args.quick else args.steps

    x = xp.arange(0.0005, 1.0, 0.001, dtype="float64")[:, None]
    rows, drawn = [], {}
    for bumps in (5, 10, 20) if args.quick else (5, 10, 20, 40, 80):
        built, trained = of_one(bumps), learned(curve, x, (2 * bumps,), steps, slope=40.0)
        below = float(xp.mean(xp.abs(built[:-1](x) - logit(curve(x)))))
        figures = (error(built, curve, x), below, error(trained, curve, x))
        rows.append(("", [str(bumps), str(2 * bumps), *(f"{figure:.4f}" for figure in figures)]))
        if bumps == 10:
            drawn = {"10 bumps": built, "learned, 20 neurons": trained}
    headings = ["bumps", "hidden neurons", "error, built", "before the last sigmoid", "error, learned"]
    write_table(sys.stdout, "A function of one number: mean distance from it", headings, rows, headings)

    side = xp.arange(0.0125, 1.0, 0.025, dtype="float64")
    x = xp.stack([xp.repeat(side, side.shape[0]), xp.tile(side, (side.shape[0],))], axis=1)
    rows = []
    for towers in (2, 4) if args.quick else (2, 4, 8, 16):
        hidden = (4 * towers, towers**2)
        errors = [error(model, hill, x) for model in (of_two(towers), learned(hill, x, hidden, steps, 5.0))]
        size = " + ".join(map(str, hidden))
        rows.append(("", [f"{towers} × {towers}", size, *(f"{figure:.4f}" for figure in errors)]))
    headings = ["towers", "hidden neurons", "error, built", "error, learned"]
    write_table(sys.stdout, "A function of two numbers: mean distance from it", headings, rows, headings)
    if args.plot:
        plot(drawn, args.plot)


if __name__ == "__main__":
    main()
