"""NumPy's universal functions and their methods ``reduce``, ``accumulate`` and ``outer``."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.errors import GradientCutError, NotDifferentiableError
from bpkit.numpy_operators import OPERATORS
from bpkit.numpy_protocol.dispatch import (
    as_array,
    as_constants,
    as_operand,
    check_library,
    constants_of_others,
    refuse_out,
    transform_of,
)

__all__ = ["UFUNCS", "apply_ufunc"]

OTHERS = {
    np.absolute: "abs",
    np.arccos: "acos",
    np.arccosh: "acosh",
    np.arcsin: "asin",
    np.arcsinh: "asinh",
    np.arctan: "atan",
    np.arctan2: "atan2",
    np.arctanh: "atanh",
    np.conjugate: "conj",
    np.invert: "bitwise_invert",
} | {
    getattr(np, name): name
    for name in (
        *("ceil", "copysign", "cos", "cosh", "exp", "expm1", "floor", "hypot", "isfinite", "isinf", "isnan"),
        *("log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or"),
        *("logical_xor", "maximum", "minimum", "negative", "nextafter", "positive", "reciprocal", "sign"),
        *("signbit", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc"),
    )
}


def _degrees(x: Any) -> Any:
    return xp.multiply(x, 180 / math.pi)


def _radians(x: Any) -> Any:
    return xp.multiply(x, math.pi / 180)


def _floating(x: Any) -> Any:
    """An array as NumPy's functions of floats take it: integers become float64."""
    x = as_array(x)
    return x if x.dtype.kind in "fc" else xp.astype(x, np.float64)


def _modf(x: Any) -> Any:
    x = _floating(x)
    whole = xp.trunc(x)
    return xp.where(xp.isinf(x), xp.copysign(xp.zeros_like(x), x), x - whole), whole


def _float_power(x: Any, y: Any) -> Any:
    x, y = as_array(x), as_array(y)
    wide = np.complex128 if "c" in (x.dtype.kind, y.dtype.kind) else np.float64
    return xp.pow(xp.astype(x, wide), xp.astype(y, wide))


def _fmax(x: Any, y: Any) -> Any:
    return xp.where(xp.isnan(as_array(x)), y, xp.where(xp.isnan(as_array(y)), x, xp.maximum(x, y)))


def _fmin(x: Any, y: Any) -> Any:
    return xp.where(xp.isnan(as_array(x)), y, xp.where(xp.isnan(as_array(y)), x, xp.minimum(x, y)))


def _fmod(x: Any, y: Any) -> Any:
    # Of the dividend's sign, where remainder has the divisor's.
    return x - y * xp.trunc(xp.divide(x, y))


def _heaviside(x: Any, y: Any) -> Any:
    x = as_array(x)
    step = xp.astype(xp.greater(x, 0), xp.result_type(x, y))
    return xp.where(xp.isnan(x), x, xp.where(xp.equal(x, 0), y, step))


def _ldexp(x: Any, y: Any) -> Any:
    x = _floating(x)
    return x * xp.pow(np.asarray(2, dtype=x.dtype)[()], xp.astype(as_array(y), x.dtype))


def _logaddexp2(x: Any, y: Any) -> Any:
    return xp.logaddexp(x * math.log(2), y * math.log(2)) * (1 / math.log(2))


def _vecdot(x: Any, y: Any, *, axis: int = -1) -> Any:
    return xp.vecdot(x, y, axis=axis)


def _matvec(x: Any, y: Any) -> Any:
    return xp.matmul(x, y[..., None])[..., 0]


def _vecmat(x: Any, y: Any) -> Any:
    return xp.matmul(xp.conj(x)[..., None, :], y)[..., 0, :]


DEFINED: dict[str, Callable[..., Any]] = {
    "cbrt": xp.special.cbrt,
    "deg2rad": _radians,
    "degrees": _degrees,
    "divmod": lambda x, y: (xp.floor_divide(x, y), xp.remainder(x, y)),
    "exp2": lambda x: xp.pow(2.0, x),
    "fabs": lambda x: xp.abs(_floating(x)),
    "float_power": _float_power,
    "fmax": _fmax,
    "fmin": _fmin,
    "fmod": _fmod,
    "heaviside": _heaviside,
    "ldexp": _ldexp,
    "logaddexp2": _logaddexp2,
    "matvec": _matvec,
    "modf": _modf,
    "rad2deg": _degrees,
    "rint": lambda x: xp.round(_floating(x)),
    "radians": _radians,
    "vecdot": _vecdot,
    "vecmat": _vecmat,
}
"""Those of which the standard has no equal; NumPy has had the last of them since 2.2."""

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    **{ufunc: getattr(xp, name) for ufunc, name in (OPERATORS | OTHERS).items()},
    **{getattr(np, name): run for name, run in DEFINED.items() if hasattr(np, name)},
}
"""NumPy's universal functions and what stands for them."""


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call of `ufunc`, or of one of its methods, means when a traced value is among its operands."""
    name = _spelled(ufunc) if method == "__call__" else f"{_spelled(ufunc)}.{method}"
    if "out" in kwargs:
        _refuse_out(name, inputs, kwargs["out"])
    if constants_of_others(inputs):
        return getattr(ufunc, method)(*as_constants(inputs), **kwargs)
    check_library(name, inputs)
    run = UFUNCS.get(ufunc) or _special(ufunc) if method == "__call__" else METHODS.get(method, {}).get(ufunc)
    if method == "outer" and ufunc in UFUNCS and ufunc.nin == 2 and ufunc.signature is None:
        run = _outer(UFUNCS[ufunc])
    if run is None:
        raise NotDifferentiableError(
            f"{name} of a value traced by {transform_of(inputs)}: bpkit has nothing that stands for "
            f"it, and the function itself, which is compiled code, would lose the gradient. Write it in "
            f"other functions, or, if no gradient is meant to flow through it, apply it to "
            f"numpy.asarray(bpkit.stop_gradient(x))"
        )
    operands = [as_operand(x) for x in inputs]
    return run(*operands, **_static(name, ufunc, method, operands, kwargs)) if kwargs else run(*operands)


_SPECIAL = ("scipy.special", "scipy.special._ufuncs")
"""Where SciPy has its universal functions; under SCIPY_ARRAY_API the public names are of something else."""


def _of_scipy(ufunc: np.ufunc) -> bool:
    return any(getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc for module in _SPECIAL)


def _spelled(ufunc: np.ufunc) -> str:
    if getattr(np, ufunc.__name__, None) is ufunc:
        return f"numpy.{ufunc.__name__}"
    return f"{'scipy.special.' if _of_scipy(ufunc) else 'the universal function '}{ufunc.__name__}"


def _special(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """What stands for one of SciPy's universal functions: that of the same name."""
    run = getattr(xp.special, ufunc.__name__, None) if _of_scipy(ufunc) else None
    if run is None:
        return None

    def special(*operands: Any) -> Any:
        kinds = [getattr(x, "dtype", type(x)) for x in operands]
        # Numbers count as well: some of SciPy's functions compute float32 beside 2.0 in float64.
        dtype = ufunc.resolve_dtypes((*[np.dtype(k) if k is bool else k for k in kinds], None))[-1]
        return run(
            *[
                xp.astype(x, dtype, copy=False) if hasattr(x, "shape") else np.asarray(x, dtype)
                for x in operands
            ]
        )

    return special


def _refuse_out(name: str, inputs: tuple[Any, ...], out: tuple[Any, ...]) -> None:
    if len(inputs) == 2 and out[0] is inputs[0]:
        raise GradientCutError(
            f"in-place {name} (array += x and its like) with an Array traced by "
            f"{transform_of(inputs)}: the NumPy array itself cannot take up a value that is being "
            f"differentiated. Write a = a + x instead of a += x"
        )
    refuse_out(name, inputs, out)


def _static(
    name: str, ufunc: np.ufunc, method: str, operands: list[Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments that are passed on; `dtype` is obeyed by converting the operands in their list."""
    given = {key: value for key, value in kwargs.items() if key not in ("order", "subok", "casting")}
    if given.get("where") is True:
        del given["where"]
    dtype = given.pop("dtype", None)
    if dtype is not None:
        if method in ("reduce", "accumulate"):
            given["dtype"] = dtype
        else:
            casting = kwargs.get("casting", "same_kind")
            loop = ufunc.resolve_dtypes((*([np.dtype(dtype)] * ufunc.nin), *([None] * ufunc.nout)))
            if any(found != np.dtype(dtype) for found in loop):
                raise NotDifferentiableError(_unsupported(name, "dtype", operands))
            operands[:] = [_converted(name, x, np.dtype(dtype), casting) for x in operands]
    known = {"reduce": ("axis", "dtype", "keepdims", "initial"), "accumulate": ("axis", "dtype")}.get(
        method, ()
    )
    for key in given:
        if key not in known and not (key == "axis" and ufunc.__name__ == "vecdot"):
            raise NotDifferentiableError(_unsupported(name, key, operands))
    return given


def _unsupported(name: str, key: str, operands: list[Any]) -> str:
    return (
        f"{name}({key}=...) of a value traced by {transform_of(operands)}: this argument is not "
        f"supported there. Leave it out, and choose elements with numpy.where and dtypes with x.astype"
    )


def _converted(name: str, x: Any, dtype: Any, casting: Any) -> Any:
    x = as_array(x)
    if not np.can_cast(x.dtype, dtype, casting):
        raise TypeError(f"{name}: cannot cast an operand from {x.dtype} to {dtype} by casting={casting!r}")
    return xp.astype(x, dtype)


# Methods.


def _outer(run: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def outer(x: Any, y: Any) -> Any:
        x, y = as_array(x), as_array(y)
        return run(xp.reshape(x, tuple(x.shape) + (1,) * y.ndim), y)

    return outer


def _reduce(
    run: Callable[..., Any], combine: Callable[..., Any] | None, has_dtype: bool
) -> Callable[..., Any]:
    def reduce(
        x: Any, *, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None
    ) -> Any:
        x = as_array(x)
        if dtype is not None and not has_dtype:
            x = xp.astype(x, dtype)
        static = {"dtype": dtype} if has_dtype and dtype is not None else {}
        if x.ndim == 0 and axis == 0:
            axis = None
        out = run(x, axis=axis, keepdims=keepdims, **static)
        if initial is None or combine is None:
            return out
        return combine(out, xp.astype(as_array(initial), out.dtype))

    return reduce


def _accumulate(name: str) -> Callable[..., Any]:
    def accumulate(x: Any, *, axis: int = 0, dtype: Any = None) -> Any:
        return getattr(xp, name)(as_array(x), axis=axis, dtype=dtype)

    return accumulate


METHODS: dict[str, dict[np.ufunc, Callable[..., Any]]] = {
    "reduce": {
        np.add: _reduce(xp.sum, xp.add, True),
        np.multiply: _reduce(xp.prod, xp.multiply, True),
        np.maximum: _reduce(xp.max, xp.maximum, False),
        np.minimum: _reduce(xp.min, xp.minimum, False),
        np.logical_and: _reduce(xp.all, None, False),
        np.logical_or: _reduce(xp.any, None, False),
    },
    "accumulate": {np.add: _accumulate("cumulative_sum"), np.multiply: _accumulate("cumulative_prod")},
}
