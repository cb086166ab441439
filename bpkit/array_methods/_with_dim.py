"""Methods in the dialect of PyTorch."""

import operator
from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit.array_methods._shared import Shared, converted, lengths, refuse
from bpkit.kinds import raw

__all__ = ["WithDim"]


def _plain(name: str) -> Callable[[Any], Any]:
    """The function of the namespace as a method without arguments."""
    function: Callable[[Any], Any] = getattr(xp, name)
    return function


class WithDim(Shared):
    """The dialect of PyTorch, which takes ``axis`` and ``keepdims`` for ``dim`` and ``keepdim`` as well."""

    def sum(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("sum", dim, keepdim, other)
        return xp.sum(self, axis=dim, dtype=dtype, keepdims=keepdim)

    def prod(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("prod", dim, keepdim, other)
        return xp.prod(self, axis=dim, dtype=dtype, keepdims=keepdim)

    def mean(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("mean", dim, keepdim, other)
        return xp.mean(converted(self, dtype), axis=dim, keepdims=keepdim)

    def var(self: Any, dim: Any = None, *, keepdim: bool = False, correction: float = 1, **other: Any) -> Any:
        dim, keepdim = _numpy_names("var", dim, keepdim, other)
        return xp.var(self, axis=dim, correction=correction, keepdims=keepdim)

    def std(self: Any, dim: Any = None, *, keepdim: bool = False, correction: float = 1, **other: Any) -> Any:
        dim, keepdim = _numpy_names("std", dim, keepdim, other)
        return xp.std(self, axis=dim, correction=correction, keepdims=keepdim)

    clamp = Shared.clip

    def squeeze(self: Any, dim: Any = None, **other: Any) -> Any:
        dim, _ = _numpy_names("squeeze", dim, False, other)
        axes = range(self.ndim) if dim is None else [i % self.ndim for i in lengths((dim,))]
        return xp.squeeze(self, tuple([i for i in axes if self.shape[i] == 1]))

    def max(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            refuse("x.max along an axis, which gives places as well,", "x.amax(axis) or bpkit.xp.max")
        return xp.max(self)

    def min(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            refuse("x.min along an axis, which gives places as well,", "x.amin(axis) or bpkit.xp.min")
        return xp.min(self)

    def amax(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("amax", dim, keepdim, other)
        return xp.max(self, axis=dim, keepdims=keepdim)

    def amin(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("amin", dim, keepdim, other)
        return xp.min(self, axis=dim, keepdims=keepdim)

    def any(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("any", dim, keepdim, other)
        return xp.any(self, axis=dim, keepdims=keepdim)

    def all(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("all", dim, keepdim, other)
        return xp.all(self, axis=dim, keepdims=keepdim)

    def argmax(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("argmax", dim, keepdim, other)
        return xp.argmax(self, axis=dim, keepdims=keepdim)

    def argmin(self: Any, dim: Any = None, keepdim: bool = False, **other: Any) -> Any:
        dim, keepdim = _numpy_names("argmin", dim, keepdim, other)
        return xp.argmin(self, axis=dim, keepdims=keepdim)

    def cumsum(self: Any, dim: Any = None, *, dtype: Any = None, **other: Any) -> Any:
        dim, _ = _numpy_names("cumsum", dim, False, other)
        return xp.cumulative_sum(self, axis=operator.index(dim), dtype=dtype)

    def cumprod(self: Any, dim: Any = None, *, dtype: Any = None, **other: Any) -> Any:
        dim, _ = _numpy_names("cumprod", dim, False, other)
        return xp.cumulative_prod(self, axis=operator.index(dim), dtype=dtype)

    def take(self: Any, index: Any) -> Any:
        return xp.reshape(self, (-1,))[index]

    def ravel(self: Any) -> Any:
        # Unlike reshape, this copies also where the strides would allow a view.
        x = self if raw(self).is_contiguous() else xp.astype(self, self.dtype, copy=True)
        return xp.reshape(x, (-1,))

    def flatten(self: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
        if self.ndim == 0:
            return xp.reshape(self, (1,))
        start, stop = start_dim % self.ndim, end_dim % self.ndim
        return xp.reshape(self, (*self.shape[:start], -1, *self.shape[stop + 1 :]))

    def transpose(self: Any, dim0: int, dim1: int) -> Any:
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return xp.permute_dims(self, tuple(order))

    def permute(self: Any, *dims: Any) -> Any:
        return xp.permute_dims(self, tuple([i % self.ndim for i in lengths(dims)]))

    def unsqueeze(self: Any, dim: int) -> Any:
        return xp.expand_dims(self, dim)

    def diagonal(self: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
        return xp.linalg.diagonal(xp.moveaxis(self, (dim1, dim2), (-2, -1)), offset=offset)

    def trace(self: Any) -> Any:
        return xp.linalg.trace(self)

    def argsort(self: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return xp.argsort(self, axis=dim, descending=descending, stable=stable)

    def t(self: Any) -> Any:
        return self if self.ndim < 2 else xp.matrix_transpose(self)

    def view(self: Any, *shape: Any) -> Any:
        if shape and isinstance(shape[0], type(self.dtype)):
            refuse("x.view(dtype)", "bpkit.xp.astype(x, dtype)")
        value = raw(self)
        # The library refuses where it would have to copy; under vmap the axes of the batches come first.
        value.view(*value.shape[: value.ndim - self.ndim], *lengths(shape))
        return xp.reshape(self, lengths(shape))

    def to(self: Any, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Any:
        for given in args:
            if hasattr(given, "shape"):
                dtype, device = given.dtype, given.device
            elif isinstance(given, type(self.dtype)):
                dtype = given
            elif isinstance(given, bool):
                refuse("x.to with a flag by position", "the flag by its name")
            else:
                device = given
        return xp.astype(self, self.dtype if dtype is None else dtype, copy=copy, device=device)

    abs, exp, expm1, sqrt, square = map(_plain, ("abs", "exp", "expm1", "sqrt", "square"))
    log, log2, log10, log1p = map(_plain, ("log", "log2", "log10", "log1p"))
    sin, cos, tan, sinh, cosh, tanh = map(_plain, ("sin", "cos", "tan", "sinh", "cosh", "tanh"))
    asin, acos, atan, asinh, acosh, atanh = map(_plain, ("asin", "acos", "atan", "asinh", "acosh", "atanh"))
    floor, ceil, trunc, sign, isnan = map(_plain, ("floor", "ceil", "trunc", "sign", "isnan"))
    neg, reciprocal, isfinite, isinf = map(_plain, ("negative", "reciprocal", "isfinite", "isinf"))


def _numpy_names(method: str, dim: Any, keepdim: bool, other: dict[str, Any]) -> tuple[Any, bool]:
    """`dim` and `keepdim`, which may have been given under NumPy's names."""
    dim, keepdim = other.pop("axis", dim), other.pop("keepdims", keepdim)
    if other or isinstance(dim, bool):
        given = ", ".join(other) or "a flag in the place of dim"
        refuse(f"x.{method}({given})", f"bpkit.xp.{method}(x, ...)")
    return tuple(dim) if isinstance(dim, list) else dim, keepdim
