"""Find how well a rod conducts heat inside, when only eight thermometers on it can be read.

    python examples/physics_inverse_problem.py
    python examples/physics_inverse_problem.py --seeds 20 --plot rod.svg

A rod is heated at one end, and in a second experiment at the other. Eight thermometers are read twenty times,
with noise. The conductivity k differs along the rod, and is to be found. The heat equation,
du/dt = d/dx (k du/dx) + q, is simulated in small explicit steps, and one gradient by all conductivities goes
backwards through all of them; each stretch between two readings is checkpointed, so that its steps need not
be kept. L-BFGS finds the most probable log k. How uncertain it is follows from products of the Hessian with
vectors: two such widths should hold the truth in 95 of 100 cases.
"""

import argparse
import sys
import time
import tracemalloc

import numpy as np

import bpkit
from bpkit import optim, xp
from bpkit.terminal import write_table

CELLS = 24
STEPS = 20  # of time, from one reading to the next
SENSORS = slice(1, None, 3)
DX = 1 / CELLS
DT = 0.2 * DX**2  # stable for k up to 2.5
NOISE = 0.01  # of a reading; the temperatures reach 2
SMOOTH = 0.3  # by how much log k is expected to change from one wall between two cells to the next
HEAT = np.zeros((2, CELLS))  # experiments, cells
HEAT[0, 0] = HEAT[1, -1] = 4 * DT / DX
WALLS = DX * np.arange(1, CELLS)
TRUTH = np.log(1 + 0.8 * np.exp(-(((WALLS - 0.3) / 0.08) ** 2)) - 0.6 * (WALLS > 0.6))


def until_next_reading(u, k):
    """Temperatures (experiments, cells) some time steps later; no heat leaves at the ends."""
    for _ in range(STEPS):
        flow = k * (u[:, 1:] - u[:, :-1]) * (DT / DX**2)
        u = u + HEAT + xp.pad(flow, ((0, 0), (0, 1))) - xp.pad(flow, ((0, 0), (1, 0)))
    return u


def readings(log_k, count, checkpointed=True):
    """What the thermometers show without noise, (count, experiments, sensors)."""
    simulate = bpkit.checkpoint(until_next_reading) if checkpointed else until_next_reading
    u, k, shown = xp.zeros(HEAT.shape), xp.exp(log_k), []
    for _ in range(count):
        u = simulate(u, k)
        shown.append(u[:, SENSORS])
    return xp.stack(shown)


def misfit(log_k, measured, checkpointed=True):
    """What is smallest for the most probable log k: normal noise, neighbours that are alike."""
    residuals = (readings(log_k, len(measured), checkpointed) - measured) / NOISE
    jumps = (log_k[1:] - log_k[:-1]) / SMOOTH
    return 0.5 * (xp.sum(residuals**2) + xp.sum(jumps**2) + xp.sum(log_k**2))


def uncertainty(log_k, measured):
    """The standard deviation of each log k, if the posterior is as curved everywhere as it is here."""
    product = bpkit.vmap(lambda v: bpkit.hvp(lambda m: misfit(m, measured), (log_k,), (v,)))
    return np.sqrt(np.diag(np.linalg.inv(product(np.eye(log_k.size)))))


def check_gradient(value_and_grad, log_k, measured, step=1e-5):
    """Print how the gradient compares with central differences, and the memory that it takes."""
    simulate = bpkit.jit(misfit)
    for _ in range(2):  # the first call records, the second compiles
        simulate(log_k, measured), value_and_grad(log_k, measured)
    start = time.perf_counter()
    _, found = value_and_grad(log_k, measured)
    middle = time.perf_counter()
    shifts = step * np.eye(log_k.size)
    pairs = [(simulate(log_k + shift, measured), simulate(log_k - shift, measured)) for shift in shifts]
    expected = np.asarray([above - below for above, below in pairs]) / (2 * step)
    ratio = (time.perf_counter() - middle) / (middle - start)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    print(f"gradient through {len(measured) * STEPS} steps: differs by {error:.0e} from central differences,")
    print(f"which take {ratio:.0f} times as long for {log_k.size} unknowns")
    peaks = []
    for checkpointed in (False, True):
        tracemalloc.start()
        bpkit.grad(misfit)(log_k, measured, checkpointed)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    print(f"its memory, not compiled: {peaks[0]:.1f} MB if all is kept, {peaks[1]:.1f} MB with checkpoints")


def draw(path, found, widths):
    """The truth, and what was found in the first seed with two widths on both sides."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axis.plot(WALLS, np.exp(found.T), color="C0", alpha=0.3, linewidth=0.8)
    error = np.exp(found[0]) * np.expm1(np.outer([-2, 2], widths[0])) * [[-1], [1]]
    axis.errorbar(WALLS, np.exp(found[0]), error, fmt="o", capsize=2, label="found, first seed")
    axis.step(WALLS, np.exp(TRUTH), color="black", where="mid", label="truth")
    axis.set(xlabel="place along the rod", ylabel="conductivity", ylim=(0, None))
    axis.legend()
    figure.savefig(path)


def main() -> None:
    """Find the conductivity for some seeds of the noise, and compare it with the truth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10, help="how many times to draw the noise")
    parser.add_argument("--plot", metavar="FILE", help="draw truth and results (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="two seeds, eight readings")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds counts from 1")
    seeds, count = (2, 8) if options.quick else (options.seeds, 20)

    value_and_grad = bpkit.jit(bpkit.value_and_grad(misfit))
    minimizer = optim.lbfgs(line_search_fn="strong_wolfe", max_iter=100)
    clean = readings(TRUTH, count)
    check_gradient(value_and_grad, np.zeros_like(TRUTH), clean)
    all_found, all_widths = [], []
    for seed in range(seeds):
        measured = clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)
        log_k = np.zeros_like(TRUTH)

        def objective(log_k, measured=measured):
            return value_and_grad(log_k, measured)

        log_k, state = minimizer.update(objective, minimizer.init(log_k), log_k)
        all_found.append(log_k)
        all_widths.append(uncertainty(log_k, measured))
        error = np.sqrt(np.mean((log_k - TRUTH) ** 2))
        print(f"seed {seed}: log k is off by {error:.3f} (rms) after {int(state.evaluations)} gradients")
    found, widths = np.asarray(all_found), np.asarray(all_widths)

    headings = ["place", "true k", "found, mean", "spread over seeds", "posterior width"]
    columns = [WALLS, np.exp(TRUTH), np.exp(found).mean(axis=0), np.exp(found).std(axis=0, ddof=1)]
    columns.append((np.exp(found) * widths).mean(axis=0))
    rows = [("", [f"{value:.3f}" for value in row]) for row in zip(*columns, strict=True)]
    write_table(sys.stdout, "Conductivity along the rod", headings, rows, right=headings)
    inside = np.mean(np.abs(found - TRUTH) < 2 * widths)
    print(
        f"The truth is within two posterior widths in {100 * inside:.0f} % of all cases; 95 % are expected."
    )
    if options.plot:
        draw(options.plot, found, widths)


if __name__ == "__main__":
    main()
