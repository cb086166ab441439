"""Pytrees: what is a container, what is a leaf, and gradients in the shape of their arguments."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkit import grad, jvp, tree, value_and_grad, vjp, xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError
from bpkit.nn import Module, static
from bpkit.registry import backend_of


class Point(NamedTuple):
    x: Any
    y: Any


class Line(Module):
    slope: Any
    parts: Any = None
    name: str = static(default="line")

    def __call__(self, x: Any) -> Any:
        return self.slope * x


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


CONTAINERS: list[tuple[Any, list[Any], list[str]]] = [
    (1, [1], [""]),
    (None, [], []),
    ([1, 2], [1, 2], ["[0]", "[1]"]),
    ((1, [2, (3,)]), [1, 2, 3], ["[0]", "[1][0]", "[1][1][0]"]),
    ({"b": 1, "a": 2}, [2, 1], ["['a']", "['b']"]),
    ({2: "two", 1: "one"}, ["one", "two"], ["[1]", "[2]"]),
    ({1: 10, "a": 20}, [10, 20], ["[1]", "['a']"]),
    ({("a", 1): 3}, [3], ["[('a', 1)]"]),
    (OrderedDict([("b", 1), ("a", 2)]), [1, 2], ["['b']", "['a']"]),
    (defaultdict(list, {"a": 1}), [1], ["['a']"]),
    (deque([1, 2], maxlen=4), [1, 2], ["[0]", "[1]"]),
    (Point(1, {"k": [2]}), [1, 2], [".x", ".y['k'][0]"]),
    ([None, {}, (), [[]], 5], [5], ["[4]"]),
    ("text", ["text"], [""]),
    ({1, 2}, [{1, 2}], [""]),
]


@pytest.mark.parametrize(("value", "leaves", "paths"), CONTAINERS, ids=lambda v: repr(v)[:30])
def test_containers(value: Any, leaves: list[Any], paths: list[str]) -> None:
    flat, structure = tree.flatten(value)
    assert flat == leaves == tree.leaves(value)
    assert tree.paths(value) == paths
    assert tree.structure(value) == structure
    back = tree.unflatten(structure, flat)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_subclasses_of_containers_are_leaves() -> None:
    class Settings(dict[str, int]):
        pass

    assert tree.leaves([Settings(a=1)]) == [{"a": 1}]


def test_modules_are_containers_and_their_settings_are_structure() -> None:
    line = Line(1.0, [2.0, None])
    assert tree.paths({"net": line}) == ["['net'].slope", "['net'].parts[0]"]
    assert tree.structure(line) != tree.structure(Line(1.0, [2.0, None], name="other"))
    doubled = tree.map(lambda x: 2 * x, line)
    assert (doubled.slope, doubled.parts, doubled.name) == (2.0, [4.0, None], "line")


def test_keys_in_another_order_are_the_same_structure() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 20, "a": 10}
    assert tree.structure(one) == tree.structure(other)
    assert tree.map(lambda x, y: (x, y), one, other) == {"a": (1, 10), "b": (2, 20)}
    assert list(tree.map(lambda x: x, other)) == ["b", "a"]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"a": 1, "b": 2}, {"b": 2}, r"expected key\(s\): \['a', 'b'\], got key\(s\): \['b'\]"),
        ([1, 2], (1, 2), r"Expected an instance of list, got \(1, 2\)"),
        ([1, 2], [1], "list arity mismatch"),
        ([1, None], [1, 2], "Expected None, got 2"),
        (Point(1, 2), (1, 2), "namedtuple"),
    ],
)
def test_map_over_different_structures_is_an_error(one: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree.map(lambda x, y: (x, y), one, other)


def test_unflatten_counts_the_leaves() -> None:
    structure = tree.structure([1, 2])
    assert tree.unflatten(structure, iter((3, 4))) == [3, 4]
    with pytest.raises(ValueError, match="Too few leaves"):
        tree.unflatten(structure, [1])
    with pytest.raises(ValueError, match="Too many leaves"):
        tree.unflatten(structure, [1, 2, 3])


def test_a_class_of_the_user_can_be_a_container() -> None:
    class Interval:
        def __init__(self, low: Any, high: Any, unit: str) -> None:
            self.low, self.high, self.unit = low, high, unit

    def split(x: Interval) -> tuple[list[Any], str, tuple[str, str]]:
        return [x.low, x.high], x.unit, ("low", "high")

    def join(unit: str, children: Iterable[Any]) -> Interval:
        low, high = children
        return Interval(low, high, unit)

    assert len(tree.leaves(Interval(1.0, 2.0, "m"))) == 1
    tree.register(Interval, split, join)
    try:
        assert tree.paths([Interval(1.0, 2.0, "m")]) == ["[0].low", "[0].high"]
        gradient = grad(lambda i: i.low * i.high)(Interval(2.0, 3.0, "m"))
        assert (type(gradient), float(gradient.low), float(gradient.high), gradient.unit) == (
            Interval,
            3.0,
            2.0,
            "m",
        )
    finally:
        optree.unregister_pytree_node(Interval, namespace=tree.NAMESPACE)


# Trees through transforms.

SHAPES = ((), (3,), (2, 1), (0,))
TREES = st.recursive(
    st.sampled_from(SHAPES) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(lambda items: ("tuple", *items))
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.tuples(inner, inner).map(lambda pair: Point(*pair))
        | st.tuples(inner, inner).map(lambda pair: Line(*pair))
    ),
    max_leaves=6,
)


def fill(shapes: Any) -> Any:
    """The tree of arrays for a tree of shapes."""
    if shapes is None:
        return None
    if isinstance(shapes, Point):
        return Point(fill(shapes.x), fill(shapes.y))
    if isinstance(shapes, Line):
        return Line(fill(shapes.slope), fill(shapes.parts))
    if isinstance(shapes, dict):
        return {key: fill(item) for key, item in shapes.items()}
    if isinstance(shapes, list):
        return [fill(item) for item in shapes]
    if shapes[:1] == ("tuple",):
        return tuple(fill(item) for item in shapes[1:])
    return np.arange(1.0, 1 + np.prod(shapes)).reshape(shapes)


def squares(value: Any) -> Any:
    return sum([xp.sum(x * x) for x in tree.leaves(value)], start=xp.asarray(0.0))


@settings(deadline=None)
@given(shapes=TREES)
def test_gradients_have_the_structure_of_their_argument(shapes: Any) -> None:
    value = fill(shapes)
    loss, gradient = value_and_grad(squares)(value)
    assert tree.structure(gradient) == tree.structure(value)
    assert loss == squares(value)
    for g, x in zip(tree.leaves(gradient), tree.leaves(value), strict=True):
        np.testing.assert_array_equal(g, 2 * x)
        assert g.shape == x.shape and type(g) is np.ndarray


@settings(deadline=None)
@given(shapes=TREES)
def test_products_keep_the_structure_of_what_comes_and_goes(shapes: Any) -> None:
    value = fill(shapes)
    out, pullback = vjp(lambda t: [tree.map(lambda x: x * x, t), None], value)
    assert tree.structure(out) == tree.structure([value, None])
    (gradient,) = pullback(out)
    assert tree.structure(gradient) == tree.structure(value)
    _, tangent = jvp(lambda t: {"t": tree.map(lambda x: x * x, t)}, (value,), (value,))
    assert tree.structure(tangent) == tree.structure({"t": value})
    for g, t, x in zip(tree.leaves(gradient), tree.leaves(tangent), tree.leaves(value), strict=True):
        np.testing.assert_array_equal(g, 2 * x * x * x)
        np.testing.assert_array_equal(t, 2 * x * x)


def test_a_tree_on_every_library(backend: Backend) -> None:
    params = {"w": xp.ones((2, 3)), "layers": [Line(xp.asarray(2.0)), None], "bias": Point(3.0, xp.ones(3))}

    def loss(p: Any, x: Any, *, scale: Any) -> Any:
        hidden = xp.matmul(p["w"], x["x"][:, None])[:, 0]
        return xp.sum(p["layers"][0](hidden)) * scale["s"] * p["bias"].x

    gradient = grad(loss)(params, {"x": xp.ones(3)}, scale={"s": xp.asarray(0.5), "name": "half"})
    assert tree.structure(gradient) == tree.structure(params)
    assert list(gradient) == ["w", "layers", "bias"]
    assert host(gradient["w"]).tolist() == [[3.0] * 3] * 2
    assert float(gradient["layers"][0].slope) == 9.0
    assert float(gradient["bias"].x) == 6.0
    assert host(gradient["bias"].y).tolist() == [0.0] * 3
    assert all(backend_of(g) is backend for g in tree.leaves(gradient))


def test_several_arguments_and_aux_keep_their_structures() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return a["x"] * c[0] * b, {"seen": [a["x"], b, "text", None], "n": 3}

    ((value, aux), (gc, ga)) = value_and_grad(f, argnums=(2, 0), has_aux=True)(
        {"x": 2.0}, np.asarray(3.0), (5.0,)
    )
    assert float(value) == 30.0
    assert isinstance(gc, tuple) and float(gc[0]) == 6.0
    assert list(ga) == ["x"] and float(ga["x"]) == 15.0
    assert (float(aux["seen"][0]), float(aux["seen"][1]), aux["seen"][2:], aux["n"]) == (
        2.0,
        3.0,
        ["text", None],
        3,
    )
    assert all(isinstance(x, np.ndarray | np.generic) for x in aux["seen"][:2])


def test_an_argument_without_arrays_has_an_empty_gradient() -> None:
    assert grad(lambda p, x: x * 1.0, argnums=0)(None, np.asarray(1.0)) is None
    assert grad(lambda p, x: x * 1.0, argnums=(0, 1))({"a": []}, np.asarray(1.0)) == ({"a": []}, 1.0)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (
            {"w": [1.0, 2]},
            r"argument 0\['w'\]\[1\] is asked for a gradient.* it is the int 2\. Write it as a float, 2\.0",
        ),
        (
            Point(1.0, {"k": np.arange(3)}),
            r"argument 0\.y\['k'\] .* an array of shape \(3,\) and dtype int64\. Convert",
        ),
        (Line(np.asarray([True])), r"argument 0\.slope .* an array of shape \(1,\) and dtype bool"),
        ([1.0, "relu"], r"argument 0\[1\] .* the str 'relu'\. Leave it out"),
        ([1.0, {1}], r"argument 0\[1\] .* the set \{1\}"),
        (True, r"argument 0 is asked for a gradient.* the bool True\. Write it as a float, 1\.0"),
    ],
)
def test_what_is_not_differentiable_is_named_by_its_path(value: Any, place: str) -> None:
    with pytest.raises(ArgumentError, match=place):
        grad(lambda p: 1.0)(value)
    with pytest.raises(ArgumentError, match=place.replace("argument", "primal")):
        vjp(lambda p: p, value)
    with pytest.raises(ArgumentError, match=place.replace("argument 0", r"primals\[0\]")):
        jvp(lambda p: p, (value,), (value,))


# A tree given for another, with None for parts of it.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (({"w": 5, "n": None}, [6, 7]), [5, 6, 7]),
        ((None, [6, 7]), [None, 6, 7]),
        (({"w": 5, "n": None}, None), [5, None, None]),
        (({"w": None, "n": None}, [None, 7]), [None, None, 7]),
        (None, [None, None, None]),
    ],
)
def test_match(given: Any, expected: Any) -> None:
    assert tree.match(given, tree.structure(({"w": 1, "n": None}, [2, 3]))) == expected


@pytest.mark.parametrize(
    "given",
    [
        (5, None),
        ({"w": None}, None),
        [None, None],
        (None,),
        ({"w": 5, "n": 3}, None),
        ({"w": [5], "n": None}, None),
        (None, [6, 7, None]),
        (None, (6, 7)),
        (None, [6, None, None]),
    ],
)
def test_what_does_not_match(given: Any) -> None:
    with pytest.raises(ValueError, match="the structure is"):
        tree.match(given, tree.structure(({"w": 1, "n": None}, [2, 3])))
