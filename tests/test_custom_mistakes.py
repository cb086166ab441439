"""What is wrong with a custom rule is said, by name."""

from typing import Any

import numpy as np
import pytest
from test_custom import Fun, by_vjp, plain, total  # type: ignore[import-not-found]

import bpkit
from bpkit import custom_jvp, custom_vjp, grad, jvp, vmap, xp
from bpkit._protocol import Backend
from bpkit.errors import (
    ArgumentError,
    GradientCutError,
    LeakedArrayError,
    MixedBackendsError,
    NotDifferentiableError,
)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            lambda g: g,
            r"bwd must return a tuple of 2, a cotangent for each .*, as in return \(g,\); it returned an",
        ),
        (lambda g: None, "bwd must return a tuple of 2, .*; it returned None"),
        (lambda g: (g,), "bwd must return a tuple of 2, .*; it returned the tuple"),
        (
            lambda g: (g, [g]),
            r"bwd must return cotangents of the structure of the arguments, .*'w'.*; it returned",
        ),
        (lambda g: (g, {"w": g, "b": None}), "of the structure of the arguments"),
        (
            lambda g: (g, {"w": xp.sum(g)}),
            r"bwd's result\[1\]\['w'\] must be an array of shape \(3,\) and dtype float64, as its argument "
            r"is, or None for zero; it is an array of shape \(\) and dtype float64",
        ),
        (
            lambda g: (xp.astype(g, "float32"), None),
            r"result\[0\] must be .* dtype float64.* and dtype float32",
        ),
        (
            lambda g: (1.0, None),
            r"bwd's result\[0\] must be an array of shape \(3,\).*; it is the float 1\.0",
        ),
        (lambda g: ("g", None), "it is the str 'g'"),
    ],
)
def test_wrong_cotangents(returned: Fun, message: str) -> None:
    @custom_vjp
    def scale(x: Any, p: Any) -> Any:
        return x * p["w"]

    scale.defvjp(lambda x, p: (scale(x, p), None), lambda _, g: returned(g))
    with pytest.raises(ArgumentError, match=r"custom_vjp of .*scale: .*" + message):
        grad(lambda x, p: xp.sum(scale(x, p)), (0, 1))(np.ones(3), {"w": np.ones(3)})


def test_cotangents_of_another_library() -> None:
    strict = pytest.importorskip("array_api_strict")
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (strict.ones(2, dtype=strict.float64),))
    with pytest.raises(MixedBackendsError, match=r"custom_vjp of .*, bwd: .*numpy.*array_api_strict"):
        grad(total(f))(np.ones(2))


def test_a_number_is_a_cotangent_of_an_array_of_no_axes(backend: Backend) -> None:
    f = custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (5,))
    x = xp.asarray(2.0)
    gradient = grad(f)(x)
    assert float(gradient) == 5.0 and gradient.dtype == x.dtype


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x, t: x, r"the rule must return a pair, \(out, tangent\); it returned an array of shape"),
        (lambda x, t: (x, t, t), "the rule must return a pair"),
        (
            lambda x, t: (x, [t]),
            r"a tangent of the structure of the result, .*; it returned PyTreeSpec\(\[\*\]",
        ),
        (
            lambda x, t: ({"a": x}, {"a": xp.sum(t)}),
            r"the rule's tangent\['a'\] must be an array of shape \(3,\) .*; it is an array of shape \(\)",
        ),
        (lambda x, t: (x, xp.astype(t, "float32")), "must be an array .* dtype float64; it is .* float32"),
        (lambda x, t: ("x", t), "the result of the rule must be an array; it is the str 'x'"),
    ],
)
def test_wrong_tangents(returned: Fun, message: str) -> None:
    double = custom_jvp(lambda x: 2.0 * x)
    double.defjvp(lambda primals, tangents: returned(primals[0], tangents[0]))
    for run in (
        lambda f: jvp(f, (np.ones(3),), (np.ones(3),)),
        lambda f: grad(lambda x: xp.sum(f(x)))(np.ones(3)),
        lambda f: vmap(grad(lambda x: xp.sum(f(x))))(np.ones((2, 3))),
    ):
        with pytest.raises(ArgumentError, match=r"custom_jvp of .*: .*" + message):
            run(double)


@pytest.mark.parametrize(
    ("tangent", "numbers"),
    [
        (lambda p, t: t**2, "for tangents of 1 it returned 1, and for tangents of 2 it returned 4, not 2"),
        (
            lambda p, t: xp.cos(p) * t + 1,
            "returned 1.5403, and for tangents of 2 it returned 2.0806, not 3.0806",
        ),
        (lambda p, t: xp.sin(t) * p, "it returned 0.841471, and for .* it returned 0.909297, not 1.68294"),
        # Those that only a tangent below zero finds.
        (
            lambda p, t: xp.abs(t),
            "for tangents of 1 it returned 1, and for tangents of -1 it returned 1, not -1",
        ),
        (lambda p, t: xp.relu(t) * p, "tangents of -1 it returned -?0, not -1"),
    ],
)
def test_rules_that_are_not_linear(backend: Backend, tangent: Fun, numbers: str) -> None:
    f = custom_jvp(xp.sin)
    f.defjvp(lambda primals, tangents: (xp.sin(primals[0]), tangent(primals[0], tangents[0])))
    for dtype in ("float32", "float64"):
        x = backend.from_host(np.asarray([1.0, 1.0], dtype=dtype))
        for run in (grad(total(f)), grad(total(vmap(f)))):
            with pytest.raises(
                ArgumentError,
                match=r"custom_jvp of .*: the rule must be linear in the tangents, .*" + numbers,
            ):
                run(x)


@pytest.mark.parametrize(
    "tangent",
    [
        lambda t: xp.max(t) * xp.ones_like(t),
        lambda t: xp.sign(t[0]) * xp.sqrt(xp.sum(t**2)) + t,
        lambda t: xp.cumulative_sum(xp.sort(t)),
        lambda t: xp.sum(t**3) / xp.sum(t**2) * xp.ones_like(t),
    ],
)
def test_rules_that_are_not_additive(backend: Backend, tangent: Fun) -> None:
    f = custom_jvp(lambda x: x)
    f.defjvp(lambda primals, tangents: (primals[0], tangent(tangents[0])))
    for dtype, n in (("float32", 3), ("float64", 2000)):
        x = backend.from_host(np.linspace(-1.0, 2.0, n).astype(dtype))
        weights = backend.from_host(np.random.default_rng(0).uniform(size=n).astype(dtype))
        for run in (
            grad(lambda x, w=weights: xp.sum(f(x) * w)),
            lambda x, w=weights: vmap(grad(lambda x: xp.sum(f(x) * w)))(x[None, :]),
        ):
            with pytest.raises(
                ArgumentError, match=r"for some random tangents it returned .*, and for .*, not "
            ):
                run(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linear_rules_are_not_taken_for_others(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(5)

    def made(tangent: Fun) -> Fun:
        f = custom_jvp(lambda x: x)
        f.defjvp(lambda primals, tangents: (primals[0], tangent(tangents[0])))
        return f

    for n in (1, 3, 30, 300):
        a, g = (backend.from_host(rng.normal(size=s).astype(dtype)) for s in ((n, n), (n,)))
        large = backend.from_host(10.0 ** rng.uniform(-3, 8, n).astype(dtype))
        rules: list[Fun] = [
            lambda t, a=a: xp.matmul(a, t),
            lambda t: t - xp.mean(t),
            lambda t, c=large: t * c - t * (c - 1.0),
            lambda t, a=a: xp.matmul(a, t) - xp.matmul(a, t + 0.0),
            lambda t, a=a, c=large: xp.linalg.solve(a * c, t),
            lambda t: 0.0 * t,
        ]
        for rule in rules:
            for weights in (g, xp.ones_like(g), xp.zeros_like(g)):
                grad(lambda x, rule=rule, w=weights: xp.sum(made(rule)(x) * w))(g)


def test_linear_rules_of_complex_numbers_and_infinite_ones() -> None:
    f = custom_jvp(lambda z: z)
    f.defjvp(lambda primals, tangents: (primals[0], xp.conj(tangents[0]) * (2 + 1j) + 3j * tangents[0]))
    z = np.asarray([1 + 2j, 3 - 1j])
    pullback = bpkit.vjp(f, z)[1]
    np.testing.assert_allclose(pullback(z)[0], np.conj(z * (2 + 1j)) + 3j * z, rtol=1e-15)
    f = custom_jvp(xp.sqrt)
    f.defjvp(lambda primals, tangents: (xp.sqrt(primals[0]), tangents[0] / (2 * xp.sqrt(primals[0]))))
    with np.errstate(divide="ignore"):
        assert grad(total(f))(np.asarray([0.0, 4.0])).tolist() == [np.inf, 0.25]


def test_wrong_results() -> None:
    f = custom_vjp(lambda x: {"a": x, "n": 3})
    # Without a derivative it may return anything.
    f.defvjp(lambda x: x, lambda _, g: (g,))
    with pytest.raises(
        ArgumentError, match=r"fwd must return a pair, \(out, residuals\); it returned an array"
    ):
        grad(f)(1.0)
    f.defvjp(lambda x: (float(x), None), lambda _, g: (g,))
    with pytest.raises(ArgumentError, match=r"the result of fwd must be an array; it is the float 1\.0"):
        grad(f)(1.0)


def test_functions_without_a_rule() -> None:
    for make, advice in ((custom_vjp, r"f\.defvjp\(fwd, bwd\)"), (custom_jvp, r"f\.defjvps\(\*rules\)")):
        with pytest.raises(
            ArgumentError, match=rf"{make.__name__} of plain: it has no rule yet\. .*{advice}"
        ):
            make(plain)(1.0, 2.0)
        with pytest.raises(ArgumentError, match="the first argument must be a function; it is the float"):
            make(3.0)
        for wrong in (-1, (0, 0), ("x",)):
            with pytest.raises(
                ArgumentError, match=r"nondiff_argnums must be positions of arguments, .*; it is"
            ):
                make(plain, nondiff_argnums=wrong)
    with pytest.raises(ArgumentError, match="bwd must be a function; it is None"):
        custom_vjp(plain).defvjp(plain, None)
    with pytest.raises(ArgumentError, match="the rule must be a function; it is None"):
        custom_jvp(plain).defjvp(None)
    with pytest.raises(ArgumentError, match="defjvps takes functions and None; it got"):
        custom_jvp(plain).defjvps(3)
    with pytest.raises(ArgumentError, match="defjvps is not for functions with nondiff_argnums; use defjvp"):
        custom_jvp(plain, nondiff_argnums=0).defjvps(None)
    f = custom_jvp(plain)
    f.defjvps(lambda t, out, x, y: t)
    with pytest.raises(ArgumentError, match="defjvps got 1 rules, and the call has 2 arguments"):
        grad(f)(1.0, 2.0)
    g = custom_vjp(plain, nondiff_argnums=3)
    g.defvjp(plain, plain)
    with pytest.raises(ArgumentError, match="nondiff_argnums has 3, and the call has 2 arguments"):
        g(1.0, 2.0)


def test_forward_mode_of_a_rule_for_reverse_mode() -> None:
    f = by_vjp()
    x = np.asarray(0.5)
    for run in (
        lambda: jvp(f, (x, x), (x, x)),
        lambda: vmap(lambda x: jvp(lambda y: f(x, y), (x,), (x,)))(np.ones(2)),
        lambda: jvp(vmap(f), (np.ones(2), np.ones(2)), (np.ones(2), np.ones(2))),
        lambda: grad(lambda x: jvp(lambda y: f(x, y), (x,), (x,))[1])(x),
    ):
        with pytest.raises(
            NotDifferentiableError,
            match=r"custom_vjp of plain: forward mode .* bpkit\.custom_jvp, which serves both",
        ):
            run()


def test_a_closed_over_value_is_refused() -> None:
    """The gradient that it should get is nowhere in the rule."""

    def make_vjp(w: Any) -> Fun:
        f = custom_vjp(lambda x: x * w)
        f.defvjp(lambda x: (x * w, None), lambda _, g: (g,))
        return f

    def in_residuals(w: Any) -> Fun:
        f = custom_vjp(lambda x: x * 2.0)
        f.defvjp(lambda x: (x * 2.0, w), lambda w, g: (g * w,))
        return f

    def make_jvp(w: Any) -> Fun:
        f = custom_jvp(lambda x: x * w)
        f.defjvp(lambda p, t: (p[0] * w, t[0]))
        return f

    def in_tangent(w: Any) -> Fun:
        f = custom_jvp(lambda x: x * 2.0)
        f.defjvp(lambda p, t: (p[0] * 2.0, t[0] * w))
        return f

    message = (
        r"custom_(vjp|jvp) of .*depends on a value that is traced by .* and is no argument .* Pass the value"
    )
    for make in (make_vjp, in_residuals, make_jvp, in_tangent):
        for run in (
            lambda m=make: grad(lambda w, x: m(w)(x), (0, 1))(2.0, 3.0),
            lambda m=make: grad(lambda w: vmap(grad(m(w)))(np.ones(2))[0])(2.0),
        ):
            with pytest.raises(GradientCutError, match=message):
                run()
    for make in (make_vjp, make_jvp):
        for run in (
            lambda m=make: grad(lambda w: m(w)(np.asarray(3.0)))(2.0),
            lambda m=make: grad(lambda w: xp.sum(vmap(m(w))(np.ones(2))))(2.0),
            lambda m=make: jvp(lambda w: m(w)(np.asarray(3.0)), (2.0,), (1.0,)),
            lambda m=make: vmap(lambda w, x: m(w)(x))(np.ones(2), np.ones(2)),
        ):
            with pytest.raises(GradientCutError, match=message):
                run()
    for make in (make_jvp, in_tangent):
        with pytest.raises(GradientCutError, match=message):
            jvp(lambda w, x, m=make: m(w)(x), (2.0, 3.0), (1.0, 1.0))
    # What is not differentiated may be closed over, also where it is a constant of the transform or a batch.
    assert grad(lambda x, w: make_vjp(w)(x))(3.0, 2.0) == 1.0
    assert grad(lambda x, w: in_residuals(w)(x))(3.0, 2.0) == 2.0
    assert grad(lambda x, w: in_tangent(w)(x))(3.0, 2.0) == 2.0
    np.testing.assert_array_equal(
        vmap(lambda w: grad(in_residuals(w))(1.0))(np.asarray([2.0, 5.0])), [2.0, 5.0]
    )
    np.testing.assert_array_equal(
        vmap(lambda w: grad(in_tangent(w))(1.0))(np.asarray([2.0, 5.0])), [2.0, 5.0]
    )


def test_a_value_used_on_the_way_back_has_left_its_transform() -> None:
    def loss(w: Any, x: Any) -> Any:
        f = custom_vjp(lambda x: x * 2.0)
        f.defvjp(lambda x: (x * 2.0, None), lambda _, g: (g * w,))
        return f(x)

    with pytest.raises(LeakedArrayError, match="was traced by grad"):
        grad(loss, (0, 1))(2.0, 3.0)
    # One level further out the code of bwd is differentiated as code.
    assert grad(lambda w: grad(lambda x: loss(w, x))(3.0))(2.0) == 1.0


def test_an_argument_that_has_left_its_transform() -> None:
    kept = []

    def keeping(x: Any) -> Any:
        kept.append(x)
        return x

    grad(keeping)(1.0)
    with pytest.raises(LeakedArrayError, match=r"custom_vjp of plain: an argument was traced by grad"):
        by_vjp()(kept[0], 1.0)
