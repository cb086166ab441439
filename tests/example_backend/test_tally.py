"""tally keeps the contract, and counts what a gradient costs."""

import pytest
import tally

import bpkit
from bpkit import xp
from bpkit.testing.contract import BackendContract


class TestTally(BackendContract):
    name = "tally"


@pytest.mark.parametrize("bpkit_backend", ["tally"], indirect=True)
def test_a_gradient_costs_a_small_multiple_of_the_function(bpkit_backend):
    x = xp.linspace(-1.0, 1.0, 1000)

    def loss(x):
        for _ in range(20):
            x = xp.sin(x) * 1.5
        return xp.sum(x)

    start = tally.counted()
    loss(x)
    forward = tally.counted() - start
    bpkit.grad(loss)(x)
    both = tally.counted() - start - forward
    assert 2 * forward <= both <= 5 * forward
