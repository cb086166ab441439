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
