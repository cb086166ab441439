"""Functions along axes: reductions, cumulative sums, sorting, Fourier transforms."""

from typing import Any

from bpkit.batching.registry import Operand, after_batch, batching, flat, reshaped
from bpkit.trace import call

Axis = int | tuple[int, ...]


def _after_batch(axis: Axis, x: Operand) -> Axis:
    n_axes = len(x.shape)
    if isinstance(axis, tuple):
        return tuple([after_batch(i, n_axes) for i in axis])
    return after_batch(axis, n_axes)


@batching(
    *("all", "any", "argmax", "argmin", "count_nonzero", "linalg.vector_norm", "logsumexp", "max", "mean"),
    *("min", "prod", "std", "sum", "var"),
)
def _reduction(name: str, size: int, x: Operand, *, axis: Axis | None, keepdims: bool, **static: Any) -> Any:
    if axis == ():
        # Not the batch as it is: for some libraries no axes are all axes.
        alone = call(name, reshaped(x.value, (*x.value.shape, 1)), axis=-1, keepdims=False, **static)
        return reshaped(alone, tuple(x.value.shape))
    if axis is not None:
        return call(name, x.value, axis=_after_batch(axis, x), keepdims=keepdims, **static)
    out = call(name, flat(x), axis=1, keepdims=False, **static)
    return reshaped(out, (size, *(1,) * len(x.shape))) if keepdims else out


@batching("argsort", "cumulative_prod", "cumulative_sum", "log_softmax", "softmax", "sort")
def _along(name: str, size: int, x: Operand, *, axis: int | None, **static: Any) -> Any:
    # Without an axis there is only one.
    axis = after_batch(axis, len(x.shape)) if axis is not None else after_batch(0, len(x.shape))
    return call(name, x.value, axis=axis, **static)


@batching("flip", "roll")
def _moved(name: str, size: int, x: Operand, *, axis: Axis | None, **static: Any) -> Any:
    if axis is not None:
        return call(name, x.value, axis=_after_batch(axis, x), **static)
    return reshaped(call(name, flat(x), axis=1, **static), tuple(x.value.shape))


@batching("fft.fft", "fft.hfft", "fft.ifft", "fft.ihfft", "fft.irfft", "fft.rfft")
def _fourier(name: str, size: int, x: Operand, *, axis: int, **static: Any) -> Any:
    return call(name, x.value, axis=after_batch(axis, len(x.shape)), **static)


@batching("fft.fftn", "fft.ifftn", "fft.irfftn", "fft.rfftn")
def _fourier_several(name: str, size: int, x: Operand, *, axes: tuple[int, ...], **static: Any) -> Any:
    return call(name, x.value, axes=_after_batch(axes, x), **static)
