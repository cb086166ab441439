"""Derivatives of cumulative sums and products."""

from typing import Any

from bpkit import namespace as xp
from bpkit.rules.cotangents import annihilating_product
from bpkit.rules.registry import custom, linear


def _cumulative_sum_transpose(g: Any, axis: int | None, include_initial: bool) -> Any:
    axis = (axis or 0) % len(g.shape)
    if include_initial:
        g = g[(*(slice(None),) * axis, slice(1, None), ...)]
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


linear("cumulative_sum", x=_cumulative_sum_transpose)

# y[k] = x[k] * y[k - 1] moves by dy[k] = x[k] * dy[k - 1] + y[k - 1] * dx[k]: a linear recurrence forward,
# and its transpose backward. Neither divides by x, so zeros need no special case at any order.


def _recurrence(a: Any, b: Any) -> Any:
    """s with ``s[k] = a[k] * s[k - 1] + b[k]`` and ``s[0] = b[0]``, along the last axis.

    By halves: two steps are one step of the same kind, so every other s solves a recurrence of half the
    length (Blelloch, *Prefix Sums and Their Applications*, 1990, section 1.4).
    """
    length = a.shape[-1]
    if length <= 1:
        return b
    if length % 2:
        return _recurrence(_padded(a), _padded(b))[..., :length]
    a0, a1, b0, b1 = a[..., 0::2], a[..., 1::2], b[..., 0::2], b[..., 1::2]
    s1 = _recurrence(a0 * a1, annihilating_product(b0, a1) + b1)
    s0 = annihilating_product(_later(s1, 0), a0) + b0
    return xp.reshape(xp.stack([s0, s1], axis=-1), a.shape)


def _padded(x: Any) -> Any:
    return xp.concat([x, xp.zeros_like(x[..., :1])], axis=-1)


def _later(x: Any, first: int) -> Any:
    """Every element one place later along the last axis, after `first`."""
    if not x.shape[-1]:
        return x
    return xp.concat([xp.full_like(x[..., :1], first), x[..., :-1]], axis=-1)


def _before(out: Any, axis: int, include_initial: bool) -> Any:
    """The product of what comes before each element, with the axis last."""
    out = xp.moveaxis(out, axis, -1)
    return out[..., :-1] if include_initial else _later(out, 1)


def _cumulative_prod_pull(g: Any, x: Any, out: Any, axis: int | None, include_initial: bool) -> Any:
    axis = axis or 0
    x = xp.moveaxis(xp.astype(x, out.dtype, copy=False), axis, -1)
    g = xp.moveaxis(g, axis, -1)
    if include_initial:
        g = g[..., 1:]
    # How all products from each element on move with the product up to it.
    total = xp.flip(_recurrence(_later(xp.flip(x, axis=-1), 1), xp.flip(g, axis=-1)), axis=-1)
    return xp.moveaxis(annihilating_product(total, _before(out, axis, include_initial)), -1, axis)


def _cumulative_prod_jvp(t: Any, x: Any, out: Any, axis: int | None, include_initial: bool) -> Any:
    axis = axis or 0
    x, t = (xp.moveaxis(xp.astype(a, out.dtype, copy=False), axis, -1) for a in (x, t))
    moved = _recurrence(x, annihilating_product(t, _before(out, axis, include_initial)))
    if include_initial:
        moved = xp.concat([xp.zeros_like(xp.moveaxis(out, axis, -1)[..., :1]), moved], axis=-1)
    return xp.moveaxis(moved, -1, axis)


custom("cumulative_prod", x=_cumulative_prod_pull, jvp=_cumulative_prod_jvp)
