"""What the examples of the book's chapters say, where the book or the mathematics says it too."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, random, tree, xp

EXAMPLES = Path(__file__).parent.parent / "examples"


def chapter(number):
    return runpy.run_path(str(EXAMPLES / f"nielsen_chapter{number}.py"))


def test_chapter_2_by_hand_is_the_gradient():
    names = chapter(2)
    model = names["network"](784, "float64")
    x = random.uniform(random.key(1), (10, 784), "float64") * 0.1
    y = xp.eye(10, dtype="float64")
    gradient = tree.leaves(bpkit.grad(names["loss"])(model, x, y))
    for function in ("by_hand", "image_by_image"):
        for mine, expected in zip(names[function](model, x, y), gradient, strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-15)


def test_chapter_3_neuron_ends_where_the_book_says():
    neuron = chapter(3)["neuron"]
    quadratic = [neuron(lambda z: nn.sigmoid(z) ** 2 / 2, *start) for start in ((0.6, 0.9), (2.0, 2.0))]
    assert [f"{outputs[0]:.2f} {outputs[-1]:.2f}" for outputs in quadratic] == ["0.82 0.09", "0.98 0.20"]
    # Badly wrong, it has learned next to nothing after 50 epochs; with the cross-entropy, most.
    assert quadratic[1][50] > 0.95 and neuron(xp.softplus, 2.0, 2.0)[50] < 0.15


def test_chapter_3_shrinks_weights_alone():
    optimizer = chapter(3)["descent"](0.5, 0.1)
    params = {"weight": xp.ones((1, 1)), "bias": xp.ones(1)}
    grads = tree.map(xp.zeros_like, params)
    after, _ = optimizer.update(grads, optimizer.init(params), params)
    assert (float(after["weight"][0, 0]), float(after["bias"][0])) == (0.95, 1.0)


@pytest.mark.parametrize(("build", "function", "inputs"), [("of_one", "curve", 1), ("of_two", "hill", 2)])
def test_chapter_4_built_networks_get_better_with_every_bump(build, function, inputs):
    names = chapter(4)
    x = random.uniform(random.key(0), (2000, inputs), "float64")
    errors = [names["error"](names[build](bumps), names[function], x) for bumps in (4, 8, 16)]
    assert errors[1] < 0.65 * errors[0] and errors[2] < 0.65 * errors[1]


def test_chapter_5_gradients_vanish_and_explode_as_the_chain_rule_says():
    chain = chapter(5)["chain"]
    params = {"w": xp.asarray([0.7, -0.4, 1.1, 0.9]), "b": xp.asarray([0.1, 0.2, -0.3, 0.4])}
    slope = bpkit.grad(chain)(params, xp.asarray(0.6))["b"]
    a = 0.6
    slopes = list[float]()
    for w, b in zip(params["w"], params["b"], strict=True):
        a = 1 / (1 + np.exp(-(w * a + b)))
        slopes.append(a * (1 - a))
    assert max(slopes) <= 0.25
    expected = [np.prod(params["w"][i + 1 :]) * np.prod(slopes[i:]) for i in range(4)]
    np.testing.assert_allclose(slope, expected, rtol=1e-12)


def test_chapter_5_speed_is_the_norm_of_the_error_averaged_over_the_images():
    names = chapter(5)
    model = names["network"](random.key(0), 20, 3)
    x = random.uniform(random.key(1), (50, 20), "float32")
    y = xp.one_hot(xp.arange(50) % 10, 10, dtype="float32")
    output = [x]
    for layer in model:
        output.append(layer(output[-1]))
    delta = (nn.sigmoid(output[-1]) - y) / 50
    expected: list[float] = []
    for i in (6, 4, 2):  # BP2, from the output back
        a = output[i]
        delta = delta @ model[i].weight * a * (1 - a)
        expected.insert(0, np.linalg.norm(np.sum(delta, axis=0)))
    np.testing.assert_allclose(names["speeds"](model, x, y), expected, rtol=1e-4)
    assert losses.sigmoid_cross_entropy(model(x), y) == names["loss"](model, x, y)
