"""The command ``bpkit``."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from bpkit.cli.parser import OPTIONS, UsageError, make_parser
from bpkit.errors import BpkitError, DivergedError, GradientCheckError, SaveError, SettingsError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``bpkit``. Default: those of this process.

    Returns
    -------
    int
        The exit code: 0; 1 if it failed while running, or a check or the doctor found something; 2 if the
        command line, or what it names, cannot be used; 130 after Ctrl-C and 143 after SIGTERM. With the words
        of this process, Ctrl-C ends it as a signal does, so that a loop of the shell ends, too.

    Examples
    --------
    >>> main(["--version"])
    bpkit 0.1.0
    0
    """
    code = _code(argv)
    if code == 130 and argv is None and os.name != "nt":
        # To a shell, a program that exits has dealt with Ctrl-C: https://www.cons.org/cracauer/sigint.html
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    return code


def _code(argv: Sequence[str] | None) -> int:
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except SettingsError as error:
        option = OPTIONS.get(error.field, error.field)
        return _fail(2, f"{option} is {_written(error.got)}; expected {error.expected}")
    except (DivergedError, GradientCheckError, SaveError) as error:
        return _fail(1, str(error))
    except (UsageError, BpkitError) as error:
        return _fail(2, str(error))
    except PermissionError as error:
        return _fail(2, f"{error.filename}: {error.strerror}; choose a place that you may read and write")
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except BrokenPipeError:
        # The reader has gone. Python would fail once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str] | None) -> int:
    try:
        parser = make_parser()
        options, unknown = parser.parse_known_args(argv)
    except SystemExit as done:  # argparse has printed the help or the version
        return int(done.code or 0)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    if unknown:
        raise UsageError(f"{' '.join(unknown)} is not understood; see: bpkit {options.command} --help")
    from bpkit.cli import commands, doctor, gradcheck

    run: Mapping[str, Callable[..., int]] = {
        "train": commands.train,
        "eval": commands.evaluate_run,
        "report": commands.report,
        "doctor": doctor.doctor,
        "gradcheck": gradcheck.gradcheck,
        "backends": commands.backends,
    }
    return run[options.command](options)


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _fail(code: int, sentence: str) -> int:
    sys.stderr.write(f"bpkit: {' '.join(sentence.split())}\n")
    return code
