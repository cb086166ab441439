"""What derivatives cost: in proportion to the work that they are for."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp


def shortest(work: Callable[[], object]) -> float:
    """Processor time of the fastest of some runs, in seconds."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize(
    "join",
    [
        pytest.param(lambda xs: xp.concat([x[None] for x in xs]), id="concat"),
        pytest.param(lambda xs: xp.concat(xs, axis=None), id="concat-flat"),
        pytest.param(xp.stack, id="stack"),
    ],
)
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_joining_costs_as_much_per_array_for_many_as_for_few(mode: str, join: Callable[..., Any]) -> None:
    def fun(xs: list[Any]) -> Any:
        return xp.sum(join(xs))

    def differentiate(count: int) -> Callable[[], object]:
        arrays = [np.asarray(1.0) for _ in range(count)]
        if mode == "reverse":
            return lambda: bpkit.grad(fun)(arrays)
        return lambda: bpkit.jvp(fun, (arrays,), (arrays,))

    # About 4 where each array is looked at once, 13 to 17 where each looks at all the others.
    few, many = (shortest(differentiate(count)) for count in (1000, 4000))
    assert many / few < 8


@pytest.mark.parametrize("transform", [bpkit.jacrev, bpkit.jacfwd])
def test_a_full_jacobian_at_once_costs_a_fifth_of_one_row_at_a_time(transform: Callable[..., Any]) -> None:
    # No matrix products, whose threads would count.
    x = np.random.default_rng(0).standard_normal(100)

    def fun(x: Any) -> Any:
        return xp.cumulative_sum(xp.tanh(x * xp.sin(xp.roll(x, 1))))

    at_once, one_by_one = transform(fun), transform(fun, chunk_size=1)
    np.testing.assert_allclose(at_once(x), one_by_one(x), atol=1e-13)
    # Less than a tenth by reverse mode; less still by forward mode, which runs the function each time.
    assert shortest(lambda: one_by_one(x)) > 5 * shortest(lambda: at_once(x))
