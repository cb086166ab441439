"""jit: the same results as without it, recorded once, in memory of its own, and what it refuses."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bpkit import (
    checkpoint,
    custom_vjp,
    debug_nans,
    grad,
    implicit_root,
    jit,
    jvp,
    tree,
    value_and_grad,
    vmap,
    xp,
)
from bpkit._protocol import Backend, Capability
from bpkit.errors import (
    ArgumentError,
    CompileWarning,
    MixedBackendsError,
    NonFiniteError,
    RecordingError,
    RecordingWarning,
)
from bpkit.registry import backend_of
from bpkit.transforms.jit import Jitted


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def arrays(*shapes: tuple[int, ...], dtype: str = "float64") -> list[Any]:
    rng = np.random.default_rng(0)
    return [xp.asarray(rng.normal(size=shape).tolist(), dtype=getattr(xp, dtype)) for shape in shapes]


def copied(x: Any) -> Any:
    return xp.asarray(x, copy=True)


def loss(p: Any, x: Any, y: Any) -> Any:
    hidden = xp.expit(x @ p["w"] + p["b"])
    return xp.mean((xp.tanh(hidden @ p["v"]) - y) ** 2) + 0.01 * xp.sum(xp.abs(p["w"]))


def step(p: Any, x: Any, y: Any) -> Any:
    value, gradient = value_and_grad(loss)(p, x, y)
    return value, {name: p[name] - 0.5 * gradient[name] for name in p}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_training_step(backend: Backend, dtype: str) -> None:
    w, b, v, x, y = arrays((4, 3), (3,), (3, 2), (5, 4), (5, 2), dtype=dtype)
    compiled = jit(step)
    p = q = {"w": w, "b": b, "v": v}
    for _ in range(4):
        value, p = step(p, x, y)
        found, q = compiled(q, x, y)
        # XLA fuses, and NumPy's columns are summed by products: both round otherwise.
        tolerance = (
            0.0 if backend.name not in ("jax", "numpy") else {"float32": 1e-5, "float64": 1e-13}[dtype]
        )
        np.testing.assert_allclose(host(found), host(value), rtol=tolerance)
        assert type(found) is type(value)
        for name in p:
            np.testing.assert_allclose(host(q[name]), host(p[name]), rtol=tolerance, atol=tolerance)
            assert q[name].dtype == p[name].dtype and type(q[name]) is type(p[name])
    assert compiled.explain() == "1. the first call"


def test_the_function_runs_once(backend: Backend) -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return xp.sin(x) + 1

    compiled = jit(f)
    x, y = arrays((3,), (3,))
    for z in (x, y, x):
        np.testing.assert_allclose(host(compiled(z)), np.sin(host(z)) + 1, rtol=1e-15)
    assert len(calls) == 1
    assert "sin" in compiled.source and "v1: " in str(compiled.program)


def test_why_it_was_recorded_again(backend: Backend) -> None:
    f = jit(lambda p, scale, n: xp.sum(p["x"]) * scale * n, static_argnums=2)
    (x,) = arrays((3,))
    f({"x": x}, 2.0, 1)
    f({"x": x}, 2.0, 1)
    f({"x": x}, 3.0, 1)
    f({"x": x[:2]}, 3.0, 1)
    f({"x": x[:2]}, 3.0, 5)
    lines = f.explain().split("\n")
    assert len(lines) == 4 and lines[0] == "1. the first call"
    assert lines[1] == "2. scale is the setting 3.0, before the setting 2.0"
    assert "p['x'] is" in lines[2] and "(2,)" in lines[2] and "(3,)" in lines[2]
    assert lines[3] == "4. static arguments (5,), before (1,)"
    assert float(f({"x": x[:2]}, 3.0, 1)) == pytest.approx(float(xp.sum(x[:2])) * 3)
    # 1 is equal to 1.0, and another setting.
    f({"x": x}, 3, 1)
    assert len(f.explain().split("\n")) == 5
    f.clear()
    assert f.explain() == "not called yet"
    with pytest.raises(ArgumentError, match="call it first"):
        _ = f.program


def test_a_number_that_changes_each_time(backend: Backend) -> None:
    (x,) = arrays((3,))
    f = jit(lambda p, *rest, rate=1.0: p["x"] * rest[1] * rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(4):
            f({"x": x}, x, x, rate=0.1 * i)
        # Another reason in between, and an array.
        f({"x": x}, x, 2.0, rate=0.3)
        for i in range(4):
            f({"x": x}, x, 2.0, rate=0.7 + i)
            f({"x": x}, x, 2.0, rate=xp.asarray(0.1 * i))
    with warnings.catch_warnings(record=True, action="always") as caught:
        for i in range(9):
            f({"x": x}, x, 0.5 + i, rate=0.3)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert caught[0].category is RecordingWarning
    assert "jit of" in str(caught[0].message) and "rest[1] is a number, so" in str(caught[0].message)
    assert "Pass it as an array without axes, of the dtype of what it meets: xp.asarray(rest[1], dtyp" in str(
        caught[0].message
    )
    # What the user calls static is meant to be.
    g = jit(lambda x, n: x * n, static_argnums=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(9):
            g(x, i)


def test_a_program_with_a_dtype_in_it_is_shown(backend: Backend) -> None:
    (x,) = arrays((3,))
    compiled = jit(lambda x: xp.astype(x, xp.float32))
    compiled(x)
    assert "v1: " in str(compiled.program) and "float32" in str(compiled.program)


def test_under_and_over_other_transforms(backend: Backend) -> None:
    x, y = arrays((4, 3), (4, 3))

    def f(row: Any) -> Any:
        return xp.sum(xp.exp(row) * row)

    for transformed in (vmap(grad(f)), lambda x: jvp(f, (x,), (x,))[1], vmap(grad(lambda r: f(grad(f)(r))))):
        compiled = jit(transformed)
        compiled(x)
        np.testing.assert_allclose(host(compiled(y)), host(transformed(y)), rtol=1e-12)
    inner = jit(f)
    inner(x)
    np.testing.assert_allclose(host(grad(inner)(x)), host(grad(f)(x)), rtol=1e-15)
    np.testing.assert_allclose(host(vmap(inner)(x)), host(vmap(f)(x)), rtol=1e-15)
    nested = jit(lambda x: inner(x) * 2)
    nested(x)
    np.testing.assert_allclose(host(nested(y)), host(f(y)) * 2, rtol=1e-13)


@pytest.mark.parametrize(
    ("fun", "what"),
    [
        (lambda x: x if xp.sum(x) > 0 else -x, r"bool\(\)"),
        (lambda x: x * float(xp.sum(x)), r"float\(\)"),
        (lambda x: x + np.asarray(xp.sum(x)), r"numpy\.asarray\(x\)"),
        (grad(lambda x: xp.sum(x) if xp.sum(x) > 0 else xp.max(x)), r"bool\(\)"),
    ],
)
def test_values_that_decide_are_refused(backend: Backend, fun: Any, what: str) -> None:
    (x,) = arrays((3,))
    with pytest.raises(
        RecordingError, match=rf"(?s)^{what} of a value that depends .* under jit.*test_jit\.py:\d+"
    ):
        jit(fun)(x)


def test_shapes_by_values_are_refused(backend: Backend) -> None:
    if Capability.DATA_DEPENDENT_SHAPES not in backend.capabilities:
        pytest.skip("the library has none of these functions")
    (x,) = arrays((3,))
    for fun in (xp.unique_values, lambda x: x[x > 0], lambda x: xp.nonzero(x)[0]):
        with pytest.raises(RecordingError, match=r"(?s)the shape of the result depends on .*test_jit\.py:\d"):
            jit(fun)(x)


def test_arguments_that_do_not_fit(backend: Backend) -> None:
    (x,) = arrays((3,))
    with pytest.raises(ArgumentError, match="settings must be hashable"):
        jit(lambda x, options: x)(x, {1, 2})
    with pytest.raises(ArgumentError, match="the first argument must be a function"):
        jit(3)  # type: ignore[arg-type]
    other = np.ones(3) if backend.name != "numpy" else __import__("array_api_strict").ones(3)
    with pytest.raises(MixedBackendsError):
        jit(lambda x, y: x)(x, other)


def test_many_threads(backend: Backend) -> None:
    w, b, v, x, y = arrays((4, 3), (3,), (3, 2), (5, 4), (5, 2))
    compiled = jit(step)
    compiled({"w": w, "b": b, "v": v}, x, y)
    wrong: list[Any] = []

    def work(scale: float) -> None:
        p = {"w": w * scale, "b": b, "v": v}
        expected = host(step(p, x, y)[1]["w"])
        for _ in range(20):
            found = host(compiled(p, x, y)[1]["w"])
            if not np.allclose(found, expected, rtol=1e-12):
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(1.0 + i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_functions_with_a_derivative_of_their_own(backend: Backend) -> None:
    @custom_vjp
    def doubled(x: Any) -> Any:
        return xp.sin(x)

    doubled.defvjp(lambda x: (xp.sin(x), x), lambda x, g: (2 * g * xp.cos(x),))
    (x,) = arrays((3,))

    def f(x: Any) -> Any:
        return doubled(x), grad(lambda x: xp.sum(doubled(x)))(x), grad(checkpoint(lambda x: xp.sum(x**3)))(x)

    compiled = jit(f)
    compiled(x)
    for found, expected in zip(compiled(x * 2), f(x * 2), strict=True):
        np.testing.assert_allclose(host(found), host(expected), rtol=1e-13)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_settings_that_are_equal_and_not_the_same() -> None:
    (x,) = arrays((3,))
    x = xp.abs(x)
    f = jit(lambda x, n: x / n, static_argnums=1)
    g = jit(lambda x, n: x / n)
    h = jit(lambda x, n: x[0] if n[0] is True else x * n[0], static_argnums=1)
    for _ in range(2):
        for zero in (0.0, -0.0):
            wanted = np.full(3, np.copysign(np.inf, zero))
            np.testing.assert_array_equal(f(x, zero), wanted)
            np.testing.assert_array_equal(g(x, zero), wanted)
        np.testing.assert_array_equal(h(x, (1,)), x)
        assert h(x, (True,)).shape == ()
        assert np.isnan(g(x, float("nan"))).all()
    assert len(g.explain().split("\n")) == 3


def test_constants_that_are_equal_and_not_the_same() -> None:
    f = jit(lambda x: (xp.copysign(x, 0.0), xp.copysign(x, -0.0), float("inf"), np.float64(2.0)))
    (x,) = arrays((3,))
    for _ in range(2):
        one, other, infinite, two = f(x)
        np.testing.assert_array_equal(one, -other)
        assert infinite == float("inf") and type(infinite) is float
        assert two == 2 and type(two) is np.float64


def test_complex_numbers_as_booleans() -> None:
    f = jit(lambda z: xp.astype(xp.astype(z * 1j, xp.bool), xp.float64) + 0)
    z = np.asarray([1.0, 0.0, 1j]) + 0
    for _ in range(2):
        np.testing.assert_array_equal(f(z), [1.0, 0.0, 1.0])


def test_debug_nans_looks_into_a_function_that_was_compiled(backend: Backend) -> None:
    def f(x: Any) -> Any:
        return xp.sum(xp.log(x) * 2)

    (x,) = arrays((3,))
    x = xp.abs(x) + 1
    compiled = jit(f)
    compiled(x)
    compiled(x)
    for call in (compiled, f):
        with (
            debug_nans(),
            pytest.raises(NonFiniteError, match=r"(?s)log made nan.*test_jit\.py") as caught,
        ):
            call(x - 100)
        assert caught.value.function == "log"
    assert np.isnan(host(compiled(x - 100)))
    assert compiled.explain() == "1. the first call"


def test_traced_arguments_in_another_thread(backend: Backend) -> None:
    def f(x: Any, n: Any) -> Any:
        return xp.sum(x**2) * n

    x, n = arrays((3,), ())
    compiled = jit(f, static_argnums=1)
    compiled(x, 2)

    def loss(x: Any, n: Any, f: Any) -> Any:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(f, (x, 2 * x, 3 * x), (2, 3, n)))
        return found[0] + found[1] * found[2]

    for _ in range(2):
        for position in (0, 1):
            expected = grad(loss, position)(x, n, f)
            np.testing.assert_allclose(host(grad(loss, position)(x, n, compiled)), host(expected), rtol=1e-14)
    np.testing.assert_allclose(host(compiled(x, 2)), host(f(x, 2)), rtol=1e-14)
    assert compiled.explain() == "1. the first call"


def test_methods(backend: Backend) -> None:
    class Line:
        def __init__(self, slope: Any) -> None:
            self.slope = slope

        @jit
        def at(self, x: Any) -> Any:
            return xp.multiply(self.slope, x)

    a, b, x = arrays((3,), (3,), (3,))
    lines = [Line(a), Line(b + 1)]
    for _ in range(2):
        for line in lines:
            np.testing.assert_array_equal(host(line.at(x)), host(line.slope) * host(x))
    assert isinstance(Line.at, Jitted)
    assert len(Line.at.explain().split("\n")) == 2


def test_arguments_named_by_their_positions(backend: Backend) -> None:
    def f(x: Any, y: Any = 1.0, n: int = 2) -> Any:
        return x * y * n

    (x,) = arrays((3,))
    compiled = jit(f, static_argnums=-1, donate_argnums=(-3,))
    for _ in range(2):
        given = copied(x)
        found = compiled(given, 2.0, 3)
        np.testing.assert_array_equal(host(found), host(f(x, 2.0, 3)))
    assert backend.name != "numpy" or found is given
    again = r"\(.*\) must name different positional arguments, and the call has"
    wrong: list[tuple[Any, str]] = [
        (lambda: jit(f, static_argnums=2)(x, 2.0), rf"static_argnums {again} 2; pass n by position, not by"),
        (lambda: jit(f, static_argnums=2)(x, n=2), rf"static_argnums {again} 1; pass n by position"),
        (lambda: jit(f, static_argnums=(1, -2))(x, 2.0, 3), rf"static_argnums {again} 3; pass y, y by"),
        (lambda: jit(f, static_argnums=7)(x), rf"static_argnums {again} 1; pass number 7 by position"),
        (lambda: jit(f, static_argnums=-4)(x), rf"static_argnums {again} 1; pass number -4 by position"),
        (lambda: jit(f, donate_argnums=0)(x=x), rf"donate_argnums {again} 0; pass x by position"),
        (lambda: jit(f, donate_argnums=5)(x), rf"donate_argnums {again} 1; pass number 5 by position"),
        (
            lambda: jit(f, static_argnums="n"),  # type: ignore[arg-type]
            "static_argnums must be an int or a tuple of ints; it is the str",
        ),
    ]
    for call, text in wrong:
        with pytest.raises(ArgumentError, match=f"^jit of .*f: {text}"):
            call()
    # What a static argument has in it is not counted among the others.
    first = jit(lambda n, x: x * n[0], static_argnums=0)
    first((1, 2), x)
    first((1, 2), x[:2])
    assert first.explain().split("\n")[1].startswith("2. x is")


def test_results_that_depend_on_no_input(backend: Backend) -> None:
    fixed, scalar = xp.ones(2), np.float64(1.5)

    def f(x: Any) -> Any:
        return {
            "a": x * 2,
            "n": 3,
            "r": 2.5,
            "c": 1j,
            "b": True,
            "s": "text",
            "f": fixed,
            "z": scalar,
        }, xp.zeros(2)

    (x,) = arrays((3,))
    for fun in (f, lambda x: (3, "text"), lambda x: {"f": fixed, "x": x}):
        compiled = jit(fun)
        for _ in range(3):
            found, expected = tree.flatten(compiled(x)), tree.flatten(fun(x))
            assert found[1] == expected[1]
            for y, z in zip(found[0], expected[0], strict=True):
                assert type(y) is type(z) and getattr(y, "dtype", None) == getattr(z, "dtype", None)
                np.testing.assert_array_equal(*[host(w) if hasattr(w, "shape") else w for w in (y, z)])
                assert y is not fixed or Capability.IN_PLACE not in backend.capabilities


def test_a_function_has_one_name_in_the_source() -> None:
    (x,) = arrays((3,))
    compiled = jit(lambda x: (x, x[:2], x[1:], xp.sin(xp.sin(x))))
    for found, expected in zip(compiled(x), compiled(x), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert compiled.source.count("copy(") == 3 and "copy_" not in compiled.source


def test_an_infinite_derivative_of_what_does_not_count() -> None:
    f = grad(lambda x: xp.sum(xp.where(x > 1, xp.sqrt(x), 0.0) ** 2))
    compiled = jit(lambda x: f(x) + 1)
    for x in (np.ones(4) * 2, np.asarray([0.0, 4.0, 0.0, 9.0]), np.asarray([2.0, 3.0, np.inf, 0.0])):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(compiled(x), f(x) + 1)
    assert "annihilating_product(" in compiled.source


def test_a_function_that_cannot_be_compiled(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise ValueError("no room for the program")

    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return xp.sin(x) * 2

    x, y = arrays((3,), (3,))
    with monkeypatch.context() as patch:
        patch.setattr(backend, "compiled", fails)
        compiled = jit(f)
        text = r"jit of .*f: compiling failed with ValueError: no room for the program\. From now on"
        with pytest.warns(CompileWarning, match=text) as caught:
            np.testing.assert_array_equal(host(compiled(x)), host(f(x)))
    assert len(caught) == 1 and caught[0].filename == __file__
    calls.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for z in (y, x, y[:2]):
            np.testing.assert_array_equal(host(compiled(z)), host(f(z)))
    assert len(calls) == 6
    assert compiled.explain().startswith("1. compiling failed with ValueError: no room for the program; the")
    compiled.clear()
    for z in (x, y):
        np.testing.assert_allclose(host(compiled(z)), host(f(z)), rtol=1e-14)
    assert compiled.explain() == "1. the first call"


def test_a_function_that_needs_values(backend: Backend) -> None:
    """A solver gets the library's own arrays and may do anything to them, which no compiler can follow."""

    def halves(residual: Any, x: Any) -> Any:
        for _ in range(60):
            x = x - 0.5 * residual(x)
            if float(backend.xp.sum(residual(x))) == 0:
                break
        return x

    x, y = arrays((3,), (3,))
    f = jit(lambda a: implicit_root(lambda x, a: x - a, xp.zeros_like(x), halves, a) * 2)
    with warnings.catch_warnings(record=True, action="always") as caught:
        for z in (x, y * 2, x):
            np.testing.assert_allclose(host(f(z)), host(z) * 2, rtol=1e-14)
    assert len(caught) == (backend.name == "jax")
    assert all(each.category is CompileWarning and each.filename == __file__ for each in caught)


def test_an_error_of_the_user_s(backend: Backend) -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        jit(f)(arrays((3,))[0])
    assert type(caught.value) is KeyError and caught.value.__context__ is None


def test_compiled_in_the_first_call(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = backend.compiled

    def counted(*given: Any) -> Any:
        made.append(given)
        return original(*given)

    monkeypatch.setattr(backend, "compiled", counted)
    compiled = jit(lambda x: x + 1)
    for x in arrays((3,), (3,), (3,)):
        np.testing.assert_array_equal(host(compiled(x)), host(x) + 1)
        assert len(made) == 1


def test_keys_that_are_equal_and_not_the_same() -> None:
    def f(d: Any) -> Any:
        ((key, x),) = d["all"][0].items()
        return (x * 2 if key is True else x), {key: x}

    (x,) = arrays((3,))
    compiled = jit(f)
    one = [{"all": [{key: x}]} for key in (1, True, 1.0, (1,), (True,), 0.0, -0.0)]
    for d in (*one, *one[::-1]):
        (found, found_keys), (expected, expected_keys) = compiled(d), f(d)
        np.testing.assert_array_equal(found, expected)
        assert repr(list(found_keys)) == repr(list(expected_keys))
    lines = compiled.explain().split("\n")
    assert len(lines) == len(one)
    assert "{True: *}" in lines[1] and "before PyTreeSpec" in lines[1] and "{1: *}" in lines[1]


def test_what_is_no_argument_keeps_its_value() -> None:
    class Layer:
        scale = 2.0

    layer, rng = Layer(), np.random.default_rng(0)
    offset = 1.0

    def f(x: Any) -> Any:
        return x * layer.scale + offset + rng.normal()

    (x,) = arrays((3,))
    compiled = jit(f)
    first = compiled(x)
    layer.scale, offset = 5.0, 7.0
    np.testing.assert_array_equal(compiled(x), first)
    compiled.clear()
    assert not np.allclose(compiled(x), first)


def test_results_without_axes_are_scalars_where_the_library_returns_scalars() -> None:
    x = np.asarray(1.5)
    for f in (xp.positive, lambda x: x, lambda x: (xp.sum(x), xp.sum(x)), lambda x: xp.reshape(x, ())):
        compiled = jit(f)
        for _ in range(2):
            found, expected = tree.leaves(compiled(x)), tree.leaves(f(x))
            assert list(map(type, found)) == list(map(type, expected)) and found == expected
