"""Derivatives of the Cholesky, QR, eigenvalue and singular value decompositions.

In each, the change of a basis Q is written in that basis, ``dQ = Q @ w``. Vectors that are free to turn
(phases, equal values, what completes a basis) do not turn: there w is 0.
"""

from typing import Any

from bpkit import namespace as xp
from bpkit.kinds import is_complex
from bpkit.rules.registry import custom

__all__ = ["adjoint", "conjugate", "identity", "transpose"]

transpose = xp.matrix_transpose


def conjugate(x: Any) -> Any:
    """The complex conjugate; a real array itself."""
    return xp.conj(x) if is_complex(x) else x


def adjoint(x: Any) -> Any:
    """The conjugate transpose."""
    return conjugate(transpose(x))


def identity(x: Any) -> Any:
    """Ones on the diagonal of a matrix like `x`."""
    return xp.tril(xp.triu(xp.ones_like(x)))


# Cholesky: M. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
# differentiation, 2008, section 2.2.6 (see also I. Murray, arXiv:1602.07527).


def _lower_half(x: Any) -> Any:
    """The lower triangle with half of the diagonal: what, with its adjoint, adds up to a Hermitian `x`."""
    return (xp.tril(x) + xp.tril(x, k=-1)) / 2


def _symmetric(x: Any) -> Any:
    return (x + adjoint(x)) / 2


def _cholesky_pull(g: Any, out: Any, upper: bool) -> Any:
    factor, g = (adjoint(out), adjoint(g)) if upper else (out, g)
    inner = xp.linalg.solve(transpose(factor), _lower_half(transpose(factor) @ g))
    return _symmetric(transpose(xp.linalg.solve(adjoint(factor), transpose(inner))))


def _cholesky_jvp(t: Any, out: Any, upper: bool) -> Any:
    factor = adjoint(out) if upper else out
    inner = adjoint(xp.linalg.solve(factor, _symmetric(t)))
    moved = factor @ _lower_half(xp.linalg.solve(factor, inner))
    return adjoint(moved) if upper else moved


custom("linalg.cholesky", x=_cholesky_pull, jvp=_cholesky_jvp)

# Eigenvalues: M. Giles 2008, section 2.2.4 of the above; for complex matrices C. Boeddeker et al.,
# arXiv:1701.00392, sections 4.3 and 4.4.


def _inverse_gaps(values: Any) -> Any:
    """``1 / (values[j] - values[i])``; 0 where they differ by no more than they are uncertain."""
    gaps = values[..., None, :] - values[..., None]
    uncertain = float(xp.finfo(values).eps) * xp.sum(xp.abs(values), axis=-1)
    equal = xp.abs(gaps) <= uncertain[..., None, None]
    return xp.where(equal, 0.0, 1 / xp.where(equal, xp.ones_like(gaps), gaps))


def _times(left: Any, inner: Any, diagonal: Any) -> Any:
    """``left @ inner``, where `diagonal` is added to the diagonal of `inner`; either may be None for 0."""
    if diagonal is None:
        return left @ inner
    scaled = left * diagonal[..., None, :]
    return scaled if inner is None else left @ inner + scaled


def _eigh_pull(g: tuple[Any, Any], out: tuple[Any, Any]) -> Any:
    by_values, by_vectors = g
    values, vectors = out
    inner = None if by_vectors is None else _inverse_gaps(values) * (transpose(vectors) @ by_vectors)
    return _symmetric(_times(conjugate(vectors), inner, by_values) @ transpose(vectors))


def _eigh_jvp(t: Any, out: tuple[Any, Any]) -> Any:
    values, vectors = out
    inner = adjoint(vectors) @ _symmetric(t) @ vectors
    return xp.real(xp.linalg.diagonal(inner)), vectors @ (_inverse_gaps(values) * inner)


custom("linalg.eigh", x=_eigh_pull, jvp=_eigh_jvp)


def _eig_pull(g: tuple[Any, Any], out: tuple[Any, Any]) -> Any:
    by_values, by_vectors = g
    values, vectors = out
    turned = transpose(vectors)
    inner = None
    if by_vectors is not None:
        onto = turned @ by_vectors
        along = xp.linalg.diagonal(onto)[..., None, :]
        inner = _inverse_gaps(values) * (onto - turned @ conjugate(vectors) * along)
    inverse = xp.linalg.inv(turned)
    return _times(inverse, inner, by_values) @ turned


def _eig_jvp(t: Any, out: tuple[Any, Any]) -> Any:
    values, vectors = out
    inner = xp.linalg.solve(vectors, xp.matmul(t, vectors))  # not @: a tangent may be real
    moved = vectors @ (_inverse_gaps(values) * inner)
    # Columns keep their length and do not turn in the complex plane.
    along = xp.sum(conjugate(vectors) * moved, axis=-2, keepdims=True)
    return xp.linalg.diagonal(inner), moved - vectors * along


custom("linalg.eig", x=_eig_pull, jvp=_eig_jvp)

# QR: M. Seeger et al., Auto-differentiating linear algebra, arXiv:1710.08717; S. Walter and L. Lehmann,
# Algorithmic differentiation of linear algebra functions, 2010; for more columns than rows D. Roberts and
# L. Roberts, arXiv:2009.10071. LAPACK's R has a real diagonal, also for complex matrices.


def _independent(r: Any) -> Any:
    """R with NaN for every zero on its diagonal: there is no derivative, and to ask for one is no error."""
    return xp.where((identity(r) == 1) & (r == 0), xp.nan, r)


def _divided(x: Any, r: Any) -> Any:
    """``x @ r^-1``."""
    return transpose(xp.linalg.solve(transpose(_independent(r)), transpose(x)))


def _imaginary_diagonal(x: Any) -> Any:
    return identity(x) * (x - xp.real(x))


def _qr_jvp(t: Any, out: tuple[Any, Any]) -> Any:
    q, r = out
    k = min(t.shape[-2:])
    q1, r1 = q[..., :k], r[..., :k, :]
    moved = _divided(t[..., :k], r1[..., :k])
    onto = adjoint(q1) @ moved
    turn = xp.tril(onto, k=-1)
    turn = turn - adjoint(turn)
    if is_complex(t):
        turn = turn + _imaginary_diagonal(onto)
    by_q = q1 @ (turn - onto) + moved
    by_r = adjoint(q1) @ t - turn @ r1
    if q.shape[-1] > k:
        by_q = xp.concat([by_q, -q1 @ (adjoint(moved) @ q[..., k:])], axis=-1)
        by_r = xp.concat([by_r, xp.zeros_like(r[..., k:, :])], axis=-2)
    return by_q, by_r


def _qr_pull(g: tuple[Any, Any], x_shape: tuple[int, ...], out: tuple[Any, Any]) -> Any:
    q, r = out
    by_q, by_r = (xp.zeros_like(part) if found is None else found for part, found in zip(out, g, strict=True))
    k = min(x_shape[-2:])
    q1, r1, by_r = q[..., :k], r[..., :k, :k], by_r[..., :k, :]
    by_q1 = by_q[..., :k]
    # Columns beyond the square are Q^H times theirs: R has that product, and Q is in it.
    beyond = by_r[..., k:]
    if x_shape[-1] > k:
        by_q1 = by_q1 + conjugate(q1) @ conjugate(r[..., :k, k:]) @ adjoint(beyond)
    inner = by_r[..., :k] @ transpose(r1) - transpose(q1) @ by_q1
    above = xp.triu(inner, k=1)
    moved = by_q1 + conjugate(q1) @ (above + adjoint(above) + identity(inner) * xp.real(inner))
    if q.shape[-1] > k:
        moved = moved - conjugate(q[..., k:]) @ adjoint(transpose(q1) @ by_q[..., k:])
    found = _divided_transposed(moved, r1)
    return found if x_shape[-1] == k else xp.concat([found, conjugate(q1) @ beyond], axis=-1)


def _divided_transposed(x: Any, r: Any) -> Any:
    """``x @ r^-T``."""
    return transpose(xp.linalg.solve(_independent(r), transpose(x)))


custom("linalg.qr", x=_qr_pull, jvp=_qr_jvp)

# Singular values: J. Townsend, Differentiating the singular value decomposition, 2016; for complex matrices
# Z. Wan and S. Zhang, arXiv:1909.02659. There both turns, of U and of V, are divided by s_j**2 - s_i**2. Here
# their sum is divided by s_j - s_i and their difference by s_i + s_j, so that equal singular values leave
# alone what depends on the difference only (the polar factor U @ V^H), and the phases of complex
# vectors, which U and V have in common, need no term of their own.


def _inverse_or_zero(x: Any) -> Any:
    return xp.where(x == 0, 0.0, 1 / xp.where(x == 0, xp.ones_like(x), x))


def _inverse_sums(values: Any) -> Any:
    return _inverse_or_zero(values[..., None, :] + values[..., None])


def _svd_jvp(t: Any, out: tuple[Any, Any, Any]) -> Any:
    u, values, vh = out
    if t.shape[-2] < t.shape[-1]:
        by_v, by_values, by_u = _svd_jvp(transpose(t), (transpose(vh), values, transpose(u)))
        return transpose(by_u), by_values, transpose(by_v)
    n = t.shape[-1]
    u1 = u[..., :n]
    moved = t @ adjoint(vh)
    inner = adjoint(u1) @ moved
    both = _inverse_gaps(values) * (inner + adjoint(inner)) / 2
    apart = _inverse_sums(values) * (inner - adjoint(inner)) / 2
    by_u = u1 @ (both + apart)
    if t.shape[-2] > n:
        outside = (moved - u1 @ inner) * _inverse_or_zero(values)[..., None, :]
        by_u = by_u + outside
        if u.shape[-1] > n:
            by_u = xp.concat([by_u, -u1 @ (adjoint(outside) @ u[..., n:])], axis=-1)
    return by_u, xp.real(xp.linalg.diagonal(inner)), (apart - both) @ vh


def _svd_pull(g: tuple[Any, Any, Any], x_shape: tuple[int, ...], out: tuple[Any, Any, Any]) -> Any:
    u, values, vh = out
    by_u, by_values, by_vh = g
    if x_shape[-2] < x_shape[-1]:
        swapped = tuple(None if part is None else transpose(part) for part in (by_vh, by_u))
        pulled = _svd_pull(
            (swapped[0], by_values, swapped[1]),
            (*x_shape[:-2], x_shape[-1], x_shape[-2]),
            (transpose(vh), values, transpose(u)),
        )
        return transpose(pulled)
    n = x_shape[-1]
    u1 = u[..., :n]
    inner, outside = None, None
    if by_u is not None or by_vh is not None:
        onto_u = 0.0 if by_u is None else transpose(u1) @ by_u[..., :n]
        onto_v = 0.0 if by_vh is None else by_vh @ transpose(vh)
        both = _inverse_gaps(values) * (onto_u - onto_v) / 2
        apart = _inverse_sums(values) * (onto_u + onto_v) / 2
        inner = both + adjoint(both) + apart - adjoint(apart)
    if by_u is not None and x_shape[-2] > n:
        outside = by_u[..., :n] - conjugate(u1) @ onto_u
        if u.shape[-1] > n:
            outside = outside - conjugate(u[..., n:]) @ adjoint(transpose(u1) @ by_u[..., n:])
        outside = outside * _inverse_or_zero(values)[..., None, :]
    found = _times(conjugate(u1), inner, by_values)
    return (found if outside is None else found + outside) @ conjugate(vh)


custom("linalg.svd", x=_svd_pull, jvp=_svd_jvp)
