"""PyTorch's own convolutions, which it has for up to three axes and zeros alike at both ends."""

from collections.abc import Callable, Mapping
from typing import Any

from bpkit.sliding import Ints, seen_lengths

from ._common import may_decline

__all__ = ["convolutions"]

Kernel = Callable[..., Any]


def convolutions(torch: Any) -> Mapping[str, Kernel]:
    """The kernels by name."""
    functional = torch.nn.functional

    def padded(x: Any, before: Ints, lengths: Ints) -> Any:
        """`x` with zeros before it, and after it as many as give it these lengths, or fewer elements."""
        widths = [
            (first, length - first - there)
            for first, length, there in zip(before, lengths, x.shape[2:], strict=True)
        ]
        return functional.pad(x, [size for pair in reversed(widths) for size in pair])

    def alike(x_lengths: Ints, ends: Ints, sliding: Any) -> bool:
        """Whether as many zeros after the last element as before the first give as many places."""
        return all(
            0 <= length + 2 * first - end < step
            for length, end, first, step in zip(x_lengths, ends, sliding.before, sliding.stride, strict=True)
        )

    def own(x: Any) -> bool:
        return len(x.shape) < 6 and x.numel() > 0 and x.is_floating_point()

    def conv(x: Any, weight: Any, *, sliding: Any, places: Ints) -> Any:
        if not own(x):
            return NotImplemented
        stride, before, dilation, groups = sliding
        ends = seen_lengths(places, tuple(weight.shape[2:]), stride, dilation)
        if not alike(tuple(x.shape[2:]), ends, sliding):
            x, before = padded(x, before, ends), (0,) * len(before)
        function = getattr(functional, f"conv{len(places)}d")
        return function(x, weight, None, stride, before, dilation, groups)

    def conv_transpose(y: Any, weight: Any, *, sliding: Any, lengths: Ints) -> Any:
        if not own(y):
            return NotImplemented
        stride, before, dilation, groups = sliding
        ends = seen_lengths(tuple(y.shape[2:]), tuple(weight.shape[2:]), stride, dilation)
        function = getattr(functional, f"conv_transpose{len(lengths)}d")
        if alike(lengths, ends, sliding):
            more = tuple([n + 2 * first - end for n, end, first in zip(lengths, ends, before, strict=True)])
            return function(y, weight, None, stride, before, more, groups, dilation)
        whole = function(y, weight, None, stride, 0, 0, groups, dilation)
        return padded(whole, tuple([-first for first in before]), lengths)

    def conv_kernel(x: Any, y: Any, *, sliding: Any, window: Ints) -> Any:
        if not own(x):
            return NotImplemented
        stride, before, dilation, groups = sliding
        ends = seen_lengths(tuple(y.shape[2:]), window, stride, dilation)
        if not alike(tuple(x.shape[2:]), ends, sliding):
            x, before = padded(x, before, ends), (0,) * len(before)
        weight = y.new_empty((y.shape[1], x.shape[1] // groups, *window))
        more = (0,) * len(window)
        wanted = (False, True, False)
        settings = (stride, before, dilation, False, more, groups, wanted)
        return torch.ops.aten.convolution_backward(y, x, weight, None, *settings)[1]

    return {kernel.__name__: may_decline(kernel) for kernel in (conv, conv_kernel, conv_transpose)}
