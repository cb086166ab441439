"""Every derivative on array-api-strict without what some libraries lack: masks, dynamic shapes, float64."""

from typing import Any

import pytest
from cases import CASES, Case
from cases.check import TOLERANCE, check, first_order, problem

import bpkit
from bpkit._protocol import Backend, Capability
from bpkit.registry import use_backend

array_api_strict = pytest.importorskip("array_api_strict")

ON_STRICT = [case for case in CASES if "array_api_strict" not in case.not_on]
NAMES = list(dict.fromkeys(case.name for case in ON_STRICT))
strict_only = pytest.mark.parametrize("backend", ["array_api_strict"], indirect=True)


FLAGS = {
    "boolean_indexing": Capability.BOOLEAN_INDEXING,
    "data_dependent_shapes": Capability.DATA_DEPENDENT_SHAPES,
}


def check_all(cases: list[Case], backend: Backend, tolerance: float, device: str | None = None) -> None:
    """Check cases; on a device, in float32."""
    place = None if device is None else backend.device(device)
    for case in cases:
        reference = first_order(case)
        try:
            found = problem(case, backend, narrow=device is not None, device=place)
            check(*found, backend, reference, tolerance)
        except Exception as error:
            error.add_note(f"case: {case}")
            raise


def without(name: str, *lacks: Capability) -> list[Case]:
    """The cases of a function that do not themselves ask for what is lacking."""
    cases = [case for case in ON_STRICT if case.name == name and not set(lacks) & set(case.needs)]
    if not cases:
        pytest.skip(f"{name} itself asks for {' or '.join(lack.value for lack in lacks)}")
    return cases


@strict_only
@pytest.mark.parametrize("name", NAMES)
def test_no_derivative_asks_for_masks_or_shapes_that_depend_on_values(name: str, backend: Backend) -> None:
    with array_api_strict.ArrayAPIStrictFlags(**dict.fromkeys(FLAGS, False)):
        assert not backend.capabilities & set(FLAGS.values())
        check_all(without(name, *FLAGS.values()), backend, TOLERANCE["finite differences"])


@strict_only
@pytest.mark.parametrize("flag", FLAGS)
def test_what_asks_for_one_does_not_ask_for_the_other(flag: str, backend: Backend) -> None:
    others = set(FLAGS.values()) - {FLAGS[flag]}
    cases = [case for case in ON_STRICT if others & set(case.needs) and FLAGS[flag] not in case.needs]
    assert cases
    with array_api_strict.ArrayAPIStrictFlags(**{flag: False}):
        check_all(cases, backend, TOLERANCE["finite differences"])


@strict_only
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_on_a_device_without_float64(name: str, backend: Backend) -> None:
    with use_backend("array_api_strict:no_float64"):
        check_all(without(name, Capability.FLOAT64), backend, TOLERANCE["float32"], "no_float64")


@strict_only
def test_the_device_refuses_float64(backend: Backend) -> None:
    with pytest.raises(ValueError, match="float64"):
        backend.xp.ones(1, dtype=backend.xp.float64, device=backend.device("no_float64"))


def test_some_cases_ask_for_each() -> None:
    for lack in (*FLAGS.values(), Capability.FLOAT64):
        asking: list[Case] = [case for case in ON_STRICT if lack in case.needs]
        assert 0 < len(asking) < 30


def test_a_gradient_comes_back_to_the_device_of_its_input() -> None:
    here, there = array_api_strict.Device("CPU_DEVICE"), array_api_strict.Device("device1")
    x, t = array_api_strict.asarray([1.0, 2.0]), array_api_strict.asarray([1.0, 0.5])

    def moved(x: Any) -> Any:
        y = x.to_device(there)
        assert y.device == there
        return (y * y).to_device(there)

    out, pullback = bpkit.vjp(moved, x)
    (gradient,) = pullback(array_api_strict.ones(2, device=there))
    tangent = bpkit.jvp(moved, (x,), (t,))[1]
    assert (out.device, gradient.device, tangent.device) == (there, here, there)
    assert list(gradient) == [2.0, 4.0]
    assert list(tangent.to_device(here)) == [2.0, 2.0]
