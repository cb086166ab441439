"""tally as a backend of bpkit: the facts about it that the array-API standard cannot state."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from bpkit.backends import ALL_CAPABILITIES, Capability, LibraryBackend, host_copy


class TallyBackend(LibraryBackend):
    """Arrays of tally, in the machine's memory."""

    name = "tally"
    distribution = "bpkit-tally"
    library = "tally"
    namespace = "tally"

    @property
    def capabilities(self) -> frozenset[Capability]:
        # x += y makes a new array: nobody who holds x sees it.
        return ALL_CAPABILITIES - {Capability.IN_PLACE}

    def owns(self, cls: type) -> bool:
        # Whoever has an array of tally has imported it; until then there is none to own.
        return issubclass(cls, getattr(self.imported, "Array", ()))

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> Any:
        return self.module.Array(host_copy(x))

    def to_host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(np.from_dlpack(x), copy=True)

    def index_add(self, x: Any, key: Any, updates: Any) -> Any:
        out = self.to_host(x)
        np.add.at(out, self._host(key), self._host(updates))
        return self.module.Array(out)

    def index_set(self, x: Any, key: Any, value: Any) -> Any:
        out = self.to_host(x)
        out[self._host(key)] = self._host(value)
        return self.module.Array(out)

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def _host(self, x: Any) -> Any:
        """NumPy's arrays for tally's, in a key too."""
        if isinstance(x, tuple):
            return tuple(map(self._host, x))
        return self.to_host(x) if self.owns(type(x)) else x
