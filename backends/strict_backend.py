"""array-api-strict: the standard and nothing else, the reference that tests run against."""

import sys
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from bpkit._protocol import Capability

from ._common import ALL_CAPABILITIES, LibraryBackend, host_copy, layout_copy, share_memory
from ._special import right_scipy_special, scipy_dtype, scipy_special

__all__ = ["StrictBackend"]

_CAPABILITIES = ALL_CAPABILITIES - {Capability.MIXED_INDEXING}
_FLAGS = {
    "boolean_indexing": Capability.BOOLEAN_INDEXING,
    "data_dependent_shapes": Capability.DATA_DEPENDENT_SHAPES,
}


class StrictBackend(LibraryBackend):
    """array-api-strict arrays, with the library's flags as the user has set them."""

    name = "array_api_strict"
    distribution = "array-api-strict"
    library = "array_api_strict"
    namespace = "array_api_strict"

    @property
    def capabilities(self) -> frozenset[Capability]:
        flags = self.module.get_array_api_strict_flags()
        return _CAPABILITIES - {fact for flag, fact in _FLAGS.items() if not flags[flag]}

    def special(self, name: str) -> Callable[..., Any] | None:
        # What SciPy itself takes for arrays of this library, before any definition.
        function = right_scipy_special(name)
        return None if function is None else self._on_host(function)

    def special_on_host(self, name: str) -> Callable[..., Any]:
        return self._on_host(scipy_special(name))

    def _on_host(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def on_host(*operands: Any) -> Any:
            found = function(*[self.to_host(x) for x in operands])
            return self.from_host(np.asarray(found), operands[0].device)

        return on_host

    def special_dtype(self, name: str, operands: tuple[Any, ...]) -> Any:
        # Where arrays of this library meet SciPy's own functions, SciPy makes NumPy arrays of them.
        found = scipy_dtype(name, [x._array.dtype for x in operands])
        return self.xp.__array_namespace_info__().dtypes(device=operands[0].device).get(str(found))

    def owns(self, cls: type) -> bool:
        # The library has no public name for its array class.
        module = sys.modules.get("array_api_strict._array_object")
        return issubclass(cls, getattr(module, "Array", ()))

    def devices(self) -> tuple[str, ...]:
        return tuple(self._devices())

    def _devices(self) -> dict[str, Any]:
        devices = self.module.__array_namespace_info__().devices()
        return {_device_name(device): device for device in devices}

    def device(self, name: str | None) -> Any:
        devices = self._devices()
        if name is not None and name not in devices:
            raise self.no_device(name)
        return devices[name or "cpu"]

    def device_of(self, x: Any) -> str:
        return _device_name(x.device)

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        return self.xp.asarray(host_copy(x), device=device)

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(np.from_dlpack(x), copy=True)

    def host_view(self, x: Any) -> np.ndarray[Any, Any] | None:
        # NumPy takes arrays of no other device of this library.
        return np.asarray(x._array) if self.device_of(x) == "cpu" else None

    def is_view(self, x: Any) -> bool:
        return x._array.base is not None

    def shares_memory(self, x: Any, y: Any) -> bool:
        return share_memory(x._array, y._array)

    def layout(self, x: Any) -> Hashable:
        return x._array.strides  # type: ignore[no-any-return]

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        out = self.xp.asarray(x, copy=True)
        out._array = layout_copy(x._array)
        # Inside a tuple the library does not unwrap its own arrays.
        out[key[0] if isinstance(key, tuple) and len(key) == 1 else key] = value
        return out

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        host_key = tuple(self.to_host(part) if self.owns(type(part)) else part for part in parts)
        out = self.to_host(x)
        np.add.at(out, host_key, self.to_host(updates) if self.owns(type(updates)) else updates)
        return self.from_host(out, x.device)


def _device_name(device: Any) -> str:
    # A device of this library shows its name in its repr only: array_api_strict.Device('CPU_DEVICE').
    name = repr(device).split("'")[1]
    return "cpu" if name == "CPU_DEVICE" else name
