"""What a program costs, from the shapes of its values."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from bpkit.kinds import raw
from bpkit.record import Program, Slot, Step
from bpkit.registry import backend_of
from bpkit.views import VIEWS

__all__ = ["Cost", "cost_of", "scaled", "size_bytes"]


class Cost(NamedTuple):
    """What one call of a compiled function costs, from shapes alone.

    Attributes
    ----------
    operations : int
        On floating-point numbers. A product of matrices has 2·m·n·k, a decomposition what its textbook method
        has to first order (Golub and Van Loan, Matrix Computations, 2013), a Fourier transform 5·n·log2(n).
        Every other function has one for each element of its largest operand or result, a sine as an addition;
        copies and conversions have none.
    bytes_moved : int
        If each step read its operands from memory and wrote its results there, views apart. What stays in a
        cache, or within steps that are done as one, moves less.
    arena_bytes : int
        Memory for values between steps that is held between calls.

    Examples
    --------
    >>> print(Cost(operations=470_600, bytes_moved=2_100_000, arena_bytes=5200))
    470.6 kflop, 2.1 MB moved, 5.2 kB held
    """

    operations: int
    bytes_moved: int
    arena_bytes: int

    def __str__(self) -> str:
        operations, moved, held = map(scaled, self)
        return f"{operations}flop, {moved}B moved, {held}B held"


def scaled(count: int) -> str:
    """A count with the prefix of a unit that follows it.

    Examples
    --------
    >>> scaled(2_100_000) + "B", scaled(7) + "B"
    ('2.1 MB', '7 B')
    """
    size, prefix = next(
        ((10**e, p) for e, p in ((12, "T"), (9, "G"), (6, "M"), (3, "k")) if count >= 10**e), (1, "")
    )
    return f"{count / size:.4g} {prefix}"


def cost_of(program: Program, arena_bytes: int) -> Cost:
    """What the steps of a program cost together."""
    operations = sum(_operations(step) for step in program.steps)
    moved = sum(
        size_bytes(x) for step in program.steps if not _is_view(step) for x in (*step.operands, *step.outs)
    )
    return Cost(operations, moved, arena_bytes)


def _operations(step: Step) -> int:
    arrays = [x for x in (*step.operands, *step.outs) if hasattr(x, "shape")]
    if not any(map(_is_floating, arrays)):
        return 0
    if step.name in _COUNTS:
        return round(_COUNTS[step.name](step))
    if step.name in VIEWS or step.name in _NO_ARITHMETIC:
        return 0
    return max(_size(x.shape) for x in arrays)


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


_NO_ARITHMETIC = frozenset(
    {
        *("broadcast_to", "concat", "cotangent_as", "empty_like", "full_like", "isfinite", "isinf", "isnan"),
        *(
            "ones_like",
            "pad",
            "roll",
            "setitem",
            "signbit",
            "take",
            "take_along_axis",
            "tril",
            "triu",
            "where",
            "windows",
        ),
        "zeros_like",
    }
)


def _matmul(step: Step) -> float:
    return 2.0 * _size(step.outs[0].shape) * int(step.operands[0].shape[-1])


def _convolution(step: Step) -> float:
    # A product for each element of what comes out, and of what one of them sees.
    x, other = step.operands
    shown = {
        "conv": (step.outs[0], other),
        "conv_transpose": (x, other),
        "conv_kernel": (other, step.outs[0]),
    }
    y, weight = shown[step.name]
    return 2.0 * _size(y.shape) * _size(weight.shape[1:])


def _of_matrices(count: Callable[[int, int], float]) -> Callable[[Step], float]:
    """For a stack of matrices what one with m rows and n columns takes, the longer side first."""

    def counted(step: Step) -> float:
        *stack, rows, columns = step.operands[0].shape
        return _size(tuple(stack)) * count(max(rows, columns), min(rows, columns))

    return counted


def _solve(step: Step) -> float:
    return _lu(step) + _matmul(step)


def _fourier(step: Step) -> float:
    shape = max(step.operands[0].shape, step.outs[0].shape, key=_size)
    axes = step.static["axes"] if "axes" in step.static else (step.static["axis"],)
    length = _size(tuple(shape) if axes is None else tuple([shape[axis] for axis in axes]))
    return 5 * _size(shape) * math.log2(max(length, 1))


_lu = _of_matrices(lambda m, n: 2 * n**3 / 3)
_svd = _of_matrices(lambda m, n: 6 * m * n**2 + 20 * n**3)
_COUNTS: dict[str, Callable[[Step], float]] = {
    **dict.fromkeys(("conv", "conv_kernel", "conv_transpose"), _convolution),
    "matmul": _matmul,
    "linalg.cholesky": _of_matrices(lambda m, n: n**3 / 3),
    "linalg.det": _lu,
    "linalg.eig": _of_matrices(lambda m, n: 25 * n**3),
    "linalg.eigh": _of_matrices(lambda m, n: 9 * n**3),
    "linalg.inv": _of_matrices(lambda m, n: 2 * n**3),
    "linalg.pinv": _svd,
    "linalg.qr": _of_matrices(lambda m, n: 4 * m * n**2 - 4 * n**3 / 3),
    "linalg.slogdet": _lu,
    "linalg.solve": _solve,
    "linalg.svd": _svd,
    **{
        f"fft.{name}": _fourier
        for name in ("fft", "fftn", "hfft", "ifft", "ifftn", "ihfft", "irfft", "irfftn", "rfft", "rfftn")
    },
}


def _is_view(step: Step) -> bool:
    """Whether a step does nothing but look at its operand, as far as shapes and dtypes tell."""
    x, *rest = step.operands
    gathers = any(hasattr(key, "shape") for key in rest)
    looks = step.name in VIEWS and step.name not in _COUNTS and not gathers
    return looks and isinstance(x, Slot) and x.dtype == step.outs[0].dtype


def _is_floating(x: Any) -> bool:
    return bool(_library(x).isdtype(x.dtype, ("real floating", "complex floating")))


def size_bytes(x: Any) -> int:
    """The memory that the elements of an array take; 0 for what is no array."""
    if not hasattr(x, "shape"):
        return 0
    library = _library(x)
    if library.isdtype(x.dtype, "bool"):
        return _size(x.shape)
    if library.isdtype(x.dtype, "integral"):
        return _size(x.shape) * int(library.iinfo(x.dtype).bits) // 8
    parts = 2 if library.isdtype(x.dtype, "complex floating") else 1
    return _size(x.shape) * parts * int(library.finfo(x.dtype).bits) // 8


def _library(x: Any) -> Any:
    return (x.backend if isinstance(x, Slot) else backend_of(raw(x))).xp
