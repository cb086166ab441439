"""Cases of xp.fft."""

from typing import Any

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
NORMS = ("ortho", "forward")
# PyTorch's own transform refuses arrays without elements: https://github.com/pytorch/pytorch/issues/174984
NOT_EMPTY = ("torch",)


def _z(*shape: int) -> Argument:
    return A(shape, "complex", "complex128")


def _of_one_axis(name: str, argument: Any) -> list[Case]:
    """A transform along one axis: odd and even lengths, cut off and filled up, all axes and norms."""
    lengths = [case(name, argument(4), n=n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9)]
    return [
        case(name, argument(4)),
        case(name, argument(5)),
        *lengths,
        case(name, argument(1), n=1),
        *[case(name, argument(4), norm=norm) for norm in NORMS],
        *[case(name, argument(3), n=7, norm=norm) for norm in NORMS],
        case(name, argument(3, 2), axis=0),
        case(name, argument(2, 3), n=4, axis=-1, norm="backward"),
        case(name, argument(2, 3, 2), n=2, axis=1),
        case(name, argument(2, 3, 2), n=5, axis=-2, norm="ortho"),
        case(name, argument(0, 3), not_on=NOT_EMPTY),
    ]


def _of_several_axes(name: str, argument: Any) -> list[Case]:
    """A transform along several axes, in this order and in others."""
    return [
        case(name, argument(3, 4)),
        case(name, argument(4)),
        case(name, argument(2, 3, 2)),
        case(name, argument(2, 3), axes=(0, 1)),
        case(name, argument(3, 2, 3), axes=(-1, 0)),
        case(name, argument(3, 2), axes=(-2,)),
        *[case(name, argument(3, 2), axes=(1, 0), norm=norm) for norm in NORMS],
        case(name, argument(2, 3), s=(3, 5), axes=(0, 1)),
        case(name, argument(3, 4), s=(2, 3), axes=(0, 1)),
        case(name, argument(3, 4), s=(5, 2), axes=(0, 1), norm="forward"),
        case(name, argument(3, 2, 3), s=(4, 2), axes=(2, 0), norm="ortho"),
        case(name, argument(2, 2, 3), s=(3, 4), axes=(1, 2)),
        case(name, argument(0, 3, 2), axes=(1, 2), not_on=NOT_EMPTY),
    ]


REAL_INPUT = [
    case(f"fft.{name}", A((4,)), label="real input", library=library, not_on=("array_api_strict",), **static)
    for name, library, static in (
        ("fft", True, {"n": 5}),
        ("ifft", True, {}),
        ("irfft", False, {"n": 5}),
        ("hfft", False, {}),
    )
]
"""What the standard leaves open, and all libraries but the strict one take."""

SHIFTS = [
    case(f"fft.{name}", argument, **axes)
    for name in ("fftshift", "ifftshift")
    for argument, axes in (
        (A((5,)), {}),
        (_z(4), {}),
        (A((2, 3)), {}),
        (A((2, 3)), {"axes": 1}),
        (A((2, 3)), {"axes": (0,)}),
        (A((3, 3, 2)), {"axes": (0, -2)}),
        (A((0, 3)), {}),
    )
] + [case(f"fft.{name}", A(()), library=False) for name in ("fftshift", "ifftshift")]

CASES: list[Case] = [
    *[c for name in ("fft", "ifft", "irfft", "hfft") for c in _of_one_axis(f"fft.{name}", _z)],
    *[c for name in ("rfft", "ihfft") for c in _of_one_axis(f"fft.{name}", lambda *shape: A(shape))],
    *[c for name in ("fftn", "ifftn", "irfftn") for c in _of_several_axes(f"fft.{name}", _z)],
    *_of_several_axes("fft.rfftn", lambda *shape: A(shape)),
    case("fft.fftn", _z(2, 3), axes=()),
    *REAL_INPUT,
    *SHIFTS,
]
