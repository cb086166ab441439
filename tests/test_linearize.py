"""linearize: one run of a function, and its tangent map as often as wanted."""

import gc
import math
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import CASES
from cases.check import TOLERANCE, assert_close, problem

import bpkit
from bpkit import grad, jvp, linearize, record, tree, vjp, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, LeakedArrayError, MixedBackendsError
from bpkit.kinds import is_mutable, raw
from bpkit.record import Program
from bpkit.registry import backend_of, get_backend
from bpkit.trace import call

NAMES = list(dict.fromkeys(case.name for case in CASES))


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def directions(primals: list[Any], backend: Backend, seed: int) -> list[Any]:
    """Tangents for the primals, other ones for every seed."""
    rng = np.random.default_rng(seed)
    found = []
    for x in map(backend.to_host, primals):
        t = rng.uniform(-1, 1, x.shape) + (1j * rng.uniform(-1, 1, x.shape) if x.dtype.kind == "c" else 0)
        found.append(backend.from_host(np.asarray(t, dtype=x.dtype)))
    return found


# Against jvp.


@pytest.mark.parametrize("name", NAMES)
def test_the_map_of_every_function_is_that_of_jvp(name: str, backend: Backend) -> None:
    cases = [c for c in CASES if c.name == name and backend.name not in c.not_on]
    cases = [c for c in cases if backend.capabilities.issuperset(c.needs)]
    for case in cases[:1] if backend.name == "jax" else cases:
        fun, primals = problem(case, backend)
        out, jvp_fun = linearize(fun, *primals)
        for seed in (3, 4):
            tangents = directions(primals, backend, seed)
            expected_out, expected = jvp(fun, tuple(primals), tuple(tangents))
            found = jvp_fun(*tangents)
            for x, y in zip([*out, *found], [*expected_out, *expected], strict=True):
                assert x.shape == y.shape and x.dtype == y.dtype and type(x) is type(y), case
                assert_close(host(x), host(y), TOLERANCE["float64"], str(case))


def test_infinite_slopes_are_annihilated_for_each_tangent_by_itself(backend: Backend) -> None:
    # The map is found with no tangent in particular, so the zeros of one must not be those of the next.
    _, jvp_fun = linearize(xp.sqrt, xp.asarray([0.0, 4.0]))
    assert host(jvp_fun(xp.asarray([0.0, 1.0]))).tolist() == [0.0, 0.25]
    assert host(jvp_fun(xp.asarray([1.0, 0.0]))).tolist() == [math.inf, 0.0]


class Pair(NamedTuple):
    first: Any
    second: Any


def test_trees_and_aux(backend: Backend) -> None:
    def f(p: Any, q: Any) -> Any:
        out = {"product": p["w"] * q.first, "sum": [xp.sum(p["w"]), q.second], "fixed": xp.ones(2)}
        return out, {"seen": p["w"], "name": "f"}

    p, q = {"w": xp.asarray([1.0, 2.0]), "none": None}, Pair(xp.asarray([3.0, 4.0]), xp.asarray(5.0))
    out, jvp_fun, aux = linearize(f, p, q, has_aux=True)
    assert host(out["product"]).tolist() == [3.0, 8.0] and float(out["sum"][0]) == 3.0
    assert aux["name"] == "f" and host(aux["seen"]).tolist() == [1.0, 2.0]
    t, s = {"w": xp.asarray([1.0, -1.0]), "none": None}, Pair(xp.asarray([10.0, 20.0]), xp.asarray(7.0))
    tangent = jvp_fun(t, s)
    assert tree.structure(tangent) == tree.structure(out)
    assert host(tangent["product"]).tolist() == [13.0, 36.0]
    assert [float(x) for x in tangent["sum"]] == [0.0, 7.0]
    assert host(tangent["fixed"]).tolist() == [0.0, 0.0]


def test_results_that_do_not_move(backend: Backend) -> None:
    x = xp.asarray([1.0, 2.0])
    out, jvp_fun = linearize(lambda x, y: (y, xp.ones_like(x), xp.argmax(x), x, 3.0 * y), x, x)
    tangent = jvp_fun(x, 0.0 * x)
    assert [host(t).tolist() for t in tangent] == [[0.0, 0.0], [0.0, 0.0], 0, [1.0, 2.0], [0.0, 0.0]]
    assert all(t.dtype == o.dtype and t.shape == o.shape for t, o in zip(tangent, out, strict=True))
    out, jvp_fun = linearize(lambda: xp.ones(2))
    assert host(jvp_fun()).tolist() == [0.0, 0.0]


def test_python_floats_and_numpy_scalars() -> None:
    out, jvp_fun = linearize(lambda x, y: x * y, 2.0, np.float32(3.0))
    assert (out, jvp_fun(1.0, 0.0), jvp_fun(0.0, np.float32(1.0))) == (6.0, 3.0, 2.0)


def test_dtypes_of_tangents_are_those_of_the_results(backend: Backend) -> None:
    if Capability.FLOAT64 not in backend.capabilities:
        pytest.skip("needs float64")
    x, y = xp.asarray([1.0, 2.0], dtype="float32"), xp.asarray([3.0, 4.0], dtype="float64")
    out, jvp_fun = linearize(lambda x, y: (x * y, xp.astype(y, "float32"), x + 1.0), x, y)
    tangent = jvp_fun(x, y)
    assert [t.dtype for t in tangent] == [o.dtype for o in out] == [y.dtype, x.dtype, x.dtype]
    assert host(tangent[0]).tolist() == [6.0, 16.0]


# One run.


def test_the_function_runs_once_and_derivatives_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, names = [], []

    def f(x: Any) -> Any:
        runs.append(1)
        return xp.sum(xp.exp(xp.sin(x)) * x)

    _, jvp_fun = linearize(f, np.asarray([1.0, 2.0]))

    def spy(name: str, *operands: Any, **static: Any) -> Any:
        names.append(name)
        return call(name, *operands, **static)

    monkeypatch.setattr(record, "call", spy)
    first = jvp_fun(np.asarray([1.0, 0.0]))
    assert runs == [1]
    # d sum(e^(sin x) x) = sum(e^(sin x) cos x t x + e^(sin x) t): products and sums, no sine, cosine, exp.
    assert set(names) <= {"annihilating_product", "multiply", "add", "sum"} and len(names) == 6
    assert first == pytest.approx(math.exp(math.sin(1.0)) * (math.cos(1.0) + 1.0))


def test_steps_that_no_result_depends_on_are_dropped() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(50):
            y = xp.sin(y)
        return 2.0 * x

    def steps(f: Callable[[Any], Any]) -> int:
        (program,) = (
            c.cell_contents for c in linearize(f, 1.0)[1].__closure__ if isinstance(c.cell_contents, Program)
        )
        return len(program.steps)

    assert steps(f) == steps(lambda x: 2.0 * x) == 1


def test_tangents_are_let_go_after_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def spy(name: str, *operands: Any, **static: Any) -> Any:
        alive.append(sum(reference() is not None for reference in made))
        out = call(name, *operands, **static)
        made.append(weakref.ref(out))
        return out

    def f(x: Any) -> Any:
        for _ in range(30):
            x = xp.tanh(x)
        return x

    _, jvp_fun = linearize(f, np.ones(3))
    monkeypatch.setattr(record, "call", spy)
    jvp_fun(np.ones(3))
    assert len(alive) == 30 and max(alive) == 1


def test_nothing_of_the_run_lives_on_but_what_the_map_needs() -> None:
    references = []

    def f(x: Any) -> Any:
        y = xp.sin(x)
        references.append(weakref.ref(raw(y)))
        y = y + 1.0
        references.append(weakref.ref(raw(y)))
        return xp.exp(y) * 1.0

    gc.disable()
    try:
        out, jvp_fun = linearize(f, np.ones(3))
        assert [reference() is None for reference in references] == [True, True]
    finally:
        gc.enable()
    np.testing.assert_allclose(jvp_fun(np.ones(3)), out * np.cos(1.0))


def test_a_hundred_thousand_functions_in_a_row() -> None:
    count = 100_000

    def f(x: Any) -> Any:
        for _ in range(count // 2):
            x = x * 1.00001
            x = x + 1e-9
        return x

    _, jvp_fun = linearize(f, 1.0)
    assert float(jvp_fun(1.0)) == pytest.approx(1.00001 ** (count // 2))
    del jvp_fun
    gc.collect()


def test_the_map_may_be_called_by_many_threads() -> None:
    x = np.linspace(0.1, 1.0, 50)
    _, jvp_fun = linearize(lambda x: xp.cumulative_sum(xp.sin(x) * xp.exp(x)), x)
    tangents = [np.random.default_rng(i).standard_normal(50) for i in range(200)]
    expected = [jvp_fun(t) for t in tangents]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for found, exact in zip(pool.map(jvp_fun, tangents), expected, strict=True):
                np.testing.assert_array_equal(found, exact)
    finally:
        sys.setswitchinterval(interval)


# Memory: nothing shared, nothing overwritten.


def overwritten(x: Any) -> None:
    x *= 0.0
    x -= 77.0


def test_arguments_and_buffers_may_change_before_the_map_is_called(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip(f"{backend.name}'s arrays do not change")
    for shape in ((2,), (2000,)):
        x, buffer = 0.5 * xp.ones(shape), 3.0 * xp.ones(shape)

        def f(x: Any, b: Any = buffer) -> Any:
            first = xp.multiply(xp.exp(x), b)
            b *= 2.0
            return first + xp.multiply(x * x, b), x

        out, jvp_fun = linearize(f, x)
        t = xp.ones(shape)
        overwritten(x)
        overwritten(buffer)
        for part in out:
            overwritten(part)
        for _ in range(2):
            moved, same = jvp_fun(t)
            np.testing.assert_allclose(host(moved), 3 * math.exp(0.5) + 6.0, rtol=1e-6)
            np.testing.assert_array_equal(host(same), np.ones(shape))
            if is_mutable(moved):
                overwritten(moved)
                overwritten(same)
        np.testing.assert_array_equal(host(t), np.ones(shape))


def test_read_only_arrays_will_do() -> None:
    x, t = np.broadcast_to(np.asarray(0.5), (4,)), np.broadcast_to(np.asarray(1.0), (4,))
    tangent = linearize(lambda x: x, x)[1](t)
    assert tangent.flags.writeable and tangent.flags.owndata


# With other transforms.


def cubic(x: Any) -> Any:
    return xp.sum(x * x * x)


def along(f: Callable[[Any], Any], v: Any) -> Callable[[Any], Any]:
    """The derivative along v, by linearize."""
    return lambda x: linearize(f, x)[1](v)


def test_every_order(backend: Backend) -> None:
    x, v, w = xp.asarray([1.0, 2.0]), xp.asarray([3.0, -1.0]), xp.asarray([0.5, 4.0])
    hx, hv, hw = host(x), host(v), host(w)
    second = 6 * hx * hv
    np.testing.assert_allclose(host(grad(along(cubic, v))(x)), second, rtol=1e-6)
    np.testing.assert_allclose(host(linearize(grad(cubic), x)[1](v)), second, rtol=1e-6)
    np.testing.assert_allclose(float(along(along(cubic, v), w)(x)), np.sum(second * hw), rtol=1e-6)
    np.testing.assert_allclose(float(jvp(along(cubic, v), (x,), (w,))[1]), np.sum(second * hw), rtol=1e-6)
    np.testing.assert_allclose(host(grad(along(along(cubic, v), w))(x)), 6 * hv * hw, rtol=1e-6)
    np.testing.assert_allclose(
        float(along(along(along(cubic, v), w), v)(x)), np.sum(6 * hv**2 * hw), rtol=1e-6
    )


def test_the_map_is_differentiated_as_the_linear_function_that_it_is(backend: Backend) -> None:
    x, v = xp.asarray([1.0, 2.0]), xp.asarray([3.0, -1.0])
    out, jvp_fun = linearize(lambda x: xp.exp(x) * x, x)
    slope = np.exp(host(x)) * (host(x) + 1)
    np.testing.assert_allclose(host(grad(lambda t: xp.sum(jvp_fun(t)))(v)), slope, rtol=1e-6)
    np.testing.assert_allclose(host(jvp(jvp_fun, (v,), (v,))[1]), slope * host(v), rtol=1e-6)
    np.testing.assert_allclose(host(linearize(jvp_fun, v)[1](v)), slope * host(v), rtol=1e-6)
    (transposed,) = vjp(jvp_fun, v)[1](out)
    np.testing.assert_allclose(host(transposed), slope * host(out), rtol=1e-6)


def test_a_map_made_outside_is_used_inside(backend: Backend) -> None:
    # d/dy sum(J (y * y)) = 2 y J with J = diag(cos x), found before y was known.
    x, y = xp.asarray([0.1, 0.2]), xp.asarray([3.0, 4.0])
    _, jvp_fun = linearize(xp.sin, x)
    found = grad(lambda y: xp.sum(jvp_fun(y * y)))(y)
    np.testing.assert_allclose(host(found), 2 * host(y) * np.cos(host(x)), rtol=1e-6)


def test_only_a_closed_over_value_is_watched_from_outside(backend: Backend) -> None:
    # The tangent is plain, the derivative that it meets is not.
    x, w = xp.asarray([0.1, 0.2]), xp.asarray([3.0, 4.0])
    found = grad(lambda w: xp.sum(linearize(lambda x: w * x, x)[1](xp.ones(2))))(w)
    np.testing.assert_allclose(host(found), np.ones(2), rtol=1e-6)


def test_a_map_that_outlives_what_it_was_made_in_is_refused() -> None:
    kept = []

    def f(x: Any) -> Any:
        out, jvp_fun = linearize(xp.sin, x)
        kept.append(jvp_fun)
        return out

    grad(f)(1.0)
    with pytest.raises(LeakedArrayError, match="traced by grad, value_and_grad or vjp, which has ended"):
        kept[0](1.0)


def test_a_value_of_the_run_used_later_is_refused() -> None:
    kept = []

    def f(x: Any) -> Any:
        kept.append(x)
        return x

    linearize(f, 1.0)
    with pytest.raises(LeakedArrayError, match="was traced by linearize, which has ended"):
        kept[0] * 2.0


def test_complex_tangents(backend: Backend) -> None:
    if Capability.COMPLEX not in backend.capabilities:
        pytest.skip("needs complex numbers")
    z, t = xp.asarray([1.0 + 2.0j, -0.5j]), xp.asarray([0.5 - 1.0j, 2.0 + 0.0j])
    _, jvp_fun = linearize(lambda z: (z * z, xp.real(z), xp.abs(z) ** 2, xp.conj(z)), z)
    hz, ht = host(z), host(t)
    expected = (2 * hz * ht, ht.real, 2 * (hz.conj() * ht).real, ht.conj())
    for found, exact in zip(jvp_fun(t), expected, strict=True):
        np.testing.assert_allclose(host(found), exact, rtol=1e-6)


# Wrong arguments.


WRONG: list[tuple[tuple[Any, ...], str]] = [
    ((), r"linearize of .*: the tangents must have the structure of the primals, .* they have"),
    (({"a": np.ones(2)}, 1.0), "the tangents must have the structure of the primals"),
    (
        ({"a": np.ones(3)},),
        r"tangents\[0\]\['a'\] must be an array of shape \(2,\) .*; it is .* shape \(3,\)",
    ),
    (({"a": np.ones(2, dtype=np.float32)},), r"dtype float64; it is .* dtype float32"),
    (({"a": 1j},), r"\['a'\] must be an array of shape \(2,\) .*; it is the complex 1j"),
]


@pytest.mark.parametrize(("tangents", "message"), WRONG)
def test_wrong_tangents(tangents: Any, message: str) -> None:
    _, jvp_fun = linearize(lambda p: p["a"], {"a": np.ones(2)})
    with pytest.raises(ArgumentError, match=message):
        jvp_fun(*tangents)


def test_wrong_functions_primals_and_results() -> None:
    with pytest.raises(ArgumentError, match="linearize: the first argument must be a function"):
        linearize(3.0, 1.0)
    with pytest.raises(ArgumentError, match=r"linearize of .*: primal 0 is asked for a gradient, .* 3\.0"):
        linearize(lambda x: x, 3)
    with pytest.raises(ArgumentError, match=r"the result\['n'\] must be an array; it is the int 3"):
        linearize(lambda x: {"n": 3, "x": x}, 1.0)
    with pytest.raises(ArgumentError, match=r"with has_aux=True it must return a pair"):
        linearize(lambda x: x, 1.0, has_aux=True)


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_tangents_of_another_library(library: str) -> None:
    pytest.importorskip(library)
    x = np.ones(2, dtype=np.float32)
    _, jvp_fun = linearize(lambda x: x * 2.0, x)
    with pytest.raises(
        MixedBackendsError, match=rf"linearize of .*, tangents\[0\]: .* numpy and .* {library}"
    ):
        jvp_fun(get_backend(library).from_host(x))


def test_public_name() -> None:
    assert bpkit.linearize is linearize
