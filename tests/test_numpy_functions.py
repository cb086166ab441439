"""Code written with ``numpy.`` names only, on values traced over NumPy."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import array, grad, jvp, numpy_protocol, stop_gradient, value_and_grad, vjp
from bpkit.array import Array
from bpkit.errors import (
    BackendError,
    GradientCutError,
    GradientCutWarning,
    MixedBackendsError,
    NotDifferentiableError,
)
from bpkit.numpy_protocol import FUNCTIONS, UFUNCS, apply_function, apply_ufunc
from bpkit.registry import get_backend

Function = Callable[[Any], Any]

RNG = np.random.default_rng(3)
V = np.asarray([0.5, 1.75, 0.25, 2.5, 1.25])  # a vector of distinct positive numbers
S = np.asarray([-1.5, 0.75, -0.25, 1.25, 2.5])  # with both signs
U = np.asarray([-0.75, 0.375, -0.25, 0.625, 0.125])  # within (-1, 1)
A = RNG.permutation(12).reshape(3, 4) / 4 - 1.4  # a matrix of distinct numbers
Q = np.asarray([[2.0, 0.5, -0.25], [0.75, 1.5, 0.5], [-0.5, 0.25, 3.0]])  # well-conditioned
P = Q @ Q.T  # positive definite
T = RNG.uniform(0.5, 1.5, (2, 3, 2))
N = np.asarray([[1.0, np.nan, 3.0], [np.nan, 0.5, -2.0]])
Z = np.asarray([1.0 + 2.0j, -0.5 + 0.25j, 0.75 - 1.5j])

ELEMENTWISE: dict[str, tuple[Function, Any]] = {
    **{name: (getattr(np, name), S) for name in ("sin", "cos", "sinh", "cosh", "tanh", "exp", "expm1")},
    **{
        name: (getattr(np, name), S)
        for name in ("exp2", "arctan", "arcsinh", "square", "abs", "fabs", "negative")
    },
    **{name: (getattr(np, name), S) for name in ("positive", "sign", "floor", "ceil", "trunc", "fix")},
    **{name: (getattr(np, name), S) for name in ("deg2rad", "rad2deg", "degrees", "radians", "reciprocal")},
    **{name: (getattr(np, name), V) for name in ("log", "log2", "log10", "log1p", "sqrt", "cbrt", "i0")},
    **{name: (getattr(np, name), U) for name in ("tan", "arcsin", "arccos", "arctanh", "sinc")},
    "rint": (np.rint, U),
    "cbrt of negatives": (np.cbrt, S),
    "arccosh": (np.arccosh, V + 1),
    "conj": (lambda x: np.conj(x * (1 + 2j)), S),
    "conjugate": (lambda x: np.conjugate(x * (1 + 2j)), S),
    "real": (lambda x: np.real(x * (1 + 2j)) + np.real(x), S),
    "imag": (lambda x: np.imag(x * (1 + 2j)) + np.imag(x), S),
    "angle": (lambda x: np.angle(x + (1 + 2j)), S),
    "angle in degrees": (lambda x: np.angle(x * 1j + 2, deg=True), S),
    "add": (lambda x: np.add(2.0, x), S),
    "subtract": (lambda x: np.subtract(x, S[::-1]), S),
    "subtract from a list": (lambda x: np.subtract([1, 2, 3, 4, 5], x), S),
    "multiply": (lambda x: np.multiply(x, [1, 2, 3, 4, 5]), S),
    "divide": (lambda x: np.divide(1.0, x), S),
    "true_divide": (lambda x: np.true_divide(x, S[::-1]), S),
    "floor_divide": (lambda x: np.floor_divide(x, 0.7), S),
    "remainder": (lambda x: np.remainder(x, 0.7), S),
    "mod": (lambda x: np.mod(2.6, x), V),
    "fmod": (lambda x: np.fmod(x, 0.7) + np.fmod(-2.6, x), S),
    "divmod": (lambda x: np.divmod(x, 0.7), S),
    "modf": (np.modf, S),
    "power": (lambda x: np.power(x, 3), S),
    "power with a traced exponent": (lambda x: np.power(1.5, x), S),
    "float_power": (lambda x: np.float_power(x, 2), S),
    "ldexp": (lambda x: np.ldexp(x, np.asarray([1, 2, 0, -1, 3])), S),
    "maximum": (lambda x: np.maximum(x, 0.5), S),
    "minimum": (lambda x: np.minimum(0.5, x), S),
    "fmax": (lambda x: np.fmax(x, [0.1, np.nan, 1, np.nan, 3]), S),
    "fmin": (lambda x: np.fmin([0.1, np.nan, 1, np.nan, 3], x), S),
    "hypot": (lambda x: np.hypot(x, 2.0), S),
    "arctan2": (lambda x: np.arctan2(x, x * x), S),
    "logaddexp": (lambda x: np.logaddexp(x, S[::-1]), S),
    "logaddexp2": (lambda x: np.logaddexp2(x, 0.3), S),
    "copysign": (lambda x: np.copysign(x, -S), S),
    "nextafter": (lambda x: np.nextafter(x, 9.0), S),
    "heaviside": (lambda x: np.heaviside(x, 0.5), S),
    "clip": (lambda x: np.clip(x, -0.5, 1.3), S),
    "clip by keyword": (lambda x: np.clip(x, min=-0.5, max=V), S),
    "where": (lambda x: np.where(x > 0.5, x * x, 3 * x), S),
    "where with constants": (lambda x: np.where(S > 0.5, x, 7.0), S),
    "select": (lambda x: np.select([x < 0, x < 1], [x * 2, x**2], default=-1.0), S),
    "piecewise": (lambda x: np.piecewise(x, [x < 0, x > 1], [lambda t: t * t, 2.0, lambda t: 3 * t]), S),
    "nan_to_num": (lambda x: np.nan_to_num(x, nan=0.5), N),
    "nan_to_num of infinities": (
        lambda x: np.nan_to_num(x + np.asarray([np.inf, 0, -np.inf, 0, 0]), posinf=7.0, neginf=-9),
        S,
    ),
    "round": (np.round, U),
    "round to decimals": (lambda x: np.round(x, 1), V[1:4] / 3),
    "around": (lambda x: np.around(x, decimals=0), U),
    "isclose": (lambda x: np.where(np.isclose(x, 0.7, atol=0.1), x, 0.0), S),
    "real_if": (lambda x: np.where(np.isreal(x), x, 0.0), S),
    "isnan": (lambda x: np.where(np.isnan(x), 0.0, x), N),
    "isinf": (lambda x: np.where(np.isinf(x), 0.0, x), S),
    "isfinite": (lambda x: np.where(np.isfinite(x), x, 0.0), N),
    "logical functions": (lambda x: np.where(np.logical_and(x > 0, np.logical_not(x > 2)), x, 0.0), S),
    "comparisons": (lambda x: np.where(np.less(x, 1) | np.greater_equal(x, 2), x, 0.0), S),
    "isin": (lambda x: np.where(np.isin(np.floor(x), [0.0, 2.0, 9.0]), 0.0, x), S),
    "iscomplex": (lambda x: np.where(np.iscomplex(x + 0j), 1.0, x) + np.where(np.iscomplex(x), 1.0, x), S),
    "isposinf": (lambda x: np.where(np.isposinf(x), 0.0, x), S),
    "isneginf": (lambda x: np.where(np.isneginf(x), 0.0, x), S),
    "signbit": (lambda x: np.where(np.signbit(x), 2 * x, x), S),
    "logical functions of two": (
        lambda x: np.where(np.logical_xor(np.logical_or(x > 1, x < -1), np.greater(x, 2)), x, 0.0),
        S,
    ),
    "comparisons of two": (
        lambda x: np.where(
            np.equal(np.floor(x), 0) | np.less_equal(x, -1) | ~np.not_equal(np.trunc(x), 2), x, 0.0
        ),
        S,
    ),
    "bitwise functions": (
        lambda x: np.where(
            np.bitwise_or(np.bitwise_and(x > 0, x < 1), np.invert(np.bitwise_xor(x > 0, x < 2))), x, 0.0
        ),
        S,
    ),
    "shifts": (lambda x: x * np.left_shift(np.argsort(x), 2) + np.right_shift(np.argsort(x), 1), S),
    "unwrap": (np.unwrap, np.asarray([0.1, 3.0, -3.0, -0.5, 4.0])),
    "interp": (lambda x: np.interp(x, [-2.0, -0.5, 1.0, 2.0], [1.0, 3.0, -1.0, 0.5]), S),
    "interp of traced values": (lambda x: np.interp([-1.0, 0.6, 9.0], [-2.0, -1.2, 0.0, 1.0, 2.0], x), S),
    "interp at traced places": (lambda x: np.interp([0.3, 1.6], x, S), np.sort(V)),
    "polyval": (lambda x: np.polyval([2.0, -1.0, 0.5], x), S),
    "polyval with traced coefficients": (lambda x: np.polyval(x, 1.5), S),
}

REDUCTIONS: dict[str, tuple[Function, Any]] = {
    "sum": (np.sum, A),
    "sum along an axis": (lambda x: np.sum(x, 1), A),
    "sum with keepdims": (lambda x: np.sum(x, axis=(0, 1), keepdims=True), A),
    "sum of some": (lambda x: np.sum(x, axis=0, where=A > 0, initial=2.0), A),
    "sum to float32": (lambda x: np.sum(x, dtype=np.float32), A),
    "prod": (lambda x: np.prod(x, axis=1), A),
    "prod with initial": (lambda x: np.prod(x, initial=3), A),
    "max": (lambda x: np.max(x, axis=0), A),
    "amax": (np.amax, A),
    "min": (lambda x: np.min(x, axis=1, keepdims=True), A),
    "amin": (lambda x: np.amin(x, initial=-7), A),
    "ptp": (lambda x: np.ptp(x, axis=1), A),
    "mean": (lambda x: np.mean(x, axis=0), A),
    "mean in float32": (lambda x: np.mean(x, dtype=np.float32), A),
    "var": (lambda x: np.var(x, axis=1, ddof=1), A),
    "std": (lambda x: np.std(x, 0), A),
    "std with correction": (lambda x: np.std(x, correction=1), A),
    "average": (np.average, A),
    "average with weights": (lambda x: np.average(x, axis=1, weights=[1, 2, 3, 4]), A),
    "average with traced weights": (lambda x: np.average(A, weights=x * x, returned=True), A),
    "median of an odd number": (lambda x: np.median(x, axis=0), A),
    "median of an even number": (lambda x: np.median(x, axis=1, keepdims=True), A),
    "median of all": (np.median, A),
    "quantile": (lambda x: np.quantile(x, [0.1, 0.5, 0.9], axis=1), A),
    "quantile with keepdims": (lambda x: np.quantile(x, 0.3, keepdims=True), A),
    "percentile": (lambda x: np.percentile(x, 35, axis=0), A),
    "all": (lambda x: np.where(np.all(x > -1, axis=1, keepdims=True), x, 0.0), A),
    "any": (lambda x: np.where(np.any(x > 1, axis=0), x, 0.0), A),
    "argmax": (lambda x: np.where(np.arange(4) == np.argmax(x, axis=1, keepdims=True), x, 0.0), A),
    "argmin": (lambda x: x[np.argmin(x, axis=0), np.arange(4)], A),
    "count_nonzero": (lambda x: x * np.count_nonzero(x > 0, axis=0), A),
    "cumsum": (lambda x: np.cumsum(x, axis=1), A),
    "cumsum of all": (np.cumsum, A),
    "cumulative_sum": (lambda x: np.cumulative_sum(x, axis=1, include_initial=True), A),
    "cumulative_prod": (lambda x: np.cumulative_prod(x[0]), A),
    "cumprod": (lambda x: np.cumprod(x, axis=0), A),
    "nansum": (lambda x: np.nansum(x, axis=0), N),
    "nanprod": (lambda x: np.nanprod(x, axis=1), N),
    "nanmax": (lambda x: np.nanmax(x, axis=1), N),
    "nanmin": (np.nanmin, N),
    "nanmean": (lambda x: np.nanmean(x, axis=1), N),
    "nanvar": (lambda x: np.nanvar(x, ddof=1), N),
    "nanstd": (lambda x: np.nanstd(x, axis=1), N),
    "nancumsum": (lambda x: np.nancumsum(x, axis=1), N),
    "nancumprod": (lambda x: np.nancumprod(x, axis=0), N),
    "cov": (np.cov, A),
    "cov of two": (lambda x: np.cov(x[0], x[1], bias=True), A),
    "corrcoef": (lambda x: np.corrcoef(x, rowvar=False), A),
    "trapezoid": (lambda x: np.trapezoid(x, dx=0.5), A),
    "trapezoid at traced places": (lambda x: np.trapezoid(S, x), V),
    "add.reduce": (np.add.reduce, A),
    "add.reduce along an axis": (lambda x: np.add.reduce(x, axis=1, keepdims=True, initial=1.0), A),
    "multiply.reduce": (lambda x: np.multiply.reduce(x, axis=1), A),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=None), A),
    "minimum.reduce": (np.minimum.reduce, A),
    "logical_or.reduce": (lambda x: np.where(np.logical_or.reduce(x > 1), x, 0.0), A),
    "add.accumulate": (lambda x: np.add.accumulate(x, axis=1), A),
    "multiply.accumulate": (np.multiply.accumulate, A),
}

SHAPES: dict[str, tuple[Function, Any]] = {
    "reshape": (lambda x: np.reshape(x, (4, -1)), A),
    "reshape to a vector": (lambda x: np.reshape(x, 12), A),
    "ravel": (np.ravel, A),
    "transpose": (np.transpose, T),
    "matrix_transpose": (np.matrix_transpose, T),
    "linalg.matrix_transpose": (np.linalg.matrix_transpose, T),
    "unstack": (lambda x: np.unstack(x, axis=1), A),
    "empty_like": (lambda x: x * np.isfinite(np.empty_like(x, shape=(3, 1))), A),
    "argwhere": (lambda x: x[tuple(np.argwhere(x > 1)[0])], A),
    "transpose with axes": (lambda x: np.transpose(x, (2, 0, -2)), T),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), T),
    "moveaxis": (lambda x: np.moveaxis(x, [0, 1], [-1, 0]), T),
    "rollaxis": (lambda x: np.rollaxis(x, 2), T),
    "rollaxis forward": (lambda x: np.rollaxis(x, 0, 3), T),
    "squeeze": (lambda x: np.squeeze(np.reshape(x, (1, 3, 1, 4))), A),
    "squeeze one axis": (lambda x: np.squeeze(np.reshape(x, (1, 3, 1, 4)), axis=2), A),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), A),
    "atleast_1d": (lambda x: np.atleast_1d(x[0, 0], x), A),
    "atleast_2d": (lambda x: np.atleast_2d(x[0]), A),
    "atleast_3d": (lambda x: np.atleast_3d(x[0, 0], x[0], x), A),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), A),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x[0], A), A),
    "meshgrid": (lambda x: np.meshgrid(x, [1.0, 2.0]), V),
    "meshgrid ij": (lambda x: np.meshgrid(x, [1.0, 2.0], x * x, indexing="ij", sparse=True), V),
    "concatenate": (lambda x: np.concatenate([x, A * 2, x * x], axis=1), A),
    "concatenate flat": (lambda x: np.concatenate((x, [1.0, 2.0]), axis=None), A),
    "stack": (lambda x: np.stack([x, A, x * x], axis=-1), A),
    "vstack": (lambda x: np.vstack([x, x[0]]), A),
    "hstack": (lambda x: np.hstack([x[0], 2 * x[1]]), A),
    "hstack of matrices": (lambda x: np.hstack((x, A)), A),
    "dstack": (lambda x: np.dstack([x, A]), A),
    "column_stack": (lambda x: np.column_stack([x, x[:, 0]]), A),
    "block": (lambda x: np.block([[x, np.ones((3, 1))], [np.zeros(4), x[0, 0]]]), A),
    "append": (lambda x: np.append(x, x[0]), A),
    "split": (lambda x: np.split(x, 2, axis=1), A),
    "split at places": (lambda x: np.split(x, [1, 3], axis=-1), A),
    "array_split": (lambda x: np.array_split(x, 3, axis=1), A),
    "hsplit": (lambda x: np.hsplit(x, 2), A),
    "vsplit": (lambda x: np.vsplit(x, 3), A),
    "dsplit": (lambda x: np.dsplit(x, 2), T),
    "tile": (lambda x: np.tile(x, (2, 1, 2)), A),
    "tile once": (lambda x: np.tile(x, 2), A),
    "repeat": (lambda x: np.repeat(x, 2), A),
    "repeat differently": (lambda x: np.repeat(x, [1, 0, 2], axis=0), A),
    "roll": (lambda x: np.roll(x, 2), A),
    "roll axes": (lambda x: np.roll(x, (1, -1), axis=(0, 1)), A),
    "flip": (np.flip, A),
    "fliplr": (np.fliplr, A),
    "flipud": (np.flipud, A),
    **{f"rot90 by {k}": (partial(np.rot90, k=k), A) for k in (1, 2, 3, 4)},
    "pad": (lambda x: np.pad(x, ((1, 0), (2, 1))), A),
    "pad with a value": (lambda x: np.pad(x, 1, mode="constant", constant_values=2.0), A),
    "delete": (lambda x: np.delete(x, [0, 2], axis=1), A),
    "tril": (np.tril, A),
    "triu": (lambda x: np.triu(x, 1), A),
    "diagonal": (lambda x: np.diagonal(x, 1), A),
    "diagonal of others": (lambda x: np.diagonal(x, -1, axis1=1, axis2=2), T),
    "diag of a matrix": (lambda x: np.diag(x, -1), A),
    "diag of a vector": (np.diag, V),
    "diag above": (lambda x: np.diag(x, 2), V),
    "diag below": (lambda x: np.diag(x, -1), V),
    "diagflat": (lambda x: np.diagflat(x, 1), A),
    "trace": (lambda x: np.trace(x, 1), A),
    "sort": (lambda x: np.sort(x, axis=0), A),
    "sort of all": (lambda x: np.sort(x, axis=None, kind="stable"), A),
    "argsort": (lambda x: x[0][np.argsort(x[0])], A),
    "take": (lambda x: np.take(x, [0, 3, 3], axis=1), A),
    "take from all": (lambda x: np.take(x, [[0, 5], [5, -1]]), A),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(A, axis=1), axis=1), A),
    "compress": (lambda x: np.compress([True, False, True], x, axis=0), A),
    "extract": (lambda x: np.extract(x > 0, x), A),
    "nonzero": (lambda x: x[np.nonzero(x > 0)], A),
    "flatnonzero": (lambda x: np.ravel(x)[np.flatnonzero(x > 0)], A),
    "searchsorted": (lambda x: x[np.searchsorted(np.sort(x), [0.6, 1.5])], V),
    "digitize": (lambda x: x * np.digitize(x, [0.4, 1.5]), V),
    "zeros_like": (lambda x: x + np.zeros_like(x), A),
    "ones_like": (lambda x: x * np.ones_like(x, dtype=np.float32), A),
    "full_like": (lambda x: x * np.full_like(x, 2), A),
    "full_like with a traced value": (lambda x: np.full_like(x, x[0, 0] * 2, shape=(2, 2)), A),
    "copy": (np.copy, A),
    "astype": (lambda x: np.astype(x, np.float32), A),
    "linspace": (lambda x: np.linspace(x, x * x, 4), V),
    "linspace without endpoint": (lambda x: np.linspace(0, x[0], 4, endpoint=False, retstep=True), V),
    "diff": (lambda x: np.diff(x, axis=0), A),
    "diff twice with ends": (lambda x: np.diff(x, 2, prepend=0, append=x[:, :1]), A),
    "ediff1d": (lambda x: np.ediff1d(x, to_end=[7.0, 8.0]), A),
    "gradient": (np.gradient, A),
    "gradient with spacing": (lambda x: np.gradient(x, 0.5, axis=1, edge_order=2), A),
    "gradient at places": (lambda x: np.gradient(x, [0.0, 0.3, 1.0, 2.5, 3.0], edge_order=2), S),
    "gradient at uneven places": (lambda x: np.gradient(x, [0.0, 0.3, 1.0, 2.5], axis=1), A),
    "vander": (lambda x: np.vander(x, 3), V),
}

PRODUCTS: dict[str, tuple[Function, Any]] = {
    "dot": (lambda x: np.dot(x, A), Q),
    "dot of vectors": (lambda x: np.dot(x, S), V),
    "dot with a number": (lambda x: np.dot(x, 3.0), V),
    "dot of many axes": (lambda x: np.dot(x, T), Q),
    "inner": (lambda x: np.inner(x, A + 1), A),
    "outer": (lambda x: np.outer(x, S), A),
    "matmul": (lambda x: np.matmul(x, A), Q),
    "matvec": (lambda x: np.matvec(x, A.T), Q),
    "vecmat": (lambda x: np.vecmat(x, A), V[:3]),
    "vdot": (lambda x: np.vdot(x, A), A),
    "vdot of complex": (lambda x: np.vdot(x * (1 + 2j), Z), V[:3]),
    "vecdot": (lambda x: np.vecdot(x, A[0]), A),
    "tensordot": (lambda x: np.tensordot(x, T, axes=([1, 0], [1, 0])), np.ones((2, 3)) * V[:3]),
    "tensordot by number": (lambda x: np.tensordot(x, A, axes=1), Q),
    "einsum": (lambda x: np.einsum("ij,jk->ik", x, A), Q),
    "einsum with a trace": (lambda x: np.einsum("ii", x), Q),
    "kron": (lambda x: np.kron(x, A), Q),
    "kron of vectors": (lambda x: np.kron(A, x), V),
    "cross": (lambda x: np.cross(x, Q[::-1]), Q),
    "cross along an axis": (lambda x: np.cross(x, Q[1], axisa=0), Q),
    "convolve": (lambda x: np.convolve(x, [1.0, 2.0, 3.0]), V),
    "convolve same": (lambda x: np.convolve([1.0, 2.0], x, "same"), V),
    "convolve valid": (lambda x: np.convolve(x, x[:2], mode="valid"), V),
    "correlate": (lambda x: np.correlate(x, S[:3]), V),
    "correlate shorter first": (lambda x: np.correlate(x[:2], S, "full"), V),
    "correlate same": (lambda x: np.correlate(x, S[:4], "same"), V),
    "multiply.outer": (lambda x: np.multiply.outer(x, A), V),
    "subtract.outer": (lambda x: np.subtract.outer(A, x), V),
    "linalg.solve": (lambda x: np.linalg.solve(x, A), Q),
    "linalg.solve for traced b": (lambda x: np.linalg.solve(Q, x), A),
    "linalg.inv": (np.linalg.inv, Q),
    "linalg.det": (np.linalg.det, Q),
    "linalg.slogdet": (np.linalg.slogdet, Q),
    "linalg.cholesky": (lambda x: np.linalg.cholesky(x + np.transpose(x)), P),
    "linalg.qr": (np.linalg.qr, Q),
    "linalg.qr r": (lambda x: np.linalg.qr(x, mode="r"), Q),
    "linalg.svd": (lambda x: np.linalg.svd(x, compute_uv=False), A),
    "linalg.svd reduced": (lambda x: _rebuilt(*np.linalg.svd(x, full_matrices=False)), A),
    "linalg.svdvals": (np.linalg.svdvals, A),
    "linalg.eigh": (lambda x: np.linalg.eigh(x)[0], P),
    "linalg.eigh of the upper": (lambda x: np.square(np.linalg.eigh(x, UPLO="U")[1]), Q),
    "linalg.eigvalsh": (np.linalg.eigvalsh, P),
    "linalg.pinv": (np.linalg.pinv, A),
    "linalg.matrix_power": (lambda x: np.linalg.matrix_power(x, 3), Q),
    "linalg.matrix_power, negative": (lambda x: np.linalg.matrix_power(x, -2), Q),
    "linalg.multi_dot": (lambda x: np.linalg.multi_dot([V[:3], x, A, x[0, 0] * A.T]), Q),
    "linalg.norm": (np.linalg.norm, A),
    "linalg.norm of rows": (lambda x: np.linalg.norm(x, axis=1, keepdims=True), A),
    **{f"linalg.norm {o}": (partial(np.linalg.norm, ord=o), V) for o in (1, 2, 3, np.inf, -np.inf)},
    **{
        f"linalg.norm {o} of a matrix": (partial(np.linalg.norm, ord=o), A)
        for o in ("fro", "nuc", 1, -1, 2, -2, np.inf)
    },
    "linalg.vector_norm": (lambda x: np.linalg.vector_norm(x, axis=0), A),
    "linalg.matrix_norm": (lambda x: np.linalg.matrix_norm(x, keepdims=True), A),
    "linalg.tensordot": (lambda x: np.linalg.tensordot(x, A, axes=1), Q),
    "linalg.matmul": (lambda x: np.linalg.matmul(x, A), Q),
    "linalg.vecdot": (lambda x: np.linalg.vecdot(x, A), A[::-1]),
    "linalg.matrix_rank": (lambda x: x * np.linalg.matrix_rank(x), A),
    "linalg.eig": (lambda x: np.linalg.eig(x)[0], Q),
    "linalg.eigvals of a rotation": (np.linalg.eigvals, np.asarray([[0.5, -1.0], [0.75, 0.25]])),
    "linalg.cond": (np.linalg.cond, Q),
    "linalg.trace": (np.linalg.trace, A),
    "linalg.diagonal": (np.linalg.diagonal, A),
    "linalg.outer": (lambda x: np.linalg.outer(x, S), V),
    "linalg.cross": (lambda x: np.linalg.cross(x, Q[::-1]), Q),
    **{
        f"fft.{name}": (getattr(np.fft, name), V)
        for name in ("fft", "ifft", "rfft", "ihfft", "fftshift", "ifftshift")
    },
    "fft.irfft": (lambda x: np.fft.irfft(x * (1 + 2j), n=8), V),
    "fft.hfft": (lambda x: np.fft.hfft(x * (1 + 2j)), V),
    "fft.fft with length and norm": (lambda x: np.fft.fft(x, 3, axis=0, norm="ortho"), A),
    "fft.fft2": (np.fft.fft2, A),
    "fft.ifft2": (np.fft.ifft2, A),
    "fft.rfft2": (np.fft.rfft2, A),
    "fft.irfft2": (lambda x: np.fft.irfft2(x * (1 - 1j)), A),
    "fft.fftn": (lambda x: np.fft.fftn(x, axes=(0, 1)), T),
    "fft.ifftn": (np.fft.ifftn, T),
    "fft.rfftn": (np.fft.rfftn, T),
    "fft.irfftn": (lambda x: np.fft.irfftn(x * (2 + 1j)), T),
}

EDGES: dict[str, tuple[Function, Any]] = {
    "integers": (
        lambda x: [np.fabs(x), np.rint(x), *np.modf(x), np.ldexp(x, 1), np.exp2(x)],
        np.asarray([3, -2]),
    ),
    "sums of integers": (
        lambda x: [np.sum(x, initial=2.5), np.add.reduce(x, initial=1.5)],
        np.asarray([3, 4]),
    ),
    "narrow integers": (lambda x: [np.convolve(x, x), np.vander(x, 2), np.nanmax(x)], np.int32([3, -2])),
    "booleans": (lambda x: [np.diag(x), np.nanmin(x), np.sum(x), np.mean(x)], np.asarray([True, False])),
    "infinities": (
        lambda x: [
            *np.modf(x),
            np.quantile(x, [0.25, 0.6]),
            np.linspace(0.0, x, 3),
            np.convolve(x, [1.0, 2.0]),
        ],
        np.asarray([1.0, np.inf, -2.0]),
    ),
    "an infinity among fewer": (lambda x: np.correlate(x[:2], x, "full"), np.asarray([1.0, 2.0, np.inf])),
    "complex moments": (lambda x: [np.var(x, ddof=1), np.std(x), np.nanvar(x), np.nanstd(x), np.cov(x)], Z),
    "NaN": (
        lambda x: [np.max(x), np.median(x), np.percentile(x, 10), np.sort(x), np.argmax(x), np.ptp(x)],
        N[0],
    ),
    "no elements": (lambda x: [np.sum(x), np.prod(x), np.cumsum(x), np.concatenate([x, x])], V[:0]),
    "numbers": (lambda x: [np.atleast_2d(x), np.dot(x, x), np.ravel(x), np.round(x, 1), np.sum(x)], V[0]),
    "equal eigenvalues": (lambda x: [np.linalg.eigvalsh(x), np.linalg.eigvals(x)], np.eye(3)),
}
"""Where only values are compared, beside floating numbers away from all edges."""


CASES = ELEMENTWISE | REDUCTIONS | SHAPES | PRODUCTS


def _rebuilt(u: Any, s: Any, vh: Any) -> Any:
    # Singular vectors have a sign of their own choice; their products have not.
    return np.square(u), s, np.square(vh)


def parts(out: Any) -> list[Any]:
    """The arrays of a result."""
    return list(out) if isinstance(out, tuple | list) else [out]


def loss_of(function: Function, x: Any) -> Function:
    """A real number that depends on every element of every result, written with ``numpy.`` names."""

    def weights(part: Any, phase: float) -> Any:
        shape = np.shape(part)
        return np.cos(np.arange(int(np.prod(shape))) * 1.7 + phase).reshape(shape)

    def loss(x: Any) -> Any:
        total = 0.0
        for i, part in enumerate(parts(function(x))):
            total = total + np.sum(np.real(part) * weights(part, i))
            if np.iscomplexobj(part):
                total = total + np.sum(np.imag(part) * weights(part, i + 0.5))
        return total

    return loss


def differences(loss: Function, x: Any, step: float = 2.0**-10) -> Any:
    """The gradient by central differences of fourth order."""
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        h = np.zeros(x.shape)
        h[place] = step
        found[place] = (8 * (loss(x + h) - loss(x - h)) - (loss(x + 2 * h) - loss(x - 2 * h))) / (12 * step)
    return found


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_plain_numpy_code(name: str) -> None:
    function, x = CASES[name]
    loss = loss_of(function, x)
    value, gradient = value_and_grad(loss)(x)
    with np.errstate(all="ignore"):
        expected = differences(loss, x)
        np.testing.assert_allclose(value, loss(x), rtol=1e-5 if "float32" in name else 1e-12)
    assert type(gradient) is np.ndarray and gradient.dtype == x.dtype and gradient.shape == x.shape
    # Where x is NaN there are no differences to compare with.
    expected = np.where(np.isnan(x), gradient, expected)
    scale = max(1.0, float(np.max(np.abs(expected))))
    tolerance = 2e-3 if "float32" in name or name in ("astype", "ones_like") else 1e-8
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * scale)
    _, tangent = jvp(loss, (x,), (np.ones_like(x),))
    assert abs(float(tangent) - float(np.sum(gradient))) <= 1e-5 * scale * x.size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_values_dtypes_and_shapes_are_those_of_numpy(name: str, dtype: str) -> None:
    function, x = CASES[name]
    assert_same(function, x.astype(dtype), {"float64": 1e-12, "float32": 3e-5}[dtype])


@pytest.mark.parametrize("name", EDGES)
def test_values_at_edges_are_those_of_numpy(name: str) -> None:
    assert_same(*EDGES[name], 1e-12)


def assert_same(function: Function, x: Any, tolerance: float) -> None:
    """The values of a traced constant are those of the raw array."""
    seen: list[Any] = []

    def run(number: Any, t: Any) -> Any:
        found = parts(function(t))
        assert any(isinstance(part, Array) for part in found)
        seen.extend(np.asarray(stop_gradient(part)) for part in found)
        return number

    with np.errstate(all="ignore"):
        grad(run)(1.0, x)
    with np.errstate(all="ignore"):
        expected = parts(function(x))
    assert len(seen) == len(expected)
    for value, want in zip(seen, expected, strict=True):
        assert (value.dtype, value.shape) == (np.asarray(want).dtype, np.shape(want))
        finite = np.abs(np.asarray(want)[np.isfinite(want)])
        scale = max(1.0, float(np.max(finite, initial=0)))
        np.testing.assert_allclose(value, want, rtol=tolerance, atol=tolerance * scale)


VALUES_ONLY = {
    *("allclose", "array2string", "array_equal", "array_equiv", "array_repr", "array_str", "can_cast"),
    *("common_type", "einsum_path", "iscomplexobj", "isrealobj", "may_share_memory", "min_scalar_type"),
    *("ndim", "result_type", "shape", "shares_memory", "size"),
}
"""What returns Python's own values, which no gradient flows through."""


def test_every_function_that_is_mapped_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def function(original: Any, args: Any, kwargs: Any) -> Any:
        called.add(FUNCTIONS[original].name)
        return apply_function(original, args, kwargs)

    def ufunc(original: Any, method: str, inputs: Any, kwargs: Any) -> Any:
        called.add(f"{original.__name__}.{method}")
        return apply_ufunc(original, method, inputs, kwargs)

    monkeypatch.setattr(numpy_protocol, "apply_function", function)
    monkeypatch.setattr(numpy_protocol, "apply_ufunc", ufunc)
    monkeypatch.setattr(array, "reflected", lambda *_: None)
    with np.errstate(all="ignore"):
        for case, x in CASES.values():
            vjp(lambda t, case=case: parts(case(t)), x)
    mapped = {f.name for f in FUNCTIONS.values()} | {f"{ufunc.__name__}.__call__" for ufunc in UFUNCS}
    assert len(mapped) >= 250
    assert mapped - called == VALUES_ONLY


def test_parameters_have_the_names_that_numpy_gives_them() -> None:
    for original, mapped in FUNCTIONS.items():
        if not mapped.open:
            # NumPy 2.0 knows one of them by another name.
            assert mapped.taken - {"newshape"} <= set(inspect.signature(original).parameters), mapped.name


# Universal functions.


def test_a_dtype_is_obeyed() -> None:
    def loss(x: Any) -> Any:
        narrow = np.add(x, S, dtype=np.float32)
        assert narrow.dtype == np.float32
        with pytest.raises(TypeError, match=r"numpy\.add: cannot cast an operand from float64 to int64"):
            np.add(x, 1, dtype=np.int64)
        with pytest.raises(NotDifferentiableError, match=r"numpy\.less\(dtype=\.\.\.\) of a value traced by"):
            np.less(x, S, dtype=np.float32)
        return np.sum(np.multiply(narrow, x, dtype="float64", casting="unsafe", subok=True, where=True))

    expected = np.float64(np.add(S, S, dtype=np.float32)) + S
    np.testing.assert_allclose(grad(loss)(S), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("frexp", np.frexp),
        ("spacing", np.spacing),
        ("add.at", lambda x: np.add.at(np.zeros(5), [0], x)),
        ("add.reduceat", lambda x: np.add.reduceat(x, [0, 2])),
        ("hypot.reduce", np.hypot.reduce),
        ("maximum.accumulate", np.maximum.accumulate),
    ],
)
def test_other_universal_functions_are_refused_by_name(name: str, call: Function) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by grad") as caught:
        grad(lambda x: call(x * 1.0))(V)
    assert "bpkit.stop_gradient(x)" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("add", lambda x: np.add(x, 1.0, where=V > 1)),
        ("sum", lambda x: np.add.reduce(x, where=V > 1)),
        ("add.reduce", lambda x: np.add.reduce(x, where=V > 1)),
        ("reshape", lambda x: np.reshape(x, (5,), order="F")),
        ("reshape", lambda x: np.reshape(x, (5,), "F")),
        ("var", lambda x: np.var(x, where=V > 1)),
        ("interp", lambda x: np.interp(x, V, V, period=3.0)),
        ("quantile", lambda x: np.quantile(x, 0.5, method="nearest")),
        ("take", lambda x: np.take(x, [0], mode="wrap")),
    ],
)
def test_arguments_without_a_meaning_here_are_refused_by_name(name: str, call: Function) -> None:
    with pytest.raises(
        NotDifferentiableError, match=r"numpy\.[a-z.]*\([a-z]*=.*\) of a value traced by"
    ) as caught:
        grad(lambda x: np.sum(call(x * 1.0)))(V)
    assert "support" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: np.add(x, 1.0, out=out),
        lambda x, out: np.add(V, 1.0, out=x),
        lambda x, out: np.add(x, 1.0, out),
        lambda x, out: np.cumsum(x, out=out),
        lambda x, out: np.cumsum(x, 0, None, out),
        lambda x, out: np.sum(np.stack([x, x]), axis=0, out=out),
        lambda x, out: np.clip(x, 0, 1, out=out),
        lambda x, out: np.dot(x, np.eye(5), out),
        lambda x, out: np.concatenate([x], 0, out),
    ],
)
def test_a_given_array_is_not_written_to(call: Callable[[Any, Any], Any]) -> None:
    out = np.zeros(5)
    with pytest.raises(
        GradientCutError, match=r"numpy\.[a-z]+\(\.\.\., out=\.\.\.\) with a value traced by grad"
    ):
        grad(lambda x: np.sum(call(x * 1.0, out)))(V)
    assert not out.any()


def test_in_place_operators_of_numpy_arrays_are_refused_by_name() -> None:
    for change in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"):
        total = np.zeros(5)
        with pytest.raises(GradientCutError, match=r"Write a = a \+ x instead of a \+= x"):
            grad(lambda x, change=change, total=total: np.sum(getattr(total, change)(x)))(V)
        assert not total.any()


def test_assignment_to_elements_of_numpy_arrays_keeps_its_errors() -> None:
    def rows(x: Any) -> Any:
        a = np.zeros((2, 5))
        a[0] = x
        return np.sum(a)

    def one(x: Any) -> Any:
        a = np.zeros(2)
        a[0] = x[0]
        return np.sum(a)

    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\) of a value traced by grad"):
        grad(rows)(V)
    with (
        pytest.warns(GradientCutWarning),
        pytest.raises(GradientCutError, match=r"float\(\) at .*use xp|stop_"),
    ):
        grad(one)(V)


# What has no counterpart, and whose arrays are of another library.


@pytest.mark.parametrize(
    ("name", "call", "advice"),
    [
        ("unique", np.unique, "xp.unique_"),
        ("histogram", np.histogram, "bpkit.stop_gradient(x)"),
        ("insert", lambda x: np.insert(x, 0, 1.0), "numpy.concatenate"),
        ("copyto", lambda x: np.copyto(np.zeros(5), x), "numpy.where"),
        ("copyto", lambda x: np.full_like(V, x[0]), "numpy.where"),
        ("put", lambda x: np.put(np.zeros(5), [0], x[0]), "numpy.stack"),
        ("linalg.lstsq", lambda x: np.linalg.lstsq(Q, x[:3]), "numpy.linalg.pinv(a) @ b"),
        ("polyfit", lambda x: np.polyfit(V, x, 1), "numpy.vander"),
        ("roots", np.roots, "bpkit.stop_gradient(x)"),
    ],
)
def test_what_is_not_mapped_is_refused_by_name(name: str, call: Function, advice: str) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by grad") as caught:
        grad(lambda x: call(x * 1.0))(V)
    assert advice in str(caught.value)
    with pytest.raises(NotDifferentiableError, match=rf"numpy\.{name} of a value traced by jvp"):
        jvp(lambda x: call(x * 1.0), (V,), (V,))


def test_every_function_of_numpy_answers_or_refuses_by_name() -> None:
    """No function takes a traced value for something else: a list of objects, a number, a copy."""

    def refusals(x: Any) -> Any:
        for module in (np, np.linalg, np.fft):
            for name in sorted(vars(module)):
                original = getattr(module, name)
                if type(original) is not type(np.sum) or original in FUNCTIONS or "save" in name:
                    continue
                with pytest.raises((NotDifferentiableError, TypeError)) as caught:
                    original(x)
                if not isinstance(caught.value, NotDifferentiableError):
                    assert "missing" in str(caught.value) or "argument" in str(caught.value), name
        return np.sum(x)

    grad(refusals)(V)


def test_constants_are_plain_arrays_to_what_is_not_mapped() -> None:
    def loss(x: Any, labels: Any) -> Any:
        counts = np.bincount(labels, minlength=3)
        assert type(counts) is np.ndarray
        assert np.unique(stop_gradient(x)).tolist() == sorted(V)
        with pytest.raises(ValueError, match="read-only"):
            np.put(labels, [0], 7)
        held = np.zeros(5)
        np.copyto(held, stop_gradient(x))
        return np.sum(x * counts[labels] * held)

    np.testing.assert_array_equal(grad(loss)(V, np.asarray([0, 2, 2, 1, 0])), np.asarray([2, 2, 2, 1, 2]) * V)


def test_constants_go_the_same_way() -> None:
    def loss(x: Any, y: Any) -> Any:
        assert isinstance(np.sin(y), Array) and isinstance(np.fft.fft(y), Array)
        return np.sum(x * np.cumsum(y))

    np.testing.assert_allclose(grad(loss)(V, S), np.cumsum(S))


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_values_of_other_libraries_are_refused_with_the_way_out(name: str) -> None:
    try:
        backend = get_backend(name)
        x = backend.from_host(V.astype(np.float32))
    except BackendError as error:
        pytest.skip(str(error))

    def loss(t: Any) -> Any:
        calls: dict[str, Function] = {
            "sin": np.sin,
            "add": lambda t: np.add(t, 1.0),
            "add.reduce": np.add.reduce,
            "sum": np.sum,
            "concatenate": lambda t: np.concatenate([t, t]),
            "linalg.norm": np.linalg.norm,
            "unique": np.unique,
        }
        for called, call in calls.items():
            with pytest.raises(
                MixedBackendsError, match=rf"numpy\.{called} of a value traced by grad"
            ) as caught:
                call(t)
            assert name in str(caught.value) and "x.__array_namespace__()" in str(caught.value)
        assert np.shape(t) == (5,) and np.ndim(t) == 1 and np.size(t) == 5
        with pytest.raises(MixedBackendsError, match="numpy"):
            V * t
        if name != "array_api_strict":
            assert (np.float64(2) * t).dtype == t.dtype
        return bpkit.xp.sum(t)

    grad(loss)(x)


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_constants_of_other_libraries_become_numpy_arrays_as_the_library_s_own_do(name: str) -> None:
    try:
        backend = get_backend(name)
        x, y = backend.from_host(V.astype(np.float32)), backend.from_host(S.astype(np.float32))
    except BackendError as error:
        pytest.skip(str(error))

    def loss(t: Any, y: Any) -> Any:
        made = t.__array_namespace__().ones(5)
        for constant, value in ((y, S.astype(np.float32)), (bpkit.stop_gradient(t), V), (made, np.ones(5))):
            for call in (np.atleast_2d, np.sin, np.add.reduce, np.linalg.norm, lambda x: np.tile(x, 2)):
                found = call(constant)
                assert isinstance(found, np.ndarray | np.generic)
                np.testing.assert_allclose(found, call(value), rtol=1e-6)
            with pytest.raises(MixedBackendsError, match=r"numpy\.concatenate"):
                np.concatenate([t, constant])
        return bpkit.xp.sum(t)

    grad(loss)(x, y)


def test_questions_about_values_are_answered_in_python() -> None:
    def loss(x: Any) -> Any:
        assert np.allclose(x, V) and not np.array_equal(x, S) and np.array_equiv(x, V)
        assert np.shape(x) == (5,) and np.size(x) == 5 and np.ndim(x) == 1
        assert np.result_type(x, np.float32) == np.float64 and np.can_cast(x.dtype, np.float64)
        assert np.isrealobj(x) and not np.iscomplexobj(x)
        assert np.array2string(x) == np.array2string(V)
        assert np.shares_memory(x, x[1:]) and not np.may_share_memory(x, S)
        return np.sum(x)

    np.testing.assert_array_equal(grad(loss)(V), np.ones(5))


# Derivatives of derivatives, and the operators beside the functions.


def test_nested_transforms_of_plain_numpy_code() -> None:
    def energy(x: Any) -> Any:
        return np.sum(np.sin(x) * np.exp(-np.square(x))) + np.prod(np.tanh(x))

    hessian = np.stack([jvp(grad(energy), (V,), (row,))[1] for row in np.eye(5)])
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    direction = np.asarray([0.5, -1.0, 0.25, 0.75, -0.5])
    expected = differences(lambda x: np.sum(grad(energy)(x) * direction), V)
    np.testing.assert_allclose(hessian @ direction, expected, atol=1e-8)
    assert float(grad(grad(np.sin))(0.5)) == pytest.approx(-np.sin(0.5))


def test_lists_of_traced_values_are_arrays() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.multiply(x, [x[0], 1.0, 2, x[3], np.float64(3)])) + np.sum(
            np.where(x > 1, [x[4]] * 5, x)
        )

    def plain(x: Any) -> Any:
        return x[0] ** 2 + x[1] + 2 * x[2] + x[3] ** 2 + 3 * x[4] + x[0] + x[2] + 3 * x[4]

    np.testing.assert_allclose(grad(loss)(V), grad(plain)(V))


def test_functions_that_write_what_the_raw_arrays_may_not_hold() -> None:
    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\)"):
        grad(lambda x: np.sum(np.array([x, x])))(V)
    with pytest.raises(GradientCutError, match=r"numpy\.asarray\(x\)"):
        grad(lambda x: np.sum(np.vectorize(abs)(x)))(V)


def test_vjp_and_complex_results() -> None:
    out, pullback = vjp(np.fft.rfft, V)
    assert out.dtype == np.complex128
    (g,) = pullback(np.ones_like(out))
    assert g.dtype == V.dtype and g.shape == V.shape


def test_divmod_of_arrays_and_numbers() -> None:
    assert float(grad(lambda x: divmod(np.float64(7.0), x)[1])(2.0)) == -3.0
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(divmod(V, x)[1]))(np.full(5, 0.7)), -np.floor(V / 0.7)
    )
