"""Numba's loops with functions of their own: as near to the true values as they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jit, xp
from bpkit.backends import _fused, _fused_blocks
from bpkit.backends._fused_functions import FUNCTIONS, can_fuse_multiply_and_add
from bpkit.backends._fused_loops import has_compiler

pytestmark = pytest.mark.skipif(
    not has_compiler() or not can_fuse_multiply_and_add(),
    reason="needs Numba and a processor with fused multiplication and addition",
)

NAMES = sorted(FUNCTIONS)
LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).smallest_subnormal)
SPECIAL = [
    *(0.0, 1.0, 0.5, 2.0, 10.0, 20.0, 1e30, LARGEST, np.inf, np.nan, TINY, 1e-40, 1.1754944e-38, 2.0**24),
    # Where exp and expm1 overflow and become 0 or -1, and next to the -1 of log1p.
    *(88.72283, 88.72284, 87.33655, 103.97208, 103.97209, 17.32868, 16.6, 0.99999994, 1.0000001),
    *(np.pi, np.pi / 2, 131072.0, 131073.0, 1e7),
]


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever can be one loop is."""

    def fail(*_: Any) -> Any:
        raise AssertionError("not one loop")

    folder: Path = tmp_path_factory.getbasetemp() / "loops"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(_fused, "LEAST", {**_fused.LEAST, "loop": ((1, 1),)})
    monkeypatch.setattr(_fused, "blocks", fail)


def all_of_them(x: Any) -> list[Any]:
    return [getattr(xp, name)(x) for name in NAMES]


def numbers(limit: float) -> Any:
    """Of all sizes up to a limit, and where functions are hard: next to multiples of pi / 2, and to 0."""
    generator = np.random.default_rng(0)
    anything = generator.integers(0, 2**32, 400_000, dtype=np.uint32).view(np.float32)
    parts = [
        anything,
        generator.normal(0, 2, 200_000),
        generator.uniform(-110, 100, 200_000),
        generator.uniform(-1e5, 1e5, 100_000),
        np.arange(-80_000, 80_000) * (np.pi / 2),
        SPECIAL,
        np.negative(SPECIAL),
    ]
    x = np.concatenate([np.asarray(part).astype(np.float32) for part in parts])
    return x[~(np.abs(x) > limit)]


@pytest.mark.parametrize("limit", [131072.0, np.inf])
def test_distance_from_the_true_values(limit: float) -> None:
    # Sines and cosines of larger numbers are done by other instructions, for all of a piece.
    x = numbers(limit)
    with np.errstate(all="ignore"):
        compiled = jit(all_of_them)
        compiled(x)
        assert "fused(" in compiled.source
        wanted = [np.asarray(getattr(np, name)(x.astype(float))) for name in NAMES]
        for name, found, true in zip(NAMES, compiled(x), wanted, strict=True):
            assert found.dtype == np.float32
            rounded = true.astype(np.float32)
            finite = np.isfinite(rounded)
            np.testing.assert_array_equal(found[~finite], rounded[~finite], err_msg=name)
            number = ~np.isnan(rounded)
            np.testing.assert_array_equal(
                np.signbit(found[number]), np.signbit(rounded[number]), err_msg=name
            )
            units = np.abs(found.astype(float) - true)[finite] / np.spacing(np.abs(rounded[finite]))
            worst = units.argmax()
            assert units[worst] < 2.5, (name, x[finite][worst], found[finite][worst], true[finite][worst])


PROGRAMS: dict[str, Callable[..., Any]] = {
    "W4": lambda x: xp.tanh(x) * xp.expit(x) + xp.log1p(xp.exp(x)) * xp.sin(x),
    "logistic": lambda x: [xp.expit(x), xp.log_expit(x), xp.exp(xp.minimum(x, 0.0))],
    # A product by a power of two is exact.
    "a sine of a sine": lambda x: [xp.sin(3 * xp.sin(x * 65536)), xp.cos(xp.exp(xp.minimum(x, 3.0)))],
    "rows": lambda x: xp.sin(xp.reshape(x, (2, -1))) * xp.exp(xp.reshape(x, (2, -1))[:1, :]),
}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
@pytest.mark.parametrize("values", ["near", "far"])
def test_programs(name: str, values: str) -> None:
    x = np.concatenate([np.random.default_rng(1).normal(0, 3, 1000), SPECIAL, np.negative(SPECIAL)])
    x = x[~(np.abs(x) > 1e5)] if values == "near" else x
    x = np.resize(x, 2 * (len(x) // 2)).astype(np.float32)
    compiled = jit(PROGRAMS[name], donate_argnums=0)
    with np.errstate(all="ignore"):
        for _ in range(2):
            found, wanted = compiled(x.copy()), PROGRAMS[name](x)
            for a, b in zip(*(y if isinstance(y, list) else [y] for y in (found, wanted)), strict=True):
                assert a.dtype == b.dtype and a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradient() -> None:
    x = np.concatenate([np.linspace(-110, 110, 3001), SPECIAL, np.negative(SPECIAL)]).astype(np.float32)
    f = grad(lambda x: xp.sum(PROGRAMS["W4"](x)))
    with np.errstate(all="ignore"):
        found, wanted = jit(f)(x), f(x)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


def test_without_fused_multiplication_and_addition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fused, "blocks", _fused_blocks.blocks)
    monkeypatch.setattr(_fused, "can_fuse_multiply_and_add", lambda: False)
    x = np.random.default_rng(2).normal(size=100_000).astype(np.float32)
    found, wanted = jit(all_of_them)(np.abs(x)), all_of_them(np.abs(x))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
