"""Finding backends by name, by array and by default, and what is said when that fails."""

import subprocess
import sys
import textwrap
import threading
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import _loading
from bpkit._protocol import Backend
from bpkit.errors import (
    BackendNotInstalledError,
    MixedBackendsError,
    UnknownBackendError,
)
from bpkit.registry import (
    BackendStatus,
    backend_of,
    backend_table,
    by_type,
    common_backend,
    get_backend,
    use_backend,
)

numpy_backend = get_backend("numpy")


def run(script: str, *flags: str) -> str:
    command = [sys.executable, "-W", "error", *flags, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def hide(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Make a library look as if it were not installed."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(_loading, "_loaded", {"numpy": numpy_backend})


# By name.


def test_a_backend_is_one_object() -> None:
    assert get_backend("numpy") is get_backend("numpy") is numpy_backend


def test_threads_that_ask_at_once_get_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loading, "_loaded", {})
    start = threading.Barrier(4)
    made = []

    def slowly(name: str) -> Any:
        time.sleep(0.05)
        made.append(name)
        return numpy_backend

    def ask() -> None:
        start.wait()
        get_backend("numpy")

    monkeypatch.setattr(_loading, "_load_builtin", slowly)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["numpy"]


@pytest.mark.parametrize("name, guess", [("jaxx", "jax"), ("NumPy", "numpy"), ("pytorch", "torch")])
def test_an_unknown_name_lists_what_there_is(name: str, guess: str) -> None:
    with pytest.raises(UnknownBackendError) as caught:
        get_backend(name)
    text = str(caught.value)
    assert text.startswith(f"get_backend({name!r}): there is no backend {name!r}. Did you mean {guess!r}?")
    assert "There are numpy, jax, torch, cupy, array_api_strict" in text
    assert "usable here: numpy" in text


def test_an_unknown_name_that_resembles_nothing() -> None:
    with pytest.raises(
        ValueError, match=r"^use_backend\('xyzzy'\): there is no backend 'xyzzy'\. There are numpy"
    ):
        use_backend("xyzzy")


@pytest.mark.parametrize(
    "name, command",
    [
        ("jax", "pip install jax"),
        ("torch", "pip install torch"),
        ("cupy", "pip install cupy-cuda13x (cupy-cuda12x where the driver has CUDA 12)"),
        ("array_api_strict", "pip install array-api-strict"),
    ],
)
def test_a_missing_library_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    hide(monkeypatch, name)
    with pytest.raises(BackendNotInstalledError) as caught:
        use_backend(f"{name}:cpu")
    text = str(caught.value)
    assert text.startswith(f"use_backend('{name}:cpu'): {name} is not installed in this environment; ")
    assert f"install the library: {command}. Usable here: numpy" in text
    assert "bpkit" not in command
    assert isinstance(caught.value, ImportError)


def test_a_broken_library_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so: cannot open shared object file')")
    hide(monkeypatch, "torch")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.delitem(sys.modules, "array_api_compat.torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendNotInstalledError) as caught:
        use_backend("torch")
    assert str(caught.value).startswith("use_backend('torch'): torch is installed, but importing ")
    assert "failed with OSError: libcudart.so: cannot open shared object file" in str(caught.value)
    assert "pip install --force-reinstall torch" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


# By array.


@pytest.mark.parametrize(
    "x", [np.zeros(3), np.zeros(()), np.float32(1), np.bool_(True), np.zeros((0, 2), np.int8)], ids=repr
)
def test_numpy_owns_its_arrays_and_its_scalars(x: Any) -> None:
    assert backend_of(x) is numpy_backend
    assert by_type[type(x)] is numpy_backend


def test_numpy_owns_subclasses_that_behave_as_arrays(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, shape=(2,), mode="w+")
    assert backend_of(mapped) is numpy_backend


class Level(IntEnum):
    LOW = 1


@pytest.mark.parametrize("x", [True, 1, 1.0, 1j, None, Level.LOW], ids=repr)
def test_python_values_belong_to_nobody(x: Any) -> None:
    assert by_type[type(x)] is None
    with pytest.raises(TypeError) as caught:
        backend_of(x)
    assert str(caught.value) == (
        f"expected an array, got the Python value {x!r}; make an array of it first: bpkit.xp.asarray(...)"
    )


@pytest.mark.parametrize("x", [[1.0], (1.0,)], ids=repr)
def test_a_list_is_not_an_array(x: Any) -> None:
    kind = type(x).__name__
    with pytest.raises(TypeError, match=f"^expected an array, got a {kind}; make an array of it first: "):
        backend_of(x)


class Homemade:
    pass


@pytest.mark.parametrize("x, name", [("abc", "str"), (Homemade(), f"{__name__}.Homemade"), (np, "module")])
def test_what_nobody_owns_is_named(x: Any, name: str) -> None:
    with pytest.raises(TypeError) as caught:
        backend_of(x)
    assert f"got {name}; " in str(caught.value)
    assert "numpy, jax, torch, cupy, array_api_strict" in str(caught.value)
    assert type(x) not in by_type


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"MaskedArray is not supported, because its mask would be lost; fill it"
    ):
        backend_of(np.ma.array([1.0, 2.0], mask=[True, False]))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrices_are_refused() -> None:
    with pytest.raises(TypeError, match=r"numpy\.matrix is not supported.*convert it: numpy\.asarray\(x\)"):
        backend_of(np.matrix([[1.0]]))


def test_each_backend_owns_its_arrays(backend: Backend) -> None:
    x = backend.from_host(np.ones(2, np.float32))
    assert backend_of(x) is backend
    assert common_backend([1.0, x, None, x]) is backend


def test_torch_owns_subclasses_of_its_tensor() -> None:
    torch = pytest.importorskip("torch")
    assert backend_of(torch.nn.Parameter(torch.ones(2))).name == "torch"


def test_jax_owns_its_tracers() -> None:
    jax = pytest.importorskip("jax")
    seen: list[tuple[str, str]] = []

    def look(x: Any) -> Any:
        backend = backend_of(x)
        seen.append((backend.name, backend.device_of(x)))
        return x * 2.0

    x = jax.numpy.ones(3)
    jax.jit(look)(x)
    jax.vmap(look)(x)
    jax.grad(lambda x: look(x).sum())(x)
    assert seen == [("jax", get_backend("jax").devices()[0])] * 3


def test_no_array_means_the_current_backend() -> None:
    assert common_backend([1.0, None]) is numpy_backend
    pytest.importorskip("array_api_strict")
    with use_backend("array_api_strict") as (strict, _):
        assert common_backend([1.0]) is strict


def test_numpy_mixed_with_another_library_says_how_to_convert() -> None:
    strict = pytest.importorskip("array_api_strict")
    for operands in ([np.ones(2), 1.0, strict.ones(2)], [strict.ones(2), np.float64(1.0)]):
        with pytest.raises(MixedBackendsError) as caught:
            common_backend(operands, "add")
        text = str(caught.value)
        assert text.startswith("add: arrays of two libraries met, ")
        assert "of numpy" in text and "array_api_strict._array_object.Array of array_api_strict" in text
        assert (
            "Move the numpy array to array_api_strict: "
            'with bpkit.use_backend("array_api_strict"): x = bpkit.xp.asarray(x)\n'
        ) in text


def test_two_other_libraries_mixed_go_through_numpy() -> None:
    strict, torch = pytest.importorskip("array_api_strict"), pytest.importorskip("torch")
    x = strict.ones(2)
    with pytest.raises(
        MixedBackendsError, match=r"torch\.Tensor of torch and array_api_strict.*through NumPy"
    ) as caught:
        common_backend([torch.ones(2), x])
    advice = str(caught.value).partition("through NumPy: ")[2].partition("\n")[0]
    moved = eval(advice, {"bpkit": sys.modules["bpkit"], "x": x})
    assert backend_of(moved).name == "torch"


# The table.


def test_the_table_has_every_backend_and_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "jax")
    table = {status.name: status for status in backend_table()}
    assert list(table)[:5] == ["numpy", "jax", "torch", "cupy", "array_api_strict"]
    assert table["numpy"] == BackendStatus("numpy", True, np.__version__, ("cpu",), numpy_backend.dtypes())
    assert table["jax"] == BackendStatus(
        "jax", False, note="jax is not installed in this environment; install the library: pip install jax"
    )


def test_the_table_survives_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: Any) -> Any:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(type(numpy_backend), "devices", explode)
    [status] = [status for status in backend_table() if status.name == "numpy"]
    assert status == BackendStatus("numpy", False, note="RuntimeError: out of paper")


# Laziness.


def test_importing_the_registry_imports_no_other_array_library() -> None:
    heavy = "{'jax', 'torch', 'cupy', 'array_api_strict', 'array_api_compat'}"
    script = f"""
        import sys
        from bpkit import registry
        assert not {heavy} & set(sys.modules), sorted({heavy} & set(sys.modules))
        registry.backend_of(__import__('numpy').ones(2))
        try:
            registry.get_backend('nosuch')
        except ValueError as error:
            print(error)
        try:
            registry.backend_of(registry)
        except TypeError:
            pass
        registry.get_backend('numpy'), registry.get_backend('numpy').device(None)
        print(sorted({heavy} & set(sys.modules) - {{'cupy'}}))
    """
    said, imported = run(script).splitlines()
    assert "there is no backend 'nosuch'" in said
    assert imported == "[]"


def test_get_backend_does_not_import_the_library() -> None:
    pytest.importorskip("torch")
    script = """
        import sys
        from bpkit import registry
        registry.get_backend('torch')
        assert 'torch' not in sys.modules
        registry.use_backend('torch')
        print('torch' in sys.modules)
    """
    assert run(script) == "True"
