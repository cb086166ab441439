"""The libraries' functions agree with NumPy's, and the kernels that make them are still needed."""

from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bpkit._protocol import Backend
from bpkit.registry import get_backend

EDGES = [-np.inf, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan]
UNARY = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan log log1p log2"
)
UNARY += " log10 negative reciprocal round sign signbit sin sinh square sqrt tan tanh trunc"
BINARY = "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp"
BINARY += " maximum minimum multiply nextafter not_equal pow remainder subtract"
SCALARS = [0, 2, -1, 0.5, -0.5, 1.5, float("inf")]
BOUNDS = [(None, None), (0.0, None), (None, 1), (-1.0, 1.0), (float("nan"), 1.0)]

# For a single exponent of 0.5 NumPy takes square roots, and PyTorch also for -0.5; they are NaN at -inf:
# https://github.com/numpy/numpy/issues/21213
ROOTS = [("pow", 0.5), ("pow", -0.5)]


def function(backend: Backend, name: str) -> Any:
    return backend.kernels.get(name) or getattr(backend.xp, name)


def compare(backend: Backend, name: str, *operands: Any) -> None:
    moved = [backend.from_host(x) if isinstance(x, np.ndarray) else x for x in operands]
    with np.errstate(all="ignore"):
        result = backend.to_host(function(backend, name)(*moved))
        wanted = np.asarray(function(get_backend("numpy"), name)(*operands))
    assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
    precision = 4 * np.finfo(wanted.dtype).eps if wanted.dtype.kind == "f" else 0
    np.testing.assert_allclose(result, wanted, rtol=precision, atol=0, err_msg=f"{name}{operands}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY.split())
def test_functions_of_one_array_agree_with_numpy(backend: Backend, name: str, dtype: str) -> None:
    compare(backend, name, np.asarray(EDGES, dtype))
    compare(backend, name, np.asarray(0.5, dtype))
    compare(backend, name, np.ones((0, 3), dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY.split())
def test_functions_of_two_operands_agree_with_numpy(backend: Backend, name: str, dtype: str) -> None:
    x, y = (np.asarray(side, dtype) for side in zip(*product(EDGES, EDGES), strict=True))
    compare(backend, name, x, y)
    compare(backend, name, x, np.asarray(1.5, dtype))
    compare(backend, name, np.asarray(1.5, dtype), np.asarray(3.0, dtype))
    compare(backend, name, np.ones((0, 3), dtype), np.ones(3, dtype))
    compare(backend, name, 2, np.asarray(3.0, dtype))
    for scalar in SCALARS:
        compare(backend, name, scalar, x)
        compare(backend, name, x[x != -np.inf] if (name, scalar) in ROOTS else x, scalar)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_and_clip_agree_with_numpy(backend: Backend, dtype: str) -> None:
    x = np.asarray(EDGES, dtype)
    point = np.asarray(0.25, dtype)
    for chosen in ((x, x[::-1].copy()), (x, 0.0), (1, x), (point, x), (x, float("nan"))):
        compare(backend, "where", x > 0, *chosen)
    compare(backend, "where", np.asarray(True), point, 2.0)
    for low, high in [*BOUNDS, (point, None), (None, point), (np.full_like(x, -1), 1.0)]:
        compare(backend, "clip", x, low, high)
        compare(backend, "clip", point, low, high)


# Kernels, and that they are still needed.


@pytest.mark.parametrize("exponent", [0.5, -0.5])
def test_torch_pow_forgets_the_sign_of_zero(exponent: float) -> None:
    torch = pytest.importorskip("torch")
    backend = get_backend("torch")
    x = torch.tensor([-0.0, 0.0, 4.0], dtype=torch.float64)
    y = backend.to_host(backend.kernels["pow"](x, exponent))
    assert_array_equal(y, [0.0**exponent if exponent > 0 else np.inf] * 2 + [4.0**exponent])
    assert not np.signbit(y).any()
    assert torch.signbit(torch.pow(x, exponent))[0], (
        "torch is right now: drop the kernel (pytorch issue 127163)"
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_jax_searchsorted_gives_default_indices(side: Literal["left", "right"]) -> None:
    jax = pytest.importorskip("jax")
    backend = get_backend("jax")
    edges, order = np.asarray([3.0, 1.0, 2.0], np.float32), np.asarray([1, 2, 0])
    x = np.asarray([[0.0, 2.0], [3.0, 9.0]], np.float32)
    with jax.enable_x64(True):
        moved = [jax.numpy.asarray(host) for host in (edges, x, order)]
        found = backend.kernels["searchsorted"](*moved, side=side)
        raw = backend.xp.searchsorted(moved[0], moved[1], side=side, sorter=moved[2])
    assert found.dtype == np.int64
    assert_array_equal(found, np.searchsorted(edges, x, side, order))
    assert raw.dtype == np.int32, "JAX is right now: drop the kernel (jax issue 11375)"


def test_torch_has_no_uint32_arithmetic_yet() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(2, dtype=torch.uint32)
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.bitwise_left_shift(torch.add(x, x), 1)
