"""Convolutional layers and pooling against PyTorch, in all their settings, and by differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


CONVOLUTIONS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("Conv1d", (2, 4, 9), {"kernel_size": 3}),
    ("Conv1d", (2, 4, 9), {"kernel_size": 2, "stride": 3, "padding": 2, "dilation": 2, "groups": 2}),
    ("Conv1d", (1, 4, 6), {"kernel_size": 4, "padding": "same", "dilation": 2}),
    ("Conv2d", (1, 4, 6, 4), {"kernel_size": (2, 3), "padding": "same"}),
    ("Conv1d", (3, 4, 6), {"kernel_size": 6, "padding": "valid", "bias": False}),
    ("Conv2d", (2, 4, 6, 7), {"kernel_size": (3, 2)}),
    ("Conv2d", (2, 4, 7, 6), {"kernel_size": 3, "stride": (2, 3), "padding": (0, 2)}),
    ("Conv2d", (1, 4, 7, 8), {"kernel_size": (2, 3), "dilation": (3, 2), "padding": 1, "groups": 2}),
    ("Conv2d", (1, 4, 5, 5), {"kernel_size": 2, "groups": 4, "padding": "same", "bias": False}),
    ("Conv2d", (1, 4, 5, 6), {"kernel_size": 1, "stride": 2}),
    ("ConvTranspose1d", (2, 4, 5), {"kernel_size": 3}),
    ("ConvTranspose1d", (2, 4, 5), {"kernel_size": 3, "stride": 3, "padding": 1, "output_padding": 2}),
    (
        "ConvTranspose1d",
        (1, 4, 3),
        {"kernel_size": 2, "dilation": 4, "stride": 2, "output_padding": 3, "groups": 2},
    ),
    ("ConvTranspose2d", (2, 4, 3, 4), {"kernel_size": (3, 2)}),
    (
        "ConvTranspose2d",
        (1, 4, 3, 4),
        {"kernel_size": 3, "stride": (1, 2), "padding": (2, 1), "output_padding": (0, 1)},
    ),
    (
        "ConvTranspose2d",
        (2, 4, 2, 3),
        {"kernel_size": 2, "dilation": (1, 3), "groups": 2, "padding": 1, "bias": False},
    ),
]
POOLING: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("MaxPool1d", (2, 3, 7), {"kernel_size": 2}),
    ("MaxPool1d", (2, 3, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("MaxPool1d", (2, 3, 9), {"kernel_size": 3, "stride": 1, "dilation": 2, "padding": 1}),
    ("MaxPool2d", (2, 3, 6, 4), {"kernel_size": 2}),
    ("MaxPool2d", (2, 3, 7, 8), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    ("MaxPool2d", (1, 2, 8, 9), {"kernel_size": 2, "dilation": (3, 2), "stride": 2, "ceil_mode": True}),
    ("MaxPool2d", (1, 2, 5, 5), {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    ("AvgPool1d", (2, 3, 7), {"kernel_size": 2}),
    ("AvgPool1d", (2, 3, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("AvgPool1d", (2, 3, 8), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    ("AvgPool2d", (2, 3, 6, 4), {"kernel_size": 2}),
    ("AvgPool2d", (1, 2, 7, 8), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    (
        "AvgPool2d",
        (1, 2, 6, 5),
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    ),
    ("AvgPool2d", (1, 2, 6, 5), {"kernel_size": (2, 3), "padding": 1, "ceil_mode": True}),
]


def called(name: str, settings: dict[str, Any], **more: Any) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in (settings | more).items())})"


def convolution(name: str, settings: dict[str, Any], dtype: str = "float64") -> Any:
    return getattr(nn, name)(
        4, 8, key=random.key(1), dtype=dtype, bias_init=nn.init.standard_normal, **settings
    )


def pooling(name: str, settings: dict[str, Any]) -> Any:
    rest = {key: value for key, value in settings.items() if key != "kernel_size"}
    return getattr(nn, name)(settings["kernel_size"], **rest)


def image(shape: tuple[int, ...], ties: bool = False) -> Any:
    rng = np.random.default_rng(3)
    return np.asarray(rng.integers(0, 3, shape), dtype="float64") if ties else rng.normal(size=shape)


def weighted(y: Any) -> Any:
    """A number on which every element of `y` bears differently."""
    return xp.sum(y * xp.reshape(xp.linspace(-1.0, 2.0, y.size, dtype=y.dtype), y.shape) + y * y * 0.1)


def assert_equals_twin(layer: Any, twin: Any, x: Any) -> None:
    """Values and gradients by `x` and all parameters."""
    torch = pytest.importorskip("torch")
    given = torch.tensor(x, requires_grad=True)
    with torch.no_grad():
        for p, leaf in zip(twin.parameters(), tree.leaves(layer), strict=True):
            p.copy_(torch.tensor(on_host(leaf)))
    out = twin(given)
    slopes = torch.linspace(-1.0, 2.0, out.numel(), dtype=out.dtype).reshape(out.shape)
    (out * slopes + out * out * 0.1).sum().backward()
    # JAX compiles a program in the time that it takes it for a few functions.
    run = bpkit.jit if backend_of(xp.asarray(x)).name == "jax" else lambda function: function
    close(run(lambda layer, x: layer(x))(layer, xp.asarray(x)), out.detach().numpy())
    found = run(bpkit.grad(lambda both: weighted(both[0](both[1]))))((layer, xp.asarray(x)))
    for g, p in zip(tree.leaves(found), [*twin.parameters(), given], strict=True):
        close(g, p.grad.numpy())


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(on_host(found), expected, rtol=1e-10, atol=1e-10, strict=True)


def skip_most_on_jax(backend: Backend, number: int) -> None:
    if backend.name == "jax" and number % 4 != 1:
        pytest.skip("JAX compiles each for seconds; one in four")


# Against PyTorch.


# PyTorch says that it copies where the zeros at both ends are not the same.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("name", "shape", "settings"), CONVOLUTIONS, ids=str)
def test_convolutions_equal_torch(
    name: str, shape: tuple[int, ...], settings: dict[str, Any], backend: Backend
) -> None:
    torch = pytest.importorskip("torch")
    skip_most_on_jax(backend, CONVOLUTIONS.index((name, shape, settings)))
    twin = getattr(torch.nn, name)(4, 8, **settings).double()
    assert_equals_twin(convolution(name, settings), twin, image(shape))


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "shape", "settings"), POOLING, ids=str)
def test_pooling_equals_torch(
    name: str, shape: tuple[int, ...], settings: dict[str, Any], ties: bool, backend: Backend
) -> None:
    torch = pytest.importorskip("torch")
    skip_most_on_jax(backend, POOLING.index((name, shape, settings)) + ties)
    assert_equals_twin(pooling(name, settings), getattr(torch.nn, name)(**settings), image(shape, ties))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.usefixtures("backend")
def test_global_pooling_equals_torch(keepdims: bool) -> None:
    torch = pytest.importorskip("torch")
    x = image((2, 3, 4, 5), ties=True)
    for layer, twin in (
        (nn.GlobalAvgPool(keepdims=keepdims), torch.nn.AdaptiveAvgPool2d(1)),
        (nn.GlobalMaxPool(keepdims=keepdims), torch.nn.AdaptiveMaxPool2d(1)),
    ):
        flat = torch.nn.Identity() if keepdims else torch.nn.Flatten()
        assert_equals_twin(layer, torch.nn.Sequential(twin, flat), x)


@pytest.mark.usefixtures("backend")
def test_convolutions_over_three_axes_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    x, w = image((2, 2, 4, 3, 5)), image((4, 1, 2, 2, 3))
    settings: dict[str, Any] = {"stride": (2, 1, 1), "padding": (1, 0, 2), "groups": 2}
    expected = torch.nn.functional.conv3d(torch.tensor(x), torch.tensor(w), **settings).numpy()
    close(xp.conv(xp.asarray(x), xp.asarray(w), **settings), expected)
    y = image(expected.shape)
    back = torch.nn.functional.conv_transpose3d(torch.tensor(y), torch.tensor(w), **settings).numpy()
    close(xp.conv_transpose(xp.asarray(y), xp.asarray(w), **settings), back)


# By themselves.


LAYERS = [*CONVOLUTIONS, *POOLING, ("GlobalAvgPool", (2, 3, 5), {}), ("GlobalMaxPool", (2, 3, 5), {})]


def layer_of(name: str, settings: dict[str, Any], dtype: str = "float64") -> Any:
    if name.startswith("Conv"):
        return convolution(name, settings, dtype)
    return pooling(name, settings) if settings else getattr(nn, name)()


@pytest.mark.parametrize(("name", "shape", "settings"), LAYERS[::5], ids=str)
@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
def test_layers_to_second_order(
    name: str, shape: tuple[int, ...], settings: dict[str, Any], backend: Backend
) -> None:
    layer = layer_of(name, settings)
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) / 7.0
    bpkit.check_grads(lambda layer, x: layer(x), (layer, x), order=2)


@pytest.mark.parametrize(("name", "shape", "settings"), LAYERS, ids=str)
@pytest.mark.usefixtures("backend")
def test_compiled_layers_equal_eager_ones(
    name: str, shape: tuple[int, ...], settings: dict[str, Any], backend: Backend
) -> None:
    if backend.name == "jax":
        pytest.skip("it is compiled where it is compared with PyTorch")
    layer, x = layer_of(name, settings), xp.asarray(image(shape, ties="Pool" in name))
    step = bpkit.value_and_grad(lambda both: weighted(both[0](both[1])))
    compiled = bpkit.jit(step)
    for _ in range(2):
        for found, expected in zip(
            tree.leaves(compiled((layer, x))), tree.leaves(step((layer, x))), strict=True
        ):
            np.testing.assert_allclose(on_host(found), on_host(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Conv1d", {"kernel_size": 2}),
        ("ConvTranspose2d", {"kernel_size": 2, "stride": 2}),
        ("MaxPool2d", {"kernel_size": 2, "padding": 1}),
        ("AvgPool2d", {"kernel_size": 2, "padding": 1, "count_include_pad": False}),
        ("GlobalAvgPool", {}),
        ("GlobalMaxPool", {}),
    ],
    ids=str,
)
def test_float32_stays(name: str, settings: dict[str, Any], backend: Backend) -> None:
    skip_most_on_jax(backend, len(name))
    layer = layer_of(name, settings, "float32")
    x = xp.asarray(image((2, 4, 5) if name.endswith("1d") else (2, 4, 5, 4)), dtype="float32")
    found = bpkit.jit(bpkit.grad(lambda both: weighted(both[0](both[1]))))((layer, x))
    assert {part.dtype for part in [layer(x), *tree.leaves(found)]} == {x.dtype}


@pytest.mark.usefixtures("backend")
def test_each_example_has_its_own_gradient_of_a_convolution() -> None:
    layer = convolution("Conv2d", {"kernel_size": 2, "groups": 2, "padding": 1})
    x = xp.asarray(image((3, 4, 3, 4)))

    def loss(layer: Any, example: Any) -> Any:
        return weighted(layer(xp.expand_dims(example, axis=0)))

    together = tree.leaves(bpkit.jit(bpkit.vmap(bpkit.grad(loss), in_axes=(None, 0)))(layer, x))
    alone = bpkit.jit(bpkit.grad(loss))
    for i in range(3):
        for found, expected in zip(together, tree.leaves(alone(layer, x[i, ...])), strict=True):
            np.testing.assert_allclose(on_host(found)[i], on_host(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("backend")
def test_a_transposed_convolution_is_the_transpose() -> None:
    settings: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    x, w = xp.asarray(image((2, 4, 8))), xp.asarray(image((6, 2, 3)))
    y = xp.conv(x, w, **settings)
    g = xp.asarray(image(y.shape))
    back = xp.conv_transpose(g, w, output_padding=1, **settings)
    assert back.shape == x.shape
    assert abs(float(xp.sum(y * g)) - float(xp.sum(x * back))) < 1e-10


@pytest.mark.parametrize("backend", ["numpy", "torch"], indirect=True)
@pytest.mark.usefixtures("backend")
def test_a_convolution_costs_a_product_for_all_that_each_result_sees() -> None:
    compiled = bpkit.jit(lambda x, w: xp.conv(x, w, groups=2))
    compiled(xp.ones((3, 4, 6)), xp.ones((8, 2, 3)))
    assert compiled.cost.operations == 2 * (3 * 8 * 4) * (2 * 3)
    back = bpkit.jit(xp.conv_transpose)
    back(xp.ones((3, 8, 4)), xp.ones((8, 2, 3)))
    assert back.cost.operations == 2 * (3 * 8 * 4) * (2 * 3)


@pytest.mark.usefixtures("backend")
def test_nan_is_the_largest() -> None:
    x = xp.asarray([[1.0, float("nan"), 3.0, 4.0]])
    np.testing.assert_array_equal(on_host(xp.max_pool(x, 2)), [[np.nan, 4.0]])


# What does not fit.

SIGNALS = nn.Conv1d(3, 2, 3, key=random.key(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: nn.Conv2d(0, 2, 3, key=key), "Conv2d: in_channels must be an int of at least 1, got 0"),
        (lambda key: nn.Conv1d(2, 2, 1.5, key=key), "Conv1d: kernel_size must be an int .*, got 1.5"),
        (lambda key: nn.Conv2d(2, 2, (1, 2, 3), key=key), r"at least 1, or 2 of them, got \(1, 2, 3\)"),
        (lambda key: nn.Conv2d(2, 2, 3, key=key, stride=True), "Conv2d: stride must be .* got True"),
        (lambda key: nn.Conv2d(2, 2, 3, key=key, padding=-1), "Conv2d: padding must be .* got -1"),
        (lambda key: nn.Conv2d(2, 2, 3, key=key, padding="full"), "'same', 'valid' or numbers, got 'full'"),
        (lambda key: nn.Conv1d(2, 2, 3, key=key, padding="same", stride=2), "needs stride=1, got stride=2"),
        (lambda key: nn.Conv1d(3, 2, 3, key=key, groups=2), "in_channels=3 cannot be split into groups=2"),
        (lambda key: nn.Conv1d(2, 3, 3, key=key, groups=2), "out_channels=3 cannot be split into groups=2"),
        (lambda key: nn.ConvTranspose1d(2, 2, 3, key=key, padding="same"), "must be numbers, got 'same'"),
        (lambda key: nn.MaxPool2d(3, padding=2), "padding must be at most half of kernel_size=3.* got 2"),
        (lambda key: nn.AvgPool1d(2, stride=0), "AvgPool1d: stride must be .* at least 1, got 0"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make(random.key(0))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.Conv2d(3, 2, 3, key=random.key(0)),
            (4, 2, 5, 5),
            r"Conv2d\(3 → 2, 3×3\) expected .*\(4, 2, 5, 5\)",
        ),
        (
            SIGNALS,
            (3, 5),
            r"expected x of shape \(n, 3, length\), got \(3, 5\)",
        ),
        (SIGNALS, (1, 3, 2), r"window .*\(2, 3, 3\).* does not fit into x"),
        (nn.ConvTranspose1d(1, 1, 1, key=random.key(0), padding=1), (1, 1, 2), "nothing is left"),
        (nn.MaxPool2d(2), (4, 5, 5), r"MaxPool2d\(2×2\) expected .* got \(4, 5, 5\)"),
        (
            nn.AvgPool1d(3),
            (4, 5, 2),
            r"AvgPool1d\(3\) .* not smaller than the window, got \(4, 5, 2\)",
        ),
        (nn.GlobalMaxPool(), (4, 5), r"GlobalMaxPool\(\) expected .* got \(4, 5\)"),
    ],
)
def test_wrong_shapes_are_named(layer: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape))


@pytest.mark.parametrize("layer", [SIGNALS, nn.MaxPool1d(2)])
def test_what_is_no_array_is_named(layer: Any) -> None:
    with pytest.raises(ArgumentError, match="expected an array of shape"):
        layer([[[1.0]]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, "conv: stride must be an int of at least 1, got 0"),
        ({"stride": (1, 2)}, r"conv: stride must be an int of at least 1, got \(1, 2\)"),
        ({"dilation": 1.0}, "conv: dilation must be an int of at least 1, got 1.0"),
        ({"groups": 0}, "conv: groups=0; expected a positive int"),
        ({"padding": -1}, "conv: padding=-1; expected an int that is not negative"),
        ({"padding": "half"}, "conv: padding='half'.*'same' or 'valid'"),
        ({"padding": "same", "stride": 2}, "padding='same' with stride="),
    ],
)
def test_convolutions_name_a_wrong_setting(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        xp.conv(np.ones((1, 2, 5)), np.ones((2, 2, 3)), **settings)


@pytest.mark.parametrize(
    ("function", "x", "weight", "settings", "message"),
    [
        (xp.conv, (1, 2, 5), (2, 3, 3), {}, "has 2 channels, and weight .* is for 3 in each of 1 groups"),
        (xp.conv, (1, 2, 5), (3, 1, 3), {"groups": 2}, "cannot be split into groups=2 equal parts"),
        (xp.conv, (1, 2, 5), (2, 2), {}, "conv: expected x of shape"),
        (xp.conv, (1, 2, 5), (2, 2, 3, 3), {}, "conv: expected x of shape"),
        (xp.conv_transpose, (1, 2, 5), (3, 2, 3), {}, "has 2 channels, and weight .* is for 3"),
        (xp.conv_transpose, (1, 2, 1), (2, 1, 2), {"padding": 1}, "nothing is left of the result"),
    ],
)
def test_convolutions_name_shapes_that_do_not_fit(
    function: Any, x: Any, weight: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        function(np.ones(x), np.ones(weight), **settings)


def test_pooling_names_a_wrong_setting() -> None:
    with pytest.raises(ArgumentError, match="max_pool: window_shape=0"):
        xp.max_pool(np.ones(4), 0)
    with pytest.raises(ArgumentError, match=r"max_pool: stride=\(0,\)"):
        xp.max_pool(np.ones(4), 2, stride=0)
    with pytest.raises(ShapeError, match="does not fit into x"):
        xp.max_pool(np.ones(4), 5)


@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_dtypes_meet_as_in_a_product(name: str, backend: Backend) -> None:
    """Images are float32 or bytes, and weights are of the library's default dtype."""
    x, weight = np.arange(32).reshape(2, 1, 16), np.arange(3).reshape(1, 1, 3)
    wanted = None
    for one, other, found in (
        ("float32", "float64", "float64"),
        ("float64", "float32", "float64"),
        ("uint8", "float32", "float32"),
        ("float32", "int32", "float32"),
    ):
        given = [xp.asarray(a.astype(dtype)) for a, dtype in ((x, one), (weight, other))]
        out = getattr(xp, name)(*given)
        assert str(out.dtype).rpartition(".")[2] == found
        wanted = backend.to_host(out) if wanted is None else wanted
        np.testing.assert_array_equal(backend.to_host(out), wanted)
