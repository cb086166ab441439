"""What each command does."""

import argparse
import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bpkit import registry
from bpkit.cli.display import display_for
from bpkit.cli.parser import OPTIONS, UsageError
from bpkit.errors import BackendError, DivergedError
from bpkit.inspect.recorder import recorder_for
from bpkit.terminal import write_table
from bpkit.training import (
    Epoch,
    Run,
    Session,
    Settings,
    evaluate,
    load_dataset,
    locked,
    place,
    preset,
    restore,
    settings_of,
)
from bpkit.training.interrupt import Interrupt

__all__ = ["backends", "evaluate_run", "report", "selected_backend", "train"]


def train(options: argparse.Namespace) -> int:
    """``bpkit train``."""
    _refuse_to_watch(options)
    with ExitStack() as stack:
        if options.resume is None:
            settings = _settings(options)
            stack.enter_context(selected_backend(options.backend))
            folder = Path(options.out) if options.out else _new_folder(settings)
            if Run.is_begun(folder):
                raise UsageError(
                    f"{folder} is already there and not empty, and nothing is overwritten: choose another "
                    f"folder (--out), or go on with the run in it (--resume)"
                )
            _refuse_data_of_digits(settings, options)
            session = Session.start(settings, folder, options.data)
            stack.enter_context(locked(folder))
        else:
            _refuse_with_resume(options)
            stack.enter_context(locked(options.resume))
            run = Run.open(options.resume)
            stack.enter_context(selected_backend(options.backend, run))
            _refuse_data_of_digits(settings_of(run), options)
            session = Session.resume(run, options.data, options.epochs)
        return _train(session, options)


def _refuse_to_watch(options: argparse.Namespace) -> None:
    for option, given in (("--quiet", options.quiet), ("--no-insight", options.no_insight)):
        if options.watch and given:
            raise UsageError(f"--watch shows what {option} leaves out; give one of the two")


def _train(session: Session, options: argparse.Namespace) -> int:
    go_on = f"go on with: bpkit train --resume {shlex.quote(str(session.run.path))}"
    stream = sys.stderr if options.json else sys.stdout
    interrupt = Interrupt()
    recorder = None if options.no_insight else recorder_for(session)
    watched = recorder if options.watch else None
    try:
        # What overflows is reported once, and with advice, by the loop.
        quietly = np.errstate(over="ignore", invalid="ignore")
        with interrupt, quietly, display_for(stream, options.quiet, watched) as display:
            display.begin(session)
            if recorder is not None:
                recorder.begin(session.state)
            for event in session.events():
                if recorder is not None:
                    recorder(event, session.state)
                if isinstance(event, Epoch):
                    display.epoch(event)
                else:
                    display.step(event)
                if interrupt.signal is not None:
                    break
            if session.state.step:
                session.save()
    except DivergedError as error:
        if recorder is None:
            raise
        recorder.end(session.state)
        run = shlex.quote(str(session.run.path))
        raise DivergedError(f"{error}. What the looks at the network say: bpkit doctor {run}") from error
    except KeyboardInterrupt:
        sys.stderr.write(f"bpkit: stopped at once; the last save is in {session.run.path}; {go_on}\n")
        return interrupt.exit_code
    interrupted = session.state.epoch < session.epochs
    result = _training_result(session, interrupted)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    elif interrupted:
        step = f"step {session.state.step:,}" if session.state.step else "its first step"
        where = f"{'after' if session.state.step else 'before'} {step} of epoch {session.state.epoch + 1}"
        sys.stdout.write(f"Interrupted {where}; saved in the run folder.\n{go_on.capitalize()}\n")
    else:
        run = shlex.quote(str(session.run.path))
        sys.stdout.write(
            f"Test accuracy {result['test_accuracy']:.2%} after {result['epochs']} epochs and "
            f"{result['seconds']:.1f} s; best {result['best_test_accuracy']:.2%} after epoch "
            f"{result['best_epoch']}.\n"
            f"Measure it again with: bpkit eval {run}\n"
        )
        if recorder is not None:
            sys.stdout.write(f"A page of all that is known about it: bpkit report {run}\n")
    return interrupt.exit_code if interrupted else 0


def _settings(options: argparse.Namespace) -> Settings:
    changes = {
        field: getattr(options, field)
        for field in OPTIONS
        if field not in ("dataset", "preset") and getattr(options, field) is not None
    }
    if "hidden" in changes:
        changes["hidden"] = tuple(changes["hidden"])
    return preset(options.dataset or "digits", options.preset or "default", **changes)


def _refuse_with_resume(options: argparse.Namespace) -> None:
    for field, option in {**OPTIONS, "out": "--out"}.items():
        if field != "epochs" and getattr(options, field) is not None:
            raise UsageError(
                f"{option} cannot be given with --resume, which keeps the settings of {options.resume}; "
                "leave it out, or start a new run without --resume"
            )


def _refuse_data_of_digits(settings: Settings, options: argparse.Namespace) -> None:
    if options.data is not None and settings.dataset != "mnist":
        raise UsageError(f"{settings.dataset} comes with bpkit, not from a folder; leave --data out")


def _new_folder(settings: Settings) -> Path:
    name = f"{settings.dataset}-{settings.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


@contextmanager
def selected_backend(option: str | None, run: Run | None = None) -> Iterator[None]:
    """Choose the backend: the option, else ``BPKIT_BACKEND``, else that of the run, else NumPy."""
    spec, source = option, f"--backend {option}"
    if option is None and run is not None and not os.environ.get(registry.ENVIRONMENT_VARIABLE):
        spec = f"{run.saved.backend}:{run.saved.device}"
        source = f"the run was saved on {spec}; it can go on with any other: --backend numpy"
    if spec is None:
        registry.current()  # says at once if BPKIT_BACKEND cannot be used
        yield
        return
    try:
        selected = registry.use_backend(spec)
    except BackendError as error:
        raise UsageError(f"{source}: {str(error).removeprefix(f'use_backend({spec!r}): ')}") from error
    with selected:
        yield


def _training_result(session: Session, interrupted: bool) -> dict[str, Any]:
    state, settings, saved = session.state, settings_of(session.run), session.run.saved
    last = state.metrics[-1] if state.metrics else None
    best = max(state.metrics, key=lambda epoch: epoch.metrics["test_accuracy"], default=None)
    return {
        "test_accuracy": last and last.metrics["test_accuracy"],
        "best_test_accuracy": best and best.metrics["test_accuracy"],
        "best_epoch": best and best.epoch,
        "validation_accuracy": last and last.metrics["validation_accuracy"],
        "train_accuracy": last and last.metrics["train_accuracy"],
        "loss": last and last.loss,
        "epochs": state.epoch,
        "seconds": state.seconds + sum(epoch.seconds + epoch.evaluation_seconds for epoch in state.metrics),
        "interrupted": interrupted,
        "backend": saved.backend,
        "device": saved.device,
        "run": str(session.run.path),
        **{name: getattr(settings, name) for name in ("dataset", "preset", "seed", "dtype")},
    }


def evaluate_run(options: argparse.Namespace) -> int:
    """``bpkit eval``."""
    run = Run.open(options.run)
    settings = settings_of(run)
    _refuse_data_of_digits(settings, options)
    with selected_backend(options.backend, run):
        data = load_dataset(settings, run.data if options.data is None else options.data)
        placed = place(data, settings.dtype)
        model = restore(run).model
        accuracy = {name: evaluate(model, getattr(placed, name)) for name in ("test", "validation", "train")}
        backend = registry.backend_of(placed.test.images)
        device = backend.device_of(placed.test.images)
    # Between two epochs the weights are those that the last line of metrics was measured with.
    recorded = run.saved.metrics[-1] if run.saved.metrics and not run.saved.step else None
    result = {
        **{f"{name}_accuracy": value for name, value in accuracy.items()},
        "recorded_test_accuracy": recorded and recorded["test_accuracy"],
        "reproduced": recorded and all(recorded[f"{name}_accuracy"] == accuracy[name] for name in accuracy),
        "epochs": run.saved.epoch,
        "step": run.saved.step,
        "backend": backend.name,
        "device": device,
        "run": str(run.path),
        **{name: getattr(settings, name) for name in ("dataset", "preset", "seed", "dtype")},
    }
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return 0
    right = round(accuracy["test"] * len(data.test))
    sys.stdout.write(
        f"Test accuracy {accuracy['test']:.2%} ({right:,} of {len(data.test):,} images), "
        f"{_comparison(result, run)}.\n"
    )
    if not options.quiet:
        sys.stdout.write(
            f"Validation {accuracy['validation']:.2%}, training {accuracy['train']:.2%}; "
            f"epoch {run.saved.epoch}{f', step {run.saved.step}' if run.saved.step else ''} of {run.path} "
            f"on {backend.name} ({device}).\n"
        )
    return 0


def _comparison(result: dict[str, Any], run: Run) -> str:
    if result["reproduced"] is None:
        return "which the run has not recorded, because it was saved within an epoch"
    if result["reproduced"]:
        return "exactly as the run recorded"
    place = (run.saved.backend, run.saved.device)
    if place == (result["backend"], result["device"]):
        why = "with another version of the library, or on another machine"
    else:
        why = "on {} ({}), which rounds differently".format(*place)
    return f"but the run recorded {result['recorded_test_accuracy']:.2%} {why}"


def report(options: argparse.Namespace) -> int:
    """``bpkit report``."""
    from bpkit.report import write_report

    run = Run.open(options.run)
    if options.data is not None:
        _refuse_data_of_digits(settings_of(run), options)
    # Only models that a run folder describes are run again.
    with selected_backend(options.backend, run if isinstance(run.settings, Settings) else None):
        page = write_report(run.path, options.out, data=options.data)
    size = page.stat().st_size
    sys.stdout.write(f"Wrote {page} ({size / 1000:,.0f} kB); it opens in any browser, without a network.\n")
    return 0


def backends(options: argparse.Namespace) -> int:
    """``bpkit backends``."""
    table = registry.backend_table()
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(status) for status in table]) + "\n")
        return 0
    complete = max((status.dtypes for status in table), key=len)
    rows = []
    for status in table:
        missing = [name for name in complete if name not in status.dtypes]
        dtypes = f"all but {', '.join(missing)}" if missing else "all of the standard"
        cells = [
            status.name,
            status.version or "-",
            ", ".join(status.devices) or "-",
            dtypes if status.usable else "not usable, see below",
        ]
        rows.append(("" if status.usable else "2", cells))
    write_table(
        sys.stdout, "Array libraries on this machine", ("backend", "version", "devices", "dtypes"), rows
    )
    for status in table:
        if not status.usable:
            note = status.note.removeprefix(f"backend {status.name!r}: ")
            sys.stdout.write(f"{status.name}: {note}.\n")
    backend, device = registry.current()
    here = backend.name if device is None else f"{backend.name} ({device})"
    sys.stdout.write(
        f"New arrays are made on {here}; choose another with --backend NAME[:DEVICE] or BPKIT_BACKEND.\n"
    )
    return 0
