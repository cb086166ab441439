"""From a state to arrays by name in the machine's memory, and back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import registry, tree
from bpkit.errors import ArgumentError, CorruptRunError
from bpkit.namespace.dtypes import NAMES
from bpkit.training.run import Saved
from bpkit.training.state import Epoch, State

__all__ = ["described", "restored", "snapshot", "unpack"]

_ADVICE = "it was made by another version of bpkit: use that one, or train again"
_SAVED = {*NAMES, "float16"}
_OTHER_MODEL = "give the model and the optimizer that it was made with, or train into another folder"


@dataclass(frozen=True, slots=True)
class _Array:
    """Stands for an array in the text of a model: without numbers, which change, and without the library."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def described(model: Any) -> str | None:
    """The text of a model, the same for other numbers and on all backends; None if it cannot be had."""
    try:
        bare = tree.map(
            lambda x: _Array(tuple(x.shape), str(x.dtype).rpartition(".")[2]) if hasattr(x, "shape") else x,
            model,
        )
        text = repr(bare)
    except Exception:  # noqa: BLE001 - a class of the user's may do anything with its arrays
        return None
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def snapshot(state: State, epochs: int) -> Saved:
    """What is saved of a state.

    Parameters
    ----------
    state : State
    epochs : int
        How many epochs the run is to have.

    Raises
    ------
    DivergedError
        If a loss is not finite.
    """
    losses = state.read_losses()
    model = state.model
    weights = next(leaf for leaf in tree.leaves(model) if hasattr(leaf, "shape"))
    backend = registry.backend_of(weights)
    return Saved(
        arrays={
            **_pack("model", model),
            **_pack("optimizer", state.optimizer_state),
            "losses": np.asarray(losses, dtype=np.float64),
        },
        metrics=tuple(epoch.to_json() for epoch in state.metrics),
        step=state.step,
        seconds=state.seconds,
        epochs=epochs,
        backend=backend.name,
        device=backend.device_of(weights),
    )


def restored(saved: Saved, fresh: State, where: str) -> State:
    """The state that was saved, on the current backend.

    Parameters
    ----------
    saved : Saved
        On whatever backend.
    fresh : State
        One with the same structure.
    where : str
        For errors.

    Raises
    ------
    CorruptRunError
        If names, shapes or dtypes of the saved arrays are not those of `fresh`.
    """
    try:
        metrics = [Epoch.from_json(epoch) for epoch in saved.metrics]
    except TypeError as error:
        raise CorruptRunError(f"{where}: metrics.jsonl has a line of another kind; {_ADVICE}") from error
    state = State(
        model=unpack("model", fresh.model, saved, where),
        optimizer_state=unpack("optimizer", fresh.optimizer_state, saved, where),
        metrics=metrics,
        step=saved.step,
        losses=saved.arrays["losses"].tolist(),
        seconds=saved.seconds,
    )
    expected = {"losses", *_pack("model", state.model), *_pack("optimizer", state.optimizer_state)}
    if extra := sorted(saved.arrays.keys() - expected):
        raise CorruptRunError(
            f"{where}: the saved {extra[0]} belongs to no part of the model; {_OTHER_MODEL}"
        )
    return state


def _pack(prefix: str, values: Any) -> Mapping[str, np.ndarray[Any, Any]]:
    arrays = {
        prefix + path: leaf
        for path, leaf in zip(tree.paths(values), tree.leaves(values), strict=True)
        if hasattr(leaf, "shape")
    }
    for name, leaf in arrays.items():
        dtype = str(leaf.dtype).rpartition(".")[2]
        if dtype not in _SAVED:
            raise ArgumentError(
                f"{name} has dtype {dtype}, which the files of a run folder do not hold; keep the parameters "
                f"in float32, and run the model in bfloat16 by fit(..., precision='bfloat16')"
            )
    return {name: registry.backend_of(leaf).to_host(leaf) for name, leaf in arrays.items()}


def unpack(prefix: str, template: Any, saved: Saved, where: str, advice: str = _OTHER_MODEL) -> Any:
    """The saved arrays in place of those of the template, on the current backend; see :func:`restored`."""
    backend, device = registry.current()
    leaves, structure = tree.flatten(template)
    for place, (path, old) in enumerate(zip(tree.paths(template), leaves, strict=True)):
        if not hasattr(old, "shape"):
            continue
        name = prefix + path
        new = saved.arrays.get(name)
        if new is None:
            raise CorruptRunError(f"{where}: {name} is not among the saved arrays; {advice}")
        shape, dtype = tuple(old.shape), str(old.dtype).rpartition(".")[2]
        if (new.shape, new.dtype.name) != (shape, dtype):
            raise CorruptRunError(
                f"{where}: the saved {name} has shape {new.shape} and dtype {new.dtype}, the model has "
                f"{shape} and {dtype}; {advice}"
            )
        leaves[place] = backend.from_host(new, device)
    return tree.unflatten(structure, leaves)
