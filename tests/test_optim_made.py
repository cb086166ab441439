"""What optimisers and schedules print, compare and are pickled as: the call that makes them."""

import inspect
import pickle
from copy import copy, deepcopy
from typing import Any

import numpy as np
import pytest

from bpkit import namespace as xp
from bpkit import optim, tree
from bpkit.optim import schedules

READERS = {"averaged_params", "global_norm", "gradient_norm", "schedules"}
MAKERS = {
    **{name: getattr(optim, name) for name in optim.__all__ if name[0].islower() and name not in READERS},
    **{f"schedules.{name}": getattr(schedules, name) for name in schedules.__all__},
}


def label_of(path: str, leaf: Any) -> str:
    return "all"


def half(count: Any) -> float:
    return 0.5


REQUIRED = {
    "T_0": 3,
    "T_max": 3,
    "clip_value": 0.5,
    "gamma": 0.5,
    "label_of": label_of,
    "learning_rate": 0.25,
    "max_norm": 0.5,
    "milestones": [2],
    "optimizer": optim.adam(schedules.warmup(schedules.cosine(0.5, 3), 2)),
    "optimizers": {"all": optim.sgd(half, momentum=0.5)},
    "schedule": 0.5,
    "schedules": [0.5, schedules.constant(0.25)],
    "step_size": 2,
    "steps": 2,
    "timescale": 2,
    "total_steps": 4,
}


def made(name: str, **changes: Any) -> Any:
    needed = [
        key
        for key, value in inspect.signature(MAKERS[name]).parameters.items()
        if value.default is value.empty
    ]
    return MAKERS[name](**{key: REQUIRED[key] for key in needed} | changes)


@pytest.mark.parametrize("name", MAKERS)
def test_every_one_is_pickled_copied_compared_and_printed_as_its_call(name: str) -> None:
    one, other = made(name), made(name)
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    for again in (pickle.loads(pickle.dumps(one)), copy(one), deepcopy(one)):
        assert type(again) is type(one)
        assert again == one
        assert hash(again) == hash(one)
        assert repr(again) == repr(one)
    if not {"label_of", "optimizers"} & inspect.signature(MAKERS[name]).parameters.keys():
        assert eval(repr(one), vars(schedules) | vars(optim)) == one
    assert sum(one == made(other) for other in MAKERS) == 1


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "lbfgs"])
def test_what_was_pickled_does_the_same(name: str) -> None:
    one = made(name)
    again = pickle.loads(pickle.dumps(one))
    if name.startswith("schedules."):
        assert [again(count) for count in range(5)] == [one(count) for count in range(5)]
        return
    results = []
    for optimizer in (one, again):
        params = {"w": xp.asarray([[1.0, -2.0]]), "b": xp.asarray([3.0])}
        state = optimizer.init(params)
        for _ in range(3):
            params, state = optimizer.update(tree.map(lambda p: 2.0 * p, params), state, params)
        results.append([float(xp.sum(x)) for x in tree.leaves((params, state))])
    assert results[0] == results[1]


def test_only_what_differs_from_the_defaults_is_printed() -> None:
    assert repr(optim.adam(1e-2)) == "adam(learning_rate=0.01)"
    assert repr(optim.adam(1e-3, betas=[0.9, 0.999])) == "adam()"
    assert repr(optim.lbfgs(max_iter=3)) == "lbfgs(max_iter=3)"
    assert repr(optim.clip_by_norm(optim.sgd(schedules.cosine(np.float64(0.1), 10)), 1.0)) == (
        "clip_by_norm(optimizer=sgd(learning_rate=cosine(learning_rate=0.1, T_max=10)), max_norm=1.0)"
    )


def test_they_are_equal_where_all_arguments_are() -> None:
    assert optim.adam(1e-2) == optim.adam(learning_rate=0.01, eps=1e-8)
    assert len({optim.adam(1e-2), optim.adam(1e-2), optim.adamw(1e-2), optim.adam(2e-2)}) == 3
    assert optim.adam(1e-2) != "adam"
    stones = np.asarray([1, 2])
    assert schedules.multi_step(0.1, stones) == schedules.multi_step(0.1, [1, 2])
    assert optim.sgd(half) == optim.sgd(half)
    assert optim.sgd(lambda count: 0.5) != optim.sgd(lambda count: 0.5)


def test_arguments_that_change_later_change_nothing() -> None:
    members, stones = {"all": optim.sgd(0.5)}, [1, 2]
    group, falling = optim.groups(members, label_of), schedules.multi_step(0.1, stones)
    shown = repr((group, falling))
    members["more"] = optim.sgd(1.0)
    stones.append(3)
    assert repr((group, falling)) == shown
    constant = schedules.constant(0.5)
    assert repr(schedules.warmup(constant, 0)) == ("warmup(schedule=constant(learning_rate=0.5), steps=0)")
    assert repr(constant) == "constant(learning_rate=0.5)"


def test_a_lambda_is_copied_but_not_pickled() -> None:
    optimizer = optim.adam(lambda count: 0.5)
    assert deepcopy(optimizer) == optimizer
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(optimizer)


def test_those_made_by_hand_are_compared_and_pickled_by_their_fields() -> None:
    one = optim.Optimizer(half, label_of)
    assert one == optim.Optimizer(half, label_of) != optim.Optimizer(half, half)
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one).startswith("Optimizer(init=<function half")
