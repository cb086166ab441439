"""What shares memory is known: a write to a result may not change an operand behind the engine's back."""

from typing import Any

import pytest
from cases import CASES
from cases.check import problem

import bpkit
from bpkit import evaluate
from bpkit._protocol import Backend
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
    assert sharing <= set(VIEWS)
