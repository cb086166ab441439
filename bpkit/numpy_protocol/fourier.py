"""NumPy's ``fft``: the functions of the standard, and those of two axes."""

from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit.numpy_protocol.dispatch import as_array, function

__all__: list[str] = []


def _along_one(name: str) -> Callable[..., Any]:
    def run(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
        return getattr(xp.fft, name)(as_array(a), n=n, axis=axis, norm=norm or "backward")

    return run


def _along_several(name: str) -> Callable[..., Any]:
    def run(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
        s, axes = (None if x is None else tuple(x) for x in (s, axes))
        return getattr(xp.fft, name)(as_array(a), s=s, axes=axes, norm=norm or "backward")

    return run


def _along_two(name: str) -> Callable[..., Any]:
    several = _along_several(name)

    def run(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
        return several(a, s, axes, norm)

    return run


def _shift(name: str) -> Callable[..., Any]:
    def run(x: Any, axes: Any = None) -> Any:
        return getattr(xp.fft, name)(as_array(x), axes=tuple(axes) if isinstance(axes, list) else axes)

    return run


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    function(f"fft.{_name}")(_along_one(_name))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    function(f"fft.{_name}")(_along_several(_name))
    function(f"fft.{_name[:-1]}2")(_along_two(_name))
for _name in ("fftshift", "ifftshift"):
    function(f"fft.{_name}")(_shift(_name))
