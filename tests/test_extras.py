"""What networks need and the standard lacks: NumPy's values in every library, and the errors."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases.extras import CASES

from bpkit import xp
from bpkit._protocol import Backend
from bpkit.errors import ShapeError

MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
WIDTHS = (0, 2, (1, 3), ((1, 0), (0, 2)), ((5, 4),), ((2,), (0,)), [[9, 0], [0, 8]])


def _added(x: Any, key: Any, updates: Any) -> Any:
    changed = x.copy()
    np.add.at(changed, key, updates)
    return changed


def _set(x: Any, key: Any, updates: Any) -> Any:
    changed = x.copy()
    changed[key] = updates
    return changed


NUMPY = SimpleNamespace(
    **{
        **vars(np),
        "sliding_window_view": np.lib.stride_tricks.sliding_window_view,
        "scatter_add": _added,
        "scatter_set": _set,
    }
)
"""NumPy, with its functions under the names that they have in bpkit."""


@pytest.mark.parametrize("name", sorted({case.name for case in CASES}))
def test_values_and_dtypes_are_numpys(name: str, backend: Backend) -> None:
    for case in CASES:
        if case.name != name or backend.name in case.not_on:
            continue
        values = case.values()
        expected = np.asarray(case.fun(NUMPY, *values))
        placed = [backend.from_host(x) if isinstance(x, np.ndarray) else x for x in values]
        found = backend.to_host(case.fun(xp, *placed))
        assert found.dtype == expected.dtype, case
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13, err_msg=repr(case))


@pytest.mark.parametrize("mode", MODES)
def test_padding_is_numpys(mode: Any, backend: Backend) -> None:
    for shape, width in itertools.product([(2, 3), (1, 4), (3, 1)], WIDTHS):
        x = np.arange(1, np.prod(shape) + 1, dtype=np.int64).reshape(shape)
        found = backend.to_host(xp.pad(backend.from_host(x), width, mode))
        np.testing.assert_array_equal(found, np.pad(x, width, mode), err_msg=f"{shape} {width}", strict=True)


def test_padding_says_what_does_not_fit() -> None:
    x = np.ones((2, 3))
    for width in ((1, 2, 3), ((1, 2), (3, 4), (5, 6)), -1, (0, -1), 1.5, ((1, 2), (3,))):
        with pytest.raises(ShapeError, match=r"pad: pad_width=.* for x with shape \(2, 3\); expected"):
            xp.pad(x, width)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="pad: axis 2 is out of bounds"):
        xp.pad(x, {2: 1})
    with pytest.raises(ValueError, match=r"mode='mean'; expected 'constant' or one of .*'edge', 'reflect'"):
        xp.pad(x, 1, mode="mean")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"none along axis 0 of its shape \(0, 3\); only mode='constant'"):
        xp.pad(x[:0], 1, mode="edge")


def test_windows_say_what_does_not_fit() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ShapeError, match=r"window_shape=2 has 1 lengths for the 2 axes \(0, 1\)"):
        xp.sliding_window_view(x, 2)
    with pytest.raises(ShapeError, match=r"window_shape=\(3, 3\) along axes \(0, 1\) does not fit"):
        xp.sliding_window_view(x, (3, 3))
    with pytest.raises(ShapeError, match="does not fit"):
        xp.sliding_window_view(x, -1, axis=0)
    with pytest.raises(IndexError, match="axis 2 is out of bounds"):
        xp.sliding_window_view(x, 1, axis=2)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("iijj->ji", [(2, 2, 3, 3)]),
        ("...a,a...->a...", [(4, 3), (3, 5, 4)]),
        (" i j , j -> i", [(2, 3), (3,)]),
        ("Ab,bC->CA", [(2, 3), (3, 4)]),
        ("bA", [(2, 3)]),
        ("i,i", [(1,), (3,)]),
        ("ii,i->i", [(1, 1), (3,)]),
        ("...ij,...jk,...k", [(2, 1, 2, 3), (4, 3, 2), (2,)]),
        ("abc,cd,bd->ad", [(2, 3, 4), (4, 5), (3, 5)]),
        ("...->...", [(2, 3)]),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_sums_of_products_are_numpys(
    subscripts: str, shapes: list[tuple[int, ...]], dtype: str, backend: Backend
) -> None:
    rng = np.random.default_rng(0)
    operands = [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]
    found = backend.to_host(xp.einsum(subscripts, *(backend.from_host(x) for x in operands)))
    np.testing.assert_array_equal(found, np.einsum(subscripts, *operands), strict=True)


def test_products_of_many_are_taken_in_an_order_that_keeps_them_small() -> None:
    # From the left, the first product alone would have 8**13 elements.
    letters = "abcdefghijklm"
    vectors = [np.full(8, 0.5) for _ in letters]
    chain = np.full((8, 8), 0.125)
    subscripts = ",".join([*letters, *(a + b for a, b in itertools.pairwise(letters))])
    found = xp.einsum(subscripts + "->", *vectors, *[chain] * 12)
    np.testing.assert_allclose(found, 8 * 0.5**13)


def test_sums_of_products_say_what_does_not_fit() -> None:
    x, y = np.ones((2, 3)), np.ones(4)
    with pytest.raises(ValueError, match="'ij,j' has 2 terms for 1 operands"):
        xp.einsum("ij,j", x)
    with pytest.raises(ShapeError, match="'ijk' in 'ijk' has 3 letters for an operand with 2 axes"):
        xp.einsum("ijk", x)
    with pytest.raises(ShapeError, match="'i' in 'i' has 1 letters for an operand with 2 axes"):
        xp.einsum("i", x)
    with pytest.raises(ShapeError, match="'j' in 'ij,j' stands for axes of lengths 3 and 4"):
        xp.einsum("ij,j", x, y)
    with pytest.raises(ShapeError, match=r"axis -1 of the ellipsis in '\.\.\.,\.\.\.' .* 3 and 4"):
        xp.einsum("...,...", x, y)
    for subscripts, wrong in (("ij->ii", "'i'"), ("ij->k", "'k'")):
        with pytest.raises(ValueError, match=f"einsum: {wrong} in the result .*each once"):
            xp.einsum(subscripts, x)
    for subscripts in ("i1", "......", "i.j", "ij->.", "i->j->k"):
        with pytest.raises(ValueError, match=r"cannot read|letters for"):
            xp.einsum(subscripts, x)


@pytest.mark.parametrize("name", ["scatter_add", "scatter_set"])
def test_what_is_scattered_leaves_the_rest_as_it_was(name: str, backend: Backend) -> None:
    x = np.asarray([-0.0, math.inf, 1.0, math.nan])
    placed = backend.from_host(x)
    found = backend.to_host(getattr(xp, name)(placed, slice(2, 3), 2.0))
    np.testing.assert_array_equal(found, [-0.0, math.inf, 3.0 if name == "scatter_add" else 2.0, math.nan])
    assert np.signbit(found[0])
    np.testing.assert_array_equal(backend.to_host(placed), x)


@pytest.mark.parametrize("name", ["scatter_add", "scatter_set"])
def test_what_is_scattered_has_a_dtype_that_fits(name: str, backend: Backend) -> None:
    kinds = [backend.from_host(np.ones(2, dtype=dtype)) for dtype in ("int32", "float32", "complex64")]
    for i, x in enumerate(kinds):
        for updates in kinds[i + 1 :]:
            with pytest.raises(TypeError, match=f"{name}: x of dtype .* cannot hold updates of dtype"):
                getattr(xp, name)(x, 0, updates[0])
