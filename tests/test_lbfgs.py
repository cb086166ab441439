"""L-BFGS: the points of PyTorch's, its line search, states and refusals."""

import math
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, optim, random, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.optim.line_search import Point, strong_wolfe
from bpkit.registry import backend_of

OPTIONS: list[dict[str, Any]] = [
    {"max_iter": 1, "history_size": 10},
    {"max_iter": 1, "learning_rate": 0.5, "history_size": 5},
    {"max_iter": 4, "learning_rate": 0.3},
    {"max_iter": 4, "learning_rate": 0.5, "history_size": 2},
    {"max_iter": 8, "max_eval": 3, "learning_rate": 0.5},
    {"max_iter": 8, "tolerance_grad": 1e-2, "learning_rate": 0.5},
    {"max_iter": 8, "tolerance_change": 1e-3, "learning_rate": 0.5},
    {"max_iter": 1, "line_search_fn": "strong_wolfe", "history_size": 10},
    {"max_iter": 4, "line_search_fn": "strong_wolfe"},
    {"max_iter": 4, "line_search_fn": "strong_wolfe", "history_size": 1},
    {"max_iter": 3, "line_search_fn": "strong_wolfe", "learning_rate": 10.0},
    {"max_iter": 3, "line_search_fn": "strong_wolfe", "learning_rate": 1e-3, "history_size": 3},
    {"max_iter": 20, "line_search_fn": "strong_wolfe", "max_eval": 4},
    {"line_search_fn": "strong_wolfe"},
]


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def start(dtype: str = "float64") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 2), "b": (3,), "scale": ()}
    return {name: np.asarray(rng.normal(size=shape), dtype) for name, shape in shapes.items()}


def loss(tanh: Any, p: dict[str, Any], x: Any, y: Any) -> Any:
    """Of a layer, and a penalty of the fourth degree."""
    error = p["scale"] * tanh(x @ p["w"].T + p["b"]) - y
    return (error * error).sum() + 0.05 * ((p["w"] ** 4).sum() + (p["b"] ** 4).sum() + p["scale"] ** 4)


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(6, 2)), rng.normal(size=(6, 3))


def torch_points(options: dict[str, Any], steps: int) -> list[Any]:
    torch = pytest.importorskip("torch")
    theirs = {key: torch.tensor(p, requires_grad=True) for key, p in start().items()}
    renamed = {"lr" if key == "learning_rate" else key: value for key, value in options.items()}
    peer = torch.optim.LBFGS(theirs.values(), **renamed)
    x, y = map(torch.tensor, data())

    def closure() -> Any:
        peer.zero_grad()
        value = loss(torch.tanh, theirs, x, y)
        value.backward()
        return value

    points = []
    for _ in range(steps):
        peer.step(closure)
        points.append({key: p.detach().numpy().copy() for key, p in theirs.items()})
    kept = next(iter(peer.state.values()))
    return [points, kept["n_iter"], kept["func_evals"]]


def problem() -> Any:
    x, y = map(xp.asarray, data())

    def own(p: dict[str, Any]) -> Any:
        error = p["scale"] * xp.tanh(xp.matmul(x, xp.matrix_transpose(p["w"])) + p["b"]) - y
        fourth = xp.sum(p["w"] ** 4) + xp.sum(p["b"] ** 4) + p["scale"] ** 4
        return xp.sum(error * error) + 0.05 * fourth

    return bpkit.value_and_grad(own)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.usefixtures("backend")
def test_it_takes_the_steps_of_torch(options: dict[str, Any]) -> None:
    steps = 100 if options.get("max_iter") == 1 else 30
    points, count, evaluations = torch_points(options, steps)
    minimizer, value_and_grad = optim.lbfgs(**options), bpkit.jit(problem())
    params = {key: xp.asarray(p) for key, p in start().items()}
    state = minimizer.init(params)
    for expected in points:
        params, state = minimizer.update(value_and_grad, state, params)
        for key, p in params.items():
            np.testing.assert_allclose(on_host(p), expected[key], rtol=1e-12, atol=1e-12)
    assert (int(state.count), int(state.evaluations)) == (count, evaluations)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.usefixtures("backend")
def test_it_is_pure_and_float32_stays_float32(search: str | None) -> None:
    minimizer = optim.lbfgs(np.float64(0.5), max_iter=5, line_search_fn=search)
    x, y = (xp.asarray(a.astype("float32")) for a in data())

    def own(p: dict[str, Any]) -> Any:
        return xp.sum((p["scale"] * xp.tanh(xp.matmul(x, xp.matrix_transpose(p["w"])) + p["b"]) - y) ** 2)

    value_and_grad = bpkit.value_and_grad(own)
    params = {key: xp.asarray(p) for key, p in start("float32").items()}
    params, state = minimizer.update(value_and_grad, minimizer.init(params), params)
    before = [on_host(x).copy() for x in tree.leaves((params, state))]
    once, twice = (minimizer.update(value_and_grad, state, params) for _ in range(2))
    for a, b in zip(before, tree.leaves((params, state)), strict=True):
        np.testing.assert_array_equal(a, on_host(b))
    for a, b in zip(tree.leaves(once), tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(on_host(a), on_host(b))
        assert str(on_host(a).dtype) == ("int32" if "int" in str(a.dtype) else "float32")
    assert float(once[1].value) < float(state.value)


@pytest.mark.usefixtures("backend")
def test_parameters_of_two_dtypes() -> None:
    params = {"a": xp.asarray(np.ones(3)), "b": xp.asarray(np.ones(2, np.float32))}

    def own(p: dict[str, Any]) -> Any:
        return xp.sum((p["a"] - 3.0) ** 4) + xp.astype(xp.sum((p["b"] + 1.0) ** 2), "float64")

    minimizer = optim.lbfgs(max_iter=60, line_search_fn="strong_wolfe", tolerance_change=0.0)
    new, _ = minimizer.update(bpkit.value_and_grad(own), minimizer.init(params), params)
    for key, value in (("a", 3.0), ("b", -1.0)):
        assert new[key].dtype == params[key].dtype
        np.testing.assert_allclose(on_host(new[key]), value, rtol=5e-3)


def test_it_trains_a_model() -> None:
    model = nn.Sequential(nn.Dense(2, 8, key=random.key(0), dtype="float64"), nn.tanh)
    x = random.normal(random.key(1), (50, 2), "float64")
    target = xp.concat([xp.tanh(x), xp.tanh(x[:, ::-1]), xp.tanh(x @ xp.ones((2, 4)))], axis=1)
    value_and_grad = bpkit.jit(bpkit.value_and_grad(lambda model: xp.mean((model(x) - target) ** 2)))
    minimizer = optim.lbfgs(line_search_fn="strong_wolfe", tolerance_change=1e-14)
    state = minimizer.init(model)
    assert math.isnan(float(state.value))
    for _ in range(5):
        model, state = minimizer.update(value_and_grad, state, model)
    assert float(value_and_grad(model)[0]) < 1e-12 < float(state.value) or float(state.value) < 1e-12
    assert len(state.bends) <= 100
    before = int(state.evaluations)
    model, state = minimizer.update(value_and_grad, state, model)
    assert int(state.evaluations) > before


def test_where_the_gradient_is_zero_it_stays() -> None:
    minimizer = optim.lbfgs()
    x = np.zeros(2)
    new, state = minimizer.update(bpkit.value_and_grad(lambda x: xp.sum(x * x)), minimizer.init(x), x)
    np.testing.assert_array_equal(new, x)
    assert (int(state.count), int(state.evaluations), float(state.value)) == (0, 1, 0.0)


def test_a_line_search_turns_back_where_the_function_is_not_defined() -> None:
    """The logarithm of a negative number is not a number."""

    def value_and_grad(x: Any) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.float64(x[0] - 2.0 * np.log(x[0])), 1.0 - 2.0 / x

    minimizer = optim.lbfgs(100.0, 99, line_search_fn="strong_wolfe", tolerance_change=0.0)
    x = np.asarray([10.0])
    x, state = minimizer.update(value_and_grad, minimizer.init(x), x)
    np.testing.assert_allclose(x, [2.0], rtol=1e-6)
    assert math.isfinite(float(state.value))


def along(f: Any, slope: Any) -> Any:
    def at(t: float) -> Point:
        return Point(t, f(t), None, slope(t))

    return at


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
        (
            lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
            lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
        ),
        (math.cos, lambda t: -math.sin(t) - 1e-3 * (t == 0)),
        (lambda t: t * t - t if t < 2 else math.inf, lambda t: 2 * t - 1 if t < 2 else math.nan),
    ],
    ids=["More and Thuente 1", "More and Thuente 2", "cosine", "infinite"],
)
def test_the_line_search_finds_what_the_conditions_ask_for(f: Any, slope: Any, first: float) -> None:
    at = along(f, slope)
    start = at(0.0)
    found = strong_wolfe(at, start, first, 1.0, 60)
    assert found.value <= start.value + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)


def test_a_first_trial_that_is_far_too_long_may_leave_only_a_lower_value() -> None:
    """PyTorch keeps the lower one of two ends, also where the value has not fallen by the asked share."""
    at = along(lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2)
    found = strong_wolfe(at, at(0.0), 1e3, 1.0, 60)
    assert found.value < 0.0
    assert found.value > -1e-4 * found.t * 0.5


def test_the_line_search_of_what_has_no_lowest_point() -> None:
    found = strong_wolfe(along(lambda t: -t, lambda t: -1.0), Point(0.0, 0.0, None, -1.0), 1.0, 1.0, 5)
    assert found.t == 1e5


def test_the_line_search_of_what_does_not_fall_stays_where_it_is() -> None:
    found = strong_wolfe(along(abs, lambda t: 1.0), Point(0.0, 0.0, None, -1.0), 1.0, 1.0, 50)
    assert found.t == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"learning_rate": -1.0}, "learning_rate must be a finite number and not negative"),
        ({"max_iter": 0}, "max_iter must be an integer, at least 1"),
        ({"max_eval": 2.0}, "max_eval must be an integer, at least 1"),
        ({"history_size": True}, "history_size must be an integer, at least 1"),
        ({"tolerance_grad": -1e-7}, "tolerance_grad must be a finite number"),
        ({"tolerance_change": "0"}, "tolerance_change must be a finite number"),
        ({"line_search_fn": "wolfe"}, "line_search_fn must be None or 'strong_wolfe'"),
    ],
    ids=str,
)
def test_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^lbfgs\({next(iter(settings))}=.*\): {said}"):
        optim.lbfgs(**settings)


def test_what_it_refuses() -> None:
    minimizer = optim.lbfgs()
    params = {"w": np.ones(3)}
    state = minimizer.init(params)
    value_and_grad = bpkit.value_and_grad(lambda p: xp.sum(p["w"] ** 2))
    with pytest.raises(
        ArgumentError, match=r"^lbfgs\.init: params has no arrays, so there is nothing to train"
    ):
        minimizer.init({"w": None})
    with pytest.raises(ArgumentError, match=r"params\['w'\] has dtype complex128; lbfgs needs real floating"):
        minimizer.init({"w": np.ones(3, complex)})
    with pytest.raises(ArgumentError, match=r"value_and_grad is a dict; it must be the function"):
        minimizer.update({"w": np.ones(3)}, state, params)
    model = nn.Dense(2, 1, key=random.key(0))
    with pytest.raises(ArgumentError, match=r"value_and_grad is a Dense; it must be the function"):
        minimizer.update(model, minimizer.init(model), model)
    with pytest.raises(ArgumentError, match=r"value_and_grad must return the value, an array of shape \(\)"):
        minimizer.update(lambda p: xp.sum(p["w"]), state, params)
    with pytest.raises(ArgumentError, match=r"value_and_grad must return the value, an array of shape \(\)"):
        minimizer.update(lambda p: (p["w"], p), state, params)
    with pytest.raises(ArgumentError, match=r"^lbfgs\.update: grads must have the structure of params"):
        minimizer.update(lambda p: (np.float64(1), [p["w"]]), state, params)
    with pytest.raises(ShapeError, match=r"^lbfgs\.update: grads\['w'\] has shape \(2,\)"):
        minimizer.update(lambda p: (np.float64(1), {"w": np.ones(2)}), state, params)
    with pytest.raises(ArgumentError, match=r"state must be of the class LBFGSState; it is of SGDState"):
        minimizer.update(value_and_grad, optim.sgd(0.1).init(params), params)
    with pytest.raises(
        ArgumentError, match=r"params have 4 numbers, but the state is of 3; make the state with"
    ):
        minimizer.update(value_and_grad, state, {"w": np.ones(4)})
