"""``bpkit gradcheck``: the derivatives of a function beside finite differences, in a table."""

import argparse
import dataclasses
import inspect
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import IO, Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random, registry
from bpkit._protocol import Capability
from bpkit.cli.commands import selected_backend
from bpkit.cli.loading import load_function, own_line, raised
from bpkit.cli.parser import DRAWN, UsageError
from bpkit.errors import BpkitError, GradientCheckError, NotDifferentiableError
from bpkit.terminal import Bar, is_live, write_table
from bpkit.transforms.arguments import describe
from bpkit.transforms.checking import Comparison, GradientCheck, worst

__all__ = ["gradcheck"]

ELSEWHERE = "choose another point"
MODES = {"fwd": ("fwd",), "rev": ("rev",), "both": ("fwd", "rev")}


def gradcheck(options: argparse.Namespace) -> int:
    """``bpkit gradcheck``."""
    if options.mode not in MODES:
        raise UsageError(f"--mode is {options.mode}; expected one of {', '.join(MODES)}")
    if options.order < 1:
        raise UsageError(f"--order is {options.order}; expected a whole number from 1")
    done: list[Comparison] = []
    error: GradientCheckError | None = None
    # What the user's code prints must not get into the JSON.
    with selected_backend(options.backend), redirect_stdout(sys.stderr) if options.json else nullcontext():
        function = load_function(options.function, "MODULE:FUNCTION")
        args = _arguments(options, function)
        try:
            check = GradientCheck(
                function, args, options.order, MODES[options.mode], options.atol, options.rtol, options.eps
            )
            with _progress(sys.stderr if options.json else sys.stdout, check.total, options.quiet) as advance:
                for comparison in check.comparisons():
                    done.append(comparison)
                    advance(comparison)
        except GradientCheckError as stopped:
            error = stopped
        except Exception as stopped:
            if isinstance(stopped, NotDifferentiableError) and options.mode == "both":
                raise UsageError(
                    f"{raised(stopped)}; to check one mode alone, add --mode rev or fwd"
                ) from stopped
            if isinstance(stopped, BpkitError) and not own_line(stopped):
                raise
            given = ", ".join(map(describe, args)) or "none"
            raise UsageError(
                f"{options.function}, called with {given}, raised {raised(stopped)}"
            ) from stopped
    failed = worst(done)
    if failed is not None:
        error = GradientCheckError(failed.sentence)
    if error is not None and options.shape is not None and str(error).lower().endswith(ELSEWHERE):
        error = GradientCheckError(f"{error}: --low and --high say between what numbers it is drawn")
    if options.json:
        sys.stdout.write(json.dumps(_result(options, done, error)) + "\n")
    else:
        _print(options, done, error)
    if error is not None:
        raise error
    return 0


def _result(
    options: argparse.Namespace, done: list[Comparison], error: GradientCheckError | None
) -> dict[str, Any]:
    rows = []
    for comparison in done:
        row = {**dataclasses.asdict(comparison), "verdict": comparison.verdict}
        # JSON has no infinities.
        rows.append(
            {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        )
    return {
        "function": options.function,
        "agrees": error is None,
        "error": error and str(error),
        "order": options.order,
        "mode": options.mode,
        "comparisons": rows,
    }


def _print(options: argparse.Namespace, done: list[Comparison], error: GradientCheckError | None) -> None:
    if done:
        rows: list[tuple[str, list[str]] | None] = []
        order = 1
        for row in done:
            if row.order > order:
                rows.append(None)
                order = row.order
            cells = [
                row.mode,
                row.argument.removeprefix("argument "),
                f"{row.error:.1e}",
                f"{row.allowed:.1e}",
                row.place or "-",
                row.verdict,
            ]
            rows.append(("" if row.agrees else "1;31", cells))
        headings = ("mode", "argument", "error", "allowed", "most at", "")
        write_table(
            sys.stdout, f"Derivatives of {options.function}", headings, rows, right=("error", "allowed")
        )
    if error is None:
        sys.stdout.write(f"All {len(done)} agree with finite differences.\n")
    elif done and done[-1].order < options.order:
        sys.stdout.write(f"Derivatives above order {done[-1].order} were not checked.\n")


@contextmanager
def _progress(stream: IO[str], total: int, quiet: bool) -> Iterator[Callable[[Comparison], None]]:
    """A bar on a terminal, and nothing elsewhere."""
    if quiet or not is_live(stream):
        yield lambda comparison: None
        return
    with Bar(stream) as bar:
        done = 0
        bar.show(f"0/{total}", 0, total, "")

        def advance(comparison: Comparison) -> None:
            nonlocal done
            done += 1
            if bar.is_due():
                bar.show(f"{done}/{total}", done, total, f"{comparison.mode}, {comparison.argument}")

        yield advance


# Arguments.


def _arguments(options: argparse.Namespace, function: Callable[..., Any]) -> tuple[Any, ...]:
    sources = {"--shape": options.shape, "--args": options.args, "--example": options.example}
    given = [option for option, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both say what the arguments are; give one of them")
    if not given:
        raise UsageError(
            f"what are the arguments of {_written(options, function)}? Give a shape for each, "
            f"bpkit gradcheck {options.function} --shape 3,4 --shape 4, or --args FILE.npz, or --example "
            f"MODULE:FUNCTION"
        )
    drawing = {"--dtype": options.dtype, "--low": options.low, "--high": options.high, "--seed": options.seed}
    for option, value in drawing.items():
        if value is not None and options.shape is None:
            raise UsageError(
                f"{option} is for arguments that are drawn; leave it out, or give --shape, not {given[0]}"
            )
    if options.example is not None:
        return _made(options)
    args = _read(options, function) if options.args is not None else _drawn(options)
    signature = _signature(function)
    if signature is not None:
        try:
            signature.bind(*args)
        except TypeError as error:
            raise UsageError(
                f"{given[0]} gives {len(args)} argument{'' if len(args) == 1 else 's'}, and the function is "
                f"{_written(options, function)}: {error}"
            ) from error
    return args


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have none
        return None


def _written(options: argparse.Namespace, function: Callable[..., Any]) -> str:
    name = options.function.rpartition(":")[2]
    signature = _signature(function)
    return f"{name}(...)" if signature is None else f"{name}{signature}"


def _drawn(options: argparse.Namespace) -> tuple[Any, ...]:
    """Numbers spread evenly; of complex ones both parts."""
    wide = Capability.FLOAT64 in registry.current().backend.capabilities
    dtype = options.dtype or ("float64" if wide else "float32")
    if dtype not in DRAWN:
        raise UsageError(f"--dtype is {dtype}; expected one of {', '.join(DRAWN)}")
    low = -1.0 if options.low is None else options.low
    high = 1.0 if options.high is None else options.high
    key = random.key(options.seed or 0)
    part = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)

    def draw(shape: tuple[int, ...], number: int) -> Any:
        return random.uniform(random.fold_in(key, number), shape, part, low, high)

    args = []
    for i, shape in enumerate(options.shape):
        x = draw(shape, 2 * i)
        if part != dtype:
            imaginary = draw(shape, 2 * i + 1)
            x = xp.astype(x, dtype) + 1j * xp.astype(imaginary, dtype)
        args.append(x)
    return tuple(args)


def _read(options: argparse.Namespace, function: Callable[..., Any]) -> tuple[Any, ...]:
    """The arrays of an ``.npz`` file: in order, or by the names of the function's parameters."""
    path = options.args
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise UsageError(f"--args: {path} holds one array without a name; save it with numpy.savez")
            with loaded:
                arrays = dict(loaded)
    except FileNotFoundError:
        raise UsageError(
            f"--args: there is no file {path}; make it with numpy.savez({path!r}, x, y)"
        ) from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"--args: {path} cannot be read ({error}); make it of arrays of numbers, with "
            f"numpy.savez({path!r}, x, y)"
        ) from error
    if all(name.removeprefix("arr_").isdigit() for name in arrays):
        values = [arrays[name] for name in sorted(arrays, key=lambda name: int(name.removeprefix("arr_")))]
    else:
        signature = _signature(function)
        try:
            bound = None if signature is None else signature.bind(**arrays)
        except TypeError as error:
            raise UsageError(
                f"--args: {path} holds {', '.join(arrays)}, and the function is "
                f"{_written(options, function)}: {error}"
            ) from error
        if bound is None or bound.kwargs:
            raise UsageError(
                f"--args: {path} holds {', '.join(arrays)}, and {_written(options, function)} cannot be "
                f"called with them by position; save them without names, numpy.savez({path!r}, x, y)"
            )
        values = list(bound.args)
    backend, device = registry.current()
    try:
        return tuple([backend.from_host(x, device) for x in values])
    except TypeError as error:
        raise UsageError(f"--args: {path}: {error}") from error


def _made(options: argparse.Namespace) -> tuple[Any, ...]:
    make = load_function(options.example, "--example")
    try:
        args = make()
    except Exception as error:
        raise UsageError(f"--example: {options.example} raised {raised(error)}") from error
    if not isinstance(args, tuple):
        raise UsageError(
            f"--example: {options.example} must return a tuple with one entry for each argument, for one "
            f"argument (x,); it returned {describe(args)}"
        )
    return args
