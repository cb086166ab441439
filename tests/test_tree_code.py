"""Trees taken apart and put together by written code: the same as by flatten and unflatten."""

from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from bpkit import jit, nn, tree, xp
from bpkit.tree_code import packer


class Pair(NamedTuple):
    first: Any
    second: Any


class Layer(nn.Module):
    weight: Any
    bias: Any = None
    n: Any = nn.static(default=2)


@dataclass(frozen=True)
class Frozen:
    x: Any
    name: str = field(default="a", metadata={"static": True})


@dataclass(slots=True)
class Slots:
    x: Any
    y: Any


@dataclass
class Guarded:
    x: Any

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            raise AttributeError(name)
        object.__setattr__(self, name, value)


TREES: list[Any] = [
    1,
    None,
    (),
    [],
    {},
    (1,),
    [1, [2, (3, None)], ()],
    {"b": 1, "a": {"d": [2], "c": 3}},
    {2: 1, 3: 3},
    Pair(1, Pair([2], None)),
    Layer(1),
    Layer(1, 2, n=(1, "x")),
    [Layer({"a": 1}, Layer(2, 3)), Frozen(4, "b"), Slots(5, [6]), Guarded(7)],
    OrderedDict(z=1, a=[2]),
    defaultdict(list, z=1, a=2),
    deque([1, Layer(2)], maxlen=3),
]
DIFFERENT: list[Any] = [
    (1, 2),
    [1],
    {"a": 1},
    {"b": 1, "a": {"d": [2], "c": None}},
    {"b": 1, "a": {"d": [2], "e": 3}},
    {3: 3, 2.0: 1},
    (1, Pair([2], None)),
    Layer(1, n=2.0),
    Layer(1, n=True),
    Layer(1, 2, n=(True, "x")),
    [Layer({"a": 1}, Layer(2, 3)), Frozen(4, "c"), Slots(5, [6]), Guarded(7)],
    {"z": 1, "a": [2]},
    OrderedDict(a=[2], z=1),
    defaultdict(dict, z=1, a=2),
    deque([1, Layer(2)], maxlen=4),
    "text",
    1.0,
]


@pytest.mark.parametrize("made", TREES, ids=repr)
def test_put_together(made: Any) -> None:
    leaves, structure = tree.flatten(made)
    again = packer(structure)(*leaves)
    assert repr(again) == repr(made) and type(again) is type(made)
    assert repr(tree.flatten(again)) == repr((leaves, structure))
    if isinstance(made, dict):
        assert list(again) == list(tree.unflatten(structure, leaves))


def with_arrays(made: Any, scale: float) -> Any:
    return tree.map(lambda x: np.full(2, scale * x) if type(x) is int else x, made)


@pytest.mark.parametrize("made", TREES, ids=repr)
def test_taken_apart(made: Any) -> None:
    """Arguments of the same kind are taken as they come, and those of another are told from them."""
    f = jit(lambda x, y, **rest: (tree.map(lambda z: z * 2, (x, rest)), y))
    y = np.ones(1)
    x = with_arrays(made, 1.0)
    f(x, y, key=x)
    (recorded,) = f._recent
    for scale in (2.0, 3.0):
        x = with_arrays(made, scale)
        arrays = recorded.given((x, y), {"key": x})
        assert arrays is not None
        expected = tree.leaves((x, y, x))
        assert len(arrays) == len(expected) and all(a is b for a, b in zip(arrays, expected, strict=True))
        found = f(x, y, key=x)
        wanted = tree.map(lambda z: z * 2, (x, {"key": x})), y
        assert repr(found) == repr(wanted)
    assert len(f.explain().split("\n")) == 1
    for other in TREES + DIFFERENT:
        if repr(other) != repr(made):
            z = with_arrays(other, 1.0)
            assert recorded.given((z, y), {"key": x}) is None
            assert recorded.given((x, y), {"key": z}) is None
    for args, kwargs in (
        ((x,), {"key": x}),
        ((x, y, y), {"key": x}),
        ((x, y), {}),
        ((x, y), {"other": x}),
        ((x, np.ones(2)), {"key": x}),
        ((x, np.ones(1, np.float32)), {"key": x}),
        ((x, [1.0]), {"key": x}),
    ):
        assert recorded.given(args, kwargs) is None


def test_static_fields_that_are_equal_and_not_the_same() -> None:
    f = jit(lambda layer: layer.weight * layer.n)
    x = np.asarray([1, 2])
    for _ in range(2):
        for n in (2, 2.0, 1, True, 0.0, -0.0):
            found, expected = f(Layer(x, n=n)), x * n
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert len(f.explain().split("\n")) == 6


def test_attributes_that_are_not_in_the_object_itself() -> None:
    class Bare(nn.Module):
        weight: Any
        scale: Any = 3.0

        def __init__(self, weight: Any) -> None:
            self.weight = weight

    f = jit(lambda layer, x: layer.weight * x * layer.scale)
    x = np.ones(2)
    for w in (x, x * 2, x * 3):
        np.testing.assert_array_equal(f(Bare(w), x), w * 3)
    other = Bare(x)
    other.scale = 5.0
    np.testing.assert_array_equal(f(other, x), x * 5)
    assert len(f.explain().split("\n")) == 2


def test_several_kinds_in_turn() -> None:
    f = jit(lambda x, n: xp.sum(x) * n)
    for _ in range(3):
        for size in range(1, 7):
            for n in (1, 2.5):
                assert f(np.ones(size), n) == size * n
    assert len(f.explain().split("\n")) == 12
