"""From a recorded program to straight-line code of the library."""

from bpkit.compile.emit import Compiled, compile_program
from bpkit.compile.simplify import simplify

__all__ = ["Compiled", "compile_program", "simplify"]
