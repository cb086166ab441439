"""Random programs: functions put together from steps, for tests of laws that hold for every function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from bpkit import xp

__all__ = ["PROGRAMS", "SHAPES", "STEPS", "Constants", "build", "draw"]


class Constants(NamedTuple):
    """Arrays that programs use besides their inputs."""

    mask: Any = np.asarray([[True, False, True], [False, False, True], [True, True, False]])
    order: Any = np.asarray([2, 0, 0])
    weight: Any = np.asarray([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5], [-0.25, 0.5, 1.0]])
    ones: Any = np.ones((3, 3))


# Every step takes matrices of shape (3, 3) to one, and keeps their size near 1. Vectors and scalars come in
# by broadcasting. None has a kink where random numbers would meet it.
STEPS: dict[str, Callable[[Any, Any, Constants], Any]] = {
    "add": lambda a, b, k: 0.5 * (a + b),
    "subtract": lambda a, b, k: a - 0.5 * b,
    "multiply": lambda a, b, k: a * xp.tanh(b),
    "square": lambda a, b, k: 0.3 * a * a,
    "divide": lambda a, b, k: a / (2.0 + xp.cos(b)),
    "power": lambda a, b, k: (1.5 + xp.sin(a)) ** xp.tanh(b),
    "matmul": lambda a, b, k: 0.4 * xp.matmul(a, b),
    "weighted": lambda a, b, k: 0.5 * (a @ k.weight),
    "hypot": lambda a, b, k: xp.hypot(a, b + 3.0),
    "atan2": lambda a, b, k: xp.atan2(a, 2.0 + xp.sin(b)),
    "maximum": lambda a, b, k: xp.maximum(a, b + 0.123),
    "clip": lambda a, b, k: xp.clip(a, -0.777, 0.8765),
    "where": lambda a, b, k: xp.where(a > b, xp.sin(a), b),
    "masked": lambda a, b, k: xp.where(k.mask, a, xp.exp(-b * b)),
    "softmax": lambda a, b, k: xp.softmax(a, axis=0) + b,
    "logsumexp": lambda a, b, k: xp.logsumexp(a, axis=1, keepdims=True) + 0.1 * b,
    "log": lambda a, b, k: xp.log(1.0 + a * a),
    "sqrt": lambda a, b, k: xp.sqrt(1.0 + a * a + b * b) - 1.0,
    "expit": lambda a, b, k: xp.expit(a) - 0.5,
    "centred": lambda a, b, k: a - xp.mean(a, axis=0),
    "scaled": lambda a, b, k: a / (1.0 + xp.std(b)),
    "largest": lambda a, b, k: 0.5 * xp.max(a, axis=1, keepdims=True) * b,
    "product": lambda a, b, k: xp.prod(xp.tanh(a), axis=0) + b,
    "cumulative": lambda a, b, k: 0.3 * xp.cumulative_sum(a, axis=1),
    "sorted": lambda a, b, k: xp.sort(a + 0.01 * b, axis=0),
    "transpose": lambda a, b, k: a.T + 0.1 * b,
    "reshape": lambda a, b, k: xp.reshape(xp.flip(xp.reshape(a, (9,))), (3, 3)),
    "roll": lambda a, b, k: xp.roll(a, 1, axis=1),
    "slice": lambda a, b, k: xp.concat([a[1:, :], b[:1, :]]),
    "take": lambda a, b, k: xp.take(a, k.order, axis=1),
    "gather": lambda a, b, k: a[k.order, k.order] + b,
    "row": lambda a, b, k: a[1, :] + b[:, None, 2],
    "scatter": lambda a, b, k: xp.stack([a[0, :], b[1, :], a[2, :] * b[0, 0]]),
    "triangle": lambda a, b, k: xp.tril(a) + xp.triu(b, k=1),
    "complex": lambda a, b, k: xp.imag((a + 1j * b) * (0.3 * a - 0.2j * b)),
}
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9
)
SHAPES = ((3, 3), (3,), (3, 1), ())


def build(program: list[tuple[str, int, int]], constants: Constants | None = None) -> Callable[..., Any]:
    """The function that a program describes: of arrays of SHAPES, to a matrix; NumPy's without constants."""
    k = constants or Constants()

    def f(*inputs: Any) -> Any:
        values = [x * k.ones for x in inputs]
        for name, i, j in program:
            values.append(STEPS[name](values[i % len(values)], values[-1 - j % len(values)], k))
        return values[-1] + 0.1 * values[len(values) // 2]

    return f


def draw(seed: int, count: int) -> list[list[Any]]:
    """Groups of random arrays of SHAPES."""
    generator = np.random.default_rng(seed)
    return [[generator.normal(size=shape) for shape in SHAPES] for _ in range(count)]
