"""einops on traced arrays.

einops finds the operations for a tensor by its type, among the subclasses of its ``AbstractBackend`` whose
framework has been imported. So bpkit's subclass only has to exist; it is made once einops itself is here.
"""

import sys
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit.kinds import is_real
from bpkit.trace import Traced

__all__ = ["meet_einops"]

_met: list[type] = []


def meet_einops() -> None:
    """Let einops know of traced arrays, if somebody has imported it."""
    if not _met and "einops" in sys.modules:
        _met.append(_make_backend())


def _make_backend() -> type:
    from einops._backends import AbstractBackend

    class TracedBackend(AbstractBackend):  # type: ignore[misc]
        framework_name = "bpkit"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Traced)

        def to_numpy(self, x: Any) -> Any:
            return np.asarray(x)  # which refuses a value that depends on an input

        def reshape(self, x: Any, shape: Any) -> Any:
            return xp.reshape(x, tuple(shape))

        def transpose(self, x: Any, axes: Any) -> Any:
            return xp.permute_dims(x, tuple(axes))

        def reduce(self, x: Any, operation: str, axes: Any) -> Any:
            return getattr(xp, operation)(x, axis=tuple(axes))

        def stack_on_zeroth_dimension(self, tensors: Any) -> Any:
            return xp.stack(tensors, axis=0)

        def add_axis(self, x: Any, new_position: int) -> Any:
            return xp.expand_dims(x, axis=new_position)

        def tile(self, x: Any, repeats: Any) -> Any:
            return xp.tile(x, tuple(repeats))

        def concat(self, tensors: Any, axis: int) -> Any:
            return xp.concat(tensors, axis=axis)

        def is_float_type(self, x: Any) -> bool:
            return is_real(x)

        def einsum(self, pattern: str, *x: Any) -> Any:
            return xp.einsum(pattern, *x)

    return TracedBackend
