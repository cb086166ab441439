"""XOR, parity and an encoder: the first tasks of Rumelhart, Hinton and Williams' chapter of 1986.

    python examples/xor_and_parity.py
    python examples/xor_and_parity.py --task xor --seeds 1000
    python examples/xor_and_parity.py --plot hidden.svg

"Learning internal representations by error propagation" ("Parallel Distributed Processing", volume 1, chapter
8) begins with what no network without hidden units can do, and asks how often learning gets stuck where no
small change makes the error smaller. For that one wants many networks, and here they are: all seeds of a task
are one array program, made by `bpkit.vmap` and `bpkit.jit`.

E = 1/2 sum (y - d)^2 over all cases, and the weights change after each sweep through them, by -rate dE/dw
plus 0.9 times their last change. A task is learnt when all outputs are on the right side of 0.5.
"""

import argparse
import collections
import json
import statistics
import sys
from functools import partial
from itertools import product
from math import log2

import bpkit
from bpkit import nn, optim, random, xp
from bpkit.terminal import write_table

XOR_HIDDEN = (2, 4, 8, 16, 32)


def network(key, sizes, spread):
    """Inputs, hidden units and outputs, with first weights between -spread and spread."""
    init = partial(nn.init.uniform, minval=-spread, maxval=spread)
    first, second = xp.unstack(random.split(key, 2))
    inputs, hidden, outputs = sizes
    return nn.Sequential(
        nn.Dense(inputs, hidden, key=first, init=init, bias_init=init),
        nn.sigmoid,
        nn.Dense(hidden, outputs, key=second, init=init, bias_init=init),
        nn.sigmoid,
    )


def error(net, cases, desired):
    """E, and the outputs."""
    output = net(cases)
    return 0.5 * xp.sum((output - desired) ** 2), output


def sweep(optimizer, net, state, learnt_after, sweeps, cases, desired):
    """One sweep of one network; `learnt_after` is how many it took to learn all cases, or -1."""
    (_, output), gradient = bpkit.value_and_grad(error, has_aux=True)(net, cases, desired)
    right = xp.all(xp.abs(output - desired) < 0.5)
    learnt_after = xp.where(right & (learnt_after < 0), sweeps, learnt_after)
    net, state = optimizer.update(gradient, state, net)
    return net, state, learnt_after, output


def train(name, cases, desired, hidden, rate, spread, args):
    """Networks of all seeds: they, after how many sweeps each had learnt, and the outputs."""
    from tqdm import trange

    sizes = (cases.shape[1], hidden, desired.shape[1])
    keys = random.split(random.key(args.seed), args.seeds)
    nets = bpkit.vmap(partial(network, sizes=sizes, spread=spread))(keys)
    optimizer = optim.heavy_ball(rate, momentum=0.9)
    step = bpkit.jit(bpkit.vmap(partial(sweep, optimizer), in_axes=(0, 0, 0, None, None, None)))
    state, after = optimizer.init(nets), xp.full(args.seeds, -1)
    for done in trange(args.sweeps, desc=f"{name} {sizes}", disable=None):
        nets, state, after, output = step(nets, state, after, xp.asarray(done), cases, desired)
    return nets, [int(n) for n in xp.unstack(after)], output


def parity(bits):
    """All patterns of so many bits, and whether each has an odd number of ones."""
    rows = list(product([0.0, 1.0], repeat=bits))
    return xp.asarray(rows), xp.asarray([[sum(row) % 2.0] for row in rows])


def median(after):
    """Of the sweeps of those that learnt."""
    learnt = [n for n in after if n >= 0]
    return round(statistics.median(learnt)) if learnt else None


def report(args, title, headings, rows):
    """Print a table, unless JSON is asked for; the same as an object."""
    if not args.json:
        texts = [
            ["" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
            for row in rows
        ]
        write_table(sys.stdout, title, headings, [("", row) for row in texts], headings)
        print()
    return {"title": title, "columns": headings, "rows": rows}


def xor(args):
    """How long XOR takes with more and more hidden units, and where networks with two get stuck."""
    cases, desired = parity(2)
    rows, stuck = [], {}
    for spread, hidden in [*((1.0, h) for h in XOR_HIDDEN), (0.3, 2)]:
        _, after, output = train("XOR", cases, desired, hidden, 0.25, spread, args)
        formula = round(280 - 33 * log2(hidden)) if spread == 1.0 else None
        rows.append((hidden, spread, sum(n >= 0 for n in after), median(after), formula))
        if hidden == 2:
            ends = zip(xp.unstack(output[:, :, 0]), after, strict=True)
            wrong = ["  ".join(f"{float(y):.1f}" for y in xp.unstack(out)) for out, n in ends if n < 0]
            stuck[spread] = collections.Counter(wrong).most_common(4)
    learnt = f"learnt of {args.seeds}"
    columns = ("hidden", "first weights", learnt, "median sweeps", "280 - 33 log2 H")
    where = [(spread, outputs, n) for spread, kinds in stuck.items() for outputs, n in kinds]
    return [
        report(args, "XOR, rate 0.25", columns, rows),
        report(args, "2-2-1 that did not learn", ("first weights", "0 0  0 1  1 0  1 1", "networks"), where),
    ]


def parities(args):
    """How many networks learn parity, with as many hidden units as bits and with twice as many."""
    rows = []
    for bits in args.bits:
        cases, desired = parity(bits)
        for hidden in (bits, 2 * bits):
            rate = min(0.1, round(5 / 2**bits, 2))
            _, after, _ = train("parity", cases, desired, hidden, rate, args.spread, args)
            rows.append((bits, hidden, rate, sum(n >= 0 for n in after), median(after)))
    columns = ("bits", "hidden", "rate", f"learnt of {args.seeds}", "median sweeps")
    return report(args, f"Parity, first weights within {args.spread}, {args.sweeps:,} sweeps", columns, rows)


def encoder(args):
    """The code that 8-3-8 networks invent."""
    cases = xp.eye(8)
    nets, after, _ = train("encoder", cases, cases, 3, 0.1, 0.3, args)
    hidden = nn.sigmoid(xp.matrix_transpose(nets[0].weight) + nets[0].bias[:, None, :])
    codes = [[[float(h) for h in xp.unstack(code)] for code in xp.unstack(net)] for net in xp.unstack(hidden)]
    binary = sum(len({tuple(h > 0.5 for h in code) for code in net}) == 8 for net in codes)
    between = statistics.mean(0.2 < h < 0.8 for net in codes for code in net for h in code)
    columns = ("learnt", "median sweeps", "all eight binary codes", "between 0.2 and 0.8")
    row = (sum(n >= 0 for n in after), median(after), binary, f"{between:.0%}")
    title = f"Encoder 8-3-8, {args.seeds} networks, {args.sweeps:,} sweeps"
    found = [report(args, title, columns, [row])]
    first = [(i, *(round(h, 1) for h in code)) for i, code in enumerate(codes[0], 1)]
    found.append(report(args, "What the first network says of each input", ("input", "1", "2", "3"), first))
    if args.plot:
        plot(codes[0], args.plot)
    return found


def plot(codes, file):
    """A Hinton diagram of the hidden activities of the encoder: the area of a square is the activity."""
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(4, 2), layout="constrained")
    for x, code in enumerate(codes):
        panel.scatter([x] * 3, range(3), s=[300 * h for h in code], c="white", marker="s")
    panel.set(xlabel="input", ylabel="hidden unit", facecolor="0.6", xlim=(-0.6, 7.6), ylim=(2.6, -0.6))
    figure.savefig(file)


def main() -> None:
    """Train networks for each task, and print how many learn it."""
    tasks = {"xor": xor, "parity": parities, "encoder": encoder}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=tasks, help="only this one")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="networks of each kind (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the key that all first weights come from (0)")
    parser.add_argument("--sweeps", type=int, default=5000, metavar="N", help="through all cases (5000)")
    parser.add_argument("--bits", type=int, nargs="+", default=range(2, 9), help="of the parities (2 to 8)")
    parser.add_argument(
        "--spread", type=float, default=2.0, help="first weights of the parities are within (2)"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the code of an encoder")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--quick", action="store_true", help="20 networks, 800 sweeps, parity up to 4 bits")
    args = parser.parse_args()
    if min(args.seeds, args.sweeps, *args.bits) < 1:
        parser.error("--seeds, --sweeps and --bits must be 1 or more")
    if args.quick:
        args.seeds, args.sweeps, args.bits = 20, 800, (2, 3, 4)

    chosen = [args.task] if args.task else list(tasks)
    found = {name: tasks[name](args) for name in chosen}
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
