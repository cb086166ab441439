"""Cases of what networks need and the standard lacks."""

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
Z = A((2, 3), "complex", "complex128")

PADDING = [
    case(
        "pad",
        A((3,)),
        A(()),
        label="a number",
        call=lambda xp, x, v: xp.pad(x, (2, 1), constant_values=v),
        library=False,
    ),
    case("pad", A((2, 3)), 1, library=False),
    case("pad", A((2, 3)), ((0, 2), (1, 0)), library=False),
    case("pad", A((2, 3)), ((0, 0), (2, 1)), constant_values=2.5, library=False),
    case("pad", A((2, 3)), {-1: (1, 2)}, library=False),
    case("pad", A((2, 1, 2)), ((1, 1),), library=False),
    case("pad", A(()), 2, library=False),
    case("pad", A((0, 2)), (1, 0), library=False),
    case("pad", Z, (0, 1), library=False),
    case("pad", A((2, 3)), 0, library=False),
    case(
        "pad",
        Z,
        A(()),
        label="a real number",
        call=lambda xp, z, v: xp.pad(z, 1, constant_values=v),
        library=False,
    ),
    case(
        "pad",
        A((2, 2)),
        A(()),
        label="corners",
        call=lambda xp, x, v: xp.pad(x, 1, constant_values=v),
        library=False,
    ),
    *[
        case("pad", A(shape), width, mode=mode, library=False)
        for mode in ("edge", "reflect", "symmetric", "wrap")
        for shape, width in (
            ((3,), (1, 2)),
            ((2, 3), ((3, 0), (1, 7))),
            ((1,), 2),
            ((0, 2), ((0, 0), (1, 1))),
        )
    ],
    case("pad", Z, 1, mode="reflect", library=False),
]

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
]

CASES: list[Case] = [*PADDING, *WINDOWS]
