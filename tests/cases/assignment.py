"""Cases of ``x[key] = value``, as a function that returns a changed copy."""

from typing import Any

import numpy as np

from bpkit._protocol import Capability
from bpkit.indexing import setitem

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
MASK = np.asarray([[True, False, True], [False, False, True]])
PICKS = np.asarray([2, 0])
ROWS, COLUMNS = np.asarray([1, 0, 1]), np.asarray([2, 0, 2])


def _set(
    x: Argument,
    value: Any,
    key: Any,
    label: str,
    not_on: tuple[str, ...] = (),
    needs: tuple[Capability, ...] = (),
) -> Case:
    """``x[key] = value``; arrays in the key go with the arguments, to be moved to each library."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [part for part in parts if isinstance(part, np.ndarray)]

    def changed(xp: Any, x: Any, value: Any, *given: Any) -> Any:
        waiting = iter(given)
        return setitem(
            x, tuple([next(waiting) if isinstance(part, np.ndarray) else part for part in parts]), value
        )

    return case(
        "setitem",
        *(x, value, *arrays),
        call=changed,
        label=label,
        library=False,
        not_on=not_on,
        needs=needs,
    )


# array-api-strict takes no integer arrays here, and promotes nothing.
NOT_STRICT = ("array_api_strict",)

CASES: list[Case] = [
    _set(A((3,)), A(()), 1, "int"),
    _set(A((2, 3)), A((3,)), (0, ...), "row"),
    _set(A((2, 3)), A((2, 1)), (slice(None), slice(0, 2)), "value broadcast"),
    _set(A((2, 3)), A((1, 1, 3)), (-1, slice(None)), "value with more axes", ("jax", *NOT_STRICT)),
    _set(A((2, 3)), A(()), MASK, "mask and one value", needs=(Capability.BOOLEAN_INDEXING,)),
    _set(A((2, 3)), A((3,)), MASK, "mask and values", ("jax", *NOT_STRICT)),
    _set(A((2, 3)), 2.5, (slice(None), 1), "Python scalar"),
    _set(A((2, 3)), A((3,)), (...,), "everything"),
    _set(A((2, 3)), A((2, 0)), (slice(None), slice(2, 2)), "nothing"),
    _set(A(()), A(()), (), "0-d", NOT_STRICT),
    _set(A((3,)), A((2,)), PICKS, "indices", NOT_STRICT),
    _set(A((2, 3)), A((3,)), (ROWS, COLUMNS), "repeated indices", ("jax", *NOT_STRICT)),
    _set(A((3,), "complex", "complex128"), A((), "complex", "complex128"), 1, "complex"),
    _set(A((3,), "complex", "complex128"), A((2,)), slice(1, 3), "real into complex", NOT_STRICT),
    _set(A((3,)), A((2,), dtype="float32"), slice(1, 3), "narrow into wide", NOT_STRICT),
]
