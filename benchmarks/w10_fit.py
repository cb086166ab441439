"""W10: an epoch of `bpkit.training.fit` beside the usual loops of PyTorch and JAX, and its memory.

Three networks: W2's 784-512-512-10, W5's convolutions, and W6's two blocks (without a mask) between an
embedding of 64 characters and a dense layer that guesses each next one. Examples are random, with labels that
can be learnt. All take them in the order that bpkit draws for its first epoch, from the same weights, and the
mean of that epoch's losses is compared. Then each shuffles in its own way.

PyTorch trains a module in training mode with its fused optimiser, images channels last; `torch.compile` has
the module with its loss. JAX trains by one function under `jax.jit`, which gathers the batch and may write
over the old weights.

Beside the time stand how much longer the first epoch took than the second, which is what compiling takes, and
by how much the process grew at its largest from before the first step to the end of the first epoch. So each
row has a process of its own. What was needed to compile is a part of both.
"""

import contextvars
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import dense, training, w2_adam, w5_convolution, w6_transformer
from benchmarks.harness import Peer, Program, Workload
from benchmarks.training import Problem


class Task(NamedTuple):
    """Weights and examples as the losses for JAX have them, and the weights as layers have them, in order."""

    problem: Problem
    leaves: list[np.ndarray]
    classes: int

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """What a layer goes from and to, and its window, for each weight."""
        return [(w.shape[1], w.shape[0], *w.shape[3:]) for w in self.leaves if w.ndim > 1]


def task(case: dict[str, Any]) -> Task:
    """Weights and examples."""
    net, count, settings = case["net"], case["examples"], {"rate": case["rate"], "adam": case["adam"]}
    rng = np.random.default_rng(10)
    if net == "transformer":
        width, classes, tokens = case["width"], case["classes"], case["tokens"]
        blocks = w6_transformer.problem(case).params
        table = rng.standard_normal((classes, width), np.float32)
        last = (rng.standard_normal((width, classes)) / np.sqrt(width)).astype(np.float32)
        params = {"embedding": table, **blocks, "w_out": last, "b_out": np.zeros(classes, np.float32)}
        leaves = [x if key == "embedding" else x.T.copy() for key, x in params.items()]
        text = rng.integers(0, classes, (count, tokens + 1))
        for i in range(tokens):  # each character allows four that may follow
            text[:, i + 1] = (5 * text[:, i] + text[:, i + 1] % 4) % classes
        return Task(Problem(params, (text[:, :-1].copy(), text[:, 1:].copy()), **settings), leaves, classes)
    if net == "dense":
        params, classes = dense.problem(case).params, case["sizes"][-1]
        leaves = [x.T.copy() for x in params.values()]
        x = rng.standard_normal((count, case["sizes"][0]), np.float32)
    else:
        params, classes = w5_convolution.problem(case).params, case["classes"]
        leaves = [*params.values()]
        x = rng.standard_normal((count, 1, case["side"], case["side"]), np.float32)
    pixels = x.reshape(count, -1)
    labels = (pixels @ rng.standard_normal((pixels.shape[1], classes), np.float32)).argmax(1)
    return Task(Problem(params, (x, labels), **settings), leaves, classes)


def first_order(count: int) -> np.ndarray:
    """The order of bpkit's first epoch."""
    from bpkit import random
    from bpkit.data.batches import draw_order

    return draw_order(random.key(0), 0, count).astype(np.int64)


def peak_mb(*, anew: bool = False) -> float:
    """The most memory that this process had, in MB, as Linux tells; `anew` lets it count from now on."""
    # What resource.getrusage gives begins with the peak of the process that started this one.
    status = Path("/proc/self/status")
    with suppress(OSError):  # some machines do not allow it; then all counts from the start
        if anew:
            Path("/proc/self/clear_refs").write_text("5", "ascii")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text("utf-8")) if status.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else float("nan")


def program(epoch: Callable[[], float]) -> Program:
    """The program of a function that trains for an epoch and gives the mean of its losses."""
    before, started = peak_mb(anew=True), time.perf_counter()
    loss = epoch()
    grown, first = peak_mb() - before, time.perf_counter() - started
    epoch()
    extra = 2 * first - (time.perf_counter() - started)
    note = f"first epoch {extra:+.2f} s, memory {grown:+.0f} MB"
    return Program(epoch, {"mean loss": np.asarray(loss)}, note=note)


def model_of(case: dict[str, Any], given: Task, dtype: Any = np.float32) -> Any:
    """Bpkit's model with the given weights, on the backend in use."""
    from bpkit import nn, random, registry, tree

    key = random.key(0)
    if case["net"] == "dense":
        first, second, third = (nn.Dense(*size, key=key) for size in given.sizes)
        model = nn.Sequential(first, nn.relu, second, nn.relu, third)
    elif case["net"] == "convolution":
        model = w5_convolution.network(given.problem)
    else:
        blocks = [w6_transformer.own_block(case) for _ in range(case["blocks"])]
        last = nn.Dense(*given.sizes[-1], key=key)
        model = nn.Sequential(nn.Embedding(*given.leaves[0].shape, key=key), *blocks, last)
    backend, device = registry.current()
    leaves = [backend.from_host(x.astype(dtype), device) for x in given.leaves]
    return tree.unflatten(tree.structure(model), leaves)


def fitted(case: dict[str, Any], given: Task, model: Any, **settings: Any) -> Any:
    """What `fit` gives."""
    from bpkit import losses, optim, random, training

    optimizer = (optim.adam if case["adam"] else optim.sgd)(case["rate"])
    settings |= {"batch_size": case["batch"], "key": random.key(0), "progress": False}
    return training.fit(model, given.problem.data, losses.softmax_cross_entropy, optimizer, **settings)


def reference(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The mean loss of the first epoch by bpkit on NumPy without jit, in float64."""
    given = task(case)
    model = model_of(case, given, np.float64)
    return {"mean loss": np.asarray(fitted(case, given, model, jit=False).history[0].loss)}


def own(case: dict[str, Any], jit: bool) -> Program:
    """Bpkit: one call of `fit`, in a thread that waits after each epoch until the next one is asked for."""
    given, found = task(case), list[Any]()
    model = model_of(case, given)
    asked, done = threading.Semaphore(0), threading.Semaphore(0)

    def pause(event: Any, _: Any) -> None:
        if hasattr(event, "loss"):  # the end of an epoch
            found.append(event.loss)
            done.release()
            asked.acquire()

    def work() -> None:
        asked.acquire()
        try:
            fitted(case, given, model, epochs=10**9, callbacks=[pause], jit=jit)
        except BaseException as error:  # noqa: BLE001  raised where the epoch was asked for
            found.append(error)
            done.release()

    threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()

    def epoch() -> float:
        asked.release()
        done.acquire()
        if isinstance(found[-1], BaseException):
            raise found[-1]
        return float(found[-1])

    return program(epoch)


def jax_loss(case: dict[str, Any], classes: int) -> Callable[..., Any]:
    """The losses of W2, W5 and W6 in JAX, for labels."""
    import jax
    import jax.numpy as jnp

    if case["net"] == "transformer":
        blocks = w6_transformer.blocks_in(case, jnp, jnp.transpose, jax.nn.softmax)

        def logits(p: Any, x: Any) -> Any:
            return blocks(p, p["embedding"][x]) @ p["w_out"] + p["b_out"]

        return lambda p, x, y: -jnp.take_along_axis(jax.nn.log_softmax(logits(p, x)), y[..., None], -1).mean()
    loss = dense.loss_for("jax") if case["net"] == "dense" else w5_convolution.jax_loss()
    return lambda p, x, y: loss(p, x, jax.nn.one_hot(y, classes))


def by_jax(case: dict[str, Any]) -> Program:
    """JAX."""
    import jax
    import jax.numpy as jnp

    given = task(case)
    start, loss, rng = given.problem, jax_loss(case, given.classes), np.random.default_rng(0)
    params = {key: jnp.array(x) for key, x in start.params.items()}
    state = training.initial_state(start, jnp.array)
    data, order = [jnp.array(x) for x in start.data], first_order(case["examples"])

    def step(params: Any, state: Any, x: Any, y: Any, rows: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x[rows], y[rows])
        return *training.update(start, params, grads, state, jnp.sqrt), value

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def epoch() -> float:
        nonlocal params, state, order
        losses = []
        for rows in order.reshape(-1, case["batch"]):
            params, state, value = compiled(params, state, *data, rows)
            losses.append(value)
        order = rng.permutation(order)
        return float(np.mean(jax.device_get(losses)))

    return program(epoch)


def torch_module(case: dict[str, Any], given: Task) -> Any:
    """PyTorch's module with the given weights."""
    import torch
    from torch import nn

    layers = [(nn.Conv2d if len(size) > 2 else nn.Linear)(*size) for size in given.sizes]
    if case["net"] == "dense":
        model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    elif case["net"] == "convolution":
        pooled = [nn.MaxPool2d(2), nn.ReLU()]
        ends = [nn.Flatten(), layers[2], nn.ReLU(), layers[3]]
        model = nn.Sequential(layers[0], *pooled, layers[1], *pooled, *ends)
    else:
        width, options = case["width"], {"batch_first": True, "norm_first": True}
        block = (width, case["heads"], 4 * width, 0.0, nn.GELU("tanh"), w6_transformer.EPS)
        blocks = [nn.TransformerEncoderLayer(*block, **options) for _ in range(case["blocks"])]
        model = nn.Sequential(nn.Embedding(given.classes, width), *blocks, layers[-1])
    with torch.no_grad():
        for p, x in zip(model.parameters(), given.leaves, strict=True):
            p.copy_(torch.from_numpy(x))
    return model.to(case["torch_device"], memory_format=torch.channels_last).train()


def by_torch(*, compiled: bool) -> Callable[[dict[str, Any]], Program]:
    """PyTorch."""

    def make(case: dict[str, Any]) -> Program:
        import torch

        given = task(case)
        model, kind = torch_module(case, given), torch.optim.Adam if case["adam"] else torch.optim.SGD
        optimizer = kind(model.parameters(), lr=case["rate"], fused=True)
        x, y = (torch.from_numpy(a).to(case["torch_device"]) for a in given.problem.data)
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        order = torch.from_numpy(first_order(len(x))).to(x.device)

        def loss_of(x: Any, y: Any) -> Any:
            return torch.nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())

        loss = torch.compile(loss_of) if compiled else loss_of

        def epoch() -> float:
            nonlocal order
            losses = []
            for rows in order.split(case["batch"]):
                optimizer.zero_grad()
                value = loss(x[rows], y[rows])
                value.backward()
                optimizer.step()
                losses.append(value.detach())
            order = torch.randperm(len(x), device=x.device)
            return float(torch.stack(losses).mean())

        return program(epoch)

    return make


CONVOLUTION = {**w5_convolution.NET, "net": "convolution", "examples": 1280, "rate": 0.05}
TRANSFORMER = {**w6_transformer.NET, "net": "transformer", "classes": 64, "examples": 320, "rate": 1e-3}
CASES = {
    "784-512-512-10": {**w2_adam.NET, "net": "dense", "examples": 12_800},
    "convolutions": {**CONVOLUTION, "adam": False},
    "transformer": {**TRANSFORMER, "adam": True},
}
SMALL = {
    "784-512-512-10": {**w2_adam.WORKLOAD.quick["step"], "examples": 32},
    "convolutions": {**w5_convolution.WORKLOAD.quick["step"], "examples": 12},
    "transformer": {**w6_transformer.WORKLOAD.quick["step"], "classes": 8, "examples": 9},
}
WORKLOAD = Workload(
    title="an epoch of bpkit.training.fit and of the usual loops, and the memory that training takes",
    cases=CASES,
    quick={name: {**case, **SMALL[name]} for name, case in CASES.items()},
    reference=reference,
    own={"": own},
    peers=[
        Peer("jax.jit", "jax", by_jax),
        Peer("PyTorch, torch.compile", "torch", by_torch(compiled=True)),
        Peer("PyTorch, eager", "torch", by_torch(compiled=False)),
    ],
    rtol=1e-4,
    alone=True,
)
