"""Derivatives of the discrete Fourier transforms.

All are linear, and their matrices ``w**(j k)`` are symmetric, so that the transpose of :func:`fft` is itself.
A transform of real numbers pairs with one that reads half a spectrum and has the same exponents: ``rfft``
with ``hfft``, ``ihfft`` with ``irfft``. Reading half a spectrum counts each element twice, once for its
conjugate, but those that are their own; so each of the two is the other's transpose up to a factor of two
inside.
"""

from typing import Any

from bpkit import namespace as xp
from bpkit.rules.registry import linear

Shape = tuple[int, ...]


def _resized(g: Any, x_shape: Shape) -> Any:
    """The transpose of cutting off and filling up: filling up and cutting off."""
    g = g[tuple([slice(0, min(sizes)) for sizes in zip(x_shape, g.shape, strict=True)])]
    missing = tuple([(0, length - here) for length, here in zip(x_shape, g.shape, strict=True)])
    return xp.pad(g, missing) if any(width for _, width in missing) else g


def _inside(g: Any, factor: float, n: int, axis: int) -> Any:
    """Half the spectrum of a signal of length `n`, times `factor` where elements have a conjugate."""
    before = (slice(None),) * axis
    middle = slice(1, (n + 1) // 2)
    parts = [g[(*before, slice(0, 1), ...)], factor * g[(*before, middle, ...)]]
    if n % 2 == 0:
        parts.append(g[(*before, slice(n // 2, None), ...)])
    return xp.concat(parts, axis=axis)


def _rfft_transpose(g: Any, n: int, axis: int, norm: Any) -> Any:
    return xp.fft.hfft(_inside(g, 0.5, n, axis), n=n, axis=axis, norm=norm)


def _irfft_transpose(g: Any, n: int, axis: int, norm: Any) -> Any:
    return _inside(xp.fft.ihfft(g, axis=axis, norm=norm), 2.0, n, axis)


def _rfftn_transpose(g: Any, x_shape: Shape, s: Shape, axes: Shape, norm: Any) -> Any:
    if len(axes) > 1:
        g = xp.fft.fftn(g, axes=axes[:-1], norm=norm)
    return _resized(_rfft_transpose(g, s[-1], axes[-1], norm), x_shape)


def _irfftn_transpose(g: Any, x_shape: Shape, s: Shape, axes: Shape, norm: Any) -> Any:
    g = _irfft_transpose(g, s[-1], axes[-1], norm)
    return _resized(xp.fft.ifftn(g, axes=axes[:-1], norm=norm) if len(axes) > 1 else g, x_shape)


linear("fft.fft", x=lambda g, x_shape, axis, norm: _resized(xp.fft.fft(g, axis=axis, norm=norm), x_shape))
linear("fft.ifft", x=lambda g, x_shape, axis, norm: _resized(xp.fft.ifft(g, axis=axis, norm=norm), x_shape))
linear("fft.fftn", x=lambda g, x_shape, axes, norm: _resized(xp.fft.fftn(g, axes=axes, norm=norm), x_shape))
linear("fft.ifftn", x=lambda g, x_shape, axes, norm: _resized(xp.fft.ifftn(g, axes=axes, norm=norm), x_shape))
linear("fft.rfft", x=lambda g, x_shape, n, axis, norm: _resized(_rfft_transpose(g, n, axis, norm), x_shape))
linear("fft.irfft", x=lambda g, x_shape, n, axis, norm: _resized(_irfft_transpose(g, n, axis, norm), x_shape))
linear(
    "fft.hfft",
    x=lambda g, x_shape, n, axis, norm: _resized(
        _inside(xp.fft.rfft(g, axis=axis, norm=norm), 2.0, n, axis), x_shape
    ),
)
linear(
    "fft.ihfft",
    x=lambda g, x_shape, n, axis, norm: _resized(
        xp.fft.irfft(_inside(g, 0.5, n, axis), n=n, axis=axis, norm=norm), x_shape
    ),
)
linear("fft.rfftn", x=_rfftn_transpose)
linear("fft.irfftn", x=_irfftn_transpose)
