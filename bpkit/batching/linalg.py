"""Matrix products, decompositions and solvers: libraries take stacks of matrices."""

from math import prod
from typing import Any

from bpkit.batching.registry import Operand, aligned, batching, in_front, reshaped, transposed
from bpkit.trace import call


@batching(
    *("linalg.cholesky", "linalg.det", "linalg.diagonal", "linalg.eig", "linalg.eigh", "linalg.inv"),
    *("linalg.qr", "linalg.slogdet", "linalg.svd"),
)
def _stack(name: str, size: int, x: Operand, **static: Any) -> Any:
    return call(name, x.value, **static)


@batching("linalg.cross")
def _cross(name: str, size: int, x1: Operand, x2: Operand, *, axis: int) -> Any:
    return call(name, *aligned((x1, x2)), axis=axis)


@batching("linalg.pinv")
def _pinv(name: str, size: int, x: Operand, rtol: Operand) -> Any:
    # One tolerance for each matrix, along the axes before the last two.
    tolerance = aligned((rtol,), len(x.shape) - 2)[0]
    return call(name, in_front(size, x), tolerance)


@batching("linalg.solve")
def _solve(name: str, size: int, x1: Operand, x2: Operand) -> Any:
    if not x1.batched and len(x1.shape) == len(x2.shape) == 2:
        # One matrix for all examples is decomposed once, with all right-hand sides beside each other.
        n, k = x2.shape
        columns = reshaped(transposed(x2.value, (1, 0, 2)), (n, size * k))
        return transposed(reshaped(call(name, x1.value, columns), (n, size, k)), (1, 0, 2))
    return call(name, *aligned((x1, x2)))


@batching("matmul")
def _matmul(name: str, size: int, x1: Operand, x2: Operand) -> Any:
    n1, n2 = len(x1.shape), len(x2.shape)
    if not x2.batched and n1 and n2 <= 2:
        # One matrix for all examples: one product, with all rows below each other.
        rows = reshaped(x1.value, (size * prod(x1.shape[:-1]), x1.shape[-1]))
        return reshaped(call(name, rows, x2.value), (size, *x1.shape[:-1], *x2.shape[1:]))
    if not x1.batched and n2 == 1 and 1 <= n1 <= 2:
        return call(name, x2.value, x1.value if n1 == 1 else call("matrix_transpose", x1.value))
    # A vector on the left is a row, one on the right a column.
    if n1 == 1:
        x1 = x1._replace(value=reshaped(x1.value, (*x1.value.shape[:-1], 1, x1.shape[0])))
    if n2 == 1:
        x2 = x2._replace(value=reshaped(x2.value, (*x2.value.shape, 1)))
    out = call(name, *aligned((x1, x2)))
    *stack, rows, columns = out.shape
    return reshaped(out, (*stack, *([rows] if n1 > 1 else []), *([columns] if n2 > 1 else [])))
