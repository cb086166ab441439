"""What a call costs through `bpkit.interop.torch` and `bpkit.interop.jax`, beside the libraries themselves.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.bridges

A gradient of ``sum(tanh(x)**2)`` for 64 numbers of float32, and a step of a network 784-30-10 on 32
examples, in microseconds: the fastest and the median of many rounds in which all are called in turn. That
the gradients are the same is looked at first.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import bpkit
from bpkit import nn, random, xp
from bpkit.interop.jax import from_jax, to_jax
from bpkit.interop.torch import from_torch, to_torch, to_torch_module
from bpkit.terminal import write_table

ROUNDS, CALLS = 200, 10


def gradients() -> dict[str, Callable[[], Any]]:
    """Every way to the same gradient."""
    x = np.linspace(-1, 1, 64, dtype="float32")
    tensor, leaf, array = torch.tensor(x), torch.tensor(x, requires_grad=True), jnp.asarray(x)

    def in_torch(x: Any) -> Any:
        return torch.sum(torch.tanh(x) ** 2)

    def in_jax(x: Any) -> Any:
        return jnp.sum(jnp.tanh(x) ** 2)

    def in_bpkit(x: Any) -> Any:
        return xp.sum(xp.tanh(x) ** 2)

    wrapped = to_torch(in_bpkit)
    of_torch, of_jax = bpkit.grad(from_torch(in_torch)), bpkit.grad(from_jax(jax.jit(in_jax)))
    traced = jax.jit(jax.grad(to_jax(in_bpkit)))
    called_back = jax.jit(jax.grad(to_jax(in_bpkit, backend="numpy")))
    plain = jax.jit(jax.grad(in_jax))
    return {
        "PyTorch": lambda: torch.autograd.grad(in_torch(leaf), leaf)[0],
        "bpkit.grad, tensors": lambda: bpkit.grad(in_bpkit)(tensor),
        "to_torch": lambda: torch.autograd.grad(wrapped(leaf), leaf)[0],
        "bpkit.grad of from_torch, NumPy": lambda: of_torch(x),
        "JAX, jit": lambda: plain(array).block_until_ready(),
        "to_jax, jit": lambda: traced(array).block_until_ready(),
        "to_jax with NumPy, jit": lambda: called_back(array).block_until_ready(),
        "bpkit.grad of from_jax, NumPy": lambda: of_jax(x),
    }


def steps() -> dict[str, Callable[[], Any]]:
    """A step of SGD on the same network."""
    first, second = random.split(random.key(0))
    with bpkit.use_backend("torch"):
        model = nn.Sequential(nn.Dense(784, 30, key=first), nn.tanh, nn.Dense(30, 10, key=second))
        model = bpkit.tree.map(lambda p: xp.astype(p, "float32"), model)
    module = to_torch_module(model)
    layers = torch.nn.Sequential(torch.nn.Linear(784, 30), torch.nn.Tanh(), torch.nn.Linear(30, 10))
    x, y = torch.ones(32, 784), torch.zeros(32, dtype=torch.int64)

    def step(model: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    own = torch.optim.SGD(layers.parameters(), lr=1e-4), torch.optim.SGD(module.parameters(), lr=1e-4)
    return {
        "PyTorch, a step": lambda: step(layers, own[0]),
        "to_torch_module, a step": lambda: step(module, own[1]),
    }


def main() -> None:
    """Measure, and print a table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    ways = gradients()
    known = np.asarray(ways["JAX, jit"]())
    for name, way in ways.items():
        np.testing.assert_allclose(np.asarray(way()), known, rtol=1e-5, atol=1e-6, err_msg=name)
    ways |= steps()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                way()
            taken[name].append((time.perf_counter() - start) / CALLS * 1e6)
    headings = ["way", "µs, fastest", "median"]
    rows = [
        ("", [name, f"{min(all_):.0f}", f"{statistics.median(all_):.0f}"]) for name, all_ in taken.items()
    ]
    write_table(sys.stdout, "A call through the bridges", headings, rows, headings[1:])


if __name__ == "__main__":
    main()
