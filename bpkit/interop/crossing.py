"""Arrays from one library to another: by DLPack in the same memory where that can be, else by a copy."""

from typing import Any

import numpy as np

from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError
from bpkit.registry import backend_of
from bpkit.transforms.arguments import describe

__all__ = ["carried", "on_host", "writable"]

_CPU = 1  # kDLCPU of DLPack's DLDeviceType


def on_host(x: Any) -> bool:
    """Whether an array lies in the machine's memory, where NumPy can read it."""
    return bool(isinstance(x, np.generic) or x.__dlpack_device__()[0] == _CPU)


def carried(called: str, what: str, x: Any, target: Backend) -> Any:
    """An array in another library, on the device where it is.

    Parameters
    ----------
    called, what : str
        For errors: who asks, and what the array is to them.
    x : array
        Of any library, watched by nobody.
    target : Backend
        The library wanted.

    Returns
    -------
    array
        In the memory of `x`, unless DLPack or the library refuses it (reversed or, for JAX, other strides;
        memory that may not be written to, where arrays of the library can be; an address that is not
        aligned); then a copy, in the machine's memory only.

    Raises
    ------
    ArgumentError
        If the library has no such dtype, or cannot reach the device.
    """
    source = backend_of(x)
    if source is target:
        return x
    if not isinstance(x, np.generic) and not hasattr(x, "__dlpack_device__"):
        raise ArgumentError(
            f"{called}: {what} is a stand-in without values, of a function that {source.name} compiles or "
            f"transforms itself, and {target.name} cannot compute with it. Call this outside of that"
        )
    try:
        y = target.xp.from_dlpack(_exported(source, x, target))
        if _same_place(x, y) and _dtype_name(x) == _dtype_name(y):
            return y
        refusal = f"it makes {describe(y)} of it"
    except (BufferError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        refusal = str(error)
    try:
        if on_host(x):
            return target.from_host(source.to_host(x), target.device("cpu"))
    except (RuntimeError, TypeError, ValueError) as error:  # a dtype that one of the two does not have
        refusal = str(error)
    raise ArgumentError(
        f"{called}: {what} is {describe(x)} of {source.name} on {getattr(x, 'device', 'cpu')}, and "
        f"{target.name} cannot take it over: {refusal}"
    )


def writable(x: Any) -> Any:
    """The array, or a copy if it lies in memory of another library that may not be written to."""
    view = x if isinstance(x, np.ndarray) else backend_of(x).host_view(x)
    return x if view is None or view.flags.writeable else backend_of(x).xp.asarray(x, copy=True)


def _exported(source: Backend, x: Any, target: Backend) -> Any:
    """What DLPack can describe of an array: a copy where it cannot, or a reader would not heed it."""
    if isinstance(x, np.generic):
        return np.asarray(x)
    view = x if isinstance(x, np.ndarray) else source.host_view(x)
    strides = getattr(x if view is None else view, "strides", None) or ()
    # torch aborts the process where a stride is negative, and writes to memory that is read-only:
    # https://github.com/pytorch/pytorch/issues/59786
    closed = view is not None and not view.flags.writeable and Capability.IN_PLACE in target.capabilities
    if closed or min(strides, default=0) < 0:
        return source.xp.asarray(x, copy=True)
    return x


def _same_place(x: Any, y: Any) -> bool:
    return isinstance(x, np.generic) or x.__dlpack_device__() == y.__dlpack_device__()


def _dtype_name(x: Any) -> str:
    return str(x.dtype).rpartition(".")[2]
