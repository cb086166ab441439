"""Which backend makes new arrays: ``use_backend``, then the environment, then NumPy."""

import threading
from contextvars import copy_context
from typing import Any

import pytest

from bpkit.errors import DeviceNotFoundError, UnknownBackendError
from bpkit.registry import current, get_backend, use_backend

numpy_backend = get_backend("numpy")


def test_numpy_is_the_default() -> None:
    assert current() == (numpy_backend, None)


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPKIT_BACKEND", "numpy:cpu")
    assert current() == (numpy_backend, "cpu")
    monkeypatch.setenv("BPKIT_BACKEND", "")
    assert current() == (numpy_backend, None)


def test_a_change_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("array_api_strict")
    monkeypatch.setenv("BPKIT_BACKEND", "array_api_strict:device1")
    backend, device = current()
    assert backend.name == "array_api_strict"
    assert device == backend.device("device1")
    monkeypatch.delenv("BPKIT_BACKEND")
    assert current().backend is numpy_backend


@pytest.mark.parametrize(
    "value, error, text",
    [
        (
            "nunpy",
            UnknownBackendError,
            "BPKIT_BACKEND=nunpy: there is no backend 'nunpy'. Did you mean 'numpy'?",
        ),
        (
            "numpy:gpu",
            DeviceNotFoundError,
            "BPKIT_BACKEND=numpy:gpu: backend 'numpy' has no device 'gpu' here",
        ),
        (
            "numpy:",
            DeviceNotFoundError,
            "BPKIT_BACKEND=numpy:: backend 'numpy' has no device '' here; it has 'cpu'",
        ),
    ],
)
def test_a_bad_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, error: type[Exception], text: str
) -> None:
    monkeypatch.setenv("BPKIT_BACKEND", value)
    for _ in range(2):
        with pytest.raises(error) as caught:
            current()
        assert str(caught.value).startswith(text)
    with use_backend("numpy"):
        assert current().backend is numpy_backend


def test_use_backend_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("array_api_strict")
    monkeypatch.setenv("BPKIT_BACKEND", "array_api_strict")
    with use_backend("numpy"):
        assert current().backend is numpy_backend
    assert current().backend.name == "array_api_strict"


def test_use_backend_nests_and_restores() -> None:
    with use_backend("numpy:cpu") as outer:
        with use_backend("numpy") as inner:
            assert current() is inner
        assert current() is outer
    assert current().device is None


def test_use_backend_restores_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), use_backend("numpy:cpu"):
        1 / (current().device is None)
    assert current().device is None


def test_a_plain_call_holds_until_the_next() -> None:
    def script() -> None:
        use_backend("numpy:cpu")
        assert current().device == "cpu"
        with use_backend("numpy"):
            assert current().device is None
        assert current().device == "cpu"
        use_backend("numpy")
        assert current().device is None

    copy_context().run(script)


def test_a_failed_choice_changes_nothing() -> None:
    with use_backend("numpy:cpu") as chosen:
        with pytest.raises(DeviceNotFoundError):
            use_backend("numpy:tpu")
        with pytest.raises(UnknownBackendError):
            use_backend("nosuch")
        assert current() is chosen


def test_threads_do_not_see_each_other() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: dict[str, Any] = {}

    def other() -> None:
        seen["at start"] = current().device
        use_backend("numpy:cpu")
        inside.set()
        done.wait(10)
        seen["at end"] = current().device

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert current().device is None
    with use_backend("numpy"):
        done.set()
        thread.join()
    assert seen == {"at start": None, "at end": "cpu"}


def test_one_selection_may_be_entered_again() -> None:
    chosen = use_backend("numpy:cpu")
    with chosen:
        pass
    before = current()
    with chosen as selection:
        assert current() is selection
    assert current() == before
