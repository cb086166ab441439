"""NumPy's scalars take a short way through the engine, on which everything is as on the long one."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import backward
from bpkit.errors import NotDifferentiableError
from bpkit.evaluate import evaluate
from bpkit.rules.registry import RULES, elementwise_names
from bpkit.trace import call

SCALARS = [np.float16, np.float32, np.float64, np.complex64, np.complex128, np.int32, np.uint8, np.bool_]
VALUES = [0.0, -0.0, 1.0, -2.5, 1e-30, 3.4e38, np.inf, np.nan]
NUMBERS = [True, 0, -3, 2**70, 2**1100, -0.0, 0.5, 1e300, float("inf"), float("nan"), 0.0j, 1 + 2j]


def outcome(function: Any, *operands: Any) -> Any:
    """What comes of a call: type, digits and kinds of warnings, or the kind of error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            out = function(*operands)
        except (OverflowError, TypeError) as error:
            return type(error)
        return type(out), repr(out), [w.category for w in caught]


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("scalar", SCALARS)
def test_arithmetic_of_scalars_is_that_of_numpys_functions(name: str, scalar: Any) -> None:
    with np.errstate(all="ignore"):
        xs = [np.asarray(value).astype(scalar)[()] for value in VALUES]
        ys: list[Any] = [np.asarray(value).astype(other)[()] for value in VALUES for other in SCALARS]
    for x, y in itertools.product(xs, [*ys, *NUMBERS]):
        for operands in ((x, y), (y, x)):
            expected = outcome(getattr(np, name), *operands)
            assert outcome(evaluate, name, operands, {}) == expected, operands


def operands_of(name: str) -> tuple[str, ...]:
    rule = RULES[name]
    assert rule is not None
    return rule.operands


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in elementwise_names() if len(operands_of(n)) < 3])
@pytest.mark.parametrize("scalar", [np.float32, np.float64])
def test_the_short_way_gives_what_the_long_way_gives(
    name: str, scalar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [scalar(x) for x in (0.3, 1.0, 0.0, -0.7, np.inf)]

    def f(*xs: Any) -> Any:
        y = call(name, *xs)
        seen.append((type(y._value), y.dtype))
        return y

    def result(xs: list[Any], argnums: Any) -> str:
        try:
            return repr(bpkit.value_and_grad(f, argnums)(*xs))
        except (NotDifferentiableError, TypeError) as error:
            return repr(error)

    def results() -> list[str]:
        found = []
        for xs in itertools.product(numbers, repeat=len(operands_of(name))):
            # By all operands, and by each with Python's numbers in the place of the others.
            found.append(result(list(xs), tuple(range(len(xs)))))
            found += [
                result([x if k == i else float(x) for k, x in enumerate(xs)], i) for i in range(len(xs))
            ]
        return found

    seen: list[Any] = []
    short = results(), seen
    seen = []
    monkeypatch.setattr(backward, "REAL_SCALARS", frozenset())
    assert (results(), seen) == short
