"""What a model is worth on data that it does not learn from.

The mean over batches is right for means only: not for r2 or f1, nor for a loss that weighs its examples or
leaves some out. So the outputs of all batches are put together, and each function is asked once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bpkit import namespace as xp
from bpkit import transforms, tree
from bpkit.data.batches import batches
from bpkit.data.prefetch import to_device
from bpkit.errors import ArgumentError, BpkitError, DataError, RecordingError, ShapeError
from bpkit.training.checks import Check, predict, without_nonfinite
from bpkit.training.feeds import pair_of

__all__ = ["Measure", "named_metrics"]

Metric = Callable[[Any, Any], Any]
"""``(output, target) -> scalar array``, of all examples at once."""


class Measure:
    """Functions of output and target, over a whole data set.

    The model runs batch by batch. Its outputs stay on the device, with the targets, until the functions have
    been called.

    Parameters
    ----------
    data : pair of arrays, indexable or iterable
        As for :func:`bpkit.training.fit`; gone through from the beginning each time.
    functions : mapping of str to callable
        ``(output, target) -> scalar array``, of all examples at once.
    batch_size : int or None
    check : callable
        See :mod:`bpkit.training.feeds`.
    dtype : str or None
        Of floating numbers.
    jit : bool
    skip : bool
        Whether examples with NaN are left out of arrays.
    """

    def __init__(
        self,
        data: Any,
        functions: Mapping[str, Metric],
        batch_size: int | None,
        check: Check,
        dtype: str | None,
        jit: bool,
        skip: bool = False,
    ) -> None:
        self._functions, self._batch_size, self._check, self._dtype = functions, batch_size, check, dtype
        self._resident = isinstance(data, tuple)
        self._data = data
        if self._resident:
            x, y = to_device(pair_of(data, "validation"), dtype)
            if skip:
                x, y = to_device(without_nonfinite(x, y, "validation"), dtype)
            check(x, y, "validation")
            self._data = x, y
        elif isinstance(data, Iterable) and iter(data) is data:
            raise ArgumentError(
                "validation can be read only once, and is measured after every epoch; give arrays, "
                "a list, or something else that can be read again"
            )
        self._predict: Callable[..., Any] = transforms.jit(predict) if jit else predict
        self._evaluate: Callable[..., list[Any]] = transforms.jit(self._values) if jit else self._values

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return tuple(self._functions)

    def _values(self, output: Any, y: Any) -> list[Any]:
        return [function(output, y) for function in self._functions.values()]

    def __call__(self, model: Any) -> dict[str, float]:
        """What the functions find, by name.

        Raises
        ------
        DataError
            If there is no data.
        ShapeError
            If the outputs or targets of several batches cannot be put together.
        RecordingError
            With `jit`, if a function branches on the value of an array.
        """
        outputs: list[Any] = []
        targets: list[Any] = []
        sizes: list[int] = []
        with _named():
            for number, batch in enumerate(batches(self._data, self._batch_size)):
                x, y = pair_of(batch, f"batch {number}")
                if not self._resident:
                    x, y = to_device((x, y), self._dtype)
                    if not self._check(x, y, f"batch {number}"):
                        continue
                outputs.append(self._predict(model, x))
                targets.append(y)
                sizes.append(int(tree.leaves(x)[0].shape[0]))
            if not outputs:
                raise DataError("it has no batch")
            output = _joined(outputs, sizes, "output")
            target = self._data[1] if self._resident else _joined(targets, sizes, "target")
            values = self._evaluate(output, target)
            return {name: _number(name, value) for name, value in zip(self._functions, values, strict=True)}


@contextmanager
def _named() -> Iterator[None]:
    """Errors that say where they happened."""
    try:
        yield
    except BpkitError as error:
        if isinstance(error, RecordingError):
            error.add_note("Without recording, metrics run as they are: jit=False")
        text, *rest = error.args or ("",)
        error.args = (f"validation: {text}", *rest)
        raise
    except Exception as error:
        error.add_note("This happened while validation was measured")
        raise


def _joined(parts: list[Any], sizes: list[int], what: str) -> Any:
    """One tree of those of all batches, whose arrays have an axis of examples first."""
    if len(parts) == 1:
        return parts[0]
    paths, leaves = tree.paths(parts[0]), [tree.leaves(part) for part in parts]
    for number, (found, size) in enumerate(zip(leaves, sizes, strict=True)):
        if len(found) != len(paths):
            raise DataError(f"the {what} of batch {number} has another structure than that of the first")
        for path, leaf, first in zip(paths, found, leaves[0], strict=True):
            shape, begun = tuple(getattr(leaf, "shape", ())), tuple(getattr(first, "shape", ()))
            if shape[:1] != (size,) or shape[1:] != begun[1:]:
                raise ShapeError(
                    f"{what}{path} of batch {number} has shape {shape}, with {size} examples, and that of "
                    f"the first {begun}; the loss and the metrics are called once, on all batches put "
                    f"together, so every array needs the axis of examples first and the same other axes: "
                    f"pad them, or give all of it as one batch"
                )
    return tree.map(lambda *pieces: xp.concat(list(pieces), axis=0), *parts)


def _number(name: str, value: Any) -> float:
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        raise ArgumentError(
            f"{name.removeprefix('validation_')} gave an array of shape {shape}; expected one number, of "
            f"shape (): take the mean with bpkit.xp.mean(...)"
        )
    return float(value)


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
