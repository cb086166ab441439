"""What the NumPy backend does in another way for small matrices and short rows."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bpkit
from bpkit.backends import _blas


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_that_is_read_in_place(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for rows, inner, columns in ((203, 70, 110), (200, 10, 100), (40, 100, 90)):
        x, weight = rng.normal(size=(rows, inner)).astype(dtype), rng.normal(size=(inner, columns))
        weight = weight.astype(dtype)
        for a in (x, np.asfortranarray(x)):
            for b in (weight, np.asfortranarray(weight)):
                out = np.full((rows, columns), 7, dtype)
                for found in (_blas.read_in_place(a, b, out), out, _blas.read_in_place(a, b)):
                    assert_allclose(found, x @ weight, rtol=1e-5, atol=100 * np.finfo(dtype).eps)
    monkeypatch.setattr(_blas, "_multiplies_uncopied", lambda: True)
    monkeypatch.setattr(_blas, "has_threads", lambda: False)
    sizes = (100_000, 10**6, 10**7)
    assert [_blas.can_read_in_place(size) for size in sizes] == [False, True, False]
    monkeypatch.setattr(_blas, "has_threads", lambda: True)
    assert not any(map(_blas.can_read_in_place, sizes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_and_maxima_of_short_rows(dtype: str, keepdims: bool) -> None:
    x = np.random.default_rng(0).normal(size=(70, 7)).astype(dtype)
    x[3, 2], x[4, 1], x[5] = np.nan, np.inf, -np.inf
    functions = {"largest_of_rows": bpkit.xp.max, "sum_of_rows": bpkit.xp.sum}
    for name, function in functions.items():

        def of_rows(x: Any, function: Any = function) -> Any:
            return function(x, axis=-1, keepdims=keepdims)

        for f in (of_rows, lambda x, of_rows=of_rows: of_rows(x + 1.0) * 2.0):
            with np.errstate(invalid="ignore"):
                compiled = bpkit.jit(f)
                for _ in range(2):
                    # Of seven terms of about 1, one of which may cancel the others.
                    assert_allclose(compiled(x), f(x), rtol=0.0, atol=40 * np.finfo(dtype).eps)
            assert name in compiled.source
        compiled = bpkit.jit(of_rows)
        compiled(np.ones((7, 70), dtype))
        assert name not in compiled.source
