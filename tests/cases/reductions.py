"""Cases of what sums, compares and multiplies along axes, of sorting, and of the matrix product."""

from typing import Any

import numpy as np

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
Z = A((2, 3), "complex", "complex128")

AXES: list[dict[str, Any]] = [
    {"axis": 0},
    {"axis": None},
    {"axis": -1},
    {"axis": (0, 1)},
    {"axis": -2, "keepdims": True},
    {"axis": None, "keepdims": True},
]


def _reduction(name: str, domain: str, takes_complex: bool) -> list[Case]:
    cases = [case(name, A((2, 3), domain), **axes) for axes in AXES]
    cases += [
        case(name, A((2, 3, 2), domain), axis=(0, -1)),
        case(name, A((2, 3, 2), domain), axis=(2, 0), keepdims=True),
        case(name, A((3, 1), domain), axis=-2),
        # Over no axes, for which torch has no derivative of some.
        case(name, A((2, 3), domain), axis=(), library=False),
        case(name, A((0, 3), domain), axis=1),
    ]
    if takes_complex:
        cases += [case(name, Z), case(name, Z, axis=0)]
    return cases


REDUCTIONS = [
    *_reduction("sum", "real", True),
    *_reduction("mean", "real", True),
    *_reduction("prod", "real", True),
    *_reduction("max", "distinct", False),
    *_reduction("min", "distinct", False),
    *[c for c in _reduction("var", "real", False) if "(03)" not in c.label],
    # Of a single number the standard deviation is 0, at a kink.
    *[c for c in _reduction("std", "real", False) if "(03)" not in c.label and "axis=()" not in c.label],
    *_reduction("logsumexp", "real", False),
    *[case(name, A(())) for name in ("sum", "mean", "prod", "max", "min", "var", "logsumexp")],
    *[case(name, A((0, 3)), axis=0) for name in ("sum", "prod")],
    *[
        case(name, A((2, 3)), axis=1, correction=correction)
        for name in ("var", "std")
        for correction in (1, 0.5)
    ],
    *[case("prod", A((length,))) for length in (1, 2, 4, 5, 7)],
    case("sum", A((2, 3), dtype="float32"), axis=0, dtype="float64", library=False),
    case("prod", A((2, 3), dtype="float32"), axis=0, dtype="float64", library=False),
    case("cumulative_sum", A((4,))),
    case("cumulative_sum", A((2, 3)), axis=0),
    case("cumulative_sum", A((2, 3)), axis=-1),
    case("cumulative_sum", A((2, 3)), axis=1, include_initial=True),
    case("cumulative_sum", A((3,)), include_initial=True),
    case("cumulative_sum", A((0, 3)), axis=0),
    case("cumulative_sum", Z, axis=1),
    case("cumulative_sum", A((3,), dtype="float32"), dtype="float64", library=False),
    case("cumulative_prod", A((4,))),
    *[case("cumulative_prod", A((length,))) for length in (1, 2, 5, 7, 8)],
    *[case("cumulative_prod", A((3, 2, 3)), axis=axis) for axis in (0, 1, -1)],
    case("cumulative_prod", A((2, 3)), axis=-2, include_initial=True),
    case("cumulative_prod", A((3,)), include_initial=True),
    case("cumulative_prod", A((0, 3)), axis=0),
    case("cumulative_prod", A((0,)), include_initial=True),
    case("cumulative_prod", Z, axis=1),
    case("cumulative_prod", A((5,), values=[0.5, 0.0, 2.0, -1.5, 3.0]), label="one zero"),
    case("cumulative_prod", A((5,), values=[0.5, 0.0, 2.0, 0.0, 3.0]), label="two zeros"),
    case("cumulative_prod", A((3,), dtype="float32"), dtype="float64", library=False),
    *[
        case(name, A((2, 3)), axis=1, dtype="complex128", library=False)
        for name in ("sum", "prod", "cumulative_sum", "cumulative_prod")
    ],
    case("std", Z, axis=1, not_on=("array_api_strict",)),
    case("var", Z, axis=0, correction=1, not_on=("array_api_strict",)),
    case("diff", A((4,))),
    case("diff", A((2, 3)), axis=0),
    case("diff", A((2, 4)), n=2),
    case("diff", A((2, 3)), n=0),
    case("diff", A((2, 3)), n=5),
    case("diff", A((1, 3)), axis=0),
    case("diff", Z, axis=-1),
    case(
        "diff",
        A((2, 3)),
        A((2, 1)),
        A((2, 2)),
        call=lambda xp, x, y, z: xp.diff(x, prepend=y, append=z),
        label="with more at the ends",
    ),
    case(
        "diff",
        A((2, 3), dtype="float32"),
        A((1, 3)),
        call=lambda xp, x, y: xp.diff(x, axis=-2, n=2, append=y),
        label="mixed dtypes",
    ),
]

ALONG = [
    case(name, A((2, 3)), **static)
    for name in ("softmax", "log_softmax")
    for static in ({}, {"axis": 0}, {"axis": -2})
] + [
    case(name, A(shape)) for name in ("softmax", "log_softmax") for shape in ((3,), (2, 1), (0, 3), (2, 3, 2))
]

SORTING = [
    case("sort", A((5,), "distinct")),
    case("sort", A((2, 3), "distinct")),
    case("sort", A((2, 3), "distinct"), axis=0),
    case("sort", A((2, 3), "distinct"), axis=-2, descending=True),
    case("sort", A((2, 3, 2), "distinct"), axis=1, descending=True),
    case("sort", A((5,), "distinct"), stable=False),
    case("sort", A((0, 3)), axis=0),
]

MATMUL_SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 2, 3), (3, 4)),
    ((2, 3), (2, 3, 4)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((1, 2, 3), (2, 3, 2)),
    ((3,), (2, 3, 4)),
    ((2, 2, 3), (3,)),
    ((1, 1), (1, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 2, 0), (0, 3)),
    ((0,), (0,)),
    ((0, 2, 3), (3, 2)),
    ((2, 3), (0, 3, 2)),
]

PRODUCTS = [
    *[case("matmul", A(one), A(other)) for one, other in MATMUL_SHAPES],
    case("matmul", Z, A((3, 2), "complex", "complex128")),
    case("matmul", Z, A((3, 2))),
    case("matmul", A((3,)), Z, call=lambda xp, x, z: xp.matmul(z, x), label="complex by real vector"),
    case("matmul", A((2, 3), dtype="float32"), A((3, 2))),
    case("matmul", A((2, 3)), np.ones((3, 2)), label="constant on the right"),
    case("matmul", np.ones((2, 3)), A((3, 2)), label="constant on the left"),
    case("matmul", A((2, 3)), A((3, 2)), call=lambda xp, x, y: x @ y, label="x @ y"),
    case(
        "matmul",
        np.ones((2, 3)),
        A((3,)),
        call=lambda xp, x, y: x @ y,
        label="raw @ x",
        not_on=("array_api_strict",),
    ),
    case("matmul", A((2, 2)), call=lambda xp, x: x @ x.mT @ x, label="with itself"),
    case("tensordot", A((2, 3)), A((3, 4)), axes=1),
    case("tensordot", A((2, 3)), A((2, 3))),
    case("tensordot", A((2,)), A((3,)), axes=0),
    case("tensordot", A((2, 3, 2)), A((3, 2, 2)), axes=((1, 0), (0, -1))),
    case("tensordot", A((0, 3)), A((3, 2)), axes=1),
    case("tensordot", Z, Z, axes=2),
    case("vecdot", A((2, 3)), A((2, 3))),
    case("vecdot", A((2, 3)), A((2, 1)), axis=0),
    case("vecdot", A((2, 1, 3)), A((3,))),
    case("vecdot", A((3,)), A((3,))),
    case("vecdot", A((0,)), A((0,))),
    case("vecdot", Z, Z),
    case("vecdot", Z, A((2, 3))),
]

CASES: list[Case] = [*REDUCTIONS, *ALONG, *SORTING, *PRODUCTS]
