"""Work in pieces, on several threads."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bpkit.backends import _threads
from bpkit.backends._threads import spread


@pytest.fixture(autouse=True)
def three_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "others", lambda: 2)


def test_every_piece_is_done_once() -> None:
    for count in (0, 1, 2, 100):
        done: list[int] = []
        spread(done.append, range(count))
        assert sorted(done) == list(range(count))


def test_several_threads_take_part_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)
    names = set()

    def work(piece: int) -> None:
        meeting.wait()
        names.add(threading.current_thread().name)

    for _ in range(5):
        names.clear()
        spread(work, range(3))
        assert names >= {"MainThread", "bpkit"}


def test_an_error_in_any_thread_is_raised_after_all_have_ended() -> None:
    for culprit in ("MainThread", "bpkit"):
        meeting = threading.Barrier(3, timeout=20)
        ended: list[int] = []

        def work(
            piece: int, meeting: threading.Barrier = meeting, culprit: str = culprit, ended: list[int] = ended
        ) -> None:
            meeting.wait()
            if threading.current_thread().name == culprit:
                raise ValueError(culprit)
            time.sleep(0.01)
            ended.append(piece)

        with pytest.raises(ValueError, match=culprit):
            spread(work, range(3))
        assert len(ended) == (2 if culprit == "MainThread" else 1)
    done: list[int] = []
    spread(done.append, range(10))
    assert len(done) == 10


def test_several_callers_share_the_workers() -> None:
    sums = []

    def call() -> None:
        for _ in range(50):
            done: list[int] = []
            spread(done.append, range(20))
            sums.append(sum(done))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sums == [190] * 200
    assert sum(thread.name == "bpkit" for thread in threading.enumerate()) <= 2 + len(callers)


def test_work_within_work() -> None:
    done: list[int] = []
    spread(lambda piece: spread(done.append, range(piece, piece + 10)), [0, 10, 20])
    assert sorted(done) == list(range(30))


def test_floating_point_warnings_are_off_in_every_thread() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(piece: int) -> None:
        meeting.wait()
        np.divide(np.zeros(3), np.zeros(3))

    spread(work, range(3))


CHILD = """
import os, threading
from bpkit.backends import _threads

_threads.others = lambda: 2


def meet():
    meeting = threading.Barrier(3, timeout=20)
    _threads.spread(lambda piece: meeting.wait(), range(3))


meet()
child = os.fork()
if child == 0:
    meet()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_starts_threads_of_its_own() -> None:
    ended = run(CHILD)
    assert ended.returncode == 0, ended.stderr


def test_python_ends_while_a_worker_is_idle() -> None:
    ended = run("from bpkit.backends._threads import spread; spread(lambda i: sum(range(10**5)), range(9))")
    assert (ended.returncode, ended.stderr) == (0, "")


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
