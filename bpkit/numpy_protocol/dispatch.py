"""The table of NumPy's functions, how a call is bound to NumPy's own signature, and the refusals."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any, NoReturn

import numpy as np

from bpkit import namespace as xp
from bpkit.errors import GradientCutError, MixedBackendsError, NotDifferentiableError
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Traced

__all__ = [
    "FUNCTIONS",
    "Function",
    "apply_function",
    "as_array",
    "as_constants",
    "as_operand",
    "check_library",
    "constants_of_others",
    "copied",
    "flat",
    "function",
    "on_values",
    "refuse_out",
    "spelled",
    "traced_in",
    "transform_of",
]

_ABSENT = np._NoValue  # what NumPy passes on for an argument that was not given


# The signatures of functions in C of which older versions of NumPy do not say them.
_UNSAID: dict[str, Callable[..., Any]] = {
    "concatenate": lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "dot": lambda a, b, out=None: None,
}


class Function:
    """What stands for one of NumPy's functions.

    Parameters
    ----------
    name : str
        NumPy's, with its module: ``"linalg.solve"``.
    original : callable
        NumPy's function, whose signature counts.
    run : callable
        Takes those of NumPy's parameters that are supported, under NumPy's names.
    libraries : {"numpy", "any"}
        Whose values it takes.
    """

    def __init__(self, name: str, original: Callable[..., Any], run: Callable[..., Any], libraries: str):
        self.name, self.run, self.libraries = name, run, libraries
        parameters = inspect.signature(run).parameters
        self.open = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())
        self.taken = frozenset(parameters)
        try:
            self.signature = inspect.signature(original)
        except ValueError:
            self.signature = inspect.signature(_UNSAID.get(name, run))
        names = list(self.signature.parameters)
        # Leading arguments that mean the same in both signatures need no binding.
        self.direct = 0
        for theirs, ours in zip(names, parameters, strict=False):
            if theirs != ours:
                break
            self.direct += 1

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it with the arguments of a call of the original."""
        if kwargs:
            kwargs = {name: value for name, value in kwargs.items() if value is not _ABSENT}
        if self.open or (len(args) <= self.direct and kwargs.keys() <= self.taken):
            if kwargs.get("out") is not None:
                refuse_out(f"numpy.{self.name}", args, kwargs["out"])
            return self.run(*args, **kwargs)
        bound = self.signature.bind(*args, **kwargs)
        given = {}
        for name, value in bound.arguments.items():
            if name in self.taken:
                given[name] = value
            elif name == "out" and value is not None:
                refuse_out(f"numpy.{self.name}", args, value)
            elif value is not _ABSENT and not _is_default(value, self.signature.parameters[name].default):
                raise NotDifferentiableError(
                    f"numpy.{self.name}({name}=...) of a value traced by {transform_of((args, kwargs))}: "
                    f"this argument is not supported there; leave it out. Supported are "
                    f"{', '.join(n for n in self.signature.parameters if n in self.taken)}"
                )
        return self.run(**given)


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, bool | int | str) and value == default)


FUNCTIONS: dict[Callable[..., Any], Function] = {}
"""NumPy's functions and what stands for them."""


def function(*names: str, libraries: str = "numpy") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what stands for NumPy's functions of these names, as far as this NumPy has them."""

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            original: Any = np
            for part in name.split("."):
                original = getattr(original, part, None)
            if original is not None and original not in FUNCTIONS:
                FUNCTIONS[original] = Function(name, original, run, libraries)
        return run

    return register


def apply_function(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``original(*args, **kwargs)`` means when a traced value is among its operands."""
    known = FUNCTIONS.get(original)
    if known is None:
        return _unmapped(original, args, kwargs)
    if known.libraries == "numpy":
        if constants_of_others((args, kwargs)):
            return _unmapped(original, args, kwargs)
        check_library(f"numpy.{known.name}", (args, kwargs))
    return known(args, kwargs)


def _unmapped(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's own function where no gradient could be lost; else a refusal."""
    name = spelled(original)
    for x in traced_in((args, kwargs)):
        if _depends(x):
            check_library(f"numpy.{name}", (args, kwargs))
            raise NotDifferentiableError(
                f"numpy.{name} of a value traced by {x._trace.transform}: bpkit has nothing that stands for "
                f"it, and NumPy's own would lose the gradient. {_advice(name)}If no gradient is meant to "
                f"flow through it, pass bpkit.stop_gradient(x)"
            )
    return original(*as_constants(args), **as_constants(kwargs))


def constants_of_others(arguments: Any) -> bool:
    """Whether no traced value depends on an input, and some are of another library than NumPy.

    NumPy makes arrays of its own from another library's, and no gradient can be lost.
    """
    found = list(traced_in(arguments))
    return not all(map(_over_numpy, found)) and not any(map(_depends, found))


def _over_numpy(x: Traced) -> bool:
    return isinstance(raw(x), np.ndarray | np.generic)


def _depends(x: Any) -> bool:
    while isinstance(x, Traced):
        if x._link is not None:
            return True
        x = x._value
    return False


def as_constants(x: Any) -> Any:
    """Traced values in arguments as NumPy arrays that cannot be written: what is written would be lost."""
    if isinstance(x, Traced):
        host = np.asarray(x)
        host.flags.writeable = False
        return host
    if isinstance(x, dict):
        return {name: as_constants(value) for name, value in x.items()}
    return type(x)(map(as_constants, x)) if type(x) in (list, tuple) else x


def on_values(original: Callable[..., Any], decides: bool = False) -> Callable[..., Any]:
    """NumPy's own function of the values: for what returns Python's booleans, numbers and strings.

    One that `decides` by the values cannot take those that differ between the examples of vmap.
    """
    value_of = methodcaller("_number", f"numpy.{original.__name__}") if decides else raw

    def run(*args: Any, **kwargs: Any) -> Any:
        return original(*_values(args, value_of), **_values(kwargs, value_of))

    return run


def _values(x: Any, value_of: Callable[[Any], Any]) -> Any:
    if isinstance(x, Traced):
        return value_of(x)
    if isinstance(x, dict):
        return {name: _values(value, value_of) for name, value in x.items()}
    return type(x)([_values(value, value_of) for value in x]) if type(x) in (list, tuple) else x


# Operands.


def as_operand(x: Any) -> Any:
    """What may stand beside a traced array: a list becomes an array, anything else stays."""
    return as_array(x) if type(x) in (list, tuple) else x


def as_array(x: Any) -> Any:
    """An array where NumPy takes any sequence or number."""
    if isinstance(x, Traced | np.ndarray | np.generic):
        return x
    return xp.asarray(x) if any(True for _ in traced_in(x)) else np.asarray(x)


def copied(x: Any, order: Any = "K") -> Any:
    """A copy in one of NumPy's orders, on which it depends what is a view of the copy."""
    if order == "K":
        return xp.astype(x, x.dtype, copy=True)
    if _first_fastest(x, order):
        return _backwards(copied(_backwards(x), "C"))
    return xp.reshape(x, tuple(x.shape), copy=True)


def flat(x: Any, order: Any = "C") -> Any:
    """A vector of all elements: a view if they stand in this order in memory, else a copy."""
    layout = raw(x).flags
    if order == "K":
        if not (layout.c_contiguous or layout.f_contiguous):
            raise NotDifferentiableError(
                f"numpy.ravel(order='K') of a value traced by {transform_of(x)}, whose elements are spread "
                f"in memory, is not supported there; name the order: 'C' or 'F'"
            )
        order = "A"
    x = _backwards(x) if _first_fastest(x, order) else x
    # NumPy copies also where the strides would allow a view.
    return xp.reshape(x, (-1,), copy=None if raw(x).flags.c_contiguous else True)


def _first_fastest(x: Any, order: Any) -> bool:
    if order not in ("A", "C", "F"):
        raise ValueError(f"order must be one of 'C', 'F', 'A' and 'K', got {order!r}")
    return bool(order == "F" or (order == "A" and raw(x).flags.fnc))


def _backwards(x: Any) -> Any:
    return xp.permute_dims(x, tuple(reversed(range(x.ndim))))


def traced_in(x: Any) -> Iterator[Traced]:
    """The traced values in arguments, however deep in lists."""
    if isinstance(x, Traced):
        yield x
    elif isinstance(x, dict):
        for value in x.values():
            yield from traced_in(value)
    elif isinstance(x, list | tuple):
        for value in x:
            yield from traced_in(value)


def transform_of(arguments: Any) -> str:
    """The transform that watches the first traced value."""
    return next((x._trace.transform for x in traced_in(arguments)), "a transform")


# Refusals.


def spelled(original: Any) -> str:
    """NumPy's name of a function, with its module: ``linalg.solve``."""
    name = str(original.__name__)
    # What a function says of its module may be where it is written, not where it is found.
    for prefix, module in _MODULES.items():
        if getattr(module, name, None) is original:
            return prefix + name
    written = str(getattr(original, "__module__", None) or "numpy").removeprefix("numpy").removeprefix(".")
    return f"{written}.{name}" if written else name


_MODULES = {"": np, "linalg.": np.linalg, "fft.": np.fft, "emath.": np.emath}


def check_library(name: str, arguments: Any) -> None:
    """Refuse values that are traced over another library than NumPy."""
    for x in traced_in(arguments):
        if not _over_numpy(x):
            raise MixedBackendsError(
                f"{name} of a value traced by {x._trace.transform}: its array is one of "
                f"{backend_of(raw(x)).name}, not of NumPy. Take the function from xp = "
                f"x.__array_namespace__(){_nearest(name)}"
            )


def refuse_out(name: str, args: tuple[Any, ...], out: Any) -> NoReturn:
    """Refuse to write a result into an array that exists."""
    raise GradientCutError(
        f"{name}(..., out=...) with a value traced by {transform_of((args, out))}: an array cannot "
        f"take up a value that is being differentiated. Write a = {name}(...) without out="
    )


_INSTEAD = {
    "copyto": "Build the array with numpy.where, numpy.concatenate or numpy.stack. ",
    "fill_diagonal": "Write numpy.where(numpy.eye(n, dtype=bool), value, x). ",
    "insert": "Write numpy.concatenate of the parts. ",
    "linalg.lstsq": "Write numpy.linalg.pinv(a) @ b. ",
    "place": "Write numpy.where(mask, values, x). ",
    "lib.stride_tricks.sliding_window_view": "Write bpkit.xp.sliding_window_view, which copies. ",
    "polyfit": "Write numpy.linalg.pinv(numpy.vander(x, deg + 1)) @ y. ",
    "put": "Build the array with numpy.where, numpy.concatenate or numpy.stack. ",
    "put_along_axis": "Build the array with numpy.where, numpy.concatenate or numpy.stack. ",
    "putmask": "Write numpy.where(mask, values, x). ",
    "trim_zeros": "If numpy.poly1d called it, write numpy.polyval(p, x). ",
}


def _advice(name: str) -> str:
    if name in _INSTEAD:
        return _INSTEAD[name]
    nearest = _nearest(name)
    return f"Nearest in its namespace{nearest}. " if nearest else ""


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name.rpartition(".")[2], xp.__all__, n=3)
    return f": {', '.join(f'xp.{other}' for other in close)}" if close else ""
