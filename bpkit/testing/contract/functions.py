"""Functions: the library's agree with NumPy's at the edges too, and kernels with what they replace."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from bpkit import evaluate, grad, losses, nn, random
from bpkit import namespace as bx
from bpkit._protocol import Backend
from bpkit.errors import BackendNotInstalledError, NoSuchFunctionError
from bpkit.registry import get_backend
from bpkit.testing.contract.promise import Contract, expect, promised

__all__ = ["Functions"]

EDGES = [-np.inf, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan]
UNARY = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan log log1p log2"
    " log10 negative reciprocal round sign signbit sin sinh square sqrt tan tanh trunc"
)
BINARY = (
    "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp"
    " maximum minimum multiply nextafter not_equal pow remainder subtract"
)
SCALARS = [0, 2, -1, 0.5, -0.5, 1.5, float("inf")]
BOUNDS = [(None, None), (0.0, None), (None, 1), (-1.0, 1.0), (float("nan"), 1.0)]
# For a single exponent of 0.5 NumPy takes square roots, and PyTorch also for -0.5; they are NaN at -inf:
# https://github.com/numpy/numpy/issues/21213
ROOTS = [("pow", 0.5), ("pow", -0.5)]
SPECIAL = {"erf": math.erf, "erfc": math.erfc, "gammaln": math.lgamma, "gamma": math.gamma}


class Functions(Contract):
    """The namespace, kernels, special functions."""

    @promised("xp", "kernels")
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("name", UNARY.split())
    def test_functions_of_one_array_agree_with_numpy(self, backend: Backend, name: str, dtype: str) -> None:
        _needs_dtype(backend, dtype)
        _compare(backend, name, np.asarray(EDGES, dtype))
        _compare(backend, name, np.asarray(0.5, dtype))
        _compare(backend, name, np.ones((0, 3), dtype))

    @promised("xp", "kernels")
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("name", BINARY.split())
    def test_functions_of_two_operands_agree_with_numpy(
        self, backend: Backend, name: str, dtype: str
    ) -> None:
        _needs_dtype(backend, dtype)
        x, y = (np.asarray(side, dtype) for side in zip(*product(EDGES, EDGES), strict=True))
        _compare(backend, name, x, y)
        _compare(backend, name, x, np.asarray(1.5, dtype))
        _compare(backend, name, np.asarray(1.5, dtype), np.asarray(3.0, dtype))
        _compare(backend, name, np.ones((0, 3), dtype), np.ones(3, dtype))
        _compare(backend, name, 2, np.asarray(3.0, dtype))
        for scalar in SCALARS:
            _compare(backend, name, scalar, x)
            _compare(backend, name, x[x != -np.inf] if (name, scalar) in ROOTS else x, scalar)

    @promised("xp", "kernels")
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_where_and_clip_agree_with_numpy(self, backend: Backend, dtype: str) -> None:
        _needs_dtype(backend, dtype)
        x = np.asarray(EDGES, dtype)
        point = np.asarray(0.25, dtype)
        for chosen in ((x, x[::-1].copy()), (x, 0.0), (1, x), (point, x), (x, float("nan"))):
            _compare(backend, "where", x > 0, *chosen)
        _compare(backend, "where", np.asarray(True), point, 2.0)
        for low, high in [*BOUNDS, (point, None), (None, point), (np.full_like(x, -1), 1.0)]:
            _compare(backend, "clip", x, low, high)
            _compare(backend, "clip", point, low, high)

    @promised("kernels")
    @pytest.mark.parametrize("what", ["network", "functions"])
    def test_kernels_do_what_they_replace(
        self, backend: Backend, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = evaluate.functions_of(backend)
        for name, kernel in backend.kernels.items():
            monkeypatch.setitem(known, name, _beside(backend, name, kernel))
        {"network": _network, "functions": _functions}[what](backend)

    @promised("special", "special_on_host", "special_dtype")
    @pytest.mark.parametrize("name", SPECIAL)
    def test_special_functions_are_scipy_s(self, backend: Backend, name: str) -> None:
        points = np.asarray([0.25, 1.0, 2.5, 4.0])
        dtype = "float64" if "float64" in backend.dtypes() else "float32"
        x = backend.from_host(points.astype(dtype))
        try:
            found = getattr(bx.special, name)(x)
        except (BackendNotInstalledError, NoSuchFunctionError) as error:
            pytest.skip(str(error))
        expect(found.dtype == x.dtype, f"special.{name} of {x.dtype} is {found.dtype}")
        wanted = [SPECIAL[name](point) for point in points]
        precise = 50 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(backend.to_host(found), np.asarray(wanted), rtol=precise)


def _needs_dtype(backend: Backend, dtype: str) -> None:
    if dtype not in backend.dtypes():
        pytest.skip(f"{backend.name} has no {dtype}")


def _compare(backend: Backend, name: str, *operands: Any) -> None:
    """A function on NumPy's arrays and on the library's."""
    moved = [backend.from_host(x) if isinstance(x, np.ndarray) else x for x in operands]
    with np.errstate(all="ignore"):
        result = backend.to_host(_function(backend, name)(*moved))
        wanted = np.asarray(_function(get_backend("numpy"), name)(*operands))
    same = (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
    expect(same, f"{name}{operands} is {result.dtype}{list(result.shape)}, and not {wanted.dtype}")
    precision = 4 * np.finfo(wanted.dtype).eps if wanted.dtype.kind == "f" else 0
    np.testing.assert_allclose(result, wanted, rtol=precision, atol=0, err_msg=f"{name}{operands}")


def _function(backend: Backend, name: str) -> Any:
    return backend.kernels.get(name) or getattr(backend.xp, name)


def _beside(backend: Backend, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel whose results are compared with those of the function that it replaces."""
    plain = evaluate.without_kernel(backend, name)

    def both(*operands: Any, **static: Any) -> Any:
        found, wanted = kernel(*operands, **static), plain(*operands, **static)
        if found is NotImplemented:
            return wanted
        for x, y in zip(_parts(found), _parts(wanted), strict=True):
            x, y = backend.to_host(x), backend.to_host(y)
            # Integers may be of the dtype that the standard wants, and the library's function of another.
            same = x.dtype == y.dtype or x.dtype.kind == y.dtype.kind == "i"
            expect(same, f"the kernel {name!r} makes {x.dtype}, and the plain function {y.dtype}")
            precise = 100 * np.finfo(y.dtype).eps if y.dtype.kind in "fc" else 0
            size = float(np.max(np.abs(y[np.isfinite(y)]), initial=0)) if precise else 0
            np.testing.assert_allclose(
                x,
                y,
                rtol=precise,
                atol=precise * size,
                err_msg=f"the kernel {name!r}, beside the plain function",
            )
        return found

    return both


def _parts(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _network(backend: Backend) -> None:
    """Layers of every kind that libraries have functions of their own for, and their gradients."""
    keys = bx.unstack(random.split(random.key(0), 4))
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, key=keys[0], dtype="float32"),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, stride=2, key=keys[1], dtype="float32"),
        nn.sigmoid,
        nn.Flatten(),
        nn.Dense(36, 5, key=keys[2], dtype="float32"),
    )
    x = random.normal(keys[3], (3, 1, 14, 14), "float32")
    labels = backend.from_host(np.asarray([1, 0, 4]))
    gradients = grad(lambda model, x: losses.softmax_cross_entropy(model(x), labels), argnums=(0, 1))(
        model, x
    )
    expect(gradients[1].shape == x.shape, "the gradient has the shape", gradients[1].shape)


def _functions(backend: Backend) -> None:
    """Functions that libraries replace most often, with their gradients."""
    x = backend.from_host(np.asarray([[0.5, -1.5, 2.0], [0.0, 0.25, -0.75]], np.float32))
    y = backend.from_host(np.asarray([[2.0], [0.5]], np.float32))
    rows = backend.from_host(np.asarray([1, 0, 1]))

    def f(x: Any, y: Any) -> Any:
        z = (x + y) * x - 2.0 / (y + 3.0)
        z = bx.matmul(z, bx.matrix_transpose(x)) + bx.sum(bx.expit(x)) + bx.sum(bx.relu(x))
        z = bx.reshape(bx.take(z, rows, axis=0), (-1,)) ** 2.0 + bx.sum(
            bx.where(x > 0, bx.sqrt(bx.abs(x)), 0.0)
        )
        return bx.sum(z) + bx.sum(bx.abs(x) ** 0.5 * bx.zeros_like(x)) + bx.sum(bx.ones_like(y) * y)

    grad(f, argnums=(0, 1))(x, y)
    order = bx.argsort(x[0, :])
    bx.searchsorted(x[0, :], x[1, :], sorter=order)
