"""The files of a run folder: JSON and safetensors, read with every check there is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpkit import __version__
from bpkit.errors import CorruptRunError, RunError
from bpkit.training import files

__all__ = ["FORMAT", "arrays_of", "check", "corrupt", "dump", "parse", "read", "serialize"]

FORMAT = 1
"""Version of the folder's layout; a folder with a higher one is refused."""


def dump(value: object, indent: int | None = 1) -> bytes:
    """A value as JSON, by itself or on a line."""
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode("ascii")


def read(path: Path) -> bytes:
    """What a plain file holds.

    Raises
    ------
    CorruptRunError, RunError
        If it is missing or no plain file; if it cannot be read.
    """
    if path.exists() and (path.is_symlink() or not path.is_file()):
        raise corrupt(path, "is not a plain file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise corrupt(path, "is missing") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def parse(path: Path, content: bytes) -> dict[str, Any]:
    """The object of a JSON file of this format.

    Raises
    ------
    CorruptRunError
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise corrupt(path, f"is no JSON ({error})") from error
    version = value.get("format") if isinstance(value, dict) else None
    if version == FORMAT:
        return dict(value)
    if isinstance(version, int) and version > FORMAT:
        raise CorruptRunError(
            f"{path} has format version {version}, but bpkit {__version__} reads version {FORMAT} and older: "
            "update bpkit"
        )
    raise corrupt(path, "is JSON, but not what bpkit writes there")


def check(path: Path, content: bytes, record: Mapping[str, Any]) -> None:
    """Refuse content that has not the SHA-256 of its record.

    Raises
    ------
    CorruptRunError
    """
    if files.sha256(content) != record["sha256"]:
        raise corrupt(
            path, "was cut, changed or damaged since it was saved (SHA-256 is not that in state.json)"
        )


def corrupt(path: Path, problem: str) -> CorruptRunError:
    """The error of a file that cannot be used."""
    return CorruptRunError(f"{path} {problem}; restore the folder from a copy, or train again into a new one")


def serialize(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Arrays as a safetensors file."""
    from safetensors.numpy import save

    # safetensors writes the memory of an array, so it must be in C order
    content: bytes = save({name: np.asarray(x, order="C") for name, x in arrays.items()})
    return content


def arrays_of(path: Path, content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a safetensors file.

    Raises
    ------
    CorruptRunError
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, np.ndarray[Any, Any]] = load(content)
    except SafetensorError as error:
        raise corrupt(path, f"is no safetensors file ({error})") from error
    return arrays
