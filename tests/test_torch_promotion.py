"""In torch operators, not in the functions of the standard, a tensor of no axes yields to the other dtype."""

import itertools
import operator
from typing import Any

import pytest

import bpkit
from bpkit import xp
from bpkit.kinds import raw

torch = pytest.importorskip("torch")

DTYPES = (torch.bool, torch.int32, torch.int64, torch.float32, torch.float64, torch.complex64)
OPERATORS = (operator.add, operator.mul, operator.truediv, operator.pow, operator.eq)


def kind(compute: Any) -> Any:
    """The dtype of a result, or that the library refuses."""
    try:
        return compute().dtype
    except (RuntimeError, TypeError):
        return "refused"


@pytest.mark.parametrize("apply", OPERATORS)
@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_operators_promote_as_on_raw_tensors(apply: Any, left: Any, right: Any) -> None:
    found = []

    def f(w: Any, *operands: Any) -> Any:
        for x, y in itertools.product(operands[:2], operands[2:]):
            found.append(kind(lambda x=x, y=y: raw(apply(x, y))))
            found.append(kind(lambda x=x, y=y: raw(apply(raw(x), y))))
            found.append(kind(lambda x=x, y=y: raw(apply(x, raw(y)))))
        return w * w

    operands = (torch.ones(2, dtype=left), torch.ones((), dtype=left))
    others = (torch.ones(2, dtype=right), torch.ones((), dtype=right))
    bpkit.grad(f)(torch.tensor(1.0), *operands, *others)
    expected = [kind(lambda x=x, y=y: apply(x, y)) for x, y in itertools.product(operands, others)]
    assert [x if x != "refused" else y for x, y in zip(expected, found[::3], strict=True)] == found[::3]
    assert found[::3] == found[1::3] == found[2::3]


def test_functions_promote_as_the_standard_says() -> None:
    x, y = torch.ones(2, dtype=torch.float32), torch.ones((), dtype=torch.float64)
    seen = []

    def f(x: Any, y: Any) -> Any:
        seen.append((xp.add(x, y).dtype, (x + y).dtype))
        return xp.sum(x)

    bpkit.grad(f)(x, y)
    assert seen == [(torch.float64, torch.float32)]


def test_gradients_keep_their_dtypes() -> None:
    x, y = torch.ones(2, dtype=torch.float32), torch.tensor(3.0, dtype=torch.float64)
    by_x, by_y = bpkit.grad(lambda x, y: xp.sum(x * y), (0, 1))(x, y)
    assert (by_x.dtype, by_x.tolist(), by_y.dtype, by_y.item()) == (
        torch.float32,
        [3.0, 3.0],
        torch.float64,
        2.0,
    )
