"""A recurrent net: Rumelhart, Hinton and Williams, Nature 323 (1986), figure 5, and their longer chapter.

    python examples/rhw1986_recurrent.py
    python examples/rhw1986_recurrent.py --decay 0

A net whose hidden units feed themselves is, over so many steps, a layered net with a copy of its weights in
each layer. The paper trains it as one: it averages dE/dw over the copies and changes all by this average, so
that they stay equal. In bpkit the loop over the steps just uses the same weights; the gradient is then the
sum over the copies, which this first shows, for the net below and for `nn.RNN`.

The task is one of the chapter in "Parallel Distributed Processing" (1986, volume 1, pages 358-359, table 10).
Each of five letters stands for two digits. The net is shown two letters, one after the other, and has to say
the four digits: A, B -> 1, 2, 2, 3. It has 5 input units, 30 hidden ones and 3 for the digits. Of the 25
sequences 20 are learnt, and the other five must then be completed too. Here are fifty nets at once, each with
its own first weights and its own five sequences held out.
"""

import argparse
import json
import statistics
import sys
from functools import partial
from itertools import product

import bpkit
from bpkit import nn, optim, random, tree, xp
from bpkit.terminal import write_table

DIGITS = {"A": "12", "B": "23", "C": "31", "D": "21", "E": "13"}
STEPS, LETTERS = 6, 2
PAPER = 260


class Weights(nn.Module):
    """What the copies share."""

    to_hidden: nn.Dense
    across: nn.Dense
    to_output: nn.Dense


def network(key):
    """The weights of a key, spread evenly between -0.3 and 0.3."""
    spread = partial(nn.init.uniform, minval=-0.3, maxval=0.3)
    keys = xp.unstack(random.split(key, 3))
    return Weights(
        nn.Dense(5, 30, key=keys[0], init=spread),
        nn.Dense(30, 30, key=keys[1], init=spread, bias=False),
        nn.Dense(30, 3, key=keys[2], init=spread),
    )


def unrolled(copies, letters):
    """The digits (n, 4, 3) for letters (n, 2, 5): a layer for each step, each with weights of its own."""
    hidden, outputs = None, []
    for step, weights in enumerate(copies):
        total = 0.0 if hidden is None else weights.across(hidden)
        shown = letters[:, step, :] if step < LETTERS else xp.zeros_like(letters[:, 0, :])
        hidden = nn.sigmoid(total + weights.to_hidden(shown))
        if step >= LETTERS:
            outputs.append(nn.sigmoid(weights.to_output(hidden)))
    return xp.stack(outputs, axis=1)


def error(copies, letters, digits, taught):
    """1/2 sum (y - d)^2 over the sequences that are taught, none where y is beyond 0.8 or 0.2; and all y."""
    output = unrolled(copies, letters)
    missing = xp.where(digits > 0.5, xp.maximum(0.8 - output, 0.0), xp.maximum(output - 0.2, 0.0))
    return 0.5 * xp.sum(taught[:, None, None] * missing**2), output


def tied(net, letters, digits, taught):
    """The same with one set of weights."""
    return error([net] * STEPS, letters, digits, taught)


def sequences():
    """Letters (25, 2, 5) and digits (25, 4, 3), one-hot."""
    pairs = list(product(DIGITS, repeat=2))
    letters = [[[float(a == b) for b in DIGITS] for a in pair] for pair in pairs]
    digits = [[[float(a == b) for b in "123"] for a in DIGITS[one] + DIGITS[two]] for one, two in pairs]
    return xp.asarray(letters), xp.asarray(digits)


def difference(copies, whole):
    """The largest difference of the sum of the copies' gradients from the gradient of tied weights."""
    total = tree.map(lambda *parts: sum(parts), *copies)
    apart = tree.map(lambda a, b: xp.max(xp.abs(a - b)), total, whole)
    return max(float(d) for d in tree.leaves(apart))


def check_sums(net, letters, digits):
    """For this net and for nn.RNN: how far the sum over the copies is from the gradient of tied weights."""
    taught = xp.ones_like(digits[:, 0, 0])
    copies, _ = bpkit.grad(error, has_aux=True)([net] * STEPS, letters, digits, taught)
    whole, _ = bpkit.grad(tied, has_aux=True)(net, letters, digits, taught)

    rnn = nn.RNN(5, 30, key=random.key(1), dtype=letters.dtype)
    shown = xp.concat([letters, xp.zeros((25, STEPS - LETTERS, 5), dtype=letters.dtype)], axis=1)

    def by_hand(copies, shown):
        hidden = 0.0
        for step, w in enumerate(copies):
            total = shown[:, step, :] @ w.weight_ih.T + w.bias_ih + w.bias_hh
            hidden = xp.tanh(total + hidden @ w.weight_hh.T if step else total)
        return xp.sum(hidden**2)

    rnn_copies = bpkit.grad(by_hand)([rnn.layers[0][0]] * STEPS, shown)
    rnn_whole = bpkit.grad(lambda rnn, shown: xp.sum(rnn(shown)[1] ** 2))(rnn, shown)
    return difference(copies, whole), difference(rnn_copies, rnn_whole.layers[0][0])


def sweep(optimizer, decay, net, state, learnt_after, sweeps, taught, letters, digits):
    """One sweep of one net through all sequences, and which of them it completed right before."""
    (_, output), gradient = bpkit.value_and_grad(tied, has_aux=True)(net, letters, digits, taught)
    average = tree.map(lambda g: g / STEPS, gradient)
    net, state = optimizer.update(average, state, net)
    right = xp.all((output > 0.5) == (digits > 0.5), axis=(1, 2))
    done = xp.all(right | (taught == 0)) & (learnt_after < 0)
    return tree.map(lambda w: (1 - decay) * w, net), state, xp.where(done, sweeps, learnt_after), right


def main() -> None:
    """Check the gradient, train the nets, and print how many sequences they complete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=50, metavar="N", help="how many nets (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the key that all is drawn from (0)")
    parser.add_argument(
        "--sweeps", type=int, default=2000, metavar="N", help="through the 20 sequences (2000)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.3, help="epsilon, of the average over the copies (0.3)"
    )
    parser.add_argument("--decay", type=float, default=0.002, help="of each weight after each change (0.002)")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw how many sequences are completed, sweep by sweep"
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--quick", action="store_true", help="8 nets, 1,000 sweeps")
    args = parser.parse_args()
    if min(args.seeds, args.sweeps) < 1:
        parser.error("--seeds and --sweeps must be 1 or more")
    if args.quick:
        args.seeds, args.sweeps = 8, 1000
    from tqdm import trange

    letters, digits = sequences()
    net_key, order_key = xp.unstack(random.split(random.key(args.seed), 2))
    nets = bpkit.vmap(network)(random.split(net_key, args.seeds))
    orders = [random.permutation(key, 25) for key in xp.unstack(random.split(order_key, args.seeds))]
    taught = xp.astype(xp.stack(orders) >= 5, letters.dtype)
    sums = check_sums(network(net_key), letters, digits)

    optimizer = optim.heavy_ball(args.rate, momentum=0.9)
    axes = (0, 0, 0, None, 0, None, None)
    sweep_all = bpkit.jit(bpkit.vmap(partial(sweep, optimizer, args.decay), in_axes=axes))
    state, after = optimizer.init(nets), xp.full(args.seeds, -1)
    curve = []
    for done in trange(args.sweeps, desc="sweeps", disable=None):
        nets, state, after, right = sweep_all(nets, state, after, xp.asarray(done), taught, letters, digits)
        if done % 10 == 0 or done == args.sweeps - 1:
            known = [xp.count_nonzero(right & part, axis=1) for part in (taught > 0, taught == 0)]
            curve.append((done, *([int(n) for n in xp.unstack(counts)] for counts in known)))
    _, learnt, new = curve[-1]
    after = [int(n) for n in xp.unstack(after)]
    if args.json:
        print(json.dumps({"sums": sums, "learnt": learnt, "new": new, "learnt_after": after}))
        return

    print("The sum of the gradients of the copies, from the gradient of tied weights, at most:")
    print(f"  this net: {sums[0]:.1e}    nn.RNN: {sums[1]:.1e}\n")
    when = [n for n in after if n >= 0]
    rows = [
        ("nets that learnt all 20 sequences", "1 shown", f"{learnt.count(20)} of {args.seeds}"),
        ("sweeps until then, median", f"{PAPER}", f"{statistics.median(when):,.0f}" if when else "none"),
        ("of the 5 others completed, mean", "", f"{statistics.mean(new):.2f}"),
        ("nets that complete 0, 1, 2, 3, 4, 5", "", ", ".join(str(new.count(n)) for n in range(6))),
    ]
    headings = (f"after {args.sweeps:,} sweeps", "the chapter", "here")
    write_table(sys.stdout, "Sequences", headings, [("", row) for row in rows], headings[1:])
    if args.plot:
        plot(curve, args.plot)


def plot(curve, file):
    """Sequences completed over the sweeps, the mean of all nets."""
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for part, (name, count) in enumerate((("taught", 20), ("new", 5)), 1):
        panel.plot(
            [row[0] for row in curve], [statistics.mean(row[part]) / count for row in curve], label=name
        )
    panel.set(xlabel="sweeps", ylabel="share completed", ylim=(0, 1.02))
    panel.legend()
    panel.grid(alpha=0.3)
    figure.savefig(file)


if __name__ == "__main__":
    main()
