"""Cases of xp.fft."""

from .case import Case

__all__ = ["CASES"]

CASES: list[Case] = []
