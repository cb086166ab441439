"""Code that runs a program: planned by `bpkit.compile.plan`, written by `bpkit.compile.write`."""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple

from bpkit._protocol import Backend
from bpkit.compile.fuse import fuse
from bpkit.compile.inline import inline
from bpkit.compile.layout import put_off_permutations
from bpkit.compile.plan import plan
from bpkit.compile.products import add_products
from bpkit.compile.simplify import simplify
from bpkit.compile.write import copy_of, write
from bpkit.kinds import is_mutable
from bpkit.record import Program, Slot

__all__ = ["Compiled", "compile_program"]


class Compiled(NamedTuple):
    """A program in code.

    Attributes
    ----------
    source : str
        Python, one line for each step.
    run : callable
        Takes the values of the inputs, returns a tuple of those of the outputs. Only one thread may run it at
        a time.
    arena_bytes : int
        Memory that it holds between calls.
    overwritten : tuple of int
        Inputs that it writes over: no other input may share memory with one.
    """

    source: str
    run: Callable[..., tuple[Any, ...]]
    arena_bytes: int
    overwritten: tuple[int, ...]


def compile_program(program: Program, backend: Backend, donated: Sequence[int] = ()) -> Compiled:
    """Straight-line code for a program on one library.

    Parameters
    ----------
    program : Program
    backend : Backend
    donated : sequence of int
        Inputs into whose memory results may be written.
    """
    program = simplify(put_off_permutations(simplify(inline(program, backend))))
    program = simplify(add_products(program, backend))
    depends = [isinstance(x, Slot) for x in program.outputs]
    rest = Program(program.inputs, program.steps, list(compress(program.outputs, depends)))
    planned = plan(fuse(rest, backend), backend, donated)
    source, scope = write(planned, backend)
    exec(compile(source, "<bpkit.jit>", "exec"), scope)
    run = backend.compiled(scope["program"], tuple(donated), program.inputs)
    if not all(depends):
        run = _with_constants(run, program.outputs, copy_of(backend))
    overwritten = tuple([program.inputs.index(x) for x in planned.donated.values()])
    return Compiled(source, run, planned.arena_bytes, overwritten)


def _with_constants(
    run: Callable[..., tuple[Any, ...]], outputs: Sequence[Any], copy: Callable[[Any], Any]
) -> Callable[..., tuple[Any, ...]]:
    """A function that returns what depends on no input too, as it is; a compiler would make arrays of it."""
    changes = [hasattr(x, "shape") and not isinstance(x, Slot) and is_mutable(x) for x in outputs]

    def whole(*given: Any) -> tuple[Any, ...]:
        found = iter(run(*given))
        return tuple(
            [
                next(found) if isinstance(x, Slot) else copy(x) if may_change else x
                for x, may_change in zip(outputs, changes, strict=True)
            ]
        )

    return whole
