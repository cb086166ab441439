"""Cases of convolutions, of the windows that they are made of, and of pooling."""

from typing import Any

import numpy as np

from bpkit.sliding import Sliding, Windows
from bpkit.trace import call

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
Z = A((2, 3), "complex", "complex128")

WINDOWS = [
    case("sliding_window_view", A((5,)), 2, library=False),
    case("sliding_window_view", A((5,)), 5, library=False),
    case("sliding_window_view", A((3, 4)), (2, 3), library=False),
    case("sliding_window_view", A((3, 4)), 3, axis=-1, library=False),
    case("sliding_window_view", A((3, 4, 2)), (2, 2), axis=(1, 0), library=False),
    case("sliding_window_view", A((5,)), (2, 3), axis=(0, 0), library=False),
    case("sliding_window_view", A((2, 3)), (), axis=(), library=False),
    case("sliding_window_view", A((0, 3)), 2, axis=1, library=False),
    case("sliding_window_view", A((3,)), 0, axis=0, library=False),
    case("sliding_window_view", Z, 2, axis=1, library=False),
    case("sliding_window_view", A((7, 2)), 2, axis=0, stride=3, dilation=2, library=False),
    case("sliding_window_view", A((5, 6)), (2, 3), stride=(2, 1), dilation=(1, 2), library=False),
]


def _inner(name: str, *arguments: Any, label: str, **static: Any) -> Case:
    """A function that only rules use."""
    return case(
        name,
        *arguments,
        label=label,
        call=lambda xp, *values: call(name, *values, **static),
        library=False,
    )


def _of(name: str, *shapes: tuple[int, ...], **static: Any) -> Case:
    label = " ".join(map(str, (*shapes, *[f"{key}={value}" for key, value in static.items()])))
    return case(
        name,
        *[A(shape) for shape in shapes],
        label=label,
        call=lambda xp, x, w: getattr(xp, name)(x, w, **static),
        library=False,
    )


CONVOLUTIONS = [
    _of("conv", (2, 3, 5), (2, 3, 2)),
    _of("conv", (1, 2, 6), (2, 1, 3), stride=2, padding=1, dilation=2, groups=2),
    _of("conv", (2, 1, 4), (1, 1, 4), padding="same"),
    _of("conv", (1, 2, 4, 5), (3, 2, 2, 3)),
    _of("conv", (1, 2, 5, 4), (2, 1, 3, 2), stride=(2, 1), padding=((0, 2), (1, 0)), groups=2),
    _of("conv", (1, 1, 6, 3), (1, 1, 2, 2), padding=(2, 1), stride=(3, 2), dilation=(2, 1)),
    _of("conv", (1, 1, 2, 3, 2), (1, 1, 2, 2, 1)),
    _of("conv", (1, 1, 2, 1, 3, 2), (1, 1, 2, 1, 2, 1)),
    _of("conv", (0, 2, 3), (1, 2, 2)),
    case("conv", A((1, 1, 3), "complex", "complex128"), A((1, 1, 2), "complex", "complex128"), library=False),
    _of("conv_transpose", (2, 2, 3), (2, 3, 2)),
    _of("conv_transpose", (1, 2, 3), (2, 1, 3), stride=2, padding=1, output_padding=1, groups=2),
    _of("conv_transpose", (1, 1, 2), (1, 1, 2), stride=2, output_padding=3, dilation=4),
    _of("conv_transpose", (1, 2, 2, 3), (2, 2, 3, 2), stride=(1, 2), padding=((1, 0), (0, 1))),
    _inner(
        "conv_kernel",
        A((2, 2, 7)),
        A((2, 2, 3)),
        label="two groups",
        sliding=Sliding((2,), (1,), (1,), 2),
        window=(3,),
    ),
    _inner(
        "conv_kernel",
        A((1, 2, 3, 4)),
        A((1, 1, 2, 2)),
        label="two axes",
        sliding=Sliding((1, 1), (0, 0), (1, 2), 1),
        window=(2, 2),
    ),
]

OVERLAPPING = Windows((1,), (3,), (2,), (1,))
APART = Windows((0, 2), (2, 2), (2, 2), (1, 1))
PIECES = [
    _inner("windows", A((2, 6)), label="overlapping", moving=OVERLAPPING, places=(2,), at=0),
    _inner("windows", A((5, 2, 4)), label="apart", moving=APART, places=(2, 2), at=2),
    _inner("add_windows", A((3, 2, 2)), label="overlapping", moving=OVERLAPPING, lengths=(6,), at=0),
    _inner("add_windows", A((2, 1, 2, 2, 2)), label="apart", moving=APART, lengths=(4, 5), at=2),
]

D = "distinct"
# Where several are equal, the first has won.
EQUAL = np.asarray([[1.0, 1.0, 0.5, 0.5, 3.0], [1.0, 1.0, 2.0, 2.0, 3.0]])
LARGEST = np.asarray([[1.0, 2.0]])
PAIRS = Windows((0, 1), (2, 2), (2, 2), (1, 1))
LARGEST_IN_REACH = np.asarray([[1.0, 1.0, 3.0], [2.0, 2.0, 3.0]])
REACHING = Windows((1,), (3,), (1,), (1,))
POOLING = [
    case("max_pool", A((4, 6), D), 2, library=False),
    case("max_pool", A((4, 6), D), (2, 3), library=False),
    case("max_pool", A((7, 2), D), 3, axis=0, stride=2, library=False),
    case("max_pool", A((2, 8), D), 3, stride=1, dilation=2, library=False),
    case("max_pool", A((3, 5), D), (1, 1), library=False),
    case("max_pool", A((0, 4), D), 2, library=False),
    _inner("winners", A((2, 5)), EQUAL, LARGEST, label="apart", moving=PAIRS),
    _inner("winners", A((2, 5)), EQUAL, LARGEST_IN_REACH, label="overlapping", moving=REACHING),
    _inner("add_to_winners", A((1, 2)), EQUAL, LARGEST, label="apart", moving=PAIRS),
    _inner("add_to_winners", A((2, 3)), EQUAL, LARGEST_IN_REACH, label="overlapping", moving=REACHING),
]
CASES: list[Case] = [*WINDOWS, *CONVOLUTIONS, *PIECES, *POOLING]
