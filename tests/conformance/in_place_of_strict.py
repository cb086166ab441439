"""pytest plugin: bpkit's traced namespace in the place of array_api_strict, for the tests of other projects.

SciPy, scikit-learn and array-api-extra run their array-API tests on array_api_strict. With this plugin they
get its arrays traced, as constants (inputs of a gradient could not be compared by ``numpy.testing``)::

    export PYTHONPATH=tests SCIPY_ARRAY_API=1
    pytest -p conformance.in_place_of_strict -k array_api_strict --pyargs scipy.cluster

Without ``-p`` the same command tells what array_api_strict itself passes.
"""

import sys

import array_api_strict
import pytest

from bpkit.registry import get_backend
from bpkit.testing import traced_namespace

BACKEND = get_backend("array_api_strict")
TRACED = traced_namespace(BACKEND.name, "constant")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before the other project is imported, which may keep the module."""
    take_the_place()


def take_the_place() -> None:
    """Make ``import array_api_strict`` find the traced namespace, with what else the library has."""
    # bpkit itself must have found the library before.
    assert BACKEND.xp is array_api_strict
    here = set(dir(TRACED))
    for name, value in vars(array_api_strict).items():
        if name not in here and (name == "__version__" or not name.startswith("__")):
            setattr(TRACED, name, value)
    # The tests ask for the name to know what the library cannot do.
    TRACED.__name__ = array_api_strict.__name__
    TRACED.__path__ = array_api_strict.__path__
    sys.modules[array_api_strict.__name__] = TRACED
