"""The array that a transform shows to the user's function."""

import math
import operator
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NoReturn

import numpy as np

from bpkit._messages import assigns, described, library_line, user_level, user_line
from bpkit._protocol import Capability
from bpkit.errors import (
    BatchingError,
    GradientCutError,
    GradientCutWarning,
    RecordingError,
    ShapeError,
    TraceError,
)
from bpkit.indexing import getitem, setitem
from bpkit.kinds import Kind, device_of, is_mutable, kind_of, raw
from bpkit.numpy_operators import reflected
from bpkit.registry import backend_of, by_type
from bpkit.trace import BATCHED, Trace, Traced, call
from bpkit.views import write

__all__ = ["Array", "constant"]


def _operator(name: str) -> Callable[["Array", Any], "Array"]:
    def apply(self: "Array", other: Any) -> "Array":
        if (
            other.__class__ not in _PLAIN
            and _may_yield(self._value.__class__)
            and _one_lacks_axes(self, other)
        ):
            return call(name, *_promoted(self, other))  # type: ignore[no-any-return]
        return call(name, self, other)  # type: ignore[no-any-return]

    return apply


def _reflected(name: str) -> Callable[["Array", Any], "Array"]:
    def apply(self: "Array", other: Any) -> "Array":
        if (
            other.__class__ not in _PLAIN
            and _may_yield(self._value.__class__)
            and _one_lacks_axes(self, other)
        ):
            return call(name, *_promoted(other, self))  # type: ignore[no-any-return]
        return call(name, other, self)  # type: ignore[no-any-return]

    return apply


def _in_place(name: str) -> Callable[["Array", Any], "Array"]:
    apply = _operator(name)
    return lambda self, other: self._update(name, apply(self, other))


_PLAIN = frozenset({int, float, complex, bool})
"""Python's numbers, which no library promotes by."""


@cache
def _may_yield(cls: Any) -> bool:
    """Whether an operand without axes may yield, where a traced value is of this class underneath."""
    if issubclass(cls, Traced):
        return True
    backend = by_type[cls]
    return backend is not None and Capability.UNIFORM_PROMOTION not in backend.capabilities


def _one_lacks_axes(x: "Array", y: Any) -> bool:
    shape = x.shape
    return (not shape) is not (not getattr(y, "shape", shape))


def _promoted(x: Any, y: Any) -> tuple[Any, Any]:
    """The operands of an operator, of which one has no axes, in the dtypes in which the library meets them.

    In some libraries an array of no axes yields to the dtype of the other, as a number does; but not in the
    standard's functions of the same names.
    """
    dtype = backend_of(raw(x)).operator_dtype(_example(x), _example(y))
    if dtype is None:
        return x, y
    return tuple([z if z.shape else call("astype", z, dtype=dtype, copy=False, device=None) for z in (x, y)])


def _example(x: Any) -> Any:
    """A raw array of the dtype of `x` which has axes if `x` has any: those of a batch do not count."""
    value = raw(x)
    if len(value.shape) == len(x.shape):
        return value
    return backend_of(value).xp.zeros((1,) if x.shape else (), dtype=value.dtype)


_WRITES = {
    f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
}
_WRITES |= {"__ilshift__", "__irshift__", "__setitem__"}


_OF_TORCH = ("fft_", "linalg_", "special_")
"""What PyTorch calls its functions outside ``torch`` itself by."""


_NUMBERS: dict[Kind, type] = {
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.REAL: float,
    Kind.COMPLEX: complex,
}


class Array(Traced):
    """A backend array and the trace that watches it, with the interface of the standard's array object.

    Nobody builds one by hand: :func:`bpkit.grad` and the other transforms wrap what comes in and unwrap
    what goes out. Every operator and method ends in :func:`bpkit.trace.call`.
    """

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]

    # NumPy's functions, and the operators of its arrays and scalars, ask these first.

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = reflected(ufunc, method, inputs, kwargs)
        if name is not None:
            return call(name, *inputs)
        from bpkit.numpy_protocol import apply_ufunc  # the layer above, as in __array_namespace__

        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from bpkit.numpy_protocol import apply_function  # the layer above, as in __array_namespace__

        return apply_function(function, args, kwargs)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # PyTorch asks before it applies a function of its own to a traced value. Its operators are left to
        # ours, but `tensor += x` would then rebind the name and leave the tensor's other names as they were.
        name = getattr(function, "__name__", "")
        if name in _WRITES or (name.endswith("_") and not name.endswith("__")):
            # Not a TypeError, which torch would take for NotImplemented.
            raise TraceError(
                f"{name} of a tensor and a traced value: the tensor itself cannot take up a value that is "
                f"being differentiated. Write a = a + x instead of a += x, and build arrays with xp.stack"
            )
        if name == "__getitem__":
            raise TraceError(
                "a tensor indexed by a traced value: PyTorch takes tensors only. With bpkit.xp or "
                "x.__array_namespace__() write xp.take(tensor, index, axis=0), or xp.where(mask, tensor, 0)"
            )
        named = not name.startswith("__") and getattr(sys.modules["torch"], name, None) is function
        if (
            named
            or name.startswith(_OF_TORCH)
            or getattr(function, "__module__", "") == "torch.nn.functional"
        ):
            raise TraceError(
                f"torch's {name} of a traced value: PyTorch's functions take tensors only. Write it with the "
                f"functions of bpkit.xp (or x.__array_namespace__()), which are differentiable"
            )
        return NotImplemented

    # What it is.

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        shape: tuple[int, ...] = self._value.shape
        return shape[1:] if self._link is BATCHED else shape

    @property
    def dtype(self) -> Any:
        """The library's dtype object."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        if callable(getattr(type(raw(self)), "size", None)):
            from bpkit.array_methods import size_of  # the layer above, as in __array_namespace__

            return size_of(self)
        return size

    @property
    def device(self) -> Any:
        """The library's device object."""
        return device_of(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> "Array":
        """The array on another device of its library; `stream` is for the library's own arrays only."""
        if stream is not None:
            raise TypeError("to_device: a traced array takes no stream; leave it out")
        return call("astype", self, dtype=self.dtype, copy=False, device=device)  # type: ignore[no-any-return]

    @property
    def T(self) -> "Array":  # noqa: N802
        """The transpose of a matrix; in some libraries also other arrays with their axes turned round."""
        if self.ndim != 2:
            from bpkit.array_methods import transposed  # the layer above, as in __array_namespace__

            return transposed(self)
        return self.mT

    @property
    def mT(self) -> "Array":  # noqa: N802
        """The last two axes exchanged."""
        return call("matrix_transpose", self)  # type: ignore[no-any-return]

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        from bpkit.namespace.xp import namespace_of  # the layer above, which is written with this class

        return namespace_of(backend_of(raw(self)))

    def __repr__(self) -> str:
        examples = f"{self._value.shape[0]} examples " if self._link is BATCHED else ""
        return f"Array({self._value!r}, {examples}traced by {self._trace.transform})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        x = self._number("format")
        # Some libraries' arrays (array-api-strict's) can be formatted only as the number that they hold.
        return format(x if x.shape else _NUMBERS[kind_of(x)](x), spec)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __iter__(self) -> Iterator["Array"]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        # array-api-strict asks for the ellipsis; without one, NumPy gives a vector's elements as scalars.
        rows = range(self.shape[0])
        return (self[i] for i in rows) if self.ndim == 1 else (self[i, ...] for i in rows)

    # Values for Python's control flow.

    def __bool__(self) -> bool:
        return bool(self._number("bool"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __index__(self) -> int:
        return operator.index(self._number("operator.index"))

    # Without these, math asks for a float, whose gradient would be missed; integers have none.

    def __trunc__(self) -> int:
        return math.trunc(float(self._number("math.trunc")))

    def __floor__(self) -> int:
        return math.floor(float(self._number("math.floor")))

    def __ceil__(self) -> int:
        return math.ceil(float(self._number("math.ceil")))

    def __float__(self) -> float:
        value = self._number("float")
        self._note_cut("float")
        return float(value)

    def __complex__(self) -> complex:
        value = self._number("complex")
        self._note_cut("complex")
        return complex(value)

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is not None:
            return self.round(ndigits)
        number = round(self._number("round"))
        return number if isinstance(number, int) else call("round", self)

    def _number(self, conversion: str) -> Any:
        """The raw array, for a conversion to a number of Python."""
        x = self
        while isinstance(x, Traced):
            _check_one_value(x, f"{conversion}()")
            x = x._value
        return x

    def _note_cut(self, conversion: str) -> None:
        """Refuse or note that a value leaves the trace; the caller is what Python called for the conversion.

        What an assignment converts is sure to be read again, as a number without a gradient. Other code may
        want no more than the number (to print it, or to decide), so it gets a warning, and the place is
        remembered for when nothing else depends on the value.
        """
        traces, x = [], self
        while isinstance(x, Traced):
            if x._link is not None:
                traces.append(x._trace)
            x = x._value
        if not traces:
            return
        for trace in traces:
            trace.cuts[f"{conversion}() at {user_line()}{library_line()}"] = None
        asking = sys._getframe(2)
        if assigns(asking):
            error = GradientCutError(
                f"a value that is being differentiated, {described(self)}, is assigned to an element of a "
                f"plain array{library_line()}: that would lose its gradient. Make the array with "
                f"bpkit.xp.zeros(...) or numpy.zeros_like(x). If no gradient is meant to flow, assign "
                f"bpkit.stop_gradient(x)"
            )
            for trace in traces:
                trace.refused = (error, asking.f_code, asking.f_lasti)
            raise error
        warnings.warn(
            f"{conversion}() of a value that is being differentiated, {described(self)}{library_line()}: "
            f"no gradient flows through the result. If it is meant, write "
            f"{conversion}(bpkit.stop_gradient(x))",
            GradientCutWarning,
            stacklevel=user_level(),
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        from bpkit.lending import lend  # the layer above, as in __array_namespace__

        value = self._constant("numpy.asarray(x)")
        loan = None if copy else lend(self)
        if loan is not None and (dtype is None or loan.dtype == dtype):
            return loan
        if copy is False:
            raise ValueError(
                f"numpy.asarray(x, copy=False): x with dtype {self.dtype} has to be copied"
                f"{'' if dtype is None else f' to have dtype {dtype}'}"
            )
        # By the library's own conversion, which may refuse (arrays on a GPU).
        host = np.array(np.asarray(value), copy=True)
        if dtype is not None and host.dtype != dtype:
            return host.astype(dtype)
        # What is written to a copy that was not asked for would be lost.
        host.flags.writeable = bool(copy)
        return host

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        # The default for a stream differs between the libraries, so what is left out stays out.
        asked = {name: value for name, value in asked.items() if value is not None}
        self._constant("DLPack export")
        if not copy:
            from bpkit.lending import lend_for_good  # the layer above, as in __array_namespace__

            lend_for_good(self)
        return raw(self).__dlpack__(**asked)

    def __dlpack_device__(self) -> Any:
        return raw(self).__dlpack_device__()

    def _constant(self, conversion: str) -> Any:
        """The raw array, if it does not depend on the inputs of any transform."""
        x = self
        while isinstance(x, Traced):
            _check_one_value(x, conversion)
            if x._link is not None:
                raise GradientCutError(
                    f"{conversion} of a value traced by {x._trace.transform} would lose its gradient; it is "
                    f"{described(self)}. For plain[i] = x, make the array with bpkit.xp.zeros(...) or "
                    f"numpy.zeros_like(x); for numpy.array([x, y]), write "
                    f"bpkit.xp.asarray([x, y]); elsewhere use the functions of bpkit.xp (or "
                    f"x.__array_namespace__()), which take traced and plain arrays alike. If "
                    f"no gradient is meant to flow, convert bpkit.stop_gradient(x)"
                )
            x = x._value
        return x

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"a traced array has no attribute {name!r}")
        from bpkit.array_methods import method_of  # the layer above, as in __array_namespace__

        return method_of(self, name)

    # Copies. The default ones would copy the trace and the graph as well, and be lost to both.

    def __copy__(self) -> "Array":
        if self._trace.borrowed:
            return call("setitem", self, self, key=(...,))  # type: ignore[no-any-return]
        return Array(self._value, self._trace, self._link)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Array":
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise GradientCutError(
            f"pickling a value traced by {self._trace.transform}: it means nothing in another process or "
            f"later. Return it from the function instead (has_aux=True returns more than the loss)"
        )

    # Indexing.

    def __getitem__(self, key: Any) -> "Array":
        return getitem(self, key)  # type: ignore[no-any-return]

    def __setitem__(self, key: Any, value: Any) -> None:
        # Also where the library's own arrays cannot change (JAX): array_api_extra.at assigns to every array
        # of a type that it does not know, and a function that runs on the raw arrays cannot tell.
        if isinstance(value, list | tuple):
            value = self.__array_namespace__().asarray(value)
        write(self, setitem(self, key, value), "x[...] = value")

    # Operators.

    def __pos__(self) -> "Array":
        return call("positive", self)  # type: ignore[no-any-return]

    def __neg__(self) -> "Array":
        return call("negative", self)  # type: ignore[no-any-return]

    def __abs__(self) -> "Array":
        return call("abs", self)  # type: ignore[no-any-return]

    def __invert__(self) -> "Array":
        return call("bitwise_invert", self)  # type: ignore[no-any-return]

    __add__ = _operator("add")
    __sub__ = _operator("subtract")
    __mul__ = _operator("multiply")
    __truediv__ = _operator("divide")
    __floordiv__ = _operator("floor_divide")
    __mod__ = _operator("remainder")
    __pow__ = _operator("pow")
    __matmul__ = _operator("matmul")
    __and__ = _operator("bitwise_and")
    __or__ = _operator("bitwise_or")
    __xor__ = _operator("bitwise_xor")
    __lshift__ = _operator("bitwise_left_shift")
    __rshift__ = _operator("bitwise_right_shift")

    __radd__ = _reflected("add")
    __rsub__ = _reflected("subtract")
    __rmul__ = _reflected("multiply")
    __rtruediv__ = _reflected("divide")
    __rfloordiv__ = _reflected("floor_divide")
    __rmod__ = _reflected("remainder")
    __rpow__ = _reflected("pow")
    __rmatmul__ = _reflected("matmul")
    __rand__ = _reflected("bitwise_and")
    __ror__ = _reflected("bitwise_or")
    __rxor__ = _reflected("bitwise_xor")
    __rlshift__ = _reflected("bitwise_left_shift")
    __rrshift__ = _reflected("bitwise_right_shift")

    __iadd__ = _in_place("add")
    __isub__ = _in_place("subtract")
    __imul__ = _in_place("multiply")
    __itruediv__ = _in_place("divide")
    __ifloordiv__ = _in_place("floor_divide")
    __imod__ = _in_place("remainder")
    __ipow__ = _in_place("pow")
    __imatmul__ = _in_place("matmul")
    __iand__ = _in_place("bitwise_and")
    __ior__ = _in_place("bitwise_or")
    __ixor__ = _in_place("bitwise_xor")
    __ilshift__ = _in_place("bitwise_left_shift")
    __irshift__ = _in_place("bitwise_right_shift")

    def __divmod__(self, other: Any) -> tuple["Array", "Array"]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple["Array", "Array"]:
        return other // self, other % self

    __eq__ = _operator("equal")  # type: ignore[assignment]
    __ne__ = _operator("not_equal")  # type: ignore[assignment]
    __lt__ = _operator("less")
    __le__ = _operator("less_equal")
    __gt__ = _operator("greater")
    __ge__ = _operator("greater_equal")

    def _update(self, name: str, result: "Array") -> "Array":
        """What ``x += y`` leaves in x: this object where the library's arrays can change, else a new one."""
        if not is_mutable(self):
            return result
        if result.shape != self.shape:
            raise ShapeError(
                f"in-place {name}: the result has shape {tuple(result.shape)}, which does not fit into x of "
                f"shape {tuple(self.shape)}"
            )
        if result.dtype != self.dtype:
            if kind_of(result) > kind_of(self):
                raise TypeError(
                    f"in-place {name}: the result has dtype {result.dtype}, which x with dtype {self.dtype} "
                    f"cannot hold"
                )
            result = call("astype", result, dtype=self.dtype, copy=False, device=None)
        write(self, result, f"in-place {name}")
        return self


def _check_one_value(x: Traced, conversion: str) -> None:
    """Refuse to convert what stands for several values."""
    if x._link is BATCHED:
        raise BatchingError(
            f"{conversion} of a value that differs between the examples of vmap, {described(x)}: they all "
            f"take the same path through the function. Write xp.where(condition, x, y) for if, "
            f"xp.take(plain, x, axis=0) for plain[x], and keep arrays as arrays"
        )
    if x._link is not None and x._trace.replays:
        raise RecordingError(
            f"{conversion} of a value that depends on the arguments of a function under "
            f"{x._trace.transform}, {described(x)}: what is recorded must serve for all values. Write "
            f"xp.where(condition, x, y) for if, keep arrays as arrays, or pass what decides as a number, "
            f"which is a setting"
        )


def constant(x: Any, trace: Trace) -> Any:
    """A raw array as a constant of a trace; anything else as it is.

    Rules are written with operators, and some libraries (array-api-strict) refuse ``raw * traced`` instead of
    leaving it to the traced operand. So where one operand of a rule is traced, every array is.
    """
    # NumPy's dtypes have a shape too.
    if isinstance(x, Traced | np.dtype | type) or not hasattr(x, "shape"):
        return x
    return Array(x, trace, None)
