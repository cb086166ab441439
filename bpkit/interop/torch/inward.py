"""Functions and models of PyTorch as functions and models of bpkit."""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

from bpkit.errors import ArgumentError
from bpkit.interop.calls import Call
from bpkit.interop.foreign import Foreign
from bpkit.interop.torch.native import Tensors, TorchNative
from bpkit.nn import Module, buffer, mode, static
from bpkit.transforms.arguments import title
from bpkit.transforms.functions import apply

__all__ = ["TorchModule", "from_torch"]


def from_torch(fun: Callable[..., Any]) -> Any:
    """A function of PyTorch as a function of bpkit; of a ``torch.nn.Module``, a model of bpkit.

    Parameters
    ----------
    fun : callable or torch.nn.Module
        Takes trees of tensors (and anything else, which has no derivative) and returns a tree of tensors.

    Returns
    -------
    callable, or TorchModule
        Takes trees of arrays of one library, whichever it is, and returns arrays of that library. `fun` gets
        copies, which it may write to; its results are taken over in the same memory where DLPack can do that.
        bpkit's transforms differentiate it by torch.autograd, to any order; forward mode too, batches by
        ``torch.func.vmap``, in functions that it can transform. In :func:`bpkit.jit` it is one opaque step.

        A module becomes a :class:`TorchModule`, whose arrays are those of the module.

    Raises
    ------
    ArgumentError
        If no argument has an array, or a result is no tensor.
    GradientCutError
        In a gradient, if the result depends on a tensor that requires gradients and is no argument.
    MixedBackendsError
        If arrays of two libraries are among the arguments.

    Notes
    -----
    Tensors that no transform of bpkit watches reach `fun` as they are, and torch.autograd goes on. Random
    numbers are drawn from torch's generators; a derivative that runs `fun` again draws the same ones.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from bpkit import grad, xp
    >>> smooth = from_torch(torch.nn.functional.softplus)
    >>> print(grad(lambda x: xp.sum(smooth(x) ** 2))(np.asarray([0.0, 1.0])))
    [0.69314718 1.92014245]
    >>> print(grad(grad(lambda x: smooth(x)))(np.asarray(0.0)))
    0.25
    """
    if isinstance(fun, torch.nn.Module):
        return TorchModule(fun)
    called = title("from_torch", fun, advice="")

    @wraps(fun, updated=())
    def of_arrays(*args: Any, **kwargs: Any) -> Any:
        return _call(called, fun, args, kwargs)

    return of_arrays


def _call(called: str, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of tensors of any arrays."""
    call = Call(called, fun, args, kwargs)
    if all(isinstance(x, torch.Tensor) for x in call.arrays):
        return fun(*args, **kwargs)

    def body(tensors: Tensors) -> Tensors:
        return call.run(tensors, torch.Tensor, "a tensor")

    try:
        return call.result(apply(Foreign(TorchNative.of(called, body)), call.arrays))
    except ArgumentError as error:
        if torch.is_autocast_enabled("cpu") and "dtype torch." in str(error):
            raise ArgumentError(f"{error}. torch.autocast is on, and made the dtype narrow") from error
        raise


class _Held(Module):
    """A tensor of a module that is not trained: a buffer, or a parameter without gradients."""

    value: Any = buffer()


class TorchModule(Module):
    """A ``torch.nn.Module`` as a model of bpkit; made by :func:`from_torch`.

    Parameters
    ----------
    module : torch.nn.Module
        It is copied, and never changed.

    Attributes
    ----------
    weights : dict of arrays
        Its parameters by their dotted names, at first as tensors; any library's arrays may take their place:
        ``bpkit.tree.map(lambda p: p.numpy(), model)``.
    held : dict
        Its buffers, and its parameters that require no gradient: not trained.

    Notes
    -----
    It predicts in the module's evaluation mode. In :func:`bpkit.nn.training_call` it runs in training mode,
    its buffers are new in the model that is returned, and what it draws depends on the key of the call;
    without a key it draws from torch's own generators.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from bpkit import grad, tree, xp
    >>> model = from_torch(torch.nn.Linear(3, 1, dtype=torch.float64))
    >>> model = tree.map(lambda p: np.ones_like(p.numpy()), model)
    >>> print(model(np.ones((2, 3))))
    [[4.]
     [4.]]
    >>> print(grad(lambda model: xp.mean(model(np.ones((2, 3)))))(model).weights["weight"])
    [[1. 1. 1.]]
    """

    weights: dict[str, Any]
    held: dict[str, _Held]
    predicting: torch.nn.Module = static()
    learning: torch.nn.Module = static()

    def __init__(self, module: torch.nn.Module) -> None:
        named = dict(module.named_parameters())
        buffers = dict(module.named_buffers())
        shared = {id(x): x for x in (*named.values(), *buffers.values())}
        self.predicting = copy.deepcopy(module, dict(shared)).eval()
        self.learning = copy.deepcopy(module, dict(shared)).train()
        self.weights = {name: x.detach().clone() for name, x in named.items() if x.requires_grad}
        rest = {name: x for name, x in named.items() if not x.requires_grad} | buffers
        self.held = {name: _Held(x.detach().clone()) for name, x in rest.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns; trees of arrays of the library of the parameters."""
        called = f"from_torch of {type(self.predicting).__name__}"
        training = mode.current()
        if training is None:
            values = {name: held.value for name, held in self.held.items()}

            def predict(weights: Any, values: Any, args: Any, kwargs: Any) -> Any:
                return torch.func.functional_call(self.predicting, weights | values, args, kwargs)

            return _call(called, predict, (self.weights, values, args, kwargs), {})
        values = {name: training.latest(held).value for name, held in self.held.items()}
        try:
            key = training.key_for(self)
        except ArgumentError:  # the call has none
            key = None

        def train(weights: Any, values: Any, key: Any, args: Any, kwargs: Any) -> Any:
            values = {name: x.clone() for name, x in values.items()}
            with _seeded(key):
                out = torch.func.functional_call(self.learning, weights | values, args, kwargs)
            return out, values

        out, values = _call(called, train, (self.weights, values, key, args, kwargs), {})
        for name, value in values.items():
            training.update(self.held[name], value=value)
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.predicting).__name__})"


@contextmanager
def _seeded(key: torch.Tensor | None) -> Any:
    """Draw what a key says, on every device, and go on afterwards as if nothing had been drawn."""
    if key is None:
        yield
        return
    high, low = (int(word) for word in key)
    with torch.random.fork_rng():
        torch.manual_seed(high << 32 | low)
        yield
