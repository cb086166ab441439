"""check_grads: right derivatives pass, wrong ones are found where they are, and nothing passes unchecked."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bpkit import check_grads, custom_vjp, debug_nans, nn, stop_gradient, tree, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import (
    BpkitError,
    GradientCheckError,
    NotDifferentiableError,
)
from bpkit.rules.registry import RULES, custom, elementwise
from bpkit.transforms.checking import Comparison, GradientCheck, worst

only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


def comparisons(f: Any, args: Any, **options: Any) -> list[Comparison]:
    return list(GradientCheck(f, args, **options).comparisons())


def refused(f: Any, args: Any, **options: Any) -> str:
    with pytest.raises(GradientCheckError) as caught:
        check_grads(f, args, **options)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, BpkitError)
    return str(caught.value)


def placed(backend: Backend, values: Any, dtype: str = "float64") -> Any:
    return backend.from_host(np.asarray(values, dtype=dtype))


# Right derivatives.

RIGHT: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "elementwise": (lambda x: xp.sin(x) * xp.exp(x), [[0.3, -1.2]]),
    "scalar": (lambda x, y: x**3 / y, [0.7, 1.9]),
    "matrix": (lambda a, b: xp.tanh(a @ b), [[[0.1, 0.4], [-0.3, 0.2]], [0.5, -0.6]]),
    "shapes": (lambda x: (xp.sum(x, axis=0), [xp.reshape(x, (4,))[1:]]), [[[1.0, 2.0], [3.0, 4.0]]]),
    "linear": (lambda x: 2.0 * x, [[1.0, 2.0, 3.0]]),
    "constant": (lambda x: xp.ones_like(x) + xp.zeros_like(x), [[1.0, 2.0]]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass_in_both_modes_to_third_order(backend: Backend, name: str) -> None:
    f, values = RIGHT[name]
    args = [placed(backend, x) for x in values]
    order = 2 if backend.name == "jax" else 3
    check_grads(f, args, order)
    found = comparisons(f, args, order=order)
    assert len(found) == GradientCheck(f, args, order).total
    assert len({(c.mode, c.argument) for c in found}) == len(found)
    assert all(c.error < 1e-9 for c in found)


def test_modes_nest_in_every_way(backend: Backend) -> None:
    x = placed(backend, [0.5])
    found = comparisons(lambda x: x**4, (x,), order=2)
    nested = ["fwd of fwd", "rev of fwd", "fwd of rev", "rev of rev"]
    assert [(c.order, c.mode) for c in found] == [(1, "fwd"), (1, "rev"), *[(2, mode) for mode in nested]]
    assert [c.mode for c in comparisons(xp.sin, (x,), order=2, modes=("rev",))] == ["rev", "rev of rev"]


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_complex_numbers(backend: Backend, dtype: str) -> None:
    z = placed(backend, [0.5 + 1j, -0.3 - 0.7j], dtype)
    x = placed(backend, [0.5, 2.0], "float64" if dtype == "complex128" else "float32")
    check_grads(lambda z, x: xp.conj(z) * xp.exp(z * x), (z, x), 2)
    check_grads(xp.abs, (z,), 2)
    check_grads(lambda x: xp.exp(1j * xp.astype(x, z.dtype)), (x,), 2)


def test_float32_beside_differences_in_float64(backend: Backend) -> None:
    x = placed(backend, [[0.3, -1.2], [0.5, 2.0]], "float32")
    found = comparisons(lambda x: xp.sum(xp.exp(xp.sin(x))), (x,), order=2)
    assert all(c.agrees and c.error < 1e-5 for c in found)
    check_grads(lambda x, y: x * y, (x, placed(backend, 2.5)), 2)


@only_numpy
def test_float32_where_there_is_nothing_wider(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = backend.capabilities - {Capability.FLOAT64}
    monkeypatch.setattr(type(backend), "capabilities", property(lambda self: narrow))
    x = np.asarray([0.3, -1.2, 5.0], dtype=np.float32)
    seen = set()

    def f(x: Any) -> Any:
        seen.add(str(x.dtype))
        return xp.sin(x) * x

    assert all(1e-9 < c.error < 1e-3 for c in comparisons(f, (x,), order=2))
    assert seen == {"float32"}
    assert "element (2,)" in refused(lambda x: f(x) + 0.05 * stop_gradient(xp.where(x > 4, x, 0 * x)), (x,))


def test_float32_only_functions_are_not_run_in_float64() -> None:
    def f(x: Any) -> Any:
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return xp.exp(x)

    check_grads(f, (np.asarray([0.3, 0.4], dtype=np.float32),), 2)


def test_large_arrays_are_checked_along_random_directions(backend: Backend) -> None:
    x = placed(backend, np.linspace(-2, 2, 600).reshape(20, 30))
    found = comparisons(lambda x: xp.mean(xp.sin(x) ** 2), (x,), order=2)
    assert all(c.agrees and c.place == "random directions" for c in found)


# Trees.


class Point(NamedTuple):
    x: Any
    y: Any


class Line(nn.Module):
    slope: Any
    name: str = nn.static(default="line")


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


tree.register(
    Pair, lambda p: ((p.left, p.right), None, ("left", "right")), lambda _, children: Pair(*children)
)


def test_trees_in_and_out(backend: Backend) -> None:
    x = placed(backend, [1.0, 2.0])
    i = placed(backend, [1, 0, 1], "int64")

    def f(params: Any, other: Any, i: Any, flag: bool, n: int, text: str) -> Any:
        assert (flag, n, text) == (True, 3, "text")
        y = xp.take(params["w"], i) * params["line"].slope + other.y.right[0]
        return {"y": [y, n], "index": xp.argmax(params["w"]), "sum": Point(xp.sum(y), None)}

    args = ({"w": x, "line": Line(x[0])}, Point(None, Pair((), [2.5, True])), i, True, 3, "text")
    found = comparisons(f, args, order=2)
    assert worst(found) is None
    assert {c.argument for c in found} == {
        "argument 0['w']",
        "argument 0['line'].slope",
        "argument 1.y.right[0]",
    }
    wrong = lambda p, *args: f({**p, "line": Line(stop_gradient(p["line"].slope))}, *args)  # noqa: E731
    said = refused(wrong, args)
    assert "by argument 0['line'].slope (mode " in said
    assert "the result['" in said or "all results" in said


def test_arguments_stay_as_they_are_when_the_function_writes_to_them() -> None:
    x, i = np.asarray([1.0, 2.0]), np.asarray([3, 4])

    def f(x: Any, i: Any) -> Any:
        i += 1
        x *= 2.0
        return x * xp.astype(i, x.dtype)

    check_grads(f, (x, i), 2)
    assert x.tolist() == [1.0, 2.0] and i.tolist() == [3, 4]


# Wrong derivatives.


def plant(monkeypatch: pytest.MonkeyPatch, declare: Callable[[str], None], name: str = "sin") -> None:
    """Give a function another rule for the length of a test."""
    monkeypatch.delitem(RULES, name)
    declare(name)


def test_the_wrong_element_is_named(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = lambda x: xp.where(x > 0.9, 1.001 * xp.cos(x), xp.cos(x))  # noqa: E731
    plant(monkeypatch, lambda name: elementwise(name, x=wrong))
    w, x = placed(backend, 2.0), placed(backend, [[0.1, 0.2, 0.3], [0.4, 0.95, 0.6]])
    said = refused(lambda w, x: xp.sum(xp.sin(x) * w), (w, x))
    value, slope = 2.002 * np.cos(0.95), 2 * np.cos(0.95)
    assert "the derivative of the result by argument 1, element (1, 1) (mode fwd, order 1) is " in said
    assert f"order 1) is {value:.10g}, and finite differences say {slope:.7g}" in said
    assert "relative error 0.001, allowed 6e-08" in said
    assert "find the rule that is wrong" in said
    found = comparisons(lambda w, x: xp.sum(xp.sin(x) * w), (w, x))
    assert [(c.mode, c.argument, c.agrees) for c in found] == [
        ("fwd", "argument 0", True),
        ("rev", "argument 0", True),
        ("fwd", "argument 1", False),
        ("rev", "argument 1", False),
    ]


@only_numpy
@pytest.mark.parametrize("factor", [1 + 1e-6, 0.0, -1.0, 1e9, np.nan, np.inf])
def test_every_size_of_error_is_found(
    backend: Backend, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda name: elementwise(name, x=lambda x: factor * xp.cos(x)))
    for mode in ("fwd", "rev"):
        said = refused(xp.sin, (np.asarray([0.2, 1.3]),), modes=(mode,))
        assert f"mode {mode}, order 1" in said
        assert ("The derivative is not finite" in said) == (not np.isfinite(factor))


@pytest.mark.parametrize("wrong", ["fwd", "rev"])
def test_the_wrong_mode_is_named(backend: Backend, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factor = {"fwd": 1.0, "rev": 1.0, wrong: 3.0}
    plant(
        monkeypatch,
        lambda name: custom(
            name,
            jvp=lambda t, x: factor["fwd"] * t * xp.cos(x),
            x=lambda g, x: factor["rev"] * g * xp.cos(x),
        ),
    )
    x = placed(backend, [0.2, 1.3])
    assert f"mode {wrong}, order 1" in refused(xp.sin, (x,))
    other = "rev" if wrong == "fwd" else "fwd"
    check_grads(xp.sin, (x,), modes=(other,))


SECOND_ORDER: dict[str, tuple[Callable[[str], None], str]] = {
    "a derivative taken for a constant": (
        lambda name: elementwise(name, x=lambda x: stop_gradient(xp.cos(x))),
        "of",
    ),
    "a cotangent taken for a constant": (
        lambda name: custom(
            name, jvp=lambda t, x: t * xp.cos(x), x=lambda g, x: stop_gradient(g) * xp.cos(x)
        ),
        "of rev",
    ),
    "a tangent taken for a constant": (
        lambda name: custom(
            name, jvp=lambda t, x: stop_gradient(t) * xp.cos(x), x=lambda g, x: g * xp.cos(x)
        ),
        "of fwd",
    ),
}


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_what_is_wrong_from_second_order_on(
    backend: Backend, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare, nesting = SECOND_ORDER[name]
    plant(monkeypatch, declare)
    x = placed(backend, [0.2, 1.3])
    check_grads(xp.sin, (x,))
    said = refused(xp.sin, (x,), order=3)
    assert "order 2" in said
    assert nesting in said.partition("mode ")[2].partition(",")[0]
    assert {c.order for c in comparisons(xp.sin, (x,), order=3)} == {1, 2}


def test_one_wrong_element_in_a_large_array(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda name: elementwise(name, x=lambda x: xp.where(x > 3.0, -xp.cos(x), xp.cos(x))))
    values = np.linspace(-2, 2, 3000).reshape(50, 60)
    values[37, 41] = 3.5
    for mode in ("fwd", "rev"):
        said = refused(lambda x: xp.mean(xp.sin(x)), (placed(backend, values),), modes=(mode,))
        assert "by argument 0, element (37, 41)" in said
        said = refused(xp.sin, (placed(backend, values, "float32"),), modes=(mode,))
        assert "by argument 0, element (37, 41)" in said


def test_rules_of_the_user(backend: Backend) -> None:
    def ruled(factor: float) -> Any:
        f = custom_vjp(lambda x: x**3)
        f.defvjp(lambda x: (x**3, x), lambda x, g: (factor * x**2 * g,))
        return f

    x = placed(backend, [0.5, -2.0])
    check_grads(ruled(3.0), (x,), order=2, modes=("rev",))
    assert "by argument 0, element (1,) (mode rev" in refused(ruled(3.01), (x,), modes=("rev",))
    with pytest.raises(NotDifferentiableError, match="forward mode") as caught:
        check_grads(ruled(3.0), (x,))
    assert caught.value.__notes__ == ["check_grads with modes=('rev',) or ('fwd',) checks one mode alone"]
    lying = custom_vjp(lambda x: x**3)
    lying.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))
    said = refused(lying, (x,), modes=("rev",))
    assert "is -8, and 4 when the function runs in mode rev, order 1" in said
    assert "where it has a rule of its own, the rule must return its value" in said


def test_complex_parts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        monkeypatch,
        lambda name: custom(name, jvp=lambda t: t, x=xp.conj),
        "conj",
    )
    said = refused(xp.conj, (np.asarray([1 + 2j, 3 - 1j]),), modes=("fwd",))
    assert "imaginary part of element (0,), by argument 0, imaginary part of element (0,)" in said
    assert "is 1, and finite differences say -1 " in said
    check_grads(xp.conj, (np.asarray([1 + 2j, 3 - 1j]),), modes=("rev",))


def test_wrong_gradients_of_very_small_and_very_large_numbers() -> None:
    for size in (1e-27, 1e-9, 1e9, 1e40):
        x = size * np.asarray([1.0, 2.5])
        check_grads(lambda x: xp.sum(x**2), (x,), 2)
        assert "wrong" in refused(lambda x: xp.sum(x * stop_gradient(x)), (x,))
    x = np.asarray([1e-8, 1.0, 1e9])
    with debug_nans():  # the first step leads below 0
        check_grads(xp.log, (x,), 2)


# Kinks, and numbers that are not finite.


def test_a_kink_is_called_one(backend: Backend) -> None:
    x = placed(backend, [[1.0, -1.0], [0.0, 2.0]])
    for f in (lambda x: xp.sum(xp.relu(x)), xp.relu):
        for mode in ("fwd", "rev"):
            found = worst(comparisons(f, (x,), modes=(mode,)))
            assert (found.verdict, found.place) == ("at a kink", "element (1, 0)")
    said = refused(lambda x: xp.sum(xp.relu(x)), (x,))
    assert "as if it had a kink or a jump there: its slope is 0 from the left and 1 from the right" in said
    check_grads(lambda x: xp.sum(xp.relu(x)), (placed(backend, [1e-4, -1e-4]),))


def ruled(f: Any, slope: Any, factor: float) -> Any:
    """A function whose rule says `factor` times its slope."""
    g = custom_vjp(f)
    g.defvjp(lambda x: (f(x), x), lambda x, g: (factor * slope(x) * g,))
    return g


@pytest.mark.parametrize("jump", [1.0, 1e-3, 1e-4])
def test_a_jump_is_called_one_and_hides_no_wrong_rule(backend: Backend, jump: float) -> None:
    def stepped(factor: float) -> Any:
        square = ruled(lambda x: x * x, lambda x: 2 * x, factor)
        return lambda x: xp.sum(square(x) * (1.0 + jump * xp.astype(x >= 1, x.dtype)))

    points, beside = placed(backend, np.arange(4.0)), placed(backend, np.arange(4.0) + 0.3)
    found = comparisons(stepped(1.0), (points,), modes=("rev",))
    assert [(c.verdict, c.place) for c in found] == [("at a jump", "element (1,)")]
    assert found[0].jump == pytest.approx(jump, abs=1e-6)  # what is left is the slope over the last step
    said = refused(stepped(1.0), (points,), modes=("rev",))
    assert f"The function jumps there, or next to it: it changes by {found[0].jump:.6g} however small" in said
    assert said.endswith("choose another point")
    check_grads(stepped(1.0), (beside,), modes=("rev",))
    refused(stepped(0.5), (points,), modes=("rev",))
    assert "relative error 0.5" in refused(stepped(0.5), (beside,), modes=("rev",))


@only_numpy
@pytest.mark.parametrize("factor", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(
    ("f", "slope", "at", "jump"),
    [
        (lambda x: xp.where(x > 1, x + 1, x), xp.ones_like, 1.0, 1),
        (lambda x: x * xp.floor(x), xp.floor, 2.0, 2),
        (lambda x: x * xp.round(x), xp.round, 0.5, 0.5),
        (lambda x: xp.sign(x) + x, xp.ones_like, 0.0, 1),
    ],
    ids=["where", "floor", "round", "sign"],
)
def test_at_a_jump_no_rule_is_right(
    backend: Backend, f: Any, slope: Any, at: float, jump: float, factor: float
) -> None:
    for x in (at, np.asarray([at, at + 0.3], dtype=np.float32)):
        g = ruled(f, slope, factor)
        (found,) = comparisons(lambda x, g=g: xp.sum(g(x)), (x,), modes=("rev",))
        assert found.verdict == "at a jump"
        assert found.jump == pytest.approx(jump, rel=1e-3)
        assert found.place == ("" if isinstance(x, float) else "element (0,)")


def test_a_jump_in_a_large_array_is_named(backend: Backend) -> None:
    x = np.linspace(0.1, 1.7, 300).reshape(30, 10)
    x[7, 3] = 1.0
    found = worst(comparisons(lambda x: xp.mean(x * x + xp.astype(x >= 1, x.dtype)), (placed(backend, x),)))
    assert (found.verdict, found.place) == ("at a jump", "element (7, 3)")


@only_numpy
def test_a_jump_as_small_as_rounding_hides_no_wrong_rule(backend: Backend) -> None:
    square = ruled(lambda x: x * x, lambda x: 2 * x, 1.01)
    for jump in 10.0 ** np.arange(-15, -5):
        f = lambda x, jump=jump: square(x) + xp.where(x >= 1, jump, 0.0)  # noqa: E731
        refused(f, (1.0,), modes=("rev",))


def test_a_wrong_rule_is_not_called_a_kink() -> None:
    found = comparisons(lambda x: xp.exp(3 * x) * stop_gradient(x), (np.asarray([1.0, 2.0]),))
    assert [c.verdict for c in found] == ["wrong", "wrong"]


@only_numpy
def test_what_is_not_finite_is_named(backend: Backend) -> None:
    said = refused(xp.log, (np.asarray([[1.0, 0.0]]),))
    assert "the result, element (0, 1) is -inf (1 of 2 elements are not finite)" in said
    said = refused(lambda p: p["x"], ({"x": np.asarray([1.0, np.nan])},))
    assert "argument 0['x'], element (1,) is nan" in said
    said = refused(xp.sqrt, (np.asarray([1.0, 0.0]),))
    assert (
        "element (1,) (mode fwd, order 1) is inf, and finite differences say nan. Close by, the function"
        in said
    )
