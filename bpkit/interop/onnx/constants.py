"""What a model holds: its arrays under the names of their places, and whatever was made of them."""

from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from bpkit import tree
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Traced
from bpkit.transforms.arguments import is_array

__all__ = ["Constant", "Rows", "Weights", "host_of"]


class Constant(NamedTuple):
    """An array that depends on no input, in the machine's memory.

    Attributes
    ----------
    value : numpy.ndarray
    name : str
        Where the model holds it; empty if it is none of its arrays.
    """

    value: np.ndarray[Any, Any]
    name: str


class Rows(NamedTuple):
    """The first rows of an array of the model, as of a table of positions.

    Attributes
    ----------
    array : Constant
    count : int or Size
    lead : int
        How many axes of length 1 stand before them.
    """

    array: Constant
    count: Any
    lead: int


class Weights:
    """The arrays of a model, each under the name of its place, and copies of all others."""

    def __init__(self, model: Any, dynamic: bool) -> None:
        self._names: dict[int, str] = {}
        self._changed: dict[bytes, str] = {}
        self._kept: dict[bytes, Constant] = {}
        self._dynamic = dynamic
        self._others: dict[str, np.ndarray[Any, Any]] = {}
        for path, leaf in zip(tree.paths(model), tree.leaves(model), strict=True):
            if is_array(leaf):
                name = path.lstrip(".")
                self._names.setdefault(id(raw(leaf)), name)
                host = host_of(leaf)
                self._changed.setdefault(_digest(host.reshape(-1)), f"{name}.reshaped")
                if dynamic and host.ndim > 1:
                    self._others[name] = host
                if host.ndim == 2:
                    self._changed.setdefault(_digest(host.T), f"{name}.T")

    def keep(self, x: Any) -> Any:
        """An operand as it is now; of an array a copy in the machine's memory."""
        if isinstance(x, Traced):
            x = raw(x)
        if not is_array(x):
            return x
        name = self._names.get(id(x), "")
        found = self._constant(host_of(x), name)
        return found if name else self._rows(found)

    def _constant(self, host: np.ndarray[Any, Any], name: str) -> Constant:
        digest = _digest(host) + name.encode()
        if digest not in self._kept:
            changed = self._changed.get(digest, self._changed.get(_digest(host.reshape(-1)), ""))
            self._kept[digest] = Constant(host, name or changed)
        return self._kept[digest]

    def _rows(self, x: Constant) -> "Constant | Rows":
        """As the first rows of an array of the model, if it is that: how many may depend on a length."""
        shape = x.value.shape
        lead = next((i for i, n in enumerate(shape) if n != 1), len(shape))
        flat = x.value.reshape(shape[lead:])
        if flat.ndim < 2 or not self._dynamic:
            return x
        for name, other in self._others.items():
            first = other[: len(flat)]
            if len(other) > len(flat) and first.shape == flat.shape and np.array_equal(first, flat):
                return Rows(self._constant(other, name), len(flat), lead)
        return x


def host_of(x: Any) -> np.ndarray[Any, Any]:
    """A copy in the machine's memory."""
    x = raw(x)
    return np.asarray(backend_of(x).to_host(x))


def _digest(x: np.ndarray[Any, Any]) -> bytes:
    return blake2b(np.ascontiguousarray(x).tobytes(), key=f"{x.dtype}{x.shape}".encode()[:64]).digest()
