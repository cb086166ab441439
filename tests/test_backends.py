"""What is special about each of the built-in backends; test_backends_contract.py has what they share."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpkit
from bpkit._protocol import Capability
from bpkit.backends import _blas, numpy_backend
from bpkit.backends._common import is_basic_key
from bpkit.backends.cupy_backend import CupyBackend
from bpkit.errors import DeviceNotFoundError
from bpkit.registry import get_backend
from bpkit.testing.contract.writing import KEYS

# Devices.


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


# Facts.


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


def test_memory_lent_to_others_is_seen() -> None:
    backend = get_backend("numpy")
    memory, other = np.zeros(6), np.zeros(6)
    lent = np.frombuffer(memoryview(memory), dtype=memory.dtype)
    assert list(backend.exposed([memory, other, lent], (0, 1))) == [0]


def test_which_keys_are_basic() -> None:
    basic = {name for name, key in KEYS.items() if is_basic_key(key)}
    assert basic == set(list(KEYS)[:9])
    assert not is_basic_key(True)
    assert not is_basic_key(([0, 0],))


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
