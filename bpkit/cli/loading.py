"""A function by its name on the command line, and what it raised."""

import difflib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from bpkit._messages import a_type, line_at, user_frame
from bpkit.cli.parser import UsageError

__all__ = ["load_function", "own_line", "raised"]


def load_function(target: str, option: str) -> Callable[..., Any]:
    """The function that ``module:function`` names; `option` is what the command line calls it.

    Raises
    ------
    UsageError
        If there is no such thing; it says what there is.
    """
    where, colon, name = target.rpartition(":")
    if not colon or not where or not name:
        raise UsageError(
            f"{option} is {target!r}; write a module and a function, package.module:loss or model.py:loss"
        )
    found: Any = _load_module(where, option)
    for part in name.split("."):
        if not hasattr(found, part):
            _refuse_name(found, part, where, option)
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{option}: {target} is {a_type(type(found))}, which cannot be called")
    function: Callable[..., Any] = found
    return function


def _load_module(where: str, option: str) -> ModuleType:
    path = Path(where)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise UsageError(f"{option}: there is no file {where} in {Path.cwd()}")
    # As for a program that is started there: the modules beside it can be imported.
    folder = str(path.resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _load_file(path.resolve()) if is_file else importlib.import_module(where)
    except ModuleNotFoundError as error:
        if is_file or not f"{where}.".startswith(f"{error.name}."):
            raise UsageError(f"{option}: importing {where} failed with {raised(error)}") from error
        beside = Path(*where.split(".")).with_suffix(".py")
        advice = f"there is {beside}: name that" if beside.is_file() else "name its .py file, or install it"
        raise UsageError(
            f"{option}: there is no module {error.name}, neither in {Path.cwd()} nor installed; {advice}"
        ) from error
    except Exception as error:
        raise UsageError(f"{option}: importing {where} failed with {raised(error)}") from error


@functools.cache
def _load_file(path: Path) -> ModuleType:
    # Under its plain name, which a dataclass in it looks for, unless that belongs to another module.
    name = path.stem if path.stem not in sys.modules else str(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _refuse_name(found: Any, part: str, where: str, option: str) -> NoReturn:
    names = [name for name, value in vars(found).items() if callable(value) and not name.startswith("_")]
    close = difflib.get_close_matches(part, names, n=1)
    guess = f"did you mean {close[0]}" if close else f"it has {', '.join(names[:8]) or 'no functions'}"
    raise UsageError(f"{option}: {where} has no function {part}; {guess}")


def own_line(error: BaseException) -> str:
    """The line of the user's code that an exception passed last; empty if it passed none."""
    own, trace = "", error.__traceback__
    while trace is not None:
        if user_frame(trace.tb_frame) is trace.tb_frame:
            own = line_at(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return own


def raised(error: BaseException) -> str:
    """An exception in a sentence, with the line of the user's code where it came up."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = own_line(error)
    # Errors of bpkit have it already.
    return text if not line or line in text else f"{text}\n  at {line}"
