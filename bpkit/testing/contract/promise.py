"""What a failure says: which part of the protocol is broken, and where that is written."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from bpkit import _protocol
from bpkit._protocol import Backend

__all__ = ["Contract", "Values", "expect", "promised", "refused", "sample"]

Values = np.ndarray[Any, Any]
Test = TypeVar("Test", bound=Callable[..., Any])
LINES = inspect.getsource(_protocol).splitlines()


class Contract:
    """What all parts of the suite have: the backend that they test."""

    name: str = ""
    _unusable = False

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """The backend called `name`, current for the length of the test."""
        from bpkit.errors import BackendError
        from bpkit.registry import use_backend

        if not self.name:
            pytest.fail(f'{type(self).__name__}: say which backend to test: name = "mine"', pytrace=False)
        if type(self)._unusable:
            pytest.skip(f"backend {self.name!r} cannot be used, as the first test says")
        try:
            selection = use_backend(self.name)
        except BackendError:
            type(self)._unusable = True  # one error tells it, and not one for each test
            raise
        with selection as (backend, _):
            yield backend


def promised(*members: str) -> Callable[[Test], Test]:
    """Mark a test with the members of the protocol that it tests; a failure quotes them."""

    def mark(test: Test) -> Test:
        @wraps(test)
        def checked(self: Any, backend: Backend, *args: Any, **kwargs: Any) -> None:
            try:
                test(self, backend, *args, **kwargs)
            except Exception as error:
                quoted = "\n".join(map(_quoted, members))
                error.add_note(f"\nThe backend {backend.name!r} breaks the contract:\n{quoted}")
                raise

        return checked  # type: ignore[return-value]

    return mark


def _quoted(member: str) -> str:
    """What the protocol says of a method or a capability, and on which line."""
    owner, _, fact = member.rpartition(".")
    name = fact if owner else member
    pattern = rf"\s*(def {name}\(|{name}( =|:))"
    line = next(k for k, text in enumerate(LINES) if re.match(pattern, text))
    says = re.search(r'"""(.+?)(\n\s*\n|""")', "\n".join(LINES[line:]), re.DOTALL)
    if owner or says is None:
        says = re.search(r'"""(.+?)"""', "\n".join(LINES[line:]), re.DOTALL)
    text = " ".join(says[1].split()) if says else ""
    where = f"{Path('bpkit', Path(_protocol.__file__).name)}:{line + 1}"
    return f"  {owner or 'Backend'}.{name} ({where}): {text}"


def expect(right: bool, *said: Any) -> None:
    """Fail with a sentence."""
    if not right:
        raise AssertionError(" ".join(map(str, said)))


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Expect that the library cannot do it, since the backend says so."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, NotImplementedError, IndexError, AttributeError):
        return
    raise AssertionError(f"{what} works, and the capabilities say that it does not")


def sample(shape: tuple[int, ...], dtype: str) -> Values:
    """Small numbers, of which integers of all dtypes hold each."""
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 5
    return np.asarray(values * (1 - 2j) if "complex" in dtype else values).astype(dtype)
