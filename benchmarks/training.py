"""A training step of each library, from a loss written for it; shared by the workloads that train.

A loss takes the parameters, a dictionary by name, and the arrays of the mini-batch. Every step computes the
gradient and the new parameters, and every library is used as its documentation advises. What is compared is
the gradient that the first step has used: found in the change of the parameters, or in Adam's first moment.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import Program

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # of Kingma and Ba, "Adam: a method for stochastic optimization", 2015


class Problem(NamedTuple):
    """What a training step starts from.

    Attributes
    ----------
    params : dict of str to array
        Initial weights.
    data : tuple of array
        The mini-batch.
    rate : float
        The learning rate.
    adam : bool
        Whether the update is Adam's; else it is plain gradient descent.
    """

    params: dict[str, np.ndarray]
    data: tuple[np.ndarray, ...]
    rate: float
    adam: bool = False

    def gradients(self, after: Mapping[str, Any], state: Any = None) -> dict[str, np.ndarray]:
        """The gradients, from what one step has made of the initial weights."""
        if self.adam:
            return {key: np.asarray(state[key]) / (1 - BETA1) for key in self.params}
        return {key: (x - np.asarray(after[key])) / self.rate for key, x in self.params.items()}


def update(problem: Problem, params: Any, grads: Any, state: Any, sqrt: Callable[[Any], Any]) -> Any:
    """New parameters and new state, for libraries without an optimiser of their own."""
    if not problem.adam:
        return {key: x - problem.rate * grads[key] for key, x in params.items()}, state
    moments, squares, powers = state
    powers = (powers[0] * BETA1, powers[1] * BETA2)
    moments = {key: BETA1 * m + (1 - BETA1) * grads[key] for key, m in moments.items()}
    squares = {key: BETA2 * v + (1 - BETA2) * grads[key] ** 2 for key, v in squares.items()}
    rate, root = problem.rate / (1 - powers[0]), sqrt(1 - powers[1])
    params = {key: x - rate * moments[key] / (sqrt(squares[key]) / root + EPS) for key, x in params.items()}
    return params, (moments, squares, powers)


def initial_state(problem: Problem, array: Callable[[np.ndarray], Any]) -> Any:
    """Adam's state before the first step, for :func:`update`."""
    if not problem.adam:
        return ()
    moments, squares = ({key: array(np.zeros_like(x)) for key, x in problem.params.items()} for _ in range(2))
    return moments, squares, tuple(array(np.ones((), np.float32)) for _ in range(2))


def stepping(
    problem: Problem,
    array: Callable[[np.ndarray], Any],
    step: Callable[..., Any],
    state: Callable[[], Any],
    wait: Callable[[Any], Any] = lambda _: None,
    host: Callable[[Any], np.ndarray] = np.asarray,
) -> Program:
    """The program of a step that takes and returns parameters and state, after one that is compared."""
    data = [array(x) for x in problem.data]

    def start() -> list[Any]:
        return [{key: array(x) for key, x in problem.params.items()}, state()]

    step(*start(), *data)  # what is compiled in the first call is compared in the second
    current = [*step(*start(), *data)]
    params, after = current
    moments = getattr(after, "mean", after[0] if problem.adam else {})
    found = ({key: host(x) for key, x in part.items()} for part in (params, moments))
    result = problem.gradients(*found)

    def run() -> None:
        current[:] = step(*current, *data)

    return Program(run, result, lambda: wait(current))


def bpkit_step(problem: Problem, loss: Callable[..., Any], jit: bool) -> Program:
    """Bpkit, on the backend in use; with jit the old weights are donated."""
    import bpkit
    from bpkit import optim, registry

    backend, device = registry.current()
    gradient = bpkit.grad(loss)
    optimizer = (optim.adam if problem.adam else optim.sgd)(problem.rate)

    def array(x: np.ndarray) -> Any:
        return backend.from_host(x, device)

    def step(params: Any, state: Any, *data: Any) -> Any:
        return optimizer.update(gradient(params, *data), state, params)

    def state() -> Any:
        return optimizer.init({key: array(x) for key, x in problem.params.items()})

    run = bpkit.jit(step, donate_argnums=(0, 1)) if jit else step
    return stepping(problem, array, run, state, host=backend.to_host)


def jax_step(problem: Problem, loss: Callable[..., Any]) -> Program:
    """JAX: the whole step in one ``jax.jit``, which may write over the old weights."""
    import jax
    import jax.numpy as jnp

    def step(params: Any, state: Any, *data: Any) -> Any:
        return update(problem, params, jax.grad(loss)(params, *data), state, jnp.sqrt)

    compiled = jax.jit(step, donate_argnums=(0, 1))
    return stepping(
        problem, jnp.array, compiled, partial(initial_state, problem, jnp.array), jax.block_until_ready
    )


def autograd_step(problem: Problem, loss: Callable[..., Any]) -> Program:
    """HIPS/autograd."""
    import autograd

    gradient = autograd.grad(loss)

    def step(params: Any, state: Any, *data: Any) -> Any:
        return update(problem, params, gradient(params, *data), state, np.sqrt)

    return stepping(problem, np.array, step, partial(initial_state, problem, np.array))


def mygrad_step(problem: Problem, loss: Callable[..., Any]) -> Program:
    """MyGrad: tensors of the weights in each step."""
    import mygrad

    mygrad.turn_memory_guarding_off()  # as its documentation advises where speed counts

    def step(params: Any, state: Any, *data: Any) -> Any:
        tensors = {key: mygrad.tensor(x, copy=False) for key, x in params.items()}
        loss(tensors, *data).backward()
        return update(problem, params, {key: x.grad for key, x in tensors.items()}, state, np.sqrt)

    return stepping(problem, np.array, step, partial(initial_state, problem, np.array))


def torch_step(problem: Problem, loss: Callable[..., Any], device: str, kind: str = "eager") -> Program:
    """PyTorch with its own optimiser; `kind` is ``"eager"``, ``"fused"`` or ``"compile"``.

    The last is one compiled function, gradient and update in place.
    """
    import torch

    data = [torch.from_numpy(x).to(device) for x in problem.data]
    params = {key: torch.from_numpy(x.copy()).to(device) for key, x in problem.params.items()}
    if kind == "compile":
        start, run = _torch_compiled(problem, loss, params, data)
    else:
        start, run = _torch_optimizer(problem, loss, params, data, kind == "fused")
    start()
    run()  # what is compiled in the first call is compared in the second
    with torch.no_grad():
        for key, x in problem.params.items():
            params[key].copy_(torch.from_numpy(x))
    moments = start()
    run()
    host = [{key: x.detach().cpu().numpy() for key, x in part.items()} for part in (params, moments())]
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    return Program(run, problem.gradients(*host), wait)


def _torch_optimizer(problem: Problem, loss: Any, params: Any, data: Any, fused: bool) -> tuple[Any, Any]:
    """A function that starts anew, and returns where Adam's moments are found; and a step."""
    import torch

    optimizer: Any = None
    for x in params.values():
        x.requires_grad_()

    def start() -> Callable[[], Any]:
        nonlocal optimizer
        kind = torch.optim.Adam if problem.adam else torch.optim.SGD
        optimizer = kind(params.values(), lr=problem.rate, fused=fused)
        return lambda: {key: optimizer.state[x]["exp_avg"] for key, x in params.items() if problem.adam}

    def run() -> None:
        optimizer.zero_grad()
        loss(params, *data).backward()
        optimizer.step()

    return start, run


def _torch_compiled(problem: Problem, loss: Any, params: Any, data: Any) -> tuple[Any, Any]:
    """The same for one compiled function."""
    import torch

    gradient = torch.func.grad(loss)
    moments, squares = ({key: torch.zeros_like(x) for key, x in params.items()} for _ in range(2))
    powers = torch.ones(2, device=data[0].device)

    def start() -> Callable[[], Any]:
        for x in (*moments.values(), *squares.values()):
            x.zero_()
        powers.fill_(1)
        return lambda: moments if problem.adam else {}

    def step(*data: Any) -> None:
        grads = gradient(params, *data)
        if not problem.adam:
            for key, x in params.items():
                x.sub_(grads[key], alpha=problem.rate)
            return
        powers.mul_(torch.tensor([BETA1, BETA2], device=powers.device))
        rate, root = problem.rate / (1 - powers[0]), torch.sqrt(1 - powers[1])
        for key, x in params.items():
            moments[key].mul_(BETA1).add_(grads[key], alpha=1 - BETA1)
            squares[key].mul_(BETA2).addcmul_(grads[key], grads[key], value=1 - BETA2)
            x.sub_(rate * moments[key] / (squares[key].sqrt() / root + EPS))

    compiled = torch.compile(step)

    def run() -> None:
        with torch.no_grad():
            compiled(*data)

    return start, run
