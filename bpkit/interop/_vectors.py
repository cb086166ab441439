"""Trees as SciPy's vectors of float64, and back."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.kinds import device_of, is_complex
from bpkit.registry import backend_of
from bpkit.transforms.arguments import as_inputs, describe
from bpkit.transforms.flat import Flat

__all__ = ["Variables", "Vector", "host"]

Vector = np.ndarray[Any, np.dtype[np.float64]]


class Variables:
    """A tree as SciPy's vector, and back."""

    def __init__(self, called: str, x0: Any) -> None:
        leaves, _ = as_inputs(called, "x0", (0,), (x0,), x0)
        if not leaves:
            raise ArgumentError(f"{called}: x0 must hold floating arrays; there is none in {describe(x0)}")
        for path, leaf in zip(tree.paths(x0), leaves, strict=True):
            if is_complex(leaf):
                raise ArgumentError(
                    f"{called}: x0{path} must be real, since SciPy's vectors are; it is {describe(leaf)}. "
                    "Pass its real and its imaginary part as two leaves"
                )
        self._called = called
        self._flat = Flat(leaves, tree.structure(x0))
        vector = self._flat.ravel(called, tree.unflatten(self._flat.structure, leaves))
        self._device = device_of(vector)
        start = self._flat.backend.to_host(vector)
        self._dtype = start.dtype
        self.x0: Vector = start.astype(np.float64)

    def array(self, name: str, x: Any, count: int | None = None) -> Any:
        """A vector from SciPy in the library of the tree; always a copy, since SciPy writes over its own."""
        x = np.asarray(x)
        count = self.x0.size if count is None else count
        if x.shape != (count,) or x.dtype.kind not in "iuf":
            raise ArgumentError(
                f"{self._called}: {name} must be a vector of {count} real numbers; it is {describe(x)}"
            )
        return self._flat.backend.from_host(x.astype(self._dtype), self._device)

    def tree(self, x: Any) -> Any:
        """The tree of a vector from SciPy."""
        return self._flat.unravel(self.array("x", x))

    def vector(self, x: Any) -> Vector:
        """The vector of a tree like the example."""
        return host(self._flat.ravel(f"{self._called}: expected", x))

    def taking_a_vector(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """The function of a vector, under the name that the user gave it."""

        @wraps(fun, updated=())
        def flat(vector: Any, *args: Any) -> Any:
            return fun(self._flat.unravel(vector), *args)

        return flat


def host(x: Any) -> Vector:
    """A vector of any library as SciPy takes it."""
    return np.asarray(backend_of(x).to_host(x), dtype=np.float64)
