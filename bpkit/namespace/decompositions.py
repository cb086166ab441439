"""Factors of matrices: Cholesky, QR, eigenvalues, singular values.

Part of the chapter "Linear Algebra Extension" of the standard; :mod:`bpkit.namespace.linalg` has all of it:
https://data-apis.org/array-api/2025.12/extensions/linear_algebra_functions.html

Eigenvectors and singular vectors are not unique. A vector may be multiplied by -1, or in a complex dtype by
any number of modulus 1, and those of equal eigenvalues may be any basis of the space that they span. So what
is differentiated should not depend on that choice: ``V**2``, ``V @ f(w) @ V^H``, distances between spaces.
Derivatives take the choice in which a vector changes as little as it can. Where two values are equal, the
derivative of their vectors does not exist; here the vectors do not turn towards each other, and so
what treats equal values alike (the sum of both, the projection on the space of both) has the right first
derivative, while what separates them (one of them alone, ``V @ f(w) @ V^H`` for an f that is not
constant there) has not. Values count as equal when they differ by no more than the rounding error of all.
"""

from typing import Any, Literal, NamedTuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.evaluate import definition, evaluate
from bpkit.namespace.operands import check_arrays
from bpkit.trace import Traced, call

__all__ = ["cholesky", "eig", "eigh", "eigvals", "eigvalsh", "qr", "svd", "svdvals"]


class EigResult(NamedTuple):
    """Eigenvalues and eigenvectors of a matrix."""

    eigenvalues: RawArray
    eigenvectors: RawArray


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors of a symmetric or Hermitian matrix."""

    eigenvalues: RawArray
    eigenvectors: RawArray


class QRResult(NamedTuple):
    """A matrix with orthonormal columns and an upper triangular one."""

    Q: RawArray
    R: RawArray


class SVDResult(NamedTuple):
    """Left singular vectors, singular values, and right singular vectors as rows."""

    U: RawArray
    S: RawArray
    Vh: RawArray


def matrices(name: str, x: RawArray) -> RawArray:
    """`x`, if it is a matrix or a stack of them."""
    check_arrays(name, x=x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected a matrix or a stack of them, got shape {tuple(x.shape)}")
    return x


def square(name: str, x: RawArray) -> RawArray:
    """`x`, if it is a square matrix or a stack of them."""
    check_arrays(name, x=x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: expected a square matrix or a stack of them, got shape {tuple(x.shape)}")
    return x


def cholesky(x: RawArray, /, *, upper: bool = False) -> RawArray:
    """Triangular L with a positive diagonal and ``x = L @ L^H``.

    Derivative: ``L @ P(L^-1 @ t @ L^-H)``, where P takes the lower triangle and half the diagonal. It is that
    of the symmetric part: the cotangent of `x` is symmetric (Hermitian).

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point
        Symmetric (Hermitian) and positive definite; some libraries look at one triangle only.
    upper : bool
        Return ``L^H``, so that ``x = U^H @ U``.

    Returns
    -------
    array of shape (..., n, n) and `x`'s dtype

    Raises
    ------
    ShapeError
        If the matrices are not square.
    Exception
        The library's, if a matrix is not positive definite.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.cholesky(xp.asarray([[4.0, 2.0], [2.0, 5.0]]))
    array([[2., 0.],
           [1., 2.]])
    """
    return call("linalg.cholesky", square("cholesky", x), upper=upper)


def eig(x: RawArray, /) -> EigResult:
    """Eigenvalues and right eigenvectors: ``x @ V = V @ diag(w)``.

    Derivative: ``diag(T)`` for the eigenvalues and ``V @ (T / (w_j - w_i))`` for the vectors, where ``T`` is
    ``V^-1 @ t @ V``, less the part along each vector; see the top of this file for equal eigenvalues.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point
        With `n` independent eigenvectors, to have a derivative.

    Returns
    -------
    EigResult
        ``eigenvalues`` of shape (..., n) and ``eigenvectors`` of shape (..., n, n), whose columns have length
        1. Both are complex, also for a real `x`; in no order.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.eig(xp.asarray([[1.0, 0.0], [0.0, 3.0]])).eigenvalues
    array([1.+0.j, 3.+0.j])
    """
    return EigResult(*call("linalg.eig", square("eig", x)))


def eigh(x: RawArray, /) -> EighResult:
    """Eigenvalues and eigenvectors of symmetric (Hermitian) matrices: ``x @ V = V @ diag(w)``.

    Derivative: ``diag(T)`` for the eigenvalues and ``V @ (T / (w_j - w_i))`` for the vectors, where ``T`` is
    ``V^H @ t @ V``; see the top of this file for equal eigenvalues. It is that of the symmetric part.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point
        Symmetric (Hermitian); some libraries look at one triangle only.

    Returns
    -------
    EighResult
        ``eigenvalues`` of shape (..., n), real and ascending, and ``eigenvectors`` of shape (..., n, n),
        whose columns are orthonormal.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.eigh(xp.asarray([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    array([1., 2.])
    """
    return EighResult(*call("linalg.eigh", square("eigh", x)))


def eigvals(x: RawArray, /) -> RawArray:
    """Eigenvalues, as :func:`eig` gives them.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point

    Returns
    -------
    array of shape (..., n), complex

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.eigvals(xp.asarray([[1.0, 2.0], [0.0, 3.0]]))
    array([1.+0.j, 3.+0.j])
    """
    # The derivative needs the vectors too, and LAPACK may find the values alone in another order.
    if isinstance(x, Traced):
        return eig(x).eigenvalues
    return evaluate("linalg.eigvals", (square("eigvals", x),), {})


def eigvalsh(x: RawArray, /) -> RawArray:
    """Eigenvalues of symmetric (Hermitian) matrices, as :func:`eigh` gives them.

    Parameters
    ----------
    x : array of shape (..., n, n), floating-point

    Returns
    -------
    array of shape (..., n), real, ascending

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.eigvalsh(xp.asarray([[2.0, 0.0], [0.0, 1.0]]))
    array([1., 2.])
    """
    if isinstance(x, Traced):
        return eigh(x).eigenvalues
    return evaluate("linalg.eigvalsh", (square("eigvalsh", x),), {})


def qr(x: RawArray, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """``x = Q @ R`` with orthonormal columns in Q and upper triangular R.

    Derivative: needs the first ``min(n, m)`` columns of `x` to be independent; where a zero on R's diagonal
    shows that they are not, it is NaN. The columns that "complete" adds to `Q` are only defined up to a
    change of basis: derivatives of what depends on the space that they span are right.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point
    mode : {"reduced", "complete"}

    Returns
    -------
    QRResult
        ``Q`` of shape (..., n, k) and ``R`` of shape (..., k, m), where k is ``min(n, m)`` in mode "reduced"
        and n in mode "complete".

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    ValueError
        If `mode` is neither.

    Examples
    --------
    >>> from bpkit import xp
    >>> Q, R = xp.linalg.qr(xp.asarray([[0.0, 2.0], [1.0, 5.0]]))
    >>> xp.matmul(Q, R)
    array([[0., 2.],
           [1., 5.]])
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode is {mode!r}; expected 'reduced' or 'complete'")
    return QRResult(*call("linalg.qr", matrices("qr", x), mode=mode))


def svd(x: RawArray, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition: ``x = U[..., :k] @ diag(S) @ Vh[..., :k, :]`` with k singular values.

    Derivative: see the top of this file for equal singular values. The vectors that `full_matrices` adds are
    only defined up to a change of basis: derivatives of what depends on the space that they span are right.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point
    full_matrices : bool
        Complete the shorter set of vectors to a basis.

    Returns
    -------
    SVDResult
        ``U`` of shape (..., n, n), ``S`` of shape (..., k), real and descending, ``Vh`` of shape (..., m, m),
        where k is ``min(n, m)``; without `full_matrices` ``U`` has k columns and ``Vh`` k rows.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.svd(xp.asarray([[0.0, 2.0], [1.0, 0.0]])).S
    array([2., 1.])
    """
    return SVDResult(*call("linalg.svd", matrices("svd", x), full_matrices=full_matrices))


def svdvals(x: RawArray, /) -> RawArray:
    """Singular values, as :func:`svd` gives them.

    Derivative: ``u @ v^H`` for the value with the vectors u and v.

    Parameters
    ----------
    x : array of shape (..., n, m), floating-point

    Returns
    -------
    array of shape (..., min(n, m)), real, descending

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linalg.svdvals(xp.asarray([[0.0, 2.0], [1.0, 0.0]]))
    array([2., 1.])
    """
    if isinstance(x, Traced):
        return svd(x, full_matrices=False).S
    return evaluate("linalg.svdvals", (matrices("svdvals", x),), {})


# The libraries return tuples of types of their own, and the engine works with plain ones.


@definition("linalg.eig")
def _eig(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    return tuple(xp.linalg.eig(x))


@definition("linalg.eigh")
def _eigh(xp: Any, x: RawArray) -> tuple[RawArray, ...]:
    return tuple(xp.linalg.eigh(x))


@definition("linalg.qr")
def _qr(xp: Any, x: RawArray, *, mode: str) -> tuple[RawArray, ...]:
    return tuple(xp.linalg.qr(x, mode=mode))


@definition("linalg.svd")
def _svd(xp: Any, x: RawArray, *, full_matrices: bool) -> tuple[RawArray, ...]:
    return tuple(xp.linalg.svd(x, full_matrices=full_matrices))
