"""W5: a training step of a small convolutional network, mini-batch 64, SGD.

Convolution 5×5 to 20 channels, pooling 2×2, convolution 5×5 to 40, pooling 2×2, dense layers of 100 and 10,
ReLU, on images of 28×28; the network of M. Nielsen, *Neural Networks and Deep Learning*, chapter 6. Pooling
comes before ReLU, which is the same and has no ties. Weights and images are as PyTorch has them, channels
first; every library may turn them to what suits it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import training
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import Problem

SIDE = 5


def problem(case: dict[str, Any]) -> Problem:
    """Weights drawn as for ReLU, and a mini-batch of random images."""
    rng = np.random.default_rng(5)
    batch, side, channels, hidden, classes = (
        case[key] for key in ("batch", "side", "channels", "hidden", "classes")
    )
    left = ((side - SIDE + 1) // 2 - SIDE + 1) // 2
    shapes = [
        (channels[0], 1, SIDE, SIDE),
        (channels[1], channels[0], SIDE, SIDE),
        (hidden, left * left * channels[1]),
        (classes, hidden),
    ]
    params = {}
    for i, (m, *seen) in enumerate(shapes):
        n = np.prod(seen)
        params[f"w{i}"] = (rng.standard_normal((m, *seen)) * np.sqrt(2 / n)).astype(np.float32)
        params[f"b{i}"] = (0.1 * rng.standard_normal(m)).astype(np.float32)
    x = rng.standard_normal((batch, 1, side, side), np.float32)
    y = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, batch)]
    return Problem(params, (x, y), 0.5)


class Convolution:
    """Convolution, pooling and ReLU in memory of their own: the windows in rows, then one product."""

    def __init__(self, x: np.ndarray, w: np.ndarray, b: np.ndarray, gx: np.ndarray | None = None) -> None:
        n, side, _, c = x.shape
        left, m = side - SIDE + 1, w.shape[1]
        self.w, self.b = w, b
        self.windows = np.lib.stride_tricks.sliding_window_view(x, (SIDE, SIDE), (1, 2)).transpose(
            0, 1, 2, 4, 5, 3
        )
        self.columns = np.empty((n, left, left, SIDE, SIDE, c), x.dtype)
        self.rows = self.columns.reshape(-1, SIDE * SIDE * c)
        self.z = np.empty((n, left, left, m), x.dtype)
        self.quarters = [self.z[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        self.pooled, self.out, self.g = (np.empty((n, left // 2, left // 2, m), x.dtype) for _ in range(3))
        self.mask = np.empty(self.g.shape, bool)
        self.ones = np.ones(self.g.size // m, x.dtype)
        self.gw, self.gb = np.empty_like(w), np.empty_like(b)
        self.zero = np.zeros((), x.dtype)
        self.gx = gx
        places = [(i, j) for i in range(SIDE) for j in range(SIDE)]
        self.parts = [
            (gx[:, i : i + left, j : j + left], self.columns[:, :, :, i, j])
            for i, j in places
            if gx is not None
        ]

    def forward(self) -> None:
        """From the images that it was made for to what comes out of ReLU."""
        np.copyto(self.columns, self.windows)
        np.dot(self.rows, self.w, self.z.reshape(-1, self.w.shape[1]))
        np.maximum(self.quarters[0], self.quarters[1], out=self.pooled)
        np.maximum(self.pooled, self.quarters[2], out=self.pooled)
        np.maximum(self.pooled, self.quarters[3], out=self.pooled)
        np.add(self.pooled, self.b, self.out)  # the bias is the same for all four
        np.maximum(self.out, self.zero, out=self.out)

    def backward(self) -> None:
        """From `g`, the gradient by what came out, to those by the weights and, where asked, the images."""
        np.greater(self.out, self.zero, self.mask)
        np.multiply(self.g, self.mask, self.g)
        np.dot(self.ones, self.g.reshape(-1, self.w.shape[1]), self.gb)
        for quarter in self.quarters:
            np.equal(quarter, self.pooled, self.mask)
            np.multiply(self.g, self.mask, quarter)
        g = self.z.reshape(-1, self.w.shape[1])
        np.dot(self.rows.T, g, self.gw)
        if self.gx is not None:
            np.dot(g, self.w.T, self.rows)
            self.gx.fill(0)
            for seen, part in self.parts:
                np.add(seen, part, seen)


def turned(key: str, w: np.ndarray) -> np.ndarray:
    """A weight for channels last, as a matrix whose columns belong to the results."""
    if key in ("w0", "w1"):
        return w.transpose(2, 3, 1, 0).reshape(-1, len(w))
    return w.T if w.ndim == 2 else w


def turned_back(key: str, w: np.ndarray) -> np.ndarray:
    """The same weight for channels first."""
    if key in ("w0", "w1"):
        return w.reshape(SIDE, SIDE, -1, w.shape[1]).transpose(3, 2, 0, 1)
    return w.T if w.ndim == 2 else w


def written(given: Problem, dtype: Any) -> tuple[dict[str, Any], dict[str, Any], Callable[[], None]]:
    """Weights, gradients, and the function that computes these in memory that is there already."""
    params = {key: turned(key, x).astype(dtype, order="C") for key, x in given.params.items()}
    w0, b0, w1, b1, w2, b2, w3, b3 = params.values()
    x, y = (a.astype(dtype) for a in given.data)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    # What is flattened has its channels first in the given weight.
    side = round((len(w2) // len(b1)) ** 0.5)
    w2[...] = w2.reshape(-1, side, side, len(b2)).transpose(1, 2, 0, 3).reshape(w2.shape)
    first = Convolution(x, w0, b0)
    second = Convolution(first.out, w1, b1, gx=first.g)
    flat, gflat = (a.reshape(len(x), -1) for a in (second.out, second.g))
    a2, g2 = (np.empty((len(x), len(b2)), dtype) for _ in range(2))
    g3, mask, ones, zero = (
        np.empty_like(y),
        np.empty(a2.shape, bool),
        np.ones(len(x), dtype),
        np.zeros((), dtype),
    )
    gw2, gb2, gw3, gb3 = (np.empty_like(p) for p in (w2, b2, w3, b3))
    grads = dict(zip(params, (first.gw, first.gb, second.gw, second.gb, gw2, gb2, gw3, gb3), strict=True))

    def run() -> None:
        first.forward()
        second.forward()
        np.dot(flat, w2, a2)
        np.add(a2, b2, a2)
        np.maximum(a2, zero, out=a2)
        np.dot(a2, w3, g3)
        np.add(g3, b3, g3)
        np.subtract(g3, g3.max(1, keepdims=True), g3)
        np.exp(g3, g3)
        np.divide(g3, g3.sum(1, keepdims=True), g3)
        np.subtract(g3, y, g3)
        np.divide(g3, len(x), g3)
        np.dot(a2.T, g3, gw3)
        np.dot(ones, g3, gb3)
        np.dot(g3, w3.T, g2)
        np.greater(a2, zero, mask)
        np.multiply(g2, mask, g2)
        np.dot(flat.T, g2, gw2)
        np.dot(ones, g2, gb2)
        np.dot(g2, w2.T, gflat)
        second.backward()
        first.backward()

    return params, grads, run


def given_shapes(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights or gradients of the program written by hand as they are given."""
    w2, channels = found["w2"], len(found["b1"])
    side = round((len(w2) // channels) ** 0.5)
    first = w2.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(w2.shape)
    return {key: turned_back(key, x) for key, x in {**found, "w2": first}.items()}


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradients of the program written by hand, in float64."""
    _, grads, run = written(problem(case), np.float64)
    run()
    return given_shapes(grads)


def straight(case: dict[str, Any]) -> Program:
    """The program written by hand; nearly no array is made."""
    given = problem(case)
    params, grads, gradients = written(given, np.float32)

    def run() -> None:
        gradients()
        for key, g in grads.items():
            np.multiply(g, np.float32(given.rate), g)
            np.subtract(params[key], g, params[key])

    run()
    return Program(run, given.gradients(given_shapes(params)))


def network(given: Problem) -> Any:
    """Bpkit's network, whose leaves are as the given weights, in their order."""
    from bpkit import nn, random

    pool, key = nn.MaxPool2d(2), random.key(0)
    first, second, third, fourth = (
        (nn.Conv2d if w.ndim == 4 else nn.Dense)(w.shape[1], len(w), *w.shape[3:], key=key)
        for w in given.params.values()
        if w.ndim > 1
    )
    return nn.Sequential(first, pool, nn.relu, second, pool, nn.relu, nn.Flatten(), third, nn.relu, fourth)


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit: its layers, with the given weights in them."""
    from bpkit import losses, tree

    given = problem(case)
    structure = tree.structure(network(given))

    def loss(params: Any, x: Any, y: Any) -> Any:
        model = tree.unflatten(structure, [params[key] for key in given.params])
        return losses.softmax_cross_entropy(model(x), y)

    return training.bpkit_step(given, loss, jit)


def jax_loss() -> Callable[..., Any]:
    """The loss by JAX's own convolution and pooling."""
    import jax

    def layer(x: Any, w: Any, b: Any) -> Any:
        kernel = w.transpose(2, 3, 1, 0)
        axes = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=axes)
        window = (1, 2, 2, 1)
        return jax.nn.relu(jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID") + b)

    def loss(params: Any, x: Any, y: Any) -> Any:
        x = x.transpose(0, 2, 3, 1)
        x = layer(layer(x, params["w0"], params["b0"]), params["w1"], params["b1"]).transpose(0, 3, 1, 2)
        x = jax.nn.relu(x.reshape(len(x), -1) @ params["w2"].T + params["b2"])
        return -(y * jax.nn.log_softmax(x @ params["w3"].T + params["b3"])).sum() / len(x)

    return loss


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    return training.jax_step(problem(case), jax_loss())


def by_torch(kind: str, last: bool) -> Callable[[dict[str, Any]], Program]:
    """PyTorch, with its own convolution and pooling, channels last in memory or not."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        functional = torch.nn.functional
        layout = torch.channels_last if last else torch.contiguous_format

        def layer(x: Any, w: Any, b: Any) -> Any:
            w = w.contiguous(memory_format=layout)
            return functional.max_pool2d(functional.conv2d(x, w, b), 2).relu()

        def loss(params: Any, x: Any, y: Any) -> Any:
            x = layer(x.contiguous(memory_format=layout), params["w0"], params["b0"])
            x = layer(x, params["w1"], params["b1"])
            x = torch.nn.functional.linear(x.reshape(len(x), -1), params["w2"], params["b2"]).relu()
            return functional.cross_entropy(functional.linear(x, params["w3"], params["b3"]), y)

        return training.torch_step(problem(case), loss, case["torch_device"], kind)

    return make


NET = {"batch": 64, "side": 28, "channels": (20, 40), "hidden": 100, "classes": 10}
WORKLOAD = Workload(
    title="a training step of a small convolutional network, mini-batch 64, SGD",
    cases={"step": NET},
    quick={"step": {"batch": 4, "side": 16, "channels": (3, 4), "hidden": 6, "classes": 5}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("NumPy by hand, windows in rows", "numpy", straight),
        Peer("jax.jit", "jax", by_jax),
        Peer("PyTorch, torch.compile", "torch", by_torch("compile", last=True)),
        Peer("PyTorch, channels last", "torch", by_torch("eager", last=True)),
        Peer("PyTorch", "torch", by_torch("eager", last=False)),
    ],
)
