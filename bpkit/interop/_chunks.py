"""What is done with a chunk of the data, and how the results are put together: functions that can be sent.

Dask runs them wherever it likes; :mod:`bpkit.interop.dask` says what comes after what.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from bpkit import transforms, tree
from bpkit.data.prefetch import to_device
from bpkit.errors import ArgumentError, DataError, RecordingError, ShapeError
from bpkit.kinds import raw
from bpkit.registry import common_backend, use_backend
from bpkit.transforms.arguments import describe, is_array

__all__ = ["Literal", "Merge", "OfChunk", "Part", "Result", "Unread", "given_to_all"]

KEPT = 64
"""How many compiled functions a process keeps."""


class Literal(NamedTuple):
    """A value in a graph in which Dask must not look for tasks."""

    value: Any


class Unread:
    """Blocks of a chunk that its own task reads.

    Parameters
    ----------
    tasks : dict
        A graph of Dask that makes them.
    keys : list
        Of the blocks in it.
    """

    def __init__(self, tasks: dict[Any, Any], keys: list[Any]) -> None:
        self._tasks, self._keys = tasks, keys

    def read(self) -> tuple[Any, ...]:
        """The blocks."""
        import dask

        return tuple(dask.get(self._tasks, self._keys))


class Part(NamedTuple):
    """What some chunks say."""

    examples: int
    value: Any


def given_to_all(inputs: list[Any], kwargs: Literal) -> Literal:
    """What all chunks get."""
    values = tuple([x.value if isinstance(x, Literal) else x for x in inputs])
    return Literal((values, kwargs.value))


class OfChunk:
    """What one chunk says: a task that can be sent to another process, where it is compiled once."""

    def __init__(self, called: str, loss: Callable[..., Any], transform: str, jit: bool, token: str) -> None:
        self._called, self._loss, self._transform = called, loss, transform
        self._jit, self._token = jit, token

    def __call__(self, number: int, given: Literal, *chunks: Any) -> Part | None:
        inputs, kwargs = given.value
        if isinstance(chunks[0], Unread):
            chunks = chunks[0].read()
        for i, x in enumerate(chunks):
            if isinstance(x, np.ma.MaskedArray):
                raise ArgumentError(
                    f"{self._called}: data {i} has masked chunks, and a mask would be lost. Fill them, "
                    f"da.ma.filled(x, 0.0), and pass da.ma.getmaskarray(x) as data of its own"
                )
        counts = [x.shape[0] for x in chunks]
        if len(set(counts)) > 1:
            raise ShapeError(
                f"{self._called}: all arrays must have the same number of examples; in chunk {number} they "
                f"have {', '.join(map(str, counts))}"
            )
        if not counts[0]:
            return None
        function = _compiled(self._token, self._made)
        try:
            return Part(counts[0], function(inputs, _beside(inputs[0], chunks), kwargs))
        except Exception as error:
            if isinstance(error, RecordingError):
                error.add_note(f"with jit=False, {self._called.partition(' ')[0]} runs the loss as it is")
            error.add_note(f"in chunk {number} of the data: {', '.join(map(describe, chunks))}")
            raise

    def _made(self) -> Callable[..., Any]:
        loss = self._loss
        name = getattr(loss, "__qualname__", type(loss).__qualname__)  # for errors
        both = transforms.value_and_grad(loss)

        def gradient(inputs: tuple[Any], chunks: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            return both(inputs[0], *chunks, **kwargs)

        def product(inputs: tuple[Any, Any], chunks: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            def at(params: Any) -> Any:
                return loss(params, *chunks, **kwargs)

            at.__qualname__ = name
            return transforms.hvp(at, inputs[:1], inputs[1:])

        function = gradient if self._transform == "value_and_grad" else product
        function.__qualname__ = name
        return transforms.jit(function) if self._jit else function


_functions: OrderedDict[str, Callable[..., Any]] = OrderedDict()
_making = Lock()


def _compiled(token: str, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The function of a token, made once in a process."""
    with _making:
        if token not in _functions:
            _functions[token] = make()
            if len(_functions) > KEPT:
                _functions.popitem(last=False)
        _functions.move_to_end(token)
        return _functions[token]


def _beside(params: Any, chunks: Sequence[Any]) -> tuple[Any, ...]:
    """The chunks where the parameters are: those of NumPy's arrays are moved, others are left."""
    arrays = [raw(x) for x in tree.leaves(params) if is_array(x)]
    backend = common_backend(arrays)
    if not arrays or backend.owns(np.ndarray):
        return tuple(chunks)
    with use_backend(f"{backend.name}:{backend.device_of(arrays[0])}"):
        return tuple([to_device(x) if isinstance(x, np.ndarray) else x for x in chunks])


class Merge:
    """The mean of some parts, each weighted by its number of examples, or their sum."""

    def __init__(self, mean: bool) -> None:
        self._mean = mean

    def __call__(self, parts: Sequence[Part | None]) -> Part | None:
        found = [part for part in parts if part is not None]
        if len(found) < 2:
            return found[0] if found else None
        count = sum(part.examples for part in found)
        weights = [part.examples / count if self._mean else 1.0 for part in found]

        def merged(*values: Any) -> Any:
            # Of each the library's own product, in its dtype: a Python number has none.
            total = values[0] * weights[0]
            for value, weight in zip(values[1:], weights[1:], strict=True):
                total = total + value * weight
            return total

        return Part(count, tree.map(merged, *[part.value for part in found]))


class Result:
    """What all parts together say."""

    def __init__(self, called: str) -> None:
        self._called = called

    def __call__(self, parts: Sequence[Part | None]) -> Any:
        if not parts or parts[0] is None:
            raise DataError(f"{self._called}: there is no example in the data")
        return parts[0].value
