"""The kernels that make functions agree with the standard are still needed."""

from typing import Literal

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bpkit.registry import get_backend


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
