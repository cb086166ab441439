"""grad, value_and_grad, vjp and jvp: what they take, what they give back, and what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import grad, jvp, tree, value_and_grad, vjp, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, MixedBackendsError
from bpkit.kinds import is_mutable
from bpkit.registry import backend_of, get_backend, use_backend


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def real_dtypes(backend: Backend) -> list[str]:
    return ["float32", *(["float64"] if Capability.FLOAT64 in backend.capabilities else [])]


# What grad and value_and_grad give.


def test_value_and_gradient(backend: Backend) -> None:
    for dtype in real_dtypes(backend):
        w = xp.asarray([[1.0, -2.0], [0.5, 3.0]], dtype=dtype)
        x = xp.asarray([0.25, 0.5], dtype=dtype)

        def loss(w: Any, x: Any) -> Any:
            return xp.sum(xp.tanh(xp.matmul(w, x[:, None])))

        value, gradient = value_and_grad(loss)(w, x)
        z = host(w) @ host(x)
        rtol = 8 * float(xp.finfo(w.dtype).eps)
        np.testing.assert_allclose(host(value), np.sum(np.tanh(z)), rtol=rtol)
        np.testing.assert_allclose(host(gradient), (1 - np.tanh(z) ** 2)[:, None] * host(x), rtol=4 * rtol)
        np.testing.assert_array_equal(host(grad(loss)(w, x)), host(gradient))
        assert value.shape == () and value.dtype == gradient.dtype == w.dtype
        assert backend_of(value) is backend_of(gradient) is backend
        assert gradient.device == w.device


def test_gradients_keep_their_own_dtypes(backend: Backend) -> None:
    if len(real_dtypes(backend)) < 2:
        pytest.skip("needs float32 and float64")
    single, double = xp.asarray([1.0, 2.0], dtype="float32"), xp.asarray([3.0, 4.0], dtype="float64")
    f = lambda x, y: xp.sum(x * y)  # noqa: E731
    gx, gy = grad(f, (0, 1))(single, double)
    assert (gx.dtype, gy.dtype) == (single.dtype, double.dtype)
    assert (host(gx).tolist(), host(gy).tolist()) == ([3.0, 4.0], [1.0, 2.0])
    _, (pulled, _) = value_and_grad(f, (0, 1))(single, double)
    assert pulled.dtype == single.dtype
    out, tangent = jvp(f, (single, double), (single, double))
    assert out.dtype == tangent.dtype == double.dtype


def test_gradients_keep_their_device() -> None:
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("device1")
    x = strict.asarray([1.0, 2.0], device=device)
    gradient = grad(lambda x: xp.sum(x * x))(x)
    assert gradient.device == device
    _, pullback = vjp(lambda x: x * x, x)
    assert pullback(strict.ones(2, device=device))[0].device == device
    unused, _ = grad(lambda x, y: y, (0, 1))(x, strict.asarray(1.0, device=device))
    assert unused.device == device
    with use_backend("array_api_strict:device1"):
        assert grad(lambda w, x: xp.sum(w * x))(2.0, x).device == device
        assert grad(lambda w: w * w)(2.0).device == device


def test_python_floats_become_arrays_of_the_library_around_them(backend: Backend) -> None:
    gradient = grad(lambda x: x * x)(3.0)
    assert backend_of(gradient) is backend and gradient.shape == () and float(gradient) == 6.0
    with use_backend("numpy"):
        gw, gx = grad(lambda w, x: xp.sum(w * x), (0, 1))(
            2.0, get_backend(backend.name).from_host(np.ones(3))
        )
    assert backend_of(gw) is backend_of(gx) is backend
    assert float(gw) == 3.0


def test_numpy_scalars_are_arrays() -> None:
    value, gradient = value_and_grad(lambda x: x * x)(np.float32(3.0))
    assert (value, gradient) == (9.0, 6.0)
    assert gradient.dtype == np.float32


ARGNUMS: list[tuple[Any, Any]] = [
    (0, 12.0),
    (1, 8.0),
    (-1, 6.0),
    (-3, 12.0),
    ((0,), (12.0,)),
    ((2, 0), (6.0, 12.0)),
    ((-1, 0, 1), (6.0, 12.0, 8.0)),
    ((), ()),
    (True, 8.0),
    (np.int64(1), 8.0),
    ([2, 0], (6.0, 12.0)),
    ([1], (8.0,)),
]


@pytest.mark.parametrize(("argnums", "expected"), ARGNUMS)
def test_argnums(argnums: Any, expected: Any) -> None:
    f = lambda x, y, z: x * y * z  # noqa: E731
    value, gradient = value_and_grad(f, argnums)(2.0, 3.0, 4.0)
    assert float(value) == 24.0
    assert gradient == expected
    assert type(gradient) is (tuple if isinstance(argnums, tuple | list) else np.float64)
    assert grad(f, argnums)(2.0, 3.0, 4.0) == expected


@pytest.mark.parametrize("argnums", [2, -3, (0, 0), (1, -1), (0, 5)])
def test_argnums_that_name_no_argument(argnums: Any) -> None:
    with pytest.raises(ArgumentError, match=r"argnums .* different positional arguments, and the call has 2"):
        grad(lambda x, y: x * y, argnums)(1.0, 2.0)


@pytest.mark.parametrize("argnums", [[0.0], "x", 1.0, None, (0, "x")])
def test_argnums_of_another_kind(argnums: Any) -> None:
    with pytest.raises(ArgumentError, match="argnums must be an int or a tuple of ints; it is"):
        grad(lambda x: x, argnums)


def test_keyword_arguments_pass_through() -> None:
    def f(x: Any, *, scale: Any, power: int = 1, mode: str = "sum") -> Any:
        assert (power, mode) == (2, "sum")
        return xp.sum(scale * x**power)

    np.testing.assert_allclose(grad(f)(np.ones(2), scale=np.asarray([1.0, 3.0]), power=2), [2.0, 6.0])
    with pytest.raises(ArgumentError, match="arguments passed by keyword cannot be differentiated"):
        grad(lambda x: x)(x=1.0)


def test_aux_is_returned_unwrapped() -> None:
    def f(x: Any) -> Any:
        return xp.sum(x * x), {"x": x, "half": [x[0] / 2], "name": "f", "none": None}

    x = np.asarray([1.0, 2.0])
    (value, aux), gradient = value_and_grad(f, has_aux=True)(x)
    same, again = grad(f, has_aux=True)(x)
    assert value == 5.0
    np.testing.assert_array_equal(gradient, same)
    for kept in (aux, again):
        assert type(kept["x"]) is np.ndarray and kept["half"] == [0.5] and kept["name"] == "f"
    out, pullback, aux = vjp(f, x, has_aux=True)
    assert (out, aux["name"]) == (5.0, "f")
    assert type(aux["x"]) is np.ndarray
    np.testing.assert_array_equal(pullback(1.0)[0], 2 * x)
    out, tangent, aux = jvp(f, (x,), (x,), has_aux=True)
    assert (out, tangent, aux["half"]) == (5.0, 10.0, [0.5])
    for wrong in (lambda x: x, lambda x: (x, x, x), lambda x: [x, x]):
        for run in (grad(wrong, has_aux=True), lambda x, w=wrong: vjp(w, x, has_aux=True)):
            with pytest.raises(
                ArgumentError, match=r"with has_aux=True it must return a pair, \(result, aux\)"
            ):
                run(1.0)


def test_a_transformed_function_looks_like_the_function() -> None:
    def loss(w: Any, x: Any) -> Any:
        """The loss."""
        return xp.sum(w * x)

    for transformed in (grad(loss), value_and_grad(loss)):
        assert (transformed.__name__, transformed.__doc__) == ("loss", "The loss.")

    class Model:
        def __init__(self) -> None:
            self.weight = np.ones(1000)

        def __call__(self, x: Any) -> Any:
            return x * self.weight

    assert "weight" not in vars(grad(Model()))
    with pytest.raises(ArgumentError, match=r"grad of .*Model: the result"):
        grad(Model())(1.0)


# Wrong results and wrong arguments.


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x * np.ones(3),
            r"is an array of shape \(3,\) and dtype float64\. To fix it, reduce it .*xp\.sum",
        ),
        (lambda x: xp.reshape(x, (1,)), r"array of shape \(1,\)"),
        (lambda x: 1j * x, r"dtype complex128\. To fix it, take xp\.real, xp\.imag or xp\.abs"),
        (lambda x: x > 0, r"dtype bool\. To fix it, .* use a floating dtype"),
        (lambda x: xp.astype(x, xp.int64), "dtype int64"),
        (lambda x: None, r"it is None\. To fix it, end the function with return and an array computed"),
        (lambda x: 3, "it is the int 3"),
        (lambda x: "text", "it is the str 'text'"),
        (lambda x: [x], r"it is the list \[.*\]\. To fix it, return the array in it, result\[0\]"),
        (lambda x: (x, x), r"it is the tuple .*\. To fix it, return the loss alone, or use has_aux=True"),
    ],
)
def test_a_result_that_is_no_loss(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"grad of .*: the result must be a real floating scalar; .*" + message
    ):
        grad(function)(2.0)


def test_a_loss_that_depends_on_nothing_has_a_zero_gradient(backend: Backend) -> None:
    x = xp.asarray([1.0, 2.0])
    for f in (
        lambda x: 3.0,
        lambda x: xp.asarray(3.0),
        lambda x: xp.sum(xp.zeros_like(x)),
        lambda x: xp.sum(xp.round(x)),
    ):
        value, gradient = value_and_grad(f)(x)
        assert float(value) in (3.0, 0.0)
        assert host(gradient).tolist() == [0.0, 0.0] and gradient.dtype == x.dtype


def test_what_is_no_function_is_refused() -> None:
    for run in (
        lambda: grad(3.0),
        lambda: value_and_grad("f"),
        lambda: vjp(None, 1.0),
        lambda: jvp([], (), ()),
    ):
        with pytest.raises(
            ArgumentError, match=r"the first argument must be a function; it is .* Pass the function"
        ):
            run()


def test_long_values_are_abridged_in_errors() -> None:
    with pytest.raises(ArgumentError) as caught:
        grad(lambda x: list(range(10_000)))(1.0)
    assert len(str(caught.value)) < 300


# Memory: nothing shared, nothing overwritten.


def _in_place(x: Any, y: Any) -> Any:
    total = x
    total += y
    total *= 2.0
    return total + x


TWO_ARGUMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "first": lambda x, y: x,
    "neither": lambda x, y: xp.zeros_like(x),
    "x + x": lambda x, y: x + x + y,
    "reshape": lambda x, y: xp.reshape(x, (2, 2)) + xp.reshape(y, (2, 2)),
    "transpose": lambda x, y: xp.reshape(x, (2, 2)).T + xp.reshape(y, (2, 2)),
    "broadcast": lambda x, y: xp.broadcast_to(x, (3, 4)) + y,
    "flip": lambda x, y: xp.flip(x) + y,
    "slice": lambda x, y: x[1:3] + y[1:3],
    "where": lambda x, y: xp.where(x > 2.0, x, y),
    "concat": lambda x, y: xp.concat([x, y, x]),
    "sum": lambda x, y: xp.sum(x) + xp.sum(y),
    "exp": lambda x, y: xp.exp(x) + xp.exp(y),
    "astype": lambda x, y: xp.astype(x, "float32") + xp.astype(y, x.dtype),
    "positive": lambda x, y: (+x) + (+y),
    "real": lambda x, y: xp.real(x) + xp.conj(y),
    "in place": _in_place,
}


def overwritten(x: Any) -> Any:
    """The array after an in-place change, in libraries that have them."""
    x *= 0.0
    x -= 77.0
    return x


@pytest.mark.parametrize("name", TWO_ARGUMENTS)
def test_gradients_share_no_memory(backend: Backend, name: str) -> None:
    f = TWO_ARGUMENTS[name]
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip(f"{backend.name}'s arrays do not change")
    x, y = xp.asarray([1.0, 2.0, 3.0, 4.0]), xp.asarray([4.0, 3.0, 2.0, 1.0])

    def check(group: list[Any]) -> None:
        before = [host(a) for a in group]
        for i, changed in enumerate(group):
            if is_mutable(changed):
                overwritten(changed)
                before[i] = np.full(changed.shape, -77.0)
            for a, b in zip(group, before, strict=True):
                np.testing.assert_array_equal(host(a), b)

    value, gradients = value_and_grad(lambda x, y: xp.sum(f(x, y)), (0, 1))(x, y)
    assert host(x).tolist() == [1.0, 2.0, 3.0, 4.0] and host(y).tolist() == [4.0, 3.0, 2.0, 1.0]
    check([*gradients, value, x, y])
    x, y = xp.asarray([1.0, 2.0, 3.0, 4.0]), xp.asarray([4.0, 3.0, 2.0, 1.0])
    out, pullback = vjp(f, x, y)
    g = xp.ones_like(out)
    check([*pullback(g), *pullback(g), out, g, x, y])
    x, y = xp.asarray([1.0, 2.0, 3.0, 4.0]), xp.asarray([4.0, 3.0, 2.0, 1.0])
    s, t = x + 1.0, y + 1.0
    _, tangents = jvp(lambda x, y: (f(x, y), f(x, y), x), (x, y), (s, t))
    check([*tangents, s, t, x, y])


@pytest.mark.parametrize("name", TWO_ARGUMENTS)
def test_read_only_arrays_will_do(name: str) -> None:
    x, y = np.asarray([1.0, 2.0, 3.0, 4.0]), np.broadcast_to(np.asarray(2.5), (4,))
    x.flags.writeable = False
    f = TWO_ARGUMENTS[name]
    gradients = grad(lambda x, y: xp.sum(f(x, y)), (0, 1))(x, y)
    assert all(g.flags.writeable and g.flags.owndata and g.flags.c_contiguous for g in gradients)
    out, pullback = vjp(f, x, y)
    cotangent = np.broadcast_to(np.asarray(1.0, dtype=out.dtype), out.shape)
    for g, same in zip(pullback(cotangent), gradients, strict=True):
        np.testing.assert_array_equal(g, same)
        assert g.flags.writeable
    _, tangent = jvp(f, (x, y), (x, y))
    assert tangent.flags.writeable or not is_mutable(tangent)


def test_arguments_may_change_between_a_vjp_and_its_pullback(backend: Backend) -> None:
    x = xp.asarray([0.0, 1.0])
    one = xp.ones_like(x)
    for f in (xp.exp, xp.sin, lambda x: x * x):
        out, pullback = vjp(f, x)
        expected = host(pullback(one)[0])
        if is_mutable(x):
            overwritten(out)
            overwritten(x)
        np.testing.assert_array_equal(host(pullback(one)[0]), expected)
        x = xp.asarray([0.0, 1.0])


def test_parameters_of_torch_are_arrays_like_others() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(3))
    first, second = grad(lambda x, y: xp.sum(x * 2.0 + y * 2.0), (0, 1))(weight, weight)
    assert first.tolist() == second.tolist() == [2.0] * 3
    assert first is not second and type(first) is torch.Tensor
    assert weight.grad is None


# vjp.


def test_pullback_is_the_transposed_jacobian(backend: Backend) -> None:
    matrix = xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    out, pullback = vjp(lambda x: xp.matmul(matrix, x[:, None])[:, 0], xp.ones(3))
    assert host(out).tolist() == [6.0, 15.0]
    for _ in range(2):
        rows = [host(pullback(e)[0]).tolist() for e in (xp.asarray([1.0, 0.0]), xp.asarray([0.0, 1.0]))]
        assert rows == host(matrix).tolist()


def test_outputs_that_depend_on_nothing_or_on_one_argument(backend: Backend) -> None:
    def f(x: Any, y: Any) -> Any:
        return {"x": x * 2.0, "constant": xp.ones_like(y), "both": (x * y, x), "index": xp.argmax(y)}

    x, y = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 5.0])
    out, pullback = vjp(f, x, y)
    cotangent = tree.map(xp.ones_like, out)
    gx, gy = pullback(cotangent)
    assert (host(gx).tolist(), host(gy).tolist()) == ([6.0, 8.0], [1.0, 2.0])
    gx, gy = pullback({**cotangent, "x": xp.zeros_like(x), "both": (xp.zeros_like(x), xp.zeros_like(x))})
    assert (host(gx).tolist(), host(gy).tolist()) == ([0.0, 0.0], [0.0, 0.0])


@pytest.mark.parametrize("number", [2, 2.0, True, np.float32(2.0), np.float64(2.0), np.int8(2)])
def test_numbers_are_cotangents_and_tangents_of_0d_results(backend: Backend, number: Any) -> None:
    x = xp.asarray(3.0)
    _, pullback = vjp(lambda x: {"square": x * x}, x)
    (gradient,) = pullback({"square": number})
    assert float(gradient) == 6.0 * float(number)
    assert gradient.dtype == x.dtype and backend_of(gradient) is backend
    _, tangent = jvp(lambda x: x * x, (x,), (number,))
    assert float(tangent) == 6.0 * float(number)
    assert tangent.dtype == x.dtype


WRONG_COTANGENTS: list[tuple[Any, str]] = [
    ({"a": 1.0}, r"must have the result's structure PyTreeSpec\(\{'a': \*, 'b': \*\}\)"),
    ((1.0, np.ones(2)), "must have the result's structure"),
    (
        {"a": 1.0, "b": np.ones(3)},
        r"the cotangent\['b'\] must be an array of shape \(2,\) .*; it is an array of shape \(3,\)",
    ),
    (
        {"a": 1.0, "b": np.ones(2, dtype=np.float32)},
        r"\['b'\] must be .* dtype float64; it is .* dtype float32",
    ),
    ({"a": 1.0, "b": [1.0, 1.0]}, "must have the result's structure"),
    (
        {"a": 1.0, "b": 1.0},
        r"\['b'\] must be an array of shape \(2,\) and dtype float64; it is the float 1\.0",
    ),
    (
        {"a": 1j, "b": np.ones(2)},
        r"\['a'\] must be an array of shape \(\) and dtype float64; it is the complex 1j",
    ),
    ({"a": "one", "b": np.ones(2)}, r"\['a'\] must be .*; it is the str 'one'"),
]


@pytest.mark.parametrize(("cotangent", "message"), WRONG_COTANGENTS)
def test_wrong_cotangents(cotangent: Any, message: str) -> None:
    _, pullback = vjp(lambda x: {"a": xp.sum(x), "b": x}, np.ones(2))
    with pytest.raises(ArgumentError, match=r"vjp of .*: the cotangent.*"):
        pullback(cotangent)
    with pytest.raises(ArgumentError, match=message):
        pullback(cotangent)


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_cotangents_and_tangents_of_another_library(library: str) -> None:
    pytest.importorskip(library)
    x = np.ones(2, dtype=np.float32)
    other = get_backend(library).from_host(x)
    _, pullback = vjp(lambda x: x * 2.0, x)
    with pytest.raises(
        MixedBackendsError, match=f"vjp of .*, the cotangent: .* of numpy and .* of {library}"
    ):
        pullback(other)
    with pytest.raises(
        MixedBackendsError, match=rf"jvp of .*, tangents\[0\]: .* of numpy and .* of {library}"
    ):
        jvp(lambda x: x * 2.0, (x,), (other,))


def test_results_that_are_no_arrays() -> None:
    for run in (lambda f: vjp(f, 1.0), lambda f: jvp(f, (1.0,), (1.0,))):
        with pytest.raises(
            ArgumentError, match=r"the result\['n'\] must be an array; it is the int 3\. Return arrays"
        ):
            run(lambda x: {"a": x, "n": 3})


# jvp.


def test_tangents_are_the_jacobian_times_the_direction(backend: Backend) -> None:
    matrix = xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    out, tangent = jvp(
        lambda x: xp.matmul(matrix, x), (xp.ones((3, 1)),), (xp.asarray([[1.0], [0.0], [-1.0]]),)
    )
    assert host(out)[:, 0].tolist() == [6.0, 15.0]
    assert host(tangent)[:, 0].tolist() == [-2.0, -2.0]


def test_tangents_of_results_that_do_not_move(backend: Backend) -> None:
    x = xp.asarray([1.0, 2.0])
    out, tangent = jvp(lambda x, y: (y, xp.ones_like(x), xp.argmax(x), x[0]), (x, x), (x, 0 * x))
    assert [host(t).tolist() for t in tangent] == [[0.0, 0.0], [0.0, 0.0], 0, 1.0]
    assert all(t.dtype == o.dtype and t.shape == o.shape for t, o in zip(tangent, out, strict=True))


def test_tangents_take_the_shape_and_dtype_of_the_result(backend: Backend) -> None:
    for x, y in (
        (xp.asarray(2.0), xp.ones((2, 3))),
        (xp.ones((3, 1)), xp.ones(2)),
        (xp.asarray([1.0], dtype="float32"), xp.ones(3, dtype=real_dtypes(backend)[-1])),
    ):
        for f in (
            lambda x, y=y: x + y,
            lambda x, y=y: xp.subtract(y, x),
            lambda x, y=y: xp.maximum(x, y - 5.0),
        ):
            out, tangent = jvp(f, (x,), (xp.ones_like(x),))
            assert tangent.shape == out.shape and tangent.dtype == out.dtype
            np.testing.assert_array_equal(np.abs(host(tangent)), np.ones(out.shape))
            (gradient,) = vjp(f, x)[1](tangent)
            assert gradient.shape == x.shape and gradient.dtype == x.dtype
            assert abs(float(xp.sum(gradient))) == host(out).size


WRONG_TANGENTS: list[tuple[Any, Any, str]] = [
    (
        np.ones(2),
        (np.ones(2),),
        r"primals must be a tuple, one entry for each argument; it is an array of shape",
    ),
    ((np.ones(2),), np.ones(2), "tangents must be a tuple"),
    ((1.0, 2.0), (1.0,), r"tangents must have the structure of primals, PyTreeSpec\(\(\*, \*\)\)"),
    (([1.0],), ((1.0,),), "tangents must have the structure of primals"),
    (({"w": np.ones(2)},), ({"w": np.ones(3)},), r"tangents\[0\]\['w'\] must be an array of shape \(2,\)"),
    ((np.ones(2),), (np.ones(2, dtype=np.float32),), "must be an array .* dtype float64; it is .* float32"),
    ((np.ones(2),), (1.0,), r"must be an array of shape \(2,\) .*; it is the float 1\.0"),
    ((1.0,), (1j,), "it is the complex 1j"),
    ((1.0, 2), (1.0, 1.0), r"primals\[1\] is asked for a gradient"),
]


@pytest.mark.parametrize(("primals", "tangents", "message"), WRONG_TANGENTS)
def test_wrong_tangents(primals: Any, tangents: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        jvp(lambda *x: x[0], primals, tangents)


def test_lists_of_primals_will_do() -> None:
    assert jvp(lambda x, y: x * y, [2.0, 3.0], (1.0, 1.0)) == (6.0, 5.0)


# Integers, complex numbers.


@pytest.mark.parametrize(
    "through",
    [
        lambda x: xp.astype(x, "int64"),
        lambda x: xp.cumulative_sum(x, dtype=xp.int64),
        lambda x: xp.astype(xp.sum(x, dtype=xp.int32), "int32") * xp.asarray([1, 1]),
        lambda x: xp.prod(x, dtype=xp.int64) * xp.asarray([1, 1]),
    ],
)
def test_nothing_flows_through_integers(through: Callable[[Any], Any]) -> None:
    x = np.asarray([2.5, 3.5])
    for f in (lambda x: xp.sum(xp.astype(through(x), "float64") * 2.5), lambda x: xp.sum(2.5 * through(x))):
        np.testing.assert_array_equal(grad(f)(x), [0.0, 0.0])
        assert jvp(f, (x,), (x,))[1] == 0.0
    _, tangent = jvp(through, (x,), (x,))
    assert tangent.dtype.kind == "i" and not np.any(tangent)


def test_complex_arguments_follow_the_convention_of_jax(backend: Backend) -> None:
    if Capability.COMPLEX not in backend.capabilities:
        pytest.skip("needs complex numbers")
    # grad of a real loss L of x + iy is dL/dx - i dL/dy: of |z|^2 it is 2 conj(z).
    z = xp.asarray([3.0 + 4.0j, 1.0 - 2.0j])
    gradient = grad(lambda z: xp.sum(xp.real(z * xp.conj(z))))(z)
    np.testing.assert_allclose(host(gradient), 2 * np.conj(host(z)))
    assert gradient.dtype == z.dtype
    real = grad(lambda x: xp.sum(xp.imag((1.0 + 2.0j) * x)))(xp.asarray([1.0, 2.0]))
    assert host(real).tolist() == [2.0, 2.0]


def test_public_names() -> None:
    assert (bpkit.grad, bpkit.value_and_grad, bpkit.vjp, bpkit.jvp) == (grad, value_and_grad, vjp, jvp)
