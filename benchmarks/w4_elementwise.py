"""W4: the gradient of mean(tanh(x) * sigmoid(x) + log1p(exp(x)) * sin(x)), for 1e3, 1e5 and 1e7 numbers.

There is no matrix product in it: libraries differ by how they go over memory, how many threads they use, and
what their exponential function costs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Peer, Program, Workload

BLOCK = 8192
"""Numbers in a block: its arrays stay in the second-level cache."""


def numbers(case: dict[str, Any]) -> np.ndarray:
    """Standard normal, float32."""
    return np.random.default_rng(4).standard_normal(case["count"], np.float32)


def gradient(x: Any) -> Any:
    """The derivative as one writes it."""
    e = np.exp(x)
    s, t = e / (1.0 + e), np.tanh(x)
    return ((1.0 - t * t) * s + t * s * (1.0 - s) + s * np.sin(x) + np.log1p(e) * np.cos(x)) / x.size


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradient in float64."""
    return {"x": gradient(numbers(case).astype(float))}


def plain(case: dict[str, Any]) -> Program:
    """NumPy as one writes it."""
    x = numbers(case)
    return Program(lambda: gradient(x), {"x": gradient(x)})


def straight_block(x: np.ndarray, out: np.ndarray, count: int, scratch: np.ndarray) -> Callable[[], None]:
    """The derivative of a block without a new array."""
    e, s, t, u = scratch[:, : x.size]
    one, share = np.array(1, np.float32), np.array(1 / count, np.float32)
    add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide
    exp, tanh, sin, cos, log1p = np.exp, np.tanh, np.sin, np.cos, np.log1p

    def run() -> None:
        exp(x, e)
        add(e, one, s)
        divide(e, s, s)
        tanh(x, t)
        # s * (1 - t * t + t * (1 - s) + sin) = s * (1 + t * (1 - s - t) + sin)
        subtract(one, s, u)
        subtract(u, t, u)
        multiply(u, t, u)
        add(u, one, u)
        sin(x, t)
        add(u, t, u)
        multiply(u, s, u)
        log1p(e, e)
        cos(x, t)
        multiply(e, t, e)
        add(u, e, u)
        multiply(u, share, out)

    return run


def straight(case: dict[str, Any]) -> Program:
    """Written out for speed: block by block in cache, over a thread for each core where there is enough."""
    x = numbers(case)
    out = np.empty_like(x)
    threads = case["threads"] if x.size >= 4 * BLOCK else 1
    shares: list[list[Callable[[], None]]] = []
    for thread in range(threads):
        scratch = np.empty((4, min(BLOCK, x.size)), np.float32)
        starts = range(thread * BLOCK, x.size, threads * BLOCK)
        parts = [slice(i, i + BLOCK) for i in starts]
        shares.append([straight_block(x[part], out[part], x.size, scratch) for part in parts])

    def of_one(share: list[Callable[[], None]]) -> None:
        for block in share:
            block()

    if threads == 1:
        run = partial(of_one, shares[0])
    else:
        pool = ThreadPoolExecutor(threads - 1)

        def run() -> None:
            others = [pool.submit(of_one, share) for share in shares[1:]]
            of_one(shares[0])
            for other in others:
                other.result()

    run()
    return Program(run, {"x": out})


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit."""
    import bpkit
    from bpkit import registry, xp

    def f(x: Any) -> Any:
        return xp.mean(xp.tanh(x) * xp.expit(x) + xp.log1p(xp.exp(x)) * xp.sin(x))

    backend, device = registry.current()
    x = backend.from_host(numbers(case), device)
    found = bpkit.jit(bpkit.grad(f)) if jit else bpkit.grad(f)
    found(x)  # what is compiled in the first call is compared in the second
    return Program(lambda: found(x), {"x": backend.to_host(found(x))})


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    import jax
    import jax.numpy as jnp

    def f(x: Any) -> Any:
        return jnp.mean(jnp.tanh(x) * jax.nn.sigmoid(x) + jnp.log1p(jnp.exp(x)) * jnp.sin(x))

    x, found = jnp.array(numbers(case)), jax.jit(jax.grad(f))
    last = [found(x)]

    def run() -> None:
        last[0] = found(x)

    return Program(run, {"x": np.asarray(last[0])}, lambda: jax.block_until_ready(last[0]))


def by_torch(compiled: bool) -> Callable[[dict[str, Any]], Program]:
    """PyTorch."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        def f(x: Any) -> Any:
            return (torch.tanh(x) * torch.sigmoid(x) + torch.log1p(torch.exp(x)) * torch.sin(x)).mean()

        device = case["torch_device"]
        x = torch.from_numpy(numbers(case)).to(device).requires_grad_()
        function = torch.compile(f) if compiled else f

        def run() -> Any:
            return torch.autograd.grad(function(x), x)[0]

        run()
        wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
        return Program(run, {"x": run().cpu().numpy()}, wait)

    return make


def by_autograd(case: dict[str, Any]) -> Program:
    """HIPS/autograd."""
    import autograd
    import autograd.numpy as anp

    def f(x: Any) -> Any:
        return anp.mean(anp.tanh(x) * (1.0 / (1.0 + anp.exp(-x))) + anp.log1p(anp.exp(x)) * anp.sin(x))

    x, found = numbers(case), autograd.grad(f)
    return Program(lambda: found(x), {"x": found(x)})


def by_mygrad(case: dict[str, Any]) -> Program:
    """MyGrad."""
    import mygrad
    from mygrad.nnet.activations import sigmoid

    mygrad.turn_memory_guarding_off()
    values = numbers(case)

    def run() -> Any:
        x = mygrad.tensor(values, copy=False)
        y = mygrad.tanh(x) * sigmoid(x) + mygrad.log1p(mygrad.exp(x)) * mygrad.sin(x)
        mygrad.mean(y).backward()
        return x.grad

    return Program(run, {"x": run()})


def goals(case: str) -> list[tuple[str, str, float]]:
    """What is wanted for a number of numbers."""
    of_jax = {"1e3": 1.15, "1e5": 0.75, "1e7": 0.5}[case]
    of_torch = [("bpkit, jit", "PyTorch, torch.compile", 0.7)] if case == "1e7" else []
    return [("bpkit, jit", "jax.jit", of_jax), *of_torch]


SIZES = ("1e3", "1e5", "1e7")
WORKLOAD = Workload(
    title="gradient of mean(tanh(x) sigmoid(x) + log1p(exp(x)) sin(x)), float32",
    cases={size: {"count": int(float(size))} for size in SIZES},
    quick={"50": {"count": 50}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("straight-line NumPy, blocks", "numpy", straight),
        Peer("plain NumPy", "numpy", plain),
        Peer("jax.jit", "jax", by_jax),
        Peer("PyTorch, torch.compile", "torch", by_torch(True)),
        Peer("PyTorch, eager", "torch", by_torch(False)),
        Peer("MyGrad", "mygrad", by_mygrad),
        Peer("HIPS/autograd", "autograd", by_autograd),
    ],
    goals={size: goals(size) for size in SIZES},
)
