"""Looks while a network trains."""

import json
import os
from pathlib import Path
from typing import Any

from bpkit import transforms
from bpkit._protocol import RawArray
from bpkit.errors import CorruptRunError, DataError
from bpkit.inspect.look import Look, at_home, look_at
from bpkit.inspect.observe import Loss, observe
from bpkit.training.state import Epoch, State, Step

__all__ = ["INSIGHT", "Recorder", "read_looks"]

INSIGHT = "insight.jsonl"
"""The name of the file in a run folder."""


class Recorder:
    """A callback that looks at the network after each epoch, always through the same examples."""

    def __init__(
        self,
        loss: Loss,
        x: Any,
        y: Any,
        *,
        every: int | None = None,
        path: str | os.PathLike[str] | None = None,
        key: RawArray | None = None,
    ) -> None:
        self._loss, self._data, self._every, self._key = loss, (x, y), every, key
        self._path = None if path is None else Path(path)
        self._observe = transforms.jit(observe)
        self.looks: list[Look] = []

    def __call__(self, event: Step | Epoch, state: State) -> None:
        """Look, if it is time."""
        if isinstance(event, Epoch) or (self._every and event.step % self._every == 0):
            self._look(state.model, state.epoch, state.step)

    def _look(self, model: Any, epoch: int, step: int) -> None:
        with at_home(model) as place:
            x, y = self._data = place(self._data)
            seen = self._observe(model, self._loss, x, y, key=self._key)
            known = self.looks[-1] if self.looks else None
            self.looks.append(look_at(seen, self._loss, model, x, y, None, 1, epoch, step, known))
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(self.looks[-1].to_json(), allow_nan=False) + "\n")


def read_looks(path: str | os.PathLike[str]) -> tuple[Look, ...]:
    """The looks in a file that a :class:`Recorder` has written; a cut last line is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Look.from_json(json.loads(line)))
        except (ValueError, DataError) as error:
            if number == len(lines):
                break
            raise CorruptRunError(f"{path}, line {number}: {error}") from error
    return tuple(found)
