"""CuPy: NumPy on one or more CUDA devices."""

import importlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from bpkit.errors import DeviceNotFoundError

from ._common import LibraryBackend, host_copy, is_basic_key

__all__ = ["CupyBackend"]

# The dtypes of CUDA's atomicAdd, which cupyx.scatter_add needs:
# https://docs.cupy.dev/en/stable/reference/generated/cupyx.scatter_add.html
_ATOMIC = ("int32", "uint32", "uint64", "float16", "float32", "float64")


class CupyBackend(LibraryBackend):
    """CuPy arrays, on the device that made them."""

    name = "cupy"
    distribution = "cupy-cuda13x"
    advice = " (cupy-cuda12x where the driver has CUDA 12)"
    library = "cupy"
    namespace = "array_api_compat.cupy"
    special_namespace = "cupyx.scipy.special"

    def require(self) -> None:
        super().require()
        runtime = self.module.cuda.runtime
        try:
            count, reason = runtime.getDeviceCount(), ""
        except runtime.CUDARuntimeError as error:
            count, reason = 0, f" ({error})"
        if count == 0:
            raise DeviceNotFoundError(
                f"CuPy is installed but sees no CUDA device{reason}; it needs an NVIDIA GPU and its driver. "
                "Check nvidia-smi and CUDA_VISIBLE_DEVICES"
            )

    def owns(self, cls: type) -> bool:
        return issubclass(cls, getattr(self.imported, "ndarray", ()))

    def devices(self) -> tuple[str, ...]:
        cuda = self.module.cuda
        here = int(cuda.runtime.getDevice())
        others = [index for index in range(cuda.runtime.getDeviceCount()) if index != here]
        return tuple(f"cuda:{index}" for index in [here, *others])

    def device(self, name: str | None) -> Any:
        cuda = self.module.cuda
        if name is None:
            return cuda.Device()
        index = name.removeprefix("cuda").removeprefix(":") or "0"
        if name == "" or f"cuda:{index}" not in self.devices():
            raise self.no_device(name)
        return cuda.Device(int(index))

    def device_of(self, x: Any) -> str:
        return f"cuda:{x.device.id}"

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        with self.module.cuda.Device() if device is None else device:
            return self.module.asarray(host_copy(x))

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(self.module.asnumpy(x), copy=True)

    def is_view(self, x: Any) -> bool:
        return x.base is not None

    def shares_memory(self, x: Any, y: Any) -> bool:
        return bool(self.module.may_share_memory(x, y))

    def layout(self, x: Any) -> Hashable:
        return x.strides  # type: ignore[no-any-return]

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        with x.device:
            out = x.copy(order="K")
            out[key] = value
            return out

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        with x.device:
            out = x.copy()
            updates = self.module.asarray(updates, dtype=x.dtype)
            if is_basic_key(key):
                out[key] += updates
            else:
                self._scatter_add(out, key, updates)
            return out

    def _scatter_add(self, out: Any, key: Any, updates: Any) -> None:
        scatter_add = importlib.import_module("cupyx").scatter_add
        dtype = out.dtype.name
        if dtype in _ATOMIC:
            scatter_add(out, key, updates)
        elif dtype == "int64":
            # Two's complement: adding modulo 2**64 is the same for signed and unsigned numbers.
            scatter_add(out.view("uint64"), key, updates.view("uint64"))
        elif out.dtype.kind == "c":
            scatter_add(out.real, key, updates.real)
            scatter_add(out.imag, key, updates.imag)
        else:
            wide = out.astype("int32")
            scatter_add(wide, key, updates.astype("int32"))
            out[...] = wide.astype(out.dtype)

    def synchronize(self) -> None:
        cuda = self.module.cuda
        for index in range(cuda.runtime.getDeviceCount()):
            cuda.Device(index).synchronize()
