"""Programs of element-wise functions in one pass over the elements.

Where all functions are ones that Numba turns into vector instructions, that pass is one loop
(`_fused_loops.py`). Otherwise, and without Numba, every function does a block of elements before the next
block begins, so that what lies between them stays in the cache (`_fused_blocks.py`). Either way each element
goes through the same operations as without fusing, so the results are the same bits, but for exponentials,
sines and the like of float32 in a loop, which are as near to the true values as NumPy's
(`_fused_functions.py`), and for sums: they are sums of the sums of blocks, which depend on the shapes alone
and not on the number of threads.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bpkit._protocol import Into

from ._fused_blocks import Part, blocks, launcher
from ._fused_functions import can_fuse_multiply_and_add
from ._fused_layout import Layout, is_sum
from ._fused_loops import can_loop, has_compiler, is_approximate, loop
from ._threads import spread

__all__ = ["fused"]

BLOCK = 32768
"""Elements of a block, at each of which a function of NumPy takes about as long as 30 calls of one: shorter
blocks cost more calls, and of longer ones what lies between the functions leaves a cache of 2 MB."""

CHUNK = 65536
"""Elements of a piece of a loop, which takes some ten times as long as handing it to a thread. A logarithm or
a sine takes as long as the rest of a loop may: pieces have fewer elements by that."""

LEAST: Mapping[str, tuple[tuple[int, int], ...]] = {
    "numbers": ((32, 1),),
    "loop": ((6, 256), (2, 4096)),
    "loops and functions": ((16, 256), (2, 16384)),
    "functions": ((1, 262144),),
}
"""From how many functions on, and from how many elements on, each way is faster than the functions one after
the other with `out=`. Measured with NumPy 2.4 and Numba 0.68 in float32 on two cores with AVX-512, in
microseconds one after the other / in one loop: SGD (2 functions) of 1,024 elements 4.0 / 4.0, of 4,096 4.8 /
4.5, of 16,384 8.0 / 5.9; Adam (12) of 256 9.4 / 7.0, of 16,384 45 / 22; gradient of tanh, expit, log1p, exp
and sin (28) of 256 13 / 6.8, of 16,384 131 / 41; exp and a product of 1,024 3.2 / 3.9, of 4,096 4.9 / 5.0, of
16,384 11.7 / 8.8. In loops and functions: that gradient of 256 17 / 10, of 16,384 137 / 97; tanh and exp (7)
of 4,096 11.5 / 13.5, of 16,384 37 / 34. In blocks of functions, by one thread: that gradient of 100,000 770 /
861, of 300,000 2,900 / 2,560. Single numbers: a chain of 1,000 and its gradient (3,119) 226 / 25, after ten
seconds or more of compiling, whose result is kept on disk."""

How = Callable[[str, tuple[Any, ...], Mapping[str, Any], Any], Into | None]


def fused(program: Any, into: How) -> Into | None:
    """How NumPy does a program of element-wise functions; None if one function after the other is faster.

    Parameters
    ----------
    program : Program
    into : callable
        :meth:`bpkit._protocol.Backend.into`.
    """
    layout = Layout(program)
    if layout.size == 1:
        one = _pays("numbers", program, layout) and all(map(can_loop, program.steps)) and has_compiler()
        return Into(_one_loop(program, layout), elementwise=True) if one else None
    # A row is never cut.
    if layout.row > 4 * BLOCK:
        return None
    loops = _loops(program, layout)
    way = _way(loops)
    if not _pays(way, program, layout):
        return None
    if way == "loop":
        return Into(_one_loop(program, layout), elementwise=True)
    parts = _parts(layout, loops, into, program)
    return Into(blocks(program, layout, parts, BLOCK), elementwise=True)


def _loops(program: Any, layout: Layout) -> list[bool]:
    """For each step whether it is done in a loop of Numba's."""
    loops = list(map(can_loop, program.steps))
    none = [False] * len(loops)
    # Numba takes half a second to import: only where it is of use.
    if _way(loops) == "functions" or not _pays(_way(loops), program, layout) or not has_compiler():
        return none
    if can_fuse_multiply_and_add():
        return loops
    exact = [can and not is_approximate(step) for can, step in zip(loops, program.steps, strict=True)]
    return exact if _way(exact) != "functions" and _pays(_way(exact), program, layout) else none


def _way(loops: list[bool]) -> str:
    return "loop" if all(loops) else "loops and functions" if sum(loops) > 1 else "functions"


def _pays(way: str, program: Any, layout: Layout) -> bool:
    return any(
        len(program.steps) >= functions and layout.size >= elements for functions, elements in LEAST[way]
    )


def _one_loop(program: Any, layout: Layout) -> Callable[..., None]:
    function, scope = loop(layout, program)
    chunk = CHUNK // (1 + sum(map(is_approximate, program.steps)) // 2)
    if layout.size < 2 * chunk:
        return launcher(program, layout, f"{function}(0, {{length}}, {{arrays}})", scope)
    scope |= {"spread": spread, "pieces": layout.pieces(chunk), "applied": _applied}
    return launcher(program, layout, f"spread(applied({function}, ({{arrays}},)), pieces)", scope)


def _applied(run: Callable[..., None], arrays: tuple[Any, ...]) -> Callable[[tuple[int, int]], None]:
    return lambda piece: run(*piece, *arrays)


def _parts(layout: Layout, loops: list[bool], into: How, program: Any) -> list[Part]:
    """Calls of NumPy, and between them loops over as many steps as possible."""
    left = list(zip(program.steps, loops, strict=True))
    known = set(program.inputs)
    outputs = set(program.outputs)
    parts: list[Part] = []
    looping = False
    while left:
        steps, later = [], []
        for step, loops_here in left:
            if loops_here is looping and all(x in known for x in step.operands if hasattr(x, "backend")):
                steps.append(step)
                known.update(step.outs)
            else:
                later.append((step, loops_here))
        left = later
        needed = outputs.union(x for step, _ in left for x in step.operands if hasattr(x, "backend"))
        if looping and (len(steps) > 1 or (steps and steps[0].name in _SLOW)):
            parts.append(_loop_part(layout, steps, needed, type(program)))
        else:
            parts += [_call(step, into) for step in steps]
        looping = not looping
    return parts


def _loop_part(layout: Layout, steps: list[Any], needed: set[Any], program: Callable[..., Any]) -> Part:
    results = {step.outs[0] for step in steps}
    used = [x for step in steps for x in step.operands if hasattr(x, "backend")]
    inputs = dict.fromkeys(x for x in used if x not in results)
    outs = tuple([step.outs[0] for step in steps if step.outs[0] in needed])
    function, scope = loop(layout, program(list(inputs), steps, outs))
    names = ", ".join([*(f"x{i}" for i in range(len(inputs))), *(f"o{k}" for k in range(len(outs)))])
    exec(compile(f"def run(a, b, {names}): {function}(a, b, {names})", "<bpkit.jit>", "exec"), scope)
    return Part(steps, tuple(inputs), outs, Into(scope["run"]), loop=True)


def _call(step: Any, into: How) -> Part:
    if is_sum(step):
        return Part([step], step.operands, step.outs, None)
    how = _SLOW.get(step.name) or into(step.name, step.operands, step.static, step.outs[0])
    return Part([step], step.operands, step.outs, how)


def _where(condition: Any, x: Any, y: Any, out: Any) -> None:
    np.copyto(out, np.where(condition, x, y))


def _annihilating_product(factor: Any, derivative: Any, out: Any) -> None:
    np.multiply(factor, derivative, out)
    # Where zero times what is not finite has made a NaN, the greatest element is one.
    if np.isnan(np.maximum.reduce(out, None)):
        idle = (factor == 0) & ~np.isfinite(derivative)
        np.multiply(factor, np.where(idle, np.zeros_like(derivative), derivative), out)


_SLOW: Mapping[str, Into] = {"annihilating_product": Into(_annihilating_product), "where": Into(_where)}
"""Functions that take several passes, or more time than a loop of one function."""
