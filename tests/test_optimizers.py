"""Every optimiser takes the steps of its peer, PyTorch's or Optax's, in every option."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import optim, tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of

Params = dict[str, Any]

COMMON: list[dict[str, Any]] = [{}, {"weight_decay": 0.1}, {"maximize": True, "weight_decay": 0.1}]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        *COMMON,
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.3},
        {"momentum": 0.5, "dampening": 1.0},
        {"dampening": 0.3},
        {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True, "maximize": True},
    ],
    "heavy_ball": [
        *({}, {"momentum": 0.0}, {"nesterov": True}),
        {"momentum": 0.5, "weight_decay": 0.1, "maximize": True},
    ],
    "adagrad": [
        *COMMON,
        {"lr_decay": 0.1},
        {"initial_accumulator_value": 0.5},
        {"eps": 1e-2},
        {
            "lr_decay": 0.01,
            "initial_accumulator_value": 0.1,
            "eps": 1e-3,
            "weight_decay": 0.1,
            "maximize": True,
        },
    ],
    "rmsprop": [
        *COMMON,
        {"alpha": 0.0},
        {"alpha": 0.5, "eps": 1e-2},
        {"momentum": 0.9},
        {"centered": True, "eps": 1e-4},
        {"centered": True, "momentum": 0.5, "alpha": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "adadelta": [*COMMON, {"rho": 0.0}, {"rho": 0.5, "eps": 1e-2, "weight_decay": 0.1, "maximize": True}],
    "adam": [
        *COMMON,
        {"amsgrad": True},
        {"betas": (0.5, 0.99), "eps": 1e-3},
        {"betas": (0.0, 0.9)},
        {"betas": (0.9, 0.0), "eps": 0.5},
        {"betas": (0.9, 0.5), "amsgrad": True, "weight_decay": 0.1, "maximize": True},
    ],
    "adamw": [
        *COMMON,
        {"weight_decay": 0.0},
        {"betas": (0.9, 0.5), "amsgrad": True, "weight_decay": 0.5, "maximize": True},
    ],
    "adamax": [*COMMON, {"betas": (0.0, 0.5)}, {"betas": (0.5, 0.0), "eps": 0.5, "weight_decay": 0.1}],
    "nadam": [
        *COMMON,
        {"momentum_decay": 0.1},
        {"momentum_decay": 0.0, "betas": (0.5, 0.9)},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"betas": (0.8, 0.5), "eps": 1e-3, "momentum_decay": 1.0, "weight_decay": 0.1, "maximize": True},
    ],
    "radam": [
        *COMMON,
        {"betas": (0.9, 0.9)},
        {"betas": (0.9, 0.0)},
        {"betas": (0.9, 0.6)},
        {"betas": (0.5, 0.9999)},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"betas": (0.5, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True},
    ],
    "lion": [{}, {"weight_decay": 0.0}, {"betas": (0.5, 0.9), "weight_decay": 0.1}],
}
CASES = [(name, options) for name, many in OPTIONS.items() for options in many]
RICHEST = [(name, many[-1]) for name, many in OPTIONS.items()]
PEERS = {
    "sgd": "SGD",
    "heavy_ball": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "adadelta": "Adadelta",
}
PEERS |= {"adam": "Adam", "adamw": "AdamW", "adamax": "Adamax", "nadam": "NAdam", "radam": "RAdam"}
LINEAR = {"sgd", "heavy_ball"}


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def start(dtype: str = "float64") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 2), "b": (3,), "scale": ()}
    return {name: np.asarray(rng.normal(size=shape), dtype) for name, shape in shapes.items()}


def slopes(params: Params, step: int) -> Params:
    """The gradient of a layer's mean squared error, on other data in each step."""
    rng = np.random.default_rng(step)
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    a = np.tanh(x @ params["w"].T + params["b"])
    error = params["scale"] * a - y
    delta = error * params["scale"] * (1 - a * a) / 4
    found = {"w": delta.T @ x, "b": delta.sum(0), "scale": (error * a).sum() / 4}
    return {name: np.asarray(g, params["w"].dtype) for name, g in found.items()}


def falling(count: Any) -> Any:
    """A schedule."""
    return 0.05 / (1 + xp.astype(count, "float64") / 7)


def rate_at(rate: Any, step: int) -> float:
    return 0.05 / (1 + step / 7) if callable(rate) else rate


def torch_trajectory(name: str, rate: Any, options: dict[str, Any], steps: int) -> Iterator[Params]:
    torch = pytest.importorskip("torch")
    default = torch.get_default_dtype()
    # NAdam keeps a product in the default dtype.
    torch.set_default_dtype(torch.float64)
    try:
        theirs = {key: torch.tensor(p, requires_grad=True) for key, p in start().items()}
        if name == "heavy_ball":
            options = {"momentum": 0.9, **options}
        peer = getattr(torch.optim, PEERS[name])(theirs.values(), lr=0.1, **options)
        for step in range(steps):
            for group in peer.param_groups:
                group["lr"] = rate_at(rate, step)
            for key, g in slopes({key: p.detach().numpy() for key, p in theirs.items()}, step).items():
                theirs[key].grad = torch.tensor(g)
            peer.step()
            yield {key: p.detach().numpy().copy() for key, p in theirs.items()}
    finally:
        torch.set_default_dtype(default)


def optax_trajectory(name: str, rate: Any, options: dict[str, Any], steps: int) -> Iterator[Params]:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    b1, b2 = options.get("betas", (0.9, 0.99))
    with jax.enable_x64(True):
        theirs, decay = start(), options.get("weight_decay", 1e-3)
        peer = optax.lion(lambda count: rate_at(rate, count.astype(float)), b1, b2, weight_decay=decay)
        state = peer.init(theirs)
        update = jax.jit(peer.update)
        for step in range(steps):
            change, state = update(slopes(theirs, step), state, theirs)
            theirs = {key: np.asarray(p) for key, p in optax.apply_updates(theirs, change).items()}
            yield theirs


def trajectory(
    optimizer: optim.Optimizer, steps: int, dtype: str = "float64", update: Any = None
) -> Iterator[Any]:
    params = {key: xp.asarray(p) for key, p in start(dtype).items()}
    state = optimizer.init(params)
    for step in range(steps):
        host = slopes({key: on_host(p) for key, p in params.items()}, step)
        grads = {key: xp.asarray(g) for key, g in host.items()}
        params, state = (update or optimizer.update)(grads, state, params)
        yield params, state


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.usefixtures("backend")
def test_it_takes_the_steps_of_its_peer(name: str, options: dict[str, Any]) -> None:
    follow = torch_trajectory if name in PEERS else optax_trajectory
    expected = list(follow(name, 0.05, options, 100))
    found = trajectory(getattr(optim, name)(0.05, **options), 100)
    for (params, _), theirs in zip(found, expected, strict=True):
        for key, p in params.items():
            np.testing.assert_allclose(on_host(p), theirs[key], rtol=1e-12, atol=1e-12)
    assert all(np.abs(theirs[key] - p).max() > 1e-4 for key, p in start().items())


@pytest.mark.parametrize(("name", "options"), [x for x in RICHEST if x[0] != "heavy_ball"], ids=str)
@pytest.mark.usefixtures("backend")
def test_it_takes_the_steps_of_its_peer_by_a_schedule(name: str, options: dict[str, Any]) -> None:
    follow = torch_trajectory if name in PEERS else optax_trajectory
    expected = list(follow(name, falling, options, 100))
    *_, (params, state) = trajectory(getattr(optim, name)(falling, **options), 100)
    for key, p in params.items():
        np.testing.assert_allclose(on_host(p), expected[-1][key], rtol=1e-12, atol=1e-12)
    assert int(state.count) == 100


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("nesterov", [False, True])
def test_heavy_ball_follows_its_three_lines(nesterov: bool) -> None:
    expected = start()
    change = {key: np.zeros_like(p) for key, p in expected.items()}
    optimizer = optim.heavy_ball(falling, 0.9, 0.1, nesterov=nesterov)
    for step, (params, _) in enumerate(trajectory(optimizer, 100)):
        moves = {}
        for key, g in slopes(expected, step).items():
            pull = rate_at(falling, step) * (g + 0.1 * expected[key])
            change[key] = 0.9 * change[key] - pull
            moves[key] = 0.9 * change[key] - pull if nesterov else change[key]
        expected = {key: p + moves[key] for key, p in expected.items()}
        for key, p in params.items():
            np.testing.assert_allclose(on_host(p), expected[key], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), RICHEST, ids=str)
@pytest.mark.usefixtures("backend")
def test_compiled_it_takes_the_same_steps(name: str, options: dict[str, Any]) -> None:
    optimizer = getattr(optim, name)(falling, **options)
    update = bpkit.jit(optimizer.update, donate_argnums=(1, 2))
    for (params, state), (plain, kept) in zip(
        trajectory(optimizer, 8, update=update), trajectory(optimizer, 8), strict=True
    ):
        assert tree.structure((params, state)) == tree.structure((plain, kept))
        for x, y in zip(tree.leaves((params, state)), tree.leaves((plain, kept)), strict=True):
            np.testing.assert_allclose(on_host(x), on_host(y), rtol=1e-13, atol=1e-15)
    # On NumPy an array of no axes is a number after a step, and that is another program.
    assert update.explain().count("\n") < 2


@pytest.mark.parametrize(("name", "options"), RICHEST, ids=str)
@pytest.mark.usefixtures("backend")
def test_it_is_pure_and_float32_stays_float32(name: str, options: dict[str, Any]) -> None:
    wide = {key: np.float64(value) if type(value) is float else value for key, value in options.items()}
    for rate in (np.float64(0.05), falling):
        optimizer = getattr(optim, name)(rate, **wide)
        *_, (params, state) = trajectory(optimizer, 10, "float32")
        *_, (exact, _) = trajectory(optimizer, 10)
        grads = {key: xp.asarray(g) for key, g in slopes(start(), 0).items()}
        before = [on_host(x).copy() for x in tree.leaves((grads, params, state))]
        once, twice = (optimizer.update(grads, state, params) for _ in range(2))
        for x, y in zip(before, tree.leaves((grads, params, state)), strict=True):
            np.testing.assert_array_equal(x, on_host(y))
        for x, y in zip(tree.leaves(once), tree.leaves(twice), strict=True):
            np.testing.assert_array_equal(on_host(x), on_host(y))
        for x in tree.leaves(once):
            assert str(on_host(x).dtype) == ("int32" if "int" in str(x.dtype) else "float32")
        for key, p in params.items():
            np.testing.assert_allclose(on_host(p), on_host(exact[key]), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("beta", [0.999, 0.9999, 0.999999])
@pytest.mark.usefixtures("backend")
def test_radam_knows_in_float32_how_much_its_mean_is_worth(beta: float) -> None:
    """The sixth step is the first that is rectified, though the lengths are 5 - 4e-6 and 6 - 6e-6."""
    sizes: dict[str, list[float]] = {}
    for dtype in ("float64", "float32"):
        optimizer = optim.radam(1.0, betas=(0.9, beta), eps=0.0)
        params = xp.asarray(np.zeros(3, dtype))
        grads, state = xp.ones_like(params), optimizer.init(params)
        sizes[dtype] = []
        for _ in range(7):
            new, state = optimizer.update(grads, state, params)
            sizes[dtype].append(-float(on_host(new)[0]))
    np.testing.assert_allclose(sizes["float64"][:5], 1.0, rtol=1e-12)
    assert sizes["float64"][5] < 0.1
    np.testing.assert_allclose(sizes["float32"], sizes["float64"], rtol=2e-6)


@pytest.mark.parametrize("name", ["sgd", "heavy_ball"])
@pytest.mark.usefixtures("backend")
def test_complex_parameters_go_where_those_of_torch_go(name: str) -> None:
    torch = pytest.importorskip("torch")
    first, target = np.asarray([1 + 2j, -0.5j, 3.0]), np.asarray([0.5 - 1j, 1j, -1 + 1j])
    p = torch.tensor(first, requires_grad=True)
    options = {"momentum": 0.5, "weight_decay": 0.1}
    reference = torch.optim.SGD([p], lr=0.1, **options)
    x, goal = xp.asarray(first), xp.asarray(target)
    optimizer = getattr(optim, name)(0.1, **options)
    state = optimizer.init(x)
    for _ in range(20):
        reference.zero_grad()
        (p - torch.tensor(target)).abs().pow(2).sum().backward()
        reference.step()
        g = bpkit.grad(lambda x: xp.sum(xp.abs(x - goal) ** 2))(x)
        x, state = optimizer.update(g, state, x)
    np.testing.assert_allclose(on_host(x), p.detach().numpy(), rtol=1e-12)


def test_complex_parameters_and_a_schedule() -> None:
    optimizer = optim.sgd(lambda count: 0.5 / (1.0 + count), momentum=0.5, dampening=0.5)
    x = np.asarray([1 + 1j], "complex64")
    state = optimizer.init(x)
    for expected in (0.5 + 0.5j, 0.25 + 0.25j):
        x, state = optimizer.update(np.conj(np.asarray([1 + 1j], "complex64")), state, x)
        np.testing.assert_allclose(x, [expected], rtol=1e-6)
        assert x.dtype == "complex64"


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - LINEAR))
def test_complex_parameters_are_refused(name: str) -> None:
    with pytest.raises(
        ArgumentError, match=rf"^{name}\.init: params\['w'\] has dtype complex128; {name} needs"
    ):
        getattr(optim, name)(0.1).init({"w": np.ones(2, complex)})


@pytest.mark.parametrize("name", OPTIONS)
def test_what_every_optimizer_refuses(name: str) -> None:
    make = getattr(optim, name)
    optimizer, params = make(0.1), {"w": np.ones(2)}
    state = optimizer.init(params)
    with pytest.raises(
        ArgumentError, match=rf"^{name}\.init: params has no arrays, so there is nothing to train"
    ):
        optimizer.init({"w": None})
    with pytest.raises(
        ArgumentError, match=rf"^{name}\.init: params\['w'\] is an int; a parameter must be an array"
    ):
        optimizer.init({"w": 1})
    with pytest.raises(ArgumentError, match=rf"^{name}\.init: params\['w'\] has dtype int64; {name} needs"):
        optimizer.init({"w": np.ones(2, int)})
    for slot, value in state._asdict().items():
        if isinstance(value, dict):
            with pytest.raises(
                ArgumentError, match=rf"^{name}\.update: state\.{slot} must have the structure"
            ):
                optimizer.update(params, state._replace(**{slot: [np.ones(2)]}), params)
            with pytest.raises(
                ShapeError, match=rf"^{name}\.update: state\.{slot}\['w'\] has shape \(3, 2\), but"
            ):
                optimizer.update(params, state._replace(**{slot: {"w": np.ones((3, 2))}}), params)
    with pytest.raises(
        ArgumentError, match=rf"^{name}\.update: state\.count is None, but this {name} counts"
    ):
        make(falling).update(params, state._replace(count=None), params)
    for other in OPTIONS.keys() - {name, "adam" if name == "adamw" else "adamw" if name == "adam" else ""}:
        with pytest.raises(ArgumentError, match=rf"^{name}\.update: state must be of the class"):
            optimizer.update(params, getattr(optim, other)(0.1).init(params), params)
    with pytest.raises(
        ArgumentError, match=rf"^{name}\(learning_rate=-0\.1\): learning_rate must be a finite"
    ):
        make(-0.1)
    with pytest.raises(ArgumentError, match=rf"^{name}\(weight_decay=nan\): weight_decay must be a finite"):
        make(0.1, weight_decay=float("nan"))
    with pytest.raises(ArgumentError, match=rf"^{name}\(maximize=1\): maximize must be True or False"):
        make(0.1, maximize=1)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("sgd", {"momentum": -1}, "momentum must be a finite number and not negative"),
        ("sgd", {"dampening": "1"}, "dampening must be a finite number and not negative"),
        ("sgd", {"nesterov": None}, "nesterov must be True or False"),
        ("heavy_ball", {"momentum": float("inf")}, "momentum must be a finite number"),
        ("adagrad", {"lr_decay": -0.1}, "lr_decay must be a finite number"),
        ("adagrad", {"initial_accumulator_value": -0.1}, "initial_accumulator_value must be a finite number"),
        ("adagrad", {"eps": -1.0}, "eps must be a finite number"),
        ("rmsprop", {"alpha": 1.0}, "alpha must be from 0 to below 1"),
        ("rmsprop", {"eps": -1.0}, "eps must be a finite number"),
        ("rmsprop", {"momentum": -1.0}, "momentum must be a finite number"),
        ("rmsprop", {"centered": 1}, "centered must be True or False"),
        ("adadelta", {"rho": 1.0}, "rho must be from 0 to below 1"),
        ("adadelta", {"eps": 0.0}, "without it the first step is zero, and all others"),
        ("adam", {"amsgrad": 0}, "amsgrad must be True or False"),
        ("adamax", {"betas": (0.9, 1.0)}, "betas must be from 0 to below 1"),
        ("adamax", {"eps": None}, "eps must be a finite number"),
        ("nadam", {"betas": [0.9]}, "betas must be two numbers"),
        ("nadam", {"momentum_decay": -1}, "momentum_decay must be a finite number"),
        ("nadam", {"decoupled_weight_decay": "no"}, "decoupled_weight_decay must be True or False"),
        ("radam", {"betas": 0.9}, "betas must be two numbers"),
        ("radam", {"eps": -1e-8}, "eps must be a finite number"),
        ("radam", {"decoupled_weight_decay": 1}, "decoupled_weight_decay must be True or False"),
        ("lion", {"betas": (-0.1, 0.9)}, "betas must be from 0 to below 1"),
    ],
    ids=str,
)
def test_settings(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^{name}\({next(iter(settings))}=.*\): {said}"):
        getattr(optim, name)(0.1, **settings)
