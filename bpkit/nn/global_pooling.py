"""Pooling of all that there is of each channel into one number."""

import math

from bpkit import namespace as xp
from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.nn.module import Module, static

__all__ = ["GlobalAvgPool", "GlobalMaxPool"]


class _GlobalPool(Module):
    keepdims: bool = static()

    def __init__(self, *, keepdims: bool = False) -> None:
        self.keepdims = bool(keepdims)

    def _flat(self, x: RawArray) -> RawArray:
        """All places of each channel in a row."""
        shape = getattr(x, "shape", None)
        if shape is None or len(shape) < 3 or math.prod(shape[2:]) < 1:
            got = tuple(shape) if shape is not None else a_type(type(x))
            raise ShapeError(
                f"{self!r} expected x of shape (n, channels, *lengths), none of them 0, got {got}"
            )
        return xp.reshape(x, (*shape[:2], math.prod(shape[2:])))

    def _kept(self, out: RawArray, x: RawArray) -> RawArray:
        return xp.reshape(out, (*out.shape, *(1,) * (len(x.shape) - 2))) if self.keepdims else out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'keepdims=True' if self.keepdims else ''})"


class GlobalAvgPool(_GlobalPool):
    """The mean of each channel over all places.

    Parameters
    ----------
    keepdims : bool
        Whether the result keeps the axes of the places, with length 1.

    References
    ----------
    M. Lin, Q. Chen and S. Yan, "Network in network", ICLR 2014, section 3.2.

    Examples
    --------
    >>> from bpkit import xp
    >>> GlobalAvgPool()(xp.ones((10, 40, 4, 4))).shape
    (10, 40)
    """

    __init__ = _GlobalPool.__init__

    def __call__(self, x: RawArray) -> RawArray:
        """Return the means, of shape (n, channels), for `x` of shape (n, channels, *lengths)."""
        return self._kept(xp.mean(self._flat(x), axis=-1), x)


class GlobalMaxPool(_GlobalPool):
    """The largest element of each channel.

    The gradient goes to that element; where several are equal, to the first of them.

    Parameters
    ----------
    keepdims : bool
        Whether the result keeps the axes of the places, with length 1.

    References
    ----------
    M. Oquab et al., "Is object localization for free?", CVPR 2015, section 3.1.

    Examples
    --------
    >>> from bpkit import xp
    >>> GlobalMaxPool(keepdims=True)(xp.ones((10, 40, 4, 4))).shape
    (10, 40, 1, 1)
    """

    __init__ = _GlobalPool.__init__

    def __call__(self, x: RawArray) -> RawArray:
        """Return the largest, of shape (n, channels), for `x` of shape (n, channels, *lengths)."""
        flat = self._flat(x)
        first = xp.argmax(flat, axis=-1, keepdims=True)
        return self._kept(xp.take_along_axis(flat, first, axis=-1)[..., 0], x)
