"""Outputs and errors of every layer."""

import itertools
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, random, tree
from bpkit import namespace as xp
from bpkit.errors import ArgumentError
from bpkit.inspect import observe
from bpkit.registry import backend_of, use_backend

SIZES = (5, 7, 6, 3)
N = 4


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def dense(m: int, n: int, seed: int) -> nn.Dense:
    return nn.Dense(m, n, key=random.key(seed), init=nn.init.scaled_normal, dtype="float64")


def network() -> nn.Sequential:
    layers: list[Any] = []
    for seed, (m, n) in enumerate(itertools.pairwise(SIZES)):
        layers += [dense(m, n, seed), nn.sigmoid]
    return nn.Sequential(*layers)


def batch(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.usefixtures("backend")
def test_the_error_is_the_books(compiled: bool) -> None:
    """Beside the equations of chapter 2 in NumPy, which knows no derivative."""
    model, x, y = network(), batch(N, SIZES[0]), batch(N, SIZES[-1], seed=2)
    watch = bpkit.jit(observe) if compiled else observe
    for _ in range(1 + compiled):  # the first call records, the second runs the program
        seen = watch(model, losses.quadratic, xp.asarray(x), xp.asarray(y))
    w = [on_host(layer.weight) for layer in model[::2]]
    b = [on_host(layer.bias) for layer in model[::2]]
    a, z = [x], []
    for w_l, b_l in zip(w, b, strict=True):
        z.append(a[-1] @ w_l.T + b_l)
        a.append(1 / (1 + np.exp(-z[-1])))
    slope = [a_l * (1 - a_l) for a_l in a[1:]]
    by_a = (a[-1] - y) / N
    for layer in reversed(range(len(w))):
        delta = by_a * slope[layer]
        for place, output, error in (
            (f"layers[{2 * layer + 1}]", a[layer + 1], by_a),
            (f"layers[{2 * layer}]", z[layer], delta),
        ):
            np.testing.assert_allclose(on_host(seen[place].output), output, rtol=1e-12)
            np.testing.assert_allclose(on_host(seen[place].error), error, rtol=1e-11, atol=1e-17)
        found = seen[f"layers[{2 * layer}]"].gradients
        np.testing.assert_allclose(on_host(found["bias"]), delta.sum(axis=0), rtol=1e-11)
        np.testing.assert_allclose(on_host(found["weight"]), delta.T @ a[layer], rtol=1e-11, atol=1e-17)
        by_a = delta @ w[layer]
    np.testing.assert_allclose(float(seen.loss), np.sum((a[-1] - y) ** 2) / (2 * N), rtol=1e-12)
    np.testing.assert_allclose(on_host(seen.output), a[-1], rtol=1e-12)
    assert [layer.place for layer in seen.layers] == [f"layers[{i}]" for i in range(6)]
    assert [layer.layer for layer in seen.layers[:2]] == ["Dense(5 → 7)", "Lambda(sigmoid)"]


def test_errors_are_the_gradients_that_torch_retains() -> None:
    torch = pytest.importorskip("torch")
    with use_backend("numpy"):
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, key=random.key(0), dtype="float64"),
            nn.tanh,
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.LayerNorm(12, dtype="float64"),
            dense(12, 4, 1),
            nn.relu,
            dense(4, 3, 2),
        )
        x, labels = batch(5, 2, 6, 6), np.asarray([0, 2, 1, 1, 0])
        seen = observe(model, losses.softmax_cross_entropy, x, labels)

    def parameters(i: int) -> list[Any]:
        return [torch.tensor(np.asarray(a)) for a in (model[i].weight, model[i].bias)]

    functions = torch.nn.functional
    a, kept = torch.tensor(x), []
    for step in (
        lambda a: functions.conv2d(a, *parameters(0)),
        torch.tanh,
        lambda a: functions.max_pool2d(a, 2),
        lambda a: torch.flatten(a, 1),
        lambda a: functions.layer_norm(a, (12,), *parameters(4)),
        lambda a: functions.linear(a, *parameters(5)),
        functions.relu,
        lambda a: functions.linear(a, *parameters(7)),
    ):
        a = step(a)
        a.requires_grad_() if not a.requires_grad else None
        a.retain_grad()
        kept.append(a)
    functions.cross_entropy(a, torch.tensor(labels)).backward()
    assert len(seen.layers) == len(kept)
    for layer, tensor in zip(seen.layers, kept, strict=True):
        np.testing.assert_allclose(layer.output, tensor.detach().numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(layer.error, tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_errors_are_gradients_of_jax_from_there_on() -> None:
    """JAX differentiates the rest of the network behind each layer."""
    jax = pytest.importorskip("jax")
    if not jax.config.jax_enable_x64:
        pytest.skip("JAX runs in 32 bits here")
    with use_backend("numpy"):
        model, x, y = network(), batch(N, SIZES[0]), batch(N, SIZES[-1], seed=2)
        seen = observe(model, losses.quadratic, x, y)
    steps: list[Any] = []
    for layer in model[::2]:
        w, b = np.asarray(layer.weight), np.asarray(layer.bias)
        steps += [lambda a, w=w, b=b: a @ w.T + b, jax.nn.sigmoid]

    def rest(a: Any, start: int) -> Any:
        for step in steps[start:]:
            a = step(a)
        return jax.numpy.sum((a - y) ** 2) / (2 * N)

    for i, layer in enumerate(seen.layers):
        expected = jax.grad(rest)(jax.numpy.asarray(layer.output), i + 1)
        np.testing.assert_allclose(layer.error, expected, rtol=1e-10, atol=1e-16)


class Unrolled(nn.Module):
    """Reads a sequence with one layer, called once for each step, and one that nobody calls."""

    cell: nn.Dense
    out: nn.Dense
    scale: Any
    push: Any = nn.static(default=None)

    def __call__(self, x: Any) -> Any:
        h = xp.zeros((x.shape[0], 4), dtype=x.dtype)
        for t in range(x.shape[1]):
            z = self.cell(xp.concat([x[:, t, :], h], axis=1))
            if self.push is not None and self.push[0] == t:
                z = z + xp.asarray(np.asarray(self.push[1]).reshape(z.shape))
            h = xp.tanh(z)
        return xp.matmul(h, xp.matrix_transpose(self.out.weight)) * self.scale


@pytest.mark.usefixtures("backend")
def test_a_layer_that_is_called_several_times() -> None:
    """Its error at each call, beside central differences of the cost, with something added to the output."""
    model = Unrolled(dense(6, 4, 0), dense(4, 3, 1), xp.asarray(1.5, dtype="float64"))
    x, y = xp.asarray(batch(2, 3, 2)), xp.asarray(batch(2, 3, seed=3))
    seen = observe(model, losses.quadratic, x, y)
    assert [layer.place for layer in seen.layers] == ["cell", "", "out"]
    assert [len(layer.outputs) for layer in seen.layers] == [3, 1, 0]
    assert [sorted(layer.gradients) for layer in seen.layers] == [
        ["bias", "weight"],
        ["scale"],
        ["bias", "weight"],
    ]
    step = 1e-6
    for t, error in enumerate(seen["cell"].errors):
        for index in np.ndindex(2, 4):
            ends = []
            for sign in (1, -1):
                push = np.zeros((2, 4))
                push[index] = sign * step
                moved = model.replace(push=(t, tuple(push.ravel().tolist())))
                ends.append(float(losses.quadratic(moved(x), y)))
            assert abs(float(error[index]) - (ends[0] - ends[1]) / (2 * step)) < 1e-9
    with pytest.raises(ArgumentError, match=r"Dense\(6 → 4\) at cell returned 3 arrays .* \.outputs"):
        _ = seen["cell"].output
    with pytest.raises(ArgumentError, match=r"no layer was observed at 'cells'; .*'cell', '', 'out'"):
        _ = seen["cells"]


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_those_of_a_step(training: bool) -> None:
    """With a key as in training, with dropout and the statistics of the batch; without one as predicted."""
    with use_backend("numpy"):
        model = nn.Sequential(
            nn.Frozen(dense(5, 6, 0)),
            nn.BatchNorm(6, dtype="float64"),
            nn.Dropout(0.5),
            nn.Residual(nn.Sequential(dense(6, 6, 1), nn.tanh)),
            dense(6, 3, 2),
        )
        x, y, key = batch(8, 5), batch(8, 3, seed=2), random.key(7) if training else None
        seen = observe(model, losses.quadratic, x, y, key=key)
        trainable, rest = nn.partition(model)

        def cost(trainable: Any) -> Any:
            whole = nn.combine(trainable, rest)
            output = nn.training_call(whole, x, key=key).output if training else whole(x)
            return losses.quadratic(output, y)

        value, gradient = bpkit.value_and_grad(cost)(trainable)
    assert float(seen.loss) == float(value)
    places = {
        "layers[0].layer": (),
        "layers[1]": ("bias", "weight"),
        "layers[2]": (),
        "layers[3].layer.layers[0]": ("bias", "weight"),
        "layers[3].layer.layers[1]": (),
        "layers[3]": (),
        "layers[4]": ("bias", "weight"),
    }
    if not training:
        del places["layers[2]"]  # dropout returns what it was given
    assert {layer.place: tuple(sorted(layer.gradients)) for layer in seen.layers} == places
    found = [seen["layers[1]"], seen["layers[3].layer.layers[0]"], seen["layers[4]"]]
    ours = [layer.gradients[name] for layer in found for name in ("weight", "bias")]
    for mine, theirs in zip(ours, tree.leaves(gradient), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # The model is what it was.
    assert type(model[0].layer) is nn.Dense


class Wrapped(nn.Module):
    inner: nn.Dense
    out: nn.Dense
    way: str = nn.static()

    def __call__(self, x: Any) -> Any:
        ways: dict[str, Any] = {
            "plain": lambda layer, x: xp.tanh(layer(x)),
            "jit": bpkit.jit(lambda layer, x: xp.tanh(layer(x))),
            "checkpoint": bpkit.checkpoint(lambda layer, x: xp.tanh(layer(x))),
            "vmap": lambda layer, x: bpkit.vmap(lambda row: xp.tanh(layer(row)))(x),
        }
        return self.out(ways[self.way](self.inner, x))


@pytest.mark.parametrize("way", ["jit", "checkpoint", "vmap"])
@pytest.mark.parametrize("compiled", [False, True])
def test_transforms_within_the_model(way: str, compiled: bool) -> None:
    with use_backend("numpy"):
        x, y = batch(4, 5), batch(4, 3, seed=2)
        plain = observe(Wrapped(dense(5, 6, 0), dense(6, 3, 1), "plain"), losses.quadratic, x, y)
        watch = bpkit.jit(observe) if compiled else observe
        seen = watch(Wrapped(dense(5, 6, 0), dense(6, 3, 1), way), losses.quadratic, x, y)
    for place in ("inner", "out"):
        for name in ("weight", "bias"):
            np.testing.assert_allclose(
                seen[place].gradients[name], plain[place].gradients[name], rtol=1e-12, atol=1e-16
            )
    if way == "vmap":
        assert seen["inner"].outputs == ()  # it saw one example, which belongs to vmap
    else:
        np.testing.assert_allclose(seen["inner"].error, plain["inner"].error, rtol=1e-12, atol=1e-16)


def test_several_inputs_and_what_is_no_floating_number() -> None:
    class Both(nn.Module):
        words: nn.Embedding
        numbers: nn.Dense

        def __call__(self, words: Any, x: Any) -> Any:
            return self.numbers(x) + xp.sum(self.words(words), axis=1)

    with use_backend("numpy"):
        model = nn.Sequential()
        assert observe(model, losses.quadratic, batch(2, 2), batch(2, 2)).layers[0].place == ""
        both = Both(nn.Embedding(9, 3, key=random.key(0), dtype="float64"), dense(5, 3, 0))
        inputs = np.asarray([[1, 2], [3, 3]]), batch(2, 5)
        seen = observe(both, losses.quadratic, inputs, batch(2, 3))
    assert {layer.place: layer.output.shape for layer in seen.layers} == {
        "numbers": (2, 3),
        "words": (2, 2, 3),
        "": (2, 3),
    }
    np.testing.assert_array_equal(seen["words"].gradients["weight"][3], 2 * seen[""].error[1])


def test_a_loss_that_is_no_number() -> None:
    with (
        use_backend("numpy"),
        pytest.raises(ArgumentError, match=r"observe: loss: .* -> scalar, got \(4, 3\); take the mean"),
    ):
        observe(network(), lambda output, y: output - y, batch(N, 5), batch(N, 3))
