"""What an error says besides its own text: the line of the user's code, and the call with shapes and dtypes.

Errors of bpkit end with the line (:mod:`bpkit.errors`). Those of an array library keep their class and text;
where one leaves a transform, :func:`explain` adds a note with the function of bpkit that was called.
"""

import linecache
import math
import os
import reprlib
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import dropwhile
from types import CodeType, FrameType, TracebackType
from typing import Any

from bpkit._foreign import advice

__all__ = [
    "a_type",
    "assigns",
    "described",
    "explain",
    "is_users",
    "library_line",
    "line_at",
    "spelled_call",
    "user_frame",
    "user_level",
    "user_line",
]

_BPKIT = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TRANSFORMS = os.path.join(_BPKIT, "transforms", "")
_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


@cache
def _foreign() -> tuple[str, ...]:
    """The folders of Python's own library and of what is installed."""
    import sysconfig  # it reads how Python was built, which takes milliseconds

    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    return tuple([sysconfig.get_path(name) + os.sep for name in names])


@cache
def _own() -> tuple[str, ...]:
    """The folders of bpkit; the backends have one of their own where it runs from a checkout."""
    from importlib.util import find_spec

    backends = find_spec("bpkit.backends")
    places = [] if backends is None else list(backends.submodule_search_locations or [])
    return (_BPKIT, *[os.path.abspath(place) + os.sep for place in places])


@lru_cache(maxsize=4096)
def is_users(filename: str) -> bool:
    """Whether code of this file is neither bpkit's nor a library's; what was typed in is the user's."""
    if filename.startswith("<frozen "):
        return False
    return not filename.startswith((*_own(), *_foreign())) and not any(part in filename for part in _PACKAGES)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's code, from this frame outwards; None if there is none."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def line_at(filename: str, number: int) -> str:
    """A line of code as errors show it: file, number, and the code where it can be read."""
    source = linecache.getline(filename, number).strip()
    here = filename.removeprefix(os.getcwd() + os.sep)
    return f"{here}:{number}: {source}" if source else f"{here}:{number}"


def user_line() -> str:
    """The line of the user's code that is running; empty if there is none."""
    frame = user_frame(sys._getframe(1))
    return "" if frame is None else line_at(frame.f_code.co_filename, frame.f_lineno)


def library_line() -> str:
    """The line of another library that called bpkit, after "in"; empty if the user's own line did."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_own()):
        frame = frame.f_back
    if frame is None or frame is user_frame(frame):
        return ""
    return f", in {line_at(frame.f_code.co_filename, frame.f_lineno)}"


def user_level() -> int:
    """The user's line as the `stacklevel` of a warning that the caller gives: 1 is the caller itself."""
    frame, level = sys._getframe(1), 1
    found = user_frame(frame)
    while found is not None and frame is not found:
        assert frame.f_back is not None
        frame, level = frame.f_back, level + 1
    return level


@cache
def _assignments() -> frozenset[int]:
    from dis import opmap

    return frozenset({opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in opmap})


def assigns(frame: FrameType) -> bool:
    """Whether a frame is in the middle of ``x[key] = value``, rather than in a call."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] in _assignments()


def a_type(cls: type) -> str:
    """A type with its article: ``an int``, ``a list``."""
    name = cls.__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def described(x: Any) -> str:
    """An operand in short: ``float64[3, 2]`` for an array."""
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if shape is not None and dtype is not None:
        # "torch.float32", "array_api_strict.float32" and "float32" all name the standard's float32.
        return f"{str(dtype).rpartition('.')[2]}{list(shape)}"
    if isinstance(x, list | tuple) and any(hasattr(part, "shape") for part in x):
        return f"[{', '.join(map(described, x[:6]))}{', …' if len(x) > 6 else ''}]"
    return reprlib.repr(x)


def spelled_call(name: str, operands: Sequence[Any], static: dict[str, Any]) -> str:
    """A call of a function of bpkit: ``sum(float64[3], axis=1)``."""
    shown = [described(x) for x in operands[:6]] + ["…"] * (len(operands) > 6)
    shown += [f"{key}={described(value)}" for key, value in static.items() if value is not None]
    return f"{name}({', '.join(shown)})"


def explain(error: BaseException, traceback: TracebackType | None, door: CodeType) -> None:
    """Add to an error that leaves a transform which function of bpkit it came from, and the user's line.

    Parameters
    ----------
    error : exception
        Keeps its class and its text. One that has the line already (:mod:`bpkit.errors`), or that did not
        come from a function of bpkit, is left alone, unless other code raised it, or made bpkit raise it,
        because it was given a traced value.
    traceback : traceback
        From the transform on.
    door : code
        That of :func:`bpkit.trace.call`, through which all functions go.
    """
    if not isinstance(error, Exception):
        return
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    users = [i for i, (frame, _) in enumerate(frames) if is_users(frame.f_code.co_filename)]
    if users:
        frame, number = frames[users[-1]]
        line = line_at(frame.f_code.co_filename, number)
        inside = [frame for frame, _ in frames[users[-1] + 1 :]]
    else:
        line = user_line()
        inside = [frame for frame, _ in frames]
    if said := advice(error, inside):
        _add_note(error, said if hasattr(error, "line") or not line else f"{said}\n  at {line}")
    if hasattr(error, "line"):
        return
    own = [frame for frame in inside if frame.f_code.co_filename.startswith(_own())]
    # What a transform was given may be a function of bpkit itself; the transform did not go wrong.
    own = list(dropwhile(lambda frame: frame.f_code.co_filename.startswith(_TRANSFORMS), own))
    if not own:
        return
    code, parts = own[0].f_code, []
    call = next((frame for frame in own if frame.f_code is door), None)
    if call is not None:
        name, operands, static = (call.f_locals[key] for key in ("name", "operands", "static"))
        parts.append(f"in {spelled_call(name, operands, static)}")
        if _is_public(code) and code.co_name != name.rpartition(".")[2]:
            parts[0] += f", called by {code.co_name}"
        parts.append(_advice(name, operands, static))
    elif _is_public(code):
        operands = [own[0].f_locals[key] for key in code.co_varnames[: code.co_argcount]]
        parts.append(f"in {spelled_call(code.co_name, operands, {})}")
    parts.insert(1, f"at {line}" if line else "")
    _add_note(error, "\n  ".join(filter(None, parts)))


def _add_note(error: Exception, note: str) -> None:
    """Add a note, once: the transforms around this one see the same error."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _is_public(code: CodeType) -> bool:
    """Whether this is a function that users call by its name."""
    return code.co_qualname == code.co_name and not code.co_name.startswith(("_", "<"))


def _advice(name: str, operands: Sequence[Any], static: dict[str, Any]) -> str:
    """What to write where shapes do not fit; empty where they do, or the library says it well enough."""
    shapes = [tuple(x.shape) for x in operands if hasattr(x, "shape")]
    if name in ("concat", "stack"):
        uneven = len({len(shape) for shape in shapes}) > 1
        return "All arrays need the same number of axes; x[None, ...] adds one" if uneven else ""
    if name == "reshape":
        return f"{described(operands[0])} has {math.prod(shapes[0])} elements; -1 is the length that fits"
    if name == "matmul":
        if len(shapes) == 2 and all(shapes) and shapes[0][-1] != (rows := shapes[1][-2:][0]):
            return (
                f"x1 @ x2 sums over the last axis of x1, of length {shapes[0][-1]}, and the last but one of "
                f"x2 (the only one of a vector), of length {rows}: they must be equal. x.mT is the transpose"
            )
        return ""
    axis = static.get("axis")
    if isinstance(axis, int) and len(shapes) == 1 and not -(n := len(shapes[0])) <= axis < n:
        return f"The array has {n} axes: axis can be from {-n} to {n - 1}" if n else "The array has no axes"
    # Functions without settings are those that work element by element.
    for back in range(1, 1 + (0 if static else max(map(len, shapes), default=0))):
        lengths = {shape[-back] for shape in shapes if len(shape) >= back} - {1}
        if len(lengths) > 1:
            return (
                f"Axis {-back} has the lengths {' and '.join(map(str, sorted(lengths)))}. Axes are matched "
                f"from the last on; their lengths must be equal, or 1. x[:, None] adds an axis of length 1"
            )
    return ""
