"""Weights that have a structure as matrices."""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn.init.fans import fans

__all__ = ["identity", "orthogonal", "sparse"]


def orthogonal(key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, gain: float = 1.0) -> RawArray:
    """Rows that are orthonormal, or columns where there are fewer of them, times `gain`.

    A weight with a window counts as a matrix ``(out, in * window)``. What is drawn is the same everywhere;
    the libraries' decompositions agree up to rounding.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in, *window)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    gain : float
        Factor of the numbers.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has fewer than two dimensions, or a size is not positive.

    References
    ----------
    .. [1] A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
       linear neural networks", ICLR 2014.
    .. [2] F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the
       AMS 54 (2007).

    Examples
    --------
    >>> from bpkit import random, xp
    >>> w = orthogonal(random.key(0), (2, 5))
    >>> bool(xp.max(xp.abs(w @ w.mT - xp.eye(2))) < 1e-12)
    True
    """
    fan_in, _ = fans("orthogonal", shape)
    rows = shape[0]
    tall = (max(rows, fan_in), min(rows, fan_in))
    q, r = xp.linalg.qr(random.normal(key, tall, dtype))
    # Signs that make the diagonal of r positive, without which the matrices would not be uniform [2]_.
    q = q * xp.where(xp.linalg.diagonal(r) < 0, -1.0, xp.ones_like(r[0, :]))
    return xp.reshape(q if rows >= fan_in else xp.matrix_transpose(q), shape) * gain


def identity(key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, gain: float = 1.0) -> RawArray:
    """1 times `gain` on the diagonal of a matrix and 0 elsewhere; the key is not used.

    Parameters
    ----------
    key : array
        Ignored.
    shape : tuple of int
        ``(out, in)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    gain : float
        Factor of the numbers.

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has not two dimensions.

    References
    ----------
    Q. Le, N. Jaitly and G. Hinton, "A simple way to initialize recurrent networks of rectified linear units"
    (2015).

    Examples
    --------
    >>> from bpkit import random
    >>> identity(random.key(0), (2, 3))
    array([[1., 0., 0.], [0., 1., 0.]])
    """
    _check_matrix("identity", shape)
    return xp.eye(*shape, dtype=dtype) * gain


def sparse(
    key: RawArray, shape: tuple[int, ...], dtype: Any = None, *, sparsity: float = 0.9, std: float = 0.01
) -> RawArray:
    r"""Draws from N(0, `std`\ ²) with the same share of zeros in each column, at random places.

    Parameters
    ----------
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    shape : tuple of int
        ``(out, in)``.
    dtype : floating dtype or None
        None for the default of the current backend.
    sparsity : float
        The share of zeros, from 0 to 1; their number is rounded up.
    std : float

    Returns
    -------
    array of the given shape and dtype

    Raises
    ------
    ShapeError
        If the shape has not two dimensions.
    ArgumentError
        If `sparsity` is no such number.

    References
    ----------
    J. Martens, "Deep learning via Hessian-free optimization", ICML 2010.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> xp.count_nonzero(sparse(random.key(0), (10, 3), sparsity=0.75), axis=0)
    array([2, 2, 2])
    """
    _check_matrix("sparse", shape)
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"sparse: sparsity: expected a number from 0 to 1, got {sparsity!r}")
    weight_key, place_key = xp.unstack(random.split(key, 2))
    weight = random.normal(weight_key, shape, dtype) * std
    place = xp.argsort(xp.argsort(random.uniform(place_key, shape, "float32"), axis=0), axis=0)
    return xp.where(place < math.ceil(sparsity * shape[0]), 0.0, weight)


def _check_matrix(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ShapeError(f"{name}: expected the shape (out, in) of a matrix, got {tuple(shape)}")
