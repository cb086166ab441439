"""W8: what a gradient costs: `value_and_grad` over the loss alone, on the networks of W2 and W3.

Backpropagation takes a small multiple of a forward pass however many weights there are; central differences
take two forward passes for each. Those are taken of some weights here, and the time is scaled to all.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import dense, w2_adam, w3_products
from benchmarks.harness import Peer, Program, Workload

PICKED = 4
"""Weights whose central difference is taken."""
STEP = 1e-5


def in_double(case: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Weights and mini-batch in float64."""
    params, data, *_ = dense.problem(case)
    return {key: x.astype(float) for key, x in params.items()}, [x.astype(float) for x in data]


def picked(w: np.ndarray) -> np.ndarray:
    """Some of the last layer's weights, which no rectifier is behind."""
    return w.ravel()[:: w.size // PICKED][:PICKED]


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Loss, gradients, and those that central differences find, in float64."""
    params, data = in_double(case)
    grads = dense.gradients(params, *data)
    return {**grads, "loss": dense.cost(params, *data), "picked": picked(grads["w2"])}


def both(found: Any) -> dict[str, np.ndarray]:
    """A loss, or a loss and gradients, by name."""
    loss, grads = found if isinstance(found, tuple) else (found, {})
    return {"loss": np.asarray(loss), **{key: np.asarray(g) for key, g in grads.items()}}


def own(gradient: bool) -> Callable[[dict[str, Any], bool], Program]:
    """Bpkit."""

    def make(case: dict[str, Any], jit: bool) -> Program:
        import bpkit
        from bpkit import registry, tree

        backend, device = registry.current()
        params, data, *_ = dense.problem(case)
        given = [{key: backend.from_host(x, device) for key, x in params.items()}]
        given += [backend.from_host(x, device) for x in data]
        function = dense.loss_for("bpkit")
        function = bpkit.value_and_grad(function) if gradient else function
        function = bpkit.jit(function) if jit else function
        function(*given)  # what is compiled in the first call is compared in the second
        return Program(lambda: function(*given), both(tree.map(backend.to_host, function(*given))))

    return make


def by_hand(case: dict[str, Any]) -> Program:
    """The forward and backward pass of W2 and W3's hand-written programs; they need no loss."""
    net = dense.straight(dense.problem(case))
    net.run()
    return Program(net.run, net.named_grads, note="gradients without the loss")


def in_plain(gradient: bool) -> Callable[[dict[str, Any]], Program]:
    """NumPy as one writes it, in float64."""

    def make(case: dict[str, Any]) -> Program:
        params, data = in_double(case)
        if not gradient:
            return Program(lambda: dense.cost(params, *data), both(dense.cost(params, *data)))
        count = sum(x.size for x in params.values())
        w = picked(params["w2"])

        def run() -> np.ndarray:
            slopes = np.empty(PICKED)
            for i, middle in enumerate(w.copy()):
                w[i] = middle + STEP
                above = dense.cost(params, *data)
                w[i] = middle - STEP
                slopes[i] = (above - dense.cost(params, *data)) / (2 * STEP)
                w[i] = middle
            return slopes

        note = f"{PICKED} of {count:,} weights, scaled"
        return Program(run, {"picked": run()}, factor=count / PICKED, note=note)

    return make


def by_jax(gradient: bool) -> Callable[[dict[str, Any]], Program]:
    """JAX."""

    def make(case: dict[str, Any]) -> Program:
        import jax

        params, data, *_ = dense.problem(case)
        given = jax.device_put((params, *data))
        function = dense.loss_for("jax")
        compiled = jax.jit(jax.value_and_grad(function) if gradient else function)
        last = [compiled(*given)]

        def run() -> None:
            last[0] = compiled(*given)

        return Program(run, both(last[0]), lambda: jax.block_until_ready(last[0]))

    return make


def by_torch(gradient: bool, compiled: bool) -> Callable[[dict[str, Any]], Program]:
    """PyTorch."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        device = case["torch_device"]
        params, data, *_ = dense.problem(case)
        tensors = {key: torch.from_numpy(x).to(device) for key, x in params.items()}
        arrays = [torch.from_numpy(x).to(device) for x in data]
        for x in tensors.values():
            x.requires_grad_(gradient)
        function = dense.loss_for("torch")
        function = torch.compile(function) if compiled else function

        def run() -> Any:
            loss = function(tensors, *arrays)
            if not gradient:
                return loss
            return (loss, *torch.autograd.grad(loss, list(tensors.values())))

        run()  # what is compiled in the first call is compared in the second
        loss, *grads = (x.detach().cpu() for x in (run() if gradient else [run()]))
        wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
        return Program(run, both((loss, dict(zip(tensors, grads, strict=bool(grads))))), wait)

    return make


def by_autograd(gradient: bool) -> Callable[[dict[str, Any]], Program]:
    """HIPS/autograd."""

    def make(case: dict[str, Any]) -> Program:
        import autograd

        params, data, *_ = dense.problem(case)
        function = dense.loss_for("autograd")
        function = autograd.value_and_grad(function) if gradient else function
        return Program(lambda: function(params, *data), both(function(params, *data)))

    return make


def pair(name: str, library: str, make: Callable[[bool], Any]) -> list[Peer]:
    """The two rows of a library."""
    return [
        Peer(f"{name}: loss", library, make(False)),
        Peer(f"{name}: value_and_grad", library, make(True)),
    ]


def cases(of: str) -> Mapping[str, dict[str, Any]]:
    """The networks of W2 and W3, in their quick or full size."""
    return {
        "W2's network": getattr(w2_adam.WORKLOAD, of)["step"],
        "W3's network": getattr(w3_products.WORKLOAD, of)["step"],
    }


LIMIT = [("bpkit, jit: value_and_grad", "bpkit, jit: loss", 2.8)]
WORKLOAD = Workload(
    title="loss and gradient beside the loss alone, and beside central differences",
    cases=cases("cases"),
    quick=cases("quick"),
    reference=reference,
    own={": value_and_grad": own(True), ": loss": own(False)},
    peers=[
        Peer("straight-line NumPy: gradient", "numpy", by_hand),
        Peer("NumPy, float64: loss", "numpy", in_plain(False)),
        Peer("NumPy, float64: central differences", "numpy", in_plain(True)),
        *pair("jax.jit", "jax", by_jax),
        *pair("PyTorch, torch.compile", "torch", lambda gradient: by_torch(gradient, True)),
        *pair("PyTorch, eager", "torch", lambda gradient: by_torch(gradient, False)),
        *pair("HIPS/autograd", "autograd", by_autograd),
    ],
    goals={"W2's network": LIMIT, "W3's network": LIMIT},
    rtol=w3_products.WORKLOAD.rtol,
)
