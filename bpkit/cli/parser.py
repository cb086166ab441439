"""The command line's words: commands, options and the help that teaches them."""

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

from bpkit import __version__
from bpkit.training import PRESETS
from bpkit.training.settings import CHOICES, OPTIMIZERS

__all__ = ["DRAWN", "OPTIONS", "UsageError", "make_parser"]

OPTIONS: Mapping[str, str] = {
    "dataset": "dataset",
    "preset": "--preset",
    "hidden": "--hidden",
    "activation": "--activation",
    "init": "--init",
    "cost": "--cost",
    "optimizer": "--optimizer",
    "learning_rate": "--lr",
    "momentum": "--momentum",
    "weight_decay": "--weight-decay",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
    "seed": "--seed",
    "dtype": "--dtype",
    "jit": "--no-jit",
}
"""What a field of :class:`bpkit.training.Settings` is called on the command line."""


DRAWN = ("float32", "float64", "complex64", "complex128")
"""The dtypes that ``bpkit gradcheck`` draws."""


class UsageError(Exception):
    """The command line cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``bpkit``; it raises :class:`UsageError` instead of leaving the program."""
    parser: argparse.ArgumentParser = _command(
        _Parser,
        prog="bpkit",
        description="Read handwritten digits by backpropagation, on NumPy, JAX, PyTorch or CuPy.",
        epilog="""\
examples:
  bpkit train                          learn the digits that come with bpkit, in seconds
  bpkit train mnist --preset nielsen   the first network of Nielsen's book
  bpkit train --backend jax            the same on another array library
  bpkit eval runs/NAME                 measure a trained network again
  bpkit doctor runs/NAME               what is wrong with a training, in words
  bpkit report runs/NAME               a page for the browser about its training
  bpkit gradcheck loss.py:loss --shape 3   compare a gradient with finite differences
  bpkit COMMAND --help                 all options of a command
""",
    )
    parser.add_argument("--version", action="version", version=f"bpkit {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", parser_class=_Parser
    )
    _add_train(commands)
    _add_eval(commands)
    _add_report(commands)
    _add_doctor(commands)
    _add_gradcheck(commands)
    _add_backends(commands)
    return parser


def _command(make: Any, *arguments: Any, **options: Any) -> Any:
    return make(
        *arguments, **options, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_train(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "train",
        help="train a network and save it in a run folder",
        description=(
            "Train a network batch by batch and save it in a run folder after every epoch.\n"
            "A whole step is compiled (bpkit.jit) in the first one, unless --no-jit is given.\n"
            "Ctrl-C saves and stops; --resume goes on to the same bits."
        ),
        epilog=f"""\
presets:
{_preset_table()}

optimizers, the --lr that each begins with, and their steps:
{_optimizer_table()}

examples:
  bpkit train
  bpkit train --optimizer adam --lr 0.003
  bpkit train --hidden 100,30 --lr 0.05 --epochs 20 --seed 7
  bpkit train --epochs 3 --no-jit
  bpkit train mnist --preset nielsen --data ~/mnist
  bpkit train mnist --backend torch:cuda --out runs/gpu
  bpkit train --watch
  bpkit train --resume runs/gpu --epochs 60
  bpkit train --json | python -m json.tool
""",
    )
    parser.add_argument("dataset", nargs="?", help=f"{' or '.join(CHOICES['dataset'])} (default: digits)")

    network = parser.add_argument_group("the network and how it learns; the preset decides what is not given")
    network.add_argument("--preset", metavar="NAME", help=f"{' or '.join(PRESETS)} (default: default)")
    network.add_argument(
        "--hidden",
        metavar="N[,N...]",
        type=_sizes,
        action="extend",
        help="neurons of the hidden layers, as in 100,30; 'none' for no hidden layer",
    )
    for name, text in (
        ("activation", "of the hidden layers"),
        ("init", "how the first weights are drawn"),
        ("cost", "what is made small"),
        ("optimizer", "how it is made small, see below"),
    ):
        network.add_argument(f"--{name}", metavar="NAME", help=f"{text}: {', '.join(CHOICES[name])}")
    network.add_argument(
        "--lr", metavar="RATE", type=_number, dest="learning_rate", help="learning rate: the length of steps"
    )
    network.add_argument(
        "--momentum", metavar="X", type=_number, help="from 0 to below 1; of sgd and rmsprop"
    )
    network.add_argument("--weight-decay", metavar="X", type=_number, help="strength of the L2 penalty")
    network.add_argument("--batch-size", metavar="N", type=_whole, help="images per gradient step")
    network.add_argument("--epochs", metavar="N", type=_whole, help="passes through the training images")
    network.add_argument(
        "--seed", metavar="N", type=_whole, help="decides first weights and order of the images (default: 0)"
    )
    network.add_argument("--dtype", metavar="NAME", help=f"{' or '.join(CHOICES['dtype'])}, of the weights")
    network.add_argument(
        "--no-jit",
        action="store_const",
        const=False,
        dest="jit",
        help="run each step function by function, not as one compiled program: slower, to find mistakes",
    )

    where = parser.add_argument_group("where")
    _add_where(where)
    where.add_argument(
        "--out", metavar="DIR", help="new folder for the run (default: runs/DATASET-PRESET-TIME)"
    )
    where.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder; --epochs gives it more, its other settings stay",
    )
    where.add_argument(
        "--no-insight",
        action="store_true",
        help="do not look at the network after each epoch, and write no insight.jsonl",
    )
    output = _add_output(parser)
    output.add_argument(
        "--watch",
        action="store_true",
        help="fill the terminal with curves and what the gradient says about each layer",
    )


def _add_doctor(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "doctor",
        help="say what is wrong with a training",
        description=(
            "Say in words what is wrong with a training, causes first, with the figures that show it and\n"
            "what to do next. It reads the run folder only, also that of a training which goes on, was\n"
            "killed or has diverged, of bpkit train or of fit(folder=...) with inspect.Recorder."
        ),
        epilog="""\
The exit code is 0 if nothing was found that does harm, 1 if something was, and 2 if there is nothing to read.

examples:
  bpkit doctor runs/NAME
  bpkit doctor runs/NAME --json
""",
    )
    parser.add_argument("run", metavar="RUN", help="the run folder")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def _add_report(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "report",
        help="write a page for the browser about a training",
        description=(
            "Write what is known about a training as one HTML page that loads nothing: the doctor's words,\n"
            "curves, error and speed of every layer, saturation, images and what the gradient says of them,\n"
            "and mistakes. Of a training of fit(folder=...) with inspect.Recorder, all but images."
        ),
        epilog="""\
examples:
  bpkit report runs/NAME
  bpkit report runs/NAME --out report.html --data ~/mnist
""",
    )
    parser.add_argument("run", metavar="RUN", help="the run folder, as bpkit train printed it")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: report.html in RUN)")
    _add_where(parser)


def _add_eval(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "eval",
        help="measure a saved network again",
        description="Read a run folder, check every byte of it, and measure its network's accuracy again.",
        epilog="""\
examples:
  bpkit eval runs/NAME
  bpkit eval runs/NAME --backend torch --json
""",
    )
    parser.add_argument("run", metavar="RUN", help="the run folder, as bpkit train printed it")
    _add_where(parser)
    _add_output(parser)


def _add_gradcheck(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "gradcheck",
        help="compare the derivatives of a function with finite differences",
        description=(
            "Compare the derivatives of a function with finite differences, in both modes, and say where\n"
            "they disagree most. Its arguments are drawn at random (--shape), read from a file (--args) or\n"
            "made by another function (--example)."
        ),
        epilog="""\
examples:
  bpkit gradcheck model.py:loss --shape 3,4 --shape 4
  bpkit gradcheck package.module:loss --shape scalar --low 0.1 --high 2 --order 2
  bpkit gradcheck model.py:loss --shape 8 --dtype complex128 --mode rev --backend torch
  bpkit gradcheck model.py:loss --args batch.npz
  bpkit gradcheck model.py:loss --example model.py:make_args --json

batch.npz is made by numpy.savez("batch.npz", x, y), or with names, numpy.savez("batch.npz", w=x, b=y), for
loss(w, b). make_args takes nothing and returns the tuple of the arguments: models, dicts, anything.
""",
    )
    parser.add_argument(
        "function",
        metavar="MODULE:FUNCTION",
        help="a dotted name or the path of a .py file, and a name in it",
    )
    arguments = parser.add_argument_group("its arguments")
    arguments.add_argument(
        "--shape",
        metavar="N[,N...]",
        type=_shape,
        action="append",
        help="draw an argument of this shape, as in 3,4, or 'scalar'; once for each argument, in order",
    )
    arguments.add_argument(
        "--dtype",
        metavar="NAME",
        help=f"of what is drawn: {', '.join(DRAWN)} (default: float64, where there is one)",
    )
    arguments.add_argument("--low", metavar="X", type=_number, help="draw from here (default: -1)")
    arguments.add_argument("--high", metavar="X", type=_number, help="up to here (default: 1)")
    arguments.add_argument("--seed", metavar="N", type=_whole, help="decides what is drawn (default: 0)")
    arguments.add_argument("--args", metavar="FILE.npz", help="read the arguments from a file of NumPy")
    arguments.add_argument(
        "--example",
        metavar="MODULE:FUNCTION",
        help="a function without arguments that returns them in a tuple",
    )
    check = parser.add_argument_group("what is checked")
    check.add_argument(
        "--order", metavar="N", type=_whole, default=1, help="the highest derivative (default: 1)"
    )
    check.add_argument("--mode", metavar="NAME", default="both", help="fwd, rev or both (default: both)")
    check.add_argument("--rtol", metavar="X", type=_number, help="relative error allowed (default: by dtype)")
    check.add_argument(
        "--atol", metavar="X", type=_number, help="absolute error allowed (default: rounding's)"
    )
    check.add_argument("--eps", metavar="X", type=_number, help="step of the differences (default: several)")
    check.add_argument(
        "--backend",
        metavar="NAME[:DEVICE]",
        help="array library of what is drawn or read, such as jax or torch:cuda:1 "
        "(default: BPKIT_BACKEND, else numpy)",
    )
    _add_output(parser)


def _add_backends(commands: Any) -> None:
    parser = _command(
        commands.add_parser,
        "backends",
        help="show which array libraries can be used here",
        description=(
            "Show which array libraries can be used here, with their devices and dtypes, and how to install\n"
            "the others. Choose one with --backend NAME[:DEVICE] or the environment variable BPKIT_BACKEND."
        ),
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def _add_where(parser: Any) -> None:
    parser.add_argument(
        "--backend",
        metavar="NAME[:DEVICE]",
        help="array library and device, such as jax or torch:cuda:1; any can go on with a saved run "
        "(default: BPKIT_BACKEND, else the one that the run was saved on, else numpy)",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with the four files of MNIST, plain or .gz")


def _add_output(parser: Any) -> Any:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="print the result as one JSON object; progress goes to stderr"
    )
    output.add_argument("--quiet", action="store_true", help="show no progress")
    return output


def _preset_table() -> str:
    columns: dict[str, Mapping[str, Any]] = {}
    for name, sets in PRESETS.items():
        alike = all(values == sets["digits"] for values in sets.values())
        columns |= {name: sets["digits"]} if alike else {f"{name}, {data}": sets[data] for data in sets}
    rows = [["", *columns]]
    for field, option in OPTIONS.items():
        # A flag has no value to show.
        if field in PRESETS["default"]["digits"] and field != "jit":
            rows.append([option, *(_shown(values[field]) for values in columns.values())])
    return "\n".join("  " + "".join(f"{cell:17}" for cell in row).rstrip() for row in rows)


def _optimizer_table() -> str:
    return "\n".join(f"  {name:9} {rate:<7g} {text}" for name, (rate, text) in OPTIMIZERS.items())


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _sizes(text: str) -> list[int]:
    if text == "none":
        return []
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of whole numbers such as 100,30, nor 'none'"
        ) from None


def _shape(text: str) -> tuple[int, ...]:
    if text == "scalar":
        return ()
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = (-1,)
    if min(shape) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shape such as 3,4 with lengths from 1, nor 'scalar'"
        )
    return shape
