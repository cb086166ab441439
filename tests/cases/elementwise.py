"""Cases of the element-wise functions."""

from typing import Any

import numpy as np

from bpkit import namespace
from bpkit._protocol import Capability
from bpkit.rules.cotangents import annihilating_product, cotangent_as
from bpkit.testing.functions import BINARY, UNARY

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument


def _unary(name: str, domain: str, takes_complex: bool) -> list[Case]:
    cases = [case(name, A((3,), domain)), case(name, A((), domain)), case(name, A((0, 2), domain))]
    if takes_complex:
        cases += [case(name, A((3,), "complex", "complex128")), case(name, A((), "complex", "complex128"))]
    return cases


def _binary(name: str, first: str, second: str, takes_complex: bool, symbol: Any) -> list[Case]:
    def pair(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[Argument, Argument]:
        return A(one, first), A(other, second)

    constant = np.asarray([0.7, 1.9, 2.3])
    cases = [
        case(name, *pair((3,), (3,))),
        case(name, *pair((2, 1), (1, 3))),
        case(name, *pair((2, 3), (3,))),
        case(name, *pair((3,), (2, 3))),
        case(name, *pair((), (2, 3))),
        case(name, *pair((2, 3), ())),
        case(name, *pair((), ())),
        case(name, *pair((2, 3), (1, 1))),
        case(name, *pair((1,), (0,))),
        case(name, *pair((0, 3), (2, 1, 3))),
        case(name, A((3,), first), 1.7),
        case(name, 1.7, A((3,), second)),
        case(name, A((3,), first), constant),
        case(name, constant, A((3,), second)),
        case(name, A((3,), first, "float32"), A((3,), second)),
        case(name, A((3,), first), A((), second, "float32")),
    ]
    if takes_complex:
        z = A((3,), "complex", "complex128")
        cases += [
            case(name, z, z),
            case(name, z, A((2, 3), second)),
            case(name, A((3,), first), z),
            case(name, z, 1.7),
            case(name, z, 0.5 + 1.5j),
            case(name, 0.5 + 1.5j, z),
        ]
    if symbol is not None:
        cases += [
            case(name, *pair((3,), (3,)), call=lambda xp, x, y: symbol(x, y), label="x . y"),
            case(name, A((3,), first), 1.7, call=lambda xp, x, y: symbol(x, y), label="x . scalar"),
            case(name, 1.7, A((3,), second), call=lambda xp, x, y: symbol(x, y), label="scalar . x"),
            case(name, A((3,), first), constant, call=lambda xp, x, y: symbol(x, y), label="x . raw"),
            case(
                name,
                constant,
                A((3,), second),
                call=lambda xp, x, y: symbol(x, y),
                label="raw . x",
                not_on=REFUSES_RAW,
            ),
        ]
    return cases


# array-api-strict raises where an operator meets an operand it does not know, before that one is asked.
REFUSES_RAW = ("array_api_strict",)
INTEGERS = np.asarray([3, -2, 4])
NO_MIXED_KINDS = ("array_api_strict",)

POWERS = [
    *[
        case("pow", A((3,)), exponent, call=lambda xp, x, n: x**n, label=f"x**{exponent}")
        for exponent in (2, 3, 1, 0, -1, -2)
    ],
    *[
        case("pow", A((3,), "positive"), exponent, call=lambda xp, x, n: x**n, label=f"x**{exponent!r}")
        for exponent in (0.5, -1.5, 2.0)
    ],
    case("pow", A((3,)), np.asarray([0.0, 1.0, 2.0]), label="real base, whole exponents"),
    case("pow", A((3,)), np.asarray([0, 1, 3]), label="integer array as exponent", not_on=NO_MIXED_KINDS),
    case("pow", np.asarray([1, 2, 3]), A((3,)), label="integer array as base", not_on=NO_MIXED_KINDS),
]

INTEGER_OPERANDS = [
    case(name, A((3,)), INTEGERS, label="integer array on the right", not_on=NO_MIXED_KINDS)
    for name in ("add", "divide", "multiply", "subtract", "maximum", "hypot", "atan2")
] + [
    case(name, INTEGERS, A((3,)), label="integer array on the left", not_on=NO_MIXED_KINDS)
    for name in ("divide", "multiply", "subtract", "minimum", "hypot", "atan2")
]

LOW, HIGH = np.asarray([-1.1, -0.2, 0.5]), np.asarray([0.9, 1.2, 1.4])
MASK = np.asarray([[True, False, True], [False, False, True]])

CHOICES = [
    case("clip", A((2, 3)), -1.25, 0.75),
    case("clip", A((2, 3)), -1.0, None),
    case("clip", A((2, 3)), None, 1.0),
    case("clip", A((2, 3)), None, None, library=False),
    case("clip", A((2, 3)), LOW, HIGH),
    case("clip", A((2, 3)), A((3,), values=LOW), A((3,), values=HIGH), label="bounds too"),
    case("clip", A((2, 3)), A((), values=-0.5), None, label="lower bound too"),
    case("clip", A((2, 3)), None, A((2, 1), values=[[0.1], [-0.2]]), label="upper bound too"),
    case("where", MASK, A((2, 3)), A((2, 3)), label="both"),
    case("where", MASK, A((3,)), A((2, 1)), label="broadcast"),
    case("where", MASK, A(()), A((1, 3)), label="broadcast more"),
    case("where", MASK, A((2, 3)), 0.5, label="scalar on the right"),
    case("where", MASK, 0.5, A((2, 3)), label="scalar on the left"),
    case("where", MASK[0], A((2, 3)), np.ones((2, 3)), label="constant"),
    case("where", MASK, A((2, 3), dtype="float32"), A((2, 3)), label="float32 and float64"),
    case("where", MASK, A((3,), "complex", "complex128"), A((2, 3)), label="complex and real"),
    case("where", A((2, 3)), call=lambda xp, x: xp.where(x > 0.0, x * x, -x), label="traced condition"),
    case("where", np.zeros((0, 3), dtype=bool), A((3,)), A((0, 3)), label="empty"),
    case("imag", A((3,), "complex", "complex128")),
    case("imag", A((), "complex", "complex128")),
]

OPERATORS = [
    case("negative", A((3,)), call=lambda xp, x: -x, label="-x"),
    case("positive", A((3,)), call=lambda xp, x: +x, label="+x"),
    case("abs", A((3,)), call=lambda xp, x: abs(x), label="abs(x)"),
]

# What derivatives are made of; it has a rule because derivatives are differentiated again.
INTERNAL = [
    case(
        "annihilating_product",
        A((3,)),
        A((2, 3)),
        call=lambda xp, x, y: annihilating_product(x, y),
        label="finite",
        library=False,
    ),
    case(
        "annihilating_product",
        A((3,), "complex", "complex128"),
        A((2, 3)),
        call=lambda xp, x, y: annihilating_product(x, y),
        label="complex",
        library=False,
    ),
    case(
        "cotangent_as",
        A((3,)),
        call=lambda xp, x: cotangent_as(x, namespace.dtype_of("float32", like=x)),
        label="narrower",
        library=False,
    ),
    case(
        "cotangent_as",
        A((3,), "complex", "complex128"),
        call=lambda xp, x: cotangent_as(x, namespace.dtype_of("float64", like=x)),
        label="real part",
        library=False,
        needs=(Capability.FLOAT64,),
    ),
    case(
        "cotangent_as",
        A((3,)),
        call=lambda xp, x: cotangent_as(x, namespace.dtype_of("complex128", like=x)),
        label="complex",
        library=False,
        needs=(Capability.FLOAT64,),
    ),
]

CASES: list[Case] = [
    *[c for row in UNARY for c in _unary(*row)],
    *[c for row in BINARY for c in _binary(*row)],
    *POWERS,
    *INTEGER_OPERANDS,
    *CHOICES,
    *OPERATORS,
    *INTERNAL,
]
