"""What cannot be exported as ONNX is said, with the function and the line."""

from pathlib import Path

import numpy as np
import pytest

from bpkit import namespace as xp
from bpkit import nn, random
from bpkit.errors import ArgumentError, ExportError, RecordingError, ShapeError

pytest.importorskip("ndonnx")
pytest.importorskip("onnxruntime")

from onnx_runs import draws  # type: ignore[import-not-found]

from bpkit.interop import onnx

DTYPES = ("float32", "float64")


KEY = random.key(0)


def test_what_onnx_cannot_do_is_named_with_its_line():
    def model(x):
        return xp.linalg.inv(x @ x)

    with pytest.raises(
        ExportError, match=r"onnx\.export of .*model: linalg\.inv of float32 \(at .*linalg\.inv"
    ):
        onnx.export(model, draws(3, 3))


@pytest.mark.parametrize(
    ("function", "name"), [(xp.linalg.svdvals, r"linalg\.svd"), (xp.special.gammaln, r"special\.gammaln")]
)
def test_functions_that_are_made_of_what_onnx_cannot_do(function, name):
    with pytest.raises(ExportError, match=rf"{name} of float32 .* cannot be exported"):
        onnx.export(function, draws(3, 3))


def test_what_depends_on_values_is_refused():
    with pytest.raises(RecordingError):
        onnx.export(lambda x: x if x[0] > 0 else -x, draws(3))
    with pytest.raises(RecordingError, match="the shape of the result depends on values"):
        onnx.export(xp.unique_values, draws(3))


def test_a_model_that_does_something_else_for_one_example():
    def model(x):
        return x if x.shape[0] > 1 else -x

    with pytest.raises(
        ExportError, match=r"output differs from bpkit's by \S+ with batch=1\. The model does"
    ):
        onnx.export(model, draws(2, 3), dynamic_batch=True)


@pytest.mark.parametrize(
    ("model", "count", "text"),
    [
        (lambda x: x * min(x.shape[0], 64), 2, r"with batch=1009 the number 64 is not what followed"),
        (lambda x: x if x.shape[0] == 2 else 2.0 * x, 5, r"1 steps with batch=5 and 0 with batch=2"),
        (lambda x: x * 2.0 if x.shape[0] == 2 else -x, 5, r"in its place there is multiply .*with batch=2"),
        (lambda x: x / x.shape[0] ** 0.5, 2, r"divide .* with batch=6 the number 2\.449"),
    ],
)
def test_branches_and_least_lengths_that_are_found(model, count, text):
    with pytest.raises(ExportError, match=text):
        onnx.export(model, draws(count, 3), dynamic_batch=True)


def test_a_table_that_ends_before_the_lengths_that_are_tried():
    class Positions(nn.Module):
        table: object

        def __call__(self, x):
            return x + self.table[: x.shape[0]]

    made = onnx.export(Positions(draws(20, 3)), draws(2, 3), dynamic_batch=True)
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_float16():
    weight = draws(3, 16, dtype="float16")
    made = onnx.export(lambda x: nn.softmax(xp.tanh(x @ weight)), draws(2, 3, dtype="float16"))
    assert made.graph.output[0].type.tensor_type.elem_type == 10  # float16
    onnx.export(lambda x: nn.gelu(x @ weight), draws(2, 3, dtype="float16"))


def test_mistakes_in_what_is_passed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nope for the file"):
        onnx.export(nn.tanh, draws(2), tmp_path / "nope" / "x.onnx")
    with pytest.raises(ArgumentError, match=r"dynamic_axes\['x'\] must map axes to names"):
        onnx.export(lambda x: x, draws(2), dynamic_axes={"x": ["b"]})  # type: ignore[dict-item]
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=r"a module of PyTorch.*from_torch"):
        onnx.export(torch.nn.Linear(2, 2), draws(1, 2))
    with pytest.raises(
        ArgumentError, match="the example is an array of torch, the model's arrays are of numpy"
    ):
        onnx.export(nn.Dense(2, 2, key=KEY), torch.zeros(1, 2))


def test_weights_that_do_not_fit_into_a_file(monkeypatch):
    from bpkit.interop.onnx import graph

    monkeypatch.setattr(graph, "LARGEST", 30)
    with pytest.raises(ExportError, match=r"the weights have 0\.0 GiB, and an ONNX file holds less"):
        onnx.export(nn.Dense(3, 3, key=KEY), draws(1, 3, dtype="float64"))


def test_a_loop_over_a_dynamic_axis_is_refused():
    with pytest.raises(ExportError, match=r"steps with batch=2 and \d+ with batch=4, as a loop"):
        onnx.export(lambda x: sum(x[i] for i in range(x.shape[0])), draws(2, 3), dynamic_batch=True)


def test_sizes_that_do_not_grow_evenly_are_refused():
    def model(x):
        return xp.sum(xp.zeros(x.shape[0] ** 2 // 3, dtype=x.dtype)) + x[: x.shape[0] // 3]

    with pytest.raises(ExportError, match=r"getitem \(at .*\) cannot follow the length of batch"):
        onnx.export(model, draws(2, 3), dynamic_batch=True)


def test_a_mistake_in_the_model_itself_is_told_as_it_is():
    with pytest.raises(ShapeError, match="expected x of shape"):
        onnx.export(nn.Dense(3, 2, key=KEY), draws(2, 4), dynamic_batch=True)


def test_a_model_that_takes_no_other_length_is_refused():
    model = nn.Flatten()
    with pytest.raises(ExportError, match="the model fails with batch=4: ValueError"):
        onnx.export(lambda x: model(x) + xp.ones((2, 6), dtype=x.dtype), draws(2, 2, 3), dynamic_batch=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dynamic_axes": {"y": {0: "n"}}}, "names the input 'y'; the inputs are x"),
        ({"dynamic_axes": {"x": {2: "n"}}}, r"expected one of the 2 axes"),
        (
            {"dynamic_axes": {"x": {0: "n", 1: "n"}}},
            "must have one length in the example, and not 0; they have 2, 3",
        ),
        ({"input_names": ["a", "b"]}, r"input_names=\['a', 'b'\]; expected 1 different names, for x"),
        ({"output_names": "out"}, "output_names='out'; expected 1 different"),
    ],
)
def test_wrong_names_and_axes(options, text):
    with pytest.raises(ArgumentError, match=text):
        onnx.export(lambda x: x + 1.0, draws(2, 3), **options)


def test_wrong_examples():
    with pytest.raises(ArgumentError, match="the example must hold arrays"):
        onnx.export(nn.tanh, "x")
    with pytest.raises(ArgumentError, match="z is complex"):
        onnx.export(nn.tanh, np.zeros(2, dtype=np.complex128))
    with pytest.raises(ArgumentError, match="must be a function"):
        onnx.export(3, draws(2))


def test_what_onnxruntime_computes_otherwise_is_refused_and_nothing_written(monkeypatch, tmp_path):
    from bpkit.interop.onnx import functions

    monkeypatch.setitem(functions.FUNCTIONS, "cos", functions.FUNCTIONS["sin"])
    monkeypatch.setitem(functions.FUNCTIONS, "cos", lambda g, node, x: g.array(x))
    path = Path(tmp_path / "model.onnx")
    with pytest.raises(
        ExportError, match=r"onnxruntime's output differs from bpkit's by \S+ for the example"
    ):
        onnx.export(xp.cos, draws(3), path)
    assert not path.exists()
    onnx.export(xp.cos, draws(3), path, verify=False)
    assert path.exists()
