"""What a source of weights holds: a mapping, a safetensors file, or a file of ``torch.save``."""

import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpkit.errors import ArgumentError, CorruptDataError
from bpkit.transforms.arguments import describe, is_array

__all__ = ["PICKLES", "Host", "entries_of", "pytorch"]

Host = np.ndarray[Any, Any]

PICKLES = (".pt", ".pth", ".bin")
"""Endings of files of ``torch.save``."""


def entries_of(called: str, source: Any) -> tuple[Mapping[str, Any], str]:
    """What the source holds, and what an error calls it."""
    if isinstance(source, Mapping):
        return _checked(called, source, "the mapping", "source"), "the mapping"
    if not isinstance(source, str | os.PathLike):
        raise ArgumentError(f"{called}: source must be a mapping or a path; it is {describe(source)}")
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{called}: there is no file {path}")
    if path.suffix == ".safetensors":
        return _safetensors(path), str(path)
    if path.suffix in PICKLES:
        inner = f"torch.load({str(path)!r}, weights_only=True)"
        return _checked(called, _pickled(called, path), str(path), inner), str(path)
    raise ArgumentError(f"{called}: {path} must be called .safetensors, .pt, .pth or .bin")


def _checked(called: str, entries: Any, origin: str, inner: str) -> Mapping[str, Any]:
    if not isinstance(entries, Mapping):
        raise ArgumentError(f"{called}: {origin} must hold a mapping of names; it is {describe(entries)}")
    wrong = {
        name: value for name, value in entries.items() if not isinstance(name, str) or not is_array(value)
    }
    for name, value in wrong.items():
        if isinstance(value, Mapping):
            raise ArgumentError(
                f"{called}: {origin} must map names to tensors or arrays; {name!r} is a mapping; pass what "
                f"is under {name!r}: {inner}[{name!r}]"
            )
    for name, value in wrong.items():
        raise ArgumentError(
            f"{called}: {origin} must map names to tensors or arrays; {name!r} is {describe(value)}"
        )
    return entries


def _safetensors(path: Path) -> dict[str, Host]:
    from safetensors import SafetensorError, deserialize

    try:
        content = path.read_bytes()
        parts = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise CorruptDataError(f"{path} is no safetensors file: {error}") from error
    found = {name: _numbers(path, name, part) for name, part in parts}
    # Tied weights stand there once; safetensors.torch.save_model notes the names that it left out.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    for name, kept in header.get("__metadata__", {}).items():
        if name not in found and kept in found:
            found[name] = found[kept]
    return found


_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BOOL": "?",
    "C64": "<c8",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


def _numbers(path: Path, name: str, part: Mapping[str, Any]) -> Host:
    data, shape, dtype = part["data"], part["shape"], part["dtype"]
    if dtype == "BF16":
        # The upper half of a float32.
        wide = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise CorruptDataError(f"{path}: {name} has the dtype {dtype}, which NumPy does not have")
    return np.frombuffer(data, dtype=_DTYPES[dtype]).reshape(shape)


def _pickled(called: str, path: Path) -> Any:
    torch = pytorch(called)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are read all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The rest of PyTorch's text advises to run what the file says.
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it names {named[1]}" if named else type(error).__name__
        raise CorruptDataError(
            f"{path} is no file of torch.save that holds tensors alone: {reason}. Other "
            f"objects in it are not read, since that would run what the file says; save model.state_dict()"
        ) from error


def pytorch(called: str) -> Any:
    """PyTorch, or an error that says how to install it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{called} needs PyTorch, which is not installed: pip install torch") from error
    return torch
