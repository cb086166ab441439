"""The rectifier whose negative slope is learned."""

from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn.module import Module

__all__ = ["PReLU"]


class PReLU(Module):
    """`x` where it is positive and ``weight * x`` elsewhere, also at 0.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, or the number of channels, which are counted along axis 1 (along axis 0 of a vector).
    init : float
        The first slope.
    dtype : floating dtype or None
        None for the default of the current backend.

    Attributes
    ----------
    weight : array, shape (num_parameters,)

    Raises
    ------
    ArgumentError
        If `num_parameters` is not a positive int.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from bpkit import xp
    >>> PReLU()(xp.asarray([-2.0, 3.0]))
    array([-0.5,  3. ])
    """

    weight: RawArray

    def __init__(self, num_parameters: int = 1, *, init: float = 0.25, dtype: Any = None) -> None:
        if not isinstance(num_parameters, int) or isinstance(num_parameters, bool) or num_parameters < 1:
            raise ArgumentError(f"PReLU: num_parameters must be a positive int, got {num_parameters!r}")
        self.weight = xp.full((num_parameters,), init, dtype=dtype)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, num_parameters, ...), or of any shape with one slope

        Returns
        -------
        array of the shape of `x`

        Raises
        ------
        ShapeError
            If `x` has another number of channels.
        """
        count = self.weight.shape[0]
        if count == 1:
            return xp.where(x > 0, x, xp.multiply(self.weight[0], x))
        shape = tuple(x.shape)
        axis = min(1, len(shape) - 1)
        if not shape or shape[axis] != count:
            raise ShapeError(f"{self!r} expected x of shape (n, {count}, ...), got {shape}")
        slopes = xp.reshape(self.weight, (count,) + (1,) * (len(shape) - axis - 1))
        return xp.where(x > 0, x, xp.multiply(slopes, x))

    def __repr__(self) -> str:
        return f"PReLU({self.weight.shape[0]})"
