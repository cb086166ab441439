"""Slices with a negative step, also on libraries whose own arrays refuse them."""

from typing import Any

import numpy as np
import pytest

from bpkit import grad, jvp, xp
from bpkit._protocol import Backend, Capability

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
W = np.cos(np.arange(400, dtype=np.float32))

MASK = np.asarray([[True, False, True], [False, True, True]])
KEYS: dict[str, tuple[Any, ...]] = {
    "all of the last axis": (..., slice(None, None, -1)),
    "two axes": (slice(None, None, -1), slice(None), slice(3, 0, -2)),
    "after an integer": (1, slice(None, None, -2), ...),
    "beside new axes": (None, slice(None, None, -1), None, ..., slice(-2, None, -1)),
    "nothing": (slice(None), slice(0, 2, -1)),
    "beyond the ends": (..., slice(9, -9, -3)),
    "beside forward ones": (slice(0, 1), slice(2, 0, -1), slice(1, None, 2)),
    "beside an integer array": (np.asarray([1, 0, 1]), slice(None, None, -1)),
    "beside a mask of two axes": (MASK, slice(None, None, -2)),
}


def placed(key: tuple[Any, ...], backend: Backend) -> tuple[Any, ...]:
    return tuple([backend.from_host(part, None) if isinstance(part, np.ndarray) else part for part in key])


# array-api-strict refuses most of these keys for other reasons.
on_most = pytest.mark.parametrize("backend", ["numpy", "cupy", "jax", "torch"], indirect=True)


def test_what_the_library_takes_is_stated_rightly(backend: Backend) -> None:
    x = backend.from_host(X, None)
    if Capability.BACKWARD_SLICES in backend.capabilities:
        np.testing.assert_array_equal(backend.to_host(x[..., ::-1]), X[..., ::-1])
    else:
        with pytest.raises(ValueError, match="step must be greater than zero"):
            x[..., ::-1]


@on_most
@pytest.mark.parametrize("name", KEYS)
def test_reading(backend: Backend, name: str) -> None:
    key = placed(KEYS[name], backend)
    weights = W[: X[KEYS[name]].size].reshape(X[KEYS[name]].shape)

    def loss(x: Any) -> Any:
        part = x[key]
        assert part.shape == weights.shape
        return xp.sum(part * backend.from_host(weights, None))

    x = backend.from_host(X, None)
    expected = np.zeros_like(X)
    np.add.at(expected, KEYS[name], weights)
    np.testing.assert_allclose(backend.to_host(grad(loss)(x)), expected, atol=1e-6)
    out, tangent = jvp(lambda x: x[key], (x,), (x,))
    np.testing.assert_array_equal(backend.to_host(out), X[KEYS[name]])
    np.testing.assert_array_equal(backend.to_host(tangent), X[KEYS[name]])


@on_most
@pytest.mark.parametrize("name", [name for name in KEYS if name != "beside an integer array"])
def test_writing(backend: Backend, name: str) -> None:
    key = placed(KEYS[name], backend)
    weights = W[: X.size].reshape(X.shape)
    values = X[KEYS[name]] ** 2

    def loss(x: Any, v: Any) -> Any:
        x[key] = v
        return xp.sum(x * backend.from_host(weights, None))

    by_x, by_v = grad(loss, argnums=(0, 1))(backend.from_host(X, None), backend.from_host(values, None))
    left = weights.copy()
    left[KEYS[name]] = 0
    np.testing.assert_array_equal(backend.to_host(by_x), left)
    np.testing.assert_array_equal(backend.to_host(by_v), weights[KEYS[name]])
