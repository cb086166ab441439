"""Work in pieces, handed out to the calling thread and to as many others as there are processors."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

__all__ = ["spread"]


def others() -> int:
    """How many threads may work beside the calling one."""
    affinity = getattr(os, "sched_getaffinity", None)
    return (len(affinity(0)) if affinity else os.cpu_count() or 1) - 1


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "bpkit")


# A child process has none of its parent's threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def spread(work: Callable[[Any], Any], pieces: Sequence[Any]) -> None:
    """Do `work` of every piece, whoever is free taking the next one.

    Parameters
    ----------
    work : callable
        Must release the interpreter's lock, or threads gain nothing.
    pieces : sequence
    """
    count = min(others(), len(pieces) - 1)
    left = list(reversed(pieces))

    def some() -> None:
        with np.errstate(all="ignore"):
            while left:
                try:
                    piece = left.pop()
                except IndexError:  # another thread took the last one
                    return
                work(piece)

    helpers: list[Future[None]] = []
    if count:
        pool = _pool(others())
        # While Python shuts down it gives out no more work.
        with suppress(RuntimeError):
            helpers.extend(pool.submit(some) for _ in range(count))
    try:
        some()
    finally:
        # One that has not begun has nothing left to do, and the thread it waits for may be busy elsewhere.
        running = [helper for helper in helpers if not helper.cancel()]
        for helper in running:
            helper.result()
