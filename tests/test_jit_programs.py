"""Random programs and their derivatives: what is compiled gives what the function itself gives."""

from typing import Any

import numpy as np
import pytest
from cases.programs import PROGRAMS, Constants, build, draw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpkit import jit, jvp, tree, value_and_grad, xp
from bpkit._protocol import Backend, Capability

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Of the largest element of a result. Compiled code may add in another order."""
EXAMPLES = {"numpy": 50, "torch": 25, "array_api_strict": 15, "jax": 4}
"""How many programs; JAX compiles each for seconds."""


def check(program: Any, seed: int, dtype: str, backend: Backend) -> None:
    kind = np.dtype(dtype)

    def placed(x: Any) -> Any:
        x = np.asarray(x)
        return backend.from_host(x.astype(kind) if x.dtype.kind == "f" else x)

    f = build(program, Constants(*map(placed, Constants())))
    first, *others = [list(map(placed, group)) for group in draw(seed, 3)]

    def everything(inputs: Any, fixed: Any) -> Any:
        value, gradients = value_and_grad(lambda *xs: xp.sum(f(*xs) ** 2), (0, 1, 2, 3))(*inputs)
        step = [x - 0.1 * g for x, g in zip(inputs, gradients, strict=True)]
        return value, step, jvp(f, inputs, fixed)[1], f(*fixed)

    def host(out: Any) -> list[Any]:
        return [backend.to_host(x) for x in tree.leaves(out)]

    kept, donating = jit(everything), jit(everything, donate_argnums=0)
    kept(first, first)
    donating([xp.asarray(x, copy=True) for x in first], first)
    results = []
    for inputs in (others[0], first, others[1]):
        fixed = others[0]
        expected = host(everything(inputs, fixed))
        before = host((inputs, fixed))
        found = kept(inputs, fixed)
        given_away = [xp.asarray(x, copy=True) for x in inputs]
        results += [(found, host(found)), (out := donating(given_away, fixed), host(out))]
        for each in results[-2:]:
            for x, y in zip(each[1], expected, strict=True):
                assert x.shape == y.shape and x.dtype == y.dtype == kind
                np.testing.assert_allclose(x, y, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.max(np.abs(y))))
        for x, y in zip(host((inputs, fixed)), before, strict=True):
            np.testing.assert_array_equal(x, y)
    # What was returned is nobody's to use again.
    for found, values in results:
        for x, y in zip(host(found), values, strict=True):
            np.testing.assert_array_equal(x, y)
    assert kept.explain() == donating.explain() == "1. the first call"


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_compiled_programs_are_the_functions_themselves(backend: Backend, dtype: str) -> None:
    if dtype == "float64" and Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("the library has no float64 here")
    checks = [HealthCheck.too_slow]

    @settings(deadline=None, max_examples=EXAMPLES.get(backend.name, 10), suppress_health_check=checks)
    @given(program=PROGRAMS, seed=st.integers(0, 2**16))
    def every_program(program: Any, seed: int) -> None:
        check(program, seed, dtype, backend)

    every_program()
