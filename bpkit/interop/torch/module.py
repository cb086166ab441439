"""Models of bpkit as modules of PyTorch."""

from typing import Any

import torch

from bpkit import nn, random, tree
from bpkit.errors import ArgumentError
from bpkit.fields import parts_of
from bpkit.interop.crossing import carried, on_host
from bpkit.interop.torch.outward import call
from bpkit.kinds import is_inexact
from bpkit.registry import backend_of, get_backend
from bpkit.transforms.arguments import describe, is_array

__all__ = ["BpkitModule", "to_torch_module"]


def to_torch_module(model: Any, *, backend: str | None = None) -> "BpkitModule":
    """A model of bpkit as a ``torch.nn.Module``, for optimisers, state dicts and training loops of PyTorch.

    Parameters
    ----------
    model : Module
        Or a tree of them that can be called. Its arrays are copied.
    backend : str or None
        The library in which it runs, as for :func:`to_torch`; None for PyTorch itself.

    Returns
    -------
    BpkitModule

    Raises
    ------
    ArgumentError
        If `model` is no tree of arrays that can be called, or if a field has a name that PyTorch does not
        allow for a parameter.

    Examples
    --------
    >>> import torch
    >>> from bpkit import nn, random
    >>> model = nn.Sequential(nn.Dense(3, 2, key=random.key(0)), nn.tanh)
    >>> module = to_torch_module(model)
    >>> [(name, tuple(p.shape)) for name, p in module.named_parameters()]
    [('layers.0.weight', (2, 3)), ('layers.0.bias', (2,))]
    >>> module(torch.zeros(4, 3, dtype=torch.float64)).sum().backward()
    >>> tuple(module.get_parameter("layers.0.weight").grad.shape)
    (2, 3)
    >>> module.to_bpkit()[0]
    Dense(3 → 2)
    """
    return BpkitModule(model, backend)


class BpkitModule(torch.nn.Module):  # type: ignore[misc]
    """A model of bpkit in PyTorch; made by :func:`to_torch_module`.

    Parameters
    ----------
    model : Module
    backend : str or None

    Notes
    -----
    Arrays are parameters by their dotted names, those in :class:`bpkit.nn.Frozen` without gradients; those
    in fields made by :func:`bpkit.nn.buffer`, and integers, are buffers. After ``train()``, which is how a
    module begins, a call is a :func:`bpkit.nn.training_call`: it renews the buffers, and where a layer draws,
    the key is drawn from torch's generator of the CPU, so that ``torch.manual_seed`` decides. After
    ``eval()`` the model predicts. ``state_dict``, ``to`` and copies work as for any module.
    """

    def __init__(self, model: Any, backend: str | None = None) -> None:
        super().__init__()
        if not callable(model):
            raise ArgumentError(
                f"to_torch_module: the first argument must be a model, a tree of arrays that can be called; "
                f"it is {describe(model)}"
            )
        leaves, structure = tree.flatten(model)
        trained = [x is not None for x in tree.match(nn.partition(model).trainable, structure)]
        self._called = f"to_torch_module of {type(model).__name__}"
        self._backend = backend
        self._model = model
        self._names: list[str | None] = []
        for accessor, x, is_trained in zip(structure.accessors(), leaves, trained, strict=True):
            if not is_array(x):
                self._names.append(None)
                continue
            names = ".".join([str(entry.entry) for entry in accessor] or ["value"]).split(".")
            tensor = carried(self._called, ".".join(names), x, get_backend("torch")).detach().clone()
            if is_trained or not (_is_buffer(model, accessor) or not is_inexact(tensor)):
                self._put(names, torch.nn.Parameter(tensor, requires_grad=is_trained))
            else:
                self._put(names, tensor)
            self._names.append(".".join(names))

    def _put(self, names: list[str], tensor: torch.Tensor) -> None:
        owner: torch.nn.Module = self
        try:
            for name in names[:-1]:
                if name not in owner._modules:
                    owner.add_module(name, torch.nn.Module())
                owner = owner.get_submodule(name)
            if isinstance(tensor, torch.nn.Parameter):
                owner.register_parameter(names[-1], tensor)
            else:
                owner.register_buffer(names[-1], tensor)
        except KeyError as error:
            raise ArgumentError(
                f"{self._called}: PyTorch refuses the name {'.'.join(names)} of an array: {error.args[0]}. "
                f"Give the field or the key another name"
            ) from None

    def _tensors(self) -> list[torch.Tensor | None]:
        """The tensors now, in the order of the model's leaves; None for what is no array."""
        named = {**dict(self.named_parameters(remove_duplicate=False)), **dict(self.named_buffers())}
        return [None if name is None else named[name] for name in self._names]

    def _filled(self, arrays: list[Any]) -> Any:
        leaves, structure = tree.flatten(self._model)
        return tree.unflatten(
            structure, [leaf if x is None else x for leaf, x in zip(leaves, arrays, strict=True)]
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns: a tree of tensors."""
        library = None if self._backend is None else get_backend(self._backend)
        tensors = self._tensors()
        if not self.training:

            def predict(arrays: list[Any], *args: Any, **kwargs: Any) -> Any:
                return self._filled(arrays)(*args, **kwargs)

            return call(self._called, predict, library, (tensors, *args), kwargs)
        parameters = (torch.nn.Parameter, type(None))
        changing = {i: x for i, x in enumerate(tensors) if not isinstance(x, parameters)}
        # They are written to before the way back, which must see what they were.
        given = [changing[i].clone() if i in changing else x for i, x in enumerate(tensors)]

        def train(arrays: list[Any], *args: Any, **kwargs: Any) -> Any:
            model = self._filled(arrays)
            output, model = nn.training_call(model, *args, key=_drawn_key, **kwargs)
            after = tree.leaves(model)
            return output, [after[i] for i in changing]

        output, new = call(self._called, train, library, (given, *args), kwargs)
        with torch.no_grad():
            for x, value in zip(changing.values(), new, strict=True):
                x.copy_(value)
        return output

    def to_bpkit(self) -> Any:
        """The model of bpkit with the arrays as they are now: copies, in the library that they came from.

        Returns
        -------
        Module
            Arrays of a library that knows only the machine's memory come back into it from any device.
        """
        found = []
        for leaf, x in zip(tree.leaves(self._model), self._tensors(), strict=True):
            if x is not None:
                owner = backend_of(leaf)
                x = x.detach().clone()
                if on_host(leaf):
                    x = x.cpu()
                x = carried(self._called, "a parameter", x, owner)
            found.append(x)
        return self._filled(found)

    def extra_repr(self) -> str:
        """The model, and the library in which it runs."""
        return f"{self._model!r}, backend={self._backend!r}"


def _drawn_key() -> Any:
    return random.key(int(torch.randint(2**63 - 1, (), dtype=torch.int64)))


def _is_buffer(model: Any, accessor: Any) -> bool:
    """Whether the way to a leaf leads through a field made by :func:`bpkit.nn.buffer`."""
    part = model
    for entry in accessor:
        cls: Any = type(part)
        if tree.is_dataclass(cls) and entry.entry in parts_of(cls).buffers:
            return True
        part = entry(part)
    return False
