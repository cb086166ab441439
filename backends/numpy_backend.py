"""NumPy, the backend that is always there."""

import math
from cmath import isfinite
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar
from functools import lru_cache
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np

from bpkit._protocol import Into

from ._blas import (
    FEW,
    SINGLE,
    added_columns,
    added_product,
    annihilating_product,
    can_read_in_place,
    few_rows,
    finite_where_zero,
    has_threads,
    logistic,
    read_in_place,
)
from ._common import LibraryBackend, host_copy, is_basic_key, layout_copy, share_memory
from ._fused import fused
from ._special import has_scipy, right_scipy_special, scipy_dtype, scipy_special
from ._window_loops import window_loop
from ._windows import add_to_winners, add_windows, max_pool, windows

__all__ = ["NumpyBackend"]


class NumpyBackend(LibraryBackend):
    """NumPy arrays and NumPy scalars, in the machine's memory."""

    name = "numpy"
    distribution = "numpy"
    library = "numpy"
    namespace = "array_api_compat.numpy"

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        operators = {"add": add, "subtract": sub, "multiply": mul, "divide": truediv}
        return {
            "annihilating_product": _annihilating_product,
            "matrix_transpose": _matrix_transpose,
            "ones_like": _ones_like,
            "reshape": _reshaped_by(self.xp.reshape),
            "take": _take,
            **{name: function for name, (function, _) in _SLIDING.items()},
            "zeros_like": np.zeros_like,
            **{name: _on_scalars(apply, getattr(self.xp, name)) for name, apply in operators.items()},
        }

    def special(self, name: str) -> Callable[..., Any] | None:
        return right_scipy_special(name)

    def special_on_host(self, name: str) -> Callable[..., Any]:
        return scipy_special(name)

    def special_dtype(self, name: str, operands: tuple[Any, ...]) -> Any:
        return scipy_dtype(name, [x.dtype for x in operands])

    def owns(self, cls: type) -> bool:
        if not issubclass(cls, np.ndarray | np.generic):
            return False
        if issubclass(cls, np.matrix):
            raise TypeError(
                "numpy.matrix is not supported, because its * and its indexing differ from every other "
                "array's; convert it: numpy.asarray(x)"
            )
        if issubclass(cls, np.ma.MaskedArray):
            raise TypeError(
                "numpy.ma.MaskedArray is not supported, because its mask would be lost; fill it: x.filled(0) "
                "or pass the mask as an argument of its own and use where(mask, ...)"
            )
        return True

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        return host_copy(x)

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x, copy=True)

    def host_view(self, x: Any) -> np.ndarray[Any, Any] | None:
        return x if isinstance(x, np.ndarray) else None

    def is_view(self, x: Any) -> bool:
        return x.base is not None

    def shares_memory(self, x: Any, y: Any) -> bool:
        return share_memory(x, y)

    def exposed(self, arrays: Sequence[Any], positions: Sequence[int]) -> Sequence[int]:
        # This is asked at every call of a compiled function. An array that owns its memory shares it with
        # itself and its views only, so that pairs need comparing only where a view is of something unknown.
        views = [x for x in arrays if x.base is not None]
        known = set(map(id, arrays))
        owners = map(_owner, views)
        if (
            len(known) == len(arrays)
            and all(type(x) is np.ndarray and id(x) not in known for x in owners)
            and (not views or {id(x) for x in views}.isdisjoint([id(arrays[i]) for i in positions]))
        ):
            return ()
        return super().exposed(arrays, positions)

    def layout(self, x: Any) -> Hashable:
        return x.strides  # type: ignore[no-any-return]

    def quiet(self) -> AbstractContextManager[Any]:
        return _Quiet()

    def into(self, name: str, operands: tuple[Any, ...], static: Mapping[str, Any], out: Any) -> Into | None:
        function = getattr(self.xp, name, None)
        if isinstance(function, np.ufunc) and function.signature is None and name not in _INTO:
            return Into(function, elementwise=True, makes=True)
        if name in _ROUNDING and out.dtype.kind == "f":
            return Into(_ROUNDING[name], elementwise=True, makes=True)
        if name == "clip" and _by_numbers(operands[1:], out):
            return Into(np.clip, elementwise=True)
        if name == "matmul" and _by_blas(operands, out):
            rows, size = operands[0].shape[0], math.prod(operands[1].shape)
            function = few_rows if 1 < rows <= ROWS and size >= WIDE else np.dot
            if rows > ROWS and can_read_in_place(rows * size):
                function = read_in_place
            return Into(function, packed=True, makes=True)
        if name == "annihilating_product" and _quickly_summed(operands[1], out):
            return Into(annihilating_product(out.dtype), elementwise=True)
        if name == "sum" and static["axis"] in (0, (0,)) and _by_blas(operands, out):
            shape = (1,) * static["keepdims"] + operands[0].shape[:1]
            return Into(np.dot, first=(_ones(shape, out.dtype),), packed=True, makes=True)
        if name in _OF_SHORT_ROWS and _has_short_rows(operands, static["axis"], out):
            return Into(_OF_SHORT_ROWS[name], before=(static["keepdims"],), makes=True)
        if name == "mean" and out.dtype.char in "fdFD" and math.prod(operands[0].shape):
            shares = math.prod(operands[0].shape) // math.prod(out.shape)
            return Into(_mean, before=(static["axis"], shares), after=(static["keepdims"],), makes=True)
        if name == "concat":
            return Into(_concat, before=(static["axis"],), keyword="out", makes=True)
        if name in _SLIDING:
            function, names = _SLIDING[name]
            function = window_loop(name, operands, static, out, function)
            return Into(function, before=tuple([static[key] for key in names]), makes=True)
        if name in _REDUCTIONS:
            settings = (static["axis"], static.get("dtype"))
            return Into(_REDUCTIONS[name], before=settings, after=(static["keepdims"],), makes=True)
        return _INTO.get(name)

    def added(
        self, alpha: float, shapes: tuple[tuple[int, ...], ...], turned: tuple[bool, ...], dtype: Any
    ) -> Into | None:
        c, first, *others = shapes
        result = (first[0], others[0][1]) if others else (first[1],)
        added = math.prod(result) * (first[1] if others else first[0])
        # Where c is copied to every row first, less is saved; and most where b lies as BLAS likes it.
        limit = SINGLE if c == result or turned[-1] else SINGLE // 16
        if others and c == result and not has_threads():
            limit = added  # NumPy's library has no threads to be disturbed, and c is gone through once less
        if dtype.char not in "fd" or not 0 < added <= limit or not has_scipy():
            return None
        function = added_product(turned, dtype) if others else added_columns(first[0], turned[0], dtype)
        return Into(function, before=(float(alpha),), over=0)

    def fused(self, program: Any) -> Into | None:
        return fused(program, self.into)

    def rounded(self, name: str, x: Any, out: Any) -> Into | None:
        few = math.prod(out.shape) <= CALLS and _quickly_summed(x, out)
        return Into(logistic(out.dtype)) if name == "expit" and few else None

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        out = layout_copy(x)
        out[key] = value
        return out

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        out = np.array(x, copy=True)
        if is_basic_key(key):
            out[key] += updates
        else:
            np.add.at(out, key, updates)
        return out


class _Quiet:
    """``np.errstate(all="ignore")`` in a third of the time: sets the context variable that it sets."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _ERROR_STATE.set(_IGNORING)

    def __exit__(self, *_: object) -> None:
        _ERROR_STATE.reset(self._token)


def _what_errstate_sets() -> tuple[ContextVar[Any], Any]:
    context = Context()
    context.run(np.errstate(all="ignore").__enter__)
    ((variable, value),) = context.items()
    return variable, value


_ERROR_STATE, _IGNORING = _what_errstate_sets()


def _owner(x: Any) -> Any:
    """What a view is a view of."""
    while isinstance(x, np.ndarray) and x.base is not None:
        x = x.base
    return x


CALLS = 512
"""Elements up to which a call costs more than what it does; more of them are better off in a fused loop."""
MANY = 4096
"""Elements from which on one more pass of vector instructions costs less than one without."""
ROWS, WIDE = 32, 2**16
"""Rows up to which, and elements of the other factor from which on, a product is that of the transposes."""
SHORT = 32
"""Elements of a row up to which functions of rows are done column by column, where there are as many rows."""
_REALS = frozenset({np.float32, np.float64})
_NUMBERS = _REALS | {float, int}


def _on_scalars(apply: Callable[[Any, Any], Any], function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """`function`, by the operator where real scalars meet: the same result, ten times as fast."""

    def kernel(x: Any, y: Any) -> Any:
        one, other = x.__class__, y.__class__
        if (one in _REALS and other in _NUMBERS) or (other in _REALS and one in _NUMBERS):
            return apply(x, y)
        return function(x, y)

    return kernel


def _where(condition: Any, x: Any, y: Any, out: Any) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=condition)


def _mean(x: Any, axis: Any, count: int, out: Any, keepdims: bool) -> Any:
    total = _REDUCTIONS["sum"](x, axis, None, out, keepdims)
    return total / count if out is None else np.divide(total, count, out)


def _concat(*given: Any, out: Any = None) -> Any:
    *parts, axis = given
    return np.concatenate(parts, axis, out)


def _largest_of_rows(x: Any, keepdims: bool, out: Any = None) -> Any:
    # Column by column it takes a fifth of the time that NumPy takes for rows of ten numbers.
    found = np.maximum.reduce(x.T.copy(), 0, None, None if out is None else out.reshape(-1))
    return out if out is not None else found[:, None] if keepdims else found


def _sum_of_rows(x: Any, keepdims: bool, out: Any = None) -> Any:
    # The same by BLAS.
    return np.dot(x, _ones(x.shape[1:] + (1,) * keepdims, x.dtype), out)


def _sign(x: Any, out: Any = None) -> Any:
    # NumPy compares by vector instructions, and finds signs without. Mostly there are none but 0 and 1,
    # since this is the slope of a rectifier, whose result is `x`. The least number is NaN if there is one.
    if out is None or out.size < MANY or not np.minimum.reduce(x, None) >= 0:
        return np.sign(x, out)
    return np.greater(x, 0, out, casting="unsafe")


def _reshape(x: Any, out: Any) -> None:
    np.copyto(out.reshape(x.shape), x)


def _cast(x: Any, out: Any) -> None:
    np.copyto(out, x if out.dtype.kind in "bc" else x.real, casting="unsafe")


def _annihilating_product(factor: Any, derivative: Any, out: Any = None) -> Any:
    # vdot is one pass without a temporary array, and its result is finite only if all elements are.
    if not isfinite(np.vdot(derivative, derivative) if getattr(derivative, "ndim", 0) else derivative):
        derivative = finite_where_zero(factor, derivative)
    return factor * derivative if out is None else np.multiply(factor, derivative, out)


_SLIDING: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "add_to_winners": (add_to_winners, ("moving",)),
    "add_windows": (add_windows, ("moving", "lengths", "at")),
    "max_pool": (max_pool, ("moving", "places")),
    "windows": (windows, ("moving", "places", "at")),
}
"""Functions that write their result, with the settings that they take before it."""
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "all": np.logical_and.reduce,
    "any": np.logical_or.reduce,
    "max": np.maximum.reduce,
    "min": np.minimum.reduce,
    "prod": np.multiply.reduce,
    "sum": np.add.reduce,
}
_OF_SHORT_ROWS: dict[str, Callable[..., Any]] = {"max": _largest_of_rows, "sum": _sum_of_rows}
_ROUNDING: dict[str, Callable[..., Any]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "sign": _sign,
    "trunc": np.trunc,
}
"""Functions that are ufuncs as they should be for floats only."""
_INTO = {
    # These two take no `out` by position.
    "maximum": Into(np.maximum, keyword="out", elementwise=True, makes=True),
    "minimum": Into(np.minimum, keyword="out", elementwise=True, makes=True),
    "annihilating_product": Into(_annihilating_product, elementwise=True),
    "astype": Into(_cast),
    "cotangent_as": Into(_cast),
    "matmul": Into(np.matmul, makes=True),
    "reshape": Into(_reshape, packed=True),
    "where": Into(_where),
}


def _by_numbers(bounds: tuple[Any, ...], out: Any) -> bool:
    """Whether NumPy's own clip, which takes 0.0 for -0.0, does the same as the namespace's."""
    plain = all(type(x) is float and math.isfinite(x) and x != 0 for x in bounds)
    return bool(out.dtype.kind == "f" and plain and bounds[0] <= bounds[1])


def _by_blas(operands: tuple[Any, ...], out: Any) -> bool:
    """Whether `dot` does the same as `matmul`, and with less ado."""
    return out.dtype.char in "fdFD" and all(len(x.shape) == 2 and x.dtype == out.dtype for x in operands)


def _has_short_rows(operands: tuple[Any, ...], axis: Any, out: Any) -> bool:
    """Whether the last axis of a matrix is short, on which NumPy's functions take their time."""
    shape = operands[0].shape
    short = axis in (-1, (-1,), 1, (1,)) and len(shape) == 2 and 1 < shape[1] <= SHORT and shape[0] >= SHORT
    return short and out.dtype.char in "fd" and operands[0].dtype == out.dtype


def _quickly_summed(x: Any, out: Any) -> bool:
    """Whether BLAS finds out without threads if an array is finite."""
    size = math.prod(getattr(x, "shape", ()))
    return 1 < size <= FEW and x.dtype == out.dtype and out.dtype.char in "fd" and has_scipy()


@lru_cache(maxsize=64)
def _ones(shape: tuple[int, ...], dtype: Any) -> Any:
    """What sums columns as a factor, in half the time of `add.reduce`. Nobody may write to it."""
    return np.ones(shape, dtype)


def _matrix_transpose(x: Any) -> Any:
    return x.mT


def _reshaped_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, by the method of the array where that will do: in a third of the time."""

    def reshape(x: Any, *, shape: tuple[int, ...], copy: bool | None = None) -> Any:
        return x.reshape(shape) if copy is None else function(x, shape, copy=copy)

    return reshape


def _take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    return x.take(indices, axis)


def _ones_like(x: Any, *, dtype: Any = None, device: Any = None) -> Any:
    # Every backward pass begins with a one without axes, and NumPy's own function takes five times as long.
    if dtype is None and device is None and getattr(x, "shape", None) == ():
        return np.array(1, dtype=x.dtype)
    return np.ones_like(x, dtype=dtype, device=device)
