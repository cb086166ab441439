"""Methods outside the standard that code written for one library calls on its arrays: ``x.sum(axis=0)``.

A traced array has those of them that its library's arrays have, with the meaning they have there, so that a
function behaves as it does on raw arrays. They come in two dialects: NumPy's, in which ``x.std()`` divides by
the number of elements and ``x.transpose`` takes all axes, and the one in which axes are called ``dim``. On
NumPy's own arrays most are NumPy's functions. All are thin calls of the namespace, so this is a layer above
the array, which loads it on first use.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.array import Array
from bpkit.array_methods._with_axis import WithAxis
from bpkit.array_methods._with_dim import WithDim
from bpkit.kinds import raw
from bpkit.namespace.xp import xp as public
from bpkit.numpy_protocol.methods import METHODS
from bpkit.registry import backend_of

__all__ = ["method_of", "size_of", "transposed"]

_PROPERTIES = ("imag", "real")


def method_of(x: Array, name: str) -> Any:
    """The attribute `name` of a traced array, if its library's arrays have it.

    Raises
    ------
    AttributeError
        If they have not, or it is none of the methods here.
    """
    library = type(raw(x))
    # The type is asked, since PyTorch answers for real numbers that they have no imaginary part.
    if hasattr(library, name):
        dialect = WithAxis if _has_axis(library) else WithDim
        found: Callable[..., Any] | None = getattr(dialect, name, None)
        if issubclass(library, np.ndarray | np.generic):
            found = METHODS.get(name, found)
        if found is not None:
            return found(x) if name in _PROPERTIES else partial(found, x)
    advice = f"; write bpkit.xp.{name}(x, ...)" if name in dir(public) else ""
    raise AttributeError(
        f"a traced array has the standard's attributes and the usual methods of "
        f"{backend_of(raw(x)).name}'s arrays only, and {name!r} is not among them{advice}"
    )


def _has_axis(library: type) -> bool:
    return hasattr(library, "astype")


def transposed(x: Array) -> Array:
    """``x.T`` of an array that is no matrix."""
    if _has_axis(type(raw(x))):
        turned: Array = xp.permute_dims(x, tuple(reversed(range(x.ndim))))
        return turned
    raise ValueError(f"x.T transposes a matrix, and x has shape {tuple(x.shape)}; use x.mT or permute_dims")


class Size(int):
    """The number of elements, in libraries where ``x.size()`` is the shape."""

    lengths: tuple[int, ...]  # not shape, which only arrays have

    def __call__(self, dim: int | None = None) -> Any:
        return self.lengths if dim is None else self.lengths[dim]


def size_of(x: Array) -> int:
    """``x.size`` where the library's own arrays have a method of that name."""
    size = Size(math.prod(x.shape))
    size.lengths = x.shape
    return size
