"""Gradients of losses over Dask arrays, chunk by chunk, on each of Dask's schedulers."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, optim, random, training, xp
from bpkit.errors import ArgumentError, DataError, RecordingError, ShapeError

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
callbacks = pytest.importorskip("dask.callbacks")

from bpkit.interop.dask import batches, hvp, objective, value_and_grad  # noqa: E402


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def loss(params, x, labels):
    """Softmax regression: float data and integer labels."""
    return losses.softmax_cross_entropy(x @ params["w"] + params["b"], labels)


def summed(params, x, labels):
    return loss(params, x, labels) * x.shape[0]


def problem(count=103, dtype="float64"):
    rng = np.random.default_rng(7)
    params = {"w": rng.normal(size=(5, 3)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}
    return params, rng.normal(size=(count, 5)).astype(dtype), rng.integers(0, 3, count)


def chunked(x, labels, chunks=(20, 3)):
    return da.from_array(x, chunks=chunks), da.from_array(labels, chunks=chunks[0])


def assert_same(found, expected, rtol=1e-12):
    (value, gradient), (value_expected, expected_gradient) = found, expected
    np.testing.assert_allclose(value, value_expected, rtol=rtol)
    assert gradient.keys() == expected_gradient.keys()
    for name, leaf in gradient.items():
        assert leaf.dtype == expected_gradient[name].dtype
        np.testing.assert_allclose(leaf, expected_gradient[name], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("chunks", [(103, 5), (20, 3), (1, 5), ((3, 0, 50, 50), 2)], ids=str)
def test_any_chunks_say_what_all_data_say(chunks, jit):
    params, x, labels = problem()
    expected = bpkit.value_and_grad(loss)(params, x, labels)
    arrays = chunked(x, labels, chunks)
    assert_same(value_and_grad(loss, jit=jit)(params, *arrays), expected)
    across = arrays[0], arrays[1].rechunk(17)  # of which one may reach into two chunks
    assert_same(value_and_grad(loss, jit=jit)(params, *across), expected)
    total = bpkit.value_and_grad(summed)(params, x, labels)
    assert_same(value_and_grad(summed, reduction="sum", jit=jit)(params, *arrays), total)


def test_the_gradient_against_finite_differences():
    params, x, labels = problem(17)
    arrays = chunked(x, labels, (4, 5))
    both = value_and_grad(loss)
    _, gradient = both(params, *arrays)
    for name in params:
        for place in np.ndindex(params[name].shape):
            step = {key: leaf.copy() for key, leaf in params.items()}
            values = []
            for sign in (1, -1):
                step[name][place] = params[name][place] + sign * 1e-6
                values.append(both(step, *arrays)[0])
            np.testing.assert_allclose((values[0] - values[1]) / 2e-6, gradient[name][place], atol=1e-8)


def test_all_schedulers_compute_the_same():
    params, x, labels = problem()
    # A function of this module could not be found by a worker: it is a lambda with what it needs in it.
    both = value_and_grad(lambda params, x, y, scale: loss_of(params, x, y) * scale)
    loss_of = loss
    arrays = chunked(x, labels)
    expected = bpkit.value_and_grad(loss)(params, x, labels)
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            assert_same(both(params, *arrays, scale=np.asarray(1.0)), expected)


PROGRAM = """
import sys
import dask, dask.array as da, numpy as np
import bpkit
from bpkit import xp
from bpkit.interop.dask import hvp, value_and_grad

def loss(params, x, y):
    return xp.mean((xp.tanh(x @ params["w"]) - y) ** 2)

def check(found):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(found[1]["w"], expected[1]["w"], rtol=1e-12)

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X, Y, params = rng.normal(size=(200, 6)), rng.normal(size=200), {"w": rng.normal(size=6)}
    expected = bpkit.value_and_grad(loss)(params, X, Y)
    x, y = da.from_array(X, chunks=30), da.from_array(Y, chunks=30)
    both = value_and_grad(loss)
    if sys.argv[1] == "processes":
        with dask.config.set(scheduler="processes", num_workers=2):
            check(both(params, x, y))
    else:
        from distributed import Client, LocalCluster
        from dask.utils import key_split
        settings = dict(n_workers=1, threads_per_worker=2, dashboard_address=None)
        with LocalCluster(**settings) as cluster, Client(cluster) as client:
            check(both(params, x, y))
            check(both(params, *client.persist((x, y))))
            tasks = client.run_on_scheduler(lambda dask_scheduler: dict(dask_scheduler.task_prefixes))
            print(*sorted(name for name in map(key_split, tasks) if name.startswith("loss")))
            compiled = client.run(lambda: len(sys.modules["bpkit.interop._chunks"]._functions))
            print(*compiled.values())
            flawed = value_and_grad(lambda params, x, y: x @ params["w"])
            try:
                flawed(params, x, y)
            except bpkit.errors.ArgumentError as error:
                print("real floating scalar" in str(error), *error.__notes__)
"""


@pytest.mark.parametrize("scheduler", ["processes", "distributed"])
def test_in_other_processes(scheduler, tmp_path):
    pytest.importorskip(scheduler if scheduler == "distributed" else "dask")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-W", "error", "program.py", scheduler]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    if scheduler == "distributed":
        prefixes, compiled, error = done.stdout.splitlines()
        assert "loss-gradient" in prefixes and "loss-gradient-merge" in prefixes
        assert compiled == "1"
        # Whichever chunk came first.
        assert re.match(r"True in chunk \d of the data: an array of shape \([23]0, 6\) and dtype", error)


def test_parameters_on_each_backend(backend, xp):
    params, x, labels = problem(dtype="float32")
    expected = bpkit.value_and_grad(loss)(params, x, labels)
    own = {name: xp.asarray(leaf) for name, leaf in params.items()}
    value, gradient = value_and_grad(loss)(own, *chunked(x, labels))
    assert backend.owns(type(value)) and value.dtype == xp.float32
    assert all(backend.owns(type(leaf)) and leaf.dtype == xp.float32 for leaf in gradient.values())
    host = {name: backend.to_host(leaf) for name, leaf in gradient.items()}
    assert_same((backend.to_host(value), host), expected, rtol=1e-5)


def test_hessian_products():
    params, x, labels = problem()
    arrays = chunked(x, labels)
    tangent = {"w": np.ones((5, 3)), "b": np.asarray([1.0, -1.0, 0.5])}
    expected = bpkit.hvp(lambda p: loss(p, x, labels), (params,), (tangent,))
    found = hvp(loss)(params, tangent, *arrays)
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf, rtol=1e-11, atol=1e-14)
    both = value_and_grad(loss)
    ends = [
        both({k: params[k] + s * 1e-5 * tangent[k] for k in params}, *arrays)[1]["w"] for s in (1.0, -1.0)
    ]
    np.testing.assert_allclose(found["w"], (ends[0] - ends[1]) / 2e-5, atol=1e-8)


def test_scipy_minimises():
    optimize = pytest.importorskip("scipy.optimize")
    params, x, labels = problem()

    def penalised(params, x, labels):
        return loss(params, x, labels) + 0.01 * xp.sum(params["w"] ** 2) + 0.01 * xp.sum(params["b"] ** 2)

    fit = objective(penalised, params, *chunked(x, labels))
    options = {"jac": True, "hessp": fit.hessp, "method": "trust-ncg", "options": {"gtol": 1e-8}}
    found = optimize.minimize(fit.fun, fit.x0, **options)
    assert found.success
    at_end = bpkit.grad(penalised)(fit.tree(found.x), x, labels)
    assert max(np.max(np.abs(leaf)) for leaf in at_end.values()) < 1e-8


def test_lazily_as_a_part_of_a_larger_graph():
    params, x, labels = problem()
    arrays = chunked(x, labels)
    lazy = value_and_grad(loss, compute=False)

    @dask.delayed
    def stepped(params, result):
        return {name: leaf - 0.1 * result[1][name] for name, leaf in params.items()}

    first = lazy(params, *arrays)
    second = lazy(stepped(params, first), *arrays)  # of parameters that are not there yet
    expected = bpkit.value_and_grad(loss)(params, x, labels)
    moved = {name: leaf - 0.1 * expected[1][name] for name, leaf in params.items()}
    one, other = dask.compute(first, second)
    assert_same(one, expected)
    assert_same(other, bpkit.value_and_grad(loss)(moved, x, labels))


def test_no_task_is_shared_by_calls_with_other_parameters():
    params, x, labels = problem()
    arrays = chunked(x, labels)
    lazy = value_and_grad(loss, compute=False)
    one, other = lazy(params, *arrays), lazy({**params, "b": params["b"] + 1}, *arrays)
    for found, given in zip(
        dask.compute(one, other), (params, {**params, "b": params["b"] + 1}), strict=True
    ):
        assert_same(found, bpkit.value_and_grad(loss)(given, x, labels))


def test_chunks_of_unknown_sizes():
    params, x, labels = problem()
    lazy_x, lazy_labels = chunked(x, labels, (20, 5))
    kept = lazy_x[:, 0] > 0
    arrays = lazy_x[kept], lazy_labels[kept]
    assert np.isnan(arrays[0].shape[0])
    assert_same(
        value_and_grad(loss)(params, *arrays),
        bpkit.value_and_grad(loss)(params, x[x[:, 0] > 0], labels[x[:, 0] > 0]),
    )
    some = lazy_x[lazy_x[:, 0] > 10]
    with pytest.raises(DataError, match="value_and_grad of loss: there is no example in the data"):
        value_and_grad(loss)(params, some, lazy_labels[lazy_x[:, 0] > 10])
    with pytest.raises(ShapeError, match=r"same number of examples; in chunk \d they have \d+, \d+"):
        value_and_grad(loss)(params, arrays[0], lazy_labels)
    with pytest.raises(ShapeError, match=r"in 5, of unknown sizes .*compute_chunk_sizes"):
        value_and_grad(loss)(params, arrays[0], lazy_labels.rechunk(25))


def test_at_most_a_few_gradients_wait_to_be_merged():
    """Each merge takes few parts, and no gradient waits for all others: so memory does not grow with data."""
    params, x, labels = problem(600)
    graph = value_and_grad(loss, compute=False)(params, *chunked(x, labels, (2, 5)))
    tasks = dict(graph.dask)
    merges = {key: len(task[1]) for key, task in tasks.items() if "merge" in str(key)}
    assert len(merges) == 38 + 5 + 1 and max(merges.values()) == 8

    peak = 0

    def count(key, value, dsk, state, worker_id):
        nonlocal peak
        peak = max(peak, sum(1 for k in state["cache"] if isinstance(k, tuple)))

    with callbacks.Callback(posttask=count):
        assert_same(graph.compute(), bpkit.value_and_grad(loss)(params, x, labels))
    assert 8 <= peak <= 24  # at most eight on each of three levels, of 300 chunks


@pytest.mark.parametrize(
    "arrays, error, text",
    [
        ((), ArgumentError, r"expected Dask arrays with the data; got none"),
        ((np.ones((3, 5)),), ArgumentError, r"data 0 must be a Dask array; .*da\.from_array"),
        ((da.ones((3, 5)), 0.5), ArgumentError, r"data 1 must be .* float 0\.5.*keyword argument"),
        ((da.ones((3, 5)), da.ones((4,))), ShapeError, r".*data 0 has 3 examples .*data 1 has 4"),
        ((da.ones(()),), ShapeError, r"data 0 must have its examples along a first axis"),
        ((da.ones((0, 5)), da.ones((0,))), DataError, "there is no example"),
    ],
    ids=["none", "numpy", "number", "lengths", "no axes", "empty"],
)
def test_data_that_are_none(arrays, error, text):
    with pytest.raises(error, match=f"(?s)value_and_grad of loss: {text}"):
        value_and_grad(loss)(problem()[0], *arrays)


def test_arguments_that_do_not_fit():
    params, x, labels = problem()
    arrays = chunked(x, labels)
    with pytest.raises(ArgumentError, match=r'reduction must be "mean" or "sum"; it is the str .*median'):
        value_and_grad(loss, reduction="median")
    with pytest.raises(ArgumentError, match="first argument must be a function"):
        value_and_grad(3)
    with pytest.raises(ArgumentError, match=r"params\['w'\] is asked for a gradient.*int64"):
        value_and_grad(loss)({**params, "w": np.ones((5, 3), dtype=int)}, *arrays)
    with pytest.raises(ArgumentError, match="params must be arrays in memory"):
        value_and_grad(loss)(*arrays)
    with pytest.raises(RecordingError) as caught:
        value_and_grad(lambda p, x, y: loss(p, x, y) if x[0, 0] > 100 else loss(p, x, y) * 2)(params, *arrays)
    assert "with jit=False, value_and_grad runs the loss as it is" in caught.value.__notes__
    assert re.match(r"in chunk \d of the data: an array of shape \(\d+, 5\)", caught.value.__notes__[-1])


def test_the_loss_is_recorded_once_for_each_shape():
    params, x, labels = problem()
    runs = []

    def counted(params, x, labels):
        runs.append(x.shape)
        return loss(params, x, labels)

    both = value_and_grad(counted)
    for _ in range(3):
        both(params, *chunked(x, labels))
    assert sorted(set(runs)) == [(3, 5), (20, 5)] and len(runs) == 2


def test_batches():
    _, x, labels = problem()
    pairs = batches(*chunked(x, labels, ((0, 50, 53), 2)))
    assert len(pairs) == 2 and [len(pair[1]) for pair in pairs] == [50, 53]
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in pairs]), x)
    sized = batches(*chunked(x, labels), batch_size=40)
    assert [batch[0].shape for batch in sized] == [(40, 5), (40, 5), (23, 5)]
    np.testing.assert_array_equal(sized[-1][1], labels[80:])
    assert len(sized[1:]) == 2
    with pytest.raises(IndexError):
        sized[3]
    with pytest.raises(ArgumentError, match=r"batch_size: expected an int of 1 or more, got 0"):
        batches(*chunked(x, labels), batch_size=0)


def test_fit_trains_on_batches():
    params, x, _ = problem(200)
    labels = np.argmax(x @ params["w"], axis=1)
    model = nn.Dense(5, 3, key=random.key(0), dtype="float64")
    pairs = batches(*chunked(x, labels, (20, 5)))
    settings = {"batch_size": None, "epochs": 12, "progress": False}
    fitted = training.fit(model, pairs, losses.softmax_cross_entropy, optim.adam(0.1), **settings)
    again = training.fit(model, pairs, losses.softmax_cross_entropy, optim.adam(0.1), **settings)
    assert float(np.mean(np.argmax(fitted.model(x), axis=1) == labels)) > 0.95
    np.testing.assert_array_equal(fitted.model.weight, again.model.weight)


def test_batches_are_not_put_into_batches():
    _, x, labels = problem(40)
    pairs = batches(*chunked(x, labels))
    uneven = batches(*chunked(x, labels, ((0, 19, 21), 5)))
    model = nn.Dense(5, 3, key=random.key(0), dtype="float64")
    for chunks in (pairs, uneven):
        with pytest.raises(ArgumentError, match=r"^data: .*Batches.*batch_size=32.*batch_size=None"):
            training.fit(model, chunks, losses.softmax_cross_entropy, optim.adam(0.1), progress=False)
    with pytest.raises(ArgumentError, match=r"^batches: data.*batch_size=None"):
        next(bpkit.data.batches(pairs, 4))


@pytest.mark.parametrize("transform", [bpkit.grad, bpkit.jit, bpkit.hessian], ids=lambda t: t.__name__)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_inside_a_transform_it_is_refused(transform, scheduler):
    params, x, labels = problem()
    arrays = chunked(x, labels)
    inside = {
        "gradient": lambda w: value_and_grad(loss)({**params, "w": w}, *arrays)[0],
        "lazy": lambda w: value_and_grad(loss, compute=False)({**params, "w": w}, *arrays),
        "hvp": lambda w: hvp(loss)(params, {**params, "w": w}, *arrays)["b"][0],
        "setting": lambda w: value_and_grad(lambda p, x, y, w: loss(p, x, y))(params, *arrays, w=w)[0],
    }
    with dask.config.set(scheduler=scheduler):
        for fun in inside.values():
            with pytest.raises(ArgumentError, match=r"of .*traced.*Call it outside"):
                transform(fun)(params["w"])


def test_data_in_the_wrong_place():
    params, x, labels = problem()
    arrays = chunked(x, labels)
    with pytest.raises(ArgumentError, match=r"weights is a keyword argument.*pass data by position"):
        value_and_grad(lambda p, x, y, weights: loss(p, x, y))(params, *arrays, weights={"all": arrays[1]})
    masked = da.ma.masked_greater(arrays[0], 0.5)
    for transform, inputs in ((value_and_grad, (params,)), (hvp, (params, params))):
        with pytest.raises(ArgumentError, match=r"data 0 has masked chunks.*da\.ma\.filled"):
            transform(loss)(*inputs, masked, arrays[1])
    wrong = {**params, "w": np.ones((5, 2))}
    with pytest.raises(ArgumentError, match=r"^hvp of loss: tangents") as caught:
        hvp(loss)(params, wrong, *arrays)
    assert "OfChunk" not in str(caught.value)


def memory_limits_work():
    try:
        import resource
    except ImportError:
        return False
    return sys.platform == "linux" and hasattr(resource, "RLIMIT_DATA")


@pytest.mark.skipif(not memory_limits_work(), reason="memory is limited with Linux's RLIMIT_DATA")
def test_data_larger_than_the_memory_there_is():
    """The benchmark in small: its own checks decide; see what it prints for the figures."""
    command = [sys.executable, "-m", "benchmarks.dask_memory", "--quick", "--schedulers", "threads"]
    root = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reading all at once: MemoryError" in done.stdout


def test_errors_elsewhere_name_this_module():
    params, x, labels = problem()
    x, labels = chunked(x, labels)
    model = nn.Dense(5, 3, key=random.key(0))
    text = r"bpkit\.interop\.dask, value_and_grad.*batches\(x, y\)"
    with pytest.raises(TypeError, match=text):
        bpkit.grad(lambda w: xp.sum((x @ w) ** 2))(params["w"])
    with pytest.raises(ArgumentError, match=rf"settings must be hashable.*{text}"):
        bpkit.jit(loss)(params, x, labels)
    with pytest.raises(DataError, match=rf"data\[0\] is an Array; .*{text}"):
        training.fit(model, (x, labels), losses.softmax_cross_entropy, optim.adam(0.1), progress=False)


def test_pandas_columns():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1.0, 2.0])
    with pytest.raises(ArgumentError, match=r"(?s)data 0 must be a Dask array.*from_array\(x\.to_numpy\(\)"):
        value_and_grad(lambda p, x: xp.sum(p * x))(np.ones(2), column)
    with pytest.raises(ArgumentError, match=r"(?s)argument 0 is asked.*x\.to_numpy\(\)"):
        bpkit.grad(xp.sum)(column)
    model = nn.Dense(1, 3, key=random.key(0))
    with pytest.raises(DataError, match=r"data\[1\] is a Series; .*x\.to_numpy\(\)"):
        training.fit(
            model, (np.ones((2, 1)), column), losses.mean_squared_error, optim.adam(0.1), progress=False
        )
