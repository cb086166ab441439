"""The methods of NumPy's arrays: most are the function of that name, with the array as its first argument."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.errors import NotDifferentiableError
from bpkit.numpy_protocol.dispatch import FUNCTIONS, copied, flat

__all__ = ["METHODS"]


def _by_function(name: str) -> Callable[..., Any]:
    function = FUNCTIONS[getattr(np, name)]

    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        return function((x, *args), kwargs)

    return method


METHODS: dict[str, Callable[..., Any]] = {
    name: _by_function(name)
    for name in (
        *("all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot", "max"),
        *("mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "searchsorted", "squeeze", "std"),
        *("sum", "swapaxes", "take", "trace", "var"),
    )
}
"""Those that differ from the methods of other libraries' arrays, or that these have not."""


def _method(run: Callable[..., Any]) -> Callable[..., Any]:
    METHODS[run.__name__] = run
    return run


@_method
def astype(
    x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    dtype = np.dtype(dtype)
    if not np.can_cast(x.dtype, dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"x.astype: cannot cast from {x.dtype} to {dtype} by casting={casting!r}")
    if dtype != x.dtype:
        x, copy = xp.astype(xp.real(x) if x.dtype.kind == "c" != dtype.kind else x, dtype), order != "K"
    return copied(x, order) if copy else x


@_method
def compress(x: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    return FUNCTIONS[np.compress]((condition, x, axis, out), {})


@_method
def copy(x: Any, order: str = "C") -> Any:
    return copied(x, order)


@_method
def fill(x: Any, value: Any) -> None:
    x[...] = value


@_method
def flatten(x: Any, order: str = "C") -> Any:
    return flat(copied(x, order), order)


@_method
def sort(x: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    if order is not None:
        raise NotDifferentiableError("x.sort(order=...) of a traced value: its dtype has no fields")
    x[...] = xp.sort(x, axis=axis)
