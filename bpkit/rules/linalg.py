"""Derivatives of inverses, determinants and norms; those of decompositions are in a file of their own.

M. Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation, Oxford 2008, has most of them for real matrices. Cotangents pair as ``Re(sum(g * t))``, so
that the transpose of ``t -> a @ t @ b`` is ``g -> a.mT @ g @ b.mT`` for complex matrices too.
"""

from math import inf, nan
from typing import Any

from bpkit import namespace as xp
from bpkit.indexing import on_diagonal, scatter_add
from bpkit.kinds import is_complex
from bpkit.rules.cotangents import annihilating_product
from bpkit.rules.decompositions import adjoint, conjugate, identity, transpose
from bpkit.rules.registry import custom, linear

Axis = int | tuple[int, ...] | None


def _on_diagonal(g: Any, x_shape: tuple[int, ...], offset: int) -> Any:
    row, places = on_diagonal(x_shape, offset)
    return xp.reshape(scatter_add(g, places, row), x_shape)


linear("linalg.diagonal", x=_on_diagonal)
linear(
    "linalg.cross",
    x1=lambda g, x2, axis: xp.linalg.cross(x2, g, axis=axis),
    x2=lambda g, x1, axis: xp.linalg.cross(g, x1, axis=axis),
)
custom(
    "linalg.inv",
    x=lambda g, out: -transpose(out) @ g @ transpose(out),
    jvp=lambda t, out: -out @ t @ out,
)


def _solve_jvp(ts: list[Any], x1: Any, out: Any) -> Any:
    t1, t2 = ts
    if t1 is None:
        return xp.linalg.solve(x1, t2)
    moved = xp.matmul(t1, out)  # not @, which in PyTorch takes no real and complex matrix
    return xp.linalg.solve(x1, -moved if t2 is None else t2 - moved)


custom(
    "linalg.solve",
    x1=lambda g, x1, out: -xp.linalg.solve(transpose(x1), g) @ transpose(out),
    x2=lambda g, x1: xp.linalg.solve(transpose(x1), g),
    jvp=_solve_jvp,
)

# Pseudo-inverse: G. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares
# problems whose variables separate, SIAM Journal on Numerical Analysis 10 (1973), equation (4.12).


def _pinv_pull(g: Any, x: Any, out: Any) -> Any:
    turned, onto = transpose(out), adjoint(g)
    left = conjugate(identity(x @ out) - x @ out) @ onto @ conjugate(out) @ turned
    right = turned @ conjugate(out) @ onto @ conjugate(identity(out @ x) - out @ x)
    return left + right - turned @ g @ turned


def _pinv_jvp(t: Any, x: Any, out: Any) -> Any:
    onto, turned = adjoint(t), adjoint(out)
    left = out @ turned @ onto @ (identity(x @ out) - x @ out)
    right = (identity(out @ x) - out @ x) @ onto @ turned @ out
    return left + right - out @ t @ out


custom("linalg.pinv", "x", "rtol", x=_pinv_pull, jvp=_pinv_jvp)

# Determinants.


def _others(x: Any) -> Any:
    """For every element along the last axis, the product of the others."""
    square = xp.where(identity(x[..., None] + x[..., None, :]) == 1, 1.0, x[..., None, :])
    return xp.prod(square, axis=-1)


def _swapped(x: Any) -> Any:
    """The cofactors of 2 x 2 matrices."""
    return xp.flip(x, axis=(-2, -1)) * (2 * identity(x) - xp.ones_like(x))


def _scales(x: Any, axis: int) -> Any:
    """The largest absolute value along an axis, 1 where all is 0."""
    largest = xp.max(xp.abs(x), axis=axis, keepdims=True)
    return xp.where(largest == 0, xp.ones_like(largest), largest)


def _cofactors(x: Any) -> Any:
    """The derivative of the determinant by every element, for a matrix of any rank.

    The inverse times the determinant is 0 * inf where the matrix is singular. So it is bordered with the
    singular vectors of its two smallest singular values, ``B = [[x, U], [V^H, 0]]``, which has an inverse
    unless a third singular value is 0. By Jacobi's identity of complementary minors (R. Horn and C. Johnson,
    Matrix Analysis, 2nd edition, section 0.8.4) ``det(x) = det(B) * det(W)``, where W is the lower right
    2 x 2 block of the inverse of B. This is the derivative of that by x, with U and V held fixed: it does not
    divide by small numbers, and its own derivatives are exact. Borders as a remedy for singular matrices:
    W. Govaerts, Numerical Methods for Bifurcations of Dynamical Equilibria, SIAM 2000, chapter 3.
    """
    n = x.shape[-1]
    if n < 2:
        return xp.ones_like(x)
    if n == 2:
        return _swapped(x)
    fixed = xp.stop_gradient(x)
    fixed = xp.where(xp.isfinite(fixed), fixed, 0.0)
    # Rows and columns are scaled, so that "small" means something in a matrix such as diag(1e20, 1, 1, 1).
    rows = _scales(fixed, -1)
    columns = _scales(fixed / rows, -2)
    u, s, vh = xp.linalg.svd(fixed / rows / columns)
    # A third singular value that is 0 is moved by a rounding error, for which all cofactors stay 0.
    least = n * float(xp.finfo(x).eps)
    moved = xp.where(s > least, xp.zeros_like(s), least)
    inner = x / rows / columns + (u[..., :-2] * moved[..., None, :-2]) @ vh[..., :-2, :]
    upper = xp.concat([inner, u[..., -2:]], axis=-1)
    lower = xp.concat([vh[..., -2:, :], xp.zeros_like(vh[..., -2:, :2])], axis=-1)
    bordered = xp.concat([upper, lower], axis=-2)
    inverse = xp.linalg.inv(bordered)
    w = inverse[..., n:, n:]
    minor = w[..., 0, 0] * w[..., 1, 1] - w[..., 0, 1] * w[..., 1, 0]
    adjugate = minor[..., None, None] * inverse[..., :n, :n] - (
        inverse[..., :n, n:] @ transpose(_swapped(w)) @ inverse[..., n:, :n]
    )
    scaled = xp.linalg.det(bordered)[..., None, None] * transpose(adjugate)
    return scaled * _others(rows[..., 0])[..., None] * _others(columns[..., 0, :])[..., None, :]


custom(
    "linalg.det",
    x=lambda g, x: g[..., None, None] * _cofactors(x),
    jvp=lambda t, x: xp.sum(t * _cofactors(x), axis=(-2, -1)),
)


def _log_slope(x: Any, out: tuple[Any, Any]) -> Any:
    """The inverse, transposed; NaN for singular matrices, which do not disturb the others of a stack."""
    singular = (out[0] == 0)[..., None, None]
    return xp.where(singular, nan, transpose(xp.linalg.inv(xp.where(singular, identity(x), x))))


def _imaginary(x: Any) -> Any:
    """i times the imaginary part."""
    return x - xp.real(x)


def _slogdet_pull(g: tuple[Any, Any], x: Any, out: tuple[Any, Any]) -> Any:
    by_sign, by_log = g
    factor = by_log
    if by_sign is not None and is_complex(x):
        turn = _imaginary(by_sign * out[0])
        factor = turn if factor is None else factor + turn
    if factor is None:
        return xp.zeros_like(x)
    return annihilating_product(factor[..., None, None], _log_slope(x, out))


def _slogdet_jvp(t: Any, x: Any, out: tuple[Any, Any]) -> Any:
    change = xp.sum(annihilating_product(t, _log_slope(x, out)), axis=(-2, -1))
    if not is_complex(x):
        return None, change
    return out[0] * _imaginary(change), xp.real(change)


custom("linalg.slogdet", x=_slogdet_pull, jvp=_slogdet_jvp)

# Norms.


def _kept(reduced: Any, x: Any, axis: Axis) -> Any:
    """A result along `axis` with those axes back, of length 1."""
    axes = range(x.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    gone = {a % x.ndim for a in axes}
    return xp.reshape(reduced, tuple([1 if k in gone else length for k, length in enumerate(x.shape)]))


def _norm_slope(x: Any, out: Any, axis: Axis, ord: float) -> Any:
    if ord == 0:
        return xp.zeros_like(x)
    if ord == 1:
        return xp.sign(conjugate(x))
    norm = _kept(out, x, axis)
    if ord in (inf, -inf):
        tied = xp.astype(xp.abs(x) == norm, out.dtype)
        return xp.sign(conjugate(x)) * (tied / xp.sum(tied, axis=axis, keepdims=True))
    zero = norm == 0
    norm = xp.where(zero, xp.ones_like(norm), norm)
    unit = xp.where(zero, 0.0, conjugate(x) / norm)
    return unit if ord == 2 else annihilating_product(unit, (xp.abs(x) / norm) ** (ord - 2))


custom(
    "linalg.vector_norm",
    x=lambda g, x, out, axis, ord: annihilating_product(_kept(g, x, axis), _norm_slope(x, out, axis, ord)),
    jvp=lambda t, x, out, axis, keepdims, ord: xp.sum(
        annihilating_product(t, _norm_slope(x, out, axis, ord)), axis=axis, keepdims=keepdims
    ),
)
