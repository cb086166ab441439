"""Symmetry: the first network of Rumelhart, Hinton and Williams, Nature 323 (1986), figure 1.

    python examples/rhw1986_symmetry.py
    python examples/rhw1986_symmetry.py --sweeps 60000 --plot symmetry.svg

Is a row of six bits the same from both ends? No bit alone says anything about it, so a network without
hidden units cannot tell; two hidden units are enough. The paper shows one network, learnt in 1,425 sweeps.
Here are a hundred of them, each from its own first weights, all trained at once: a sweep is written for one
network, `bpkit.vmap` makes it one for all, and `bpkit.jit` one program of it.

All is as in the paper: 64 cases, E = 1/2 sum (y - d)^2 over all of them, weights that change after each sweep
by -0.1 dE/dw + 0.9 times their last change, first weights evenly spread between -0.3 and 0.3. What counts as
learnt the paper does not say: here, that each of the 64 outputs is on the right side of 0.5.
"""

import argparse
import json
import statistics
import sys
from functools import partial
from itertools import product

import bpkit
from bpkit import nn, optim, random, xp
from bpkit.terminal import write_table

PAPER = 1425
RATIOS = {"1 : 2 : 4": (1, 2, 4), "2 : 3 : 4": (2, 3, 4)}
optimizer = optim.heavy_ball(0.1, momentum=0.9)


def network(key):
    """Six inputs, two hidden units, one output."""
    first, second = xp.unstack(random.split(key, 2))
    spread = partial(nn.init.uniform, minval=-0.3, maxval=0.3)
    return nn.Sequential(
        nn.Dense(6, 2, key=first, init=spread, bias_init=spread),
        nn.sigmoid,
        nn.Dense(2, 1, key=second, init=spread, bias_init=spread),
        nn.sigmoid,
    )


def error(net, cases, desired):
    """E of the paper, and the outputs."""
    output = net(cases)
    return 0.5 * xp.sum((output - desired) ** 2), output


def sweep(net, state, learnt_after, sweeps, cases, desired):
    """One sweep of one network; `learnt_after` is how many it took to learn all cases, or -1."""
    (value, output), gradient = bpkit.value_and_grad(error, has_aux=True)(net, cases, desired)
    right = xp.all(xp.abs(output - desired) < 0.5)
    learnt_after = xp.where(right & (learnt_after < 0), sweeps, learnt_after)
    net, state = optimizer.update(gradient, state, net)
    return net, state, learnt_after, value


def train(nets, cases, desired, sweeps):
    """Train all networks at once: they, after how many sweeps each had learnt, and E of each."""
    from tqdm import trange

    sweep_all = bpkit.jit(bpkit.vmap(sweep, in_axes=(0, 0, 0, None, None, None)))
    state = optimizer.init(nets)
    learnt_after = xp.full(nets[0].weight.shape[0], -1)
    for done in trange(sweeps, desc="sweeps", disable=None):
        nets, state, learnt_after, value = sweep_all(
            nets, state, learnt_after, xp.asarray(done), cases, desired
        )
    return nets, [int(n) for n in learnt_after], [float(e) for e in value]


def in_ratio(sizes, ratio):
    """Whether sizes are in a ratio within ten per cent."""
    return all(
        abs(size * ratio[2] / (sizes[2] * part) - 1) < 0.1 for size, part in zip(sizes, ratio, strict=True)
    )


def patterns(weight):
    """What the figure shows of the weights of the hidden units, (n, 2, 6), for each network.

    The sizes of the weights on each side, the smallest first; how far those at the same distance from the
    middle are from equal and opposite, and one hidden unit from the other with its signs turned, both as a
    share of the largest weight.
    """
    largest = xp.max(xp.abs(weight), axis=(1, 2))
    mirrored = xp.max(xp.abs(weight + xp.flip(weight, axis=2)), axis=(1, 2)) / largest
    opposite = xp.max(xp.abs(weight[:, 0, :] + weight[:, 1, :]), axis=1) / largest
    sizes = xp.mean(xp.abs(weight - xp.flip(weight, axis=2))[:, :, :3] / 2, axis=1)
    found = []
    for size, m, o in zip(xp.unstack(sizes), xp.unstack(mirrored), xp.unstack(opposite), strict=True):
        sides = sorted(float(s) for s in xp.unstack(size))
        shape = next((name for name, ratio in RATIOS.items() if in_ratio(sides, ratio)), "another")
        found.append({"shape": shape, "sides": sides, "mirrored": float(m), "opposite": float(o)})
    return found


def plot(nets, chosen, found, file):
    """Hinton diagrams as in the paper: white squares are positive weights, black ones negative."""
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"  # text stays text, which is smaller
    figure, panels = plt.subplots(1, len(chosen), figsize=(3 * len(chosen), 1.6), squeeze=False)
    for panel, i in zip(panels[0], chosen, strict=True):
        weights = [float(w) for unit in xp.unstack(nets[0].weight[i, :, :]) for w in xp.unstack(unit)]
        sizes = [500 * abs(w) / max(map(abs, weights)) for w in weights]
        places = [j % 6 for j in range(12)], [j // 6 for j in range(12)]
        panel.scatter(*places, s=sizes, c=["white" if w > 0 else "black" for w in weights], marker="s")
        panel.set(xlim=(-0.6, 5.6), ylim=(1.6, -0.6), facecolor="0.6", aspect="equal", xticks=[], yticks=[])
        panel.set_title(f"network {i}, {found[i]['shape']}", fontsize=9)
    figure.savefig(file)


def main() -> None:
    """Train the networks, and print how many learn and what their weights look like."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many networks (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the key that all first weights come from (0)")
    parser.add_argument(
        "--sweeps", type=int, default=10_000, metavar="N", help="through the 64 cases (10000)"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the weights of four networks")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--quick", action="store_true", help="30 networks, 1,425 sweeps")
    args = parser.parse_args()
    if min(args.seeds, args.sweeps) < 1:
        parser.error("--seeds and --sweeps must be 1 or more")
    if args.quick:
        args.seeds, args.sweeps = 30, PAPER

    rows = list(product([0.0, 1.0], repeat=6))
    cases, desired = xp.asarray(rows), xp.asarray([[float(row == row[::-1])] for row in rows])
    nets = bpkit.vmap(network)(random.split(random.key(args.seed), args.seeds))
    nets, after, errors = train(nets, cases, desired, args.sweeps)
    found = patterns(nets[0].weight)
    learnt = [i for i, n in enumerate(after) if n >= 0]
    if args.json:
        print(json.dumps({"learnt_after": after, "error": errors, "patterns": found}))
        return

    table = [
        (
            f"learnt within {n:,} sweeps",
            "1 shown" if n == PAPER else "",
            f"{sum(0 <= a <= n for a in after)} of {args.seeds}",
        )
        for n in sorted({min(PAPER, args.sweeps), args.sweeps})
    ]
    if len(learnt) > 1:
        low, middle, high = statistics.quantiles([after[i] for i in learnt], n=4)
        table.append(("sweeps until learnt, median", "1,425", f"{middle:,.0f}"))
        table.append(
            ("half of them between, and the slowest", "", f"{low:,.0f} and {high:,.0f}, {max(after):,}")
        )
        for name in (*RATIOS, "another"):
            count = sum(found[i]["shape"] == name for i in learnt)
            table.append(
                (
                    f"ratio of the weights: {name}",
                    "1 shown" if name == "1 : 2 : 4" else "",
                    f"{count} of {len(learnt)}",
                )
            )
        for name, text in (
            ("mirrored", "equal and opposite about the middle, to"),
            ("opposite", "hidden units equal and opposite, to"),
        ):
            share = statistics.median(found[i][name] for i in learnt)
            table.append((text, "yes", f"{share:.2%} of the largest"))
    headings = ("6-2-1, 64 cases", "the paper", "here")
    write_table(sys.stdout, "Symmetry", headings, [("", row) for row in table], headings[1:])

    shown = [i for name in RATIOS for i in [j for j in learnt if found[j]["shape"] == name][:2]]
    for i in shown:
        print(f"\nNetwork {i}, learnt after {after[i]:,} sweeps, E = {errors[i]:.4f}:")
        for unit in range(2):
            weights = "".join(f"{float(w):7.1f}" for w in nets[0].weight[i, unit, :])
            bias, out = float(nets[0].bias[i, unit]), float(nets[2].weight[i, 0, unit])
            print(f"  hidden unit {unit + 1}: {weights}   bias {bias:5.1f}   to the output {out:6.1f}")
        print(f"  output:        bias {float(nets[2].bias[i, 0]):.1f}")
    if args.plot and shown:
        plot(nets, shown, found, args.plot)


if __name__ == "__main__":
    main()
