"""The contract of a backend: bpkit's own keep it, and a backend that does not is told what it breaks."""

import pytest

from bpkit._protocol import Backend
from bpkit.testing.contract import BackendContract


class TestContract(BackendContract):
    @pytest.fixture
    def backend(self, backend: Backend) -> Backend:
        """The fixture of all tests, over all of them."""
        return backend
