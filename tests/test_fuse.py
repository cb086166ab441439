"""Fused element-wise steps: the same bits as one step after the other, by loops and by blocks."""

import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases.check import problem
from cases.selection import cases_of, of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpkit import jit, vjp, xp
from bpkit.backends import _fused, _fused_loops, _threads
from bpkit.backends._fused_loops import has_compiler
from bpkit.compile.fuse import Fused, fuse
from bpkit.compile.inline import inline
from bpkit.compile.simplify import simplify
from bpkit.record import Program, Recorder, Slot
from bpkit.registry import get_backend
from bpkit.rules.cotangents import annihilating_product, cotangent_as
from bpkit.rules.registry import RULES, Elementwise
from bpkit.transforms.arguments import link_of
from bpkit.tree import leaves

NUMPY = get_backend("numpy")
HAS_NUMBA = has_compiler()
NEEDS_NUMBA = pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba: pip install bpkit-backprop[fast]")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=["blocks", pytest.param("loops", marks=NEEDS_NUMBA)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, cache: Path) -> str:
    """Whatever can be fused is, in pieces of a few elements, with and without Numba.

    Without the functions that round otherwise than NumPy's: `test_fused_functions.py`.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(_fused, "has_compiler", lambda: request.param == "loops")
    monkeypatch.setattr(_fused, "can_fuse_multiply_and_add", lambda: False)
    monkeypatch.setattr(_fused, "LEAST", {**dict.fromkeys(_fused.LEAST, ((1, 1),)), "numbers": ()})
    monkeypatch.setattr(_fused, "BLOCK", 8)
    monkeypatch.setattr(_fused, "CHUNK", 8)
    return str(request.param)


def recorded(fun: Callable[..., Any], *arrays: Any) -> Program:
    """What a function does, as it is before it is fused."""
    with np.errstate(all="ignore"), Recorder("a test") as recorder:
        out = leaves(fun(*[recorder.input(x) for x in arrays]))
        links = [link_of(recorder, x) for x in out]
    program = Program(recorder.inputs, recorder.steps, [link for link in links if link is not None])
    with np.errstate(all="ignore"):
        return simplify(inline(program, NUMPY))


def same_bits(found: Any, wanted: Any) -> None:
    """Equal, with the same signs of zeros; one NaN is as good as another."""
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    for part in (np.real, np.imag) if wanted.dtype.kind == "c" else (np.asarray,):
        number = ~np.isnan(part(wanted)) if wanted.dtype.kind in "fc" else slice(0)
        np.testing.assert_array_equal(np.signbit(part(found)[number]), np.signbit(part(wanted)[number]))


def compare(fun: Callable[..., Any], *arrays: Any, exact: bool = True) -> list[Program]:
    """Do a program step by step and fused, also where results are written over operands; what was fused."""
    program = fuse(recorded(fun, *arrays), NUMPY)
    # Each way to write over operands is a loop to compile.
    alone = not vars(_fused)["has_compiler"]()
    known: dict[Any, Any] = dict(zip(program.inputs, arrays, strict=True))
    found = []
    with np.errstate(all="ignore"):
        for step in program.steps:
            operands = [known[x] if isinstance(x, Slot) else x for x in step.operands]
            inputs = list(dict.fromkeys(x for x in step.operands if isinstance(x, Slot)))
            wanted = Program(inputs, [step], step.outs)([known[x] for x in inputs])
            if isinstance(step.do, Fused):
                found.append(step.do.program)
                for given, outs in _ways_to_write(operands, wanted, alone):
                    step.do.into.function(*given, *outs)
                    for x, y in zip(outs, wanted, strict=True):
                        if exact:
                            same_bits(x, y)
                        else:
                            np.testing.assert_allclose(x, y, rtol=1e-5 if x.dtype == np.float32 else 1e-13)
            known.update(zip(step.outs, wanted, strict=True))
    return found


def _ways_to_write(
    operands: list[Any], wanted: list[Any], alone: bool
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Operands and memory for the results: new, not contiguous, over one operand each, over all that fit."""
    outs = [np.full(np.shape(x), 7, dtype=x.dtype) for x in wanted]
    yield list(operands), outs
    yield list(operands), [np.full((*np.shape(x), 2), 7, dtype=x.dtype)[..., 0] for x in wanted]

    def fits(i: int, k: int) -> bool:
        x, y = operands[i], wanted[k]
        return isinstance(x, np.ndarray) and x.ndim > 0 and (x.shape, x.dtype) == (np.shape(y), y.dtype)

    pairs = [(i, k) for i in range(len(operands)) for k in range(len(wanted)) if fits(i, k)]
    for chosen in [*[[pair] for pair in pairs[:4]], pairs[::-1]] if alone else [pairs[::-1]]:
        given, outs = list(operands), [np.full(np.shape(x), 7, dtype=x.dtype) for x in wanted]
        over: set[int] = set()
        for i, k in chosen:
            if i not in over and k not in over:
                given[i] = outs[k] = np.array(operands[i])
                over |= {i, k + len(operands)}
        yield given, outs


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.7, 1e-40, -1e-40, 1e30, -1e30, 2.0**24, np.inf, -np.inf, np.nan]
NOT_FUSED = {"clip", "positive"}
"""The one has a test of its own; the other changes nothing."""
FUNCTIONS = sorted(
    {
        *(name for name, rule in RULES.items() if isinstance(rule, Elementwise) and "." not in name),
        *("abs", "sign", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
        *("isfinite", "isinf", "isnan", "signbit", "ceil", "floor", "trunc", "logical_and", "logical_not"),
        *("logical_or", "logical_xor", "bitwise_and", "bitwise_invert", "bitwise_or", "bitwise_xor"),
        *("bitwise_left_shift", "bitwise_right_shift", "floor_divide"),
    }
    - NOT_FUSED
)


def in_lots(way: str, calls: list[Any], many: int) -> list[list[Any]]:
    """What is compared in one program: one call, or several where a loop is compiled, which takes time."""
    size = many if way == "loops" else 1
    return [calls[i : i + size] for i in range(0, len(calls), size)]


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int8", "int64", "uint8", "uint64", "bool", "complex128"]
)
def test_special_values(way: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        number = np.asarray(SPECIAL) if dtype[0] in "fc" else np.asarray([0, 1, 2, 3, 5, 77, 100, 127])
        values = number.astype(dtype)
        signed = values if dtype[0] in "ub" else np.concatenate([values, -values])
        x, y = (np.ascontiguousarray(z).reshape(-1) for z in np.meshgrid(signed, values))
    forms: list[Callable[..., Any]] = [
        lambda f, x, y: f(x),
        lambda f, x, y: f(x, y),
        lambda f, x, y: f(x, 2),
        lambda f, x, y: f(2, x),
        lambda f, x, y: f(x, 0.1),
        lambda f, x, y: f(-0.0, x),
        lambda f, x, y: f(x, y[:1]),
    ]
    calls: list[tuple[str, Callable[..., Any]]] = []
    for name, form in itertools.product(FUNCTIONS, forms):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = recorded(lambda x, y, name=name, form=form: form(getattr(xp, name), x, y), x, y)
        except (AttributeError, TypeError, ValueError, ArithmeticError):
            continue  # not a function of these
        if made.steps:
            calls.append((name, form))
    fused = []
    for lot in in_lots(way, calls, 40):
        fused += compare(lambda x, y, lot=lot: [form(getattr(xp, name), x, y) for name, form in lot], x, y)
    assert sum(len(program.steps) for program in fused) >= len(calls) - 6 > 5


@pytest.mark.parametrize("name", ["where", "astype", "cotangent_as", "annihilating_product"])
def test_special_values_of_what_takes_more_than_numbers(way: str, name: str) -> None:
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "where": lambda x, y: [xp.where(x > y, x, y), xp.where(x != 0, 0.25, y), xp.where(x == y, x, -0.0)],
        "astype": lambda x, y: [xp.astype(x, to) for to in ("float32", "float64", "bool", "complex128")],
        "cotangent_as": lambda x, y: [cotangent_as(x, np.dtype(to)) for to in ("float32", "float64")],
        "annihilating_product": annihilating_product,
    }
    for dtype, other in itertools.product(("float32", "float64"), repeat=2):
        x, y = (z.reshape(-1) for z in np.meshgrid(SPECIAL, SPECIAL))
        with np.errstate(all="ignore"):
            x, y = x.astype(dtype), y.astype(other)
            made = [np.asarray(z) for z in leaves(calls[name](x, y))]
        found = compare(calls[name], x, y)
        assert found or all(z.dtype == x.dtype for z in made)


def test_clip(way: str) -> None:
    for dtype in ("float32", "float64"):
        x = np.concatenate([SPECIAL, [3.5, -3.5, 3.4, 1e300]])
        with np.errstate(all="ignore"):
            x = x.astype(dtype)
        for low, high in (
            (-2.5, 3.5),
            (-1e30, 1e30),
            (1.0, 1.0),
            (-3.4028234663852886e38, 3.4028234663852886e38),
        ):
            (program,) = compare(lambda x, low=low, high=high: xp.clip(x, low, high) * 2, x)
            assert len(program.steps) == 2
        # NumPy's own would not keep the sign of a zero.
        for bounds in ((0.0, 1.0), (-1.0, None), (2.0, 1.0)):
            (program,) = compare(lambda x, bounds=bounds: xp.clip(x, *bounds) * 2, x)
            assert len(program.steps) == 1


def test_casts_of_integers(way: str) -> None:
    x = np.asarray([-(2**63), -1, 0, 1, 300, 2**53 + 1, 2**63 - 1])
    for source in ("int64", "int8", "uint8", "uint64", "bool"):
        for target in ("float32", "float64", "int32", "uint16", "int64", "uint64", "bool"):
            if source != target:
                (found,) = compare(lambda x, to=target: xp.astype(x, to), x.astype(source))
                assert found.steps[0].name == "astype"


def test_every_case_and_its_derivatives(way: str) -> None:
    names = [*FUNCTIONS, "where", "annihilating_product", "cotangent_as", "sum", "mean"]
    all_cases = [case for name in names for case in cases_of(name, NUMPY)[:: 1 if way == "blocks" else 8]]
    for lot in in_lots(way, all_cases, 12):
        problems = [problem(case, NUMPY) for case in lot]
        counts = np.cumsum([0, *[len(primals) for _, primals in problems]]).tolist()

        def everything(*primals: Any, problems: Any = problems, counts: Any = counts) -> Any:
            found = []
            for (fun, _), (start, end) in zip(problems, itertools.pairwise(counts), strict=True):
                out, pull = vjp(fun, *primals[start:end])
                found += [out, pull([xp.ones_like(x) for x in out])]
            return found

        exact = not any(case.name in ("sum", "mean") for case in lot)
        with of(lot[0]):
            compare(everything, *[np.asarray(x) for _, primals in problems for x in primals], exact=exact)


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: 0.7 - a * b,
    "divide": lambda a, b: a / (b * b + 1),
    "sqrt": lambda a, b: xp.sqrt(xp.abs(a)) * b,
    "where": lambda a, b: xp.where(a > b, a, 0.5),
    "maximum": xp.maximum,
    "minimum": lambda a, b: xp.minimum(a, -0.0),
    "sign": lambda a, b: xp.sign(a) * b,
    "relu": lambda a, b: xp.relu(a),
    "annihilate": lambda a, b: annihilating_product(a, 1 / b),
    "mask": lambda a, b: xp.astype(xp.logical_and(a < b, xp.isfinite(a)), a.dtype) - b,
    "wider": lambda a, b: xp.astype(xp.astype(a, xp.float64) * 0.1, b.dtype),
    "tanh": lambda a, b: xp.tanh(a),
    "expit": lambda a, b: xp.expit(b) * a,
    "sin": lambda a, b: xp.sin(b),
    "row": lambda a, b: a + b[0, :],
    "column": lambda a, b: a * b[:, 0:1],
    "turned": lambda a, b: a - xp.flip(b, axis=0),
    "scaled": lambda a, b: a / (1 + xp.mean(b * b)),
    "total": lambda a, b: a + xp.sum(xp.minimum(xp.abs(b), 1.0)),
}
CHAINS = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12
)


def chain(steps: list[tuple[str, int, int]], results: int) -> Callable[..., Any]:
    def f(*inputs: Any) -> Any:
        values = list(inputs)
        for name, i, j in steps:
            values.append(STEPS[name](values[i % len(values)], values[-1 - j % len(values)]))
        return values[-results:]

    return f


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_chains(way: str, dtype: str) -> None:
    @settings(
        deadline=None,
        # A loop takes a fifth of a second to compile.
        max_examples=60 if way == "blocks" else 8,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
        report_multiple_bugs=False,
    )
    @given(steps=CHAINS, results=st.integers(1, 3), seed=st.integers(0, 99))
    def check(steps: Any, results: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        x, y = (generator.normal(size=(5, 7)).astype(dtype) for _ in range(2))
        y[0, :3] = [np.nan, 0.0, np.inf]
        sums = any(name in ("scaled", "total") for name, _, _ in steps)
        compare(chain(steps, results), x, y, exact=not sums)
        # The whole of it, through jit, where results may lie in the arguments.
        f = jit(chain(steps, results), donate_argnums=(0, 1))
        for _ in range(2):
            given = [x.copy(), y.copy()]
            with np.errstate(all="ignore"):
                wanted = chain(steps, results)(x, y)
                found = f(*given)
            for a, b in zip(found, wanted, strict=True):
                assert a.dtype == b.dtype and a.shape == b.shape
                scale = np.max(np.abs(b[np.isfinite(b)]), initial=1.0)
                np.testing.assert_allclose(
                    a, b, rtol=1e-4 if dtype == "float32" else 1e-12, atol=scale * 1e-6
                )

    check()


@pytest.mark.parametrize(
    "shapes",
    [
        ((4, 5), (5,)),
        ((4, 5), (4, 1)),
        ((4, 5), ()),
        ((4, 5), (1, 1)),
        ((3, 1, 5), (1, 4, 1)),
        ((3, 4, 5), (4, 1)),
        ((3, 2, 4, 3), (2, 1, 3)),
        ((17,), (17,)),
        ((1, 9), (9, 1)),
        ((2, 1, 1, 6), (6,)),
    ],
)
def test_broadcasting(way: str, shapes: Any) -> None:
    generator = np.random.default_rng(0)
    x, y = (np.asarray(generator.normal(size=shape)) for shape in shapes)
    for dtype in ("float32", "float64"):
        found = compare(lambda x, y: [(x * y + 1) / (y - 3), xp.maximum(x, y)], x, y.astype(dtype))
        assert sum(len(program.steps) for program in found) >= 3
    compare(lambda x, y: xp.exp(x * y) - y * 0.5, x, y)


def test_arrays_that_are_not_contiguous(way: str) -> None:
    base = np.random.default_rng(0).normal(size=(12, 10))
    frozen = base[:5, :6].copy()
    frozen.flags.writeable = False
    odd = np.frombuffer(b"\0" + frozen.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(5, 6)
    given = [
        base[::2, :5].T[:, :6],
        base[:6, :5].T,
        base[5::-1, 4::-1].T,
        frozen,
        odd,
        np.asfortranarray(frozen),
    ]
    assert {x.shape for x in given} == {(5, 6)}
    for x, y in itertools.combinations(given, 2):
        for f in (lambda x, y: x * y - xp.abs(x), lambda x, y: xp.tanh(x * y) * x - y):
            f = jit(f)
            for _ in range(2):
                same_bits(f(x, y), f.__wrapped__(x, y))
            assert "fused" in f.source


def test_no_elements_and_one(way: str) -> None:
    for shape in ((0,), (3, 0), (), (1,), (1, 1)):
        f = jit(lambda x, y: xp.sum(xp.sin(x) * y + x) + (x - y))
        x = np.full(shape, 0.3)
        for _ in range(2):
            same_bits(np.asarray(f(x, x)), np.sum(np.sin(x) * x + x) + (x - x))


def test_a_step_that_must_lie_between_is_not_jumped_over(way: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 4))

    def f(x: Any) -> Any:
        a = x * 2
        return (a + xp.flip(a * 3)) * a, xp.matmul(a, a) + a

    program = fuse(recorded(f, x), NUMPY)
    made = set(program.inputs)
    for step in program.steps:
        assert made.issuperset(y for y in step.operands if isinstance(y, Slot))
        made.update(step.outs)
    compare(f, x)


def test_what_a_fused_step_is(way: str) -> None:
    x = np.random.default_rng(0).normal(size=(6, 5))
    (program,) = compare(lambda x, b: [xp.relu(x + b), xp.sign(x) * 3], x, x[0])
    assert len(program.inputs) == 2 and len(program.outputs) == 2
    assert [step.name for step in program.steps] == ["add", "maximum", "sign", "multiply"]
    f = jit(lambda x, b: xp.relu(x + b))
    f(x, x[0])
    # The steps, with the user's lines, before the call that does them.
    lines = [line.split("#")[1].strip() for line in f.source.splitlines() if line.strip().startswith("#")]
    assert lines == ["v2: float64[6, 5] = add(v0, v1)", "v3: float64[6, 5] = maximum(v2, 0.0)"]


def test_a_value_that_is_needed_later_only_is_made_later(way: str) -> None:
    # One pass over p, m and g, although the products of m could have been made before the matrix product.
    p, m = np.random.default_rng(0).normal(size=(2, 4, 4))

    def step(p: Any, m: Any) -> Any:
        g = xp.matmul(p, p)
        m = 0.9 * m + 0.1 * g
        return p - 0.1 * m, m

    (program,) = compare(step, p, m)
    assert len(program.steps) == 5


def test_an_update_with_momenta_is_one_step(way: str) -> None:
    # Its corrections are made of single numbers, after which the rest could have begun.
    p, g, m, v = np.random.default_rng(0).uniform(size=(4, 4, 5))

    def adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        return p - 0.1 * (m / (1 - 0.9**t)) / (xp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

    (program,) = compare(adam, p, g, m, v, np.asarray(3.0))
    assert len(program.outputs) == 3 and len(program.steps) == 14


def test_a_constant_array_and_one_that_is_the_same_everywhere(way: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 7))
    ramp = np.arange(35.0).reshape(5, 7)
    same = np.full((5, 7), -0.0)
    (program,) = compare(lambda x: xp.where(x > ramp / 20, same, x * ramp), x)
    assert [y.shape for y in program.inputs] == [(5, 7)] * 3
    assert program.steps[-1].operands[1].shape == ()


@pytest.mark.parametrize("shape", [(1000,), (40, 25), (3, 7, 11)])
def test_sums_do_not_depend_on_the_number_of_threads(
    way: str, shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype("float32")

    def f(x: Any) -> Any:
        return xp.sum(xp.tanh(x) * x), xp.mean(x * x, keepdims=True), x * x

    found = []
    for threads in (0, 1, 5):
        monkeypatch.setattr(_threads, "others", lambda threads=threads: threads)
        compiled = jit(f)
        compiled(x)
        assert "sum(" in compiled.source and "fused" in compiled.source
        found.append(compiled(x))
    for one, other in itertools.pairwise(found):
        for a, b in zip(one, other, strict=True):
            same_bits(np.asarray(a), b)
    wanted = f(x.astype("float64"))
    for a, b in zip(found[0], wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_two_threads_call_one_function(way: str) -> None:
    f = jit(lambda x, y: (xp.tanh(x * y) * x, (x * y + 1) / (1 + x * x), xp.sum(xp.exp(-x * x))))
    inputs = [np.random.default_rng(i).normal(size=(2, 40, 30)) for i in range(8)]
    wanted = [f.__wrapped__(*x) for x in inputs]
    f(*inputs[0])
    together = threading.Barrier(4)

    def work(n: int) -> None:
        together.wait()
        for i in range(40):
            k = (n + i) % 8
            *arrays, total = f(*inputs[k])
            for a, b in zip(arrays, wanted[k], strict=False):
                same_bits(a, b)
            np.testing.assert_allclose(total, wanted[k][2], rtol=1e-13)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_choice_between_two_functions(way: str) -> None:
    # One loop of one step, which takes the place of two passes.
    x, y = np.random.default_rng(0).normal(size=(2, 5, 9))
    (program,) = compare(lambda x, y: xp.tanh(xp.where(xp.floor(x) == 0.0, xp.exp(x), y)), x, y)
    assert sorted(step.name for step in program.steps) == ["equal", "exp", "floor", "tanh", "where"]


@NEEDS_NUMBA
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_numbers(dtype: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    functions: tuple[str, ...] = (
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "atanh",
    )
    functions += ("exp", "expm1", "log", "log1p", "log10", "sqrt", "reciprocal", "expit", "abs", "sign")

    def f(x: Any, y: Any) -> Any:
        found = [getattr(xp, name)(x) for name in functions]
        found += [getattr(xp, name)(x, y) for name in ("atan2", "hypot", "copysign", "pow", "maximum")]
        found += [xp.acosh(x + 1), xp.where(x > y, x, y), annihilating_product(x, 1 / y), x * 2 + y]
        return [found, [z * z for z in found], [z - y for z in found]]

    compiled = jit(f)
    for values in (
        (0.3, 0.7),
        (0.3, 0.7),
        (-0.5, 0.2),
        (1.5, -2.0),
        (0.0, 0.0),
        (np.inf, -0.0),
        (np.nan, 1.0),
    ):
        # As an array without axes, as a scalar, and one of each.
        for make in (np.asarray, np.dtype(dtype).type, lambda z, dtype=dtype: np.asarray(z, dtype=dtype)[()]):
            x, y = (np.asarray(make(z), dtype=dtype)[() if make is not np.asarray else ...] for z in values)
            with np.errstate(all="ignore"):
                wanted, found = leaves(f(x, y)), leaves(compiled(x, y))
            for a, b in zip(found, wanted, strict=True):
                assert a.dtype == b.dtype and np.shape(a) == ()
                np.testing.assert_allclose(a, b, rtol=2e-6 if dtype == "float32" else 1e-14, atol=1e-15)
    assert "    fused(" in compiled.source


def test_results_lie_where_the_operands_lay_that_they_take_the_place_of(way: str) -> None:
    """Whatever the order of arguments and results: nothing is copied, and momenta do not move."""

    def update(g: Any, v: Any, p: Any, m: Any) -> Any:
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * (g * g)
        return p - 0.1 * m / (xp.sqrt(v) + 0.01), v, m

    compiled = jit(update, donate_argnums=(1, 2, 3))
    arrays = [np.random.default_rng(i).uniform(1, 2, size=(5, 7)) for i in range(4)]
    compiled(*[x.copy() for x in arrays])
    for _ in range(2):
        wanted = update(*arrays)
        g, v, p, m = (x.copy() for x in arrays)
        for x, y, before in zip(compiled(g, v, p, m), wanted, (p, v, m), strict=True):
            assert np.shares_memory(x, before)
            same_bits(x, y)
        arrays[2], arrays[1], arrays[3] = wanted


@NEEDS_NUMBA
def test_where_numba_fails_the_functions_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(source: str, signature: str) -> Any:
        raise OSError("no compiler")

    monkeypatch.setattr(_fused_loops, "compiled", fails)
    x, b = np.random.default_rng(0).normal(size=(300, 700)), np.arange(700.0)
    for fun in (
        lambda x, b: xp.sqrt(xp.abs(x * b + 1) + b) - x,  # one loop
        lambda x, b: xp.sinh(x * 2 + 1) * xp.sqrt(xp.abs(x)) - b,  # a function between loops
    ):
        compiled = jit(fun, donate_argnums=(0,))
        compiled(x.copy(), b)
        with pytest.warns(RuntimeWarning, match="could not compile a loop: OSError: no compiler"):
            np.testing.assert_allclose(compiled(x.copy(), b), fun(x, b), rtol=1e-14)
        np.testing.assert_allclose(compiled(x.copy(), b), fun(x, b), rtol=1e-14)
        assert "fused" in compiled.source


def test_integers_are_compared_by_value(way: str) -> None:
    rng = np.random.default_rng(0)
    for dtype, numbers in {
        "uint8": (-1, 0, 255, 256, 300),
        "int8": (-129, -128, 127, 128, 300),
        "uint64": (-1, 0, 5),
        "int64": (-(2**40), 0),
        "bool": (-1, 0, 1, 2),
    }.items():
        x = rng.integers(0, 2 if dtype == "bool" else 100, 20_000).astype(dtype)
        for number in numbers:
            compare(
                lambda x, n=number: (
                    xp.logical_and(xp.logical_or(x > n, x == n), xp.logical_not(x < n)),
                    xp.logical_or(x >= n, xp.logical_and(x <= n, x != n)),
                    xp.where(x < n, 1.0, 0.5) > 0.7,
                ),
                x,
            )
    signed, unsigned = rng.integers(-3, 3, 20_000), rng.integers(0, 3, 20_000).astype("uint64")
    for a, b in ((signed, unsigned), (unsigned, signed)):
        compare(lambda a, b: xp.logical_and(a > b, xp.logical_or(a >= b, a == b)), a, b)
