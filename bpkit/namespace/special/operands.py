"""What special functions take: arrays of one floating dtype, made of whatever SciPy's functions take."""

from typing import Any

import numpy as np

from bpkit._protocol import RawArray
from bpkit.kinds import is_inexact, raw
from bpkit.namespace.dtypes import astype, result_type
from bpkit.registry import backend_of, current

__all__ = ["floating"]


def floating(*operands: Any) -> tuple[RawArray, ...]:
    """The operands as arrays of one library and one floating dtype; shapes stay as they are.

    Python scalars and integer arrays take the dtype of the floating ones, if there are any, and else the
    library's default.
    """
    arrays = [x for x in operands if hasattr(x, "shape")]
    if len(arrays) == len(operands) and len({x.dtype for x in arrays}) == 1 and is_inexact(arrays[0]):
        return operands
    if any(not isinstance(x, np.generic) for x in arrays):
        # Beside an array, a NumPy scalar is a plain number, whose library the array may not share.
        arrays = [x for x in arrays if not isinstance(x, np.generic)]
        operands = tuple([x.item() if isinstance(x, np.generic) else x for x in operands])
    backend, device = current() if not arrays else (backend_of(raw(arrays[0])), _device_of(arrays[0]))
    inexact = [x for x in arrays if is_inexact(x)]
    if not inexact:
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


def _device_of(x: Any) -> Any:
    return getattr(raw(x), "device", None)
