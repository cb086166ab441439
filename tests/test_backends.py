"""Each backend does what the protocol says."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpkit
from bpkit._protocol import Backend, Capability
from bpkit.backends import _blas, numpy_backend
from bpkit.backends._common import DTYPES, is_basic_key
from bpkit.backends.cupy_backend import CupyBackend
from bpkit.errors import DeviceNotFoundError
from bpkit.registry import backend_of, get_backend, use_backend

SHAPES = [(), (0,), (3,), (2, 3)]


def sample(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 5
    return np.asarray(values * (1 - 2j) if "complex" in dtype else values).astype(dtype)


# Round trips.


@pytest.mark.parametrize("shape", SHAPES)
def test_every_dtype_makes_the_round_trip(backend: Backend, shape: tuple[int, ...]) -> None:
    dtypes = backend.dtypes()
    assert set(dtypes) >= {"bool", "int32", "float32"}
    assert set(dtypes) <= set(DTYPES)
    for dtype in dtypes:
        host = sample(shape, dtype)
        x = backend.from_host(host)
        assert backend_of(x) is backend
        assert x.dtype == getattr(backend.xp, dtype)
        back = backend.to_host(x)
        assert type(back) is np.ndarray
        assert (back.dtype, back.shape) == (host.dtype, host.shape)
        assert_array_equal(back, host)


BASE = np.arange(6, dtype=np.float32).reshape(2, 3)
AWKWARD = {
    "reversed": BASE[::-1, ::2],
    "transposed": BASE.T,
    "broadcast and read-only": np.broadcast_to(BASE[0], (4, 3)),
    "big-endian": BASE.astype(">f4"),
}


@pytest.mark.parametrize("host", AWKWARD.values(), ids=list(AWKWARD))
def test_awkward_arrays_make_the_round_trip(backend: Backend, host: np.ndarray[Any, Any]) -> None:
    back = backend.to_host(backend.from_host(host))
    assert_array_equal(back, host)
    assert back.dtype == np.float32


def test_from_host_takes_numpy_scalars(backend: Backend) -> None:
    x = backend.from_host(np.float32(2.5))  # type: ignore[arg-type]
    assert x.shape == ()
    assert backend.to_host(x) == 2.5


def test_from_host_and_to_host_share_no_memory(backend: Backend) -> None:
    host = np.ones(64, np.float32)
    x = backend.from_host(host)
    host[:] = 7.0
    back = backend.to_host(x)
    assert_array_equal(back, np.ones(64))
    back[:] = 7.0
    assert_array_equal(backend.to_host(x), np.ones(64))


def test_every_device_makes_the_round_trip(backend: Backend) -> None:
    for name in backend.devices():
        device = backend.device(name)
        x = backend.from_host(np.ones(3, np.float32), device)
        assert backend.device_of(x) == name
        assert_array_equal(backend.to_host(x), np.ones(3))
        assert backend.device_of(backend.xp.zeros((2,), device=device)) == name


def test_new_arrays_are_on_the_default_device(backend: Backend) -> None:
    default = backend.devices()[0]
    assert backend.device_of(backend.from_host(np.ones(2, np.float32))) == default
    assert backend.device_of(backend.xp.zeros((2,))) == default
    assert backend.device_of(backend.xp.zeros((2,), device=backend.device(None))) == default


@pytest.mark.parametrize("name", ["", "quantum", "cpu:99", "cuda:99", "99"])
def test_a_device_that_is_not_there(backend: Backend, name: str) -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        use_backend(f"{backend.name}:{name}")
    here = ", ".join(repr(device) for device in backend.devices())
    assert str(caught.value) == (
        f"use_backend('{backend.name}:{name}'): "
        f"backend {backend.name!r} has no device {name!r} here; it has {here}"
    )


@pytest.mark.parametrize(
    "name, device", [("jax", "cuda"), ("jax", "gpu"), ("torch", "cuda"), ("torch", "mps")]
)
def test_accelerators_are_found_by_their_short_name(name: str, device: str) -> None:
    pytest.importorskip(name)
    backend = get_backend(name)
    kind = "cuda" if device == "gpu" else device
    there = [known for known in backend.devices() if known.startswith(f"{kind}:")]
    if there:
        assert backend.device(device) == backend.device(there[0])
    else:
        with pytest.raises(DeviceNotFoundError, match=f"no device '{device}' here; it has 'cpu'"):
            backend.device(device)


def test_jax_numbers_several_devices() -> None:
    pytest.importorskip("jax")
    script = (
        "from bpkit.registry import get_backend; import numpy; backend = get_backend('jax'); "
        "x = backend.from_host(numpy.ones(2, 'float32'), backend.device('cpu:1')); "
        "print(*backend.devices(), backend.device_of(x), *(backend.device(x).id for x in ('cpu', 'cpu:0')))"
    )
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PATH": "",
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["cpu", "cpu:1", "cpu:1", "0", "0"], done.stderr


def test_synchronize_returns_when_the_work_is_done(backend: Backend) -> None:
    x = backend.from_host(np.ones((32, 32), np.float32))
    product = backend.xp.matmul(x, x)
    backend.synchronize()
    assert_array_equal(backend.to_host(product), np.full((32, 32), 32.0))


# Facts.


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises((TypeError, RuntimeError, NotImplementedError, IndexError)):
        yield


def test_uint32_arithmetic_is_stated_rightly(backend: Backend) -> None:
    xp = backend.xp
    host = np.asarray([1, 2**31, 2**32 - 1], np.uint32)

    def arithmetic() -> Any:
        x = backend.from_host(host)
        return xp.bitwise_xor(xp.bitwise_left_shift(xp.add(x, x), xp.ones_like(x)), x)

    if Capability.UINT32_ARITHMETIC in backend.capabilities:
        assert_array_equal(backend.to_host(arithmetic()), ((host + host) << np.uint32(1)) ^ host)
    else:
        with refused():
            arithmetic()


def test_in_place_operators_are_stated_rightly(backend: Backend) -> None:
    x = backend.from_host(np.zeros(3, np.float32))
    other = x
    x += 1.0
    changed = bool(backend.to_host(other)[0] == 1.0)
    assert changed == (Capability.IN_PLACE in backend.capabilities)


@pytest.mark.parametrize(
    "capability, dtype", [(Capability.FLOAT64, "float64"), (Capability.COMPLEX, "complex64")]
)
def test_dtypes_are_stated_rightly(backend: Backend, capability: Capability, dtype: str) -> None:
    assert (capability in backend.capabilities) == (dtype in backend.dtypes())


def test_a_dtype_that_the_library_lacks_is_refused(backend: Backend) -> None:
    for dtype in set(DTYPES) - set(backend.dtypes()) - {"uint16", "uint32", "uint64"}:
        with pytest.raises(TypeError):
            backend.from_host(np.ones(2, dtype))


def test_masks_are_stated_rightly(backend: Backend) -> None:
    assert {Capability.BOOLEAN_INDEXING, Capability.DATA_DEPENDENT_SHAPES} <= backend.capabilities
    x = backend.from_host(np.asarray([1.0, -1.0, 2.0], np.float32))
    assert_array_equal(backend.to_host(x[x > 0]), [1.0, 2.0])
    assert_array_equal(backend.to_host(backend.xp.nonzero(x > 0)[0]), [0, 2])


@pytest.mark.parametrize(
    "flag, capability",
    [
        ("boolean_indexing", Capability.BOOLEAN_INDEXING),
        ("data_dependent_shapes", Capability.DATA_DEPENDENT_SHAPES),
    ],
)
def test_stricts_flags_are_read_live(flag: str, capability: Capability) -> None:
    strict = pytest.importorskip("array_api_strict")
    backend = get_backend("array_api_strict")
    usual = backend.capabilities
    assert capability in usual
    with strict.ArrayAPIStrictFlags(**{flag: False}):
        assert usual - backend.capabilities == {capability}
    assert capability in backend.capabilities


def test_jax_without_x64_refuses_to_lose_precision() -> None:
    jax = pytest.importorskip("jax")
    backend = get_backend("jax")
    with jax.enable_x64(True):
        assert Capability.FLOAT64 in backend.capabilities
    with jax.enable_x64(False):
        assert Capability.FLOAT64 not in backend.capabilities
        assert "float64" not in backend.dtypes()
        for dtype in ("float64", "int64", "uint64", "complex128"):
            text = f"backend 'jax' has no {dtype} while its x64 mode is off. Set JAX_ENABLE_X64=1, or call "
            with pytest.raises(TypeError, match=text):
                backend.from_host(np.ones(2, dtype))
        assert backend.from_host(np.ones(2, np.float32)).dtype == np.float32


def test_views_are_told_from_arrays_of_their_own(backend: Backend) -> None:
    x = backend.xp.zeros((2, 3))
    assert not backend.is_view(x)
    assert backend.is_view(x[0, ...]) == (Capability.IN_PLACE in backend.capabilities)


def test_which_arrays_a_write_would_not_change_alone(backend: Backend) -> None:
    if Capability.IN_PLACE not in backend.capabilities:
        pytest.skip("the library's arrays cannot change")
    memory, other, third = (backend.xp.zeros(6) for _ in range(3))
    view, part = memory[1:5], memory[4:]
    for arrays, exposed in [
        ([memory, other, third], []),
        ([memory, view, other], [0, 1]),
        ([memory, other, other], [1, 2]),
        ([other, view, part], [1, 2]),
        ([other, third, view, view[1:]], [2, 3]),
        ([memory, other[1:], third[2:]], [1, 2]),
    ]:
        every = range(len(arrays))
        assert list(backend.exposed(arrays, every)) == exposed
        for i in every:
            assert list(backend.exposed(arrays, (i,))) == [i] * (i in exposed)
    if backend.name == "numpy":
        lent = np.frombuffer(memoryview(memory), dtype=memory.dtype)
        assert list(backend.exposed([memory, other, lent], (0, 1))) == [0]


def test_quiet_ends(backend: Backend) -> None:
    with np.errstate(divide="raise", over="warn", call=print):
        before = np.geterr(), np.geterrcall()
        for _ in range(2):
            with backend.quiet(), backend.quiet():
                backend.xp.log(backend.xp.zeros(2))
            assert (np.geterr(), np.geterrcall()) == before
        with pytest.raises(KeyError), backend.quiet():
            raise KeyError
        assert (np.geterr(), np.geterrcall()) == before


def test_quiet_silences_floating_point_warnings(backend: Backend) -> None:
    x = backend.from_host(np.zeros(2, np.float32))
    with backend.quiet():
        y = backend.xp.divide(x, x)
    assert np.isnan(backend.to_host(y)).all()


# CuPy without a GPU, seen through a stand-in for the library.


class CUDARuntimeError(RuntimeError):
    pass


def stand_in(count: int | None) -> ModuleType:
    def get_device_count() -> int:
        if count is None:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return count

    runtime = SimpleNamespace(
        getDeviceCount=get_device_count, getDevice=lambda: 1, CUDARuntimeError=CUDARuntimeError
    )
    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(runtime=runtime, Device=lambda index=1: ("device", index))  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("count, reason", [(0, ""), (None, r" \(cudaErrorNoDevice: .*\)")])
def test_cupy_without_a_device(monkeypatch: pytest.MonkeyPatch, count: int | None, reason: str) -> None:
    monkeypatch.setitem(sys.modules, "cupy", stand_in(count))
    text = f"^CuPy is installed but sees no CUDA device{reason}; it needs an NVIDIA GPU and its driver"
    with pytest.raises(DeviceNotFoundError, match=text):
        CupyBackend().require()


def test_cupy_names_its_devices_and_the_current_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", stand_in(3))
    backend = CupyBackend()
    backend.require()
    assert backend.devices() == ("cuda:1", "cuda:0", "cuda:2")
    for name, index in {"2": 2, "cuda:2": 2, "cuda": 0, "0": 0}.items():
        assert backend.device(name) == ("device", index)
    assert backend.device(None) == ("device", 1)
    for name in ("", "3", "cuda:3", "cpu", "cuda:x"):
        with pytest.raises(DeviceNotFoundError, match="it has 'cuda:1', 'cuda:0', 'cuda:2'"):
            backend.device(name)


# Adding at indices.

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


def test_which_keys_are_basic() -> None:
    basic = {name for name, key in KEYS.items() if is_basic_key(key)}
    assert basic == set(list(KEYS)[:9])
    assert not is_basic_key(True)
    assert not is_basic_key(([0, 0],))


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
def test_index_add_accumulates_as_numpy_does(backend: Backend, key: Any) -> None:
    check_index_add(backend, key, "float32")


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "int8", "complex64"])
@pytest.mark.parametrize("key", ["slices", "rows", "mask"])
def test_index_add_takes_every_number(backend: Backend, key: str, dtype: str) -> None:
    check_index_add(backend, KEYS[key], dtype)


def check_index_add(backend: Backend, key: Any, dtype: str) -> None:
    host = sample((3, 4), dtype)
    updates = sample(host[key].shape, dtype) + np.asarray(1, dtype)
    wanted = host.copy()
    np.add.at(wanted, key, updates)

    parts = key if isinstance(key, tuple) else (key,)
    moved = tuple(backend.from_host(part) if isinstance(part, np.ndarray) else part for part in parts)
    x = backend.from_host(host)
    result = backend.index_add(x, moved if isinstance(key, tuple) else moved[0], backend.from_host(updates))

    assert backend_of(result) is backend
    assert result.dtype == x.dtype
    assert_array_equal(backend.to_host(result), wanted)
    assert_array_equal(backend.to_host(x), host)


def test_index_add_broadcasts_its_updates(backend: Backend) -> None:
    x = backend.from_host(np.zeros((3, 4), np.float32))
    rows = backend.from_host(ROWS)
    one = backend.from_host(np.ones((), np.float32))
    for key, wanted in ((rows, [1, 0, 3]), ((slice(None), slice(0, 2)), [1, 1, 1])):
        assert_array_equal(backend.to_host(backend.index_add(x, key, one))[:, 0], wanted)


def test_index_add_keeps_the_device(backend: Backend) -> None:
    for name in backend.devices():
        device = backend.device(name)
        x = backend.from_host(np.zeros(3, np.float32), device)
        result = backend.index_add(x, 0, backend.from_host(np.ones((), np.float32), device))
        assert backend.device_of(result) == name


def test_blas_by_itself_and_through_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    find = _blas._library.__wrapped__
    with monkeypatch.context() as patch:
        patch.setattr(_blas, "sys", SimpleNamespace(modules={}))
        alone = find()
        patch.setattr(_blas, "PathFinder", SimpleNamespace(find_spec=lambda *_: None))
        through_scipy = find()
    assert alone.__name__ == "_fblas" and through_scipy.__name__ == "scipy.linalg.blas"
    for library in (alone, through_scipy):
        assert_array_equal(library.dgemm(2.0, x, x, trans_b=1), 2 * x @ x.T)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_of_few_rows(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(10, 300)).astype(dtype), rng.normal(size=(400, 300)).astype(dtype)
    wanted = x @ weight.T
    for b in (weight.T, np.ascontiguousarray(weight.T)):
        for a in (x, np.asfortranarray(x)):
            out = np.full((10, 400), 7, dtype)
            assert _blas.few_rows(a, b, out) is out
            for found in (out, _blas.few_rows(a, b)):
                assert found.flags.c_contiguous
                assert_allclose(found, wanted, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


def test_whether_blas_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _blas.has_threads.__wrapped__
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for others, given, wanted in ((0, "", False), (1, "", True), (1, "1", False), (1, "2", True)):
        monkeypatch.setattr(_blas, "others", lambda count=others: count)
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert found() is wanted
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert found() is False


def test_a_large_update_by_one_thread_is_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    weight, delta, x = (rng.normal(size=shape) for shape in ((600, 700), (10, 600), (10, 700)))
    wanted = weight - 0.1 * (delta.T @ x)
    for threads in (True, False):
        monkeypatch.setattr(numpy_backend, "has_threads", lambda threads=threads: threads)
        update = bpkit.jit(
            lambda weight, delta, x: weight - 0.1 * bpkit.xp.matmul(bpkit.xp.matrix_transpose(delta), x),
            donate_argnums=(0,),
        )
        for _ in range(2):
            found = update(weight.copy(), delta, x)
        assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)
        assert ("added_product" in update.source) is not threads
