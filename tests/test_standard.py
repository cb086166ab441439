"""The namespace has the names and signatures of the standard 2025.12, as array-api-strict has them."""

import inspect
import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import array_api_strict
import pytest

from bpkit import registry, xp
from bpkit.namespace.xp import namespace_of

STRICT_ONLY = {
    *("ArrayAPIStrictFlags", "Device", "get_array_api_strict_flags", "reset_array_api_strict_flags"),
    *("set_array_api_strict_flags", "__version__"),
}
"""What array-api-strict adds for tests."""
CHAPTERS = {"": array_api_strict, "fft.": array_api_strict.fft, "linalg.": array_api_strict.linalg}
NAMES = [
    prefix + name
    for prefix, chapter in CHAPTERS.items()
    for name in chapter.__all__
    if name not in STRICT_ONLY and not inspect.ismodule(getattr(chapter, name))
]
FUNCTIONS = [
    name
    for name in NAMES
    if callable(attrgetter(name)(array_api_strict)) and name not in xp.__array_namespace_info__().dtypes()
]
REVIEWED = {
    ("astype", "device"): (None, "array-api-strict has a mark for what is not given; the standard has None"),
    ("from_dlpack", "device"): (None, "as for astype"),
    ("from_dlpack", "copy"): (None, "as for astype"),
}
"""Differing defaults by function and parameter: bpkit's, and why."""

Parameter = tuple[str, Any, Any]


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Name, kind and default of each."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def expected(name: str) -> list[Parameter]:
    """The parameters in array-api-strict, with the reviewed differences."""
    theirs = parameters(attrgetter(name)(array_api_strict))
    return [(p, kind, REVIEWED.get((name, p), (default,))[0]) for p, kind, default in theirs]


def test_array_api_strict_follows_the_version_that_bpkit_states() -> None:
    assert xp.__array_api_version__ == "2025.12"
    assert array_api_strict.get_array_api_strict_flags()["api_version"] == "2025.12"
    assert len(FUNCTIONS) > 170


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(name: str) -> None:
    theirs = attrgetter(name)(array_api_strict)
    for namespace in (xp, namespace_of(registry.get_backend("array_api_strict"))):
        ours = attrgetter(name)(namespace)
        if isinstance(theirs, float):
            assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        elif not callable(theirs):
            assert namespace is xp or ours == theirs
        assert name.split(".", maxsplit=1)[0] in dir(namespace)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_signature_is_the_standards(name: str) -> None:
    for namespace in (xp, namespace_of(registry.get_backend("numpy"))):
        assert parameters(attrgetter(name)(namespace)) == expected(name)


@pytest.mark.parametrize(("name", "parameter"), REVIEWED)
def test_a_reviewed_difference_is_still_one(name: str, parameter: str) -> None:
    theirs = {p: default for p, _, default in parameters(attrgetter(name)(array_api_strict))}
    ours, reason = REVIEWED[name, parameter]
    assert theirs[parameter] != ours and reason
