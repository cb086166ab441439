"""What functions take for arrays: the standard's take arrays, special ones whatever SciPy's take."""

from typing import Any

import numpy as np

from bpkit._protocol import RawArray
from bpkit.kinds import device_of, is_inexact, raw
from bpkit.namespace.dtypes import astype, result_type
from bpkit.registry import backend_of, current
from bpkit.trace import call

__all__ = ["check_arrays", "floating", "special_function"]


def check_arrays(called: str, **operands: Any) -> None:
    """Refuse an operand that is no array.

    Raises
    ------
    TypeError
        Names the function and the argument.
    """
    for argument, x in operands.items():
        if not hasattr(x, "shape"):
            article = "a " if isinstance(x, list | tuple | float | complex) else ""
            raise TypeError(
                f"{called}: expected an array as {argument}, got {article}{type(x).__name__}; make an array "
                f"of it first: bpkit.xp.asarray(...)"
            )


def special_function(name: str, *operands: Any) -> RawArray:
    """The special function of this name of operands that :func:`floating` takes."""
    return call(f"special.{name}", *floating(name, *operands))


def floating(name: str | None, *operands: Any) -> tuple[RawArray, ...]:
    """The operands of a function as arrays of one library and one floating dtype.

    Shapes stay as they are. Of a special function, which `name` names, the dtype is the one in which the
    library itself computes it: for NumPy, of int64 and float32 in float64. Where there is no such rule,
    integer arrays take the dtype of the floating ones, if there are any, and else the library's default.
    Python's numbers take the dtype of the arrays, as everywhere in the standard.
    """
    common = getattr(operands[0], "dtype", None)
    if common is not None and is_inexact(operands[0]):
        for x in operands[1:]:
            # Not every library lets its dtypes be compared with another's.
            if type(getattr(x, "dtype", None)) is not type(common) or x.dtype != common:
                break
        else:
            return operands
    arrays = [x for x in operands if hasattr(x, "shape")]
    foreign = [x for x in arrays if not isinstance(x, np.generic)]
    if foreign and not isinstance(raw(foreign[0]), np.ndarray | np.generic):
        # Beside another library's array, a NumPy scalar is a plain number, whose library it may not share.
        arrays = foreign
        operands = tuple([x.item() if isinstance(x, np.generic) else x for x in operands])
    backend, device = current() if not arrays else (backend_of(raw(arrays[0])), device_of(arrays[0]))
    inexact = [x for x in arrays if is_inexact(x)]
    numbers = raw((inexact or arrays)[0]) if arrays else None
    full = tuple([raw(x) if hasattr(x, "shape") else numbers for x in operands])
    dtype = backend.special_dtype(name, full) if arrays and name is not None else None
    if dtype is not None:
        pass
    elif not inexact:
        dtype = backend.xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]
    elif len({x.dtype for x in inexact}) == 1:
        dtype = inexact[0].dtype
    else:
        dtype = result_type(*inexact)
    return tuple(
        [
            (x if x.dtype == dtype else astype(x, dtype))
            if hasattr(x, "shape")
            else backend.xp.asarray(x, dtype=dtype, device=device)
            for x in operands
        ]
    )
