"""W1: a training step of Nielsen's first network.

784-30-10, sigmoid, quadratic cost, mini-batches of 10, learning rate 3.0 (M. Nielsen, *Neural Networks and
Deep Learning*, 2015, chapters 1 and 2). The book's own loop, written anew from its equations, takes the
images one at a time and in float64; all others take the mini-batch as a matrix and in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import training
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import Problem

RATE = 3.0


def problem(case: dict[str, Any]) -> Problem:
    """Weights as the book draws them, and a mini-batch of grey values."""
    rng = np.random.default_rng(1)
    inputs, hidden, outputs, batch = (case[key] for key in ("inputs", "hidden", "outputs", "batch"))
    params = {
        "w0": rng.standard_normal((inputs, hidden)),
        "b0": rng.standard_normal(hidden),
        "w1": rng.standard_normal((hidden, outputs)),
        "b1": rng.standard_normal(outputs),
    }
    # Most pixels of a digit are black.
    x = rng.random((batch, inputs)) * (rng.random((batch, inputs)) < 0.2)
    y = np.eye(outputs)[rng.integers(0, outputs, batch)]
    as_float32 = {key: x.astype(np.float32) for key, x in params.items()}
    return Problem(as_float32, (x.astype(np.float32), y.astype(np.float32)), RATE)


def sigmoid(z: Any) -> Any:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-z))


def gradients(params: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    """Equations BP1 to BP4 for a mini-batch."""
    a0 = sigmoid(x @ params["w0"] + params["b0"])
    a1 = sigmoid(a0 @ params["w1"] + params["b1"])
    delta1 = (a1 - y) * a1 * (1.0 - a1) / len(x)
    delta0 = (delta1 @ params["w1"].T) * a0 * (1.0 - a0)
    return {"w0": x.T @ delta0, "b0": delta0.sum(0), "w1": a0.T @ delta1, "b1": delta1.sum(0)}


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradients in float64."""
    params, data, *_ = problem(case)
    return gradients({k: x.astype(float) for k, x in params.items()}, *[x.astype(float) for x in data])


def plain(case: dict[str, Any]) -> Program:
    """NumPy as one writes it from the equations."""
    given = problem(case)
    params = dict(given.params)

    def run() -> None:
        for key, g in gradients(params, *given.data).items():
            params[key] = params[key] - np.float32(RATE) * g

    run()
    return Program(run, given.gradients(params))


def straight(case: dict[str, Any]) -> Program:
    """The same written out for speed."""
    given = problem(case)
    run, after = straight_step(given)
    run()
    return Program(run, given.gradients(after))


def straight_step(given: Problem) -> tuple[Callable[[], None], dict[str, np.ndarray]]:
    """A step in which no array is made, and no number is computed twice; and the weights that it changes."""
    params = {key: x.copy() for key, x in given.params.items()}
    b0, b1 = params["b0"], params["b1"]
    # A row for each neuron, as in the book: the first product takes half the time of the other order.
    v0, v1 = params["w0"].T.copy(), params["w1"].T.copy()
    x, y = given.data
    batch, v0t, v1t = len(x), v0.T, v1.T
    a0, s0, delta0 = (np.empty((batch, len(b0)), np.float32) for _ in range(3))
    a1, s1, delta1 = (np.empty((batch, len(b1)), np.float32) for _ in range(3))
    gv0, gb0, gv1, gb1 = (np.empty_like(p) for p in (v0, b0, v1, b1))
    # Numbers without axes are arrays: NumPy takes longer to make something of a Python float.
    one, scale = np.array(1, np.float32), np.array(RATE / batch, np.float32)
    ones = np.ones(batch, np.float32)  # a product with it adds up columns faster than sum does
    delta0t, delta1t = delta0.T, delta1.T
    dot, add, subtract, multiply = np.dot, np.add, np.subtract, np.multiply
    negative, exp, reciprocal = np.negative, np.exp, np.reciprocal

    def run() -> None:
        dot(x, v0t, a0)
        add(a0, b0, a0)
        negative(a0, a0)
        exp(a0, a0)
        add(a0, one, a0)
        reciprocal(a0, a0)
        dot(a0, v1t, a1)
        add(a1, b1, a1)
        negative(a1, a1)
        exp(a1, a1)
        add(a1, one, a1)
        reciprocal(a1, a1)
        subtract(a1, y, delta1)
        multiply(delta1, scale, delta1)  # here, where it is small, and not on the gradients
        multiply(delta1, a1, delta1)
        subtract(one, a1, s1)
        multiply(delta1, s1, delta1)
        dot(delta1, v1, delta0)
        multiply(delta0, a0, delta0)
        subtract(one, a0, s0)
        multiply(delta0, s0, delta0)
        dot(delta1t, a0, gv1)
        subtract(v1, gv1, v1)
        dot(ones, delta1, gb1)
        subtract(b1, gb1, b1)
        dot(delta0t, x, gv0)
        subtract(v0, gv0, v0)
        dot(ones, delta0, gb0)
        subtract(b0, gb0, b0)

    return run, {"w0": v0t, "b0": b0, "w1": v1t, "b1": b1}


def products(case: dict[str, Any]) -> Program:
    """The five matrix products of a step alone."""
    given = problem(case)
    v0, v1 = given.params["w0"].T.copy(), given.params["w1"].T.copy()
    x, _ = given.data
    a0, a1 = np.ones((len(x), len(v0)), np.float32), np.ones((len(x), len(v1)), np.float32)
    delta0, gv0, gv1 = np.empty_like(a0), np.empty_like(v0), np.empty_like(v1)
    v0t, v1t, delta0t, a1t = v0.T, v1.T, delta0.T, a1.T

    def run() -> None:
        np.dot(x, v0t, a0)
        np.dot(a0, v1t, a1)
        np.dot(a1, v1, delta0)
        np.dot(a1t, a0, gv1)
        np.dot(delta0t, x, gv0)

    return Program(run, None, note="a part of the work")


def book(case: dict[str, Any]) -> Program:
    """The book's loop on one mini-batch."""
    given = problem(case)
    step, after = book_step(given.params)
    columns = [x.astype(float)[..., None] for x in given.data]
    examples = list(zip(*columns, strict=True))
    step(examples)
    return Program(lambda: step(examples), given.gradients(after()))


def book_step(params: dict[str, Any]) -> tuple[Callable[[Any], None], Callable[[], dict[str, np.ndarray]]]:
    """A step of the book's loop, backpropagation image by image, gradients added up; and the weights."""
    weights = [params[key].astype(float).T.copy() for key in ("w0", "w1")]
    biases = [params[key].astype(float)[:, None] for key in ("b0", "b1")]

    def backprop(x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        zs, activations = [], [x]
        for w, b in zip(weights, biases, strict=True):
            zs.append(np.dot(w, activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        delta = (activations[-1] - y) * sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))
        by_bias, by_weight = [delta], [np.dot(delta, activations[-2].T)]
        delta = np.dot(weights[-1].T, delta) * sigmoid(zs[-2]) * (1 - sigmoid(zs[-2]))
        return [delta, *by_bias], [np.dot(delta, activations[-3].T), *by_weight]

    def step(examples: list[Any]) -> None:
        sum_b, sum_w = [np.zeros(b.shape) for b in biases], [np.zeros(w.shape) for w in weights]
        for x, y in examples:
            by_bias, by_weight = backprop(x, y)
            sum_b = [total + part for total, part in zip(sum_b, by_bias, strict=True)]
            sum_w = [total + part for total, part in zip(sum_w, by_weight, strict=True)]
        rate = RATE / len(examples)
        weights[:] = [w - rate * g for w, g in zip(weights, sum_w, strict=True)]
        biases[:] = [b - rate * g for b, g in zip(biases, sum_b, strict=True)]

    def after() -> dict[str, np.ndarray]:
        return {"w0": weights[0].T, "b0": biases[0][:, 0], "w1": weights[1].T, "b1": biases[1][:, 0]}

    return step, after


def cost(sigmoid: Any) -> Any:
    """The quadratic cost of the network, for a library whose arrays have operators."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        a = sigmoid(x @ params["w0"] + params["b0"])
        a = sigmoid(a @ params["w1"] + params["b1"])
        return ((a - y) ** 2).sum() * (0.5 / len(x))

    return loss


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit; the weights lie as in :class:`bpkit.nn.Dense`, a row for each neuron."""
    from bpkit import losses, nn, xp

    def loss(params: Any, x: Any, y: Any) -> Any:
        a = nn.sigmoid(x @ xp.matrix_transpose(params["w0"]) + params["b0"])
        return losses.quadratic(nn.sigmoid(a @ xp.matrix_transpose(params["w1"]) + params["b1"]), y)

    given = problem(case)
    rows = given._replace(params={key: x.T.copy() for key, x in given.params.items()})
    program = training.bpkit_step(rows, loss, jit)
    return program._replace(result={key: g.T for key, g in program.result.items()})


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    import jax

    return training.jax_step(problem(case), cost(jax.nn.sigmoid))


def by_autograd(case: dict[str, Any]) -> Program:
    """HIPS/autograd."""
    import autograd.numpy as anp

    return training.autograd_step(problem(case), cost(lambda z: 1.0 / (1.0 + anp.exp(-z))))


def by_mygrad(case: dict[str, Any]) -> Program:
    """MyGrad."""
    from mygrad.nnet.activations import sigmoid

    return training.mygrad_step(problem(case), cost(sigmoid))


def by_torch(kind: str) -> Any:
    """PyTorch."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        def loss(params: Any, x: Any, y: Any) -> Any:
            a = torch.sigmoid(torch.addmm(params["b0"], x, params["w0"]))
            a = torch.sigmoid(torch.addmm(params["b1"], a, params["w1"]))
            return torch.nn.functional.mse_loss(a, y, reduction="sum") * (0.5 / len(x))

        return training.torch_step(problem(case), loss, case["torch_device"], kind)

    return make


NIELSEN = {"inputs": 784, "hidden": 30, "outputs": 10, "batch": 10}
WORKLOAD = Workload(
    title="a training step of Nielsen's network: 784-30-10, sigmoid, mini-batch 10, SGD",
    cases={"step": NIELSEN},
    quick={"step": {**NIELSEN, "inputs": 20}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("straight-line NumPy", "numpy", straight),
        Peer("plain NumPy", "numpy", plain),
        Peer("matrix products alone", "numpy", products),
        Peer("jax.jit", "jax", by_jax),
        Peer("PyTorch, torch.compile", "torch", by_torch("compile")),
        Peer("PyTorch, fused optimiser", "torch", by_torch("fused")),
        Peer("PyTorch, eager", "torch", by_torch("eager")),
        Peer("MyGrad", "mygrad", by_mygrad),
        Peer("HIPS/autograd", "autograd", by_autograd),
        Peer("the book's loop", "numpy", book),
    ],
    goals={
        "step": [
            ("bpkit, jit", "straight-line NumPy", 1.15),
            ("bpkit, jit", "jax.jit", 0.7),
            ("bpkit, jit", "PyTorch, torch.compile", 0.4),
            ("bpkit, jit", "PyTorch, eager", 0.17),
            ("bpkit, jit", "HIPS/autograd", 0.1),
            ("bpkit on jax, jit", "jax.jit", 1.05),
        ]
    },
)
