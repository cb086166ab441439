"""What shares memory is known: a write to a result may not change an operand behind the engine's back."""

from typing import Any

import numpy as np
import pytest
from cases import CASES
from cases.check import problem

import bpkit
from bpkit import evaluate, xp
from bpkit._protocol import Backend
from bpkit.errors import GradientCutError
from bpkit.views import VIEWS

NAMES = list(dict.fromkeys(case.name for case in CASES))


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_every_function_whose_result_shares_memory_is_a_view(
    name: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing: set[str] = set()

    def watched(called: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        out = evaluate.evaluate(called, operands, static)
        for result in out if isinstance(out, tuple) else (out,):
            for i, x in enumerate(operands):
                if hasattr(x, "shape") and backend.shares_memory(result, x):
                    sharing.add(called if i == 0 and len(operands) == 1 else f"{called}, operand {i}")
        return out

    monkeypatch.setattr("bpkit.derivative.evaluate", watched)
    for case in CASES:
        if case.name == name and backend.name not in case.not_on:
            fun, primals = problem(case, backend)
            bpkit.jvp(fun, tuple(primals), tuple(primals))
    # What slices gives is for reading only; it is no function of the public namespace.
    assert sharing <= {*VIEWS, "slices"}


def _real_of_a_temporary(x: Any) -> Any:
    h = xp.real(xp.fft.fft(xp.astype(x, "complex128")))
    h += 1.0
    return h


def _real_beside_a_view_of_it(x: Any) -> Any:
    h = xp.real(xp.fft.fft(xp.astype(x, "complex128")))
    part = h[1:]
    h[1:2] += 2.0
    return h * xp.sum(part * part)


def _real_of_an_array_in_use(x: Any) -> Any:
    z = xp.fft.fft(xp.astype(x, "complex128"))
    h = xp.real(z)
    h += 1.0
    return h + xp.abs(z)


def _two_real_parts(x: Any) -> Any:
    z = xp.fft.fft(xp.astype(x, "complex128"))
    h, other = xp.real(z), xp.real(z)
    del z
    h += 1.0
    return h * other


def _real_of_a_part_of_an_array_in_use(x: Any) -> Any:
    z = xp.fft.fft(xp.astype(x, "complex128"))
    h = xp.real(z[1:])
    h += 1.0
    return h + xp.abs(z[1:])


@pytest.mark.parametrize("backend", ["numpy", "array_api_strict", "torch"], indirect=True)
@pytest.mark.parametrize("function", [_real_of_a_temporary, _real_beside_a_view_of_it])
def test_a_real_part_of_what_nobody_has_can_be_written(function: Any, backend: Backend) -> None:
    x = backend.from_host(np.asarray([1.0, 2.0, 4.0]))
    with bpkit.use_backend(backend.name):
        value, slope = bpkit.value_and_grad(lambda x: xp.sum(function(x)))(x)
    np.testing.assert_allclose(float(value), float(backend.xp.sum(function(x))))
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        ends = [
            float(backend.xp.sum(function(backend.from_host(np.asarray([1.0, 2.0, 4.0]) + s))))
            for s in (step, -step)
        ]
        assert float(slope[i]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


@pytest.mark.parametrize("backend", ["numpy", "array_api_strict", "torch"], indirect=True)
@pytest.mark.parametrize(
    "function", [_real_of_an_array_in_use, _two_real_parts, _real_of_a_part_of_an_array_in_use]
)
def test_a_real_part_of_what_somebody_has_cannot(function: Any, backend: Backend) -> None:
    with bpkit.use_backend(backend.name), pytest.raises(GradientCutError, match="x was made by real"):
        bpkit.grad(lambda x: xp.sum(function(x)))(backend.from_host(np.asarray([1.0, 2.0, 4.0])))
