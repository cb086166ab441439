"""What was recorded for one kind of arguments, and how it is run."""

from collections.abc import Callable, Sequence
from typing import Any

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.compile import Compiled, compile_program
from bpkit.derivative import private
from bpkit.kinds import returns_scalars
from bpkit.record import Program
from bpkit.transforms.arguments import is_array
from bpkit.tree_code import packer
from bpkit.views import changes_another_argument

__all__ = ["Recorded"]


class Recorded:
    """What was recorded for one kind of arguments; several threads may call it.

    Attributes
    ----------
    given : callable
        ``(args, kwargs) -> list or None``: the arrays among arguments of this kind.
    program : Program
    names : list of str
        Of the arrays.
    places : list of int
        Of the arrays among the leaves.

    Parameters
    ----------
    given, program, names, places
        The attributes.
    backend : Backend
    arrangement : Structure
        Of the result.
    donated : list of int
        Which arrays may be written over.
    apart : dict
        Pairs of arrays that must not share memory, and the write for which they must not.
    values : list
        The leaves of the result.
    """

    def __init__(
        self,
        given: Callable[[tuple[Any, ...], dict[str, Any]], list[Any] | None],
        program: Program,
        names: list[str],
        backend: Backend,
        arrangement: tree.Structure,
        places: list[int],
        donated: list[int],
        apart: dict[tuple[int, int], str],
        values: list[Any],
    ) -> None:
        self.given = given
        self.program = program
        self.names = names
        self.places = places
        self._backend = backend
        self._pack = packer(arrangement)
        self._donated = donated
        self._apart = [(i, j, what) for (i, j), what in apart.items()]
        # What is done at once may give a scalar where the recorded run gave an array, and the reverse.
        self._without_axes = [
            (i, hasattr(x, "__setitem__"))
            for i, x in enumerate(values)
            if is_array(x) and x.shape == () and returns_scalars(backend)
        ]
        self._idle: list[Compiled] = []
        self._idle.append(self._take())

    def _take(self) -> Compiled:
        """Code that no other thread is running."""
        try:
            return self._idle.pop()
        except IndexError:
            return compile_program(self.program, self._backend, self._donated)

    def code(self) -> Compiled:
        """The code, to look at."""
        code = self._take()
        self._idle.append(code)
        return code

    def __call__(self, arrays: list[Any]) -> Any:
        """The result for these arrays."""
        backend = self._backend
        for i, j, what in self._apart:
            if backend.shares_memory(arrays[i], arrays[j]):
                raise changes_another_argument(what)
        code = self._take()
        if code.overwritten:
            for i in backend.exposed(arrays, code.overwritten):
                arrays[i] = private(arrays[i])
        with backend.quiet():
            found: Sequence[Any] = code.run(*arrays)
        self._idle.append(code)
        if self._without_axes:
            found = list(found)
            for i, changes in self._without_axes:
                x = found[i]
                if hasattr(x, "__setitem__") is not changes:
                    found[i] = backend.xp.asarray(x) if changes else x[()]
        return self._pack(*found)
