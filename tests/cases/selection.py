"""Which cases a backend can run."""

from collections.abc import Iterator
from contextlib import contextmanager

from bpkit._protocol import Backend

from . import CASES, Case

__all__ = ["NAMES", "cases_of", "of", "runs_on"]

NAMES = list(dict.fromkeys(case.name for case in CASES))
"""The functions that have cases."""


def runs_on(case: Case, backend: Backend) -> bool:
    """Whether a library understands a call, as it is set up now."""
    return backend.name not in case.not_on and backend.capabilities.issuperset(case.needs)


def cases_of(name: str, backend: Backend, plainest: bool = False) -> list[Case]:
    """The cases of a function that a backend can run.

    JAX compiles each function for each shape, which takes longer than all the rest: there, only the plainest
    case, or that and the first complex one.
    """
    cases = [case for case in CASES if case.name == name and runs_on(case, backend)]
    if backend.name != "jax":
        return cases
    return cases[:1] if plainest else cases[:1] + [case for case in cases[1:] if "complex" in case.label][:1]


@contextmanager
def of(case: Case) -> Iterator[None]:
    """Say in an error which case it is."""
    try:
        yield
    except Exception as error:
        error.add_note(f"case: {case}")
        raise
