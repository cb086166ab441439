"""What to say of errors of other code, and of errors that other code led to, when it got a traced value.

And what to write for the arrays of libraries that are none of bpkit's, told by the name of their module.
"""

import os
import sys
from types import FrameType

__all__ = ["advice", "instead"]

_CLASS = "bpkit.array.Array"
_ELEMENT = (
    "A value that is assigned to an element of a plain array is converted like this: make that array with "
    "bpkit.xp.zeros(...) or numpy.zeros_like(x)"
)


_INSTEAD = {
    "dask.array": (
        "data in chunks are not in memory: go through them with bpkit.interop.dask, "
        "value_and_grad(loss)(params, x, y) or, for training.fit, batches(x, y); or load them, x.compute()"
    ),
    "pandas": "take the array of it, x.to_numpy()",
    "xarray": "take the array of it, x.data, or a function of NumPy, numpy.exp(x), which keeps the labels",
}


def instead(cls: type) -> str:
    """What to write for an object of this type; empty if it is of no library that is known here."""
    return next((said for name, said in _INSTEAD.items() if f"{cls.__module__}.".startswith(f"{name}.")), "")


def advice(error: Exception, inside: list[FrameType]) -> str:
    """What a note adds to an error that leaves a transform; empty if there is nothing to say.

    Parameters
    ----------
    error : exception
    inside : list of frames
        Those below the user's, up to where the error was raised.
    """
    # It takes the user's line from _messages, as this is asked by it.
    from bpkit.errors import BpkitError, TraceError, UnknownNameError

    if isinstance(error, TraceError | UnknownNameError) and (said := _of_xarray(inside)):
        return said
    if isinstance(error, BpkitError):
        return _of_scipy(inside) if isinstance(error, TypeError | ValueError) else ""
    cause = error.__cause__
    if isinstance(cause, BpkitError):
        # NumPy raises an error of its own where float(x) failed.
        return f"{cause.args[0]}. {_ELEMENT}" if isinstance(error, ValueError) else str(cause.args[0])
    if isinstance(error, TypeError) and _CLASS in str(error):
        return (
            "a value that is traced by bpkit was passed to a function that takes arrays of its own library "
            "only. Write it with the functions of bpkit.xp (or x.__array_namespace__()), which are "
            "differentiable"
        )
    return ""


def _of_scipy(inside: list[FrameType]) -> str:
    """Why SciPy converted a traced value; empty if it was not SciPy."""
    names = [name for frame in inside if (name := _public_name(frame)).startswith("scipy.")]
    if not names:
        return ""
    called = next((name for name in names if _is_public(name)), names[0])
    # What it read when it was imported; before that, what it would read.
    read = getattr(sys.modules.get("scipy._lib._array_api"), "SCIPY_ARRAY_API", None)
    if os.environ.get("SCIPY_ARRAY_API") if read is None else read:
        return (
            f"in {called}, which makes arrays of NumPy of its arguments here: this part of SciPy has no "
            f"array-API path. Write it with the functions of bpkit.xp"
        )
    return (
        f"in {called}: SciPy works with arrays other than NumPy's only where the environment variable "
        f"SCIPY_ARRAY_API=1 was set before it was imported, and it was not. Some of its parts, compiled code "
        f"above all, have no array-API path even then; write those with the functions of bpkit.xp"
    )


def _of_xarray(inside: list[FrameType]) -> str:
    """What of xarray takes no traced arrays; empty if it was not xarray."""
    name = next((frame.f_code.co_qualname for frame in inside if _module(frame).startswith("xarray.")), None)
    if name is None:
        return ""
    return (
        f"in xarray's {name}, which makes arrays of NumPy, or calls a function of NumPy that bpkit has not. "
        f"The array of a labelled one is x.data; write this part with the functions of bpkit.xp on it"
    )


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _public_name(frame: FrameType) -> str:
    """``scipy.linalg.solve`` for a function of ``scipy.linalg._basic``."""
    module = [part for part in _module(frame).split(".") if part[:1] != "_"]
    return ".".join([*module, frame.f_code.co_qualname])


def _is_public(name: str) -> bool:
    """Whether a module has this, or a class of it."""
    module, _, rest = name.rpartition(".")
    owner = sys.modules.get(module) or sys.modules.get(module.rpartition(".")[0])
    return not rest.startswith("_") and (hasattr(owner, rest) or hasattr(owner, name.split(".")[-2]))
