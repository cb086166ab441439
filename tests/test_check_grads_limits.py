"""check_grads where nothing can be checked or rounding is in the way: refusals, tolerances, cost."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_check_grads import placed, refused  # type: ignore[import-not-found]

from bpkit import check_grads, custom_jvp, custom_vjp, grad, stop_gradient, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import (
    ArgumentError,
    GradientCheckError,
    MixedBackendsError,
)
from bpkit.registry import get_backend
from bpkit.transforms.checking.search import DIRECTIONS, ONE_BY_ONE

only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)

# What cannot be checked.


def test_nothing_passes_unchecked(backend: Backend) -> None:
    x = placed(backend, [1.0, 2.0])
    nothing: list[tuple[Any, ...]] = [(), (3,), (placed(backend, [1, 2], "int64"), "text"), ({},), (x[:0],)]
    for args in nothing:
        with pytest.raises(ArgumentError, match=r"nothing to check, because the arguments have no floating"):
            check_grads(lambda *args: x, args)
    for out in (None, 3, 2.0, "text", placed(backend, [1], "int64"), x[:0], {"x": [3]}):
        with pytest.raises(ArgumentError, match=r"nothing to check, because the result has no floating"):
            check_grads(lambda x, out=out: out, (x,))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": 0}, "order must be a whole number from 1; it is the int 0"),
        ({"order": 1.0}, "order must be a whole number from 1"),
        ({"modes": "fwd"}, r"modes must be a tuple of 'fwd' and 'rev'.* it is the str 'fwd'"),
        ({"modes": ()}, "modes must be a tuple"),
        ({"modes": ("forward",)}, "modes must be a tuple"),
        ({"eps": 0.0}, "eps must be a finite number above 0; it is 0.0"),
        ({"eps": 1e-30}, "eps=1e-30 is lost in the rounding of argument 0; choose a larger one"),
        ({"rtol": -1.0}, "rtol must be a finite number not below 0"),
        ({"atol": np.inf}, "atol must be a finite number not below 0"),
    ],
)
def test_wrong_settings(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=f"check_grads of .*<lambda>: .*{said}"):
        check_grads(lambda x: x, (1.0,), **options)


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"args must be a tuple, .* For one argument write \(x,\)"):
        check_grads(lambda x: x, np.ones(3))
    with pytest.raises(ArgumentError, match="the first argument must be a function"):
        check_grads(3.0, (1.0,))
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(MixedBackendsError):
        check_grads(lambda x, y: x, (np.ones(3), strict.ones(3)))

    def inside(x: Any) -> Any:
        check_grads(lambda x: x, (x,))
        return x

    with pytest.raises(ArgumentError, match="argument 0 is being differentiated by another transform"):
        grad(inside)(1.0)


def test_functions_that_are_none() -> None:
    count = iter(range(100))
    said = refused(lambda x: x * next(count), (1.0,))
    assert re.search("the result is 0, and [1-9] when the function runs in mode fwd, order 1", said)
    assert "pass random numbers and state in as arguments" in said
    said = refused(lambda x: x[x > 0], (np.asarray([0.0, 1.0]),))
    assert "of shapes [(1,)], and close by, or when it is differentiated, of [(2,)]" in said


def test_errors_of_the_function_come_through_under_its_name() -> None:
    def loss(x: Any) -> Any:
        return x * float(x)

    def other(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        check_grads(other, (1.0,))
    with (
        pytest.warns(UserWarning, match="float"),
        pytest.raises(GradientCheckError, match=r"check_grads of .*loss: "),
    ):
        check_grads(loss, (1.0,))


# Tolerances and cost.


def test_what_a_function_rounds_itself_is_no_error_and_hides_none() -> None:
    def single(x: Any) -> Any:
        return xp.astype(xp.sin(xp.astype(x, xp.float32)), xp.float64)

    def solved(a: Any) -> Any:
        """The square root, to seven digits."""
        x = xp.ones_like(a)
        while float(stop_gradient(xp.max(xp.abs(x * x - a)))) > 1e-7:
            x = x - 0.7 * (x * x - a) / (2 * x)
        return x + stop_gradient(1e-9 * xp.sin(1e6 * x))

    for f in (single, solved):
        check_grads(f, (np.asarray([0.3, 2.0]),))
        assert "wrong" in refused(lambda x, f=f: f(x) + 0.01 * stop_gradient(x), (np.asarray([0.3, 2.0]),))


def test_what_is_0_but_for_rounding() -> None:
    x = np.asarray([0.1, 0.7, -0.4])
    check_grads(lambda x: xp.sum(xp.softmax(x)), (x,), 2)
    off = lambda x: 1e-15 * stop_gradient(x)  # noqa: E731
    assert "If both should be 0, and are not for rounding only, pass atol=1e-12" in refused(off, (x,))
    check_grads(off, (x,), atol=1e-12)


def test_results_may_have_another_dtype_when_differentiated() -> None:
    def f(x: Any) -> Any:
        return xp.sin(x) if isinstance(x, np.ndarray) else xp.astype(xp.sin(x), xp.float64)

    check_grads(f, (np.asarray([0.5, 0.7], dtype=np.float32),), 2)


def test_tolerances_are_obeyed() -> None:
    off = lambda x: xp.sin(x) + 1e-4 * stop_gradient(x)  # noqa: E731
    x = np.asarray([0.3, 0.5])
    check_grads(off, (x,), rtol=2e-3)
    check_grads(off, (x,), atol=1e-3, rtol=0.0)
    check_grads(off, (x,), atol=1e-3, rtol=0.0, eps=1e-3)
    for options in ({"rtol": 5e-5}, {"atol": 5e-5, "rtol": 0.0}, {"atol": 0.0}, {}):
        refused(off, (x,), **options)


def test_the_cost_is_what_it_says() -> None:
    calls = 0

    def counted(f: Any) -> Any:
        def function(x: Any) -> Any:
            nonlocal calls
            calls += 1
            return f(x)

        return function

    n = 4096
    x = np.linspace(0.1, 1.0, n)
    check_grads(counted(xp.sin), (x,), modes=("rev",))
    # Twice at the point, once close by, once for vjp, and four for each difference.
    assert calls == 4 + 4 * DIRECTIONS
    calls = 0
    refused(counted(lambda x: stop_gradient(x) * x), (x,), modes=("rev",))
    differences = DIRECTIONS + 2 * np.log2(n / ONE_BY_ONE) + ONE_BY_ONE
    # Up to four steps a difference, and one more for the slopes on both sides.
    assert calls <= 3 + 4 * (4 * differences + 1)


# Numbers of very different size.


def wrong_by_a_tenth(rule: str) -> Callable[..., Any]:
    if rule == "both":
        same = custom_jvp(lambda x: x)
        same.defjvp(lambda primals, tangents: (primals[0], 1.1 * tangents[0]))
        return same
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (1.1 * g,))
    return f


@pytest.mark.parametrize("small", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("rule", "modes"), [("both", ("fwd",)), ("both", ("rev",)), ("rev", ("rev",))])
def test_large_results_do_not_hide_small_ones(
    backend: Backend, rule: str, modes: tuple[str, ...], small: float
) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip(f"{backend.name} has no float64")
    wrong, x = wrong_by_a_tenth(rule), placed(backend, [0.7, 1.3])
    for right, f in (
        (False, lambda x: xp.concat([1e6 * x, small * wrong(x)])),
        (False, lambda x: {"large": 1e6 * x, "small": small * wrong(x)}),
        (False, lambda x: xp.stack([1e5 * xp.sin(x[0]), small * xp.sin(wrong(x[1]))])),
        (True, lambda x: xp.concat([1e6 * x, small * x])),
    ):
        if right:
            check_grads(f, (x,), modes=modes)
        else:
            assert "is" in refused(f, (x,), modes=modes)


@pytest.mark.parametrize("modes", [("fwd",), ("rev",)])
def test_large_elements_of_a_gradient_do_not_hide_small_ones(
    backend: Backend, modes: tuple[str, ...]
) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip(f"{backend.name} has no float64")
    wrong, x = wrong_by_a_tenth("both"), placed(backend, [0.7, 1.3])
    text = refused(lambda x: 1e6 * x[0] + 1e-3 * wrong(x[1]), (x,), modes=modes)
    assert "by argument 0, element (1,)" in text
    check_grads(lambda x: 1e6 * x[0] + 1e-3 * x[1], (x,), modes=modes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_rounding_leaves_of_large_numbers_is_no_error(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for n in (1, 3, 40):
        x = placed(backend, rng.normal(size=n), dtype)
        a = placed(backend, rng.normal(size=(n, n)) * 1e4, dtype)
        size = placed(backend, 10.0 ** rng.uniform(-4, 4, n), dtype)
        for f in (
            lambda x, a=a: xp.matmul(a, x) - xp.matmul(a, x + 1.0),
            lambda x, s=size: xp.multiply(s, xp.sin(x)),
            lambda x, s=size: xp.concat([x * s, (x + 1e3) - 1e3 - x]),
            lambda x, s=size: xp.concat([xp.exp(x) * 1e4, xp.exp(x) - xp.exp(x + 1e-3)]),
            lambda x, a=a: xp.tanh(xp.matmul(a, x) * 1e-4) ** 5 * 1e3,
        ):
            check_grads(f, (x,))


def test_other_libraries_keep_their_devices() -> None:
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("device1")
    seen = set()

    def f(x: Any) -> Any:
        seen.add(str(x.device))
        return xp.sin(x)

    check_grads(f, (strict.asarray([0.1, 0.2], device=device),), 2)
    assert len(seen) == 1
    assert get_backend("array_api_strict").device_of(strict.ones(1, device=device)) == "device1"
