"""RNN, GRU and LSTM against PyTorch's, in every option."""

import time
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN tanh": (nn.RNN, {}),
    "RNN relu": (nn.RNN, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, {}),
    "LSTM": (nn.LSTM, {}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "two layers": {"num_layers": 2},
    "both ways": {"bidirectional": True},
    "all": {"num_layers": 3, "bidirectional": True, "bias": False},
}
X = np.random.default_rng(0).normal(size=(2, 4, 3))


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def layer_of(kind: str, dtype: str = "float64", **options: Any) -> Any:
    cls, settings = KINDS[kind]
    return cls(3, 5, key=random.key(1), dtype=dtype, bias_init=nn.init.standard_normal, **settings, **options)


def start_of(layer: Any, n: int) -> Any:
    rng = np.random.default_rng(3)
    count = len(layer.layers) * len(layer.layers[0])
    parts = [rng.normal(size=(count, n, layer.hidden_size)) for _ in range(2)]
    return tuple(parts) if isinstance(layer, nn.LSTM) else parts[0]


def weighted(found: Any) -> Any:
    """A number that depends on all results."""
    return sum(xp.sum(xp.square(part + 0.3)) * (1.0 + i) for i, part in enumerate(tree.leaves(found)))


@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("backend")
def test_results_and_gradients_equal_torch(kind: str, options: str, given: bool) -> None:
    torch = pytest.importorskip("torch")
    layer = layer_of(kind, **OPTIONS[options])
    settings = {**KINDS[kind][1], **OPTIONS[options]}
    twin = getattr(torch.nn, type(layer).__name__)(3, 5, batch_first=True, **settings).double()
    with torch.no_grad():
        for p, leaf in zip(twin.parameters(), tree.leaves(layer), strict=True):
            p.copy_(torch.tensor(on_host(leaf)))
    start = start_of(layer, 2) if given else None
    x = torch.tensor(X, requires_grad=True)
    begin = tree.map(lambda a: torch.tensor(a, requires_grad=True), start)
    out, state = twin(x, begin)
    states = state if isinstance(state, tuple) else (state,)
    sum((part + 0.3).square().sum() * (1.0 + i) for i, part in enumerate((out, *states))).backward()

    start = tree.map(xp.asarray, start)
    found = layer(xp.asarray(X), start)
    for ours, theirs in zip(tree.leaves(found), (out, *states), strict=True):
        np.testing.assert_allclose(on_host(ours), theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    gradient = bpkit.grad(lambda args: weighted(args[0](args[1], args[2])))((layer, xp.asarray(X), start))
    wanted = [p.grad for p in twin.parameters()] + [x.grad] + [part.grad for part in tree.leaves(begin)]
    for ours, theirs in zip(tree.leaves(gradient), wanted, strict=True):
        np.testing.assert_allclose(on_host(ours), theirs.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind: str) -> None:
    with use_backend("numpy"):
        cls, settings = KINDS[kind]
        layer = cls(1, 2, key=random.key(1), dtype="float64", bidirectional=True, **settings)
    bpkit.check_grads(lambda layer, x: weighted(layer(x)), (layer, X[:1, :2, :1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("backend")
def test_compiled_equals_eager(kind: str) -> None:
    layer = layer_of(kind, num_layers=2, bidirectional=True)
    take = bpkit.value_and_grad(lambda layer, x: weighted(layer(x)))
    compiled = bpkit.jit(take)
    for x in (xp.asarray(X), xp.asarray(X + 0.1)):
        for one, other in zip(tree.leaves(take(layer, x)), tree.leaves(compiled(layer, x)), strict=True):
            np.testing.assert_allclose(on_host(one), on_host(other), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("backend")
def test_float32_stays(kind: str) -> None:
    layer = layer_of(kind, "float32")
    x = xp.asarray(X, dtype="float32")
    gradient = bpkit.grad(lambda args: weighted(args[0](args[1])))((layer, x))
    for part in tree.leaves((layer(x), gradient)):
        assert part.dtype == x.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_reading_goes_on_from_a_state(kind: str) -> None:
    with use_backend("numpy"):
        layer = layer_of(kind, num_layers=2)
    whole, end = layer(X)
    first, state = layer(X[:, :3])
    second, state = layer(X[:, 3:], state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-14)
    for one, other in zip(tree.leaves(state), tree.leaves(end), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)


@pytest.mark.usefixtures("backend")
def test_dropout_is_between_the_layers_and_in_training_only() -> None:
    layer = layer_of("GRU", num_layers=2, dropout=0.5)
    x = xp.asarray(X)
    plain = layer_of("GRU", num_layers=2)
    np.testing.assert_array_equal(on_host(layer(x)[0]), on_host(plain(x)[0]))
    (output, _), _ = nn.training_call(layer, x, key=random.key(5))
    # The first layer as it is, half of what it gives dropped, and then the second.
    one, two = (plain.replace(layers=(plain.layers[i],), input_size=n) for i, n in enumerate((3, 5)))
    between = xp.permute_dims(one(x)[0], (1, 0, 2))
    dropped = nn.training_call(nn.Dropout(0.5), between, key=random.key(5)).output
    assert np.sum(on_host(dropped) == 0) > 5
    wanted, _ = two(xp.permute_dims(dropped, (1, 0, 2)))
    np.testing.assert_allclose(on_host(output), on_host(wanted), rtol=1e-12)


def test_many_steps_compile_in_time_that_grows_as_they_do() -> None:
    with use_backend("numpy"):
        layer = nn.LSTM(2, 3, key=random.key(0))
    steps = []
    for count in (20, 80):
        compiled = bpkit.jit(bpkit.grad(lambda layer, x: weighted(layer(x)[0])))
        compiled(layer, np.ones((2, count, 2)))
        steps.append(len(compiled.program.steps) / count)
    # The gradient of each step has the length of the step, not that of the sequence.
    assert steps[1] < 1.05 * steps[0]
    begun = time.perf_counter()
    bpkit.jit(lambda layer, x: layer(x)[0])(layer, np.ones((2, 200, 2)))
    assert time.perf_counter() - begun < 60


def test_wrong_input_is_told_by_name() -> None:
    with use_backend("numpy"):
        layer = layer_of("LSTM", num_layers=2)
    shown = r"LSTM\(3 → 5, num_layers=2\)"
    with pytest.raises(ShapeError, match=shown + r" expected x of shape \(n, time, 3\), got \(2, 4, 4\)"):
        layer(np.ones((2, 4, 4)))
    with pytest.raises(ShapeError, match=r"expected x of shape \(n, time, 3\), got \(2, 0, 3\)"):
        layer(np.ones((2, 0, 3)))
    with pytest.raises(ArgumentError, match=shown + r": x is a list; expected an array"):
        layer([[[1.0, 2.0, 3.0]]])
    with pytest.raises(ArgumentError, match=shown + r": state must be a pair of arrays \(h, c\)"):
        layer(X, np.ones((2, 2, 5)))
    with pytest.raises(ShapeError, match=r"expected state c of shape \(2, 2, 5\), got \(1, 2, 5\)"):
        layer(X, (np.ones((2, 2, 5)), np.ones((1, 2, 5))))
    with pytest.raises(ArgumentError, match=r"GRU: num_layers must be a positive int, got 0"):
        nn.GRU(3, 5, key=random.key(0), num_layers=0)
    with pytest.raises(ArgumentError, match=r'RNN: nonlinearity must be "tanh" or "relu", got \'gelu\''):
        nn.RNN(3, 5, key=random.key(0), nonlinearity="gelu")
