"""Functions that are recorded once and run as straight-line code of their library from then on."""

from collections.abc import Callable
from functools import update_wrapper
from threading import Lock
from typing import Any

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.compile import Compiled, compile_program, simplify
from bpkit.errors import ArgumentError
from bpkit.kinds import raw
from bpkit.record import Program, Recorder
from bpkit.registry import common_backend
from bpkit.trace import tracing
from bpkit.transforms.arguments import describe, is_array, link_of, title, unwrap

__all__ = ["Jitted", "jit"]

KEPT = 128
"""How many programs one function keeps; the oldest goes first."""


def jit(fun: Callable[..., Any], static_argnums: int | tuple[int, ...] = ()) -> "Jitted":
    """Make a function that runs `fun` once for each kind of arguments, and code that does the same from then on.

    The first call with arguments of new shapes, dtypes or settings runs `fun` and notes every function of the
    namespace that it calls, gradients included. From the second such call on a program of exactly these calls
    runs instead: on NumPy in memory that is there already, on JAX as one ``jax.jit``.

    Parameters
    ----------
    fun : callable
        Takes and returns trees of arrays. What it does besides calling functions of arrays (printing,
        appending to a list) happens in the first call only; arrays that it takes from elsewhere keep the
        values they had then.
    static_argnums : int or tuple of int
        Positional arguments that are settings whatever they are. Everything in the other arguments that is
        no array (numbers, strings, None) is a setting too. Settings must be hashable; a new value of one is a
        new kind of call, so pass numbers that change often as arrays.

    Returns
    -------
    Jitted
        A callable with ``program``, ``source``, ``explain()`` and ``clear()``.

    Raises
    ------
    RecordingError
        If `fun` branches on the value of an array, or calls a function whose result's shape depends on values.
    ArgumentError
        If a setting is not hashable.

    Notes
    -----
    Inside another transform (``grad(jit(f))``) the function itself runs: put ``jit`` outermost. Warnings of
    floating-point arithmetic are given in the first call only.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> step = jit(lambda w, x: w - 0.5 * grad(lambda w: xp.sum((w * x) ** 2))(w))
    >>> w, x = np.asarray([1.0, 2.0]), np.asarray([1.0, 0.5])
    >>> step(w, x), step(w, x)
    (array([0. , 1.5]), array([0. , 1.5]))
    """
    return Jitted(fun, (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums))


class _Recorded:
    """What was recorded for one kind of arguments.

    Attributes
    ----------
    program : Program
    """

    def __init__(
        self, program: Program, backend: Backend, structure: tree.Structure, places: list[int]
    ) -> None:
        self.program = program
        self._backend = backend
        self._structure = structure
        self._places = places
        self._idle: list[Compiled] = []

    def take(self) -> Compiled:
        """Code that no other thread is running."""
        try:
            return self._idle.pop()
        except IndexError:
            return compile_program(self.program, self._backend)

    def __call__(self, leaves: list[Any]) -> Any:
        code = self.take()
        with self._backend.quiet():
            found = code.run(*[leaves[i] for i in self._places])
        self._idle.append(code)
        return tree.unflatten(self._structure, found)


class Jitted:
    """A function and the programs that were recorded of it; made by :func:`jit`.

    It may be called from several threads.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, fun: Callable[..., Any], static_argnums: tuple[int, ...]) -> None:
        self._called = title("jit", fun)
        update_wrapper(self, fun, updated=())
        self._static = static_argnums
        self._recorded: dict[Any, _Recorded] = {}
        self._last: Any = None
        self._lock = Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing():
            return self.__wrapped__(*args, **kwargs)
        static = tuple([args[i] for i in self._static])
        dynamic = [None if i in self._static else x for i, x in enumerate(args)]
        leaves, structure = tree.flatten((dynamic, kwargs))
        kind = (structure, static, tuple([_kind(x) for x in leaves]))
        try:
            recorded = self._recorded.get(kind)
        except TypeError:
            raise ArgumentError(
                f"{self._called}: settings must be hashable, and one of {describe((static, leaves))} is not"
            ) from None
        if recorded is not None:
            return recorded(leaves)
        return self._record(kind, args, kwargs)

    def _record(self, kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the function, and keep what it did."""
        dynamic = [None if i in self._static else x for i, x in enumerate(args)]
        leaves, structure = tree.flatten((dynamic, kwargs))
        places = [i for i, x in enumerate(leaves) if is_array(x)]
        backend = common_backend([raw(leaves[i]) for i in places], self._called)
        with Recorder("jit") as recorder:
            for i in places:
                recorder.entered.append(leaves[i])
                leaves[i] = recorder.input(leaves[i])
            given, keywords = tree.unflatten(structure, leaves)
            for i in self._static:
                given[i] = args[i]
            out = self.__wrapped__(*given, **keywords)
        found, arrangement = tree.flatten(out)
        outputs = [link_of(recorder, x) for x in found]
        values = [unwrap(self._called, recorder, x) for x in found]
        outputs = [value if slot is None else slot for slot, value in zip(outputs, values, strict=True)]
        program = simplify(Program(recorder.inputs, recorder.steps, outputs))
        with self._lock:
            while len(self._recorded) >= KEPT:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[kind] = _Recorded(program, backend, arrangement, places)
            self._last = kind
        return tree.unflatten(arrangement, values)

    @property
    def program(self) -> Program:
        """What was recorded last, simplified."""
        return self._recorded[self._last].program

    @property
    def source(self) -> str:
        """The code of what was recorded last."""
        recorded = self._recorded[self._last]
        code = recorded.take()
        recorded._idle.append(code)
        return code.source


def _kind(x: Any) -> Any:
    """Equal for leaves for which the same program serves."""
    return (type(x), tuple(x.shape), x.dtype, getattr(x, "device", None)) if is_array(x) else (type(x), x)
