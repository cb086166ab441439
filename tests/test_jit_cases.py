"""jit of every function of the table, and of its derivatives, against the same without jit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cases import Argument, Case
from cases.check import TOLERANCE, assert_close, cotangents_for, host, problem, tangents_for
from cases.selection import NAMES, cases_of, of

from bpkit import jit, jvp, tree, vjp
from bpkit._protocol import Backend
from bpkit.errors import RecordingError

SHAPED_BY_VALUES = {
    "getitem-traced mask",
    "unique_all-values",
    "unique_counts-values",
    "unique_inverse-values",
    "unique_values-(0)",
    "unique_values-(22)",
    "unique_values-(3)",
    "unique_values-complex",
}
"""Cases that cannot be recorded."""

NOT_WITHOUT_TRACING = {
    ("full-traced value", "torch"),
    ("asarray-list", "array_api_strict"),
    ("full-traced value", "array_api_strict"),
    ("full_like-traced value", "array_api_strict"),
}
"""Cases that fill new arrays with a value: refused, or of another dtype, where it is not traced."""

ON_JAX = (
    "add",
    "matmul",
    "sum",
    "max",
    "where",
    "getitem",
    "setitem",
    "reshape",
    "sort",
    "linalg.solve",
    "fft.fft",
    "cumulative_sum",
)


def inputs(case: Case, primals: Sequence[Any], outs: Sequence[Any], backend: Backend, seed: int) -> Any:
    """Other values for the inputs, from their domains, and tangents and cotangents."""
    rng = np.random.default_rng(seed)
    values = [x.draw(rng) for x in case.arguments if isinstance(x, Argument)]
    cts, ts = cotangents_for(host(outs, backend)), tangents_for(values)

    def placed(arrays: Sequence[Any], beside: Sequence[Any], scale: float = 1) -> list[Any]:
        return [
            backend.from_host(np.asarray(x * scale, dtype=x.dtype) if scale != 1 else x, y.device)
            for x, y in zip(arrays, beside, strict=True)
        ]

    return placed(values, primals), placed(ts, primals, seed), placed(cts, outs, seed)


def check_case(case: Case, backend: Backend) -> None:
    """Compare two calls with the function itself, after memory was filled with something else."""
    fun, primals = problem(case, backend)

    def everything(primals: Any, tangents: Any, cotangents: Any) -> Any:
        out, moved = jvp(fun, tuple(primals), tuple(tangents))
        again, pull = vjp(fun, *primals)
        return fun(*primals), out, moved, again, pull(list(cotangents))

    compiled = jit(everything)
    if repr(case) in SHAPED_BY_VALUES:
        with pytest.raises(RecordingError, match="the shape of the result depends on values"):
            compiled(primals, primals, [])
        return
    outs = fun(*primals)
    first = compiled(*inputs(case, primals, outs, backend, 1))
    given = [inputs(case, primals, outs, backend, seed) for seed in (2, 3)]
    found = []
    for each in given:
        found.append(compiled(*each))
        junk = [backend.xp.full_like(x, 1) * 7 for x in tree.leaves(found[-1])]
    del junk
    assert compiled.explain() == "1. the first call"
    assert all(isinstance(x, int) and x >= 0 for x in compiled.cost)
    assert compiled.graph.source.startswith("digraph {")
    for each, results in zip(given, found, strict=True):
        expected = tree.leaves(everything(*each))
        for x, y, z in zip(tree.leaves(results), expected, tree.leaves(first), strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            # A derivative without axes is an array of NumPy's, and inside a transform a scalar.
            assert type(x) is type(z) and (type(x) is type(y) or x.shape == ())
            single = str(y.dtype).rpartition(".")[2] in ("float32", "complex64")
            a, b = backend.to_host(x), backend.to_host(y)
            assert_close(a, b, TOLERANCE["float32" if single else "float64"], str(case))


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict", "cupy"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_every_case(backend: Backend, name: str) -> None:
    for case in cases_of(name, backend):
        if (repr(case), backend.name) in NOT_WITHOUT_TRACING:
            continue
        with of(case):
            check_case(case, backend)


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
@pytest.mark.parametrize("name", ON_JAX)
def test_a_few_cases_on_a_library_with_a_compiler(backend: Backend, name: str) -> None:
    (case,) = cases_of(name, backend, plainest=True)
    check_case(case, backend)
