"""Derivatives of what is not in the standard."""

from typing import Any

from bpkit import namespace as xp
from bpkit.indexing import gather
from bpkit.rules.registry import linear

Pairs = tuple[tuple[int, int], ...]


def _unpadded(g: Any, x_shape: tuple[int, ...], pad_width: Pairs) -> Any:
    return g[tuple([slice(w[0], w[0] + length) for w, length in zip(pad_width, x_shape, strict=True)])]


def _padding_sum(g: Any, x_shape: tuple[int, ...], pad_width: Pairs) -> Any:
    """The sum over everything around the part that is `x`, axis by axis."""
    total = xp.zeros_like(xp.sum(g))
    for axis, (before, _) in enumerate(pad_width):
        inside = (slice(None),) * axis
        total = total + xp.sum(g[(*inside, slice(0, before), ...)])
        total = total + xp.sum(g[(*inside, slice(before + x_shape[axis], None), ...)])
        g = g[(*inside, slice(before, before + x_shape[axis]), ...)]
    return total


linear("pad", jointly=True, x=_unpadded, constant_values=_padding_sum)


linear(
    "index_add",
    "x",
    "updates",
    "*indices",
    jointly=True,
    x=lambda g: g,
    updates=lambda g, indices, key: gather(g, key, indices),
)
