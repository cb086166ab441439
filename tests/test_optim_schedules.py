"""The schedules of the learning rate: against PyTorch's and optax's, compiled, and their refusals."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import optim
from bpkit.errors import ArgumentError
from bpkit.optim import schedules
from bpkit.registry import backend_of

STEPS = 300


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def rates_of(schedule: Any, steps: int = STEPS) -> Any:
    """The rates of the first steps, of one array of counts."""
    rates = schedule(xp.asarray(np.arange(steps, dtype=np.int32)))
    assert rates.shape == (steps,)
    return on_host(rates)


def torch_rates(make: Callable[[Any, Any], Any], rate: float, steps: int = STEPS) -> Any:
    """The rates that a scheduler of PyTorch sets, step by step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=rate)
    found = []
    with warnings.catch_warnings():
        # SequentialLR calls its parts in a way that they warn of.
        warnings.simplefilter("ignore")
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        for _ in range(steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if len(found) < steps:
                scheduler.step()
    return np.asarray(found)


Compared = tuple[Any, Callable[[Any, Any], Any], float]
"""A schedule, PyTorch's scheduler, and the rate that it starts with."""


def restarts(first: int, times: int) -> Compared:
    ours = schedules.cosine_restarts(0.3, first, times, 0.01)
    return ours, lambda s, o: s.CosineAnnealingWarmRestarts(o, first, times, 0.01), 0.3


def one_cycle(kind: str, three: bool, start: float) -> Compared:
    options: dict[str, Any] = {"pct_start": start, "anneal_strategy": kind, "three_phase": three}
    options |= {"div_factor": 10.0, "final_div_factor": 1e3}
    ours = schedules.one_cycle(0.3, STEPS, **options)
    return ours, lambda s, o: s.OneCycleLR(o, 0.3, STEPS, cycle_momentum=False, **options), 0.3


RESTARTS = ((1, 1), (40, 1), (1, 2), (7, 2), (10, 3), (3, 7), (300, 2))

TORCH: dict[str, Compared] = {
    "constant": (
        schedules.constant(0.3),
        lambda s, o: s.ConstantLR(o, factor=1.0),
        0.3,
    ),
    "constant-then": (
        schedules.join([0.3 * 0.25, 0.3], [7]),
        lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=7),
        0.3,
    ),
    "step": (schedules.step(0.3, 40), lambda s, o: s.StepLR(o, 40), 0.3),
    "step-gamma": (schedules.step(0.3, 1, 0.97), lambda s, o: s.StepLR(o, 1, 0.97), 0.3),
    "step-zero": (schedules.step(0.3, 7, 0.0), lambda s, o: s.StepLR(o, 7, 0.0), 0.3),
    "multi-step": (
        schedules.multi_step(0.3, [10, 100, 250]),
        lambda s, o: s.MultiStepLR(o, [10, 100, 250]),
        0.3,
    ),
    "multi-step-twice": (
        schedules.multi_step(0.3, [90, 20, 20, 1], 0.5),
        lambda s, o: s.MultiStepLR(o, [90, 20, 20, 1], 0.5),
        0.3,
    ),
    "multi-step-none": (schedules.multi_step(0.3, []), lambda s, o: s.MultiStepLR(o, []), 0.3),
    "exponential": (schedules.exponential(0.3, 0.98), lambda s, o: s.ExponentialLR(o, 0.98), 0.3),
    "exponential-up": (schedules.exponential(1e-5, 1.03), lambda s, o: s.ExponentialLR(o, 1.03), 1e-5),
    "linear": (schedules.linear(0.3), lambda s, o: s.LinearLR(o), 0.3),
    "linear-down": (
        schedules.linear(0.3, 1.0, 0.01, 150),
        lambda s, o: s.LinearLR(o, 1.0, 0.01, 150),
        0.3,
    ),
    "polynomial": (schedules.polynomial(0.3), lambda s, o: s.PolynomialLR(o), 0.3),
    "polynomial-power": (
        schedules.polynomial(0.3, 200, 1.7),
        lambda s, o: s.PolynomialLR(o, 200, 1.7),
        0.3,
    ),
    "inverse-sqrt": (
        schedules.inverse_sqrt(0.3, 17),
        lambda s, o: s.LambdaLR(o, lambda t: math.sqrt(17 / (17 + t))),
        0.3,
    ),
    "cosine": (schedules.cosine(0.3, 300), lambda s, o: s.CosineAnnealingLR(o, 300), 0.3),
    "cosine-again": (
        schedules.cosine(0.3, 35, 0.01),
        lambda s, o: s.CosineAnnealingLR(o, 35, 0.01),
        0.3,
    ),
    "cosine-1": (schedules.cosine(0.3, 1, 0.1), lambda s, o: s.CosineAnnealingLR(o, 1, 0.1), 0.3),
    **{f"restarts-{first}-{times}": restarts(first, times) for first, times in RESTARTS},
    **{
        f"one-cycle-{kind}-{three}-{start}": one_cycle(kind, three, start)
        for kind in ("cos", "linear")
        for three in (False, True)
        for start in (0.0, 0.3, 0.5)
    },
    "one-cycle-up": (
        schedules.one_cycle(0.3, STEPS, 1.0),
        lambda s, o: s.OneCycleLR(o, 0.3, STEPS, pct_start=1.0, cycle_momentum=False),
        0.3,
    ),
    "join": (
        schedules.join(
            [
                schedules.linear(0.3, 0.1, 1.0, 20),
                schedules.exponential(0.3, 0.99),
                schedules.cosine(0.3, 60),
            ],
            [20, 110],
        ),
        lambda s, o: s.SequentialLR(
            o,
            [s.LinearLR(o, 0.1, 1.0, 20), s.ExponentialLR(o, 0.99), s.CosineAnnealingLR(o, 60)],
            [20, 110],
        ),
        0.3,
    ),
    "warmup": (
        schedules.warmup(schedules.step(0.3, 50, 0.5), 20, 0.1),
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 20), s.StepLR(o, 50, 0.5)], [20]),
        0.3,
    ),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.usefixtures("backend")
def test_the_rates_are_those_of_torch(name: str) -> None:
    schedule, make, rate = TORCH[name]
    np.testing.assert_allclose(rates_of(schedule), torch_rates(make, rate), rtol=1e-12, atol=1e-12)


OPTAX: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "constant": (schedules.constant(0.3), lambda o: o.constant_schedule(0.3)),
    "linear": (
        schedules.linear(0.3, 1.0, 0.1, 120),
        lambda o: o.linear_schedule(0.3, 0.03, 120),
    ),
    "polynomial": (
        schedules.polynomial(0.3, 120, 2.5, 0.01),
        lambda o: o.polynomial_schedule(0.3, 0.01, 2.5, 120),
    ),
    "exponential": (
        schedules.exponential(0.3, 0.5 ** (1 / 40)),
        lambda o: o.exponential_decay(0.3, 40, 0.5),
    ),
    "step": (schedules.step(0.3, 40, 0.5), lambda o: o.exponential_decay(0.3, 40, 0.5, staircase=True)),
    "warmup": (schedules.warmup(0.3, 50), lambda o: o.warmup_constant_schedule(0.0, 0.3, 50)),
    "warmup-cosine": (
        schedules.warmup(schedules.cosine(0.3, 250, 0.01), 50, 0.1),
        lambda o: o.warmup_cosine_decay_schedule(0.03, 0.3, 50, 300, 0.01),
    ),
    "warmup-exponential": (
        schedules.warmup(schedules.exponential(0.3, 0.9 ** (1 / 7)), 30),
        lambda o: o.warmup_exponential_decay_schedule(0.0, 0.3, 30, 7, 0.9),
    ),
    "cosine-then": (
        schedules.join([schedules.cosine(0.3, 90, 0.03), 0.03], [90]),
        lambda o: o.cosine_decay_schedule(0.3, 90, 0.1),
    ),
    "join": (
        schedules.join([0.1, schedules.polynomial(0.3, 50), schedules.exponential(0.2, 1.02)], [3, 90]),
        lambda o: o.join_schedules(
            [
                o.constant_schedule(0.1),
                o.linear_schedule(0.3, 0.0, 50),
                o.exponential_decay(0.2, 1, 1.02),
            ],
            [3, 90],
        ),
    ),
}


@pytest.mark.parametrize("name", OPTAX)
def test_the_rates_are_those_of_optax(name: str) -> None:
    optax = pytest.importorskip("optax")
    import jax

    with jax.enable_x64(True):
        counts = jax.numpy.arange(STEPS)
        theirs = np.broadcast_to(np.asarray(jax.vmap(OPTAX[name][1](optax.schedules))(counts)), (STEPS,))
    assert theirs.dtype == np.float64
    np.testing.assert_allclose(rates_of(OPTAX[name][0]), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.usefixtures("backend")
def test_a_scalar_count_a_compiled_one_and_an_int_give_the_same(name: str) -> None:
    schedule = TORCH[name][0]
    compiled = bpkit.jit(schedule)
    rates = rates_of(schedule)
    for count in (0, 1, 20, 100, 299):
        scalar = xp.asarray(count, dtype="int32")
        for found in (schedule(scalar), compiled(scalar)):
            assert found.shape == ()
            assert found.dtype == xp.dtype_of("float64", like=scalar)
            np.testing.assert_allclose(float(found), rates[count], rtol=1e-14, atol=1e-16)
        plain = schedule(count)
        assert type(plain) is float
        np.testing.assert_allclose(plain, rates[count], rtol=1e-14, atol=1e-16)
    assert compiled.explain() == "1. the first call"


def test_restarts_are_where_they_should_be_for_all_counts_that_an_int32_holds() -> None:
    for first, times in ((1, 2), (3, 2), (7, 3), (11, 5), (1000, 2), (1, 10)):
        rate = schedules.cosine_restarts(1.0, first, times)
        start, length = 0, first
        while start + length < 2**31:
            start, length = start + length, length * times
            assert rate(start) == 1.0
            assert rate(start - 1) < 1.0 - 1e-3 or length <= times
            assert rate(start + 1) < 1.0 or length > 10**7


@pytest.mark.usefixtures("backend")
def test_one_cycle_stays_at_its_end() -> None:
    rates = rates_of(schedules.one_cycle(1.0, 50), 80)
    np.testing.assert_allclose(rates[49:], 1 / 25 / 1e4, rtol=1e-12)


def test_a_peak_in_the_first_step() -> None:
    """The rise lasts no step, which PyTorch divides by."""
    rate = schedules.one_cycle(1.0, 10, pct_start=0.1)
    assert [rate(count) for count in (0, 9)] == [0.04, pytest.approx(4e-6)]
    assert all(rate(count) > rate(count + 1) for count in range(1, 9))


@pytest.mark.usefixtures("backend")
def test_a_part_may_be_any_function_of_the_count() -> None:
    inverse = lambda count: 1.0 / (1.0 + xp.astype(count, "float64"))  # noqa: E731
    for schedule, wanted in (
        (schedules.join([inverse, lambda _: 0.5, inverse], [2, 4]), [1.0, 0.5, 0.5, 0.5, 1.0, 0.5]),
        (schedules.join([lambda _: 0.5, 0.25], [2]), [0.5, 0.5, 0.25, 0.25]),
        (schedules.warmup(inverse, 2), [0.0, 0.5, 1.0, 0.5]),
        (schedules.warmup(inverse, 0), [1.0, 0.5]),
        (schedules.warmup(schedules.warmup(0.5, 2), 2), [0.0, 0.0, 0.0, 0.25, 0.5]),
    ):
        found = [float(schedule(xp.asarray(count, dtype="int32"))) for count in range(len(wanted))]
        np.testing.assert_allclose(found, wanted, rtol=1e-15)


@pytest.mark.filterwarnings("error")
def test_no_part_is_asked_for_steps_that_are_not_its_own() -> None:
    rate = schedules.join([schedules.exponential(1.0, 1e3), schedules.exponential(1.0, 1e3), 0.5], [50, 100])
    assert rate(10_000) == 0.5
    assert rate(49) == pytest.approx(1e147) == rate(99)


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize("name", ["step", "warmup", "restarts-7-2"])
@pytest.mark.usefixtures("backend")
def test_an_optimizer_with_a_schedule_takes_the_steps_of_torch(name: str, jit: bool) -> None:
    torch = pytest.importorskip("torch")
    schedule, make, rate = TORCH[name]
    theirs = torch.ones(3, dtype=torch.float64)
    reference = torch.optim.SGD([theirs], lr=rate, momentum=0.5)
    scheduler = make(torch.optim.lr_scheduler, reference)
    optimizer = optim.sgd(schedule, momentum=0.5)
    params = {"w": xp.ones(3, dtype="float64")}
    state = optimizer.init(params)
    update = bpkit.jit(optimizer.update, donate_argnums=(1, 2)) if jit else optimizer.update
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for count in range(100):
            g = np.random.default_rng(count).normal(size=3)
            theirs.grad = torch.tensor(g)
            reference.step()
            scheduler.step()
            params, state = update({"w": xp.asarray(g)}, state, params)
    np.testing.assert_allclose(on_host(params["w"]), theirs.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: schedules.constant(-1.0), r"constant\(learning_rate=-1.0\): learning_rate must be a finite"),
        (lambda: schedules.step(0.1, 0), r"step\(step_size=0\): step_size must be a positive int; it counts"),
        (lambda: schedules.step(0.1, 2.0), r"step\(step_size=2.0\): step_size must be a positive int"),
        (lambda: schedules.step(0.1, True), r"step\(step_size=True\)"),
        (lambda: schedules.multi_step(0.1, [1, True]), r"multi_step\(milestones=True\)"),
        (lambda: schedules.exponential(0.1, math.nan), r"exponential\(gamma=nan\): gamma must be a finite"),
        (lambda: schedules.linear(0.1, -1.0), r"linear\(start_factor=-1.0\)"),
        (lambda: schedules.polynomial(0.1, power="2"), r"polynomial\(power='2'\)"),
        (lambda: schedules.inverse_sqrt(0.1, 0), r"inverse_sqrt\(timescale=0\)"),
        (lambda: schedules.cosine(0.1, -1), r"cosine\(T_max=-1\)"),
        (lambda: schedules.cosine_restarts(0.1, 1, 0), r"cosine_restarts\(T_mult=0\)"),
        (lambda: schedules.cosine_restarts(0.1, False), r"cosine_restarts\(T_0=False\)"),
        (
            lambda: schedules.one_cycle(0.1, 9, 1.5),
            r"one_cycle\(pct_start=1.5\): pct_start must be from 0 to 1",
        ),
        (lambda: schedules.one_cycle(0.1, 9, div_factor=0), r"one_cycle: div_factor .* must be positive"),
        (lambda: schedules.one_cycle(0.1, 9, 0.3, "cosine"), r"anneal_strategy must be 'cos' or 'linear'"),
        (lambda: schedules.warmup(0.1, -1), r"warmup\(steps=-1\): steps must be an int and not negative"),
        (lambda: schedules.warmup("0.1", 1), r"warmup\(schedule='0.1'\): schedule must be a"),
        (lambda: schedules.join([0.1, 0.2], [1, 2]), r"join: 2 schedules need 1 milestones, .* got 2"),
        (lambda: schedules.join([], []), r"^join: there must be at least one schedule"),
        (
            lambda: schedules.join([0.1, 0.2, 0.3], [2, 1]),
            r"join\(milestones=\[2, 1\]\): milestones must rise",
        ),
    ],
)
def test_settings(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make()


def test_without_float64_the_rates_are_of_float32() -> None:
    jax = pytest.importorskip("jax")
    with bpkit.use_backend("jax"), jax.enable_x64(False):
        rate = schedules.cosine_restarts(0.3, 7, 2)(jax.numpy.asarray(20, dtype="int32"))
        assert str(rate.dtype) == "float32"
    np.testing.assert_allclose(float(rate), schedules.cosine_restarts(0.3, 7, 2)(20), rtol=1e-6)
