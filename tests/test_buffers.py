"""Raw arrays that the user goes on writing to: what the graph keeps of them must not change."""

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
