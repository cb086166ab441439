"""The table of cases that every check of a derivative reads; one file per part of the namespace."""

from .assignment import CASES as _ASSIGNMENT
from .case import Argument, Case, moving
from .convolution import CASES as _CONVOLUTION
from .elementwise import CASES as _ELEMENTWISE
from .extras import CASES as _EXTRAS
from .fft import CASES as _FFT
from .linalg import CASES as _LINALG
from .reductions import CASES as _REDUCTIONS
from .shapes import CASES as _SHAPES
from .special import CASES as _SPECIAL
from .stops import STOPS

__all__ = ["CASES", "STOPS", "Argument", "Case", "moving"]

CASES: list[Case] = [
    *_ELEMENTWISE,
    *_REDUCTIONS,
    *_SHAPES,
    *_ASSIGNMENT,
    *_LINALG,
    *_FFT,
    *_SPECIAL,
    *_EXTRAS,
    *_CONVOLUTION,
]
"""Every case; the first one of each function is its plainest."""
