"""Layers that change nothing but the shape."""

import math
from collections.abc import Sequence
from numbers import Integral

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, expect

__all__ = ["Flatten", "Reshape"]


class Flatten(Module):
    """One axis in the place of several: by default of all but the first, which counts the examples.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of the axes that become one.

    Attributes
    ----------
    start_dim, end_dim : int

    Raises
    ------
    ArgumentError
        If one is not an int.

    Examples
    --------
    >>> from bpkit import xp
    >>> Flatten()(xp.zeros((10, 3, 28, 28))).shape
    (10, 2352)
    """

    start_dim: int = static()
    end_dim: int = static()

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        for name, axis in (("start_dim", start_dim), ("end_dim", end_dim)):
            if not isinstance(axis, Integral) or isinstance(axis, bool):
                raise ArgumentError(
                    f"Flatten: {name} must be an int, got {axis!r}; it is the number of an axis"
                )
        self.start_dim = int(start_dim)
        self.end_dim = int(end_dim)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array of any shape that has these axes

        Returns
        -------
        array

        Raises
        ------
        ArgumentError
            If `x` is no array.
        ShapeError
            If it has no such axes, or the last comes before the first.
        """
        shape = array_shape(self, "x", x, "(n, ...)")
        rank = len(shape)
        axes = [axis + rank if axis < 0 else axis for axis in (self.start_dim, self.end_dim)]
        fits = 0 <= axes[0] <= axes[1] < rank
        expect(fits, self, "x", shape, f"with axes {self.start_dim} to {self.end_dim}")
        first, last = axes
        return xp.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    def __repr__(self) -> str:
        standard = (self.start_dim, self.end_dim) == (1, -1)
        return f"{type(self).__name__}({'' if standard else f'{self.start_dim}, {self.end_dim}'})"


class Reshape(Module):
    """Another shape for each example; the first axis, which counts them, stays.

    Parameters
    ----------
    shape : int or tuple of int
        Of one example. One size may be -1: the one that fits.

    Attributes
    ----------
    shape : tuple of int

    Raises
    ------
    ArgumentError
        If a size is no such int, or several are -1.

    Examples
    --------
    >>> from bpkit import xp
    >>> Reshape((1, 28, -1))(xp.zeros((10, 784))).shape
    (10, 1, 28, 28)
    """

    shape: tuple[int, ...] = static()

    def __init__(self, shape: int | Sequence[int]) -> None:
        sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        for size in sizes:
            if not isinstance(size, Integral) or isinstance(size, bool) or not (size > 0 or size == -1):
                raise ArgumentError(f"Reshape: shape must be of positive ints, or one -1, got {shape!r}")
        if sizes.count(-1) > 1:
            raise ArgumentError(f"Reshape: only one size can be -1, got {shape!r}")
        self.shape = tuple(map(int, sizes))

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, ...)

        Returns
        -------
        array, shape (n, *shape)

        Raises
        ------
        ArgumentError
            If `x` is no array.
        ShapeError
            If the numbers of an example do not fit into the shape.
        """
        shape = array_shape(self, "x", x, "(n, ...)")
        size = math.prod(shape[1:])
        known = math.prod([length for length in self.shape if length != -1])
        free = -1 in self.shape
        if not shape or (size % known if free else size != known):
            count = f"a multiple of {known}" if free else str(known)
            raise ShapeError(
                f"{self!r} expected x of shape (n, ...) with {count} numbers in each example, got {shape}"
            )
        lengths = [size // known if length == -1 else length for length in self.shape]
        return xp.reshape(x, (shape[0], *lengths))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"
