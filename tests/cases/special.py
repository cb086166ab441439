"""Cases of xp.special."""

from .case import Case

__all__ = ["CASES"]

CASES: list[Case] = []
