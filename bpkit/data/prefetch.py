"""Batches on the device that computes, made ready in the background."""

import contextvars
import operator
from collections.abc import Generator, Iterable
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any

import numpy as np

from bpkit import tree
from bpkit._foreign import instead
from bpkit._messages import a_type
from bpkit.errors import ArgumentError, DataError
from bpkit.kinds import Kind, kind_of
from bpkit.registry import by_type, current

__all__ = ["prefetch", "to_device"]


def prefetch(iterable: Iterable[Any], size: int = 2, *, dtype: Any = None) -> Generator[Any, None, None]:
    """Make the next batches ready in a background thread, on the current backend and device.

    Parameters
    ----------
    iterable : iterable of trees of arrays
        What :func:`bpkit.data.batches` gives, for instance. It is read in the background thread, and never
        further than `size` batches ahead.
    size : int
        How many batches may be ready, 1 or more.
    dtype : str, optional
        For floating numbers, as for :func:`to_device`.

    Yields
    ------
    tree of arrays
        In the order of `iterable`. An exception of `iterable` is raised here, after the batches before it.

    Raises
    ------
    ArgumentError
        If `iterable` is none, or `size` is no such number.

    Notes
    -----
    The thread starts with the first batch. It ends with the last one, with an exception, and when the
    iterator is closed or forgotten; closing waits for the batch that is just being read. To go on later,
    count the batches that were taken here, and start there: those read ahead do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import data
    >>> list(prefetch(data.batches(np.arange(5), 2)))
    [array([0, 1]), array([2, 3]), array([4])]
    """
    if not isinstance(iterable, Iterable):
        raise ArgumentError(f"prefetch: expected an iterable of batches, got {a_type(type(iterable))}")
    try:
        number = operator.index(size)
    except TypeError:
        number = 0
    if number < 1 or isinstance(size, bool):
        raise ArgumentError(f"prefetch: size: expected an int of 1 or more, got {size!r}")
    # The thread shall see what is current here, such as the backend.
    return _prefetched(iterable, number, dtype, contextvars.copy_context())


def _prefetched(
    iterable: Iterable[Any], size: int, dtype: Any, context: contextvars.Context
) -> Generator[Any, None, None]:
    ready: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    free, stopped = Semaphore(size), Event()

    def produce() -> None:
        try:
            source = iter(iterable)
            try:
                while free.acquire() and not stopped.is_set():
                    ready.put(("batch", to_device(next(source), dtype)))
            except StopIteration:
                ready.put(("end", None))
            finally:
                if hasattr(source, "close"):
                    source.close()
        except BaseException as error:  # noqa: BLE001  it is raised where the batches are taken
            ready.put(("error", error))

    thread = Thread(target=context.run, args=(produce,), name="bpkit.data.prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
            free.release()
    finally:
        stopped.set()
        free.release()
        thread.join()


def to_device(data: Any, dtype: Any = None) -> Any:
    """A tree of arrays on the current backend and device.

    Parameters
    ----------
    data : tree of arrays, numbers and booleans
        Of whatever libraries. Arrays that are there already are kept.
    dtype : str, optional
        For the floating numbers: ``"float32"`` or ``"float64"``, or ``"float16"`` or ``"bfloat16"`` where the
        backend has it. None keeps theirs.

    Returns
    -------
    tree of arrays
        Where the backend has no 64-bit dtypes, as JAX in its usual mode, numbers come in 32 bits.

    Raises
    ------
    DataError
        If something is no array of numbers, or an integer does not fit into 32 bits.

    Examples
    --------
    >>> import numpy as np
    >>> import bpkit
    >>> with bpkit.use_backend("numpy"):
    ...     to_device({"x": np.ones(2), "y": 3}, "float32")
    {'x': array([1., 1.], dtype=float32), 'y': array(3)}
    """
    leaves, structure = tree.flatten(data)
    paths = tree.paths(data)
    return tree.unflatten(structure, [_moved(x, path, dtype) for x, path in zip(leaves, paths, strict=True)])


def _moved(x: Any, path: str, dtype: Any) -> Any:
    backend, device = current()
    try:
        owner = by_type[type(x)]
    except TypeError:
        raise DataError(
            f"to_device: data{path} is {a_type(type(x))}; "
            f"{instead(type(x)) or 'expected an array or a number'}"
        ) from None
    if owner is not None and kind_of(x) is Kind.OTHER:
        raise DataError(
            f"to_device: data{path} has dtype {x.dtype}; expected numbers or booleans, which a device has"
        )
    if owner is backend and not isinstance(x, np.generic):
        here = device is None or backend.device_of(x) == backend.device_of(backend.xp.zeros(1, device=device))
        floating = backend.xp.isdtype(x.dtype, "real floating")
        if here and (dtype is None or not floating or x.dtype == getattr(backend.xp, dtype)):
            return x
    host = np.asarray(x) if owner is None else owner.host_view(x)
    if host is None:
        assert owner is not None
        host = owner.to_host(x)
    cast = dtype is not None and host.dtype.kind == "f"
    if cast and dtype != "bfloat16":
        host = host.astype(dtype)
    there = backend.from_host(_narrowed(host, path, backend.dtypes()), device)
    # NumPy has no bfloat16.
    return backend.xp.astype(there, backend.xp.bfloat16) if cast and dtype == "bfloat16" else there


def _narrowed(host: np.ndarray[Any, Any], path: str, available: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """In 32 bits where a library has no more."""
    name = host.dtype.name
    narrower = {"float64": "float32", "complex128": "complex64", "int64": "int32", "uint64": "uint32"}
    if name in available or narrower.get(name) not in available:
        return host
    narrow = host.astype(narrower[name])
    if host.dtype.kind in "iu" and not np.array_equal(narrow, host):
        raise DataError(
            f"to_device: data{path} has integers that do not fit into {narrow.dtype}, the widest that the "
            f"current backend has"
        )
    return narrow
