"""A fused program block by block: each function does one block of elements before the next block begins.

The blocks are so small that what the functions hand to each other stays in the cache, and they do not depend
on each other, so threads take them in any order.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpkit._protocol import Into

from ._fused_layout import Layout, by_overlap, is_sum
from ._threads import spread

__all__ = ["Part", "blocks", "launcher"]


class Part(NamedTuple):
    """What is done at once of a block: one function, or a loop over several.

    Attributes
    ----------
    steps : list of Step
    operands : tuple
        Slots, numbers and settings.
    outs : tuple of Slot
    into : Into or None
        None for a sum.
    loop : bool
        Whether it is a loop, which takes the ends of a range first.
    """

    steps: list[Any]
    operands: tuple[Any, ...]
    outs: tuple[Any, ...]
    into: Into | None
    loop: bool = False


class _Scratch(threading.local):
    """Memory of a thread for what lies between the functions, shared by all programs."""

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)
        self._known: dict[Any, list[np.ndarray[Any, Any]]] = {}

    def arrays(self, shape: tuple[int, ...], dtypes: tuple[Any, ...]) -> list[np.ndarray[Any, Any]]:
        """One array of that shape for each dtype."""
        key = shape, dtypes
        found = self._known.get(key)
        if found is None:
            # On cache lines of their own.
            sizes = [-(-math.prod(shape) * dtype.itemsize // 64) * 64 for dtype in dtypes]
            if sum(sizes) > self._memory.size:
                self._memory = np.empty(sum(sizes), dtype=np.uint8)
                self._known.clear()
            ends = np.cumsum([0, *sizes]).tolist()
            found = self._known[key] = [
                self._memory[start : start + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
                for start, dtype in zip(ends, dtypes, strict=False)
            ]
        return found


_scratch = _Scratch()


def blocks(program: Any, layout: Layout, parts: Sequence[Part], size: int) -> Callable[..., None]:
    """A function of the inputs of a program and of memory for its outputs.

    Parameters
    ----------
    program : Program
    layout : Layout
    parts : sequence of Part
        The program, in order.
    size : int
        About how many elements a block has.
    """
    pieces = [(a, b, n) for n, (a, b) in enumerate(layout.pieces(size))]
    shape = (pieces[0][1], *layout.shape[1:])
    sums = [step for step in program.steps if is_sum(step)]

    def make(over: Mapping[Any, Any]) -> Callable[..., None]:
        code = _Block(program, layout, parts, over, whole=len(pieces) == 1)
        dtypes = tuple(code.scratch)
        return code.compiled(lambda: _scratch.arrays(shape, dtypes), shape[0])

    name, scope = by_overlap(program.inputs, program.outputs, make)
    if len(pieces) == 1 and not sums:
        return launcher(program, layout, f"{name}(0, {{length}}, 0, {{arrays}})", scope)

    def run(block: Callable[..., None], *arrays: Any) -> None:
        partial = [np.empty(len(pieces), dtype=step.outs[0].dtype) for step in sums]
        spread(lambda piece: block(*piece, *arrays, *partial), pieces)
        for step, found in zip(sums, partial, strict=True):
            total = np.add.reduce(found)
            out = arrays[len(program.inputs) + program.outputs.index(step.outs[0])]
            out[...] = total if step.name == "sum" else total / layout.size

    return launcher(program, layout, f"call({name}, {{arrays}})", {**scope, "call": run})


def launcher(program: Any, layout: Layout, call: str, scope: Mapping[str, Any]) -> Callable[..., None]:
    """A function that gives its arrays the shapes of the layout, contiguous, and does the rest.

    Parameters
    ----------
    program : Program
    layout : Layout
    call : str
        The rest, with ``{arrays}`` for the arrays, which are ``x0``, ``x1``, … and ``o0``, ``o1``, …, and
        ``{length}`` for that of the first axis.
    scope : dict of str
        What its other names stand for.
    """
    names = [f"x{i}" for i in range(len(program.inputs))]
    outs = [f"o{i}" for i in range(len(program.outputs))]
    given = []
    for name, x in zip(names, program.inputs, strict=True):
        shape = layout.shapes[x]
        straight = f"{'asarray' if x.shape == () else 'ascontiguousarray'}({name})"
        given.append(straight if x.shape == shape else f"{straight}.reshape({shape})")
    whole = [name for name, x in zip(outs, program.outputs, strict=True) if math.prod(x.shape) > 1]
    for name, x in zip(outs, program.outputs, strict=True):
        moved = name in whole and x.shape != layout.shapes[x]
        given.append(f"{name}.reshape({layout.shapes[x]})" if moved else name)
    lines = [f"def fused({', '.join([*names, *outs])}):"]
    if whole:
        lines += [
            f"    if not ({' and '.join(f'{name}.flags.c_contiguous' for name in whole)}):",
            f"        return through_copies(({', '.join(names)},), ({', '.join(outs)},))",
        ]
    lines.append(f"    {call.format(arrays=', '.join(given), length=layout.shape[0] if layout.shape else 1)}")

    def through_copies(operands: tuple[Any, ...], results: tuple[Any, ...]) -> None:
        found = [np.empty(x.shape, dtype=x.dtype) for x in results]
        fused(*operands, *found)
        for x, copy in zip(results, found, strict=True):
            np.copyto(x, copy)

    scope = {
        **scope,
        "asarray": np.asarray,
        "ascontiguousarray": np.ascontiguousarray,
        "through_copies": through_copies,
    }
    exec(compile("\n".join(lines), "<bpkit.jit>", "exec"), scope)
    fused: Callable[..., None] = scope["fused"]
    return fused


class _Home(NamedTuple):
    """Where a result is to lie.

    Attributes
    ----------
    word : str
    dtype : dtype
    free, made : int
        The first part that may write there, and the last one before the result that may read there.
    """

    word: str
    dtype: Any
    free: int
    made: int


class _Block:
    """The source of a function that does one block.

    Attributes
    ----------
    lines : list of str
    scratch : list of dtype
        Of the arrays that it needs for what lies between the functions.
    """

    def __init__(
        self, program: Any, layout: Layout, parts: Sequence[Part], over: Mapping[Any, Any], whole: bool
    ) -> None:
        """`over` tells which outputs lie in which inputs."""
        self._program = program
        cut = "" if whole else "[a:b]"
        self._scope: dict[str, Any] = {}
        self.lines: list[str] = []
        self.scratch: list[Any] = []
        self._words: dict[Any, str] = {}
        self._last = {x: n for n, part in enumerate(parts) for x in (*part.operands, *part.outs) if _slot(x)}
        self._free: dict[Any, list[str]] = {}
        self._place: dict[Any, str] = {}
        self._lent: dict[str, _Home] = {}
        for i, x in enumerate(program.inputs):
            in_pieces = cut and layout.shapes[x][:1] not in ((), (1,))
            self._words[x] = f"u{i}" if in_pieces else f"x{i}"
            if in_pieces:
                self.lines.append(f"u{i} = x{i}[a:b]")
        self._homes: list[_Home] = []
        copies = []
        for i, x in enumerate(program.outputs):
            if math.prod(x.shape) == 1:
                continue
            made = next(n for n, part in enumerate(parts) if x in part.outs)
            # Whether the part reads an element before it writes one.
            late = not _reads_first(parts[made])
            free = self._last.get(over[x], -1) if x in over else -1
            if free > made - late:
                copies.append((f"o{i}[a:b]", x))
                continue
            # Under one name with the input, so that loops see it.
            word = self._words[over[x]] if x in over else f"v{x.index}"
            if x not in over:
                self.lines.append(f"{word} = o{i}{cut}")
            self._place[x] = self._words[x] = word
            self._homes.append(_Home(word, x.dtype, free, made - late))
        self._last.update({x: len(parts) for x in program.outputs})
        sums = iter(range(len(program.steps)))
        for n, part in enumerate(parts):
            self._part(n, part, sums)
        self.lines += [f"{place} = {self._words[x]}" for place, x in copies]

    def compiled(self, scratch: Callable[[], Any], length: int) -> Callable[..., None]:
        """The function: of the range, its number, the inputs, the outputs, and memory for the sums.

        `length` is that of a range, but for the last one, which may be shorter.
        """
        count = sum(is_sum(step) for step in self._program.steps)
        names = [
            *("a", "b", "n"),
            *(f"x{i}" for i in range(len(self._program.inputs))),
            *(f"o{i}" for i in range(len(self._program.outputs))),
            *(f"p{i}" for i in range(count)),
        ]
        lines = list(self.lines)
        if self.scratch:
            arrays = ", ".join(f"s{i}" for i in range(len(self.scratch)))
            shorter = ", ".join(f"s{i}[:b - a]" for i in range(len(self.scratch)))
            lines = [f"{arrays}, = scratch()", f"if b - a < {length}: {arrays}, = {shorter},", *lines]
        body = "".join(f"    {line}\n" for line in lines)
        scope = {**self._scope, "scratch": scratch}
        exec(compile(f"def block({', '.join(names)}):\n{body}", "<bpkit.jit>", "exec"), scope)
        found: Callable[..., None] = scope["block"]
        return found

    def _taken(self, n: int, part: Part, out: Any) -> str:
        """Memory for what lies between the functions: that of a result before it is made, or of its own."""
        late = not _reads_first(part)
        for home in self._homes:
            if home.dtype == out.dtype and home.free <= n - late and self._last[out] <= home.made:
                self._homes.remove(home)
                self._lent[home.word] = home
                return home.word
        free = self._free.setdefault(out.dtype, [])
        if free:
            return free.pop()
        self.scratch.append(out.dtype)
        return f"s{len(self.scratch) - 1}"

    def _part(self, n: int, part: Part, sums: Any) -> None:
        if part.into is None:
            (step,) = part.steps
            x = self._word(step.operands[0])
            self.lines.append(f"p{next(sums)}[n] = {self._name('sum', np.add.reduce)}({x}, None)")
            self._release(n, part)
            return
        if part.into.elementwise:
            self._release(n, part)
        for out in part.outs:
            if out not in self._place:
                self._place[out] = self._words[out] = self._taken(n, part, out)
        if not part.into.elementwise:
            self._release(n, part)
        into = part.into
        name = self._name("loop" if part.loop else part.steps[0].name, into.function)
        bounds = ["0", "b - a"] if part.loop else []
        written = list(map(self._word, part.outs))
        if into.keyword:
            written = [f"{into.keyword}={written[0]}"]
        operands = _cheaper(part) if into.elementwise else part.operands
        given = [*map(self._word, (*into.first, *operands, *into.before)), *written]
        self.lines.append(f"{name}({', '.join([*bounds, *given, *map(self._word, into.after)])})")

    def _release(self, n: int, part: Part) -> None:
        for x in dict.fromkeys(filter(_slot, part.operands)):
            place = self._place.get(x, "")
            if self._last[x] != n:
                continue
            if place in self._lent:
                self._homes.append(self._lent.pop(place))
            elif place.startswith("s"):
                self._free.setdefault(x.dtype, []).append(place)

    def _word(self, x: Any) -> str:
        return self._words[x] if _slot(x) else self._name("k", x)

    def _name(self, prefix: str, value: Any) -> str:
        for name, known in self._scope.items():
            if known is value:
                return name
        name = f"{prefix.replace('.', '_')}_{len(self._scope)}"
        self._scope[name] = value
        return name


def _reads_first(part: Part) -> bool:
    """Whether a part reads an element of its operands before it writes one to the same place."""
    return part.loop or (part.into is not None and part.into.elementwise)


def _cheaper(part: Part) -> list[Any]:
    """The operands, with arrays without axes for numbers, which cost NumPy a microsecond to look at."""
    dtypes = {x.dtype for x in part.operands if hasattr(x, "dtype")}
    (dtype,) = dtypes if len(dtypes) == 1 else (np.dtype(object),)
    return [_number(x, dtype) if type(x) in (int, float) and dtype.kind == "f" else x for x in part.operands]


def _number(x: float, dtype: Any) -> Any:
    # One that is too large for the dtype is an infinity there, and no warning.
    with np.errstate(all="ignore"):
        return np.asarray(x, dtype=dtype)


def _slot(x: Any) -> bool:
    return hasattr(x, "index") and hasattr(x, "backend")
