"""What the backends share: finding a library, loading its namespace, and the standard's dtype names."""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from bpkit._protocol import DTYPES, Capability, Into
from bpkit.errors import BackendNotInstalledError, DeviceNotFoundError

from ._special import not_on_host

__all__ = [
    "ALL_CAPABILITIES",
    "LibraryBackend",
    "host_copy",
    "is_basic_key",
    "layout_copy",
    "may_decline",
    "share_memory",
]

ALL_CAPABILITIES = frozenset(Capability)

_AS_IT_IS = nullcontext()


class LibraryBackend:
    """The part of a backend that follows from its library's name, for arrays on one device that are no views.

    A subclass adds `name`, `distribution`, `library`, `namespace`, and the methods `owns`, `from_host`,
    `to_host`, `index_add` and `index_set`.
    """

    name: str
    distribution: str
    library: ClassVar[str]
    """The name under which the library is imported."""
    namespace: ClassVar[str]
    """The module that is its array-API namespace."""
    advice: ClassVar[str] = ""
    """What the install command needs to be told about it, if anything."""

    special_namespace: ClassVar[str | None] = None
    """The module of its special functions; None if it has none of its own."""
    special_names: ClassVar[Mapping[str, str | None]] = {}
    """Its names where they are not SciPy's; None where its function is not SciPy's."""

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {}

    def special(self, name: str) -> Callable[..., Any] | None:
        own = self.special_names.get(name, name)
        if self.special_namespace is None or own is None:
            return None
        return getattr(importlib.import_module(self.special_namespace), own, None)

    def special_on_host(self, name: str) -> Callable[..., Any]:
        raise not_on_host(name, f"{self.library} has none", self.name)

    def special_dtype(self, name: str, operands: tuple[Any, ...]) -> Any:
        return None

    @functools.cached_property
    def module(self) -> Any:
        """The library itself, imported on first use."""
        return self._import(self.library)

    @functools.cached_property
    def xp(self) -> Any:
        return self._import(self.namespace)

    def _import(self, name: str) -> Any:
        LibraryBackend.require(self)
        try:
            return importlib.import_module(name)
        except Exception as error:
            raise BackendNotInstalledError(
                f"{self.library} is installed, but importing {name} failed with "
                f"{type(error).__name__}: {error}. Install the library again: "
                f"pip install --force-reinstall {self.distribution}{self.advice}",
                name=self.library,
            ) from error

    @property
    def imported(self) -> Any:
        """The library if this process has imported it, else None."""
        return sys.modules.get(self.library)

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    @property
    def capabilities(self) -> frozenset[Capability]:
        return ALL_CAPABILITIES

    def require(self) -> None:
        if self.imported is None and importlib.util.find_spec(self.library) is None:
            raise BackendNotInstalledError(
                f"{self.library} is not installed in this environment; "
                f"install the library: pip install {self.distribution}{self.advice}",
                name=self.library,
            )

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def device(self, name: str | None) -> Any:
        if name not in (None, "cpu"):
            raise self.no_device(name)
        return "cpu"

    def device_of(self, x: Any) -> str:
        return "cpu"

    def dtypes(self) -> tuple[str, ...]:
        here = self.xp.__array_namespace_info__().dtypes()
        return tuple(name for name in DTYPES if name in here)

    def no_device(self, name: str) -> DeviceNotFoundError:
        """The error for a device name that is not among :meth:`devices`."""
        here = ", ".join(repr(device) for device in self.devices())
        return DeviceNotFoundError(f"backend {self.name!r} has no device {name!r} here; it has {here}")

    def host_view(self, x: Any) -> np.ndarray[Any, Any] | None:
        return None

    def is_view(self, x: Any) -> bool:
        return False

    def shares_memory(self, x: Any, y: Any) -> bool:
        return False

    def exposed(self, arrays: Sequence[Any], positions: Sequence[int]) -> Sequence[int]:
        return [
            i
            for i in positions
            if self.is_view(arrays[i])
            or any(
                x is arrays[i] or (self.is_view(x) and self.shares_memory(x, arrays[i]))
                for j, x in enumerate(arrays)
                if j != i
            )
        ]

    def same_values(self, x: Any, y: Any) -> bool:
        return bool(self.xp.all(x == y))

    def layout(self, x: Any) -> Hashable:
        return None

    def operator_dtype(self, x: Any, y: Any) -> Any:
        return None

    def quiet(self) -> AbstractContextManager[Any]:
        return _AS_IT_IS

    def into(self, name: str, operands: tuple[Any, ...], static: Mapping[str, Any], out: Any) -> Into | None:
        return None

    def added(
        self, alpha: float, shapes: tuple[tuple[int, ...], ...], turned: tuple[bool, ...], dtype: Any
    ) -> Into | None:
        return None

    def on_stand_ins(self, run: Callable[..., None], arrays: Sequence[Any]) -> bool:
        return False

    def fused(self, program: Any) -> Into | None:
        return None

    def rounded(self, name: str, x: Any, out: Any) -> Into | None:
        return None

    def compiled(
        self, program: Callable[..., Any], donated: tuple[int, ...], inputs: Sequence[Any]
    ) -> Callable[..., Any]:
        return program

    def synchronize(self) -> None:
        """Nothing is queued: this library has finished when a function returns."""


def may_decline(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel that returns NotImplemented for what it leaves to the namespace's own function."""
    kernel.declines = True  # type: ignore[attr-defined]
    return kernel


def host_copy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A contiguous, writable copy in the machine's byte order, which every library can take over."""
    return np.array(x, dtype=np.asarray(x).dtype.newbyteorder("="), order="C", copy=True)


def share_memory(x: Any, y: Any) -> bool:
    """Whether two NumPy arrays have an element in common, or may have one where that is hard to tell."""
    try:
        return np.shares_memory(x, y, max_work=100)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def layout_copy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy with the strides of the original, gaps between its elements included."""
    copy = np.array(x, copy=True, order="K", subok=False)
    if copy.strides == x.strides or 0 in x.strides:
        return copy
    first, end = np.lib.array_utils.byte_bounds(x)
    memory = np.empty(end - first, dtype=np.uint8)
    out: np.ndarray[Any, Any] = np.ndarray(
        x.shape, x.dtype, memory, x.__array_interface__["data"][0] - first, x.strides
    )
    out[...] = x
    return out


def is_basic_key(key: Any) -> bool:
    """Whether a key has only ints, slices, ``...`` and None, so that it selects no element twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None or part is ... or (isinstance(part, int | slice) and not isinstance(part, bool))
        for part in parts
    )
