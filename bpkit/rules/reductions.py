"""Derivatives of sums, means, extremes and products along axes, and of the matrix product."""

from typing import Any

from bpkit import namespace as xp
from bpkit.kinds import is_complex
from bpkit.rules.cotangents import annihilating_product
from bpkit.rules.registry import custom, linear, no_gradient

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple([a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))])


def _restored(g: Any, x_shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """A reduced array with its reduced axes back, of length 1."""
    if keepdims or not x_shape:
        return g
    axes = _axes(axis, len(x_shape))
    return xp.reshape(g, tuple([1 if k in axes else length for k, length in enumerate(x_shape)]))


def _spread(g: Any, x_shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """The transpose of a sum: each element of `g` at every place it was summed from."""
    return xp.broadcast_to(_restored(g, x_shape, axis, keepdims), x_shape)


def _count(x_shape: tuple[int, ...], axis: Axis) -> int:
    count = 1
    for k in _axes(axis, len(x_shape)):
        count *= x_shape[k]
    return count


linear("sum", x=_spread)
linear(
    "mean",
    x=lambda g, x_shape, axis, keepdims: _spread(g, x_shape, axis, keepdims) / _count(x_shape, axis),
)


def _deviation(x: Any, axis: Axis, correction: float) -> Any:
    # Some libraries have the variance of complex numbers, the mean of |x - mean(x)|**2.
    deviation = (x - xp.mean(x, axis=axis, keepdims=True)) / (_count(x.shape, axis) - correction)
    return xp.conj(deviation) if is_complex(x) else deviation


custom(
    "var",
    x=lambda g, x, axis, correction, keepdims: annihilating_product(
        _restored(g, x.shape, axis, keepdims), 2 * _deviation(x, axis, correction)
    ),
    jvp=lambda t, x, axis, correction, keepdims: xp.sum(
        annihilating_product(t, 2 * _deviation(x, axis, correction)), axis=axis, keepdims=keepdims
    ),
)


def _std_slope(x: Any, out: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    """The deviation over the standard deviation; 0 where that is 0, as at the origin of hypot."""
    spread = _restored(out, x.shape, axis, keepdims)
    if _count(x.shape, axis):
        # Measured from one of them, equal numbers have no deviation, although their mean may round. What is
        # taken off all alike moves no deviation, so that it needs no derivative.
        reduced = _axes(axis, len(x.shape))
        first = tuple([slice(0, 1) if k in reduced else slice(None) for k in range(len(x.shape))])
        x = x - xp.stop_gradient(x[first])
    deviation = _deviation(x, axis, correction)
    return deviation / xp.where(spread == 0, xp.ones_like(spread), spread)


custom(
    "std",
    x=lambda g, x, out, axis, correction, keepdims: annihilating_product(
        _restored(g, x.shape, axis, keepdims), _std_slope(x, out, axis, correction, keepdims)
    ),
    jvp=lambda t, x, out, axis, correction, keepdims: xp.sum(
        annihilating_product(t, _std_slope(x, out, axis, correction, keepdims)), axis=axis, keepdims=keepdims
    ),
)


def _winners(x: Any, out: Any, axis: Axis, keepdims: bool) -> Any:
    """The share of every element in the extreme: 1 over the number of ties, 0 for those below."""
    tied = xp.astype(xp.equal(x, _restored(out, x.shape, axis, keepdims)), x.dtype)
    return tied / xp.sum(tied, axis=axis, keepdims=True)


for _name in ("max", "min"):
    custom(
        _name,
        x=lambda g, x, out, axis, keepdims: annihilating_product(
            _restored(g, x.shape, axis, keepdims), _winners(x, out, axis, keepdims)
        ),
        jvp=lambda t, x, out, axis, keepdims: xp.sum(
            annihilating_product(t, _winners(x, out, axis, keepdims)), axis=axis, keepdims=keepdims
        ),
    )


def _share(x: Any, out: Any, axis: Axis, keepdims: bool) -> Any:
    """Softmax of `x` with log-sum-exp `out`, also where that is infinite."""
    largest = float(xp.finfo(x).max)
    top = xp.clip(_restored(out, x.shape, axis, keepdims), -largest, largest)
    terms = xp.exp(xp.minimum(x, largest) - top)
    total = xp.sum(terms, axis=axis, keepdims=True)
    # Nothing to share where every element is -inf.
    return terms / xp.where(total == 0, xp.ones_like(total), total)


custom(
    "logsumexp",
    x=lambda g, x, out, axis, keepdims: annihilating_product(
        _restored(g, x.shape, axis, keepdims), _share(x, out, axis, keepdims)
    ),
    jvp=lambda t, x, out, axis, keepdims: xp.sum(
        annihilating_product(t, _share(x, out, axis, keepdims)), axis=axis, keepdims=keepdims
    ),
)
custom(
    "softmax",
    x=lambda g, out, axis: annihilating_product(
        g - xp.sum(annihilating_product(g, out), axis=axis, keepdims=True), out
    ),
    jvp=lambda t, out, axis: annihilating_product(
        t - xp.sum(annihilating_product(t, out), axis=axis, keepdims=True), out
    ),
)
custom(
    "log_softmax",
    x=lambda g, out, axis: g - annihilating_product(xp.sum(g, axis=axis, keepdims=True), xp.exp(out)),
    jvp=lambda t, out, axis: t - xp.sum(annihilating_product(t, xp.exp(out)), axis=axis, keepdims=True),
)


def _others(x: Any) -> Any:
    """For every element along the last axis, the product of all the others.

    By halves instead of dividing, so that zeros need no special case at any order: neighbours are
    multiplied, the halved problem is solved, and each neighbour gets the solution times the other
    neighbour.
    """
    length = x.shape[-1]
    if length <= 1:
        return xp.ones_like(x)
    if length % 2:
        x = xp.concat([x, xp.ones_like(x[..., :1])], axis=-1)
    even, odd = x[..., 0::2], x[..., 1::2]
    rest = _others(even * odd)
    return xp.reshape(xp.stack([rest * odd, rest * even], axis=-1), x.shape)[..., :length]


def _prod_slope(x: Any, axis: Axis, dtype: Any) -> Any:
    """The product of all other elements that are reduced together with each."""
    if dtype is not None and dtype != x.dtype:
        x = xp.astype(x, dtype)
    reduced = _axes(axis, len(x.shape))
    order = (*[k for k in range(len(x.shape)) if k not in reduced], *reduced)
    moved = xp.permute_dims(x, order)
    kept = moved.shape[: len(order) - len(reduced)]
    flat = xp.reshape(moved, (*kept, _count(x.shape, axis)))
    back = [order.index(k) for k in range(len(order))]
    return xp.permute_dims(xp.reshape(_others(flat), moved.shape), tuple(back))


custom(
    "prod",
    x=lambda g, x, axis, keepdims: annihilating_product(
        _restored(g, x.shape, axis, keepdims), _prod_slope(x, axis, g.dtype)
    ),
    jvp=lambda t, x, axis, keepdims, dtype: xp.sum(
        annihilating_product(t, _prod_slope(x, axis, dtype)), axis=axis, keepdims=keepdims, dtype=dtype
    ),
)
no_gradient("all", "any")

# The matrix product: for matrices, g @ x2.mT and x1.mT @ g; a vector is a matrix of one row or column.


def _matmul_by_left(g: Any, x1_shape: tuple[int, ...], x2: Any) -> Any:
    if len(x2.shape) == 1:
        return g[..., None] * x2
    if len(x1_shape) == 1:
        return xp.matmul(x2, g[..., None])[..., 0]
    return xp.matmul(g, xp.matrix_transpose(x2))


def _matmul_by_right(g: Any, x1: Any, x2_shape: tuple[int, ...]) -> Any:
    if len(x1.shape) == 1:
        return x1 * g if len(x2_shape) == 1 else x1[:, None] * g[..., None, :]
    if len(x2_shape) == 1:
        return xp.matmul(xp.matrix_transpose(x1), g[..., None])[..., 0]
    if len(x2_shape) == 2 and len(x1.shape) > 2:
        # One product over all the batches, instead of one for each and a sum.
        rows = _count(x1.shape[:-1], None)
        x1, g = (xp.reshape(a, (rows, a.shape[-1])) for a in (x1, g))
    return xp.matmul(xp.matrix_transpose(x1), g)


linear("matmul", x1=_matmul_by_left, x2=_matmul_by_right)
