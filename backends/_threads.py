"""Work in pieces, handed out to the calling thread and to as many others as there are processors."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np

__all__ = ["spread"]


class _Job:
    """Pieces of work, of which whoever is free takes the next one."""

    def __init__(self, work: Callable[[Any], Any], pieces: Sequence[Any]) -> None:
        self._work = work
        self._left = list(reversed(pieces))
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._elsewhere = len(pieces)
        """Pieces that the calling thread has not taken."""

    def help(self) -> None:
        """What another thread does."""
        while self._left:
            try:
                piece = self._left.pop()
            except IndexError:  # another thread took the last one
                return
            try:
                self._work(piece)
            except BaseException as error:  # noqa: BLE001  the calling thread raises it
                self._done.put(error)
            else:
                self._done.put(None)

    def finish(self) -> None:
        """What the calling thread does. It waits for pieces, and not for threads that took none."""
        try:
            for piece in self._taken():
                self._work(piece)
        finally:
            for _ in self._taken():
                pass
            errors = [self._done.get() for _ in range(self._elsewhere)]
        for error in filter(None, errors):
            raise error

    def _taken(self) -> Any:
        while self._left:
            try:
                piece = self._left.pop()
            except IndexError:
                return
            self._elsewhere -= 1
            yield piece


class _Crew:
    """Threads that wait for jobs, to which one goes in half the time that `concurrent.futures` takes."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._count = 0
        self._lock = Lock()

    def hand_out(self, job: _Job, count: int) -> None:
        if self._count < count:
            self._grow(count)
        for _ in range(count):
            self._jobs.put(job)

    def _grow(self, count: int) -> None:
        # While Python shuts down there are no more threads, and the calling one does it all.
        with self._lock, suppress(RuntimeError):
            while self._count < count:
                Thread(target=self._run, name="bpkit", daemon=True).start()
                self._count += 1

    def _run(self) -> None:
        with np.errstate(all="ignore"):
            while True:
                self._jobs.get().help()


_crew = _Crew()


def _forget() -> None:
    global _crew
    _crew = _Crew()


# A child process has none of its parent's threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def others() -> int:
    """How many threads may work beside the calling one."""
    affinity = getattr(os, "sched_getaffinity", None)
    return (len(affinity(0)) if affinity else os.cpu_count() or 1) - 1


def spread(work: Callable[[Any], Any], pieces: Sequence[Any]) -> None:
    """Do `work` of every piece, whoever is free taking the next one.

    Parameters
    ----------
    work : callable
        Must release the interpreter's lock, or threads gain nothing.
    pieces : sequence
    """
    count = min(others(), len(pieces) - 1)
    job = _Job(work, pieces)
    with np.errstate(all="ignore"):
        if count:
            _crew.hand_out(job, count)
        job.finish()
