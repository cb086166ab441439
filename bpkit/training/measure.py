"""What a model is worth on data that it does not learn from."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bpkit import transforms, tree
from bpkit.data.batches import batches
from bpkit.data.prefetch import to_device
from bpkit.errors import ArgumentError, DataError, RecordingError
from bpkit.training.checks import Check
from bpkit.training.feeds import pair_of

__all__ = ["Measure", "named_metrics"]

Metric = Callable[[Any, Any], Any]
"""``(output, target) -> scalar array``: the mean over a batch."""


class Measure:
    """Means of functions of output and target over a data set.

    Parameters
    ----------
    data : pair of arrays, indexable or iterable
        As for :func:`bpkit.training.fit`; gone through from the beginning each time.
    functions : mapping of str to callable
        ``(output, target) -> scalar array``, the mean over a batch.
    batch_size : int or None
    check : callable
        See :mod:`bpkit.training.feeds`.
    dtype : str or None
        Of floating numbers.
    jit : bool
    """

    def __init__(
        self,
        data: Any,
        functions: Mapping[str, Metric],
        batch_size: int | None,
        check: Check,
        dtype: str | None,
        jit: bool,
    ) -> None:
        self._functions, self._batch_size, self._check, self._dtype = functions, batch_size, check, dtype
        self._resident = isinstance(data, tuple)
        self._data = data
        if self._resident:
            x, y = self._data = to_device(pair_of(data, "validation"), dtype)
            check(x, y, "validation")
        elif isinstance(data, Iterable) and iter(data) is data:
            raise ArgumentError(
                "validation can be read only once, and is measured after every epoch; give arrays, "
                "a list, or something else that can be read again"
            )
        self._run: Callable[..., Any] = transforms.jit(self._values) if jit else self._values

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return tuple(self._functions)

    def _values(self, model: Any, x: Any, y: Any) -> list[Any]:
        output = model(*x) if isinstance(x, tuple) else model(x)
        return [function(output, y) for function in self._functions.values()]

    def __call__(self, model: Any) -> dict[str, float]:
        """The means, by name.

        Raises
        ------
        DataError
            If there is no data.
        RecordingError
            With `jit`, if a function branches on the value of an array.
        """
        found: list[tuple[int, list[Any]]] = []
        for number, batch in enumerate(batches(self._data, self._batch_size)):
            x, y = pair_of(batch, f"batch {number} of validation")
            if not self._resident:
                x, y = to_device((x, y), self._dtype)
                if not self._check(x, y, f"batch {number} of validation"):
                    continue
            try:
                values = self._run(model, x, y)
            except RecordingError as error:
                error.add_note("Without recording, metrics run as they are: jit=False")
                raise
            found.append((int(tree.leaves(x)[0].shape[0]), values))
        if not found:
            raise DataError("validation has no batch")
        count = sum(size for size, _ in found)
        return {
            name: math.fsum(size * float(values[place]) for size, values in found) / count
            for place, name in enumerate(self._functions)
        }


def named_metrics(metrics: Any) -> dict[str, Metric]:
    """Metrics by name; a function that comes without one has its own.

    Raises
    ------
    ArgumentError
        If one is no function, or two have one name.
    """
    if metrics is None:
        return {}
    pairs = (
        list(metrics.items())
        if isinstance(metrics, Mapping)
        else [
            (
                getattr(metric, "__name__", None) or getattr(getattr(metric, "func", None), "__name__", ""),
                metric,
            )
            for metric in metrics
        ]
    )
    names = [name for name, _ in pairs]
    for name, metric in pairs:
        if not callable(metric) or not isinstance(name, str) or names.count(name) > 1 or name in ("", "loss"):
            raise ArgumentError(
                f"metrics: got {metric!r} with the name {name!r}; expected functions (output, target) -> "
                f"scalar array with names of their own: metrics={{'accuracy': function}}"
            )
    return dict(pairs)
