"""What is asked of data before a step sees it: finite numbers, and labels that the loss takes."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import registry, tree
from bpkit.errors import DataError
from bpkit.kinds import Kind, kind_of

__all__ = ["Check", "checker", "first_nonfinite", "without_nonfinite"]

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


def checker(loss: Callable[[Any, Any], Any], outputs: Callable[[Any], Any], skip: bool) -> Check:
    """The check of a training: finite numbers, and labels that the loss takes.

    Parameters
    ----------
    loss : callable
        ``(output, target) -> scalar``
    outputs : callable
        ``x -> output`` of the model.
    skip : bool
        Whether to leave out what has a number that is not finite.
    """
    rows: list[Any] = []

    def check(x: Any, y: Any, where: str) -> bool:
        found = first_nonfinite(x, y, where)
        if found is not None:
            if skip:
                return False
            raise DataError(f"{found}; mend the data, or leave out what has one: nan='skip'")
        if hasattr(y, "shape") and kind_of(y) is Kind.INTEGER and 0 not in y.shape:
            if not rows:
                rows.append(_one_row(outputs, x))
            _check_labels(loss, rows[0], y, where)
        return True

    return check


def _one_row(outputs: Callable[[Any], Any], x: Any) -> Any:
    """The output of the model for one example."""
    return outputs(tree.map(lambda leaf: leaf[:1, ...], x))


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
