"""Rules by which a recorded program gets cheaper: what is left of it, and that its values are the same."""

from typing import Any

import numpy as np
import pytest

from bpkit import grad, jit, xp
from bpkit._protocol import Backend
from bpkit.rules.cotangents import annihilating_product
from bpkit.tree import leaves

X = np.asarray([[1.5, -0.0, 0.0, np.inf], [np.nan, -np.inf, -2.5, 1e-40]])
ONE = np.full((2, 4), 1.0)
SMALL = np.full((2, 4), 0.3)

EXACT: list[tuple[Any, str]] = [
    (lambda x: xp.negative(-x) + 1, "add"),
    (lambda x: -1 * xp.sin(x), "sin negative"),
    (lambda x: 1 * x + 2, "add"),
    (lambda x: xp.exp(ONE * x / 1), "exp"),
    (lambda x: xp.pow(x, 1) * 2, "multiply"),
    (lambda x: xp.sin(x) - 0.0, "sin"),
    (lambda x: xp.sin(x) + -0.0, "sin"),
    (lambda x: xp.sin(x) + 0.0, "sin add"),
    (lambda x: xp.sin(x) - -0.0, "sin subtract"),
    (lambda x: x / 4.0, "multiply"),
    (lambda x: x / 3.0, "divide"),
    (lambda x: xp.cos(x) - -xp.sin(x), "cos sin add"),
    (lambda x: xp.cos(x) + -xp.sin(x), "cos sin subtract"),
    (lambda x: -xp.cos(x) + xp.sin(x), "cos sin subtract"),
    (lambda x: -(-2.0 * x), "multiply negative"),
    (lambda x: x * 1e-320, "multiply"),
    (lambda x: xp.sin(x) * xp.cos(x) + xp.cos(x) * xp.sin(x), "sin cos multiply add"),
    (lambda x: xp.reshape(xp.reshape(xp.sin(x), (8,)), (4, 2)), "sin reshape"),
    (lambda x: xp.reshape(xp.reshape(xp.sin(x), (8,)), (2, 4)), "sin"),
    (lambda x: xp.matrix_transpose(xp.matrix_transpose(x)) + 1, "add"),
    (lambda x: xp.permute_dims(xp.permute_dims(x[None], (1, 2, 0)), (2, 0, 1)) + 1, "getitem add"),
    (
        lambda x: xp.permute_dims(xp.permute_dims(x[None], (1, 2, 0)), (0, 2, 1)) + 1,
        "getitem permute_dims add",
    ),
    (lambda x: xp.broadcast_to(xp.broadcast_to(x, (1, 2, 4)), (3, 2, 4)) + 1, "broadcast_to add"),
    (lambda x: annihilating_product(SMALL, x) + 1, "multiply add"),
    (lambda x: annihilating_product(x, xp.astype(x > 1, x.dtype)), "greater astype multiply"),
    (lambda x: annihilating_product(x, xp.where(x > 1, ONE, 0.5)), "greater where multiply"),
    (lambda x: annihilating_product(x, xp.where(x > 1, x, 0.5)), "greater where annihilating_product"),
    (lambda x: annihilating_product(np.zeros((2, 4)), x), "annihilating_product"),
]
"""Functions, and the functions that are left of them; the same to the last bit."""

ROUNDED: list[tuple[Any, str]] = [
    (lambda x: 0.1 * (0.3 * xp.sin(x)), "sin multiply"),
    (lambda x: 0.1 * (xp.sin(x) * SMALL), "sin multiply"),
    (lambda x: 0.1 * (xp.sin(x) / 3), "sin multiply"),
    (lambda x: 0.3 * xp.sin(x) / 7, "sin multiply"),
    (lambda x: 0.3 * -xp.sin(x), "sin multiply"),
    (lambda x: 1e-200 * (1e-200 * xp.sin(x)), "sin multiply multiply"),
    (lambda x: xp.sin(x) ** 2, "sin multiply"),
    (grad(lambda x: xp.mean((xp.sin(x) - 1) ** 2)), "sin subtract multiply cos annihilating_product"),
]
"""The same with other roundings."""


def names_of(program: Any) -> str:
    return " ".join(step.name for step in program.steps)


@pytest.mark.parametrize(("fun", "names"), EXACT)
def test_exact_rules(fun: Any, names: str) -> None:
    for dtype in (np.float64, np.float32):
        with np.errstate(all="ignore"):
            compiled = jit(fun)
            for _ in range(2):
                found, expected = compiled(X.astype(dtype)), fun(X.astype(dtype))
        np.testing.assert_array_equal(found, expected)
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])
        assert found.dtype == expected.dtype
        if dtype is np.float64:
            assert names_of(compiled.program) == names


@pytest.mark.parametrize(("fun", "names"), ROUNDED)
def test_rules_that_round_otherwise(fun: Any, names: str) -> None:
    x = X.copy()
    with np.errstate(all="ignore"):
        compiled = jit(fun)
        for _ in range(2):
            np.testing.assert_allclose(compiled(x), fun(x), rtol=4e-16)
    assert names_of(compiled.program) == names


def test_other_dtypes_keep_their_steps() -> None:
    whole, z = np.asarray([-3, 0, 2**62]), np.asarray([complex(np.inf, 0), complex(1, np.nan)])
    for fun, x, names in (
        (lambda x: 3 * (5 * x), whole, "multiply multiply"),
        (lambda x: x / 4, whole, "divide"),
        (lambda x: x / 1, whole, "divide"),
        (lambda x: x + 0, whole, ""),
        (lambda x: (x**2) - 0, whole, "multiply"),
        (lambda x: z * x, np.ones(2), "multiply"),
        (lambda x: x * 1.0, z, "multiply"),
        (lambda x: x**2, z, "pow"),
        (lambda x: x * np.float64(2.0), np.ones(2, np.float32), "multiply"),
        (lambda x: x * np.ones((3, 2)), np.ones(2), "multiply"),
    ):
        with np.errstate(all="ignore"):
            compiled = jit(fun)
            for _ in range(2):
                found, expected = compiled(x), fun(x)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
        assert names_of(compiled.program) == names


def test_on_every_library(backend: Backend) -> None:
    def fun(x: Any) -> Any:
        y = xp.sin(x)
        return xp.negative(-y), 0.5 * (y / 3) * 1, y**2 + 0, xp.reshape(xp.reshape(y, (-1,)), (2, 2)), y / 8

    x = xp.asarray([[0.5, 2.0], [-1.0, 3.0]], dtype=xp.float32)
    compiled = jit(fun)
    for _ in range(2):
        for found, expected in zip(leaves(compiled(x)), leaves(fun(x)), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(
                backend.to_host(found), backend.to_host(expected), rtol=1e-6, strict=True
            )
