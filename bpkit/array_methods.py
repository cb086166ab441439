"""Methods outside the standard that code written for one library calls on its arrays: ``x.sum(axis=0)``.

A traced array has those of them that its library's arrays have, with the meaning they have there, so that a
function behaves as it does on raw arrays. They come in two dialects: NumPy's, in which ``x.std()`` divides by
the number of elements and ``x.transpose`` takes all axes, and the one in which axes are called ``dim``. On
NumPy's own arrays most are NumPy's functions. All are thin calls of the namespace, so this is a layer above
the array, which loads it on first use.
"""

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np

from bpkit import namespace as xp
from bpkit.array import Array
from bpkit.errors import GradientCutError, NotDifferentiableError
from bpkit.kinds import is_complex, raw
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
        dialect = _WithAxis if _has_axis(library) else _WithDim
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

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]


def size_of(x: Array) -> int:
    """``x.size`` where the library's own arrays have a method of that name."""
    size = Size(math.prod(x.shape))
    size.shape = x.shape
    return size


def _shape(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Lengths or axes given one by one or as one sequence."""
    given = args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args
    return tuple([operator.index(i) for i in given])


def _no_out(method: str, out: Any) -> None:
    if out is not None:
        raise GradientCutError(
            f"x.{method}(out=...) of a traced value: an array cannot take up a value that is being "
            f"differentiated. Write y = x.{method}(...) without out="
        )


def _refuse(call: str, instead: str) -> NoReturn:
    raise NotDifferentiableError(f"{call} of a traced value is not supported; write {instead}")


def _converted(x: Any, dtype: Any) -> Any:
    return x if dtype is None else xp.astype(x, dtype)


def _plain(name: str) -> Callable[[Any], Any]:
    """The function of the namespace as a method without arguments."""
    function: Callable[[Any], Any] = getattr(xp, name)
    return function


class _Shared:
    """What means the same in both dialects."""

    def reshape(self: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if order != "C":
            _refuse(f"x.reshape(order={order!r})", "the axes in their order with bpkit.xp.permute_dims")
        return xp.reshape(self, _shape(shape), copy=copy)

    def conj(self: Any) -> Any:
        return xp.conj(self) if is_complex(self) else self

    def real(self: Any) -> Any:
        return xp.real(self) if is_complex(self) else self

    def imag(self: Any) -> Any:
        if is_complex(self):
            return xp.imag(self)
        raw(self).imag  # noqa: B018  which some libraries refuse
        return xp.zeros_like(self)

    def item(self: Any, *args: Any) -> Any:
        self._note_cut("complex" if is_complex(self) else "float")
        return raw(self).item(*args)

    def tolist(self: Any) -> Any:
        return self._constant("x.tolist()").tolist()

    def round(self: Any, decimals: int = 0, out: Any = None) -> Any:
        _no_out("round", out)
        if decimals == 0:
            return xp.round(self)
        scale = 10.0 ** abs(decimals)
        return xp.round(self * scale) / scale if decimals > 0 else xp.round(self / scale) * scale

    def clip(self: Any, min: Any = None, max: Any = None, out: Any = None) -> Any:  # noqa: A002
        _no_out("clip", out)
        return xp.clip(self, min, max)

    def dot(self: Any, b: Any, out: Any = None) -> Any:
        _no_out("dot", out)
        ndim = getattr(b, "ndim", 0)
        if self.ndim == 0 or ndim == 0:
            return self * b
        return xp.matmul(self, b) if ndim <= 2 else xp.tensordot(self, b, axes=((-1,), (-2,)))

    def swapaxes(self: Any, axis1: int, axis2: int) -> Any:
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return xp.permute_dims(self, tuple(order))


class _WithAxis(_Shared):
    """The dialect of NumPy, CuPy and JAX."""

    conjugate = _Shared.conj

    def sum(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("sum", out)
        return xp.sum(self, axis=axis, dtype=dtype, keepdims=keepdims)

    def prod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("prod", out)
        return xp.prod(self, axis=axis, dtype=dtype, keepdims=keepdims)

    def mean(self: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("mean", out)
        return xp.mean(_converted(self, dtype), axis=axis, keepdims=keepdims)

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
        _no_out("var", out)
        correction = ddof if correction is None else correction
        return xp.var(_converted(self, dtype), axis=axis, correction=correction, keepdims=keepdims)

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
        _no_out("std", out)
        correction = ddof if correction is None else correction
        return xp.std(_converted(self, dtype), axis=axis, correction=correction, keepdims=keepdims)

    def max(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("max", out)
        return xp.max(self, axis=axis, keepdims=keepdims)

    def min(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("min", out)
        return xp.min(self, axis=axis, keepdims=keepdims)

    def any(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("any", out)
        return xp.any(self, axis=axis, keepdims=keepdims)

    def all(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("all", out)
        return xp.all(self, axis=axis, keepdims=keepdims)

    def argmax(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("argmax", out)
        return xp.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _no_out("argmin", out)
        return xp.argmin(self, axis=axis, keepdims=keepdims)

    def cumsum(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        _no_out("cumsum", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        return xp.cumulative_sum(x, axis=0 if axis is None else axis, dtype=dtype)

    def cumprod(self: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        _no_out("cumprod", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        return xp.cumulative_prod(x, axis=0 if axis is None else axis, dtype=dtype)

    def take(self: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
        _no_out("take", out)
        x = xp.reshape(self, (-1,)) if axis is None else self
        indices = indices if hasattr(indices, "shape") else backend_of(raw(self)).xp.asarray(indices)
        return x[(*(slice(None),) * (0 if axis is None else axis % x.ndim), indices)]

    def astype(self: Any, dtype: Any, copy: bool = True) -> Any:
        return xp.astype(self, dtype, copy=copy)

    def copy(self: Any) -> Any:
        return xp.astype(self, self.dtype, copy=True)

    def ravel(self: Any, order: str = "C") -> Any:
        return _Shared.reshape(self, -1, order=order)

    def flatten(self: Any, order: str = "C") -> Any:
        return _Shared.reshape(xp.astype(self, self.dtype, copy=True), -1, order=order)

    def squeeze(self: Any, axis: Any = None) -> Any:
        if axis is None:
            axis = tuple([i for i, length in enumerate(self.shape) if length == 1])
        return xp.squeeze(self, axis)

    def transpose(self: Any, *axes: Any) -> Any:
        backwards = not axes or axes[0] is None
        order = tuple(reversed(range(self.ndim))) if backwards else _shape(axes)
        return xp.permute_dims(self, tuple([i % self.ndim for i in order]))

    def repeat(self: Any, repeats: Any, axis: Any = None) -> Any:
        return xp.repeat(self, repeats, axis=axis)


class _WithDim(_Shared):
    """The dialect of PyTorch, which takes ``axis`` and ``keepdims`` for ``dim`` and ``keepdim`` as well."""

    def sum(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("sum", dim, keepdim, other)
        return xp.sum(self, axis=dim, dtype=dtype, keepdims=keepdim)

    def prod(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("prod", dim, keepdim, other)
        return xp.prod(self, axis=dim, dtype=dtype, keepdims=keepdim)

    def mean(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **other: Any) -> Any:
        dim, keepdim = _numpy_names("mean", dim, keepdim, other)
        return xp.mean(_converted(self, dtype), axis=dim, keepdims=keepdim)

    def var(self: Any, dim: Any = None, *, keepdim: bool = False, correction: float = 1, **other: Any) -> Any:
        dim, keepdim = _numpy_names("var", dim, keepdim, other)
        return xp.var(self, axis=dim, correction=correction, keepdims=keepdim)

    def std(self: Any, dim: Any = None, *, keepdim: bool = False, correction: float = 1, **other: Any) -> Any:
        dim, keepdim = _numpy_names("std", dim, keepdim, other)
        return xp.std(self, axis=dim, correction=correction, keepdims=keepdim)

    clamp = _Shared.clip

    def squeeze(self: Any, dim: Any = None, **other: Any) -> Any:
        dim, _ = _numpy_names("squeeze", dim, False, other)
        axes = range(self.ndim) if dim is None else [i % self.ndim for i in _shape((dim,))]
        return xp.squeeze(self, tuple([i for i in axes if self.shape[i] == 1]))

    def max(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            _refuse("x.max along an axis, which gives places as well,", "x.amax(axis) or bpkit.xp.max")
        return xp.max(self)

    def min(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            _refuse("x.min along an axis, which gives places as well,", "x.amin(axis) or bpkit.xp.min")
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
        return xp.permute_dims(self, tuple([i % self.ndim for i in _shape(dims)]))

    def unsqueeze(self: Any, dim: int) -> Any:
        return xp.expand_dims(self, dim)

    def t(self: Any) -> Any:
        return self if self.ndim < 2 else xp.matrix_transpose(self)

    def clone(self: Any) -> Any:
        return xp.astype(self, self.dtype, copy=True)

    def view(self: Any, *shape: Any) -> Any:
        if shape and isinstance(shape[0], type(self.dtype)):
            _refuse("x.view(dtype)", "bpkit.xp.astype(x, dtype)")
        raw(self).view(*shape)  # which the library refuses where it would have to copy
        return xp.reshape(self, _shape(shape))

    def to(self: Any, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Any:
        for given in args:
            if hasattr(given, "shape"):
                dtype, device = given.dtype, given.device
            elif isinstance(given, type(self.dtype)):
                dtype = given
            elif isinstance(given, bool):
                _refuse("x.to with a flag by position", "the flag by its name")
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
        _refuse(f"x.{method}({given})", f"bpkit.xp.{method}(x, ...)")
    return tuple(dim) if isinstance(dim, list) else dim, keepdim
