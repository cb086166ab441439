"""A model with other weights, and the weights of a model, by PyTorch's names."""

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bpkit import nn, tree
from bpkit.errors import ArgumentError
from bpkit.interop.weights.sources import PICKLES, Host, entries_of, pytorch
from bpkit.kinds import raw
from bpkit.nn.recurrent import RecurrentWeights
from bpkit.registry import backend_of
from bpkit.training.files import write
from bpkit.training.format import serialize
from bpkit.transforms.arguments import describe, is_array

__all__ = ["load", "save", "to_state_dict"]

Rename = Mapping[str, str] | Callable[[str], str | None]

SHOWN = 8
"""How many entries of each kind an error lists."""


def load(model: Any, source: Any, *, rename: Rename | None = None, strict: bool = True) -> Any:
    """A model with the weights of another one.

    Parameters
    ----------
    model : Module
        It stays as it is. Every array of it, buffers too, has a name in the source.
    source : mapping or path
        A mapping of names to tensors or arrays, such as a ``state_dict()``; a ``.safetensors`` file; or a
        file of ``torch.save`` (``.pt``, ``.pth``, ``.bin``), of which only tensors are read, and which needs
        PyTorch.
    rename : mapping or callable, optional
        What names of the source are called in the model; None for a name leaves the entry out. A mapping
        keeps all other names.
    strict : bool
        Whether it is an error if an array of the model is missing in the source, or the source has more.
        Without, what is missing stays as it is in the model.

    Returns
    -------
    Module
        Of the same structure; arrays have the dtype, the library and the device that they have in `model`.

    Raises
    ------
    ArgumentError
        If entries are missing or not expected, have another shape or kind of dtype, or hold numbers beyond
        the model's dtype: all in one error, with the nearest names. Nothing is loaded then. Also if two
        entries or two arrays of the model have one name.
    FileNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not what its name says.
    ImportError
        If a file of ``torch.save`` is to be read and PyTorch is not installed.

    Notes
    -----
    Names are PyTorch's: ``0.weight`` for ``layers[0].weight`` of a :class:`bpkit.nn.Sequential`,
    ``weight_ih_l0``, ``in_proj_weight``, ``self_attn.out_proj.bias``, ``running_mean``. A name may also be
    written as bpkit reaches the array. ``num_batches_tracked``, which a BatchNorm of bpkit only has without a
    momentum, is left out where the model has none.

    References
    ----------
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html, ``state_dict``, and
    https://huggingface.co/docs/safetensors, on the format.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import nn, random
    >>> model = nn.Sequential(nn.Dense(2, 1, key=random.key(0)), nn.tanh)
    >>> state = {"0.weight": np.asarray([[1.0, 2.0]]), "0.bias": np.asarray([3.0])}
    >>> load(model, state).layers[0].bias
    array([3.])
    """
    called = f"weights.load into {type(model).__name__}"
    entries, origin = entries_of(called, source)
    entries = _renamed(called, entries, rename)
    slots = _named_slots(model)
    aliases = {path.lstrip("."): slot for path, slot in zip(tree.paths(model), slots, strict=True)}
    known = aliases | {slot.name: slot for slot in slots}
    problems: dict[str, list[str]] = {"missing": [], "unexpected": [], "misfit": []}
    found: dict[str, Any] = {}
    taken: dict[str, str] = {}
    unexpected: list[str] = []
    for name, value in entries.items():
        if name not in known:
            if not name.endswith("num_batches_tracked"):
                unexpected.append(name)
            continue
        slot = known[name]
        if slot.name in taken:
            raise ArgumentError(
                f"{called}: {origin} has two entries for one array, {taken[slot.name]} and {name}; "
                f"leave one out"
            )
        taken[slot.name] = name
        found[slot.name], problem = _converted(slot, value)
        if problem:
            problems["misfit"].append(f"{name} {problem}")
    missing = [slot.name for slot in slots if slot.name not in found]
    if strict:
        problems["missing"] = [name + _nearest(name, unexpected) for name in missing]
        problems["unexpected"] = [name + _nearest(name, missing) for name in unexpected]
    if any(problems.values()):
        raise ArgumentError(_complaint(called, origin, problems))
    leaves = [_placed(slot.leaf, found[slot.name]) if slot.name in found else slot.leaf for slot in slots]
    return tree.unflatten(tree.structure(model), leaves)


def to_state_dict(model: Any) -> dict[str, Any]:
    """The weights of a model as a ``state_dict`` that PyTorch's module of the same layers loads.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU, of the model's dtypes; copies.

    Raises
    ------
    ImportError
        If PyTorch is not installed; :func:`save` does without.

    Examples
    --------
    >>> from bpkit import nn, random
    >>> model = nn.Sequential(nn.Dense(3, 2, key=random.key(0)), nn.tanh)
    >>> {name: tuple(x.shape) for name, x in to_state_dict(model).items()}
    {'0.weight': (2, 3), '0.bias': (2,)}
    """
    torch = pytorch("weights.to_state_dict")
    return {name: torch.from_numpy(x) for name, x in _arrays(model).items()}


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model as a safetensors file, under PyTorch's names.

    Parameters
    ----------
    model : Module
    path : path
        The file is whole or as it was before.

    Raises
    ------
    ArgumentError
        If the path is called as a file of ``torch.save``, or two arrays of the model have one name.
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from bpkit import nn, random
    >>> model = nn.Sequential(nn.Dense(3, 2, key=random.key(0)), nn.tanh)
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save(model, path)
    >>> bool((load(model, path).layers[0].weight == model.layers[0].weight).all())
    True
    """
    if Path(path).suffix in PICKLES:
        raise ArgumentError(
            f"weights.save: {path} is called as a file of torch.save, and this writes safetensors; call it "
            f".safetensors, or write torch.save(weights.to_state_dict(model), {str(path)!r})"
        )
    write(Path(path), serialize(_arrays(model)))


def _arrays(model: Any) -> dict[str, Host]:
    found: dict[str, Host] = {}
    for slot in _named_slots(model):
        if not is_array(slot.leaf):
            raise ArgumentError(f"weights: {slot.name} must be an array; it is {describe(slot.leaf)}")
        x = _host(slot.leaf)
        # PyTorch counts in int64.
        found[slot.name] = x.astype(np.int64) if slot.name.endswith("num_batches_tracked") else x
    return found


# Names.


class _Slot(NamedTuple):
    name: str
    leaf: Any


_ATTENTION = {
    "in_weight": "in_proj_weight",
    "in_bias": "in_proj_bias",
    "out_weight": "out_proj.weight",
    "out_bias": "out_proj.bias",
}
_PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


def _named_slots(model: Any) -> list[_Slot]:
    """The leaves of a model, each with a name of its own."""
    slots = list(_slots(model))
    names: dict[str, str] = {}
    for path, slot in zip(tree.paths(model), slots, strict=True):
        if slot.name in names:
            raise ArgumentError(
                f"weights: {names[slot.name]} and {path.lstrip('.')} of the model would both be called "
                f"{slot.name!r} in a state dict; rename one of them"
            )
        names[slot.name] = path.lstrip(".")
    return slots


def _slots(part: Any, prefix: str = "") -> Iterator[_Slot]:
    """The leaves of a model in their order, with PyTorch's names."""
    if isinstance(part, nn.RNN | nn.GRU | nn.LSTM):
        for i, layer in enumerate(part.layers):
            for side, weights in enumerate(layer):
                yield from _slots(weights, f"{prefix}*_l{i}{'_reverse' * side}.")
        yield from _slots(part.dropout, f"{prefix}dropout.")
        return
    for step, child in tree.children(part):
        if child is None:
            continue
        name = step.strip("[].'\"")
        if isinstance(part, RecurrentWeights):
            name = prefix[:-1].replace("*", name)
        elif isinstance(part, nn.MultiHeadAttention) and isinstance(child, tuple):
            for projection, weight in zip(_PROJECTIONS, child, strict=True):
                yield _Slot(prefix + projection, weight)
            continue
        elif isinstance(part, nn.Sequential | nn.Frozen):
            name = prefix.rstrip(".")  # What it holds stands at its own place.
        elif isinstance(part, nn.MultiHeadAttention):
            name = prefix + _ATTENTION.get(name, name)
        elif isinstance(part, nn.TransformerBlock) and name == "attention":
            name = f"{prefix}self_attn"
        else:
            name = prefix + name
        if tree.structure(child).is_leaf():
            yield _Slot(name, child)
        else:
            yield from _slots(child, f"{name}." if name else "")


def _renamed(called: str, entries: Mapping[str, Any], rename: Rename | None) -> dict[str, Any]:
    if rename is None:
        return dict(entries)
    found: dict[str, Any] = {}
    for name, value in entries.items():
        new = rename(name) if callable(rename) else rename.get(name, name)
        if new is None:
            continue
        if new in found:
            raise ArgumentError(f"{called}: rename gives two entries of the source the name {new!r}")
        found[new] = value
    return found


# Values.


def _host(x: Any) -> Host:
    x = raw(x)
    if str(x.dtype) == "torch.bfloat16":
        x = x.float()  # NumPy has no such dtype
    return np.asarray(backend_of(x).to_host(x))


def _misfit(slot: _Slot, value: Any) -> str:
    """What is wrong with a value for its place; empty if nothing is."""
    shape, wanted = tuple(value.shape), tuple(getattr(slot.leaf, "shape", ()))
    if shape != wanted:
        return f"has the shape {shape}, the model {wanted}"
    kind, wanted_kind = _kind(value), _kind(slot.leaf)
    return "" if kind == wanted_kind else f"is {kind}, in the model {wanted_kind}"


def _kind(x: Any) -> str:
    name = str(getattr(x, "dtype", type(x).__name__)).rpartition(".")[2]
    return next((kind for kind in ("complex", "float", "bool") if kind in name), "integer")


def _converted(slot: _Slot, value: Any) -> tuple[Any, str]:
    """A value as an array of NumPy in the dtype of its place, and what is wrong with it."""
    if problem := _misfit(slot, value) or _unreadable(value):
        return None, problem
    host = _host(value)
    if not is_array(slot.leaf):
        return host, ""
    dtype = str(slot.leaf.dtype).rpartition(".")[2]
    with np.errstate(over="ignore", invalid="ignore"):
        cast = host.astype(dtype)
        lost = np.isfinite(host) & ~np.isfinite(cast) if _kind(host) in ("float", "complex") else cast != host
    if np.any(lost):
        return None, f"holds {host[lost][0]}, which is beyond the model's {dtype}"
    return cast, ""


def _unreadable(value: Any) -> str:
    """Why a tensor of PyTorch is no array of NumPy; empty if it is one."""
    dtype = str(value.dtype).rpartition(".")[2]
    if dtype.startswith("float8"):
        return f"is {dtype}, which NumPy does not have; pass it as x.float()"
    if str(getattr(value, "layout", "torch.strided")) != "torch.strided":
        return "is sparse; pass it as x.to_dense()"
    return "is on the device meta and has no values" if str(getattr(value, "device", "")) == "meta" else ""


def _placed(leaf: Any, host: Host) -> Any:
    """A value in the library and on the device of a leaf."""
    if not is_array(leaf):
        return type(leaf)(host.item())
    return backend_of(raw(leaf)).from_host(host, getattr(leaf, "device", None))


# Complaints.


def _nearest(name: str, others: list[str]) -> str:
    close = get_close_matches(name, others, n=1, cutoff=0.5)
    return f" (nearest: {close[0]})" if close else ""


def _complaint(called: str, origin: str, problems: Mapping[str, list[str]]) -> str:
    parts = []
    for kind, entries in problems.items():
        if entries:
            more = [f"and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
            parts.append(f"{len(entries)} {kind}: {', '.join([*entries[:SHOWN], *more])}")
    hint = ""
    if problems["missing"] or problems["unexpected"]:
        hint = ". rename= says what names of the source are called in the model, strict=False takes what fits"
    return f"{called}: {origin} does not fit. {'; '.join(parts)}{hint}. Nothing was loaded"
