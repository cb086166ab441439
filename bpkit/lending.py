"""Constants whose memory somebody outside has as well: what ``numpy.asarray(x)`` and DLPack hand out.

On raw arrays such a conversion shares memory, and foreign code uses that: SciPy's ``output=`` takes an array
of the caller's and fills it through ``numpy.asarray``. So an array that depends on no input is lent. What is
written to the loan is in the array, and what is assigned to the array is in the loan, for as long as anybody
holds it. Derivatives copy what they need of such an array, as they do of raw ones; and what they took before
stays as it was, because an array gets memory of its own before it is lent.
"""

import threading
import weakref
from typing import Any

import numpy as np

from bpkit.constants import ConstantTrace
from bpkit.kinds import is_mutable
from bpkit.registry import backend_of
from bpkit.trace import Traced, call
from bpkit.views import family_of, replace

__all__ = ["lend", "lend_for_good"]

_LOCK = threading.RLock()


class LentTrace(ConstantTrace):
    """Watches one array and its views, of whose memory NumPy arrays are in use."""

    __slots__ = ("_for_good", "_loans")

    def __init__(self) -> None:
        super().__init__()
        self._loans: list[weakref.ReferenceType[Any]] = []
        self._for_good = False

    @property
    def lent(self) -> bool:
        """Whether anybody still has what was handed out."""
        return self._for_good or any(loan() is not None for loan in self._loans)

    @property
    def borrowed(self) -> bool:
        """The same: what nobody has any more is ours alone."""
        return self.lent

    def note(self, loan: np.ndarray[Any, Any]) -> None:
        """Remember an array that was handed out."""
        self._loans = [known for known in self._loans if known() is not None]
        self._loans.append(weakref.ref(loan))

    def note_for_good(self) -> None:
        """Take it that somebody will always have what was handed out."""
        self._for_good = True


def lend(x: Traced) -> np.ndarray[Any, Any] | None:
    """A NumPy array in the memory of `x`, which sees and makes its changes.

    None where there can be none: `x` was made by a transform's function of its arguments, or the library's
    arrays cannot change or lie elsewhere.
    """
    if x._trace.level or not is_mutable(x._value):
        return None
    with _LOCK:
        host = backend_of(x._value).host_view(x._value)
        if host is None or host.dtype.kind not in "biufc":
            return None
        if not x._trace.borrowed:
            trace = _in_memory_of_its_own(x)
            if trace is None:
                return None
            host = backend_of(x._value).host_view(x._value)
        # NumPy's views keep alive what is no NumPy array, and so the loan that they were taken from.
        loan = np.asarray(memoryview(host))  # type: ignore[arg-type]
        if isinstance(x._trace, LentTrace):
            x._trace.note(loan)
        return loan


def lend_for_good(x: Traced) -> None:
    """Prepare a constant whose memory is handed out in a way that tells nothing of its end."""
    if x._trace.level or not is_mutable(x._value):
        return
    with _LOCK:
        trace = x._trace if isinstance(x._trace, LentTrace) and x._trace.lent else None
        if trace is None and not x._trace.borrowed:
            trace = _in_memory_of_its_own(x)
        if trace is not None:
            trace.note_for_good()


def _in_memory_of_its_own(x: Traced) -> LentTrace | None:
    """Move an array, and those that share memory with it, to memory that nothing else refers to."""
    root, followers = family_of(x)
    if any(member._trace.level for member in (root, *followers)):
        return None
    trace = LentTrace()
    replace(root, type(x)(call("setitem", root, root, key=(...,))._value, trace, None))
    # What is in one place for several elements cannot be moved as it is.
    return trace if root._trace is trace else None
