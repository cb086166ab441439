"""Special functions of libraries that have none of their own: SciPy's, in the machine's memory."""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit.errors import BackendNotInstalledError, NoSuchFunctionError

__all__ = ["has_scipy", "not_on_host", "right_scipy_special", "scipy_dtype", "scipy_special"]

# One function of SciPy is two here: `zeta` with one operand.
_NAMES = {"riemann_zeta": "zeta"}
_COUNTS = {
    **dict.fromkeys(("bdtr", "bdtrc", "bdtri"), (1,)),
    **dict.fromkeys(("nbdtr", "nbdtrc", "nbdtri"), (0, 1)),
}
"""Operands that SciPy wants in an integer dtype, with a warning for whole numbers in another."""
_WRONG = frozenset({"inv_boxcox1p"})  # y instead of expm1(y) where lmbda is next to nothing (SciPy 1.17)


def has_scipy() -> bool:
    """Whether SciPy can be imported."""
    return sys.modules.get("scipy") is not None or importlib.util.find_spec("scipy") is not None


def scipy_special(name: str) -> Callable[..., Any]:
    """A function of ``scipy.special``, which is imported on first use."""
    if not has_scipy():
        raise BackendNotInstalledError(
            f"special.{name} takes its values from SciPy, which is not installed in this environment; "
            "install it: pip install scipy",
            name="scipy",
        )
    function: Callable[..., Any] = getattr(importlib.import_module("scipy.special"), _NAMES.get(name, name))
    return _with_counts(function, _COUNTS[name]) if name in _COUNTS else function


def right_scipy_special(name: str) -> Callable[..., Any] | None:
    """The same; None without SciPy, and where it has no such function or a wrong one."""
    if not has_scipy() or name in _WRONG:
        return None
    known = hasattr(importlib.import_module("scipy.special"), _NAMES.get(name, name))
    return scipy_special(name) if known else None


def _with_counts(function: Callable[..., Any], places: tuple[int, ...]) -> Callable[..., Any]:
    def counted(*operands: Any) -> Any:
        counts = [np.asarray(operands[place]) for place in places]
        dtype = np.result_type(*operands)
        if dtype.kind != "f":
            return function(*operands)
        finite = functools.reduce(np.logical_and, map(np.isfinite, counts))
        converted = list(operands)
        for place, count in zip(places, counts, strict=True):
            converted[place] = np.where(finite, count, 0).astype(np.int64)
        return np.where(finite, function(*converted), np.nan).astype(dtype)[()]

    return counted


def scipy_dtype(name: str, dtypes: list[Any]) -> Any:
    """The dtype in which SciPy computes a function of NumPy arrays of these dtypes.

    Each of its functions has a way of its own with integers. None where it takes no such operands.
    """
    if not has_scipy():
        return None
    try:
        return np.asarray(scipy_special(name)(*[np.empty(0, dtype) for dtype in dtypes])).dtype
    except TypeError:
        return None


def not_on_host(name: str, reason: str, backend: str) -> NoSuchFunctionError:
    """The error for a function that neither the library nor SciPy can compute where the arrays are."""
    return NoSuchFunctionError(
        f"special.{name}: {reason}, and SciPy's works in the machine's memory only. Compute it there: "
        f'bpkit.registry.get_backend("{backend}").to_host(x) gives x as a NumPy array'
    )
