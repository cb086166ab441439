"""From a recorded program to code: where values lie, and what is written."""

import sys
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jit, xp
from bpkit._protocol import Into
from bpkit.backends import numpy_backend
from bpkit.compile import compile_program
from bpkit.compile.plan import plan
from bpkit.record import Program, Recorder, Slot, Step
from bpkit.registry import get_backend
from bpkit.tree import leaves

NUMPY = get_backend("numpy")


class SineAndCosine:
    """One step with two results, as a pass makes it of several."""

    into = Into(lambda x, sine, cosine: (np.sin(x, sine), np.cos(x, cosine)))

    def __call__(self, x: Any) -> Any:
        raise AssertionError("its results are written into given memory")


def recorder_of(*arrays: Any) -> Recorder:
    recorder = Recorder("a test")
    for x in arrays:
        recorder.input(x)
    return recorder


def test_a_step_that_writes_several_results() -> None:
    x, y = np.arange(3.0), np.ones(3)
    (a, b), empty = recorder_of(x, y).inputs, np.empty(3)
    made = [Slot(i, empty) for i in range(2, 6)]
    steps = [
        Step("add", (a, b), {}, (made[0],)),
        Step("sine_and_cosine", (made[0],), {}, (made[1], made[2]), do=SineAndCosine()),
        Step("multiply", (made[1], made[2]), {}, (made[3],)),
    ]
    compiled = compile_program(Program((a, b), steps, [made[1], made[3]]), NUMPY, donated=[1])
    assert compiled.overwritten == (1,)
    assert "    sine_and_cosine(t2, a1, t4)\n" in compiled.source
    wanted = np.sin(x + 1)
    sine, product = compiled.run(x, given := y.copy())
    np.testing.assert_array_equal(sine, wanted)
    np.testing.assert_array_equal(product, wanted * np.cos(x + 1))
    assert sine is given

    compiled = compile_program(Program((a, b), steps, [made[1], made[3]]), NUMPY)
    kept = [compiled.run(x, y) for _ in range(2)]
    assert "    t3 = empty((3,), dtype=float64, device='cpu')\n" in compiled.source
    assert compiled.overwritten == () and not np.shares_memory(kept[0][0], kept[1][0])
    np.testing.assert_array_equal(kept[0][0], wanted)


def code_of(fun: Any, *args: Any, donated: tuple[int, ...] = ()) -> str:
    """The lines that jit writes for a function of NumPy arrays, without the user's; checks the values."""
    compiled = jit(fun, donate_argnums=donated)
    for _ in range(2):
        given = [x.copy() for x in args]
        for found, expected in zip(leaves(compiled(*given)), leaves(fun(*args)), strict=True):
            assert found.dtype == expected.dtype and found.shape == expected.shape
            close = 1e-6 if found.dtype in (np.float32, np.complex64) else 1e-14
            np.testing.assert_allclose(found, expected, rtol=close, atol=close)
    lines = compiled.source.split("\n")
    return "\n".join(line.partition("  #")[0].strip() for line in lines)


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def test_products_and_sums_of_columns_are_dot() -> None:
    x, w = normal(5, 4), normal(4, 3)
    code = code_of(lambda x, w: xp.exp(xp.matrix_transpose(x) @ xp.sin(x @ w)), x, w)
    assert "t2 = a0.mT\ndot(a0, a1, t3)\nsin(t3, t4)\ndot(t2, t4, t5)" in code
    for keepdims in (False, True):
        code = code_of(lambda x, k=keepdims: xp.exp(xp.sum(xp.sin(x), axis=0, keepdims=k)), x)
        assert "dot(k0, t1, t2)" in code
    # Integers have no BLAS, and an input that is written over may have any layout.
    assert "matmul(" in code_of(lambda x: -(x @ x), np.arange(9).reshape(3, 3))
    square = np.asfortranarray(normal(4, 4))
    assert " = dot(a1, a1)" in code_of(lambda x, y: y @ y, square, square.copy(), donated=(0,))


def test_numbers_are_arrays_without_axes() -> None:
    x = normal(5)
    code = code_of(lambda x: xp.exp(2 * (0.1 + x)) + 1e-3, x)
    assert "add(n0_1, a0, t1)" in code and "0.1" not in code
    assert code_of(lambda x: xp.exp(x + 1), np.arange(3)).count("add(a0, 1, ") == 1


def test_the_logistic_function_is_written_into_memory() -> None:
    for function in (xp.expit, xp.log_expit, xp.softmax, xp.log_softmax, xp.relu):
        code = code_of(lambda x, f=function: xp.sin(f(x * 2)), normal(30, 30))
        # Only the result is new.
        (new,) = [line for line in code.split("\n") if " = " in line]
        assert f"return ({new.partition(' ')[0]}, )" in code


def test_a_product_along_an_axis_keeps_its_setting() -> None:
    x, y = normal(3, 4), normal(3, 4)
    code_of(lambda x, y: xp.exp(xp.vecdot(x, y, axis=0)) + xp.sign(xp.sum(x, axis=0)), x, y)


def test_a_product_is_added_to_what_is_there() -> None:
    x, d, w, b = normal(10, 6), normal(10, 4), normal(6, 4), normal(4)

    def update(w: Any, b: Any, x: Any, d: Any) -> Any:
        return w - 0.3 * (2 * (xp.matrix_transpose(x) @ d)), b - 0.3 * xp.sum(d, axis=0)

    for dtype in (np.float32, np.float64):
        given = [y.astype(dtype) for y in (w, b, x, d)]
        code = code_of(update, *given, donated=(0, 1))
        assert "added_product(a0, t4, t12, -0.6, a0)" in code and "added_columns(a1, t12, -0.3, a1)" in code
        assert "dot" not in code and "multiply" not in code
        # Not given away: into new memory.
        assert " = empty((6, 4), dtype=" in code_of(update, *given)
        # All four arrangements, and to the rows of a matrix.
        for f in (
            lambda w, b, x, d: xp.sin((x @ w) + b),
            lambda w, b, x, d: xp.sin(xp.sum(w, axis=1) + d @ xp.matrix_transpose(w)),
            lambda w, b, x, d: xp.sin(w - xp.matrix_transpose(xp.matrix_transpose(d) @ x)),
            lambda w, b, x, d: xp.sin(xp.matrix_transpose(w) - xp.matrix_transpose(d) @ x),
            lambda w, b, x, d: xp.sin(
                w + xp.matrix_transpose(x) @ xp.matrix_transpose(xp.matrix_transpose(d))
            ),
            lambda w, b, x, d: xp.sin(w - xp.sum(d, axis=0)),
            lambda w, b, x, d: xp.sin(b + 2 * xp.sum(d, axis=0)),
            lambda w, b, x, d: xp.sin(xp.sum(x, axis=1) + xp.sum(xp.matrix_transpose(x), axis=0)),
            lambda w, b, x, d: xp.sin(xp.sum(w, axis=1) + xp.sum(xp.matrix_transpose(xp.sin(w)), axis=0)),
        ):
            code_of(f, *given)


def test_the_transpose_of_a_product_is_the_product_of_transposes() -> None:
    x, d, w = normal(10, 6), normal(10, 4), normal(4, 6)
    turn = xp.matrix_transpose
    code = code_of(lambda x, d: xp.sin(turn(turn(x) @ d)), x, d)
    assert "= a1.mT\ndot(" in code and code.count("mT") == 1
    # What an update of a layer with a row for each neuron is.
    code = code_of(lambda w, x, d: w - 0.5 * turn(turn(x) @ d), w, x, d, donated=(0,))
    assert code.count("mT") == 2 and "added_product(a0, " in code and ", -0.5, a0)" in code
    code_of(lambda x: xp.sin(turn(x @ turn(x))), normal(3, 4, 5))
    code_of(lambda x, v: xp.sin(turn(x @ v)), normal(3, 4, 5), normal(5))
    # A product that is needed as it is too is not made twice.
    code = code_of(lambda x, d: (xp.sin(turn(turn(x) @ d)), xp.cos(turn(x) @ d)), x, d)
    assert code.count("dot(") == 1


def test_many_products_with_one_matrix_are_one() -> None:
    x, w = normal(3, 5, 4), normal(4, 6)
    code = code_of(lambda x, w: xp.sin(x @ w), x, w)
    assert code.count("dot(") == 1 and "matmul" not in code
    code_of(lambda x, w: (x @ w, xp.sum(x @ w, axis=(0, 1))), x, w)
    # In another order in memory, as the results of attention are.
    turned = code_of(lambda x, w: xp.sin(xp.permute_dims(xp.cos(x), (1, 0, 2)) @ w), x, w)
    assert "reshape(t3, " in turned and turned.count(" = ") == 1
    code_of(
        lambda x, w: xp.sin(xp.permute_dims(x, (2, 0, 1)) @ xp.permute_dims(w[:5], (1, 0))[:5, :4]),
        x,
        normal(5, 6),
    )
    for x in (normal(0, 5, 4), normal(3, 0, 4), normal(3, 5, 4).astype(np.int64)):
        code_of(lambda x, w: xp.sin(x @ w), x, w.astype(x.dtype))
    for x, y in ((normal(4), w), (normal(3, 5, 4), normal(3, 4, 2)), (normal(3, 5, 4), normal(4))):
        assert "reshape" not in code_of(lambda x, w: xp.sin(x @ w), x, y)


def test_sums_over_all_axes_but_the_last() -> None:
    x, b = normal(3, 5, 4), normal(4)
    code = code_of(lambda x: xp.sin(xp.sum(xp.cos(x), axis=(0, 1))), x)
    assert "dot(" in code
    code = code_of(lambda x, b: b - 0.5 * xp.sum(xp.cos(x), axis=(0, 1)), x, b, donated=(1,))
    assert "added_columns(a1, " in code
    for axis in ((0, 2), (1, 2), (0,), 0, None, (0, 1, 2)):
        code_of(lambda x, axis=axis: xp.sin(xp.sum(xp.cos(x), axis=axis)), x)
    code_of(lambda x: xp.sin(xp.sum(xp.cos(x), axis=(0, 1), keepdims=True)), x)
    code_of(lambda x: xp.sin(xp.sum(xp.permute_dims(xp.cos(x), (2, 1, 0)), axis=(0, 1))), x)
    code_of(lambda x: xp.sum(x, axis=(0, 1), dtype=xp.float64), x)


def test_what_is_no_sum_with_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_backend, "has_threads", lambda: True)  # which disturb each other in large ones
    x = normal(4, 4)
    whole = np.arange(16).reshape(4, 4)
    for fun, args in (
        (lambda x, y: (x + x @ y) * (x @ y), (x, x)),
        (lambda x, y: x + 0 * (x @ y), (np.full((4, 4), np.inf, np.float32), x)),
        (lambda x, y: x + x @ y, (whole, whole)),
        (lambda x, y: x + xp.astype(y @ y, xp.float64), (x.astype(np.float64), x)),
        (lambda x, y: x + xp.sum(y, axis=0, keepdims=True), (x, x)),
        (lambda x, y: xp.reshape(x, (1, 4, 4)) + y @ y, (x, x)),
        (lambda x, y: x @ y - x, (x, x)),
        (lambda x, y: xp.sum(x, axis=1) - xp.sum(y, axis=1), (x, x)),
        (lambda x, y: x + y @ y, (normal(128, 128), normal(128, 128))),
        (lambda x, y: x + y @ y, (normal(64), normal(64, 64))),
        (lambda x, y: x + y @ xp.matrix_transpose(y), (normal(3, 3), normal(3, 0))),
    ):
        with np.errstate(all="ignore"):
            assert "added" not in code_of(fun, *args)


def test_products_are_added_to_memory_of_any_layout() -> None:
    x, d, b = normal(5, 6), normal(5, 4), normal(4)

    def update(w: Any, b: Any, x: Any, d: Any) -> Any:
        return w - xp.matrix_transpose(x) @ d, b + xp.sum(d, axis=0)

    compiled = jit(update, donate_argnums=(0, 1))
    compiled(normal(6, 4), normal(4), x, d)
    for w in (normal(6, 4), np.asfortranarray(normal(6, 4))):
        for given in ((x, d), (np.asfortranarray(x), np.asfortranarray(d)), (normal(10, 6)[::2], d)):
            mine, own = w.copy(order="K"), b.copy()
            found, total = compiled(mine, own, *given)
            np.testing.assert_allclose(found, w - given[0].T @ given[1], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(total, b + given[1].sum(0), rtol=1e-5, atol=1e-6)
            assert found is mine and total is own


def test_an_input_that_is_read_later_is_not_written_over() -> None:
    w, x = normal(4, 4), normal(4, 4)
    code_of(lambda w, x: (w - x @ w, x @ x), w, x, donated=(0, 1))
    code_of(lambda w, x: (w - w @ x, xp.sin(w)), w, x, donated=(0,))
    code_of(lambda w, x: (x - w @ x, w + x @ w), w, x, donated=(0, 1))


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert "added" not in code_of(lambda w, x: xp.sin(w - x @ x), normal(4, 4), normal(4, 4))


def test_what_lies_in_the_same_memory_is_the_same_array() -> None:
    x = np.ones((3, 4))
    slots = recorder_of(x).inputs
    made = [slots[0].of_shape(i, shape) for i, shape in enumerate([(3, 4), (3, 4), (12,), (3, 4)], 1)]
    steps = [
        Step("sin", (slots[0],), {}, (made[0],)),
        Step("cos", (made[0],), {}, (made[1],)),
        Step("reshape", (made[1],), {"shape": (12,), "copy": None}, (made[2],)),
        Step("exp", (made[1],), {}, (made[3],)),
        Step("tan", (made[3],), {}, (made[3].of_shape(5, (3, 4)),)),
    ]
    program = Program(slots, steps, steps[-1].outs)
    planned = plan(program, NUMPY)
    memory = [planned.memory[slot] for slot in made if slot in planned.memory]
    assert memory[0] is memory[1] is memory[-1] and planned.arena_bytes == x.nbytes


def test_single_numbers_meet_in_operators() -> None:
    f = grad(
        lambda x: xp.sqrt(x) * 0.0 + xp.isfinite(x) * xp.tanh(-x / 3) * xp.where(x > 1, xp.log(x - 1), x)
    )
    for dtype in (np.float32, np.float64):
        compiled = jit(f)
        for x in (0.5, 2.0, 0.0, 1.0, np.inf, np.nan, -1.0):
            # NumPy's functions of arrays without axes return scalars.
            for given in (dtype(x), np.asarray(x, dtype)):
                with np.errstate(all="ignore"):
                    found, expected = compiled(given), f(given)
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == expected.dtype == dtype
        code = compiled.source
        assert "if isfinite" in code and "negative_(" not in code


def test_the_logistic_function_of_few_elements_is_five_calls() -> None:
    for dtype in (np.float32, np.float64):
        limits = np.finfo(dtype)
        # Results that are normal numbers, and not; the last ones overflow on the way.
        for extreme in (3.0, -80.0, -89.0, -1000.0, np.nan, np.inf, -np.inf, float(limits.min)):
            x = np.asarray([[0.0, -0.0, 20.0], [1e-30, -20.0, extreme]], dtype)
            with np.errstate(all="ignore"):
                code = code_of(lambda x: (xp.expit(x), xp.expit(x * 0.5) * 1.5), x)
                logs = jit(lambda x: xp.log(xp.expit(x)) * 1)
                for _ in range(2):
                    np.testing.assert_allclose(logs(x), xp.log(xp.expit(x)), rtol=10 * limits.eps)
            assert "expit(a0, t1)" in code and "exp(" not in code.replace("expit(", "")
    assert "expit" not in code_of(lambda x: xp.expit(x) * 1.5, normal(30, 30))


def test_what_is_returned_is_made_without_detours() -> None:
    x = normal(5, 4)
    for fun, line in (
        (lambda x: xp.sum(xp.sin(x)), "t2 = sum(t1, None, None, None, False)"),
        (lambda x: xp.sum(xp.sin(x), axis=1), "t2 = sum(t1, 1, None, None, False)"),
        (lambda x: xp.sum(xp.sin(x), axis=0), "t2 = dot(k0, t1)"),
        (lambda x: xp.mean(xp.sin(x)), "t2 = mean(t1, None, 20, None, False)"),
        (lambda x: xp.mean(xp.sin(x), axis=1, keepdims=True), "t2 = mean(t1, 1, 4, None, True)"),
        (lambda x: xp.exp(xp.mean(xp.sin(x), axis=(0, 1))), "t2 = mean(t1, (0, 1), 20, None, False)"),
        (lambda x: xp.max(xp.sin(x)), "t2 = max(t1, None, None, None, False)"),
        (lambda x: xp.sin(x) * 2, "t2 = multiply(t1, n2)"),
        (lambda x: xp.maximum(xp.sin(x), 0.5), "t2 = maximum(t1, n0_5)"),
        (lambda x: xp.matmul(xp.sin(x), x.T), "t3 = dot(t1, t2)"),
        (lambda x: xp.sin(x) @ x[0, :], "t3 = matmul(t1, t2)"),
    ):
        code = code_of(fun, x)
        assert line in code, code
    code_of(xp.sum, np.asarray([True, False]))
