"""A program as text and as a picture: a graph of its steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpkit.errors import DrawingError
from bpkit.record import Program, Slot

__all__ = ["Graph"]


class Graph:
    """A program to look at; a notebook shows it drawn, if Graphviz is there, and else as text.

    ``print`` shows the list of its steps. For pictures, ``pip install graphviz`` and the program ``dot`` are
    needed (https://graphviz.org/download).

    Parameters
    ----------
    program : Program
    names : sequence of str
        What the inputs are called.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import jit, xp
    >>> f = jit(lambda w, x: xp.sum(xp.tanh(w * x)))
    >>> _ = f(np.ones(3), np.ones(3))
    >>> print(f.graph)
    v0: float64[3]  # w
    v1: float64[3]  # x
    v2: float64[3] = multiply(v0, v1)
    v3: float64[3] = tanh(v2)
    v4: float64[] = sum(v3, axis=None, dtype=None, keepdims=False)
    return v4
    >>> f.graph.source.splitlines()[0]
    'digraph {'
    """

    def __init__(self, program: Program, names: Sequence[str]) -> None:
        self._program = program
        self._names = names

    def __str__(self) -> str:
        lines = str(self._program).split("\n")
        for i, name in enumerate(self._names):
            lines[i] += f"  # {name}"
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def source(self) -> str:
        """The graph in the language of Graphviz."""
        lines = ["digraph {", "  node [shape=box, fontname=Helvetica, fontsize=10, margin=0.08, height=0.3]"]
        lines.append('  edge [arrowsize=0.6, color="#666666"]')
        owners: dict[Slot, str] = {}
        for slot, name in zip(self._program.inputs, self._names, strict=True):
            owners[slot] = f"v{slot.index}"
            lines.append(_node(owners[slot], [name, _kind(slot)], "style=filled, fillcolor=lightyellow"))
        for i, step in enumerate(self._program.steps):
            lines.append(_node(f"s{i}", [step.name, *map(_kind, step.outs)]))
            lines += [f"  {owners[x]} -> s{i}" for x in step.operands if isinstance(x, Slot)]
            owners.update(dict.fromkeys(step.outs, f"s{i}"))
        for i, x in enumerate(self._program.outputs):
            text = ["result" if len(self._program.outputs) == 1 else f"result {i}"]
            text += [] if isinstance(x, Slot) else [_shown(x)]
            lines.append(_node(f"r{i}", text, "style=filled, fillcolor=lightblue"))
            lines += [f"  {owners[x]} -> r{i}"] if isinstance(x, Slot) else []
        return "\n".join([*lines, "}", ""])

    def render(self, path: str | Path) -> Path:
        """Draw it into a file.

        Parameters
        ----------
        path : str or Path
            Its ending is the format: ``.svg``, ``.pdf``, ``.png`` or another that Graphviz can write.
            ``.dot`` and ``.gv`` hold the source, for which nothing need be installed.

        Returns
        -------
        Path

        Raises
        ------
        DrawingError
            If Graphviz is missing.
        ValueError
            If Graphviz does not know the format; the message lists those it knows.
        """
        path = Path(path)
        ending = path.suffix.removeprefix(".").lower()
        if ending in ("dot", "gv"):
            path.write_text(self.source, encoding="utf-8")
        else:
            path.write_bytes(self._drawn(ending))
        return path

    def _drawn(self, ending: str) -> bytes:
        try:
            import graphviz
        except ImportError as error:
            raise DrawingError(
                f"graph: the package graphviz, which draws it, is missing; pip install graphviz. {_ELSE}"
            ) from error
        try:
            return bytes(graphviz.Source(self.source).pipe(format=ending))
        except graphviz.ExecutableNotFound as error:
            raise DrawingError(
                f"graph: Graphviz itself, the program dot, is not on the PATH; install it from the system's "
                f"packages: apt install graphviz, brew install graphviz, winget install graphviz. {_ELSE}"
            ) from error

    def _repr_svg_(self) -> str | None:
        try:
            return self._drawn("svg").decode()
        except DrawingError:
            return None


_ELSE = "print(graph) shows the steps, and graph.source is the graph for any other viewer"


def _kind(x: Any) -> str:
    return f"{str(x.dtype).rpartition('.')[2]}{list(x.shape)}"


def _shown(x: Any) -> str:
    return _kind(x) if hasattr(x, "shape") else repr(x)


def _node(name: str, text: Sequence[str], style: str = "") -> str:
    label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in text)
    return f'  {name} [label="{label}"{style and f", {style}"}]'
