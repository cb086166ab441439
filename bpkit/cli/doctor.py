"""``bpkit doctor``."""

import argparse
import json
import sys

from bpkit.errors import RunError
from bpkit.inspect import INSIGHT, diagnose, read_looks
from bpkit.inspect.recorder import was_shuffled
from bpkit.training import Epoch, Run

__all__ = ["doctor"]


def doctor(options: argparse.Namespace) -> int:
    """Say what is wrong with the training in a run folder; 1 if something does harm."""
    run = Run.open(options.run)
    path = run.path / INSIGHT
    if not path.exists():
        raise RunError(
            f"{run.path} has no {INSIGHT}, which the doctor reads; bpkit train writes it (without "
            f"--no-insight), and fit with callbacks=[inspect.Recorder(loss, x, y, path={str(path)!r})]"
        )
    looks = read_looks(path)
    if not looks:
        raise RunError(f"{path} holds no look yet; ask again after the first step")
    history = [Epoch.from_json(line) for line in run.saved.metrics]
    diagnosis = diagnose(looks, history, shuffled=was_shuffled(run))
    if options.json:
        result = {"run": str(run.path), "epochs": run.saved.epoch, "looks": len(looks), **diagnosis.to_json()}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write(f"{diagnosis}\n")
    return 0 if diagnosis.healthy else 1
