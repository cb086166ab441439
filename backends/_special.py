"""Special functions of libraries that have none of their own: SciPy's, in the machine's memory."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit.errors import BackendNotInstalledError, NoSuchFunctionError

__all__ = ["has_scipy", "not_on_host", "scipy_dtype", "scipy_special"]

# One function of SciPy is two here: `zeta` with one operand.
_NAMES = {"riemann_zeta": "zeta"}


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
    return function


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
