"""Windows over NumPy arrays as loops that Numba compiles, in place of `_windows.py` in compiled programs.

Where few images stand last, NumPy's own loops have few elements to go through before they begin anew. These
give the same results to the bit, but where the largest elements of several windows are one: what is added to
it is added in another order.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from bpkit.sliding import Ints, Windows

from ._fused_loops import compiled, has_compiler
from ._threads import spread

__all__ = ["window_loop"]

LEAST = 8192
"""Elements from which on a loop is used."""
CHUNK = 2**18
"""Elements of a piece: with fewer, another thread takes longer to fetch them than to do what is done."""
WRITTEN_OUT = 16
"""Elements of a window up to which those that find the largest have a line for each."""

_COPY = """\
def loop(start, stop, step, gap, x, o):
    for c in range(u8(start), u8(stop)):
        a, b = c // u8({seen}.shape[3]), c % u8({seen}.shape[3]){zero}
        for i in range(u8({seen}.shape[1])):
            for j in range(u8({seen}.shape[2])):
                for p in range(u8({seen}.shape[4])):
                    for q in range(u8({seen}.shape[5])):
                        k = q * u8(step) + j * u8(gap)
                        for n in range(u8({seen}.shape[6])):
                            {do}
"""
_IMAGE, _SEEN = "[c, p * u8({stride}) + i * u8({dilation}), k + n]", "[a, i, j, b, p, q, n]"
_ZERO = """
        for h in range(u8(o.shape[1])):
            for n in range(u8(o.shape[2])):
                o[c, h, n] = {of}(0)"""
_LARGEST = """\
def loop(start, stop, {names}):
    for c in range(u8(start), u8(stop)):{zero}
        for p in range(u8(y.shape[1])):
            for q in range(u8(y.shape[2])):
                for n in range(u8(y.shape[3])):
                    {do}
"""
_ZEROS = """
        for h in range(u8(o.shape[1])):
            for k in range(u8(o.shape[2])):
                for n in range(u8(o.shape[3])):
                    o[c, h, k, n] = {of}(0)"""


class _Loop(NamedTuple):
    """A function `loop` over the first axis of an image, with what it is given and what it is."""

    source: str
    shapes: tuple[Ints, ...]
    """Of the operands and the result, as it takes them."""
    numbers: Ints
    """That stand before these."""
    length: int
    """Of the axis."""


def window_loop(
    name: str, operands: Sequence[Any], static: Mapping[str, Any], out: Any, plain: Callable[..., Any]
) -> Callable[..., Any]:
    """The function for a step: `plain`, which is that of `_windows.py`, or a loop that does the same.

    A loop is compiled when it is used first. A result that does not lie in order is left to `plain`.

    Parameters
    ----------
    name : {"add_to_winners", "add_windows", "max_pool", "windows"}
    operands, static, out
        As for :meth:`bpkit._protocol.Backend.into`.
    plain : callable
    """
    moving, dtype = static["moving"], np.dtype(out.dtype)
    axes, at = moving.axes, static.get("at", 0)
    floats = dtype.char in "fd" and all(x.dtype == dtype for x in operands)
    beside = len(axes) in (1, 2) and axes == tuple(range(axes[0], axes[0] + len(axes)))
    size = max(prod(x.shape) for x in (*operands, out))
    if not (floats and beside and at <= axes[0] and size >= LEAST) or not has_compiler():
        return plain
    of = f"f{dtype.itemsize}"
    shapes = [tuple(x.shape) for x in (*operands, out)]
    if "at" in static:
        made = _copy(name, shapes, moving, at, of)
    elif prod(moving.window) <= WRITTEN_OUT:
        made = _largest(name, shapes, moving, of)
    else:
        return plain
    return _launcher(made, of, size, plain)


def _launcher(made: _Loop, of: str, size: int, plain: Callable[..., Any]) -> Callable[..., Any]:
    source, shapes, numbers, count = made
    given_types = [f"A({of}, {len(shape)}, 'C', readonly=True)" for shape in shapes[:-1]]
    types = [*["i8"] * (2 + len(numbers)), *given_types, f"A({of}, {len(shapes[-1])}, 'C')"]
    parts = min(count, size // CHUNK)
    pieces = list(pairwise([count * i // parts for i in range(parts + 1)])) if parts > 1 else []
    run: Callable[..., Any] | None = None
    failed = False

    def launch(*given: Any) -> Any:
        nonlocal run, failed
        out = given[-1]
        # Where the result is to be a new array, the last is a setting.
        if failed or not isinstance(out, np.ndarray) or not out.flags.c_contiguous:
            return plain(*given)
        if run is None:
            try:
                run = compiled(source, f"void({', '.join(types)})")
            except Exception as error:  # noqa: BLE001  whatever a compiler raises that is not as it should be
                warnings.warn(
                    f"bpkit.jit: Numba could not compile a loop: {type(error).__name__}: {error}. NumPy's "
                    f"functions run in its place, which takes longer",
                    RuntimeWarning,
                    stacklevel=3,
                )
                failed = True
                return plain(*given)
        loop = run
        arrays = [np.ascontiguousarray(x) for x in given[: len(shapes) - 1]]
        views = [x.reshape(shape) for x, shape in zip((*arrays, out), shapes, strict=True)]
        if pieces:
            spread(lambda piece: loop(*piece, *numbers, *views), pieces)
        else:
            loop(0, count, *numbers, *views)
        return out

    return launch


def _copy(name: str, shapes: Sequence[Ints], moving: Windows, at: int, of: str) -> _Loop:
    """What is seen, written down or added up."""
    axes = moving.axes
    image, seen = shapes if name == "windows" else shapes[::-1]
    lengths, places = _two(axes, image), _two([axis + len(axes) for axis in axes], seen)
    window, stride, dilation = (_both(sizes) for sizes in moving[1:])
    inner = prod(image[axes[-1] + 1 :])
    outer, middle = prod(image[:at]), prod(image[at : axes[0]])
    # Places side by side see what stands side by side.
    row = (1, places[1] * inner) if stride[1] == 1 else (places[1], inner)
    seen = (outer, *window, middle, places[0], *row)
    image = (outer * middle, lengths[0], lengths[1] * inner)
    numbers = (stride[1] * inner, dilation[1] * inner)
    here = _IMAGE.format(stride=stride[0], dilation=dilation[0])
    if name == "windows":
        source = _COPY.format(seen="o", zero="", do=f"o{_SEEN} = x{here}")
        return _Loop(source, (image, seen), numbers, image[0])
    source = _COPY.format(seen="x", zero=_ZERO.format(of=of), do=f"o{here} += x{_SEEN}")
    return _Loop(source, (seen, image), numbers, image[0])


def _largest(name: str, shapes: Sequence[Ints], moving: Windows, of: str) -> _Loop:
    """The largest element of each window, or what is added where it stands first."""
    axes = moving.axes
    image, found = (shapes[0], shapes[1]) if name == "max_pool" else (shapes[1], shapes[2])
    outer, inner = prod(image[: axes[0]]), prod(image[axes[-1] + 1 :])
    large, small = (outer, *_two(axes, image), inner), (outer, *_two(axes, found), inner)
    window, stride, dilation = (_both(sizes) for sizes in moving[1:])
    keys = [
        f"[c, p * u8({stride[0]}) + u8({i * dilation[0]}), q * u8({stride[1]}) + u8({j * dilation[1]}), n]"
        for i, j in product(*map(range, window))
    ]
    if name == "max_pool":
        lines = [f"v = x{keys[0]}"]
        for key in keys[1:]:
            lines += [f"w = x{key}", "v = choose((v > w) | (v != v), v, w)"]
        source = _source("x, y", "", [*lines, "y[c, p, q, n] = v"])
        return _Loop(source, (large, small), (), outer)
    # Where windows do not overlap and leave nothing out, every element is written, once.
    apart = window == stride and dilation == (1, 1)
    whole = apart and prod(window) * prod(small) == prod(large)
    lines = ["v = y[c, p, q, n]", "g = t[c, p, q, n]", "done = v != v"]
    for key in keys:
        chosen = f"choose((x{key} == v) & (done == False), g, {of}(0))"
        lines += [f"w = x{key} == v", f"o{key} {'=' if whole else '+='} {chosen}", "done = done | w"]
    source = _source("t, x, y, o", "" if whole else _ZEROS.format(of=of), lines)
    return _Loop(source, (small, large, small, large), (), outer)


def _source(names: str, zero: str, lines: Sequence[str]) -> str:
    return _LARGEST.format(names=names, zero=zero, do=f"\n{' ' * 20}".join(lines))


def _both(sizes: Ints) -> Ints:
    """For two axes, the first of which has one element if there is only one."""
    return (1,) * (2 - len(sizes)) + sizes


def _two(axes: Sequence[int], shape: Ints) -> Ints:
    return _both(tuple([shape[axis] for axis in axes]))
