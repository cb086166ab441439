"""Batches of a data set: of arrays in memory, of anything that can be indexed, of a stream.

Everything here works on the host, or in the library that the data are in. :func:`bpkit.data.prefetch` moves
the batches to the device that computes.
"""

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, tree
from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.registry import backend_of

__all__ = ["batches", "check_no_loader", "collate", "count_batches", "draw_order"]


def collate(items: list[Any]) -> Any:
    """One batch of several items: their arrays stacked, their numbers in an array.

    Parameters
    ----------
    items : list
        At least one; trees of arrays and Python values with one structure, such as pairs
        ``(image, label)`` or dicts.

    Returns
    -------
    tree of arrays
        With a new first axis as long as `items`. Arrays stay in their library; Python values become NumPy
        arrays.

    Raises
    ------
    DataError
        If items have different structures.
    ShapeError
        If arrays that belong together have different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> collate([(np.zeros(2), 3), (np.ones(2), 4)])
    (array([[0., 0.],
           [1., 1.]]), array([3, 4]))
    """
    flat = [tree.flatten(item) for item in items]
    structure = flat[0][1]
    for number, (_, other) in enumerate(flat):
        if other != structure:
            raise DataError(
                f"batches: item {number} of the batch is {other}, but the first is {structure}; all items "
                f"must have one structure"
            )
    paths = tree.paths(items[0])
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    stacked = [_stack(path, list(column)) for path, column in zip(paths, columns, strict=True)]
    return tree.unflatten(structure, stacked)


def _stack(path: str, values: list[Any]) -> RawArray:
    if not all(map(_is_array, values)):
        return np.asarray(values)
    for number, value in enumerate(values):
        if value.shape != values[0].shape:
            raise ShapeError(
                f"batches: item{path} has shape {tuple(value.shape)} in item {number} of the batch and "
                f"{tuple(values[0].shape)} in the first; arrays of one batch must have one shape: pad or "
                f"crop them, or give collate="
            )
    # Through the library itself: of NumPy's scalars xp.stack would make no array.
    return backend_of(values[0]).xp.stack([values[0], *values[1:]])


def batches(
    data: Any,
    batch_size: int | None = 32,
    *,
    key: RawArray | None = None,
    shuffle: bool | None = None,
    drop_last: bool = False,
    epochs: int | None = 1,
    start: int = 0,
    collate: Callable[[list[Any]], Any] = collate,
) -> Iterator[Any]:
    """Go through data batch by batch.

    Parameters
    ----------
    data : array, tuple or dict of arrays, indexable, or iterable
        Taken in this order:

        - an array, or a tuple, dict or dataclass of arrays with as many rows each: a batch is the same with
          `batch_size` of the rows, in the library of the arrays. A batch in order is a slice, which is a view
          of the data where the library has views.
        - what has a length and can be indexed from 0 on, such as a list of examples or a PyTorch data set:
          a batch is `collate` of `batch_size` items.
        - any other iterable, also an endless one: the same, in the order in which the items come. What is
          left at the end of a pass is a smaller batch.
    batch_size : int or None
        Rows or items in a batch. None if the items of `data` are batches already, which come as they are.
    key : key, optional
        Decides the order; see :mod:`bpkit.random`. Epoch e has that of ``random.fold_in(key, e)``, which is
        the same on every backend.
    shuffle : bool, optional
        Whether each epoch has a random order of its own. None for yes where there is a key and `data` is
        not a stream.
    drop_last : bool
        Whether to leave out the last batch of a pass where it is smaller.
    epochs : int or None
        How many times to go through the data; None for no end.
    start : int
        How many batches to leave out at the beginning, counted over all epochs: a training that has done
        `start` steps goes on here. A stream is read up to there, everything else is not touched.
    collate : callable, optional
        ``list of items -> batch``. Not used for arrays.

    Yields
    ------
    array, or tree of arrays

    Raises
    ------
    ArgumentError
        If `data` is none of these, a setting has the wrong type or range, or a stream shall be shuffled.
    ShapeError
        If arrays have different numbers of rows, or none.
    DataError
        If there is nothing in the data, fewer than `batch_size` with `drop_last`, or a stream that cannot
        be read twice ends before the last epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import random
    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> [labels for _, labels in batches((x, y), 2)]
    [array([0, 1]), array([2, 3]), array([4])]
    >>> [labels for _, labels in batches((x, y), 2, key=random.key(0), epochs=2, drop_last=True)]
    [array([3, 1]), array([4, 0]), array([1, 0]), array([3, 2])]
    >>> [labels for _, labels in batches((x, y), 2, key=random.key(0), epochs=2, drop_last=True, start=3)]
    [array([3, 2])]
    >>> next(batches(itertools.count(), 3))
    array([0, 1, 2])
    """
    size = None if batch_size is None else _number("batch_size", batch_size, 1)
    check_no_loader("batches: data", data, size)
    last = None if epochs is None else _number("epochs", epochs, 0)
    skipped = _number("start", start, 0)
    count = _count(data)
    if count is None:
        if shuffle:
            raise ArgumentError(
                f"batches: shuffle=True, but {a_type(type(data))} has no length or cannot be indexed, so its "
                f"items come in their own order; shuffle where they are read"
            )
        return _of_stream(data, size, drop_last, last, skipped, collate)
    if shuffle and key is None:
        raise ArgumentError("batches: shuffle=True needs a key; for example key=bpkit.random.key(0)")
    if count == 0:
        raise DataError("batches: there is nothing in the data, their length is 0")
    take = _take_rows(data) if _is_columns(data) else _take_items(data, collate if size else None)
    if not _steps(count, size or 1, drop_last):
        raise DataError(
            f"batches: no batch of {size} is whole, because the data have {count} examples; with "
            f"drop_last=False they are one smaller batch"
        )
    return _of_indexed(take, count, size or 1, None if shuffle is False else key, drop_last, last, skipped)


def count_batches(data: Any, batch_size: int | None = 32, *, drop_last: bool = False) -> int | None:
    """How many batches one pass of :func:`batches` has.

    Parameters
    ----------
    data, batch_size, drop_last
        As for :func:`batches`.

    Returns
    -------
    int or None
        None if `data` has no length.

    Examples
    --------
    >>> import numpy as np
    >>> count_batches(np.zeros((5, 2)), 2), count_batches(iter([1, 2, 3]), 2)
    (3, None)
    """
    size = 1 if batch_size is None else _number("batch_size", batch_size, 1)
    count = _count(data)
    if count is None:
        # An iterable may know its length, as PyTorch's DataLoader does.
        count = operator.length_hint(data, -1) if hasattr(data, "__len__") else -1
    return None if count < 0 else _steps(count, size, drop_last)


def check_no_loader(name: str, data: Any, batch_size: int | None) -> None:
    """Refuse to make batches of batches, as those of a PyTorch DataLoader would be.

    Parameters
    ----------
    name : str
        Of the argument.
    data : object
        It gives whole batches if it has a `batch_size`, or a `batch_sampler`, that is not None.
    batch_size : int or None

    Raises
    ------
    ArgumentError
    """
    if batch_size is None:
        return
    for owned in ("batch_size", "batch_sampler"):
        if getattr(data, owned, None) is not None:
            raise ArgumentError(
                f"{name}: {a_type(type(data))} with a {owned} of its own gives whole batches, and "
                f"batch_size={batch_size} would make one of {batch_size} of them; take them as they come: "
                f"batch_size=None"
            )


def draw_order(key: RawArray, epoch: int, count: int) -> np.ndarray[Any, Any]:
    """The random order of the examples in one epoch, drawn on the host, which is quicker.

    Parameters
    ----------
    key : key
        Of whatever backend.
    epoch : int
        Counted from 0.
    count : int
        How many examples there are.

    Returns
    -------
    NumPy array of integers, shape (count,)
        A permutation of ``range(count)``.

    Examples
    --------
    >>> from bpkit import random
    >>> draw_order(random.key(0), 0, 5)
    array([3, 1, 4, 0, 2])
    """
    # Libraries without uint32 keep the two words of a key in wider integers.
    host_key = backend_of(key).to_host(key).astype(np.uint32)
    return np.asarray(random.permutation(random.fold_in(host_key, epoch), count))


def _is_array(x: Any) -> bool:
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return False
    try:
        backend_of(x)
    except TypeError:
        return False
    return True


def _is_columns(data: Any) -> bool:
    """Whether data are arrays with examples in their rows, and not a collection of examples."""
    if _is_array(data):
        return True
    # A list holds examples, and so does a dataclass that can be indexed.
    if not isinstance(data, tuple | dict) and hasattr(data, "__getitem__"):
        return False
    return not isinstance(data, list) and bool(leaves := tree.leaves(data)) and all(map(_is_array, leaves))


def _count(data: Any) -> int | None:
    """How many examples there are; None for a stream."""
    if not _is_columns(data):
        if not isinstance(data, dict | str | bytes):
            if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
                return len(data)
            if isinstance(data, Iterable):
                return None
        raise ArgumentError(
            f"batches: data: expected an array, a tuple or dict of arrays, something with a length that can "
            f"be indexed, or an iterable; got {a_type(type(data))}"
        )
    shapes = {path: tuple(x.shape) for path, x in zip(tree.paths(data), tree.leaves(data), strict=True)}
    rows = {shape[:1] for shape in shapes.values()}
    if len(rows) > 1 or () in rows:
        found = ", ".join(f"data{path}: {shape}" for path, shape in shapes.items())
        raise ShapeError(
            f"batches: all arrays need the same number of rows, one for each example; got {found}"
        )
    return int(rows.pop()[0])


def _take_rows(data: Any) -> Callable[[Any], Any]:
    def rows(x: RawArray, chosen: Any) -> RawArray:
        if isinstance(chosen, slice):
            return x[chosen, ...]
        if isinstance(x, np.ndarray):
            return x[chosen]
        backend = backend_of(x)
        indices = backend.from_host(chosen.astype(np.int32), backend.device(backend.device_of(x)))
        return xp.take(x, indices, axis=0)

    return lambda chosen: tree.map(lambda x: rows(x, chosen), data)


def _take_items(data: Any, collect: Callable[[list[Any]], Any] | None) -> Callable[[Any], Any]:
    def take(chosen: Any) -> Any:
        numbers = range(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen.tolist()
        items = [data[number] for number in numbers]
        return items[0] if collect is None else collect(items)

    return take


def _of_indexed(
    take: Callable[[Any], Any],
    count: int,
    size: int,
    key: RawArray | None,
    drop_last: bool,
    epochs: int | None,
    start: int,
) -> Iterator[Any]:
    steps = _steps(count, size, drop_last)
    first, step = divmod(start, steps)
    for epoch in itertools.count(first) if epochs is None else range(first, epochs):
        order = None if key is None else draw_order(key, epoch, count)
        for number in range(step, steps):
            part = slice(number * size, min((number + 1) * size, count))
            yield take(part if order is None else order[part])
        step = 0


def _of_stream(
    data: Iterable[Any],
    size: int | None,
    drop_last: bool,
    epochs: int | None,
    start: int,
    collect: Callable[[list[Any]], Any],
) -> Iterator[Any]:
    done = 0
    for epoch in itertools.count() if epochs is None else range(epochs):
        items = iter(data)
        if epoch and items is data:
            raise DataError(
                f"batches: {a_type(type(data))} is used up after its first pass and epochs={epochs}; "
                f"give an iterable that can be read again, or epochs=1"
            )
        before = done
        while group := list(itertools.islice(items, size or 1)):
            if size is not None and len(group) < size and drop_last:
                break
            done += 1
            if done > start:
                yield group[0] if size is None else collect(group)
        if done == before:
            whole = "no whole batch" if size is not None and group else "nothing"
            raise DataError(f"batches: there is {whole} in the data of type {type(data).__name__}")


def _steps(count: int, size: int, drop_last: bool) -> int:
    return count // size if drop_last else -(-count // size)


def _number(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ArgumentError(f"batches: {name}: expected an int of {least} or more, got {value!r}")
    return number
