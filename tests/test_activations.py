"""The activations: PyTorch's values and gradients, at kinks and far out, without warnings; PReLU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of

RNG = np.random.default_rng(5)
Z = np.concatenate([RNG.normal(size=30) * 3, [-0.0, 0.0, 12.5, -12.5, 1e4, -1e4]]).reshape(4, 9)

# Ours, PyTorch's, and where there are kinks.
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[float]]] = {
    "sigmoid": (nn.sigmoid, lambda f, z: z.sigmoid(), []),
    "tanh": (nn.tanh, lambda f, z: z.tanh(), []),
    "logsigmoid": (nn.logsigmoid, lambda f, z: f.logsigmoid(z), []),
    "softsign": (nn.softsign, lambda f, z: f.softsign(z), [0.0]),
    "hardtanh": (nn.hardtanh, lambda f, z: f.hardtanh(z), [-1.0, 1.0]),
    "hardtanh-bounds": (lambda z: nn.hardtanh(z, -0.5, 2), lambda f, z: f.hardtanh(z, -0.5, 2), [-0.5, 2.0]),
    # PyTorch's own has a slope of 1 / 6 rounded to float32.
    "hardsigmoid": (nn.hardsigmoid, lambda f, z: f.relu6(z + 3) / 6, [-3.0, 3.0]),
    "relu": (nn.relu, lambda f, z: f.relu(z), [0.0]),
    "relu6": (nn.relu6, lambda f, z: f.relu6(z), [0.0, 6.0]),
    "leaky_relu": (nn.leaky_relu, lambda f, z: f.leaky_relu(z), [0.0]),
    "leaky_relu-slope": (lambda z: nn.leaky_relu(z, 0.3), lambda f, z: f.leaky_relu(z, 0.3), [0.0]),
    "threshold": (lambda z: nn.threshold(z, 0.1, 20), lambda f, z: f.threshold(z, 0.1, 20), [0.1]),
    "softplus": (nn.softplus, lambda f, z: f.softplus(z, threshold=1e3), []),
    "softplus-beta": (lambda z: nn.softplus(z, 0.3), lambda f, z: f.softplus(z, 0.3, threshold=1e3), []),
    "elu": (nn.elu, lambda f, z: f.elu(z), [0.0]),
    "elu-alpha": (lambda z: nn.elu(z, 0.3), lambda f, z: f.elu(z, 0.3), [0.0]),
    "selu": (nn.selu, lambda f, z: f.selu(z), [0.0]),
    "celu": (nn.celu, lambda f, z: f.celu(z), [0.0]),
    # PyTorch rounds 1 / alpha to float32.
    "celu-alpha": (lambda z: nn.celu(z, 0.25), lambda f, z: f.celu(z, 0.25), [0.0]),
    "gelu": (nn.gelu, lambda f, z: f.gelu(z), []),
    "gelu-tanh": (lambda z: nn.gelu(z, "tanh"), lambda f, z: f.gelu(z, approximate="tanh"), []),
    "silu": (nn.silu, lambda f, z: f.silu(z), []),
    "swish": (nn.swish, lambda f, z: f.silu(z), []),
    "mish": (nn.mish, lambda f, z: f.mish(z), []),
    "hardswish": (nn.hardswish, lambda f, z: f.hardswish(z), [-3.0, 3.0]),
    "tanhshrink": (nn.tanhshrink, lambda f, z: f.tanhshrink(z), []),
    "softshrink": (nn.softshrink, lambda f, z: f.softshrink(z), [-0.5, 0.5]),
    "softshrink-lambd": (lambda z: nn.softshrink(z, 1.5), lambda f, z: f.softshrink(z, 1.5), [-1.5, 1.5]),
    "hardshrink": (nn.hardshrink, lambda f, z: f.hardshrink(z), [-0.5, 0.5]),
    "hardshrink-lambd": (lambda z: nn.hardshrink(z, 1.5), lambda f, z: f.hardshrink(z, 1.5), [-1.5, 1.5]),
    "softmax": (nn.softmax, lambda f, z: f.softmax(z, -1), []),
    "log_softmax": (nn.log_softmax, lambda f, z: f.log_softmax(z, -1), []),
    "log_softmax-axis": (lambda z: nn.log_softmax(z, 0), lambda f, z: f.log_softmax(z, 0), []),
    "softmin": (nn.softmin, lambda f, z: f.softmin(z, -1), []),
    "glu": (lambda z: nn.glu(z, 0), lambda f, z: f.glu(z, 0), []),
}
ALONG_AN_AXIS = ("softmax", "log_softmax", "log_softmax-axis", "softmin", "glu")


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def value_and_slopes(function: Callable[..., Any], z: Any) -> tuple[Any, Any]:
    value, pull = bpkit.vjp(function, xp.asarray(z))
    weight = np.cos(np.arange(np.prod(value.shape))).reshape(value.shape).astype(z.dtype)
    (gradient,) = pull(xp.asarray(weight))
    return on_host(value), on_host(gradient)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("backend")
def test_values_and_gradients_equal_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    function, reference, kinks = CASES[name]
    z = Z.copy()
    z.flat[: len(kinks)] = kinks
    theirs = torch.tensor(z, requires_grad=True)
    expected = reference(torch.nn.functional, theirs)
    value, gradient = value_and_slopes(function, z)
    weight = np.cos(np.arange(value.size)).reshape(value.shape)
    expected.backward(torch.tensor(weight))
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("backend")
def test_extremes_float32_and_compiled(name: str) -> None:
    function, _, _ = CASES[name]
    for dtype, far in (("float32", 1e37), ("float64", 1e300)):
        z = np.linspace(-2.0, 2.0, 36).reshape(4, 9).astype(dtype)
        if name not in ALONG_AN_AXIS:
            z[0] = [far, -far, 1e4, -1e4, 200, -200, 90, -90, 1e-30]
        value, gradient = value_and_slopes(function, z)
        assert value.dtype == gradient.dtype == dtype
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))
        compiled = bpkit.jit(function)
        for _ in range(2):
            found = on_host(compiled(xp.asarray(z)))
        rtol = 1e-14 if dtype == "float64" else 1e-6
        np.testing.assert_allclose(found, value, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_differences_in_both_modes(name: str) -> None:
    with bpkit.use_backend("numpy"):
        bpkit.check_grads(CASES[name][0], (RNG.normal(size=(2, 4)) * 2 + 0.01,), order=2)


@pytest.mark.usefixtures("backend")
def test_activations_with_options_are_layers_that_match() -> None:
    def model(slope: float = 0.2) -> nn.Sequential:
        return nn.Sequential(nn.Lambda(nn.leaky_relu, negative_slope=slope), nn.Lambda(nn.softmax, axis=0))

    x = xp.asarray(Z)
    expected = on_host(nn.softmax(nn.leaky_relu(x, 0.2), 0))
    np.testing.assert_array_equal(on_host(model()(x)), expected)
    compiled = bpkit.jit(lambda model, x: model(x))
    np.testing.assert_allclose(on_host(compiled(model(), x)), expected, rtol=1e-14)
    assert tree.structure(model()) == tree.structure(model())
    assert tree.structure(model()) != tree.structure(model(0.3))
    assert repr(model()[0]) == "Lambda(leaky_relu, negative_slope=0.2)"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.usefixtures("backend")
def test_prelu_equals_torch(count: int) -> None:
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(4, 3, 5))
    x[0, 0, :2] = 0
    theirs = torch.nn.PReLU(count, dtype=torch.float64)
    inputs = torch.tensor(x, requires_grad=True)
    expected = theirs(inputs)
    expected.square().sum().backward()
    layer = nn.PReLU(count, dtype="float64")
    np.testing.assert_array_equal(on_host(layer.weight), [0.25] * count)
    np.testing.assert_allclose(on_host(layer(xp.asarray(x))), expected.detach().numpy(), rtol=1e-15)
    slopes, gradient = bpkit.grad(lambda layer, x: xp.sum(xp.square(layer(x))), argnums=(0, 1))(
        layer, xp.asarray(x)
    )
    np.testing.assert_allclose(on_host(slopes.weight), theirs.weight.grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(on_host(gradient), inputs.grad.numpy(), rtol=1e-13)


def test_what_does_not_fit_is_refused() -> None:
    with bpkit.use_backend("numpy"):
        with pytest.raises(
            ShapeError, match=r"PReLU\(3\) expected x of shape \(n, 3, \.\.\.\), got \(2, 4\)"
        ):
            nn.PReLU(3)(np.zeros((2, 4)))
        with pytest.raises(ArgumentError, match="num_parameters must be a positive int, got 0"):
            nn.PReLU(0)
        with pytest.raises(ShapeError, match=r"glu: expected an even length along axis -1, got .* \(2, 3\)"):
            nn.glu(np.zeros((2, 3)))
        with pytest.raises(ArgumentError, match=r"gelu: approximate: expected .*, got 'erf'"):
            nn.gelu(np.zeros(2), "erf")
