"""assert_gradients: what it finds, in whose words, and what it leaves alone."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import xp
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, GradientCheckError, UnknownBackendError
from bpkit.registry import get_backend
from bpkit.testing import assert_gradients
from bpkit.trace import Traced

X = np.asarray([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])


def layer(params: Any, x: Any, power: int = 2, *, shift: Any = 0.0) -> Any:
    return {"out": xp.tanh(x @ params["w"] + params["b"]) ** power + shift, "count": power}


PARAMS = {"w": np.asarray([0.3, -0.7, 0.2]), "b": 0.5}


def ruled(slope: float) -> Any:
    """``x**3`` by a rule that says ``slope * x**2``."""

    @bpkit.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    @cube.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return primals[0] ** 3, slope * primals[0] ** 2 * tangents[0]

    return cube


def test_what_is_right_passes(backend: Backend) -> None:
    params = {"w": backend.from_host(PARAMS["w"]), "b": 0.5}
    x = backend.from_host(X)
    assert_gradients(layer, params, x, 3, jit=True, order=1)
    assert_gradients(layer, params, x, kwargs={"power": 3, "shift": x[:, 0]}, argnums=(0,), modes=("rev",))


def test_a_wrong_rule_is_an_assertion_that_says_where() -> None:
    assert_gradients(ruled(3.0), X)
    with pytest.raises(AssertionError, match=r"by argument 0, element \(0, 2\) .*order 1\) is 8, .* say 12"):
        assert_gradients(ruled(2.0), X)


def test_second_order_is_looked_at() -> None:
    @bpkit.custom_vjp
    def square(x: Any) -> Any:
        return x**2

    # Right, but what it keeps is a constant, so that its own derivative is lost.
    square.defvjp(lambda x: (x**2, bpkit.stop_gradient(x)), lambda x, g: (2 * x * g,))
    assert_gradients(square, X, order=1, modes=("rev",))
    with pytest.raises(GradientCheckError, match=r"mode rev of rev, order 2"):
        assert_gradients(square, X, modes=("rev",))


def test_argnums_leaves_the_others_constant() -> None:
    def f(x: Any, y: Any) -> Any:
        return ruled(1.0)(x) * y

    assert_gradients(f, X, X, argnums=1)
    with pytest.raises(GradientCheckError, match="by argument 0"):
        assert_gradients(f, X, X, argnums=(-2, 1))
    with pytest.raises(ArgumentError, match=r"argnums \(2,\) must name different positional arguments"):
        assert_gradients(f, X, X, argnums=2)


def test_arguments_by_keyword_are_constants() -> None:
    assert_gradients(lambda x, y: x * ruled(1.0)(y), X, kwargs={"y": X})


def test_a_program_that_does_something_else_is_found() -> None:
    def recorded(x: Any) -> bool:
        return isinstance(x, Traced) and "record" in type(x._trace).__module__

    def f(x: Any) -> Any:
        return {"y": x * (2.0 if recorded(x) else 1.0)}

    assert_gradients(f, X)
    with pytest.raises(GradientCheckError) as caught:
        assert_gradients(f, X, jit=True)
    assert str(caught.value) == (
        "assert_gradients of test_a_program_that_does_something_else_is_found.<locals>.f, compiled: the "
        "result['y'], element (0, 2) is 4, and uncompiled 2; 6 of 6 elements differ by more than rounding. "
        "Look for what the function reads besides its arguments, or pass a larger rtol"
    )


@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_derivatives_are_compiled_too(mode: str) -> None:
    def recorded(x: Any) -> bool:
        while isinstance(x, Traced):
            if "record" in type(x._trace).__module__:
                return True
            x = x._value
        return False

    @bpkit.custom_jvp
    def f(x: Any) -> Any:
        return x * 1.0

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return primals[0] * 1.0, tangents[0] * (3.0 if recorded(tangents[0]) else 1.0)

    what = {"rev": "the gradient by argument 0", "fwd": "the tangent of the result"}[mode]
    with pytest.raises(GradientCheckError, match=f"compiled: {what}, element"):
        assert_gradients(f, X, jit=True, modes=(mode,))


def test_other_libraries() -> None:
    others = [name for name in ("array_api_strict", "torch") if find_spec(name)]
    kinds = set()

    def f(x: Any, i: Any, scale: Any) -> Any:
        kinds.add(bpkit.registry.backend_of(bpkit.kinds.raw(x)).name)
        return xp.take(x, i, axis=1) * xp.asarray([1.0, 2.0]) * scale

    assert_gradients(f, X, np.asarray([0, 2]), kwargs={"scale": X[:, :1]}, backends=others, order=1)
    assert kinds == {"numpy", *others}


def test_a_library_with_another_result_is_named() -> None:
    pytest.importorskip("array_api_strict")
    strict = get_backend("array_api_strict")

    def f(x: Any) -> Any:
        return x * (2.0 if bpkit.registry.current().backend is strict else 1.0)

    text = r"^on array_api_strict: assert_gradients of .*f: the result, element \(0, 2\) is 4, and on the "
    with pytest.raises(GradientCheckError, match=text):
        assert_gradients(f, X, backends=["array_api_strict"])


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="backends must be a list of names; it is the str 'torch'"):
        assert_gradients(layer, PARAMS, X, backends="torch")
    with pytest.raises(ArgumentError, match="assert_gradients: the first argument must be a function"):
        assert_gradients(X, layer)
    with pytest.raises(ArgumentError, match="there is nothing to check"):
        assert_gradients(lambda i: i * 1.0, 3)
    with pytest.raises(UnknownBackendError, match="there is no backend 'nampy'"):
        assert_gradients(layer, PARAMS, X, backends=["nampy"], order=1)
