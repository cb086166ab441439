"""JAX: CPU, CUDA and TPU, with 64-bit types only where its x64 mode is on."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bpkit._protocol import Capability

from ._common import ALL_CAPABILITIES, LibraryBackend, host_copy
from ._jax_convolution import convolutions
from ._special import scipy_special

__all__ = ["JaxBackend"]

_WIDE = ALL_CAPABILITIES - {Capability.IN_PLACE}
_NARROW = _WIDE - {Capability.FLOAT64}


class JaxBackend(LibraryBackend):
    """JAX arrays and JAX tracers."""

    name = "jax"
    distribution = "jax"
    library = "jax"
    namespace = "jax.numpy"
    special_namespace = "jax.scipy.special"
    special_names: ClassVar = {
        "psi": "digamma",
        "polygamma": None,  # its order has an integer dtype
        "beta": None,  # wrong in the seventh digit, in float64 too, like its betaln (JAX 0.10)
        "betaln": None,
        "poch": None,  # NaN between two poles of the gamma function (JAX 0.10)
    }

    def on_stand_ins(self, run: Callable[..., None], arrays: Sequence[Any]) -> bool:
        # Done one by one, each function would be compiled by itself, which takes JAX seconds in all.
        jax = self.module
        with jax.ensure_compile_time_eval():
            jax.eval_shape(run, *arrays)
        return True

    def compiled(
        self, program: Callable[..., Any], donated: tuple[int, ...], inputs: Sequence[Any]
    ) -> Callable[..., Any]:
        function = self.module.jit(program, donate_argnums=donated)
        # What this finds out is kept for the first call.
        function.lower(*[self.module.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs])
        return function  # type: ignore[no-any-return]

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {"searchsorted": self._searchsorted, **convolutions(self.module)}

    def special_on_host(self, name: str) -> Callable[..., Any]:
        function = scipy_special(name)

        def on_host(*operands: Any) -> Any:
            jax = self.module
            shape = self.xp.broadcast_shapes(*[x.shape for x in operands])
            out = jax.ShapeDtypeStruct(shape, operands[0].dtype)

            def computed(*given: Any) -> Any:
                return np.asarray(function(*[np.asarray(x) for x in given]), dtype=out.dtype)

            if not any(isinstance(x, jax.core.Tracer) for x in operands):
                return jax.device_put(computed(*operands), next(iter(operands[0].devices())))
            return jax.pure_callback(computed, out, *operands, vmap_method="broadcast_all")

        return on_host

    @property
    def capabilities(self) -> frozenset[Capability]:
        return _WIDE if self.module.config.jax_enable_x64 else _NARROW

    def owns(self, cls: type) -> bool:
        jax = self.imported
        core = sys.modules.get("jax.core")
        # Tracers pass isinstance(x, jax.Array) through a metaclass, but are no subclasses of it.
        return jax is not None and issubclass(cls, (getattr(jax, "Array", ()), getattr(core, "Tracer", ())))

    def devices(self) -> tuple[str, ...]:
        return tuple(self._devices())

    def _devices(self) -> dict[str, Any]:
        jax = self.module
        default, host = jax.local_devices(), jax.local_devices(backend="cpu")
        return {_device_name(device): device for device in [*default, *host]}

    def device(self, name: str | None) -> Any:
        devices = self._devices()
        if name is None:
            return next(iter(devices.values()))
        kind, _, index = name.partition(":")
        kind = "cuda" if kind == "gpu" else kind
        for here, device in devices.items():
            if here.partition(":")[0] == kind and index in ("", str(device.id)):
                return device
        raise self.no_device(name)

    def device_of(self, x: Any) -> str:
        # A traced array has no device yet, and a sharded one several; both answer with the first of them.
        if isinstance(x, self.module.core.Tracer):
            return self.devices()[0]
        return min(_device_name(device) for device in x.devices())

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        copy = host_copy(x)
        if self.module.dtypes.canonicalize_dtype(copy.dtype) != copy.dtype:
            raise TypeError(
                f"backend 'jax' has no {copy.dtype.name} while its x64 mode is off. Set JAX_ENABLE_X64=1, or "
                'call jax.config.update("jax_enable_x64", True), before the first array is made; or convert '
                "this one to a 32-bit dtype yourself"
            )
        return self.module.device_put(copy, device)

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x, copy=True)

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        return x.at[key].add(self.xp.asarray(updates, dtype=x.dtype))

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
        if str(getattr(mask, "dtype", "")) == "bool" and np.ndim(value) == 0:
            # Under jax.jit a mask is no index, https://docs.jax.dev/en/latest/errors.html
            places = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
            return self.xp.where(places, self.xp.asarray(value, dtype=x.dtype), x)
        return x.at[key].set(value)

    def _searchsorted(self, x1: Any, x2: Any, sorter: Any = None, *, side: str = "left") -> Any:
        # The standard wants the default index dtype, and JAX gives int32 even in x64 mode:
        # https://github.com/jax-ml/jax/issues/11375
        found = self.xp.searchsorted(x1, x2, side=side, sorter=sorter)
        return found.astype(self.module.dtypes.canonicalize_dtype(np.int64))

    def synchronize(self) -> None:
        jax = self.module
        jax.effects_barrier()
        for device in self._devices().values():
            # An accelerator runs what it is given in order, so this is done when all before it is.
            jax.block_until_ready(jax.device_put(np.int32(0), device) + 1)
            jax.block_until_ready(jax.live_arrays(device.platform))


def _device_name(device: Any) -> str:
    kind = device.platform
    if kind == "gpu":
        kind = "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"
    return "cpu" if (kind, device.id) == ("cpu", 0) else f"{kind}:{device.id}"
