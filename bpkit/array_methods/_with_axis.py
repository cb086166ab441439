"""Methods in the dialect of NumPy, CuPy and JAX."""

from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.array_methods._shared import Shared, converted, lengths, no_out
from bpkit.kinds import raw
from bpkit.registry import backend_of

__all__ = ["WithAxis"]


class WithAxis(Shared):
    """The dialect of NumPy, CuPy and JAX."""

    conjugate = Shared.conj

    def sum(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("sum", out)
        return xp.sum(self, axis=axis, dtype=dtype, keepdims=keepdims)

    def prod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("prod", out)
        return xp.prod(self, axis=axis, dtype=dtype, keepdims=keepdims)

    def mean(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("mean", out)
        return xp.mean(converted(self, dtype), axis=axis, keepdims=keepdims)

    def var(
        self: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        no_out("var", out)
        correction = ddof if correction is None else correction
        return xp.var(converted(self, dtype), axis=axis, correction=correction, keepdims=keepdims)

    def std(
        self: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        no_out("std", out)
        correction = ddof if correction is None else correction
        return xp.std(converted(self, dtype), axis=axis, correction=correction, keepdims=keepdims)

    def max(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("max", out)
        return xp.max(self, axis=axis, keepdims=keepdims)

    def min(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("min", out)
        return xp.min(self, axis=axis, keepdims=keepdims)

    def any(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("any", out)
        return xp.any(self, axis=axis, keepdims=keepdims)

    def all(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("all", out)
        return xp.all(self, axis=axis, keepdims=keepdims)

    def argmax(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("argmax", out)
        return xp.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        no_out("argmin", out)
        return xp.argmin(self, axis=axis, keepdims=keepdims)

    def cumsum(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        no_out("cumsum", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        return xp.cumulative_sum(x, axis=0 if axis is None else axis, dtype=dtype)

    def cumprod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        no_out("cumprod", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        return xp.cumulative_prod(x, axis=0 if axis is None else axis, dtype=dtype)

    def take(self: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
        no_out("take", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        indices = indices if hasattr(indices, "shape") else backend_of(raw(self)).xp.asarray(indices)
        return x[(*(slice(None),) * (0 if axis is None else axis % x.ndim), indices)]

    def astype(self: Any, dtype: Any, copy: bool = True) -> Any:
        # In this dialect "f4" and "int" are names too.
        return xp.astype(self, np.dtype(dtype) if isinstance(dtype, str) else dtype, copy=copy)

    def copy(self: Any) -> Any:
        return xp.astype(self, self.dtype, copy=True)

    def ravel(self: Any, order: str = "C") -> Any:
        return Shared.reshape(self, -1, order=order)

    def flatten(self: Any, order: str = "C") -> Any:
        return Shared.reshape(xp.astype(self, self.dtype, copy=True), -1, order=order)

    def squeeze(self: Any, axis: Any = None) -> Any:
        if axis is None:
            axis = tuple([i for i, length in enumerate(self.shape) if length == 1])
        return xp.squeeze(self, axis)

    def transpose(self: Any, *axes: Any) -> Any:
        backwards = not axes or axes[0] is None
        order = tuple(reversed(range(self.ndim))) if backwards else lengths(axes)
        return xp.permute_dims(self, tuple([i % self.ndim for i in order]))

    def repeat(self: Any, repeats: Any, axis: Any = None) -> Any:
        return xp.repeat(self, repeats, axis=axis)

    def diagonal(self: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        return xp.linalg.diagonal(xp.moveaxis(self, (axis1, axis2), (-2, -1)), offset=offset)

    def trace(
        self: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
    ) -> Any:
        no_out("trace", out)
        return xp.sum(WithAxis.diagonal(self, offset, axis1, axis2), axis=-1, dtype=dtype)

    def argsort(self: Any, axis: int = -1, *, stable: bool = True, descending: bool = False) -> Any:
        return xp.argsort(self, axis=axis, stable=stable, descending=descending)

    def nonzero(self: Any) -> Any:
        return xp.nonzero(self)
