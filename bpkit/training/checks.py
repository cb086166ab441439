"""What is asked of data before a step sees it: finite numbers, labels and ids that loss and model know."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import nn, registry, transforms, tree
from bpkit.errors import DataError
from bpkit.kinds import Kind, kind_of
from bpkit.nn.embedding import noted_lookups
from bpkit.nn.watching import modules
from bpkit.trace import Traced

__all__ = ["Check", "checker", "first_nonfinite", "predict", "without_nonfinite"]

Check = Callable[[Any, Any, str], bool]
"""``(x, y, where) -> whether to use them``; raises what is wrong with them."""


def without_nonfinite(x: Any, y: Any, where: str) -> tuple[Any, Any]:
    """The examples whose numbers are all finite, on the host."""
    host = tree.map(lambda leaf: registry.backend_of(leaf).to_host(leaf), (x, y))
    leaves = tree.leaves(host)
    bad = np.zeros(len(leaves[0]), dtype=bool)
    for leaf in leaves:
        if leaf.dtype.kind in "fc":
            bad |= (~np.isfinite(leaf)).reshape(len(leaf), -1).any(axis=1)
    if bad.all():
        raise DataError(f"{where}: all {len(bad)} examples have a NaN or an infinity, so that none is left")
    kept = tree.map(lambda leaf: leaf[~bad], host)
    return kept[0], kept[1]


def first_nonfinite(x: Any, y: Any, where: str) -> str | None:
    """Where the first number that is not finite stands in a batch, in words; None if there is none."""
    for name, part in (("x", x), ("y", y)):
        for path, leaf in zip(tree.paths(part), tree.leaves(part), strict=True):
            if kind_of(leaf) < Kind.REAL or bool(xp.all(xp.isfinite(leaf))):
                continue
            host = registry.backend_of(leaf).to_host(leaf)
            place = np.argwhere(~np.isfinite(host))[0]
            index, value = ", ".join(map(str, place)), host[tuple(place)]
            dtype = "" if np.isnan(value) else f" in {host.dtype.name}"
            return f"{where}: {name}{path}[{index}] is {value}{dtype}"
    return None


def predict(model: Any, x: Any) -> Any:
    """The output for a batch; of a tuple the model takes each part as an input."""
    return model(*x) if isinstance(x, tuple) else model(x)


def checker(
    loss: Callable[[Any, Any], Any], model: Any, *, batch_size: int | None, skip: bool, jit: bool
) -> Check:
    """The check of a training: finite numbers, labels and ids that loss and model know.

    Parameters
    ----------
    loss : callable
        ``(output, target) -> scalar``
    model : Module
    batch_size : int or None
        How many examples the model may be asked about at once; None for all that come at once.
    skip : bool
        Whether to leave out what has a number that is not finite.
    jit : bool
        Whether the model may be recorded. If not, its layers look at the ids themselves, in every step.
    """
    one = transforms.jit(predict) if jit else predict
    extremes = transforms.jit(_extreme_ids)
    looks_up = jit and any(isinstance(module, nn.Embedding) for _, module in modules(model))
    rows: list[Any] = []

    def check(x: Any, y: Any, where: str) -> bool:
        found = first_nonfinite(x, y, where)
        if found is not None:
            if skip:
                return False
            raise DataError(f"{found}; mend the data, or leave out what has one: nan='skip'")
        if looks_up and any(kind_of(leaf) is Kind.INTEGER for leaf in tree.leaves(x)):
            _check_ids(extremes, model, x, batch_size, where)
        if hasattr(y, "shape") and kind_of(y) is Kind.INTEGER and 0 not in y.shape:
            if not rows:
                rows.append(one(model, _examples(x, 0, 1)))
            _check_labels(loss, rows[0], y, where)
        return True

    return check


def _examples(x: Any, start: int, stop: int) -> Any:
    return tree.map(lambda leaf: leaf[start:stop, ...], x)


def _extreme_ids(model: Any, x: Any) -> list[tuple[str, int, Any, Any]]:
    """Of each lookup in a table of vectors the layer, how many vectors it has, and the extreme ids.

    Compiled, it computes no more of the model than the ids.
    """
    with noted_lookups() as lookups:
        predict(model, x)
    found = []
    for layer, ids in lookups:
        # Under vmap inside the model the ids of all examples are one level down.
        while isinstance(ids, Traced) and isinstance(ids._value, Traced):
            ids = ids._value
        if 0 not in ids.shape:
            found.append((repr(layer), layer.num_embeddings, xp.min(ids), xp.max(ids)))
    return found


def _check_ids(extremes: Callable[[Any, Any], Any], model: Any, x: Any, size: int | None, where: str) -> None:
    """Ask the model, by as many examples at a time as a step has, which ids it would look up.

    A compiled step does not look at values, and a library may take an id that is out of range for another
    one.
    """
    count = int(tree.leaves(x)[0].shape[0])
    size = min(size or count, count)
    # The last part has the size of the others as well, so that one program serves them all.
    for start in [*range(0, count - size, size), count - size]:
        if not _wrong_id(extremes(model, _examples(x, start, start + size))):
            continue
        for number in range(start, start + size):
            wrong = _wrong_id(extremes(model, _examples(x, number, number + 1)))
            if wrong:
                raise DataError(f"{where}: example {number} has {wrong}")


def _wrong_id(found: list[tuple[str, int, Any, Any]]) -> str | None:
    for layer, count, least, most in found:
        for value in (int(least), int(most)):
            if not 0 <= value < count:
                return f"the id {value}, but those of {layer} are 0 to {count - 1}"
    return None


def _check_labels(loss: Callable[[Any, Any], Any], row: Any, labels: Any, where: str) -> None:
    """Ask the loss about the smallest and the largest label.

    A compiled step does not look at values, and a library may take a label that is out of range for another
    one.
    """
    flat = xp.reshape(labels, (-1,))
    if not hasattr(row, "shape") or row.ndim != labels.ndim + 1:
        return
    for index in (int(xp.argmin(flat)), int(xp.argmax(flat))):
        place = np.unravel_index(index, labels.shape)
        example = labels[int(place[0]) : int(place[0]) + 1, ...]
        if tuple(row.shape[1:-1]) != tuple(example.shape[1:]):
            return
        try:
            loss(row, example)
        except DataError as error:
            written = ", ".join(map(str, place))
            label = f"y[{written}] is {int(flat[index])}"
            # The loss was asked about one example, so its index says nothing.
            why = str(error.args[0])
            found = re.search(r"target\[[\d, ]+\] is [^,]+, ", why)
            said = f", {why[found.end() :]}" if found else f": {why}"
            raise DataError(f"{where}: the label {label}{said}") from None
