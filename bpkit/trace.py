"""The one door between a function of the namespace and the engine.

Every function of :mod:`bpkit.namespace` and every operator of :class:`bpkit.array.Array` ends in
:func:`call`. It looks for the innermost live trace among the operands. Without one, the library's own
function runs. With one, that trace unwraps its operands, calls the same function one level down, and notes
what it needs: reverse mode a node of the graph, forward mode a tangent. Transforms nest because each sees
only its own level.
"""

from abc import ABC, abstractmethod
from itertools import count
from types import TracebackType
from typing import Any, NoReturn, Self

from bpkit.errors import LeakedArrayError
from bpkit.evaluate import evaluate

__all__ = ["VIEWS", "Trace", "Traced", "call", "share", "snapshot"]

VIEWS = frozenset(
    {
        "astype",
        "broadcast_to",
        "conj",
        "flip",
        "getitem",
        "imag",
        "matrix_transpose",
        "permute_dims",
        "positive",
    }
    | {"real", "reshape", "stop_gradient"}
)
"""Functions whose result may share memory with their operand."""

_clock = count(1)


class Traced:
    """A value that a trace watches: the state of :class:`bpkit.array.Array`, without its operators.

    Attributes
    ----------
    _value
        The value one level down: a raw array, or a value that an outer trace watches.
    _trace : Trace
        Who watches.
    _link
        What ties the value to the trace: a graph node in reverse mode, a tangent in forward mode, None for a
        constant.
    _shared : bool
        Whether the raw array may share memory with that of another traced value.
    """

    __slots__ = ("_link", "_shared", "_trace", "_value")

    def __init__(self, value: Any, trace: "Trace", link: Any) -> None:
        self._value = value
        self._trace = trace
        self._link = link
        self._shared = False


class Trace(ABC):
    """One level of one running transform; a context manager, alive while the user's function runs.

    Attributes
    ----------
    level : int
        When it began, on one clock for all threads. A transform begins after those around it, in whatever
        thread, so that the highest level among operands is the innermost.
    live : bool
        Whether its function is still running.
    cuts : dict of str to None
        Places where a value that depends on the inputs was turned into a Python float, in order.
    """

    __slots__ = ("cuts", "level", "live")

    transform = "a transform"

    def __init__(self) -> None:
        self.level = next(_clock)
        self.live = False
        self.cuts: dict[str, None] = {}

    def __enter__(self) -> Self:
        self.live = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.live = False

    @abstractmethod
    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` one level down and note what the transform needs of it."""

    def refuse(self, what: str) -> NoReturn:
        """Refuse a value whose transform has ended: nobody would hear of what is computed with it."""
        raise LeakedArrayError(
            f"{what} was traced by {self.transform}, which has ended. A traced value was kept "
            f"(in a global, an attribute or a closure) and used later; return it from the function instead "
            f"(has_aux=True returns more than the loss)"
        )


def snapshot(x: Any) -> Any:
    """A value of an outer trace as it is now, which a later ``x += y`` of the user does not change."""
    return type(x)(x._value, x._trace, x._link) if isinstance(x, Traced) else x


def share(result: Traced, operands: tuple[Any, ...]) -> None:
    """Note that the result of one of :data:`VIEWS` and its operands may share memory."""
    for x in (result, *operands):
        if isinstance(x, Traced):
            x._shared = True


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
    if trace is None:
        return evaluate(name, operands, static)
    return trace.process(name, operands, static)
