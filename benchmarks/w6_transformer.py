"""W6: a training step of two transformer blocks, d 128, 4 heads, 64 tokens, mini-batch 16, SGD.

Layer norm first, attention by softmax over all tokens, GELU by its tanh formula (D. Hendrycks and K. Gimpel,
"Gaussian error linear units", 2016), a hidden layer four times as wide; the loss is half the squared distance
to a target, by token.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import training
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import Problem

EPS = 1e-5
ROOT, CUBE = float(np.sqrt(2 / np.pi)), 0.044715


def problem(case: dict[str, Any]) -> Problem:
    """Weights of both blocks, tokens and targets."""
    rng = np.random.default_rng(6)
    d, wide = case["width"], 4 * case["width"]
    params = {}
    for block in range(case["blocks"]):
        for name, (n, m) in {"qkv": (d, 3 * d), "o": (d, d), "up": (d, wide), "down": (wide, d)}.items():
            params[f"w_{name}{block}"] = rng.standard_normal((n, m)) / np.sqrt(n)
            params[f"b_{name}{block}"] = 0.1 * rng.standard_normal(m)
        for name in ("first", "second"):
            params[f"scale_{name}{block}"] = 1 + 0.1 * rng.standard_normal(d)
            params[f"shift_{name}{block}"] = 0.1 * rng.standard_normal(d)
    x, y = rng.standard_normal((2, case["batch"], case["tokens"], d), np.float32)
    return Problem({key: p.astype(np.float32) for key, p in params.items()}, (x, y), 0.003)


class Norm:
    """Layer norm of rows."""

    def __init__(self, rows: int, scale: np.ndarray, shift: np.ndarray) -> None:
        self.scale, self.shift = scale, shift
        self.unit, self.out, self.scratch = (np.empty((rows, scale.size), scale.dtype) for _ in range(3))
        self.ones = np.ones(rows, scale.dtype)
        self.g_scale, self.g_shift = np.empty_like(scale), np.empty_like(shift)

    def forward(self, x: np.ndarray) -> None:
        """To `out`."""
        np.subtract(x, x.mean(1, keepdims=True), self.unit)
        power = np.einsum("ij,ij->i", self.unit, self.unit)[:, None] / x.shape[1]
        self.inverse = 1 / np.sqrt(power + EPS)
        np.multiply(self.unit, self.inverse, self.unit)
        np.multiply(self.unit, self.scale, self.out)
        np.add(self.out, self.shift, self.out)

    def backward(self, g: np.ndarray) -> np.ndarray:
        """The gradient by what went in; `g` is written over."""
        np.dot(self.ones, g, self.g_shift)
        np.multiply(g, self.unit, self.scratch)
        np.dot(self.ones, self.scratch, self.g_scale)
        np.multiply(g, self.scale, g)
        along = np.einsum("ij,ij->i", g, self.unit)[:, None] / g.shape[1]
        np.subtract(g, g.mean(1, keepdims=True), g)
        np.multiply(self.unit, along, self.scratch)
        np.subtract(g, self.scratch, g)
        return np.multiply(g, self.inverse, g)


class Block:
    """One block, in memory of its own."""

    def __init__(self, params: dict[str, Any], block: int, case: dict[str, Any], dtype: Any) -> None:
        n, t, d, heads = (case[key] for key in ("batch", "tokens", "width", "heads"))
        own = {key.removesuffix(str(block)): p for key, p in params.items() if key.endswith(str(block))}
        self.p, self.grads = own, {key: np.empty_like(p) for key, p in own.items()}
        self.first = Norm(n * t, own["scale_first"], own["shift_first"])
        self.second = Norm(n * t, own["scale_second"], own["shift_second"])
        for name, norm in {"first": self.first, "second": self.second}.items():
            self.grads[f"scale_{name}"], self.grads[f"shift_{name}"] = norm.g_scale, norm.g_shift
        self.qkv, self.g_qkv = (np.empty((n * t, 3 * d), dtype) for _ in range(2))
        self.att, self.g_att, self.middle, self.out, self.g = (np.empty((n * t, d), dtype) for _ in range(5))

        def heads_of(a: np.ndarray) -> list[np.ndarray]:
            """Views (n, heads, t, d / heads) of what lies side by side in rows."""
            parts = a.reshape(n, t, -1, heads, d // heads)
            return [parts[:, :, i].transpose(0, 2, 1, 3) for i in range(parts.shape[2])]

        self.q, self.k, self.v = heads_of(self.qkv)
        self.g_q, self.g_k, self.g_v = heads_of(self.g_qkv)
        (self.o,), (self.g_o,) = heads_of(self.att), heads_of(self.g_att)
        self.weights, self.g_weights = (np.empty((n, heads, t, t), dtype) for _ in range(2))
        self.u, self.bend, self.a, self.g_u = (np.empty((n * t, 4 * d), dtype) for _ in range(4))
        self.ones, self.share = np.ones(n * t, dtype), dtype(1 / np.sqrt(d // heads))

    def dense(self, x: np.ndarray, name: str, out: np.ndarray) -> None:
        """One dense layer."""
        np.dot(x, self.p[f"w_{name}"], out)
        np.add(out, self.p[f"b_{name}"], out)

    def dense_back(self, x: np.ndarray, name: str, g: np.ndarray, out: np.ndarray) -> None:
        """Its gradients, that by `x` to `out`."""
        np.dot(x.T, g, self.grads[f"w_{name}"])
        np.dot(self.ones, g, self.grads[f"b_{name}"])
        np.dot(g, self.p[f"w_{name}"].T, out)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """What comes out for tokens in rows."""
        self.first.forward(x)
        self.dense(self.first.out, "qkv", self.qkv)
        w = self.weights
        np.matmul(self.q, self.k.swapaxes(2, 3), w)
        np.multiply(w, self.share, w)
        np.subtract(w, w.max(3, keepdims=True), w)
        np.exp(w, w)
        np.divide(w, w.sum(3, keepdims=True), w)
        np.matmul(w, self.v, self.o)
        self.dense(self.att, "o", self.middle)
        np.add(self.middle, x, self.middle)
        self.second.forward(self.middle)
        self.dense(self.second.out, "up", self.u)
        np.multiply(self.u, self.u, self.bend)
        np.multiply(self.bend, CUBE, self.bend)
        np.add(self.bend, 1, self.bend)
        np.multiply(self.bend, self.u, self.bend)
        np.multiply(self.bend, ROOT, self.bend)
        np.tanh(self.bend, self.bend)
        np.add(self.bend, 1, self.a)
        np.multiply(self.a, self.u, self.a)
        np.multiply(self.a, 0.5, self.a)
        self.dense(self.a, "down", self.out)
        return np.add(self.out, self.middle, self.out)

    def backward(self, g: np.ndarray) -> np.ndarray:
        """The gradient by the tokens, from that by what came out."""
        h, b, u = self.g_u, self.bend, self.u
        self.dense_back(self.a, "down", g, h)
        # GELU has the derivative (1 + t) / 2 + u (1 - t t) / 2 root (1 + 3 cube u u).
        np.multiply(u, u, self.a)
        np.multiply(self.a, 3 * CUBE, self.a)
        np.add(self.a, 1, self.a)
        np.multiply(self.a, u, self.a)
        np.multiply(self.a, ROOT, self.a)
        np.subtract(1, b, u)
        np.multiply(self.a, u, self.a)
        np.add(self.a, 1, self.a)
        np.add(b, 1, b)
        np.multiply(self.a, b, self.a)
        np.multiply(self.a, 0.5, self.a)
        np.multiply(h, self.a, h)
        self.dense_back(self.second.out, "up", h, self.g)
        g = np.add(self.second.backward(self.g), g, self.g)
        self.dense_back(self.att, "o", g, self.g_att)
        w, e = self.weights, self.g_weights
        np.matmul(w.swapaxes(2, 3), self.g_o, self.g_v)
        np.matmul(self.g_o, self.v.swapaxes(2, 3), e)
        np.subtract(e, np.einsum("nhst,nhst->nhs", e, w)[..., None], e)
        np.multiply(e, w, e)
        np.multiply(e, self.share, e)
        np.matmul(e, self.k, self.g_q)
        np.matmul(e.swapaxes(2, 3), self.q, self.g_k)
        self.dense_back(self.first.out, "qkv", self.g_qkv, self.att)
        return np.add(self.first.backward(self.att), g, self.g)


def written(
    given: Problem, case: dict[str, Any], dtype: Any
) -> tuple[dict[str, Any], dict[str, Any], Callable[[], None]]:
    """Weights, gradients, and the function that computes these in memory that is there already."""
    params = {key: p.astype(dtype) for key, p in given.params.items()}
    blocks = [Block(params, i, case, dtype) for i in range(case["blocks"])]
    x, y = (a.astype(dtype).reshape(-1, case["width"]) for a in given.data)

    def run() -> None:
        out = x
        for block in blocks:
            out = block.forward(out)
        np.subtract(out, y, out)
        np.divide(out, len(x), out)
        for block in reversed(blocks):
            out = block.backward(out)

    grads = {f"{key}{i}": g for i, block in enumerate(blocks) for key, g in block.grads.items()}
    return params, grads, run


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradients of the program written by hand, in float64."""
    _, grads, run = written(problem(case), case, np.float64)
    run()
    return grads


def straight(case: dict[str, Any]) -> Program:
    """The program written by hand; hardly an array is made."""
    given = problem(case)
    params, grads, gradients = written(given, case, np.float32)

    def run() -> None:
        gradients()
        for key, g in grads.items():
            np.multiply(g, np.float32(given.rate), g)
            np.subtract(params[key], g, params[key])

    run()
    return Program(run, given.gradients(params))


def blocks_in(
    case: dict[str, Any], lib: Any, permute: Callable[..., Any], softmax: Any
) -> Callable[..., Any]:
    """What the blocks make of their input, for a library with NumPy's names."""
    heads = case["heads"]

    def norm(x: Any, scale: Any, shift: Any) -> Any:
        x = x - lib.mean(x, axis=-1, keepdims=True)
        return x / lib.sqrt(lib.mean(x * x, axis=-1, keepdims=True) + EPS) * scale + shift

    def attention(p: Any, i: int, x: Any) -> Any:
        n, t, d = x.shape
        rows = lib.reshape(x @ p[f"w_qkv{i}"] + p[f"b_qkv{i}"], (n, t, 3, heads, d // heads))
        q, k, v = (permute(rows[:, :, j], (0, 2, 1, 3)) for j in range(3))
        weights = softmax(q @ permute(k, (0, 1, 3, 2)) * float(1 / np.sqrt(d // heads)))
        rows = lib.reshape(permute(weights @ v, (0, 2, 1, 3)), (n, t, d))
        return rows @ p[f"w_o{i}"] + p[f"b_o{i}"]

    def blocks(p: Any, x: Any) -> Any:
        for i in range(case["blocks"]):
            x = x + attention(p, i, norm(x, p[f"scale_first{i}"], p[f"shift_first{i}"]))
            u = norm(x, p[f"scale_second{i}"], p[f"shift_second{i}"]) @ p[f"w_up{i}"] + p[f"b_up{i}"]
            u = 0.5 * u * (1 + lib.tanh(ROOT * (u + CUBE * u * u * u)))
            x = x + (u @ p[f"w_down{i}"] + p[f"b_down{i}"])
        return x

    return blocks


def loss_in(case: dict[str, Any], lib: Any, permute: Callable[..., Any], softmax: Any) -> Callable[..., Any]:
    """The loss, for a library with NumPy's names."""
    blocks = blocks_in(case, lib, permute, softmax)

    def loss(p: Any, x: Any, y: Any) -> Any:
        return lib.sum((blocks(p, x) - y) ** 2) * (0.5 / (x.shape[0] * x.shape[1]))

    return loss


NAMES = {
    "attention.in_weight": "w_qkv",
    "attention.in_bias": "b_qkv",
    "attention.out_weight": "w_o",
    "attention.out_bias": "b_o",
    "linear1.weight": "w_up",
    "linear1.bias": "b_up",
    "linear2.weight": "w_down",
    "linear2.bias": "b_down",
    "norm1.weight": "scale_first",
    "norm1.bias": "shift_first",
    "norm2.weight": "scale_second",
    "norm2.bias": "shift_second",
}
"""What the arrays of a block are called here, in the order of its leaves."""


def own_block(case: dict[str, Any]) -> Any:
    """Bpkit's block, whose weights are the transposes of those here."""
    from bpkit import nn, random

    def gelu(z: Any) -> Any:
        return nn.gelu(z, approximate="tanh")

    return nn.TransformerBlock(
        case["width"], case["heads"], key=random.key(0), activation=gelu, norm_first=True, layer_norm_eps=EPS
    )


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit's blocks."""
    from bpkit import tree, xp

    given = problem(case)
    turned = given._replace(params={key: np.ascontiguousarray(x.T) for key, x in given.params.items()})
    structure = tree.structure(own_block(case))

    def loss(p: Any, x: Any, y: Any) -> Any:
        for i in range(case["blocks"]):
            x = tree.unflatten(structure, [p[f"{name}{i}"] for name in NAMES.values()])(x)
        return xp.sum((x - y) ** 2) * (0.5 / (x.shape[0] * x.shape[1]))

    program = training.bpkit_step(turned, loss, jit)
    assert program.result is not None
    return program._replace(result={key: g.T for key, g in program.result.items()})


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    import jax
    import jax.numpy as jnp

    return training.jax_step(problem(case), loss_in(case, jnp, jnp.transpose, jax.nn.softmax))


def by_autograd(case: dict[str, Any]) -> Program:
    """HIPS/autograd."""
    import autograd.numpy as anp

    def softmax(z: Any) -> Any:
        e = anp.exp(z - anp.max(z, axis=-1, keepdims=True))
        return e / anp.sum(e, axis=-1, keepdims=True)

    return training.autograd_step(problem(case), loss_in(case, anp, anp.transpose, softmax))


def by_torch(kind: str) -> Callable[[dict[str, Any]], Program]:
    """PyTorch, with its own layer norm, attention and GELU."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        functional = torch.nn.functional

        def loss(p: Any, x: Any, y: Any) -> Any:
            n, t, d = x.shape
            for i in range(case["blocks"]):
                z = functional.layer_norm(x, (d,), p[f"scale_first{i}"], p[f"shift_first{i}"], EPS)
                z = (z @ p[f"w_qkv{i}"] + p[f"b_qkv{i}"]).reshape(n, t, 3, case["heads"], -1)
                q, k, v = z.permute(2, 0, 3, 1, 4)
                z = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
                x = x + (z @ p[f"w_o{i}"] + p[f"b_o{i}"])
                z = functional.layer_norm(x, (d,), p[f"scale_second{i}"], p[f"shift_second{i}"], EPS)
                z = functional.gelu(z @ p[f"w_up{i}"] + p[f"b_up{i}"], approximate="tanh")
                x = x + (z @ p[f"w_down{i}"] + p[f"b_down{i}"])
            return functional.mse_loss(x, y, reduction="sum") * (0.5 / (n * t))

        return training.torch_step(problem(case), loss, case["torch_device"], kind)

    return make


NET = {"blocks": 2, "width": 128, "heads": 4, "tokens": 64, "batch": 16}
WORKLOAD = Workload(
    title="a training step of two transformer blocks: d 128, 4 heads, 64 tokens, mini-batch 16, SGD",
    cases={"step": NET},
    quick={"step": {"blocks": 2, "width": 8, "heads": 2, "tokens": 4, "batch": 3}},
    reference=reference,
    own={"": own},
    peers=[
        Peer("NumPy by hand", "numpy", straight),
        Peer("jax.jit", "jax", by_jax),
        Peer("PyTorch, torch.compile", "torch", by_torch("compile")),
        Peer("PyTorch, eager", "torch", by_torch("eager")),
        Peer("HIPS/autograd", "autograd", by_autograd),
    ],
)
