"""Cases of xp.linalg."""

from .case import Case

__all__ = ["CASES"]

CASES: list[Case] = []
