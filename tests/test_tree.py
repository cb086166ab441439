"""Pytrees: what is a container, what is a leaf, and gradients in the shape of their arguments."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Barrier, Thread
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkit import grad, jacobian, jvp, random, tree, value_and_grad, vjp, vmap, xp
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


@dataclass
class Layer:
    weights: Any
    bias: Any = None
    name: str = static(default="layer")

    @cached_property
    def size(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Network:
    layers: list[Layer]
    scale: Any


@dataclass(frozen=True, slots=True)
class Slots:
    low: Any
    high: Any


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    inside: T


@dataclass(frozen=True)
class WithPlace(Slots):
    """Its own fields are attributes; those of the class above are slots."""

    place: Any = 0.5


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


_NETWORK_PATHS = (".layers[0].weights", ".layers[1].weights", ".layers[1].bias")
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
    (Layer(1, [2]), [1, 2], [".weights", ".bias[0]"]),
    (Network([Layer(1), Layer(2, 3)], 4), [1, 2, 3, 4], [*_NETWORK_PATHS, ".scale"]),
    ({"a": Slots(1, (2, None))}, [1, 2], ["['a'].low", "['a'].high[0]"]),
    (Box[int](1), [1], [".inside"]),
    (Layer, [Layer], [""]),
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


def test_dataclasses_are_put_together_from_their_fields() -> None:
    made = []

    @dataclass
    class Checked:
        low: Any
        high: Any
        unit: str = field(default="m", metadata={"static": True})

        def __post_init__(self) -> None:
            made.append(self)
            assert self.low < self.high

    x = Checked(1.0, 2.0, "km")
    turned = tree.map(lambda y: -y, x)
    assert (turned.low, turned.high, turned.unit) == (-1.0, -2.0, "km") and made == [x]
    assert tree.structure(x) != tree.structure(Checked(1.0, 2.0))
    layer = Layer(np.ones(3))
    assert layer.size == 3
    # What was worked out from the fields is not carried over to others.
    assert tree.map(lambda y: y[:2], layer).size == 2
    place = tree.map(lambda y: y + 1, WithPlace(1, 2))
    assert (place.low, place.high, place.place) == (2, 3, 1.5)
    assert tree.broadcast_prefix(Slots(0, None), Slots([1, 2], {"a": 3})) == [0, 0, None]
    assert tree.match(Slots(None, 1), tree.structure(Slots((0, 0), 0))) == [None, None, 1]


def test_a_dataclass_with_a_field_made_of_others_is_registered_by_hand(backend: Backend) -> None:
    @dataclass
    class Normal:
        spread: Any
        seen: list[Any] = field(init=False, default_factory=list)

    x = Normal(xp.asarray([1.0, 2.0]))
    assert tree.leaves([x]) == [x]
    place = (
        r"is the Normal .*, a dataclass with fields that its __init__ does not take \(seen\): if they are "
        r"not made of the others, bpkit\.tree\.register_dataclass\(Normal\) makes it a container"
    )
    for run in (
        lambda: grad(lambda n: xp.sum(n.spread))(x),
        lambda: vmap(lambda n: n.spread)(x),
        lambda: vmap(lambda y: x)(x.spread),
        lambda: vjp(lambda y: x, x.spread),
    ):
        with pytest.raises(ArgumentError, match=place):
            run()
    assert tree.register_dataclass(Normal) is Normal
    assert tree.register_dataclass(Normal) is Normal
    gradient = grad(lambda n: xp.sum(n.spread))(x)
    assert type(gradient) is Normal and gradient.seen == [] and host(gradient.spread).tolist() == [1.0, 1.0]


def test_what_a_dataclass_would_lose_is_refused() -> None:
    layer = Layer(1.0)
    layer.extra = 2.0  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match=r"Layer has the attribute 'extra', .* `extra: Any = bpkit"):
        tree.leaves(layer)
    layer = Layer(1.0)
    del layer.weights
    with pytest.raises(ArgumentError, match=r"Layer\.weights is a declared field that was never set"):
        tree.leaves(layer)
    with pytest.raises(ArgumentError, match=r"Layer\.name is a static field, .* it is a list .* use a tuple"):
        tree.leaves(Layer(1.0, name=["a"]))  # type: ignore[arg-type]


def test_a_dataclass_is_first_seen_by_many_threads_at_once() -> None:
    for _ in range(20):

        @dataclass
        class New:
            x: Any

        found: list[Any] = []
        start = Barrier(8)

        def look(cls: Any = New, start: Any = start, found: Any = found) -> None:
            start.wait()
            found.append(tree.leaves([cls(1), cls((2, cls(3)))]))

        threads = [Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[1, 2, 3]] * 8


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


KINDS: list[Any] = [
    lambda a, b: Layer(a, b, name="x"),
    lambda a, b: Network([Layer(a), Layer(b)], None),
    lambda a, b: Slots(a, [b]),
    lambda a, b: WithPlace(a, {}, b),
    lambda a, b: Box(Box((a, b))),
    lambda a, b: {"b": b, "a": a},
    lambda a, b: OrderedDict([("b", b), ("a", a)]),
    lambda a, b: defaultdict(list, {"a": a, "b": b}),
    lambda a, b: deque([a, b], maxlen=3),
    lambda a, b: Point(a, {"k": (b, None)}),
    lambda a, b: Line(a, [None, b]),
    lambda a, b: [Layer(Slots(a, None), {"p": Point(deque([b]), ())})],
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_transform_takes_and_returns_every_container(backend: Backend, kind: Any) -> None:
    a, b = xp.asarray([1.0, 2.0]), xp.asarray([[3.0, 4.0], [5.0, 6.0]])
    value = kind(a, b)
    structure = tree.structure(value)

    def squares_of(t: Any) -> Any:
        return tree.map(lambda x: x * x, t)

    def check(found: Any, *expected: Any) -> None:
        assert tree.structure(found) == structure and type(found) is type(value)
        assert repr(found).split("(")[0] == repr(value).split("(")[0]
        for x, y in zip(tree.leaves(found), tree.leaves(kind(*expected)), strict=True):
            np.testing.assert_allclose(host(x), host(y), rtol=1e-6)

    def loss(t: Any) -> Any:
        return sum([xp.sum(x) for x in tree.leaves(squares_of(t))], start=xp.asarray(0.0))

    check(grad(loss)(value), 2 * a, 2 * b)
    check(grad(lambda x, t: xp.sum(x) * loss(t), argnums=1)(a, value), 6 * a, 6 * b)
    out, tangent = jvp(squares_of, (value,), (value,))
    check(out, a * a, b * b)
    check(tangent, 2 * a * a, 2 * b * b)
    out, pullback = vjp(squares_of, value)
    check(out, a * a, b * b)
    check(pullback(value)[0], 2 * a * a, 2 * b * b)
    check(vmap(squares_of)(value), a * a, b * b)
    check(vmap(squares_of, in_axes=(kind(0, 1),), out_axes=kind(0, 1))(value), a * a, b * b)
    check(vmap(grad(loss), out_axes=kind(0, 1), in_axes=(kind(0, 1),))(value), 2 * a, 2 * b)
    _, aux = grad(lambda x: (xp.sum(x), squares_of(value)), has_aux=True)(a)
    check(aux, a * a, b * b)
    found = jacobian(squares_of)(value)
    leaves = tree.leaves(found)
    assert tree.structure(found) != structure and [tuple(x.shape) for x in leaves] in (
        [(2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2, 2)],
        [(2, 2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2)],
    )
    diagonal = next(x for x in leaves if len(x.shape) == 2)
    np.testing.assert_allclose(host(diagonal), np.diag([2.0, 4.0]), rtol=1e-6)


def test_a_dataclass_may_be_made_and_unmade_inside(backend: Backend) -> None:
    @dataclass
    class Body:
        place: Any
        speed: Any

    def step(body: Body, seconds: Any) -> Body:
        return Body(body.place + seconds * body.speed, body.speed - seconds * body.place)

    def energy(start: Any) -> Any:
        body = start
        for _ in range(3):
            body = step(body, 0.5)
        return xp.sum(body.place**2 + body.speed**2)

    ones = xp.ones(2)
    gradient = grad(energy)(Body(ones, ones))
    # Each step turns and stretches by 1 + 0.5**2.
    np.testing.assert_allclose(host(gradient.place), [2 * 1.25**3] * 2, rtol=1e-6)
    many = vmap(step, in_axes=(Body(0, None), 0))(
        Body(random.normal(random.key(0), (4, 2)), ones), xp.ones(4)
    )
    assert many.place.shape == many.speed.shape == (4, 2)


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
