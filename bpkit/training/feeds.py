"""Where a training takes its batches from: arrays that lie on the device, or anything that is read.

A feed answers ``batch(epoch, step)`` with what one step needs, and None after the last one. So a loop may be
left and entered again anywhere, and what it does depends on where the training stands alone.
"""

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from bpkit import namespace as xp
from bpkit import registry, tree
from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.data.batches import batches, count_batches, draw_order
from bpkit.data.prefetch import prefetch, to_device
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.training.checks import Check, without_nonfinite

__all__ = ["Feed", "Read", "Resident", "feed_of", "pair_of"]

Batch = tuple[tuple[Any, ...], Hashable]
"""The arguments that stand for the data in a step, and what one compiled program can serve."""


class Feed(Protocol):
    """Batches by epoch and step, counted from 0."""

    @property
    def steps(self) -> int | None:
        """Steps of an epoch; None if nobody knows before its end."""

    def batch(self, epoch: int, step: int) -> Batch | None:
        """What this step needs; None if the epoch has no such step."""

    def take(self, *arguments: Any) -> tuple[Any, Any]:
        """The pair (x, y) of the arguments of a batch and the number of the step; part of the program."""

    def sizes(self, steps: int) -> Sequence[int]:
        """How many examples each of the first steps of the epoch had."""

    def examples(self, steps: int) -> int:
        """How many these are together."""


class Resident:
    """Arrays on the device, out of which each step gathers its rows by itself.

    Parameters
    ----------
    x, y : tree of arrays
        With as many rows each.
    batch_size : int
        The last batch of an epoch is smaller if the rows do not divide evenly.
    key : key or None
        Decides the order, another one in each epoch; None leaves the rows in theirs.
    steps : int, optional
        Ends an epoch early.
    drop_last : bool
        Whether to leave a smaller last batch out.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        key: RawArray | None,
        steps: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self._x, self._y, self._key = x, y, key
        self._size = batch_size
        self._count = int(tree.leaves((x, y))[0].shape[0])
        self._whole, self._rest = divmod(self._count, batch_size)
        self._steps = self._whole + (self._rest > 0 and not drop_last)
        if not self._steps:
            raise DataError(
                f"data: {self._count} examples make no batch of {batch_size}, and drop_last=True leaves "
                f"a smaller one out"
            )
        if steps is not None:
            if steps > self._steps:
                raise ArgumentError(
                    f"steps={steps}: {self._count} examples in batches of {batch_size} are {self._steps} "
                    f"steps an epoch; leave steps out, and ask for more epochs"
                )
            self._steps = steps
        self._epoch: int | None = None
        self._batches: tuple[Batch, Batch]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._steps

    def batch(self, epoch: int, step: int) -> Batch | None:
        """The order of the epoch with the data."""
        if step >= self._steps:
            return None
        if epoch != self._epoch:
            self._draw(epoch)
        return self._batches[step >= self._whole]

    def _draw(self, epoch: int) -> None:
        backend, device = registry.current()
        count, used = self._count, self._whole * self._size
        order = np.arange(count) if self._key is None else draw_order(self._key, epoch, count)
        rows = backend.from_host(order.astype(np.int32), device)
        whole = xp.reshape(rows[:used], (self._whole, self._size))
        last = xp.reshape(rows[used:], (1, self._rest))
        self._batches = (
            ((self._x, self._y, whole), self._size),
            ((self._x, self._y, last), self._rest),
        )
        self._epoch = epoch

    @staticmethod
    def take(x: Any, y: Any, rows: RawArray, number: RawArray) -> tuple[Any, Any]:
        """The rows of this number; where there is only one row of them, that."""
        chosen = rows if rows.shape[0] == 1 else xp.take(rows, number, axis=0)
        chosen = xp.reshape(chosen, (-1,))
        gathered = tree.map(lambda values: xp.take(values, chosen, axis=0), (x, y))
        return gathered[0], gathered[1]

    def sizes(self, steps: int) -> Sequence[int]:
        """All the same, but the last."""
        return [min(self._size, self._count - step * self._size) for step in range(steps)]

    def examples(self, steps: int) -> int:
        """How many examples the first steps of an epoch have."""
        return min(steps * self._size, self._count)


class Read:
    """Batches that are read one after another, on the host or wherever they are.

    Parameters
    ----------
    data, batch_size, key, drop_last
        As for :func:`bpkit.data.batches`.
    steps : int or None
        Steps of an epoch, over which data are gone through as often as it takes. None: an epoch is one pass.
    ahead : int
        How many batches a thread makes ready in the background; see :func:`bpkit.data.prefetch`.
    dtype : str or None
        Of floating numbers.
    check : callable
        A batch that it leaves out is no step.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None,
        key: RawArray | None,
        steps: int | None,
        ahead: int,
        dtype: str | None,
        check: Check,
        drop_last: bool = False,
    ) -> None:
        self._data, self._batch_size, self._key, self._drop_last = data, batch_size, key, drop_last
        self._ahead, self._dtype, self._check = ahead, dtype, check
        self._fixed = steps is not None
        self._indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
        self._per_pass = count_batches(data, batch_size, drop_last=drop_last)
        self._steps = self._per_pass if steps is None else steps
        self._stream: Iterator[Any] = iter(())
        self._next: tuple[int, int] | None = None
        self._ends = [0]
        """How many examples of the epoch there were before each step, and after the last."""

    @property
    def steps(self) -> int | None:
        """Steps of an epoch, those too that the check leaves out; None if nobody knows."""
        return self._steps

    def batch(self, epoch: int, step: int) -> Batch | None:
        """The next batch, on the device; any other one is sought from the beginning."""
        over = self._fixed and step >= (self._steps or 0)
        if ((epoch + 1, 0) if over else (epoch, step)) != self._next:
            self._seek(epoch, step)
        if over:
            self._next = (epoch + 1, 0)
            return None
        found = self._read(step)
        over = self._fixed and step + 1 == self._steps
        self._next = (epoch + 1, 0) if over else (epoch, step + 1)
        if found is None and self._fixed:
            raise DataError(
                f"the data, {a_type(type(self._data))}, end before step {step + 1} of {self._steps} of epoch "
                f"{epoch + 1}, and can be read only once; give something that can be read again, or fewer "
                f"steps or epochs"
            )
        if found is None:
            self._next = None
            return None
        leaves, structure = tree.flatten(found)
        return found, (structure, *[(tuple(x.shape), x.dtype) for x in leaves])

    @staticmethod
    def take(x: Any, y: Any, number: RawArray) -> tuple[Any, Any]:
        """The batch as it is."""
        return x, y

    def sizes(self, steps: int) -> Sequence[int]:
        """As they were read."""
        return [after - before for before, after in pairwise(self._ends[: steps + 1])]

    def examples(self, steps: int) -> int:
        """How many examples the first steps of the epoch had."""
        return self._ends[steps]

    def _seek(self, epoch: int, step: int) -> None:
        if self._fixed:
            done, last, start = 0, None, 0
            before = epoch * (self._steps or 0)
        else:
            if epoch and iter(self._data) is self._data:
                raise DataError(
                    f"the data, {a_type(type(self._data))}, can be read only once, and this is epoch "
                    f"{epoch + 1}; give something that can be read again, or steps= of an epoch"
                )
            done = epoch if self._indexed else 0
            start = done * (self._per_pass or 0)
            last, before = done + 1, 0
        # What can be read only once ends there; the step that misses its batch says so.
        once = self._fixed and not self._indexed and iter(self._data) is self._data
        made = batches(
            self._data,
            self._batch_size,
            key=self._key,
            drop_last=self._drop_last,
            epochs=1 if once else last,
            start=start,
        )
        self._stream = self._checked(made, epoch)
        for number in range(-before, step):
            if self._read(max(number, 0)) is None:
                raise DataError(
                    f"the data end before step {step + 1} of epoch {epoch + 1}, where the training stands; "
                    f"give the data that it began with, from their beginning"
                )

    def _read(self, step: int) -> tuple[Any, Any] | None:
        found: tuple[Any, Any] | None = next(self._stream, None)
        if found is not None:
            self._ends[step + 1 :] = [self._ends[step] + int(tree.leaves(found)[0].shape[0])]
        return found

    def _checked(self, made: Iterator[Any], epoch: int) -> Iterator[tuple[Any, Any]]:
        if self._ahead:
            made = prefetch(made, self._ahead, dtype=self._dtype)
        for number, batch in enumerate(made):
            where = f"batch {number} of {'the data' if self._fixed else f'epoch {epoch + 1}'}"
            x, y = to_device(pair_of(batch, where), self._dtype)
            if self._check(x, y, where):
                yield x, y


def pair_of(batch: Any, where: str) -> tuple[Any, Any]:
    """A batch as the pair (x, y).

    Raises
    ------
    DataError
        If it is none.
    ShapeError
        If there is no axis of examples, or x and y have different numbers of them.
    """
    several = isinstance(batch, tuple | list)
    if not several or len(batch) != 2:
        found = a_type(type(batch)) + (f" of length {len(batch)}" if several else "")
        raise DataError(f"{where} is {found}; expected a pair (x, y) of what the model takes and its target")
    x, y = batch
    leaves = tree.leaves((x, y))
    if not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
        raise DataError(
            f"{where}: the pair (x, y) must hold arrays, not {a_type(type(x))} and {a_type(type(y))}; "
            f"make them with bpkit.xp.asarray(...)"
        )
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if len({shape[:1] for shape in shapes}) != 1 or shapes[0] == ():
        raise ShapeError(
            f"{where} has arrays of the shapes {', '.join(map(str, shapes))}; the first axis counts "
            f"the examples and must be equal"
        )
    if shapes[0][0] == 0:
        raise DataError(f"{where} is empty: its arrays have the shapes {', '.join(map(str, shapes))}")
    return x, y


def feed_of(
    data: Any,
    *,
    batch_size: int | None,
    key: RawArray | None,
    steps: int | None,
    ahead: int,
    dtype: str | None,
    check: Check,
    skip: bool,
    drop_last: bool,
) -> Feed:
    """The feed that suits data; arrays are checked and moved to the device now.

    Parameters
    ----------
    data, batch_size, key, steps, ahead, dtype, check, drop_last
        As for :class:`Resident` and :class:`Read`.
    skip : bool
        Whether examples with NaN are left out of arrays.

    Returns
    -------
    Feed

    Raises
    ------
    ArgumentError, DataError, ShapeError
        If `data` cannot be used.
    """
    if not isinstance(data, tuple):
        if hasattr(data, "shape"):
            raise ArgumentError(
                f"data: got one array of shape {tuple(data.shape)}; expected a pair (x, y) of arrays, or "
                f"batches of such pairs"
            )
        return Read(data, batch_size, key, steps, ahead, dtype, check, drop_last)
    x, y = pair_of(data, "data")
    if batch_size is None:
        raise ArgumentError("batch_size=None is for data that are batches already; (x, y) are arrays")
    x, y = to_device((x, y), dtype)
    if skip:
        x, y = to_device(without_nonfinite(x, y, "data"), dtype)
    check(x, y, "data")
    return Resident(x, y, batch_size, key, steps, drop_last)
