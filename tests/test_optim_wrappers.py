"""Optimisers made of others: clipping, accumulation, averages, groups and plateaus, as PyTorch has them."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, optim, random, tree
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, ShapeError
from bpkit.optim import Optimizer, schedules
from bpkit.registry import backend_of, current

STEPS = 100


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def close(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(on_host(ours), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


GRADIENT = bpkit.jit(bpkit.grad(lambda model, x, y: losses.quadratic(model(x), y)))


class Training:
    """A small net and PyTorch's copy of it, on the same batches."""

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")
        first, second = xp.unstack(random.split(random.key(3), 2))
        self.model = nn.Sequential(
            nn.Dense(4, 6, key=first, dtype="float64"), nn.tanh, nn.Dense(6, 2, key=second, dtype="float64")
        )
        # Weight and bias of the one layer, then of the other.
        self.theirs = [
            self.torch.nn.Parameter(self.torch.tensor(on_host(p))) for p in tree.leaves(self.model)
        ]

    def batch(self, step: int, size: int = 8) -> tuple[Any, Any]:
        rng = np.random.default_rng(step)
        x = rng.normal(size=(size, 4))
        return x, np.sin(3 * x[:, :2]) + x[:, 2:]

    def gradient(self, model: Any, step: int) -> Any:
        x, y = (xp.asarray(part) for part in self.batch(step))
        return GRADIENT(model, x, y)

    def backward(self, step: int, share: float = 1.0) -> None:
        """Add the gradients of a batch to PyTorch's parameters."""
        x, y = (self.torch.tensor(part) for part in self.batch(step))
        w, b, v, c = self.theirs
        out = self.torch.tanh(x @ w.T + b) @ v.T + c
        (0.5 * ((out - y) ** 2).sum() / len(x) * share).backward()

    def check(self, model: Any) -> None:
        for ours, theirs in zip(tree.leaves(model), self.theirs, strict=True):
            close(ours, theirs)

    def run(
        self,
        optimizer: Optimizer,
        reference: Any,
        before: Callable[[], Any] = lambda: None,
        jit: bool = False,
    ) -> Any:
        """Train both for 100 steps, and return the last state."""
        model, state = own((self.model, optimizer.init(self.model)))
        update = compiled(optimizer) if jit else optimizer.update
        for step in range(STEPS):
            reference.zero_grad()
            self.backward(step)
            before()
            reference.step()
            model, state = update(self.gradient(model, step), state, model)
        self.check(model)
        return state


def compiled(optimizer: Optimizer) -> Any:
    """The update, which writes over the state and the parameters that it is given."""
    return bpkit.jit(optimizer.update, donate_argnums=(1, 2))


def own(values: Any) -> Any:
    """Copies of arrays, of the types that a step returns."""
    return tree.map(lambda x: x * 1, values)


def assert_same_bits(one: Any, other: Any) -> None:
    assert tree.structure(one) == tree.structure(other)
    for x, y in zip(tree.leaves(one), tree.leaves(other), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(on_host(x), on_host(y))


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.usefixtures("backend")
def test_accumulate_is_the_loss_over_several_batches(steps: int, jit: bool) -> None:
    training = Training()
    reference = training.torch.optim.Adam(training.theirs, lr=0.02)
    optimizer = optim.accumulate(optim.adam(schedules.step(0.02, 1000)), steps)
    model, state = own((training.model, optimizer.init(training.model)))
    update = compiled(optimizer) if jit else optimizer.update
    for step in range(STEPS):
        before = own(model)
        training.backward(step, 1 / steps)
        if step % steps == steps - 1:
            reference.step()
            reference.zero_grad()
        model, state = update(training.gradient(model, step), state, model)
        if step % steps != steps - 1:
            assert_same_bits(before, own(model))
    training.check(model)
    assert int(state.inner.count) == STEPS // steps
    assert int(state.count) == 0


AVERAGES: list[dict[str, Any]] = [
    {"decay": 0.9},
    {"decay": 0.0},
    {"decay": None},
    {"decay": 0.9, "start": 30},
    {"decay": None, "start": 30, "every": 7},
    {"decay": 0.5, "every": 10},
]


@pytest.mark.parametrize(
    ("options", "jit"),
    [*((options, False) for options in AVERAGES), (AVERAGES[0], True), (AVERAGES[4], True)],
    ids=str,
)
@pytest.mark.usefixtures("backend")
def test_averages_are_those_of_torch(options: dict[str, Any], jit: bool) -> None:
    training = Training()
    swa = training.torch.optim.swa_utils
    decay, start, every = (
        options.get(name, value) for name, value in (("decay", 0), ("start", 0), ("every", 1))
    )
    holder = training.torch.nn.ParameterList(training.theirs)
    holder = swa.AveragedModel(
        holder, multi_avg_fn=None if decay is None else swa.get_ema_multi_avg_fn(decay)
    )
    reference = training.torch.optim.SGD(training.theirs, lr=0.3)
    optimizer = optim.averaged(optim.sgd(0.3), **options)
    model, state = own((training.model, optimizer.init(training.model)))
    update = compiled(optimizer) if jit else optimizer.update
    for step in range(1, STEPS + 1):
        reference.zero_grad()
        training.backward(step)
        reference.step()
        model, state = update(training.gradient(model, step), state, model)
        if step > start and (step - start) % every == 0:
            holder.update_parameters(training.torch.nn.ParameterList(training.theirs))
        average = optim.averaged_params(state)
        if step < start + every:
            for ours, p in zip(tree.leaves(average), tree.leaves(model), strict=True):
                np.testing.assert_allclose(on_host(ours), on_host(p), rtol=1e-14, atol=1e-15)
    training.check(model)
    assert tree.structure(average) == tree.structure(model)
    for ours, theirs in zip(tree.leaves(average), holder.module, strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("decay", [0.9, 0.0, 0.999])
@pytest.mark.usefixtures("backend")
def test_a_corrected_average_is_that_of_the_parameters_so_far(decay: float) -> None:
    optimizer = optim.averaged(optim.sgd(1.0), decay, bias_correction=True)
    params = {"w": xp.asarray([5.0, -1.0], dtype="float64"), "b": xp.asarray(100.0, dtype="float64")}
    state = optimizer.init(params)
    mean = {name: 0.0 * on_host(p) for name, p in params.items()}
    for step in range(1, STEPS + 1):
        rng = np.random.default_rng(step)
        grads = {name: xp.asarray(rng.normal(size=p.shape)) for name, p in params.items()}
        params, state = optimizer.update(grads, state, params)
        for name, p in params.items():
            mean[name] = decay * mean[name] + (1 - decay) * on_host(p)
            np.testing.assert_allclose(
                on_host(optim.averaged_params(state)[name]), mean[name] / (1 - decay**step), rtol=1e-12
            )


def test_a_corrected_average_is_that_of_optax() -> None:
    optax = pytest.importorskip("optax")
    import jax

    with jax.enable_x64(True):
        ema = optax.ema(0.95, debias=True)
        x = jax.numpy.asarray([3.0, -2.0], dtype="float64")
        kept = ema.init(x)
        optimizer = optim.averaged(optim.sgd(1.0), 0.95, bias_correction=True)
        ours = np.asarray([3.0, -2.0])
        state = optimizer.init(ours)
        for step in range(STEPS):
            g = np.random.default_rng(step).normal(size=2)
            x = x - g
            theirs, kept = ema.update(x, kept)
            ours, state = optimizer.update(g, state, ours)
            np.testing.assert_allclose(state.average, np.asarray(theirs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.usefixtures("backend")
def test_groups_are_those_of_torch(jit: bool) -> None:
    training = Training()
    w, b, v, c = training.theirs
    reference = training.torch.optim.AdamW(
        [
            {"params": [w], "weight_decay": 0.3},
            {"params": [b], "lr": 0.002, "weight_decay": 0.0},
            {"params": [v], "lr": 0.0, "weight_decay": 0.0},
            {"params": [c], "lr": 0.002, "weight_decay": 0.0},
        ],
        lr=0.01,
    )
    optimizer = optim.groups(
        {
            "weights": optim.adamw(0.01, weight_decay=0.3),
            "biases": optim.adamw(0.002, weight_decay=0.0),
            "last": optim.frozen(),
            "none": optim.sgd(1.0),
        },
        lambda path, leaf: "biases" if leaf.ndim == 1 else "last" if "[2]" in path else "weights",
    )
    last = on_host(tree.leaves(training.model)[2]).copy()
    state = training.run(optimizer, reference, jit=jit)
    assert set(state.inner) == {"weights", "biases", "last", "none"}
    assert state.inner["none"] is None and state.inner["last"] == optim.FrozenState()
    assert int(state.inner["weights"].count) == STEPS
    np.testing.assert_array_equal(last, v.detach().numpy())


def values_of(step: int) -> float:
    """What a validation finds: it gets better for a while, and jumps."""
    return 3.0 * math.exp(-step / 15) + 0.5 + 0.2 * math.sin(1.7 * step) * (step > 40)


PLATEAUS: list[dict[str, Any]] = [
    {},
    {"factor": 0.5, "patience": 2},
    {"factor": 0.5, "patience": 0, "cooldown": 3},
    {"mode": "max", "factor": 0.7, "patience": 4, "threshold": 0.01},
    {"factor": 0.5, "patience": 1, "threshold": 0.05, "threshold_mode": "abs", "min_scale": 0.02},
    {"mode": "max", "factor": 0.3, "patience": 3, "threshold_mode": "abs", "eps": 0.05, "cooldown": 1},
    {"factor": 0.0, "patience": 3},
]


@pytest.mark.parametrize(
    ("options", "jit"),
    [*((options, False) for options in PLATEAUS), (PLATEAUS[2], True), (PLATEAUS[5], True)],
    ids=str,
)
@pytest.mark.usefixtures("backend")
def test_plateaus_are_those_of_torch(options: dict[str, Any], jit: bool) -> None:
    training = Training()
    renamed = {"min_lr" if name == "min_scale" else name: value for name, value in options.items()}
    reference = training.torch.optim.SGD(training.theirs, lr=1.0, momentum=0.5)
    scheduler = training.torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **renamed)
    # The scheduler sees a rate of 1, and the steps are as long as those at 0.05.
    optimizer = optim.on_plateau(optim.sgd(1.0, momentum=0.5), **options)
    model, state = own((training.model, optimizer.init(training.model)))
    update = compiled(optimizer) if jit else optimizer.update
    observe = bpkit.jit(optimizer.observe) if jit else optimizer.observe
    scales = set()
    for step in range(STEPS):
        reference.zero_grad()
        training.backward(step, 0.05)
        reference.step()
        value = values_of(step) if options.get("mode") != "max" else 4.0 - values_of(step)
        scheduler.step(value)
        grads = tree.map(lambda g: 0.05 * g, training.gradient(model, step))
        model, state = update(grads, state, model)
        state = observe(state, xp.asarray(value, dtype="float64") if jit or step % 2 else value)
        rate = reference.param_groups[0]["lr"]
        scales.add(rate)
        np.testing.assert_allclose(float(state.scale), rate, rtol=1e-12)
        assert float(state.best) == scheduler.best
        assert (int(state.bad), int(state.resting)) == (scheduler.num_bad_epochs, scheduler.cooldown_counter)
    training.check(model)
    assert len(scales) > 1


@pytest.mark.usefixtures("backend")
def test_a_plateau_that_was_not_reached_changes_no_bit() -> None:
    training = Training()
    plain, wrapped = optim.adam(0.05), optim.on_plateau(optim.adam(0.05))
    model, kept = training.model, plain.init(training.model)
    other, state = training.model, wrapped.init(training.model)
    for step in range(5):
        grads = training.gradient(model, step)
        model, kept = plain.update(grads, kept, model)
        other, state = wrapped.update(grads, state, other)
    assert_same_bits(model, other)


def test_other_optimizers_do_not_observe() -> None:
    optimizer = optim.clip_by_value(optim.sgd(0.1, momentum=0.9), 1.0)
    state = optimizer.init({"w": np.ones(2)})
    assert optimizer.observe(state, 1.0) is state


SGD = optim.sgd(0.1)


# Each changes something in the first steps, so that their order shows.
WRAPPERS: dict[str, Callable[[Optimizer], Optimizer]] = {
    "clip_by_norm": lambda o: optim.clip_by_norm(o, 0.5),
    "clip_by_value": lambda o: optim.clip_by_value(o, 0.3),
    "accumulate": lambda o: optim.accumulate(o, 2),
    "averaged": lambda o: optim.averaged(o, 0.5),
    "groups": lambda o: optim.groups(
        {"here": o, "there": optim.frozen()}, lambda path, leaf: "there" if "frozen" in path else "here"
    ),
    "on_plateau": lambda o: optim.on_plateau(o, factor=0.5, patience=0),
}
CHAIN = tuple(WRAPPERS)
# Each around each other, in one of the two chains.
ORDERS = [*itertools.pairwise(CHAIN), (CHAIN[-1], CHAIN[0]), CHAIN, CHAIN[::-1]]


def nested(names: tuple[str, ...]) -> Optimizer:
    optimizer = optim.adam(schedules.exponential(0.1, 0.9))
    for name in names:
        optimizer = WRAPPERS[name](optimizer)
    return optimizer


def small_tree(seed: int, dtype: str = "float32") -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"w": (3, 2), "frozen": (3,), "gain": ()}
    return {name: xp.asarray(np.asarray(rng.normal(size=shape), dtype)) for name, shape in shapes.items()}


def trained(optimizer: Optimizer, update: Any, steps: range, params: Any, state: Any) -> tuple[Any, Any]:
    for step in steps:
        params, state = update(small_tree(step), state, params)
        if step % 2:
            state = optimizer.observe(state, 1.0 + step)
    return params, state


@pytest.mark.parametrize("names", ORDERS, ids="-".join)
@pytest.mark.usefixtures("backend")
def test_wrappers_nest_in_any_order(names: tuple[str, ...]) -> None:
    optimizer = nested(names)
    first = small_tree(0)
    params, state = trained(optimizer, optimizer.update, range(1, 6), first, optimizer.init(first))
    float32 = xp.dtype_of("float32", like=first["w"])
    assert {name: p.dtype for name, p in params.items()} == dict.fromkeys(params, float32)
    for path, x in zip(tree.paths(state), tree.leaves(state), strict=True):
        counts = path.endswith((".count", ".bad", ".resting"))
        name = "int32" if counts else "float64" if path.endswith((".scale", ".best")) else "float32"
        assert x.dtype == xp.dtype_of(name, like=x), path
    assert not np.array_equal(on_host(first["w"]), on_host(params["w"]))
    assert ("groups" in names) == np.array_equal(on_host(first["frozen"]), on_host(params["frozen"]))
    if "averaged" in names and "groups" not in names[names.index("averaged") :]:
        assert tree.structure(optim.averaged_params(state)) == tree.structure(params)
    compiled_update = compiled(optimizer)
    again, after = trained(optimizer, compiled_update, range(1, 6), own(first), own(optimizer.init(first)))
    for x, y in zip(tree.leaves((params, state)), tree.leaves((again, after)), strict=True):
        np.testing.assert_allclose(on_host(x), on_host(y), rtol=2e-5, atol=2e-6)
    assert compiled_update.explain() == "1. the first call"


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize("names", [*((name,) for name in CHAIN), CHAIN], ids="-".join)
@pytest.mark.usefixtures("backend")
def test_a_state_that_was_saved_goes_on_to_the_same_bits(names: tuple[str, ...], jit: bool) -> None:
    optimizer = nested(names)
    update = compiled(optimizer) if jit else optimizer.update
    params = own(small_tree(0))
    middle = trained(optimizer, update, range(1, 4), params, own(optimizer.init(params)))
    saved = [on_host(x).copy() for x in tree.leaves(middle)]
    expected = trained(optimizer, update, range(4, 9), *middle)
    backend, device = current()
    restored = tree.unflatten(
        tree.structure((params, optimizer.init(params))), [backend.from_host(x, device) for x in saved]
    )
    # A program is for arrays of one type: of another, the step that is recorded rounds as one without jit.
    assert_same_bits(trained(optimizer, update, range(4, 9), *own(restored)), expected)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_plateau_hears_of_values_inside_others(name: str) -> None:
    optimizer = WRAPPERS[name](optim.on_plateau(SGD, factor=0.5, patience=0))
    state = optimizer.init({"w": np.ones(2)})
    for value in (1.0, 2.0):
        state = optimizer.observe(state, value)
    scales = [
        float(x)
        for path, x in zip(tree.paths(state), tree.leaves(state), strict=True)
        if path.endswith(".scale")
    ]
    assert scales == [0.5] * len(scales) and scales


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.usefixtures("backend")
def test_wrappers_are_pure(name: str) -> None:
    optimizer = nested((name,))
    params, grads = small_tree(0), small_tree(1)
    state = optimizer.init(params)
    before = [on_host(x).copy() for x in tree.leaves((params, grads, state))]
    first, second = (optimizer.update(grads, state, params) for _ in range(2))
    optimizer.observe(first[1], 1.0)
    assert_same_bits(first, second)
    for x, y in zip(before, tree.leaves((params, grads, state)), strict=True):
        np.testing.assert_array_equal(x, on_host(y))


@pytest.mark.usefixtures("backend")
def test_an_average_is_no_view_of_the_parameters() -> None:
    params = {"w": xp.ones(3), "scale": xp.ones(())}
    state = optim.averaged(optim.sgd(0.1)).init(params)
    for name, p in params.items():
        assert not backend_of(p).shares_memory(p, state.average[name])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: optim.clip_by_norm(SGD, -1.0), r"clip_by_norm\(max_norm=-1.0\): max_norm must be a finite"),
        (lambda: optim.clip_by_norm(SGD, 1.0, 0.0), r"norm_type=0.0\): norm_type must be positive"),
        (lambda: optim.clip_by_norm(SGD, 1.0, "2"), r"norm_type='2'\): norm_type must be a finite number"),  # type: ignore[arg-type]
        (lambda: optim.clip_by_norm(SGD, 1.0, error_if_nonfinite=1), r"must be True or False"),  # type: ignore[arg-type]
        (lambda: optim.clip_by_value(SGD, math.nan), r"clip_by_value\(clip_value=nan\)"),
        (
            lambda: optim.global_norm([np.ones(2, np.int32)]),
            r"an array has dtype int32; the norm is of float",
        ),
        (lambda: optim.accumulate(SGD, 0), r"accumulate\(steps=0\): steps must be a positive int"),
        (lambda: optim.averaged(SGD, 1.0), r"averaged\(decay=1.0\): decay must be from 0 to below 1"),
        (
            lambda: optim.averaged(SGD, start=-1),
            r"averaged\(start=-1\): start must be an int and not negative",
        ),
        (lambda: optim.averaged(SGD, every=0), r"averaged\(every=0\): every must be a positive int"),
        (lambda: optim.groups({}, lambda path, leaf: ""), r"there must be at least one optimizer"),
        (lambda: optim.on_plateau(SGD, "low"), r"on_plateau\(mode='low'\): mode must be 'min' or 'max'"),
        (
            lambda: optim.on_plateau(SGD, factor=1.0),
            r"on_plateau\(factor=1.0\): factor must be from 0 to below",
        ),
        (lambda: optim.on_plateau(SGD, patience=-1), r"on_plateau\(patience=-1\)"),
        (lambda: optim.on_plateau(SGD, threshold_mode=["rel"]), r"must be 'rel' or 'abs'"),  # type: ignore[arg-type]
    ],
)
def test_settings(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make()


@pytest.mark.parametrize("name", sorted(WRAPPERS))
@pytest.mark.parametrize("what", [optim.adam, None, 0.1], ids=["function", "None", "float"])
def test_what_is_no_optimizer_is_refused(name: str, what: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"^{name}: .*xpected an Optimizer, for instance .*, got "):
        WRAPPERS[name](what)


@pytest.mark.parametrize("name", sorted(set(WRAPPERS) - {"clip_by_value"}))
def test_the_state_of_another_optimizer_is_refused(name: str) -> None:
    params = {"w": np.ones(2)}
    optimizer = nested((name,))
    with pytest.raises(
        ArgumentError, match=rf"^{name}\.update: state must be of the class .*; it is of SGDState"
    ):
        optimizer.update(params, SGD.init(params), params)


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_gradients_that_do_not_fit_are_refused(name: str) -> None:
    params = {"v": np.ones(3), "w": np.ones(2)}
    optimizer = nested((name,))
    state = optimizer.init(params)
    with pytest.raises(
        ShapeError, match=r"grads\['w'\] has shape \(3,\), but params\['w'\] has shape \(2,\)"
    ):
        optimizer.update({"v": np.ones(3), "w": np.ones(3)}, state, params)
    with pytest.raises(ArgumentError, match=r"grads must have the structure of params, but grads is a list"):
        optimizer.update([np.ones(2)], state, params)


@pytest.mark.parametrize("name", sorted(set(WRAPPERS) - {"clip_by_value"}))
@pytest.mark.usefixtures("backend")
def test_complex_parameters_move_as_their_parts_do(name: str) -> None:
    optimizer = WRAPPERS[name](optim.sgd(0.1, momentum=0.9))
    params = {"z": xp.asarray(np.asarray([1 + 2j, 3 - 4j], np.complex64))}
    parts = {"z": xp.asarray(np.asarray([[1, 3], [2, -4]], np.float32))}
    state, kept = optimizer.init(params), optimizer.init(parts)
    for step in range(5):
        g = np.random.default_rng(step).normal(size=(2, 2)).astype(np.float32)
        # A gradient is what a change is multiplied by: the way up is its conjugate.
        params, state = optimizer.update({"z": xp.asarray(g[0] - 1j * g[1])}, state, params)
        parts, kept = optimizer.update({"z": xp.asarray(g)}, kept, parts)
        state, kept = optimizer.observe(state, 1.0), optimizer.observe(kept, 1.0)
    found = on_host(params["z"])
    assert found.dtype == np.complex64
    np.testing.assert_allclose([found.real, found.imag], on_host(parts["z"]), rtol=1e-5)


def test_labels_without_an_optimizer_are_refused() -> None:
    params = {"layers": [np.ones(2), np.ones(3)]}
    optimizer = optim.groups({"a": SGD, "b": SGD}, lambda path, leaf: "a" if "[0]" in path else "c")
    with pytest.raises(ArgumentError, match=r"gave params\['layers'\]\[1\] the label 'c', which .* 'a', 'b'"):
        optimizer.init(params)
    other = optim.groups({"a": SGD}, lambda path, leaf: "a").init(params)
    with pytest.raises(ArgumentError, match=r"state\.inner has the labels \['a'\], where .* \['a', 'b'\]"):
        optimizer.update(params, other, params)


def test_what_a_state_does_not_hold() -> None:
    params = {"w": np.ones(2)}
    for find, wanted in ((optim.averaged_params, "AveragedState"), (optim.gradient_norm, "ClippedState")):
        with pytest.raises(ArgumentError, match=rf"of the class PlateauState holds no {wanted}; make the"):
            find(optim.on_plateau(SGD).init(params))
        with pytest.raises(ArgumentError, match=r"state\.inner\[label\]"):
            find(nested(("averaged", "clip_by_norm", "groups")).init(params))


@pytest.mark.parametrize("value", [None, "1.0", np.ones(2)], ids=str)
def test_a_value_that_is_no_number(value: Any) -> None:
    optimizer = optim.on_plateau(SGD)
    with pytest.raises(ArgumentError, match=r"on_plateau\.observe: value must be one number, got"):
        optimizer.observe(optimizer.init(np.ones(2)), value)


def test_a_value_that_is_nan_is_no_better() -> None:
    optimizer = optim.on_plateau(SGD, patience=1)
    state = optimizer.init(np.ones(2))
    for value in (1.0, math.nan, math.nan):
        state = optimizer.observe(state, value)
    assert (float(state.scale), float(state.best)) == (0.1, 1.0)
