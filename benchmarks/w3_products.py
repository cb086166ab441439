"""W3: a training step of 1024-4096-4096-1024, batch 512, SGD: nearly all of it is matrix products."""

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import dense
from benchmarks.harness import Peer, Program, Workload
from benchmarks.w2_adam import LIBRARIES, own, plain


def work(case: dict[str, Any]) -> float:
    """Operations of the products: forward, by weight, and by input save for the first layer."""
    sizes = [n * m for n, m in pairwise(case["sizes"])]
    return 2.0 * case["batch"] * (3 * sum(sizes) - sizes[0])


def straight(case: dict[str, Any]) -> Program:
    """The network written out for speed; the rate is in the gradients."""
    given = dense.problem(case)
    net = dense.straight(given, given.rate)

    def run() -> None:
        net.run()
        np.subtract(net.params, net.grads, net.params)

    run()
    return Program(run, given.gradients(net.named))


def products(case: dict[str, Any]) -> Program:
    """The matrix products of a step alone."""
    return Program(dense.products(dense.problem(case)), None, note="a part of the work")


def sgemm(case: dict[str, Any]) -> Program:
    """One large product, as fast as the machine's BLAS gets; its time is scaled to the work of a step."""
    n = case["square"]
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, n), np.float32) for _ in range(2))
    out = np.empty_like(x)
    factor = work(case) / (2.0 * n**3)
    return Program(lambda: np.dot(x, y, out), None, factor=factor, note=f"a product of {n} × {n}, scaled")


NET = {"sizes": (1024, 4096, 4096, 1024), "batch": 512, "rate": 0.5, "adam": False, "square": 2048}
WORKLOAD = Workload(
    title="a training step of 1024-4096-4096-1024: ReLU, softmax cross-entropy, mini-batch 512, SGD",
    cases={"step": NET},
    quick={"step": {**NET, "sizes": (20, 16, 12, 8), "batch": 8, "square": 32}},
    reference=dense.reference,
    own={"": own},
    peers=[
        Peer("straight-line NumPy", "numpy", straight),
        Peer("plain NumPy", "numpy", plain),
        Peer("matrix products alone", "numpy", products),
        Peer("the machine's own sgemm", "numpy", sgemm),
        *LIBRARIES,
    ],
    goals={"step": [("bpkit, jit", "the machine's own sgemm", 1 / 0.95)]},
    work=work,
    # Of four million inputs of ReLU some are so near to 0 that they have another sign in float32. By hand too
    # that makes 1.4e-3 in w0.
    rtol=5e-3,
)
