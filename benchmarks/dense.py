"""The network of W2, W3 and W8: three dense layers, ReLU, softmax cross-entropy; for each library."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.training import Problem


def problem(case: dict[str, Any]) -> Problem:
    """Weights drawn as for ReLU (He et al. 2015), and a mini-batch of random numbers."""
    rng = np.random.default_rng(2)
    sizes, batch = case["sizes"], case["batch"]
    params = {}
    for i, (n, m) in enumerate(pairwise(sizes)):
        params[f"w{i}"] = (rng.standard_normal((n, m), np.float32) * np.sqrt(2 / n)).astype(np.float32)
        params[f"b{i}"] = 0.1 * rng.standard_normal(m, np.float32)
    x = rng.standard_normal((batch, sizes[0]), np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], batch)]
    return Problem(params, (x, y), case["rate"], case["adam"])


def cost(params: dict[str, Any], x: Any, y: Any) -> Any:
    """The loss as one writes it."""
    a0 = np.maximum(x @ params["w0"] + params["b0"], 0)
    a1 = np.maximum(a0 @ params["w1"] + params["b1"], 0)
    z2 = a1 @ params["w2"] + params["b2"]
    z2 = z2 - z2.max(1, keepdims=True)
    return (np.log(np.exp(z2).sum(1)) - (y * z2).sum(1)).mean()


def gradients(params: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    """Backpropagation as one writes it from the equations."""
    a0 = np.maximum(x @ params["w0"] + params["b0"], 0)
    a1 = np.maximum(a0 @ params["w1"] + params["b1"], 0)
    z2 = a1 @ params["w2"] + params["b2"]
    e = np.exp(z2 - z2.max(1, keepdims=True))
    delta2 = (e / e.sum(1, keepdims=True) - y) / len(x)
    delta1 = (delta2 @ params["w2"].T) * (a1 > 0)
    delta0 = (delta1 @ params["w1"].T) * (a0 > 0)
    return {
        "w0": x.T @ delta0,
        "b0": delta0.sum(0),
        "w1": a0.T @ delta1,
        "b1": delta1.sum(0),
        "w2": a1.T @ delta2,
        "b2": delta2.sum(0),
    }


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradients in float64."""
    params, data, *_ = problem(case)
    return gradients({k: x.astype(float) for k, x in params.items()}, *[x.astype(float) for x in data])


class Straight(NamedTuple):
    """The network written out for speed.

    Attributes
    ----------
    params, grads : array
        All weights in one piece of memory, and their gradients in another.
    named, named_grads : dict of str to array
        Their parts.
    run : callable
        Computes the gradients.
    """

    params: np.ndarray
    grads: np.ndarray
    named: dict[str, np.ndarray]
    named_grads: dict[str, np.ndarray]
    run: Callable[[], None]


def straight(given: Problem, scale: float = 1.0) -> Straight:
    """Forward and backward pass without a new array; the gradients times `scale`."""
    flat = [np.empty(sum(p.size for p in given.params.values()), np.float32) for _ in range(2)]
    named: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    start = 0
    for key, p in given.params.items():
        for memory, parts in zip(flat, named, strict=True):
            parts[key] = memory[start : start + p.size].reshape(p.shape)
        named[0][key][...] = p
        start += p.size
    w0, b0, w1, b1, w2, b2 = named[0].values()
    gw0, gb0, gw1, gb1, gw2, gb2 = named[1].values()
    x, y = given.data
    batch = len(x)
    a0, delta0 = (np.empty((batch, len(b0)), np.float32) for _ in range(2))
    a1, delta1 = (np.empty((batch, len(b1)), np.float32) for _ in range(2))
    delta2, column = np.empty((batch, len(b2)), np.float32), np.empty((batch, 1), np.float32)
    zero, share = np.zeros((), np.float32), np.array(scale / batch, np.float32)
    ones = np.ones(batch, np.float32)  # a product with it adds up columns faster than sum does
    # A float32 times 0 or 1 is its bits times 0 or 1, and NumPy compares and multiplies integers faster than
    # it makes numbers of booleans. What ReLU let through has positive bits.
    active0, active1 = (np.empty(a.shape, np.int32) for a in (a0, a1))
    bits0, bits1, delta_bits0, delta_bits1 = (a.view(np.int32) for a in (a0, a1, delta0, delta1))
    none = np.zeros((), np.int32)
    xt, a0t, a1t, w1t, w2t = x.T, a0.T, a1.T, w1.T, w2.T
    dot, add, subtract, multiply, maximum = np.dot, np.add, np.subtract, np.multiply, np.maximum
    greater, exp, divide = np.greater, np.exp, np.divide
    largest, total = np.maximum.reduce, np.add.reduce

    def run() -> None:
        dot(x, w0, a0)
        add(a0, b0, a0)
        maximum(a0, zero, out=a0)
        dot(a0, w1, a1)
        add(a1, b1, a1)
        maximum(a1, zero, out=a1)
        dot(a1, w2, delta2)
        add(delta2, b2, delta2)
        largest(delta2, 1, None, column, True)
        subtract(delta2, column, delta2)
        exp(delta2, delta2)
        total(delta2, 1, None, column, True)
        divide(delta2, column, delta2)
        subtract(delta2, y, delta2)
        multiply(delta2, share, delta2)
        dot(a1t, delta2, gw2)
        dot(ones, delta2, gb2)
        dot(delta2, w2t, delta1)
        greater(bits1, none, active1, casting="unsafe")
        multiply(delta_bits1, active1, delta_bits1)
        dot(a0t, delta1, gw1)
        dot(ones, delta1, gb1)
        dot(delta1, w1t, delta0)
        greater(bits0, none, active0, casting="unsafe")
        multiply(delta_bits0, active0, delta_bits0)
        dot(xt, delta0, gw0)
        dot(ones, delta0, gb0)

    return Straight(flat[0], flat[1], named[0], named[1], run)


def products(given: Problem) -> Callable[[], None]:
    """The eight matrix products of forward and backward pass alone."""
    w0, _, w1, _, w2, _ = given.params.values()
    x, delta2 = given.data
    a0, delta0 = (np.ones((len(x), w0.shape[1]), np.float32) for _ in range(2))
    a1, delta1 = (np.ones((len(x), w1.shape[1]), np.float32) for _ in range(2))
    z2, gw0, gw1, gw2 = np.empty_like(delta2), np.empty_like(w0), np.empty_like(w1), np.empty_like(w2)

    def run() -> None:
        np.dot(x, w0, a0)
        np.dot(a0, w1, a1)
        np.dot(a1, w2, z2)
        np.dot(a1.T, delta2, gw2)
        np.dot(delta2, w2.T, delta1)
        np.dot(a0.T, delta1, gw1)
        np.dot(delta1, w1.T, delta0)
        np.dot(x.T, delta0, gw0)

    return run


def loss_for(library: str) -> Callable[..., Any]:
    """The loss, in the words of a library."""
    if library == "bpkit":
        from bpkit import losses, nn

        return _loss(nn.relu, losses.softmax_cross_entropy)
    if library == "torch":
        import torch

        functional = torch.nn.functional

        def loss(params: Any, x: Any, y: Any) -> Any:
            for i in range(3):
                x = torch.addmm(params[f"b{i}"], x, params[f"w{i}"])
                x = x.relu() if i < 2 else x
            return functional.cross_entropy(x, y)

        return loss
    if library == "jax":
        import jax

        return _loss(jax.nn.relu, lambda z, y: -(y * jax.nn.log_softmax(z)).sum() / len(z))
    if library == "autograd":
        import autograd.numpy as anp

        def cross_entropy(z: Any, y: Any) -> Any:
            z = z - anp.max(z, axis=1, keepdims=True)
            z = z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))
            return -anp.sum(y * z) / len(z)

        return _loss(lambda z: anp.maximum(z, 0), cross_entropy)
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    return _loss(relu, lambda z, y: softmax_crossentropy(z, y.argmax(1)))


def _loss(relu: Callable[[Any], Any], cross_entropy: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def loss(params: Any, x: Any, y: Any) -> Any:
        x = relu(x @ params["w0"] + params["b0"])
        x = relu(x @ params["w1"] + params["b1"])
        return cross_entropy(x @ params["w2"] + params["b2"], y)

    return loss
