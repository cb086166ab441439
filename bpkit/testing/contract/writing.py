"""Writing: changed copies of arrays, and functions that write into memory that is there already."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bpkit._protocol import Backend, Capability
from bpkit.evaluate import function_of
from bpkit.registry import backend_of
from bpkit.testing.contract.promise import Contract, expect, promised, sample

__all__ = ["KEYS", "Writing"]

ROWS = np.asarray([2, 0, 2, -1])
COLUMNS = np.asarray([1, 1, 1, -3])
MASK = np.arange(12).reshape(3, 4) % 3 == 1

KEYS: dict[str, Any] = {
    "int": 1,
    "negative int": -1,
    "slice": slice(0, 2),
    "slices": (slice(None), slice(1, 3)),
    "step": (slice(None, None, 2), slice(None)),
    "ellipsis": (..., 0),
    "none": (None, 1),
    "everything": (),
    "element": (1, 2),
    "rows": ROWS,
    "one row": np.asarray(1),
    "matrix of rows": ROWS.reshape(2, 2),
    "no rows": np.asarray([], int),
    "rows and columns": (ROWS, COLUMNS),
    "rows and a column": (ROWS, 1),
    "columns": (slice(None), COLUMNS),
    "rows of a slice": (ROWS, slice(1, 3)),
    "outer": (ROWS[:, None], COLUMNS[None, :]),
    "mask": MASK,
    "mask of rows": np.asarray([True, False, True]),
    "empty mask": np.zeros((3, 4), bool),
}
"""Ways to name a part of an array of shape (3, 4)."""
SET = ["slices", "step", "ellipsis", "element", "mask", "mask of rows", "empty mask"]
"""Those that name no element twice and that the standard knows."""
INTO: dict[str, tuple[tuple[tuple[int, ...], ...], dict[str, Any]]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "maximum"), (((3, 4), (3, 4)), {})),
    **dict.fromkeys(("exp", "tanh", "negative", "sqrt", "square"), (((3, 4),), {})),
    "matmul": (((3, 4), (4, 3)), {}),
    "sum": (((3, 4),), {"axis": (0,), "dtype": None, "keepdims": False}),
    "max": (((3, 4),), {"axis": (1,), "keepdims": True}),
    "reshape": (((3, 4),), {"shape": (4, 3), "copy": None}),
}
"""Functions that a library may write into memory: the shapes of their operands, and their settings."""


class Writing(Contract):
    """index_add, index_set, into."""

    @promised("index_add")
    @pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
    def test_index_add_accumulates_as_numpy_does(self, backend: Backend, key: Any) -> None:
        _check_index_add(backend, key, "float32")

    @promised("index_add")
    @pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "int8", "complex64"])
    @pytest.mark.parametrize("key", ["slices", "rows", "mask"])
    def test_index_add_takes_every_number(self, backend: Backend, key: str, dtype: str) -> None:
        if dtype not in backend.dtypes():
            pytest.skip(f"{backend.name} has no {dtype}")
        _check_index_add(backend, KEYS[key], dtype)

    @promised("index_add")
    @pytest.mark.parametrize("key", ["slices", "rows"])
    def test_index_add_wraps_integers_around(self, backend: Backend, key: str) -> None:
        if "int8" not in backend.dtypes():
            pytest.skip(f"{backend.name} has no int8")
        x, updates = np.full((3, 4), 100, np.int8), np.full(np.ones((3, 4))[KEYS[key]].shape, 100, np.int8)
        wanted = x.copy()
        np.add.at(wanted, KEYS[key], updates)
        result = backend.index_add(
            backend.from_host(x), _moved(backend, KEYS[key]), backend.from_host(updates)
        )
        assert_array_equal(backend.to_host(result), wanted)

    @promised("index_add")
    def test_index_add_broadcasts_its_updates(self, backend: Backend) -> None:
        x = backend.from_host(np.zeros((3, 4), np.float32))
        rows = backend.from_host(ROWS)
        one = backend.from_host(np.ones((), np.float32))
        for key, wanted in ((rows, [1, 0, 3]), ((slice(None), slice(0, 2)), [1, 1, 1])):
            assert_array_equal(backend.to_host(backend.index_add(x, key, one))[:, 0], wanted)

    @promised("index_add", "index_set")
    def test_both_keep_the_device(self, backend: Backend) -> None:
        for name in backend.devices():
            device = backend.device(name)
            x = backend.from_host(np.zeros(3, np.float32), device)
            one = backend.from_host(np.ones((), np.float32), device)
            for result in (backend.index_add(x, 0, one), backend.index_set(x, 0, one)):
                expect(backend.device_of(result) == name, "from", name, "to", backend.device_of(result))

    @promised("index_set")
    @pytest.mark.parametrize("key", SET)
    def test_index_set_replaces_as_numpy_does(self, backend: Backend, key: str) -> None:
        host = sample((3, 4), "float32")
        values = sample(host[KEYS[key]].shape, "float32") + np.float32(10)
        for value in (values, np.float32(7)):
            if "mask" in key and value is values and Capability.BOOLEAN_INDEXING not in backend.capabilities:
                continue
            wanted = host.copy()
            wanted[KEYS[key]] = value
            x = backend.from_host(host)
            result = backend.index_set(x, _moved(backend, KEYS[key]), backend.from_host(np.asarray(value)))
            _same_kind(backend, result, x)
            assert_array_equal(backend.to_host(result), wanted)
            assert_array_equal(backend.to_host(x), host, "the array itself has changed")

    @promised("index_set")
    def test_index_set_keeps_the_dtype(self, backend: Backend) -> None:
        for wide, narrow in (("float64", "float32"), ("int32", "int8")):
            if not {wide, narrow} <= set(backend.dtypes()):
                continue
            x, value = backend.from_host(sample((3,), wide)), backend.from_host(np.asarray(7, narrow))
            result = backend.index_set(x, 0, value)
            _same_kind(backend, result, x)
            assert_array_equal(backend.to_host(result), [7, 1, 2])

    @promised("index_set", "layout")
    def test_index_set_keeps_the_layout(self, backend: Backend) -> None:
        x = backend.xp.permute_dims(backend.from_host(sample((3, 4), "float32")), (1, 0))
        result = backend.index_set(x, (0, 1), backend.from_host(np.float32(9)))  # type: ignore[arg-type]
        expect(backend.layout(result) == backend.layout(x), "the layout of a transpose is lost")

    @promised("into")
    @pytest.mark.parametrize("name", INTO)
    def test_what_is_written_into_memory_is_what_the_function_returns(
        self, backend: Backend, name: str
    ) -> None:
        shapes, static = INTO[name]
        operands = tuple(
            backend.from_host((1.5 + np.sin(np.arange(12.0))).reshape(shape).astype(np.float32))
            for shape in shapes
        )
        wanted = function_of(backend, name)(*operands, **static)
        out = backend.from_host(np.full(wanted.shape, 7, np.float32))
        into = backend.into(name, operands, static, out)
        if into is None:
            return
        given = (*into.first, *operands, *into.before)
        if into.keyword:
            into.function(*given, *into.after, **{into.keyword: out})
        else:
            into.function(*given, out, *into.after)
        assert_allclose(backend.to_host(out), backend.to_host(wanted), rtol=1e-6, atol=1e-6)
        if into.makes and not into.keyword:
            made = into.function(*given, None, *into.after)
            assert_allclose(backend.to_host(made), backend.to_host(wanted), rtol=1e-6, atol=1e-6)


def _moved(backend: Backend, key: Any) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    moved = tuple(backend.from_host(part) if isinstance(part, np.ndarray) else part for part in parts)
    return moved if isinstance(key, tuple) else moved[0]


def _same_kind(backend: Backend, result: Any, x: Any) -> None:
    expect(backend_of(result) is backend, "the result is an array of another library:", type(result))
    expect(result.dtype == x.dtype, f"the result has the dtype {result.dtype}, and the array {x.dtype}")


def _check_index_add(backend: Backend, key: Any, dtype: str) -> None:
    host = sample((3, 4), dtype)
    updates = sample(host[key].shape, dtype) + np.asarray(1, dtype)
    wanted = host.copy()
    np.add.at(wanted, key, updates)
    x = backend.from_host(host)
    result = backend.index_add(x, _moved(backend, key), backend.from_host(updates))
    _same_kind(backend, result, x)
    assert_array_equal(backend.to_host(result), wanted)
    assert_array_equal(backend.to_host(x), host, "the array itself has changed")
