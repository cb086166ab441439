"""Forward and backward through a chain of 1,000 scalar operations, function by function, in one run.

    python benchmarks/eager_chain.py
    python benchmarks/eager_chain.py --size 100        # the same chain on vectors

On one number the arithmetic costs next to nothing: what is timed is the engine itself. Beside bpkit on NumPy:

- HIPS/autograd and PyTorch, eager, where they are installed (``pip install autograd torch``);
- a tape of 40 lines in this file, which works out derivatives on the way forward and can do nothing else;
- the same forward and backward pass written out by hand.

The last two are there twice: with NumPy's functions (``np.multiply(x, y)``), and with the operators of
NumPy's scalars (``x * y``), which take a tenth of the time.

All gradients are compared first. Then the programs take turns, and a turn runs each several times. The
fastest run of each counts: what else the machine does can only make a run slower. Medians are shown beside.
At the end stands what `grad` and `value_and_grad` themselves cost, by the function that returns its argument.
"""

import argparse
import importlib.util
import json
import operator
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

import bpkit
from bpkit import xp
from bpkit.terminal import write_table

STEP = 8
"""Operations in a step of the chain."""
FUNCTIONS = np
OPERATORS = SimpleNamespace(
    **{name: getattr(np, name) for name in ("sin", "cos", "exp", "tanh")},
    add=operator.add,
    subtract=operator.sub,
    multiply=operator.mul,
    divide=operator.truediv,
    negative=operator.neg,
)


def chain(x: Any, lib: Any, steps: int) -> Any:
    """8 operations a step, of every kind; x stays between -3 and 3."""
    for _ in range(steps):
        u = lib.sin(x)
        v = lib.exp(u)
        w = u * v
        t = lib.tanh(w)
        d = t / v
        h = 1.7 * x
        s = d - h
        x = s + 0.5
    return x


def by_hand(x: Any, steps: int, f: Any) -> Any:
    """The gradient of the chain, written out; `f` has the arithmetic."""
    saved = []
    for _ in range(steps):
        u = f.sin(x)
        v = f.exp(u)
        t = f.tanh(f.multiply(u, v))
        d = f.divide(t, v)
        saved.append((x, u, v, t, d))
        x = f.add(f.subtract(d, f.multiply(1.7, x)), 0.5)
    g = np.ones_like(x)[()]
    for x, u, v, t, d in reversed(saved):
        by_t = f.divide(g, v)
        by_w = f.multiply(by_t, f.subtract(1.0, f.multiply(t, t)))
        by_v = f.subtract(f.multiply(by_w, u), f.multiply(by_t, d))
        by_u = f.add(f.multiply(by_w, v), f.multiply(by_v, v))
        g = f.subtract(f.multiply(by_u, f.cos(x)), f.multiply(1.7, g))
    return g


class Variable:
    """A value on the tape, which has (place of a parent, derivative by it) of every value."""

    __slots__ = ("f", "place", "tape", "value")

    def __init__(self, value: Any, tape: list[Any], f: Any, *parents: Any) -> None:
        self.value, self.tape, self.f, self.place = value, tape, f, len(tape)
        tape.append(parents)

    def made(self, value: Any, *parents: Any) -> "Variable":
        """The next value on the same tape."""
        return Variable(value, self.tape, self.f, *parents)

    def __add__(self, c: float) -> "Variable":
        return self.made(self.f.add(self.value, c), (self.place, 1.0))

    def __sub__(self, y: "Variable") -> "Variable":
        return self.made(self.f.subtract(self.value, y.value), (self.place, 1.0), (y.place, -1.0))

    def __mul__(self, y: "Variable") -> "Variable":
        return self.made(self.f.multiply(self.value, y.value), (self.place, y.value), (y.place, self.value))

    def __rmul__(self, c: float) -> "Variable":
        return self.made(self.f.multiply(c, self.value), (self.place, c))

    def __truediv__(self, y: "Variable") -> "Variable":
        out = self.f.divide(self.value, y.value)
        one, other = self.f.divide(1.0, y.value), self.f.divide(self.f.negative(out), y.value)
        return self.made(out, (self.place, one), (y.place, other))

    def sin(self) -> "Variable":
        """The sine."""
        return self.made(self.f.sin(self.value), (self.place, self.f.cos(self.value)))

    def exp(self) -> "Variable":
        """The exponential function."""
        out = self.f.exp(self.value)
        return self.made(out, (self.place, out))

    def tanh(self) -> "Variable":
        """The hyperbolic tangent."""
        out = self.f.tanh(self.value)
        return self.made(out, (self.place, self.f.subtract(1.0, self.f.multiply(out, out))))


def by_tape(x: Any, steps: int, f: Any) -> Any:
    """The gradient of the chain, by the tape."""
    tape: list[Any] = []
    y = chain(Variable(x, tape, f), Variable, steps)
    cotangents: list[Any] = [0.0] * y.place + [np.ones_like(y.value)[()]]
    for place in range(y.place, 0, -1):
        g = cotangents[place]
        for parent, derivative in tape[place]:
            cotangents[parent] = f.add(cotangents[parent], f.multiply(g, derivative))
    return cotangents[0]


def programs(x: np.ndarray, steps: int) -> dict[str, Callable[[], Any]]:
    """Ways to the gradient of the sum of the chain's values, by name; bpkit's is the first."""
    value = x[()]  # a NumPy scalar where there are no axes
    found: dict[str, Callable[[], Any]] = {}
    gradient = bpkit.grad(lambda x: chain(x, xp, steps) if x.shape == () else xp.sum(chain(x, xp, steps)))
    found["bpkit, NumPy"] = lambda: gradient(x)
    if importlib.util.find_spec("autograd"):
        import autograd
        import autograd.numpy as anp

        theirs = autograd.grad(lambda x: anp.sum(chain(x, anp, steps)) if x.shape else chain(x, anp, steps))
        found["HIPS/autograd"] = lambda: theirs(x)
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)

        def by_torch() -> Any:
            leaf = torch.from_numpy(x).requires_grad_()
            out = chain(leaf, torch, steps)
            (out if out.ndim == 0 else out.sum()).backward()
            return leaf.grad.numpy()

        found["PyTorch, eager"] = by_torch
    for name, f in {"NumPy's functions": FUNCTIONS, "operators": OPERATORS}.items():
        found[f"tape, {name}"] = lambda f=f: by_tape(value, steps, f)
        found[f"by hand, {name}"] = lambda f=f: by_hand(value, steps, f)
    return found


def seconds(program: Callable[[], Any], runs: int) -> float:
    """Seconds a run."""
    started = time.perf_counter()
    for _ in range(runs):
        program()
    return (time.perf_counter() - started) / runs


def main() -> None:
    """Measure and print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=1000, help="length of the chain (default: 1000)")
    parser.add_argument("--size", type=int, default=0, help="elements of each value (default: 0, one number)")
    parser.add_argument("--turns", type=int, default=40, help="turns of each program (default: 40)")
    parser.add_argument("--runs", type=int, default=3, help="runs in a turn (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    steps = max(1, options.operations // STEP)
    x = np.linspace(0.3, 0.7, options.size) if options.size else np.asarray(0.5)
    ways = programs(x, steps)
    expected = np.asarray(ways["by hand, operators"]())
    for name, program in ways.items():
        difference = np.max(np.abs(np.asarray(program()) - expected) / np.max(np.abs(expected)))
        if not difference < 1e-9:
            sys.exit(f"{name}: its gradient differs by {difference:.1e} from the one written by hand")

    def itself(x: Any) -> Any:
        return x

    number = np.asarray(0.5)
    gradient, both = bpkit.grad(itself), bpkit.value_and_grad(itself)
    empty = {"grad": lambda: gradient(number), "value_and_grad": lambda: both(number)}

    taken: dict[str, list[float]] = {name: [] for name in [*ways, *empty]}
    for _ in tqdm(range(options.turns), "turns", leave=False, disable=options.json or None):
        for name, program in ways.items():
            taken[name] += [seconds(program, 1) / (steps * STEP) for _ in range(options.runs)]
        for name, program in empty.items():
            taken[name] += [seconds(program, 100) for _ in range(options.runs)]

    fastest = {name: 1e6 * min(times) for name, times in taken.items()}
    median = {name: 1e6 * statistics.median(times) for name, times in taken.items()}
    own = next(iter(ways))
    rows = {
        name: {
            "microseconds_per_operation": fastest[name],
            "median": median[name],
            "bpkit_takes_times": fastest[own] / fastest[name],
        }
        for name in ways
    }
    calls = {name: {"microseconds_per_call": fastest[name], "median": median[name]} for name in empty}
    if options.json:
        print(json.dumps({"operations": rows, "empty_function": calls}))
        return
    values = f"vectors of {options.size}" if options.size else "one number"
    title = f"Forward and backward, {steps * STEP} operations on {values}, float64"
    headings = ("", "µs an operation", "median", "bpkit takes … × of it")
    shown = ("microseconds_per_operation", "median", "bpkit_takes_times")
    table = [("", [name, *[f"{row[key]:.2f}" for key in shown]]) for name, row in rows.items()]
    write_table(sys.stdout, title, headings, table, headings[1:])
    headings = ("of a function that returns its argument", "µs a call", "median")
    table = [
        ("", [name, *[f"{call[key]:.1f}" for key in ("microseconds_per_call", "median")]])
        for name, call in calls.items()
    ]
    write_table(sys.stdout, "An empty function", headings, table, headings[1:])


if __name__ == "__main__":
    main()
