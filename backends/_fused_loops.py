"""Element-wise functions as one loop that Numba compiles: arithmetic, comparisons and choices.

The loop does to each element what NumPy does, one rounding for each function, in the dtype that NumPy would
compute in; LLVM makes vector instructions of it. Of the functions that are not rounded like that (sines,
exponentials, logarithms, powers), those of `_fused_functions.py` are among them, in float32: their results
are as near to the true ones as NumPy's, and not the same bits. The others, and divisions of integers, are
not: :func:`can_loop`.

Compiled loops are kept on disk, in the user's cache, by their source.
"""

import hashlib
import importlib
import importlib.util
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ._fused_functions import FUNCTIONS, VERSION, intrinsics
from ._fused_layout import Layout, by_overlap

__all__ = ["can_loop", "compiled", "has_compiler", "is_approximate", "loop"]

_ANY = "biuf"
# By name: the kinds of dtypes that it is computed in, and how it is written for operands a, b, c.
_FORMS: Mapping[str, tuple[str, str]] = {
    "abs": ("f", "abs({a})"),
    "add": ("iuf", "{a} + {b}"),
    # Only what is not finite makes a NaN of 0.
    "annihilating_product": ("f", "choose(({a} == {zero}) & ({a} * {b} != {a} * {b}), {a}, {a} * {b})"),
    "divide": ("f", "{a} / {b}"),
    "equal": (_ANY, "{a} == {b}"),
    "greater": ("iuf", "{a} > {b}"),
    "greater_equal": ("iuf", "{a} >= {b}"),
    "isfinite": ("f", "abs({a}) < inf"),
    "isinf": ("f", "abs({a}) == inf"),
    "isnan": ("f", "{a} != {a}"),
    "less": ("iuf", "{a} < {b}"),
    "less_equal": ("iuf", "{a} <= {b}"),
    "logical_and": ("b", "{a} & {b}"),
    "logical_not": ("b", "{a} == False"),
    "logical_or": ("b", "{a} | {b}"),
    "logical_xor": ("b", "{a} != {b}"),
    # Of equal operands, such as 0 and -0, NumPy takes the second.
    "maximum": ("iuf", "choose(({a} > {b}) | ({a} != {a}), {a}, {b})"),
    "minimum": ("iuf", "choose(({a} < {b}) | ({a} != {a}), {a}, {b})"),
    "multiply": ("iuf", "{a} * {b}"),
    "negative": ("f", "-{a}"),
    "not_equal": (_ANY, "{a} != {b}"),
    "positive": ("iuf", "{a}"),
    "reciprocal": ("f", "{one} / {a}"),
    # Choices in turn: LLVM turns comparisons into numbers one by one.
    "sign": (
        "f",
        "choose({a} > {zero}, {one}, choose({a} < {zero}, -{one}, choose({a} == {zero}, {zero}, {a})))",
    ),
    "sqrt": ("f", "sqrt({a})"),
    "square": ("iuf", "{a} * {a}"),
    "subtract": ("iuf", "{a} - {b}"),
}
# Of single numbers, which NumPy's own loops do not do faster; right within rounding.
_OF_NUMBERS: Mapping[str, str] = {
    **{name: f"math.{name}({{a}})" for name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh")},
    **{name: f"math.{name}({{a}})" for name in ("tanh", "asinh", "acosh", "atanh", "exp", "expm1")},
    **{name: f"math.{name}({{a}})" for name in ("log", "log1p", "log10")},
    **{name: f"math.{name}({{a}}, {{b}})" for name in ("atan2", "copysign", "hypot", "pow")},
}
_ROUND = ("cos", "sin")
"""Functions whose vector instructions are right up to `NEAR` only."""
_CASTS = ("astype", "cotangent_as")
_TYPES = (
    "bool",
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"),
)


@cache
def has_compiler() -> bool:
    """Whether Numba is installed and can be imported, which takes half a second."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        importlib.import_module("numba")
    except Exception:  # noqa: BLE001  whatever it raises beside a NumPy that it does not know
        return False
    return True


def can_loop(step: Any) -> bool:
    """Whether a loop does a step as NumPy does: to the same bits, unless it :func:`is_approximate`."""
    dtypes = [np.dtype(x.dtype) for x in (*step.operands, *step.outs) if hasattr(x, "dtype")]
    if any(dtype.name not in _TYPES or not dtype.isnative for dtype in dtypes):
        return False
    numbers = [x for x in step.operands if not hasattr(x, "dtype")]
    if any(type(x) not in (bool, int, float) or (type(x) is int and abs(x) >= 2**53) for x in numbers):
        return False
    out = dtypes[-1]
    if step.name in _CASTS:
        # What an integer is that a number outside its range becomes depends on the machine.
        return bool(out.kind in "bf" or dtypes[0].kind in "biu")
    if step.name == "where":
        return bool(dtypes[0].kind == "b")
    form = _form(step)
    return is_approximate(step) or (form is not None and _holds_all(step, _computed_in(step), form[0]))


def _holds_all(step: Any, dtype: np.dtype[Any], kinds: str) -> bool:
    """Whether the operands of a step have the same values in a dtype, which must be of one of the kinds.

    NumPy compares integers by value, also with a number that the dtype of the array does not hold, and the
    64-bit ones with and without a sign with each other.
    """
    if dtype.kind not in kinds:
        return False
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return all(
        np.can_cast(x.dtype, dtype) if hasattr(x, "dtype") else limits.min <= x <= limits.max
        for x in step.operands
    )


def is_approximate(step: Any) -> bool:
    """Whether a loop does a step by a function of `_fused_functions.py`.

    It needs a processor that :func:`~bpkit.backends._fused_functions.can_fuse_multiply_and_add`.
    """
    of_many = step.name in FUNCTIONS and step.outs[0].shape != ()
    return of_many and bool(step.operands[0].dtype == step.outs[0].dtype == np.float32)


def _form(step: Any) -> tuple[str, str] | None:
    """The kinds of dtypes that a function is computed in, and how it is written."""
    if step.name in _OF_NUMBERS and step.outs[0].shape == ():
        return "f", _OF_NUMBERS[step.name]
    return _FORMS.get(step.name)


def _computed_in(step: Any) -> np.dtype[Any]:
    """The dtype to which NumPy converts the operands."""
    if step.name in _CASTS or step.name == "where":
        dtype: np.dtype[Any] = np.dtype(step.outs[0].dtype)
        return dtype
    name = "multiply" if step.name == "annihilating_product" else step.name
    function: np.ufunc = getattr(np, name)
    given = [np.dtype(x.dtype) if hasattr(x, "dtype") else type(x) for x in step.operands]
    try:
        found: np.dtype[Any] = function.resolve_dtypes((*given, None))[0]
    except TypeError:
        return np.dtype(object)
    return found


def loop(layout: Layout, program: Any) -> tuple[str, dict[str, Any]]:
    """A loop over a range of the first axis.

    Parameters
    ----------
    layout : Layout
    program : Program
        All of whose steps :func:`can_loop` takes.

    Returns
    -------
    str
        An expression of ``x0``, … and ``o0``, … for the inputs and for memory for the outputs. It is a
        function of the start and the end of the range, and of these arrays, contiguous and in the layout's
        shapes. It is compiled when it is used first, and releases the interpreter's lock; if that fails, it
        warns and does one step after the other. An output may be an input of its shape, as the same object.
    dict of str
        What the names in the expression stand for.
    """

    def make(over: Mapping[Any, Any]) -> Callable[..., None]:
        # LLVM makes no vector instructions for two names of the same memory.
        places = {x: out for out, x in over.items()}
        source, signature = _source(layout, program.steps, program.inputs, program.outputs, places)
        try:
            return compiled(source, signature)
        except Exception as error:  # noqa: BLE001  whatever a compiler raises that is not as it should be
            warnings.warn(
                f"bpkit.jit: Numba could not compile a loop: {type(error).__name__}: {error}. NumPy's "
                f"functions run in its place, which takes longer",
                RuntimeWarning,
                stacklevel=4,
            )
            return partial(_step_by_step, program, layout)

    return by_overlap(program.inputs, program.outputs, make)


def _step_by_step(program: Any, layout: Layout, start: int, stop: int, *arrays: Any) -> None:
    """What the loop of a program does."""
    pieces = [x[start:stop] if x.shape[:1] == layout.shape[:1] != () else x for x in arrays]
    count = len(program.inputs)
    for out, found in zip(pieces[count:], program(pieces[:count]), strict=True):
        out[...] = found


def _source(
    layout: Layout, steps: Sequence[Any], inputs: Sequence[Any], outs: Sequence[Any], over: Mapping[Any, Any]
) -> tuple[str, str]:
    """The loop in Python, and its signature for Numba. Values are numbered anew: equal loops are one."""
    depth = len(layout.shape)
    words: dict[Any, str] = {}
    loads: list[list[str]] = [[] for _ in range(depth + 1)]
    types = []
    for i, x in enumerate(inputs):
        shape = layout.shapes.get(x, layout.shape)
        words[x] = f"x{i}"
        types.append(f"A({_type(x.dtype)}, {len(shape)}, 'C', readonly=True)")
        array = f"o{outs.index(over[x])}" if x in over else f"a{i}"
        places = [f"i{d}" if length > 1 else "0" for d, length in enumerate(shape)]
        level = 1 + max((d for d, length in enumerate(shape) if length > 1), default=-1)
        loads[level].append(f"x{i} = {array}[{', '.join(places) or '()'}]")
    types += [f"A({_type(x.dtype)}, {depth}, 'C')" for x in outs]
    words |= {step.outs[0]: f"t{n}" for n, step in enumerate(steps)}
    made = {step.outs[0]: step for step in steps}
    round_ones = [step for step in steps if step.name in _ROUND and is_approximate(step)]

    def nest(ends: list[str], count: int = len(steps), near: bool = True) -> list[str]:
        """The first steps for every element, and what is to be done then."""
        body = [f"t{n} = {_expression(step, words, made, near)}" for n, step in enumerate(steps[:count])]
        lines = []
        for d in range(depth):
            # Numba asks whether a signed index is negative, which keeps LLVM from making vectors.
            bounds = "u8(start), u8(stop)" if d == 0 else f"u8(o0.shape[{d}])"
            lines.append(f"{'    ' * d}for i{d} in range({bounds}):")
            lines += _indented(loads[d + 1], d + 1)
        return lines + _indented([*body, *ends], depth)

    names = [*(f"a{i}" for i in range(len(inputs))), *(f"o{k}" for k in range(len(outs)))]
    lines = [f"def loop(start, stop, {', '.join(names)}):", *_indented(loads[0], 1)]
    place = ", ".join(f"i{d}" for d in range(depth)) or "()"
    ends = [f"o{k}[{place}] = {words[x]}" for k, x in enumerate(outs)]
    if round_ones:
        # What is not stored is not computed: LLVM drops it.
        far = [f"far = farther(far, {words[step.operands[0]]})" for step in round_ones]
        lines += ["    far = u4(0)", *_indented(nest(far, steps.index(round_ones[-1])), 1)]
        lines += ["    if far:", *_indented(nest(ends, near=False), 2), "        return"]
    lines += _indented(nest(ends), 1)
    return "\n".join(lines) + "\n", f"void(i8, i8, {', '.join(types)})"


def _indented(lines: Sequence[str], depth: int) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]


def _type(dtype: Any) -> str:
    dtype = np.dtype(dtype)
    return f"{dtype.kind}{dtype.itemsize}"


def _expression(step: Any, words: Mapping[Any, str], made: Mapping[Any, Any], near: bool) -> str:
    """What a step computes; every value keeps its dtype."""
    if is_approximate(step):
        inner = made.get(step.operands[0])
        if step.name == "exp" and inner is not None and inner.name == "minimum" and inner.operands[1] == 0:
            # The logistic function has exp(-|x|) too, and LLVM does once what is there twice.
            x = _operand(inner.operands[0], np.dtype(np.float32), words)
            return f"choose({x} >= f4(0.0), f4(1.0), f4(f4_exp(f4(-f4(abs({x}))))))"
        of = f"f4_{step.name}" if near or step.name not in _ROUND else f"math.{step.name}"
        return f"f4({of}({words[step.operands[0]]}))"
    inner, out = _computed_in(step), np.dtype(step.outs[0].dtype)
    given = [_operand(x, inner, words) for x in step.operands]
    if step.name == "where":
        condition = _operand(step.operands[0], np.dtype(bool), words)
        return f"choose({condition}, {given[1]}, {given[2]})"
    if step.name in _CASTS:
        return given[0]
    of = _type(inner)
    _, form = _form(step) or ("", "")
    if out.kind == "b":
        return form.format(**dict(zip("ab", given, strict=False)), zero=f"{of}(0)")
    constants = {"zero": f"{of}(0)", "one": f"{of}(1)", "of": of}
    return f"{of}({form.format(**dict(zip('ab', given, strict=False)), **constants)})"


def _operand(x: Any, dtype: np.dtype[Any], words: Mapping[Any, str]) -> str:
    of = _type(dtype)
    if hasattr(x, "backend"):
        if np.dtype(x.dtype) == dtype:
            return words[x]
        return f"({words[x]} != 0)" if dtype.kind == "b" else f"{of}({words[x]})"
    # As NumPy converts a number.
    with np.errstate(all="ignore"):
        value = np.asarray(x).astype(dtype)[()].item()
    return f"{of}({value!r})"


@cache
def _choose() -> Callable[..., Any]:
    """``choose(condition, a, b)`` for compiled code: an instruction, where Python's ``if`` is a branch.

    Each branch makes all that follows slower to compile.
    """
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def choose(context: Any, condition: Any, a: Any, b: Any) -> Any:
        def instruction(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.select(*arguments)

        # Both are of one type already.
        return a(condition, a, a), instruction

    found: Callable[..., Any] = choose
    return found


_known: dict[str, Callable[..., None]] = {}
_lock = Lock()


def compiled(source: str, signature: str) -> Callable[..., None]:
    """The function of a source: compiled now, or earlier."""
    digest = hashlib.sha256(f"{VERSION}\n{signature}\n{source}".encode()).hexdigest()[:32]
    # Numba's compiler is not for several threads at once.
    with _lock:
        if digest not in _known:
            import numba

            # Numba tells what it has compiled by the names of functions and of modules, which it imports.
            name = f"loop_{digest}"
            source = source.replace("def loop(", f"def {name}(", 1)
            types = numba.types
            scope: dict[str, Any] = {
                "inf": math.inf,
                "math": math,
                "choose": _choose(),
                "nan": math.nan,
                "sqrt": math.sqrt,
                "__name__": __name__,
                **intrinsics(),
            }
            scope |= {"b1": np.bool_} | {_type(kind): getattr(np, kind) for kind in _TYPES[1:]}
            kinds = {"A": types.Array, "void": types.void, "b1": types.boolean}
            kinds |= {_type(kind): getattr(types, kind) for kind in _TYPES[1:]}
            declared = eval(signature, kinds)
            path = _kept(name, source)
            exec(compile(source, path or "<bpkit.jit>", "exec"), scope)
            make = partial(numba.njit, declared, nogil=True, error_model="numpy")
            try:
                _known[digest] = make(cache=path is not None)(scope[name])
            except Exception:  # noqa: BLE001  whatever reading a file raises that another program damaged
                _known[digest] = make()(scope[name])
        return _known[digest]


def _kept(name: str, source: str) -> str | None:
    """A file that stands for the source, beside which Numba keeps what it compiled; None if there is none."""
    try:
        path = _folder() / f"{name}.py"
        if path.exists():
            return str(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(source)
        os.replace(file.name, path)
    except (OSError, RuntimeError):  # no home directory
        return None
    return str(path)


def _folder() -> Path:
    """The user's cache."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bpkit" / "loops"
