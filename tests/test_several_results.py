"""Functions with several results, of which any may be used, in both modes and at second order."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import evaluate
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.rules.registry import RULES, custom
from bpkit.trace import call


def _pull(g: tuple[Any, ...], x: Any) -> Any:
    parts = []
    if g[0] is not None:
        parts.append(g[0] * xp.cos(x))
    if g[1] is not None:
        parts.append(-g[1] * xp.sin(x))
    assert g[2] is None, "an integer has no cotangent"
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


@pytest.fixture(autouse=True)
def sincos() -> Iterator[None]:
    """A function with three results: sine, cosine and an integer."""
    define = evaluate.definition("sincos")
    define(lambda library, x: (library.sin(x), library.cos(x), library.astype(x, library.int32)))
    custom("sincos", x=_pull, jvp=lambda t, x: (t * xp.cos(x), -t * xp.sin(x), None))
    yield
    del RULES["sincos"]
    del evaluate._definitions["sincos"]
    for functions in evaluate._functions.values():
        functions.pop("sincos", None)


def both(x: Any) -> Any:
    sin, cos, whole = call("sincos", x)
    return xp.sum(sin * cos * x + xp.astype(whole, x.dtype))


def both_apart(x: Any) -> Any:
    return xp.sum(xp.sin(x) * xp.cos(x) * x)


def second(x: Any) -> Any:
    return xp.sum(call("sincos", x)[1])


def second_apart(x: Any) -> Any:
    return xp.sum(xp.cos(x))


def directional(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: bpkit.jvp(fun, (x,), (x * 2.0,))[1]


def squared_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: xp.sum(bpkit.grad(fun)(x) ** 2)


@pytest.mark.parametrize("of", [lambda f: f, directional, squared_gradient])
@pytest.mark.parametrize(("fun", "apart"), [(both, both_apart), (second, second_apart)])
def test_derivatives_are_those_of_separate_functions(
    fun: Callable[..., Any], apart: Callable[..., Any], of: Callable[..., Any], backend: Backend
) -> None:
    x = backend.from_host(np.asarray([0.3, -0.7]))
    found, expected = (bpkit.grad(of(f))(x) for f in (fun, apart))
    np.testing.assert_allclose(backend.to_host(found), backend.to_host(expected), rtol=1e-14)


def test_each_result_has_its_tangent(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.3, -0.7]))
    (sin, cos, whole), (moved_sin, moved_cos, unmoved) = bpkit.jvp(lambda x: call("sincos", x), (x,), (x,))
    np.testing.assert_allclose(backend.to_host(moved_sin), backend.to_host(x * cos), rtol=1e-15)
    np.testing.assert_allclose(backend.to_host(moved_cos), backend.to_host(-x * sin), rtol=1e-15)
    assert unmoved.dtype == whole.dtype and not backend.to_host(unmoved).any()


def test_a_result_that_nothing_depends_on_has_no_cotangent(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.3, -0.7]))
    zero = bpkit.grad(lambda x: xp.sum(xp.astype(call("sincos", x)[2], x.dtype)))(x)
    assert not backend.to_host(zero).any()
