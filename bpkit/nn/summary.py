"""A model as a table."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bpkit import tree
from bpkit.compile.cost import scaled, size_bytes
from bpkit.fields import parts_of
from bpkit.kinds import is_inexact
from bpkit.nn.module import Module
from bpkit.nn.partition import Frozen
from bpkit.nn.watching import layer_name, watched_call
from bpkit.terminal import write_table
from bpkit.transforms.arguments import is_array

__all__ = ["summary"]

KINDS = ("trained", "frozen", "buffers", "other")
"""Of arrays: those that an optimiser sees, those in frozen layers, state, and those of other dtypes."""


@dataclass(slots=True)
class _Row:
    """One module, with the arrays that it holds itself.

    Attributes
    ----------
    path : str
    module : object
    arrays : list of (kind, array)
    """

    path: str
    module: Any
    arrays: list[tuple[str, Any]] = field(default_factory=list)

    def count(self, *kinds: str) -> str:
        """How many numbers of these kinds it holds."""
        return _count([x for kind, x in self.arrays if kind in kinds])


def summary(model: Any, *example: Any) -> None:
    """Print what a model is made of: its layers, the shapes that they return, and the numbers that they hold.

    Parameters
    ----------
    model : Module
    *example
        What the model is called with, to learn the shapes; the call predicts. None leaves them out.

    Notes
    -----
    A layer's numbers are those in its own arrays, not those in layers inside it, so that the columns add up.
    The lines below the layers tell apart what :func:`bpkit.nn.partition` calls trainable (trained), the
    parameters inside :class:`bpkit.nn.Frozen` (frozen), and what fields made by :func:`bpkit.nn.buffer` hold
    (buffers). An array that stands in two places is counted twice. A layer that returned several shapes, in
    one call or in several, shows them all.

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> first, second = random.split(random.key(0))
    >>> model = nn.Sequential(
    ...     nn.Frozen(nn.Dense(8, 4, key=first, dtype="float32")),
    ...     nn.BatchNorm(4, dtype="float32"),
    ...     nn.relu,
    ...     nn.Dense(4, 2, key=second, dtype="float32"),
    ... )
    >>> summary(model, xp.zeros((10, 8), dtype="float32"))
    Sequential
    ┌─────────────────┬──────────────┬──────────────┬────────────┬─────────┬───────┐
    │ place           │ layer        │ output shape │ parameters │ buffers │ bytes │
    ├─────────────────┼──────────────┼──────────────┼────────────┼─────────┼───────┤
    │                 │ Sequential   │ (10, 2)      │            │         │       │
    │ layers[0]       │ Frozen       │ (10, 4)      │            │         │       │
    │ layers[0].layer │ Dense(8 → 4) │ (10, 4)      │         36 │         │ 144 B │
    │ layers[1]       │ BatchNorm(4) │ (10, 4)      │          8 │       8 │  64 B │
    │ layers[2]       │ Lambda(relu) │ (10, 4)      │            │         │       │
    │ layers[3]       │ Dense(4 → 2) │ (10, 2)      │         10 │         │  40 B │
    ├─────────────────┼──────────────┼──────────────┼────────────┼─────────┼───────┤
    │                 │ trained      │              │         18 │         │  72 B │
    │                 │ frozen       │              │         36 │         │ 144 B │
    │                 │ buffers      │              │            │       8 │  32 B │
    │                 │ total        │              │         54 │       8 │ 248 B │
    └─────────────────┴──────────────┴──────────────┴────────────┴─────────┴───────┘
    """
    rows: list[_Row] = []
    _collect(model, "", "trained", rows)
    shapes = _shapes_of(model, example) if example else {}
    arrays = [each for row in rows for each in row.arrays]
    used = [kind for kind in KINDS if kind == "trained" or any(kind == other for other, _ in arrays)]

    def cells(path: str, layer: str, row: _Row) -> list[str]:
        memory = sum(size_bytes(x) for _, x in row.arrays)
        found = [path, layer]
        found += [", ".join(shapes.get(path, ()) if row.module is not None else ())] if example else []
        found += [row.count("trained", "frozen", "other")]
        found += [row.count("buffers")] if "buffers" in used else []
        return [*found, f"{scaled(memory)}B" if row.arrays else ""]

    def lines() -> Iterator[tuple[str, list[str]] | None]:
        for row in rows:
            yield "", cells(row.path.removeprefix("."), layer_name(row.module), row)
        yield None
        for kind in used:
            yield "", cells("", kind, _Row("", None, [each for each in arrays if each[0] == kind]))
        if len(used) > 1:
            yield "1", cells("", "total", _Row("", None, arrays))

    headings = ["place", "layer", *["output shape"] * bool(example), "parameters"]
    headings += [*["buffers"] * ("buffers" in used), "bytes"]
    right = ("parameters", "buffers", "bytes")
    write_table(sys.stdout, type(model).__name__, headings, lines(), right=right)


def _count(arrays: list[Any]) -> str:
    return f"{sum(math.prod(x.shape) for x in arrays):,}" if arrays else ""


def _collect(part: Any, path: str, kind: str, rows: list[_Row], row: _Row | None = None) -> None:
    """Add the modules from here on, each before those inside it, and the arrays of `row`."""
    if row is None or isinstance(part, Module):
        row = _Row(path, part)
        rows.append(row)
    if is_array(part):
        row.arrays.append(("other" if kind == "trained" and not is_inexact(part) else kind, part))
    cls: Any = type(part)
    buffers = parts_of(cls).buffers if tree.is_dataclass(cls) else ()
    if isinstance(part, Frozen) and kind == "trained":
        kind = "frozen"
    for step, child in tree.children(part):
        _collect(child, path + step, "buffers" if step[1:] in buffers else kind, rows, row)


def _shapes_of(model: Any, example: tuple[Any, ...]) -> dict[str, list[str]]:
    """The different shapes that each module of a model returns, by its place."""
    found: dict[str, list[str]] = {}

    def see(place: str, module: Any, out: Any) -> Any:
        shape = ", ".join([str(tuple(x.shape)) for x in tree.leaves(out) if is_array(x)])
        shapes = found.setdefault(place, [])
        if shape and shape not in shapes:
            shapes.append(shape)
        return out

    watched_call(model, see, *example)
    return found
