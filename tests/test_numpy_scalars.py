"""NumPy's scalars take a short way through the engine, on which everything is as on the long one."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

from bpkit.evaluate import evaluate

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
