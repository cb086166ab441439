"""The table of a model."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.errors import ShapeError
from bpkit.registry import use_backend


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def table(capsys: pytest.CaptureFixture[str], model: Any, *example: Any) -> tuple[str, list[list[str]]]:
    """The title, and the cells of every line."""
    nn.summary(model, *example)
    title, *lines = capsys.readouterr().out.splitlines()
    return title, [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def dense(sizes: tuple[int, int], seed: int = 0) -> nn.Dense:
    return nn.Dense(*sizes, key=random.key(seed), dtype="float32")


@pytest.mark.usefixtures("backend")
def test_layers_shapes_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(
        nn.Frozen(nn.Sequential(dense((6, 4)), nn.BatchNorm(4, dtype="float32"))),
        nn.Residual(dense((4, 4))),
        nn.BatchNorm(4, momentum=None, dtype="float32"),
        nn.Dropout(0.5),
    )
    title, cells = table(capsys, model, xp.zeros((2, 6), dtype="float32"))
    assert title == "Sequential"
    assert cells == [
        ["place", "layer", "output shape", "parameters", "buffers", "bytes"],
        ["", "Sequential", "(2, 4)", "", "", ""],
        ["layers[0]", "Frozen", "(2, 4)", "", "", ""],
        ["layers[0].layer", "Sequential", "(2, 4)", "", "", ""],
        ["layers[0].layer.layers[0]", "Dense(6 → 4)", "(2, 4)", "28", "", "112 B"],
        ["layers[0].layer.layers[1]", "BatchNorm(4)", "(2, 4)", "8", "8", "64 B"],
        ["layers[1]", "Residual", "(2, 4)", "", "", ""],
        ["layers[1].layer", "Dense(4 → 4)", "(2, 4)", "20", "", "80 B"],
        ["layers[1].shortcut", "Lambda(identity)", "(2, 4)", "", "", ""],
        ["layers[2]", "BatchNorm(4)", "(2, 4)", "8", "9", "68 B"],
        ["layers[3]", "Dropout(0.5)", "(2, 4)", "", "", ""],
        ["", "trained", "", "28", "", "112 B"],
        ["", "frozen", "", "36", "", "144 B"],
        ["", "buffers", "", "", "17", "68 B"],
        ["", "total", "", "64", "17", "324 B"],
    ]
    trained = tree.leaves(nn.partition(model).trainable)
    assert sum(int(np.prod(leaf.shape)) for leaf in trained) == 28


def test_without_an_example_there_are_no_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    with use_backend("numpy"):
        model = nn.Dense(784, 1000, key=random.key(0), dtype="float64")
    assert table(capsys, model) == (
        "Dense",
        [
            ["place", "layer", "parameters", "bytes"],
            ["", "Dense(784 → 1000)", "785,000", "6.28 MB"],
            ["", "trained", "785,000", "6.28 MB"],
        ],
    )


def test_models_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    class Split(nn.Module):
        parts: Any
        scale: Any
        places: Any
        name: str = nn.static()

        def __call__(self, x: Any, y: Any) -> Any:
            first, second = self.parts["a"]
            assert isinstance(first, nn.Dense)
            return {"sum": second(first(x)), "y": first(first(x)[:1, :])}, 3.0

    with use_backend("numpy"):
        parts = {"a": [dense((3, 3)), nn.Lambda(xp.sum)], "b": None}
        model = Split(parts, xp.ones((2, 2), dtype="float32"), xp.zeros(3, dtype="int64"), "split")
        before = tree.structure(model)
        title, cells = table(capsys, model, xp.zeros((4, 3), dtype="float32"), None)
    assert title == "Split"
    assert cells[1:] == [
        ["", "Split", "(), (1, 3)", "7", "40 B"],
        ["parts['a'][0]", "Dense(3 → 3)", "(4, 3), (1, 3)", "12", "48 B"],
        ["parts['a'][1]", "Lambda(sum)", "()", "", ""],
        ["", "trained", "", "16", "64 B"],
        ["", "other", "", "3", "24 B"],
        ["", "total", "", "19", "88 B"],
    ]
    # The model is what it was.
    assert tree.structure(model) == before
    assert type(model.parts["a"][0]) is nn.Dense


def test_a_module_in_two_places_is_two_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with use_backend("numpy"):
        layer = dense((3, 3))
        _, cells = table(capsys, nn.Sequential(layer, lambda x: x[:, 0:3], layer), xp.zeros((4, 3)))
    assert [row[3] for row in cells[1:]] == ["", "12", "", "12", "24"]


def test_compiled_parts_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    compiled = bpkit.jit(lambda layer, x: layer(x))

    class Model(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return compiled(self.layer, x)

    with use_backend("numpy"):
        _, cells = table(capsys, Model(dense((3, 2))), xp.zeros((4, 3), dtype="float32"))
    assert [row[2] for row in cells[1:3]] == ["(4, 2)", "(4, 2)"]
    assert compiled.explain() == "not called yet"


def test_an_example_that_does_not_fit_names_the_layer() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(dense((3, 2)))
    with pytest.raises(ShapeError, match=r"Dense\(3 → 2\) expected x of shape \(\.\.\., 3\)") as caught:
        nn.summary(model, np.zeros((4, 5)))
    assert caught.value.__notes__ == ["in layer 0 (Dense(3 → 2)) of Sequential"]
