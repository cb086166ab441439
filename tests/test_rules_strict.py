"""Every derivative on array-api-strict without what some libraries lack: masks, dynamic shapes, float64."""

from collections.abc import Iterator

import pytest
from cases import CASES, Case
from cases.check import TOLERANCE, check, first_order, problem

from bpkit._protocol import Backend, Capability
from bpkit.registry import use_backend

array_api_strict = pytest.importorskip("array_api_strict")

ON_STRICT = [case for case in CASES if "array_api_strict" not in case.not_on]
NAMES = list(dict.fromkeys(case.name for case in ON_STRICT))
strict_only = pytest.mark.parametrize("backend", ["array_api_strict"], indirect=True)


def check_all(name: str, lacks: Capability, backend: Backend, narrow: bool = False) -> None:
    """Check the cases of a function that do not themselves ask for what is lacking."""
    device = backend.device("no_float64") if narrow else None
    tolerance = TOLERANCE["float32" if narrow else "finite differences"]
    cases = [case for case in ON_STRICT if case.name == name and lacks not in case.needs]
    if not cases:
        pytest.skip(f"{name} itself asks for {lacks.value}")
    for case in cases:
        reference = first_order(case)
        try:
            check(*problem(case, backend, narrow, device=device), backend, reference, tolerance)
        except Exception as error:
            error.add_note(f"case: {case}")
            raise


@pytest.fixture(params=["boolean_indexing", "data_dependent_shapes"])
def lacking(request: pytest.FixtureRequest) -> Iterator[Capability]:
    """One of array-api-strict's flags switched off."""
    with array_api_strict.ArrayAPIStrictFlags(**{request.param: False}):
        yield Capability[request.param.upper()]


@strict_only
@pytest.mark.parametrize("name", NAMES)
def test_no_derivative_asks_for_masks_or_shapes_that_depend_on_values(
    name: str, backend: Backend, lacking: Capability
) -> None:
    assert lacking not in backend.capabilities
    check_all(name, lacking, backend)


@strict_only
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_on_a_device_without_float64(name: str, backend: Backend) -> None:
    with use_backend("array_api_strict:no_float64"):
        check_all(name, Capability.FLOAT64, backend, narrow=True)


@strict_only
def test_the_device_refuses_float64(backend: Backend) -> None:
    with pytest.raises(ValueError, match="float64"):
        backend.xp.ones(1, dtype=backend.xp.float64, device=backend.device("no_float64"))


def test_some_cases_ask_for_each() -> None:
    for lack in (Capability.BOOLEAN_INDEXING, Capability.DATA_DEPENDENT_SHAPES, Capability.FLOAT64):
        asking: list[Case] = [case for case in ON_STRICT if lack in case.needs]
        assert 0 < len(asking) < 30
