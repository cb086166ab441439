"""debug_nans names the function, the pass, the operands, the element, the layer and the line."""

import inspect
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import debug_nans, nn, tree, xp
from bpkit._protocol import Backend
from bpkit.data import digits
from bpkit.errors import DivergedError, NonFiniteError, NoSuchFunctionError, NotDifferentiableError
from bpkit.trace import Traced, watcher, watches
from bpkit.training import State, place, train


def marked_line(function: Any) -> str:
    """The line of a test that ends with the comment ``# here``, as errors show it."""
    lines, start = inspect.getsourcelines(function)
    (i,) = [i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return f"tests/test_debug_nans.py:{start + i}: {lines[i].strip()}"


def found(called: Callable[[], Any], infinities: bool = True) -> NonFiniteError:
    """The error that a call raises under debug_nans."""
    with pytest.raises(NonFiniteError) as caught, debug_nans(infinities=infinities):
        called()
    assert isinstance(caught.value, FloatingPointError)
    return caught.value


def array(backend: Backend, numbers: Any) -> Any:
    return backend.from_host(np.asarray(numbers, dtype=np.float32))


ZERO_AT_2_1 = [[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]]


# The three passes.


@pytest.mark.parametrize("traced", [False, True])
def test_a_result(backend: Backend, traced: bool) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.log(x))  # here

    x = array(backend, ZERO_AT_2_1)
    error = found(lambda: (bpkit.grad(loss) if traced else loss)(x))
    assert str(error) == (
        "forward pass: log made -inf at index (2, 1): log(0.0)\n"
        "  in log(float32[3, 2])\n"
        "  If infinities are meant, debug_nans(infinities=False) looks for NaN only\n"
        f"  at {marked_line(loss)}"
    )
    assert (error.function, error.phase, error.value, error.index) == ("log", "forward", "-inf", (2, 1))
    assert (error.layer, error.line) == ("", marked_line(loss))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_cotangent_is_the_line_of_the_forward_pass(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        y = xp.sqrt(x)  # here
        return xp.sum(3.0 * y)

    x = array(backend, ZERO_AT_2_1)
    with debug_nans():
        out, pullback = bpkit.vjp(loss, x)
    for called in (lambda: bpkit.grad(loss)(x), lambda: pullback(xp.ones_like(out))):
        error = found(called)
        assert str(error).startswith(
            "backward pass: the derivative of sqrt made inf at index (2, 1): sqrt(0.0), cotangent 3.0\n"
            "  in sqrt(float32[3, 2])\n"
        )
        assert (error.function, error.phase, error.value, error.index) == ("sqrt", "backward", "inf", (2, 1))
        assert error.line == marked_line(loss)


def test_a_tangent(backend: Backend) -> None:
    def function(x: Any) -> Any:
        return 2.0 * xp.sqrt(x)  # here

    x = array(backend, ZERO_AT_2_1)
    error = found(lambda: bpkit.jvp(function, (x,), (xp.ones_like(x),)))
    assert str(error).startswith(
        "tangent: the derivative of sqrt made inf at index (2, 1): sqrt(0.0)\n  in sqrt(float32[3, 2])\n"
    )
    assert (error.phase, error.line) == ("tangent", marked_line(function))
    error = found(lambda: bpkit.linearize(function, x)[1](xp.ones_like(x)))
    assert str(error).startswith("tangent: linearize of ") and "the map made inf at index (2, 1)" in str(
        error
    )


def test_nan_itself(backend: Backend) -> None:
    def loss(x: Any, y: Any) -> Any:
        return xp.sum(x / y)  # here

    x, y = array(backend, [1.0, 0.0]), array(backend, [2.0, 0.0])
    error = found(lambda: bpkit.grad(loss)(x, y), infinities=False)
    assert str(error) == (
        "forward pass: divide made nan at index (1,): divide(0.0, 0.0)\n"
        "  in divide(float32[2], float32[2])\n"
        f"  at {marked_line(loss)}"
    )


def test_operands_that_are_broadcast(backend: Backend) -> None:
    x, y = array(backend, [[1.0], [4.0]]), array(backend, [5.0, 0.0, 7.0])
    error = found(lambda: xp.divide(x, y))
    assert "divide made inf at index (0, 1): divide(1.0, 0.0)\n" in str(error)


def test_a_function_of_many_elements(backend: Backend) -> None:
    error = found(lambda: xp.sum(array(backend, [3e38, 3e38])))
    assert str(error).startswith("forward pass: sum made inf\n  in sum(float32[2], keepdims=False)\n")
    matrix = array(backend, [[2e38, 2e38], [0.0, 0.0]])
    error = found(lambda: xp.matmul(matrix, array(backend, [1.0, 1.0])))
    assert str(error).startswith("forward pass: matmul made inf at index (0,)\n")


def test_a_function_with_several_results(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.linalg.slogdet(x)[1]  # here

    singular = array(backend, [[1.0, 1.0], [1.0, 1.0]])
    error = found(lambda: bpkit.grad(loss)(singular))
    assert (error.function, error.value, error.line) == ("linalg.slogdet", "-inf", marked_line(loss))


def test_complex_numbers() -> None:
    error = found(lambda: xp.divide(np.asarray([1j, 1 + 1j]), np.asarray([1.0 + 0j, 0j])))
    assert error.index == (1,) and "divide(1+1j, 0+0j)" in str(error)


# Infinities.


def test_infinities_that_are_passed_in_are_meant(backend: Backend) -> None:
    mask = array(backend, [0.0, -np.inf])

    def loss(x: Any) -> Any:
        return xp.sum(xp.softmax(x + mask) * x) + xp.sum(xp.where(x > 1.5, xp.exp(x - np.inf), x))

    with debug_nans():
        gradient = backend.to_host(bpkit.grad(loss)(array(backend, [1.0, 2.0])))
    np.testing.assert_allclose(gradient, [2.0, 0.0])
    # But another element of the same array is not.
    error = found(lambda: xp.exp(array(backend, [-np.inf, 1000.0])))
    assert error.index == (1,) and "exp(1000.0)" in str(error)


def test_a_pole_that_is_meant(backend: Backend) -> None:
    x = array(backend, [1.0, 0.0])

    def loss(x: Any) -> Any:
        return xp.sum(xp.where(x > 0, xp.log(x), 0.0))

    assert found(lambda: bpkit.grad(loss)(x)).function == "log"
    with debug_nans(infinities=False):
        np.testing.assert_array_equal(backend.to_host(bpkit.grad(loss)(x)), [1.0, 0.0])
    assert found(lambda: xp.subtract(xp.log(x), xp.log(x)), infinities=False).function == "subtract"


def test_derivatives_that_a_zero_cotangent_annihilates_are_nobodys_values(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.where(x > 0, xp.sqrt(x), 0.0)) + xp.sum(xp.hypot(x, x)) + xp.prod(x)

    with debug_nans():
        gradient = bpkit.grad(loss)(array(backend, [1.0, 0.0]))
    np.testing.assert_allclose(backend.to_host(gradient), [0.5 + np.sqrt(2), 1.0], rtol=1e-6)


# What was not finite before.


def test_an_argument_that_is_not_finite(backend: Backend) -> None:
    def called() -> None:
        bpkit.grad(lambda p: xp.sum(p["w"]))({"w": array(backend, [1.0, np.nan])})  # here

    error = found(called)
    assert "argument 0['w'], float32[2], is nan at index (1,) before the function runs" in str(error)
    assert (error.phase, error.line) == ("input", marked_line(called))
    assert found(lambda: bpkit.jvp(xp.sin, (np.inf,), (1.0,))).phase == "input"
    with debug_nans(infinities=False):
        bpkit.grad(lambda x: 1.0 / x)(np.inf)


def test_data_that_are_not_finite(backend: Backend) -> None:
    data = array(backend, [1.0, np.nan])

    def loss(x: Any) -> Any:
        return xp.sum(x * data)  # here

    error = found(lambda: bpkit.grad(loss)(array(backend, [3.0, 5.0])))
    assert str(error).startswith(
        "multiply was given nan at index (1,): multiply(5.0, nan). No function made it while debug_nans was"
    )
    assert (error.phase, error.line) == ("input", marked_line(loss))


def test_cotangents_and_tangents_that_are_not_finite(backend: Backend) -> None:
    x, bad = array(backend, [1.0, 2.0]), array(backend, [1.0, np.nan])
    _, pullback = bpkit.vjp(xp.sin, x)
    error = found(lambda: pullback(bad))
    assert "the cotangent of the result of sin is nan at index (1,). It was passed in so" in str(error)
    assert "it ran without debug_nans" in str(error) and error.phase == "backward"
    error = found(lambda: bpkit.jvp(xp.sin, (x,), (bad,)))
    assert "the derivative of sin was given nan at index (1,): sin(2.0). It came in with" in str(error)


def test_a_sum_of_cotangents_that_overflows() -> None:
    def loss(x: Any) -> Any:
        y = x * np.asarray(1.0, dtype=np.float32)  # here
        return xp.stack([y, y])

    x, big = np.asarray(1.0, dtype=np.float32), np.full(2, 3e38, dtype=np.float32)
    error = found(lambda: bpkit.vjp(loss, x)[1](big))
    assert "the cotangent of the result of multiply is inf. It was passed in so, or is a sum" in str(error)
    assert error.line == marked_line(loss)


def test_what_is_made_to_order_is_no_finding(backend: Backend) -> None:
    x = array(backend, [1.0, 2.0])
    with debug_nans():
        xp.full_like(x, np.nan)
        xp.empty_like(x)


# Layers.


class Tower(nn.Module):
    base: Any
    heads: Any

    def __call__(self, x: Any) -> Any:
        return self.heads["left"](self.base(x))


def shifted_root(x: Any) -> Any:
    return xp.sqrt(x - 1.0)  # here


def tower(backend: Backend) -> Tower:
    dense = nn.Dense(2, 2, key=bpkit.random.key(0))
    dense = tree.map(lambda w: array(backend, np.ones(w.shape)), dense)
    return Tower(base=nn.Sequential(dense, shifted_root), heads={"left": nn.Sequential(xp.exp, nn.relu)})


def test_the_layer_in_the_forward_pass(backend: Backend) -> None:
    model = tower(backend)
    error = found(lambda: bpkit.grad(lambda net, x: xp.sum(net(x)))(model, array(backend, [90.0, 9000.0])))
    assert error.function == "exp"
    assert error.layer == "net.heads['left'].layers[0] (Lambda(exp))"
    assert "\n  layer net.heads['left'].layers[0] (Lambda(exp))\n" in str(error)


def test_the_layer_in_the_backward_pass(backend: Backend) -> None:
    model = tower(backend)
    error = found(lambda: bpkit.grad(lambda model, x: xp.sum(model(x)))(model, array(backend, [1.0, -1.0])))
    assert (error.function, error.phase, error.value) == ("sqrt", "backward", "inf")
    assert error.layer == "model.base.layers[1] (Lambda(shifted_root))"
    assert error.line == marked_line(shifted_root)


def test_a_model_without_a_name() -> None:
    models = [nn.Sequential(xp.log)]
    assert found(lambda: models[0](np.zeros(1))).layer == "Sequential.layers[0] (Lambda(log))"


# With other transforms.


def test_an_example_of_a_batch(backend: Backend) -> None:
    def loss(x: Any, y: Any) -> Any:
        return xp.sum(y * xp.sqrt(x))  # here

    x = array(backend, [[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    y = array(backend, [6.0, 7.0, 8.0])
    error = found(lambda: bpkit.vmap(bpkit.grad(loss), in_axes=(0, None))(x, y))
    assert str(error).startswith(
        "backward pass: the derivative of sqrt made inf at index (2,) in example 1: sqrt(0.0), cotangent 8.0"
        "\n  in sqrt(float32[3])\n"
    )
    assert (error.index, error.line) == ((2,), marked_line(loss))
    error = found(lambda: bpkit.grad(lambda x: xp.sum(bpkit.vmap(loss, (0, None))(x, y)))(x))
    assert (error.function, error.index, error.line) == ("sqrt", (1, 2), marked_line(loss))


def test_operands_of_which_one_is_batched(backend: Backend) -> None:
    x, y = array(backend, [1.0, 2.0]), array(backend, [3.0, 0.0, 5.0])
    error = found(lambda: bpkit.vmap(lambda x: bpkit.vmap(lambda y: x / y)(y))(x))
    assert "divide made inf in example 0, 1: divide(1.0, 0.0)\n  in divide(float32[], float32[])\n" in str(
        error
    )


def test_a_derivative_of_a_derivative(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(x**1.5)  # here

    error = found(lambda: bpkit.grad(lambda x: xp.sum(bpkit.grad(loss)(x)))(array(backend, [1.0, 0.0])))
    assert error.phase == "backward" and error.line == marked_line(loss)
    assert "pow(0.0, 0.5)" in str(error) and "in the derivative of pow" in str(error)


def test_other_errors_of_the_backward_pass_get_the_line(backend: Backend) -> None:
    def loss(a: Any, x: Any) -> Any:
        return xp.sum(xp.special.betainc(a, a, x))  # here

    a, x = array(backend, [1.0, 2.0]), array(backend, [0.25, 0.5])
    try:
        xp.special.betainc(a, a, x)
    except (NoSuchFunctionError, NotImplementedError) as missing:
        pytest.skip(str(missing))
    with (
        pytest.raises(NotDifferentiableError, match=r"Inside bpkit\.debug_nans\(\) a note") as caught,
        debug_nans(),
    ):
        bpkit.grad(loss)(a, x)
    (note,) = caught.value.__notes__
    call = "special.betainc(float32[2], float32[2], float32[2])"
    assert note == f"in the backward pass of {call}\n  at {marked_line(loss)}"


def test_a_second_run_is_looked_at(backend: Backend) -> None:
    @bpkit.checkpoint
    def step(x: Any) -> Any:
        return xp.sqrt(x) + 1.0  # here

    error = found(lambda: bpkit.grad(lambda x: xp.sum(step(x)))(array(backend, [1.0, 0.0])))
    assert (error.function, error.phase, error.index) == ("sqrt", "backward", (1,))
    assert error.line.partition(": ")[2] == "return xp.sqrt(x) + 1.0  # here"


# The block.


def test_outside_the_block_nothing_is_looked_at() -> None:
    def nodes(x: Any) -> Any:
        y = xp.sin(x)
        made.append(hasattr(y._link, "made"))
        return y

    made: list[bool] = []
    with np.errstate(all="ignore"):
        assert xp.log(np.asarray(0.0)) == -np.inf
        bpkit.grad(nodes)(1.0)
        with debug_nans():
            bpkit.grad(nodes)(1.0)
            with debug_nans(False):
                assert np.isnan(xp.log(np.asarray(-1.0)))
                bpkit.grad(nodes)(1.0)
            with pytest.raises(NonFiniteError):
                xp.log(np.asarray(0.0))
            bpkit.grad(nodes)(1.0)
        assert xp.log(np.asarray(0.0)) == -np.inf
    assert made == [False, True, False, True]


def test_an_exception_ends_the_block() -> None:
    def wrong() -> None:
        raise KeyError

    cases: list[tuple[Callable[[], Any], type[Exception]]] = [
        (wrong, KeyError),
        (lambda: xp.log(np.asarray(-1.0)), NonFiniteError),
    ]
    for called, kind in cases:
        with pytest.raises(kind), debug_nans(), debug_nans(infinities=False):
            called()
        assert watcher.get() is None and not watches


def test_it_decorates() -> None:
    @debug_nans()
    def checked(x: Any) -> Any:
        return xp.log(x)

    with pytest.raises(NonFiniteError):
        checked(np.asarray(0.0))


def test_threads_do_not_see_each_other() -> None:
    inside, done = threading.Event(), threading.Event()
    results: list[Any] = []

    def other() -> None:
        inside.wait(10)
        with np.errstate(all="ignore"):
            results.append(xp.log(np.asarray(0.0)))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with debug_nans():
        inside.set()
        done.wait(10)
        with pytest.raises(NonFiniteError):
            xp.log(np.asarray(0.0))
    thread.join()
    assert results == [-np.inf]


def test_gradients_are_the_same(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        q, r = xp.linalg.qr(x)
        return xp.sum(xp.tanh(q) * r) + xp.sum(x[0, :] / x[1, :])

    x = array(backend, [[1.0, 2.0], [3.0, 4.0]])
    plain = bpkit.grad(loss)(x)
    with debug_nans():
        checked = bpkit.grad(loss)(x)
    assert not isinstance(checked, Traced)
    np.testing.assert_array_equal(backend.to_host(plain), backend.to_host(checked))


def test_nothing_is_looked_at_inside_jit_of_jax() -> None:
    jax = pytest.importorskip("jax")
    with debug_nans():
        gradient = jax.jit(bpkit.grad(lambda x: xp.sum(xp.log(x))))(jax.numpy.ones(2))
    np.testing.assert_array_equal(np.asarray(gradient), [1.0, 1.0])


# Training.


def training(learning_rate: float) -> None:
    first, second = bpkit.random.split(bpkit.random.key(0))
    model = nn.Sequential(nn.Dense(64, 8, key=first), nn.Dense(8, 10, key=second))
    optimizer = bpkit.optim.sgd(learning_rate)
    state = State(model, optimizer.init(model))
    data = place(digits())
    events = train(
        state, data, bpkit.losses.softmax_cross_entropy, optimizer, key=first, batch_size=100, epochs=1
    )
    for _ in events:
        pass


def test_training_that_goes_well_is_not_stopped() -> None:
    with debug_nans():
        training(0.1)


def test_training_that_diverges_names_the_layer() -> None:
    hint = r"inside `with bpkit\.debug_nans\(\):` names the function and the layer"
    with pytest.raises(DivergedError, match=hint), np.errstate(all="ignore"):
        training(1e30)
    error = found(lambda: training(1e30))
    assert (error.function, error.layer) == ("matmul", "model.layers[1] (Dense(8 → 10))")
