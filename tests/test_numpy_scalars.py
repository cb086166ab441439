"""NumPy's scalars take a short way through the engine, on which everything is as on the long one."""

import itertools
import operator
import warnings
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import backward
from bpkit.array import Array
from bpkit.errors import ArgumentError, NonFiniteError, NotDifferentiableError
from bpkit.evaluate import evaluate
from bpkit.rules.registry import RULES, Elementwise
from bpkit.scalars import Number
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


SHORT = {
    name: len(rule.operands)
    for name, rule in RULES.items()
    if isinstance(rule, Elementwise) and len(rule.operands) < 3
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SHORT)
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
        for xs in itertools.product(numbers, repeat=SHORT[name]):
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


ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("apply", ARITHMETIC)
@pytest.mark.parametrize("scalar", [np.float32, np.float64])
def test_operators_on_the_short_way_are_those_of_the_long_way(
    apply: Any, scalar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [0.3, -0.0, 0.0, -0.7, np.inf, np.nan]
    other: list[Any] = [*values, *map(np.float32, values), *map(np.float64, values), *NUMBERS]

    def f(x: Any, y: Any) -> Any:
        # The negative of each is a result of the short way, for which the operators are written.
        return apply(-x, -y if isinstance(y, Array) else y)

    def result(xs: list[Any], argnums: Any, function: Any) -> str:
        try:
            return repr(bpkit.value_and_grad(function, argnums)(*xs))
        except (ArithmeticError, TypeError, ArgumentError) as error:
            return f"{error!r} {getattr(error, '__notes__', None)}"

    def results() -> list[str]:
        found = [result([scalar(x), scalar(y)], (0, 1), f) for x in values for y in values]
        found += [result([scalar(x), y], 0, f) for x in values for y in other]
        found += [result([scalar(x), y], 0, lambda x, y: apply(y, -x)) for x in values for y in other]
        return found

    short = results()
    monkeypatch.setattr(backward, "REAL_SCALARS", frozenset())
    assert results() == short


def test_a_program_on_numbers_takes_the_short_way_with_the_same_derivatives_of_every_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes: set[type] = set()

    def f(x: Any, y: Any) -> Any:
        for _ in range(3):
            u = bpkit.xp.sin(x) * y - 0.5
            x = (2 * u + x) / (1.5 + bpkit.xp.exp(u)) - x * x
            y = 1 - y * bpkit.xp.tanh(x)
            classes.update((type(x), type(y)))
        return x * y

    x, y = np.float64(0.4), np.float64(-0.8)

    def derivatives() -> str:
        first = bpkit.grad(f, (0, 1))
        second = bpkit.grad(lambda x, y: first(x, y)[0] * first(x, y)[1], (0, 1))
        value, pullback = bpkit.vjp(f, x, y)
        hvp = bpkit.jvp(lambda x: bpkit.grad(f)(x, y), (x,), (np.float64(1.0),))
        by_weight = bpkit.grad(lambda g: pullback(g)[0] * g)(np.float64(1.5))
        kept = bpkit.grad(bpkit.checkpoint(f), (0, 1))(x, y)
        return repr([first(x, y), second(x, y), value, pullback(1.0), pullback(2.0), hvp, by_weight, kept])

    short = derivatives()
    assert Number in classes
    classes.clear()
    monkeypatch.setattr(backward, "REAL_SCALARS", frozenset())
    assert derivatives() == short
    assert Number not in classes


def test_numbers_under_debug_nans_are_looked_at() -> None:
    with bpkit.debug_nans(), pytest.raises(NonFiniteError, match="log"):
        bpkit.grad(lambda x: bpkit.xp.log(x * 2.0 - 2.0) * 3.0)(np.float64(1.0))
