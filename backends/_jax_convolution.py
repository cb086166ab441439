"""JAX's own convolution; what goes the other way is its transpose, by JAX."""

from collections.abc import Callable, Mapping
from typing import Any

from bpkit.sliding import Ints, seen_keys, seen_lengths

__all__ = ["convolutions"]

Kernel = Callable[..., Any]


def convolutions(jax: Any) -> Mapping[str, Kernel]:
    """The kernels by name."""
    xp = jax.numpy

    def transposed(function: Kernel, shape: Ints, y: Any) -> Any:
        """The transpose of a linear function of an array of this shape, applied to `y`."""
        return jax.linear_transpose(function, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]

    def conv(x: Any, weight: Any, *, sliding: Any, places: Ints) -> Any:
        stride, before, dilation, groups = sliding
        ends = seen_lengths(places, weight.shape[2:], stride, dilation)
        # Fewer zeros than none leave out elements, which no window sees.
        widths = [(n, end - n - length) for n, end, length in zip(before, ends, x.shape[2:], strict=True)]
        return jax.lax.conv_general_dilated(
            x, weight, stride, widths, rhs_dilation=dilation, feature_group_count=groups
        )

    def conv_transpose(y: Any, weight: Any, *, sliding: Any, lengths: Ints) -> Any:
        shape = (y.shape[0], weight.shape[1] * sliding.groups, *lengths)
        return transposed(lambda x: conv(x, weight, sliding=sliding, places=y.shape[2:]), shape, y)

    def conv_kernel(x: Any, y: Any, *, sliding: Any, window: Ints) -> Any:
        shape = (y.shape[1], x.shape[1] // sliding.groups, *window)
        return transposed(lambda weight: conv(x, weight, sliding=sliding, places=y.shape[2:]), shape, y)

    def add_windows(x: Any, *, moving: Any, lengths: Ints, at: int) -> Any:
        shape = [*x.shape[:at], *x.shape[at + len(moving.window) :]]
        places = tuple([shape[axis] for axis in moving.axes])
        for axis, length in zip(moving.axes, lengths, strict=True):
            shape[axis] = length

        def seen(z: Any) -> Any:
            out = xp.stack([z[key] for key in seen_keys(z.ndim, moving, places)], axis=at)
            return out.reshape(x.shape)

        return transposed(seen, tuple(shape), x) if x.size else xp.zeros(shape, x.dtype)

    def add_to_winners(updates: Any, x: Any, y: Any, *, moving: Any) -> Any:
        keys = seen_keys(x.ndim, moving, tuple([y.shape[axis] for axis in moving.axes]))

        def winners(t: Any) -> Any:
            out = xp.zeros_like(updates)
            for key in reversed(keys):
                out = xp.where(x[key] == y, t[key], out)
            return out

        return transposed(winners, x.shape, updates)

    kernels = (add_to_winners, add_windows, conv, conv_kernel, conv_transpose)
    return {kernel.__name__: kernel for kernel in kernels}
