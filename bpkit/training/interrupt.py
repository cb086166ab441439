"""Ctrl-C and SIGTERM: the first is a request, the second is obeyed at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Interrupt"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Within a ``with`` block, remember the first Ctrl-C or SIGTERM instead of raising it.

    Python hands signals to the main thread only; in others nothing is done.

    Attributes
    ----------
    signal : int or None
        Which one came. The next one raises KeyboardInterrupt.
    """

    signal: int | None = None

    def __enter__(self) -> Self:
        # One that is ignored, as SIGINT is in a shell's background jobs, stays ignored.
        here = threading.current_thread() is threading.main_thread()
        self._before = {
            number: signal.signal(number, self._note)
            for number in SIGNALS
            if here and signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)
