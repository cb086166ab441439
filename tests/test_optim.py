"""The optimisers: their trajectories against PyTorch's, purity, dtypes and refusals."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, optim, random, tree
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of

OPTIONS = [
    {},
    {"momentum": 0.9},
    {"weight_decay": 0.1},
    {"momentum": 0.5, "weight_decay": 0.01},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
]


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def random_tree(seed: int, dtype: str = "float64") -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {"w": (3, 2), "b": (3,), "scale": ()}
    return {name: xp.asarray(np.asarray(rng.normal(size=shape), dtype)) for name, shape in shapes.items()}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.usefixtures("backend")
def test_sgd_follows_its_three_lines(options: dict[str, Any]) -> None:
    mu, decay, nesterov = (options.get(k, 0.0) for k in ("momentum", "weight_decay", "nesterov"))
    params = random_tree(0)
    expected = {name: on_host(p) for name, p in params.items()}
    buffers = {name: np.zeros_like(p) for name, p in expected.items()}
    optimizer = optim.sgd(0.1, **options)
    state = optimizer.init(params)
    for step in range(1, 6):
        grads = random_tree(step)
        for name, p in expected.items():
            g = on_host(grads[name]) + decay * p
            buffers[name] = mu * buffers[name] + g
            expected[name] = p - 0.1 * (g + mu * buffers[name] if nesterov else buffers[name])
        params, state = optimizer.update(grads, state, params)
    for name, p in params.items():
        np.testing.assert_allclose(on_host(p), expected[name], rtol=1e-13)
    if mu:
        np.testing.assert_allclose(on_host(state.momentum["w"]), buffers["w"], rtol=1e-13)


@pytest.mark.usefixtures("backend")
def test_gradients_of_another_dtype_do_not_change_the_parameters() -> None:
    optimizer = optim.sgd(0.1, momentum=0.9)
    params = random_tree(0, "float32")
    params, state = optimizer.update(random_tree(1, "float64"), optimizer.init(params), params)
    float32 = xp.dtype_of("float32", like=params["w"])
    assert all(x.dtype == float32 for x in tree.leaves((params, state)))


ADAMS: list[tuple[str, dict[str, Any]]] = [
    ("adam", {}),
    ("adam", {"weight_decay": 0.1}),
    ("adam", {"learning_rate": 0.05, "betas": (0.5, 0.99), "eps": 1e-3}),
    ("adam", {"betas": (0.0, 0.9)}),
    ("adam", {"betas": (0.9, 0.0)}),
    ("adamw", {}),
    ("adamw", {"learning_rate": 0.1, "weight_decay": 0.5}),
]


def adam_and_torch(name: str, options: dict[str, Any], params: Any) -> tuple[Any, Any, list[Any]]:
    """An optimizer, PyTorch's of the same meaning, and its parameters."""
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(on_host(p), requires_grad=True) for p in tree.leaves(params)]
    renamed = {"lr" if key == "learning_rate" else key: value for key, value in options.items()}
    reference = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](theirs, **renamed)
    return getattr(optim, name)(**options), reference, theirs


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize(("name", "options"), ADAMS, ids=str)
@pytest.mark.usefixtures("backend")
def test_adam_takes_the_steps_of_torch_in_float32(name: str, options: dict[str, Any], jit: bool) -> None:
    torch = pytest.importorskip("torch")
    params = random_tree(0, "float32")
    optimizer, reference, theirs = adam_and_torch(name, options, params)
    state = optimizer.init(params)
    update = bpkit.jit(optimizer.update, donate_argnums=(1, 2)) if jit else optimizer.update
    first = [on_host(p).copy() for p in tree.leaves(params)]
    for step in range(1, 21):
        grads = tree.map(lambda g, step=step: g * (10.0 ** (step % 3 - 2)), random_tree(step, "float32"))
        for p, g in zip(theirs, tree.leaves(grads), strict=True):
            p.grad = torch.tensor(on_host(g))
        reference.step()
        params, state = update(grads, state, params)
    # A weight near zero is as exact as the steps that led there.
    tolerance = 2e-6
    for ours, p, x in zip(tree.leaves(params), theirs, first, strict=True):
        assert on_host(ours).dtype == "float32"
        moved = max(np.abs(on_host(ours) - x).max(), np.abs(x).max())
        np.testing.assert_allclose(on_host(ours), p.detach().numpy(), rtol=tolerance, atol=tolerance * moved)
        kept = reference.state[p]
        assert int(state.count) == int(kept["step"]) == 20
    for ours, p in zip(tree.leaves(state.square), theirs, strict=True):
        np.testing.assert_allclose(
            on_host(ours), reference.state[p]["exp_avg_sq"].numpy(), rtol=10 * tolerance, atol=0
        )


def test_the_first_steps_of_adam_are_exact_in_float32() -> None:
    """With ``1 - beta**t`` in float32 the error of the first step would be 1e-5 of it."""
    params = {"w": np.zeros(3, np.float32)}
    grads = {"w": np.asarray([1e-3, 1.0, -1e3], np.float32)}
    optimizer = optim.adam(1.0, eps=0.0)
    new, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(new["w"], [-1, -1, 1], rtol=5e-7)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.usefixtures("backend")
def test_adam_is_recorded_once(name: str) -> None:
    optimizer = getattr(optim, name)(0.1)
    update = bpkit.jit(optimizer.update, donate_argnums=(1, 2))
    params = {"w": random_tree(0)["w"], "v": random_tree(1, "float32")["w"]}
    state = optimizer.init(params)
    expected, plain = params, optimizer.init(params)
    for step in range(2, 8):
        grads = {"w": random_tree(step)["w"], "v": random_tree(step, "float32")["w"]}
        expected, plain = optimizer.update(grads, plain, expected)
        params = tree.map(lambda x: xp.astype(x, x.dtype, copy=True), params)
        params, state = update(grads, state, params)
    assert update.explain() == "1. the first call"
    assert int(state.count) == 6 and tuple(state.count.shape) == ()
    for key, rtol in (("w", 1e-13), ("v", 1e-5)):
        np.testing.assert_allclose(on_host(params[key]), on_host(expected[key]), rtol=rtol)


@pytest.mark.usefixtures("backend")
def test_adam_is_pure_and_trains() -> None:
    optimizer = optim.adam(0.1)
    params = random_tree(0)
    state = optimizer.init(params)
    before = [on_host(x).copy() for x in tree.leaves((params, state))]
    first, second = (optimizer.update(random_tree(1), state, params) for _ in range(2))
    for x, y in zip(before, tree.leaves((params, state)), strict=True):
        np.testing.assert_array_equal(x, on_host(y))
    for x, y in zip(tree.leaves(first), tree.leaves(second), strict=True):
        np.testing.assert_array_equal(on_host(x), on_host(y))

    def loss(params: Any) -> Any:
        return xp.sum((params["w"] - 1) ** 2) + xp.sum(params["b"] ** 4) + (params["scale"] + 2) ** 2

    for _ in range(300):
        params, state = optimizer.update(bpkit.grad(loss)(params), state, params)
    assert float(loss(params)) < 1e-3


def falling(count: Any) -> Any:
    """A schedule that computes in float64 where it can."""
    steps = xp.astype(count, "float64")
    return 0.1 / (1 + steps / 7)


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.usefixtures("backend")
def test_a_schedule_gives_each_step_its_rate(name: str, jit: bool) -> None:
    make = getattr(optim, name)
    options: dict[str, Any] = {"weight_decay": 0.1}
    optimizer = make(falling, **options)
    update = bpkit.jit(optimizer.update) if jit else optimizer.update
    params = expected = {"w": random_tree(0)["w"], "v": random_tree(1, "float32")["w"]}
    state = optimizer.init(params)
    plain = make(0.1, **options).init(params)
    for step in range(8):
        grads = {"w": random_tree(step)["w"], "v": random_tree(step, "float32")["w"]}
        rate = 0.1 / (1 + step / 7)
        expected, plain = make(rate, **options).update(grads, plain, expected)
        params, state = update(grads, state, params)
    assert int(state.count) == 8
    for key, rtol in (("w", 1e-13), ("v", 1e-5)):
        assert params[key].dtype == expected[key].dtype
        np.testing.assert_allclose(on_host(params[key]), on_host(expected[key]), rtol=rtol)
    if jit:
        assert update.explain() == "1. the first call"


def constant(rate: Any) -> optim.Schedule:
    return lambda count: rate


@pytest.mark.parametrize("rate", [0.5, np.float64(0.5), np.asarray(0.5)], ids=repr)
def test_a_schedule_may_return_a_number(rate: Any) -> None:
    params = {"w": np.ones(2, np.float32)}
    optimizer = optim.sgd(constant(rate))
    new, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_array_equal(new["w"], np.full(2, 0.5, np.float32), strict=True)


@pytest.mark.parametrize(
    ("rate", "found"),
    [(np.ones(2), r"an array of shape \(2,\)"), (None, "a NoneType"), ("1", "a str")],
    ids=str,
)
def test_a_schedule_may_return_nothing_else(rate: Any, found: str) -> None:
    params = {"w": np.ones(2)}
    optimizer = optim.sgd(constant(rate))
    state = optimizer.init(params)
    with pytest.raises(ArgumentError, match=f"a schedule must return one number.* returned {found}"):
        optimizer.update(params, state, params)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": -0.1}, r"learning_rate=-0.1\): learning_rate must be a finite number"),
        ({"eps": float("inf")}, r"eps=inf\): eps must be a finite number and not negative"),
        ({"weight_decay": "1"}, r"weight_decay='1'\): weight_decay must be a finite number"),
        ({"betas": 0.9}, r"betas=0.9\): betas must be two numbers, for instance \(0.9, 0.999\)"),
        ({"betas": (0.9,)}, r"betas=\(0.9,\)\): betas must be two numbers"),
        ({"betas": (0.9, 1.0)}, r"betas=1.0\): betas must be from 0 to below 1"),
        ({"betas": (-0.1, 0.9)}, r"betas=-0.1\): betas must be from 0 to below 1"),
        ({"betas": (float("nan"), 0.9)}, r"betas=nan\): betas must be from 0 to below 1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_settings_of_adam(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^{name}\({said}"):
        getattr(optim, name)(**settings)


def test_what_adam_refuses() -> None:
    optimizer = optim.adam()
    params = {"w": np.ones(3)}
    state = optimizer.init(params)
    with pytest.raises(ArgumentError, match=r"^adam\.init: params\['w'\] is an int; a parameter must be"):
        optimizer.init({"w": 1})
    for dtype in ("complex128", "int64"):
        with pytest.raises(
            ArgumentError, match=rf"params\['w'\] has dtype {dtype}; adam needs real floating"
        ):
            optimizer.init({"w": np.ones(3, dtype)})
    with pytest.raises(ShapeError, match=r"^adam\.update: grads\['w'\] has shape \(2,\), but"):
        optimizer.update({"w": np.ones(2)}, state, params)
    with pytest.raises(ArgumentError, match=r"^adam\.update: grads must have the structure of params"):
        optimizer.update([np.ones(3)], state, params)
    for name in ("mean", "square"):
        with pytest.raises(ArgumentError, match=rf"state\.{name} is a list .* init\(params\)"):
            optimizer.update(params, state._replace(**{name: [np.ones(3)]}), params)


@pytest.mark.usefixtures("backend")
def test_sgd_trains_a_model_and_keeps_its_structure() -> None:
    key, data = xp.unstack(random.split(random.key(1)))
    model = nn.Sequential(nn.Dense(3, 2, key=key, dtype="float64"), nn.tanh)
    x = random.normal(data, (20, 3), "float64")
    target = xp.tanh(x[:, :2] - x[:, 1:])

    def loss(model: nn.Sequential) -> Any:
        return losses.quadratic(model(x), target)

    optimizer = optim.sgd(0.5, momentum=0.5)
    state = optimizer.init(model)
    structure, first = tree.structure(model), float(loss(model))
    for _ in range(100):
        model, state = optimizer.update(bpkit.grad(loss)(model), state, model)
    assert tree.structure(model) == structure == tree.structure(state.momentum)
    assert float(loss(model)) < 1e-5 * first


def test_without_momentum_the_state_holds_no_array() -> None:
    assert optim.sgd(0.1).init({"w": np.ones(2)}) == optim.SGDState(None)


def test_none_is_an_empty_place() -> None:
    optimizer = optim.sgd(0.5, momentum=0.9)
    params = {"w": np.ones(2), "b": None}
    new, state = optimizer.update({"w": np.ones(2), "b": None}, optimizer.init(params), params)
    assert new["b"] is None
    assert state.momentum["b"] is None
    np.testing.assert_array_equal(new["w"], [0.5, 0.5])


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": -0.1},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"learning_rate": "0.1"},
        {"learning_rate": None},
        {"learning_rate": True},
        {"learning_rate": np.ones(2)},
        {"learning_rate": 0.1, "momentum": -0.5},
        {"learning_rate": 0.1, "weight_decay": float("nan")},
    ],
    ids=str,
)
def test_settings_are_finite_numbers_and_not_negative(settings: dict[str, Any]) -> None:
    name = list(settings)[-1]
    with pytest.raises(
        ArgumentError, match=rf"sgd\({name}=.*{name} must be a finite number and not negative"
    ):
        optim.sgd(**settings)


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    optimizer = optim.sgd(0)
    params, _ = optimizer.update([np.ones(2)], optimizer.init([np.ones(2)]), [np.ones(2)])
    np.testing.assert_array_equal(params[0], np.ones(2))


@pytest.mark.parametrize("others", [{}, {"momentum": 0.9, "dampening": 0.1}], ids=str)
def test_nesterov_needs_momentum_and_no_dampening(others: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=r"a momentum and no dampening: sgd\(\.\.\., momentum=0\.9, nest"):
        optim.sgd(0.1, nesterov=True, **others)


@pytest.mark.parametrize(
    ("grads", "where"),
    [
        (
            {"layers": [np.ones(2), np.ones(2)], "b": None},
            r"grads\['b'\] is None where params\['b'\] is an array",
        ),
        ({"layers": [np.ones(2)], "b": np.ones(1)}, r"grads\['layers'\] is a list with entries \[0\] where"),
        ({"layers": (np.ones(2), np.ones(2)), "b": np.ones(1)}, r"grads\['layers'\] is a tuple"),
        ({"layers": [np.ones(2), {"w": np.ones(2)}], "b": np.ones(1)}, r"grads\['layers'\]\[1\] is a dict"),
        (
            {"layers": [np.ones(2), np.ones(2)]},
            r"grads is a dict with entries \['layers'\] where params is a",
        ),
        (np.ones(2), r"grads is an array where params is a dict"),
    ],
)
def test_grads_of_another_structure_are_refused_by_place(grads: Any, where: str) -> None:
    params = {"layers": [np.ones(2), np.ones(2)], "b": np.ones(1)}
    optimizer = optim.sgd(0.1)
    with pytest.raises(ArgumentError, match=where):
        optimizer.update(grads, optimizer.init(params), params)


def test_grads_of_another_model_are_refused() -> None:
    class Layer(nn.Module):
        w: Any
        size: int = nn.static()

    params = {"layer": Layer(np.ones(2), 2)}
    with pytest.raises(
        ArgumentError, match=r"grads\['layer'\] is .*\(3,\).* where params\['layer'\] is .*\(2,\)"
    ):
        optim.sgd(0.1).update({"layer": Layer(np.ones(2), 3)}, optim.SGDState(None), params)


def test_a_state_of_other_params_is_refused() -> None:
    optimizer = optim.sgd(0.1, momentum=0.9)
    state = optimizer.init([np.ones(2)])
    with pytest.raises(
        ArgumentError, match=r"state\.momentum is a list .* make the state with init\(params\)"
    ):
        optimizer.update([np.ones(2), np.ones(1)], state, [np.ones(2), np.ones(1)])


def test_a_gradient_of_another_shape_is_refused_by_place() -> None:
    optimizer = optim.sgd(0.1)
    params = {"w": np.ones(3), "v": np.ones(2)}
    with pytest.raises(
        ShapeError, match=r"grads\['w'\] has shape \(2, 3\), but params\['w'\] has shape \(3,\)"
    ):
        optimizer.update({"w": np.ones((2, 3)), "v": np.ones(2)}, optimizer.init(params), params)


def test_parameters_must_be_arrays() -> None:
    with pytest.raises(ArgumentError, match=r"params\['w'\] is a float; a parameter must be an array"):
        optim.sgd(0.1).init({"w": 1.0})


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_state_of_another_optimizer_is_refused(name: str) -> None:
    params = {"w": np.ones(2)}
    state = (optim.adam() if name == "sgd" else optim.sgd(0.1)).init(params)
    made, wanted = ("AdamState", "SGDState") if name == "sgd" else ("SGDState", "AdamState")
    text = rf"^{name}\.update: state must be of the class {wanted}; it is of {made}; make the state with init"
    with pytest.raises(ArgumentError, match=text):
        getattr(optim, name)(0.1).update(params, state, params)
