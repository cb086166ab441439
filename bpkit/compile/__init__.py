"""From a recorded program to straight-line code of the library."""

from bpkit.compile.cost import Cost, cost_of
from bpkit.compile.drawing import Graph
from bpkit.compile.emit import Compiled, compile_program
from bpkit.compile.simplify import simplify

__all__ = ["Compiled", "Cost", "Graph", "compile_program", "cost_of", "simplify"]
