"""The one door between a function of the namespace and the engine.

Every function of :mod:`bpkit.namespace` and every operator of :class:`bpkit.array.Array` ends in
:func:`call`. It looks for the innermost live trace among the operands. Without one, the library's own
function runs. With one, that trace unwraps its operands, calls the same function one level down, and notes
what it needs: reverse mode a node of the graph, forward mode a tangent. Transforms nest because each sees
only its own level.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from itertools import count
from threading import Lock
from types import CodeType, TracebackType
from typing import Any, NoReturn, Self
from weakref import ReferenceType

from bpkit._messages import explain, spelled_call
from bpkit.errors import GradientCutError, LeakedArrayError
from bpkit.evaluate import evaluate

__all__ = [
    "BATCHED",
    "Trace",
    "Traced",
    "call",
    "outside_transforms",
    "revived",
    "running",
    "snapshot",
    "tracing",
    "watcher",
    "watches",
]

_clock = count(1)
_live: ContextVar["Trace | None"] = ContextVar("_live", default=None)
_counting = Lock()

watcher: ContextVar[Any] = ContextVar("watcher", default=None)
"""The :class:`bpkit.nans.Watch` of this thread."""
watches: list[None] = []
"""An entry for each block of :func:`bpkit.nans.debug_nans` in any thread: if it is empty, nobody asks on."""


BATCHED = object()
"""Links a value to vmap: one level down its first axis, which it does not show, counts the examples."""


class Traced:
    """A value that a trace watches: the state of :class:`bpkit.array.Array`, without its operators.

    Attributes
    ----------
    _value
        The value one level down: a raw array, or a value that an outer trace watches.
    _trace : Trace
        Who watches.
    _link
        What ties the value to the trace: a graph node in reverse mode, a tangent in forward mode,
        :data:`BATCHED` under vmap, None for a constant.
    _view : View or None
        The array that it may share memory with because it was taken from it, see :mod:`bpkit.views`.
    _views : list of weak references or None
        The arrays that were taken from it.
    """

    __slots__ = ("__weakref__", "_link", "_trace", "_value", "_view", "_views")

    _is_scalar = False
    """Whether it stands for one of NumPy's scalars, which cannot change, though the raw value could."""

    def __init__(self, value: Any, trace: "Trace", link: Any) -> None:
        self._value = value
        self._trace = trace
        self._link = link
        self._view: Any = None
        self._views: list[ReferenceType[Traced]] | None = None


class Trace(ABC):
    """One level of one running transform; a context manager, alive while the user's function runs.

    Attributes
    ----------
    level : int
        When it began, on one clock for all threads. A transform begins after those around it, in whatever
        thread, so that the highest level among operands is the innermost. 0 is for constants, which no
        transform watches.
    live : int
        How many runs of its function, or of a part of it, are going on; 0 when the transform has ended.
    entered : list of raw arrays
        The arguments, as they were when the function began.
    cuts : dict of str to None
        Places where a value that depends on the inputs was turned into a Python float, in order.
    refused : tuple of GradientCutError, code and int; or None
        The last assignment to a plain array, with the instruction that did it. NumPy raises an error of its
        own where a conversion fails, often without a cause, and this one takes its place.
    replays : bool
        Whether what is done to the inputs will be done to others, so that nothing may depend on their values.
    """

    __slots__ = ("_token", "cuts", "entered", "level", "live", "refused")

    transform = "a transform"
    replays = False

    def __init__(self) -> None:
        self.level = next(_clock)
        self.live = 0
        self.entered: list[Any] = []
        self.cuts: dict[str, None] = {}
        self.refused: tuple[GradientCutError, CodeType, int] | None = None
        self._token: Token[Trace | None]

    def __enter__(self) -> Self:
        self.live = 1
        self._token = _live.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.live = 0
        _live.reset(self._token)
        if error is None:
            return
        refused, self.refused = self.refused, None
        if refused is not None and error is not refused[0] and refused[1:] == _raised_at(traceback):
            raise refused[0].with_traceback(traceback) from None
        explain(error, traceback, call.__code__)

    @property
    def borrowed(self) -> bool:
        """Whether somebody outside may write to the values, so that derivatives have to copy them."""
        return False

    @property
    def lent(self) -> bool:
        """Whether somebody outside was given the memory of a value and has to see what is assigned to it."""
        return False

    def written(self, root: Traced, what: str) -> None:  # noqa: B027 - most traces need not know
        """Hear that `what` will write to the memory of `root`, a value of this or of an inner trace."""

    @abstractmethod
    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down and note what the transform needs of it."""

    def afterwards(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` when the transform has ended: on its constants, which are the values that they hold."""
        values = []
        for x in operands:
            if isinstance(x, Traced) and x._trace is self:
                if x._link is not None:
                    self.refuse(f"{spelled_call(name, operands, static)}: an operand")
                x = x._value
            values.append(x)
        return call(name, *values, **static)

    def refuse(self, what: str) -> NoReturn:
        """Refuse a value whose transform has ended: nobody would hear of what is computed with it."""
        raise LeakedArrayError(
            f"{what} was traced by {self.transform}, which has ended. A traced value was kept "
            f"(in a global, an attribute or a closure) and used later; return it from the function instead "
            f"(has_aux=True returns more than the loss)"
        )


def _raised_at(traceback: TracebackType | None) -> tuple[CodeType, int] | None:
    """The innermost instruction of Python code that an error came through."""
    place = None
    while traceback is not None:
        place = (traceback.tb_frame.f_code, traceback.tb_lasti)
        traceback = traceback.tb_next
    return place


def snapshot(x: Any) -> Any:
    """A value of an outer trace as it is now, which a later ``x += y`` of the user does not change."""
    if not isinstance(x, Traced):
        return x
    return type(x)(x._value, x._trace, x._link) if x._trace.level else x._value


def tracing() -> bool:
    """Whether the function of some transform is running in this thread."""
    return _live.get() is not None


def running() -> list[Trace]:
    """The traces whose functions are running in this thread, the innermost first."""
    found = []
    trace: Any = _live.get()
    while isinstance(trace, Trace):
        found.append(trace)
        trace = trace._token.old_value
    return found


@contextmanager
def revived(traces: Sequence[Trace]) -> Iterator[None]:
    """Let traces that have ended watch again, while a part of their function is run a second time."""
    with _counting:
        for trace in traces:
            trace.live += 1
    try:
        yield
    finally:
        with _counting:
            for trace in traces:
                trace.live -= 1


@contextmanager
def outside_transforms() -> Iterator[None]:
    """Run code as if no transform ran around it, on arrays that none watches."""
    token = _live.set(None)
    try:
        yield
    finally:
        _live.reset(token)


def call(name: str, /, *operands: Any, **static: Any) -> Any:
    """Apply the function `name` to operands of which any may be traced.

    Parameters
    ----------
    name : str
        A name of the namespace (``"add"``, ``"linalg.solve"``).
    *operands
        Arrays, Python scalars and None: whatever could be traced.
    **static
        Everything else (axes, dtypes, flags), under the standard's names.
    """
    trace = None
    for x in operands:
        if isinstance(x, Traced) and (trace is None or x._trace.level > trace.level):
            trace = x._trace
    if watches and (watch := watcher.get()) is not None:
        return watch.run(trace, name, operands, static)
    if trace is None:
        return evaluate(name, operands, static)
    return trace.process(name, operands, static)
