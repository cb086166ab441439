"""W2: a training step of 784-512-512-10 with ReLU, softmax cross-entropy and Adam, mini-batches of 128."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks import dense, training
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import BETA1, BETA2, EPS

BLOCK = 16384
"""Numbers in a block of the update: its five arrays stay in the second-level cache."""


def plain(case: dict[str, Any]) -> Program:
    """NumPy as one writes it from the equations."""
    given = dense.problem(case)

    def step(params: Any, state: Any, *data: Any) -> Any:
        return training.update(given, params, dense.gradients(params, *data), state, np.sqrt)

    return training.stepping(given, np.array, step, partial(training.initial_state, given, np.array))


def straight(case: dict[str, Any]) -> Program:
    """The same written out for speed, the update block by block."""
    given = dense.problem(case)
    net = dense.straight(given)
    m, v, count = np.zeros_like(net.params), np.zeros_like(net.params), 0
    scratch = np.empty(BLOCK, np.float32)
    blocks = []
    for i in range(0, m.size, BLOCK):
        parts = [a[i : i + BLOCK] for a in (net.params, net.grads, m, v)]
        blocks.append((*parts, scratch[: parts[0].size]))
    # The moments are kept without the factors 1 - beta: two passes less.
    beta1, beta2 = np.array(BETA1, np.float32), np.array(BETA2, np.float32)
    add, subtract, multiply, divide, square, sqrt = (
        *(np.add, np.subtract, np.multiply, np.divide, np.square, np.sqrt),
    )

    def run() -> None:
        nonlocal count
        net.run()
        count += 1
        root = np.sqrt((1 - BETA2**count) / (1 - BETA2))
        rate = np.array(case["rate"] * (1 - BETA1) / (1 - BETA1**count) * root, np.float32)
        eps = np.array(EPS * root, np.float32)
        for p, g, m_, v_, t in blocks:
            multiply(m_, beta1, m_)
            add(m_, g, m_)
            multiply(v_, beta2, v_)
            square(g, t)
            add(v_, t, v_)
            sqrt(v_, t)
            add(t, eps, t)
            divide(m_, t, t)
            multiply(t, rate, t)
            subtract(p, t, p)

    run()
    parts = np.split(m * np.float32(1 - BETA1), np.cumsum([p.size for p in given.params.values()])[:-1])
    moments = {k: x.reshape(p.shape) for (k, p), x in zip(given.params.items(), parts, strict=True)}
    return Program(run, given.gradients(net.named, moments))


def products(case: dict[str, Any]) -> Program:
    """The matrix products of a step alone."""
    return Program(dense.products(dense.problem(case)), None, note="a part of the work")


def by_sklearn(case: dict[str, Any]) -> Program:
    """scikit-learn's classifier: `partial_fit` is one step, with checks of what it is given."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    given = dense.problem(case)
    x, y = given.data
    labels, classes = y.argmax(1), np.arange(y.shape[1])
    model = MLPClassifier(
        case["sizes"][1:-1], alpha=0.0, batch_size=len(x), learning_rate_init=given.rate, shuffle=False
    )
    warnings.simplefilter("ignore")
    model.partial_fit(x, labels, classes=classes)  # makes its memory
    for i, (w, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        w[...], b[...] = given.params[f"w{i}"], given.params[f"b{i}"]
    optimizer = model._optimizer  # no public way leads to its state
    optimizer.t = 0
    for state in (*optimizer.ms, *optimizer.vs):
        state[...] = 0

    def run() -> None:
        model.partial_fit(x, labels)

    run()
    # Weights first, then biases.
    keys = [*[f"w{i}" for i in range(len(model.coefs_))], *[f"b{i}" for i in range(len(model.coefs_))]]
    return Program(run, given.gradients({}, dict(zip(keys, optimizer.ms, strict=True))))


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit."""
    return training.bpkit_step(dense.problem(case), dense.loss_for("bpkit"), jit)


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    return training.jax_step(dense.problem(case), dense.loss_for("jax"))


def by_autograd(case: dict[str, Any]) -> Program:
    """HIPS/autograd."""
    return training.autograd_step(dense.problem(case), dense.loss_for("autograd"))


def by_mygrad(case: dict[str, Any]) -> Program:
    """MyGrad."""
    return training.mygrad_step(dense.problem(case), dense.loss_for("mygrad"))


def by_torch(kind: str) -> Any:
    """PyTorch."""
    return lambda case: training.torch_step(
        dense.problem(case), dense.loss_for("torch"), case["torch_device"], kind
    )


LIBRARIES = [
    Peer("jax.jit", "jax", by_jax),
    Peer("PyTorch, torch.compile", "torch", by_torch("compile")),
    Peer("PyTorch, fused optimiser", "torch", by_torch("fused")),
    Peer("PyTorch, eager", "torch", by_torch("eager")),
    Peer("MyGrad", "mygrad", by_mygrad),
    Peer("HIPS/autograd", "autograd", by_autograd),
]
NET = {"sizes": (784, 512, 512, 10), "batch": 128, "rate": 1e-3, "adam": True}
WORKLOAD = Workload(
    title="a training step of 784-512-512-10: ReLU, softmax cross-entropy, mini-batch 128, Adam",
    cases={"step": NET},
    quick={"step": {**NET, "sizes": (20, 16, 12, 4), "batch": 8}},
    reference=dense.reference,
    own={"": own},
    peers=[
        Peer("straight-line NumPy", "numpy", straight),
        Peer("plain NumPy", "numpy", plain),
        Peer("matrix products alone", "numpy", products),
        *LIBRARIES,
        Peer("scikit-learn, MLPClassifier", "sklearn", by_sklearn),
    ],
    goals={
        "step": [
            ("bpkit, jit", "matrix products alone", 1.25),
            ("bpkit, jit, no Numba", "matrix products alone", 1.75),
            ("bpkit, jit", "jax.jit", 1.0),
            ("bpkit, jit", "PyTorch, fused optimiser", 1.0),
        ]
    },
)
