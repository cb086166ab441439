"""The tests that every backend passes: bpkit's own, and yours.

A backend is whatever satisfies :class:`bpkit.backends.Backend`; docs/adding-a-backend.md builds one. Its
tests are one class, in a file that pytest collects, with the backend's package installed::

    from bpkit.testing.contract import BackendContract


    class TestMine(BackendContract):
        name = "mine"

A failure quotes what the protocol promises and says on which line. What the library cannot do is skipped if
the capabilities say so. It needs pytest and NumPy, and SciPy for the special functions.
"""

try:
    import pytest  # noqa: F401
except ImportError as error:
    raise ImportError(
        "bpkit.testing.contract needs pytest, which is not installed: pip install pytest"
    ) from error

from bpkit.testing.contract.arrays import Arrays
from bpkit.testing.contract.derivatives import Derivatives
from bpkit.testing.contract.facts import Facts
from bpkit.testing.contract.functions import Functions
from bpkit.testing.contract.writing import Writing

__all__ = ["BackendContract"]


class BackendContract(Arrays, Facts, Writing, Functions, Derivatives):
    """All parts of the contract.

    Attributes
    ----------
    name : str
        The backend, as :func:`bpkit.use_backend` names it. A subclass sets it, or overrides the fixture
        ``backend``.
    """
