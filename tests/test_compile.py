"""From a recorded program to code: where values lie, and what is written."""

from typing import Any

import numpy as np

from bpkit._protocol import Into
from bpkit.compile import compile_program
from bpkit.record import Program, Recorder, Slot, Step
from bpkit.registry import get_backend

NUMPY = get_backend("numpy")


class SineAndCosine:
    """One step with two results, as a pass makes it of several."""

    into = Into(lambda x, sine, cosine: (np.sin(x, sine), np.cos(x, cosine)))

    def __call__(self, x: Any) -> Any:
        raise AssertionError("its results are written into given memory")


def recorder_of(*arrays: Any) -> Recorder:
    recorder = Recorder("a test")
    for x in arrays:
        recorder.input(x)
    return recorder


def test_a_step_that_writes_several_results() -> None:
    x, y = np.arange(3.0), np.ones(3)
    (a, b), empty = recorder_of(x, y).inputs, np.empty(3)
    made = [Slot(i, empty) for i in range(2, 6)]
    steps = [
        Step("add", (a, b), {}, (made[0],)),
        Step("sine_and_cosine", (made[0],), {}, (made[1], made[2]), do=SineAndCosine()),
        Step("multiply", (made[1], made[2]), {}, (made[3],)),
    ]
    compiled = compile_program(Program((a, b), steps, [made[1], made[3]]), NUMPY, donated=[1])
    assert compiled.overwritten == (1,)
    assert "    sine_and_cosine(t2, a1, t4)\n" in compiled.source
    wanted = np.sin(x + 1)
    sine, product = compiled.run(x, given := y.copy())
    np.testing.assert_array_equal(sine, wanted)
    np.testing.assert_array_equal(product, wanted * np.cos(x + 1))
    assert sine is given

    compiled = compile_program(Program((a, b), steps, [made[1], made[3]]), NUMPY)
    kept = [compiled.run(x, y) for _ in range(2)]
    assert "    t3 = empty((3,), dtype=float64, device='cpu')\n" in compiled.source
    assert compiled.overwritten == () and not np.shares_memory(kept[0][0], kept[1][0])
    np.testing.assert_array_equal(kept[0][0], wanted)
