"""Random programs of products, transposes, sums and updates: the compiled ones give the same numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpkit import jit, xp

SHAPES = [(3, 4), (4, 3), (3, 3), (4,), (3,), (2, 3, 4)]
NUMBERS = [1, -1, 0.5, -3.0, 2, 0.3]

UNARY: dict[str, Callable[[Any, Any], Any]] = {
    "scaled": lambda x, number: number * x,
    "divided": lambda x, number: x / number,
    "negative": lambda x, number: -x,
    "transposed": lambda x, number: xp.matrix_transpose(x) if x.ndim > 1 else x,
    "turned": lambda x, number: xp.permute_dims(x, tuple(range(x.ndim))[::-1]),
    "flat": lambda x, number: xp.reshape(x, (-1,)),
    "rows": lambda x, number: xp.reshape(x, (-1, x.shape[-1])) if x.ndim else x,
    "columns": lambda x, number: xp.sum(x, axis=0) if x.ndim > 1 else x,
    "leading": lambda x, number: xp.sum(x, axis=tuple(range(x.ndim - 1))) if x.ndim > 1 else x,
    "across": lambda x, number: xp.sum(x, axis=-1, keepdims=True) if x.ndim > 1 else x,
    "bounded": lambda x, number: xp.tanh(x),
    "logistic": lambda x, number: xp.expit(x),
    "same": lambda x, number: x * 1,
}
BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "product": lambda x, y, number: xp.matmul(x, y),
    "sum": lambda x, y, number: x + number * y,
    "difference": lambda x, y, number: x - number * y,
    "elementwise": lambda x, y, number: x * y,
}

CHOICE = st.integers(0, 30)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*UNARY, *BINARY, "product", "product"]), CHOICE, CHOICE, st.sampled_from(NUMBERS)
    ),
    min_size=1,
    max_size=14,
)


def fits(name: str, x: Any, y: Any) -> bool:
    """Whether the function takes these two."""
    try:
        if name == "product":
            return len(np.matmul(np.zeros(x.shape), np.zeros(y.shape)).shape) < 4
        return len(np.broadcast_shapes(x.shape, y.shape)) < 4
    except ValueError:
        return False


def built(steps: list[Any], returned: list[int]) -> Callable[..., Any]:
    """The function of such steps: its inputs, updated where that can be, and some of the values."""

    def fun(inputs: list[Any]) -> Any:
        values, sizes = list(inputs), [4.0] * len(inputs)
        for name, i, j, number in steps:
            i %= len(values)
            x, size = values[i], sizes[i]
            if name in UNARY:
                y = UNARY[name](x, number)
            else:
                others = [k for k in (*range(j % len(values), len(values)), 0, 1) if fits(name, x, values[k])]
                if not others:
                    continue
                y = BINARY[name](x, values[others[0]], number)
                size *= sizes[others[0]]
            # Bounded, so that differences in rounding stay small.
            size *= 12
            values.append(y if size < 1e5 else xp.tanh(y / size))
            sizes.append(size if size < 1e5 else 1.0)
        updated = []
        for x in inputs:
            slopes = [y for y in values[len(inputs) :] if y.shape == x.shape]
            updated.append(x - 0.1 * slopes[-1] if slopes else x)
        return updated, [values[i % len(values)] for i in returned]

    return fun


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, returned=st.lists(CHOICE, max_size=3), seed=st.integers(0, 99), transposed=st.booleans())
def test_products(steps: list[Any], returned: list[int], seed: int, transposed: bool) -> None:
    fun = built(steps, returned)
    rng = np.random.default_rng(seed)

    def drawn() -> list[Any]:
        arrays = [rng.normal(size=shape) for shape in SHAPES]
        return [np.asfortranarray(x) for x in arrays] if transposed else arrays

    kept, donating = jit(fun), jit(fun, donate_argnums=0)
    kept(drawn()), donating(drawn())
    for inputs in (drawn(), drawn()):
        before = [x.copy() for x in inputs]
        expected = fun(inputs)
        for found in (kept(inputs), donating([x.copy(order="K") for x in inputs])):
            for group, wanted in zip(found, expected, strict=True):
                for x, y in zip(group, wanted, strict=True):
                    scale = max(1.0, np.max(np.abs(y)))
                    np.testing.assert_allclose(x, y, rtol=0, atol=1e-9 * scale)
                    assert x.shape == y.shape and x.dtype == y.dtype
        for x, y in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(x, y)
