"""Convolutions and windows: examples stand beside the images, or, with a weight each, beside the groups."""

from typing import Any

from bpkit.batching.registry import Operand, batching, in_front, reshaped, transposed
from bpkit.sliding import Sliding, Windows
from bpkit.trace import call


def _beside_channels(size: int, x: Operand) -> Any:
    """Images whose channels are those of all examples, one example after the other."""
    value = transposed(in_front(size, x), (1, 0, *range(2, len(x.shape) + 1)))
    return reshaped(value, (x.shape[0], size * x.shape[1], *x.shape[2:]))


def _from_channels(size: int, out: Any) -> Any:
    n, channels, *rest = out.shape
    split = reshaped(out, (n, size, channels // size, *rest))
    return transposed(split, (1, 0, *range(2, len(split.shape))))


@batching("conv", "conv_transpose")
def _conv(name: str, size: int, x: Operand, weight: Operand, *, sliding: Sliding, **static: Any) -> Any:
    if not weight.batched:
        flat = reshaped(x.value, (size * x.shape[0], *x.shape[1:]))
        out = call(name, flat, weight.value, sliding=sliding, **static)
        return reshaped(out, (size, x.shape[0], *out.shape[1:]))
    out = call(
        name,
        _beside_channels(size, x),
        reshaped(weight.value, (size * weight.shape[0], *weight.shape[1:])),
        sliding=sliding._replace(groups=size * sliding.groups),
        **static,
    )
    return _from_channels(size, out)


@batching("conv_kernel")
def _conv_kernel(name: str, size: int, x: Operand, y: Operand, *, sliding: Sliding, **static: Any) -> Any:
    sliding = sliding._replace(groups=size * sliding.groups)
    out = call(name, _beside_channels(size, x), _beside_channels(size, y), sliding=sliding, **static)
    return reshaped(out, (size, out.shape[0] // size, *out.shape[1:]))


def _after_batch(moving: Windows) -> Windows:
    return moving._replace(axes=tuple([axis + 1 for axis in moving.axes]))


@batching("add_windows", "windows")
def _windows(name: str, size: int, x: Operand, *, moving: Windows, at: int, **static: Any) -> Any:
    return call(name, x.value, moving=_after_batch(moving), at=at + 1, **static)


@batching("add_to_winners", "max_pool", "winners")
def _pooled(name: str, size: int, *operands: Operand, moving: Windows, **static: Any) -> Any:
    return call(name, *[in_front(size, x) for x in operands], moving=_after_batch(moving), **static)
