"""What becomes of a program's own handlers of signals around a training."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from bpkit.training.interrupt import Interrupt


@pytest.fixture(autouse=True)
def handler() -> Iterator[Any]:
    """The handler of SIGTERM before and after each test."""
    before = signal.getsignal(signal.SIGTERM)
    yield before
    signal.signal(signal.SIGTERM, before)


def test_handlers_are_given_back(handler: Any) -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_handler_set_inside_stays() -> None:
    def own(number: int, frame: Any) -> None:
        """Nothing."""

    with Interrupt():
        signal.signal(signal.SIGTERM, own)
    assert signal.getsignal(signal.SIGTERM) is own


def test_blocks_inside_blocks(handler: Any) -> None:
    with Interrupt() as outer:
        with Interrupt():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert outer.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_handler_that_was_not_set_from_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    get, set_ = signal.getsignal, signal.signal
    asked: list[int] = []

    def getsignal(number: int) -> Any:
        return None if number == signal.SIGTERM else get(number)

    def setsignal(number: int, handler: Any) -> Any:
        asked.append(number)
        return set_(number, handler)

    monkeypatch.setattr(signal, "getsignal", getsignal)
    monkeypatch.setattr(signal, "signal", setsignal)
    with Interrupt():
        pass
    assert signal.SIGTERM not in asked and signal.SIGINT in asked
