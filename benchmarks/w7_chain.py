"""W7: forward and backward through a chain of scalar operations: what is timed is the engine itself.

On one number the arithmetic costs next to nothing. Beside the libraries stand a tape of 40 lines, which works
out derivatives on the way forward and can do nothing else, and the same forward and backward pass written
out by hand. These two are there twice: with NumPy's functions (``np.multiply(x, y)``), and with the operators
of NumPy's scalars (``x * y``), which take a tenth of the time. The chain of no operations shows what calling
a gradient costs, and the one of vectors how much of it is the engine's.
"""

import operator
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.harness import Peer, Program, Workload

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


def start(case: dict[str, Any]) -> np.ndarray:
    """One number, or a vector."""
    return np.linspace(0.3, 0.7, case["size"]) if case["size"] else np.asarray(0.5)


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradient written by hand."""
    return {"x": np.asarray(by_hand(start(case)[()], case["operations"] // STEP, OPERATORS))}


def total(case: dict[str, Any], lib: Any, add_up: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The chain's end, or the sum of its numbers."""
    steps = case["operations"] // STEP
    if case["size"]:
        return lambda x: add_up(chain(x, lib, steps))
    return lambda x: chain(x, lib, steps)


def written(gradient: Callable[..., Any], f: Any) -> Callable[[dict[str, Any]], Program]:
    """A program of this file."""

    def make(case: dict[str, Any]) -> Program:
        x, steps = start(case)[()], case["operations"] // STEP
        return Program(lambda: gradient(x, steps, f), {"x": np.asarray(gradient(x, steps, f))})

    return make


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit."""
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)
    import bpkit
    from bpkit import registry, xp

    backend, device = registry.current()
    x = backend.from_host(start(case), device)
    found = bpkit.grad(total(case, xp, xp.sum))
    found = bpkit.jit(found) if jit else found
    found(x)  # what is compiled in the first call is compared in the second
    return Program(lambda: found(x), {"x": np.asarray(backend.to_host(found(x)))})


def by_autograd(case: dict[str, Any]) -> Program:
    """HIPS/autograd."""
    import autograd
    import autograd.numpy as anp

    x, found = start(case), autograd.grad(total(case, anp, anp.sum))
    return Program(lambda: found(x), {"x": np.asarray(found(x))})


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, found = jnp.array(start(case)), jax.jit(jax.grad(total(case, jnp, jnp.sum)))
    last = [found(x)]

    def run() -> None:
        last[0] = found(x)

    return Program(run, {"x": np.asarray(last[0])}, lambda: jax.block_until_ready(last[0]))


def by_torch(case: dict[str, Any]) -> Program:
    """PyTorch."""
    import torch

    x, function = torch.from_numpy(start(case)).requires_grad_(), total(case, torch, torch.sum)

    def run() -> Any:
        out = function(x)
        return torch.autograd.grad(out, x)[0]

    return Program(run, {"x": run().numpy()})


CHAIN = {"operations": 1000, "size": 0}
WORKLOAD = Workload(
    title="forward and backward through a chain of 1,000 operations, float64",
    cases={
        "scalar": CHAIN,
        "vectors of 100": {**CHAIN, "size": 100},
        "no operation": {**CHAIN, "operations": 0},
    },
    quick={"scalar": {**CHAIN, "operations": 24}, "vectors of 5": {"operations": 16, "size": 5}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("by hand, operators", "numpy", written(by_hand, OPERATORS)),
        Peer("by hand, NumPy's functions", "numpy", written(by_hand, FUNCTIONS)),
        Peer("tape, operators", "numpy", written(by_tape, OPERATORS)),
        Peer("tape, NumPy's functions", "numpy", written(by_tape, FUNCTIONS)),
        # XLA makes one kernel of all operations on vectors, and had not made it after eight minutes.
        Peer("jax.jit", "jax", by_jax, cases=("scalar", "no operation")),
        Peer("PyTorch, eager", "torch", by_torch),
        Peer("HIPS/autograd", "autograd", by_autograd),
    ],
    goals={
        "scalar": [
            ("bpkit, jit, no Numba", "by hand, operators", 1.3),
            ("bpkit, jit", "jax.jit", 2.0),
        ]
    },
    rtol=1e-9,
)
