"""Ctrl-C and SIGTERM: the first is a request, the second is obeyed at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

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
        self.signal = None
        # One that is ignored, as SIGINT is in a shell's background jobs, stays ignored. One that a program
        # around Python handles (None) could not be given back to it.
        here = threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {
            number: signal.signal(number, self._note)
            for number in SIGNALS
            if here and signal.getsignal(number) not in (signal.SIG_IGN, None)
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # What was set inside the block stays.
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)

    def pass_on(self) -> None:
        """Outside the block: let the program have the signal; Ctrl-C is left to the caller.

        Raises
        ------
        SystemExit
            After SIGTERM, unless the program has a handler of its own, which is called.
        """
        if self.signal is None or self.is_ctrl_c:
            return
        if self._before[self.signal] is signal.SIG_DFL:
            # Sent again, it would end the process before files are written out and `finally` is run.
            raise SystemExit(self.exit_code)
        signal.raise_signal(self.signal)

    @property
    def is_ctrl_c(self) -> bool:
        """Whether it was Ctrl-C, in a program that leaves it to Python to raise KeyboardInterrupt."""
        return self.signal == signal.SIGINT and self._before[self.signal] is signal.default_int_handler

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)
