"""What the BLAS that SciPy brings does for small arrays in less time than NumPy.

Its library is another one than NumPy's, with threads of its own: on arrays that are large enough for threads
the two disturb each other (a product that is added to what is there: 20 per cent slower at 1024 x 4096).
"""

import importlib
import math
import os
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

import numpy as np

from ._threads import others

__all__ = [
    "FEW",
    "SINGLE",
    "added_columns",
    "added_product",
    "annihilating_product",
    "can_read_in_place",
    "few_rows",
    "finite_where_zero",
    "has_threads",
    "logistic",
    "read_in_place",
]

SINGLE = 2**18
"""The number of multiplications from which on OpenBLAS takes threads for a product."""
UNCOPIED = 1_000_000
"""The number of multiplications up to which OpenBLAS reads matrices where they are."""
TURNED = 4096
"""The number of elements up to which a matrix is quickly brought into the order of its rows."""
FEW = 10_000
"""The number of elements from which on it takes them for a sum."""

_COUNTS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables that OpenBLAS takes its number of threads from, the first one that is set."""
_LETTERS = {"float32": "s", "float64": "d"}


@cache
def has_threads() -> bool:
    """Whether BLAS takes more threads than one for what is large."""
    given = next((count for name in _COUNTS if (count := os.environ.get(name))), "")
    return given != "1" and others() > 0


def _routine(name: str, dtype: Any) -> Callable[..., Any]:
    routine: Callable[..., Any] = getattr(_library(), _LETTERS[dtype.name] + name)
    return routine


@cache
def _library() -> Any:
    """What ``scipy.linalg.blas`` takes its functions from: by itself it is loaded in a tenth of the time."""
    if "scipy.linalg" not in sys.modules:
        folders = importlib.import_module("scipy").__path__
        spec = PathFinder.find_spec("_fblas", [os.path.join(folder, "linalg") for folder in folders])
        if spec is not None and spec.loader is not None:
            library = module_from_spec(spec)
            spec.loader.exec_module(library)
            return library
    return importlib.import_module("scipy.linalg.blas")


@lru_cache(maxsize=64)
def added_product(turned: tuple[bool, ...], dtype: Any) -> Callable[..., None]:
    """A function ``(c, a, b, alpha, out)`` that writes ``c + alpha * a @ b`` into `out`, which may be `c`.

    It is given the transpose of `a`, if the array `a` has its rows one after the other; if it has its columns
    so, and `turned` says this, `a` itself; and the same of `b`.
    """
    gemm, copyto = _routine("gemm", dtype), np.copyto
    columns_of_a, columns_of_b = map(int, turned)

    def added_product(c: Any, a: Any, b: Any, alpha: float, out: Any) -> None:
        if out is not c:
            copyto(out, c)
        # To BLAS, rows are columns, so that it computes the transpose.
        target = out.T
        found = gemm(alpha, b, a, 1.0, target, columns_of_b, columns_of_a, 1)
        if found is not target:  # memory that BLAS cannot write to as it lies
            copyto(target, found)

    return added_product


@lru_cache(maxsize=64)
def added_columns(rows: int, turned: bool, dtype: Any) -> Callable[..., None]:
    """A function ``(c, x, alpha, out)`` that writes ``c + alpha * sum(x, axis=0)`` into `out`, or over `c`.

    It is given the transpose of `x`, which has so many rows, if they lie one after the other; if the columns
    do, and `turned` says this, `x` itself.
    """
    gemv, ones, copyto = _routine("gemv", dtype), np.ones(rows, dtype), np.copyto
    columns = int(turned)

    def added_columns(c: Any, x: Any, alpha: float, out: Any) -> None:
        if out is not c:
            copyto(out, c)
        found = gemv(alpha, x, ones, 1.0, out, 0, 1, 0, 1, columns, 1)
        if found is not out:
            copyto(out, found)

    return added_columns


def few_rows(a: Any, b: Any, out: Any = None) -> Any:
    """``a @ b``, if `a` has few rows and `b` many elements.

    Where the columns of `b` lie one after the other, as those of a transposed weight, OpenBLAS takes its time
    for the product, and up to half as long for that of the transposes: 10 rows with 1,000 x 1,000 elements of
    float32 by one thread 780 and 490 microseconds.
    """
    if b.flags.c_contiguous or not b.flags.f_contiguous:
        return np.dot(a, b, out)
    found = np.dot(b.T, a.T).T
    if out is None:
        return np.ascontiguousarray(found)
    np.copyto(out, found)
    return out


def read_in_place(a: Any, b: Any, out: Any = None) -> Any:
    """``a @ b``, so that OpenBLAS need not copy the factors first.

    It reads them where they are if both lie row by row and there are few multiplications: so few rows are
    done at a time, or `b`, if it is small, is turned. In microseconds in float64: 200 x 64 by 64 x 100 at
    once 51, in two pieces 38; 200 x 10 by the transpose of 100 x 10 as it is 15, turned 11.
    """
    multiplications = a.shape[0] * b.size
    if not b.flags.c_contiguous and multiplications <= UNCOPIED and b.size <= TURNED:
        b = np.ascontiguousarray(b)
    if multiplications <= UNCOPIED or not (a.flags.c_contiguous and b.flags.c_contiguous):
        return np.dot(a, b, out)
    if out is None:
        out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    rows = math.ceil(a.shape[0] / math.ceil(multiplications / UNCOPIED))
    for start in range(0, a.shape[0], rows):
        np.dot(a[start : start + rows], b, out[start : start + rows])
    return out


def can_read_in_place(multiplications: int) -> bool:
    """Whether :func:`read_in_place` may be faster than a product as it is: for AVX-512, and by one thread."""
    return UNCOPIED // 8 < multiplications <= 4 * UNCOPIED and _multiplies_uncopied() and not has_threads()


@cache
def _multiplies_uncopied() -> bool:
    """Whether this is a processor for which OpenBLAS has functions of small matrices."""
    try:
        features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    except (AttributeError, ImportError):
        return False
    return bool(features.get("AVX512_SKX"))


@lru_cache(maxsize=64)
def annihilating_product(dtype: Any) -> Callable[..., None]:
    """The function of that name, into memory."""
    asum, multiply = _routine("asum", dtype), np.multiply

    def annihilating_product(factor: Any, derivative: Any, out: Any) -> None:
        # The sum of the absolute values is finite only if all elements are.
        if not math.isfinite(asum(derivative.ravel())):
            derivative = finite_where_zero(factor, derivative)
        multiply(factor, derivative, out)

    return annihilating_product


@lru_cache(maxsize=64)
def logistic(dtype: Any) -> Callable[..., None]:
    """The function `expit`, into memory that is not the operand's."""
    asum, negative, exp, add, reciprocal = _routine("asum", dtype), np.negative, np.exp, np.add, np.reciprocal
    one = np.ones((), dtype)

    def expit(x: Any, out: Any) -> None:
        exp(negative(x, out), out)
        # Only where 1 / (1 + exp(-x)) is a normal number, exp(-x) is finite.
        if math.isfinite(asum(out.ravel())):
            reciprocal(add(one, out, out), out)
        else:
            np.divide(exp(np.minimum(x, 0.0)), 1.0 + exp(-np.abs(x)), out)

    return expit


def finite_where_zero(factor: Any, derivative: Any) -> Any:
    """`derivative` with 0 in place of what is not finite where the factor is 0."""
    idle = (factor == 0) & ~np.isfinite(derivative)
    return np.where(idle, np.zeros_like(derivative), derivative)
