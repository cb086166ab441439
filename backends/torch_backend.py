"""PyTorch: CPU and whatever accelerator it was built for."""

from cmath import isfinite
from collections.abc import Callable, Hashable, Mapping
from operator import add, matmul, mul, sub, truediv
from typing import Any, ClassVar

import numpy as np

from bpkit._protocol import Capability

from ._common import ALL_CAPABILITIES, LibraryBackend, host_copy, is_basic_key
from ._special import not_on_host, scipy_special
from ._torch_convolution import convolutions

__all__ = ["TorchBackend"]

# torch.uint32 exists since 2.3, but add, shifts and xor are not implemented for it:
# https://github.com/pytorch/pytorch/issues/58734
# and no negative steps: https://github.com/pytorch/pytorch/issues/59786
_CAPABILITIES = ALL_CAPABILITIES - {
    Capability.UINT32_ARITHMETIC,
    Capability.BACKWARD_SLICES,
    Capability.UNIFORM_PROMOTION,
}


class TorchBackend(LibraryBackend):
    """PyTorch tensors; where they require gradients, torch's own autograd goes on recording as usual."""

    name = "torch"
    distribution = "torch"
    library = "torch"
    namespace = "array_api_compat.torch"
    special_namespace = "torch.special"
    special_names: ClassVar = {
        # Its bessel_j0 and the like are wrong in the seventh digit beyond 5, in float64 too (torch 2.13).
        **dict.fromkeys(("j0", "j1", "y0", "y1")),
        **{name: f"modified_bessel_{name}" for name in ("k0", "k1")},
        **{name: f"scaled_modified_bessel_{name}" for name in ("k0e", "k1e")},
        "polygamma": None,  # its order is a Python integer
    }

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        torch = self.module
        operators = {"add": add, "divide": truediv, "matmul": matmul, "multiply": mul, "subtract": sub}
        return {
            "annihilating_product": self._annihilating_product,
            "expit": torch.sigmoid,
            "pow": self._pow,
            "relu": torch.relu,
            "take_along_axis": self._take_along_axis,
            **convolutions(torch),
            **{name: self._on_one_dtype(apply, getattr(self.xp, name)) for name, apply in operators.items()},
        }

    @property
    def capabilities(self) -> frozenset[Capability]:
        if self.module.get_default_device().type == "mps":
            return _CAPABILITIES - {Capability.FLOAT64}
        return _CAPABILITIES

    def special_on_host(self, name: str) -> Callable[..., Any]:
        function = scipy_special(name)

        def on_host(*operands: Any) -> Any:
            torch = self.module
            if any(x.device.type != "cpu" for x in operands):
                raise not_on_host(name, f"torch has none for tensors on {operands[0].device}", self.name)
            if torch.is_grad_enabled() and any(x.requires_grad for x in operands):
                raise not_on_host(name, "torch has none, so its own autograd cannot record one", self.name)
            return self.from_host(np.asarray(function(*[self.to_host(x) for x in operands])), "cpu")

        return on_host

    def owns(self, cls: type) -> bool:
        return issubclass(cls, getattr(self.imported, "Tensor", ()))

    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([str(self.device(None)), *self._accelerators(), "cpu"]))

    def _accelerators(self) -> list[str]:
        accelerator = self.module.accelerator
        if not accelerator.is_available():
            return []
        kind = accelerator.current_accelerator().type
        return [f"{kind}:{index}" for index in range(accelerator.device_count())]

    def device(self, name: str | None) -> Any:
        torch = self.module
        if name is None:
            default = torch.get_default_device()
        else:
            try:
                default = torch.device(name)
            except RuntimeError:
                raise self.no_device(name) from None
        if default.type != "cpu" and default.index is None:
            default = torch.device(default.type, 0)
        if name is not None and str(default) not in ["cpu", *self._accelerators()]:
            raise self.no_device(name)
        return default

    def device_of(self, x: Any) -> str:
        return str(x.device)

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        return self.module.from_numpy(host_copy(x)).to(self.device(None) if device is None else device)

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x.numpy(force=True), copy=True)

    def host_view(self, x: Any) -> np.ndarray[Any, Any] | None:
        # It refuses other devices, tensors that its autograd watches, and dtypes that NumPy does not have.
        try:
            view: np.ndarray[Any, Any] = x.numpy()
        except (TypeError, RuntimeError):
            return None
        return view

    def is_view(self, x: Any) -> bool:
        # In inference mode torch does not record what is a view, so everything may be one.
        view: bool = x._is_view() or self.module.is_inference_mode_enabled()
        return view

    def shares_memory(self, x: Any, y: Any) -> bool:
        # Of wrapped tensors (torch.func) there is no memory to compare.
        try:
            ranges = [_memory(z) for z in (x, y)]
        except (NotImplementedError, RuntimeError):
            return True
        (first, end), (other_first, other_end) = ranges
        return bool(x.numel() and y.numel()) and first < other_end and other_first < end

    def operator_dtype(self, x: Any, y: Any) -> Any:
        # https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
        return self.module.result_type(x, y) if self.owns(type(x)) and self.owns(type(y)) else None

    def layout(self, x: Any) -> Hashable:
        return x.stride()  # type: ignore[no-any-return]

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        # Where strides are 0 an element is in several places, and a clone has each place for itself.
        overlaps = 0 in x.stride()
        out = (
            x.clone()
            if overlaps
            else self.module.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)
        )
        out[key] = value
        return out

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        torch = self.module
        out = x.detach().clone(memory_format=torch.contiguous_format)
        updates = torch.as_tensor(updates, dtype=x.dtype, device=x.device)
        if is_basic_key(key):
            out[key] += updates
        elif isinstance(key, torch.Tensor) and key.dtype != torch.bool:
            out.index_put_((key.long(),), updates, accumulate=True)
        else:
            # index_put_ takes no slices; torch's own indexing of the positions says where each update goes.
            positions = torch.arange(x.numel(), device=x.device).reshape(x.shape)[key]
            flat = updates.expand(positions.shape).reshape(-1)
            out.view(-1).index_add_(0, positions.reshape(-1), flat)
        return out

    def _pow(self, x1: Any, x2: Any) -> Any:
        # With these exponents torch takes square roots, which keep the sign of -0.0, so that the derivative
        # of x**0.5 there would be -inf: https://github.com/pytorch/pytorch/issues/127163
        if isinstance(x2, float) and x2 in (0.5, -0.5):
            x1 = x1 + 0.0
        return self.xp.pow(x1, x2)

    def _take_along_axis(self, x: Any, indices: Any, *, axis: int) -> Any:
        # It takes int64 only, and the standard every integer dtype.
        return self.xp.take_along_axis(x, indices.to(self.module.int64), axis=axis)

    def _on_one_dtype(
        self, apply: Callable[[Any, Any], Any], function: Callable[..., Any]
    ) -> Callable[[Any, Any], Any]:
        """`function`, by the operator where there is nothing to promote: the same result in half the time."""
        tensor = self.module.Tensor

        def kernel(x: Any, y: Any) -> Any:
            one, other = type(x), type(y)
            if (
                (one is tensor and other is tensor and x.dtype is y.dtype)
                or (one is tensor and other is float and x.is_floating_point())
                or (other is tensor and one is float and y.is_floating_point())
            ):
                return apply(x, y)
            return function(x, y)

        return kernel

    def _annihilating_product(self, factor: Any, derivative: Any) -> Any:
        # Most derivatives are finite, and where the values are at hand it takes one pass to see that.
        torch = self.module
        here = type(derivative) is torch.Tensor and derivative.device.type == "cpu"
        # torch.compile would cut its graph at a value.
        if here and not torch.compiler.is_compiling():
            try:
                plain = isfinite(derivative.sum().item())
            except (NotImplementedError, RuntimeError):  # wrapped tensors (torch.func) have no values
                plain = False
            if plain:
                return factor * derivative
        return self.xp.where(factor == 0, 0.0, factor * derivative)

    def synchronize(self) -> None:
        for device in self._accelerators():
            self.module.accelerator.synchronize(device)


def _memory(x: Any) -> tuple[int, int]:
    """The addresses of the first byte and of that after the last; torch has no negative strides."""
    first: int = x.data_ptr()
    last = sum((length - 1) * stride for length, stride in zip(x.shape, x.stride(), strict=True))
    return first, first + (last + 1) * x.element_size()
