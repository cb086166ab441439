"""Raw arrays that the user goes on writing to: what the graph keeps of them must not change."""

import tracemalloc

import numpy as np
import pytest

from bpkit import grad, value_and_grad, vjp, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import TraceError


def test_a_buffer_that_is_filled_again_in_a_loop(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("arrays of this library cannot change")

    def f(x):
        mask, total = backend.from_host(np.zeros(3)), 0.0
        for i in range(3):
            mask[i] = 1.0
            total = total + xp.sum(x * x * mask)
            mask[i] = 0.0
        return total

    x = backend.from_host(np.asarray([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(backend.to_host(grad(f)(x)), [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(
        backend.to_host(grad(lambda x: xp.sum(grad(f)(x) ** 2))(x)), [8.0, 16.0, 24.0]
    )


def test_a_constant_that_changes_before_the_pullback() -> None:
    c, k = np.ones(3), [0, 1]
    _, pullback = vjp(lambda x: (x * c)[k], np.ones(3))
    c[:], k[0] = 5.0, 2
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0, 0.0])


def test_a_tensor_takes_up_no_traced_value_in_place() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3)

    def f(x):
        a = torch.zeros(3)
        b = a
        a += x
        return xp.sum(b * x)

    with pytest.raises(TraceError, match="instead of a \\+= x"):
        value_and_grad(f)(x)

    def g(x):
        a = torch.zeros(3)
        a[0] = x[0]
        return xp.sum(a * x)

    with pytest.raises(TraceError, match=r"xp\.stack"):
        grad(g)(x)
    assert grad(lambda x: xp.sum(torch.ones(3) + x))(x).tolist() == [1.0, 1.0, 1.0]


def test_gradients_are_writable_in_torch_inference_mode() -> None:
    torch = pytest.importorskip("torch")
    with torch.inference_mode():
        g = grad(xp.sum)(torch.ones(3))
        g[0] = 7.0
    assert g.tolist() == [7.0, 1.0, 1.0]


def test_unsigned_operands_do_not_wrap_around() -> None:
    by_x2 = grad(lambda x: xp.sum(xp.atan2(np.asarray([1, 2], np.uint8), x)))(np.asarray([2.0, 1.0]))
    np.testing.assert_allclose(by_x2, [-0.2, -0.4], rtol=1e-14)
    for dtype in (np.uint8, np.uint64):
        zero = np.asarray([0], dtype)
        slope = grad(lambda x, n: xp.sum(x**n))(np.asarray([2.0]), zero)
        np.testing.assert_array_equal(slope, [0.0])


@pytest.mark.parametrize("size", [3, 5000])
def test_a_raw_array_lent_through_asarray(backend: Backend, size: int) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("arrays of this library cannot change")
    lent = backend.from_host(np.ones(size))

    def f(x):
        k = xp.asarray(lent)
        y = x * k * k
        lent[...] = 100.0
        return xp.sum(y * x)

    x = backend.from_host(np.linspace(1.0, 2.0, size))
    np.testing.assert_array_equal(backend.to_host(grad(f)(x)), 2 * np.linspace(1.0, 2.0, size))


def test_a_large_array_is_copied_once_and_again_when_it_has_changed() -> None:
    mask = np.zeros(5000)

    def f(x):
        total = 0.0
        for i in range(3):
            mask[i] = 1.0
            total = total + xp.sum(x * x * mask) + xp.sum(x * mask)
        return total

    gradient = grad(f)(np.ones(5000))
    np.testing.assert_array_equal(gradient[:4], [9.0, 6.0, 3.0, 0.0])


def test_a_large_constant_costs_no_copy_at_each_use() -> None:
    constant = np.ones((500, 500))

    def f(x):
        for _ in range(20):
            x = constant @ x / 500.0
        return xp.sum(x)

    grad(f)(np.ones(500))
    tracemalloc.start()
    grad(f)(np.ones(500))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * constant.nbytes
