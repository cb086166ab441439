"""A tree of floating arrays as one real vector, and as code outside of bpkit may give and take it."""

from math import prod
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.kinds import device_of, is_complex, kind_of, raw
from bpkit.registry import backend_of, common_backend
from bpkit.trace import Traced
from bpkit.transforms.arguments import describe, is_array

__all__ = ["Flat"]


class Flat:
    """How the elements of a tree lie in a vector: leaf after leaf, of a complex one real parts first.

    Parameters
    ----------
    leaves : list of arrays
        Of real floating or complex dtypes and of one library.
    structure : Structure
    """

    def __init__(self, leaves: list[Any], structure: tree.Structure) -> None:
        self.structure = structure
        self.backend = common_backend([raw(x) for x in leaves])
        self.like = [(tuple(x.shape), x.dtype, is_complex(x), device_of(x)) for x in leaves]
        self.kinds = [kind_of(x) for x in leaves]

    def ravel(self, called: str, x: Any) -> Any:
        """The vector of a tree of this structure, shapes and kinds.

        Raises
        ------
        ArgumentError
            If the tree is another; `called` says in whose words.
        """
        leaves, structure = tree.flatten(x)
        if structure != self.structure:
            raise ArgumentError(
                f"{called} a tree like x, of structure {self.structure}; its structure is {structure}"
            )
        parts = []
        for i, (leaf, (shape, dtype, complicated, _)) in enumerate(zip(leaves, self.like, strict=True)):
            if not is_array(leaf) or tuple(leaf.shape) != shape or kind_of(leaf) > self.kinds[i]:
                raise ArgumentError(
                    f"{called} a tree like x; x{tree.paths(x)[i]} is an array of shape {shape} and dtype "
                    f"{dtype}, and there it is {describe(leaf)}"
                )
            leaf = xp.reshape(xp.astype(leaf, dtype), (-1,))
            parts += [xp.real(leaf), xp.imag(leaf)] if complicated else [leaf]
        return parts[0] if len(parts) == 1 else xp.concat(parts)

    def unravel(self, vector: Any) -> Any:
        """The tree of a vector."""
        leaves, start = [], 0
        for shape, dtype, complicated, _ in self.like:
            count = prod(shape)
            leaf = xp.astype(vector[start : start + count], dtype)
            start += count
            if complicated:
                leaf = leaf + 1j * xp.astype(vector[start : start + count], dtype)
                start += count
            leaves.append(xp.reshape(leaf, shape))
        return tree.unflatten(self.structure, leaves)

    def taken(self, x: Any) -> tuple[Any, bool]:
        """A tree from code outside: its leaves may be numbers, or arrays of NumPy instead of x's library.

        Returns
        -------
        x : pytree
            Of arrays of the library of x.
        host : bool
            Whether it was of NumPy's arrays.
        """
        leaves, structure = tree.flatten(x)
        if len(leaves) != len(self.like):
            return x, False
        own = [self._own(leaf, like) for leaf, like in zip(leaves, self.like, strict=True)]
        host = any(
            mine is not leaf and isinstance(leaf, np.ndarray) for mine, leaf in zip(own, leaves, strict=True)
        )
        return tree.unflatten(structure, own), host

    def _own(self, x: Any, like: tuple[Any, ...]) -> Any:
        _, dtype, complicated, device = like
        if isinstance(x, Traced):
            return x
        if isinstance(x, np.ndarray | np.generic) and backend_of(x) is not self.backend:
            x = self.backend.from_host(np.asarray(x), device)
        elif isinstance(x, float | int) or (complicated and isinstance(x, complex)):
            x = self.backend.xp.asarray(x, dtype=dtype, device=device)
        return x
