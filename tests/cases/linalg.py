"""Cases of xp.linalg.

Eigenvectors and singular vectors may have any sign, and in complex dtypes any phase: what is differentiated
here depends on neither.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument


def _complex(*shape: int) -> Argument:
    return A(shape, "complex", "complex128")


def _apart(*shape: int, complex_: bool = False) -> Argument:
    """Matrices with singular values, and eigenvalues, that are far apart: a diagonal and a little noise."""
    rng = np.random.default_rng(sum(shape) + complex_)
    rows, columns = shape[-2:]
    noise = rng.uniform(-0.4, 0.4, shape)
    values = noise + np.eye(rows, columns) * np.linspace(1, 4, max(rows, columns))[:columns]
    if not complex_:
        return A(shape, values=values)
    return A(shape, dtype="complex128", values=values + 1j * rng.uniform(-0.4, 0.4, shape))


# One result.

PRODUCTS = [
    case("linalg.cross", A((3,)), A((3,))),
    case("linalg.cross", _complex(3), _complex(3)),
    case("linalg.cross", A((2, 3)), A((3,))),
    case("linalg.cross", A((3, 1)), A((2, 3, 2)), axis=-2),
    case("linalg.cross", A((0, 3)), A((0, 3))),
    case("linalg.outer", A((2,)), A((3,))),
    case("linalg.outer", _complex(2), A((3,))),
    case("linalg.outer", A((0,)), A((3,))),
    case("linalg.diagonal", A((3, 3))),
    *[case("linalg.diagonal", A((2, 3)), offset=offset) for offset in (-2, -1, 0, 1, 2, 3)],
    *[case("linalg.diagonal", A((3, 2)), offset=offset) for offset in (-2, 1)],
    case("linalg.diagonal", A((2, 2, 3)), offset=1),
    case("linalg.diagonal", _complex(2, 2)),
    case("linalg.diagonal", A((0, 3))),
    case("linalg.trace", A((3, 3))),
    case("linalg.trace", _complex(2, 2)),
    case("linalg.trace", A((2, 3)), offset=1),
    case("linalg.trace", A((2, 3, 2)), offset=-1),
    case("linalg.trace", A((2, 2), dtype="float32"), dtype="float64", library=False),
    case("linalg.trace", A((0, 0))),
    *[case(f"linalg.{name}", A((2, 2)), A((2, 2))) for name in ("matmul", "vecdot")],
    case("linalg.tensordot", A((2, 2)), A((2, 2)), axes=1),
    case("linalg.matrix_transpose", A((2, 3))),
]

INVERSES = [
    *[
        case(f"linalg.{name}", x)
        for name in ("inv", "det")
        for x in (
            _apart(3, 3),
            _apart(3, 3, complex_=True),
            A((2, 2)),
            A((1, 1)),
            A((0, 0)),
            _apart(4, 4),
            _apart(2, 2, 2),
            A((0, 2, 2)),
        )
    ],
    case("linalg.det", _apart(2, 3, 3), label="batch of 3 by 3"),
    case("linalg.det", A((2, 2), values=[[1, 2], [2, 4]]), label="2 by 2 of rank 1"),
    case("linalg.det", A((2, 2), values=np.zeros((2, 2))), label="2 by 2 of rank 0"),
    *[
        case("linalg.det", A((4, 4), values=np.diag(values)), label=f"4 by 4 with diagonal {values}")
        # The identity has equal singular values, and the others have ranks 3, 2, 1 and 0.
        for values in ([1, 1, 1, 1], [1, 2, 0, 4], [0, 1, 0, 2], [0, 0, 3, 0], [0, 0, 0, 0])
    ],
    case("linalg.det", A((3, 3), values=np.ones((3, 3))), label="3 by 3 of ones"),
    case(
        "linalg.det",
        A((3, 3), dtype="complex128", values=np.outer([1, 1j, 2], [1 - 1j, 2, 1])),
        label="complex 3 by 3 of rank 1",
    ),
    case("linalg.solve", _apart(3, 3), A((3, 2))),
    case("linalg.solve", _apart(3, 3, complex_=True), _complex(3, 2)),
    case("linalg.solve", _apart(3, 3), A((3,))),
    case("linalg.solve", _apart(2, 3, 3), A((3,))),
    case("linalg.solve", _apart(2, 2, 2), A((2, 2))),
    case("linalg.solve", _apart(2, 2), A((2, 1, 2, 1))),
    case("linalg.solve", _apart(2, 2), _complex(2)),
    case("linalg.solve", A((1, 1)), A((1, 1))),
    case("linalg.solve", A((0, 0)), A((0, 2))),
    case("linalg.solve", np.eye(2) + 1, A((2, 2)), label="constant on the left"),
    case("linalg.solve", _apart(2, 2), np.ones((2, 2)), label="constant on the right"),
    *[
        case("linalg.matrix_power", x, call=lambda xp, x, n=n: xp.linalg.matrix_power(x, n), label=label)
        for n, x, label in (
            (3, _apart(2, 2), "3"),
            (2, _apart(2, 2, complex_=True), "2, complex"),
            (1, A((2, 2)), "1"),
            (5, _apart(2, 2), "5"),
            (-2, _apart(2, 2), "-2"),
            (-1, _apart(2, 2, 2), "-1, batched"),
            (3, A((0, 0)), "empty"),
        )
    ],
    # Its derivative is 0, and JAX's own is a zero of a kind that does not convert.
    case(
        "linalg.matrix_power",
        A((2, 2)),
        call=lambda xp, x: xp.linalg.matrix_power(x, 0) + x,
        label="0",
    ),
    *[
        case("linalg.pinv", x)
        for x in (
            _apart(3, 2),
            _apart(3, 2, complex_=True),
            _apart(2, 3),
            _apart(2, 2),
            _apart(2, 3, 2),
            A((1, 1)),
            A((0, 2)),
        )
    ],
    case("linalg.pinv", _apart(2, 3, complex_=True), label="complex and wide"),
    case("linalg.pinv", _apart(3, 2), rtol=1e-3),
    case(
        "linalg.pinv",
        A((2, 2), values=[[1, 1.25], [0.5, 2]]),
        A((2, 2), values=[[1, 0.25], [1.5, 2]]),
        np.array([[1.0, 0.5], [0.5, 0.25]]),
        call=lambda xp, a, b, one: xp.linalg.pinv(a @ one @ b),
        label="of rank 1",
        library=False,
    ),
    case(
        "linalg.matrix_rank",
        A((2, 2)),
        call=lambda xp, x: x * xp.astype(xp.linalg.matrix_rank(x), x.dtype),
        label="times x",
    ),
]

ORDERS: list[Any] = [2, 1, 3, 2.5, 0.5, 0, inf, -inf, -1, 1.5]

NORMS = [
    *[case("linalg.vector_norm", A((2, 3), "distinct"), ord=order) for order in ORDERS],
    *[case("linalg.vector_norm", _complex(2, 3), ord=order) for order in ORDERS],
    *[
        case("linalg.vector_norm", A((2, 3, 2), "distinct"), ord=order, **axes)
        for order in (2, 3, inf)
        for axes in ({"axis": 1}, {"axis": (0, -1)}, {"axis": -2, "keepdims": True}, {"keepdims": True})
    ],
    # Of single numbers it is the absolute value.
    *[case("linalg.vector_norm", A((3,)), ord=order, axis=(), library=False) for order in (2, 1, inf)],
    case("linalg.vector_norm", A(())),
    case("linalg.vector_norm", A((1,), "complex", "complex128")),
    case("linalg.vector_norm", A((0, 2)), axis=0),
    case("linalg.vector_norm", A((0, 2)), axis=1),
    case("linalg.vector_norm", A((3,), values=[0, 3, -4]), label="with a zero"),
    case("linalg.vector_norm", A((3,), values=[0, 3, -4]), label="of order 4 with a zero", ord=4),
    *[
        case("linalg.matrix_norm", x, ord=order)
        for order in ("fro", "nuc", 1, -1, 2, -2, inf, -inf)
        for x in (_apart(3, 2), _apart(2, 3, complex_=True), _apart(2, 2, 2), A((1, 1)))
    ],
    case("linalg.matrix_norm", A((2, 3)), ord=None, library=False),
    *[case("linalg.matrix_norm", _apart(3, 2), ord=order, keepdims=True) for order in ("fro", 1, 2)],
    *[case("linalg.matrix_norm", A((0, 2)), ord=order, library=False) for order in ("fro", "nuc", 1, 2, inf)],
]

# Factors. What is compared: the projections on the vectors, added up with these weights, and their entries'
# absolute values.

WEIGHTS = np.array([1.0, -2.5, 0.75, 1.5])


def _positive(*shape: int, complex_: bool = False) -> Argument:
    x = np.asarray(_apart(*shape, complex_=complex_).values)
    return A(shape, dtype=str(x.dtype), values=x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(shape[-1]))


def _weighted(xp: Any, left: Any, weights: Any, right: Any) -> Any:
    """``left @ diag(weights) @ right``."""
    return xp.matmul(left * xp.astype(weights[: left.shape[-1]], left.dtype), right)


def _adjoint(xp: Any, x: Any) -> Any:
    turned = xp.matrix_transpose(x)
    return xp.conj(turned) if xp.isdtype(x.dtype, "complex floating") else turned


def _hermitian(xp: Any, x: Any) -> Any:
    return (x + _adjoint(xp, x)) / 2


def _square(xp: Any, x: Any) -> Any:
    return xp.real(x) ** 2 + xp.imag(x) ** 2 if xp.isdtype(x.dtype, "complex floating") else x * x


def _projections(xp: Any, vectors: Any, weights: Any) -> tuple[Any, Any]:
    return _weighted(xp, vectors, weights, _adjoint(xp, vectors)), _square(xp, vectors)


def _eigh(xp: Any, x: Any, weights: Any) -> tuple[Any, ...]:
    values, vectors = xp.linalg.eigh(_hermitian(xp, x))
    return values, *_projections(xp, vectors, weights)


def _eigvals(xp: Any, values: Any) -> Any:
    """What does not depend on the order of eigenvalues, in which the libraries differ."""
    return xp.stack([xp.sum(values**power, axis=-1) for power in (1, 2, 3)])


def _eig(xp: Any, x: Any) -> tuple[Any, ...]:
    values, vectors = xp.linalg.eig(x)
    mapped = xp.matmul(vectors * xp.exp(values)[..., None, :], xp.linalg.inv(vectors))
    lengths = _square(xp, vectors) * xp.real(values)[..., None, :]
    return _eigvals(xp, values), mapped, xp.sum(lengths, axis=-1)


def _svd(full_matrices: bool) -> Callable[..., tuple[Any, ...]]:
    def fun(xp: Any, x: Any, weights: Any) -> tuple[Any, ...]:
        u, s, vh = xp.linalg.svd(x, full_matrices=full_matrices)
        k = s.shape[-1]
        left, right = u[..., :k], vh[..., :k, :]
        polar = _weighted(xp, left, weights, right)
        found = s, polar, *_projections(xp, left, weights), *_projections(xp, _adjoint(xp, right), weights)
        if not full_matrices or u.shape == vh.shape:
            return found
        extra = u[..., k:] if u.shape[-1] > k else _adjoint(xp, vh[..., k:, :])
        return *found, xp.matmul(extra, _adjoint(xp, extra))

    return fun


def _qr(mode: str) -> Callable[..., tuple[Any, ...]]:
    def fun(xp: Any, x: Any) -> tuple[Any, ...]:
        q, r = xp.linalg.qr(x, mode=mode)
        k = min(x.shape[-2:])
        if q.shape[-1] == k:
            return q, r
        return q[..., :k], r, xp.matmul(q[..., k:], _adjoint(xp, q[..., k:]))

    return fun


def _labelled(
    name: str, x: Argument, call: Callable[..., Any], *rest: Any, note: str = "", library: bool = True
) -> Case:
    """A case whose label says shape and dtype, which `case` itself says of calls without a function."""
    label = "".join(map(str, x.shape)) + (" complex" if x.dtype == "complex128" else "") + note
    return case(name, x, *rest, call=call, label=label, library=library)


SQUARES = [
    (shape, complex_)
    for complex_ in (False, True)
    for shape in ((3, 3), (2, 2), (1, 1), (0, 0), (2, 2, 2), (0, 2, 2))
]
RECTANGLES = [
    (shape, complex_)
    for complex_ in (False, True)
    for shape in ((3, 2), (2, 3), (3, 3), (4, 2), (2, 4), (1, 1), (2, 3, 2), (0, 2), (2, 0))
]

FACTORS = [
    *[
        _labelled(
            "linalg.cholesky",
            _positive(*shape, complex_=complex_),
            lambda xp, x, upper=upper: xp.linalg.cholesky(_hermitian(xp, x), upper=upper),
            note=" upper" if upper else "",
        )
        for shape, complex_ in SQUARES
        for upper in (False, True)
    ],
    *[
        _labelled("linalg.eigh", _apart(*shape, complex_=complex_), _eigh, WEIGHTS)
        for shape, complex_ in SQUARES
    ],
    *[_labelled("linalg.eig", _apart(*shape, complex_=complex_), _eig) for shape, complex_ in SQUARES],
    _labelled("linalg.eig", A((2, 2), values=[[0.5, 1], [-2, 1]]), _eig, note=" turning"),
    *[
        _labelled(
            "linalg.eigvalsh",
            _apart(*shape, complex_=complex_),
            lambda xp, x: xp.linalg.eigvalsh(_hermitian(xp, x)),
        )
        for shape, complex_ in SQUARES
    ],
    *[
        _labelled(
            "linalg.eigvals",
            _apart(*shape, complex_=complex_),
            lambda xp, x: _eigvals(xp, xp.linalg.eigvals(x)),
        )
        for shape, complex_ in SQUARES
    ],
    *[
        _labelled(
            "linalg.qr",
            _apart(*shape, complex_=complex_),
            _qr(mode),
            note=f" {mode}",
            # What completes a basis has no derivative in PyTorch and JAX.
            library=mode == "reduced" or shape[-2] <= shape[-1],
        )
        for shape, complex_ in RECTANGLES
        for mode in ("reduced", "complete")
    ],
    *[
        _labelled(
            "linalg.svd",
            _apart(*shape, complex_=complex_),
            _svd(full),
            WEIGHTS,
            note=" full" if full else "",
            library=not full or shape[-2] == shape[-1],
        )
        for shape, complex_ in RECTANGLES
        for full in (False, True)
    ],
    *[
        _labelled("linalg.svdvals", _apart(*shape, complex_=complex_), lambda xp, x: xp.linalg.svdvals(x))
        for shape, complex_ in RECTANGLES
    ],
    *[
        _labelled(
            "linalg.slogdet",
            _apart(*shape, complex_=complex_),
            (lambda xp, x: xp.linalg.slogdet(x)) if complex_ else (lambda xp, x: xp.linalg.slogdet(x)[1]),
        )
        for shape, complex_ in SQUARES
    ],
    _labelled(
        "linalg.slogdet", A((2, 2)), lambda xp, x: xp.prod(xp.stack(xp.linalg.slogdet(x))), note=" both"
    ),
]

CASES: list[Case] = [*PRODUCTS, *INVERSES, *NORMS, *FACTORS]
