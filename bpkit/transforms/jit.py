"""Functions that are recorded once and run as straight-line code of their library from then on."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from inspect import signature
from threading import Lock
from types import MethodType
from typing import Any

from bpkit import tree
from bpkit._foreign import instead
from bpkit._messages import user_level, user_line
from bpkit._protocol import Backend
from bpkit.compile import Cost, Graph, cost_of, simplify
from bpkit.derivative import Copies, owned, private
from bpkit.errors import ArgumentError, BpkitError, CompileWarning, RecordingWarning
from bpkit.kinds import raw
from bpkit.record import Program, Recorder
from bpkit.registry import common_backend
from bpkit.trace import Traced, tracing, watcher, watches
from bpkit.transforms.arguments import as_argnums, describe, is_array, link_of, positions_of, title, unwrap
from bpkit.transforms.call_kinds import (
    CallKind,
    changed_number,
    exact,
    guard,
    kind_of_leaf,
    names_of,
    reason,
    setting,
)
from bpkit.transforms.recorded import Recorded

__all__ = ["Jitted", "jit", "without_jit"]

KEPT = 128
"""How many programs one function keeps; the oldest goes first."""
RECENT = 4
"""How many of them are asked one after the other whether they serve."""
NUMBERS = 4
"""After how many recordings in turn for new values of one number there is a warning."""

_off: ContextVar[bool] = ContextVar("_off", default=False)


@contextmanager
def without_jit() -> Iterator[None]:
    """Let the functions themselves run, because what they do depends on more than their arguments."""
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


def jit(
    fun: Callable[..., Any],
    static_argnums: int | tuple[int, ...] = (),
    donate_argnums: int | tuple[int, ...] = (),
) -> "Jitted":
    """Make a function that runs `fun` once for each kind of arguments, and code in its place from then on.

    The first call with arguments of new shapes, dtypes or settings runs `fun` and notes every function of
    arrays that it calls, those of its gradients included. From the second such call on a program of these
    calls runs instead: on NumPy in memory that is there already, on JAX as one ``jax.jit``.

    Parameters
    ----------
    fun : callable
        Takes and returns trees of arrays. What it does besides calling functions of arrays (printing,
        appending to a list) happens in the first call only. Whatever else it reads keeps the value that it
        had then: attributes of objects, variables of the functions and of the module around it, files, the
        time, draws from ``numpy.random``. Pass as arguments what changes between the calls.
    static_argnums : int or tuple of int
        Positional arguments that are settings whatever they are; -1 is the last one. Everything in the
        other arguments that is no array (numbers, strings, None) is a setting too. Settings must be hashable;
        a new value of one is a new kind of call, so pass numbers that change often as arrays:
        ``xp.asarray(rate, dtype=x.dtype)``.
    donate_argnums : int or tuple of int
        Positional arguments that the caller does not use again: results may be written into their memory.

    Returns
    -------
    Jitted
        A callable with ``explain()``, ``source``, ``cost``, ``graph``, ``program`` and ``clear()``.

    Raises
    ------
    RecordingError
        If `fun` branches on the value of an array, or a shape in it depends on values.
    ArgumentError
        If a setting is not hashable, or an argument named in `static_argnums` or `donate_argnums` is not
        passed by position.

    Warns
    -----
    RecordingWarning
        If the function was recorded for several values of the same number, and nothing else changed.
    CompileWarning
        If its program cannot be compiled; then the function itself runs.

    Notes
    -----
    Inside another transform (``grad(jit(f))``) the function itself runs: put ``jit`` outermost. So it does
    inside :func:`bpkit.nn.training_call`, and while :func:`bpkit.debug_nans` is on, which looks at every
    function that it calls. Warnings of
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
    return Jitted(fun, static_argnums, donate_argnums)


class _Named:
    """The arguments that the user named by their positions, under the name of an option of jit."""

    def __init__(self, called: str, option: str, argnums: Any, fun: Callable[..., Any]) -> None:
        self._called = called
        self._option = option
        self._argnums, _ = as_argnums(called, argnums, option)
        names, _ = _parameters(fun)
        shown = [names[i] if -len(names) <= i < len(names) else f"number {i}" for i in self._argnums]
        self._advice = f"pass {', '.join(shown)} by position, not by keyword, and do not leave it out"

    def __bool__(self) -> bool:
        return bool(self._argnums)

    def of(self, args: tuple[Any, ...]) -> tuple[int, ...]:
        """Where they stand in a call."""
        return positions_of(self._called, self._argnums, len(args), self._option, self._advice)


class Jitted:
    """A function and the programs that were recorded of it; made by :func:`jit`.

    It may be called from several threads.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, fun: Callable[..., Any], static_argnums: Any, donate_argnums: Any) -> None:
        self._called = title("jit", fun)
        update_wrapper(self, fun, updated=())
        self._static = _Named(self._called, "static_argnums", static_argnums, fun)
        self._donate = _Named(self._called, "donate_argnums", donate_argnums, fun)
        self._recent: tuple[Recorded, ...] = ()
        """What was called last, the latest first."""
        self._recorded: dict[CallKind, Recorded] = {}
        self._by_layout: Backend | None = None
        """Set if some program depends on the memory layout of the arguments."""
        self._eager = False
        """Set if a program could not be compiled: then the function itself runs."""
        self._reasons: list[str] = []
        self._parameters = _parameters(fun)
        self._numbers: list[int] = []
        """The leaf that alone was new in the last recordings, once for each, if it was a number."""
        self._warned = False
        self._lock = Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns for these arguments."""
        if tracing() or _off.get() or self._eager or (watches and watcher.get() is not None):
            return self.__wrapped__(*args, **kwargs)
        for recorded in self._recent:
            arrays = recorded.given(args, kwargs)
            if arrays is not None:
                return recorded(arrays)
        return self._of_another_kind(args, kwargs)

    def _of_another_kind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that none of the latest programs serves."""
        # In another thread than the transform's, tracing() does not see it.
        if any(isinstance(x, Traced) for x in tree.leaves((args, kwargs))):
            return self.__wrapped__(*args, **kwargs)
        static = self._static.of(args)
        given = tuple([None if i in static else x for i, x in enumerate(args)])
        settings = tuple([setting(args[i]) for i in static])
        leaves, structure = tree.flatten((given, kwargs))
        kind = CallKind(structure, settings, exact(structure), tuple(map(kind_of_leaf, leaves)))
        try:
            recorded = self._recorded.get(kind)
            if recorded is None and self._by_layout is not None:
                recorded = self._recorded.get(kind.laid_out(leaves, self._by_layout))
        except TypeError as error:
            raise ArgumentError(
                f"{self._called}: what is no array is a setting, and settings must be hashable: {error}"
                f"{next((f'; {said}' for x in leaves if (said := instead(type(x)))), '')}"
            ) from None
        if recorded is None:
            return self._record(kind, args, kwargs, leaves)
        self._call_first(recorded)
        return recorded([leaves[i] for i in recorded.places])

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def _record(
        self, kind: CallKind, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]
    ) -> Any:
        """Run the function, and keep what it did."""
        donated = self._donated(args, kwargs)
        names = names_of(kind.structure, self._parameters)
        places = [i for i, x in enumerate(leaves) if is_array(x)]
        arrays = [leaves[i] for i in places]
        backend = common_backend(list(map(raw, arrays)), self._called)
        runs: list[tuple[Recorder, Any]] = []

        def run(*given: Any) -> None:
            inputs = dict(zip(places, given, strict=True))
            runs.append(self._noted(kind, args, [inputs.get(i, x) for i, x in enumerate(leaves)]))

        try:
            values_unknown = backend.on_stand_ins(run, arrays)
        except BpkitError:
            raise
        except Exception:  # noqa: BLE001 - it needs values, or else fails again with them
            values_unknown = False
        if not values_unknown:
            run(*arrays)
        recorder, out = runs[-1]
        found, arrangement = tree.flatten(out)
        _check_results(self._called, out, found)
        values = [unwrap(self._called, recorder, x) for x in found]
        slots = [link_of(recorder, x) for x in found]
        outputs = [value if slot is None else slot for slot, value in zip(slots, values, strict=True)]
        if recorder.by_layout:
            self._by_layout = backend
            kind = kind.laid_out(leaves, backend)
        try:
            program = simplify(Program(recorder.inputs, recorder.steps, outputs))
            recorded = Recorded(
                guard(kind, backend, self._static.of(args)),
                program,
                [names[i] for i in places],
                backend,
                arrangement,
                places,
                donated,
                recorder.apart,
                values,
            )
        except Exception as error:  # noqa: BLE001 - whatever a library's compiler raises
            self._fall_back(error)
            if values_unknown:
                return self.__wrapped__(*args, **kwargs)
        else:
            self._keep(kind, names, recorded)
            self._call_first(recorded)
            if values_unknown:
                # As in every first call, nothing is written over yet.
                return recorded(
                    [backend.xp.asarray(x, copy=True) if i in donated else x for i, x in enumerate(arrays)]
                )
        # What the function took from elsewhere is not handed out.
        values = [private(x) if slot is None else x for slot, x in zip(slots, values, strict=True)]
        own = iter(owned(results := [x for x in values if is_array(x)], results, leaves))
        return tree.unflatten(arrangement, [next(own) if is_array(x) else x for x in values])

    def _noted(self, kind: CallKind, args: tuple[Any, ...], leaves: list[Any]) -> tuple[Recorder, Any]:
        """Run the function, and note what it does to the arrays."""
        with Recorder("jit", user_line, Copies().of) as recorder:
            recorder.entered += filter(is_array, leaves)
            watched = [recorder.input(x) if is_array(x) else x for x in leaves]
            given, keywords = tree.unflatten(kind.structure, watched)
            static = self._static.of(args)
            mixed = [args[i] if i in static else x for i, x in enumerate(given)]
            return recorder, self.__wrapped__(*mixed, **keywords)

    def _call_first(self, recorded: Recorded) -> None:
        """Try this program first from now on."""
        with self._lock:
            others = [x for x in self._recent if x is not recorded]
            self._recent = (recorded, *others)[:RECENT]

    def _keep(self, kind: CallKind, names: list[str], recorded: Recorded) -> None:
        with self._lock:
            before = next(reversed(self._recorded), None)
            self._reasons.append(reason(kind, before, names))
            number = changed_number(kind, before)
            self._numbers = [x for x in self._numbers if x == number]
            if number is not None:
                self._numbers.append(number)
            while len(self._recorded) >= KEPT:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[kind] = recorded
            warns = len(self._numbers) == NUMBERS and not self._warned
            self._warned = self._warned or warns
        if number is not None and warns:
            warnings.warn(
                f"{self._called}: {names[number]} is a number, so it is a setting, and each new value is "
                f"recorded and compiled anew: the last {NUMBERS} times nothing else was new. Pass it as an "
                f"array without axes, of the dtype of what it meets: xp.asarray({names[number]}, "
                f"dtype=x.dtype). If it must stay a number, name it in static_argnums",
                RecordingWarning,
                stacklevel=user_level(),
            )

    def _fall_back(self, error: Exception) -> None:
        """Run the function itself from now on, and say so once."""
        text = f"compiling failed with {type(error).__name__}: {error}"
        with self._lock:
            first, self._eager = not self._eager, True
            self._reasons.append(f"{text}; the function itself runs from then on")
        if first:
            warnings.warn(
                f"{self._called}: {text}. From now on the function itself runs, as without jit",
                CompileWarning,
                stacklevel=user_level(),
            )

    @property
    def program(self) -> Program:
        """What the last call ran, simplified.

        Raises
        ------
        ArgumentError
            If the function has not been called yet.
        """
        return self._last().program

    @property
    def source(self) -> str:
        """The code of what was called last."""
        return self._last().code().source

    @property
    def cost(self) -> Cost:
        """What a call of the kind of the last one costs, from shapes: operations, bytes moved, memory held.

        Examples
        --------
        >>> import numpy as np
        >>> f = jit(lambda w, x: x @ w)
        >>> _ = f(np.ones((784, 30)), np.ones((10, 784)))
        >>> print(f.cost)
        470.4 kflop, 253.3 kB moved, 0 B held
        >>> f.cost.operations
        470400
        """
        last = self._last()
        return cost_of(last.program, last.code().arena_bytes)

    @property
    def graph(self) -> Graph:
        """The program of the last call to look at: ``print(f.graph)``, ``f.graph.render("f.svg")``.

        In a notebook it is drawn, if Graphviz is installed.
        """
        last = self._last()
        return Graph(last.program, last.names)

    def explain(self) -> str:
        """Why the function was recorded, each time: what was new in the arguments."""
        return "\n".join(f"{i}. {reason}" for i, reason in enumerate(self._reasons, 1)) or "not called yet"

    def clear(self) -> None:
        """Forget what was recorded, and its memory."""
        with self._lock:
            self._recorded.clear()
            self._recent = ()
            self._by_layout = None
            self._eager = False
            self._reasons.clear()

    def _last(self) -> Recorded:
        if not self._recent:
            raise ArgumentError(f"{self._called}: call it first, nothing is recorded yet")
        return self._recent[0]

    def _donated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
        """Which of the arrays among the leaves the caller gives away."""
        static, donated = self._static.of(args), self._donate.of(args)
        flags = [
            i in donated
            for i, x in enumerate(args)
            for leaf in tree.leaves(None if i in static else x)
            if is_array(leaf)
        ]
        return [i for i, given_away in enumerate(flags) if given_away]


def _parameters(fun: Callable[..., Any]) -> tuple[list[str], str | None]:
    """The names of the parameters that are passed by position, and of that which takes all others."""
    try:
        parameters = signature(fun).parameters.values()
    except (TypeError, ValueError):  # some builtins have none
        return [], None
    names = [x.name for x in parameters if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]
    return names, next((x.name for x in parameters if x.kind is x.VAR_POSITIONAL), None)


def _check_results(called: str, out: Any, leaves: list[Any]) -> None:
    for path, x in zip(tree.paths(out), leaves, strict=True):
        if not is_array(x) and not isinstance(x, bool | int | float | complex | str):
            raise ArgumentError(
                f"{called}: the result{path} must be an array or a number; it is {describe(x)}"
            )
